"""What a class of graded notebooks ends in: a report to go on from, a gradebook, a table."""

import csv
import hashlib
import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from looplab.basics.writing import in_one_stroke, write_text
from looplab.course.build import ROOT
from looplab.course.exercises import exercise, exercises
from looplab.course.grading.marking import Report, Row, keys_of

RESULTS = ("passed", "not yet", "not attempted", "error")
WIDTHS = (8, 9, 15, 7)
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how a cell begins that a spreadsheet would run


def digest(file: Path) -> str:
    """What a report belongs to: the bytes of the submission; "" for a file that cannot be read."""
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""
    except OSError:
        return ""


def course_digest(chapter: str) -> str:
    """Changes when something does that a chapter's marks depend on: then they are stale.

    That is its solved notebook (of a chapter in two halves both: an old submission is marked with
    both), its source with the reference answers, the trained models, and all code but the checks of
    other chapters: probes compute with the whole library.
    """
    found = hashlib.sha256()
    if keys := list(keys_of(chapter).values()):
        checks = ROOT / "looplab" / "course" / "exercises"
        parts = [*keys, *(ROOT / "chapters" / "source" / f"{key.stem}.py" for key in keys)]
        parts += sorted((ROOT / "data" / "checkpoints").glob("*"))
        for package in ("looplab", "looplab_nbval"):
            parts += sorted((ROOT / package).rglob("*.py"))
        others = set(checks.glob("ch??.py")) - {checks / f"ch{chapter[:2]}.py"}
        for part in parts:
            if part.is_file() and part not in others:
                found.update(f"{part.relative_to(ROOT).as_posix()}\0".encode())
                found.update(part.read_bytes())
    return found.hexdigest()[:16]


def read_rubric(path: Path | None) -> dict[str, float]:
    """Points by exercise; one point each where nothing is said. Raises ValueError."""
    if path is None:
        return {}
    try:
        rubric = json.loads(path.read_text(encoding="utf-8-sig"))
        points = {str(one): float(worth) for one, worth in rubric.items()}
        for one, worth in points.items():
            exercise(one)
            if not 0 <= worth < math.inf:
                raise ValueError(f"{worth:g} points for {one}")
        return points
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise ValueError(f'{path} is no rubric such as {{"03.1": 2}}: {error}') from None


