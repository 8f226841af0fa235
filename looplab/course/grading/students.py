"""Whose a hand-in is: what its platform, its notebook or its path says."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from looplab.course.grading.naming import Clue, differing

# Ada Lovelace_123456_assignsubmission_file_/..., and as a file without folders.
MOODLE = re.compile(r"(?P<name>.+?)_(?P<number>\d+)_assignsubmission_[a-z]+(?:_.*)?")
# lovelaceada_12345_678901_03_watch-1.ipynb, lovelaceada_LATE_12345_...
CANVAS = re.compile(
    r"(?P<name>[^\W\d_][^_]*)_(?:(?P<late>LATE)_)?(?P<number>\d+)_\d+_.*?(?:-(?P<attempt>\d+))?\.\w+"
)
GRADESCOPE = re.compile(r"submission_(?P<number>\d+)")


@dataclass(frozen=True)
class Student:
    """`id` and `email` as the class knows them; `number` as the platform's downloads do."""

    name: str
    id: str = ""
    email: str = ""
    number: str = ""


@dataclass(frozen=True)
class Whose:
    """Who handed in, more than one in a group; `note` says where two sources disagree.

    `sure` is True where a platform or the teacher's pattern says so.
    """

    students: tuple[Student, ...]
    late: bool = False
    attempt: int = 0
    note: str = ""
    sure: bool = False

    @property
    def name(self) -> str:
        return ", ".join(student.name for student in self.students)


def identify(
    clues: Sequence[Clue],
    pattern: re.Pattern | None = None,
    told: dict[Path, tuple[Student, ...]] | None = None,
) -> list[Whose]:
    """Whose each hand-in is.

    That is what the pattern finds in its path, or the platform that it comes from; or else what a
    cell of the notebook says; or else the part of the path that differs between the files. `told`
    are the students of Gradescope's folders.
    """
    apart = differing(clues)
    return [
        _whose(clue, name, pattern, told or {}) for clue, name in zip(clues, apart, strict=True)
    ]


def _whose(clue: Clue, apart: str, pattern, told) -> Whose:
    found = pattern and pattern.search(clue.place.as_posix())
    if found and (found["student"] or "").strip():
        known = {key: (found.groupdict().get(key) or "").strip() for key in ("id", "email")}
        return Whose((Student(found["student"].strip(), **known),), sure=True)
    layout = by_layout(clue, told)
    if layout is None:
        return Whose((Student(clue.said or apart),))
    if not clue.said or not layout.students[0].name:
        named = replace(layout.students[0], name=layout.students[0].name or clue.said or apart)
        return replace(layout, students=(named, *layout.students[1:]))
    names = [student.name for student in layout.students]
    if not layout.sure or (len(names) == 1 and letters(names[0]) == letters(clue.said)):
        return replace(layout, students=(replace(layout.students[0], name=clue.said),))
    note = "" if letters(clue.said) in map(letters, names) else f"the notebook says {clue.said}"
    return replace(layout, note=note)


def by_layout(clue: Clue, told: dict[Path, tuple[Student, ...]]) -> Whose | None:
    """Whose it is where the path is that of a platform's download; None elsewhere."""
    # A class may be graded from inside of the download.
    parts = clue.place.parts[max(1, len(clue.root.parts) - 3) :]
    for part in parts:
        if found := MOODLE.fullmatch(part):
            number, name = found["number"], found["name"].strip()
            blind = name.casefold() == "participant"
            name = f"{name} {number}" if blind else name
            return Whose((Student(name, number=number),), sure=not blind)
    if found := CANVAS.fullmatch(clue.place.name):
        student = Student(found["name"], number=found["number"])
        return Whose((student,), bool(found["late"]), int(found["attempt"] or 0), sure=True)
    for folder in clue.place.parents:
        if folder in told:
            return Whose(told[folder], sure=True)
        if found := GRADESCOPE.fullmatch(folder.name):
            return Whose((Student("", number=found["number"]),))
    for step in ("submitted", "autograded"):  # nbgrader: submitted/NAME/ps1/03.ipynb
        if step in parts and len(parts) - parts.index(step) >= 4:
            name = parts[parts.index(step) + 1]
            return Whose((Student(name, id=name),))
    return None


def letters(name: str) -> str:
    """A name's letters, in an order of their own: two spellings of one name are equal.

    >>> letters("Lovelace, Ada") == letters("ada LOVELACE") == letters("lovelaceada")
    True
    """
    return "".join(sorted(one for one in name.casefold() if one.isalnum()))
