"""What all inputs' runs say, token by token and loop by loop."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from looplab.measure import (
    Ending,
    acceleration_signal,
    answer_signal,
    lasting_from,
    step_signal,
)
from looplab.measure.shapes import precise
from looplab.reporting.protocol import Protocol
from looplab.reporting.running import Run, follow
from looplab.reporting.subject import Case, Subject

NEAR = 0.01  # of the state's length: a token this near to its end has settled
SAMPLE = 4  # tokens of each input whose ends are compared with each other


@dataclass(frozen=True, eq=False)
class Collected:
    """Every token of every input; loops count from 1, [token] are all tokens in one row."""

    ending: Tensor  # [token]
    period: Tensor
    spread: Tensor
    noise: Tensor
    shrink: Tensor
    run: Tensor  # loops that were run [token]
    growth: Tensor  # length of the last state / of the first [token]
    settled: Tensor  # first loop from which a token stays within 1 % of its end, 0: not [token]
    steps: Tensor  # relative to the state's length, of every loop from 2 [loop - 1, token]
    distance: Tensor  # from the end, relative [loop, token]
    difficulty: Tensor | None  # [token]
    answered: Tensor | None  # first loop from which the answer is the last one [token]
    right: Tensor | None  # whether the last answer is right [token]; False without a target
    asked: Tensor | None  # whether there is a target [token]
    restless: int  # the input with the most tokens that do not rest, from 0
    path: Tensor  # its last states [loop, token, width]
    ends: Tensor  # of a sample of tokens [input, token, width]
    costs: Tensor | None  # [loop, input, token], NaN without a target
    cost: str | None  # what a cost is: "loss", "squared error", "changed answers"
    signals: dict[str, Tensor]  # [loop, input, token], infinite where there is no token


def collect(subject: Subject, protocol: Protocol) -> Collected:
    """Follow every input, and read out what it says at every loop."""
    parts = []
    for case in subject.cases():
        run = follow(case, protocol.loops, protocol.patience)
        part = _token_by_token(run, case) | _read(run, case, subject)
        parts.append({name: _on_cpu(value) for name, value in part.items()})
    rows = {}
    for name in parts[0]:
        values = [part[name] for part in parts]
        if values[0] is None or isinstance(values[0], str):
            rows[name] = values[0]
        elif name == "signals":
            rows[name] = {
                key: _beside([value[key] for value in values], torch.inf) for key in values[0]
            }
        elif name == "costs":
            rows[name] = _beside(values, torch.nan)
        elif name == "steps":  # runs differ in length; what was not run is not known
            longest = max(len(value) for value in values)
            rows[name] = torch.cat(
                [F.pad(v, (0, 0, 0, longest - len(v)), value=torch.nan) for v in values], 1
            )
        elif name == "path":  # of the input that moves most, like the multipliers' last
            rows[name] = values[_most_restless(parts)]
        elif name == "restless":
            rows[name] = values[_most_restless(parts)][1]
        elif name == "ends":
            rows[name] = torch.cat(values)
        else:
            rows[name] = torch.cat(values, -1)
    return Collected(**rows)


def _on_cpu(value):
    """What was measured on another device, where it is put together."""
    if isinstance(value, dict):
        return {name: _on_cpu(one) for name, one in value.items()}
    return value.cpu() if isinstance(value, Tensor) else value


def _most_restless(parts: list[dict]) -> int:
    return max(range(len(parts)), key=lambda n: parts[n]["restless"][0])


def _token_by_token(run: Run, case: Case) -> dict:
    unit = run.unit
    distance = (run.states - run.end).norm(dim=-1) / unit
    near = distance <= NEAR
    settled = lasting_from(near) if run.end.isfinite().all() else torch.zeros_like(run.noise).long()
    first = run.states[0].norm(dim=-1).clamp_min(torch.finfo(unit.dtype).tiny)
    sample = torch.linspace(0, run.end.shape[1] - 1, min(SAMPLE, run.end.shape[1])).long()
    hard = case.difficulty
    moving = (run.found.ending != Ending.REST).sum(-1)  # [item]
    most = int(moving.argmax())
    return {
        "restless": (int(moving[most]), case.numbers[most]),
        "ending": run.found.ending.flatten(),
        "period": run.found.period.flatten(),
        "spread": run.found.spread.flatten(),
        "noise": run.noise.flatten(),
        "shrink": run.found.shrink.flatten(),
        "run": torch.full_like(run.found.period.flatten(), run.loops),
        "growth": (run.end.norm(dim=-1) / first).flatten(),
        "settled": settled.flatten(),
        "steps": (run.steps / unit).flatten(1),
        "distance": distance.flatten(1),
        "difficulty": None if hard is None else hard.flatten(),
        "path": run.window[:, most].clone(),
        "ends": run.end[:, sample],
    }


@torch.no_grad()
def _read(run: Run, case: Case, subject: Subject) -> dict:
    """What is read out of the states: answers, costs, and signals of exit rules."""
    signals = {
        "step": step_signal(run.states),
        "acceleration": acceleration_signal(run.states),
    }
    found = {"answered": None, "right": None, "asked": None, "costs": None, "cost": None}
    if case.readout is None:
        return found | {"signals": {}}
    answers, moved, costs, gates, before = [], [], [], [], None
    gate = None if subject.model is None else subject.model.gate
    for state in run.states:
        state = state.to(case.start.dtype)
        answer = precise(case.readout(state))
        if case.targets is not None:
            costs.append(case.loss(answer))
        if case.sorts and answer.shape[-1] > 1:
            answers.append(answer.argmax(-1))
            pair = answer[None] if before is None else torch.stack((before, answer))
            moved.append(answer_signal(pair)[-1])
            before = answer
        if gate is not None:
            gates.append(1 - gate(state).squeeze(-1).float().sigmoid())
    if answers:
        said = torch.stack(answers)  # [loop, item, token]
        found["answered"] = lasting_from(said == said[-1]).flatten()
        signals["answer"] = torch.stack(moved)
        if case.targets is not None:
            short = said.shape[-1] - case.targets.shape[1]
            goal = F.pad(case.targets, (0, short), value=-100)
            found["asked"] = (goal >= 0).flatten()
            found["right"] = (said[-1] == goal).flatten()
        if not costs:
            costs = list((said != said[-1]).double())
            found["cost"] = "changed answers"
    if gates:  # the chance that it has not opened yet
        signals["gate"] = torch.stack(gates).cumprod(0)
    if costs:
        found["costs"] = torch.stack(costs)
        found["cost"] = found["cost"] or ("loss" if case.sorts else "squared error")
    return found | {"signals": signals}


def _beside(values: list[Tensor], fill: float) -> Tensor:
    """[loop, item, token] of several cases, shorter ones filled up."""
    longest = max(value.shape[-1] for value in values)
    return torch.cat([F.pad(v, (0, longest - v.shape[-1]), value=fill) for v in values], 1)


def decided(found: Collected) -> Tensor:
    """Tokens that have an end to come near to: at rest, or closing in [token]."""
    return (found.ending == Ending.REST) | (found.ending == Ending.CLOSING_IN)
