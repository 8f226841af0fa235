"""A phase diagram that shows, for each of its cells, a run of that setting."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from looplab import plots
from looplab.widgets.meta import PhasesMeta
from looplab.widgets.payload import pack, unpack
from looplab.widgets.stepper import Stepper

__all__ = ["PhaseStepper"]

Cell = tuple[str, str, float]  # norm, injection, gain


class PhaseStepper(Stepper):
    """The phase diagram of stacks of random weights; a cell shows the path of one of its runs.

    outcomes: what `grid.grid` returns, for cores of one size. runs: (norm, injection, gain) -> the
    path [loop, layer, 2] of one token in a plane of its own; cells that it leaves out, and paths
    that are not finite, show none. seed: which draw the runs are of. Click a cell, or move with
    the arrow keys: left and right change the gain, up and down the norm and injection. Raises
    ValueError naming what does not fit together.

    >>> from looplab import grid
    >>> ends = grid.grid(["Ouro"], ["none"], [2], [0.5, 1.0], [0, 1], width=16, tokens=4)
    >>> PhaseStepper(ends, {("Ouro", "none", 1.0): torch.rand(8, 2, 2)})
    PhaseStepper(settings=1, gains=0.5..1, runs=1)
    """

    def __init__(
        self,
        outcomes: Sequence,
        runs: Mapping[Cell, Tensor],
        *,
        seed: int = 0,
        title: str = "How stacks of random weights end",
    ):
        counts = plots.phase_counts(outcomes, "norm", "injection", "gain")
        depths = sorted({one.depth for one in outcomes})
        if len(depths) > 1:
            raise ValueError(f"outcomes of cores with {depths} layers: give those of one size")
        wrong = [cell for cell in runs if cell not in counts]
        if wrong:
            raise ValueError(f"runs holds {wrong[0]}: there is no outcome of this setting")
        shapes = {tuple(path.shape) for path in runs.values()}
        (shape,) = shapes if len(shapes) == 1 else [()]
        if len(shape) != 3 or shape[2] != 2:
            raise ValueError(
                f"runs holds paths of shapes {sorted(map(list, shapes))}: expected one shape, "
                "[loop, layer, 2]"
            )
        self.counts, self.drawn = counts, _of_seed(outcomes, runs, seed)
        rows = list(dict.fromkeys(cell[:2] for cell in counts))
        gains = sorted({gain for *_, gain in counts})
        self.cells = [[(*row, gain) for gain in gains] for row in rows]
        kinds = [kind for kind in plots.PHASES if any(kind in one for one in counts.values())]
        looks = [plots.PHASES[kind] for kind in kinds]
        nothing = torch.full(shape, torch.nan)
        paths = [[_filling(runs.get(cell, nothing)) for cell in row] for row in self.cells]
        data, layout = pack({"paths": (np.array(paths), 1)})
        meta = PhasesMeta(
            title=title,
            layout=layout,
            first=1,
            last=len(gains),
            slider="gain step",
            menus={"token": ["norm and injection", [", ".join(row) for row in rows]]},
            rows=[list(row) for row in rows],
            gains=[f"{gain:g}" for gain in gains],
            kinds=kinds,
            looks=[
                {"colour": one.colour, "mark": one.mark, "ink": one.ink, "words": one.words}
                for one in looks
            ],
            ends=[
                [
                    [n for n, kind in enumerate(kinds) for _ in range(counts[cell].get(kind, 0))]
                    if cell in counts
                    else []
                    for cell in row
                ]
                for row in self.cells
            ],
            captions=[[self._caption(cell, seed) for cell in row] for row in self.cells],
        )
        super().__init__(data, unpack(data, layout), meta, loop=1)

    def __repr__(self):
        gains = self.meta.gains
        return (
            f"PhaseStepper(settings={len(self.cells)}, gains={gains[0]}..{gains[-1]}, "
            f"runs={len(self.drawn)})"
        )

    def choose(self, norm: str, injection: str, gain: float) -> None:
        """Show a cell from Python; ValueError for one that the diagram does not have."""
        row, at = self._place((norm, injection, gain))
        with self.stage.hold_sync():
            self.stage.token, self.stage.loop = row, self.meta.first + at

    def picture_state(self, loop: int | None = None) -> dict:
        """loop, cell, counts per kind, kind of the run, path [loop][layer][2] or None, words."""
        loop = self.checked_loop(loop)
        row, at = self.stage.token, loop - self.meta.first
        cell = self.cells[row][at]
        path = self.numbers["paths"][row, at]
        words = self.meta.captions[row][at]
        if self.held_loop is not None:
            held = self.meta.captions[row][self.held_loop - self.meta.first]
            words += f" Held beside it: {held}"
        return {
            "loop": loop,
            "cell": cell,
            "counts": self.counts.get(cell, {}),
            "kind": self.drawn.get(cell),
            "path": None if np.isnan(path).any() else path.tolist(),
            "held_loop": self.held_loop,
            "words": words,
        }

    def describe(self, loop: int | None = None) -> str:
        """What this cell (or that of another gain step) shows, in words."""
        return self.picture_state(loop)["words"]

    def film_strip(self, cells: Sequence[Cell] | None = None):
        """The runs of some cells side by side as one still picture (a plots.Picture).

        Without `cells` the first run of each kind that has one.
        """
        from looplab.widgets.strip import phase_strip

        if cells is None:
            firsts = {}
            for cell, kind in self.drawn.items():
                row, at = self._place(cell)
                if not np.isnan(self.numbers["paths"][row, at]).any():
                    firsts.setdefault(kind, cell)
            cells = [firsts[kind] for kind in self.meta.kinds if kind in firsts]
        return phase_strip(self, [self._place(cell) for cell in cells])

    def _place(self, cell: Cell) -> tuple[int, int]:
        """Row and column of a cell."""
        for row, line in enumerate(self.cells):
            if tuple(cell) in line:
                return row, line.index(tuple(cell))
        rows = "; ".join(self.meta.menus["token"][1])
        raise ValueError(
            f"{cell}: this diagram has {rows}, each with gains {', '.join(self.meta.gains)}"
        )

    def _caption(self, cell: Cell, seed: int) -> str:
        norm, injection, gain = cell
        told = ", ".join(f"{n} {kind}" for kind, n in self.counts.get(cell, {}).items())
        words = f"{norm}, {injection}, gain {gain:g}: {told or 'not tried'}."
        if cell in self.drawn:
            words += f" The run of draw {seed}: {self.drawn[cell]}."
        return words


def _of_seed(outcomes: Sequence, runs: Mapping[Cell, Tensor], seed: int) -> dict[Cell, str]:
    """The kind of each run's stack, which is that outcome of its cell that has this seed."""
    found = {(o.norm, o.injection, o.gain): o.kind for o in outcomes if o.seed == seed}
    missing = [cell for cell in runs if cell not in found]
    if missing:
        seeds = sorted({one.seed for one in outcomes})
        raise ValueError(f"seed={seed}: {missing[0]} has no outcome of it; seeds are {seeds}")
    return {cell: found[cell] for cell in found if cell in runs}


def _filling(path: Tensor) -> np.ndarray:
    """A path [loop, layer, 2] moved and scaled into the square from -1 to 1; NaN if not finite."""
    path = np.asarray(path.detach().cpu(), dtype=np.float64)
    if not np.isfinite(path).all():
        return np.full(path.shape, np.nan)
    low, high = path.min((0, 1)), path.max((0, 1))
    return (path - (low + high) / 2) / max((high - low).max() / 2, 1e-300)
