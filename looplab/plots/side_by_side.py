"""Many models side by side: settling, exits, multipliers, stages."""

from collections.abc import Mapping

import numpy as np
from matplotlib.lines import Line2D

from looplab.plots.picture import MARKERS, PALETTE, STYLES, Picture, drawing

__all__ = ["comparison"]


def comparison(models: Mapping[str, Mapping]) -> Picture:
    """What `looplab compare` found, a colour and a line style for each model, in four panels.

    Each model has `steps` [loop - 1] (median length of a step / state), `answered` [loop] (share of
    tokens whose answer is their last one), `leaves` (mean loop of the exit rule), `rate` and
    `multiplier` (numbers or None), and `concentration` [loop][layer].

    >>> one = {"steps": [0.5, 0.1], "answered": [0.2, 0.9, 1.0], "leaves": 2.5, "rate": 0.2,
    ...        "multiplier": None, "concentration": [[0.1], [0.2], [0.4]]}
    >>> print(comparison({"hero": one}).alt)
    1 model over 3 loops. hero: last step 0.1 of the state, 20% of the answers are the last ones \
after loop 1, leaves at 2.5 of 3, steps shrink by 0.20, ColSum 0.10 to 0.40.
    """
    count = len(models)
    height = 5.4 + 0.22 * count + 0.1 * -(-count // 4)
    names, told, handles = list(models), [], []
    shape = {"height_ratios": [2.6, 1 + 0.2 * count]}
    with drawing(9.6, height, columns=2, rows=2, gridspec_kw=shape) as (figure, grid):
        (settling, exits), (spectrum, stages) = grid
        for n, (name, one) in enumerate(models.items()):
            look = {"color": PALETTE[n % 7], "linestyle": STYLES[(n + n // 7) % 7]}
            mark = MARKERS[(n + n // 7) % 7]
            loops = len(one["answered"])
            steps = np.array([np.nan if x is None else x for x in one["steps"]], float)
            settling.semilogy(range(2, loops + 1), np.where(steps > 0, steps, np.nan), **look)
            exits.plot(range(1, loops + 1), one["answered"], **look)
            at = one["leaves"]
            level = np.interp(at, range(1, loops + 1), one["answered"])
            exits.plot(at, level, marker=mark, ms=8, mec="white", color=look["color"])
            first, last = (np.mean(one["concentration"][end]) for end in (0, -1))
            _pair(spectrum, n, one["rate"], one["multiplier"], look["color"])
            _pair(stages, n, first, last, look["color"])
            handles.append(Line2D([], [], marker=mark, **look))
            told.append(_told(name, one, loops, first, last))
        settling.set(xlabel="loop", ylabel="step / state", title="Settling")
        least = min(min(one["answered"]) for one in models.values())
        exits.set(xlabel="loop", ylabel="share of tokens", ylim=(least - 0.05, 1.03))
        exits.set_title("Answer is the last one's (mark: exit rule)")
        spectrum.set(
            xlabel="factor for each loop", title="Steps shrink by (ring), multiplier (dot)"
        )
        spectrum.axvline(1, color="0.4", linewidth=0.8)
        stages.set(xlabel="ColSum concentration", title="Attention at loop 1 (ring) and last (dot)")
        for panel in (spectrum, stages):
            panel.set_yticks(range(count), names if panel is spectrum else [""] * count)
            panel.set_ylim(count - 0.5, -0.5)
        if count > 1:
            figure.legend(handles, names, loc="outside upper center", ncols=min(4, count))
    said = f"{count} model{'s' if count > 1 else ''} over {loops} loops. "
    return Picture(figure, said + "; ".join(told) + ".", dict(models))


def _pair(panel, row: int, ring: float | None, dot: float | None, colour: str):
    """Two values of one model on its line; what is not known is left out."""
    if ring is not None and dot is not None:
        panel.plot([ring, dot], [row, row], color=colour, linewidth=1.2)
    if ring is not None:
        panel.plot(ring, row, marker="o", ms=8, mfc="white", mec=colour, mew=1.5)
    if dot is not None:
        panel.plot(dot, row, marker="o", ms=6, color=colour)


def _told(name: str, one: Mapping, loops: int, first: float, last: float) -> str:
    step = one["steps"][-1]
    said = [
        f"{name}: last step {'unknown' if step is None else f'{step:.1g}'} of the state",
        f"{one['answered'][0]:.0%} of the answers are the last ones after loop 1",
        f"leaves at {one['leaves']:.1f} of {loops}",
    ]
    if one["rate"] is not None:
        said.append(f"steps shrink by {one['rate']:.2f}")
    if one["multiplier"] is not None:
        said.append(f"largest multiplier {one['multiplier']:.2f}")
    return ", ".join([*said, f"ColSum {first:.2f} to {last:.2f}"])
