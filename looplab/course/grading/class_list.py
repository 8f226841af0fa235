"""A teacher's class list, and which of its students handed in what."""

import csv
import io
import itertools
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from looplab.course.grading.students import Student, Whose

# How the columns of class lists and of platforms' exports are called, in the order of preference.
COLUMNS = {
    "id": (
        *(
            "id number",
            "student id",
            "student number",
            "sis user id",
            "sid",
            "matriculation number",
        ),
        *("matrikelnummer", "matrikel", "id", "number", "user id", "userid"),
        *(
            "username",
            "user name",
            "login",
            "login id",
            "sis login id",
            "github",
            "github username",
        ),
    ),
    "name": ("full name", "name", "student name", "student", "fullname", "display name"),
    "first": ("first name", "firstname", "given name", "given names", "vorname", "first"),
    "last": ("last name", "lastname", "surname", "family name", "nachname", "last"),
    "email": ("email address", "e mail address", "email", "e mail", "mail", "e mail adresse"),
    "number": ("identifier", "participant", "canvas id"),
}
LETTERS = str.maketrans({"ß": "ss", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "ı": "i", "æ": "ae"})
UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa"})


@dataclass(frozen=True)
class Matched:
    """Hand-ins with the class list's students in them; who is missing, and what was said of it."""

    whose: tuple[Whose, ...]
    missing: tuple[Student, ...]
    unknown: tuple[str, ...]  # names that nobody in the list has
    guessed: tuple[str, ...]  # names matched by a part only


def read_class_list(path: Path) -> tuple[Student, ...]:
    """The students of a CSV file with a line of headings; raises ValueError where it is none.

    Headings may be in any order and spelling that platforms use; id, name or e-mail is enough.
    """
    try:
        text = decoded(path.read_bytes())
    except OSError as error:
        raise ValueError(f"{path} cannot be opened ({error.strerror})") from None
    rows = [row for row in table(text) if any(cell.strip() for cell in row)]
    heads = _columns(rows[0]) if rows else {}
    if not heads.keys() & {"id", "name", "first", "last", "email"}:
        told = "a line of headings such as id,name,e-mail, and a student in each line below"
        raise ValueError(f"{path} is no class list: expected {told}")
    students = [_student(row, heads) for row in rows[1:]]
    # Canvas has a row of points in front of the students, and a test student behind them.
    real = [one for one in students if one.name not in ("Points Possible", "Student, Test")]
    real = [one for one in real if one.name or one.id or one.email]
    if not real:
        raise ValueError(f"{path} is no class list: there is no student below its headings")
    return tuple(dict.fromkeys(real))


