"""Figures of many layers and many loops: colour runs with depth or with the loop, as in the paper.

By layer, lines run from blue to green the deeper the layer; by recurrence from green to yellow the
later the loop. Source: the groupings of arXiv 2604.11791, section 5.
"""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter
from torch import Tensor

from looplab.plots.picture import PALETTE, Picture, drawing, numbers

__all__ = ["groupings", "latent_path", "over_loops"]

# Pieces of one map that any colour vision can follow: its lightness only rises.
DEEPER = ListedColormap(colormaps["viridis"](np.linspace(0.12, 0.62, 256)))
LATER = ListedColormap(colormaps["viridis"](np.linspace(0.55, 0.97, 256)))
GROUPINGS = ("depth", "recurrence", "layer")
_LONG = 16  # loops from which on their axis is logarithmic


def over_loops(
    panels: Mapping[str, Tensor],
    floors: Mapping[str, Tensor | float] | None = None,
    log: bool = True,
    last: int | None = None,
    floor_name: str = "rounding",
) -> Picture:
    """Quantities [loop, layer] against the loop: a panel each, a line per layer, blue to green.

    `last` is the number of the last loop, None meaning that the first is loop 1; a quantity of
    steps has one loop less and begins at 2. `floors` [loop] or one number per panel shade what is
    no more than rounding. Any number of layers can be read: the colour bar names them.

    >>> over_loops({"step": torch.tensor([[4.0, 2.0], [1.0, 1.0]])}).alt
    'A line for each of 2 layers. step, mean of layers: 3 at loop 1, 1 at loop 2, where layers lie \
between 1 and 1.'
    """
    told, floors = [], floors or {}
    layers = max(numbers(table).shape[1] for table in panels.values())
    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)
    shape = {"columns": columns, "rows": rows, "squeeze": False}
    with drawing(3.5 * columns + 0.8, 2.7 * rows + 0.2, **shape) as (figure, grid):
        for unused in grid.flatten()[len(panels) :]:
            unused.set_visible(False)
        for panel, (title, table) in zip(grid.flatten(), panels.items(), strict=False):
            table = numbers(table).astype(float)
            first = 1 if last is None else last - len(table) + 1
            loop = np.arange(first, first + len(table))
            shown = np.where(table > 0, table, np.nan) if log else table
            for layer in range(table.shape[1]):
                look = {"color": DEEPER(_share(layer, layers)), "linewidth": 1.1}
                panel.plot(loop, shown[:, layer], marker="o", ms=2 if len(loop) > 9 else 4, **look)
            if log:
                panel.set_yscale("log")
            _loop_axis(panel, loop)
            if title in floors:
                _shade(panel, loop, numbers([floors[title]])[0], floor_name, log)
            panel.set(title=title)
            told.append(f"{title}, {_told(table, loop)}")
        for panel in grid[-1]:
            panel.set_xlabel("loop")
        _bar(figure, grid[:, -1], DEEPER, layers, "layer")
    return Picture(
        figure, f"A line for each of {layers} layers. " + "; ".join(told) + ".", dict(panels)
    )


