"""A command that can be run again: how it ends, and what it says then."""

import sys
from collections.abc import Callable


def exit_status(command: str, run: Callable[[], None]) -> int:
    """Run a resumable command; 0, 130 where it was interrupted, 2 where it says what is wrong.

    >>> exit_status("looplab trace", lambda: None)
    0
    """
    try:
        run()
    except KeyboardInterrupt:
        print(f"{command}: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    except (ValueError, OSError, ImportError, MemoryError) as error:
        print(f"{command}: {error}", file=sys.stderr)
        return 2
    return 0
