"""Checks of chapter 10, Released models."""

import torch

from looplab.course.exercises.catalogue import Exercise
from looplab.course.exercises.probing import (
    Mistake,
    agrees,
    ask,
    expect_close,
    expect_number,
    expect_tensor,
    normal,
)
from looplab.course.exercises.solutions import solution


def inject(answer, seed):
    weight, state, given = normal(seed, 4, 8), normal(seed + 1, 2, 3, 4), normal(seed + 2, 2, 3, 4)
    result = expect_tensor(ask(answer, weight, state, given), (2, 3, 4))
    left, right = weight.chunk(2, dim=1)
    if agrees(result, given @ left.T + state @ right.T):
        raise Mistake("the input stands first: in the official order the state does")
    if agrees(result, state + given):
        raise Mistake("that adds the two and leaves the matrix out")
    if agrees(result, (state + given) @ (left + right).T / 2):
        raise Mistake("state and input are mixed before the matrix sees them: keep them apart")
    if agrees(result, state @ left.T):
        raise Mistake("the input is not in it: half of the matrix is unused")
    expect_close(result, state @ left.T + given @ right.T, "that is not W [state; input]")
    return {"injected": result}


def to_half(answer, seed):
    size = 8
    head = normal(seed, 2, 3, size)
    result = expect_tensor(ask(answer, head), (2, 3, size))
    right = torch.cat((head[..., 0::2], head[..., 1::2]), dim=-1)
    if agrees(result, head):
        raise Mistake("nothing has moved: channels 0 and 1 are a pair, and belong 4 apart here")
    back = torch.stack(head.chunk(2, dim=-1), dim=-1).flatten(-2)
    if agrees(result, back):
        raise Mistake("that is the way back, from halves to neighbours")
    if agrees(result, torch.cat((head[..., 1::2], head[..., 0::2]), dim=-1)):
        raise Mistake("the odd channels stand first: every pair would turn backwards")
    if agrees(result, torch.cat(head.chunk(2, dim=-1)[::-1], dim=-1)):
        raise Mistake("the halves are swapped, but neighbours are still neighbours")
    expect_close(result, right, "the channels are not: all first ones of a pair, then all second")
    return {"head": result}


def read_out(answer, seed):
    state = normal(seed, 2, 3, 4)
    scale, mix, words = normal(seed + 1, 4).exp(), normal(seed + 2, 4, 4), normal(seed + 3, 5, 4)

    def norm(x):
        return torch.nn.functional.rms_norm(x, (4,)) * scale

    def coda(x):
        return x + torch.tanh(x @ mix.T)

    def head(x):
        return x @ words.T

    result = ask(answer, state, norm, coda, head)
    if isinstance(result, torch.Tensor) and result.shape == state.shape:
        raise Mistake("this is still a state: the head makes logits of it")
    result = expect_tensor(result, (2, 3, 5))
    if agrees(result, head(norm(coda(state)))):
        raise Mistake("the norm acts once, at the end: that is a retrofit. Huginn's acts twice")
    if agrees(result, head(coda(norm(state)))):
        raise Mistake("the norm acts once, in front of the coda: what does the head read?")
    if agrees(result, head(norm(norm(state)))) or agrees(result, head(norm(state))):
        raise Mistake("the coda is left out")
    if agrees(result, head(norm(coda(norm(norm(state)))))):
        raise Mistake(
            "the state is normed twice before the coda: the official latent_states are normed "
            "already, the state is not"
        )
    expect_close(result, head(norm(coda(norm(state)))), "the logits are not Huginn's")
    return {"logits": result}


def exit_probabilities(answer, seed):
    gate = normal(seed, 4, 2, 3)
    result = expect_tensor(ask(answer, gate), (4, 2, 3))
    leave = gate.sigmoid()
    stay = (1 - leave).cumprod(0)
    before = torch.cat((torch.ones_like(stay[:1]), stay[:-1]))
    right = torch.cat(((leave * before)[:-1], before[-1:]))
    if agrees(result, leave):
        raise Mistake(
            "these are chances to leave for one who is still there: they do not sum to one"
        )
    if agrees(result, leave * before):
        raise Mistake("the sum is below one: at the last loop everybody leaves who is still there")
    if agrees(result, gate.softmax(0)):
        raise Mistake("a softmax over loops: but a gate decides without knowing later loops")
    if agrees(result, leave * before / (leave * before).sum(0)):
        raise Mistake("the rest is spread over all loops: it belongs to the last one")
    if agrees(result, torch.cat(((leave * stay)[:-1], stay[-1:]))):
        raise Mistake("off by one: to leave at loop t one has to stay at the loops before t")
    expect_close(result, right, "the probabilities are not those of leaving at each loop")
    return {"probabilities": result}


def core_slot(answer, seed):
    draw = torch.Generator().manual_seed(seed)
    prelude, core = 2 + int(torch.randint(40, (), generator=draw)), 5
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
