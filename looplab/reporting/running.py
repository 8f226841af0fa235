"""A loop followed until it has come to rest, or until patience ends."""

from dataclasses import dataclass

import torch
from torch import Tensor

from looplab.measure import Ending, Endings, how_it_ends
from looplab.measure.shapes import precise
from looplab.reporting.subject import Case

ROUNDING = 0.3  # of eps: what rounding each entry once does to a state's length


@dataclass(frozen=True, eq=False)
class Run:
    """One case, followed; loops count from 1."""

    states: Tensor  # of the first loops [loop, item, token, width]
    window: Tensor  # of the last as many
    steps: Tensor  # length of every step of the run [loop - 1, item, token]
    loops: int  # that were run
    noise: Tensor  # rounding of a pass, in units of the state [item, token]
    found: Endings  # each [item, token]

    @property
    def end(self) -> Tensor:
        """The last state [item, token, width]."""
        return self.window[-1]

    @property
    def unit(self) -> Tensor:
        """Length of the last state, or a trace of the longest where it vanishes [item, token]."""
        length = self.states.norm(dim=-1).amax(0)
        least = length * torch.finfo(length.dtype).eps ** 0.5
        unit = torch.maximum(self.end.norm(dim=-1).nan_to_num(0, 0, 0), least)
        return unit.clamp_min(torch.finfo(length.dtype).tiny)


@torch.no_grad()
def noise_of(case: Case, state: Tensor, loop: int = 0) -> Tensor:
    """Rounding of a pass at `state`, in units of its length: [item, token, width] -> [item, token].

    How far the next state moves when each entry is rounded anew, or the rounding of the result
    itself, whichever is more: what a state at rest flickers by.
    """
    eps = torch.finfo(state.dtype).eps
    fixed = torch.Generator().manual_seed(0)  # a measurement should not depend on luck
    luck = torch.rand(state.shape, generator=fixed).to(state) - 0.5
    moved = precise(case.step(state * (1 + eps * luck), loop)) - precise(case.step(state, loop))
    length = precise(state).norm(dim=-1)
    unit = torch.maximum(length, length.amax() * eps**0.5).clamp_min(torch.finfo(length.dtype).tiny)
    return (moved.norm(dim=-1) / unit).nan_to_num(0, 0, 0).clamp_min(ROUNDING * eps)


@torch.no_grad()
def follow(case: Case, loops: int, patience: int, start: Tensor | None = None) -> Run:
    """Run `loops` loops, and as many again while a token is undecided, `patience` times at most.

    A token is decided at rest, back on an orbit, or once it is no number any more. The states of
    the first and of the last `loops` are kept, and the length of every step.
    """
    z = case.start if start is None else start.to(case.start)
    first: list[Tensor] = []
    window: list[Tensor] = []
    steps: list[Tensor] = []
    halves: list[Tensor] = []  # the state every loops / 2
    half = loops // 2
    for loop in range(loops * patience):
        z = case.step(z, loop)
        state = precise(z)
        if window:
            steps.append((state - window[-1]).norm(dim=-1))
        window = [*window[-loops + 1 :], state]
        if loop < loops:
            first.append(state)
        if (loop + 1) % half == 0:
            halves.append(state)
        if (loop + 1) % loops:
            continue
        whole = torch.stack(window)
        noise = noise_of(case, z, loop)
        found = how_it_ends(whole, noise, torch.stack(steps), halves[len(halves) // 2 - 1])
        gone = ~state.isfinite().all(-1)
        if ((found.ending == Ending.REST) | (found.ending == Ending.ORBIT) | gone).all():
            break
    return Run(torch.stack(first), whole, torch.stack(steps), loop + 1, noise, found)
