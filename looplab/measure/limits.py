"""Where does a token's state go in the end: to a fixed point, around an orbit, or away for good?

Both tests take states [loop, ..., width] and label everything in between at once, so one call
serves every token of every layer; both return a `LimitTest`. They are heuristics on a run that
ends: a label says what the last loops look like at a given tolerance, and rates depend on the
thresholds.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor

from looplab.measure.convergence import cosine_to_limit, step_size
from looplab.measure.shapes import check_states, precise

__all__ = [
    "Limit",
    "LimitTest",
    "limit_by_cosine",
    "limit_by_period",
    "limit_of_cosines",
    "limit_shares",
]


class Limit(IntEnum):
    """The labels that both tests put into their tensors of whole numbers."""

    UNKNOWN = 0
    FIXED_POINT = 1
    ORBIT = 2
    SLIDER = 3


# Ratio of largest steps, fourth quarter of a run over third. Steps like 1/t, which add up without
# end, give 2/3; steps like 1/t², which do not, give 4/9; this is halfway.
LASTING = 0.55
LEAST_LOOPS = 16  # of a run that is given a label
_WANTED = f"{LEAST_LOOPS} loops or more; 128 is what the thresholds were chosen for"
STRAIGHT = 0.5  # net way over length of path; half a circle has 0.64, a random walk of 64 steps 0.1


@dataclass(frozen=True, eq=False)
class LimitTest:
    """What a test found, each [...]; `limit, period = test`, and test[some] is that of some tokens.

    >>> found = limit_by_period(torch.ones(16, 3, 8))
    >>> found[:2], found[0].item()
    (LimitTest(limit=tensor([1, 1]), period=tensor([1, 1])), 1)
    """

    limit: Tensor  # a value of Limit
    # Loops until the state is back, 1 at a fixed point; 0 where the test does not know: for a
    # slider, for unknown, and always by cosine
    period: Tensor

    def __iter__(self) -> Iterator[Tensor]:
        return iter((self.limit, self.period))

    def __getitem__(self, index) -> "LimitTest":
        return LimitTest(self.limit[index], self.period[index])

    def item(self) -> int:
        """The label of the only one."""
        return self.limit.item()


def limit_by_cosine(states: Tensor, tolerance: float = 0.05, share: float = 0.9) -> LimitTest:
    """Label each limit by the cosine of every state to the last one: [loop, ..., width] -> [...].

    The thresholds are the paper's and meant for 128 loops; its pseudo-code is not public, so the
    rules are a reconstruction. In the second half of the run, a state is near when its cosine is
    above 1 - tolerance:

        orbit        left the neighbourhood of the last state twice or more
        fixed point  never left, and near for at least `share` of the loops
        slider       never left, near for less than `share` of the loops, and the cosine rises in
                     at least `share` of the steps
        unknown      anything else, NaN included

    "Fixed point" so means "stays within the tolerance", and the period is 0, not known, even there:
    an orbit of any period whose points are within the tolerance of each other gets that label (an
    angle of 18 degrees at 0.05), and so does a slider that moves slowly or straight away from the
    origin, because the last state is its own neighbour and only directions count. Whether a state
    rests is asked of `limit_by_period`. Raises ValueError for fewer than 16 loops.

    Source: after Algorithm 1 of arXiv 2604.11791, appendix C (claim C9).

    >>> loop = torch.arange(128.0)[:, None]
    >>> limit_by_cosine(torch.cat((torch.ones(128, 1), 0.8**loop), dim=1))
    LimitTest(limit=tensor(1), period=tensor(0))
    """
    _check(states)
    return limit_of_cosines(cosine_to_limit(states), tolerance, share)


def limit_of_cosines(cosine: Tensor, tolerance: float = 0.05, share: float = 0.9) -> LimitTest:
    """What `limit_by_cosine` says, from the cosines to the last state: [loop, ...] -> [...].

    For a run whose states are not kept (`streaming.stream` gives its cosines). Raises ValueError
    for fewer than 16 loops.

    >>> limit_of_cosines(torch.ones(128))
    LimitTest(limit=tensor(1), period=tensor(0))
    """
    if len(cosine) < LEAST_LOOPS:
        raise ValueError(
            f"cosines have shape {tuple(cosine.shape)}: expected [loop, ...], {_WANTED}"
        )
    cosine = precise(cosine)[len(cosine) // 2 :]
    near = cosine > 1 - tolerance
    departures = (near[:-1] & ~near[1:]).sum(0)
    near_share = near.double().mean(0)
    rising = (cosine[1:] > cosine[:-1]).double().mean(0)
    stayed = departures == 0
    settled = near_share >= share
    slides = stayed & ~settled & (rising >= share)
    limit = _label(stayed & settled, departures >= 2, slides)
    return LimitTest(limit, torch.zeros_like(limit))


def limit_by_period(states: Tensor, tolerance: float = 0.01) -> LimitTest:
    """Label each limit by comparing states a lag of k loops apart: [loop, ..., width] -> [...].

    No single state serves as reference. The lags are 1 to a quarter of the run, each compared at
    every loop of the last quarter, lengths relative to the state's mean length over that quarter:

        fixed point  the last quarter lies within `tolerance` of its mean
        orbit        some shorter lag takes the state further than `tolerance` away and lag k, the
                     period, brings it back every time, and the steps last
        slider       the steps last and add up: the second half of the run is nearly straight
        unknown      anything else: noise, a path still settling, a turn that never closes, NaN

    Steps last when they shrink no faster than 1/t (LASTING). A fixed point approached by less than
    about 1 % a loop cannot be told from a slider in 128 loops. Lengths count: a stream whose norm
    keeps growing slides even where its direction rests; normalise the states first to ask about
    directions. Raises ValueError for fewer than 16 loops.

    Source: a companion to Algorithm 1 of arXiv 2604.11791, appendix C (claim C9); ours.

    >>> turn = torch.arange(64) * (2 * torch.pi / 5)
    >>> limit_by_period(torch.stack((turn.cos(), turn.sin()), dim=-1))
    LimitTest(limit=tensor(2), period=tensor(5))
    """
    _check(states)
    quarter = len(states) // 4
    half = precise(states[-2 * quarter :].detach())
    end = half[quarter:]
    scale = end.norm(dim=-1).mean(0).clamp_min(torch.finfo(half.dtype).tiny)
    spread = (end - end.mean(0)).norm(dim=-1).amax(0) / scale

    # away[k - 1]: the furthest that k loops took a state which arrives in the last quarter. One
    # buffer for the differences: short-lived ones between kept rows would fragment the heap.
    away = end.new_empty(quarter, *end.shape[1:-1])
    way = torch.empty_like(end)
    for lag, furthest in enumerate(away, 1):
        torch.sub(end, half[quarter - lag : -lag], out=way)
        torch.div(way.norm(dim=-1).amax(0), scale, out=furthest)
    beyond = torch.full_like(away[:1], torch.inf)
    left = torch.cat((away[:1] * 0, away.cummax(0).values[:-1])) > tolerance
    # Of neighbouring lags that all bring the state back, the period is the one that does it best.
    back = left & (away <= tolerance) & (away <= torch.cat((away[1:], beyond)))
    period = back.int().argmax(0) + 1  # the first lag that is back, if any is

    steps = step_size(half)
    lasting = steps[quarter:].amax(0) >= LASTING * steps[:quarter].amax(0)
    straight = (half[-1] - half[0]).norm(dim=-1) >= STRAIGHT * steps.sum(0)

    limit = _label(spread <= tolerance, back.any(0) & lasting, straight & lasting)
    period = torch.where(limit == Limit.ORBIT, period, (limit == Limit.FIXED_POINT).long())
    return LimitTest(limit, period)


def limit_shares(limit: Tensor | LimitTest) -> dict[str, float]:
    """Share of each label among all tokens of `limit`, labels of any shape or what a test found.

    >>> limit_shares(torch.tensor([1, 1, 1, 2]))
    {'unknown': 0.0, 'fixed point': 0.75, 'orbit': 0.25, 'slider': 0.0}
    """
    limit = limit.limit if isinstance(limit, LimitTest) else limit
    shares = limit.flatten().bincount(minlength=len(Limit)).double() / limit.numel()
    return {kind.name.lower().replace("_", " "): shares[kind].item() for kind in Limit}


def _label(fixed: Tensor, orbit: Tensor, slider: Tensor) -> Tensor:
    """One label each from three tests; the earlier test wins."""
    label = torch.full_like(fixed, Limit.UNKNOWN, dtype=torch.long)
    label = torch.where(slider, Limit.SLIDER, label)
    label = torch.where(orbit, Limit.ORBIT, label)
    return torch.where(fixed, Limit.FIXED_POINT, label)


def _check(states: Tensor):
    check_states(states, LEAST_LOOPS, _WANTED)
