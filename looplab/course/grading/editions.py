"""A notebook of another edition of the course: how it is known, and what its exercises are now."""

from dataclasses import replace

from looplab.course.reading.code import statements
from looplab.course.reading.marks import Piece


def renumbered(pieces: tuple[Piece, ...], asked: dict[str, str]) -> dict[str, str]:
    """Exercise of an older edition -> today's, or "" where there is none.

    asked: exercise -> name that its answer defines today. An old notebook's own checks say the same
    of its exercises; what is called as before is not in here.

    >>> old = Piece(1, "", 'f = check("02.6", f)', given="f-check")
    >>> renumbered((old,), {"02.4": "f", "02.6": "g"})
    {'02.6': '02.4'}
    """
    today = {name: exercise for exercise, name in asked.items()}
    found = {}
    for piece in pieces:
        for one in statements(piece.source) if piece.given else ():
            if one.checked and one.checked[0] == one.checked[2]:
                name, exercise, _ = one.checked
                if asked.get(exercise) != name:
                    found[exercise] = today.get(name, "")
    return found


def as_of_today(pieces: tuple[Piece, ...], new: dict[str, str]) -> tuple[Piece, ...]:
    """The pieces with today's numbers of their exercises."""
    return tuple(replace(one, exercise=new.get(one.exercise, one.exercise)) for one in pieces)
