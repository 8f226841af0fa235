"""Do attention patterns settle, and does a layer come back to its own pattern at every loop?

A pattern is one softmaxed matrix [token, token]. Functions take patterns as `Trace.attention` holds
them, [loop, layer, batch, head, token, token]. Frobenius distances grow with the number of tokens
(two patterns are never further than sqrt(2 token) apart), so compare runs of one length and say
which.
"""

import torch
from torch import Tensor

from looplab.measure.convergence import distance_to_limit, relative_step, step_size
from looplab.measure.shapes import check_patterns, precise

__all__ = [
    "AttentionDistances",
    "attention_cosine",
    "attention_distance",
    "attention_step",
    "attention_to_limit",
    "diagonal_contrast",
]

_BLOCK = 2**18  # float64 numbers converted at a time: 2 MiB stay in a core's cache


def attention_step(attention: Tensor, relative: bool = False) -> Tensor:
    """Frobenius distance of each pattern to the same head's at the loop before.

    [loop, ..., token, token] -> [loop - 1, ...]; with `relative` in units of the pattern it ends
    in. Source: arXiv 2604.11791, figure 25 (claim C4).

    >>> attention_step(torch.eye(2).expand(3, 2, 2))
    tensor([0., 0.])
    """
    check_patterns(attention, 3, "[loop, ..., token, token]")
    entries = attention.flatten(-2)
    return relative_step(entries) if relative else step_size(entries)


def attention_to_limit(
    attention: Tensor, limit: int | None = None, relative: bool = False
) -> Tensor:
    """Frobenius distance of each pattern to the same head's at recurrence `limit`.

    [loop, ..., token, token] -> [loop, ...]; `limit` counts from 1 and None means the last, as in
    `distance_to_limit`. Source: arXiv 2604.11791, figure 23 (claim C6).

    >>> attention_to_limit(torch.stack((torch.ones(2, 2) / 2, torch.eye(2))))
    tensor([1., 0.])
    """
    check_patterns(attention, 3, "[loop, ..., token, token]")
    return distance_to_limit(attention.flatten(-2), limit, relative)


def attention_distance(attention: Tensor) -> Tensor:
    """Frobenius distance between all patterns of a run, mean over heads and sequences.

    [loop, layer, batch, head, token, token] -> [pattern, pattern] in float64, where pattern counts
    the layers in the order in which they ran; any number of axes in front of batch will do, so
    that prelude and coda can be laid beside the core. Each head is compared with the same head and
    only the distances are averaged: heads that trade places count as change. Distances below 1e-7
    of a pattern's size are rounding. Raises ValueError for other shapes.

    Source: arXiv 2604.11791, figures 2 and 21 (claim C5).

    >>> patterns = torch.stack((torch.eye(2), torch.ones(2, 2) / 2, torch.eye(2)))
    >>> attention_distance(patterns[:, None, None])
    tensor([[0., 1., 0.],
            [1., 0., 1.],
            [0., 1., 0.]], dtype=torch.float64)
    """
    return AttentionDistances().update(attention).distance()


def attention_cosine(attention: Tensor) -> Tensor:
    """Cosine between all patterns of a run as vectors of entries, mean over heads and sequences.

    Shapes and errors as in `attention_distance`. Patterns have no negative entries, so even
    unrelated ones have a cosine well above zero; compare with the cosine of other layers.

    >>> patterns = torch.stack((torch.eye(2), torch.tensor([[1.0, 0.0], [1.0, 0.0]])))
    >>> attention_cosine(patterns[:, None, None])
    tensor([[1.0000, 0.5000],
            [0.5000, 1.0000]], dtype=torch.float64)
    """
    return AttentionDistances().update(attention).cosine()


