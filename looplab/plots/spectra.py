"""Multipliers of loops in the complex plane, whole and close to the circle."""

from collections.abc import Mapping

import numpy as np
from matplotlib.patches import Circle, Rectangle
from torch import Tensor

from looplab.plots.picture import MARKERS, PALETTE, Picture, drawing, numbers

__all__ = ["multipliers"]


def multipliers(models: Mapping[str, Tensor]):
    """Multipliers [multiplier], complex, of one or several loops: a column for each.

    Above the unit circle, and below it the square that is marked there, enlarged: around the
    largest multiplier and the part of the circle nearest to it.

    >>> print(multipliers({"slow": torch.tensor([0.9 + 0.1j, 0.9 - 0.1j, 0.2 + 0j])}).alt)
    Multipliers and the unit circle. slow: 3, the largest has modulus 0.91 and turns by 6 degrees.
    """
    tables = {name: numbers(values) for name, values in models.items()}
    leaders = {name: values[np.abs(values).argmax()] for name, values in tables.items()}
    squares = {name: _square(largest) for name, largest in leaders.items()}
    reach = max(max(abs(middle.real), abs(middle.imag)) + half for middle, half in squares.values())
    wide = max(1.05, 1.1 * max(map(abs, leaders.values())), reach + 0.02)
    told = []
    with drawing(1.9 * len(tables) + 0.5, 4.3, columns=len(tables), rows=2, squeeze=False) as (
        figure,
        grid,
    ):
        for (name, values), (whole, close) in zip(tables.items(), grid.T, strict=True):
            largest, (middle, half) = leaders[name], squares[name]
            size = abs(largest)
            corner = (middle.real - half, middle.imag - half)
            look = {"facecolor": "none", "edgecolor": "0.45", "linewidth": 0.8}
            whole.add_patch(Rectangle(corner, 2 * half, 2 * half, linestyle=":", **look))
            whole.set(xlim=(-wide, wide), ylim=(-wide, wide), title=name)
            whole.set_xticks([-1, 0, 1])
            whole.set_yticks([-1, 0, 1])
            close.set(xlim=(corner[0], corner[0] + 2 * half))
            close.set(ylim=(corner[1], corner[1] + 2 * half))
            close.locator_params(nbins=3)
            for panel in (whole, close):
                panel.add_patch(Circle((0, 0), 1, **look))
                panel.plot(values.real, values.imag, MARKERS[0], color=PALETTE[0], ms=3.5)
                panel.plot(largest.real, largest.imag, MARKERS[1], color=PALETTE[1], ms=5.5)
                panel.set_aspect("equal")
            turn = abs(np.degrees(np.angle(largest)))
            told.append(
                f"{name}: {len(values)}, the largest has modulus {size:.2f} and turns by "
                f"{turn:.0f} degrees"
            )
        grid[0, 0].set_ylabel("imaginary part")
        grid[1, 0].set_ylabel("imaginary part")
        grid[1, 0].set_xlabel("real part")
        handles = [
            grid[0, 0].plot([], [], MARKERS[1], color=PALETTE[1], ms=5.5, label="the largest")[0],
            grid[0, 0].plot([], [], MARKERS[0], color=PALETTE[0], ms=3.5, label="the others")[0],
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return Picture(figure, f"Multipliers and the unit circle. {'; '.join(told)}.", tables)


def _square(largest: complex) -> tuple[complex, float]:
    """Middle and half a side of the square around a multiplier and the circle next to it."""
    size = abs(largest)
    edge = largest / size if size else 1.0
    return complex(edge * (size + 1) / 2), 0.75 * abs(1 - size) + 0.04
