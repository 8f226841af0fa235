"""A real JupyterLab with a real kernel, driven in a headless Chromium that is already there."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
)
# No sandbox, since CI runs as root; nothing that reaches for the network.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE = 600  # seconds; a wait ends when its event comes, this is for machines ten times slower
HOW_TO_GET_ONE = (
    "no Chromium found: install it (Debian and Ubuntu: sudo apt install chromium; elsewhere: "
    "Google Chrome), or set LOOPLAB_BROWSER to its path"
)
# anywidget gives a widget two seconds to begin, a message three; a busy machine takes longer.
UNHURRIED = """{
  const own = AbortSignal.timeout.bind(AbortSignal);
  AbortSignal.timeout = milliseconds => own(300 * milliseconds);
}"""
# Where on a canvas the pointer is told something: what it is told -> the middle of these places.
TOLD = """canvas => {
  const box = canvas.getBoundingClientRect();
  const tip = canvas.parentElement.querySelector(".looplab-tip");
  const places = {};
  for (let x = 0; x < box.width; x += 6) for (let y = 0; y < box.height; y += 6) {
    const at = { clientX: box.left + x, clientY: box.top + y };
    canvas.dispatchEvent(new PointerEvent("pointermove", at));
    if (tip.textContent) (places[tip.textContent] ??= []).push([x, y]);
  }
  const middle = (all, axis) => all.reduce((sum, one) => sum + one[axis], 0) / all.length;
  return Object.entries(places).map(([told, all]) => [told, middle(all, 0), middle(all, 1)]);
}"""


def find_chromium() -> str | None:
    """Path of a Chromium or Chrome on this machine, or None."""
    wanted = os.environ.get("LOOPLAB_BROWSER")
    if wanted:
        return wanted
    found = next(filter(None, map(shutil.which, NAMES)), None)
    return found or next((place for place in PLACES if Path(place).exists()), None)


@contextmanager
def jupyterlab(folder: Path, packages: Path | None = None):
    """JupyterLab serving `folder`, with settings of its own; yields its address.

    What lies in `packages` comes before what this Python has: modules, and parts of the page.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    home = folder / ".home"
    home.mkdir()
    environment = {**os.environ, "HOME": str(home), "JUPYTER_CONFIG_DIR": str(home)}
    if packages:
        environment["PYTHONPATH"] = str(packages)
        environment["JUPYTER_PATH"] = str(packages / "share" / "jupyter")
        _without_mathjax(home)
    options = ["--no-browser", "--ip=127.0.0.1", f"--port={port}", "--allow-root"]
    options += ["--ServerApp.token=", "--ServerApp.password=", f"--ServerApp.root_dir={folder}"]
    # The page's own `jupyterapp` tells a test when a kernel is ready and a cell has run.
    options += ["--expose-app-in-browser", "--LabApp.news_url=None"]
    log = open(home / "log", "w")  # noqa: SIM115 - closed below, with the server
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", *options], env=environment, stdout=log, stderr=log
    )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(address, server, home / "log")
        yield address
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
        log.close()


def _without_mathjax(home: Path):
    """ipywidgets 7 calls MathJax 2 where there is any MathJax, and JupyterLab 4 brings another."""
    (home / "labconfig").mkdir()
    settings = {"disabledExtensions": {"@jupyterlab/mathjax-extension": True}}
    (home / "labconfig" / "page_config.json").write_text(json.dumps(settings))


def _wait_for(address: str, server, log: Path):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and server.poll() is None:
        try:
            urllib.request.urlopen(f"{address}/api", timeout=2).read()
            return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()[-2000:]}")


