"""Typical wrong answers to chapter 03, and the hint each of them should get."""

import torch

from looplab import measure


def not_centred(path):
    flat = path.flatten(0, 1)
    return path @ torch.linalg.svd(flat, full_matrices=False)[2][:2].T


def per_layer(path):
    points = []
    for layer in range(path.shape[1]):
        own = path[:, layer] - path[:, layer].mean(0)
        points.append(own @ torch.linalg.svd(own, full_matrices=False)[2][:2].T)
    return torch.stack(points, dim=1)


def first_channels(path):
    return (path - path.mean((0, 1)))[..., :2]


def whitened(path):
    flat = path.flatten(0, 1)
    u = torch.linalg.svd(flat - flat.mean(0), full_matrices=False)[0]
    return u[:, :2].unflatten(0, path.shape[:2])


def no_injection(layers, inject, z, first):
    for n in range(len(layers)):
        z = layers[(first + n) % len(layers)](z)
    return z


def inject_first(layers, inject, z, first):
    return no_injection(layers, inject, inject(z), first)


def half_a_pass(layers, inject, z, first):
    z = inject(z)
    for layer in layers[first:]:
        z = layer(z)
    return z


def backwards(layers, inject, z, first):
    z = inject(z)
    for layer in reversed(layers):
        z = layer(z)
    return z


def pairs(ends):
    return (ends[:, None] - ends[None]).norm(dim=-1)


def in_place(states):
    states -= states[-1:].clone()
    return states[1:].norm(dim=-1)


def reporting(wrong):
    """A report with one thing wrong."""

    def report(step, starts, loops):
        states = [starts]
        for _ in range(loops):
            states.append(step(states[-1]))
        states = torch.stack(states if wrong == "start" else states[1:])
        size, ends = states.norm(dim=-1), states[-1]
        steps = (states[1:] - states[:-1]).norm(dim=-1)
        if wrong != "unit":
            steps = steps / size[1:]
        rests = bool((steps[-1].mean() if wrong == "mean" else steps[-1].max()) < 1e-4)
        away = ((states - ends).norm(dim=-1) > 0.01 * size[-1]).flatten(1).any(1)
        first = away.nonzero()
        loop = int(first.max()) + 2 if len(first) else 1
        if wrong == "first":
            loop = int((~away).nonzero().min()) + 1
        steps = (states[1:] - states[:-1]).norm(dim=-1) / size[1:]
        apart = (ends[:, None] - ends[None]).norm(dim=-1)
        apart = apart[0].amax(0) if wrong == "pairs" else apart.amax((0, 1))
        return {
            "rests": rests,
            "loop": loop if rests or wrong == "always" else 0,
            "factor": measure.contraction_rate(steps.flatten(1).mean(1)).item(),
            "spread": (apart / size[-1].mean(0)).max().item(),
        }

    return report


# exercise -> [(wrong answer, part of the sentence it should get)]
BANK = {
    "03.1": [
        (lambda states: states[1:] - states[:-1], "a vector"),
        (lambda states: (states[:, 1:] - states[:, :-1]).norm(dim=-1), "compared layers"),
        (lambda states: (states[1:] - states[:-1]).square().sum(-1), "squared"),
        (lambda states: states[1:].norm(dim=-1) - states[:-1].norm(dim=-1), "subtracted lengths"),
        (lambda states: (states[1:] - states[:-1]).norm(), "the shape is ()"),
        (in_place, "changes the tensor"),
    ],
    "03.2": [
        (lambda states, limit: (states - states[-1]).norm(dim=-1), "from the last state"),
        (lambda states, limit: (states - states[limit]).norm(dim=-1), "off by one"),
        (
            lambda states, limit: (
                (states - states[limit - 1]).norm(dim=-1) / states[limit - 1].norm(dim=-1)
            ),
            "divided by the length",
        ),
        (lambda states, limit: states.norm(dim=-1), "at the limit itself"),
    ],
    "03.3": [
        (not_centred, "not centred"),
        (per_layer, "each layer is centred on its own"),
        (first_channels, "first two channels"),
        (whitened, "scaled to one size"),
    ],
    "03.4": [
        (no_injection, "never injects"),
        (inject_first, "at the start of every pass"),
        (half_a_pass, "every layer once"),
        (backwards, "should go round"),
    ],
    "03.5": [
        (lambda ends: pairs(ends).amax((0, 1)), "no unit yet"),
        (
            lambda ends: pairs(ends)[0].amax(0) / ends.norm(dim=-1).mean(0),
            "first start only",
        ),
        (
            lambda ends: pairs(ends).mean((0, 1)) / ends.norm(dim=-1).mean(0),
            "mean over pairs",
        ),
    ],
    "03.6": [
        (reporting("mean"), "rests is true for a loop in which one node"),
        (reporting("unit"), "rests is wrong for a long state"),
        (reporting("first"), "the state leaves again"),
        (reporting("start"), "one too large"),
        (reporting("always"), "0 where the loop does not rest"),
        (reporting("pairs"), "first start only"),
    ],
}
