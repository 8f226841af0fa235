"""Grade one submission; what is wrong with a submission ends in a Report, not in an exception."""

import copy
import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nbformat

from looplab.course.build import ROOT, number
from looplab.course.exercises import exercises_in, judge
from looplab.course.exercises.judging import Verdict
from looplab.course.grading.running import Limits, Ran, run
from looplab.course.grading.submission import (
    CHAPTER,
    Submission,
    Unreadable,
    is_stub,
    printable,
    read,
    student_of,
)
from looplab_nbval.cause import Cause

SOLVED = ROOT / "chapters" / "solved"
# An answer that sets something outside itself may change what others compute.
MEDDLES = re.compile(
    r"^[ \t]*(?:torch|looplab|measure|np|numpy|builtins|sys)\.[\w.]+\s*=[^=]"
    r"|setattr\(|sys\.modules|get_ipython|__dict__|\bglobals\(|Thread\(|\bfork\(",
    re.M,
)
# What a report calls the cause of an error.
KINDS = {
    Cause.EXCEPTION: "exception",
    Cause.EXIT: "ended",
    Cause.TIME: "time",
    Cause.MEMORY: "memory",
    Cause.OUTPUT: "ended",
    Cause.DIED: "ended",
    Cause.STOPPED: "ended",
    Cause.REFUSED: "checker",
    Cause.UNHEARD: "checker",
}
# Without a verdict, these say that what comes behind had no fair run.
ENDINGS = (Cause.TIME, Cause.MEMORY, Cause.OUTPUT, Cause.DIED, Cause.STOPPED)


class Unsound(RuntimeError):
    """The grader itself does not work here: no mark of this run can be trusted."""


@dataclass(frozen=True)
class Row:
    """The mark of one exercise.

    result: "passed", "not yet", "not attempted" or "error"; why: the named mistake or what went
    wrong; kind: of an error ("time", "memory", "ended", "exception", "checker").
    """

    exercise: str
    result: str
    why: str = ""
    kind: str = ""


@dataclass(frozen=True)
class Report:
    """The marks of one submission; `problem` says why a file could not be graded at all."""

    file: str
    student: str
    chapter: str
    rows: tuple[Row, ...] = ()
    problem: str = ""

    @property
    def passed(self) -> int:
        return sum(row.result == "passed" for row in self.rows)


def grade(
    file: Path, seed: int = 0, limits: Limits | None = None, hidden: Iterable[Path] = ()
) -> Report:
    """Grade one notebook with inputs drawn from `seed`.

    Paths in `hidden`, such as the other submissions, are out of the notebook's sight where the
    system allows it. Raises Unsound if looplab's own answers do not pass here.
    """
    file = Path(file)
    name = printable(str(file))
    try:
        submission = read(file)
    except Unreadable as error:
        return Report(name, printable(student_of(file)), "", problem=str(error))
    keys = keys_to(submission)
    if not keys:
        problem = "none of the course's chapters is recognised in it"
        return Report(name, submission.student, submission.chapter, problem=problem)
    rows = ()
    for notebook, key in keys.items():
        own_answers_pass(notebook, seed)
        part = replace(submission, chapter=notebook)
        rows += Marking(key, part, seed, limits, tuple(hidden)).rows()
    return Report(name, submission.student, next(iter(keys)), rows)


def keys_of(chapter: str) -> dict[str, Path]:
    """The solved notebooks of a chapter such as "03"; chapter 05 stands in two, 05 and 05b."""
    found = sorted(SOLVED.glob(f"{chapter[:2]}*_*.ipynb")) if chapter else []
    return {number(path): path for path in found if CHAPTER.fullmatch(number(path))}


def keys_to(submission: Submission) -> dict[str, Any]:
    """The solved notebooks that hold the submission's exercises, read.

    It is one, but for a notebook from before its chapter was divided: that has both halves' cells.
    """
    keys = {
        name: nbformat.read(path, as_version=4)
        for name, path in keys_of(submission.chapter).items()
    }
    named = {*submission.answers, *submission.notes}
    holding = {name: key for name, key in keys.items() if named & checked_in(key).keys()}
    return holding or {name: key for name, key in keys.items() if name == submission.chapter}


def checked_in(key) -> dict[str, str]:
    """Exercise -> what its answer defines, as in `name = check("03.1", name)`."""
    return {
        cell.metadata["looplab"]["ex"]: cell.source.split("=")[0].strip()
        for cell in key.cells
        if role(cell) == "check"
    }


@functools.lru_cache(maxsize=64)
def own_answers_pass(notebook: str, seed: int):
    """Raise Unsound unless looplab's own answers pass with the inputs of this seed."""
    for task in exercises_in(notebook):
        verdict = judge(task, task.reference, seed)
        if verdict.kind != "passed":
            raise Unsound(f"looplab's own answer to {task.id} fails here: {verdict.mistake}")


