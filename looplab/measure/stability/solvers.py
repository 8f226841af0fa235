"""Finding a fixed point: simply looping, or solving for it with fewer evaluations of the map.

Looping reaches stable fixed points only. A solver may also reach an unstable one, such as the point
inside an orbit, where `leading_multipliers` then say why the loop leaves it.
"""

from math import isfinite
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from looplab.measure.stability.jacobian import Map, precisely

SOLVERS = ("plain", "damped", "anderson", "broyden")
_HISTORY = 5  # steps that Anderson's method combines, as in arXiv 2605.12466
_ESCAPED = 1e4  # times the unit below: a state longer than that is lost, and coarse in float32


class Solution(NamedTuple):
    """What one solver found; `residual` keeps its length, so it can be drawn and counted."""

    point: Tensor  # the state with the least residual it came by
    reached: bool  # whether that residual is within the tolerance
    residual: Tensor  # |step(z) - z| / unit at each evaluation, in order [evaluation]

    @property
    def evaluations(self) -> int:
        return len(self.residual)

    @property
    def verdict(self) -> str:
        if self.reached:
            return f"reached in {self.evaluations} evaluations"
        least = self.residual.nan_to_num(torch.inf).min()
        return f"not reached in {self.evaluations} evaluations, least residual {least:.1e}"


@torch.no_grad()
def solve(
    step: Map,
    start: Tensor,
    method: str = "plain",
    tolerance: float = 1e-5,
    max_evaluations: int = 200,
) -> Solution:
    """Look for a fixed point of `step` from `start` [...], all of it one vector.

        plain      z <- step(z)
        damped     z <- (z + step(z)) / 2, which cures an overshooting map (multipliers near -1)
        anderson   combines the last five steps so that their residuals cancel best
        broyden    builds up an inverse Jacobian (scipy's "good" method); like Anderson's, its
                   first step is a plain one

    The residual is measured in one unit for the whole run, the longer of `start` and step(start):
    relative to the state as it is, a state that runs off to infinity would seem to come to rest.
    A run ends, for every method alike, at the first evaluation within `tolerance`; when it does
    not come to that in `max_evaluations`, or leaves for good, the solution says "not reached". Far
    out on a slider whose steps shrink to nothing a solver still meets a small residual: where
    `point` is much longer than the states of the plain loop, ask again with a smaller tolerance.
    float32 cannot meet tolerances much below 1e-6. Raises ValueError for an unknown method.

    Source: Anderson 1965, Broyden 1965; for loops, arXiv 1909.01377 and 2605.12466.

    >>> solve(torch.cos, torch.ones(1)).verdict
    'reached in 29 evaluations'
    >>> solve(torch.cos, torch.ones(1), "broyden").evaluations < 10
    True
    >>> solve(lambda z: -2 * z + 3, torch.zeros(1)).verdict
    'not reached in 16 evaluations, least residual 1.0e+00'
    """
    if method not in SOLVERS:
        raise ValueError(f"method={method!r}: expected one of {', '.join(SOLVERS)}")
    if max_evaluations < 1:
        raise ValueError(f"max_evaluations={max_evaluations}: expected at least 1")
    step, start = precisely(step, start)
    count = _Count(step, start, tolerance, max_evaluations)
    try:
        if method in ("plain", "damped"):
            share, state = 1.0 if method == "plain" else 0.5, start
            while True:
                state = state + share * count(state)
        (_anderson if method == "anderson" else _broyden)(count, start)
    except _Finished:
        pass
    residual = torch.tensor(count.residual, dtype=torch.float64)
    return Solution(count.best, count.least <= tolerance, residual)


def compare_solvers(
    step: Map,
    start: Tensor,
    methods: tuple[str, ...] = SOLVERS,
    tolerance: float = 1e-5,
    max_evaluations: int = 200,
) -> dict[str, Solution]:
    """`solve` by each of `methods` from the same start: {method: Solution}.

    Evaluations are counted, not time: at course size the solvers' own arithmetic is small beside
    the map, and where the loop contracts well they save little.

    >>> slow = torch.tensor([0.99, 0.9, 0.5])
    >>> found = compare_solvers(lambda z: slow * z + 1, torch.zeros(3), ("plain", "anderson"))
    >>> found["plain"].evaluations > 10 * found["anderson"].evaluations
    True
    """
    return {method: solve(step, start, method, tolerance, max_evaluations) for method in methods}


class _Finished(Exception):
    """Raised by the counted map to end a solver, whatever its own rules for stopping are."""


class _Count:
    """The residual step(z) - z, with a record of every evaluation."""

    def __init__(self, step: Map, start: Tensor, tolerance: float, most: int):
        self.step, self.tolerance, self.most = step, tolerance, most
        self.best, self.least, self.residual = start, float("inf"), []
        self.unit = None

    def __call__(self, state: Tensor) -> Tensor:
        end = self.step(state)
        if self.unit is None:
            longest = max(state.norm().item(), end.norm().item())
            self.unit = max(longest, torch.finfo(state.dtype).tiny)
        residual = end - state
        size = residual.norm().item() / self.unit
        self.residual.append(size)
        lost = not isfinite(size) or state.norm().item() > _ESCAPED * self.unit
        if size < self.least and not lost:
            self.best, self.least = state.clone(), size
        if lost or size <= self.tolerance or len(self.residual) >= self.most:
            raise _Finished
        return residual


def _anderson(count: _Count, start: Tensor):
    """Type II, by least squares: scipy's solves the normal equations, which keeps half the digits
    and fails with a warning where residuals are nearly parallel, as they are on a slow approach."""
    residual, z = _flat(count, start)
    moves, changes = [], []
    f = residual(z)
    after = z + f
    while True:
        f_after = residual(after)
        moves, changes = [*moves, after - z][-_HISTORY:], [*changes, f_after - f][-_HISTORY:]
        z, f = after, f_after
        weights = np.linalg.lstsq(np.stack(changes, 1), f)[0]
        after = z + f - (np.stack(moves, 1) + np.stack(changes, 1)) @ weights


def _broyden(count: _Count, start: Tensor):
    from scipy.optimize import broyden1  # slow to import, and here needed only

    # alpha=1 makes the first step a plain one; f_tol=0 leaves the stopping to `count`.
    with np.errstate(all="ignore"):  # a step that overflows ends the run as "not reached"
        broyden1(*_flat(count, start), alpha=1.0, f_tol=0.0, maxiter=count.most, line_search=None)


def _flat(count: _Count, start: Tensor):
    """The counted residual as a function of flat float64 arrays, and the start as one."""

    def residual(z: np.ndarray) -> np.ndarray:
        state = torch.from_numpy(z).to(start).view_as(start)
        return count(state).flatten().double().cpu().numpy()

    return residual, start.flatten().double().cpu().numpy()
