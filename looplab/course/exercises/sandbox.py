"""Run a learner's code so that nothing it does reaches the rest of the notebook.

This guards against accidents, not against malice: a grader runs in a process of its own.
"""

import contextlib
import ctypes
import functools
import inspect
import io
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import numpy
import torch

BUSY = 4  # how many seconds of the wall one of the processor may take
LONGEST_IMPORT = 60.0  # seconds for which an import is waited for
GREEDY = 2**30  # bytes that no exercise takes
AGAIN = 0.2  # seconds from one attempt to stop a code to the next
STUBBORN = 3.0  # seconds after which a code that goes on counts as one that cannot be stopped
STUCK = (
    "Your function runs on and cannot be stopped: an `except:` without a name catches everything, "
    "the stop button too. Restart the kernel, and write `except Exception:` or a narrower one."
)


class OutOfTime(BaseException):
    """Not an Exception, so that `except Exception` in an endless loop does not swallow it."""


@contextlib.contextmanager
def guarded(seconds: float):
    """Restore random state and torch settings, keep prints away, and stop after `seconds`.

    Raises OutOfTime when the time is up, MemoryError where that was for want of memory, and tells
    what to do about code that cannot be stopped.
    """
    told = functools.partial(print, STUCK, file=sys.stderr, flush=True)
    with state_kept(), greed_told(), time_limit(seconds, told):
        yield


@contextlib.contextmanager
def greed_told():
    """Raise MemoryError for OutOfTime where more than GREEDY bytes of memory were taken meanwhile.

    What fills the memory takes time too, and often more of it than there is.
    """
    most, now = _most_memory(), _memory()
    try:
        yield
    except OutOfTime:
        # The most does not grow where this process had more once; and what the code has taken is
        # still there, as long as what it raised holds its frames.
        taken = max(_most_memory() - most, _memory() - now)
        if taken < GREEDY:
            raise
        text = f"it had taken {taken / 1e9:.1f} GB of memory when its time was up"
        raise MemoryError(text) from None


def _most_memory() -> int:
    """Bytes that this process has had at most; 0 where that is not told (Windows)."""
    try:
        import resource
    except ImportError:
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _memory() -> int:
    """Bytes that this process has now; 0 where that is not told (not Linux)."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


@contextlib.contextmanager
def state_kept():
    """Restore random state and torch settings at the end, and keep prints away."""
    python_random, numpy_random = random.getstate(), numpy.random.get_state()
    grad, dtype = torch.is_grad_enabled(), torch.get_default_dtype()
    threads = torch.get_num_threads()
    quiet = io.StringIO()
    try:
        with (
            torch.random.fork_rng(devices=[]),
            contextlib.redirect_stdout(quiet),
            contextlib.redirect_stderr(quiet),
        ):
            yield
    finally:
        random.setstate(python_random)
        numpy.random.set_state(numpy_random)
        torch.set_grad_enabled(grad)
        torch.set_default_dtype(dtype)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


class _Clock:
    """Says when the time is up; asked again and again once it may be.

    Seconds are the processor's, so that a busy machine stops nothing that is right, and at most
    BUSY times as many of the wall's.
    """

    def __init__(self, seconds: float):
        self.seconds, self.last = seconds, time.monotonic() + LONGEST_IMPORT
        self.begin()

    def begin(self):
        self.wall, self.processor = time.monotonic(), time.process_time()

    def is_over(self, frame: FrameType | None) -> bool:
        if time.monotonic() < self.last and _imports(frame):
            self.begin()
        used = time.process_time() - self.processor
        return max(used, (time.monotonic() - self.wall) / BUSY) >= self.seconds


def _imports(frame: FrameType | None) -> bool:
    """True if this frame runs inside an import."""
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


@contextlib.contextmanager
def time_limit(seconds: float, stuck: Callable[[], None] | None = None):
    """Raise OutOfTime in this thread after these seconds, again and again until the block is left.

    An import that is under way is waited for, and the time begins again behind it: half done it
    would stay broken, and some of torch's take seconds. Code that catches what is raised and goes
    on is asked where it does not catch; `stuck` is called once where that does not help either.
    """
    main = threading.current_thread() is threading.main_thread()
    clock, attempts = _Clock(seconds), 0

    def attempt():
        """Count one more; True where the code has caught one before."""
        nonlocal attempts
        attempts += 1
        if stuck and attempts == round(STUBBORN / AGAIN):
            stuck()
        return attempts > 1

    if main and hasattr(signal, "setitimer"):
        outer, tracing = _frames(inspect.currentframe()), sys.gettrace()

        def ring(number, frame):
            if clock.is_over(frame):
                if attempt():
                    _raise_at_next_line(frame, outer)
                raise OutOfTime

        before = signal.signal(signal.SIGALRM, ring)
        try:
            signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN)
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
            if attempts > 1:
                sys.settrace(tracing)
        return

    # No alarm here (Windows, or not the main thread): another thread throws the exception in.
    over, number = threading.Event(), threading.get_ident()
    this = ctypes.c_ulong(number)

    def throw():
        if over.wait(seconds):
            return
        while not over.is_set():
            if clock.is_over(sys._current_frames().get(number)):
                attempt()
                ctypes.pythonapi.PyThreadState_SetAsyncExc(this, ctypes.py_object(OutOfTime))
            over.wait(AGAIN)

    watch = threading.Thread(target=throw, daemon=True)
    watch.start()
    try:
        yield
    finally:
        over.set()
        watch.join()
        ctypes.pythonapi.PyThreadState_SetAsyncExc(this, None)  # one may still be on its way


def _frames(frame: FrameType | None) -> list[FrameType]:
    """This frame and those that called it."""
    found = []
    while frame is not None:
        found.append(frame)
        frame = frame.f_back
    return found


def _raise_at_next_line(frame: FrameType, outer: list[FrameType]):
    """Raise OutOfTime at the next line of the frames inside of `outer`: at first, `except:` itself.

    An alarm nearly always rings inside of a `try`; what is raised behind its `except` leaves it.
    """

    def trace(frame, event, argument):
        if event == "line":
            raise OutOfTime
        return trace

    for one in _frames(frame):
        if not any(one is known for known in outer):
            one.f_trace = trace
    sys.settrace(lambda *_: None)
