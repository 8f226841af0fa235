"""Grade one submission; what is wrong with a submission ends in a Report, not in an exception."""

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
from looplab.course.grading.editions import as_of_today, renumbered
from looplab.course.grading.key import checked_in, transplant, without_explorations
from looplab.course.grading.running import Limits, Ran, run
from looplab.course.grading.submission import (
    CHAPTER,
    LARGEST,
    Submission,
    Unreadable,
    as_cell,
    checks_in,
    printable,
    read,
    student_of,
)
from looplab.course.reading.code import binds, needs, statements
from looplab.course.reading.gather import Reading, readings, whereabouts
from looplab.course.reading.given import given_by
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


OLDER = "the notebook is of an older edition of the course"


class Unsound(RuntimeError):
    """The grader itself does not work here: no mark of this run can be trusted."""


@dataclass(frozen=True)
class Row:
    """The mark of one exercise.

    result: "passed", "not yet", "not attempted" or "error"; why: the named mistake or what went
    wrong; kind: of an error ("time", "memory", "ended", "exception", "checker"), or of a mistake
    that was named in the notebook's own process ("told").
    """

    exercise: str
    result: str
    why: str = ""
    kind: str = ""


@dataclass(frozen=True)
class Report:
    """The marks of one submission.

    `problem` says why a file could not be graded at all, `edition` that it is of another edition.
    """

    file: str
    student: str
    chapter: str
    rows: tuple[Row, ...] = ()
    problem: str = ""
    edition: str = ""

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
    rows, old = (), older(submission, keys)
    for notebook, key in keys.items():
        own_answers_pass(notebook, seed)
        part = replace(submission, chapter=notebook)
        rows += Marking(key, part, seed, limits, tuple(hidden), old).rows()
    return Report(name, submission.student, next(iter(keys)), rows, edition=OLDER if old else "")


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
    holding = {}
    for named in ({*submission.answers, *submission.notes}, checks_in(submission.pieces)):
        holding = holding or {n: key for n, key in keys.items() if named & checked_in(key).keys()}
    return holding or {name: key for name, key in keys.items() if name == submission.chapter}


def older(submission: Submission, notebooks: Iterable[str]) -> bool:
    """True for a notebook whose digest says that it was handed out with other answer cells."""
    known = set()
    for notebook in notebooks:
        for path in (
            *SOLVED.glob(f"{notebook}_*.ipynb"),
            *SOLVED.parent.glob(f"{notebook}_*.ipynb"),
        ):
            about = nbformat.read(path, as_version=4).metadata.get("looplab", {})
            known.add(about.get("answers"))
    return bool(submission.edition) and submission.edition not in known


@functools.lru_cache(maxsize=64)
def own_answers_pass(notebook: str, seed: int):
    """Raise Unsound unless looplab's own answers pass with the inputs of this seed."""
    for task in exercises_in(notebook):
        verdict = judge(task, task.reference, seed)
        if verdict.kind != "passed":
            raise Unsound(f"looplab's own answer to {task.id} fails here: {verdict.mistake}")


