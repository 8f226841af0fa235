"""How soon a page on which a model runs is there, and how fast it loops.

python benchmarks/bench_explore.py

Needs a Chromium and the runtime, as the browser tests do. Pages are opened from the file system,
each time in a browser that has seen nothing yet. Times are the browser's own, from the start of
the navigation; medians of five.
"""

import statistics
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import browser

from looplab.course.explore import pages
from looplab.course.site.command import CACHE

PAINT, READY, LOOP = 1000, 3000, 5  # milliseconds at most
ROUNDS = 5
# Notes when the page says that its model is ready.
WATCH = """addEventListener("DOMContentLoaded", () => {
  const status = document.getElementById("status");
  new MutationObserver(() => {
    if (status.dataset.state === "ready") window.readyAt ??= performance.now();
  }).observe(status, { attributes: true });
});"""
PAINTED = "() => performance.getEntriesByName('first-contentful-paint')[0].startTime"
# Milliseconds of a loop: a pass of the core and the answer, the median of forty.
LOOPED = """async ([name, tokens]) => {
  const model = await looplab.engine.load(name), ready = await model.prepare(tokens, { seed: 1 });
  let state = ready.start;
  const took = [];
  for (let loop = 0; loop < 60; loop++) {
    const before = performance.now();
    ({ state } = await model.step(state, ready));
    await model.answer(state, ready);
    if (loop >= 20) took.push(performance.now() - before);
  }
  return took.sort((a, b) => a - b)[20];
}"""
TOKENS = {
    "root": ("hero", [[node, max(0, node - 1)] for node in range(12)]),
    "flood": ("flood", [2] + [0] * 255),
    "sentence": ("drawn", list(range(24))),
}


def main() -> int:
    late = 0
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        pages.write(Path(folder) / "explore", CACHE, [])
        path = browser.find_chromium()
        running = playwright.chromium.launch(executable_path=path, args=list(browser.FLAGS))
        print(f"{'page':10s} first paint   model ready   one loop, ms")
        for name, (model, tokens) in TOKENS.items():
            address = (Path(folder) / f"explore/{name}.html").as_uri()
            painted, ready = [], []
            for _ in range(ROUNDS):
                context = running.new_context()
                page = context.new_page()
                page.add_init_script(WATCH)
                page.goto(address)
                page.wait_for_function("() => window.readyAt")
                painted.append(page.evaluate(PAINTED))
                ready.append(page.evaluate("() => window.readyAt"))
                looped = page.evaluate(LOOPED, [model, tokens])
                context.close()
            times = statistics.median(painted), statistics.median(ready), looped
            print(f"{name:10s} {times[0]:8.0f} ms   {times[1]:8.0f} ms   {times[2]:6.2f} ({model})")
            late += times[0] > PAINT or times[1] > READY
            late += name == "root" and looped > LOOP
        running.close()
    print(f"gates: first paint {PAINT} ms, model ready {READY} ms, a loop of the hero {LOOP} ms")
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main())
