"""What is told of an exception: a line for people, and its cause for programs."""

import re
import traceback
from dataclasses import dataclass
from opcode import opmap

from looplab.course.exercises.judge_socket import Refused, Unheard
from looplab.course.exercises.sandbox import OutOfTime, time_limit
from looplab_nbval.cause import Cause

# Torch has no type for memory that it cannot get: how its allocator on the CPU begins tells it.
ALLOCATOR = re.compile(r"\[enforce fail at alloc_cpu\.cpp:\d+\] ")
SECONDS = 1.0  # an exception is a learner's too: what it says of itself may take for ever


@dataclass(frozen=True)
class Account:
    """`missing` is the name that a NameError did not find."""

    text: str
    cause: Cause
    missing: str = ""


def account(error: BaseException) -> Account:
    """The account of an exception; one from another process brings that process's along.

    Raises nothing, whatever the exception does when it is asked.

    >>> account(NameError("name 'x' is not defined", name="x"))
    Account(text="NameError: name 'x' is not defined", cause=<Cause.EXCEPTION: 'exception'>, \
missing='x')
    """
    try:
        with time_limit(SECONDS):
            if isinstance(own := getattr(error, "account", None), Account):
                return own
            missing = error.name if isinstance(error, NameError) else None
            missing = str(missing) if isinstance(missing, str) else ""
            return Account(describe(error), cause_of(error), missing)
    except BaseException:
        return Account("an exception that cannot be told", Cause.EXCEPTION)


def words_of(error: BaseException) -> str:
    """What an exception says, "" where it says nothing in time; raises nothing."""
    try:
        with time_limit(SECONDS):
            return writable(str(error)[:500])
    except BaseException:
        return ""


def writable(text: str) -> str:
    r"""The text with "?" for what no file can hold.

    >>> writable("ü \ud800")
    'ü ?'
    """
    return text.encode("utf-8", "replace").decode("utf-8")


def raised_by_hand(error: BaseException) -> bool:
    """True where a `raise` raised it, and no call into what is not Python.

    >>> try:
    ...     raise KeyboardInterrupt
    ... except KeyboardInterrupt as error:
    ...     raised_by_hand(error)
    True
    """
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return last is not None and (
        last.tb_frame.f_code.co_code[last.tb_lasti] == opmap["RAISE_VARARGS"]
    )


def cause_of(error: BaseException) -> Cause:
    """The cause that the type of an exception tells.

    >>> cause_of(MemoryError()), cause_of(ValueError("no MemoryError"))
    (<Cause.MEMORY: 'memory'>, <Cause.EXCEPTION: 'exception'>)
    """
    if type(error) is RuntimeError and ALLOCATOR.match(str(error)) and not raised_by_hand(error):
        return Cause.MEMORY
    types = {
        OutOfTime: Cause.TIME,
        MemoryError: Cause.MEMORY,
        SystemExit: Cause.EXIT,
        Refused: Cause.REFUSED,
        Unheard: Cause.UNHEARD,
    }
    return next((c for kind, c in types.items() if isinstance(error, kind)), Cause.EXCEPTION)


def describe(error: BaseException) -> str:
    """'ValueError: ... (line 4 of your code: x = y)', the innermost line outside this library."""
    text = str(error).strip().split("\n")[0][:160]
    said = f"{type(error).__name__}: {text}" if text else type(error).__name__
    said = writable(said)
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "looplab" not in f.filename and "torch" not in f.filename]
    if not own:
        return said
    line = f": {own[-1].line.strip()}" if own[-1].line else ""
    return writable(f"{said} (line {own[-1].lineno} of your code{line})")
