"""A phase diagram: how stacks of random weights end, by norm, injection, core size and gain."""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from matplotlib.collections import PatchCollection
from matplotlib.patches import Rectangle

from looplab.plots.picture import PALETTE, Picture, drawing

__all__ = ["PHASES", "Phase", "phase_counts", "phase_diagram", "phase_legend"]


@dataclass(frozen=True)
class Phase:
    """How one kind of end is drawn, and what it is in words."""

    colour: str  # #rrggbb
    mark: str  # matplotlib's name of the marker
    ink: str  # the colour of the mark, which has to be seen on the other
    words: str


# From rest to none; the order of the tiles in a cell.
PHASES = {
    "cycle": Phase(PALETTE[0], "o", "white", "rests, every layer on a point of its own"),
    "degenerate": Phase(PALETTE[5], "_", "black", "all layers on one point, which may still move"),
    "orbit": Phase(PALETTE[2], "D", "white", "comes back after several loops"),
    "no rest": Phase(PALETTE[4], "x", "black", "neither rests nor comes back"),
    "moving": Phase(PALETTE[4], "x", "black", "does not rest"),
    "explodes": Phase(PALETTE[1], "^", "black", "grows without end"),
}


def phase_counts(outcomes: Sequence, *names: str) -> dict[Hashable, dict[str, int]]:
    """How many outcomes there are of each kind, for each value of the fields that are named.

    outcomes: what `grid.grid` returns, or anything with such fields. Kinds come in the order of
    PHASES. Raises ValueError for no outcomes, or a kind that is not in PHASES.

    >>> from looplab import grid
    >>> phase_counts(grid.grid(["pre"], ["none"], [2], [1.0], [0, 1], width=16, tokens=4), "gain")
    {(1.0,): {'degenerate': 2}}
    """
    if not outcomes:
        raise ValueError("no outcomes: expected at least one, as grid.grid returns them")
    found: dict[Hashable, Counter] = {}
    for one in outcomes:
        if one.kind not in PHASES:
            raise ValueError(f"kind={one.kind!r}: expected one of {', '.join(PHASES)}")
        found.setdefault(tuple(getattr(one, name) for name in names), Counter())[one.kind] += 1
    return {
        key: {kind: counts[kind] for kind in PHASES if counts[kind]}
        for key, counts in found.items()
    }


def phase_diagram(outcomes: Sequence) -> Picture:
    """How stacks end, as tiles: one for each draw, coloured and marked by its kind.

    outcomes: what `grid.grid` returns. A cell is one setting and holds a tile for each of its
    seeds, so that a cell of one colour is sure and a mixed one is not. With cores of one size:
    a panel for each norm, gain across and injection down. With several: a panel for each norm and
    injection, gain across and the layers in the core down. Raises ValueError as `phase_counts`.

    Source: the question of arXiv 2604.11791, figure 6 (claim C8).

    >>> from looplab import grid
    >>> some = grid.grid(["pre"], ["none"], [2], [0.5, 1.0], [0, 1], width=16, tokens=4)
    >>> print(phase_diagram(some).alt)
    How 4 stacks of random weights end, gains 0.5 to 1, 2 draws of each. pre, none: 4 degenerate.
    """
    cells = phase_counts(outcomes, "norm", "injection", "depth", "gain")
    norms, injections, depths, gains = (
        list(dict.fromkeys(key[n] for key in cells)) for n in range(4)
    )
    depths, gains = sorted(depths), sorted(gains)
    several = len(depths) > 1
    down = depths if several else injections
    columns = injections if several else [""]
    width = 0.56 * len(gains) * len(columns) + 1.5
    height = (0.5 * len(down) + 0.35) * len(norms) + 1.2
    with drawing(
        max(width, 6.4), height, len(columns), len(norms), squeeze=False, sharex=True, sharey=True
    ) as (figure, grid):
        for panels, norm in zip(grid, norms, strict=True):
            for panel, column in zip(panels, columns, strict=True):
                for row, one in enumerate(down):
                    key = (norm, column, one) if several else (norm, one, depths[0])
                    for at, gain in enumerate(gains):
                        _tiles(panel, at, row, cells.get((*key, gain), {}))
                panel.set_title(f"{norm}, {column}" if several else norm)
                panel.set(xlim=(-0.55, len(gains) - 0.45), ylim=(len(down) - 0.45, -0.55))
                panel.set_xticks(range(len(gains)), [f"{gain:g}" for gain in gains])
                panel.set_yticks(range(len(down)), [str(one) for one in down])
                panel.grid(False)
                panel.spines[:].set_visible(False)
                panel.tick_params(length=0)
        for panel in grid[-1]:
            panel.set_xlabel("gain")
        for panel in grid[:, 0]:
            panel.set_ylabel("layers in the core" if several else "injection")
        phase_legend(figure, [kind for kind in PHASES if any(kind in c for c in cells.values())])
    draws = sorted({sum(counts.values()) for counts in cells.values()})
    alt = (
        f"How {len(outcomes)} stacks of random weights end, gains {gains[0]:g} to {gains[-1]:g}, "
        f"{' or '.join(map(str, draws))} draws of each. "
    )
    told = [
        f"{norm}, {injection}: " + ", ".join(f"{n} {kind}" for kind, n in counts.items())
        for (norm, injection), counts in phase_counts(outcomes, "norm", "injection").items()
    ]
    return Picture(figure, alt + "; ".join(told) + ".", cells)


def phase_legend(figure, kinds: Sequence[str]):
    """Write below a figure what the colours and marks of these kinds mean."""
    from matplotlib.legend_handler import HandlerTuple
    from matplotlib.lines import Line2D

    handles = []
    for kind in kinds:
        phase = PHASES[kind]
        tile = Line2D([], [], color=phase.colour, marker="s", markersize=11, linestyle="")
        mark = Line2D([], [], color=phase.ink, marker=phase.mark, markersize=5, linestyle="")
        handles.append((tile, mark))
    figure.legend(
        handles,
        [f"{kind}: {PHASES[kind].words}" for kind in kinds],
        loc="outside lower center",
        ncols=2,
        fontsize=9,
        handler_map={tuple: HandlerTuple(ndivide=1)},
    )


def _tiles(panel, at: int, row: int, counts: Mapping[str, int]):
    """The tiles of the cell whose middle is (at, row): side by side, in lines of at most four."""
    kinds = [kind for kind, n in counts.items() for _ in range(n)]
    if not kinds:
        return
    lines = ceil(len(kinds) / 4)
    across = ceil(len(kinds) / lines)
    side, high = 0.92 / across, 0.88 / lines
    tiles = []
    for n, kind in enumerate(kinds):
        left, top = at - 0.46 + (n % across) * side, row - 0.44 + (n // across) * high
        look = {"facecolor": PHASES[kind].colour, "edgecolor": "white", "linewidth": 0.7}
        tiles.append(Rectangle((left, top), side, high, **look))
        look = {"color": PHASES[kind].ink, "marker": PHASES[kind].mark, "s": 13, "linewidth": 1}
        panel.scatter(left + side / 2, top + high / 2, zorder=3, **look)
    panel.add_collection(PatchCollection(tiles, match_original=True))
