"""What a notebook sees: a check in one line, and whose code the chapter runs on."""

import os
import sys
from typing import Any

from looplab.course import passport
from looplab.course.exercises.catalogue import exercise, exercises_in
from looplab.course.exercises.judge_socket import grader_address
from looplab.course.exercises.judging import SECONDS, Verdict, judge, say
from looplab.course.exercises.kinds import in_the_kind_of
from looplab.course.exercises.notebook_end import let_grader_judge
from looplab.course.exercises.owners import remember, whose
from looplab_nbval.payload import MIME

MODES = ("practice", "strict")


class CheckFailed(AssertionError):
    """Raised by `check` in strict mode."""


def check(id: str, answer: Any) -> Any:
    """Print one line on the answer and return it if it passes, looplab's own otherwise.

    Never raises in practice mode, whatever the answer does. LOOPLAB_MODE=strict raises
    CheckFailed unless the answer passes; LOOPLAB_SEED changes the inputs that are drawn.
    Raises ValueError for an id that no chapter has. While `looplab grade` runs the notebook the
    answer is judged outside, and is what is returned. What returns NumPy's arrays, or other floats
    than it was given, passes too, and comes back with its results converted.

    >>> check("00.1", lambda layers, loops: layers * loops)(3, 2)
    00.1 passed: layers in all
    6
    """
    if grader_address():
        print(let_grader_judge(id, answer, SECONDS))
        return answer
    task = exercise(id)
    mode = os.environ.get("LOOPLAB_MODE", "practice")
    if mode not in MODES:
        raise ValueError(f"LOOPLAB_MODE={mode!r}: expected one of {', '.join(MODES)}")
    seed = int(os.environ.get("LOOPLAB_SEED", "0"))
    if answer is task.reference:
        # What a check hands on when an answer fails: run twice, it would pass for the learner's.
        verdict = Verdict("not attempted", "", {})
        line = f"{id} not attempted: this is looplab's own answer, run your cell above first"
    else:
        verdict = judge(task, answer, seed)
        line = say(task, verdict)
    passed = verdict.kind == "passed"
    remember(id, "yours" if passed else "looplab's")
    if verdict.kind != "not attempted":
        passport.keep(id, passed)
    _show(line, id, verdict)
    if mode == "strict" and not passed:
        raise CheckFailed(line)
    if not passed:
        return task.reference
    return answer if verdict.like is None else in_the_kind_of(verdict.like, answer)


class Scoreboard:
    """Whose code the notebook ran on."""

    def __init__(self, notebook: str):
        self.rows = [(task.id, task.title, whose(task.id)) for task in exercises_in(notebook)]

    def __repr__(self):
        mine = sum(who == "yours" for _, _, who in self.rows)
        lines = [f"{id}  {title:32s} {who}" for id, title, who in self.rows]
        lines.append(f"{mine} of {len(self.rows)} exercises ran on your own code")
        lines.append("To keep your answers: from looplab import passport; passport.save()")
        return "\n".join(lines)


def scoreboard(notebook: str) -> Scoreboard:
    """Which exercises of this notebook, "03" or "05b", ran on the learner's code."""
    return Scoreboard(notebook)


def _show(line: str, id: str, verdict: Verdict):
    try:
        from IPython import get_ipython
    except ImportError:
        get_ipython = lambda: None  # noqa: E731
    if get_ipython() is None:
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        print(line.encode(encoding, "replace").decode(encoding))
        return
    from IPython.display import display

    payload = {
        "id": id,
        "verdict": verdict.kind,
        "mistake": verdict.mistake,
        "values": verdict.values,
    }
    display({"text/plain": line, MIME: payload}, raw=True)
