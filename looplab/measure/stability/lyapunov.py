"""Lyapunov exponents: how fast neighbouring trajectories part or meet, along the whole way."""

from typing import NamedTuple

import torch
from torch import Tensor

from looplab.measure.stability.jacobian import Map, direct_products, precisely


class Lyapunov(NamedTuple):
    """Growth of `count` directions along one trajectory, in natural logarithms per loop."""

    exponents: Tensor  # mean growth, largest first [count]
    growth: Tensor  # of each direction in each counted loop, before averaging [loop, count]
    state: Tensor  # where the trajectory ended, shape of the start


def lyapunov_exponents(
    step: Map, start: Tensor, loops: int, count: int = 1, settle: int = 0
) -> Lyapunov:
    """The `count` leading finite-time Lyapunov exponents from `start` [...], all of it one vector.

    Directions, orthonormal at first and again after every loop (QR), are carried along by the
    Jacobian; an exponent is the mean logarithm of the growth its direction had before it was
    normalised. At a fixed point the exponents are the log moduli of the multipliers. The first
    `settle` loops are run but not counted: the directions still have to find their place, and the
    state its attractor. A model whose state's norm only grows shows an exponent slightly above
    zero: look at `split_steps` before calling it chaos. Raises ValueError for counts that do not
    fit.

    Source: Benettin et al. 1980 (Meccanica 15); for loops, arXiv 2608.18222.

    >>> rates = torch.tensor([0.5, 0.25])
    >>> lyapunov_exponents(lambda z: rates * z, torch.ones(2), 50, 2, settle=20).exponents.exp()
    tensor([0.5000, 0.2500])
    """
    size = start.numel()
    if not 1 <= count <= size:
        raise ValueError(f"count={count}: a state of {size} numbers has 1 to {size} exponents")
    if not 0 <= settle < loops:
        raise ValueError(f"settle={settle}: expected 0 to {loops - 1}, fewer than loops={loops}")
    step, start = precisely(step, start)
    state = start.detach()
    fixed = torch.Generator().manual_seed(0)  # a measurement should not depend on luck
    directions = torch.randn(size, count, generator=fixed, dtype=torch.float64).to(start)
    directions = torch.linalg.qr(directions).Q
    growth = start.new_empty(loops, count)
    for loop in range(loops):
        state, push = direct_products(step, state)
        images = push(directions.T.reshape(count, *start.shape))
        directions, stretch = torch.linalg.qr(images.reshape(count, size).T)
        growth[loop] = stretch.diagonal().abs().log()
    growth = growth[settle:]
    exponents = growth.mean(0).sort(descending=True).values
    return Lyapunov(exponents, growth, state)
