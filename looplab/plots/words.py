"""A text as running words, each on the shade of its number."""

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap, Normalize
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle
from matplotlib.textpath import text_to_path
from torch import Tensor

from looplab.plots.picture import Picture, drawing, numbers

__all__ = ["word_map"]

SIZE, SMALL = 11, 8  # points of a word and of the number above it
LINE, CELL = 0.40, 0.34  # inches from line to line, and how much of that is shaded
PAD, GAP = 0.03, 0.07  # inches beside the letters of a piece, and between two words
FIELDS = 16  # whole numbers up to so many apart have a field each on the scale
SHADES = ListedColormap(colormaps["Blues"](np.linspace(0.08, 1, 256)))  # none is the page's


def word_map(
    words: Sequence[str],
    values: Tensor,
    what: str = "settled at loop",
    title: str = "",
    slowest: int = 3,
    width: float = 8.0,
) -> Picture:
    """A text whose words stand on the shade of their numbers [word], with the number above each.

    words: decoded tokens. One that begins with a space begins a word; any other is a piece glued to
    the one before. values: such as the loop at which each answer settled; NaN where there is none.
    what: what the numbers are. The alt text names the `slowest`, those with the largest numbers.
    width: inches that a line may fill. Raises ValueError where words and numbers are not as many,
    and where there is no number.

    >>> words = ["The", " loop", "s", " turn"]
    >>> print(word_map(words, torch.tensor([1, 2, 6, 3]), slowest=2).alt)
    4 tokens, settled at loop: mean 3, least 1, most 6. Largest: “s” of “loops” 6, “turn” 3.
    """
    values = numbers(values).astype(float)
    if values.shape != (len(words),):
        raise ValueError(
            f"numbers of shape {values.shape} for {len(words)} words: expected one for each"
        )
    known = values[np.isfinite(values)]
    if not len(known):
        raise ValueError("none of the words has a finite number: there is nothing to show")
    written = [_number(value) if np.isfinite(value) else "" for value in values]
    shown = [_visible(word) for word in words]
    wide = [
        2 * PAD + max(_inches(word, SIZE), _inches(number, SMALL))
        for word, number in zip(shown, written, strict=True)
    ]
    whole = _whole_words(words)
    places = _places(words, whole, wide, width)
    shade = _shade(known)
    tall = LINE * (1 + places[-1][0])
    above, below = (0.25 if title else 0.0), 0.45
    with drawing(width, above + tall + below) as (figure, axes):
        figure.set_layout_engine("none")  # all sizes are known, and letters must not be stretched
        height = above + tall + below
        axes.set_position((0, below / height, 1, tall / height))
        axes.set(xlim=(0, width), ylim=(tall, 0))
        axes.set_axis_off()
        if title:
            place = {"ha": "left", "va": "top", "parse_math": False}
            figure.text(0, 1, title, size=11, fontweight="bold", **place)
        for n, (line, x) in enumerate(places):
            colour = SHADES(shade(values[n])) if written[n] else (1, 1, 1, 1)
            _draw(axes, (x, LINE * line, wide[n]), colour, shown[n], written[n])
        _key(figure, shade, what, height)
    alt = _told(title, what, shown, whole, values, slowest)
    return Picture(figure, alt, {"words": list(words), "values": values})


def _visible(word: str) -> str:
    """A piece as it can be read: no space in front, signs for what is not printed."""
    word = word.strip(" ").replace("\n", "⏎")
    return "".join(one if one.isprintable() else "�" for one in word) or "␣"


def _number(value: float) -> str:
    """As it stands above a word: two digits, or all of a whole number.

    >>> _number(32.0), _number(0.314), _number(137.2)
    ('32', '0.31', '137')
    """
    whole = value.is_integer() or abs(value) >= 10
    return f"{value:.0f}" if whole else f"{value:#.2g}".rstrip(".")


