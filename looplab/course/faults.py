"""Break a looped model on purpose, and take its vital signs: what the diagnosis game is made of.

A fault is done through the model's own tap or step, so that the weights stay as they are. The signs
are three numbers per loop, enough to tell the faults apart by eye.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from looplab.measure import relative_step
from looplab.model import LoopedTransformer

FAULTS = {
    "healthy": "nothing is broken",
    "no input": "the input is injected at the first loop and never again",
    "no norms": "the norms inside the layers are gone: branches pile up on the stream",
    "gain": "the MLPs write with the wrong sign, six times too loudly",
    "reset": "every eighth loop the state is thrown away and the start state put back",
    "not looped": "every loop begins at the start state again: nothing is carried on",
}
GAIN, EVERY = -6.0, 8


class Signs(NamedTuple):
    """One run in three curves, means over its tokens."""

    step: Tensor  # length of the step into loops 2, 3, ..., relative to the state [loop - 1]
    length: Tensor  # length of the state [loop]
    apart: Tensor  # distance between two tokens' states, relative to their length [loop]


@torch.no_grad()
def faulty_run(
    model: LoopedTransformer, tokens: Tensor, fault: str, loops: int = 48, seed: int = 0
) -> Tensor:
    """States at the loops' ends [loop, batch, token, width] of a run with one of FAULTS.

    `seed` draws the start state. "no norms" removes the norms of the model's layers, not one at the
    end of the loop. Raises ValueError for another fault.
    """
    if fault not in FAULTS:
        raise ValueError(f"fault={fault!r}: expected one of {', '.join(FAULTS)}")
    ready = model.prepare(tokens, generator=torch.Generator().manual_seed(seed))
    start = z = ready.start
    ends = []
    for loop in range(loops):
        tap = None
        if fault == "no input" and loop > 0:
            tap = _without_input(z)
        elif fault == "no norms":
            tap = _without_norms()
        elif fault == "gain":
            tap = _louder
        elif fault == "not looped":
            z = start
        z = model.step(z, ready, loop=loop, tap=tap)
        if fault == "reset" and (loop + 1) % EVERY == 0:
            z = start
        ends.append(z)
    return torch.stack(ends)


def vital_signs(states: Tensor) -> Signs:
    """Step, length and distance between tokens of states [loop, batch, token, width].

    >>> vital_signs(torch.ones(3, 1, 2, 4)).length
    tensor([2., 2., 2.])
    """
    size = states.norm(dim=-1)  # [loop, batch, token]
    tokens = states.shape[-2]
    apart = torch.cdist(states, states).sum((-1, -2)) / (tokens * (tokens - 1))  # [loop, batch]
    return Signs(
        relative_step(states).mean((1, 2)),
        size.mean((1, 2)),
        (apart / size.mean(-1)).mean(-1),
    )


def _without_input(z: Tensor):
    return lambda site, value: z if site.name == "core.inject" else None


def _louder(site, value):
    return value * GAIN if site.name == "core.mlp.out" else None


def _without_norms():
    stream = {}

    def tap(site, value):
        if site.name == "core.inject":
            stream["x"] = value
        elif site.name in ("core.attn.out", "core.mlp.out"):
            stream["x"] = stream["x"] + value
        elif site.name in ("core.resid_mid", "core.resid", "core.loop_end"):
            return stream["x"]
        return None

    return tap
