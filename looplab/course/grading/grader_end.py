"""The grader's end of the checks of a running notebook: here they are judged, outside of it."""

import contextlib
import functools
import socket
import struct
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import cloudpickle
import psutil

from looplab.course.exercises.account import Account
from looplab.course.exercises.catalogue import exercises
from looplab.course.exercises.judge_socket import Refused, decode, listen, loads, receive, send
from looplab.course.exercises.judging import SECONDS, Verdict, judge, say
from looplab.course.exercises.notebook_end import CARRIED, name_of
from looplab.course.exercises.probing import Elsewhere, Mistake, todo
from looplab.course.exercises.sandbox import BUSY, OutOfTime, time_limit
from looplab.course.exercises.sentences import says
from looplab_nbval.cause import Cause, read_cause


class Gone(RuntimeError):
    """The notebook's process ended in the middle of a check."""

    account = Account("the kernel ended while this check was running", Cause.DIED)


class InNotebook(Elsewhere):
    """A learner's function, called over there with arguments made here.

    `says(text)` is True for the words of a mistake that a check may have named over there.
    """

    def __init__(self, notebook: socket.socket, says: Callable[[str], bool] = bool):
        self._notebook, self._says = notebook, says

    def run(self, driver, *arguments):
        try:
            send(self._notebook, b"?" + cloudpickle.dumps((driver, arguments)))
            told = loads(receive(self._notebook))
        except TimeoutError:
            raise OutOfTime from None
        except OSError:
            raise Gone from None
        if "raised" in told:
            error = as_error(told)
            if isinstance(error, Mistake) and not self._says(str(error)):
                error = as_error(told | {"raised": RuntimeError.__name__})
            raise error
        return decode(told.get("returned"))


def as_error(told: dict) -> BaseException:
    """The exception that a notebook's `as_message` tells of, with its account."""
    error = CARRIED.get(str(told["raised"]), RuntimeError)(str(told.get("text", "")))
    text, missing = (str(told.get(key, ""))[:500] for key in ("told", "missing"))
    error.account = Account(text, read_cause(told.get("cause")), missing)
    return error


class GraderEnd:
    """Judges what a notebook offers; `verdicts` holds the first verdict on each exercise.

    `ready` is True once the notebook's own set-up has run, before any of a learner's code.
    """

    def __init__(self, folder: Path, chapter: str, seed: int):
        self.server, self.address = listen(folder)
        self.tasks = {task.id: task for task in exercises(chapter[:2])}
        self.seed = seed
        self.verdicts: dict[str, Verdict] = {}
        self.ready = False
        # Probes and what they send along are not in the learner's looplab, so they go by value.
        checks = import_module(f"looplab.course.exercises.ch{chapter[:2]}")
        cloudpickle.register_pickle_by_value(checks)
        self.says = functools.partial(says, Path(checks.__file__))

    def serve(self, seconds: float, run: int | None = None):
        """Judge one answer, if one is offered within these seconds.

        `run` is the process id of the run that this is the grader of: what comes from a process
        outside of its family, such as another submission, is not listened to, where the system
        tells who calls (Linux).
        """
        self.server.settimeout(seconds)
        with contextlib.suppress(TimeoutError):
            client, _ = self.server.accept()
            with client, contextlib.suppress(OSError, Refused, OutOfTime):
                if run is not None and not _belongs(client, run):
                    return
                client.settimeout(BUSY * SECONDS)
                with time_limit(SECONDS):
                    about = loads(receive(client))
                self._judge(client, about)

    def _judge(self, notebook: socket.socket, about: dict[str, Any]):
        if about.get("ready") is True:
            self.ready = True
            return
        task = self.tasks.get(str(about.get("ex")))
        if task is None or task.id in self.verdicts:
            return
        if about.get("name") == name_of(task.reference):
            verdict = Verdict("not attempted", "this is looplab's own function", {})
        else:
            answer = InNotebook(notebook, self.says) if about.get("callable") else None
            if about.get("todo"):
                answer = todo
            elif answer is None:
                answer = decode(about.get("answer"))
            verdict = judge(task, answer, self.seed)
        self.verdicts[task.id] = verdict
        send(notebook, b"!" + say(task, verdict).encode("utf-8", "replace"))

    def close(self):
        self.server.close()


def _belongs(client: socket.socket, run: int) -> bool:
    """True where the process that called is `run` or stems from it, or where none can tell."""
    if not hasattr(socket, "SO_PEERCRED") or client.family != socket.AF_UNIX:
        return True
    told = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid = struct.unpack("3i", told)[0]
    try:
        return pid > 0 and run in (pid, *(one.pid for one in psutil.Process(pid).parents()))
    except psutil.Error:
        return False  # it has gone already