def groupings(
    panels: Mapping[str, Tensor],
    outside: Mapping[str, tuple[Tensor, Tensor]] | None = None,
    by: Sequence[str] = GROUPINGS,
    loops: Sequence[int] | None = None,
    log: Collection[str] = (),
) -> Picture:
    """Quantities [loop, layer] grouped in up to three ways: a row each, a column for each grouping.

    "depth" draws one line along all layers in the order in which they run, with those of prelude
    and coda, `outside` ([layer], [layer]), at its ends; "recurrence" a line per loop, green to
    yellow, along its layers; "layer" a line per layer, blue to green, over the loops. `loops` are
    the loops' numbers, where not 1, 2, ... Loops without a number (NaN) are passed over. Quantities
    named in `log` have a logarithmic scale. Raises ValueError for another grouping, and for another
    number of loops.

    >>> groupings({"sinks": torch.tensor([[0.0, 0.5], [0.25, 0.5]])}).alt
    'Quantities in the order in which the layers run, by recurrence and by layer. sinks, mean of \
layers: 0.25 at loop 1, 0.375 at loop 2, where layers lie between 0.25 and 0.5.'
    """
    wrong = [name for name in by if name not in GROUPINGS]
    if wrong or not by:
        raise ValueError(f"by={tuple(by)!r}: expected some of {', '.join(GROUPINGS)}")
    told, outside = [], outside or {}
    count, layers = numbers(next(iter(panels.values()))).shape
    loop = np.arange(1, count + 1) if loops is None else np.asarray(loops)
    if len(loop) != count:
        raise ValueError(f"loops names {len(loop)} loops: these quantities have {count}")
    titles = {
        "depth": "in the order they run",
        "recurrence": "by recurrence",
        "layer": "by layer",
    }
    shape = {"columns": len(by), "rows": len(panels), "squeeze": False}
    shape |= {"sharex": "col", "sharey": "row"}
    with drawing(3.5 * len(by) + 0.6, 1.7 * len(panels) + 0.9, **shape) as (figure, grid):
        for row, (name, table) in zip(grid, panels.items(), strict=True):
            table = numbers(table).astype(float)
            for panel, way in zip(row, by, strict=True):
                if way == "depth":
                    _by_depth(panel, table, outside.get(name))
                elif way == "recurrence":
                    _by_recurrence(panel, table)
                else:
                    _by_layer(panel, table, loop)
            row[0].set_ylabel(name)
            if name in log:
                row[0].set_yscale("log")  # of the whole row
            told.append(f"{name}, {_told(table, loop)}")
        for panel, way in zip(grid[0], by, strict=True):
            panel.set_title(titles[way])
        told_x = {"depth": "realized depth", "recurrence": "relative depth in a loop, %"}
        for panel, way in zip(grid[-1], by, strict=True):
            panel.set_xlabel(told_x.get(way, "loop"))
        for column, way in zip(grid.T, by, strict=True):
            if way == "recurrence":
                _bar(figure, column, LATER, count, "loop", "bottom", loop)
            elif way == "layer":
                _bar(figure, column, DEEPER, layers, "layer", "bottom")
        if "depth" in by and outside:
            names, labels = grid[0][list(by).index("depth")].get_legend_handles_labels()
            if labels:
                figure.legend(names, labels, loc="outside lower left", ncols=3)
    named = [titles[way] for way in by]
    ways = ", ".join(named[:-1]) + (" and " if len(named) > 1 else "") + named[-1]
    ways = ways.replace("in the order they run", "in the order in which the layers run")
    return Picture(figure, f"Quantities {ways}. " + "; ".join(told) + ".", dict(panels))


def latent_path(points: Tensor, explained: Tensor, title: str = "") -> Picture:
    """A token's path [loop, layer, component] in a plane: all loops, and the cycle of the last.

    At the left a line per loop, green to yellow; at the right the layers of the last loop, blue to
    green, joined into a cycle, over the later half of all loops in grey. `explained` [component]
    are the axes' shares of the variance. Source: arXiv 2604.11791, figures 5 and 26 to 28.

    >>> points = torch.tensor([[[0.0, 0.0], [1.0, 0.0]], [[0.0, 0.1], [1.0, 0.1]]])
    >>> print(latent_path(points, torch.tensor([0.9, 0.1])).alt[:62])
    2 loops of 2 layers in the plane of two principal components (
    """
    path, share = numbers(points).astype(float), numbers(explained)
    loops, layers = path.shape[:2]
    with drawing(8.6, 4.2, columns=2) as (figure, (left, right)):
        for loop in range(loops):
            look = {"color": LATER(_share(loop, loops)), "linewidth": 1.0, "zorder": 2}
            joined = path[max(loop - 1, 0), -1:], path[loop]
            left.plot(*np.concatenate(joined)[:, :2].T, marker="o", ms=2.5, **look)
        left.plot(*path[0, 0, :2], marker="s", ms=7, color=PALETTE[1], zorder=3)
        left.annotate("loop 1", path[0, 0, :2], (7, 6), textcoords="offset points", fontsize=8)
        left.set_title("all loops")
        late = path[loops // 2 :].reshape(-1, path.shape[-1])
        right.plot(*late[:, :2].T, color="0.8", linewidth=0.8, marker=".", ms=3, zorder=1)
        closed = np.concatenate((path[-1], path[-1, :1]))
        right.plot(*closed[:, :2].T, color="0.4", linewidth=0.8, zorder=2)
        for layer in range(layers):
            look = {"color": DEEPER(_share(layer, layers)), "zorder": 3}
            right.plot(*path[-1, layer, :2], marker="o", ms=6, linestyle="", **look)
            if layer in (0, layers - 1) or layers <= 6:
                place = {"textcoords": "offset points", "fontsize": 8}
                right.annotate(f"{layer + 1}", path[-1, layer, :2], (5, 4), **place)
        right.set_title(f"loops {loops // 2 + 1} to {loops}; the last by layer")
        for panel in (left, right):
            panel.set_xlabel(f"component 1 ({100 * share[0]:.0f} %)")
            panel.set_aspect("equal", adjustable="datalim")
            panel.margins(0.08)
        left.set_ylabel(f"component 2 ({100 * share[1]:.0f} %)")
        _bar(figure, [left], LATER, loops, "loop", "bottom")
        _bar(figure, [right], DEEPER, layers, "layer", "bottom")
        if title:
            figure.suptitle(title, fontsize=10)
    reach = np.linalg.norm(path - path.mean((0, 1)), axis=-1).max()
    moved = np.linalg.norm(path[-1] - path[loops // 2], axis=-1).max() / max(reach, 1e-30)
    round_trip = np.linalg.norm(np.diff(closed, axis=0), axis=1).max() / max(reach, 1e-30)
    return Picture(
        figure,
        f"{loops} loops of {layers} layers in the plane of two principal components "
        f"({100 * share[0]:.0f} % and {100 * share[1]:.0f} % of the variance). In units of how far "
        f"the path reaches from its middle, no layer moves by more than {moved:.1g} from loop "
        f"{loops // 2 + 1} to loop {loops}, and the layers of the last loop lie up to "
        f"{round_trip:.2g} from the next.",
        {"points": path},
    )


def _by_depth(panel, table: np.ndarray, outside: tuple[Tensor, Tensor] | None):
    before, after = (numbers(one).astype(float) for one in outside or (np.empty(0), np.empty(0)))
    loops, layers = table.shape
    begin, end = len(before), len(before) + table.size
    core = table.flatten()
    panel.plot(begin + 1 + np.arange(table.size), core, color="0.25", linewidth=1, zorder=2)
    if len(before):
        x, y = np.arange(1, begin + 2), np.append(before, core[0])
        look = {"color": PALETTE[1], "marker": "s", "markevery": range(begin)}
        panel.plot(x, y, ms=3.5, label="prelude", zorder=3, **look)
    if len(after):
        x, y = np.arange(end, end + 1 + len(after)), np.insert(after, 0, core[-1])
        look = {"color": PALETTE[4], "marker": "D", "markevery": range(1, len(x))}
        panel.plot(x, y, ms=3.5, label="coda", zorder=3, **look)
    for loop in range(loops + 1):
        panel.axvline(begin + 0.5 + loop * layers, color="0.85", linewidth=0.6, zorder=0)
    panel.grid(axis="x", visible=False)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))


def _by_recurrence(panel, table: np.ndarray):
    loops, layers = table.shape
    depth = 100 * (np.arange(layers) + 0.5) / layers
    for loop, line in enumerate(table):
        if np.isfinite(line).any():
            look = {"color": LATER(_share(loop, loops)), "linewidth": 1.2}
            panel.plot(depth, line, marker="o", ms=4 if layers < 9 else 2, **look)
    panel.set_xlim(0, 100)


def _by_layer(panel, table: np.ndarray, loop: np.ndarray):
    for layer, line in enumerate(table.T):
        seen = np.isfinite(line)
        look = {"color": DEEPER(_share(layer, table.shape[1])), "linewidth": 1.2}
        panel.plot(loop[seen], line[seen], marker="o", ms=4 if len(loop) < 9 else 2, **look)
    _loop_axis(panel, loop)


def _loop_axis(panel, loop: np.ndarray):
    if loop[-1] > _LONG:
        panel.set_xscale("log", base=2)
        panel.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        panel.xaxis.set_minor_formatter(NullFormatter())
    else:
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))


