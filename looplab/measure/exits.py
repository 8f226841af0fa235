"""When could a loop have stopped? Signals that shrink as a token settles, rules, and the oracle.

Loops count from 1. A signal has a value for every loop, [loop, ...]; where nothing can be said yet
(a first loop has no step) it is infinite, so that no rule stops there. States [loop, ..., width]
and logits [loop, ..., class] are those of the loops' ends.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from looplab.measure.convergence import relative_step
from looplab.measure.lasting import lasting_from
from looplab.measure.shapes import precise

__all__ = [
    "ExitCost",
    "acceleration_signal",
    "answer_age",
    "answer_signal",
    "at_exit",
    "exit_cost",
    "first_exit",
    "step_signal",
]


def step_signal(states: Tensor) -> Tensor:
    """Length of the last step relative to the state: [loop, ..., width] -> [loop, ...].

    >>> step_signal(torch.tensor([[1.0], [2.0], [2.0]]))
    tensor([   inf, 0.5000, 0.0000])
    """
    return _from_loop(2, relative_step(states))


def acceleration_signal(states: Tensor) -> Tensor:
    """Length of the difference of the last two steps, relative to the state.

    Small for a straight walk too: it asks whether the steps have stopped changing, not the state.
    Source: the second-order exit of arXiv 2509.23314, there without the division.

    >>> acceleration_signal(torch.tensor([[1.0], [2.0], [4.0], [6.0]]))
    tensor([   inf,    inf, 0.2500, 0.0000])
    """
    states = precise(states)
    steps = states[1:] - states[:-1]
    length = states[2:].norm(dim=-1).clamp_min(torch.finfo(states.dtype).tiny)
    return _from_loop(3, (steps[1:] - steps[:-1]).norm(dim=-1) / length)


def answer_signal(logits: Tensor) -> Tensor:
    """KL divergence between successive answers, in nats: [loop, ..., class] -> [loop, ...].

    sum p_before (log p_before - log p_now). Source: Huginn's exit, arXiv 2502.05171.

    >>> answer_signal(torch.zeros(3, 5))
    tensor([inf, 0., 0.])
    """
    logs = logits.double().log_softmax(-1)
    moved = (logs[:-1].exp() * (logs[:-1] - logs[1:])).sum(-1).clamp_min(0)
    return _from_loop(2, moved.to(precise(logits).dtype))


def answer_age(answers: Tensor) -> Tensor:
    """For how many loops, this one included, the answer has been what it is: [loop, ...].

    >>> answer_age(torch.tensor([7, 7, 3, 3, 3]))
    tensor([1, 2, 1, 2, 3])
    """
    age = torch.ones_like(answers)
    for loop in range(1, len(answers)):
        age[loop] = torch.where(answers[loop] == answers[loop - 1], age[loop - 1] + 1, 1)
    return age


def first_exit(quiet: Tensor, patience: int = 1) -> Tensor:
    """First loop at which `quiet` has held for `patience` loops in a row: [loop, ...] -> [...].

    `quiet` is a signal below its threshold. A token that never falls quiet leaves at the last loop.

    >>> first_exit(torch.tensor([False, True, False, True, True]), patience=2)
    tensor(5)
    """
    if patience < 1:
        raise ValueError(f"patience={patience}: expected at least 1")
    held = torch.zeros_like(quiet[0], dtype=torch.long)
    left = torch.full_like(held, len(quiet))
    for loop in range(len(quiet), 0, -1):
        window = quiet[max(loop - patience, 0) : loop]
        held = window.all(0) & (len(window) == patience)
        left = torch.where(held, loop, left)
    return left


def at_exit(values: Tensor, exits: Tensor) -> Tensor:
    """What each token had when it left: values [loop, ...] at loops `exits` [...] -> [...].

    >>> at_exit(torch.tensor([[1, 2], [3, 4]]), torch.tensor([1, 2]))
    tensor([1, 4])
    """
    return values.gather(0, exits[None] - 1)[0]


class ExitCost(NamedTuple):
    """What a rule costs beside the oracle."""

    loops: float  # mean loops spent
    spare: float  # mean loops spent beyond the oracle's, where the oracle has an exit
    right: float  # share of right answers at the rule's exits
    lost: float  # share of tokens that the oracle gets right and the rule does not


def exit_cost(exits: Tensor, right: Tensor) -> ExitCost:
    """Compare exits [...] with the oracle of right [loop, ...] (`lasting_from`).

    >>> exit_cost(torch.tensor([2, 4]), torch.tensor([[0, 1], [1, 1], [1, 1], [1, 1]]).bool())
    ExitCost(loops=3.0, spare=1.5, right=1.0, lost=0.0)
    """
    best = lasting_from(right)
    known = best > 0
    kept = at_exit(right, exits)
    spare = (exits - best)[known].double().mean().item() if known.any() else float("nan")
    return ExitCost(
        exits.double().mean().item(),
        spare,
        kept.double().mean().item(),
        (known & ~kept).double().mean().item(),
    )


def _from_loop(first: int, values: Tensor) -> Tensor:
    """Put infinity in front, so that row 0 is loop 1."""
    return F.pad(values, (0, 0) * (values.dim() - 1) + (first - 1, 0), value=torch.inf)
