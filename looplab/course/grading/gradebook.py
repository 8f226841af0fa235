"""A class by student: a row each with all chapters, and the tables that platforms import."""

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from looplab.course.grading.cells import guarded, write_cells
from looplab.course.grading.points import Rubric, total
from looplab.course.grading.report import remarks
from looplab.course.grading.saved import Entry
from looplab.course.grading.students import Student, letters

ATTEMPTS = ("latest", "best")
BOOK = ("student", "id", "e-mail"), ("points", "out of", "late", "remarks")
# What Moodle's offline grading worksheet and Canvas's gradebook are imported by.
MOODLE = (
    *("Identifier", "Full name", "ID number", "Email address", "Grade", "Maximum Grade"),
    *("Last modified (grade)", "Feedback comments"),
)
CANVAS = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section")
CANVAS_CHAPTER = "looplab chapter "


@dataclass(frozen=True)
class Line:
    """One student: the submission that counts of each chapter, and all that was handed in."""

    student: Student
    counts: dict[str, Entry]  # chapter -> submission
    entries: tuple[Entry, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Book:
    """Lines of a class, and what each chapter is worth."""

    lines: tuple[Line, ...]
    out_of: dict[str, float] = field(default_factory=dict)  # chapter -> points

    @property
    def most(self) -> float:
        return sum(self.out_of.values())


def book_of(
    entries: Sequence[Entry],
    rubric: Rubric,
    attempt: str = "latest",
    missing: Iterable[Student] = (),
    unknown: Iterable[str] = (),
) -> Book:
    """The class by student; of several submissions of a chapter the latest counts, or the best.

    `missing` are students of the class list who handed in nothing, `unknown` names not in it.
    """
    theirs, students = defaultdict(list), {}
    for one in entries:
        for student, key in zip(one.whose.students, _keys(one, entries), strict=True):
            theirs[key].append(one)
            students[key] = _fuller(students.get(key), student)
    unknown = set(unknown)
    lines = [
        _line(students[key], theirs[key], rubric, attempt, students[key].name in unknown)
        for key in theirs
    ]
    lines += [Line(student, {}, (), ("nothing handed in",)) for student in missing]
    lines.sort(key=lambda line: line.student.name.casefold())
    out_of = defaultdict(float)
    for one in entries:
        if one.report.rows:
            chapter = one.report.chapter
            out_of[chapter] = max(out_of[chapter], total(one.report, rubric)[1])
    return Book(tuple(lines), dict(sorted(out_of.items())))


def write_book(path: Path, book: Book, rubric: Rubric) -> None:
    """One row per student: a column of points per chapter, the total, what was late, remarks."""
    front, back = BOOK
    rows = [[*front, *(f"chapter {chapter}" for chapter in book.out_of), *back]]
    for line in book.lines:
        late = [chapter for chapter, one in line.counts.items() if one.whose.late]
        row = [line.student.name, line.student.id or line.student.number, line.student.email]
        row += [_points(line, chapter, rubric) for chapter in book.out_of]
        row += [f"{sum_of(line, rubric):g}", f"{book.most:g}", " ".join(late)]
        rows.append([guarded(cell) for cell in [*row, "; ".join(line.notes)]])
    write_cells(path, rows)


def write_moodle(path: Path, book: Book, rubric: Rubric, now: datetime) -> None:
    """As Moodle's worksheet for grading offline, imported by the participant's number."""
    rows: list[Sequence[str]] = [MOODLE]
    for line in book.lines:
        told = [remarks(one.report) for one in line.counts.values()]
        student = line.student
        row = [f"Participant {student.number}" if student.number else "", student.name]
        row += [student.id if student.id != student.number else "", student.email]
        grade = f"{sum_of(line, rubric):g}" if line.counts else ""
        row += [grade, f"{book.most:g}", f"{now:%Y-%m-%d %H:%M:%S}"]
        late = [
            f"late: chapter {chapter}" for chapter, one in line.counts.items() if one.whose.late
        ]
        rows.append([guarded(cell) for cell in [*row, "; ".join(filter(None, [*late, *told]))]])
    write_cells(path, rows)


def write_canvas(path: Path, book: Book, rubric: Rubric) -> None:
    """As Canvas's gradebook: a column per chapter, the second row says what it is worth."""
    rows: list[Sequence[str]] = [[*CANVAS, *(CANVAS_CHAPTER + chapter for chapter in book.out_of)]]
    rows.append(["    Points Possible", "", "", "", "", *(f"{n:g}" for n in book.out_of.values())])
    for line in book.lines:
        student = line.student
        own = student.id if student.id != student.number else ""
        row = [student.name, student.number, own, student.email, ""]
        row += [_points(line, chapter, rubric) for chapter in book.out_of]
        rows.append([guarded(cell) for cell in row])
    write_cells(path, rows)


def is_ours(path: Path) -> bool:
    """True for a table that one of these functions wrote, or no file at all."""
    if not path.exists():
        return True
    try:
        text = path.read_text(encoding="utf-8-sig")
        heads = tuple(next(csv.reader(io.StringIO(text, newline="")), ()))
    except (OSError, ValueError, csv.Error):
        return False
    front, back = BOOK
    chapters = heads[len(front) : -len(back)]
    if (*front, *chapters, *back) == heads:
        return all(head.startswith("chapter ") for head in chapters)
    if heads[: len(CANVAS)] == CANVAS:
        return all(head.startswith(CANVAS_CHAPTER) for head in heads[len(CANVAS) :])
    return heads == MOODLE


def sum_of(line: Line, rubric: Rubric) -> float:
    """A student's points in all chapters."""
    return sum(total(one.report, rubric)[0] for one in line.counts.values())


def _points(line: Line, chapter: str, rubric: Rubric) -> str:
    one = line.counts.get(chapter)
    return "" if one is None else f"{total(one.report, rubric)[0]:g}"


def _keys(one: Entry, entries: Sequence[Entry]) -> list[tuple[str, str]]:
    """What tells each of a submission's students from others."""
    return [_key(student, entries) for student in one.whose.students]


def _key(student: Student, entries: Sequence[Entry]) -> tuple[str, str]:
    if student.id:
        return "id", student.id
    if student.email:
        return "e-mail", student.email.casefold()
    # A platform may number a student anew for each assignment. Two numbers for one name in one
    # chapter are two students.
    numbers = defaultdict(set)
    for one in entries:
        for other in one.whose.students:
            if other.number and letters(other.name) == letters(student.name):
                numbers[one.report.chapter].add(other.number)
    two = any(len(there) > 1 for chapter, there in numbers.items() if chapter)
    return ("number", student.number) if two else ("name", letters(student.name))


def _fuller(known: Student | None, student: Student) -> Student:
    """Of two records of one student the one of the latest hand-in, with what it lacks."""
    if known is None:
        return student
    said = {name: getattr(student, name) or getattr(known, name) for name in vars(student)}
    return Student(**said)


def _line(student: Student, theirs: Sequence[Entry], rubric, attempt: str, unknown: bool) -> Line:
    by_chapter = defaultdict(list)
    for one in theirs:
        if one.report.rows:
            by_chapter[one.report.chapter].append(one)

    def rank(one: Entry):
        got = total(one.report, rubric)[0] if attempt == "best" else 0
        return got, one.whose.attempt, one.when, str(one.place)

    counts = {chapter: max(there, key=rank) for chapter, there in sorted(by_chapter.items())}
    notes = ["not in the class list"] if unknown else []
    notes += dict.fromkeys(one.whose.note for one in theirs if one.whose.note)
    for chapter, there in by_chapter.items():
        if len(there) > 1:
            which = counts[chapter].place.name
            notes.append(
                f"{len(there)} submissions of chapter {chapter}, the {attempt} counts: {which}"
            )
    notes += [
        f"not graded: {one.place.name}: {one.report.problem}"
        for one in theirs
        if one.report.problem
    ]
    return Line(student, counts, tuple(theirs), tuple(notes))
