"""All numbers of a report, as they stand in its JSON; sentences are made from these alone."""

from dataclasses import asdict
from math import isfinite

import torch
from torch import Tensor

from looplab.measure import Ending, useful_depth
from looplab.measure.depth import LEAST
from looplab.measure.stability import fit_contraction
from looplab.reporting.collecting import Collected, collect, decided
from looplab.reporting.leaving import KEPT, compare_exits
from looplab.reporting.narrowing import narrow
from looplab.reporting.protocol import Protocol
from looplab.reporting.sharing import share_slots
from looplab.reporting.spectrum import spectra
from looplab.reporting.starting import SAME, from_many_starts
from looplab.reporting.subject import Subject

FORMAT = "looplab.report.1"
TOO_SMALL = 1e-4  # of the loss at loop 1: a loss that is rounding
PATHS = 4  # tokens whose last loops are drawn


def measure(subject: Subject, protocol: Protocol, say=lambda what: None) -> dict:
    """Everything that is measured; `say` is told what comes next.

    Numbers are finite or None; loops count from 1. What could not be measured stands in "missing",
    with the reason.
    """
    found = collect(subject, protocol)
    missing: dict[str, str] = {}
    told = {
        "format": FORMAT,
        "name": subject.name,
        "loop": subject.what,
        "inputs": subject.inputs,
        "input_count": subject.count,
        "token_count": found.ending.numel(),
        "note": subject.note,
        "notation": subject.notation,
        "parameters": subject.parameters,
        "weights": subject.weights,
        "trained": subject.trained,
        "protocol": asdict(protocol),
        "rest": _rest(found, protocol),
        "where": _where(found),
        "speed": _speed(found, missing),
        "tokens": _tokens(found, missing),
        "depth": _depth(found, missing),
        "exits": _exits(found, subject, missing),
    }
    say(f"{protocol.starts} random starts")
    told["starts"] = asdict(from_many_starts(subject, protocol))
    say("multipliers and exponents")
    told["spectra"] = [asdict(one) for one in spectra(subject, protocol, found.restless)]
    say("other precisions")
    told["precision"] = [asdict(one) for one in narrow(subject, protocol)]
    say("shared cache slots")
    shared = share_slots(subject, protocol)
    if isinstance(shared, str):
        missing["slots"] = shared
    told["slots"] = None if isinstance(shared, str) else [asdict(one) for one in shared]
    told["curves"] = _curves(found)
    told["missing"] = missing
    return _plain(told)


def _rest(found: Collected, protocol: Protocol) -> dict:
    shares = {one.name.lower(): (found.ending == one).double().mean().item() for one in Ending}
    periods = found.period[found.ending == Ending.ORBIT]
    rests = found.ending == Ending.REST
    some = rests if rests.any() else torch.ones_like(rests)
    drifting = found.ending == Ending.DRIFTING
    turning = found.ending == Ending.TURNING
    return {
        "shares": shares,
        "periods": {str(int(p)): int((periods == p).sum()) for p in periods.unique()},
        "window": protocol.loops // 4,
        "loops_least": int(found.run.min()),
        "loops_most": int(found.run.max()),
        "spread_median": found.spread[some].double().median(),
        "spread_most": found.spread[some].max(),
        "spread_turning": found.spread[turning].max() if turning.any() else None,
        "shrink_drifting": found.shrink[drifting].max() if drifting.any() else None,
        "noise_median": found.noise.double().median(),
        "noise_most": found.noise.max(),
        "shrink_median": found.shrink.double().median(),
    }


