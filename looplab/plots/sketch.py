"""Drawings that explain: a loop, and the layers that models run, from their configurations."""

from collections.abc import Mapping
from string import ascii_uppercase

from looplab.model import LoopedConfig
from looplab.plots.picture import Picture, drawing

SHADES = ("#9ecae1", "#fdbe85", "#a1d99b", "#dadaeb", "#fcc5c0", "#d9d9d9")


def loop(config: LoopedConfig):
    """One pass through the core of a looped model and the way back, as a picture."""
    core, injects = config.core, config.injection != "none"
    with drawing(6.4, 2.1) as (figure, axes):
        _blank(axes, -2.4, core + 2.2, -1.25, 1.25)
        # The state runs through the layers from left to right and returns above them.
        for layer in range(core):
            _box(axes, layer, 0, f"layer {layer + 1}", SHADES[layer % 6])
            _arrow(axes, (layer - 0.62, 0), (layer - 0.38, 0))
        way = [(core - 0.3, 0), (core - 0.3, 0.9), (-0.8, 0.9), (-0.8, 0.5)]
        axes.plot(*zip(*way, strict=True), "k-", lw=1.2)
        _arrow(axes, (-0.8, 0.5), (-0.8, 0.15))
        axes.text(core / 2 - 0.55, 0.98, "the state comes round again", ha="center", fontsize=9)
        if injects:
            axes.plot([-0.8], [0], "o", markersize=13, color="white", markeredgecolor="black")
            axes.text(-0.8, 0, "+", ha="center", va="center", fontsize=11)
            _arrow(axes, (-0.8, -0.85), (-0.8, -0.18))
        axes.text(-0.8, -0.9, "input", ha="center", va="top", fontsize=9)
        _arrow(axes, (core - 0.62, 0), (core + 0.65, 0))
        axes.text(core + 0.75, 0, "answer, after\nany loop", va="center", fontsize=9)
    told = "the input is mixed in, then " if injects else ""
    alt = (
        f"A loop: {told}the state runs through {core} layers one after the other, and an arrow "
        "leads from the last layer back to the first. An answer can be read off after any loop."
    )
    return Picture(figure, alt, {"core": core, "injection": config.injection})


def rack(configs: Mapping[str, LoopedConfig]):
    """The layers that each model runs, in order; boxes with one letter share their weights.

    Weights that are used more than once have a colour. A dot under a layer: the input is handed in
    there. Raises ValueError for more than 26 layers of weights.
    """
    rows = {name: _letters(config) for name, config in configs.items()}
    most = max(len(row) for row in rows.values())
    with drawing(7.4, 0.1 + 0.72 * len(rows)) as (figure, axes):
        _blank(axes, -0.8, most - 0.2, -len(rows) + 0.55, 0.75)
        for at, (name, letters) in enumerate(rows.items()):
            config, own = configs[name], len(set(letters))
            shape = f"  {config.notation.replace('_I', '$_I$')}" if config.tied else ""
            head = f"{name}{shape}   {own} layers of weights, {len(letters)} run"
            axes.text(-0.55, 0.42 - at, head, fontsize=9, va="center")
            for n, letter in enumerate(letters):
                shared = letters.count(letter) > 1
                shade = SHADES[ascii_uppercase.index(letter) % 6] if shared else "white"
                _box(axes, n, -at, letter, shade, width=0.84, height=0.4)
                inside = n - config.prelude
                core = 0 <= inside < config.core * config.loops
                if config.injection != "none" and core and inside % config.core == 0:
                    axes.plot([n - 0.3], [-at - 0.3], "ko", markersize=3)
    told = [
        f"{name} runs {len(letters)} layers with {len(set(letters))} different sets of weights, "
        + " ".join(letters)
        + ("" if configs[name].injection == "none" else ", the input handed in with every loop")
        for name, letters in rows.items()
    ]
    return Picture(figure, "Layers in the order they run: " + "; ".join(told) + ".", rows)


def _letters(config: LoopedConfig) -> str:
    if not config.tied:
        return _first(config.realized_depth)
    own = _first(config.prelude + config.core + config.coda)
    prelude, core = own[: config.prelude], own[config.prelude : config.prelude + config.core]
    return prelude + core * config.loops + own[config.prelude + config.core :]


def _first(count: int) -> str:
    if count > len(ascii_uppercase):
        raise ValueError(f"{count} layers of weights: there are letters for 26")
    return ascii_uppercase[:count]


def _blank(axes, left, right, low, high):
    axes.set(xlim=(left, right), ylim=(low, high), xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set_visible(False)


def _box(axes, x, y, text, colour, width=0.76, height=0.6):
    from matplotlib.patches import Rectangle

    corner = (x - width / 2, y - height / 2)
    axes.add_patch(Rectangle(corner, width, height, facecolor=colour, edgecolor="black", lw=0.8))
    axes.text(x, y, text, ha="center", va="center", fontsize=9)


def _arrow(axes, start, end):
    axes.annotate("", end, start, arrowprops={"arrowstyle": "->", "lw": 1.2, "shrinkA": 0})
