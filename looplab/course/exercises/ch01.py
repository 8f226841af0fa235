"""Checks of chapter 01, Loop a block."""

import copy

import torch
from torch import nn

from looplab.course.exercises.catalogue import Exercise
from looplab.course.exercises.probing import (
    Mistake,
    agrees,
    ask,
    expect_close,
    expect_number,
    expect_tensor,
)
from looplab.course.exercises.solutions import solution


class _Parts(nn.Module):
    """A small block whose norms have scales of their own, so that mixing them up shows."""

    def __init__(self, width, heads):
        super().__init__()
        self.norm1, self.norm2 = nn.RMSNorm(width), nn.RMSNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, bias=False, batch_first=True)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )
        for norm in (self.norm1, self.norm2):
            nn.init.uniform_(norm.weight, 0.5, 2.0)


class _OutputAlone(nn.Module):
    """Attention that returns its output, and no pattern beside it."""

    def __init__(self, attention):
        super().__init__()
        self.attention = attention

    def forward(self, *given, **named):
        return self.attention(*given, **named)[0]


def _runs_without_pattern(answer, block, x):
    """True for an answer that takes what attention returns for the output alone."""
    alone = copy.deepcopy(block)
    alone.attention = _OutputAlone(alone.attention)
    try:
        ask(answer, alone, x)
    except Exception:
        return False
    return True


def through(answer, seed):
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        block, x = _Parts(8, 2), 2 * torch.randn(2, 5, 8)
        first = block.norm1(x)
        brought = block.attention(first, first, first)[0]
        after = x + brought
        try:
            result = ask(answer, block, x)
        except TypeError:
            if _runs_without_pattern(answer, block, x):
                raise Mistake(
                    "attention returns two things, the output and the pattern: take the first"
                ) from None
            raise
        result = expect_tensor(result, (2, 5, 8))
        plain = block.attention(x, x, x)[0]
        half = block.attention(first, x, x)[0]
        normed = block.norm1(x + plain)
        named = {
            "attention replaces the state here: a branch's output is added to it": (
                brought + block.mlp(block.norm2(brought))
            ),
            "the MLP replaces the state here: a branch's output is added to it": (
                block.mlp(block.norm2(after))
            ),
            "neither branch is added to the state: the stream goes straight through": (
                block.mlp(block.norm2(brought))
            ),
            "attention reads the state without a norm": x
            + plain
            + block.mlp(block.norm2(x + plain)),
            "only the queries are normed: keys and values read the same normed state": (
                x + half + block.mlp(block.norm2(x + half))
            ),
            "the MLP reads the state without a norm": after + block.mlp(after),
            "the MLP has a norm of its own, norm2": after + block.mlp(block.norm1(after)),
            "what attention brought is lost: the MLP's output is added to the first state": (
                x + block.mlp(block.norm2(after))
            ),
            "the MLP reads the state of before attention: the branches come one after the other": (
                after + block.mlp(block.norm2(x))
            ),
            "the norms stand behind the sums; in pre-norm each stands in front of its branch": (
                block.norm2(normed + block.mlp(normed))
            ),
        }
        for mistake, wrong in named.items():
            if agrees(result, wrong):
                raise Mistake(mistake)
        right = after + block.mlp(block.norm2(after))
        expect_close(
            result, right, "the shape is right, but not what comes out of a pre-norm layer"
        )
    return {"state": result}


