"""A slider over pictures: any array [loop, height, width], numbers or categories."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from looplab.tasks import START, WALL
from looplab.widgets.meta import Category, FramesMeta
from looplab.widgets.payload import pack, unpack
from looplab.widgets.stepper import Stepper, whole
from looplab.widgets.words import number

__all__ = ["FLOOD", "FrameStepper", "flood_frames"]

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


class FrameStepper(Stepper):
    """A slider over pictures [loop, height, width]: shades of a number, or categories.

    frames: numbers, shaded from the smallest to the largest of all loops; or, with `categories`,
    whole numbers that index them. first: the loop that frames[0] shows (0 if it is the start
    state). Controls and keys as in LoopMicroscope; a held loop shows in the lower half of each cell
    that differs. captions: what each frame shows, in words. Raises ValueError naming a wrong shape
    or category.

    >>> frames = FrameStepper(torch.rand(4, 3, 3), title="noise")
    >>> frames
    FrameStepper(loops=1..4, height=3, width=3)
    """

    def __init__(
        self,
        frames: Tensor,
        *,
        title: str = "",
        categories: Sequence[Category] | None = None,
        first: int = 1,
        colour: str = "#0072B2",
        captions: Sequence[str] | None = None,
    ):
        array = np.asarray(torch.as_tensor(frames).detach().cpu(), dtype=np.float64)
        if array.ndim != 3 or not array.size:
            raise ValueError(
                f"frames have shape {list(array.shape)}: expected [loop, height, width]"
            )
        first = whole("first", first)
        if not np.isfinite(array).all():
            raise ValueError("frames hold values that are not finite: replace them first")
        if categories is not None:
            wrong = array[(array % 1 != 0) | (array < 0) | (array >= len(categories))]
            if wrong.size:
                raise ValueError(
                    f"frames hold {wrong[0]:g}: expected indices of the "
                    f"{len(categories)} categories"
                )
        if captions is not None and len(captions) != len(array):
            raise ValueError(f"{len(captions)} captions for {len(array)} frames: give one each")
        data, layout = pack({"frames": (array, 1)})
        meta = FramesMeta(
            title=title or "Frames",
            layout=layout,
            first=first,
            last=first + len(array) - 1,
            kinds=None if categories is None else list(categories),
            colour=colour,
            captions=None if captions is None else list(captions),
            low=float(array.min()),
            high=float(array.max()),
        )
        super().__init__(data, unpack(data, layout), meta, loop=first)

    @classmethod
    def flood(cls, tokens: Tensor, answers: Tensor, targets: Tensor, **options) -> "FrameStepper":
        """The water that a model believes in, moving through a maze; see `flood_frames`."""
        options = {"title": "What the model says of each cell", "categories": FLOOD} | options
        return cls(flood_frames(tokens, answers, targets), **options)

    def __repr__(self):
        meta, (_, height, width) = self.meta, self.numbers["frames"].shape
        return f"FrameStepper(loops={meta.first}..{meta.last}, height={height}, width={width})"

    def picture_state(self, loop: int | None = None) -> dict:
        """loop, values [height][width] as drawn, counts per category, held loop, words."""
        loop, kinds = self.checked_loop(loop), self.meta.kinds
        values = self._frame(loop)
        counts = None
        if kinds is not None:
            counts = {kind.name: int((values == n).sum()) for n, kind in enumerate(kinds)}
        state = {"loop": loop, "values": values.tolist(), "counts": counts}
        return state | {"held_loop": self.held_loop, "words": self._words(loop, values, counts)}

    def describe(self, loop: int | None = None) -> str:
        """What this loop (or another) shows, in words; the line under the picture."""
        return self.picture_state(loop)["words"]

    def film_strip(self, loops: Sequence[int] = (1, 2, 4, 8, 16)):
        """A few loops side by side as one still picture with alt text (a plots.Picture)."""
        from looplab.widgets.strip import frame_strip

        return frame_strip(self, loops)

    def _frame(self, loop: int) -> np.ndarray:
        return self.numbers["frames"][loop - self.meta.first]

    def _words(self, loop: int, values: np.ndarray, counts: dict | None) -> str:
        """The same sentence as `words` in js/frames.js."""
        meta = self.meta
        said = [f"Loop {loop} of {meta.last}:"]
        if meta.captions:
            said.append(meta.captions[loop - meta.first])
        elif counts is not None:
            said.append(", ".join(f"{name} {n}" for name, n in counts.items() if n) + ".")
            if loop > meta.first:
                changed = int((values != self._frame(loop - 1)).sum())
                said.append(f"{changed} of {values.size} cells changed since loop {loop - 1}.")
        else:
            said.append(f"smallest {number(values.min())}, largest {number(values.max())}.")
        if self.held_loop is not None:
            said.append(f"Held beside it, loop {self.held_loop}.")
        return " ".join(said)
