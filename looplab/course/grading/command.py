"""Grade notebooks with nbval: one, many, or a folder with a whole class.

    looplab grade PATHS... [--json OUT] [--csv OUT] [--jobs N] [--seed N] [--rubric FILE]

The exit status is 0 when the run itself was sound, whatever the marks: a torn file is a row of the
report. docs/grading.md says what is protected and what is not.
"""

import argparse
import os
from collections.abc import Iterable
from pathlib import Path

from looplab.course.grading import isolation
from looplab.course.grading.marking import Report
from looplab.course.grading.pool import grade_all
from looplab.course.grading.report import (
    digest,
    lines,
    read_report,
    read_rubric,
    summary,
    write_csv,
    write_report,
)
from looplab.course.grading.submission import printable, student_of


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="looplab grade",
        description="Grade notebooks.",
        epilog="The exit status is 0 when the run itself was sound, whatever the marks; 1 when "
        "the grader failed somewhere; 2 when it was not understood.",
    )
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
    if given.jobs < 1:
        parser.error(f"--jobs {given.jobs}: at least 1 is needed")
    for out in (given.json, given.csv):
        if out and (out.is_dir() or not out.absolute().parent.is_dir()):
            parser.error(f"{out} cannot be written: its folder is not there, or it is a folder")
    try:
        points = read_rubric(given.rubric)
        done = read_report(given.json, given.seed)
    except ValueError as error:
        parser.error(str(error))
    files, problems = find(given.paths)
    if not files and not problems:
        parser.error(f"no notebooks in {', '.join(map(str, given.paths))}")
    try:
        return _grade(given, files, problems, points, done)
    except KeyboardInterrupt:
        again = "run it again and it goes on" if given.json else "with --json FILE it could go on"
        print(f"\nStopped: {again}.")
        return 130


def _grade(given, files: list[Path], problems: list[Report], points: dict, done: dict) -> int:
    if not isolation.available():
        print("No Linux namespaces here: submissions run with your rights and your network.")
    digests = {file: digest(file) for file in files}
    kept = {file: done.get((printable(str(file)), digests[file])) for file in files}
    found = {file: report for file, report in kept.items() if report}
    if found:
        print(f"{len(found)} of {len(files)} are in {given.json} and have not changed.")
    hidden = [path if path.is_dir() else path.absolute().parent for path in given.paths]
    failures, told = [], 0

    def tell():
        nonlocal told
        while told < len(files) and files[told] in found:
            number = f"[{told + 1:{len(str(len(files)))}d}/{len(files)}]"
            print(f"{number} {lines(found[files[told]], points)}", flush=True)
            told += 1

    def save():
        if given.json:
            rows = [(found[file], digests[file]) for file in files if file in found]
            rows += [(one, "") for one in problems]
            write_report(given.json, rows, given.seed, points)

    tell()
    save()
    waiting = [file for file in files if file not in found]
    for file, report, unsound in grade_all(waiting, given.seed, given.jobs, hidden=hidden):
        found[file] = report
        failures += [unsound] if unsound else []
        save()
        tell()
    reports = [*(found[file] for file in files), *problems]
    print(f"\n{summary(reports)}")
    if given.csv:
        write_csv(given.csv, reports, points)
    for why in dict.fromkeys(failures):
        print(f"This run was not sound: {why}")
    return 1 if failures else 0


def find(paths: Iterable[Path]) -> tuple[list[Path], list[Report]]:
    """Notebooks, folders searched all the way down; and what is in the way of grading others.

    A missing file that was named stays, to be reported. Links inside of folders are not followed:
    one could lead to the solved chapter.
    """
    found, problems = [], []

    def refuse(path, why):
        name = printable(str(path))
        problems.append(Report(name, printable(student_of(Path(path))), "", problem=why))

    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        for place, folders, names in os.walk(
            path, onerror=lambda e: refuse(e.filename, f"it cannot be opened ({e.strerror})")
        ):
            # What editors and archives leave behind is nobody's submission.
            folders[:] = sorted(set(folders) - {".ipynb_checkpoints", "__MACOSX"})
            for name in sorted(names):
                file = Path(place, name)
                if file.suffix.lower() != ".ipynb" or name.startswith("._"):
                    continue
                if file.is_symlink():
                    refuse(file, "it is a link: the notebook itself is needed")
                else:
                    found.append(file)
    return list(dict.fromkeys(found)), problems
