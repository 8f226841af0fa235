"""The streams of one token as strips of colour, loop under loop, with their gates as bars."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from torch import Tensor

from looplab.basics.whole import is_whole
from looplab.plots.picture import PALETTE, Picture, drawing, numbers

__all__ = ["stream_strips"]

# Orange below zero and blue above, which any colour vision tells apart; no more steps than a
# picture of few colours keeps.
DIVERGING = LinearSegmentedColormap.from_list("streams", ["#bc4c00", "#ffffff", "#0072b2"], 41)
MOST = 3.0  # times a strip's own rms: from there on colours are full


def stream_strips(
    streams: Tensor,
    gates: Mapping[str, Tensor],
    loops: Sequence[int] | None = None,
    said: Sequence[Sequence[str]] | None = None,
    title: str = "",
) -> Picture:
    """One token's streams [loop, stream, width], a strip each, with bars for its gates.

    Streams grow from loop to loop, so each strip is in units of its own rms, and its length stands
    beside it. gates: name -> [loop, stream], such as those that made these streams. loops: which to
    draw, counted from 1; all unless given. said: what each stream alone would say [loop][stream].
    Raises ValueError for shapes that do not fit, and for a loop that is not there.

    >>> streams = torch.tensor([[[3.0, 4.0], [0.0, 2.0]]])
    >>> print(stream_strips(streams, {"H_pre": torch.tensor([[0.5, 0.25]])}).alt)
    Streams of one token, 2 of width 2. Loop 1: lengths 5, 2; H_pre 0.50, 0.25.
    """
    streams = numbers(streams).astype(float)
    gates = {name: numbers(gate).astype(float) for name, gate in gates.items()}
    _check(streams, gates, said)
    count, width = streams.shape[1:]
    loops = list(range(1, len(streams) + 1)) if loops is None else list(loops)
    if not loops or not all(is_whole(loop, 1) and loop <= len(streams) for loop in loops):
        raise ValueError(f"loops={loops}: these streams have loops 1 to {len(streams)}")
    lengths = np.linalg.norm(streams, axis=-1)  # [loop, stream]
    rms = lengths[..., None] / np.sqrt(width)
    strips = np.divide(streams, rms, out=np.zeros_like(streams), where=rms > 0)
    columns, tall = 1 + len(gates), 0.26 * count + 0.35
    shape = {"squeeze": False, "width_ratios": [4.2] + [1] * len(gates)}
    with drawing(
        4.6 + 1.15 * len(gates) + 1.1 * (said is not None),
        tall * len(loops) + 0.75 + 0.25 * bool(title),
        columns=columns,
        rows=len(loops),
        **shape,
    ) as (figure, grid):
        for nth, (row, loop) in enumerate(zip(grid, loops, strict=True)):
            at = loop - 1
            _strips(row[0], strips[at], lengths[at], f"after loop {loop}")
            for panel, (name, gate) in zip(row[1:], gates.items(), strict=True):
                _bars(panel, gate[at], _end(gate))
                panel.set_title(name if nth == 0 else "", fontsize=9)
            if said is not None:
                for n, word in enumerate(said[at]):
                    _beside(row[-1], 1.12, n, word)
                _beside(row[-1], 1.12, -0.85, "alone it says")
        for panel in grid[-1][1:]:
            panel.tick_params(labelbottom=True)
        bar = figure.colorbar(
            ScalarMappable(Normalize(-MOST, MOST), DIVERGING),
            ax=grid[-1][0],
            location="bottom",
            ticks=[-MOST, 0, MOST],
            aspect=40,
            pad=0.05,
        )
        bar.set_label("in units of the strip's own rms; its length stands beside it", fontsize=8)
        bar.ax.tick_params(labelsize=8, length=0)
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=11, parse_math=False)
    alt = _told(title, loops, streams.shape, lengths, gates, said)
    return Picture(figure, alt, {"loops": loops, "lengths": lengths, **gates})


def _check(streams: np.ndarray, gates: Mapping[str, np.ndarray], said):
    if streams.ndim != 3 or not streams.size:
        raise ValueError(
            f"streams have shape {list(streams.shape)}: expected [loop, stream, width] of one token"
        )
    wanted = list(streams.shape[:2])
    for name, gate in gates.items():
        if list(gate.shape) != wanted:
            raise ValueError(
                f"gates {name!r} have shape {list(gate.shape)}: expected [loop, stream] = {wanted}"
            )
    counts = [len(row) for row in said or ()]
    if said is not None and counts != [wanted[1]] * wanted[0]:
        raise ValueError(
            f"said has {len(said)} loops: expected words [loop][stream] = {wanted}, and they are "
            f"{counts}"
        )


def _strips(panel, strips: np.ndarray, lengths: np.ndarray, heading: str):
    look = {"cmap": DIVERGING, "vmin": -MOST, "vmax": MOST, "interpolation": "nearest"}
    panel.imshow(strips, aspect="auto", **look)
    panel.set_title(heading, fontsize=10)
    panel.set_xticks([])
    panel.set_yticks(np.arange(len(strips)), [f"stream {n + 1}" for n in range(len(strips))])
    panel.tick_params(length=0, labelsize=8)
    panel.set_yticks(np.arange(1, len(strips)) - 0.5, minor=True)
    panel.grid(False)
    panel.grid(True, axis="y", which="minor", color="white", linewidth=3)
    panel.tick_params(which="minor", length=0)
    panel.spines[:].set_visible(False)
    for n, length in enumerate(lengths):
        _beside(panel, 1.01, n, f"{length:.3g}")
    _beside(panel, 1.01, -0.85, "length")


def _beside(panel, x: float, y: float, text: str):
    """Words at the right of a panel: x as a share of its width, y in its data."""
    place = {"xycoords": ("axes fraction", "data"), "annotation_clip": False}
    panel.annotate(text, (x, y), **place, va="center", fontsize=8, parse_math=False)


def _bars(panel, gate: np.ndarray, end: float):
    panel.barh(np.arange(len(gate)), gate, height=0.55, color=PALETTE[0])
    panel.set(xlim=(0, 1.65 * end), ylim=(len(gate) - 0.5, -0.5), yticks=[])
    panel.set_xticks([0, end], ["0", f"{end:g}"], fontsize=8)
    panel.tick_params(length=0, labelbottom=False)
    panel.grid(False)
    panel.grid(True, axis="x")
    panel.spines[:].set_visible(False)
    for n, value in enumerate(gate):
        panel.text(max(value, 0) + 0.06 * end, n, f"{value:.2f}", va="center", fontsize=8)


def _end(gate: np.ndarray) -> float:
    """Where the scale of a gate ends: at 1, or further for one that goes further."""
    return max(1.0, float(np.ceil(np.nanmax(gate))))


def _told(title, loops, shape, lengths, gates, said) -> str:
    heading = title.rstrip(".") if title else "Streams of one token"
    parts = []
    for loop in loops:
        at = loop - 1
        told = [f"lengths {', '.join(f'{x:.3g}' for x in lengths[at])}"]
        told += [
            f"{name} {', '.join(f'{x:.2f}' for x in gate[at])}" for name, gate in gates.items()
        ]
        if said is not None:
            told.append(f"alone they would say {', '.join(said[at])}")
        parts.append(f"Loop {loop}: {'; '.join(told)}.")
    return f"{heading}, {shape[1]} of width {shape[2]}. {' '.join(parts)}"