class Marking:
    """The runs that one submission takes, and the rows they end in."""

    def __init__(self, key, submission, seed=0, limits=None, hidden=(), older=False):
        self.key, self.submission, self.older = key, submission, older
        self.settings = {"seed": seed, "limits": limits, "hidden": hidden}
        self.names = checked_in(key)
        self.given = given_by(map(as_cell, key.cells))
        self.new = renumbered(submission.pieces, self.names) if older else {}
        self.pieces = as_of_today(submission.pieces, self.new)

    def rows(self) -> tuple[Row, ...]:
        rows, found = {}, {}
        for exercise in self.names:
            ways = readings(exercise, self.pieces, self.given, self.older)
            if ways := [way for way in ways if len(way.source) <= LARGEST]:
                found[exercise] = ways
            else:
                rows[exercise] = self.unanswered(exercise)
        rows |= self.best(found)
        return tuple(self.told(rows[exercise]) for exercise in self.names)

    def unanswered(self, exercise: str) -> Row:
        """The row of an exercise that has nothing to run."""
        there = [one for one in self.pieces if one.exercise == exercise and one.kind == "code"]
        if any("todo" in one.source for one in there):  # the stub as it was handed out
            return Row(exercise, "not attempted")
        missing = "nothing is written in it" if there else "the answer cell is missing"
        return Row(exercise, "not attempted", self.submission.notes.get(exercise, missing))

    def told(self, row: Row) -> Row:
        """The row, with what an older edition has to do with it."""
        was = next((old for old, new in self.new.items() if new == row.exercise), "")
        why = [row.why] if row.why else []
        if was and row.result != "not yet":
            why.append(f"{OLDER}, where this was {was}")
        elif self.older and row.result in ("not attempted", "error"):  # a named mistake stays one
            why.append(OLDER)
        return replace(row, why=tidy("; ".join(why)))

    def best(self, found: dict[str, list[Reading]]) -> dict[str, Row]:
        """The rows of answers as they are best read; of one that fails, other copies are tried."""
        rows = self.judged({exercise: ways[0].source for exercise, ways in found.items()})
        for exercise, ways in found.items():
            for way in ways:
                first = way == ways[0]
                tried = rows[exercise] if first else self.alone(exercise, way.source)
                if tried.result == "passed":
                    rows[exercise] = replace(tried, why=way.remark)
                    break
        return rows

    def judged(self, answers: dict[str, str]) -> dict[str, Row]:
        """Run all answers together, then whatever another one may have spoilt again."""
        rows: dict[str, Row] = {}
        waiting = dict(answers)
        while waiting:
            ran = self.run(waiting)
            found = {exercise: self.mark(exercise, ran) for exercise in waiting}
            rows |= found
            # The first one to end the run is taken out, and those behind it get another.
            culprit = next((e for e in self.names if e in waiting and ended(e, ran)), None)
            if culprit is None:
                break
            if next(iter(waiting)) != culprit:
                # One before it may be to blame.
                rows[culprit] = self.alone(culprit, answers[culprit])
            waiting = {
                exercise: source
                for exercise, source in waiting.items()
                if exercise != culprit and exercise not in ran.verdicts
            }
        for exercise in self.spoilt(rows, answers):
            rows[exercise] = self.alone(exercise, answers[exercise])
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
            meddled = any(MEDDLES.search(answers[e]) for e in others)
            used = needs(statements(answers[exercise]))
            renamed = any((binds(answers[e]) - {self.names[e]}) & used for e in others)
            return leans or crowded or meddled or renamed

        return [exercise for exercise in failed if owes(exercise)]

    def alone(self, exercise: str, source: str) -> Row:
        """The row of one answer beside the solved chapter's own answers to the others."""
        return self.mark(exercise, self.run({exercise: source}))

    def mark(self, exercise: str, ran: Ran) -> Row:
        """The row of one exercise; of a name that was not found it says where that stands."""
        row, missing = mark(exercise, ran), outcome(exercise, ran).missing
        if row.result == "not attempted" and not row.why:
            return replace(row, why="what ran ended in todo(): the stub is still in the way")
        if row.result != "error" or not missing:
            return row
        told = whereabouts(missing, self.pieces, self.given)
        if not told and missing != self.names[exercise]:
            told = f"no code cell of this notebook defines `{missing}`"
        return replace(row, why="; ".join(filter(None, (row.why, told))))

    def run(self, answers: dict[str, str]) -> Ran:
        chapter = self.submission.chapter
        brief = without_explorations(self.key, answers)
        ran = run(transplant(brief, answers), chapter, **self.settings)
        if ran.set_up:  # imports took longer than a cell may, on a busy machine
            self.settings["limits"] = patient(self.settings["limits"] or Limits())
            ran = run(transplant(brief, answers), chapter, **self.settings)
        if ran.set_up:
            raise Unsound(f"the chapter's set-up cell does not run here: {tidy(ran.set_up)}")
        # A name may be needed that is not to be seen in the source.
        missing = _missing_names(ran) - set(self.names.values())
        more = without_explorations(self.key, answers, missing)
        if len(more.cells) > len(brief.cells):
            ran = run(transplant(more, answers), chapter, **self.settings)
        return ran


def patient(limits: Limits) -> Limits:
    return replace(limits, cell=4 * limits.cell, total=4 * limits.total)


def _missing_names(ran: Ran) -> set[str]:
    return {told.missing for told in (*ran.verdicts.values(), *ran.rows.values())} - {""}


def mark(exercise: str, ran: Ran) -> Row:
    """The row of one exercise; what is passed was judged outside of the learner's process."""
    verdict = outcome(exercise, ran)
    kind = KINDS[verdict.cause] if verdict.cause else "told" if verdict.told else ""
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
        return Verdict("error", row.error.split("\n")[0], {}, row.cause, row.missing)
    return Verdict("error", text, {}, cause)


def ended(exercise: str, ran: Ran) -> bool:
    """True where the run went no further than this exercise."""
    cause = outcome(exercise, ran).cause
    return cause == Cause.DIED if exercise in ran.verdicts else cause in ENDINGS


def tidy(text: str) -> str:
    """A learner's text in one line, not too long."""
    return printable(text)[:300].strip()
