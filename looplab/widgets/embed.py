"""The scripts of the widgets, and their web edition: HTML that steps without a kernel or network.

A page holds one block per widget and the scripts once. `alone` puts both together, for a page that
has nothing else.
"""

import html
import json
from pathlib import Path

_HERE = Path(__file__).parent / "js"
# What the live widgets and the web edition have in common, in this order: a piece may use only
# what stands above it.
DRAWING = (
    "numbers.js",
    "palette.js",
    "pen.js",
    "microscope/run.js",
    "microscope/words.js",
    "microscope/legend.js",
    "microscope/cycle.js",
    "microscope/lines.js",
    "microscope/matrix.js",
    "microscope/answers.js",
    "microscope/forest.js",
    "microscope/attention.js",
    "microscope/microscope.js",
    "frames.js",
    "plane.js",
    "phases.js",
    "patches.js",
    "steps.js",
    "layers.js",
    "streams.js",
    "sheet.js",
    "view.js",
)


def live_script() -> str:
    """The module that a notebook's front end runs for each live widget.

    >>> "export default" in live_script()
    True
    """
    return _joined(*_paths(*DRAWING, "live_widget.js"))


def script(*more: Path) -> str:
    """The code that fills the blocks of a page: the live widgets' drawing, under plain controls.

    `more` are files that add makers of further kinds of blocks (`looplab.makers.KIND`).

    >>> script().endswith("})();")
    True
    """
    pieces = _paths(*DRAWING, "page_controls.js")
    return _joined(*pieces, *more, *_paths("static_page.js"))


def block(kind: str, title: str, payload: dict) -> str:
    """One widget: its kind (the name of its maker), its name for a screen reader, and all its data.

    The text depends on the data only, so that a rebuilt page differs where the run does.

    >>> block("stepper", "a run", {"labels": ["</script>"]})[:60]
    '<div data-looplab="stepper" role="group" aria-label="a run">'
    """
    # "<" would end the script early if a label held "</script>"; as an escape it means the same.
    data = json.dumps(payload, separators=(",", ":")).replace("<", "\\u003c")
    return (
        f'<div data-looplab="{kind}" role="group" aria-label="{html.escape(title, quote=True)}">'
        f'<script type="application/json">{data}</script>'
        "<noscript>This picture moves with JavaScript, which is off here. The still pictures "
        "above show some of its frames.</noscript></div>"
    )


def alone(block: str, *more: Path) -> str:
    """A block with the code that fills it, for a page of its own or an output in a notebook."""
    # A function around it: two such pieces on one page must not name the same things twice.
    return f"{block}<script>(() => {{{script(*more)}}})();</script>"


def pieces(*names: str) -> str:
    """Scripts of `widgets/js`, joined in this order, for a page that has scripts of its own.

    >>> "strokes" in pieces("numbers.js", "palette.js", "pen.js")
    True
    """
    return _joined(*_paths(*names))


def _paths(*names: str) -> list[Path]:
    return [_HERE / name for name in names]


def _joined(*paths: Path) -> str:
    return "\n".join(path.read_text(encoding="utf-8").rstrip() for path in paths)
