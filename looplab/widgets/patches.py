"""A patching map whose cells show what the patched run answers, in a forest or behind a text."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from looplab import plots
from looplab.widgets.forest import draw_forest, forest_key, lay_out, panel_size
from looplab.widgets.meta import PatchesMeta
from looplab.widgets.payload import pack, unpack
from looplab.widgets.stepper import Stepper, whole
from looplab.widgets.words import percent, visible

__all__ = ["PatchStepper"]

Said = Sequence[Sequence[Sequence[tuple[str, float]]]]


class PatchStepper(Stepper):
    """Run A patched into run B, loop by loop; a cell shows what B then answers.

    share [from_loop, to_loop]: how much of the difference between A and B each patch makes, as
    `PatchMap.share` has it for one sequence. Either answers [from_loop, to_loop, token], whole
    numbers, on the forest of B: `parents` [token], indices of tokens, `labels`, the number of each
    (0, 1, 2 ... for None), and `targets`, B's right answers. Or said [from_loop][to_loop], the
    likeliest next words with their probabilities, behind a `text`. what: what was patched. Click
    a cell, or use the arrow keys: left and right change the loop of B, up and down that of A. H
    holds a cell to compare with. Raises ValueError naming what does not fit together.

    >>> PatchStepper(torch.rand(2, 3), said=[[[("yes", 0.9)]] * 3] * 2, text="Is it so?")
    PatchStepper(from_loops=2, to_loops=3, text)
    """

    def __init__(
        self,
        share: Tensor,
        *,
        answers: Tensor | None = None,
        parents: Sequence[int] | None = None,
        labels: Sequence[int] | None = None,
        targets: Sequence[int] | None = None,
        said: Said | None = None,
        text: str = "",
        what: str = "the state",
        title: str = "A patched into B",
    ):
        share = torch.as_tensor(share).detach().cpu().double()
        if share.dim() != 2 or not share.numel():
            raise ValueError(f"share has shape {list(share.shape)}: expected [from_loop, to_loop]")
        if (answers is None) == (said is None):
            raise ValueError("give either answers, with parents and targets, or said, with a text")
        rows, columns = share.shape
        channels, forest, names = {"share": (share.numpy(), 2)}, None, []
        self.targets, self.said = None, None
        if answers is not None:
            if parents is None or targets is None:
                raise ValueError("answers need the forest that they are drawn on: parents, targets")
            parents = [int(parent) for parent in parents]
            answers = torch.as_tensor(answers).detach().cpu()
            if list(answers.shape) != [rows, columns, len(parents)]:
                raise ValueError(
                    f"answers have shape {list(answers.shape)}: expected [{rows}, {columns}, "
                    f"{len(parents)}], [from_loop, to_loop, token]"
                )
            self.targets = [int(target) for target in targets]
            labels = range(len(parents)) if labels is None else labels
            names = [str(int(label)) for label in labels]
            if not len(names) == len(self.targets) == len(parents):
                raise ValueError(
                    f"{len(names)} labels and {len(self.targets)} targets for {len(parents)} tokens"
                )
            forest = lay_out(parents, names)
            channels["answers"] = (answers.numpy(), 1)
        else:
            if [len(said), *{len(row) for row in said}] != [rows, columns]:
                raise ValueError(f"said has another shape than share: expected {rows} x {columns}")
            self.said = [
                [[[visible(w), round(float(p), 3)] for w, p in cell] for cell in row]
                for row in said
            ]
        data, layout = pack(channels)
        self.what, self.text, self.title = what, text, title
        numbers = unpack(data, layout)
        loops = [str(loop) for loop in range(1, rows + 1)]
        meta = PatchesMeta(
            title=title,
            layout=layout,
            first=1,
            last=columns,
            slider="loop of B",
            menus={"token": ["loop of A", loops]},
            labels=names,
            targets=self.targets,
            forest=forest,
            text=text,
            said=self.said,
            captions=[
                [self._caption(numbers, row, column) for column in range(columns)]
                for row in range(rows)
            ],
        )
        super().__init__(data, numbers, meta, loop=columns, token=rows - 1)

    def __repr__(self):
        rows, columns = self.numbers["share"].shape
        kind = "text" if self.meta.forest is None else "forest"
        return f"PatchStepper(from_loops={rows}, to_loops={columns}, {kind})"

    def choose(self, from_loop: int, to_loop: int) -> None:
        """Show a cell from Python, loops from 1; ValueError for one that the map does not have."""
        row, column = self._place(from_loop, to_loop)
        with self.stage.hold_sync():
            self.stage.token, self.stage.loop = row, column + 1

    def picture_state(self, loop: int | None = None) -> dict:
        """from_loop, to_loop, share, answers [token] or said, how many are right, words."""
        column, row = self.checked_loop(loop) - 1, self.stage.token
        words = self.meta.captions[row][column]
        if self.held_loop is not None:
            words += f" Held beside it: {self.meta.captions[row][self.held_loop - 1]}"
        share = self.numbers["share"][row, column]
        state = {"from_loop": row + 1, "to_loop": column + 1, "share": float(share)}
        if self.said is not None:
            return state | {"said": self.said[row][column], "words": words}
        answers = [int(answer) for answer in self.numbers["answers"][row, column]]
        right = [a == b for a, b in zip(answers, self.targets, strict=True)]
        return state | {"answers": answers, "right": right, "words": words}

    def describe(self, loop: int | None = None) -> str:
        """What this cell (or that of another loop of B) shows, in words."""
        return self.picture_state(loop)["words"]

    def film_strip(self, cells: Sequence[tuple[int, int]]):
        """Some cells (from_loop, to_loop) side by side as one still picture (a plots.Picture)."""
        places = [self._place(*cell) for cell in cells]
        told = " ".join(self.meta.captions[row][column] for row, column in places)
        forest = self.meta.forest
        size = (2.6, 1.2) if forest is None else panel_size(forest, 2.4, 3.0)
        tall = size[1] + (1.1 if forest is None else 1.4)
        with plots.drawing(
            size[0] * len(places) + 0.4, tall, columns=len(places), squeeze=False
        ) as (figure, grid):
            for panel, (row, column) in zip(grid[0], places, strict=True):
                share = _percent(self.numbers["share"][row, column])
                panel.set_title(f"A's loop {row + 1} into B's {column + 1}\n{share}", fontsize=9)
                if forest is None:
                    self._bars(panel, self.said[row][column])
                else:
                    draw_forest(panel, forest, self._nodes(row, column), size)
            if forest is None:
                figure.supxlabel(self.text, fontsize=9)
            else:
                figure.legend(
                    handles=forest_key(forest, True),
                    loc="outside lower center",
                    ncols=3,
                    fontsize=8,
                )
        return plots.Picture(figure, f"{self.title}. {told}", {"cells": list(cells)})

    def _nodes(self, row: int, column: int) -> list[dict]:
        colours = dict(map(tuple, self.meta.forest.colours))
        answers = self.numbers["answers"][row, column].astype(int)
        return [
            {
                "answer": str(answer),
                "label": label,
                "right": bool(answer == target),
                "colour": colours.get(str(answer), self.meta.forest.other),
            }
            for answer, label, target in zip(answers, self.meta.labels, self.targets, strict=True)
        ]

    @staticmethod
    def _bars(panel, cell: Sequence[tuple[str, float]]):
        names, likely = zip(*cell, strict=True)
        panel.barh(range(len(cell)), likely, color=plots.PALETTE[0])
        panel.set(xlim=(0, 1), ylim=(len(cell) - 0.5, -0.5))
        panel.set_yticks(range(len(cell)), names, fontsize=8)
        panel.tick_params(axis="x", labelsize=7)

    def _caption(self, numbers: dict[str, np.ndarray], row: int, column: int) -> str:
        share = _percent(numbers["share"][row, column])
        words = (
            f"{self.what} of A after loop {row + 1} in the place of B's after loop {column + 1}: "
            f"{share} of the difference."
        )
        words = words[0].upper() + words[1:]
        if self.said is not None:
            told = ", ".join(f"{word} {percent(p)}" for word, p in self.said[row][column])
            return f"{words} Next word: {told}."
        answers = numbers["answers"][row, column]
        right = int((answers == np.array(self.targets)).sum())
        return f"{words} {right} of {len(answers)} nodes give B's answer."

    def _place(self, from_loop: int, to_loop: int) -> tuple[int, int]:
        row, column = whole("from_loop", from_loop) - 1, whole("to_loop", to_loop) - 1
        rows, columns = self.numbers["share"].shape
        if not (0 <= row < rows and 0 <= column < columns):
            raise ValueError(
                f"({from_loop}, {to_loop}): this map has loops 1 to {rows} of A and 1 to "
                f"{columns} of B"
            )
        return row, column


def _percent(share: float) -> str:
    """In whole per cent; "?" where both runs have one score, so that there is no share."""
    return percent(share) if np.isfinite(share) else "?"
