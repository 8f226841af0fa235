"""Where answers stand in a notebook: by the line `# exercise 03.1`, by metadata, or nowhere yet."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from looplab.course.reading.code import python_of

# As people write it by hand: `#exercise 3.1`, `# Exercise 03.1:`.
NUMBER = r"#+[ \t]*(?:%%[ \t]*)?exercise[ \t]*[:#]?[ \t]*(\d{1,2})\.(\d+)"
MARK = re.compile(rf"^{NUMBER}[ \t]*[.:]?[ \t\r]*$", re.M | re.I)
EXACT = re.compile(r"^# exercise (\d\d)\.(\d+)[ \t\r]*$", re.M)
# With words behind it, `# exercise 02.4: mine`, it counts in the first line of a cell only: further
# down it may well be a remark on another exercise.
HEAD = re.compile(rf"^(?:[ \t]*\n|# %%.*\n)*{NUMBER}(?![.\d]).*$", re.I | re.M)


@dataclass(frozen=True)
class Piece:
    """A stretch of a cell: an answer's, or code that belongs to none (`exercise` is "").

    cell: which cell of the notebook it stands in, counted from 1; given: the id of a cell that the
    course gave, "" for a learner's own; kind: "code", "text", or the magic that makes it no Python.
    """

    cell: int
    exercise: str
    source: str
    given: str = ""
    kind: str = "code"


@dataclass(frozen=True)
class Cell:
    """What is known of a cell: role and exercise are what its metadata say."""

    source: str
    kind: str = "code"
    id: str = ""
    role: str = ""
    exercise: str = ""


def pieces_of(cells: Iterable[Cell]) -> tuple[Piece, ...]:
    """All cells in their order, those with several answers taken apart.

    >>> [piece.exercise for piece in pieces_of([Cell("# exercise 03.1\\nx\\n#Exercise 03.2:\\ny")])]
    ['03.1', '03.2']
    """
    return tuple(piece for n, cell in enumerate(cells, 1) for piece in _pieces(n, cell))


def _pieces(number: int, cell: Cell) -> list[Piece]:
    given = cell.id if cell.role in ("given", "check") else ""
    if cell.kind != "code":
        return [Piece(number, exercise, cell.source, given, "text") for exercise in _named(cell)]
    source, magic = python_of(cell.source)
    kind = magic or "code"
    marks = [(mark.start(), exercise_of(mark)) for mark in MARK.finditer(source)]
    own = cell.exercise if cell.role == "answer" else ""
    if not marks and not own and (head := HEAD.match(source)):
        marks = [(0, exercise_of(head))]
    if not marks:
        return [Piece(number, own, source, given, kind)]
    begin, first = marks[0]
    if own in ("", first) or not source[:begin].strip():
        marks[0] = (0, first)  # imports in front of the mark belong to it
        found = []
    else:
        found = [Piece(number, own, source[:begin], given, kind)]
    ends = [start for start, _ in marks[1:]] + [len(source)]
    for (start, exercise), end in zip(marks, ends, strict=True):
        found.append(Piece(number, exercise, source[start:end], given, kind))
    return found


def _named(cell: Cell) -> list[str]:
    """The exercises whose marks stand in a text cell, exactly as written; [""] without any."""
    return [exercise_of(mark) for mark in EXACT.finditer(cell.source)] or [""]


def exercise_of(mark: re.Match) -> str:
    return f"{int(mark[1]):02d}.{int(mark[2])}"