def _inches(text: str, size: float) -> float:
    font = FontProperties(family="DejaVu Sans", size=size)
    return (
        text_to_path.get_text_width_height_descent(text, font, ismath=False)[0] / 72 if text else 0
    )


def _whole_words(words: Sequence[str]) -> list[range]:
    """Which pieces each word is made of; a line break ends one."""
    starts = [
        n
        for n, word in enumerate(words)
        if n == 0 or word.startswith((" ", "\n")) or words[n - 1].endswith("\n")
    ]
    return [range(*ends) for ends in zip(starts, [*starts[1:], len(words)], strict=True)]


def _places(
    words: Sequence[str], whole: list[range], wide: list[float], width: float
) -> list[tuple[int, float]]:
    """The line of each piece and where it begins in it, in inches."""
    places, line, x = [], 0, 0.0
    for pieces in whole:
        if x and x + sum(wide[n] for n in pieces) > width:
            line, x = line + 1, 0.0
        for n in pieces:
            if x and x + wide[n] > width:  # a word longer than a line
                line, x = line + 1, 0.0
            places.append((line, x))
            x += wide[n]
        x += GAP
        if words[pieces[-1]].endswith("\n"):
            line, x = line + 1, 0.0
    return places


def _shade(known: np.ndarray) -> Normalize:
    """From numbers to shades: a field for each of a few whole numbers, else a smooth scale."""
    low, high = known.min(), known.max()
    if not np.any(known % 1) and high - low < FIELDS:
        return BoundaryNorm(np.arange(low, high + 2) - 0.5, SHADES.N)
    return Normalize(low, high)


def _draw(axes, place: tuple[float, float, float], colour: tuple, word: str, number: str):
    x, y, wide = place
    axes.add_patch(Rectangle((x, y), wide, CELL, facecolor=colour, edgecolor="white", linewidth=1))
    red, green, blue, _ = colour
    ink = "white" if 0.299 * red + 0.587 * green + 0.114 * blue < 0.5 else "0.1"
    look = {"ha": "center", "va": "baseline", "color": ink, "parse_math": False}
    middle = x + wide / 2
    axes.text(middle, y + 0.115, number, size=SMALL, **look)
    axes.text(middle, y + CELL - 0.07, word, size=SIZE, **look)


def _key(figure, shade: Normalize, what: str, height: float):
    """The scale below the text, with its name in front."""
    start = PAD + _inches(what, 9) + 0.15
    width = figure.get_figwidth()
    bar = figure.add_axes(
        (start / width, 0.22 / height, min(3.2, width - start - 0.3) / width, 0.13 / height)
    )
    scale = figure.colorbar(ScalarMappable(shade, SHADES), cax=bar, orientation="horizontal")
    if isinstance(shade, BoundaryNorm):
        scale.set_ticks(shade.boundaries[:-1] + 0.5)
        scale.set_ticklabels([f"{n:.0f}" for n in shade.boundaries[:-1] + 0.5])
    scale.ax.tick_params(which="both", length=0, labelsize=8)
    look = {"ha": "left", "va": "center", "parse_math": False}
    figure.text(PAD / width, 0.285 / height, what, size=9, **look)


def _told(
    title: str, what: str, shown: list[str], whole: list[range], values: np.ndarray, slowest: int
) -> str:
    known = np.flatnonzero(np.isfinite(values))
    named = []
    for n in known[np.argsort(-values[known], kind="stable")][:slowest]:
        word = "".join(shown[i] for pieces in whole if n in pieces for i in pieces)
        named.append(f"“{shown[n]}”{'' if word == shown[n] else f' of “{word}”'} {values[n]:.3g}")
    of = values[known]
    return (
        f"{title + ': ' if title else ''}{len(shown)} tokens, {what}: mean {of.mean():.3g}, "
        f"least {of.min():.3g}, most {of.max():.3g}. Largest: {', '.join(named)}."
    )