class Marking:
    """The runs that one submission takes, and the rows they end in."""

    def __init__(self, key, submission: Submission, seed=0, limits=None, hidden=()):
        self.key, self.submission = key, submission
        self.brief = without_explorations(key)
        self.given = {"seed": seed, "limits": limits, "hidden": hidden}
        self.names = checked_in(key)

    def rows(self) -> tuple[Row, ...]:
        rows, answers = {}, {}
        for exercise in self.names:
            source = self.submission.answers.get(exercise)
            if source is None:
                why = self.submission.notes.get(exercise, "the answer cell is missing")
                rows[exercise] = Row(exercise, "not attempted", why)
            elif is_stub(source):
                rows[exercise] = Row(exercise, "not attempted")
            else:
                answers[exercise] = source
        rows |= self.judged(answers)
        return tuple(rows[exercise] for exercise in self.names)

    def judged(self, answers: dict[str, str]) -> dict[str, Row]:
        """Run all answers together, then whatever another one may have spoilt again."""
        rows: dict[str, Row] = {}
        waiting = dict(answers)
        while waiting:
            ran = self.run(waiting)
            found = {exercise: mark(exercise, ran) for exercise in waiting}
            rows |= found
            # The first one to end the run is taken out, and those behind it get another.
            culprit = next((e for e in self.names if e in waiting and ended(e, ran)), None)
            if culprit is None:
                break
            if next(iter(waiting)) != culprit:
                rows[culprit] = self.alone(culprit, answers)  # one before it may be to blame
            waiting = {
                exercise: source
                for exercise, source in waiting.items()
                if exercise != culprit and exercise not in ran.verdicts
            }
        for exercise in self.spoilt(rows, answers):
            rows[exercise] = self.alone(exercise, answers)
        return rows

    def spoilt(self, rows: dict[str, Row], answers: dict[str, str]) -> list[str]:
        """Answers that did not pass and may owe it to another answer."""
        failed = [e for e in rows if rows[e].result in ("not yet", "error")]

        def owes(exercise):
            others = [e for e in answers if e != exercise]
            leans = any(
                re.search(rf"\b{re.escape(self.names[e])}\b", answers[exercise])
                for e in failed
                if e != exercise
            )
            # Another one may keep the grader from being heard, or hold all the memory there is.
            crowded = rows[exercise].kind in ("checker", "memory") and len(others) > 0
            return leans or crowded or any(MEDDLES.search(answers[e]) for e in others)

        return [exercise for exercise in failed if owes(exercise)]

    def alone(self, exercise: str, answers: dict[str, str]) -> Row:
        """The row of one answer beside the solved chapter's own answers to the others."""
        return mark(exercise, self.run({exercise: answers[exercise]}))

    def run(self, answers: dict[str, str]) -> Ran:
        chapter = self.submission.chapter
        ran = run(transplant(self.brief, answers), chapter, **self.given)
        if ran.set_up:  # imports took longer than a cell may, on a busy machine
            self.given["limits"] = patient(self.given["limits"] or Limits())
            ran = run(transplant(self.brief, answers), chapter, **self.given)
        if ran.set_up:
            raise Unsound(f"the chapter's set-up cell does not run here: {tidy(ran.set_up)}")
        # An answer may lean on a name that only the whole chapter defines.
        if _missing_names(ran) - set(self.names.values()):
            ran = run(transplant(self.key, answers), chapter, **self.given)
        return ran


def patient(limits: Limits) -> Limits:
    return replace(limits, cell=4 * limits.cell, total=4 * limits.total)


def _missing_names(ran: Ran) -> set[str]:
    return {told.missing for told in (*ran.verdicts.values(), *ran.rows.values())} - {""}


def mark(exercise: str, ran: Ran) -> Row:
    """The row of one exercise; what is passed was judged outside of the learner's process."""
    verdict = outcome(exercise, ran)
    kind = KINDS[verdict.cause] if verdict.cause else ""
    return Row(exercise, verdict.kind, tidy(verdict.mistake), kind)


def outcome(exercise: str, ran: Ran) -> Verdict:
    """The grader's verdict, or an error that says why there is none."""
    if exercise in ran.verdicts:
        return ran.verdicts[exercise]
    if exercise not in ran.rows:
        text, cause = ran.stopped or ("the run ended before this check", Cause.STOPPED)
    elif (row := ran.rows[exercise]).ok:
        text, cause = "the check did not reach the grader", Cause.UNHEARD
    else:
        text, cause = row.error.split("\n")[0], row.cause
    return Verdict("error", text, {}, cause)


def ended(exercise: str, ran: Ran) -> bool:
    """True where the run went no further than this exercise."""
    cause = outcome(exercise, ran).cause
    return cause == Cause.DIED if exercise in ran.verdicts else cause in ENDINGS


def tidy(text: str) -> str:
    """A learner's text in one line, not too long."""
    return printable(text)[:300].strip()


def without_explorations(notebook):
    """Set-up, answers and checks only: training and figures change no mark."""
    kept = copy.copy(notebook)
    kept.cells = [
        cell for cell in notebook.cells if cell.id == "set-up" or role(cell) in ("answer", "check")
    ]
    return kept


def transplant(key, answers: dict[str, str]):
    """The solved chapter with these answers in place of its own, and nothing stored."""
    notebook = copy.deepcopy(key)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        if role(cell) == "answer":
            source = answers.get(cell.metadata["looplab"]["ex"], cell.source)
            cell.source = source.encode("utf-8", "replace").decode()
        cell.metadata.pop("tags", None)  # nothing is compared in there
    return notebook


def role(cell) -> str:
    return cell.metadata.get("looplab", {}).get("role", "")
