"""Which exit rule would save how much at what loss, beside a fixed number of loops and the oracle.

A rule's threshold is chosen on one half of the inputs and judged on the other, and so is the fixed
number of loops: what is chosen and judged on the same numbers looks better than it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from looplab.measure import at_exit, first_exit

KEPT = 0.01  # of what looping gains: a loss that is given away for saving loops
THRESHOLDS = 40  # tried for each rule


@dataclass(frozen=True)
class Exit:
    """What a rule costs, over all tokens that have a target."""

    rule: str
    loops: float  # mean loops that a token takes
    saves: float  # share of the loops of the fixed number that is as good
    loss: float  # mean loss above that of the best fixed number of loops
    error: float  # its standard error, paired over inputs
    threshold: float | None  # median of those chosen


def compare_exits(
    costs: Tensor, signals: Mapping[str, Tensor], most: int
) -> tuple[list[Exit], list[dict]]:
    """Rules at the loss of the best fixed number of loops, and the curves behind them.

    `costs` [loop, input, token] is the loss of each token, NaN without a target; `signals` of the
    same shape leave where they fall below a threshold. Runs end at loop `most`. At most KEPT of
    what looping gains, from loop 1 to the best, may be lost. The oracle knows each token's losses
    and leaves at the first loop that is no worse than the best fixed number's.
    """
    costs = costs[:most].double()
    signals = {name: value[:most] for name, value in signals.items()}
    halves = [torch.arange(start, costs.shape[1], 2) for start in (0, 1)]
    rows: dict[str, list] = {}
    for mine, other in (halves, halves[::-1]):
        train, test = costs[:, other], costs[:, mine]
        means = _mean(train)
        best = int(means.argmin())
        gain = (means[0] - means[best]).clamp_min(0)
        limit = means[best] + KEPT * gain
        fixed = int((means <= limit).int().argmax()) + 1
        steady = torch.full(test.shape[1:], fixed, dtype=torch.long)
        rows.setdefault("fixed", []).append(_judge(test, steady, best, None))
        for name, signal in signals.items():
            chosen = None  # no threshold is good enough: every loop
            exits = torch.full(train.shape[1:], most, dtype=torch.long)
            for threshold in _thresholds(signal[:, other]):
                tried = first_exit(signal[:, other] < threshold)
                good = _mean(at_exit(train, tried)) <= limit
                if good and tried.double().mean() <= exits.double().mean():
                    chosen, exits = threshold, tried
            told = torch.full(test.shape[1:], most, dtype=torch.long)
            if chosen is not None:
                told = first_exit(signal[:, mine] < chosen)
            rows.setdefault(name, []).append(_judge(test, told, best, chosen))
        bound = test[best] + KEPT * gain
        oracle = (test <= bound).int().argmax(0) + 1
        rows.setdefault("oracle", []).append(_judge(test, oracle, best, None))
    basis = sum(spent.sum() for spent, _, _ in rows["fixed"])
    found = []
    for name, parts in rows.items():
        spent = torch.cat([one for one, _, _ in parts])
        above = torch.cat([one for _, one, _ in parts])
        chosen = [one for _, _, one in parts if one is not None]
        found.append(
            Exit(
                name,
                spent.mean().item(),
                1 - (spent.sum() / basis).item(),
                above.mean().item(),
                (above.std() / len(above) ** 0.5).item(),
                sum(chosen) / len(chosen) if chosen else None,
            )
        )
    return found, _curves(costs, signals)


def _judge(costs: Tensor, exits: Tensor, best: int, threshold: float | None) -> tuple:
    """Mean loops and loss above loop `best` of each input."""
    known = ~costs[0].isnan()
    count = known.sum(-1).clamp_min(1)
    spent = (exits * known).sum(-1) / count
    above = at_exit(costs, exits) - costs[best]
    return spent.double(), above.nan_to_num(0).sum(-1) / count, threshold


def _thresholds(signal: Tensor) -> list[float]:
    """Values of the signal, from its smallest to its largest, evenly in rank."""
    values = signal[signal.isfinite()].flatten().double().sort().values
    if not len(values):
        return []
    at = torch.linspace(0, len(values) - 1, THRESHOLDS).long()
    return sorted({float(value) for value in values[at] if value > 0})


def _curves(costs: Tensor, signals: Mapping[str, Tensor]) -> list[dict]:
    """Mean loops and mean loss of every threshold tried, for a figure."""
    means = _mean(costs)
    loops = list(range(1, len(costs) + 1))
    found = [{"rule": "fixed", "loops": loops, "loss": means.tolist()}]
    for name, signal in signals.items():
        points = []
        for threshold in _thresholds(signal):
            exits = first_exit(signal < threshold)
            points.append((exits.double().mean().item(), _mean(at_exit(costs, exits)).item()))
        points.sort()
        found.append(
            {"rule": name, "loops": [x for x, _ in points], "loss": [y for _, y in points]}
        )
    return found


def _mean(costs: Tensor) -> Tensor:
    """Mean over inputs of the means over their tokens: [..., input, token] -> [...]."""
    return costs.nanmean(-1).nanmean(-1)
