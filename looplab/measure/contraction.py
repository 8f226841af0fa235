"""By what factor does each loop bring the state closer? A straight line through log distances."""

from typing import NamedTuple

import torch
from torch import Tensor

from looplab.measure.shapes import precise

__all__ = ["contraction_rate"]

NOISE_FLOOR = 1e-6  # relative; float32 rounding through a few layers stays below it


class ContractionFit(NamedTuple):
    """A straight line through log distances, and how far to trust it; each [...]."""

    rate: Tensor  # factor per loop; below 1 the path closes in, NaN where it could not be fitted
    r_squared: Tensor  # share of the logarithms' variance on the line; NaN where they are constant
    first: Tensor  # the fit used loops first to last of `distances`, both included, from 0
    last: Tensor


def fit_contraction(
    distances: Tensor, first: int = 0, floor: float = NOISE_FLOOR
) -> ContractionFit:
    """Fit distance = c rate^loop to `distances` [loop, ...] -> [...], and report how well it fits.

    The window opens at loop `first`, past the transient, and closes before the distances first
    fall to `floor`, below which they are rounding; give relative distances, or a floor in their
    unit. Needs three loops (NaN otherwise). Step sizes are safer than distances to the last state
    of a run that is still moving: those bend down to zero at its end. A high `r_squared` over a
    long window says geometric convergence; near a fixed point the rate is then the modulus of the
    leading multiplier. Raises ValueError for fewer than three loops after `first`.

    >>> fit = fit_contraction(0.5 ** torch.arange(30.0))
    >>> fit.rate, fit.r_squared, fit.last
    (tensor(0.5000), tensor(1.), tensor(19))
    """
    if distances.dim() < 1 or not 0 <= first <= len(distances) - 3:
        raise ValueError(
            f"distances have shape {tuple(distances.shape)}: expected [loop, ...] with three loops "
            f"or more from first={first} on"
        )
    tail = distances[first:].double()
    inside = (tail > floor).long().cumprod(0).bool()
    count = inside.sum(0)
    loop = torch.arange(len(tail), dtype=torch.float64, device=tail.device)
    loop = loop.view(-1, *[1] * (tail.dim() - 1))
    logs = torch.where(inside, tail, 1.0).log()

    def centre(values: Tensor) -> Tensor:
        mean = torch.where(inside, values, 0).sum(0) / count
        return torch.where(inside, values - mean, 0)

    x, y = centre(loop), centre(logs)
    xx, xy, yy = (x * x).sum(0), (x * y).sum(0), (y * y).sum(0)
    enough = count >= 3
    rate = torch.where(enough, (xy / xx).exp(), torch.nan)
    # Logarithms that differ by rounding alone have no variance to be explained.
    given = distances.dtype if distances.is_floating_point() else torch.float32
    varied = yy > count * torch.finfo(given).eps ** 2
    r_squared = torch.where(enough & varied, xy.square() / (xx * yy), torch.nan)
    return ContractionFit(
        rate.to(precise(distances).dtype),
        r_squared.to(precise(distances).dtype),
        torch.full_like(count, first),
        first + count - 1,
    )


def contraction_rate(distances: Tensor, floor: float = NOISE_FLOOR) -> Tensor:
    """Factor by which the distance shrinks at each loop: [loop, ...] -> [...].

    The `rate` of `fit_contraction`: a straight line through the logarithm of `distances` (relative
    ones, such as `distance_to_limit` or `relative_step` gives) over the loops before they first
    fall to `floor`. NaN where fewer than three are left; ValueError for fewer than three loops.

    >>> contraction_rate(0.5 ** torch.arange(8.0))
    tensor(0.5000)
    """
    return fit_contraction(distances, floor=floor).rate
