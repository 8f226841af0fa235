"""How many loops are worth running? A plateau of loops that cannot be told from the best one."""

from typing import NamedTuple

import torch
from torch import Tensor

from looplab.measure.shapes import precise

__all__ = ["UsefulDepth", "useful_depth"]

LEVEL = 0.005  # of resampled means lie below the interval, and as many above; loops are many
LEAST = 8  # inputs, for an error to mean something
RESAMPLES = 2000


class UsefulDepth(NamedTuple):
    """Loops count from 1; losses are means over inputs, errors paired standard errors of them."""

    best: int  # loop with the lowest mean loss
    loss: float  # there
    first: int  # of the plateau: the fewest loops that are as good, as far as one can tell
    last: int
    share: float  # of resampled sets of inputs in which `best` is the best loop again
    above: Tensor  # loss above that of the best loop, chosen on other inputs [loop]
    error: Tensor  # standard error of `above` [loop]
    low: Tensor  # 99 % interval of `above`, by resampling inputs [loop]
    high: Tensor
    margin: float  # a loss that is too small to matter

    @property
    def real(self) -> bool:
        """Whether the best number of loops is told apart from every other."""
        return self.first == self.last

    @property
    def overthinking(self) -> bool:
        """Whether the last loop is worse than the plateau, by more than the noise."""
        return bool(self.low[-1] > self.margin)


def useful_depth(losses: Tensor, margin: float = 0.0) -> UsefulDepth:
    """The best number of loops, and which others are as good: [loop, input] -> numbers.

    `losses` are means over each input's tokens, which stand together: an input is what was drawn
    independently. The lowest of many noisy losses is low by luck too, so a loop is compared with
    the best of the other half of the inputs: `above` is the mean of these paired differences, and
    its interval holds 99 % of the means over resampled inputs, which a few hard inputs may make
    lopsided. The plateau are the loops around the best one whose interval reaches down to `margin`,
    a loss that is too small to matter. Raises ValueError for fewer than 8 inputs, one loop, or
    losses that are not finite.

    Source: ours; a paired bootstrap with sample splitting.

    >>> loop = torch.arange(1.0, 13.0)[:, None]
    >>> noise = torch.randn(12, 64, generator=torch.Generator().manual_seed(0)) / 100
    >>> found = useful_depth(1 / loop.clamp(max=6) + noise + torch.rand(64))
    >>> found.first <= 6 <= found.last, found.overthinking
    (True, False)
    """
    if losses.dim() != 2 or len(losses) < 2 or losses.shape[1] < LEAST:
        raise ValueError(
            f"losses have shape {tuple(losses.shape)}: expected [loop, input], two loops and "
            f"{LEAST} inputs or more, or one cannot tell a difference from luck"
        )
    losses = precise(losses).double()
    if not losses.isfinite().all():
        loop = int((~losses.isfinite()).any(1).int().argmax()) + 1
        raise ValueError(f"losses of loop {loop} are not finite: give the loops before")
    count = losses.shape[1]
    above = torch.empty_like(losses)
    for mine in (0, 1):
        other = int(losses[:, 1 - mine :: 2].mean(1).argmin())
        above[:, mine::2] = losses[:, mine::2] - losses[other, mine::2]
    mean, error = above.mean(1), above.std(1) / count**0.5
    fixed = torch.Generator().manual_seed(0)  # a measurement should not depend on luck
    drawn = torch.randint(count, (RESAMPLES, count), generator=fixed)
    weights = torch.zeros(RESAMPLES, count, dtype=losses.dtype)
    weights.scatter_add_(1, drawn, torch.ones_like(weights))
    weights = weights.to(losses.device) / count
    means = weights @ above.T  # [sample, loop]
    ends = torch.tensor([LEVEL, 1 - LEVEL], dtype=losses.dtype, device=losses.device)
    low, high = torch.quantile(means, ends, dim=0)
    best = int(losses.mean(1).argmin())
    alike = low <= margin
    alike[best] = True
    first = last = best
    while first > 0 and alike[first - 1]:
        first -= 1
    while last + 1 < len(losses) and alike[last + 1]:
        last += 1
    again = (losses @ weights.T).argmin(0)
    return UsefulDepth(
        best + 1,
        losses[best].mean().item(),
        first + 1,
        last + 1,
        (again == best).double().mean().item(),
        mean,
        error,
        low,
        high,
        margin,
    )
