"""Grade one submission; every failure ends in a Report, none is raised."""

import copy
import functools
import json
import re
from dataclasses import dataclass
from pathlib import Path

import nbformat

from looplab.build import ROOT
from looplab.grading.running import Limits, run
from looplab.grading.submission import Submission, Unreadable, is_stub, read
from looplab_nbval.payload import MIME

SOLVED = ROOT / "chapters" / "solved"
# Names by which an answer could reach looplab's own answers or the machinery that judges it.
FORBIDDEN = re.compile(
    r"looplab\.exercises\.(?!\s)|EXERCISES|\.reference\b|_getframe|currentframe|chapters/solved"
)
# An answer that sets something outside itself may change what others compute.
MEDDLES = re.compile(
    r"^[ \t]*(?:torch|looplab|measure|np|numpy|builtins|sys)\.[\w.]+\s*=[^=]"
    r"|setattr\(|sys\.modules|get_ipython|__dict__|\bglobals\(",
    re.M,
)


@dataclass(frozen=True)
class Row:
    """The mark of one exercise.

    result: "passed", "not yet", "not attempted" or "error"; why: the named mistake or what went
    wrong; kind: of an error ("time", "memory", "ended", "exception", "source", "checker").
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


def grade(file: Path, seed: int = 0, limits: Limits | None = None) -> Report:
    """Grade one notebook with inputs drawn from `seed`."""
    file = Path(file)
    try:
        submission = read(file)
    except Unreadable as error:
        return Report(str(file), file.stem, "", problem=str(error))
    key = next(iter(sorted(SOLVED.glob(f"{submission.chapter}_*.ipynb"))), None)
    if not submission.chapter or key is None:
        problem = "it is no chapter of this course that is known"
        return Report(str(file), submission.student, submission.chapter, problem=problem)
    rows = judge_all(submission, reference(key, seed), seed, limits)
    return Report(str(file), submission.student, submission.chapter, rows)


@functools.lru_cache(maxsize=64)
def reference(key: Path, seed: int):
    """The solved chapter, its checks holding looplab's own numbers for the seed."""
    from looplab.exercises import exercise, judge

    notebook = nbformat.read(key, as_version=4)
    for cell in notebook.cells:
        if role(cell) == "check":
            id = cell.metadata["looplab"]["ex"]
            task = exercise(id)
            verdict = judge(task, task.reference, seed)
            if verdict.kind != "passed":
                raise RuntimeError(f"looplab's own answer to {id} fails here: {verdict.mistake}")
            payload = {"id": id, "verdict": "passed", "values": verdict.values}
            cell.outputs = [nbformat.v4.new_output("display_data", {MIME: payload})]
            cell.execution_count = 1
    return notebook


def judge_all(submission: Submission, key, seed: int, limits: Limits | None) -> tuple[Row, ...]:
    exercises = [cell.metadata["looplab"]["ex"] for cell in key.cells if role(cell) == "check"]
    rows, answers = {}, {}
    for exercise in exercises:
        source = submission.answers.get(exercise)
        if source is None:
            why = submission.notes.get(exercise, "the answer cell is missing")
            rows[exercise] = Row(exercise, "not attempted", why)
        elif is_stub(source):
            rows[exercise] = Row(exercise, "not attempted")
        elif reaches := FORBIDDEN.search(source):
            why = f"the answer reaches for looplab's own answers ({reaches[0].strip()})"
            rows[exercise] = Row(exercise, "error", why, "source")
        else:
            answers[exercise] = source
    if not answers:
        return tuple(rows[exercise] for exercise in exercises)

    brief = without_explorations(key)
    first, stopped = run(transplant(brief, answers), limits, seed)
    if _missing_names(first) - _checked_names(key):
        brief = key  # an answer may lean on a name that only the whole chapter defines
        first, stopped = run(transplant(brief, answers), limits, seed)
    judged = {exercise: judge_one(exercise, first, stopped) for exercise in answers}
    doubtful = [e for e in answers if judged[e].result == "error" or e not in first]
    meddled = doubtful or any(MEDDLES.search(source) for source in answers.values())
    spoilt = [e for e in answers if judged[e].result == "not yet"] if meddled else []
    if len(answers) > 1:
        # One answer may have spoilt what came after it: each gets a run of its own.
        for exercise in [*doubtful, *spoilt]:
            alone, stopped = run(transplant(brief, {exercise: answers[exercise]}), limits, seed)
            judged[exercise] = judge_one(exercise, alone, stopped)
    rows |= judged
    return tuple(rows[exercise] for exercise in exercises)


def _missing_names(rows: dict[str, dict]) -> set[str]:
    return set(re.findall(r"NameError: name '(\w+)' is not defined", json.dumps(rows)))


def _checked_names(key) -> set[str]:
    """What the answers define: `name = check("03.1", name)`."""
    return {cell.source.split("=")[0].strip() for cell in key.cells if role(cell) == "check"}


def judge_one(exercise: str, rows: dict[str, dict], stopped: str) -> Row:
    row = rows.get(exercise)
    if row is None:
        why = stopped or "the run ended before this check"
        return Row(exercise, "error", why, _kind(why))
    payload = row.get("payload") or {}
    verdict = payload.get("verdict")
    if row.get("ok") and row.get("role") == "check":
        return Row(exercise, "passed")
    if verdict in ("not attempted", "not yet"):
        return Row(exercise, verdict, str(payload.get("mistake", "")))
    if verdict == "error":
        why = str(payload.get("mistake", ""))
        return Row(exercise, "error", why, _kind(why))
    if verdict == "passed":
        return Row(exercise, "not yet", "the numbers differ from those of looplab's own answer")
    why = (row.get("error") or "no check was shown").split("\n")[0][:200]
    kind = "checker" if row.get("role") == "check" and not row.get("error") else _kind(why)
    return Row(exercise, "error", why, kind)


def _kind(why: str) -> str:
    for kind, signs in {
        "time": ("no result after", "seconds"),
        "memory": ("MemoryError", "not enough memory", "can't allocate"),
        "ended": ("kernel", "the run ended", "SystemExit", "processes", "bytes of output"),
        "checker": ("check payload", "no check was shown"),
    }.items():
        if any(sign in why for sign in signs):
            return kind
    return "exception"


def without_explorations(notebook):
    """Set-up, answers and checks only: training and figures change no mark."""
    kept = copy.copy(notebook)
    kept.cells = [
        cell for cell in notebook.cells if cell.id == "set-up" or role(cell) in ("answer", "check")
    ]
    return kept


def transplant(key, answers: dict[str, str]):
    """The solved chapter with these answers in place of its own."""
    notebook = copy.deepcopy(key)
    for cell in notebook.cells:
        if role(cell) == "answer":
            cell.source = answers.get(cell.metadata["looplab"]["ex"], cell.source)
    return notebook


def role(cell) -> str:
    return cell.metadata.get("looplab", {}).get("role", "")
