"""The notebook's side of a graded check: the answer runs here, and is judged outside.

The grader sends what an answer is to be called with, and the small functions that call it. Its own
answers and its checks never enter this process, so there is nothing here to look up or to patch.
"""

import importlib.abc
import pickle
import re
import sys

from looplab.course.exercises import judge_socket
from looplab.course.exercises.probing import Mistake, NotAttempted, todo
from looplab.course.exercises.sandbox import describe, state_kept, time_limit
from looplab.train.threads import use_threads


def offer(id: str, answer, seconds: float) -> str:
    """Let the grader call this answer until it has judged it; returns its line."""
    with judge_socket.connect(judge_socket.desk()) as grader, state_kept(), use_threads(1):
        about = {"ex": str(id), "todo": answer is todo, "callable": callable(answer)}
        about["name"] = name_of(answer)
        judge_socket.send(
            grader, judge_socket.dumps(about | {"answer": judge_socket.encode(answer)})
        )
        while True:
            asked = judge_socket.receive(grader)
            if asked[:1] == b"!":
                return asked[1:].decode()
            judge_socket.send(grader, judge_socket.dumps(_run(answer, asked[1:], seconds)))


def name_of(answer) -> str:
    """Where an answer was defined, such as "looplab.measure.convergence.step_size"."""
    return f"{getattr(answer, '__module__', '')}.{getattr(answer, '__qualname__', '')}"


def _run(answer, asked: bytes, seconds: float) -> dict:
    """What a driver of the grader's returns with this answer, or what was raised."""
    try:
        # Pickle executes what it reads: these bytes come from the grader that started us.
        driver, arguments = pickle.loads(asked)
        with time_limit(seconds):
            told = {"returned": judge_socket.encode(driver(answer, *arguments))}
        return (
            told
            if len(judge_socket.dumps(told)) < judge_socket.LARGEST
            else _raised(judge_socket.Refused("too much"))
        )
    except KeyboardInterrupt:
        raise  # the limit of the whole cell
    except BaseException as error:
        return _raised(error)


def _raised(error: BaseException) -> dict:
    known = (Mistake, NotAttempted)
    text = str(error) if isinstance(error, known) else describe(error)
    return {"raised": type(error).__name__, "text": str(error)[:500], "told": text[:500]}


class _Absent(importlib.abc.MetaPathFinder):
    """looplab's own answers, which a notebook that is being graded does without."""

    def find_spec(self, name, path, target=None):
        if re.fullmatch(r"looplab\.course\.exercises\.ch\d\d", name):
            raise ImportError(f"{name} is not there while a notebook is graded", name=name)


if judge_socket.desk():
    sys.meta_path.insert(0, _Absent())
