"""Look at a built site as readers do: headless Chromium, a phone and a desk, light and dark.

Needs playwright and a Chromium, which the course's tests need as well.
"""

import functools
import http.server
import os
import shutil
import threading
from contextlib import contextmanager, nullcontext
from itertools import product
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import TimeoutError as PlaywrightTimeout
from playwright.sync_api import sync_playwright

SCREENS = {"phone": (360, 740), "desk": (1280, 900)}
VIEWS = tuple(product(SCREENS, ("light", "dark")))
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
SUB_PATH = "some/course"  # a site must not count on the top of a server

_HERE = Path(__file__).parent
LOOK = (_HERE / "look.js").read_text(encoding="utf-8")
SWEEP = (_HERE / "sweep.js").read_text(encoding="utf-8")


def visit(site: Path, browser=None, views=VIEWS) -> list[str]:
    """One line for everything wrong on the pages, after every widget was moved.

    views: the screens and colour schemes to look with; in a dark one widgets are not moved.
    browser: one that playwright has started; without it this starts its own, and raises
    RuntimeError when there is none on this machine.
    """
    site = site.resolve()
    names = sorted(path.relative_to(site).as_posix() for path in site.rglob("*.html"))
    with served(site) as address, nullcontext(browser) if browser else chromium() as running:
        wrong = []
        for screen, scheme in views:
            width, height = SCREENS[screen]
            size = {"width": width, "height": height}
            context = running.new_context(viewport=size, color_scheme=scheme)
            for name in names:
                at = f"{name}, {screen}, {scheme}"
                page = context.new_page()
                # The widgets are white cards in the dark, too: once a screen is enough.
                found = _page_faults(page, address, name, move=scheme == "light")
                wrong += [f"{at}: {fault}" for fault in found]
                page.close()
            context.close()
    return wrong


@contextmanager
def served(site: Path):
    """A plain file server with the site in a folder of it; yields the site's address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def translate_path(self, path):
            inside = urlsplit(path).path.removeprefix(f"/{SUB_PATH}")
            return super().translate_path(inside) if inside != path else str(site / "no such file")

        def log_message(self, *arguments):
            pass

    handler = functools.partial(Quiet, directory=str(site))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/{SUB_PATH}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def chromium():
    """A headless Chromium or Chrome of this machine (LOOPLAB_BROWSER names another)."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    path = os.environ.get("LOOPLAB_BROWSER") or found
    if path is None:
        raise RuntimeError("no Chromium found: install it, or set LOOPLAB_BROWSER to its path")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield running
        running.close()


def _page_faults(page, address: str, name: str, move: bool) -> list[str]:
    wrong, inside = [], address.rsplit(SUB_PATH, 1)[0]
    page.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("response", lambda r: wrong.append(f"{r.status} {r.url}") if r.status >= 400 else None)

    def only_here(route):
        if route.request.url.startswith((inside, "data:")):
            return route.continue_()
        wrong.append(f"loads {route.request.url}")
        return route.abort()

    page.route("**/*", only_here)
    page.goto(f"{address}/{name}", wait_until="load")
    for picture in page.locator("article img").all():  # those far down load when they are near
        picture.scroll_into_view_if_needed()
        picture.evaluate("img => img.decode().catch(() => null)")
    for widget in page.locator("[data-looplab]").all() if move else ():
        wrong += _widget_faults(widget)
    # Closed hints hold text as well.
    page.evaluate("() => document.querySelectorAll('details').forEach(d => { d.open = true; })")
    return wrong + page.evaluate(LOOK)


def _widget_faults(widget) -> list[str]:
    title = widget.get_attribute("aria-label")
    widget.scroll_into_view_if_needed()
    kind = widget.get_attribute("data-looplab")
    found = _game_faults(widget) if kind == "game" else _slider_faults(widget)
    return [f"{title}: {fault}" for fault in found]


def _slider_faults(widget) -> list[str]:
    """Every frame by the slider, another picture or words each time; then keys and buttons."""
    wrong = widget.evaluate(SWEEP)
    slider, canvas = widget.locator("input[type=range]"), widget.locator("canvas")
    words, menus = widget.locator(".looplab-words").first, widget.locator("select")
    first, last = slider.get_attribute("min"), slider.get_attribute("max")
    for place in (slider, canvas):
        place.press("Home")
        place.press("ArrowRight")
        place.press("ArrowRight")
        place.press("ArrowLeft")
        reached = slider.input_value(), canvas.get_attribute("aria-valuenow")
        if reached != (str(int(first) + 1),) * 2:
            wrong.append(f"the keys Home, right, right, left lead to {reached}")
    widget.get_by_role("button", name="Hold").click()
    canvas.press("End")
    if "Held" not in words.inner_text():
        wrong.append("holding is not told")
    widget.get_by_role("button", name="Release").click()
    canvas.press("Home")
    menus.first.select_option(index=menus.first.locator("option").count() - 1)
    widget.get_by_role("button", name="Play").click()
    try:
        widget.get_by_role("button", name="Play").wait_for(timeout=60_000)
    except PlaywrightTimeout:
        wrong.append("play does not come to its end")
    if slider.input_value() != last:
        wrong.append(f"play ended at {slider.input_value()}, not at {last}")
    return wrong


def _game_faults(widget) -> list[str]:
    """Try the names in their order until each case is solved; then start again."""
    names = widget.locator("[data-of=faults] button").all()
    words, following = widget.locator(".looplab-words"), widget.locator("[data-of=next]")
    pictures = set()
    while True:
        pictures.add(widget.locator("img").get_attribute("alt"))
        for name in names:
            name.press("Enter")
            if words.inner_text().startswith("Yes"):
                break
        else:
            return [f"no name solves case {len(pictures)}"]
        if following.is_disabled():
            break
        following.press("Enter")
    wrong = []
    if "That was the last case" not in words.inner_text():
        wrong.append(f"the last word is {words.inner_text()!r}")
    widget.locator("[data-of=again]").press("Enter")
    if widget.locator("img").get_attribute("alt") not in pictures or len(pictures) < 2:
        wrong.append("the cases do not follow each other")
    return wrong
