"""Read a submission: which chapter it is, whose, and what it answers."""

import json
import re
import stat
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from nbformat import reader

MARK = re.compile(r"^# exercise (\d\d\.\d+)[ \t\r]*$", re.M)
CHAPTER = re.compile(r"\d\d[a-z]?")  # 05b is the second half of 05
STUDENT = re.compile(r"^# student:(.*)$", re.M)
STUB_LINE = re.compile(r"^[^#\n]*\btodo\(\) *# replace this line", re.M)
LARGEST = 200_000  # characters of one answer
LARGEST_FILE = 50_000_000  # bytes


class Unreadable(ValueError):
    """A file that is no notebook that could be graded; the text says why."""


@dataclass(frozen=True)
class Submission:
    """What a notebook says: the chapter ("" if none is recognised), the student, the answers.

    `chapter` is the number that most of its exercises have, "05" for either half of chapter 05; of
    a notebook without exercises what it says of itself, "05b".
    """

    chapter: str
    student: str
    answers: dict[str, str]  # exercise -> source
    notes: dict[str, str] = field(default_factory=dict)  # exercise -> why it has no answer


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
    answers, notes = answers_in(cells)
    counts = Counter(exercise[:2] for exercise in [*answers, *notes])
    said = str(_looplab(notebook).get("chapter", ""))
    chapter = counts.most_common(1)[0][0] if counts else said
    named = [name.strip() for cell in cells for name in STUDENT.findall(_source(cell))]
    student = next((printable(name)[:200] for name in named if name), printable(student_of(path)))
    return Submission(chapter if CHAPTER.fullmatch(chapter) else "", student, answers, notes)


def student_of(path: Path) -> str:
    """The file's name; or its folder's, where files are called like the chapter.

    >>> student_of(Path("class/ada.ipynb")), student_of(Path("class/ada/03_watch.ipynb"))
    ('ada', 'ada')
    """
    like_the_chapter = CHAPTER.fullmatch(path.stem.partition("_")[0]) and "_" in path.stem
    return path.parent.name if like_the_chapter and path.parent.name else path.stem


def printable(text: str) -> str:
    r"""The text in one line that any terminal and file can take.

    >>> printable("a\nb\x1b[31m\udcff é")
    'a b?[31m? é'
    """
    return "".join(one if one.isprintable() else " " if one.isspace() else "?" for one in text)


def answers_in(cells) -> tuple[dict[str, str], dict[str, str]]:
    """Exercise -> source, by marker line first, then by metadata; and why others have none.

    Pieces of one answer are joined in document order. Where a copy of the untouched stub stands
    beside an answer, the stub is left out.
    """
    found: dict[str, list[str]] = {}
    notes = {}
    for cell in cells:
        source, about = _source(cell), _looplab(cell)
        marks = list(MARK.finditer(source))
        if cell.get("cell_type") != "code":
            for mark in marks:
                notes[mark[1]] = "the answer stands in a text cell: make it a code cell again"
            continue
        head = source[: marks[0].start() if marks else None]
        if about.get("role") == "answer" and head.strip():
            found.setdefault(str(about.get("ex", "")), []).append(head)
        for mark, end in zip(marks, [*marks[1:], None], strict=False):
            piece = source[mark.start() : end.start() if end else None]
            found.setdefault(mark[1], []).append(piece)
    answers = {}
    for exercise, pieces in found.items():
        written = [piece for piece in pieces if not is_stub(piece)] or pieces[:1]
        source = "\n".join(written)
        if not re.fullmatch(r"\d\d\.\d+", exercise):
            continue
        if len(source) > LARGEST:
            notes[exercise] = f"the answer has {len(source)} characters, more than {LARGEST}"
        else:
            answers[exercise] = source
    return answers, {exercise: why for exercise, why in notes.items() if exercise not in answers}


def is_stub(source: str) -> bool:
    """True where nothing was written: the stub's line is still there, and nothing defined twice.

    >>> is_stub("def f(x):\\n    return todo()  # replace this line")
    True
    >>> is_stub("def f(x):\\n    # return todo()  # replace this line\\n    return x")
    False
    """
    named = re.findall(r"^(?:def|class) +(\w+)|^(\w+) *=", source, re.M)
    return bool(STUB_LINE.search(source)) and len(set(named)) == len(named)


def _looplab(part) -> dict:
    about = part.get("metadata")
    about = about.get("looplab") if isinstance(about, dict) else None
    return about if isinstance(about, dict) else {}


def _source(cell) -> str:
    source = cell.get("source", "")
    if isinstance(source, list):
        return "".join(map(str, source))
    return source if isinstance(source, str) else ""
