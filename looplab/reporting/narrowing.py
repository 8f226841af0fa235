"""How low a precision before the loop stops settling?"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from looplab.measure import Ending
from looplab.measure.shapes import precise
from looplab.reporting.protocol import Protocol
from looplab.reporting.running import Run, follow
from looplab.reporting.subject import Case, Subject

PRECISIONS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)  # finest first


@dataclass(frozen=True)
class Narrowed:
    """The loop computed in one precision. Numbers are None where it could not be."""

    precision: str
    how: str  # "everything", "the state alone", or why it could not be run
    rests: float | None = None  # share of tokens at rest, within this precision's own rounding
    rounding: float | None = None  # of one pass, median, in units of the state
    moves: float | None = None  # median over tokens: furthest from the last quarter's mean
    worst: float | None = None  # the largest of these
    away: float | None = None  # median distance from where the finest precision ends
    farthest: float | None = None  # the largest
    same: float | None = None  # share of tokens that answer as in the finest precision
    loss: float | None = None  # mean, over tokens with a target


def narrow(subject: Subject, protocol: Protocol) -> list[Narrowed]:
    """The loop in every precision, each beside the finest that could be run."""
    found: list[Narrowed] = []
    finest: tuple[Run, Tensor | None] | None = None
    for dtype in PRECISIONS:
        name = str(dtype).removeprefix("torch.")
        try:
            with _cast(subject, dtype, protocol) as (case, how):
                run = follow(case, protocol.loops, protocol.patience)
                answers, loss = _answers(case, run)
        except (RuntimeError, ValueError) as error:  # a kernel or a step that takes no such numbers
            found.append(Narrowed(name, f"could not be run: {str(error).splitlines()[0]}"))
            continue
        if finest is None:
            finest = (run, answers)
        found.append(_row(name, how, run, answers, loss, *finest))
    return found


@contextmanager
def _cast(subject: Subject, dtype: torch.dtype, protocol: Protocol) -> Iterator[tuple[Case, str]]:
    """Some inputs in this precision: everything where it can be, else the state between passes."""
    trouble: Exception | None = None
    with subject.inside(dtype) as inside:
        case = inside.some(protocol.rounded, protocol.tokens)
        try:
            with torch.no_grad():
                end = case.step(case.start, 0)
            if end.dtype != dtype:
                trouble = ValueError(f"the step returns {end.dtype}, whatever it is given")
        except (RuntimeError, ValueError) as error:
            trouble = error
        if trouble is None:
            yield case, "everything"
            return
    if dtype == torch.float64:
        raise trouble
    case = subject.some(protocol.rounded, protocol.tokens)
    plain = case.start.dtype

    def step(z: Tensor, loop: int) -> Tensor:
        return case.step(z.to(plain), loop).to(dtype)

    readout = case.readout and (lambda z: case.readout(z.to(plain)))
    yield case._replace(start=case.start.to(dtype), step=step, readout=readout), "the state alone"


@torch.no_grad()
def _answers(case: Case, run: Run) -> tuple[Tensor | None, float | None]:
    if case.readout is None or not run.end.isfinite().all():
        return None, None
    answer = precise(case.readout(run.end.to(case.start.dtype)))
    loss = case.loss(answer)
    mean = None if loss is None else loss.nanmean().item()
    return (answer.argmax(-1) if case.sorts and answer.shape[-1] > 1 else None), mean


def _row(
    name: str,
    how: str,
    run: Run,
    answers: Tensor | None,
    loss: float | None,
    finest: Run,
    known: Tensor | None,
) -> Narrowed:
    away = (run.end.double() - finest.end.double()).norm(dim=-1) / finest.unit.double()
    spread = run.found.spread.double()
    whole = bool(run.end.isfinite().all())
    return Narrowed(
        name,
        how,
        (run.found.ending == Ending.REST).double().mean().item(),
        run.noise.double().median().item(),
        spread.median().item() if whole else None,
        spread.max().item() if whole else None,
        away.median().item() if whole else None,
        away.max().item() if whole else None,
        None if answers is None or known is None else (answers == known).double().mean().item(),
        loss,
    )
