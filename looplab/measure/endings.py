"""How does a loop end: at rest, closing in, around an orbit, drifting, running away?

`limit_by_period` asks whether a token stays within a hundredth of its length; a drift of a
hundred-thousandth a loop stays there for as long as anybody looks. Here rest means rounding: a
state that moves by more than that, however slowly, is said to move.
"""

from enum import IntEnum
from math import sqrt
from typing import NamedTuple

import torch
from torch import Tensor

from looplab.measure.convergence import step_size
from looplab.measure.limits import LASTING, LEAST_LOOPS, STRAIGHT
from looplab.measure.shapes import check_states, precise

__all__ = ["Ending", "Endings", "how_it_ends"]

STILL = 16  # times the noise of one pass, within which a window of states counts as one point
WANDER = 4  # times that noise, by which the mean of a state at rest may wander between quarters
APART = 64  # times that noise, by which an orbit must leave a point before it comes back
GROWING = 1.05  # by which mean steps grow from one quarter of the run to the next
DOUBLED = 2  # times its length halfway: what leaves one place for another grows, but not so much


class Ending(IntEnum):
    """The labels that `how_it_ends` puts into a tensor of whole numbers."""

    UNDECIDED = 0
    REST = 1  # moves by rounding alone
    CLOSING_IN = 2  # moves, and its steps shrink faster than 1/t
    ORBIT = 3  # comes back within rounding
    TURNING = 4  # moves on, goes nowhere and does not come back: a torus, chaos, a slow orbit
    DRIFTING = 5  # moves on in one direction, steps not shrinking or hardly
    RUNNING_AWAY = 6  # its length grows faster and faster, or is no number any more


class Endings(NamedTuple):
    """What `how_it_ends` found, each [...]."""

    ending: Tensor  # a value of Ending
    period: Tensor  # loops until the state is back, 1 at rest, 0 where it is not
    spread: Tensor  # furthest from the last quarter's mean, in units of the state
    shrink: Tensor  # largest step of the run's last quarter / of the quarter before
    straight: Tensor  # net way / length of path over the second half; 0 where nothing moves


def how_it_ends(
    window: Tensor,
    noise: Tensor | float,
    steps: Tensor | None = None,
    middle: Tensor | None = None,
) -> Endings:
    """Label how a run ends: its last states [loop, ..., width] -> [...].

    `noise` is the rounding of one pass in units of the state, a number or [...]: about 3e-8 in
    float32. Of a run longer than the window, `steps` [loop - 1, ...] are the lengths of all its
    steps and `middle` [..., width] the state halfway; a slow approach shows there only. The unit is
    the mean length over the window's last quarter, or, for a state that vanishes, the longest state
    or step times the root of the dtype's rounding. The first that fits:

        running away  not finite; or longer than ever all through the last quarter, twice as long as
                      halfway, with steps that grow by 5 % from the run's third quarter to the last
        rest          the last quarter stays within 16 x noise of its mean, and that mean within
                      4 x noise of the mean of the quarter before: rounding does not add up
        orbit         some lag brings the state back within 16 x noise, every time, and a shorter
                      one took it 64 x noise away
        closing in    steps shrink faster than 1/t (LASTING) from the third quarter to the last
        drifting      the way over the second half is at least half as long as its path
        turning       the steps last, and leave the 16 x noise
        undecided     anything else: so near to rounding that slow approaches look like rest

    An approach slower than about 1 % a loop in 128 loops (0.1 % in 1024) looks like drifting.
    Raises ValueError for fewer than 16 loops.

    Source: ours.

    >>> loop = torch.arange(64.0)[:, None]
    >>> found = how_it_ends(torch.cat((1 + 0.5**loop, 1 + 1e-5 * loop), dim=1)[..., None], 3e-8)
    >>> [Ending(one).name for one in found.ending.tolist()]
    ['REST', 'DRIFTING']
    """
    check_states(window, LEAST_LOOPS, f"{LEAST_LOOPS} loops or more")
    window = precise(window.detach())
    known = window.isfinite().all(0).all(-1)
    window = window.nan_to_num(0, 0, 0)
    quarter = len(window) // 4
    end, length = window[-quarter:], window.norm(dim=-1)
    steps = step_size(window) if steps is None else precise(steps).nan_to_num(0, 0, 0)
    longest = torch.maximum(length.amax(0), steps.amax(0))
    least = longest * sqrt(torch.finfo(window.dtype).eps)
    unit = torch.maximum(length[-quarter:].mean(0), least)
    unit = unit.clamp_min(torch.finfo(window.dtype).tiny)
    noise = torch.as_tensor(noise, dtype=window.dtype, device=window.device)

    spread = (end - end.mean(0)).norm(dim=-1).amax(0) / unit
    shift = (end.mean(0) - window[-2 * quarter : -quarter].mean(0)).norm(dim=-1) / unit
    rest = (spread <= STILL * noise) & (shift <= WANDER * noise)

    period = _period(window, quarter, noise, unit)
    middle = window[len(window) // 2] if middle is None else precise(middle).nan_to_num(0, 0, 0)
    some = len(steps) // 4
    late, before = steps[-some:], steps[-2 * some : -some]
    tiny = torch.finfo(window.dtype).tiny
    shrink = late.amax(0) / before.amax(0).clamp_min(tiny)
    path = torch.cat((before, late)).sum(0)
    straight = (window[-1] - middle).norm(dim=-1) / path.clamp_min(tiny)
    longer = length[-quarter:].amin(0) > length[-2 * quarter : -quarter].amax(0)
    longer = longer & (length[-1] > DOUBLED * middle.norm(dim=-1))
    grows = longer & (late.mean(0) > GROWING * before.mean(0))

    ending = torch.full_like(period, Ending.UNDECIDED)
    for fits, label in (
        ((shrink >= LASTING) & (spread > STILL * noise), Ending.TURNING),
        ((shrink >= LASTING) & (straight >= STRAIGHT), Ending.DRIFTING),
        (shrink < LASTING, Ending.CLOSING_IN),
        (period > 0, Ending.ORBIT),
        (rest, Ending.REST),
        (~known | (grows & ~rest & (period == 0)), Ending.RUNNING_AWAY),
    ):
        ending = torch.where(fits, label, ending)
    period = torch.where(ending == Ending.ORBIT, period, (ending == Ending.REST).long())
    return Endings(ending, period, spread, shrink, straight)


def _period(window: Tensor, quarter: int, noise: Tensor, unit: Tensor) -> Tensor:
    """First lag that always brings the state back after it was away; 0 for none: [...]."""
    end = window[-quarter:]
    away = torch.stack(
        [
            (end - window[len(window) - quarter - lag : len(window) - lag]).norm(dim=-1).amax(0)
            for lag in range(1, quarter + 1)
        ]
    )
    away = away / unit
    gone = torch.cat((away[:1] * 0, away.cummax(0).values[:-1])) > APART * noise
    back = gone & (away <= STILL * noise)
    return torch.where(back.any(0), back.int().argmax(0) + 1, 0)
