"""Cells of the tables that a teacher opens in a spreadsheet, and the file that they stand in."""

import csv
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from looplab.basics.writing import in_one_stroke

# How a cell begins that a spreadsheet would run; in full width too, which some take for the same.
FORMULA = "=+\\-@＝＋－＠"
UNSEEN = "\\s\u00ad\u200b-\u200f\u2060\ufeff"  # what a program may strip in front of it
BEGINNING = re.compile(rf"[{UNSEEN}]*[{FORMULA}]")
# Where a semicolon separates columns, what stands behind one begins a cell.
INSIDE = re.compile(rf"(;[{UNSEEN}'\"]*)(?=[{FORMULA}])")


def guarded(cell: str) -> str:
    """A cell in one line that no spreadsheet program takes for a formula, wherever it cuts.

    >>> guarded("=1+1"), guarded("007"), guarded("Ada;=1"), guarded("a\\tb")
    ("'=1+1", '007', "Ada;'=1", 'a b')
    """
    # A tab or the end of a line would begin another cell in other programs.
    line = re.sub(r"[\t\r\n\v\f\x85\u2028\u2029]", " ", cell)
    line = INSIDE.sub(r"\1'", line)
    return f"'{line}" if BEGINNING.match(line) else line


def write_cells(path: Path, rows: Iterable[Sequence[str]]) -> None:
    """Write a table as CSV, in one stroke, with the mark that tells spreadsheets of UTF-8."""
    with (
        in_one_stroke(path) as partial,
        open(partial, "w", encoding="utf-8-sig", errors="replace", newline="") as file,
    ):
        csv.writer(file).writerows(rows)
