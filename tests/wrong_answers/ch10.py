"""Typical wrong answers to chapter 10, and the hint each of them should get."""

import torch


def chances(gate):
    leave = gate.sigmoid()
    stay = (1 - leave).cumprod(0)
    before = torch.cat((torch.ones_like(stay[:1]), stay[:-1]))
    return leave, stay, before


def no_rest(gate):
    leave, _, before = chances(gate)
    return leave * before


def spread_rest(gate):
    found = no_rest(gate)
    return found / found.sum(0)


def late(gate):
    leave, stay, _ = chances(gate)
    return torch.cat(((leave * stay)[:-1], stay[-1:]))


def swapped(head):
    return torch.cat(head.chunk(2, dim=-1)[::-1], dim=-1)


# exercise -> [(wrong answer, part of the sentence it should get)]
BANK = {
    "10.1": [
        (lambda w, s, x: torch.cat((x, s), dim=-1) @ w.T, "input stands first"),
        (lambda w, s, x: s + x, "leaves the matrix out"),
        (lambda w, s, x: torch.cat((s + x, s + x), dim=-1) @ w.T / 2, "keep them apart"),
        (lambda w, s, x: torch.cat((s, 0 * x), dim=-1) @ w.T, "input is not in it"),
    ],
    "10.2": [
        (lambda s, norm, coda, head: head(norm(coda(s))), "that is a retrofit"),
        (lambda s, norm, coda, head: head(coda(norm(s))), "what does the head read"),
        (lambda s, norm, coda, head: head(norm(norm(s))), "coda is left out"),
        (lambda s, norm, coda, head: head(norm(coda(norm(norm(s))))), "normed twice before"),
        (lambda s, norm, coda, head: norm(coda(norm(s))), "still a state"),
    ],
    "10.3": [
        (lambda head: head.clone(), "nothing has moved"),
        (
            lambda head: torch.stack(head.chunk(2, dim=-1), dim=-1).flatten(-2),
            "the way back",
        ),
        (lambda head: torch.cat((head[..., 1::2], head[..., 0::2]), dim=-1), "turn backwards"),
        (swapped, "halves are swapped"),
    ],
    "10.4": [
        (lambda gate: gate.sigmoid(), "do not sum to one"),
        (no_rest, "everybody leaves"),
        (lambda gate: gate.softmax(0), "without knowing later loops"),
        (spread_rest, "belongs to the last one"),
        (late, "off by one"),
    ],
    "10.5": [
        (lambda loop, layer, prelude, core: loop * core + layer, "prelude's layers have slots"),
        (lambda loop, layer, prelude, core: prelude + layer, "overwrite"),
        (
            lambda loop, layer, prelude, core: prelude + (loop - 1) * core + layer,
            "loops count from 0",
        ),
        (
            lambda loop, layer, prelude, core: prelude + loop * (prelude + core) + layer,
            "runs once",
        ),
        (lambda loop, layer, prelude, core: prelude + loop + layer, "a whole core further"),
    ],
}
