"""Why an answer has no verdict, as data: programs go by this and never by what a text says."""

from enum import StrEnum
from typing import Any


class Cause(StrEnum):
    """What went wrong where something did; imports nothing heavy, for both ends know it."""

    EXCEPTION = "exception"  # the answer raised
    EXIT = "exit"  # it raised SystemExit, which ends a program and not a notebook
    TIME = "time"  # of one call, one cell or the whole run
    MEMORY = "memory"
    OUTPUT = "output"  # so much of it that the kernel was ended
    DIED = "died"  # the notebook's process ended
    STOPPED = "stopped"  # the whole run was, or ended by itself
    REFUSED = "refused"  # what it returns cannot travel to the grader
    UNHEARD = "unheard"  # its check ran and did not reach the grader


def read_cause(told: Any) -> Cause:
    """The cause that another process names; an exception where it names none.

    >>> read_cause("memory"), read_cause(["memory"])
    (<Cause.MEMORY: 'memory'>, <Cause.EXCEPTION: 'exception'>)
    """
    return Cause(told) if isinstance(told, str) and told in set(Cause) else Cause.EXCEPTION
