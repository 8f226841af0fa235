"""A page to look through a class: who, which mistake how often, each notebook at the exercise.

It is one HTML file without scripts, made from the report. Its links open notebooks in a JupyterLab
that was started in the page's folder.
"""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

from looplab.basics.writing import write_text
from looplab.course.grading.gradebook import Book
from looplab.course.grading.points import Rubric, reached, total, worth
from looplab.course.grading.report import most_often, remark
from looplab.course.grading.saved import Entry, shown

MARK = '<meta name="generator" content="looplab grade">'
LAB = "http://localhost:8888/lab/tree/"
SIGNS = {"passed": "✓", "not yet": "✗", "not attempted": "–", "error": "!"}
STYLE = """
body { font: 15px/1.45 sans-serif; margin: 2em; color: #222; background: #fff }
table { border-collapse: collapse; margin: 1em 0 }
td, th { border: 1px solid #bbb; padding: .25em .6em; text-align: left; vertical-align: top }
td.passed { background: #d9ecf7 }
td.not-yet { background: #fbe3c0 }
td.error { background: #eed3e4 }
a { color: inherit }
"""


def write_page(path: Path, book: Book, entries: Sequence[Entry], rubric: Rubric) -> None:
    """The page of a class: students, then by chapter submissions and mistakes, then the rest."""
    folder = path.absolute().parent.resolve()
    parts = ["<h1>A class</h1>", _how_to(), _students(book, rubric)]
    for chapter in book.out_of:
        mine = [one for one in entries if one.report.rows and one.report.chapter == chapter]
        parts += [f"<h2>Chapter {escape(chapter)}</h2>", _marks(mine, folder, rubric)]
        parts.append(_mistakes(mine, folder))
    parts.append(_ungraded(entries, folder))
    head = f'<!doctype html><html lang="en"><head><meta charset="utf-8">{MARK}'
    head += f"<title>A class</title><style>{STYLE}</style></head><body>\n"
    text = head + "\n".join(parts) + "\n</body></html>\n"
    write_text(path, text.encode("utf-8", "replace").decode())


def is_ours(path: Path) -> bool:
    """True for a page that was written here, or no file at all."""
    if not path.exists():
        return True
    try:
        with open(path, encoding="utf-8") as there:
            return MARK in there.read(500)
    except (OSError, ValueError):
        return False


def _how_to() -> str:
    return (
        "<p>Links open a notebook at the exercise, in a JupyterLab that runs here: start "
        "<code>jupyter lab</code> in the folder of this page. ✓ passed, ✗ not yet, – not "
        "attempted, ! error.</p>"
    )


def _students(book: Book, rubric: Rubric) -> str:
    rows = [["student", "id", *(f"chapter {one}" for one in book.out_of), "remarks"]]
    for line in book.lines:
        row = [line.student.name, line.student.id or line.student.number]
        for chapter, most in book.out_of.items():
            one = line.counts.get(chapter)
            late = " late" if one and one.whose.late else ""
            row.append(f"{total(one.report, rubric)[0]:g} of {most:g}{late}" if one else "")
        rows.append([*row, "; ".join(line.notes)])
    return _table(rows[0], [[f"<td>{escape(cell)}</td>" for cell in row] for row in rows[1:]])


def _marks(entries: Sequence[Entry], folder: Path, rubric: Rubric) -> str:
    """Who by exercise; each cell is a link."""
    columns = sorted({row.exercise for one in entries for row in one.report.rows})
    rows = []
    for one in sorted(entries, key=lambda one: one.whose.name.casefold()):
        marks = {row.exercise: row for row in one.report.rows}
        cells = [f"<td>{_link(one, '', folder, one.whose.name)}</td>"]
        for exercise in columns:
            row = marks.get(exercise)
            if row is None:
                cells.append("<td></td>")
                continue
            got = reached(row, rubric)
            part = f" {got:g}" if 0 < got < worth(exercise, rubric) else ""
            link = _link(one, exercise, folder, SIGNS[row.result] + part, remark(row))
            cells.append(f'<td class="{row.result.replace(" ", "-")}">{link}</td>')
        rows.append(cells)
    return _table(["student", *columns], rows)


def _mistakes(entries: Sequence[Entry], folder: Path) -> str:
    """Each mistake of our own checks, how often, and whose."""
    rows = []
    for exercise in sorted({row.exercise for one in entries for row in one.report.rows}):
        theirs = [
            (one, row) for one in entries for row in one.report.rows if row.exercise == exercise
        ]
        for told, count in most_often(row for _, row in theirs):
            who = [
                _link(one, exercise, folder, one.whose.name)
                for one, row in theirs
                if most_often([row]) == [(told, 1)]
            ]
            cells = [exercise, str(count), told]
            rows.append([*(f"<td>{escape(c)}</td>" for c in cells), f"<td>{', '.join(who)}</td>"])
    return _table(["exercise", "how often", "mistake", "who"], rows) if rows else ""


def _ungraded(entries: Sequence[Entry], folder: Path) -> str:
    rows = [
        [f"<td>{escape(text)}</td>" for text in (one.whose.name, name, one.report.problem)]
        for one in entries
        if one.report.problem and (name := shown(one.place, folder))
    ]
    return f"<h2>Not graded</h2>{_table(['student', 'file', 'why'], rows)}" if rows else ""


def _link(one: Entry, exercise: str, folder: Path, text: str, title: str = "") -> str:
    """A link to the notebook in JupyterLab, at the cell where that is known."""
    name = shown(one.place, folder)
    said = f' title="{escape(title)}"' if title else ""
    if name.startswith("..") or not one.place.exists():  # in an archive, or out of its sight
        return f"<span{said}>{escape(text)}</span>"
    cell = one.cells.get(exercise, "")
    place = quote(name, errors="replace") + (f"#cell-id={quote(cell)}" if cell else "")
    return f'<a href="{LAB}{place}"{said}>{escape(text)}</a>'


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{escape(head)}</th>" for head in heads)
    body = "\n".join(f"<tr>{''.join(cells)}</tr>" for cells in rows)
    return f"<table><tr>{top}</tr>\n{body}</table>"
