"""Film strips: a few loops of a widget as one still picture, for pages without a live kernel."""

from collections.abc import Sequence
from textwrap import wrap

import numpy as np
from matplotlib.ticker import MaxNLocator

from looplab import plots
from looplab.widgets.forest import draw_forest, forest_key, panel_size


def frame_strip(stepper, loops: Sequence[int]):
    """Frames of a FrameStepper side by side; categories keep their colour, mark and hatching."""
    meta, (_, height, width) = stepper.meta, stepper.numbers["frames"].shape
    loops = [loop for loop in loops if meta.first <= loop <= meta.last]
    kinds = meta.kinds
    broad = width > 1.6 * height  # such frames would be thin beside each other
    across = min(2, len(loops)) if broad else len(loops)
    down = -(-len(loops) // across)
    inches = 4.4 if broad else 2.1
    told = meta.captions or [""] * len(stepper.numbers["frames"])
    lines = [_below(told[loop - meta.first], inches) for loop in loops]
    words = 0.14 * max(line.count("\n") + bool(line) for line in lines)
    edge = 0.3 * (meta.ticks is not None)
    tall = (inches - edge) * height / width + words + 0.9 * edge + 0.2 * bool(meta.axes[0]) + 0.25
    key = (0.3, 0.5) if kinds else (0.8, 0.0)  # room for the legend, or for the scale of shades
    with plots.drawing(
        inches * across + key[0], tall * down + key[1], columns=across, rows=down, squeeze=False
    ) as (figure, grid):
        for panel, loop, line in zip(grid.flatten(), loops, lines, strict=False):
            values = np.asarray(stepper.picture_state(loop)["values"])
            shown = _frame(panel, values, kinds, meta)
            _name_cells(panel, meta, inches)
            panel.set_title(f"loop {loop}")
            panel.set_xlabel("\n".join(filter(None, (meta.axes[0], line))), fontsize=8)
        for panel in grid[:, 0]:
            panel.set_ylabel(meta.axes[1], fontsize=8)
        for panel in grid.flatten()[len(loops) :]:
            panel.set_visible(False)
        if kinds:
            from matplotlib.patches import Patch

            handles = [
                Patch(
                    facecolor=kind.colour,
                    edgecolor="0.4",
                    hatch="///" if kind.hatch else None,
                    label=f"{kind.name} ({kind.mark})" if kind.mark else kind.name,
                )
                for kind in kinds
            ]
            figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=8)
        else:
            bar = figure.colorbar(shown, ax=grid, fraction=0.03, aspect=14, shrink=0.8)
            bar.set_label(meta.unit, fontsize=8)
            bar.ax.tick_params(labelsize=8)
    alt = f"{meta.title}. " + " ".join(stepper.describe(loop) for loop in loops)
    return plots.Picture(figure, alt, {"loops": loops})


def _below(words: str, inches: float) -> str:
    """A caption in lines that fit below a panel of this width."""
    return "\n".join(wrap(words, round(15.5 * inches - 4)))


