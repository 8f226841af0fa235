"""Do many starts end at one fixed point, at several, or at none?"""

from typing import NamedTuple

import torch
from torch import Tensor

from looplab.measure.shapes import precise
from looplab.measure.stability.jacobian import Map, precisely


class Basins(NamedTuple):
    """Where many starts went. Basins are ordered by size, the largest first."""

    share: Tensor  # of all starts that reached each fixed point [basin]
    points: Tensor  # mean end of each basin's starts [basin, ...]
    spread: Tensor  # largest distance of such an end to that mean, relative [basin]
    basin: Tensor  # of each start; -1 where it was still moving [start]
    ends: Tensor  # [start, ...]


@torch.no_grad()
def basins(step: Map, starts: Tensor, loops: int, tolerance: float = 1e-3) -> Basins:
    """Run `step` on all `starts` [start, ...] at once and sort them by the fixed point they reach.

    Lengths are relative to the mean length of the ends. A start has arrived when its last step is
    shorter than a tenth of `tolerance`; two that arrived are in one basin when their ends are
    within `tolerance`. `share[0]` is 1 for a path-independent map, and no basin at all is left
    when nothing came to rest. A slow approach looks like a point of its own: more loops merge it.
    Raises ValueError for fewer than two starts or no loop.

    Source: path independence, Anil et al. 2022, arXiv 2211.09961; restarts, arXiv 2605.21488.

    >>> to_a_sign = lambda z: (z + z.sign()) / 2
    >>> found = basins(to_a_sign, torch.tensor([[0.5], [2.0], [-3.0], [0.1]]), loops=30)
    >>> found.share, found.basin
    (tensor([0.7500, 0.2500]), tensor([0, 0, 1, 0]))
    """
    if starts.dim() < 1 or len(starts) < 2:
        raise ValueError(
            f"starts have shape {tuple(starts.shape)}: expected [start, ...], 2 or more"
        )
    if loops < 1:
        raise ValueError(f"loops={loops}: expected at least 1")
    step, starts = precisely(step, starts)
    before = ends = starts
    for _ in range(loops):
        before, ends = ends, step(ends)
    flat = ends.reshape(len(ends), -1)
    unit = flat.norm(dim=1).mean().clamp_min(torch.finfo(flat.dtype).tiny)
    arrived = (flat - before.reshape(flat.shape)).norm(dim=1) < tolerance / 10 * unit
    return sort_ends(ends, arrived, tolerance)


def sort_ends(
    ends: Tensor, arrived: Tensor, tolerance: float = 1e-3, unit: Tensor | None = None
) -> Basins:
    """Sort `ends` [start, ...] of runs by where they are, as `basins` does.

    `arrived` [start] says which of them came to rest; the unit of length is the ends' mean length,
    or `unit`, a number, where they may vanish.

    >>> sort_ends(torch.tensor([[1.0], [1.0], [-1.0]]), torch.tensor([True, False, True])).basin
    tensor([ 0, -1,  1])
    """
    ends = precise(ends)
    flat = ends.reshape(len(ends), -1)
    unit = flat.norm(dim=1).mean() if unit is None else unit.to(flat)
    unit = unit.clamp_min(torch.finfo(flat.dtype).tiny)

    label = torch.full((len(ends),), -1, dtype=torch.long, device=ends.device)
    found = 0
    for start in arrived.nonzero().flatten().tolist():
        if label[start] >= 0:
            continue
        near = (flat - flat[start]).norm(dim=1) <= tolerance * unit
        label[near & arrived & (label < 0)] = found
        found += 1

    count = label[label >= 0].bincount(minlength=found)
    order = count.argsort(descending=True, stable=True)
    place = torch.empty_like(order)
    place[order] = torch.arange(found, device=ends.device)
    label = torch.where(label >= 0, place[label], -1) if found else label
    points = flat.new_empty(found, flat.shape[1])
    spread = flat.new_empty(found)
    for k in range(found):
        inside = flat[label == k]
        points[k] = inside.mean(0)
        spread[k] = (inside - points[k]).norm(dim=1).amax() / unit
    share = count[order].to(flat.dtype) / len(ends)
    return Basins(share, points.view(found, *ends.shape[1:]), spread, label, ends)
