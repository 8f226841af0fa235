"""Typical wrong answers to chapter 05, and the hint each of them should get."""

from math import sqrt

import torch
import torch.nn.functional as F


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
}
