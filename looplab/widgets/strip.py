"""Film strips: a few loops of a widget as one still picture, for pages without a live kernel."""

from collections.abc import Sequence

import numpy as np

from looplab import plots
from looplab.widgets.forest import draw_forest, forest_key, panel_size


def frame_strip(stepper, loops: Sequence[int]):
    """Frames of a FrameStepper side by side; categories keep their colour, mark and hatching."""
    meta = stepper.meta
    loops = [loop for loop in loops if meta.first <= loop <= meta.last]
    kinds = meta.kinds
    with plots.drawing(2.1 * len(loops), 2.9, columns=len(loops), squeeze=False) as (figure, grid):
        for panel, loop in zip(grid[0], loops, strict=True):
            values = np.asarray(stepper.picture_state(loop)["values"])
            _frame(panel, values, kinds, meta)
            panel.set_title(f"loop {loop}", fontsize=10)
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
    alt = f"{meta.title}. " + " ".join(stepper.describe(loop) for loop in loops)
    return plots.Picture(figure, alt, {"loops": loops})


def _frame(panel, values, kinds, meta):
    from matplotlib.colors import ListedColormap

    if kinds:
        colours = ListedColormap([kind.colour for kind in kinds])
        panel.imshow(values, cmap=colours, vmin=-0.5, vmax=len(kinds) - 0.5)
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
        panel.imshow(values, cmap="Blues", vmin=meta.low, vmax=meta.high)
    panel.set(xticks=[], yticks=[])
    panel.grid(False)
    panel.spines[["top", "right"]].set_visible(True)


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
    rows = 2 if lens else 1
    with plots.drawing(
        2.2 * len(loops), 2.3 * rows + 0.3, columns=len(loops), rows=rows, squeeze=False
    ) as (figure, grid):
        key = _paths(grid[0], microscope, loops)
        figure.legend(handles=key, loc="outside lower center", ncols=len(key), fontsize=8)
        for panel, loop in zip(grid[0], loops, strict=True):
            panel.set_title(f"loop {loop}", fontsize=10)
        if lens:
            for panel, loop in zip(grid[1], loops, strict=True):
                panel.imshow(microscope.numbers["main.answers"][loop], cmap="Blues", vmin=0, vmax=1)
                for row, answer in enumerate(meta.targets or []):
                    panel.plot(answer, row, "x", color="#D55E00", markersize=5)
                panel.set(xticks=[], yticks=[])
                panel.grid(False)
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
        figure.legend(handles=key, loc="outside lower center", ncols=min(len(key), 6), fontsize=9)
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
    panels[0].set_ylabel(f"states of token {microscope.meta.labels[microscope.token]}", fontsize=8)
    return panels[-1].get_legend_handles_labels()[0]


def plane_strip(stepper, frames: Sequence[int]):
    """Frames of a PlaneStepper side by side, as its menus are set now."""
    meta = stepper.meta
    frames = [n for n in frames if meta.first <= n <= meta.last]
    x0, x1, y0, y1 = meta.extent
    height = min(3.2, 2.2 * (y1 - y0) / (x1 - x0)) + 0.9
    with plots.drawing(2.2 * len(frames), height, columns=len(frames), squeeze=False) as (
        figure,
        grid,
    ):
        for panel, n in zip(grid[0], frames, strict=True):
            points = stepper.picture_state(n)["points"]
            cloud = np.array([point or (np.nan, np.nan) for point in points])
            if meta.circle:
                turn = np.linspace(0, 2 * np.pi, 200)
                panel.plot(np.cos(turn), np.sin(turn), color="0.4", linewidth=1)
            if meta.path:
                panel.plot(*cloud.T, color="0.6", linewidth=0.7)
            for kind in sorted(set(meta.kinds)):
                own = cloud[[i for i, k in enumerate(meta.kinds) if k == kind]]
                panel.plot(
                    *own.T,
                    color=plots.PALETTE[kind % 7],
                    marker=plots.MARKERS[kind % 7],
                    markersize=2.5 if meta.path else 5,
                    linestyle="",
                    label=meta.names[kind] if meta.names else None,
                )
            if meta.path:
                panel.plot(*cloud[-1], "o", color="black", markersize=5)
            panel.set(xlim=(x0, x1), ylim=(y0, y1), aspect="equal", xticks=[], yticks=[])
            panel.set_title(f"{meta.slider} {n}", fontsize=10)
        grid[0][0].set_xlabel(meta.axes[0], fontsize=8)
        grid[0][0].set_ylabel(meta.axes[1], fontsize=8)
        if len(meta.names) > 1:
            handles, labels = grid[0][0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8)
    alt = f"{meta.title}. " + " ".join(stepper.describe(n) for n in frames)
    return plots.Picture(figure, alt, {"frames": frames})
