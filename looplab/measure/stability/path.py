"""Which way the steps of a recorded path point: outward along the state, or across it."""

from typing import NamedTuple

import torch
from torch import Tensor

from looplab.measure.shapes import check_states, precise


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
    check_states(states)
    states = precise(states)
    before, steps = states[:-1], states[1:] - states[:-1]
    outward = before / before.norm(dim=-1, keepdim=True).clamp_min(torch.finfo(states.dtype).tiny)
    radial = (steps * outward).sum(-1)
    angular = (steps - radial[..., None] * outward).norm(dim=-1)
    return StepSplit(radial, angular)
