"""The widgets as a learner meets them: JupyterLab, a kernel, a browser.

All of it runs with the tested set, and again with the widgets' packages as Colab has them.
"""

import re
from pathlib import Path

import browser
import pytest

MICROSCOPE = {
    "make": """\
import torch
from looplab.zoo import checkpoints
from looplab import grid, tasks, trace
from looplab.widgets import (
    FrameStepper, LoopMicroscope, MazeEditor, PatchStepper, PhaseStepper, PlaneStepper,
)

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
    "trees": """\
chains = tasks.chain_and_star(2, torch.Generator().manual_seed(0), chain=(7, 7))
run = trace(hero, chains.tokens, loops=8)
trees = LoopMicroscope(run, hero, targets=chains.targets, parents=tasks.parents(chains.tokens))
trees""",
    "read-trees": "print(trees.describe())",
    "maze": """\
mazes = tasks.flood_fill(1, torch.Generator().manual_seed(4), side=6)
maze = MazeEditor(checkpoints.load("flood"), mazes.tokens[0], loops=8)
maze""",
    "read-maze": """\
print(*(maze.maze != mazes.tokens[0]).nonzero().flatten().tolist())
print(maze.describe())""",
    "phases": """\
ends = grid.grid(["pre", "Ouro"], ["none"], [2], [0.5, 1.0, 2.0], [0, 1], width=16, tokens=4)
path = torch.rand(8, 2, 2)
phases = PhaseStepper(ends, {("pre", "none", 1.0): path, ("Ouro", "none", 1.0): 1 - path})
phases""",
    "read-phases": "print(*phases.picture_state()['cell'])\nprint(phases.describe())",
    "patches": """\
patches = PatchStepper(torch.tensor([[0.0, 0.5, 1.0], [0.1, 0.6, 0.9]]), parents=[0, 0, 1],
                       answers=torch.tensor([[[0, 0, 2], [0, 1, 0], [0, 0, 0]]]).repeat(2, 1, 1),
                       targets=[0, 0, 0])
patches""",
    "read-patches": "print(*patches.picture_state()['answers'])\nprint(patches.describe())",
    "frames": "FrameStepper(torch.arange(27).view(3, 3, 3), title='numbers')",
}
CANVAS = ".looplab-canvas"
TRACKS = (".ui-slider", ".noUi-target")  # of a slider: in ipywidgets 7, and in 8


@pytest.fixture(scope="module")
def scope(chromium, each_lab):
    """The microscope, drawn in JupyterLab."""
    lab, folder = each_lab
    browser.write_notebook(folder / "scope.ipynb", MICROSCOPE)
    page = chromium.new_page(viewport={"width": 1200, "height": 900})
    notebook = browser.Notebook(page, lab, "scope.ipynb")
    notebook.run_all()
    assert notebook.all_errors() == []
    yield notebook
    page.close()


def loop_of(notebook) -> int:
    return int(notebook.cell("show").locator(CANVAS).get_attribute("data-loop"))


def read_when(notebook, true, cell="read") -> list[str]:
    """What the kernel says of the widget, line by line, once it has heard what the browser did.

    `true` is asked of all lines: a busy kernel may hear of one thing after it has said another.
    """
    reads = (notebook.run(cell).splitlines() for _ in range(browser.PATIENCE))
    found = next((read for read in reads if true(*read)), None)
    assert found is not None, f"the kernel never said it; at last: {notebook.text(cell)}"
    return found


def press(notebook, *keys, cell="show"):
    notebook.cell(cell).locator(CANVAS).focus()
    for key in keys:
        notebook.page.keyboard.press(key)


def words(notebook, cell) -> str:
    return notebook.cell(cell).locator(".looplab-words").inner_text()


def words_when(notebook, cell, part) -> str:
    """The words under a picture, once `part` is in them."""
    notebook.cell(cell).locator(".looplab-words", has_text=part).wait_for()
    return words(notebook, cell)


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
    assert read_when(scope, lambda state, told: state.startswith("4 ") and told == words)
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
    assert read_when(scope, lambda state, told: state.endswith("2"))
    assert scope.cell("show").locator(CANVAS).screenshot() != before
    button.click()
    press(scope, "ArrowLeft")
    assert "Held" not in scope.cell("show").locator(".looplab-words").inner_text()


def test_the_slider_moves_by_mouse(scope):
    press(scope, "Home")
    track = scope.cell("show").locator(f".widget-slider :is({', '.join(TRACKS)})")
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


def test_a_node_is_chosen_by_a_click_and_the_keys_walk_down_its_tree(scope):
    canvas = scope.cell("trees").locator(CANVAS)
    press(scope, "Home", "ArrowRight", *["ArrowUp"] * 12, cell="trees")
    for depth in range(7):
        place = f"{depth} step{'s' * (depth > 1)} below its root," if depth else "a root,"
        assert place in words(scope, "trees")
        press(scope, "ArrowDown", cell="trees")
    assert "a root," in words(scope, "trees")  # behind the chain comes the star
    nodes = canvas.evaluate(browser.TOLD)
    assert len(nodes) == 12
    for told, x, y in nodes:
        assert told.startswith("Node ")
        canvas.click(position={"x": x, "y": y})
        assert told in words(scope, "trees")
    said = words(scope, "trees")
    assert read_when(scope, lambda read: read == said, "read-trees")


def test_a_maze_is_rebuilt_by_clicks_and_by_keys(scope):
    canvas = scope.cell("maze").locator(CANVAS)
    press(scope, *["ArrowRight"] * 3, "e", cell="maze")
    assert "At row 4, column 4" in words(scope, "maze")
    before = canvas.screenshot()
    press(scope, "ArrowUp", "Enter", cell="maze")
    told = words_when(scope, "maze", "Row 3, column 4 is")
    assert "Loop 4 of 8" in told
    assert canvas.screenshot() != before
    assert scope.page.evaluate("document.activeElement.className") == "looplab-canvas"
    press(scope, "Escape", cell="maze")
    told = words(scope, "maze")
    assert read_when(scope, lambda walls, said: (walls, said) == ("15", told), "read-maze")
    for now in ("a wall", "free"):  # a click there, and another
        scope.cell("maze").locator(CANVAS).click(position={"x": 100, "y": 60})
        words_when(scope, "maze", f"column 1 is {now} now.")
    assert scope.errors == []


def test_a_cell_of_the_phase_diagram_shows_its_run(scope):
    cell = scope.cell("phases")
    canvas, words = cell.locator(CANVAS), cell.locator(".looplab-words")
    canvas.focus()
    before = canvas.screenshot()
    for key in ("ArrowRight", "ArrowDown"):
        scope.page.keyboard.press(key)
    assert words.inner_text().startswith("Ouro, none, gain 1: ")
    assert canvas.screenshot() != before
    scope.page.keyboard.press("ArrowUp")
    told = words.inner_text()
    assert told.endswith("The run of draw 0: degenerate.")
    assert read_when(scope, lambda at, said: (at, said) == ("pre none 1.0", told), "read-phases")
    # A click on another cell: the first of the second row.
    box = scope.cell("phases").locator(CANVAS).bounding_box()
    scope.page.mouse.click(box["x"] + 150, box["y"] + 34 + 36 + 14)
    assert words.inner_text().startswith("Ouro, none, gain 0.5: ")
    scope.page.keyboard.press("h")
    scope.page.keyboard.press("End")
    assert "Held beside it: Ouro, none, gain 0.5: " in words.inner_text()
    assert scope.errors == []


def test_a_click_on_a_patching_map_shows_the_answers_under_that_patch(scope):
    canvas = scope.cell("patches").locator(CANVAS)
    press(scope, "Home", "ArrowUp", cell="patches")
    before = canvas.screenshot()
    assert words(scope, "patches").startswith("The state of A after loop 1 in the place of B's")
    assert "0 % of the difference. 2 of 3 nodes" in words(scope, "patches")
    box = canvas.bounding_box()
    scope.page.mouse.click(box["x"] + 44 + 40 + 20, box["y"] + 50 + 20)  # the second cell
    told = words_when(scope, "patches", "50 % of the difference. 2 of 3 nodes")
    assert canvas.screenshot() != before
    assert read_when(scope, lambda at, said: (at, said) == ("0 1 0", told), "read-patches")
    press(scope, "h", "End", "ArrowDown", cell="patches")
    told = words_when(scope, "patches", "90 % of the difference. 3 of 3 nodes")
    assert "Held beside it: The state of A after loop 2" in told
    assert scope.errors == []


def test_colabs_widgets_are_those_of_kernel_and_page(page, colabs_widgets):
    lab, folder = colabs_widgets
    cells = {
        "versions": "import anywidget, ipywidgets\n"
        "print(ipywidgets.__version__, anywidget.__version__)",
        "slider": "ipywidgets.IntSlider()",
    }
    browser.write_notebook(folder / "versions.ipynb", cells)
    notebook = browser.Notebook(page, lab, "versions.ipynb")
    notebook.run_all()
    pins = Path(__file__).with_name("colab.txt").read_text(encoding="utf-8")
    pinned = dict(re.findall(r"^([\w-]+)==(\S+)$", pins, re.M))
    assert notebook.text("versions").split() == [pinned["ipywidgets"], pinned["anywidget"]]
    notebook.cell("slider").locator(TRACKS[0]).wait_for()
