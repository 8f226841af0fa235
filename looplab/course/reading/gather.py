"""Gather an answer: its copies and halves, and what it needs from the learner's other cells."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from looplab.course.reading.code import (
    KNOWN,
    LARGEST,
    Statement,
    binds,
    is_python,
    needs,
    nothing_written,
    statements,
    without_checks,
)
from looplab.course.reading.given import Given, own_statements
from looplab.course.reading.marks import Piece

MOST = 4  # readings of one answer: each may cost a run
COPIES = 12  # cells of one answer, the last ones, that are looked at


@dataclass(frozen=True)
class Reading:
    """One way to read an answer: the source that is run, and what is told of it where it passes."""

    source: str
    remark: str = ""


@dataclass(frozen=True)
class Stretch:
    """Code that defines an answer, or part of it, and the cell in which it stands."""

    cell: int
    source: str
    marked: bool


def readings(
    exercise: str, pieces: tuple[Piece, ...], given: Given, older: bool = False
) -> tuple[Reading, ...]:
    """The ways to read an answer, the best first; none where nothing was written.

    That is all of its cells joined; where they do not go together, or do not pass, the last one
    that can stand alone, then earlier ones. A cell without a mark that defines the very function
    counts like one with it. Each brings along what it needs from the learner's other cells. In an
    older edition nobody can tell whether a learner wrote into a given cell: no answer stands there.
    """
    name = given.asked[exercise]
    stretches = _stretches(exercise, pieces, given, older)
    found = _ranges(stretches, name)
    if not found:
        return ()
    told = []
    for begin, end in found:
        part = stretches[begin:end]
        source = with_helpers(_joined(part), part[-1].cell, exercise, pieces, given)
        told.append(Reading(source, _remark(name, part[-1], stretches[-1])))
    return tuple(told)


def last_word(exercise: str, pieces: tuple[Piece, ...], given: Given) -> str | None:
    """The source of what a name last stood for, of cells in the order in which they were run.

    None where no cell defines it, or the course does not know the exercise.
    """
    name = given.asked.get(exercise)
    if name is None:
        return None
    for piece in reversed(pieces):
        source = _slice(piece, exercise, given, _any_binding)
        if source and piece.exercise == exercise and name in binds(piece.source):
            source = without_checks(piece.source)  # with its comments
        if source:
            return with_helpers(source, piece.cell, exercise, pieces, given).strip()
    return None


def with_helpers(
    source: str, cell: int, exercise: str, pieces: Iterable[Piece], given: Given
) -> str:
    """The source behind those of the learner's other statements that it needs.

    Needed is a name that it uses and that nothing given in front of the exercise defines, or that
    is a number or a run there and the learner's own function here. It is taken from the nearest
    cell in front that binds it, or else behind, with what changes its value in that cell, and with
    what these need in turn.
    """
    own, functions = _own(tuple(pieces), given)
    have = given.names[exercise] - functions | binds(source) | {given.asked[exercise]}
    waiting, done, picked = set(needs(statements(source)) - have), set(have), set()
    starred = {n for n, (_, one) in enumerate(own) if one.stars}
    while waiting:
        done.add(name := waiting.pop())
        homes = {where for where, one in own if name in one.binds}
        if homes:
            home = max((n for n in homes if n <= cell), default=min(homes))
            new = {
                n
                for n, (where, one) in enumerate(own)
                if where == home and name in one.binds | one.changes
            }
        else:
            new = starred  # `from helpers import *` may be where it comes from
        for n in new - picked:
            waiting |= (own[n][1].now | own[n][1].later) - KNOWN - done
        picked |= new
    helpers = "\n".join(own[n][1].text for n in sorted(picked))
    whole = f"{helpers}\n{source}" if helpers else source
    return whole if len(whole) <= LARGEST else source


def whereabouts(name: str, pieces: Iterable[Piece], given: Given) -> str:
    """Where a name stands that an answer lacks, for people; "" where no cell defines it."""
    said = re.compile(rf"^(?:def|class)[ ]+{re.escape(name)}\b|^{re.escape(name)}[ ]*=", re.M)
    for piece in pieces:
        if not said.search(piece.source):
            continue
        where = f"`{name}` is defined in cell {piece.cell}"
        if piece.kind == "text":
            return f"{where}, which is a text cell: make it a code cell"
        if piece.kind != "code":
            return f"{where}, which begins with {piece.kind}: take that line out"
        if not is_python(piece.source):
            return f"{where}, which Python cannot read"
    if name in given.all_names:
        return f"the chapter defines `{name}` only behind this exercise"
    return ""


@lru_cache(maxsize=4)
def _own(pieces: tuple[Piece, ...], given: Given) -> tuple[list, set[str]]:
    """The learner's own (cell, statement) pairs, stubs apart; and which names are functions there.

    Functions of the learner's own cells, that is, not called like a function that is given.
    """
    own, functions = [], set()
    for piece in pieces:
        for one in own_statements(piece, given):
            if not _is_stub(one):
                own.append((piece.cell, one))
                functions |= set() if piece.given else one.defines
    return own, functions - given.fixed


def _stretches(exercise, pieces, given: Given, older: bool) -> list[Stretch]:
    """All code that may be an answer or part of it, in the order of the cells."""
    name = given.asked[exercise]
    code = [one for one in pieces if one.kind == "code"]
    found = [
        Stretch(one.cell, without_checks(one.source), True)
        for one in code
        if one.exercise == exercise and not _untouched(one.source, name)
    ]
    free = [one for one in code if one.exercise == "" and not (older and one.given)]
    found += _slices(free, exercise, given, _function)
    if not any(_complete(one.source, name) for one in found):
        others = [one for one in code if one.exercise not in ("", exercise)]
        found += _slices(others, exercise, given, _function)
    if not found:
        # `step_size = 3` in a cell further down is no answer where there is another.
        own = [one for one in free if not one.given]
        found += _slices(own, exercise, given, _plain_binding)
    unique = {one.source: one for one in sorted(found, key=lambda one: one.cell)}
    return sorted(unique.values(), key=lambda one: one.cell)[-COPIES:]


def _slices(pieces, exercise, given, kind) -> list[Stretch]:
    slices = ((piece, _slice(piece, exercise, given, kind)) for piece in pieces)
    return [Stretch(piece.cell, source, False) for piece, source in slices if source]


def _slice(piece: Piece, exercise: str, given: Given, kind) -> str:
    """The statements of a piece that make its name what it is, as `kind` tells; "" without any."""
    name, kept, defined = given.asked[exercise], [], False
    if piece.kind != "code" or not (name in piece.source or exercise in piece.source):
        return ""  # without a look at the syntax: there may be very many cells
    for one in statements(piece.source):
        if one.checked:
            target, id, answer = one.checked
            # Of another edition's own check the name differs, too.
            if id == exercise and answer != name and not (piece.given and target == answer):
                kept.append(f"{name} = {answer}")
                defined = True
        elif one.shape in given.shapes or _is_stub(one):
            continue
        elif kind(one, name):
            kept.append(one.text)
            defined = True
        elif name in one.changes and defined:
            kept.append(one.text)
    return "\n".join(kept) if defined else ""


def _function(one: Statement, name: str) -> bool:
    return name in one.defines


def _any_binding(one: Statement, name: str) -> bool:
    return name in one.binds


def _plain_binding(one: Statement, name: str) -> bool:
    return name in one.binds - one.now


def _ranges(stretches: list[Stretch], name: str) -> list[tuple[int, int]]:
    """Runs of stretches that make a whole answer, the latest and longest first; or all of them."""
    found = []
    for end in range(len(stretches), 0, -1):
        alone = end - 1
        whole = (n for n in range(end) if _complete(_joined(stretches[n:end]), name))
        if (longest := next(whole, None)) is not None:
            found.append((longest, end))
            if longest != alone and _complete(stretches[alone].source, name):
                found.append((alone, end))
    found = found[:MOST]
    if found or nothing_written(_joined(stretches), name):
        return found
    return [(0, len(stretches))]


def _untouched(source: str, name: str) -> bool:
    """True for a stub; the head of a function may be the first half of an answer."""
    return is_python(source) and nothing_written(source, name)


def _complete(source: str, name: str) -> bool:
    return name in binds(source) and not nothing_written(source, name)


def _joined(stretches: Iterable[Stretch]) -> str:
    return "\n".join(one.source for one in stretches)


def _remark(name: str, graded: Stretch, last: Stretch) -> str:
    if graded != last:
        return f"graded: `{name}` of cell {graded.cell}, since that of cell {last.cell} fails"
    return "" if graded.marked else f"graded: `{name}` of cell {graded.cell}"


def _is_stub(one: Statement) -> bool:
    return bool(one.defines) and all(nothing_written(one.text, name) for name in one.defines)