def run_loop(answer, seed):
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(2, 4, 6, generator=draw)
    weights = torch.randn(2, 6, 6, generator=draw) / 2
    into = torch.randn(6, 12, generator=draw) / 3
    blocks = [lambda z, w=w: z + torch.tanh(z @ w) for w in weights]

    def mix(both):
        if both.shape[-1] != 12:
            raise Mistake(
                "the mix takes state and input side by side, along the width: torch.cat(..., -1)"
            )
        return both @ into.T

    loops = 4
    result = ask(answer, blocks, mix, x, loops)
    result = expect_tensor(result)

    def pair(z, swap=False):
        return mix(torch.cat((x, z) if swap else (z, x), dim=-1))

    def run(start, once=False, each=False, swap=False, restart=False, injected=True):
        z, ends = start, []
        if once:
            z = pair(z)
        for _ in range(loops):
            z = start if restart else z
            if not once and not each and injected:
                z = pair(z, swap)
            for block in blocks:
                z = block(pair(z) if each else z)
            ends.append(z)
        return torch.stack(ends)

    zero = torch.zeros_like(x)
    right = run(zero)
    if result.shape == x.shape:
        if agrees(result, right[-1]):
            raise Mistake("only the last state is returned: keep the end of every pass, and stack")
        raise Mistake(f"the shape is that of one state; the ends of all {loops} passes are asked")
    if result.shape == (loops + 1, *x.shape):
        raise Mistake("one state too many: the zero state is no end of a pass")
    if result.shape == (loops * len(blocks), *x.shape):
        raise Mistake("a state is kept after every block: keep the end of every pass only")
    result = expect_tensor(result, (loops, *x.shape))
    z, alone = pair(zero), []
    for block in blocks:
        for _ in range(loops):
            z = block(z)
            alone.append(z)
    named = {
        "the input comes in once, in front of the loop: inject it at the start of every pass": (
            run(zero, once=True)
        ),
        "the input comes in in front of every block: once per pass, in front of the first": (
            run(zero, each=True)
        ),
        "the mix takes the state first, then the input": run(zero, swap=True),
        "every pass begins at zero again: hand the state on from pass to pass": (
            run(zero, restart=True)
        ),
        "the state starts at zero here, not at the input": run(x),
        "the input is never injected": run(x, injected=False),
    }
    for mistake, wrong in named.items():
        if agrees(result, wrong):
            raise Mistake(mistake)
    if agrees(result[-1], alone[-1]):
        raise Mistake("each block is looped by itself: a pass runs all blocks, and passes repeat")
    expect_close(result, right, "the shape is right, but these are not the ends of the passes")
    return {"ends": result}


def count_weights(answer, seed):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        width = 3 + seed % 17
        a, b, c = (nn.Linear(width, width) for _ in range(3))  # one shape, three modules
        wide = nn.Linear(width, 2 * width, bias=False)
    twin = copy.deepcopy(a)  # equal values, and weights of its own
    tied = nn.Linear(width, width)
    tied.weight = c.weight  # another module, the same weight
    frozen = copy.deepcopy(b).requires_grad_(False)
    stacks = [[a, b, wide] * 3, [a, twin], [c, tied], [a, b, c], [b, frozen]]
    found = [expect_number(ask(answer, list(stack))) for stack in stacks]
    one = width * width + width
    right = [2 * one + 2 * width**2, 2 * one, one + width, 3 * one, 2 * one]

    def by(key, size=lambda weight: weight.numel(), wanted=lambda weight: True):
        counted = []
        for stack in stacks:
            weights = [w for module in stack for w in module.parameters() if wanted(w)]
            counted.append(sum(size(w) for w in {key(w): w for w in weights}.values()))
        return counted

    modules = [
        sum(w.numel() for module in {id(m): m for m in stack}.values() for w in module.parameters())
        for stack in stacks
    ]
    named = {
        "a shared weight is counted again in every pass: it is stored once": [
            sum(w.numel() for module in stack for w in module.parameters()) for stack in stacks
        ],
        "that counts tensors; a weight of 3 by 3 holds nine numbers": by(id, size=lambda w: 1),
        "weights of one shape are taken for one weight": by(lambda w: tuple(w.shape)),
        "weights of equal values are taken for one weight: they are stored twice": by(
            lambda w: tuple(w.flatten().tolist())
        ),
        "frozen weights are left out: they are stored as well": by(
            id, wanted=lambda w: w.requires_grad
        ),
        "two modules may hold one and the same weight: compare weights, not modules": modules,
        "that is the first module alone": [
            sum(w.numel() for w in stack[0].parameters()) for stack in stacks
        ],
    }
    for mistake, wrong in named.items():
        if found == wrong:
            raise Mistake(mistake)
    expect_close(found, right, "the number is not that of the weights to be stored")
    return {"weights": found}


