"""The frames of a chapter's widgets, which no notebook stores: the solved chapter is run once."""

import hashlib
import json
import re
from copy import deepcopy
from pathlib import Path

import ipywidgets
import nbformat
from nbclient.exceptions import CellExecutionError

from looplab import widgets
from looplab.course import build, diagnosis

# What these depend on besides the chapter: the library and its data, but for what makes pages.
_INPUTS = ("looplab/**/*.py", "data/**/*", "requirements.txt")
_NOT_INPUTS = ("looplab/course/site/", "looplab/course/explore/", "looplab/graphs/")
# Controls that do nothing without a kernel, and what stands in their place.
NEEDS_KERNEL = {
    "ModelMenu": "In a running notebook a menu of released models stands here. This page was made "
    "with its first choice, the miniatures."
}
_FIRST = "from looplab.course.site.capture import as_blocks\nas_blocks()"


class CaptureError(RuntimeError):
    """A widget in a chapter that cannot be shown without a kernel, or is not what was stored."""


def as_blocks():
    """From here on this kernel shows every widget as its block of HTML (run by the builder)."""
    from IPython import get_ipython

    def show(widget, include=None, exclude=None):
        shown = {"text/plain": repr(widget)}
        return shown | {"text/html": widget.block()} if hasattr(widget, "block") else shown

    formatter = get_ipython().display_formatter.mimebundle_formatter
    formatter.for_type(ipywidgets.DOMWidget, show)


def shown_widget(output) -> str | None:
    """The text of a stored output if it stands for a widget with a web edition: `Name(...)`."""
    data = output.get("data", {})
    text = data.get("text/plain", "")
    named = re.match(r"([A-Z]\w+)\(.*\)$", text, re.S)
    if set(data) != {"text/plain"} or not named or named[1] in NEEDS_KERNEL:
        return None
    found = (getattr(home, named[1], None) for home in (widgets, diagnosis, ipywidgets))
    kinds = [one for one in found if isinstance(one, type) and issubclass(one, ipywidgets.Widget)]
    return text if kinds else None


def blocks(stem: str, cache: Path) -> dict[str, list[list[str]]]:
    """Cell id -> [repr, block of HTML] of each widget that the chapter shows.

    Runs the solved chapter up to its last widget, unless `cache` holds the outcome for these very
    cells, this library and these data. Raises CaptureError for a widget without a web edition, and
    whatever the chapter raises.
    """
    notebook = nbformat.read(build.ROOT / f"chapters/solved/{stem}.ipynb", as_version=4)
    last = max((n for n, cell in enumerate(notebook.cells) if _widgets_in(cell)), default=-1)
    notebook.cells = notebook.cells[: last + 1]
    if not notebook.cells:
        return {}
    kept = cache / f"{stem}-{_key(notebook)}.json"
    if kept.exists():
        return json.loads(kept.read_text(encoding="utf-8"))
    print(f"running {stem} for its widgets ...", flush=True)
    run = deepcopy(notebook)
    run.cells.insert(0, nbformat.v4.new_code_cell(_FIRST))
    try:
        build.execute(run, build.ROOT / "chapters/solved")
    except CellExecutionError as error:
        raise CaptureError(f"{stem} does not run: {str(error).strip()[-1000:]}") from error
    found = {}
    for stored, cell in zip(notebook.cells, run.cells[1:], strict=True):
        if wanted := _widgets_in(stored):
            found[stored.id] = _matched(f"{stem}, cell {stored.id}", wanted, cell)
    cache.mkdir(parents=True, exist_ok=True)
    for old in cache.glob(f"{stem}-*.json"):
        old.unlink()
    kept.write_text(json.dumps(found), encoding="utf-8")
    return found


def _widgets_in(cell) -> list[str]:
    return [text for output in cell.get("outputs", []) if (text := shown_widget(output))]


def _matched(where: str, wanted: list[str], cell) -> list[list[str]]:
    shown = [output.data for output in cell.outputs if "text/html" in output.get("data", {})]
    got = [[data["text/plain"], data["text/html"]] for data in shown]
    if [text for text, _ in got] != wanted:
        raise CaptureError(
            f"{where}: shows {[text for text, _ in got]}, and the notebook stores {wanted}: "
            "run looplab build, or give the widget a block()"
        )
    return got


def _key(notebook) -> str:
    digest = hashlib.sha256(
        "\n\0".join(cell.source for cell in notebook.cells if cell.cell_type == "code").encode()
    )
    files = {path for pattern in _INPUTS for path in build.ROOT.glob(pattern) if path.is_file()}
    for path in sorted(files):
        name = path.relative_to(build.ROOT).as_posix()
        if not name.startswith(_NOT_INPUTS) and "__pycache__" not in name:
            digest.update(name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
