"""Where the checks of a running notebook are judged: outside of it."""

import contextlib
import socket
from importlib import import_module
from pathlib import Path
from typing import Any

import cloudpickle

from looplab.course.exercises import (
    Mistake,
    NotAttempted,
    exercises,
    judge,
    judge_socket,
    notebook_end,
    todo,
)
from looplab.course.exercises.checking import SECONDS, Verdict, say
from looplab.course.exercises.probing import Elsewhere
from looplab.course.exercises.sandbox import OutOfTime, time_limit

# What a learner's function may raise that a probe or `judge` looks for.
ERRORS = (TypeError, ValueError, RuntimeError, AttributeError, IndexError, KeyError, MemoryError)
SPECIAL = (Mistake, NotAttempted, OutOfTime, RecursionError)
KNOWN = {kind.__name__: kind for kind in (*SPECIAL, *ERRORS)}


class Gone(RuntimeError):
    """The notebook's process ended in the middle of a check."""

    told = "the kernel ended while this check was running"


class InNotebook(Elsewhere):
    """A learner's function, called over there with arguments made here."""

    def __init__(self, notebook: socket.socket):
        self._notebook = notebook

    def run(self, driver, *arguments):
        try:
            judge_socket.send(self._notebook, b"?" + cloudpickle.dumps((driver, arguments)))
            told = judge_socket.loads(judge_socket.receive(self._notebook))
        except TimeoutError:
            raise OutOfTime from None
        except OSError:
            raise Gone from None
        if "raised" in told:
            raise _error(told)
        return judge_socket.decode(told.get("returned"))


def _error(told: dict) -> BaseException:
    kind = KNOWN.get(str(told["raised"]), RuntimeError)
    error = kind(str(told.get("text", "")))
    error.told = str(told.get("told", ""))[:500]
    return error


class Desk:
    """Judges what a notebook offers; `verdicts` holds the first verdict on each exercise."""

    def __init__(self, folder: Path, chapter: str, seed: int):
        self.server, self.address = judge_socket.listen(folder)
        self.tasks = {task.id: task for task in exercises(chapter)}
        self.seed = seed
        self.verdicts: dict[str, Verdict] = {}
        # Probes and what they send along are not in the learner's looplab, so they go by value.
        cloudpickle.register_pickle_by_value(import_module(f"looplab.course.exercises.ch{chapter}"))

    def serve(self, seconds: float):
        """Judge one answer, if one is offered within these seconds."""
        self.server.settimeout(seconds)
        with contextlib.suppress(TimeoutError):
            client, _ = self.server.accept()
            with client, contextlib.suppress(OSError, judge_socket.Refused, OutOfTime):
                client.settimeout(SECONDS)
                with time_limit(SECONDS):
                    about = judge_socket.loads(judge_socket.receive(client))
                self._judge(client, about)

    def _judge(self, notebook: socket.socket, about: dict[str, Any]):
        task = self.tasks.get(str(about.get("ex")))
        if task is None or task.id in self.verdicts:
            return
        own = notebook_end.name_of(task.reference)
        if about.get("name") == own:
            verdict = Verdict("not attempted", "this is looplab's own function", {})
        else:
            answer = InNotebook(notebook) if about.get("callable") else None
            if about.get("todo"):
                answer = todo
            elif answer is None:
                answer = judge_socket.decode(about.get("answer"))
            verdict = judge(task, answer, self.seed)
        self.verdicts[task.id] = verdict
        judge_socket.send(notebook, b"!" + say(task, verdict).encode("utf-8", "replace"))

    def close(self):
        self.server.close()
