"""A state at loop 0 that looks like noise and is the same in every run: a hash of where it stands.

IFM's looped models are trained from draws of N(0, 1/width) and evaluated from this, so that their
scores do not depend on luck. The number of a channel, the place of a token in its text, and a term
for each sequence are added, and the digits behind the point of 43758.5453123 sin(sum) are taken as
a draw from (0, 1). All of it is computed in float32 on the CPU, in one order of operations: that
factor makes rounding decide the digits, so float64, or another library's sine, gives other noise.

Source: `initialize_recurrent_state` and the evaluation protocol of github.com/ifm-ai/xllm-loop.
"""

from math import pi, sqrt

import torch
from torch import Tensor

EVALUATION_SEED = 42  # that of the paper's tables


def hashed_normal(places: Tensor, terms: Tensor, width: int, std: float) -> Tensor:
    """Numbers as from N(0, std^2), for tokens at `places` [batch or 1, token], counted from 0.

    `terms` [batch] tell the sequences apart: `example_terms` or `row_terms`. Returns float32 on
    the CPU, [batch, token, width]. ValueError for other shapes.

    >>> state = hashed_normal(torch.arange(50)[None], example_terms([0, 1]), 64, std=0.125)
    >>> state.shape, 0.11 < state.std().item() < 0.14
    (torch.Size([2, 50, 64]), True)
    """
    if (places.dim(), terms.dim()) != (2, 1) or len({1, len(places), len(terms)}) > 2:
        raise ValueError(
            f"places have shape {tuple(places.shape)} and terms {tuple(terms.shape)}: expected "
            "[batch or 1, token] and [batch]"
        )
    places = places.to("cpu", torch.float32)[..., None]
    terms = terms.to("cpu", torch.float32)[:, None, None]
    u = torch.arange(width, dtype=torch.float32) * 0.013579
    u = u + places * 0.021713
    u = u + terms
    u = (u + 0.123457).sin() * 43758.5453123
    u = (u - u.floor()).clamp(1e-6, 1 - 1e-6)
    return (u * 2 - 1).erfinv() * (sqrt(2) * std)


def example_terms(examples: list[int] | Tensor, seed: int = EVALUATION_SEED) -> Tensor:
    """Terms [batch] of evaluation examples by their numbers: what the paper's scores begin with.

    ValueError for numbers that are not whole.

    >>> example_terms([0, 1])
    tensor([2.0505, 2.0897])
    """
    numbers = torch.as_tensor(examples)
    if numbers.is_floating_point():
        raise ValueError(f"examples={examples}: expected whole numbers, those of the examples")
    numbers = numbers.to(torch.int64)
    prime = 16777213
    return (2 * pi / prime) * ((numbers * 104729 + seed * 130363) % prime).to(torch.float32)


def row_terms(batch: int) -> Tensor:
    """Terms [batch] by row of the batch: what the official model's own forward pass begins with.

    >>> row_terms(2)
    tensor([0.0000, 0.0377])
    """
    return torch.arange(batch, dtype=torch.float32) * 0.037719