def decoded(data: bytes) -> str:
    """Text of a file that a spreadsheet wrote, in whatever encoding."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def table(text: str) -> list[list[str]]:
    """Rows of a CSV file, separated by whatever its first line is.

    >>> table("id;name\\n7;Ada, L")
    [['id', 'name'], ['7', 'Ada, L']]
    """
    first = text.split("\n", 1)[0]
    separator = max(",;\t", key=first.count)
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))


def match(whose: Sequence[Whose], students: Sequence[Student]) -> Matched:
    """Find each hand-in's students in a class list: by id, e-mail, name, or a part of a name.

    Case, accents and the order of names do not matter. What fits two students fits none.
    """
    known = _Known(students)
    told, found, unknown, guessed = [], set(), [], []
    for one in whose:
        renamed = []
        for student in one.students:
            listed, sure = known.find(student)
            if listed is None:
                unknown.append(student.name)
                renamed.append(student)
                continue
            if not sure:
                guessed.append(f"{student.name} as {listed.name or listed.id}")
            found.add(listed)
            number = student.number or listed.number
            renamed.append(replace(listed, name=listed.name or student.name, number=number))
        told.append(replace(one, students=tuple(renamed)))
    missing = tuple(one for one in students if one not in found)
    return Matched(tuple(told), missing, _once(unknown), _once(guessed))


class _Known:
    """The class list, to be looked up in."""

    def __init__(self, students: Sequence[Student]):
        self.students = students
        self.tests = (
            (lambda one: {one.id, one.number} - {""}, _ids, True),
            (lambda one: {one.email.casefold()} - {""}, lambda one: _mails(one), True),
            (lambda one: spellings(one.name), lambda one: spellings(one.name), True),
            (lambda one: _joined(one.name), lambda one: _run_together(one.name), True),
            (lambda one: _local(one.email) | _plain(one.id), lambda one: _plain(one.name), True),
        )

    def find(self, student: Student) -> tuple[Student | None, bool]:
        """The student of the list, and whether that is more than a part of the name."""
        for listed, asked, sure in self.tests:
            wanted = asked(student)
            there = [one for one in self.students if wanted & listed(one)]
            if len(there) == 1:
                return there[0], sure
            if there:
                return None, False
        return self._by_part(student), False

    def _by_part(self, student: Student) -> Student | None:
        parts = [set(spelling.split()) for spelling in spellings(student.name)]

        def fits(one):
            names = [set(spelling.split()) for spelling in spellings(one.name)]
            return any(
                part and name and (part <= name or name <= part) for part in parts for name in names
            )

        there = [one for one in self.students if fits(one)]
        return there[0] if len(there) == 1 else None


def spellings(name: str) -> set[str]:
    """A name in plain letters, its parts in the order of the alphabet; umlauts in both ways.

    >>> sorted(spellings("Müller, Eva"))
    ['eva mueller', 'eva muller']
    """
    return {" ".join(sorted(words)) for words in _words(name) if words}


def _words(name: str) -> Iterable[list[str]]:
    # Composed first: an umlaut may come as a letter and its dots.
    lower = unicodedata.normalize("NFC", name).casefold()
    for text in (lower.translate(UMLAUTS), lower):
        bare = unicodedata.normalize("NFKD", text.translate(LETTERS))
        bare = "".join(one for one in bare if not unicodedata.combining(one))
        yield re.findall(r"[^\W_]+", bare)


def _joined(name: str) -> set[str]:
    """Names written as one word, as Canvas does, the parts in any order."""
    orders = itertools.chain.from_iterable(
        itertools.permutations(words) for words in _words(name) if len(words) <= 5
    )
    return {"".join(order) for order in orders}


def _run_together(name: str) -> set[str]:
    return {words[0] for words in _words(name) if len(words) == 1}


def _plain(text: str) -> set[str]:
    return {"".join(words) for words in _words(text) if words}


def _local(email: str) -> set[str]:
    return _plain(email.partition("@")[0]) if "@" in email else set()


def _ids(one: Student) -> set[str]:
    return {one.id, one.number, one.name} - {""}


def _mails(one: Student) -> set[str]:
    return {text.casefold() for text in (one.email, one.name) if "@" in text}


def _columns(heads: Sequence[str]) -> dict[str, int]:
    """What is in which column, from a line of headings."""
    plain = [" ".join(re.findall(r"[a-z]+", head.casefold())) for head in heads]
    found = {}
    for what, names in COLUMNS.items():
        there = [plain.index(name) for name in names if name in plain]
        if there:
            found[what] = there[0]
    if "sis user id" in plain and "id" in plain:  # Canvas: ID is its own number
        found["number"] = plain.index("id")
    return found


def _student(row: Sequence[str], heads: dict[str, int]) -> Student:
    def cell(what: str) -> str:
        text = row[heads[what]] if what in heads and heads[what] < len(row) else ""
        return " ".join(text.split()).removeprefix("'")

    name = cell("name") or f"{cell('first')} {cell('last')}".strip()
    number = re.sub(r"^\D+(?=\d+$)", "", cell("number"))  # Moodle: Participant 123456
    return Student(name, cell("id"), cell("email"), number)


def _once(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
