"""Grade notebooks with nbval: one, many, or a folder with a whole class.

    looplab grade PATHS... [--json OUT] [--csv OUT] [--book OUT] [--feedback FOLDER] ...
    looplab grade --reweigh REPORT --rubric FILE [--json OUT] [--csv OUT] ...

The exit status is 0 when the run itself was sound, whatever the marks: a torn file is a row of the
report. docs/grading.md says what is protected and what is not.
"""

import argparse
import os
import re
import tempfile
from pathlib import Path

from looplab.course.grading import isolation
from looplab.course.grading.class_list import read_class_list
from looplab.course.grading.gradebook import ATTEMPTS
from looplab.course.grading.handins import absolute, find
from looplab.course.grading.outputs import Outputs, is_a_teachers
from looplab.course.grading.points import read_rubric
from looplab.course.grading.pool import grade_all
from looplab.course.grading.roll import call, listed
from looplab.course.grading.run import Run, reweigh
from looplab.course.grading.saved import read_entries, read_report, read_students

__all__ = ["grade_all", "main", "read_report"]


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit status."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.jobs < 1:
        parser.error(f"--jobs {given.jobs}: at least 1 is needed")
    if bool(given.paths) == bool(given.reweigh):
        parser.error("notebooks, or folders of them, are needed; or --reweigh REPORT alone")
    outputs = Outputs(**{name: getattr(given, name) for name in Outputs.__dataclass_fields__})
    try:
        rubric = read_rubric(given.rubric)
        if given.reweigh and not given.reweigh.exists():
            raise ValueError(f"--reweigh {given.reweigh}: there is no such file")
        saved = read_entries(given.reweigh or given.json)
        outputs.refuse(bool(saved))
        students = read_students(given.reweigh or given.json)
        students = read_class_list(given.class_list) if given.class_list else students
        pattern = _pattern(given.student_pattern)
    except ValueError as error:
        parser.error(str(error))
    if given.reweigh:
        return reweigh(listed(saved, students), outputs, rubric, given.attempt)
    with tempfile.TemporaryDirectory(prefix="handed-in-", ignore_cleanup_errors=True) as scratch:
        ours = [*outputs.named(), *filter(None, (given.rubric, given.class_list))]
        found = find(given.paths, Path(scratch), ours, is_a_teachers)
        if not found.hand_ins:
            parser.error(f"no notebooks in {', '.join(map(str, given.paths))}")
        for caution in isolation.cautions():
            print(caution)
        folders = [absolute(path) for path in given.paths]
        roll = call(found, saved, folders, pattern, students)
        files = {one.place: one.file for one in found.hand_ins if one.file}
        run = Run(roll, files, folders, saved, outputs, rubric, given.seed)
        hidden = [*(path if path.is_dir() else path.parent for path in folders), Path(scratch)]
        try:
            run.begin()
            for told in grade_all(run.waiting(), given.seed, given.jobs, hidden=hidden):
                run.add(*told)
            status = run.end(given.attempt)
        except KeyboardInterrupt:
            again = "run it again and it goes on" if given.json else "with --json FILE it could"
            print(f"\nStopped: {again}.")
            return 130
    if not files:  # there are rows of what was handed in, and nobody's work was graded
        parser.error(f"no notebooks in {', '.join(map(str, given.paths))}")
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="looplab grade",
        description="Grade notebooks.",
        epilog="The exit status is 0 when the run itself was sound, whatever the marks; 1 when "
        "the grader failed somewhere; 2 when it was not understood.",
    )
    add = parser.add_argument
    add("paths", nargs="*", type=Path, help="notebooks, archives (.zip), or folders of them")
    add("--json", type=Path, help="write the report here; a run that was stopped goes on")
    add("--csv", type=Path, help="write one row for each submission, for a gradebook")
    add("--book", type=Path, help="write one row for each student, with a column per chapter")
    add("--moodle", type=Path, help="write a table that Moodle imports (offline worksheet)")
    add("--canvas", type=Path, help="write a table that Canvas imports (gradebook)")
    add("--page", type=Path, help="write an HTML page to look through the class")
    add("--feedback", type=Path, help="write two files for each submission into this folder")
    add("--class-list", type=Path, help="CSV of the class: id, name, e-mail")
    add("--student-pattern", help="regular expression with (?P<student>...), for paths")
    add("--attempt", choices=ATTEMPTS, default="latest", help="which of several counts")
    add("--jobs", type=int, default=os.cpu_count() or 1, help="at the same time")
    add("--seed", type=int, default=0, help="inputs that learners have not seen")
    add("--rubric", type=Path, help='points by exercise, JSON: {"03.1": 2}')
    add("--reweigh", type=Path, help="weigh this report with --rubric; nothing is graded again")
    return parser


def _pattern(text: str | None) -> re.Pattern | None:
    try:
        pattern = re.compile(text) if text else None
    except re.error as error:
        raise ValueError(f"--student-pattern {text!r} is no regular expression: {error}") from None
    if pattern and "student" not in pattern.groupindex:
        raise ValueError(f"--student-pattern {text!r}: a group (?P<student>...) is needed in it")
    return pattern
