"""What a recorded path says about stability by itself: its rate, and which way its steps point."""

from typing import NamedTuple

import torch
from torch import Tensor

from looplab.measure.convergence import NOISE_FLOOR


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
            f"first={first} with distances of shape {tuple(distances.shape)}: expected "
            "[loop, ...] with three loops or more from `first` on"
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
    varied = yy > count * torch.finfo(distances.dtype).eps ** 2
    r_squared = torch.where(enough & varied, xy.square() / (xx * yy), torch.nan)
    return ContractionFit(
        rate.to(distances.dtype),
        r_squared.to(distances.dtype),
        torch.full_like(count, first),
        first + count - 1,
    )


class StepSplit(NamedTuple):
    """Each step of a path in two parts at right angles; each [loop - 1, ...]."""

    radial: Tensor  # along the state it starts from: above zero, the norm grows
    angular: Tensor  # length of the rest, which turns the state


def split_steps(states: Tensor) -> StepSplit:
    """Split each step of `states` [loop, ..., width] along and across the state it leaves.

    radial^2 + angular^2 is the squared step size. Where a norm follows, only the angular part is
    seen by what reads the state: a path may be at rest for the reader and grow all the same.
    At a state of length zero all of the step counts as angular. Raises ValueError for fewer than
    two loops.

    Source: radial share of late motion, arXiv 2608.16085; norm growth, arXiv 2606.24898.

    >>> split_steps(torch.tensor([[1.0, 0.0], [3.0, 0.0], [3.0, 4.0]]))
    StepSplit(radial=tensor([2., 0.]), angular=tensor([0., 4.]))
    """
    if states.dim() < 2 or len(states) < 2:
        raise ValueError(
            f"states have shape {tuple(states.shape)}: expected [loop, ..., width] with two loops "
            "or more"
        )
    before, steps = states[:-1], states[1:] - states[:-1]
    outward = before / before.norm(dim=-1, keepdim=True).clamp_min(torch.finfo(states.dtype).tiny)
    radial = (steps * outward).sum(-1)
    angular = (steps - radial[..., None] * outward).norm(dim=-1)
    return StepSplit(radial, angular)
