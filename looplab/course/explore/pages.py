"""Write the pages on which models run, with all they need, into one folder of the web edition."""

import base64
import gzip
import hashlib
import html
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from string import Template

from looplab.course import build
from looplab.course.explore import design, models, runtime, sentence
from looplab.widgets import embed

_HERE = Path(__file__).parent
_JS, _HTML = _HERE / "js", _HERE / "html"
ICON = _HERE.parent / "site" / "static" / "favicon.svg"
FOLDER = "explore"  # in the site
_COMMON = ("engine.js", "explore.js")  # in the one script that all pages load


@dataclass(frozen=True)
class Page:
    """One page: its text is html/NAME.html, its scripts come behind the common one."""

    name: str
    title: str
    about: str  # one sentence, for lists of the pages
    chapter: str  # the number of the chapter that it belongs to
    models: tuple[str, ...] = ()  # of models.MODELS, loaded when the page asks for them
    scripts: tuple[str, ...] = ()  # of js/
    given: Callable[[], dict] | None = None  # what these find as JSON in the element "given"


PAGES = (
    Page(
        "root",
        "Find the root",
        "Build a forest of twelve nodes and watch each of them find its root, loop by loop.",
        "03",
        ("hero", "root-k1"),
        ("layout.js", "root.js"),
    ),
    Page(
        "flood",
        "Flood a maze",
        "Build a maze of up to 16 by 16 cells and watch the model's water find its way.",
        "02",
        ("flood",),
        ("flood.js",),
    ),
    Page(
        "sentence",
        "One sentence",
        "Type a sentence and watch a small model change its mind about it, loop by loop.",
        "08",
        ("drawn", "loop"),
        ("byte_pairs.js", "sentence.js"),
        sentence.given,
    ),
    Page(
        "design",
        "Design a loop",
        "Throw dice for a loop's weights: does it rest, go on tour, or wander for ever?",
        "05",
        scripts=("random_stack.js", "ends.js", "design.js"),
        given=design.given,
    ),
)


def ready(cache: Path) -> bool:
    """Whether the pages can be made here; if not, says why. Fetches and exports what they need."""
    try:
        runtime.fetch(cache)
        for page in PAGES:
            for name in page.models:
                models.graphs(name, cache)
    except (runtime.RuntimeMissingError, ImportError) as error:
        print(f"The site is built without its pages that run models: {error}", flush=True)
        return False
    return True


def write(out: Path, cache: Path, stems: list[str], pages: tuple[Page, ...] = PAGES) -> None:
    """Fill the new folder `out`, which stands in a site that has the chapters `stems`.

    Raises RuntimeMissingError where there is no runtime.
    """
    (out / "models").mkdir(parents=True)
    shutil.copy(ICON, out)
    for name in ("explore.css", "license.txt"):
        shutil.copy(_HERE / name, out)
    folder = runtime.fetch(cache)
    shutil.copy(folder / runtime.SCRIPT, out)
    parts = {"glue": folder / runtime.GLUE, "wasm": folder / runtime.WASM}
    write_parcel(out, "runtime", {name: packed(path.read_bytes()) for name, path in parts.items()})
    for name in sorted({name for page in pages for name in page.models}):
        write_parcel(out, f"models/{name}", model_parcel(models.graphs(name, cache)))
    drawing = embed.pieces(*embed.DRAWING)
    common = "\n".join((_JS / name).read_text(encoding="utf-8") for name in _COMMON)
    (out / "explore.js").write_text(f"{drawing}\n{common}", encoding="utf-8")
    for page in pages:
        for name in page.scripts:
            shutil.copy(_JS / name, out)
        text = page_text(page, pages, stems)
        (out / f"{page.name}.html").write_text(text, encoding="utf-8")
    (out / "worker.js").write_text(worker(out), encoding="utf-8")


def page_text(page: Page, pages: tuple[Page, ...], stems: list[str]) -> str:
    """One page as HTML."""
    frame = Template((_HTML / "frame.html").read_text(encoding="utf-8"))
    body = (_HTML / f"{page.name}.html").read_text(encoding="utf-8")
    links = "".join(
        f'<a href="{one.name}.html"{" aria-current=page" if one is page else ""}>{one.title}</a>'
        for one in pages
    )
    scripts = "".join(f'<script defer src="{name}"></script>' for name in page.scripts)
    address, words = chapter_link(page.chapter, stems)
    if page.given is not None:
        # "<" could end the element early; as an escape it means the same.
        data = json.dumps(page.given(), separators=(",", ":")).replace("<", "\\u003c")
        body += f'<script type="application/json" id="given">{data}</script>'
    return frame.substitute(
        title=html.escape(page.title),
        about=html.escape(page.about, quote=True),
        links=links,
        scripts=scripts,
        chapter=f'<a href="{html.escape(address)}">{html.escape(words)}</a>',
        body=body,
    )


def chapter_link(number: str, stems: list[str]) -> tuple[str, str]:
    """Address, from a page, and words of the link to a chapter: in the site, or the repository."""
    stem = build.find(number).stem
    address = f"../chapters/{stem}.html"
    if stem not in stems:
        address = f"{build.ADDRESS}/blob/main/chapters/{stem}.ipynb"
    return address, f"chapter {number}, {stem[3:].replace('_', ' ')}"


def packed(data: bytes) -> str:
    """Bytes as text for a script: gzip, then base64; the same for the same bytes."""
    return base64.b64encode(gzip.compress(data, 9, mtime=0)).decode()


def model_parcel(folder: Path) -> dict:
    """What a page is handed of an exported model."""
    about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    graphs = {}
    for name, part in about["parts"].items():
        graphs[name] = packed(models.light(folder / part["file"]))
        del part["file"], part["sha256"]  # of the files, which stand no longer by themselves
    return {"about": about, "graphs": graphs}


def write_parcel(out: Path, name: str, parcel: dict) -> None:
    """A script that hands a parcel to the engine of the page that loads it."""
    text = f"looplab.engine.take({json.dumps(name)}, {json.dumps(parcel, separators=(',', ':'))});"
    (out / f"{name}.js").write_text(text + "\n", encoding="utf-8")


def worker(out: Path) -> str:
    """The service worker, for this very state of the folder."""
    files = [path for path in sorted(out.rglob("*")) if path.is_file()]
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.relative_to(out).as_posix().encode() + b"\0" + path.read_bytes())
    small = [path.name for path in files if path.parent == out and path.name != "runtime.js"]
    text = (_JS / "worker.js").read_text(encoding="utf-8")
    said = {"version": digest.hexdigest()[:16], "files": small}
    return f"const SITE = {json.dumps(said)};\n{text}"
