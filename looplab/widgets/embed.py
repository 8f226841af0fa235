"""The web edition of a widget: a block of HTML that steps without a kernel, a manager or a network.

A page holds one block per widget and the drawing code once. `alone` puts both together, for a page
that has nothing else.
"""

import html
import json
from pathlib import Path


def script(*more: Path) -> str:
    """The code that fills the blocks of a page; it is the live widgets' drawing code and a frame.

    `more` are files that add makers of further kinds of blocks.

    >>> script().startswith("// Drawing code")
    True
    """
    here = Path(__file__).parent
    parts = (here / "view.js", *more, here / "static_page.js")
    return "\n".join(path.read_text(encoding="utf-8") for path in parts)


def block(kind: str, title: str, payload: dict) -> str:
    """One widget: its kind (`stepper`, `game`), its name for a screen reader, and all its data.

    The text depends on the data only, so that a rebuilt page differs where the run does.

    >>> block("game", "a game", {"cases": ["</script>"]})[:58]
    '<div data-looplab="game" role="group" aria-label="a game">'
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
