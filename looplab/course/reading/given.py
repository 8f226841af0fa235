"""What a chapter gives, so that what is left of a learner's notebook is the learner's own."""

from collections.abc import Iterable
from dataclasses import dataclass

from looplab.course.reading.code import Statement, statements
from looplab.course.reading.marks import Cell, Piece


@dataclass(frozen=True, eq=False)  # one is itself: what was read beside it is kept
class Given:
    """What the course wrote in a chapter.

    asked: exercise -> the name that its answer defines; names: exercise -> what is defined by given
    cells and checks in front of its answer; all_names: by any; fixed: those of them that are a
    function, a class or an import; shapes: of every given statement.
    """

    asked: dict[str, str]
    names: dict[str, frozenset[str]]
    all_names: frozenset[str]
    fixed: frozenset[str]
    shapes: frozenset[str]


def given_by(solved: Iterable[Cell]) -> Given:
    """What the cells of a solved chapter give; its answers are no part of it.

    >>> cells = [Cell("import math"), Cell('f = check("00.1", f)', role="check", exercise="00.1")]
    >>> cells.insert(1, Cell("def f(): ...", role="answer", exercise="00.1"))
    >>> given_by(cells).asked, sorted(given_by(cells).names["00.1"])
    ({'00.1': 'f'}, ['math'])
    """
    asked, names, seen, fixed, shapes = {}, {}, set(), set(), set()
    for cell in solved:
        if cell.role == "answer":
            names.setdefault(cell.exercise, frozenset(seen))
        elif cell.kind == "code":
            for one in statements(cell.source):
                seen |= one.binds
                fixed |= one.binds if one.imports else one.defines
                shapes.add(one.shape)
                if one.checked and cell.role == "check":
                    asked[cell.exercise] = one.checked[2]
    return Given(asked, names, frozenset(seen), frozenset(fixed), frozenset(shapes))


def own_statements(piece: Piece, given: Given) -> list[Statement]:
    """What a learner wrote in a piece: statements that no given cell has, and no checks.

    An import is the learner's wherever it stands: an answer may need it earlier than the chapter.
    """
    return [
        one
        for one in statements(piece.source if piece.kind == "code" else "")
        if not one.checked and (one.imports or one.shape not in given.shapes)
    ]
