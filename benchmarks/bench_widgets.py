"""How fast the microscope draws in JupyterLab: from a key to its picture, and pictures in a play.

python benchmarks/bench_widgets.py

Needs a Chromium, as the browser tests do. A real notebook shows 32 loops of hero in all four views.
Times are the browser's own, from the key event to the end of drawing, which the next frame shows.
Whatever else the machine does can only slow a play down, so the best of three counts.
"""

import statistics
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import browser

LAG, RATE = 20, 20  # milliseconds at most, pictures a second at least
CANVAS = ".looplab-canvas"
CELL = """\
import torch
from looplab import tasks, trace
from looplab.widgets import LoopMicroscope
from looplab.zoo import checkpoints
hero = checkpoints.load("hero")
batch = tasks.find_root(2, torch.Generator().manual_seed(0), max_depth=11)
run = trace(hero, batch.tokens, loops=32, keep=("states", "attention"))
LoopMicroscope(run, hero, targets=batch.targets)"""

# Note the time of every picture in window.shown, and of the last key in window.pressed.
WATCH = """selector => {
  window.shown = [];
  document.addEventListener('keydown', () => { window.pressed = performance.now(); }, true);
  new MutationObserver(() => window.shown.push(performance.now()))
    .observe(document.querySelector(selector), { attributeFilter: ['data-loop'] });
}"""


def key_to_picture(page, keys=30):
    """Milliseconds from each key to the end of its drawing."""
    lags = []
    for _ in range(keys):
        page.evaluate("() => { window.shown = []; }")
        page.keyboard.press("ArrowRight")
        page.wait_for_function("() => window.shown.length")
        lags.append(page.evaluate("() => window.shown[0] - window.pressed"))
    return lags


def play(page, cell):
    """Pictures a second over thirty loops, and the longest gap in milliseconds."""
    cell.locator(CANVAS).focus()
    page.keyboard.press("Home")
    page.evaluate("() => { window.shown = []; }")
    cell.locator(".widget-play button").first.click()
    page.wait_for_function("() => window.shown.length >= 30")
    shown = page.evaluate("() => window.shown.slice(0, 30)")
    cell.locator(".widget-play .fa-play").first.wait_for()  # it has come to the end and stopped
    gaps = [b - a for a, b in zip(shown[1:], shown[2:], strict=False)]
    return 1000 * len(gaps) / sum(gaps), max(gaps)


def main():
    chromium = browser.find_chromium()
    if chromium is None:
        raise SystemExit(browser.HOW_TO_GET_ONE)
    with (
        tempfile.TemporaryDirectory() as folder,
        browser.jupyterlab(Path(folder)) as lab,
        sync_playwright() as playwright,
    ):
        browser.write_notebook(Path(folder, "scope.ipynb"), {"scope": CELL})
        running = playwright.chromium.launch(executable_path=chromium, args=list(browser.FLAGS))
        page = running.new_page(viewport={"width": 1200, "height": 900})
        notebook = browser.Notebook(page, lab, "scope.ipynb")
        notebook.run_all()
        cell = notebook.cell("scope")
        cell.locator(CANVAS).focus()
        page.keyboard.press("Home")
        page.evaluate(WATCH, CANVAS)

        lags = key_to_picture(page)
        middle = statistics.median(lags)
        print(
            f"key to picture: median {middle:.1f} ms, worst {max(lags):.1f} ms of {len(lags)}",
            end="",
        )
        print(f"  bound {LAG} {'ok' if middle <= LAG else 'OVER'}")

        cell.locator("select").first.select_option(label="fastest")
        rate, gap = max(play(page, cell) for _ in range(3))
        print(f"play: {rate:.1f} pictures a second, longest gap {gap:.0f} ms (best of 3)", end="")
        print(f"  bound {RATE} {'ok' if rate >= RATE else 'OVER'}")
        running.close()


if __name__ == "__main__":
    main()
