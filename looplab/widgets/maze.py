"""A maze that the reader rebuilds, and what a model says of it."""

from dataclasses import replace

import torch
from torch import Tensor

from looplab.model import Loop
from looplab.tasks import OPEN, START, WALL, steps_from_start
from looplab.tracing import trace
from looplab.widgets.frames import FrameStepper
from looplab.widgets.meta import Category
from looplab.widgets.payload import pack, unpack
from looplab.widgets.stepper import whole

__all__ = ["FLOOD", "MazeEditor", "flood_frames"]

FLOOD = (
    Category("wall", "#4d4d4d", hatch=True),
    Category("start", "#0072B2", "S"),
    Category("reached, and rightly so", "#56B4E9", "~"),
    Category("reachable, not yet seen", "#FFFFFF", "·"),
    Category("dry, and rightly so", "#FFFFFF"),
    Category("wrongly called reached", "#E69F00", "×"),
)


def flood_frames(tokens: Tensor, answers: Tensor, targets: Tensor) -> Tensor:
    """What a model says of a maze, loop after loop, as indices into `FLOOD`.

    tokens, targets: [side * side], one maze of tasks.flood_fill. answers: [loop, side * side], the
    class the model would give at each loop. Returns [loop, side, side]. ValueError when the cells
    do not make a square or the sizes differ.

    >>> from looplab.tasks import flood_fill
    >>> maze = flood_fill(1, torch.Generator().manual_seed(0), side=4)
    >>> flood_frames(maze.tokens[0], maze.targets, maze.targets[0]).shape
    torch.Size([1, 4, 4])
    """
    cells = tokens.shape[-1]
    side = round(cells**0.5)
    if tokens.dim() != 1 or side * side != cells:
        raise ValueError(
            f"tokens have shape {list(tokens.shape)}: expected one maze, [side * side]"
        )
    if targets.shape != tokens.shape or answers.shape[1:] != tokens.shape:
        raise ValueError(
            f"answers {list(answers.shape)} and targets {list(targets.shape)}: expected "
            f"[loop, {cells}] and [{cells}]"
        )
    wet, truth = answers == 1, targets == 1
    kinds = torch.where(truth, torch.where(wet, 2, 3), torch.where(wet, 5, 4))
    kinds = torch.where(tokens == WALL, 0, torch.where(tokens == START, 1, kinds))
    return kinds.unflatten(-1, (side, side))


class MazeEditor(FrameStepper):
    """A slider over the water that a model believes in, in a maze that can be changed.

    A click turns a free cell into a wall and back; so does Enter, after E, at a cell that the arrow
    keys choose (Escape ends this). The model then runs on the new maze, once, and the slider steps
    through that run. It takes a kernel: on a page without one the picture steps and stays as it is.

    model: reads mazes as tasks.flood_fill makes them. maze: [side * side], one of them.
    ValueError when the cells do not make a square, and as the model does for what it cannot read.

    >>> from looplab import tasks
    >>> from looplab.zoo import checkpoints
    >>> maze = tasks.flood_fill(1, torch.Generator().manual_seed(0), side=4).tokens[0]
    >>> editor = MazeEditor(checkpoints.load("flood"), maze, loops=8)
    >>> editor.edit(0, 0)
    >>> int((editor.maze != maze).sum())
    1
    """

    def __init__(self, model: Loop, maze: Tensor, loops: int = 20):
        self.model, self.maze, self.loops = model, maze.clone(), loops
        super().__init__(self._asked(), title="What the model says of each cell", categories=FLOOD)
        self.meta = replace(self.meta, edits=True)
        self.stage.meta = self.meta.as_dict()
        self.stage.on_msg(self._clicked)

    def __repr__(self):
        side = self.numbers["frames"].shape[-1]
        return f"MazeEditor(loops={self.loops}, side={side})"

    def edit(self, row: int, column: int) -> None:
        """Turn a free cell into a wall or a wall into a free cell, and ask the model again.

        Rows and columns from 0. ValueError for a cell outside of the maze and for the start.
        """
        side = self.numbers["frames"].shape[-1]
        if not (0 <= whole("row", row) < side and 0 <= whole("column", column) < side):
            raise ValueError(f"row={row}, column={column}: this maze has rows 0 to {side - 1}")
        cell = row * side + column
        if self.maze[cell] == START:
            raise ValueError("the water starts here: the start stays free, choose another cell")
        self.maze[cell] = OPEN if self.maze[cell] == WALL else WALL
        data, layout = pack({"frames": (self._asked().numpy(), 1)})
        self.numbers, self.meta = unpack(data, layout), replace(self.meta, layout=layout)
        self.release()  # what was held is another maze
        with self.stage.hold_sync():
            self.stage.data, self.stage.meta = data, self.meta.as_dict()

    def _asked(self) -> Tensor:
        """Indices into `FLOOD` of what the model says at each loop [loop, side, side]."""
        targets = (steps_from_start(self.maze[None])[0] >= 0).long()
        run = trace(self.model, self.maze[None], self.loops, keep=())
        answers = self.model.readout(run.loop_ends)[:, 0].argmax(-1)
        return flood_frames(self.maze, answers, targets)

    def _clicked(self, stage, message: dict, buffers):
        row, column = message["edit"]
        try:
            self.edit(row, column)
        except ValueError as refused:
            notice = f"Not changed: {refused}."
        else:
            side = self.numbers["frames"].shape[-1]
            now = "a wall" if self.maze[row * side + column] == WALL else "free"
            notice = f"Row {row + 1}, column {column + 1} is {now} now."
        stage.send({"notice": notice})