def read_report(path: Path | None, seed: int) -> dict[tuple[str, str], Report]:
    """What an earlier run graded and still holds: (file, digest) -> report. Raises ValueError."""
    if path is None or not path.exists():
        return {}
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        course = saved["course"] if saved["seed"] == seed else {}
        fresh = {chapter for chapter, then in course.items() if then == course_digest(chapter)}
        return {
            (one["file"], one["sha256"]): Report(
                one["file"],
                one["student"],
                one["chapter"],
                tuple(
                    Row(**{k: row[k] for k in ("exercise", "result", "why", "kind")})
                    for row in one["rows"]
                ),
                one["problem"],
            )
            for one in saved["submissions"]
            if one["rows"] and one["chapter"] in fresh
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(
            f"{path} is there and is no report of looplab grade: name another file"
        ) from None


def write_report(path: Path, reports: Iterable[tuple[Report, str]], seed: int, points: dict):
    """Written anew after every submission, in one stroke, so that a stopped run loses nothing."""
    submissions = []
    for report, sha256 in reports:
        one = asdict(report) | {"sha256": sha256, "passed": report.passed}
        for row in one["rows"]:
            row["points"] = worth(row["exercise"], points) if row["result"] == "passed" else 0
        one["points"], one["out_of"] = total(report, points)
        submissions.append(one)
    chapters = sorted({one["chapter"] for one in submissions if one["rows"]})
    course = {chapter: course_digest(chapter) for chapter in chapters}
    said = {"seed": seed, "course": course, "submissions": submissions}
    write_text(path, json.dumps(said, indent=1) + "\n")


def write_csv(path: Path, reports: list[Report], points: dict):
    """One row per submission: student, file, chapter, an exercise a column, points, remarks."""
    columns = sorted({row.exercise for report in reports for row in report.rows})
    # With the mark that tells a spreadsheet program that this is UTF-8.
    with (
        in_one_stroke(path) as partial,
        open(partial, "w", encoding="utf-8-sig", newline="") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(["student", "file", "chapter", *columns, "points", "out of", "remarks"])
        for report in reports:
            marks = {row.exercise: row.result for row in report.rows}
            told = [f"{row.exercise}: {remark(row)}" for row in report.rows if remark(row)]
            row = [report.student, report.file, report.chapter]
            row += [marks.get(exercise, "") for exercise in columns]
            row += [f"{number:g}" for number in total(report, points)]
            row.append("; ".join(told) or report.problem)
            writer.writerow([guarded(cell) for cell in row])


def guarded(cell: str) -> str:
    """A cell that no spreadsheet program takes for a formula.

    >>> guarded("=1+1"), guarded("007")
    ("'=1+1", '007')
    """
    return f"'{cell}" if cell.startswith(FORMULA) else cell


def worth(exercise: str, points: dict) -> float:
    return points.get(exercise, 1.0)


def total(report: Report, points: dict) -> tuple[float, float]:
    """Points reached and points there are."""
    got = sum(worth(row.exercise, points) for row in report.rows if row.result == "passed")
    return got, sum(worth(row.exercise, points) for row in report.rows)


def remark(row: Row) -> str:
    """The named mistake, and of an error its kind."""
    return f"{row.why} ({row.kind})" if row.kind else row.why


def lines(report: Report, points: dict) -> str:
    """A submission in a line, and a line more for each exercise that did not pass."""
    if report.problem:
        return f"{report.file}: not graded: {report.problem}"
    got, most = total(report, points)
    told = [f"{report.file}: {report.student}, chapter {report.chapter}, {got:g} of {most:g}"]
    for row in report.rows:
        if row.result != "passed":
            told.append(f"    {row.exercise}  {row.result:13s}  {remark(row)}".rstrip())
    return "\n".join(told)


def summary(reports: list[Report]) -> str:
    """The class at a glance: per exercise how many passed, and the mistake made most often."""
    told = []
    for chapter in sorted({report.chapter for report in reports if report.rows}):
        mine = [report for report in reports if report.chapter == chapter and report.rows]
        count = f"{len(mine)} submission{'s' if len(mine) > 1 else ''}"
        head = f"chapter {chapter}, {count}"
        titles = "".join(f"{result:>{w}}" for result, w in zip(RESULTS, WIDTHS, strict=True))
        told.append(f"\n{head:42s}{titles}")
        for task in exercises(chapter[:2]):
            rows = [row for report in mine for row in report.rows if row.exercise == task.id]
            if not rows:  # it stands in the chapter's other half
                continue
            counts = Counter(row.result for row in rows)
            numbers = [f"{counts[one]:{w}d}" for one, w in zip(RESULTS, WIDTHS, strict=True)]
            told.append(f"  {task.id}  {task.title:33.33s}{''.join(numbers)}")
            named = Counter(row.why for row in rows if row.result == "not yet").most_common(1)
            if named and len(mine) > 1:
                told.append(f"        most often: {named[0][0]}")
    unread = [report for report in reports if report.problem]
    if unread:
        told.append(f"\nnot graded: {len(unread)} of {len(reports)} files")
        told += [f"  {report.file}: {report.problem}" for report in unread]
    files = defaultdict(list)
    for report in reports:
        if report.rows:
            files[report.student, report.chapter].append(report.file)
    for (student, chapter), several in files.items():
        if len(several) > 1:
            told.append(f"\n{student} has {len(several)} submissions of chapter {chapter}:")
            told += [f"  {file}" for file in several]
    return "\n".join(told).strip("\n")
