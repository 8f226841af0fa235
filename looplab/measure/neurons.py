"""What do an MLP's neurons do to the answer? Told from weights alone, so no loop can change it."""

from typing import NamedTuple

import torch
from torch import Tensor

from looplab.measure.shapes import precise

__all__ = ["NeuronShares", "neuron_shares", "vocabulary_moments"]

PEAKED = 10.0  # kurtosis, of which a normal distribution has 3


class NeuronShares(NamedTuple):
    """Shares of a layer's neurons, each a number without axes."""

    prediction: Tensor  # that lift a few tokens far above the rest
    suppression: Tensor  # that lower a few
    kurtosis: Tensor  # mean over all neurons


def vocabulary_moments(write: Tensor, read: Tensor) -> tuple[Tensor, Tensor]:
    """Kurtosis and skew, over the tokens of a vocabulary, of what each neuron does to their logits.

    write [width, neuron] is what a neuron adds to the state, read [token, width] the head's rows
    with the last norm's weight in them; both only count by direction. Returns two [neuron].
    Kurtosis is E[z^4], not the excess.

    Source: Gurnee et al., arXiv 2401.12181, which arXiv 2604.11791 follows (claim C15).

    >>> one = torch.zeros(100, 2)
    >>> one[0, 0], one[1:, 1] = 1.0, 1.0  # the first number of the state speaks for one token
    >>> kurtosis, skew = vocabulary_moments(torch.eye(2)[:, :1], one)
    >>> kurtosis.item() > 90, skew.item() > 0
    (True, True)
    """
    if write.dim() != 2 or read.dim() != 2 or write.shape[0] != read.shape[1]:
        raise ValueError(
            f"write has shape {tuple(write.shape)} and read {tuple(read.shape)}: expected "
            "[width, neuron] and [token, width]"
        )
    tiny = torch.finfo(torch.float32).tiny
    read = precise(read)
    read = read / read.norm(dim=1, keepdim=True).clamp_min(tiny)
    z = read @ precise(write)  # [token, neuron]
    z -= z.mean(0)
    z /= z.square().mean(0).sqrt_().clamp_min_(tiny)
    square = z.square()
    return square.square().mean(0), z.mul_(square).mean(0)


def neuron_shares(kurtosis: Tensor, skew: Tensor, threshold: float = PEAKED) -> NeuronShares:
    """Shares of prediction neurons (skewed upwards) and suppression neurons, both peaked.

    kurtosis, skew [neuron], as `vocabulary_moments` gives them. Source: the counting rule of Lad et
    al., arXiv 2406.19384.

    >>> shares = neuron_shares(torch.tensor([99.0, 99.0, 3.0, 3.0]), torch.tensor([1.0, -1, 1, 1]))
    >>> shares.prediction.item(), shares.suppression.item(), shares.kurtosis.item()
    (0.25, 0.25, 51.0)
    """
    peaked = kurtosis > threshold
    lifts, lowers = peaked & (skew > 0), peaked & (skew < 0)
    return NeuronShares(
        precise(lifts.to(kurtosis.dtype)).mean(),
        precise(lowers.to(kurtosis.dtype)).mean(),
        precise(kurtosis).mean(),
    )