def _shade(panel, loop: np.ndarray, floor: np.ndarray, name: str, log: bool):
    floor = np.broadcast_to(floor, loop.shape).astype(float)
    low, high = panel.get_ylim()
    bottom = min(low, np.nanmin(floor) / 10) if log else low
    panel.fill_between(loop, bottom, floor, color="0.9", zorder=0, linewidth=0)
    panel.set_ylim(bottom, max(high, 2 * np.nanmax(floor)))
    panel.text(0.03, 0.03, name, transform=panel.transAxes, fontsize=8, color="0.35")


def _bar(figure, axes, ramp, count: int, what: str, location: str = "right", names=None):
    """A colour bar that names first, middle and last of `count` lines."""
    scale = ScalarMappable(Normalize(0, max(count - 1, 1)), ramp)
    shown = sorted({0, (count - 1) // 2, count - 1})
    names = range(1, count + 1) if names is None else names
    options = {"location": location, "pad": 0.01, "aspect": 40, "shrink": 0.9}
    bar = figure.colorbar(scale, ax=list(axes), ticks=shown, **options)
    bar.set_ticklabels([str(names[n]) for n in shown])
    bar.set_label(what, fontsize=9)
    bar.outline.set_visible(False)


def _share(n: int, count: int) -> float:
    return n / max(count - 1, 1)


def _told(table: np.ndarray, loop: np.ndarray) -> str:
    """A quantity's means over layers at the first and the last loop that have numbers."""
    seen = np.flatnonzero(np.isfinite(table).any(1))
    if not len(seen):
        return "no finite number"
    first, last = table[seen[0]], table[seen[-1]]
    begins = f"mean of layers: {np.nanmean(first):.3g} at loop {loop[seen[0]]}, "
    low, high = np.nanmin(last), np.nanmax(last)
    ends = f"{np.nanmean(last):.3g} at loop {loop[seen[-1]]}, " if len(seen) > 1 else ""
    return f"{begins}{ends}where layers lie between {low:.3g} and {high:.3g}"
