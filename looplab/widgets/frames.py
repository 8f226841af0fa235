"""A slider over pictures: any array [loop, height, width], numbers or categories."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from looplab.widgets.meta import Category, FramesMeta
from looplab.widgets.payload import pack, unpack
from looplab.widgets.stepper import Stepper, whole
from looplab.widgets.words import number

__all__ = ["FrameStepper"]


class FrameStepper(Stepper):
    """A slider over pictures [loop, height, width]: shades of a number, or categories.

    frames: numbers, shaded from the smallest to the largest of all loops; or, with `categories`,
    whole numbers that index them. first: the loop that frames[0] shows (0 if it is the start
    state). Controls and keys as in LoopMicroscope; a held loop shows in the lower half of each cell
    that differs. captions: what each frame shows, in words. axes: what columns and rows are. ticks:
    a name for each column and for each row. unit: what the shades are. Raises ValueError naming a
    wrong shape or category.

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
        axes: tuple[str, str] = ("", ""),
        ticks: tuple[Sequence[str], Sequence[str]] | None = None,
        unit: str = "",
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
        if ticks is not None and [len(names) for names in ticks] != list(array.shape[:0:-1]):
            raise ValueError(
                f"ticks name {len(ticks[0])} columns and {len(ticks[1])} rows: these frames have "
                f"{array.shape[2]} and {array.shape[1]}"
            )
        low, high = float(array.min()), float(array.max())
        if 0 <= low < 0.01 * high:
            low = 0.0  # so small that white may say zero
        data, layout = pack({"frames": (array, 1)})
        meta = FramesMeta(
            title=title or "Frames",
            layout=layout,
            first=first,
            last=first + len(array) - 1,
            kinds=None if categories is None else list(categories),
            colour=colour,
            captions=None if captions is None else list(captions),
            low=low,
            high=high,
            axes=list(axes),
            ticks=None if ticks is None else [[str(name) for name in names] for names in ticks],
            unit=unit,
        )
        super().__init__(data, unpack(data, layout), meta, loop=first)

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
        if self.stage.cursor:
            row, column = self.stage.cursor
            kind = self.meta.kinds[int(values[row, column])]
            said.append(f"At row {row + 1}, column {column + 1}: {kind.name}.")
        return " ".join(said)
