"""What is told of an exception: a line for people, and its cause for programs."""

import re
import traceback
from dataclasses import dataclass

from looplab.course.exercises.judge_socket import Refused
from looplab.course.exercises.sandbox import OutOfTime
from looplab_nbval.cause import Cause

# Torch has no type for memory that it cannot get: how its allocator on the CPU begins tells it.
ALLOCATOR = re.compile(r"\[enforce fail at alloc_cpu\.cpp:\d+\] ")


@dataclass(frozen=True)
class Account:
    """`missing` is the name that a NameError did not find."""

    text: str
    cause: Cause
    missing: str = ""


def account(error: BaseException) -> Account:
    """The account of an exception; one from another process brings that process's along.

    >>> account(NameError("name 'x' is not defined", name="x"))
    Account(text="NameError: name 'x' is not defined", cause=<Cause.EXCEPTION: 'exception'>, \
missing='x')
    """
    if isinstance(own := getattr(error, "account", None), Account):
        return own
    missing = error.name if isinstance(error, NameError) else None
    return Account(describe(error), cause_of(error), missing if isinstance(missing, str) else "")


def cause_of(error: BaseException) -> Cause:
    """The cause that the type of an exception tells.

    >>> cause_of(MemoryError()), cause_of(ValueError("no MemoryError"))
    (<Cause.MEMORY: 'memory'>, <Cause.EXCEPTION: 'exception'>)
    """
    if type(error) is RuntimeError and ALLOCATOR.match(str(error)):
        return Cause.MEMORY
    types = {
        OutOfTime: Cause.TIME,
        MemoryError: Cause.MEMORY,
        SystemExit: Cause.EXIT,
        Refused: Cause.REFUSED,
    }
    return next((c for kind, c in types.items() if isinstance(error, kind)), Cause.EXCEPTION)


def describe(error: BaseException) -> str:
    """'ValueError: ... (line 4 of your code: x = y)', the innermost line outside this library."""
    text = str(error).strip().split("\n")[0][:160]
    said = f"{type(error).__name__}: {text}" if text else type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "looplab" not in f.filename and "torch" not in f.filename]
    if not own:
        return said
    line = f": {own[-1].line.strip()}" if own[-1].line else ""
    return f"{said} (line {own[-1].lineno} of your code{line})"
