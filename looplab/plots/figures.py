"""The figures of the chapters: each draws what `looplab.measure` returned, as a Picture."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, ScalarFormatter
from torch import Tensor

from looplab.plots.picture import MARKERS, PALETTE, STYLES, Picture, drawing, numbers

__all__ = [
    "accuracy_by_loop",
    "bars",
    "cycle",
    "lines_by_layer",
    "loss_curve",
    "orbits",
    "pattern_distances",
    "stages",
    "staircase",
    "staircases",
    "trade_off",
]

SOLVED = 0.9  # a difficulty counts as solved from this share of right answers on

MANY = 10  # lines that a legend can name


def loss_curve(losses: Sequence[float] | Mapping[str, Sequence[float]], smooth: int = 20):
    """Training loss [step] on a log axis, a running mean over `smooth` steps; one or several."""
    runs = losses if isinstance(losses, Mapping) else {"loss": losses}
    told = []
    with drawing() as (figure, axes):
        for n, (name, loss) in enumerate(runs.items()):
            loss = numbers(loss).astype(float)
            width = min(smooth, len(loss))
            mean = np.convolve(loss, np.ones(width) / width, mode="valid")
            axes.semilogy(np.arange(width, len(loss) + 1), mean, label=name, **_look(n))
            told.append(f"{name} falls from {mean[0]:.2g} to {mean[-1]:.2g} in {len(loss)} steps")
        axes.set(xlabel="training step", ylabel=f"loss (mean of {smooth} steps)")
        _legend(axes, len(runs))
    return Picture(figure, "Training loss: " + "; ".join(told) + ".", dict(runs))


def accuracy_by_loop(
    accuracies: Mapping[str, Tensor],
    trained: tuple[int, int] | None = None,
    ylabel: str = "share right",
):
    """Accuracy [loop] of one or several models against the number of loops, log2 axis.

    `trained` shades the range of loops used in training.
    """
    told, most = [], 1
    with drawing() as (figure, axes):
        for n, (name, values) in enumerate(accuracies.items()):
            values = numbers(values).astype(float)
            loop = np.arange(1, len(values) + 1)
            most = max(most, len(values))
            at = _by_eighth(len(values))
            axes.plot(
                loop, values, label=name, marker=MARKERS[n % 7], ms=5, markevery=at, **_look(n)
            )
            best = int(values.argmax())
            told.append(
                f"{name} starts at {values[0]:.2f}, is highest with {values[best]:.2f} at loop "
                f"{best + 1} and ends at {values[-1]:.2f} after {len(values)}"
            )
        if trained:
            look = {"facecolor": "0.92", "edgecolor": "0.6", "linewidth": 0.7, "zorder": 0}
            axes.axvspan(*trained, label="loops in training", **look)
        axes.set_xscale("log", base=2)
        ticks = [2**p for p in range(int(np.log2(most)) + 1)]
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.minorticks_off()
        axes.set(xlabel="loops", ylabel=ylabel, ylim=(-0.03, 1.05))
        _legend(axes, 2 if trained else len(accuracies))
    return Picture(figure, f"{ylabel} by loop: " + "; ".join(told) + ".", dict(accuracies))


def staircase(accuracy: Tensor, loops: Sequence[int] = (1, 2, 3, 4, 5, 6), what: str = "depth"):
    """Accuracy [loop, difficulty] as a table of shaded numbers; rows are loops, from 1."""
    accuracy = torch.as_tensor(accuracy)
    wrong = [loop for loop in loops if not 1 <= loop <= len(accuracy)]
    if wrong:
        raise ValueError(f"loops names {wrong[0]}: this table has loops 1 to {len(accuracy)}")
    table = numbers(accuracy[[loop - 1 for loop in loops]])
    with drawing(6.4, 0.7 + 0.4 * len(loops)) as (figure, axes):
        axes.imshow(table, cmap="cividis", vmin=0, vmax=1, aspect="auto")
        axes.grid(False)
        for row, column in np.ndindex(table.shape):
            value = table[row, column]
            if value == value:
                colour = "black" if value > 0.6 else "white"
                small = {"fontsize": 8} if table.shape[1] > 12 else {}
                digits = f"{value:.1f}" if table.shape[1] > 12 else f"{value:.2f}"
                axes.text(column, row, digits, ha="center", va="center", color=colour, **small)
        axes.set_xticks(range(table.shape[1]))
        axes.set_yticks(range(len(loops)), [str(loop) for loop in loops])
        axes.set(xlabel=what, ylabel="loops")
    solved = []
    for loop, row in zip(loops, table, strict=True):
        reach = _reach(row)
        solved.append(f"loop {loop} solves up to {reach}" if reach >= 0 else f"loop {loop} none")
    return Picture(
        figure, f"Accuracy by loop and {what}: " + ", ".join(solved) + ".", {"accuracy": table}
    )


def staircases(rows: Mapping[str, Mapping[str, Tensor]], what: str = "depth"):
    """Accuracy tables [loop, difficulty] in rows of panels, as shades; a dot marks 0.9 and more.

    rows: what stands in front of a row -> what stands above a panel -> its table, loops from 1.
    """
    told, shown = [], {name: _tables(row) for name, row in rows.items()}
    across = max(len(row) for row in shown.values())
    with drawing(1.0 + 1.5 * across, 0.6 + 1.25 * len(rows), across, len(rows), squeeze=False) as (
        figure,
        grid,
    ):
        for panels, (row, tables) in zip(grid, shown.items(), strict=True):
            for panel in panels[len(tables) :]:
                panel.set_visible(False)
            for panel, (name, table) in zip(panels, tables.items(), strict=False):
                image = panel.imshow(table, cmap="cividis", vmin=0, vmax=1, aspect="auto")
                loop, depth = np.nonzero(table >= SOLVED)
                panel.plot(depth, loop, ".", color="black", markersize=3)
                panel.grid(False)
                panel.set_title(name, fontsize=9)
                ticks = range(0, table.shape[1], 4)
                panel.set_xticks(ticks, [str(tick) for tick in ticks], fontsize=8)
                numbers = range(1, len(table) + 1)
                panel.set_yticks(range(len(table)), [str(n) for n in numbers], fontsize=8)
                reached = ", ".join(
                    str(_reach(line)) if _reach(line) >= 0 else "none" for line in table
                )
                told.append(f"{row}, {name}: {reached}")
            panels[0].set_ylabel(f"{row}\nloops", fontsize=9)
        figure.supxlabel(what, fontsize=9)
        figure.colorbar(image, ax=grid, label="share right", fraction=0.05)
    alt = (
        f"Accuracy by loop and {what}, and up to which {what} 0.9 are right after loops 1, 2, ...: "
    )
    return Picture(figure, alt + "; ".join(told) + ".", {"tables": shown})


def _tables(row: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: numbers(table) for name, table in row.items()}


def _reach(row: np.ndarray) -> int:
    """The largest difficulty up to which every share is SOLVED; -1 for none."""
    return next((d - 1 for d, value in enumerate(row) if not value >= SOLVED), len(row) - 1)


def lines_by_layer(
    values: Tensor,
    ylabel: str,
    log: bool = True,
    floor: float | None = None,
    names: Sequence[str] | None = None,
    spread: Tensor | None = None,
    first_loop: int = 1,
):
    """A quantity [loop, layer] with one line per layer; `floor` marks where noise begins.

    `spread` [loop, layer] shades values plus and minus it. Of more than MANY lines only some have a
    name in the figure. Source: the grouping "by layer" of arXiv 2604.11791, figures 3 and 4.
    """
    values = torch.as_tensor(numbers(values)).float()
    told = []
    with drawing() as (figure, axes):
        loop = np.arange(first_loop, first_loop + len(values))
        every = max(1, len(values) // 12, values.shape[1] if len(values) >= 16 else 1)
        named = np.linspace(0, values.shape[1] - 1, min(values.shape[1], MANY)).round()
        for n in range(values.shape[1]):
            name = names[n] if names else f"layer {n + 1}"
            line = values[:, n].numpy()
            if log:
                line = np.where(line > 0, line, np.nan)
            at = (every * n // values.shape[1], every)  # where lines meet no marker hides another
            look = _look(n) | {"marker": MARKERS[n % 7], "markevery": at, "ms": 5}
            if values.shape[1] > MANY:  # shades from first to last, and a name for some of them
                look["color"] = colormaps["cividis"](n / values.shape[1])
            axes.plot(loop, line, label=name if n in named else None, **look)
            if spread is not None:
                low, high = line - numbers(spread[:, n]), line + numbers(spread[:, n])
                axes.fill_between(
                    loop, np.maximum(low, 1e-9), high, color=PALETTE[n % 7], alpha=0.2
                )
            seen = line[np.isfinite(line)]
            way = f"goes from {seen[0]:.2g} to {seen[-1]:.2g}" if len(seen) else "has no value"
            told.append(f"{name} {way}")
        if log:
            axes.set_yscale("log")
            axes.margins(y=0.08)  # from here on in decades
        if floor is not None:
            axes.autoscale_view()
            low, high = axes.get_ylim()
            axes.axhspan(floor / 1e9 if log else low, floor, color="0.92", zorder=0)
            axes.set_ylim(min(low / 3, floor / 10) if log else low, max(high, 2 * floor))
            # In the corner that lines which settle do not come to.
            look = {"textcoords": "offset points", "color": "0.35", "fontsize": 9}
            axes.annotate("float32 noise", (0, 0), (5, 4), "axes fraction", **look)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(xlabel="loop", ylabel=ylabel)
        _legend(axes, values.shape[1])
    return Picture(
        figure,
        f"{ylabel} over loops {loop[0]} to {loop[-1]}: " + "; ".join(told) + ".",
        {"values": values},
    )


def cycle(pca, title: str = ""):
    """The path of `measure.cycle_pca` in its plane: a marker per layer, loops numbered.

    The last loop is drawn in black with arrows from layer to layer; early loops are paler.
    """
    points = numbers(pca.points)
    loops, layers, _ = points.shape
    with drawing(5.6, 5.0) as (figure, axes):
        path = points.reshape(-1, points.shape[-1])
        axes.plot(path[:, 0], path[:, 1], color="0.75", linewidth=0.8, zorder=1)
        size = np.ptp(path[:, :2], axis=0).max()
        for n in range(layers):
            look = {"color": PALETTE[n % 7], "marker": MARKERS[n % 7], "s": 40, "zorder": 3}
            axes.scatter(*points[:, n, :2].T, alpha=np.linspace(0.25, 1, loops), **look)
            axes.scatter(*points[-1, n, :2], label=f"after layer {n + 1}", **look)
            start, end = points[-1, n, :2], points[-1, (n + 1) % layers, :2]
            if np.linalg.norm(end - start) > 0.02 * size:
                arrow = {"arrowstyle": "-|>", "color": "black", "shrinkA": 5, "shrinkB": 5}
                axes.annotate("", end, start, arrowprops=arrow, zorder=2)
        middle = points[-1, :, :2].mean(0)
        placed = []  # numbers beside the end of each early loop, as long as they find room
        for loop, point in enumerate(points[:, -1, :2], start=1):
            if all(np.linalg.norm(point - other) > 0.07 * size for other in placed):
                away = point - middle if layers > 1 else np.array([0, 1])
                away = away / max(np.linalg.norm(away), 1e-9)
                axes.annotate(
                    f"loop {loop}" if not placed else str(loop),
                    point,
                    xytext=9 * away,
                    textcoords="offset points",
                    ha="center",
                    va="center",
                    fontsize=8,
                )
                placed.append(point)
        share = [f"{100 * float(part):.0f} %" for part in numbers(pca.explained)]
        axes.set(xlabel=f"component 1 ({share[0]})", ylabel=f"component 2 ({share[1]})")
        axes.set_aspect("equal", adjustable="datalim")
        axes.margins(0.1)
        axes.set_title(title)
        axes.legend()
    reach = np.linalg.norm(path - path.mean(0), axis=1).max()
    corners = np.linalg.norm(points[-1] - np.roll(points[-1], 1, axis=0), axis=1)
    closing = np.linalg.norm(points[-1] - points[-2], axis=1).max()
    ends = f"the {layers} layers end on points {corners.min():.2g} to {corners.max():.2g} apart"
    still = closing < 1e-5 * reach  # further digits are rounding, on each processor its own
    alt = (
        f"{title or 'Path'} in the plane of its two principal components ({share[0]} and "
        f"{share[1]} of the variance): {ends if layers > 1 else 'one layer, so one point a loop'}, "
        f"the whole path reaches {reach:.2g} from its middle, and the last loop moves no layer by "
        f"more than {'a hundred-thousandth of that' if still else f'{closing:.1g}'}."
    )
    return Picture(figure, alt, {"points": points})


def pattern_distances(distances: Mapping[str, Tensor], layers: int):
    """Distances [pattern, pattern] between all (loop, layer) of one or several runs, as shades.

    Lines separate the loops. Source: arXiv 2604.11791, figure 2.
    """
    tables = {name: numbers(table) for name, table in distances.items()}
    most = max(float(table.max()) for table in tables.values())
    told = []
    with drawing(3.4 * len(tables) + 0.6, 3.5, columns=len(tables), squeeze=False) as (
        figure,
        grid,
    ):
        for panel, (name, table) in zip(grid[0], tables.items(), strict=True):
            loops = len(table) // layers
            shown = panel.imshow(table, cmap="cividis", vmin=0, vmax=most)
            panel.grid(False)
            middles = [layers * loop + (layers - 1) / 2 for loop in range(loops)]
            for at in range(1, loops):
                panel.axhline(layers * at - 0.5, color="white", linewidth=0.6)
                panel.axvline(layers * at - 0.5, color="white", linewidth=0.6)
            names = [str(loop + 1) for loop in range(loops)]
            panel.set_xticks(middles, names)
            panel.set_yticks(middles, names)
            panel.set(xlabel="loop, and its layers inside", title=name)
            told.append(
                f"{name}: {loops} loops of {layers} layers, distances up to {table.max():.2g}"
            )
        grid[0][0].set_ylabel("loop")
        figure.colorbar(shown, ax=grid[0], label="distance of patterns")
    alt = "Distances between the attention patterns of all loops and layers. " + "; ".join(told)
    return Picture(figure, alt + ".", dict(distances))


def stages(panels: Mapping[str, Mapping[str, Tensor]]):
    """Quantities [loop, layer] of several models, one panel each, along the layers as they run.

    A loop is one unit of x, and its layers share it out, so that models with other numbers of
    layers can be compared. Source: the grouping "by realized depth" of arXiv 2604.11791, figures 7
    to 9.
    """
    rows, told = -(-len(panels) // 2), []
    with drawing(8.4, 2.3 * rows + 0.3, columns=2, rows=rows, squeeze=False, sharex=True) as (
        figure,
        grid,
    ):
        cells = grid.flatten()
        for panel, (title, models) in zip(cells, panels.items(), strict=False):
            tables = {
                name: torch.as_tensor(numbers(table)).float() for name, table in models.items()
            }
            for n, (name, table) in enumerate(tables.items()):
                loops, layers = table.shape
                at = np.arange(loops * layers) / layers + 1
                line = table.flatten().numpy()
                panel.plot(at, line, label=name, marker=MARKERS[n % 7], ms=3.5, **_look(n))
                told.append(
                    f"{title} of {name} lies between {line.min():.2g} and {line.max():.2g}, in "
                    f"loop {loops} between {table[-1].min():.2g} and {table[-1].max():.2g}"
                )
            low = min(float(table.min()) for table in tables.values())
            high = max(float(table.max()) for table in tables.values())
            if low > 0 and high > 8 * low:  # or one model flattens all others
                panel.set_yscale("log")
                panel.yaxis.set_major_formatter(ScalarFormatter())
                panel.yaxis.set_minor_formatter(NullFormatter())
                panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            panel.set(title=title)
            panel.xaxis.set_major_locator(MaxNLocator(integer=True))
            panel.grid(axis="x", color="0.8")  # a loop begins at each line
        for column in grid.T:
            used = [panel for panel in column if panel.lines]
            if used:
                used[-1].set_xlabel("loop, and its layers inside")
                used[-1].tick_params(labelbottom=True)
        for unused in cells[len(panels) :]:
            unused.set_visible(False)
        figure.legend(*cells[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    alt = "Along the layers in the order in which they run. "
    return Picture(figure, alt + "; ".join(told) + ".", dict(panels))


def bars(values: Mapping[str, float], ylabel: str, spread: Mapping[str, float] | None = None):
    """A horizontal bar per name, its number written beside it, and `spread` around its end."""
    names = list(values)
    with drawing(6.4, 0.6 + 0.38 * len(names)) as (figure, axes):
        errors = [spread[name] for name in names] if spread else None
        axes.barh(names, [values[name] for name in names], xerr=errors, color=PALETTE[0], capsize=3)
        for row, name in enumerate(names):
            end = values[name] + (spread[name] if spread else 0)
            axes.text(end, row, f" {values[name]:.2f}", va="center")
        axes.invert_yaxis()
        axes.set(xlabel=ylabel)
        axes.grid(axis="y", visible=False)
        axes.margins(x=0.12)
    more = {name: f" ± {spread[name]:.2f}" if spread else "" for name in names}
    told = "; ".join(f"{name} {value:.2f}{more[name]}" for name, value in values.items())
    return Picture(figure, f"{ylabel}: {told}.", dict(values))


def orbits(paths: Mapping[str, Tensor], last: int = 48, fine: bool = False):
    """One panel per path [loop, width]: its last loops in their own plane of largest spread.

    A ring marks the last of all; four panels stand in a row. `fine` draws what visits more than 100
    places as smaller dots without lines, so that a curve of them can be seen.
    """
    told, data = [], {}
    rows = -(-len(paths) // 4)
    across = -(-len(paths) // rows)
    with drawing(2.4 * across, 2.7 * rows, columns=across, rows=rows, squeeze=False) as (
        figure,
        grid,
    ):
        cells = grid.flatten()
        for unused in cells[len(paths) :]:
            unused.set_visible(False)
        for n, (panel, (name, path)) in enumerate(zip(cells, paths.items(), strict=False)):
            end = torch.as_tensor(numbers(path[-last:])).double()
            centred = end - end.mean(0)
            points = (centred @ torch.linalg.svd(centred, full_matrices=False)[2][:2].T).numpy()
            reach = max(float(np.abs(points).max()), 1e-12)
            seen = np.unique((points / reach / 0.02).round(), axis=0)
            if not (fine and len(seen) > 100):
                panel.plot(*points.T, color="0.7", linewidth=0.8)
            look = {"color": PALETTE[n % 7], "marker": MARKERS[n % 7], "markersize": 6}
            look |= {"markeredgecolor": "white", "markeredgewidth": 0.5}
            if len(seen) > 100:  # so many would hide one another, and the curve they lie on
                look |= {"markersize": 2 if fine else 3, "markeredgewidth": 0}
            panel.plot(*points.T, linestyle="", **look)
            ring = {"markersize": 11, "markerfacecolor": "none", "markeredgecolor": "black"}
            panel.plot(*points[-1], "o", **ring)  # the last loop
            panel.set(xticks=[], yticks=[], title=name)
            panel.margins(0.15)
            panel.set_aspect("equal", adjustable="datalim")
            told.append(f"{name} visits about {len(seen)} places")
            data[name] = points
    alt = f"The last {last} loops of {len(paths)} paths, each in its own plane: "
    return Picture(figure, alt + "; ".join(told) + ".", data)


def trade_off(panels: Mapping[str, Mapping[str, tuple]], xlabel: str, ylabel: str):
    """Curves (x, y) by name, one panel per model, shared axes; one point alone is drawn large."""
    told = []
    with drawing(4.6 * len(panels), 3.9, columns=len(panels), squeeze=False, sharey=True) as (
        figure,
        grid,
    ):
        for panel, (title, curves) in zip(grid[0], panels.items(), strict=True):
            most = 1.0
            for n, (name, (x, y)) in enumerate(curves.items()):
                x, y = numbers(x).astype(float), numbers(y).astype(float)
                most = max(most, x.max())
                # Open marks, and a lone point last: what lies below can be seen.
                alone = {"markersize": 11, "zorder": 4} if len(x) == 1 else {"markersize": 6}
                look = {"marker": MARKERS[n % 7], "markerfacecolor": "none", "markeredgewidth": 1.3}
                panel.plot(x, y, label=name, linewidth=1.2, **_look(n), **look, **alone)
                best = int(y.argmax())
                told.append(
                    f"{title}, {name}: from {y[0]:.2f} at {x[0]:.1f} to {y[-1]:.2f} at "
                    f"{x[-1]:.1f}, highest {y[best]:.3f} at {x[best]:.1f}"
                )
            panel.set_xscale("log", base=2)
            ticks = [2**p for p in range(int(np.ceil(np.log2(most))) + 1)]
            panel.set_xticks(ticks, [str(tick) for tick in ticks])
            panel.minorticks_off()
            panel.set(title=title)
        figure.supxlabel(xlabel, fontsize=10)
        grid[0][0].set_ylabel(ylabel)
        names, labels = grid[0][-1].get_legend_handles_labels()
        few = len(panels) == 1 and len(labels) > 4  # one panel has room for three names in a line
        columns = min(3 if few else 6, len(labels))
        figure.legend(names, labels, loc="outside upper center", ncols=columns)
    return Picture(figure, f"{ylabel} against {xlabel}. " + "; ".join(told) + ".", dict(panels))


def _look(n: int) -> dict:
    return {"color": PALETTE[n % 7], "linestyle": STYLES[n % 7]}


def _by_eighth(count: int) -> list[int]:
    """Indices of loops 1 to 8, and from there on of four for each doubling."""
    late = {round(2 ** (n / 4)) - 1 for n in range(12, 4 * count.bit_length() + 1)}
    return sorted(n for n in {*range(8), *late} if n < count)


def _legend(axes, lines: int):
    if lines > 4:  # too tall to find a place among the lines
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    elif lines > 1:
        axes.legend()
