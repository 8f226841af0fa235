"""The report of a class: what a run that was stopped goes on from, and a later one adds to."""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

from looplab.basics.writing import write_text
from looplab.course.grading.marking import Report, Row
from looplab.course.grading.points import Rubric, reached, total
from looplab.course.grading.report import course_digest
from looplab.course.grading.students import Student, Whose


@dataclass(frozen=True)
class Entry:
    """One hand-in in the report: its marks, whose it is, and what the marks belong to.

    `place` and `root` are absolute; the report's file has them from its own folder, so that they
    do not depend on how a path was typed, and move with the folder.
    """

    place: Path
    root: Path
    report: Report
    whose: Whose
    sha256: str = ""  # of what was read
    when: float = 0.0  # its last change, seconds since 1970
    seed: int = 0
    course: str = ""  # a digest of what the marks depend on, see `course_digest`
    cells: dict[str, str] = field(default_factory=dict)  # exercise -> id of its answer's cell


def read_entries(path: Path | None) -> list[Entry]:
    """Everything in a report; [] if there is none. Raises ValueError for any other file."""
    if path is None or not path.exists():
        return []
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        folder = path.absolute().parent.resolve()
        return [_entry(one, saved, folder) for one in saved["submissions"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(
            f"{path} is there and is no report of looplab grade: name another file"
        ) from None


def fresh(entries: Iterable[Entry], seed: int) -> dict[str, Entry]:
    """Marks that still hold, by what was read (sha256): same seed, and nothing changed since."""
    now: dict[str, str] = {}
    found = {}
    for one in entries:
        chapter = one.report.chapter
        if one.report.rows and one.seed == seed:
            if chapter not in now:
                now[chapter] = course_digest(chapter)
            if one.course == now[chapter]:
                found[one.sha256] = one
    return found


def read_report(path: Path | None, seed: int) -> dict[str, Entry]:
    """What an earlier run graded and still holds, by sha256. Raises ValueError."""
    return fresh(read_entries(path), seed)


def read_students(path: Path | None) -> tuple[Student, ...] | None:
    """The class list that a report was written with; None if there was none. Raises ValueError."""
    if path is None or not path.exists():
        return None
    read_entries(path)
    listed = json.loads(path.read_text(encoding="utf-8")).get("class")
    return None if listed is None else tuple(Student(**one) for one in listed)


def write_report(
    path: Path,
    entries: Sequence[Entry],
    rubric: Rubric,
    students: Iterable[Student] | None = None,
) -> None:
    """Written anew after every submission, in one stroke, so that a stopped run loses nothing.

    `students` are the class list's: a later run knows them.
    """
    folder = path.absolute().parent.resolve()
    told: dict = {"submissions": [_told(one, rubric, folder) for one in entries]}
    if students is not None:
        told["class"] = [asdict(student) for student in students]
    write_text(path, json.dumps(told, indent=1) + "\n")


def shown(place: Path, folder: Path) -> str:
    """A path as seen from a folder, with / between its parts.

    >>> shown(Path("/class/ada/03.ipynb"), Path("/class")), shown(Path("/b"), Path("/class"))
    ('ada/03.ipynb', '../b')
    """
    try:
        return Path(os.path.relpath(place, folder)).as_posix()
    except ValueError:  # another drive
        return place.as_posix()


def _told(one: Entry, rubric: Rubric, folder: Path) -> dict:
    about = asdict(one.report) | {
        "file": shown(one.place, folder),
        "root": shown(one.root, folder),
        "student": one.whose.name,
        **asdict(one.whose),
        "sha256": one.sha256,
        "when": one.when,
        "seed": one.seed,
        "course": one.course,
        "cells": one.cells,
        "passed": one.report.passed,
    }
    for row, said in zip(one.report.rows, about["rows"], strict=True):
        said["points"] = reached(row, rubric)
    about["points"], about["out_of"] = total(one.report, rubric)
    return about


def _entry(one: dict, saved: dict, folder: Path) -> Entry:
    place = Path(os.path.normpath(folder / one["file"]))
    rows = tuple(Row(**_known(Row, row)) for row in one["rows"])
    students = tuple(Student(**student) for student in one.get("students", ()))
    whose = Whose(
        students or (Student(one["student"]),),
        **{key: one[key] for key in ("late", "attempt", "note", "sure") if key in one},
    )
    chapter = one["chapter"]
    # An older report says these once for all.
    seed = one.get("seed", saved.get("seed", 0))
    course = one.get("course", saved.get("course", {}).get(chapter, ""))
    root = Path(os.path.normpath(folder / one["root"])) if "root" in one else place.parent
    report = Report(**_known(Report, one) | {"rows": rows})
    rest = one.get("when", 0.0), seed, course, one.get("cells", {})
    return Entry(place, root, report, whose, one["sha256"], *rest)


def _known(kind: type, told: dict) -> dict:
    """Of what a report says what a record holds: another version may say more."""
    return {one.name: told[one.name] for one in fields(kind) if one.name in told}


def called(one: Entry, name: str) -> Entry:
    """The entry with its report under another name of the file, and the student's of now."""
    return replace(one, report=replace(one.report, file=name, student=one.whose.name))