class AttentionDistances:
    """`attention_distance` and `attention_cosine` of more sequences than fit in memory at once.

    Holds two [pattern, pattern] matrices, however many sequences it has seen; sequences of one
    update share a length, those of another may have another one.

    >>> patterns = torch.rand(3, 2, 8, 4, 5, 5).softmax(-1)
    >>> seen = AttentionDistances()
    >>> for batch in patterns.split(2, dim=2):
    ...     _ = seen.update(batch)
    >>> torch.allclose(seen.distance(), attention_distance(patterns))
    True
    """

    def __init__(self):
        self._distance = self._cosine = None  # sums over sequences of means over heads
        self._sequences = 0

    def update(self, attention: Tensor) -> "AttentionDistances":
        """Add the patterns [..., batch, head, token, token] of some sequences; returns itself."""
        check_patterns(attention, 5, "[loop, layer, batch, head, token, token]")
        patterns = attention.flatten(0, -5)  # [pattern, batch, head, token, token]
        if self._distance is None:
            self._distance = attention.new_zeros(2 * [len(patterns)], dtype=torch.float64)
            self._cosine = torch.zeros_like(self._distance)
        if len(patterns) != len(self._distance):
            raise ValueError(
                f"these sequences have {len(patterns)} patterns each, the ones before had "
                f"{len(self._distance)}: trace all of them with the same model and loops"
            )
        for sequence in patterns.unbind(1):
            # [pattern, head, token, token] -> [head, pattern, token, token]
            distance, cosine = _compare(sequence.transpose(0, 1))
            self._distance += distance.mean(0)
            self._cosine += cosine.mean(0)
            self._sequences += 1
        return self

    def distance(self) -> Tensor:
        """Mean Frobenius distance [pattern, pattern]."""
        return self._mean(self._distance)

    def cosine(self) -> Tensor:
        """Mean cosine [pattern, pattern]."""
        return self._mean(self._cosine)

    def _mean(self, total: Tensor | None) -> Tensor:
        if not self._sequences:
            raise ValueError("no patterns yet: call update(attention) first")
        return total / self._sequences


def diagonal_contrast(distances: Tensor, layers: int) -> Tensor:
    """How much closer a layer's patterns are to its own at other loops than to other layers'.

    `distances` [pattern, pattern] of the core alone, `layers` of them in each loop -> [layer]:
    mean distance to the same layer at other loops over mean distance to other layers. Near 0 the
    distance matrix is striped with diagonals, at 1 a layer is no more like itself than like the
    others. Raises ValueError unless there are two loops and two layers or more.

    Source: puts a number on the diagonals of arXiv 2604.11791, figure 2 (claim C5).

    >>> depth = torch.arange(6) % 2  # two layers, three loops, patterns that depend on the layer
    >>> diagonal_contrast((depth[:, None] != depth).double(), layers=2)
    tensor([0., 0.], dtype=torch.float64)
    """
    loops, rest = divmod(len(distances), layers)
    if distances.shape != 2 * (len(distances),) or rest or loops < 2 or layers < 2:
        raise ValueError(
            f"distances have shape {tuple(distances.shape)} with layers={layers}: expected "
            "[pattern, pattern] with two loops or more of two layers or more, the core's only"
        )
    distances = precise(distances)
    # [pattern, pattern] -> [loop, layer, loop, layer] -> sums over loops [layer, layer]
    sums = distances.unflatten(1, (loops, layers)).unflatten(0, (loops, layers)).sum((0, 2))
    same = sums.diagonal() / (loops * (loops - 1))  # a pattern's zero distance to itself is out
    other = (sums.sum(1) - sums.diagonal()) / (loops * loops * (layers - 1))
    return same / other


def _compare(patterns: Tensor) -> tuple[Tensor, Tensor]:
    """Distance and cosine of every two patterns: two times [head, pattern, pattern].

    `patterns` [head, pattern, token, token]. |a - b|² = |a|² + |b|² - 2 ab costs one matrix product
    for all pairs, but subtracts large numbers that are nearly equal: in float32 the small distances
    of a settling run come out wrong or 0. Counting from the last pattern makes the numbers small
    where a run converges; on an orbit, or between the layers of a cycle, they stay large, so the
    sums are in float64 as well.
    """
    heads, count, token, _ = patterns.shape
    gram = patterns.new_zeros(heads, 1 + count, 1 + count, dtype=torch.float64)
    # A causal query sees no later key: columns that are zero for a block of queries are left out.
    seen = patterns.amax((0, 1)) != 0  # [token, token]
    order = torch.arange(1, token + 1, device=patterns.device)
    queries = max(1, _BLOCK // (heads * count * token))
    for first in range(0, token, queries):
        block = slice(first, first + queries)
        keys = int((seen[block].any(0) * order).max())
        entries = patterns[:, :, block, :keys].flatten(2).double()
        last = entries[:, -1:]
        entries = torch.cat((last, entries - last), dim=1)  # [head, 1 + pattern, entry]
        gram += entries @ entries.mT
    gram = (gram + gram.mT) / 2  # BLAS does not promise symmetry to the last bit
    moved = gram[:, 1:, 1:]
    square = moved.diagonal(dim1=-2, dim2=-1)[..., None]
    distance = (square + square.mT - 2 * moved).clamp_min(0).sqrt()
    along = gram[:, 1:, :1]
    inner = moved + along + along.mT + gram[:, :1, :1]  # of the patterns themselves
    size = inner.diagonal(dim1=-2, dim2=-1)[..., None].sqrt()
    return distance, (inner / (size * size.mT)).clamp(-1, 1)
