"""Anderson's method: where to evaluate a map next, so that its fixed point is found sooner.

Each next point mixes the last few so that what the map would still change cancels best. The
weights are one set for a whole sequence, over all of its tokens: until the solver has converged, a
token's state so depends on later tokens, and on padding, even where the map itself is causal.

Source: Anderson 1965; in the form of the solvers of deep equilibrium models, arXiv 1909.01377, as
github.com/jacobfa/Attractor has it. `looplab.measure.stability.solve` compares solvers on all of a
batch as one vector, by least squares.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from looplab.basics.whole import whole_number

RIDGE = 1e-4  # added to the residuals' inner products, so that parallel ones can be told apart


class Anderson:
    """Tells the next point from the last `memory` points and the map's values there.

    `share` is that of the mixed values in it, the rest is of the mixed points.

    >>> mixer, z = Anderson(), torch.zeros(1, 1, 1)
    >>> for _ in range(4):
    ...     z = mixer.after(z, 0.9 * z + 1)
    >>> round(z.item(), 3)
    10.0
    """

    def __init__(self, memory: int = 5, share: float = 1.0):
        self.memory, self.share = whole_number("memory", memory, 1), share
        self.points: list[Tensor] = []
        self.values: list[Tensor] = []
        self.seen = 0

    def after(self, point: Tensor, value: Tensor) -> Tensor:
        """The point behind `point`, where the map is `value`; all [batch, token, width].

        Behind the first one that is its value, as without a solver.
        """
        slot = self.seen % self.memory
        self.points[slot : slot + 1], self.values[slot : slot + 1] = [point], [value]
        self.seen += 1
        if self.seen == 1:
            return value
        points, values = (
            # [batch, slot, token * width], in float32 at least
            torch.stack(kept, 1).flatten(2).to(torch.promote_types(value.dtype, torch.float32))
            for kept in (self.points, self.values)
        )
        weights = _weights(values - points)[:, None]  # [batch, 1, slot]
        mixed = self.share * (weights @ values) + (1 - self.share) * (weights @ points)
        return mixed.view(value.shape).to(value.dtype)


def _weights(residuals: Tensor) -> Tensor:
    """Weights [batch, slot] that sum to one, by which the residuals [batch, slot, n] cancel best.

    They are the solution of [[0, 1], [1, G G^T + RIDGE]] (m, w) = (1, 0).
    """
    batch, slots, _ = residuals.shape
    system = residuals.new_zeros(batch, slots + 1, slots + 1)
    system[:, 0, 1:] = system[:, 1:, 0] = 1
    ridge = RIDGE * torch.eye(slots, dtype=residuals.dtype, device=residuals.device)
    system[:, 1:, 1:] = residuals @ residuals.mT + ridge
    right = residuals.new_zeros(batch, slots + 1)
    right[:, 0] = 1
    return torch.linalg.solve(system, right)[:, 1:]


class Solved(NamedTuple):
    """What `anderson` came to."""

    value: Tensor  # the map's last value [batch, token, width]
    evaluations: int
    residual: float  # |value - point| / |value| at the last, the largest of the batch


def anderson(
    step: Callable[[Tensor], Tensor],
    start: Tensor,
    *,
    memory: int = 5,
    share: float = 1.0,
    tolerance: float = 3e-4,
    least: int = 6,
    most: int = 64,
) -> Solved:
    """Evaluate `step` from `start` [batch, token, width] until it hardly changes its point.

    Ends at the first evaluation, of `least` to `most`, at which every sequence's residual relative
    to its value is below `tolerance`, or at the last: see `residual`. The usual values are those of
    the attractor models. Raises ValueError for a `memory` or `most` below 1.

    >>> found = anderson(lambda z: 0.9 * z + 1, torch.zeros(1, 1, 1))
    >>> found.evaluations, round(found.value.item(), 3)
    (6, 10.0)
    """
    mixer, point = Anderson(memory, share), start
    for count in range(1, whole_number("most", most, 1) + 1):
        value = step(point)
        length = value.flatten(1).float().norm(dim=1).clamp_min(1e-9)
        residual = ((value - point).flatten(1).float().norm(dim=1) / length).max().item()
        if count == most or (count >= least and residual < tolerance):
            break
        point = mixer.after(point, value)
    return Solved(value, count, residual)
