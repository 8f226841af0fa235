"""Ouro's exit gate: what its logits, `LoopedOutput.gate`, say about when to stop.

Loops count from 1, as in `looplab.measure`: `measure.at_exit(values, exit_loop(...))` picks what
each token had when it left. Everything is computed in float32 or better, whatever the model's
dtype. Source: arXiv 2510.25741, section 3, and its modelling code.
"""

import torch
from torch import Tensor


def exit_distribution(gate: Tensor) -> Tensor:
    """Probability of leaving at each loop, from gate logits: [loop, ...] -> [loop, ...].

    p_t = sigmoid(g_t) prod_{j<t} (1 - sigmoid(g_j)); the last loop takes what is left, so that
    its own gate does not count and p depends on where the run ends.

    >>> exit_distribution(torch.zeros(3))
    tensor([0.5000, 0.2500, 0.2500])
    """
    leave = _wide(gate).sigmoid()
    stay = (1 - leave).cumprod(0)
    before = torch.cat((torch.ones_like(stay[:1]), stay[:-1]))  # still there when loop t ends
    return torch.cat(((leave * before)[:-1], before[-1:]))


def exit_loop(distribution: Tensor, threshold: float) -> Tensor:
    """First loop by which a token has left with probability >= `threshold`: [loop, ...] -> [...].

    A threshold of 1 means the last loop, always. The official code compares the rounded sum with
    1.0 and lets a token go early once what remains is lost in rounding, in bfloat16 often.

    Raises ValueError for a threshold outside [0, 1].

    >>> exit_loop(torch.tensor([0.5, 0.25, 0.25]), 0.7)
    tensor(2)
    """
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold={threshold}: expected a probability, 0 to 1")
    still = _wide(distribution).cumsum(0)[:-1] < threshold  # there after loop t, [loop - 1, ...]
    if threshold == 1:
        still = torch.ones_like(still)
    return 1 + still.cumprod(0).sum(0)


def expected_logits(logits: Tensor, distribution: Tensor) -> Tensor:
    """Mean of the loops' logits under the exit distribution: [loop, ..., vocab] -> [..., vocab].

    A mixture of logits, not of probabilities. The official code returns it, and takes its loss on
    it, when it is given labels: its loss is not the last loop's.

    >>> expected_logits(torch.tensor([[0.0, 2.0], [4.0, 2.0]]), torch.tensor([0.5, 0.5]))
    tensor([2., 2.])
    """
    return torch.einsum("l...,l...v->...v", _wide(distribution), _wide(logits))


def _wide(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
