"""Typical wrong answers to chapter 05, and the hint each of them should get."""

from itertools import product
from math import sqrt

import torch
import torch.nn.functional as F

from looplab import measure


def drawn(scale):
    def draw_weights(rows, columns, gain, generator):
        return scale(rows, columns, gain) * torch.randn(rows, columns, generator=generator)

    return draw_weights


def uniform(rows, columns, gain, generator):
    return gain / sqrt(columns) * sqrt(3) * (2 * torch.rand(rows, columns, generator=generator) - 1)


def without_generator(rows, columns, gain, generator):
    return gain / sqrt(columns) * torch.randn(rows, columns)


def ended(states, first="degenerate", least=torch.amin, unit=True, back=None, share=0.9):
    """A classifier with one thing done differently."""
    ends = states[:, -1]
    length = ends.norm(dim=-1)
    if first != "no explosion" and (
        not states.isfinite().all() or (length[-1] / length[len(length) // 2]).median() > 100
    ):
        return "explodes"
    last = F.normalize(states[-1], dim=-1)
    cosine = (last[:1] * last).sum(-1)
    degenerate = least(cosine, 0).mean() > 0.999
    if first == "degenerate" and degenerate:
        return "degenerate"
    late = ends[-(back or len(ends) // 4) :]
    late = F.normalize(late, dim=-1) if unit else late / late[-1].norm(dim=-1, keepdim=True)
    moved = (late - late[-1]).norm(dim=-1).amax(0)
    if (moved < 0.01).float().mean() >= share:
        return "cycle"
    return "degenerate" if degenerate else "moving"


def second_layer(cosine, axis):
    return cosine[1]


def grown(push, v, products):
    """v, its factors and the unit vector before the last product."""
    growth = []
    for _ in range(products):
        before = v / v.norm()
        v = push(before)
        growth.append(v.norm())
    return v, torch.stack(growth), before


def last_factor(push, v, products):
    return grown(push, v, products)[1][-1]


def plain_mean(push, v, products):
    return grown(push, v, products)[1][products // 2 :].mean()


def all_factors(push, v, products):
    return grown(push, v, products)[1].log().mean().exp()


def rayleigh(push, v, products):
    v, _, before = grown(push, v, products)
    return v @ before


def never_normalised(push, v, products):
    before = v.norm()
    for _ in range(products):
        v = push(v)
    return (v.norm() / before) ** (1 / products)


def same_vector(push, v, products):
    return torch.stack([push(v).norm() / v.norm() for _ in range(products)]).mean()


def neighbours(step, state, nudge, loops, settle, reset="length", count="late", mean="of logs"):
    apart, growth = nudge.norm(), []
    for _ in range(loops):
        end = step(state)
        moved = step(state + nudge) - end
        growth.append(moved.norm() / nudge.norm())
        if reset == "length":
            nudge = moved * (apart / moved.norm())
        elif reset == "nothing":
            nudge = moved
        state = end
    growth = torch.stack(growth[settle if count == "late" else 0 :])
    return growth.log().mean() if mean == "of logs" else growth.mean().log()


def per_all_loops(step, state, nudge, loops, settle):
    return neighbours(step, state, nudge, loops, settle) * (loops - settle) / loops


def designs(rest=("cycle", "degenerate"), far=lambda apart, seen: apart.abs() >= seen.abs()):
    """The comparison of two designs with one thing done differently."""

    def design_or_draw(ended, first, second, gains, seeds):
        rests = torch.tensor(
            [
                [[ended(design, gain, seed) in rest for gain in gains] for seed in seeds]
                for design in (first, second)
            ]
        ).long()
        lead = (rests[0] - rests[1]).sum(-1)
        signs = torch.tensor(list(product((1, -1), repeat=len(lead))))
        chance = far((signs * lead).sum(-1), lead.sum()).double().mean()
        return rests[0].sum(), rests[1].sum(), chance

    return design_or_draw


def single_runs(ended, first, second, gains, seeds):
    one, other, _ = designs()(ended, first, second, gains, seeds)
    split = [(gain, seed) for gain in gains for seed in seeds]
    told = designs()(lambda design, _, run: ended(design, *run), first, second, [0], split)
    return one, other, told[2]


def shares_of_runs(ended, first, second, gains, seeds):
    one, other, chance = designs()(ended, first, second, gains, seeds)
    return one / len(gains) / len(seeds), other / len(gains) / len(seeds), chance


def held(limit=None, many=torch.amin, zero=True, most=1.0, at="point"):
    """The share of a step that holds a loop, with one thing done differently."""

    def hold(step, start):
        point = measure.stability.solve(step, start, "broyden", 1e-9, 600).point
        there = point if at == "point" else start
        jacobian = torch.autograd.functional.jacobian(step, there)
        values = torch.linalg.eigvals(jacobian.reshape(start.numel(), -1))
        if zero and (values.real >= 1).any():
            return point, 0.0
        limits = (limit or largest_share)(values)
        return (point if at != "nowhere" else start), min(most, many(limits).item())

    return hold


def largest_share(values):
    return 2 * (1 - values).real / (1 - values).abs().square()


# exercise -> [(wrong answer, part of the sentence it should get)]
BANK = {
    "05.1": [
        (drawn(lambda rows, columns, gain: gain / sqrt(rows)), "root of the rows"),
        (drawn(lambda rows, columns, gain: gain**2 / columns), "is the variance"),
        (drawn(lambda rows, columns, gain: gain / columns), "the root is missing"),
        (drawn(lambda rows, columns, gain: 1 / sqrt(columns)), "is not used"),
        (uniform, "not from a normal distribution"),
        (without_generator, "draw from the generator"),
    ],
    "05.2": [
        (lambda states: ended(states, first="no explosion"), "190-fold"),
        (lambda states: ended(states, first="rest"), "whether it rests first"),
        (lambda states: ended(states, least=second_layer), "only two of three"),
        (lambda states: ended(states, unit=False), "compare directions"),
        (lambda states: ended(states, back=2), "a slow turn"),
        (lambda states: ended(states, share=1.0), "one token of ten"),
    ],
    "05.3": [
        (never_normalised, "leaves the floats"),
        (last_factor, "the last factor alone"),
        (plain_mean, "the plain mean"),
        (all_factors, "leave that half out"),
        (same_vector, "hand on what came out"),
        (lambda push, v, products: grown(push, v, products)[0], "that is a vector"),
    ],
    "05.4": [
        (
            lambda step, state, nudge, loops, settle: neighbours(
                step, state, nudge, loops, settle, reset="nothing"
            ),
            "bring the neighbour back",
        ),
        (
            lambda step, state, nudge, loops, settle: neighbours(
                step, state, nudge, loops, settle, count="all"
            ),
            "are counted too",
        ),
        (
            lambda step, state, nudge, loops, settle: neighbours(
                step, state, nudge, loops, settle, reset="direction"
            ),
            "keeps its first direction",
        ),
        (
            lambda step, state, nudge, loops, settle: neighbours(
                step, state, nudge, loops, settle, mean="of factors"
            ),
            "logarithm of the mean",
        ),
        (per_all_loops, "divide by all loops"),
        (
            lambda step, state, nudge, loops, settle: neighbours(
                step, state, nudge, loops, settle
            ).exp(),
            "that is the growth factor",
        ),
    ],
    "05.5": [
        (lambda log_a, dt_bias: F.softplus(dt_bias) * log_a.exp(), "that is the rate"),
        (lambda log_a, dt_bias: (F.softplus(dt_bias) * log_a.exp()).exp(), "sign is lost"),
        (lambda log_a, dt_bias: (-F.softplus(dt_bias) * log_a).exp(), "take its exp first"),
        (lambda log_a, dt_bias: (-dt_bias * log_a.exp()).exp(), "through softplus"),
        (lambda log_a, dt_bias: 1 - F.softplus(dt_bias) * log_a.exp(), "first-order step"),
        (lambda log_a, dt_bias: torch.sigmoid(dt_bias), "not these ones"),
    ],
    "05.6": [
        (designs(rest=("cycle",)), "degenerate end is a rest"),
        (designs(rest=("cycle", "degenerate", "orbit")), "is no rest"),
        (designs(far=lambda apart, seen: apart.abs() > seen.abs()), "exactly as far apart"),
        (designs(far=lambda apart, seen: apart >= seen), "without the sign"),
        (single_runs, "swap whole seeds"),
        (shares_of_runs, "not shares"),
    ],
    "05.7": [
        (held(limit=lambda values: 2 / (1 + values.abs())), "the real part and the modulus"),
        (held(many=torch.amax), "the smallest limit decides"),
        (held(zero=False), "say 0"),
        (held(most=2.0), "at most 1"),
        (held(limit=lambda values: largest_share(values) / 2), "half of it"),
        (held(at="start"), "take them at the point"),
    ],
}
