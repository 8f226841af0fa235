"""Judge an answer, say so in one line, and hand on something that works."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NamedTuple

from torch import Tensor

from looplab.course import passport
from looplab.course.exercises.judge_socket import desk
from looplab.course.exercises.notebook_end import offer
from looplab.course.exercises.probing import Mistake, NotAttempted, todo
from looplab.course.exercises.sandbox import OutOfTime, describe, guarded
from looplab.train.threads import use_threads
from looplab_nbval.payload import MIME, close

SECONDS = 5.0  # a check of a right answer takes well under one
MODES = ("practice", "strict")


class CheckFailed(AssertionError):
    """Raised by `check` in strict mode."""


@dataclass(frozen=True)
class Exercise:
    """One checked exercise.

    `probe(answer, seed)` raises Mistake or returns the numbers it computed with the answer, as a
    dict of tensors, numbers or lists; the same probe runs on the reference.
    """

    id: str  # chapter and number, "03.1"
    title: str
    reference: Any  # a function, or the value itself
    probe: Callable[[Any, int], dict]


class Verdict(NamedTuple):
    """`kind` is "passed", "not yet", "not attempted" or "error"; `values` those of a pass."""

    kind: str
    mistake: str
    values: dict


_whose: dict[str, str] = {}


def check(id: str, answer: Any) -> Any:
    """Print one line on the answer and return it if it passes, looplab's own otherwise.

    Never raises in practice mode, whatever the answer does. LOOPLAB_MODE=strict raises
    CheckFailed unless the answer passes; LOOPLAB_SEED changes the inputs that are drawn.
    Raises ValueError for an id that no chapter has. While `looplab grade` runs the notebook the
    answer is judged outside, and is what is returned.
    """
    if desk():
        print(offer(id, answer, SECONDS))
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
    _whose[id] = "yours" if passed else "looplab's"
    if verdict.kind != "not attempted":
        passport.keep(id, passed)
    _show(line, {"id": id, "verdict": verdict.kind, **verdict._asdict()})
    if mode == "strict" and not passed:
        raise CheckFailed(line)
    return answer if passed else task.reference


def say(task: Exercise, verdict: Verdict) -> str:
    """The one line that tells a learner."""
    return {
        "passed": f"{task.id} passed: {task.title}",
        "not attempted": f"{task.id} not attempted: {task.title} (looplab's own is used below)",
    }.get(verdict.kind, f"{task.id} not yet: {verdict.mistake}")


def judge(task: Exercise, answer: Any, seed: int = 0) -> Verdict:
    """Verdict on an answer; raises nothing of the learner's."""
    if answer is todo:
        return Verdict("not attempted", "", {})
    try:
        # Probes are tiny: on a busy machine more threads only wait for each other.
        with guarded(SECONDS), use_threads(1):
            values = plain(task.probe(answer, seed))
        with guarded(SECONDS), use_threads(1):
            expected = plain(task.probe(task.reference, seed))
    except NotAttempted:
        return Verdict("not attempted", "", {})
    except Mistake as mistake:
        return Verdict("not yet", str(mistake), {})
    except OutOfTime:
        text = f"no result after {SECONDS:.0f} seconds: is there a loop that never ends?"
        return Verdict("error", text, {})
    except RecursionError:
        return Verdict("error", "the function calls itself without end", {})
    except KeyboardInterrupt:
        raise  # the learner's own stop button
    except BaseException as error:
        return Verdict("error", describe(error), {})
    if not close(values, expected):
        return Verdict("not yet", "the numbers differ from those of looplab's own answer", {})
    return Verdict("passed", "", values)


def exercises(chapter: str) -> list[Exercise]:
    """The exercises of a chapter such as "03"; ValueError for a chapter without any."""
    try:
        return import_module(f"looplab.course.exercises.ch{chapter}").EXERCISES
    except ModuleNotFoundError:
        raise ValueError(f"chapter {chapter!r} has no exercises: is the number right?") from None


def exercise(id: str) -> Exercise:
    """The exercise with this id; ValueError naming the known ones."""
    known = exercises(str(id).split(".")[0])
    for task in known:
        if task.id == id:
            return task
    raise ValueError(f"no exercise {id!r}: known are {', '.join(task.id for task in known)}")


def whose(id: str) -> str:
    """ "yours" once your answer to this exercise passed here, "looplab's" until then."""
    return _whose.get(str(id) if desk() else exercise(id).id, "looplab's")


class Scoreboard:
    """Whose code the chapter ran on."""

    def __init__(self, chapter: str):
        self.rows = [(task.id, task.title, whose(task.id)) for task in exercises(chapter)]

    def __repr__(self):
        mine = sum(who == "yours" for _, _, who in self.rows)
        lines = [f"{id}  {title:32s} {who}" for id, title, who in self.rows]
        lines.append(f"{mine} of {len(self.rows)} exercises ran on your own code")
        lines.append("To keep your answers: from looplab import passport; passport.save()")
        return "\n".join(lines)


def scoreboard(chapter: str) -> Scoreboard:
    """Which exercises of this chapter ran on the learner's code, and which on looplab's."""
    return Scoreboard(chapter)


def plain(value: Any) -> Any:
    """Tensors and numbers as JSON, floats to six digits."""
    if isinstance(value, Tensor):
        return plain(value.tolist())
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.6g}")
    return value


def _show(line: str, payload: dict):
    try:
        from IPython import get_ipython
    except ImportError:
        get_ipython = lambda: None  # noqa: E731
    if get_ipython() is None:
        print(line)
        return
    from IPython.display import display

    payload.pop("kind", None)
    display({"text/plain": line, MIME: payload}, raw=True)
