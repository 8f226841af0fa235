"""Make the web site: `looplab site`, or `python3 course.py site`."""

import argparse
import functools
import os
import re
import shutil
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from looplab.course import build
from looplab.course.explore import pages as explore
from looplab.course.site import pages
from looplab.course.site.capture import CaptureError, blocks
from looplab.course.site.check import file_faults

CACHE = build.ROOT / ".site-cache"
MARK = ".looplab-site"  # in a folder that this command made and may replace
SETTINGS = {
    "project": "looplab",
    "language": "en",
    "extensions": ["myst_nb", "looplab.course.site.mathml"],
    "html_math_renderer": "mathml",
    "html_theme": "furo",
    "html_title": "looplab",
    "html_favicon": "_static/favicon.svg",
    "html_static_path": ["_static"],
    "html_css_files": ["looplab.css"],
    "html_js_files": [("looplab.js", {"defer": "defer"})],
    "html_copy_source": False,
    "html_use_index": False,
    "html_show_copyright": False,
    "nb_execution_mode": "off",
    "nb_merge_streams": True,
    "myst_enable_extensions": ["dollarmath", "colon_fence"],
    "myst_heading_anchors": 3,
    "nb_render_text_lexer": "none",
}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="looplab site", description=__doc__.split("\n")[0])
    parser.add_argument("chapters", nargs="*", help="numbers such as 03; default: all")
    parser.add_argument("--out", type=Path, default=build.ROOT / "site", help="default: site/")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), metavar="N")
    parser.add_argument(
        "--check", action="store_true", help="afterwards visit every page in headless Chromium"
    )
    given = parser.parse_args(arguments)
    if given.jobs < 1:
        parser.error(f"--jobs {given.jobs}: expected at least 1")
    sources = [build.find(number) for number in given.chapters] or build.sources()
    try:
        make([source.stem for source in sources], given.out.resolve(), given.jobs)
    except CaptureError as error:
        print(f"looplab site: {error}")
        return 1
    wrong = file_faults(given.out)
    if given.check:
        from looplab.course.site.visit import visit

        wrong += visit(given.out)
    for fault in wrong:
        print(fault)
    if wrong:
        return 1
    page = given.out.resolve() / "index.html"
    print(f"{len(sources)} chapters in {given.out}/: open {page}, or put the folder on any server")
    return 0


def make(stems: list[str], out: Path, jobs: int = 1, cache: Path = CACHE) -> None:
    """Build the chapters into `out`, which must be new, empty, or a site made here before."""
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / MARK).exists())):
        raise CaptureError(f"{out} holds something that is no site: name another folder with --out")
    capture = functools.partial(blocks, cache=cache)
    if jobs == 1:
        found = dict(zip(stems, map(capture, stems), strict=True))
    else:  # processes, since each run of a notebook wants an event loop of its own
        with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
            found = dict(zip(stems, pool.map(capture, stems), strict=True))
    with_models = explore.ready(cache)
    with tempfile.TemporaryDirectory() as folder:
        source, fresh = Path(folder) / "source", Path(folder) / "site"
        source.mkdir()
        pages.write(source, stems, found, with_models)
        _sphinx(source, fresh)
        if with_models:
            explore.write(fresh / explore.FOLDER, cache, stems)
        (fresh / MARK).touch()
        (fresh / ".nojekyll").touch()  # or GitHub Pages drops the folders that begin with _
        if out.exists():
            shutil.rmtree(out)
        shutil.copytree(fresh, out)


def _sphinx(source: Path, out: Path) -> None:
    from sphinx.application import Sphinx
    from sphinx.errors import SphinxError

    told = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - closed below
    with told:
        try:
            app = Sphinx(
                source,
                None,
                out,
                source.parent / "doctrees",
                "html",
                confoverrides=SETTINGS,
                status=None,
                warning=told,
            )
            app.build()
        except SphinxError as error:
            raise CaptureError(f"Sphinx could not build the site: {error}") from error
        told.seek(0)
        # Without the colours and the folder's name.
        warnings = re.sub(r"\x1b\[[0-9;]*m", "", told.read()).replace(f"{source}{os.sep}", "")
    if warnings.strip():
        raise CaptureError(f"Sphinx is not content with the pages:\n{warnings.strip()}")
