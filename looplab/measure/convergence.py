"""Does the state come to rest, how fast, and how close does it get?

All functions take states [loop, ..., width] and keep the axes in between: the same line serves
one token, every layer of a batch, and the ends of the loops. In float32 a state at rest still
flickers by about 1e-7 of its size, so smaller relative numbers are noise.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

NOISE_FLOOR = 1e-6  # relative; float32 rounding through a few layers stays below it


def step_size(states: Tensor) -> Tensor:
    """Length of each step the state takes: [loop, ..., width] -> [loop - 1, ...].

    Source: successive change, arXiv 2604.11791, figure 3 (claim C4).

    >>> step_size(torch.tensor([[0.0, 0.0], [3.0, 4.0], [3.0, 4.0]]))
    tensor([5., 0.])
    """
    _check(states)
    return (states[1:] - states[:-1]).norm(dim=-1)


def relative_step(states: Tensor) -> Tensor:
    """Length of each step in units of the state it ends in: [loop, ..., width] -> [loop - 1, ...].

    >>> relative_step(torch.tensor([[4.0], [2.0], [2.0]]))
    tensor([1., 0.])
    """
    return step_size(states) / states[1:].norm(dim=-1).clamp_min(_tiny(states))


def successive_cosine(states: Tensor) -> Tensor:
    """Cosine between each state and the next: [loop, ..., width] -> [loop - 1, ...].

    Source: arXiv 2604.11791, figure 24.

    >>> successive_cosine(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 2.0]]))
    tensor([0., 1.])
    """
    _check(states)
    return F.cosine_similarity(states[1:], states[:-1], dim=-1)


def distance_to_limit(states: Tensor, limit: int | None = None, relative: bool = False) -> Tensor:
    """Distance of every state to the approximate fixed point: [loop, ..., width] -> [loop, ...].

    The approximate fixed point is the state after recurrence `limit`, counted from 1; None means
    the last. The paper takes recurrence 128. With `relative` the unit is the fixed point's length.
    The distance at `limit` itself is zero by definition, which says nothing about convergence:
    run well beyond the loops you look at. Raises ValueError for a limit outside the run.

    Source: arXiv 2604.11791, figure 4 (claim C6).

    >>> distance_to_limit(torch.tensor([[8.0], [4.0], [2.0], [1.0]]), limit=3)
    tensor([6., 2., 0., 1.])
    """
    point = _fixed_point(states, limit)
    distance = (states - point).norm(dim=-1)
    return distance / point.norm(dim=-1).clamp_min(_tiny(states)) if relative else distance


def cosine_to_limit(states: Tensor, limit: int | None = None) -> Tensor:
    """Cosine of every state to the approximate fixed point: [loop, ..., width] -> [loop, ...].

    `limit` as in `distance_to_limit`. Source: arXiv 2604.11791, figure 22.

    >>> cosine_to_limit(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 2.0]]))
    tensor([0., 1., 1.])
    """
    return F.cosine_similarity(states, _fixed_point(states, limit), dim=-1)


def settling_loop(states: Tensor, tolerance: float = 0.01, limit: int | None = None) -> Tensor:
    """First loop, counted from 1, from which the relative distance stays within `tolerance`.

    [loop, ..., width] -> [...], whole numbers; the distance is to the state at `limit`, and loops
    after `limit` are not looked at. A state that settles only at `limit` itself, its own
    reference, has not settled: 0.

    >>> settling_loop(torch.tensor([[9.0], [1.1], [1.001], [1.0], [1.0]]), tolerance=0.01)
    tensor(3)
    """
    end = len(states) if limit is None else limit
    far = distance_to_limit(states, limit, relative=True)[:end] > tolerance
    order = torch.arange(1, end + 1, device=states.device).view(-1, *[1] * (far.dim() - 1))
    first = torch.where(far, order, 0).amax(0) + 1
    return torch.where(first >= end, 0, first)


def contraction_rate(distances: Tensor, floor: float = NOISE_FLOOR) -> Tensor:
    """Factor by which the distance shrinks at each loop: [loop, ...] -> [...].

    Fits a straight line to the logarithm of `distances` (relative ones, of any of the functions
    above) over the loops before they first fall below `floor`. NaN where fewer than three are left.

    >>> contraction_rate(0.5 ** torch.arange(8.0))
    tensor(0.5000)
    """
    if distances.dim() < 1 or len(distances) < 3:
        raise ValueError(
            f"distances have shape {tuple(distances.shape)}: expected [loop, ...] with three loops "
            "or more"
        )
    clean = (distances > floor).long().cumprod(0).to(distances.dtype)
    count = clean.sum(0)
    loop = torch.arange(len(distances), device=distances.device, dtype=distances.dtype)
    loop = loop.view(-1, *[1] * (distances.dim() - 1))
    logs = distances.clamp_min(floor).log()
    mean_loop = (clean * loop).sum(0) / count
    mean_log = (clean * logs).sum(0) / count
    spread = (clean * (loop - mean_loop) ** 2).sum(0)
    slope = (clean * (loop - mean_loop) * (logs - mean_log)).sum(0) / spread
    return torch.where(count >= 3, slope.exp(), torch.nan)


def _fixed_point(states: Tensor, limit: int | None) -> Tensor:
    _check(states)
    if limit is None:
        return states[-1]
    if not 1 <= limit <= len(states):
        raise ValueError(
            f"limit={limit}: these states cover recurrences 1 to {len(states)}; "
            "trace more loops or choose a smaller limit"
        )
    return states[limit - 1]


def _check(states: Tensor):
    if states.dim() < 2 or len(states) < 2:
        raise ValueError(
            f"states have shape {tuple(states.shape)}: expected [loop, ..., width] with two loops "
            "or more"
        )


def _tiny(states: Tensor) -> float:
    return torch.finfo(states.dtype).tiny
