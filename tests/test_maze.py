"""The maze that can be edited, moved without a browser."""

import pytest
import torch

from looplab import LoopedConfig, LoopedTransformer, tasks
from looplab.widgets import MazeEditor
from looplab.widgets.payload import unpack


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = LoopedConfig(vocab=3, classes=2, width=16, heads=2, attention="grid")
    return LoopedTransformer(config).eval()


def test_an_edited_maze_is_run_as_if_it_had_been_drawn_so(model):
    maze = tasks.flood_fill(1, torch.Generator().manual_seed(0), side=4).tokens[0]
    editor, wall = MazeEditor(model, maze, loops=5), int((maze == tasks.WALL).nonzero()[0])
    editor.loop = 3
    editor.hold()
    editor.edit(*divmod(wall, 4))
    assert editor.maze[wall] == tasks.OPEN and maze[wall] == tasks.WALL
    assert (editor.loop, editor.held_loop) == (3, None)
    for _ in range(2):  # there, and back
        drawn = MazeEditor(model, editor.maze, loops=5)
        sent = unpack(editor.stage.data, editor.stage.meta["layout"])["frames"]
        assert (sent == drawn.numbers["frames"]).all()
        assert (editor.numbers["frames"] == sent).all()
        editor.edit(*divmod(wall, 4))


def test_an_edit_is_answered_in_words(model, monkeypatch):
    maze = torch.tensor([tasks.START, tasks.OPEN, tasks.OPEN, tasks.WALL])
    editor = MazeEditor(model, maze, loops=2)
    said = []
    monkeypatch.setattr(editor.stage, "send", lambda message: said.append(message["notice"]))
    for cell, told in {(0, 1): "is a wall", (1, 1): "is free", (0, 0): "Not changed: "}.items():
        sent = {"method": "custom", "content": {"edit": list(cell)}}
        editor.stage.comm.handle_msg({"content": {"data": sent}, "buffers": []})
        assert told in said[-1]
    assert editor.maze.tolist() == [tasks.START, tasks.WALL, tasks.OPEN, tasks.OPEN]
    editor.stage.cursor = [0, 1]
    assert editor.describe().endswith("At row 1, column 2: wall.")


@pytest.mark.parametrize(
    ("cell", "message"),
    [((0, 0), "water starts here"), ((2, 0), "row=2, column=0: this maze has rows")],
)
def test_edits_that_make_no_maze_are_refused(model, cell, message):
    editor = MazeEditor(model, torch.tensor([tasks.START, tasks.OPEN] * 2), loops=1)
    with pytest.raises(ValueError, match=message):
        editor.edit(*cell)


def test_a_page_without_a_kernel_says_that_a_maze_is_changed_elsewhere(model, page):
    maze = torch.tensor([tasks.START, tasks.OPEN, tasks.OPEN, tasks.WALL])
    editor = MazeEditor(model, maze, loops=2)
    page.set_content(editor.html())
    canvas, words = page.locator(".looplab-canvas"), page.locator(".looplab-words")
    for ask in (lambda: canvas.click(position={"x": 400, "y": 60}), lambda: press(page, "Enter")):
        press(page, "e", "ArrowUp")
        assert "At row 1, column 2: " in words.inner_text()
        ask()
        assert words.inner_text().startswith("A cell is changed where the notebook runs")
        press(page, "Escape", "ArrowRight")
        assert words.inner_text() == editor.describe(2)


def press(page, *keys):
    page.locator(".looplab-canvas").focus()
    for key in keys:
        page.keyboard.press(key)