class Notebook:
    """One notebook open in JupyterLab: run cells, edit them, read what they show."""

    def __init__(self, page, address: str, name: str):
        self.page, self.errors = page, []
        page.set_default_timeout(PATIENCE * 1000)
        page.add_init_script(UNHURRIED)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.goto(f"{address}/lab/tree/{name}?reset")
        page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=PATIENCE * 1000)
        page.wait_for_function(
            "() => { const w = window.jupyterapp?.shell.currentWidget;"
            " return w?.sessionContext?.session?.kernel?.status === 'idle'; }",
            timeout=PATIENCE * 1000,
        )

    def run_all(self, timeout: float = 3 * PATIENCE):
        """Run every cell and wait until the last has finished."""
        self.page.evaluate(
            "() => { window.done = false;"
            " window.jupyterapp.commands.execute('notebook:run-all-cells')"
            ".then(() => { window.done = true; }); }"
        )
        self.page.wait_for_function("() => window.done", timeout=timeout * 1000)

    def cell(self, cell_id: str):
        """The cell on the page, scrolled into view (JupyterLab draws only what is near)."""
        self.page.evaluate(
            "id => { const b = window.jupyterapp.shell.currentWidget.content;"
            " const n = b.widgets.findIndex(w => w.model.id === id);"
            " b.activeCellIndex = n; return b.scrollToItem(n, 'center'); }",
            cell_id,
        )
        active = self.page.locator(".jp-Notebook .jp-Cell.jp-mod-active")
        active.wait_for()
        return active

    def type_into(self, cell_id: str, source: str):
        """Replace a cell's source as a user does: click, select all, type."""
        editor = self.cell(cell_id).locator(".cm-content")
        editor.click()
        self.page.keyboard.press("ControlOrMeta+A")
        self.page.keyboard.insert_text(source)

    def run(self, cell_id: str, timeout: float = PATIENCE) -> str:
        """Run one cell; returns the text of its outputs."""
        self.cell(cell_id)
        self.page.evaluate(
            "() => { window.done = false;"
            " window.jupyterapp.commands.execute('notebook:run-cell')"
            ".then(() => { window.done = true; }); }"
        )
        self.page.wait_for_function("() => window.done", timeout=timeout * 1000)
        return self.text(cell_id)

    def text(self, cell_id: str) -> str:
        """The plain text of a cell's stored outputs."""
        outputs = self.page.evaluate(
            "id => window.jupyterapp.shell.currentWidget.content.widgets"
            ".find(w => w.model.id === id).model.outputs.toJSON()",
            cell_id,
        )
        return "\n".join(
            "".join(output.get("text", "") or output.get("data", {}).get("text/plain", ""))
            if output["output_type"] != "error"
            else f"{output['ename']}: {output['evalue']}"
            for output in outputs
        )

    def outputs(self) -> dict[str, list[dict]]:
        """Cell id -> the stored outputs of each code cell."""
        return dict(
            self.page.evaluate(
                "() => window.jupyterapp.shell.currentWidget.content.widgets"
                ".filter(w => w.model.type === 'code')"
                ".map(w => [w.model.id, w.model.outputs.toJSON()])"
            )
        )

    def peak(self) -> int:
        """Bytes that the kernel has held at most; 0 where the system does not tell."""
        told = self.page.evaluate(
            "async code => { const { kernel } ="
            " window.jupyterapp.shell.currentWidget.sessionContext.session;"
            " const ask = { code: '', silent: true, user_expressions: { peak: code } };"
            " const { content } = await kernel.requestExecute(ask).done;"
            " return content.user_expressions.peak.data?.['text/plain'] ?? '0'; }",
            "__import__('resource').getrusage(__import__('resource').RUSAGE_SELF).ru_maxrss * 1024",
        )
        return int(told)

    def all_errors(self) -> list[str]:
        """Errors that any cell shows, and errors on the page itself."""
        raised = self.page.evaluate(
            "() => window.jupyterapp.shell.currentWidget.content.widgets"
            ".flatMap(w => w.model.type === 'code' ? w.model.outputs.toJSON() : [])"
            ".filter(o => o.output_type === 'error').map(o => o.ename + ': ' + o.evalue)"
        )
        return raised + self.errors

    def widget_cells(self) -> list[str]:
        """Ids of the cells that show a widget."""
        return self.page.evaluate(
            "() => window.jupyterapp.shell.currentWidget.content.widgets"
            ".filter(w => w.model.type === 'code' && w.model.outputs.toJSON().some("
            "o => 'application/vnd.jupyter.widget-view+json' in (o.data || {})))"
            ".map(w => w.model.id)"
        )

    def save(self):
        self.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")


def write_notebook(path: Path, cells: dict[str, str]):
    """A notebook of code cells, id -> source."""
    import nbformat

    made = [nbformat.v4.new_code_cell(source, id=name) for name, source in cells.items()]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(cells=made, metadata={"kernelspec": kernel})
    path.write_text(json.dumps(notebook), encoding="utf-8")


def opened(chromium, each_lab, cells):
    """A notebook of a microscope in JupyterLab: what a reader sees of it, and what Python says.

    Returns its page, the notebook, a locator inside the cell "show", and a check that the cell
    "read" prints this state and then the very words that stand under the picture.
    """
    lab, folder = each_lab
    write_notebook(folder / "microscope.ipynb", cells)
    page = chromium.new_page(viewport={"width": 1200, "height": 1200})
    notebook = Notebook(page, lab, "microscope.ipynb")
    notebook.run_all()

    def shown(what, **filters):  # the cell anew: reading runs another one
        return notebook.cell("show").locator(what, **filters)

    def agrees(state):
        told = (notebook.run("read").split("\n") for _ in range(PATIENCE))
        assert (
            next(lines for lines in told if lines[0] == state)[1]
            == shown(".looplab-words").inner_text()
        )

    return page, notebook, shown, agrees


CANVAS = ".looplab-canvas"


def by_keys_and_menu(page, shown, agrees, keys: str, then: str, menu: tuple[str, str], held: str):
    """Move a microscope of a text by `keys`, choose from its menu, hold the loop and go to the end.

    `then`, the menu's second and `held` are what the kernel says after each; a choice changes the
    picture. Returns the canvas's box, for clicks.
    """
    shown(CANVAS).focus()
    for key in keys.split():
        page.keyboard.press(f"Arrow{key}")
    agrees(then)
    before = shown(CANVAS).screenshot()
    shown("select").last.select_option(label=menu[0])
    agrees(menu[1])
    assert shown(CANVAS).screenshot() != before
    shown(CANVAS).focus()
    page.keyboard.press("h")
    page.keyboard.press("End")
    agrees(held)
    return shown(CANVAS).bounding_box()


def reads_other(page, shown, agrees, then: str):
    """Type the text "other": the microscope shows it, and the kernel says `then`."""
    shown("input[type=text]").fill("other")
    page.keyboard.press("Enter")
    shown(".looplab-words", has_text="“r”").wait_for()
    agrees(then)