def _name_cells(panel, meta, inches: float):
    """Write the names of columns and rows at the edge, as many as there is room for."""
    if not meta.ticks:
        return
    for names, place in zip(meta.ticks, (panel.set_xticks, panel.set_yticks), strict=True):
        named = [n for n, name in enumerate(names) if name]
        every = -(-len(named) // round(5 * inches))
        place(named[::every], [names[n] for n in named[::every]], fontsize=7)
    panel.tick_params(length=0)


def _frame(panel, values, kinds, meta):
    from matplotlib.colors import ListedColormap

    if kinds:
        colours = ListedColormap([kind.colour for kind in kinds])
        shown = panel.imshow(values, cmap=colours, vmin=-0.5, vmax=len(kinds) - 0.5)
        for row, column in np.ndindex(values.shape):
            kind = kinds[int(values[row, column])]
            if kind.mark:
                dark = kind.colour in ("#0072B2", "#4d4d4d")
                panel.text(
                    column,
                    row,
                    kind.mark,
                    ha="center",
                    va="center",
                    fontsize=8,
                    color="white" if dark else "black",
                )
            if kind.hatch:
                panel.add_patch(_cell(row, column))
    else:
        shown = panel.imshow(values, cmap="Blues", vmin=meta.low, vmax=meta.high)
    panel.set(xticks=[], yticks=[])
    panel.grid(False)
    panel.spines[["top", "right"]].set_visible(True)
    return shown


def _cell(row, column):
    from matplotlib.patches import Rectangle

    return Rectangle(
        (column - 0.5, row - 0.5), 1, 1, fill=False, hatch="///", edgecolor="white", linewidth=0
    )


def microscope_strip(microscope, loops: Sequence[int]):
    """A LoopMicroscope at some loops: the token's path so far, and every token's answer."""
    meta = microscope.meta
    loops = [loop for loop in loops if 1 <= loop <= meta.last]
    lens = "main.answers" in microscope.numbers
    heights = [2.3, max(2.3, 0.11 * len(meta.labels))] if lens else [2.3]
    with plots.drawing(
        2.4 * len(loops),
        sum(heights) + 0.3,
        columns=len(loops),
        rows=len(heights),
        squeeze=False,
        height_ratios=heights,
    ) as (figure, grid):
        key = _paths(grid[0], microscope, loops)
        figure.legend(handles=key, loc="outside lower center", ncols=len(key), fontsize=8)
        for panel, loop in zip(grid[0], loops, strict=True):
            panel.set_title(f"loop {loop}", fontsize=10)
        if lens:
            for panel, loop in zip(grid[1], loops, strict=True):
                shown = microscope.numbers["main.answers"][loop]
                panel.imshow(shown, cmap="Blues", vmin=0, vmax=1, aspect="auto")
                for row, answer in enumerate(meta.targets or []):
                    panel.plot(answer, row, "x", color="#D55E00", markersize=4)
                panel.set_xticks(range(len(meta.names)), meta.names, fontsize=6, rotation=90)
                panel.set_yticks([])
                panel.grid(False)
            grid[1][0].set_yticks(range(len(meta.labels)), meta.labels, fontsize=6)
            told = "token by answer" + (", x right" if meta.targets else "")
            grid[1][0].set_ylabel(told, fontsize=8)
    alt = f"{meta.title}. " + " ".join(microscope.describe(loop) for loop in loops)
    return plots.Picture(figure, alt, {"loops": loops})


def forest_strip(microscope, loops: Sequence[int], states: bool):
    """A LoopMicroscope at some loops: its forest with every node's answer; `states`: paths too."""
    meta, forest = microscope.meta, microscope.meta.forest
    loops = [loop for loop in loops if 1 <= loop <= meta.last]
    told = [microscope.picture_state(loop)["forest"] for loop in loops]
    size = panel_size(forest, 2.6, 3.6)
    heights = [size[1], 2.0] if states else [size[1]]
    with plots.drawing(
        max(size[0], 1.8) * len(loops),
        sum(heights) + 0.8,
        columns=len(loops),
        rows=len(heights),
        squeeze=False,
        height_ratios=heights,
    ) as (figure, grid):
        for panel, loop, nodes in zip(grid[0], loops, told, strict=True):
            draw_forest(panel, forest, nodes, size, chosen=microscope.token if states else None)
            panel.set_title("\n".join([f"loop {loop}", *_right(nodes)]), fontsize=10)
        key = forest_key(forest, judged=meta.targets is not None)
        if states:
            key += _paths(grid[1], microscope, loops)
        figure.legend(handles=key, loc="outside lower center", ncols=min(len(key), 8), fontsize=9)
    words = " ".join(
        f"Loop {loop}: {_told(nodes)}." for loop, nodes in zip(loops, told, strict=True)
    )
    return plots.Picture(figure, f"{meta.title}, drawn as trees. {words}", {"loops": loops})


def _right(nodes: list[dict]) -> list[str]:
    """How many answers are right, in words; nothing where nobody judges them."""
    if nodes[0]["right"] is None:
        return []
    return [f"{sum(node['right'] for node in nodes)} of {len(nodes)} right"]


def _told(nodes: list[dict]) -> str:
    """How many answers are right and what the others are; all answers where nobody judges them."""
    rest = [
        f"{node['label']} (depth {node['depth']}) answers {node['answer']}"
        for node in nodes
        if not node["right"]
    ]
    return "; ".join([*_right(nodes), *rest])


def _paths(panels, microscope, loops: Sequence[int]) -> list:
    """Where each layer's state of the chosen token is, and the way to it, one panel for a loop.

    Returns the legend's entries.
    """
    left, right, low, high = microscope.meta.extent[microscope.token]
    edge = 0.08 * max(right - left, high - low)  # room for the markers
    path = microscope.numbers["main.points"][:, :, microscope.token]  # [loop, layer, 2]
    for panel, loop in zip(panels, loops, strict=True):
        so_far = path[:loop].reshape(-1, 2)
        panel.plot(so_far[:, 0], so_far[:, 1], color="0.75", linewidth=0.8)
        for layer in range(path.shape[1]):
            panel.plot(
                *path[loop - 1, layer],
                marker=plots.MARKERS[layer % 7],
                color=plots.PALETTE[layer % 7],
                linestyle="",
                label=f"layer {layer + 1}",
            )
        panel.set(xlim=(left - edge, right + edge), ylim=(low - edge, high + edge))
        panel.set(xticks=[], yticks=[])
    kind = "token" if microscope.meta.forest is None else "node"
    label = microscope.meta.labels[microscope.token]
    panels[0].set_ylabel(f"states of {kind} {label}", fontsize=8)
    return panels[-1].get_legend_handles_labels()[0]


def plane_strip(stepper, panels: Sequence[tuple[str, int, dict[str, int]]]):
    """Pictures of a PlaneStepper side by side: (heading, frame, menus that are set otherwise)."""
    meta = stepper.meta
    x0, x1, y0, y1 = meta.extent
    states = [_state(stepper, frame, menus) for _, frame, menus in panels]
    lines = [
        _below(_news(meta, frame, state["words"]), 2.0)
        for (_, frame, _), state in zip(panels, states, strict=True)
    ]
    inches = 1.75 if meta.axes[0] else 2.1
    tall = min(3.2, inches * (y1 - y0) / (x1 - x0)) + 0.4 + 0.35 * bool(meta.axes[0])
    tall += 0.15 * max(line.count("\n") + bool(line) for line in lines)
    down = -(-len(panels) // 5)
    across = -(-len(panels) // down)
    with plots.drawing(2.2 * across, tall * down + 0.3, across, down, squeeze=False) as (
        figure,
        grid,
    ):
        for unused in grid.flatten()[len(panels) :]:
            unused.set_visible(False)
        shown = zip(grid.flatten(), panels, states, lines, strict=False)
        for panel, (heading, _, _), state, line in shown:
            cloud = np.array([point or (np.nan, np.nan) for point in state["points"]])
            if meta.circle:
                turn = np.linspace(0, 2 * np.pi, 2000)
                panel.plot(np.cos(turn), np.sin(turn), color="0.4", linewidth=1)
            if meta.path:
                panel.plot(*cloud.T, color="0.7", linewidth=0.6, zorder=1)
            for kind in sorted(set(meta.kinds)):
                own = cloud[[i for i, k in enumerate(meta.kinds) if k == kind]]
                panel.plot(
                    *own.T,
                    color=plots.PALETTE[kind % 7],
                    marker=plots.MARKERS[kind % 7],
                    markersize=4 if meta.path and not meta.closed else 6,
                    markeredgecolor="white",
                    markeredgewidth=0.4,
                    linestyle="",
                    label=meta.names[kind] if meta.names else None,
                )
            if meta.path and not meta.closed:  # a ring, which hides no mark
                look = {"markersize": 10, "markerfacecolor": "none", "markeredgecolor": "black"}
                panel.plot(*cloud[-1], "o", label="the last point", **look)
            seen = cloud[np.isfinite(cloud).all(1)]
            inside = ((seen >= (x0, y0)) & (seen <= (x1, y1))).all(1)
            if not inside.all():
                line = f"{line}\n{(~inside).sum()} of {len(seen)} points lie outside".strip()
            panel.set(xlim=(x0, x1), ylim=(y0, y1), aspect="equal")
            panel.spines[:].set(visible=True, color="0.75")
            if meta.axes[0]:
                panel.xaxis.set_major_locator(MaxNLocator(3))
                panel.yaxis.set_major_locator(MaxNLocator(3))
                panel.tick_params(labelsize=7, length=2, labelleft=panel in grid[:, 0])
            else:
                panel.set(xticks=[], yticks=[])
            panel.set_title(heading)
            panel.set_xlabel("\n".join(filter(None, (meta.axes[0], line))), fontsize=8)
        for panel in grid[:, 0]:
            panel.set_ylabel(meta.axes[1], fontsize=8)
        handles, labels = grid[0][0].get_legend_handles_labels()
        if (meta.path and not meta.closed) or len(labels) > 1:
            figure.legend(handles, labels, loc="outside lower center", ncols=5, fontsize=8)
    alt = f"{meta.title}. " + " ".join(state["words"] for state in states)
    return plots.Picture(figure, alt, {"frames": [frame for _, frame, _ in panels]})


def _state(stepper, frame: int, menus: dict[str, int]) -> dict:
    """The picture of a frame with some menus set otherwise, which then are as they were."""
    stage = stepper.stage
    before = {trait: getattr(stage, trait) for trait in menus}
    with stage.hold_trait_notifications():
        for trait, option in menus.items():
            setattr(stage, trait, option)
        state = stepper.picture_state(frame)
        for trait, option in before.items():
            setattr(stage, trait, option)
    return state


def _news(meta, frame: int, words: str) -> str:
    """What the words of a frame say beyond its number."""
    slider = meta.slider.capitalize()
    if words == f"{slider} {frame} of {meta.last}.":
        return ""
    return words.removeprefix(f"{slider} {frame}: ")


def phase_strip(stepper, places: Sequence[tuple[int, int]]):
    """The runs of some cells of a PhaseStepper side by side: (row, gain) of each."""
    meta, paths = stepper.meta, stepper.numbers["paths"]
    layers = paths.shape[3]
    with plots.drawing(2.2 * len(places), 3.0, columns=len(places), squeeze=False) as (
        figure,
        grid,
    ):
        for panel, (row, gain) in zip(grid[0], places, strict=True):
            cell, path = stepper.cells[row][gain], paths[row, gain]  # path: [loop, layer, 2]
            late = -(-len(path) * 3 // 4)
            panel.plot(*path.reshape(-1, 2).T, color="0.75", linewidth=0.4, zorder=1)
            for layer in range(layers):
                look = {"color": plots.PALETTE[layer % 7], "marker": plots.MARKERS[layer % 7]}
                panel.plot(*path[:late, layer].T, linestyle="", markersize=2, alpha=0.5, **look)
                name = f"after layer {layer + 1}"
                look |= {"markeredgecolor": "white", "markeredgewidth": 0.5, "label": name}
                panel.plot(*path[late:, layer].T, linestyle="", markersize=6, **look)
            panel.set(xlim=(-1.15, 1.15), ylim=(-1.15, 1.15), aspect="equal", xticks=[], yticks=[])
            panel.grid(False)
            panel.spines[:].set(visible=True, color="0.75")
            where = f"{cell[0]}, {cell[1]}, gain {cell[2]:g}"
            panel.set_title(f"{stepper.drawn.get(cell, 'no run')}\n{where}", fontsize=9)
        figure.legend(
            *grid[0][0].get_legend_handles_labels(),
            title=f"{paths.shape[2]} loops; large: the last quarter",
            title_fontsize=8,
            loc="outside lower center",
            ncols=6,
            fontsize=8,
        )
    told = " ".join(meta.captions[row][gain] for row, gain in places)
    cells = [stepper.cells[row][gain] for row, gain in places]
    return plots.Picture(figure, f"{meta.title}: one token of each run. {told}", {"cells": cells})
