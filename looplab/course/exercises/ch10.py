"""Checks of chapter 10, Released models."""

import torch

from looplab.course.exercises.catalogue import Exercise
from looplab.course.exercises.kinds import as_tensor
from looplab.course.exercises.probing import (
    Mistake,
    agrees,
    ask,
    expect_number,
    expect_right,
    expect_tensor,
    normal,
)
from looplab.course.exercises.solutions import solution


def inject(answer, seed):
    weight, state, given = normal(seed, 4, 8), normal(seed + 1, 2, 3, 4), normal(seed + 2, 2, 3, 4)
    result = expect_tensor(ask(answer, weight, state, given), (2, 3, 4))
    left, right = weight.chunk(2, dim=1)
    named = {
        "the input stands first: in the official order the state does": (
            given @ left.T + state @ right.T
        ),
        "that adds the two and leaves the matrix out": state + given,
        "state and input are mixed before the matrix sees them: keep them apart": (
            (state + given) @ (left + right).T / 2
        ),
        "the input is not in it: half of the matrix is unused": state @ left.T,
    }
    wanted = state @ left.T + given @ right.T
    expect_right(result, wanted, named, "that is not W [state; input]")
    return {"injected": result}


def to_half(answer, seed):
    return {
        "head": _halves(answer, normal(seed, 2, 3, 8)),
        "small": _halves(answer, normal(seed, 6)),
    }


def _halves(answer, head):
    result = expect_tensor(ask(answer, head), head.shape)
    apart = head.shape[-1] // 2
    named = {
        f"nothing has moved: channels 0 and 1 are a pair, and belong {apart} apart here": head,
        "that is the way back, from halves to neighbours": (
            torch.stack(head.chunk(2, dim=-1), dim=-1).flatten(-2)
        ),
        "the odd channels stand first: every pair would turn backwards": (
            torch.cat((head[..., 1::2], head[..., 0::2]), dim=-1)
        ),
        "the halves are swapped, but neighbours are still neighbours": (
            torch.cat(head.chunk(2, dim=-1)[::-1], dim=-1)
        ),
    }
    right = torch.cat((head[..., 0::2], head[..., 1::2]), dim=-1)
    wrong = "the channels are not: all first ones of a pair, then all second"
    expect_right(result, right, named, wrong)
    return result


def read_out(answer, seed):
    state = normal(seed, 2, 3, 4)
    scale, mix, words = normal(seed + 1, 4).exp(), normal(seed + 2, 4, 4), normal(seed + 3, 5, 4)

    def norm(x):
        return torch.nn.functional.rms_norm(x, (4,)) * scale

    def coda(x):
        return x + torch.tanh(x @ mix.T)

    def head(x):
        return x @ words.T

    result = as_tensor(ask(answer, state, norm, coda, head))
    if isinstance(result, torch.Tensor) and result.shape == state.shape:
        raise Mistake("this is still a state: the head makes logits of it")
    result = expect_tensor(result, (2, 3, 5))
    if agrees(result, head(norm(state))):
        raise Mistake("the coda is left out")
    named = {
        "the norm acts once, at the end: that is a retrofit. Huginn's acts twice": (
            head(norm(coda(state)))
        ),
        "the norm acts once, in front of the coda: what does the head read?": (
            head(coda(norm(state)))
        ),
        "the coda is left out": head(norm(norm(state))),
        (
            "the state is normed twice before the coda: the official latent_states are normed "
            "already, the state is not"
        ): head(norm(coda(norm(norm(state))))),
    }
    expect_right(result, head(norm(coda(norm(state)))), named, "the logits are not Huginn's")
    return {"logits": result}


def exit_probabilities(answer, seed):
    gate = normal(seed, 4, 2, 3)
    result = expect_tensor(ask(answer, gate), (4, 2, 3))
    leave = gate.sigmoid()
    stay = (1 - leave).cumprod(0)
    before = torch.cat((torch.ones_like(stay[:1]), stay[:-1]))
    named = {
        "these are chances to leave for one who is still there: they do not sum to one": leave,
        "the sum is below one: at the last loop everybody leaves who is still there": (
            leave * before
        ),
        "a softmax over loops: but a gate decides without knowing later loops": gate.softmax(0),
        "the rest is spread over all loops: it belongs to the last one": (
            leave * before / (leave * before).sum(0)
        ),
        "off by one: to leave at loop t one has to stay at the loops before t": (
            torch.cat(((leave * stay)[:-1], stay[-1:]))
        ),
    }
    right = torch.cat(((leave * before)[:-1], before[-1:]))
    wrong = "the probabilities are not those of leaving at each loop"
    expect_right(result, right, named, wrong)
    return {"probabilities": result}


def core_slot(answer, seed):
    draw = torch.Generator().manual_seed(seed)
    prelude, core = 6 + int(torch.randint(40, (), generator=draw)), 5
    cases = [(0, 0), (0, 3), (1, 0), (2, 1), (7, 3)]
    found = [
        expect_number(ask(answer, loop, layer, prelude=prelude, core=core)) for loop, layer in cases
    ]

    def are(slot):
        return found == [slot(loop, layer) for loop, layer in cases]

    if are(lambda loop, layer: loop * core + layer):
        raise Mistake("the prelude's layers have slots too, and stand in front")
    if are(lambda loop, layer: prelude + layer):
        raise Mistake(
            "all loops share one slot: later loops would overwrite the keys of earlier ones"
        )
    if are(lambda loop, layer: prelude + (loop - 1) * core + layer):
        raise Mistake("off by one pass: loops count from 0 here")
    if are(lambda loop, layer: prelude + loop * (prelude + core) + layer):
        raise Mistake("the prelude runs once, not in every loop")
    if are(lambda loop, layer: prelude + loop + layer):
        raise Mistake("one loop further is a whole core further, not one slot")
    if not are(lambda loop, layer: prelude + loop * core + layer):
        raise Mistake("the slot is not the number of layers that ran before this one")
    return {"slots": found}


EXERCISES = [
    Exercise("10.1", "state first", solution("10.1"), inject),
    Exercise("10.2", "the norm that acts twice", solution("10.2"), read_out),
    Exercise("10.3", "which channels turn together", solution("10.3"), to_half),
    Exercise("10.4", "when a token leaves", solution("10.4"), exit_probabilities),
    Exercise("10.5", "the right slot", solution("10.5"), core_slot),
]
