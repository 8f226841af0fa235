"""What kind of mixing does attention do? Numbers that tell the stages of inference apart.

Patterns end in [token, token] and their rows sum to one. All numbers depend on how many tokens
there are, so compare sequences of one length, or say the length.

Source: the metrics of arXiv 2604.11791, section 5 (claims C10, C13, C14).
"""

from math import log

import torch
from torch import Tensor

from looplab.measure.shapes import check_patterns, precise

__all__ = [
    "colsum_concentration",
    "column_share",
    "mixing_score",
    "residual_entropy",
    "sink_rate",
    "sink_score",
]

SINK = 0.3  # share of all attention from which a head counts as sinking into one token
_BLOCK = 2**17  # entries looked at in one go: with their logarithms they stay in a core's cache


def column_share(attention: Tensor) -> Tensor:
    """Share of all attention that each key receives: [..., token, token] -> [..., token].

    >>> column_share(torch.tensor([[1.0, 0.0], [0.5, 0.5]]))
    tensor([0.7500, 0.2500])
    """
    check_patterns(attention)
    return precise(attention).sum(-2) / attention.shape[-1]


def colsum_concentration(attention: Tensor) -> Tensor:
    """How few keys receive the attention, ColSum concentration: [..., token, token] -> [...].

    One minus the normalised entropy of `column_share`: 0 where all keys receive the same, 1 where
    one receives everything (as it does where there is only one).

    >>> rows = torch.tensor([[[1.0, 0.0], [0.5, 0.5]], [[1.0, 0.0], [1.0, 0.0]]])
    >>> colsum_concentration(rows)
    tensor([0.1887, 1.0000])
    """
    return concentration(column_share(attention))


def concentration(share: Tensor) -> Tensor:
    """One minus the normalised entropy of shares that sum to one: [..., token] -> [...].

    >>> concentration(torch.tensor([[0.75, 0.25], [0.0, 1.0]]))
    tensor([0.1887, 1.0000])
    """
    return 1 - _entropy(precise(share)) / log(max(share.shape[-1], 2))


def sink_score(attention: Tensor, position: int = 0) -> Tensor:
    """Share of all attention that goes to one key: [..., token, token] -> [...].

    >>> sink_score(torch.tensor([[1.0, 0.0], [0.5, 0.5]]))
    tensor(0.7500)
    """
    check_patterns(attention)
    return precise(attention[..., position]).mean(-1)


def sink_rate(attention: Tensor, position: int = 0, threshold: float = SINK) -> Tensor:
    """Share of heads whose `sink_score` is `threshold` or more: [..., head, token, token] -> [...].

    >>> sink_rate(torch.stack((torch.eye(4), torch.eye(4)[:1].expand(4, 4))))
    tensor(0.5000)
    """
    return sink_share(sink_score(attention, position), threshold)


def sink_share(score: Tensor, threshold: float = SINK) -> Tensor:
    """Share of heads whose score is `threshold` or more: [..., head] -> [...].

    >>> sink_share(torch.tensor([0.1, 0.9, 0.9, 0.9]))
    tensor(0.7500)
    """
    return (score >= threshold).to(precise(score).dtype).mean(-1)


def mixing_score(attention: Tensor) -> Tensor:
    """Mean entropy of a pattern's rows, in nats: [..., token, token] -> [...].

    0 where each token reads one other; at most log(token).

    >>> mixing_score(torch.stack((torch.eye(2), torch.full((2, 2), 0.5))))
    tensor([0.0000, 0.6931])
    """
    check_patterns(attention)
    patterns = attention.flatten(0, -3) if attention.dim() > 3 else attention
    if patterns.dim() == 2:
        return _entropy(precise(patterns)).mean(-1)
    # Block by block: a run's patterns are larger than a cache, and logarithms need a copy.
    blocks = patterns.split(max(1, _BLOCK // patterns[0].numel()))
    scores = torch.cat([_entropy(precise(block)).mean(-1) for block in blocks])
    return scores.view(attention.shape[:-2])


def residual_entropy(states: Tensor) -> Tensor:
    """How many directions the tokens' states share out among them: [..., token, width] -> [...].

    Entropy in nats of the eigenvalues of X X^T, scaled to sum to one: 0 where all states lie on
    one line, at most log(token). It is not centred: a part that all tokens have in common counts.
    Computed in float64, from the smaller of the two Gram matrices.

    Source: matrix-based entropy, Skean et al., arXiv 2502.02013, with alpha = 1.

    >>> residual_entropy(torch.stack((torch.ones(2, 3), torch.eye(3)[:2])))
    tensor([0.0000, 0.6931])
    """
    if states.dim() < 2:
        raise ValueError(f"states have shape {tuple(states.shape)}: expected [..., token, width]")
    x = states.double()
    if x.shape[-2] > x.shape[-1]:  # X^T X has the same eigenvalues but zeros
        x = x.mT
    values = torch.linalg.eigvalsh(x @ x.mT).clamp_min(0)
    total = values.sum(-1, keepdim=True).clamp_min(torch.finfo(values.dtype).tiny)
    return _entropy(values / total).abs().to(precise(states).dtype)  # rounding may leave -1e-16


def _entropy(share: Tensor) -> Tensor:
    # 0 log 0 = 0; clamping, and everything in place, costs half of torch.special.entr.
    terms = share.clamp_min(torch.finfo(share.dtype).tiny).log_().mul_(share)
    return terms.sum(-1).neg_()
