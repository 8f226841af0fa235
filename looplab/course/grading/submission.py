"""Read a submission: which chapter it is, whose, and what it answers."""

import json
import re
import stat
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from nbformat import reader

from looplab.course.grading.glance import said_in
from looplab.course.grading.naming import Clue, differing
from looplab.course.reading.code import LARGEST, is_python, nothing_written
from looplab.course.reading.marks import Cell, Piece, pieces_of

CHAPTER = re.compile(r"\d\d[a-z]?")  # 05b is the second half of 05
EXERCISE = re.compile(r"\d\d\.\d+")
CHECKED = re.compile(r"\bcheck\(\s*[\"'](\d\d\.\d+)[\"']")
LARGEST_FILE = 50_000_000  # bytes


class Unreadable(ValueError):
    """A file that is no notebook that could be graded; the text says why."""


@dataclass(frozen=True)
class Submission:
    """What a notebook says: the chapter ("" if none is recognised), the student, the answers.

    `chapter` is the number that most of its exercises have, "05" for either half of chapter 05; of
    a notebook without exercises what it says of itself, "05b". `edition` is the digest of the
    answer cells as they were handed out, "" where the notebook does not say it.
    """

    chapter: str
    student: str
    answers: dict[str, str]  # exercise -> source of its marked cells
    notes: dict[str, str] = field(default_factory=dict)  # exercise -> why it has no answer
    pieces: tuple[Piece, ...] = ()  # all cells, answers taken apart
    edition: str = ""


def read(path: Path) -> Submission:
    """Read a notebook of any version. Raises Unreadable."""
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):  # a pipe would be read for ever
            raise Unreadable("it is no file")
        if about.st_size > LARGEST_FILE:
            raise Unreadable(f"it has {about.st_size / 1e6:.0f} MB, more than 50 MB")
        text = path.read_text(encoding="utf-8-sig")
        if not text.strip():
            raise Unreadable("it is empty")
        # Not nbformat.read: it refuses ids that occur twice, and a copied cell has one.
        notebook = nbformat.convert(reader.reads(_mended(text)), 4)
        if not isinstance(notebook.get("cells"), list):
            raise Unreadable("it is JSON, but no notebook: it has no cells")
        return _submission(path, notebook)
    except FileNotFoundError:
        raise Unreadable("there is no such file") from None
    except OSError as error:
        raise Unreadable(f"it cannot be opened ({error.strerror})") from None
    except Unreadable:
        raise
    except Exception as error:  # nbformat raises many kinds for a damaged file
        raise Unreadable(f"it cannot be read as a notebook ({type(error).__name__})") from None


def _mended(text: str) -> str:
    """The notebook's JSON; a cell whose metadata are none, which nbformat cannot take, has {}."""
    told = json.loads(text)
    cells = told.get("cells") if isinstance(told, dict) else None
    for cell in cells if isinstance(cells, list) else ():
        if isinstance(cell, dict) and not isinstance(cell.get("metadata"), dict):
            cell["metadata"] = {}
    return json.dumps(told)


def _submission(path: Path, notebook) -> Submission:
    cells = [cell for cell in notebook.cells if isinstance(cell, dict)]
    pieces = pieces_of(map(as_cell, cells))
    answers, notes = answers_of(pieces)
    counts = Counter(exercise[:2] for exercise in [*answers, *notes])
    if not counts:  # every mark is gone, but the checks name the chapter
        counts = Counter(exercise[:2] for exercise in checks_in(pieces))
    about = _looplab(notebook)
    chapter = counts.most_common(1)[0][0] if counts else str(about.get("chapter", ""))
    chapter = chapter if CHAPTER.fullmatch(chapter) else ""
    said = said_in(_source(cell) for cell in cells)
    student = printable(said)[:200] or printable(student_of(path))
    return Submission(chapter, student, answers, notes, pieces, str(about.get("answers", "")))


def student_of(path: Path) -> str:
    """What the path alone says: the file's name, or its folder's of a file called like a chapter.

    >>> student_of(Path("class/ada.ipynb")), student_of(Path("class/ada/03_watch.ipynb"))
    ('ada', 'ada')
    """
    return differing([Clue(path, path.parent)])[0]


def printable(text: str) -> str:
    r"""The text in one line that any terminal and file can take.

    >>> printable("a\nb\x1b[31m\udcff é")
    'a b?[31m? é'
    """
    return "".join(one if one.isprintable() else " " if one.isspace() else "?" for one in text)


def answers_in(cells) -> tuple[dict[str, str], dict[str, str]]:
    """Exercise -> source of its marked cells; and why others have none."""
    return answers_of(pieces_of(map(as_cell, cells)))


def checks_in(pieces: tuple[Piece, ...]) -> set[str]:
    """The exercises that a notebook checks."""
    return {exercise for piece in pieces for exercise in CHECKED.findall(piece.source)}


def as_cell(cell) -> Cell:
    """A cell of a notebook, of whatever shape a damaged one has."""
    about = _looplab(cell)
    return Cell(
        _source(cell),
        "code" if cell.get("cell_type") == "code" else "text",
        str(cell.get("id", "")),
        str(about.get("role", "")),
        str(about.get("ex", "")),
    )


def answers_of(pieces: tuple[Piece, ...]) -> tuple[dict[str, str], dict[str, str]]:
    """Exercise -> its pieces joined in document order, untouched stubs left out; and notes."""
    found: dict[str, list[str]] = {}
    notes = {}
    for piece in pieces:
        if not EXERCISE.fullmatch(piece.exercise):
            continue
        if piece.kind == "code":
            found.setdefault(piece.exercise, []).append(piece.source)
        elif piece.kind == "text":
            told = "the answer stands in a text cell: make it a code cell again"
            notes[piece.exercise] = told
        else:
            told = f"the answer's cell begins with {piece.kind}, so that it is no Python"
            notes[piece.exercise] = f"{told}: take that line out"
    answers = {}
    for exercise, sources in found.items():
        # The head of a function, which does nothing either, may be the first half of an answer.
        written = [one for one in sources if not (is_python(one) and is_stub(one))]
        source = "\n".join(written or sources[:1])
        if len(source) > LARGEST:
            notes[exercise] = f"the answer has {len(source)} characters, more than {LARGEST}"
        else:
            answers[exercise] = source
    return answers, {exercise: why for exercise, why in notes.items() if exercise not in answers}


def is_stub(source: str) -> bool:
    """True where nothing was written: what is defined last does nothing of its own.

    >>> is_stub("def f(x):\\n    return todo()  # replace this line")
    True
    >>> is_stub("def f(x):\\n    # return todo()  # replace this line\\n    return x")
    False
    """
    return nothing_written(source)


def _looplab(part) -> dict:
    about = part.get("metadata")
    about = about.get("looplab") if isinstance(about, dict) else None
    return about if isinstance(about, dict) else {}


def _source(cell) -> str:
    source = cell.get("source", "")
    if isinstance(source, list):
        return "".join(map(str, source))
    return source if isinstance(source, str) else ""
