"""Printing that never ends a program: what cannot be shown, or is not read on, is left out."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def steady_output() -> Iterator[None]:
    """In this block nothing printed raises, so that what a program writes to files comes first.

    A character that the terminal's encoding lacks is shown as ?, and where nobody reads on
    (`| head`) or the disk is full, the rest is dropped; of a full disk the last line says so.

    >>> with steady_output():
    ...     print("ann")
    ann
    """
    before = sys.stdout, sys.stderr
    # None where a program was started without the stream: print does nothing then.
    sys.stdout, sys.stderr = (stream and _Steady(stream) for stream in before)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, _Steady):
                stream.flush()
        sys.stdout, sys.stderr = before


class _Steady:
    """A text stream whose write and flush do not raise what printing can meet."""

    def __init__(self, stream):
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with self._quiet():
            try:
                self._stream.write(text)
            except UnicodeEncodeError:
                told = self._stream.encoding or "ascii"
                self._stream.write(text.encode(told, "replace").decode(told))
        return len(text)

    def writelines(self, lines):
        for line in lines:
            self.write(line)

    def flush(self):
        with self._quiet():
            self._stream.flush()

    @contextlib.contextmanager
    def _quiet(self):
        try:
            yield
        except (OSError, ValueError) as error:  # ValueError: the stream is closed
            self._give_up(error)

    def _give_up(self, error: Exception):
        # What is left in the stream's own buffer would raise again, at the latest at the end.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
        full = isinstance(error, OSError) and not isinstance(error, BrokenPipeError)
        if full and error.strerror and self._stream is not sys.__stderr__ and sys.__stderr__:
            with contextlib.suppress(OSError, ValueError):
                sys.__stderr__.write(f"looplab: this cannot be printed ({error.strerror})\n")
