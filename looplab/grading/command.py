"""Grade notebooks with nbval: one, many, or a folder with a whole class.

    looplab grade PATHS... [--json OUT] [--csv OUT] [--jobs N] [--seed N] [--rubric FILE]

The exit status is 0 when the run itself was sound, whatever the marks: a torn file is a row of the
report. docs/grading.md says what is protected and what is not.
"""

import argparse
import csv
import hashlib
import json
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from looplab.grading.grade import Report, Row, grade
from looplab.grading.running import isolation


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="looplab grade", description="Grade notebooks.")
    parser.add_argument("paths", nargs="+", type=Path, help="notebooks, or folders of them")
    parser.add_argument(
        "--json", type=Path, help="write the report here; a run that was stopped goes on"
    )
    parser.add_argument(
        "--csv", type=Path, help="write one row for each submission, for a gradebook"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="at the same time")
    parser.add_argument("--seed", type=int, default=0, help="inputs that learners have not seen")
    parser.add_argument("--rubric", type=Path, help='points by exercise, JSON: {"03.1": 2}')
    given = parser.parse_args(arguments)
    files = find(given.paths)
    if not files:
        parser.error(f"no notebooks in {', '.join(map(str, given.paths))}")
    points = read_rubric(given.rubric, parser)
    done = read_report(given.json, given.seed, parser)
    if not isolation():
        print("No Linux namespaces here: submissions run with your rights and your network.")
    with ThreadPoolExecutor(max(1, given.jobs)) as pool:
        waiting = [(file, pool.submit(grade_once, file, given.seed, done)) for file in files]
        reports = []
        for _, future in waiting:
            report, digest = future.result()
            reports.append((report, digest))
            print(table(report, points), flush=True)
            if given.json:
                write_report(given.json, reports, given.seed, points)
    if given.csv:
        write_csv(given.csv, [report for report, _ in reports], points)
    return 0


def find(paths: Iterable[Path]) -> list[Path]:
    """Notebooks, folders searched all the way down; a missing file stays, to be reported."""
    found = []
    for path in paths:
        if path.is_dir():
            found += [
                file
                for file in sorted(path.rglob("*.ipynb"))
                if ".ipynb_checkpoints" not in file.parts
            ]
        else:
            found.append(path)
    return list(dict.fromkeys(found))


def grade_once(file: Path, seed: int, done: dict[str, Report]) -> tuple[Report, str]:
    """The report of a file and its digest; an equal file graded before is not graded again."""
    try:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        digest = ""
    old = done.get(f"{file} {digest}")
    return old or grade(file, seed), digest


def read_rubric(path: Path | None, parser) -> dict[str, float]:
    """Points by exercise; one point each where nothing is said."""
    if path is None:
        return {}
    try:
        rubric = json.loads(path.read_text(encoding="utf-8"))
        return {str(exercise): float(points) for exercise, points in rubric.items()}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        parser.error(f'{path} is no rubric such as {{"03.1": 2}}: {error}')


def read_report(path: Path | None, seed: int, parser) -> dict[str, Report]:
    """What an earlier run has graded: 'file digest' -> report; of another seed, nothing."""
    if path is None or not path.exists():
        return {}
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        if saved["seed"] != seed:
            return {}
        return {
            f"{one['file']} {one['sha256']}": Report(
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
        }
    except (ValueError, KeyError, TypeError):
        parser.error(f"{path} is there and is no report of looplab grade: name another file")


def write_report(path: Path, reports: list[tuple[Report, str]], seed: int, points: dict):
    """Rewritten after every submission, in one stroke, so that a stopped run loses nothing."""
    rows = []
    for report, digest in reports:
        one = asdict(report) | {"sha256": digest, "passed": report.passed}
        for row in one["rows"]:
            row["points"] = worth(row["exercise"], points) if row["result"] == "passed" else 0
        one["points"], one["out_of"] = total(report, points)
        rows.append(one)
    text = json.dumps({"seed": seed, "submissions": rows}, indent=1) + "\n"
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def write_csv(path: Path, reports: list[Report], points: dict):
    """One row per submission: student, file, chapter, a column per exercise, points, problem."""
    exercises = sorted({row.exercise for report in reports for row in report.rows})
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["student", "file", "chapter", *exercises, "points", "out of", "problem"])
        for report in reports:
            marks = {row.exercise: row.result for row in report.rows}
            cells = [marks.get(exercise, "") for exercise in exercises]
            row = [report.student, report.file, report.chapter, *cells, *total(report, points)]
            writer.writerow([*row, report.problem])


def worth(exercise: str, points: dict) -> float:
    return points.get(exercise, 1.0)


def total(report: Report, points: dict) -> tuple[float, float]:
    """Points reached and points there are."""
    got = sum(worth(row.exercise, points) for row in report.rows if row.result == "passed")
    return got, sum(worth(row.exercise, points) for row in report.rows)


def table(report: Report, points: dict) -> str:
    if report.problem:
        return f"{report.file}: not graded: {report.problem}"
    got, most = total(report, points)
    lines = [f"{report.file}: {report.student}, chapter {report.chapter}, {got:g} of {most:g}"]
    for row in report.rows:
        kind = f" ({row.kind})" if row.kind else ""
        lines.append(f"  {row.exercise}  {row.result:13s} {row.why}{kind}".rstrip())
    return "\n".join(lines)
