"""Typical wrong answers to chapter 04, and the hint each of them should get."""

import torch


def gram(patterns):
    square = patterns.square().sum(-1)
    return square[:, None] + square - 2 * patterns @ patterns.T


def half_product(patterns):
    square = patterns.square().sum(-1)
    return (square[:, None] + square - patterns @ patterns.T).clamp_min(0).sqrt()


def ratio(distances, same, keep_diagonal=False):
    other = ~torch.eye(len(distances), dtype=torch.bool) | keep_diagonal
    return (distances[same & other].mean() / distances[~same].mean()).item()


def pairs(index):
    return index[:, None] == index


def layer_of(distances, layers):
    return pairs(torch.arange(len(distances)) % layers)


def change(before, after, kappa, root, largest=None, constant=0.5):
    largest = max(before.norm(), after.norm()) if largest is None else largest
    return (constant * 2 * largest * kappa / root**0.5 * (after - before).norm()).item()


def freezer(first=0, patterns=True, per_layer=True, from_one=False, returns=True):
    def freeze_from(loop):
        kept = {}

        def tap(site, value):
            if site.name != "core.attn.pattern" or site.loop < (
                0 if from_one else loop - 1 + first
            ):
                return None
            value = kept.setdefault(site.layer if per_layer else 0, value)
            return value if returns else None

        if patterns:
            tap.patterns = True
        return tap

    return freeze_from


def following(wrong):
    """looks_up with one thing wrong."""

    def looks_up(patterns, parents, most):
        if wrong == "turned":
            patterns = patterns.mT
        weights = patterns.mean(3)
        node = torch.arange(parents.shape[1]).expand_as(parents)
        has = torch.ones_like(parents, dtype=torch.bool)
        looks = []
        for step in range(most + (2 if wrong == "late" else 1)):
            index = node[..., None].expand(*weights.shape[:-1], 1)
            weight = weights.gather(-1, index)[..., 0]
            if wrong == "forests":
                looks.append((weight * has).sum(-1).div(has.sum(-1)).mean(-1))
            elif step or wrong not in ("late", "short"):
                looks.append(weight[..., has].mean(-1))
            above = parents.gather(1, node)
            if wrong != "roots":
                has = has & (above != node)
            node = above
        return torch.stack(looks, dim=-1)

    return looks_up


# exercise -> [(wrong answer, part of the sentence it should get)]
BANK = {
    "04.1": [
        (lambda a, b: (a - b).norm(), "one number for all heads"),
        (lambda a, b: (a - b).norm(dim=-1), "each row"),
        (lambda a, b: (a - b).square().sum((-2, -1)), "squared"),
        (lambda a, b: (a - b).abs().sum((-2, -1)), "absolute differences"),
        (lambda a, b: torch.linalg.matrix_norm(a - b, ord=2), "spectral norm"),
    ],
    "04.2": [
        (lambda patterns: patterns @ patterns.T, "inner products"),
        (lambda patterns: gram(patterns), "squared"),
        (half_product, "counts twice"),
        (lambda patterns: gram(patterns).sqrt(), "slightly negative"),
        (lambda patterns: gram(patterns).clamp_min(0).sqrt(), "nearly agree"),
    ],
    "04.3": [
        (lambda d, layers: ratio(d, layer_of(d, layers), keep_diagonal=True), "leave the diagonal"),
        (lambda d, layers: 1 / ratio(d, layer_of(d, layers)), "upside down"),
        (lambda d, layers: ratio(d, pairs(torch.arange(len(d)) // layers)), "one loop"),
        (
            lambda d, layers: ratio(d, pairs(torch.arange(len(d)) // (len(d) // layers))),
            "index % layers",
        ),
    ],
    "04.4": [
        (lambda b, a, k, d: change(b, a, k, d, constant=1), "softmax's own constant"),
        (lambda b, a, k, d: change(b, a, k, d, constant=0.25), "quadratic"),
        (lambda b, a, k, d: change(b, a, k, d, largest=min(b.norm(), a.norm())), "larger"),
        (lambda b, a, k, d: change(b, a, k, b.shape[-1]), "head's width"),
        (
            lambda b, a, k, d: change(b, a, k, d, largest=torch.linalg.matrix_norm(b, ord=2)),
            "Frobenius norm here",
        ),
    ],
    "04.5": [
        (freezer(patterns=False), "never shown a pattern"),
        (freezer(returns=False), "nothing is frozen"),
        (freezer(first=1), "off by one"),
        (freezer(from_one=True), "patterns of loop 1"),
        (freezer(per_layer=False), "each layer"),
    ],
    "04.6": [
        (following("roots"), "has no ancestor further up"),
        (following("turned"), "the other way round"),
        (following("forests"), "mean of each forest's mean"),
        (following("late"), "begin at the parent"),
        (following("short"), "the node itself is missing"),
    ],
}
