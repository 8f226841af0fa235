"""The files that a run of `looplab grade` writes for a teacher, and which of them are its own."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from looplab.course.grading import class_page, feedback, gradebook, saved
from looplab.course.grading.class_list import read_class_list
from looplab.course.grading.points import Rubric
from looplab.course.grading.report import read_csv, write_csv
from looplab.course.grading.saved import Entry, shown
from looplab.course.grading.students import Student


@dataclass(frozen=True)
class Outputs:
    """Where to write what; None for what nobody asked for."""

    json: Path | None = None
    csv: Path | None = None
    book: Path | None = None
    moodle: Path | None = None
    canvas: Path | None = None
    page: Path | None = None
    feedback: Path | None = None

    def refuse(self, known: bool) -> None:
        """Raise ValueError before anything is graded if a file could not or must not be written.

        `known` is True where an earlier report says who else is in the class.
        """
        files = {name: path for name, path in vars(self).items() if path and name != "feedback"}
        for path in files.values():
            if path.is_dir() or not path.absolute().parent.is_dir():
                raise ValueError(
                    f"{path} cannot be written: its folder is not there, or it is a folder"
                )
        places = [path.resolve() for path in files.values()]
        if twice := next((path for path in places if places.count(path) > 1), None):
            raise ValueError(f"{twice.name} is named for two things: each needs a file of its own")
        saved.read_entries(self.json)  # with --reweigh another report was read
        if self.csv:
            read_csv(self.csv)
        for path in filter(None, (self.book, self.moodle, self.canvas)):
            if not gradebook.is_ours(path):
                raise ValueError(_not_ours(path))
        if self.page and not class_page.is_ours(self.page):
            raise ValueError(_not_ours(self.page))
        if self.feedback and self.feedback.exists() and not self.feedback.is_dir():
            raise ValueError(f"--feedback {self.feedback}: a folder is needed, and it is a file")
        by_student = [path for path in (self.book, self.moodle, self.canvas, self.page) if path]
        there = next((path for path in by_student if path.exists()), None)
        if there and not known:
            raise ValueError(
                f"{there} is there already, and without the report of its class the others in it "
                f"would be lost: add --json FILE with that report, or name another file"
            )

    def named(self) -> list[Path]:
        """All that is written, as it was typed."""
        return [path for path in vars(self).values() if path]

    def earlier_rows(self) -> list[tuple[Path, dict[str, str]]]:
        """Rows that the gradebook has already, each with its file's place."""
        if not self.csv:
            return []
        folder = self.csv.absolute().parent.resolve()
        rows = read_csv(self.csv)
        places = (folder / row["file"].removeprefix("'") for row in rows)
        return [
            (Path(os.path.normpath(place)), row) for place, row in zip(places, rows, strict=True)
        ]

    def write_rows(
        self, entries: Sequence[Entry], rubric: Rubric, kept: Sequence[Mapping[str, str]]
    ) -> None:
        """The gradebook of submissions, with rows of an earlier one."""
        if self.csv:
            folder = self.csv.absolute().parent.resolve()
            reports = [saved.called(one, shown(one.place, folder)).report for one in entries]
            write_csv(self.csv, reports, rubric, kept)

    def write_class(
        self,
        entries: Sequence[Entry],
        rubric: Rubric,
        attempt: str,
        missing: Sequence[Student],
        unknown: Sequence[str],
    ) -> None:
        """The tables by student, and the page."""
        book = gradebook.book_of(entries, rubric, attempt, missing, unknown)
        if self.book:
            gradebook.write_book(self.book, book, rubric)
        if self.moodle:
            gradebook.write_moodle(self.moodle, book, rubric, datetime.now())
        if self.canvas:
            gradebook.write_canvas(self.canvas, book, rubric)
        if self.page:
            class_page.write_page(self.page, book, entries, rubric)

    def write_feedback(self, entries: Sequence[Entry], rubric: Rubric) -> list[Path]:
        """Feedback for each of these; returns files of others that stay as they are."""
        return feedback.write_feedback(self.feedback, entries, rubric) if self.feedback else []


def is_a_teachers(file: Path) -> bool:
    """True for a file of a class's folder that an earlier run wrote, or that lists the class."""
    ending = file.suffix.lower()
    if ending in (".html", ".md"):
        return feedback.is_ours(file) or class_page.is_ours(file)
    try:
        if ending == ".json":
            return file.stat().st_size < 10**8 and _is_report(file)
        return ending == ".csv" and (gradebook.is_ours(file) or _is_list(file))
    except (ValueError, OSError):
        return False


def _is_list(file: Path) -> bool:
    """A gradebook of submissions, or a list of students."""
    try:
        return bool(read_csv(file))
    except ValueError:
        return all(one.name and (one.id or one.email) for one in read_class_list(file))


def _is_report(file: Path) -> bool:
    return b'"submissions"' in file.read_bytes()[:200_000] and bool(saved.read_entries(file))


def _not_ours(path: Path) -> str:
    return f"{path} is there and was not written by looplab grade: name another file"
