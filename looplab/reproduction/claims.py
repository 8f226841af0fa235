"""The report's table: what the paper says of each claim, its number where it prints one, and ours.

Sentences about arXiv 2604.11791 are ours. Where its text, as far as we have it, prints no number,
the table says so.
"""

from dataclasses import dataclass

import torch

from looplab.measure import Limit, diagonal_contrast
from looplab.reproduction.collected import Collected
from looplab.reproduction.drawing import where
from looplab.reproduction.protocol import FIGURES

NOT_PRINTED = "not printed in the text we have"
SETTLED = 0.05  # of the limit's length, within which a layer counts as having arrived
MASSIVE = 10  # times the other layers' longest, from which a vector counts as standing out


@dataclass(frozen=True)
class Claim:
    """One row: a claim of the paper and what this model did."""

    claim: str  # C4 to C17
    figure: str
    says: str  # the paper, in our words
    paper: str  # its number
    ours: str


def claims(found: Collected) -> tuple[Claim, ...]:
    """A row for every figure of the report."""
    rows = []
    for name in found.protocol.figures:
        says, paper, ours = _TABLE[name]
        rows.append(Claim(FIGURES[name][0], name, says, paper, ours(found)))
    return tuple(rows)


def _steps(found: Collected) -> str:
    step = found.mean("relative_step")  # [loop - 1, layer]
    smaller = int((step[-1] < step[0]).sum())
    return (
        f"relative step, mean of layers: {step[0].mean():.2g} at loop 2, {step[-1].mean():.2g} at "
        f"loop {len(step) + 1} (rounding of {found.dtype}: {found.noise:g}); smaller at the end in "
        f"{smaller} of {step.shape[1]} layers"
    )


def _distances(found: Collected) -> str:
    each, layers = found.mean("distances"), found.config.core
    if layers == 1:
        return "a core of one layer has nothing beside its diagonals"
    contrast = diagonal_contrast(each, layers)
    return (
        f"distance to itself at other loops over distance to other layers, {len(each) // layers} "
        f"loops: {contrast.mean():.2g}, mean of layers ({contrast.min():.2g} to "
        f"{contrast.max():.2g}; 0 is all diagonals, 1 none)"
    )


