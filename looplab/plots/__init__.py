"""Figures: each returns a Picture, which is the figure, the data it shows, and alt text from it."""

from looplab.plots.figures import (
    accuracy_by_loop,
    bars,
    cycle,
    lines_by_layer,
    loss_curve,
    orbits,
    pattern_distances,
    stages,
    staircase,
    trade_off,
)
from looplab.plots.floor import floorplan
from looplab.plots.picture import (
    DPI,
    MARKERS,
    PALETTE,
    RC,
    STYLES,
    Picture,
    drawing,
    house_style,
    mark,
)

__all__ = [
    "DPI",
    "MARKERS",
    "PALETTE",
    "Picture",
    "RC",
    "STYLES",
    "accuracy_by_loop",
    "bars",
    "cycle",
    "drawing",
    "floorplan",
    "house_style",
    "lines_by_layer",
    "loss_curve",
    "mark",
    "orbits",
    "pattern_distances",
    "stages",
    "staircase",
    "trade_off",
]
