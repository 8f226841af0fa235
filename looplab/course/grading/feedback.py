"""A file for each student that says what passed, which mistake was found, and where hints are."""

import html
import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path, PurePath

from looplab.basics.writing import write_text
from looplab.course.build import ADDRESS, ROOT, sources, target
from looplab.course.exercises import exercise
from looplab.course.grading.marking import Row
from looplab.course.grading.points import Rubric, reached, total, worth
from looplab.course.grading.saved import Entry

MARK = "<!-- written by looplab grade -->"  # the first line of every file: such a one is replaced
COLAB = "https://colab.research.google.com/github/"
WORDS = {
    "passed": "passed",
    "not yet": "not yet",
    "not attempted": "not attempted",
    "error": "it ended in an error",
}
STYLE = "body{font:16px/1.5 sans-serif;max-width:44em;margin:2em auto;padding:0 1em}"


def write_feedback(folder: Path, entries: Sequence[Entry], rubric: Rubric) -> list[Path]:
    """One .md and one .html for each submission, in a folder that mirrors the submissions.

    Returns the files that stand there already and were not written by this function: they stay.
    """
    kept = []
    for one in entries:
        stem = folder / within(one)
        told = markdown(one, rubric)
        for file, text in (
            (stem.with_name(f"{stem.name}.md"), told),
            (stem.with_name(f"{stem.name}.html"), page(one, rubric)),
        ):
            if is_ours(file):
                file.parent.mkdir(parents=True, exist_ok=True)
                write_text(file, text)
            else:
                kept.append(file)
    return kept


def within(one: Entry) -> PurePath:
    """Where a submission lies below the folder that was graded; notebooks without their ending."""
    inside = one.place.relative_to(one.root) if one.root in one.place.parents else one.place.name
    inside = PurePath(
        *(part.encode("utf-8", "replace").decode() for part in PurePath(inside).parts)
    )
    return inside.with_suffix("") if inside.suffix.lower() == ".ipynb" else inside


def is_ours(file: Path) -> bool:
    """True for a file that was written here, or none at all."""
    if not file.exists():
        return True
    try:
        with open(file, encoding="utf-8") as there:
            return there.readline().strip() == MARK
    except (OSError, ValueError):
        return False


def markdown(one: Entry, rubric: Rubric) -> str:
    """A submission's feedback as Markdown."""
    title, *told = _sentences(one, rubric)
    lines = [f"# {_plain(title)}"]
    for text, link in told:
        lines.append(f"{_plain(text)}{f' [Hints]({link})' if link else ''}")
    return MARK + "\n\n" + "\n\n".join(lines) + "\n"


def page(one: Entry, rubric: Rubric) -> str:
    """A submission's feedback as HTML."""
    title, *told = _sentences(one, rubric)
    shown = html.escape(title)
    body = "\n".join(
        f"<p>{html.escape(text)}{f' <a href={json.dumps(link)}>Hints</a>' if link else ''}</p>"
        for text, link in told
    )
    return (
        f'{MARK}\n<!doctype html><html lang="en"><meta charset="utf-8"><title>{shown}</title>'
        f"<style>{STYLE}</style>\n<h1>{shown}</h1>\n{body}\n</html>\n"
    )


@cache
def hints(exercise: str) -> str:
    """The web address of an exercise's hints; "" where its chapter has none."""
    for source in sources():
        if not source.name.startswith(exercise[:2]):
            continue
        notebook = target(source, "unsolved")
        cells = (
            json.loads(notebook.read_text(encoding="utf-8"))["cells"] if notebook.exists() else []
        )
        checked = False
        for cell in cells:
            about = cell["metadata"].get("looplab", {})
            checked |= (about.get("role"), about.get("ex")) == ("check", exercise)
            if checked and "<details>" in "".join(cell["source"]):
                where = f"{ADDRESS.removeprefix('https://github.com/')}/blob/main"
                inside = notebook.relative_to(ROOT).as_posix()
                return f"{COLAB}{where}/{inside}#scrollTo={cell['id']}"
    return ""


def _sentences(one: Entry, rubric: Rubric) -> list:
    """The title, then (text, link or "") for each paragraph."""
    report = one.report
    if report.problem:
        return [one.whose.name, (f"{one.place.name} was not graded: {report.problem}.", "")]
    got, most = total(report, rubric)
    told: list = [f"Chapter {report.chapter}: {one.whose.name}"]
    passed = sum(row.result == "passed" for row in report.rows)
    count = f"{passed} of {len(report.rows)} exercises passed, {got:g} of {most:g} points."
    told.append((f"{count} Handed in late." if one.whose.late else count, ""))
    told += [_paragraph(row, rubric) for row in report.rows]
    return told


def _paragraph(row: Row, rubric: Rubric) -> tuple[str, str]:
    points = f"{reached(row, rubric):g} of {worth(row.exercise, rubric):g}"
    said = f"{row.exercise} {_title(row.exercise)}: {WORDS[row.result]} ({points})"
    said = f"{said}: {row.why}" if row.why else said
    return f"{said}.", "" if row.result == "passed" else hints(row.exercise)


def _title(id: str) -> str:
    try:
        return exercise(id).title
    except ValueError:  # of an edition that had another exercise
        return ""


def _plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    return re.sub(r"([\\`*_{}\[\]<>#|&!$~])", r"\\\1", text)