def _limit(found: Collected) -> str:
    distance = found.mean("relative_distance")  # [loop, layer]
    near = distance <= SETTLED
    last = len(near)
    arrived = [
        last - int(near[:, n].flip(0).int().cumprod(0).sum()) + 1 for n in range(near.shape[1])
    ]
    settled = [loop for loop in arrived if loop <= last // 2]  # later ones are near in any case
    first = f", from loop {min(settled)} to {max(settled)} on" if settled else ""
    at = min(found.trained, last - 1)
    return (
        f"{len(settled)} of {len(arrived)} layers come within {SETTLED:.0%} of their state at loop "
        f"{last} in the first half of the run and stay{first}; relative distance after {at} loops "
        f"{distance[at - 1].mean():.2g}, mean of layers"
    )


def _cycle(found: Collected) -> str:
    points = found.illustration["points"].double()
    loops = len(points)
    reach = (points - points.mean((0, 1))).norm(dim=-1).max().clamp_min(1e-30)
    moved = (points[-1] - points[max(loops // 2 - 1, 0)]).norm(dim=-1).max() / reach
    share = found.illustration["explained"].sum()
    return (
        f"from loop {max(loops // 2, 1)} to {loops} no layer moves by more than {moved:.2g} of the "
        f"path's reach in the plane, which holds {100 * share:.0f} % of the variance"
    )


def _labels(found: Collected) -> str:
    counts = found.label_counts[:, -1].sum(0)  # of the last layer [label]
    total = counts.sum()
    told = ", ".join(
        f"{kind.name.lower().replace('_', ' ')} {100 * counts[kind] / total:.3g} %"
        for kind in (Limit.FIXED_POINT, Limit.ORBIT, Limit.SLIDER, Limit.UNKNOWN)
    )
    prompts = found.label_counts[:, -1]
    others = int((prompts[:, Limit.FIXED_POINT] < prompts.sum(-1)).sum())
    last = found.values["last.label"][:, -1]
    by_period = int((last == Limit.FIXED_POINT).sum())
    return (
        f"of {total} tokens at the last layer: {told}; {others} of {len(prompts)} prompts have a "
        f"token that is not fixed. By period, a stricter test of the last tokens: {by_period} of "
        f"{len(last)} fixed"
    )


def _stages(found: Collected) -> str:
    told = []
    for name, what in (("concentration", "ColSum"), ("sink_rate", "sinks"), ("mixing", "mixing")):
        table = found.stage(name, found.trained)
        told.append(f"{what} {table.min():.2g} to {table.max():.2g}")
    again = _alike(found)
    return f"{', '.join(told)} in the core; {again}"


def _alike(found: Collected) -> str:
    """How much the layers' profile of one loop is that of the loop before."""
    if found.trained < 2 or found.config.core < 3:
        return "too few loops or layers to compare profiles"
    shared = []
    for name in ("concentration", "sink_rate", "mixing"):
        table = found.stage(name, found.trained)
        shared.append(_correlation(table[:-1], table[1:]))
    return (
        "profile along the layers against the loop before, correlations (ColSum, sinks, mixing): "
        + ", ".join(shared)
    )


def _norms(found: Collected) -> str:
    norm, peak = (found.stage(name, found.trained) for name in ("norm", "peak"))
    return (
        f"mean length of the stream {norm.min():.3g} to {norm.max():.3g} in the core; the longest "
        f"token is up to {peak.max():.3g} times the median one; sink rate up to "
        f"{found.stage('sink_rate', found.trained).max():.2g}"
    )


def _ablation(found: Collected) -> str:
    times = found.source.times
    stands = "stands out" if times >= MASSIVE else "hardly stands out: there may be none to remove"
    told = [
        f"{where(found)}, whose longest vector is {times:.3g} times the median layer's: {stands}"
    ]
    for name, what in (("sink_rate", "sink rate"), ("peak", "longest over median")):
        as_it_is, without = (found.realized(name, kind).mean() for kind in ("", "silenced."))
        told.append(f"{what} {as_it_is:.3g} becomes {without:.3g}")
    if "silenced.loss" in found.values:
        loss = found.mean("loss")[found.shown.index(found.trained)]
        told.append(f"loss {loss:.3g} becomes {found.mean('silenced.loss').item():.3g}")
    return "; ".join(told)


def _beyond(found: Collected) -> str:
    at, last = found.trained, found.protocol.loops
    told = []
    for name, what in (("sink_rate", "sink rate"), ("mixing", "mixing")):
        table = found.stage(name)
        told.append(f"{what} {table[at - 1].mean():.3g} → {table[-1].mean():.3g}")
    loss = found.mean("loss")
    if loss.isfinite().any():
        told.append(f"loss {loss[found.shown.index(at)]:.3g} → {loss[-1]:.3g}")
    return f"loop {at} → loop {last}, means of layers: " + ", ".join(told)


def _neurons(found: Collected) -> str:
    prediction, suppression, _ = found.neurons.T
    half = len(prediction) // 2
    return (
        f"prediction {100 * prediction[:half].mean():.2g} % of the first half of the layers' "
        f"neurons, {100 * prediction[half:].mean():.2g} % of the second; suppression "
        f"{100 * suppression[:half].mean():.2g} % and {100 * suppression[half:].mean():.2g} %"
    )


def _floorplan(found: Collected) -> str:
    loops = len(found.illustration["floor.core"]) // found.config.core
    return f"see the picture, {loops} loops"


def _halves(found: Collected) -> str:
    told = []
    for name, what in (("concentration", "ColSum"), ("sink_rate", "sinks"), ("mixing", "mixing")):
        first, second = (half.double().mean(1) for half in found.halves(name))
        told.append(f"{what} {_correlation(first, second)}")
    return f"first half of a pass against the second, correlations: {', '.join(told)}"


def _correlation(one: torch.Tensor, other: torch.Tensor) -> str:
    """Pearson's, of profiles [..., layer], a mean over those that vary; "-" where none does."""
    one, other = (x.double() - x.double().mean(-1, keepdim=True) for x in (one, other))
    size = one.norm(dim=-1) * other.norm(dim=-1)
    varies = size > 0
    if not varies.any():
        return "-"
    return f"{((one * other).sum(-1)[varies] / size[varies]).mean():.2f}"


# Figure -> what the paper says, its number, and what says ours
_TABLE = {
    "steps": (
        "Steps of the residual stream shrink from loop to loop, in all models.",
        NOT_PRINTED,
        _steps,
    ),
    "distances": (
        "A layer's attention resembles its own at other loops more than other layers' (diagonals).",
        NOT_PRINTED,
        _distances,
    ),
    "limit": (
        "Huginn and the retrofits are at a fixed point of each layer after a few loops; Ouro 1.4B "
        "reaches none. The approximate fixed point is the state at recurrence 128.",
        "within 1 to 2 recurrences (Huginn, retrofits); distances are " + NOT_PRINTED,
        _limit,
    ),
    "cycle": (
        "The core walks a constant cycle in latent space.",
        "recurrences 16 to 32 overlap; distances are " + NOT_PRINTED,
        _cycle,
    ),
    "labels": (
        "Limits other than fixed points are rare on GSM8K. Its algorithm is not printed in the "
        "text we have: ours is a reconstruction, and rates depend on thresholds.",
        "about 0.02 % of tokens without a system prompt, 0.14 % with a long persona",
        _labels,
    ),
    "stages": (
        "Each loop goes through the stages of a feedforward model; with prelude and coda the first "
        "and last happen once.",
        NOT_PRINTED,
        _stages,
    ),
    "norms": (
        "Huginn's norms act on the stream itself, so its length cannot grow, and no massive "
        "activations and sinks form.",
        NOT_PRINTED,
        _norms,
    ),
    "ablation": (
        "Zeros in place of what the source of massive activations adds remove the stages.",
        "layer 2's MLP in the retrofitted Llama; sizes are " + NOT_PRINTED,
        _ablation,
    ),
    "beyond": (
        "Models with a fixed point keep their stages for any number of loops; Ouro's layers go on "
        "changing, and its accuracy falls beyond its 4 loops, while Huginn's stays level.",
        "Ouro 1.4B, as its own paper is cited, MMLU at loops 1 to 4: 41.2, 60.4, 66.7, 67.5, lower "
        "from 5 to 8. Accuracy is not measured here",
        _beyond,
    ),
    "neurons": (
        "Shares of prediction and suppression neurons along the layers are like those of "
        "feedforward models.",
        NOT_PRINTED,
        _neurons,
    ),
    "floorplan": (
        "All patterns on one sheet show the repeats at a glance.",
        "a picture, no number",
        _floorplan,
    ),
    "halves": (
        "Ouro 2.6B, whose 48 layers were made from 24, goes through the stages twice in one pass.",
        "two times; correlations are " + NOT_PRINTED,
        _halves,
    ),
}
