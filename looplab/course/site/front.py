"""The front page: a loop to play with, one sentence, then doors, chapters, and how to start."""

import html
import re

from looplab.course import build
from looplab.course.explore import pages as live_pages
from looplab.course.site.capture import CaptureError

# A chain of nine, which takes the model several loops, and a tree of three, which does not.
_FOREST = "f=b77a3497506b&amp;m=hero&amp;l=1"
_TITLE = "A model finds the root of every node of a forest, which you can rebuild"
# Beside the name of a page: what one sees there, in a square of 48. Shapes are not told by colour.
_SIGNS = {
    "root": '<path d="M24 12 10 36M24 12 38 36M24 12v24"/><circle cx="24" cy="11" r="6"/>'
    '<circle cx="10" cy="37" r="5"/><circle cx="24" cy="37" r="5"/><rect x="33" y="32" width="10" '
    'height="10"/>',
    "flood": '<path d="M6 6h36v36H6zM18 6v12M30 42V18H18M30 30H18v12" class="line"/>'
    '<circle cx="12" cy="12" r="3"/><circle cx="12" cy="24" r="3"/><circle cx="24" cy="24" r="3"/>',
    "sentence": '<path d="M4 15h12M20 15h8M32 15h12M4 33h12M20 33h8" class="line"/>'
    '<circle cx="38" cy="33" r="5"/>',
    "design": '<path d="M8 34 20 8 42 16 30 40zM8 34l10-21 20 6-7 16z" class="line"/>'
    '<circle cx="8" cy="34" r="4"/><rect x="16" y="5" width="7" height="7"/>'
    '<path d="m42 11 5 5-5 5-5-5z"/><path d="m30 35 5 9H25z"/>',
}

_LIVE = (
    f'<iframe class="looplab-live-page" title="{_TITLE}" '
    f'src="{live_pages.FOLDER}/root.html#{_FOREST}"></iframe>\n\n'
    "*This model runs here, now. Drag a node onto another one, and it has to find the root again.*"
)


def front_page(about: dict[str, dict], guides: list[str], live: bool) -> str:
    """The front page in Markdown; its words are the README's. `live`: with pages that run models.

    about: what each chapter says of itself, by its stem. Raises CaptureError for a README whose
    opening is another.
    """
    readme = (build.ROOT / "README.md").read_text(encoding="utf-8")
    found = re.match(
        r"# looplab\n\n\*\*(?P<sentence>.*?)\*\* (?P<told>.*?)\n\n(?P<loop>!.*?)\n\n(?P<more>.*?)"
        r"^(?P<start>## Start\n.*?)^## ",
        readme,
        re.M | re.S,
    )
    if not found:
        raise CaptureError(
            "README.md: its sentence in bold, a picture of a loop, what it is about, and a section "
            "'## Start' make the front page, in this order"
        )
    trees = [
        toctree("Chapters", [f"chapters/{stem}" for stem in about]),
        toctree("Solutions", ["chapters/solved/index"]),
        toctree("Guides", [f"docs/{guide}" for guide in guides]),
    ]
    listed = ", ".join(f"[{guide.replace('-', ' ')}](docs/{guide}.md)" for guide in guides)
    parts = [
        "---\nhide-toc: true\n---",
        "# looplab",
        f":::{{container}} looplab-sentence\n{found['sentence']}\n:::",
        _LIVE if live else f":::{{container}} looplab-loop\n{found['loop']}\n:::",
        f":::{{container}} looplab-told\n{found['told']}\n:::",
        doors() if live else "",
        "## Chapters\n\nHere you can read them and move their sliders. Each says how to open it as "
        "a notebook, where you solve its exercises.",
        chapters(about),
        f"## What a loop does\n\n{found['loop'] if live else ''}\n\n{found['more']}",
        found["start"],
        f"## More\n\nThe [solved chapters](chapters/solved/index.md). Guides: {listed}. "
        '<a href="search.html">Search the course</a>.',
        *trees,
    ]
    return "\n\n".join(parts)


def doors() -> str:
    """Cards that lead to the pages on which models run."""
    cards = "".join(
        f'<li><a href="{live_pages.FOLDER}/{page.name}.html">'
        f'<svg viewBox="0 0 48 48" aria-hidden="true">{_SIGNS[page.name]}</svg>'
        f"<b>{html.escape(page.title)}</b><span>{html.escape(page.about)}</span></a></li>"
        for page in live_pages.PAGES
    )
    return (
        "## Run a loop yourself\n\nThese models run on your device, a phone will do. Nothing is "
        f'installed, nothing is sent.\n\n<ul class="looplab-cards looplab-doors">{cards}</ul>'
    )


def chapters(about: dict[str, dict]) -> str:
    """A card for each chapter: its title, what one learns, and how long it takes."""
    cards = "".join(
        f'<li><a href="chapters/{stem}.html"><small>{said["chapter"]} · {said["minutes"]} minutes'
        f"</small><b>{html.escape(said['title'])}</b><span>{html.escape(capital(said['learn']))}."
        f"</span><small>needs {html.escape(said['needs'])}</small></a></li>"
        for stem, said in about.items()
    )
    return f'<ul class="looplab-cards">{cards}</ul>'


def capital(text: str) -> str:
    """The text with a capital letter at its beginning.

    >>> capital("train your own PyTorch model")
    'Train your own PyTorch model'
    """
    return text[:1].upper() + text[1:]


def toctree(caption: str, names: list[str], hidden: bool = True) -> str:
    """Sphinx's list of pages; a hidden one shows in the side bar only."""
    options = (":hidden:\n" if hidden else "") + (f":caption: {caption}\n" if caption else "")
    return f"```{{toctree}}\n:maxdepth: 1\n{options}\n" + "\n".join(names) + "\n```\n"
