"""What a report is about: a loop on a set of inputs, whatever it is made of."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from looplab.model import LoopedTransformer

NO_TARGET = -100  # as cross-entropy ignores


class Case(NamedTuple):
    """Some inputs, run side by side. Whoever makes one has checked it with `check`."""

    start: Tensor  # state at loop 0 [item, token, width]
    step: Callable[[Tensor, int], Tensor]  # a state and the loop, from 0 -> the next state
    readout: Callable[[Tensor], Tensor] | None  # state -> [item, token, class]
    targets: Tensor | None  # classes [item, token] or numbers [item, token, class]
    difficulty: Tensor | None  # [item, token], below 0 where there is none
    numbers: tuple[int, ...]  # of these inputs among all, from 0
    tokens: Tensor | None = None  # of a model of looplab's [item, token] or [item, token, field]

    @property
    def sorts(self) -> bool:
        """Whether the readout is one of classes: whole targets, or none and two entries or more."""
        return self.targets is None or not self.targets.is_floating_point()

    def loss(self, answer: Tensor) -> Tensor | None:
        """Loss of each token, NaN where it has no target: [item, token, class] -> [item, token].

        Cross-entropy in nats for classes, mean squared error for numbers; None without targets.
        """
        if self.targets is None:
            return None
        if not self.sorts:
            return (answer.double() - self.targets.double()).square().mean(-1)
        said = answer[:, : self.targets.shape[1]].flatten(0, 1).double()
        each = F.cross_entropy(said, self.targets.flatten(), reduction="none")
        none = self.targets == NO_TARGET
        each = each.view(self.targets.shape).masked_fill(none, torch.nan)
        short = answer.shape[1] - each.shape[1]  # a text's last token has no next one
        return F.pad(each, (0, short), value=torch.nan)


@dataclass(frozen=True, eq=False)
class Subject:
    """A loop and its inputs."""

    name: str
    what: str  # the loop, in words
    inputs: str  # in words
    count: int  # inputs
    trained: int | None  # loops that it is usually run for, where that is known
    cases: Callable[[], Iterator[Case]]  # all inputs
    some: Callable[[int, int | None], Case]  # the first n inputs that fit together, cut to tokens
    one: Callable[[int, int | None], Case]  # input n, from 0, cut to so many tokens
    # This loop computed in another dtype while the block runs; ValueError where it cannot be
    inside: Callable[[torch.dtype], AbstractContextManager["Subject"]]
    model: LoopedTransformer | None = None  # where it is one
    note: str | None = None  # what has to be said of it beforehand
    notation: str | None = None
    parameters: int | None = None
    weights: str | None = None  # fingerprint of a model, or of the file


def check(case: Case, where: str) -> Case:
    """The case, if its start, step and readout fit together; ValueError naming what does not."""
    start = case.start
    if not isinstance(start, Tensor) or not start.is_floating_point() or start.dim() != 3:
        raise ValueError(
            f"{where}: the start is {told(start)}: expected floats [batch, token, width], or "
            "[batch, width] where there are no tokens"
        )
    if not start.numel():
        raise ValueError(f"{where}: the start has shape {tuple(start.shape)}: nothing to run on")
    if not start.isfinite().all():
        raise ValueError(f"{where}: the start holds {_strange(start)}: expected finite numbers")
    with torch.no_grad():
        end = case.step(start, 0)
        if not isinstance(end, Tensor) or end.shape != start.shape:
            raise ValueError(
                f"{where}: a step makes {told(end)} of a state {tuple(start.shape)}: it must "
                "return the next state, of the same shape"
            )
        if not end.isfinite().all():
            raise ValueError(
                f"{where}: the first step gives {_strange(end)}: there is no loop to report on"
            )
        if not torch.equal(end, case.step(start, 0)):
            raise ValueError(
                f"{where}: the same state steps to two different ones: switch off what draws "
                "numbers in it (dropout: model.eval()), or seed it in every step"
            )
        if case.readout is not None:
            _check_readout(case, end, where)
    return case


def _check_readout(case: Case, state: Tensor, where: str) -> None:
    answer, shape = case.readout(state), tuple(state.shape[:2])
    if not isinstance(answer, Tensor) or tuple(answer.shape[:2]) != shape or answer.dim() != 3:
        raise ValueError(
            f"{where}: the readout makes {told(answer)} of a state {tuple(state.shape)}: expected "
            f"[batch, token, class] = {(*shape, '...')}, or None in its place"
        )
    if not answer.isfinite().all():
        raise ValueError(f"{where}: the readout of loop 1 gives {_strange(answer)}")
    targets = case.targets
    if targets is None:
        return
    if case.sorts:
        classes = answer.shape[-1]
        known = targets[targets != NO_TARGET]
        if targets.dim() != 2 or targets.shape[0] != shape[0] or targets.shape[1] > shape[1]:
            raise ValueError(
                f"{where}: targets have shape {tuple(targets.shape)}: expected [batch, token] = "
                f"{shape}"
            )
        if known.numel() and not (int(known.min()) >= 0 and int(known.max()) < classes):
            wrong = int(known.min()) if int(known.min()) < 0 else int(known.max())
            raise ValueError(
                f"{where}: target {wrong}: the readout has classes 0 to {classes - 1}, and "
                f"{NO_TARGET} says that a token has no target"
            )
    elif targets.shape != answer.shape:
        raise ValueError(
            f"{where}: targets are {told(targets)}: expected the readout's shape "
            f"{tuple(answer.shape)}, or whole numbers [batch, token]"
        )


def told(value: object) -> str:
    """What a value is, for an error."""
    if isinstance(value, Tensor):
        return f"a tensor {tuple(value.shape)} of {value.dtype}"
    return f"a {type(value).__name__}" if value is not None else "None"


def _strange(values: Tensor) -> str:
    return "NaN" if values.isnan().any() else "an infinite number"
