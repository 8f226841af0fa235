"""What Sphinx reads: the committed notebooks with the site's banner, pictures and widgets."""

import base64
import hashlib
import html
import os
import re
import shutil
import struct
from pathlib import Path

import matplotlib
import nbformat

from looplab.course import build, diagnosis
from looplab.course.site.capture import NEEDS_KERNEL, CaptureError, shown_widget
from looplab.course.site.front import front_page, toctree
from looplab.widgets import embed

_STATIC = Path(__file__).parent / "static"
PICTURES = (".png", ".gif")
_LINK = re.compile(r"(\]\()([^)#:\s]+)((?:#[^)\s]*)?\))")
_ROLES = {"answer": "looplab-answer", "check": "looplab-check"}


def write(source: Path, stems: list[str], blocks: dict[str, dict], live: bool = False) -> None:
    """Fill the empty folder `source`; blocks: chapter -> cell id -> [[repr, HTML], ...].

    `live`: whether the site has pages that run models.
    """
    (source / "chapters/solved").mkdir(parents=True)
    (source / "_static").mkdir()
    for file in _STATIC.iterdir():
        shutil.copy(file, source / "_static")
    (source / "_static/looplab.js").write_text(embed.script(diagnosis.SCRIPT), encoding="utf-8")
    fonts = Path(matplotlib.get_data_path()) / "fonts/ttf"
    for name in ("STIXGeneral.ttf", "LICENSE_STIX"):  # for systems without a font for formulas
        shutil.copy(fonts / name, source / "_static")
    guides = sorted((build.ROOT / "docs").glob("*.md"))
    notebooks = {
        build.target(Path(stem), edition).relative_to(build.ROOT): stem
        for edition in build.EDITIONS
        for stem in stems
    }
    texts = {Path("docs") / guide.name: guide.read_text(encoding="utf-8") for guide in guides}
    known = {path.as_posix() for path in (*notebooks, *texts)}
    about = {}
    for path, stem in notebooks.items():
        notebook = nbformat.read(build.ROOT / path, as_version=4)
        prepare_notebook(notebook, path, stem, blocks[stem], source / "_static")
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = repository_links(cell.source, path, known)
        nbformat.write(notebook, source / path)
        about[stem] = notebook.metadata["looplab"]
    texts[Path("index.md")] = front_page(about, [guide.stem for guide in guides], live)
    texts[Path("chapters/solved/index.md")] = solutions_page(stems)
    (source / "docs").mkdir(exist_ok=True)
    for path, text in texts.items():
        (source / path).write_text(repository_links(text, path, known), encoding="utf-8")
    for picture in (p for p in (build.ROOT / "docs").iterdir() if p.suffix in PICTURES):
        shutil.copy(picture, source / "docs")


def prepare_notebook(notebook, where: Path, stem: str, blocks: dict, static: Path) -> None:
    """One notebook in place: banner for badges, roles as tags, outputs as the site shows them."""
    edition = notebook.metadata["looplab"]["edition"]
    first = notebook.cells[0]
    badges = build.badges(Path(stem), edition)
    if badges not in first.source:
        raise CaptureError(f"{where}: no badges under its title: run looplab build")
    first.source = first.source.replace(badges, banner(badges, stem, edition))
    if edition == "solved":
        first.source = re.sub(r"^(# .*)", r"\1, solved", first.source, count=1)
    up = "../" * (len(where.parts) - 1)
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        tags = cell.metadata.get("tags", [])
        role = cell.metadata.get("looplab", {}).get("role")
        tags += [_ROLES[role]] if role in _ROLES else []
        tags += ["hide-input"] if cell.id == "set-up" else []  # folded: it speaks to a kernel
        cell.metadata["tags"] = tags
        waiting = list(blocks.get(cell.id, []))
        for output in cell.outputs:
            said = output.get("data", {}).get("text/plain", "").partition("(")[0]
            if said in NEEDS_KERNEL:
                output.data = {"text/html": f"<p><em>{NEEDS_KERNEL[said]}</em></p>"}
            elif text := shown_widget(output):
                shown, block = waiting.pop(0) if waiting else ("nothing", "")
                if shown != text:
                    raise CaptureError(
                        f"{where}, cell {cell.id}: stores {text}, the solved chapter shows {shown}"
                    )
                output.data = {"text/html": block}
            elif "image/png" in output.get("data", {}):
                output.data = {"text/html": picture(output, static, up)}
            elif "data" in output:
                output.data = {"text/plain": output.data["text/plain"]}


def banner(badges: str, stem: str, edition: str) -> str:
    """Where else this chapter can be had, in place of badges whose pictures lie elsewhere."""
    colab, binder = re.findall(r"\]\((https[^)]*)\)(?=[\s]|$)", badges)
    if edition == "unsolved":
        other = f"[the exercises solved](solved/{stem}.ipynb)"
        told = "The sliders work on this page. To do the exercises, open it as a notebook"
    else:
        other = f"[the exercises open](../{stem}.ipynb)"
        told = "This is the solved edition. As a notebook it opens"
    return (
        f":::{{container}} looplab-banner\n{told}: [in Colab]({colab}), [in Binder]({binder}), or "
        f"on your own machine. See also {other}.\n:::"
    )


def picture(output, static: Path, up: str) -> str:
    """A PNG output as an image with its alt text, its size, and a link to itself in full."""
    data, png = output.data, base64.b64decode(output.data["image/png"])
    name = f"figures/{hashlib.sha256(png).hexdigest()[:16]}.png"
    (static / "figures").mkdir(exist_ok=True)
    (static / name).write_bytes(png)
    pixels, high = struct.unpack(">II", png[16:24])
    width = output.metadata.get("image/png", {}).get("width", pixels)  # fewer than the file has
    height = round(high * width / pixels)
    address, alt = f"{up}_static/{name}", html.escape(data["text/plain"], quote=True)
    kind = "looplab-figure looplab-broad" if width > 700 else "looplab-figure"
    return (
        f'<div class="{kind}"><a href="{address}"><img src="{address}" alt="{alt}" '
        f'width="{width}" height="{height}" loading="lazy"></a></div>'
    )


def solutions_page(stems: list[str]) -> str:
    """The page that lists the solved chapters."""
    return (
        "# Solved chapters\n\nThe same chapters with every exercise solved. Look when you have "
        "tried.\n\n" + toctree("", stems, hidden=False)
    )


def repository_links(text: str, page: Path, pages: set[str]) -> str:
    """Links to files of the course that are no pages here lead to the repository."""

    def choose(match):
        target = Path(os.path.normpath(page.parent / match[2])).as_posix()
        there = build.ROOT / target
        if target in pages or there.suffix in PICTURES or not there.exists():
            return match[0]  # a page, a picture, or wrong: then Sphinx says so
        kind = "tree" if there.is_dir() else "blob"
        return f"{match[1]}{build.ADDRESS}/{kind}/main/{target}{match[3]}"

    return _LINK.sub(choose, text)
