"""Figures along the layers of one model: lines with their spread, and every pattern on a sheet."""

from collections.abc import Collection, Mapping

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import PowerNorm
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from looplab.plots.picture import MARKERS, PALETTE, STYLES, Picture, drawing, numbers

__all__ = ["across_layers", "pattern_sheet"]

FEW = 7  # lines that have colours of their own; more are shades from first to last


def across_layers(
    panels: Mapping[str, Mapping[str, Tensor]],
    first: int = 0,
    log: Collection[str] = (),
    one_scale: bool = False,
    every: int = 1,
    axis: str = "layer",
) -> Picture:
    """Quantities [layer, sequence] along the layers: a panel for each, a line for each of its runs.

    Lines are means over the sequences, the shade is one standard deviation to either side. `first`
    is the number of the first layer, `every` how far the next one is, `axis` what they are if they
    are something else. Panels named in `log` have a logarithmic scale; `one_scale` gives all panels
    the same.

    >>> picture = across_layers({"norm": {"a model": torch.tensor([[1.0, 3.0], [4.0, 6.0]])}})
    >>> picture.alt
    'Along layers 0 to 1. norm, a model: 2 at the first, lowest 2 at 0, highest 5 at 1, 5 at the \
last.'
    """
    columns = min(2, len(panels))
    rows, told, labels = -(-len(panels) // columns), [], {}
    names = list(dict.fromkeys(name for runs in panels.values() for name in runs))
    shape = {"columns": columns, "rows": rows, "squeeze": False, "sharey": one_scale}
    height = 1.8 * rows + (0.6 if rows == 1 else 0.4)
    with drawing(3.5 * columns, height, **shape) as (figure, grid):
        for unused in grid.flatten()[len(panels) :]:
            unused.set_visible(False)
        for panel, (title, runs) in zip(grid.flatten(), panels.items(), strict=False):
            for name, values in runs.items():
                n = names.index(name)  # one look for a name in all panels
                values = np.atleast_2d(numbers(values).astype(float))
                mean, spread = values.mean(-1), values.std(-1)
                layer = first + every * np.arange(len(mean))
                look = _look(n, len(names))
                (labels[name],) = panel.plot(
                    layer, mean, marker=MARKERS[n % 7], ms=3.5, markevery=(2 * n % 5, 5), **look
                )
                if title not in log:
                    area = {"color": look["color"], "alpha": 0.15, "linewidth": 0}
                    panel.fill_between(layer, mean - spread, mean + spread, **area)
                low, high = int(mean.argmin()), int(mean.argmax())
                told.append(
                    f"{title}, {name}: {mean[0]:.3g} at the first, lowest {mean[low]:.3g} at "
                    f"{layer[low]}, highest {mean[high]:.3g} at {layer[high]}, {mean[-1]:.3g} at "
                    "the last"
                )
            if title in log:
                panel.set_yscale("log")
            panel.set_title(title)
            panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        for column in grid.T:
            shown = [panel for panel in column if panel.get_visible()]
            if shown:
                shown[-1].set_xlabel(axis)
        if len(labels) > 1:
            place = {"loc": "outside upper center", "ncols": 4}
            figure.legend(labels.values(), labels.keys(), **place)
    along = "layers" if axis == "layer" else f"the axis “{axis}”,"
    alt = f"Along {along} {first} to {layer[-1]}. " + "; ".join(told) + "."
    return Picture(figure, alt, dict(panels))


def pattern_sheet(patterns: Tensor, columns: int = 10, first: int = 0) -> Picture:
    """The patterns [layer, token, token] of a model that does not loop, in lines of `columns`.

    Each is numbered, from `first`. Shades go with the root of the weight, as in `floorplan`. The
    alt text tells where half of all attention goes to the first token.

    >>> pattern_sheet(torch.eye(3).expand(4, 3, 3), columns=2).alt[:42]
    'Attention patterns of layers 0 to 3 on 3 t'
    """
    patterns = numbers(patterns)
    rows = -(-len(patterns) // columns)
    with drawing(0.95 * columns + 0.6, 1.12 * rows + 0.2, columns, rows, squeeze=False) as (
        figure,
        grid,
    ):
        for n, panel in enumerate(grid.flatten()):
            panel.set(xticks=[], yticks=[])
            panel.grid(False)
            if n >= len(patterns):
                panel.set_visible(False)
                continue
            shade = {"cmap": "Blues", "norm": PowerNorm(0.5, 0, 1), "interpolation": "nearest"}
            image = panel.imshow(patterns[n], **shade)
            panel.set_title(str(first + n), fontsize=9)
            panel.spines[:].set_visible(True)
        bar = figure.colorbar(image, ax=grid, ticks=[0, 0.1, 0.5, 1], pad=0.01, fraction=0.05)
        bar.set_label("attention, mean of heads")
    share = patterns[..., 0].mean(-1)  # [layer]
    half = [str(first + n) for n in np.flatnonzero(share >= 0.5)]
    alt = (
        f"Attention patterns of layers {first} to {first + len(patterns) - 1} on "
        f"{patterns.shape[-1]} tokens, means of heads. Half of all attention or more goes to the "
        f"first token in layers {', '.join(half) or 'none'}."
    )
    return Picture(figure, alt, {"patterns": patterns})


def _look(n: int, lines: int) -> dict:
    if lines > FEW:
        return {"color": colormaps["cividis"](n / lines), "linestyle": "-"}
    return {"color": PALETTE[n % 7], "linestyle": STYLES[n % 7]}
