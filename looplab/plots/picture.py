"""A picture, which is a figure with its data and alt text, and the style that all of them share."""

import io
from contextlib import contextmanager
from dataclasses import dataclass, field

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

__all__ = [
    "DPI",
    "MARKERS",
    "PALETTE",
    "Picture",
    "RC",
    "SHARP",
    "STYLES",
    "drawing",
    "house_style",
    "mark",
]

# Okabe and Ito's colours, told apart with any colour vision; line style and marker say it again.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))
MARKERS = ("o", "s", "D", "^", "v", "P", "X")
DPI = 80  # pixels per inch of the page
SHARP = 2  # pixels of the file for one of the page, so that a figure is crisp on any screen
RC = {
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelcolor": "0.15",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "0.4",
    "axes.linewidth": 0.7,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "0.88",
    "grid.linewidth": 0.6,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "xtick.color": "0.4",
    "ytick.color": "0.4",
    "xtick.labelcolor": "0.15",
    "ytick.labelcolor": "0.15",
    "figure.facecolor": "white",
    "savefig.facecolor": "white",  # legible on a dark page too
    "legend.frameon": False,
    "legend.fontsize": 9,
    "hatch.linewidth": 0.7,
}


@dataclass(frozen=True)
class Picture:
    """A figure with its data and its alt text; shows itself as PNG in a notebook."""

    figure: Figure
    alt: str
    data: dict = field(default_factory=dict)

    def png(self) -> bytes:
        """The figure as PNG, SHARP pixels for each pixel that it takes on a page."""
        buffer = io.BytesIO()
        # No software version in the file: the same figure is the same bytes.
        metadata = {"Software": None}
        with house_style():
            self.figure.savefig(
                buffer, format="png", dpi=SHARP * DPI, bbox_inches="tight", metadata=metadata
            )
        # 128 colours are enough for lines and for one colour map, and take a fifth of the bytes,
        # which every notebook carries. Median cut keeps the colours of large areas as they are.
        small = io.BytesIO()
        with Image.open(buffer) as image:
            few = image.convert("RGB").quantize(128, Image.Quantize.MEDIANCUT, dither=0)
            few.save(small, format="png", optimize=True, dpi=(SHARP * DPI, SHARP * DPI))
        return small.getvalue()

    def save(self, path):
        """Write the figure as PNG."""
        with open(path, "wb") as file:
            file.write(self.png())

    def _repr_mimebundle_(self, include=None, exclude=None):
        png = self.png()
        with Image.open(io.BytesIO(png)) as image:
            width = image.width // SHARP
        return {"image/png": png, "text/plain": self.alt}, {
            "image/png": {"alt": self.alt, "width": width}
        }

    def __repr__(self):
        return self.alt


@contextmanager
def house_style():
    """looplab's settings on top of matplotlib's own, whatever the user has set."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(RC)
        yield


@contextmanager
def drawing(width: float = 6.4, height: float = 3.4, columns: int = 1, rows: int = 1, **options):
    """A new figure in looplab's style: `with drawing() as (figure, axes):`; pyplot stays out."""
    with house_style():
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure, figure.subplots(rows, columns, **options)


def numbers(values) -> np.ndarray:
    """An array of what is to be drawn: a tensor of any dtype, from any device, or numbers.

    >>> import torch
    >>> numbers(torch.ones(2, dtype=torch.bfloat16))
    array([1., 1.], dtype=float32)
    """
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        half = values.is_floating_point() and values.dtype.itemsize < 4
        return (values.float() if half else values).numpy()
    if isinstance(values, np.ndarray):
        return values
    return np.asarray([numbers(one) if isinstance(one, Tensor) else one for one in values])


def mark(picture: Picture, whose: str) -> Picture:
    """Write into the corner of a figure whose code drew it: "yours" or "looplab's"."""
    told = f"drawn with {'your own' if whose == 'yours' else whose} code"
    picture.figure.text(0.995, 0.005, told, ha="right", va="bottom", fontsize=7, color="0.35")
    return picture
