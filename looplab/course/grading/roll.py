"""The roll of a class: what was handed in now, what is kept from before, and whose each is."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from looplab.course.grading.class_list import Matched, match
from looplab.course.grading.gradescope import submitters
from looplab.course.grading.handins import Found, HandIn
from looplab.course.grading.marking import Report
from looplab.course.grading.merging import kept_of
from looplab.course.grading.naming import Clue
from looplab.course.grading.report import digest
from looplab.course.grading.saved import Entry, called, shown
from looplab.course.grading.students import Student, Whose, identify
from looplab.course.grading.submission import printable


@dataclass(frozen=True)
class Roll:
    """Entries of now without marks yet, those kept from an earlier report, and the class list
    (None without one) with its account of both."""

    now: tuple[Entry, ...]
    kept: tuple[Entry, ...]
    students: tuple[Student, ...] | None = None
    missing: tuple[Student, ...] = ()
    unknown: tuple[str, ...] = ()
    guessed: tuple[str, ...] = ()


def call(
    found: Found,
    saved: Sequence[Entry],
    folders: Sequence[Path],
    pattern: re.Pattern | None = None,
    students: tuple[Student, ...] | None = None,
) -> Roll:
    """Name everything that was handed in, seen together with what is kept of `saved`.

    `folders` are the paths that were named: what is kept lies outside of them. `students` is the
    class list.
    """
    now = [_entry(one, _root(one, saved)) for one in found.hand_ins]
    kept = kept_of(saved, now, folders)
    clues = [
        *(
            Clue(one.place, entry.root, one.seen.chapter, one.seen.student)
            for one, entry in zip(found.hand_ins, now, strict=True)
        ),
        *(Clue(one.place, one.root, one.report.chapter[:2]) for one in kept),
    ]
    whose = identify(clues, pattern, submitters(found.metadata))[: len(now)]
    # A single file that is graded again is still whose it was.
    before = {one.place: one.whose for one in saved if len(now) == 1}
    whose = [
        before.get(one.place, w) if not w.sure else w for one, w in zip(now, whose, strict=True)
    ]
    return _matched(now, [*whose, *(one.whose for one in kept)], kept, students)


def listed(entries: Sequence[Entry], students: tuple[Student, ...] | None) -> Roll:
    """The roll of a report as it stands, with a class list."""
    return _matched([], [one.whose for one in entries], list(entries), students)


def _matched(now: list[Entry], whose: list[Whose], kept: list[Entry], students) -> Roll:
    told = Matched(tuple(whose), (), (), ()) if students is None else match(whose, students)
    pairs = zip([*now, *kept], told.whose, strict=True)
    named = [_of(one, who) for one, who in pairs]
    split = len(now)
    rest = students, told.missing, told.unknown, told.guessed
    return Roll(tuple(named[:split]), tuple(named[split:]), *rest)


def _of(one: Entry, whose: Whose) -> Entry:
    plain = (replace(each, name=printable(each.name)[:200]) for each in whose.students)
    one = replace(one, whose=replace(whose, students=tuple(plain)))
    near = shown(one.place, Path.cwd())
    return called(one, printable(one.place.as_posix() if near.startswith("..") else near))


def _root(one: HandIn, saved: Sequence[Entry]) -> Path:
    """The folder of the class; of a file that was named alone the one it was graded in before."""
    before = [old.root for old in saved if old.root in one.root.parents]
    return min(before, key=lambda root: len(root.parts), default=one.root)


def _entry(one: HandIn, root: Path) -> Entry:
    sha256 = digest(one.file) if one.file else ""
    report = Report("", "", "", problem=one.problem)
    return Entry(one.place, root, report, Whose(()), sha256, one.when, cells=one.seen.cells)
