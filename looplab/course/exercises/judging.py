"""Judge an answer: run its exercise's probe on it and on the reference, and compare."""

from typing import Any, NamedTuple

from torch import Tensor

from looplab.basics.threads import use_threads
from looplab.course.exercises.account import account, raised_by_hand, writable
from looplab.course.exercises.catalogue import Exercise
from looplab.course.exercises.kinds import Heard, heard, rounding
from looplab.course.exercises.probing import Mistake, NotAttempted, todo
from looplab.course.exercises.sandbox import OutOfTime, guarded
from looplab_nbval.cause import Cause
from looplab_nbval.payload import close

SECONDS = 5.0  # a check of a right answer takes well under one


class Verdict(NamedTuple):
    """`kind` is "passed", "not yet", "not attempted" or "error"; `values` those of a pass.

    `cause` is that of an error, and `missing` the name that it did not find. `like` is a result of
    looplab's own answer where the results of one that passed are of another kind, else None.
    `told` is True for a mistake that a graded notebook's own process named.
    """

    kind: str
    mistake: str
    values: dict
    cause: Cause | None = None
    missing: str = ""
    like: Any = None
    told: bool = False


def judge(task: Exercise, answer: Any, seed: int = 0) -> Verdict:
    """Verdict on an answer; raises nothing of the learner's."""
    if answer is todo:
        return Verdict("not attempted", "", {})
    given, own = heard(answer), heard(task.reference)
    try:
        # Probes are tiny: on a busy machine more threads only wait for each other.
        with guarded(SECONDS), use_threads(1):
            values = task.probe(given, seed)
        with guarded(SECONDS), use_threads(1):
            return _compared(values, task.probe(own, seed), given, own)
    except NotAttempted:
        return Verdict("not attempted", "", {})
    except Mistake as mistake:
        # It has an account where it was raised in a notebook's own process.
        there = hasattr(mistake, "account")
        return Verdict("not yet", writable(str(mistake)), {}, told=there)
    except OutOfTime:
        text = f"no result after {SECONDS:.0f} seconds: is there a loop that never ends?"
        return Verdict("error", text, {}, Cause.TIME)
    except RecursionError:
        return Verdict("error", "the function calls itself without end", {}, Cause.EXCEPTION)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and not raised_by_hand(error):
            raise  # the learner's own stop button
        told = account(error)
        return Verdict("error", told.text, {}, told.cause, told.missing)


def _compared(values: dict, expected: dict, given: Any, own: Any) -> Verdict:
    coarse = rounding(values)
    values, expected = plain(values), plain(expected)
    if not close(values, expected, rtol=max(1e-3, 4 * coarse), atol=max(1e-5, 4 * coarse)):
        return Verdict("not yet", "the numbers differ from those of looplab's own answer", {})
    both = isinstance(given, Heard) and isinstance(own, Heard)
    like = own.last if both and given.differs_from(own.last) else None
    return Verdict("passed", "", values, like=like)


def say(task: Exercise, verdict: Verdict) -> str:
    """The one line that tells a learner."""
    return {
        "passed": f"{task.id} passed: {task.title}",
        "not attempted": f"{task.id} not attempted: {task.title} (looplab's own is used below)",
    }.get(verdict.kind, writable(f"{task.id} not yet: {verdict.mistake}"))


def plain(value: Any) -> Any:
    """Tensors and numbers as JSON, floats to six digits.

    >>> plain({"steps": (1.23456789, 2)})
    {'steps': [1.23457, 2]}
    """
    if isinstance(value, Tensor):
        return plain(value.tolist())
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.6g}")
    return value
