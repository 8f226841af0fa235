"""The floorplan: every attention pattern of a run on one sheet."""

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.patches import Rectangle
from torch import Tensor

from looplab.measure import MeanPatterns, settling_loop
from looplab.plots.picture import PALETTE, Picture, drawing

__all__ = ["floorplan"]

GAP = 0.15  # between two patterns, in units of a pattern
SETTLED = 0.05  # relative distance to the last loop's pattern


def floorplan(patterns: MeanPatterns, sequence: int = 0) -> Picture:
    """All attention patterns of one sequence: a column for each loop, a row for each core layer.

    The layers run down each column and then down the next; prelude and coda stand in framed
    columns of their own at the left and the right. A layer that has settled repeats its pattern
    along its row. Raises ValueError for a sequence that is not in the batch.

    Source: arXiv 2604.11791, figure 63 (claim C16).

    >>> from looplab import LoopedConfig, LoopedTransformer
    >>> from looplab.measure import mean_patterns
    >>> model = LoopedTransformer(LoopedConfig(vocab=9, prelude=1, core=2, coda=1))
    >>> print(floorplan(mean_patterns(model, torch.tensor([[1, 2, 3]]), loops=4)).alt[:60])
    Attention patterns of 1 prelude layer, 2 core layers at each
    """
    if not 0 <= sequence < patterns.core.shape[2]:
        raise ValueError(
            f"sequence={sequence}: these patterns have sequences 0 to {patterns.core.shape[2] - 1}"
        )
    prelude, core, coda = (part.select(-3, sequence).detach().float().cpu() for part in patterns)
    loops, layers, token, _ = core.shape
    rows = max(layers, len(prelude), len(coda))
    columns = loops + (len(prelude) > 0) + (len(coda) > 0)
    # Inches for a pattern; the sheet stays narrower and lower than 16, unless layers are very many.
    scale = min(1.0, 14 / columns, max(14 / rows, 0.3))
    with drawing(1.6 + scale * columns, 0.9 + scale * rows) as (figure, axes):
        shade = {"cmap": "Blues", "norm": PowerNorm(0.5, 0, 1)}
        first = 1 if len(prelude) else 0
        for loop in range(loops):
            image = _column(axes, first + loop, core[loop], shade)
        for at, part, name in ((0, prelude, "prelude"), (columns - 1, coda, "coda")):
            if len(part):
                _column(axes, at, part, shade)
                _frame(axes, at, len(part), name)
        axes.set(xlim=(-GAP, columns), ylim=(rows, -GAP), aspect="equal", xlabel="loop")
        middle = (1 - GAP) / 2
        shown = range(0, loops, -(-loops // 16))  # no more labels than can be read
        axes.set_xticks([first + loop + middle for loop in shown], [loop + 1 for loop in shown])
        axes.set_yticks([row + middle for row in range(rows)], range(1, rows + 1))
        axes.set_ylabel("layer")
        axes.grid(False)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        slim = {"pad": 0.01, "aspect": max(20, 2 * rows)}
        bar = figure.colorbar(image, ax=axes, ticks=[0, 0.1, 0.5, 1], **slim)
        bar.set_label("attention, mean of heads")
    data = {"prelude": prelude, "core": core, "coda": coda}
    return Picture(figure, _told(prelude, core, coda), data)


def _column(axes, at: int, patterns: Tensor, shade: dict):
    """Draw patterns [layer, token, token] below each other; returns the last image."""
    for row, pattern in enumerate(np.asarray(patterns)):
        where = (at, at + 1 - GAP, row + 1 - GAP, row)  # left, right, bottom, top
        image = axes.imshow(pattern, extent=where, interpolation="nearest", **shade)
    return image


def _frame(axes, at: int, count: int, name: str):
    edge = GAP / 2
    axes.text(at + (1 - GAP) / 2, -2 * edge, name, ha="center", va="bottom", fontsize=9)
    look = {"fill": False, "edgecolor": PALETTE[1], "linewidth": 2}
    corner = (at - edge, -edge)
    axes.add_patch(Rectangle(corner, 1 - GAP + 2 * edge, count - GAP + 2 * edge, **look))


def _told(prelude: Tensor, core: Tensor, coda: Tensor) -> str:
    loops, layers, token, _ = core.shape
    parts = [
        f"{len(part)} {name} layer{'s' * (len(part) > 1)}"
        for name, part in (("prelude", prelude), ("coda", coda))
        if len(part)
    ]
    at_core = f"{layers} core layer{'s' * (layers > 1)} at each of {loops} loops"
    names = [*parts[: len(prelude) > 0], at_core, *parts[len(prelude) > 0 :]]
    alt = f"Attention patterns of {', '.join(names)}, on {token} tokens."
    if loops < 2:
        return alt
    told = [
        f"layer {n + 1} from loop {loop}" if loop else f"layer {n + 1} not before the last"
        for n, loop in enumerate(settling_loop(core.flatten(-2), SETTLED).tolist())
    ]
    return f"{alt} Within {SETTLED:.0%} of the last loop's pattern: {', '.join(told)}."
