"""Ctrl-C (or a notebook's stop button) that lets the step in hand finish."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Stop:
    """Becomes true when the user asks to stop."""

    def __init__(self):
        self.asked = False

    def __bool__(self) -> bool:
        return self.asked


@contextmanager
def stop_on_interrupt() -> Iterator[Stop]:
    """Turn the first interrupt into a flag; a second one raises KeyboardInterrupt at once.

    Signals reach only the main thread; elsewhere the flag simply never rises.
    """
    stop = Stop()
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before is None:
        yield stop
        return

    def on_interrupt(number, frame):
        if stop.asked:
            raise KeyboardInterrupt
        stop.asked = True

    signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