def _where(found: Collected) -> dict | None:
    """How long ends are, and whether they are one point for all tokens."""
    ends = found.ends.flatten(0, 1).double()  # [token, width]
    if not ends.isfinite().all():
        return None
    if len(ends) > 256:
        ends = ends[torch.arange(256) * len(ends) // 256]
    unit = ends.norm(dim=-1).mean().clamp_min(torch.finfo(torch.float64).tiny)
    apart = torch.pdist(ends) / unit if len(ends) > 1 else torch.zeros(0)
    return {
        "growth_median": found.growth.double().median(),
        "apart_median": apart.median() if len(apart) else None,
        "apart_most": apart.max() if len(apart) else None,
        "one_point": bool(apart.max() <= SAME) if len(apart) else None,
        "compared": len(ends),
    }


def _speed(found: Collected, missing: dict) -> dict | None:
    """A straight line through the logarithm of the steps, from past the transient to rounding."""
    some = decided(found)
    if not some.any():
        missing["speed"] = "no token comes to rest, so there is no rate at which it does"
        return None
    steps = found.steps[:, some].double().nan_to_num(0)
    floor = 8 * found.noise.double().median().item()
    reach = (steps > floor).long().cumprod(0).sum(0)  # steps above rounding [token]
    first = int(reach.median()) // 3
    if len(steps) - first < 3 or int(reach.median()) - first < 3:
        missing["speed"] = (
            f"the steps are down to rounding after {int(reach.median()) + 1} loops: too few for a "
            "rate"
        )
        return None
    fit = fit_contraction(steps, first, floor)
    rate = fit.rate.double()
    known = rate[rate.isfinite()]
    if not len(known):
        missing["speed"] = "fewer than three steps are above rounding: too few for a rate"
        return None
    spread = torch.quantile(known, torch.tensor([0.1, 0.5, 0.9], dtype=known.dtype)).tolist()
    return {
        "rate": spread[1],
        "rate_low": spread[0],
        "rate_high": spread[2],
        "r_squared": fit.r_squared.double().nanmedian(),
        "first": first + 2,  # step n, from 0, is that of loop n + 2
        "last": int(fit.last.double().median()) + 2,
        "tokens": len(known),
        "floor": floor,
    }


def _tokens(found: Collected, missing: dict) -> dict | None:
    """When single tokens settle, and whether harder ones take longer."""
    some = decided(found) & (found.settled > 0)
    if not some.any():
        missing["tokens"] = "no token comes to rest, so none settles"
        return None
    settled = found.settled[some].double()
    marks = torch.quantile(settled, torch.tensor([0.1, 0.5, 0.9], dtype=settled.dtype)).tolist()
    told = {
        "settled_low": marks[0],
        "settled_median": marks[1],
        "settled_high": marks[2],
        "never": 1 - some.double().mean().item(),
        "answered_median": None,
        "right": None,
        "settled_wrong": None,
        "by_difficulty": None,
        "correlation": None,
    }
    if found.answered is not None:
        told["answered_median"] = found.answered.double().median()
    if found.asked is not None and found.asked.any():
        told["right"] = found.right[found.asked].double().mean()
        resting = found.asked & some
        told["settled_wrong"] = (~found.right[resting]).double().mean() if resting.any() else None
    if found.difficulty is None:
        missing["difficulty"] = "no difficulties are known (a task has them, or difficulty())"
        return told
    rows = []
    for hard in found.difficulty[found.difficulty >= 0].unique().tolist():
        these = found.difficulty == hard
        near = these & some
        rows.append(
            {
                "difficulty": hard,
                "tokens": int(these.sum()),
                "settled": found.settled[near].double().median() if near.any() else None,
                "answered": None
                if found.answered is None
                else found.answered[these].double().median(),
                "right": None if found.right is None else found.right[these].double().mean(),
            }
        )
    told["by_difficulty"] = rows
    rated = some & (found.difficulty >= 0)
    told["correlation"] = _correlation(
        found.difficulty[rated].double(), found.settled[rated].double()
    )
    return told


def _correlation(x: Tensor, y: Tensor) -> float | None:
    """Of ranks (Spearman), None where one of the two does not vary."""
    if len(x) < 3 or len(x.unique()) < 2 or len(y.unique()) < 2:
        return None
    ranks = []
    for values in (x, y):
        kinds, place, count = values.unique(return_inverse=True, return_counts=True)
        ranks.append((count.cumsum(0) - count / 2).double()[place])
    return torch.corrcoef(torch.stack(ranks))[0, 1].item()


def _depth(found: Collected, missing: dict) -> dict | None:
    if found.costs is None or found.cost == "changed answers":
        missing["depth"] = "needs targets: a task has them, or targets() in the file"
        return None
    losses = found.costs.double().nanmean(-1)  # [loop, input]
    losses = losses[:, ~losses.isnan().all(0)]
    if not losses.numel() or not losses.isfinite().all():
        missing["depth"] = "losses are not finite at every loop"
        return None
    if losses.shape[1] < LEAST:
        missing["depth"] = (
            f"{losses.shape[1]} inputs with targets: {LEAST} or more are needed, to tell a "
            "difference between two numbers of loops from luck"
        )
        return None
    margin = TOO_SMALL * losses[0].mean().abs().item()
    told = useful_depth(losses, margin)
    return {
        "cost": found.cost,
        "best": told.best,
        "loss": told.loss,
        "first": told.first,
        "last": told.last,
        "real": told.real,
        "share": told.share,
        "margin": margin,
        "loss_one": losses[0].mean(),
        "loss_end": losses[-1].mean(),
        "above_end": told.above[-1],
        "error_end": told.error[-1],
        "above_one": told.above[0],
        "error_one": told.error[0],
        "overthinking": told.overthinking,
        "losses": losses.mean(1),
        "above": told.above,
        "errors": told.error,
        "low": told.low,
        "high": told.high,
    }


def _exits(found: Collected, subject: Subject, missing: dict) -> dict | None:
    if found.costs is None:
        missing["exits"] = "needs a readout with classes, or targets"
        return None
    costs = found.costs.double()
    known = ~costs.isnan().all(-1).all(0)  # inputs
    costs = costs[:, known]
    if not costs[~costs.isnan()].isfinite().all():
        missing["exits"] = "losses are not finite at every loop"
        return None
    if costs.shape[1] < LEAST:
        missing["exits"] = (
            f"{costs.shape[1]} inputs: {LEAST} or more are needed, to choose a threshold on one "
            "half and to judge it on the other"
        )
        return None
    means = costs.nanmean(-1).nanmean(-1)
    best = int(means.argmin()) + 1
    most = min(len(costs), max(8, 2 * (subject.trained or 0), 2 * min(best, len(costs) // 4)))
    signals = {name: value[:, known] for name, value in found.signals.items()}
    rules, curves = compare_exits(costs, signals, most)
    return {
        "cost": found.cost,
        "most": most,
        "allowed": KEPT * (means[0] - means[:most].min()).clamp_min(0),
        "rules": [asdict(one) for one in rules],
        "curves": curves,
    }


def _curves(found: Collected) -> dict:
    """By loop, over tokens: marks of the steps and of the distance to the end."""
    marks = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)

    def by_loop(values: Tensor) -> list[list[float]]:
        rows = []
        for row in values.double():
            some = row[row.isfinite()]
            rows.append(torch.quantile(some, marks).tolist() if len(some) else [None] * 3)
        return rows

    some = decided(found)
    path = found.path.double()  # [loop, token, width]
    at = torch.linspace(0, path.shape[1] - 1, min(PATHS, path.shape[1])).long()
    return {
        "steps": by_loop(found.steps),
        "distance": by_loop(found.distance[:, some]) if some.any() else None,
        "settled": found.settled[some].tolist() if some.any() else None,
        "paths": [_plane(path[:, n]) for n in at.tolist()] if path.isfinite().all() else None,
    }


def _plane(path: Tensor) -> list[list[float]]:
    """One token's last loops [loop, width] in the plane of its largest movements, relative."""
    centred = path - path.mean(0)
    axes = torch.linalg.svd(centred, full_matrices=False)[2][:2]
    flat = centred @ axes.T / path.norm(dim=-1).mean().clamp_min(1e-300)
    if flat.shape[1] < 2:
        flat = torch.cat((flat, torch.zeros(len(flat), 2 - flat.shape[1], dtype=flat.dtype)), 1)
    return flat.tolist()


def _plain(value):
    """Numbers as JSON has them: tensors become lists, what is not finite becomes None."""
    if isinstance(value, Tensor):
        return _plain(value.tolist())
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not isfinite(value) else value
