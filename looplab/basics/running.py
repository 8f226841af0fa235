"""A command: how it ends, and what it says then."""

import sys
from collections.abc import Callable


def exit_status(command: str, run: Callable[[], None], resumes: bool = True) -> int:
    """Run a command; 0, 130 where it was interrupted, 2 where it says what is wrong.

    One that `resumes` goes on where it was; another begins anew.

    >>> exit_status("looplab trace", lambda: None)
    0
    """
    try:
        run()
    except KeyboardInterrupt:
        told = "the same command goes on from here" if resumes else "begin anew, in a new folder"
        print(f"{command}: interrupted; {told}", file=sys.stderr)
        return 130
    except (ValueError, OSError, ImportError, MemoryError) as error:
        print(f"{command}: {error}", file=sys.stderr)
        return 2
    return 0
