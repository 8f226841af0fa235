"""What nbval's process says of each cell, read while it says it.

It says it in a file that the learner's process can reach as well. So both ends hold it open from
before a cell runs, and nothing that is done to its name later matters; what has been read stays
read, and there is an end to it.
"""

import json
import os
from pathlib import Path

MOST = 4 * 2**20  # bytes that are read in all; a run of a chapter says some 20 kB
LONGEST = 2**16  # bytes of one line


class Rows:
    """The rows of a file that it makes; `found` are those that could be read so far, as dicts.

    Raises FileExistsError where something of this name is there.
    """

    def __init__(self, path: Path):
        self.path, self.found = path, []
        flags = os.O_RDONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        self._file = os.open(path, flags, 0o600)
        self._read, self._begun, self._left = 0, b"", MOST

    def look(self) -> None:
        """Read what is new."""
        if os.fstat(self._file).st_size < self._read:  # it was emptied
            self._read, self._begun = 0, b""
        os.lseek(self._file, self._read, os.SEEK_SET)
        new = os.read(self._file, self._left)
        self._read, self._left = self._read + len(new), self._left - len(new)
        *lines, self._begun = (self._begun + new).split(b"\n")
        self.found += [row for row in map(_row, lines) if row is not None]
        self._begun = self._begun[: LONGEST + 1]

    def close(self) -> None:
        self.look()
        os.close(self._file)


def _row(line: bytes) -> dict | None:
    try:
        row = json.loads(line.decode("utf-8", "replace")) if len(line) <= LONGEST else None
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None
