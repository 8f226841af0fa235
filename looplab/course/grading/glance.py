"""What a file says of itself at a glance: whether it is a notebook, of which chapter, whose."""

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

# "# student: Ada", "#Student: Ada", in a code cell or as a heading.
STUDENT = re.compile(r"^[ \t]*#+[ \t]*student[ \t]*[:：](.*)$", re.M | re.I)
EXERCISE = re.compile(r"^#[ \t]*exercise[ \t]+(\d\d\.\d+)\b", re.M | re.I)
UNFILLED = ("", "name", "your name", "...", "…")  # what a template has there


@dataclass(frozen=True)
class Glance:
    """`chapter` and `student` are "" where nothing is said; `cells` has the ids of answer cells."""

    notebook: bool = False
    chapter: str = ""
    student: str = ""
    cells: dict[str, str] = field(default_factory=dict)  # exercise -> id


def glance(data: bytes) -> Glance:
    """Look at the bytes of a file; nothing in it is an error.

    >>> cell = {"id": "a", "cell_type": "code", "source": "# exercise 03.1\\n#Student: Ada"}
    >>> glance(json.dumps({"nbformat": 4, "cells": [cell]}).encode())
    Glance(notebook=True, chapter='03', student='Ada', cells={'03.1': 'a'})
    >>> glance(b"Dear teacher")
    Glance(notebook=False, chapter='', student='', cells={})
    """
    try:
        told = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return Glance()
    if not isinstance(told, dict) or "nbformat" not in told:
        return Glance()
    sheets = told.get("worksheets")  # version 3
    cells = told.get("cells", sheets[0].get("cells") if _is_sheets(sheets) else None)
    cells = [cell for cell in cells or () if isinstance(cell, dict)]
    marks = {}
    for cell in cells:
        for exercise in EXERCISE.findall(source(cell)):
            marks.setdefault(exercise, str(cell.get("id", "")))
    chapters = Counter(exercise[:2] for exercise in marks).most_common(1)
    named = said_in(source(cell) for cell in cells)
    return Glance(True, chapters[0][0] if chapters else "", named, marks)


def glance_at(file: Path) -> Glance:
    """As `glance`, of a file; one that cannot be read says nothing."""
    try:
        return glance(file.read_bytes()) if file.is_file() else Glance()
    except OSError:
        return Glance()


def said_in(sources: Iterable[str]) -> str:
    """The student that the first line such as `# student: NAME` names, or "".

    >>> said_in(["x = 1", "#Student:  Ada L "])
    'Ada L'
    """
    found = (name.strip() for text in sources for name in STUDENT.findall(text))
    return next((name for name in found if name.casefold() not in UNFILLED), "")


def source(cell: dict) -> str:
    """The text of a cell, which may be stored in lines."""
    text = cell.get("source", cell.get("input", ""))  # version 3 says input
    if isinstance(text, list):
        return "".join(map(str, text))
    return text if isinstance(text, str) else ""


def _is_sheets(sheets) -> bool:
    return isinstance(sheets, list) and bool(sheets) and isinstance(sheets[0], dict)
