"""From how many starts does the loop reach the same end?"""

from dataclasses import dataclass

import torch

from looplab.measure import Ending
from looplab.measure.stability import sort_ends
from looplab.reporting.protocol import Protocol
from looplab.reporting.running import follow
from looplab.reporting.subject import Subject

VANISHED = 1e-3  # of its longest, below which a state's length is no scale for others
SAME = 1e-3  # of the state's length, within which two ends are one


@dataclass(frozen=True)
class Starts:
    """What became of every start, on a few inputs."""

    inputs: int
    starts: int  # for each input, the loop's own among them
    rested: float  # share of all runs that came to rest, every token of the input
    one_end: int  # inputs all of whose starts rest at one end
    most_ends: int  # ends that were found for one input, at most
    largest: float | None  # share of the resting runs at their input's commonest end, mean
    apart: float | None  # largest distance between two ends that count as one, relative
    agree: float | None  # share of tokens whose last answer is the same from every start


@torch.no_grad()
def from_many_starts(subject: Subject, protocol: Protocol) -> Starts:
    """Run some inputs from the loop's own start and from random ones as long as its last state.

    Where that vanishes or is no number they are as long as the longest, or as the start.
    """
    case = subject.some(protocol.started, protocol.tokens)
    own = follow(case, protocol.loops, protocol.patience)
    draw = torch.Generator().manual_seed(protocol.seed)
    length, longest = own.end.norm(dim=-1), own.states.norm(dim=-1).amax(0)
    length = torch.where(length > VANISHED * longest, length, longest)
    length = torch.where(length.isfinite(), length, case.start.norm(dim=-1).to(length))
    size = length[..., None] / case.start.shape[-1] ** 0.5
    runs = [own]
    for _ in range(protocol.starts):
        luck = torch.randn(case.start.shape, generator=draw).to(own.end)
        runs.append(follow(case, protocol.loops, protocol.patience, luck * size))
    rests = torch.stack(
        [(run.found.ending == Ending.REST).all(-1) for run in runs]
    )  # [start, item]
    ends = torch.stack([run.end for run in runs])  # [start, item, token, width]
    found = [
        sort_ends(ends[:, n].nan_to_num(0, 0, 0), rests[:, n], SAME, own.unit[n].norm())
        for n in range(ends.shape[1])
    ]
    known = [(one, rest) for one, rest in zip(found, rests.T, strict=True) if rest.any()]
    one_end = sum(len(one.share) == 1 and bool(rest.all()) for one, rest in known)
    agree = None
    if case.readout is not None and case.sorts and bool(ends.isfinite().all()):
        said = torch.stack([case.readout(run.end.to(case.start.dtype)).argmax(-1) for run in runs])
        agree = (said == said[0]).all(0).double().mean().item()
    return Starts(
        ends.shape[1],
        len(runs),
        rests.double().mean().item(),
        one_end,
        max((len(one.share) for one, _ in known), default=0),
        sum((one.share[0] * len(rest) / rest.sum()).item() for one, rest in known) / len(known)
        if known
        else None,
        max((2 * one.spread.max().item() for one, _ in known), default=None),
        agree,
    )
