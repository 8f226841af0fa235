"""Wrong answers that a check once let pass, or took for something else, and what they must get."""

import torch
import torch.nn.functional as F

from looplab import measure
from looplab.course.exercises.solutions import solution

Model = solution("01.6")


def rounded(low, high, generator):
    return round(low + (high - low) * torch.rand((), generator=generator).item())


def binomial(low, high, generator):
    heads = torch.rand(high - low, generator=generator) < 0.5
    return low + int(heads.sum())


def plane(path, turn=0.0, crossed=False):
    points = measure.cycle_pca(path).points
    turn = torch.tensor(turn)
    matrix = torch.stack(
        (torch.stack((turn.cos(), -turn.sin())), torch.stack((turn.sin(), turn.cos())))
    )
    return points.flip(-1) if crossed else points @ matrix


def copies(weight, loops):
    return [weight] * loops


def one_weight(step, weight, z, loops, loss):
    shared = copies(weight, loops)
    for one in shared:
        z = step(z, one)
    return torch.stack(torch.autograd.grad(loss(z), shared))


def distances(patterns):
    moved = patterns - patterns[-1]
    square = moved.square().sum(-1)
    return (square[:, None] + square - 2 * moved @ moved.T).sqrt()


def without_the_root(before, after, kappa, head_width):
    largest = max(before.norm(), after.norm())
    return (largest * kappa / head_width * (after - before).norm()).item()


def ended(
    states,
    middle=torch.median,
    since=None,
    cosines=lambda points: (points[0] * points).sum(-1),
    degree=lambda cosine: cosine.amin(0).mean(),
    furthest=lambda moved: moved.amax(0),
):
    """A classifier with one thing done differently."""
    ends = states[:, -1]
    length = ends.norm(dim=-1)
    growth = middle(length[-1] / length[len(length) // 2 if since is None else since])
    if not states.isfinite().all() or growth > 100:
        return "explodes"
    if degree(cosines(F.normalize(states[-1], dim=-1))) > 0.999:
        return "degenerate"
    late = F.normalize(ends[-(len(ends) // 4) :], dim=-1)
    moved = furthest((late - late[-1]).norm(dim=-1))
    return "cycle" if (moved < 0.01).float().mean() >= 0.9 else "moving"


def exponent(step, state, nudge, loops, settle, more=False, neighbour=False):
    apart, growth = nudge.norm(), []
    for _ in range(loops + settle if more else loops):
        end = step(state)
        moved = step(state + nudge) - end
        growth.append((moved.norm() / apart).log())
        nudge = moved * (apart / moved.norm())
        state = end + moved if neighbour else end
    return torch.stack(growth[settle:]).mean()


def returns(states, lag, tolerance, largest=True, cosine=False, whole=False):
    quarter = len(states) // 4
    now, before = states[-quarter:], states[-quarter - lag : -lag]
    if cosine:
        return (1 - F.cosine_similarity(now, before, dim=-1)).amax(0) <= tolerance
    away = (now - before).norm(dim=-1)
    unit = (states if whole else now).norm(dim=-1).mean(0)
    return (away.amax(0) if largest else away.mean(0)) <= tolerance * unit


def exits(states, tolerance, in_a_row=True, unit=2, shift=4):
    steps = states[1:] - states[:-1]
    own = (steps[1:] - steps[:-1]).norm(dim=-1)
    quiet = own / states[unit : unit + len(own)].norm(dim=-1) < tolerance
    both = quiet[1:] & quiet[:-1]
    twice = both if in_a_row else (quiet.cumsum(0) >= 2)[1:] & quiet[1:]
    return torch.where(twice.any(0), twice.long().argmax(0) + shift, len(states))


class BranchAlone(Model):
    """What attention or the MLP brings takes the state's place."""

    def __init__(self, attention):
        super().__init__()
        block = self.blocks[0]

        def forward(z):
            seen = block.norm1(z)
            brought = block.attention(seen, seen, seen)[0]
            z = brought if attention else z + brought
            added = block.down(F.gelu(block.up(block.norm2(z))))
            return z + added if attention else added

        block.forward = forward


class NoActivation(Model):
    def __init__(self):
        super().__init__()
        block = self.blocks[0]

        def forward(z):
            seen = block.norm1(z)
            z = z + block.attention(seen, seen, seen)[0]
            return z + block.down(block.up(block.norm2(z)))

        block.forward = forward


# exercise -> [(wrong answer, part of the sentence it should get)]
BANK = {
    "01.4": [(one_weight, "whole sum")],
    "01.6": [
        (lambda: BranchAlone(attention=True), "to be added to the state"),
        (lambda: BranchAlone(attention=False), "to be added to the state"),
        (NoActivation, "is an activation function"),
    ],
    "02.1": [(rounded, "more often than others"), (binomial, "more often than others")],
    "02.3": [
        (
            lambda right, depth: torch.stack([right[depth == d].float().mean() for d in range(5)]),
            "NaN",
        )
    ],
    "03.2": [
        (
            lambda states, limit: (states[:, -1] - states[limit - 1, -1]).norm(dim=-1),
            "one layer alone",
        ),
        (
            lambda states, limit: (states - states[limit - 1, -1]).norm(dim=-1),
            "from the last layer's limit",
        ),
    ],
    "03.3": [
        (lambda path: plane(path, crossed=True), "changed places"),
        (lambda path: plane(path, turn=0.7), "turned in it"),
    ],
    "03.5": [
        (
            lambda ends: (ends[1:] - ends[:-1]).norm(dim=-1).amax(0) / ends.norm(dim=-1).mean(0),
            "neighbouring starts only",
        ),
        (
            lambda ends: (ends.amax(0) - ends.amin(0)).norm(dim=-1) / ends.norm(dim=-1).mean(0),
            "each channel's largest and smallest",
        ),
    ],
    "04.2": [(distances, "there are NaN")],
    "04.4": [(without_the_root, "divided by its root")],
    "05.2": [
        (lambda states: ended(states, middle=torch.mean), "median over tokens decides"),
        (lambda states: ended(states, since=0), "over at index loops // 2"),
        (
            lambda states: ended(states, cosines=lambda p: (p[1:] * p[:-1]).sum(-1)),
            "close to the next",
        ),
        (
            lambda states: ended(states, degree=lambda cosine: cosine.mean(1).amin(0)),
            "least cosine of each token",
        ),
        (
            lambda states: ended(states, furthest=lambda moved: moved.mean(0)),
            "away at one loop",
        ),
    ],
    "05.4": [
        (lambda *given: exponent(*given, more=True), "`settle` loops more than asked"),
        (lambda *given: exponent(*given, neighbour=True), "path is that of the state"),
    ],
    "06.1": [
        (lambda s, lag, tolerance=0.01: returns(s, lag, tolerance, largest=False), "not the mean"),
        (lambda s, lag, tolerance=0.01: returns(s, lag, tolerance, cosine=True), "not the mean"),
        (lambda s, lag, tolerance=0.01: returns(s, lag, 0.01), "tolerance is an argument"),
        (lambda s, lag, tolerance=0.01: returns(s, lag, tolerance, whole=True), "take the unit"),
    ],
    "06.3": [
        (lambda states, t: exits(states, t, in_a_row=False), "not in a row"),
        (lambda states, t: exits(states, t, unit=1), "the state before"),
        (lambda states, t: exits(states, t, shift=3), "1 loop too early"),
        (lambda states, t: exits(states, t, shift=5), "1 loop too late"),
    ],
}
