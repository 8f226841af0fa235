"""The widgets as a learner meets them: JupyterLab, a kernel, a browser."""

import browser
import pytest

MICROSCOPE = {
    "make": """\
import torch
from looplab.zoo import checkpoints
from looplab import tasks, trace
from looplab.widgets import FrameStepper, LoopMicroscope, PlaneStepper

hero = checkpoints.load("hero")
batch = tasks.find_root(2, torch.Generator().manual_seed(0), max_depth=11)
run = trace(hero, batch.tokens, loops=32, keep=("states", "attention"))
scope = LoopMicroscope(run, hero, targets=batch.targets)""",
    "show": "scope",
    "read": "print(scope.loop, scope.token, scope.held_loop)\nprint(scope.describe())",
    "move": "scope.loop = 5",
    "turns": """\
turn = torch.linspace(0, 2, 12)[:, None] * torch.tensor([1.0, -1.0, 0.5])
points = torch.stack((turn.cos(), turn.sin()), dim=-1)
points = torch.stack((points, 0.5 * points))
plane = PlaneStepper(points, title="multipliers", menus={"gain": ["1", "0.5"]}, circle=True,
                     names=("pair", "single"), kinds=(0, 0, 1), axes=("real part", "imaginary"))
plane""",
    "frames": "FrameStepper(torch.arange(27).view(3, 3, 3), title='numbers')",
}
CANVAS = ".looplab-canvas"


@pytest.fixture(scope="module")
def scope(chromium, lab, lab_folder):
    """The microscope, drawn in JupyterLab."""
    browser.write_notebook(lab_folder / "scope.ipynb", MICROSCOPE)
    page = chromium.new_page(viewport={"width": 1200, "height": 900})
    notebook = browser.Notebook(page, lab, "scope.ipynb")
    notebook.run_all()
    assert notebook.all_errors() == []
    yield notebook
    page.close()


def loop_of(notebook) -> int:
    return int(notebook.cell("show").locator(CANVAS).get_attribute("data-loop"))


def read_when(notebook, true) -> list[str]:
    """What the kernel says of the widget, once it has heard of what happened in the browser."""
    reads = (notebook.run("read").split("\n") for _ in range(browser.PATIENCE))
    return next(read for read in reads if true(read[0]))


def press(notebook, *keys):
    notebook.cell("show").locator(CANVAS).focus()
    for key in keys:
        notebook.page.keyboard.press(key)


def test_keys_move_the_loop_and_stay_out_of_command_mode(scope):
    cells = scope.page.locator(".jp-Notebook .jp-Cell").count()
    press(scope, "Home", "ArrowRight", "ArrowRight", "ArrowRight")
    assert loop_of(scope) == 3
    press(scope, "ArrowLeft", "PageDown")
    assert loop_of(scope) == 0
    press(scope, "End", "ArrowRight")
    assert loop_of(scope) == 32
    press(scope, "PageUp", "ArrowDown", "ArrowDown", "h", "b")
    # In command mode "b" would insert a cell below.
    assert scope.page.locator(".jp-Notebook .jp-Cell").count() == cells


def test_python_sees_what_the_browser_shows_and_says_the_same(scope):
    press(scope, "Home", *["ArrowRight"] * 4)
    words = scope.cell("show").locator(".looplab-words").inner_text()
    assert read_when(scope, lambda state: state.startswith("4 "))[1] == words
    scope.run("move")
    scope.page.wait_for_function(f"() => document.querySelector('{CANVAS}').dataset.loop === '5'")


def test_holding_a_loop_draws_a_ghost(scope):
    press(scope, "Home", "ArrowRight", "ArrowRight")
    button = scope.cell("show").get_by_role("button", name="Hold")
    held = "mod-active" in (button.get_attribute("class") or "")
    if held:
        button.click()
    before = scope.cell("show").locator(CANVAS).screenshot()
    button.click()
    press(scope, "ArrowRight", "ArrowRight")
    assert "loop 2" in scope.cell("show").locator(".looplab-words").inner_text()
    assert read_when(scope, lambda state: state.endswith("2"))
    assert scope.cell("show").locator(CANVAS).screenshot() != before
    button.click()
    press(scope, "ArrowLeft")
    assert "Held" not in scope.cell("show").locator(".looplab-words").inner_text()


def test_the_slider_moves_by_mouse(scope):
    press(scope, "Home")
    track = scope.cell("show").locator(".widget-slider .noUi-target")
    box = track.bounding_box()
    scope.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    scope.page.wait_for_function(
        f"() => Math.abs(document.querySelector('{CANVAS}').dataset.loop - 16) <= 1"
    )


def test_every_key_draws_its_picture(scope):
    """How fast is measured in benchmarks/bench_widgets.py."""
    canvas = scope.cell("show").locator(CANVAS)
    press(scope, "Home")
    pictures = [canvas.screenshot()]
    for _ in range(3):
        press(scope, "ArrowRight")
        pictures.append(canvas.screenshot())
    assert len(set(pictures)) == 4


def test_play_goes_to_the_last_loop_and_stops(scope):
    press(scope, "Home")
    cell = scope.cell("show")
    before = cell.locator(CANVAS).screenshot()
    cell.locator("select").first.select_option(label="fastest")
    cell.locator(".widget-play button").first.click()
    at_the_end = f"() => document.querySelector('{CANVAS}').dataset.loop === '32'"
    scope.page.wait_for_function(at_the_end, timeout=browser.PATIENCE * 1000)
    cell.locator(".widget-play .fa-play").first.wait_for()  # a pause sign while it plays
    assert cell.locator(CANVAS).screenshot() != before


def test_frames_step_too(scope):
    canvas = scope.cell("frames").locator(CANVAS)
    canvas.focus()
    scope.page.keyboard.press("ArrowRight")
    assert "Loop 2 of 3" in scope.cell("frames").locator(".looplab-words").inner_text()
    assert scope.errors == []


def test_a_plane_steps_and_its_menu_changes_it(scope):
    cell = scope.cell("turns")
    canvas = cell.locator(CANVAS)
    canvas.focus()
    scope.page.keyboard.press("ArrowRight")
    assert cell.locator(".looplab-words").inner_text() == "Loop 2 of 12."
    # There are no rows to walk through: these do nothing, rather than select another cell.
    for key in ("ArrowDown", "ArrowUp", "ArrowUp"):
        scope.page.keyboard.press(key)
    assert scope.page.locator(".jp-mod-active " + CANVAS).get_attribute("data-loop") == "2"
    before = canvas.screenshot()
    cell.locator("select").last.select_option(label="0.5")
    assert canvas.screenshot() != before
    scope.page.keyboard.press("h")
    assert scope.errors == []
