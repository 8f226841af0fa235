"""Maps of patches: what each does to the score, beside what a control does."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from torch import Tensor

from looplab.plots.picture import PALETTE, Picture, drawing, numbers

__all__ = ["patch_maps"]

CELL = 0.42  # inches
# One colour below zero and another above, white between; the numbers in the cells say it again.
_COLOURS = LinearSegmentedColormap.from_list("patch", [PALETTE[1], "white", PALETTE[0]])
_WORDS = {"from_loop": "loop of the source", "to_loop": "loop that is patched"}


def patch_maps(
    maps: Mapping[str, Tensor],
    axes: tuple[str, str] = ("loop", "token"),
    labels: Sequence[str] | None = None,
    first: int = 0,
) -> Picture:
    """Shares of a difference that patches make [row, column], a panel for each map, one scale.

    `axes` are those of a `PatchMap`, whose `share` (a mean over the batch) is a map, and its
    `control_share` another. Rows count from 1, and columns too, unless they are tokens, which count
    from `first` or have `labels`. Each cell says its share in percent where there is room.

    >>> import torch
    >>> patch_maps({"patched": torch.tensor([[0.0, 0.2], [0.4, 1.0]])}).alt
    'Share of the difference by loop and token. patched: largest 100 % at loop 2, token 1; \
smallest 0 % at loop 1, token 0; mean 40 %.'
    """
    maps = {name: np.asarray(numbers(one), dtype=float) for name, one in maps.items()}
    shapes = {one.shape for one in maps.values()}
    if len(shapes) != 1 or len(next(iter(shapes))) != 2:
        raise ValueError(f"maps of shapes {sorted(shapes)}: expected one shape, [row, column]")
    (rows, columns) = next(iter(shapes))
    names = [str(n + (first if axes[1] == "token" else 1)) for n in range(columns)]
    if labels is not None:
        if len(labels) != columns:
            raise ValueError(f"{len(labels)} labels for {columns} columns: give one for each")
        names = list(labels)
    size = (len(maps) * (CELL * columns + 0.5) + 1.2, CELL * rows + 1.1)
    told = []
    words = [_WORDS.get(axis, axis) for axis in axes]
    with drawing(*size, columns=len(maps), squeeze=False, sharey=True) as (figure, grid):
        for panel, (name, one) in zip(grid[0], maps.items(), strict=True):
            image = panel.imshow(one, cmap=_COLOURS, vmin=-1, vmax=1, aspect="auto")
            panel.grid(False)
            for row, column in np.ndindex(one.shape):
                share = one[row, column]
                panel.text(
                    column,
                    row,
                    f"{round(100 * share)}" if np.isfinite(share) else "?",
                    ha="center",
                    va="center",
                    fontsize=7,
                    color="white" if abs(share) > 0.6 else "0.15",
                )
            panel.set_title(name)
            panel.set_xticks(range(columns), names)
            panel.set_yticks(range(rows), range(1, rows + 1))
            panel.set_xlabel(words[1])
            told.append(_told(name, one, axes, names))
        grid[0][0].set_ylabel(words[0])
        bar = figure.colorbar(image, ax=grid, pad=0.01)
        bar.set_label("share of the difference")
        lowest = min(np.nanmin(one, initial=0) for one in maps.values())
        bar.ax.set_ylim(max(-1, lowest), 1)  # the scale goes both ways, whatever is there
    alt = f"Share of the difference by {words[0]} and {words[1]}. " + "; ".join(told) + "."
    return Picture(figure, alt, maps)


def _told(name: str, one: np.ndarray, axes: tuple[str, str], names: Sequence[str]) -> str:
    if not np.isfinite(one).any():
        return f"{name}: no difference to share"
    words = []
    for what, index in (("largest", np.nanargmax(one)), ("smallest", np.nanargmin(one))):
        row, column = np.unravel_index(index, one.shape)
        where = f"{_WORDS.get(axes[0], axes[0])} {row + 1}, {_WORDS.get(axes[1], axes[1])}"
        words.append(f"{what} {100 * one[row, column]:.0f} % at {where} {names[column]}")
    return f"{name}: {'; '.join(words)}; mean {100 * np.nanmean(one):.0f} %"
