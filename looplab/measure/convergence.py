"""Does the state come to rest, how fast, and how close does it get?

All functions take states [loop, ..., width] and keep the axes in between: the same line serves
one token, every layer of a batch, and the ends of the loops. In float32 a state at rest still
flickers by about 1e-7 of its size, so smaller relative numbers are noise.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from looplab.measure.lasting import lasting_from
from looplab.measure.shapes import check_states, precise, state_at

__all__ = [
    "cosine_to_limit",
    "distance_to_limit",
    "relative_step",
    "settling_loop",
    "step_size",
    "successive_cosine",
]


def step_size(states: Tensor) -> Tensor:
    """Length of each step the state takes: [loop, ..., width] -> [loop - 1, ...].

    Source: successive change, arXiv 2604.11791, figure 3 (claim C4).

    >>> step_size(torch.tensor([[0.0, 0.0], [3.0, 4.0], [3.0, 4.0]]))
    tensor([5., 0.])
    """
    check_states(states)
    states = precise(states)
    return (states[1:] - states[:-1]).norm(dim=-1)


def relative_step(states: Tensor) -> Tensor:
    """Length of each step in units of the state it ends in: [loop, ..., width] -> [loop - 1, ...].

    >>> relative_step(torch.tensor([[4.0], [2.0], [2.0]]))
    tensor([1., 0.])
    """
    states = precise(states)
    return step_size(states) / states[1:].norm(dim=-1).clamp_min(_tiny(states))


def successive_cosine(states: Tensor) -> Tensor:
    """Cosine between each state and the next: [loop, ..., width] -> [loop - 1, ...].

    Source: arXiv 2604.11791, figure 24.

    >>> successive_cosine(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 2.0]]))
    tensor([0., 1.])
    """
    check_states(states)
    states = precise(states)
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
    check_states(states)
    states = precise(states)
    point = state_at(states, limit)
    distance = (states - point).norm(dim=-1)
    return distance / point.norm(dim=-1).clamp_min(_tiny(states)) if relative else distance


def cosine_to_limit(states: Tensor, limit: int | None = None) -> Tensor:
    """Cosine of every state to the approximate fixed point: [loop, ..., width] -> [loop, ...].

    `limit` as in `distance_to_limit`. Source: arXiv 2604.11791, figure 22.

    >>> cosine_to_limit(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 2.0]]))
    tensor([0., 1., 1.])
    """
    check_states(states)
    states = precise(states)
    return F.cosine_similarity(states, state_at(states, limit), dim=-1)


def settling_loop(states: Tensor, tolerance: float = 0.01, limit: int | None = None) -> Tensor:
    """First loop, counted from 1, from which the relative distance stays within `tolerance`.

    [loop, ..., width] -> [...], whole numbers; the distance is to the state at `limit`, and loops
    after `limit` are not looked at. A state that settles only at `limit` itself, its own
    reference, has not settled: 0.

    >>> settling_loop(torch.tensor([[9.0], [1.1], [1.001], [1.0], [1.0]]), tolerance=0.01)
    tensor(3)
    """
    end = len(states) if limit is None else limit
    near = distance_to_limit(states, limit, relative=True)[:end] <= tolerance
    first = lasting_from(near)
    return torch.where(first == end, 0, first)


def _tiny(states: Tensor) -> float:
    return torch.finfo(states.dtype).tiny
