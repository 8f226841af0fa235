"""Typical wrong answers to chapter 09, and the hint each of them should get."""

from itertools import combinations, pairwise

import torch
import torch.nn.functional as F


def gates(wrong):
    """stream_gates with one thing wrong."""

    def stream_gates(y, pre, post, res):
        flat = (y.transpose(-1, -2) if wrong == "order" else y).flatten(-2)
        g = flat / flat.square().mean(-1, keepdim=True).sqrt()
        if wrong == "length":
            g = flat
        if wrong == "sum":
            g = F.normalize(flat, dim=-1)
        if wrong == "each":
            g = (y / y.square().mean(-1, keepdim=True).sqrt()).flatten(-2)
        told = [alpha * (g @ phi.T) + bias for phi, alpha, bias in (pre, post, res)]
        if wrong == "softmax":
            p, q, kept = (x.softmax(-1) for x in told)
        else:
            p, q, kept = (x.sigmoid() for x in told)
        return p, q if wrong == "two" else 2 * q, kept

    return stream_gates


def loop(wrong):
    """my_hyperloop with one thing wrong."""

    def my_hyperloop(x, block, gates, embeds, streams):
        y = torch.stack([x] * streams, dim=-2)
        for i, embed in enumerate(embeds):
            p, q, g = gates(y, 0 if wrong == "gates" else i)
            read = (p[..., None] * y).sum(-2)
            z = block(read + embed) if wrong == "before" else block(read) + embed
            kept = y if wrong == "all" else g[..., None] * y
            y = kept + q[..., None] * z[..., None, :]
        return y if wrong == "streams" else y.sum(-2) if wrong == "sum" else y.mean(-2)

    return my_hyperloop


def alike(pairs, before=False):
    """Cosines of these pairs of loops, averaged."""

    def cosine_between_loops(states):
        x = states.flatten(2, -2).mean(2, keepdim=True) if before else states
        unit = F.normalize(x, dim=-1)
        told = torch.stack([(unit[i] * unit[j]).sum(-1) for i, j in pairs(len(states))])
        return told.mean(0).flatten(1).mean(1)

    return cosine_between_loops


def levels(wrong):
    """rounded with one thing wrong."""

    def rounded(weight, bits, group):
        groups = weight[:, None] if wrong == "row" else weight.unflatten(-1, (-1, group))
        top = 2 ** (bits - 1) - (wrong != "level")
        scale = groups.abs().amax(-1, keepdim=True) / top
        if wrong != "zeros":
            scale = scale.clamp(min=1e-12)
        kept = (groups / scale).floor() if wrong == "floor" else (groups / scale).round()
        return (kept if wrong == "levels" else kept * scale).reshape(weight.shape)

    return rounded


BANK = {
    "09.1": [
        (gates("length"), "go in with their length"),
        (gates("sum"), "not of the sum"),
        (gates("each"), "one for all of them"),
        (gates("order"), "stream after stream"),
        (gates("two"), "twice a sigmoid"),
        (gates("softmax"), "compete"),
    ],
    "09.2": [
        (loop("before"), "goes into the block"),
        (loop("gates"), "pass 0"),
        (loop("all"), "multiply them by G"),
        (loop("sum"), "take their mean"),
        (loop("streams"), "return their mean"),
    ],
    "09.3": [
        (
            lambda read, write, keep: (
                torch.diag_embed(keep) + read[..., :, None] * write[..., None, :]
            ),
            "exchanged",
        ),
        (lambda read, write, keep: write[..., :, None] * read[..., None, :], "on the diagonal"),
        (lambda read, write, keep: torch.diag_embed(keep + write * read), "reads only itself"),
        (
            lambda read, write, keep: keep[..., :, None] + write[..., :, None] * read[..., None, :],
            "keeps of all the others",
        ),
    ],
    "09.4": [
        (alike(lambda n: [*pairwise(range(n))]), "only neighbouring"),
        (alike(lambda n: [(i, n - 1) for i in range(n - 1)]), "with the last one"),
        (alike(lambda n: [(i, j) for i in range(n) for j in range(n)]), "with itself"),
        (alike(lambda n: [*combinations(range(n), 2)], before=True), "averaged first"),
    ],
    "09.5": [
        (levels("row"), "one scale for each row"),
        (levels("level"), "a level too many"),
        (levels("floor"), "nearest"),
        (levels("levels"), "multiply them by their scale"),
        (levels("zeros"), "must stay zeros"),
    ],
}
