"""What a class of graded notebooks ends in: a row each in a gradebook, a line each, a table."""

import csv
import hashlib
import io
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from looplab.course.build import ROOT
from looplab.course.exercises import exercises
from looplab.course.grading.cells import guarded, write_cells
from looplab.course.grading.marking import Report, Row, keys_of
from looplab.course.grading.mistakes import named
from looplab.course.grading.points import Rubric, total

RESULTS = ("passed", "not yet", "not attempted", "error")
WIDTHS = (8, 9, 15, 7)
FRONT, BACK = ("student", "file", "chapter"), ("points", "out of", "remarks")


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


def write_csv(
    path: Path, reports: Sequence[Report], points: Rubric, kept: Iterable[Mapping[str, str]] = ()
):
    """One row per submission: student, file, chapter, an exercise a column, points, remarks.

    `kept` are rows of an earlier gradebook, as `read_csv` returns them; they come first.
    """
    kept = list(kept)
    there = {head for row in kept for head in row} - {*FRONT, *BACK}
    columns = sorted({row.exercise for report in reports for row in report.rows} | there)
    heads = [*FRONT, *columns, *BACK]
    rows = [heads, *([row.get(head, "") for head in heads] for row in kept)]
    for report in reports:
        marks = {row.exercise: row.result for row in report.rows}
        row = [report.student, report.file, report.chapter]
        row += [marks.get(exercise, "") for exercise in columns]
        row += [f"{number:g}" for number in total(report, points)]
        rows.append([guarded(cell) for cell in [*row, remarks(report)]])
    write_cells(path, rows)


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a gradebook that `write_csv` wrote, as they stand there; [] if there is none.

    Raises ValueError for a file that is anything else.
    """
    if not path.exists():
        return []
    try:
        text = path.read_text(encoding="utf-8-sig")
        heads, *rows = csv.reader(io.StringIO(text, newline=""))
        middle = heads[len(FRONT) : -len(BACK)]
        if (*FRONT, *middle, *BACK) != tuple(heads):
            raise ValueError
        if not all(re.fullmatch(r"\d\d\.\d+", head) for head in middle):
            raise ValueError
        return [dict(zip(heads, row, strict=True)) for row in rows]
    except (OSError, ValueError, csv.Error):
        raise ValueError(
            f"{path} is there and is no gradebook of looplab grade: name another file"
        ) from None


def remarks(report: Report) -> str:
    """The named mistakes of a submission, or why it was not graded, in one line."""
    told = [f"{row.exercise}: {remark(row)}" for row in report.rows if remark(row)]
    told += [report.edition] if report.edition else []
    return "; ".join(told) or (f"not graded: {report.problem}" if report.problem else "")


def remark(row: Row) -> str:
    """The named mistake, and of an error its kind."""
    return f"{row.why} ({row.kind})" if row.kind and row.result == "error" else row.why


def lines(report: Report, points: Rubric) -> str:
    """A submission in a line, and a line more for each exercise that did not pass."""
    if report.problem:
        return f"{report.file}: not graded: {report.problem}"
    got, most = total(report, points)
    told = [f"{report.file}: {report.student}, chapter {report.chapter}, {got:g} of {most:g}"]
    told += [f"    {report.edition}"] if report.edition else []
    for row in report.rows:
        if row.result != "passed":
            told.append(f"    {row.exercise}  {row.result:13s}  {remark(row)}".rstrip())
    return "\n".join(told)


def most_often(rows: Iterable[Row]) -> list[tuple[str, int]]:
    """Mistakes that our own checks named, and how often, the commonest first.

    A text that an answer raised is none of them, whatever it says.
    """
    told = (named(row.exercise, row.why) for row in rows if row.result == "not yet")
    return Counter(filter(None, told)).most_common()


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
            often = most_often(rows)
            if often and len(mine) > 1:
                told.append(f"        most often: {often[0][0]}")
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
