"""Where runs of many settings end up: one point on the paper for each of their last loops."""

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from looplab.plots.picture import PALETTE, Picture, drawing, numbers

__all__ = ["bifurcation"]


def bifurcation(
    panels: Mapping[str, Tensor], settings: Sequence[float], xlabel: str, ylabel: str
) -> Picture:
    """A number of the last loops [setting, loop] over the settings: a panel for each kind of run.

    A run at rest draws one point again and again, an orbit of period k draws k. The alt text counts
    them, points within a hundredth of the whole range being one. Raises ValueError for numbers that
    are not finite, and for another number of settings.

    >>> bifurcation({"a window": torch.tensor([[2.0, 2.0], [1.0, 3.0]])}, (0.1, 0.2), "α", "x").alt
    'x of the last 2 loops over α, distinct points. a window: 0.1: 1, 0.2: 2.'
    """
    told = []
    drawn = {title: numbers(values) for title, values in panels.items()}
    for title, values in drawn.items():
        if values.ndim != 2 or len(values) != len(settings) or not np.isfinite(values).all():
            raise ValueError(
                f"{title!r} has shape {list(values.shape)}: expected finite numbers "
                f"[{len(settings)} settings, loop]"
            )
    with drawing(3.9 * len(panels), 3.3, columns=len(panels), squeeze=False, sharey=True) as (
        figure,
        grid,
    ):
        for panel, (title, values) in zip(grid[0], drawn.items(), strict=True):
            for setting, points in zip(settings, values, strict=True):
                look = {"color": PALETTE[0], "marker": ".", "ms": 3, "linestyle": ""}
                panel.plot([setting] * len(points), points, **look)
            unit = (values.max() - values.min()) / 100 or 1
            counts = [len({round(float(one) / unit) for one in points}) for points in values]
            cells = (f"{a:g}: {n}" for a, n in zip(settings, counts, strict=True))
            told.append(f"{title}: {', '.join(cells)}")
            panel.set(title=title, xlabel=xlabel)
        grid[0][0].set_ylabel(ylabel)
    alt = f"{ylabel} of the last {values.shape[1]} loops over {xlabel}, distinct points. "
    return Picture(figure, alt + "; ".join(told) + ".", dict(panels))