def gradient_by_pass(answer, seed):
    draw = torch.Generator().manual_seed(seed)
    weight = torch.randn(4, 4, generator=draw) / 2
    x, z = torch.randn(2, 3, 4, generator=draw).unbind()
    target, loops = torch.randn(3, 4, generator=draw), 3

    def step(state, w):
        return torch.tanh(state @ w + x)

    def loss(state):
        return (state - target).square().sum()

    # The learner may need the weight to carry a gradient; ask copies what carries none.
    result = expect_tensor(ask(answer, step, weight, z, loops, loss))
    right = solution("01.4")(step, weight, z, loops, loss)
    whole = right.sum(0)
    if result.shape == whole.shape:
        raise Mistake("one gradient for all passes: keep a row for each pass")
    result = expect_tensor(result, right.shape)
    if agrees(result, whole.expand_as(right)):
        raise Mistake("every row is the whole sum: each pass needs a copy of its own")
    if agrees(result, whole.expand_as(right) / loops):
        raise Mistake("the sum is split into equal parts; the passes do not count equally")
    if agrees(result, right.flip(0)):
        raise Mistake("the right rows in the wrong order: row 0 belongs to the first pass")
    if agrees(result[-1], right[-1]) and not result[:-1].any():
        raise Mistake("only the last pass has a gradient: the state must carry its history along")
    local = _after_each_pass(step, weight, z, loops, loss)
    if agrees(result, local):
        raise Mistake("the loss is taken after every pass: only the last state counts")
    if agrees(result, right.cumsum(0)):
        raise Mistake("the rows add up as they go: row t is pass t alone")
    expect_close(result, right, "the shape is right, but not the gradients of the passes")
    return {"gradients": result}


def _after_each_pass(step, weight, z, loops, loss):
    rows = []
    for _ in range(loops):
        copy = weight.detach().clone().requires_grad_()
        z = step(z.detach(), copy)
        rows.append(torch.autograd.grad(loss(z), copy)[0])
    return torch.stack(rows)


def influence(answer, seed):
    draw = torch.Generator().manual_seed(seed)
    a, b = torch.randn(2, 3, 4, 5, generator=draw).unbind()
    a, b = a * torch.tensor([0.5, 1, 2, 4])[:, None], 2 * b
    result = ask(answer, a, b)
    far, long, short = (a - b).norm(dim=-1), a.norm(dim=-1), b.norm(dim=-1)
    if isinstance(result, torch.Tensor) and result.shape == ():
        raise Mistake("one number for everything: a state is the last axis, keep the others")
    result = expect_tensor(result, far.shape)
    right = far / ((long + short) / 2)
    named = {
        "the distance has no unit yet: divide by the mean length of the two": far,
        "half of it: the unit is the mean of the two lengths, not their sum": right / 2,
        "the unit is the first state's length; the two should be treated alike": far / long,
        "the unit is the second state's length; the two should be treated alike": far / short,
        "these are squared distances: the square root is missing": far.square()
        / ((long + short) / 2),
        "that is their cosine: it is 1 where the states agree, and a distance is 0": (
            (a * b).sum(-1) / (long * short)
        ),
    }
    for mistake, wrong in named.items():
        if agrees(result, wrong):
            raise Mistake(mistake)
    expect_close(result, right, "the shape is right, but the numbers are not")
    return {"influence": result}


EXERCISES = [
    Exercise("01.1", "through a block", solution("01.1"), through),
    Exercise("01.2", "the loop", solution("01.2"), run_loop),
    Exercise("01.3", "count the weights", solution("01.3"), count_weights),
    Exercise("01.4", "the gradient, pass by pass", solution("01.4"), gradient_by_pass),
    Exercise("01.5", "how much of the input is left", solution("01.5"), influence),
]
