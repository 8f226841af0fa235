"""The notebook's end of a graded check: the answer runs here, and is judged at the grader's end.

The grader sends what an answer is to be called with, and the small functions that call it. Its own
answers and its checks never enter this process, so there is nothing here to look up or to patch.
"""

import importlib.abc
import os
import pickle
import re
import sys
from collections.abc import Callable

from looplab.basics.threads import use_threads
from looplab.course.exercises.account import account, raised_by_hand, words_of
from looplab.course.exercises.judge_socket import (
    LARGEST,
    Refused,
    connect,
    dumps,
    encode,
    grader_address,
    receive,
    send,
)
from looplab.course.exercises.probing import Mistake, NotAttempted, todo
from looplab.course.exercises.sandbox import OutOfTime, greed_told, state_kept, time_limit

# What an answer may raise that a probe or `judge` looks for: the grader raises the same.
ERRORS = (TypeError, ValueError, RuntimeError, AttributeError, IndexError, KeyError, MemoryError)
SPECIAL = (Mistake, NotAttempted, OutOfTime, RecursionError)
CARRIED = {kind.__name__: kind for kind in (*SPECIAL, *ERRORS)}


def let_grader_judge(id: str, answer, seconds: float) -> str:
    """Call this answer as the grader asks, until it has judged it; returns its line.

    Raises ConnectionError where the grader hangs up without a line.
    """
    with connect(grader_address()) as grader, state_kept(), use_threads(1):
        about = {
            "ex": str(id),
            "todo": answer is todo,
            "callable": callable(answer),
            "name": name_of(answer),
            "answer": encode(answer),
        }
        send(grader, dumps(about))

        def give_up():
            # It cannot be stopped, and nothing behind it can run: other answers get another run.
            send(grader, dumps(as_message(OutOfTime())))
            os._exit(1)

        while True:
            asked = receive(grader)
            if asked[:1] == b"!":
                return asked[1:].decode()
            send(grader, dumps(_run(answer, asked[1:], seconds, give_up)))


def name_of(answer) -> str:
    """Where an answer was defined.

    >>> from looplab import measure
    >>> name_of(measure.step_size)
    'looplab.measure.convergence.step_size'
    """
    return f"{getattr(answer, '__module__', '')}.{getattr(answer, '__qualname__', '')}"


def _run(answer, asked: bytes, seconds: float, give_up: Callable[[], None]) -> dict:
    """What a driver of the grader's returns with this answer, or what was raised."""
    try:
        # Pickle executes what it reads: these bytes come from the grader that started us.
        driver, arguments = pickle.loads(asked)
        with greed_told(), time_limit(seconds, give_up):
            told = {"returned": encode(driver(answer, *arguments))}
        return told if len(dumps(told)) < LARGEST else as_message(Refused("too much"))
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and not raised_by_hand(error):
            raise  # the limit of the whole cell
        return as_message(error)


def as_message(error: BaseException) -> dict:
    """An exception as plain values: the nearest type that travels, its text and its account."""
    told = account(error)
    known = (name for kind in type(error).__mro__ for name in CARRIED if kind is CARRIED[name])
    return {
        "raised": next(known, RuntimeError.__name__),
        "text": words_of(error),
        "told": told.text[:500],
        "cause": told.cause,
        "missing": told.missing[:500],
    }


def tell_ready():
    """Tell the grader that a notebook's set-up has run."""
    with connect(grader_address()) as grader:
        send(grader, dumps({"ready": True}))


class _Absent(importlib.abc.MetaPathFinder):
    """looplab's own answers, which a notebook that is being graded does without."""

    def find_spec(self, name, path, target=None):
        if re.fullmatch(r"looplab\.course\.exercises\.(ch\d\d|solutions)", name):
            raise ImportError(f"{name} is not there while a notebook is graded", name=name)


def hide_checks():
    """Checks and solutions cannot be imported from here on: the first cell of a graded notebook."""
    sys.meta_path.insert(0, _Absent())
