"""A run over a class: what still has to be graded, what is told meanwhile, what is written."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from looplab.course.grading.marking import Report
from looplab.course.grading.merging import in_order, kept_rows, told_of, told_of_rows
from looplab.course.grading.outputs import Outputs
from looplab.course.grading.points import Rubric
from looplab.course.grading.report import course_digest, lines, summary
from looplab.course.grading.roll import Roll
from looplab.course.grading.saved import Entry, called, fresh, write_report


class Run:
    """Collects the marks of a class, from an earlier report where they hold."""

    def __init__(
        self,
        roll: Roll,
        files: dict[Path, Path],
        folders: Sequence[Path],
        saved: Sequence[Entry],
        outputs: Outputs,
        rubric: Rubric,
        seed: int,
    ):
        self._roll, self._files, self._folders, self._saved = roll, files, folders, saved
        self._outputs, self._rubric, self._seed = outputs, rubric, seed
        self._courses: dict[str, str] = {}  # chapter -> digest
        self._failures: list[str] = []
        self._told = 0
        holding = fresh(saved, seed)
        self._done = {
            one.place: _marked(one, holding[one.sha256]) if one.sha256 in holding else one
            for one in roll.now
            if one.report.problem or one.sha256 in holding
        }
        self._asked = {files[one.place]: one for one in roll.now if one.place not in self._done}

    def waiting(self) -> list[Path]:
        """Files to be graded."""
        return list(self._asked)

    def begin(self) -> None:
        """Tell and write what is known before anything is graded."""
        known = len(self._files) - len(self._asked)
        if known:
            print(
                f"{known} of {len(self._files)} are in {self._outputs.json} and have not changed."
            )
        self._tell()
        self._save()

    def add(self, file: Path, report: Report, unsound: str) -> None:
        """One more is graded; `unsound` says where the grader itself failed."""
        one = self._asked[file]
        chapter = report.chapter
        if report.rows and chapter not in self._courses:
            self._courses[chapter] = course_digest(chapter)
        course = self._courses.get(chapter, "") if report.rows else ""
        marked = replace(one, report=report, seed=self._seed, course=course)
        self._done[one.place] = called(marked, one.report.file)
        self._failures += [unsound] if unsound else []
        self._save()
        self._tell()

    def end(self, attempt: str) -> int:
        """Write the tables, then tell how the class did; returns the exit status."""
        now = self._now()
        entries = in_order(now, self._roll.kept, self._saved)
        earlier = self._outputs.earlier_rows()
        rows = kept_rows(earlier, entries, self._folders)
        left = write_all(self._outputs, entries, now, rows, self._rubric, attempt, self._roll)
        print(f"\n{summary([one.report for one in entries])}")
        if self._outputs.json:
            told = told_of(self._saved, now, self._roll.kept, self._rubric)
        else:
            told = told_of_rows(earlier, now, rows, self._rubric)
        for line in (*told, *told_of_students(self._roll)):
            print(line)
        for file in left:
            print(f"{file} was not written by looplab grade, and stays as it is.")
        for why in dict.fromkeys(self._failures):
            print(f"This run was not sound: {why}")
        return 1 if self._failures else 0

    def _now(self) -> list[Entry]:
        return [self._done[one.place] for one in self._roll.now if one.place in self._done]

    def _tell(self) -> None:
        """The lines of files that are graded, in their order, up to the first that is not."""
        order = [one.place for one in self._roll.now if one.place in self._files]
        while self._told < len(order) and order[self._told] in self._done:
            report = self._done[order[self._told]].report
            self._told += 1
            number = f"[{self._told:{len(str(len(order)))}d}/{len(order)}]"
            print(f"{number} {lines(report, self._rubric)}", flush=True)

    def _save(self) -> None:
        if self._outputs.json:
            # Until a file is graded anew its earlier marks stay: a stopped run loses nothing.
            places = {one.place for one in self._roll.now} - self._done.keys()
            old = [one for one in self._saved if one.place in places]
            entries = in_order([*old, *self._now()], self._roll.kept, self._saved)
            write_report(self._outputs.json, entries, self._rubric, self._roll.students)


def reweigh(roll: Roll, outputs: Outputs, rubric: Rubric, attempt: str) -> int:
    """Write the tables of a report anew with other points; returns the exit status."""
    entries = list(roll.kept)
    rows = kept_rows(outputs.earlier_rows(), entries, ())
    if outputs.json:
        write_report(outputs.json, entries, rubric, roll.students)
    left = write_all(outputs, entries, entries, rows, rubric, attempt, roll)
    for one in entries:
        print(lines(one.report, rubric))
    print(f"\n{summary([one.report for one in entries])}")
    for line in told_of_students(roll):
        print(line)
    for file in left:
        print(f"{file} was not written by looplab grade, and stays as it is.")
    return 0


def write_all(outputs, entries, now, rows, rubric: Rubric, attempt: str, roll: Roll) -> list[Path]:
    """Every table that was asked for; feedback for those of now. Returns files that stay."""
    outputs.write_rows(entries, rubric, rows)
    outputs.write_class(entries, rubric, attempt, roll.missing, roll.unknown)
    return outputs.write_feedback(now, rubric)


def told_of_students(roll: Roll) -> list[str]:
    """What the class list says of the names, and where a notebook names somebody else."""
    told = [
        f"{one.report.file}: {one.whose.name}, but {one.whose.note}"
        for one in roll.now
        if one.whose.note
    ]
    named = ", ".join(one.name or one.id for one in roll.missing)
    for what, names in (
        ("handed in nothing", named),
        ("not in the class list", ", ".join(roll.unknown)),
        ("matched by a part of the name", ", ".join(roll.guessed)),
    ):
        if names:
            told.append(f"{what}: {names}")
    return told


def _marked(one: Entry, old: Entry) -> Entry:
    """An entry with the marks that an earlier run gave to the same bytes."""
    marked = replace(one, report=old.report, seed=old.seed, course=old.course)
    return called(marked, one.report.file)
