"""Typical wrong answers to chapter 02, and the hint each of them should get."""

from math import ceil, floor, log2

import torch
import torch.nn.functional as F
from torch.nn.utils import clip_grad_norm_


def run(step, z, loops):
    for _ in range(loops):
        z = step(z)
    return z


def restart(step, z, loops, grad_loops):
    for _ in range(loops):
        end = step(z)
    return end


def cut_everywhere(step, z, loops, grad_loops):
    for _ in range(loops):
        z = step(z.detach())
    return z


def last_loops_only(step, z, loops, grad_loops):
    return run(step, z, grad_loops)


def always_the_last_loops(step, z, loops, grad_loops):
    return run(step, run(step, z, loops - grad_loops).detach(), grad_loops)


def cut_at_the_end(step, z, loops, grad_loops):
    return run(step, z, loops).detach()


def share(hits, depth):
    return torch.stack([hits[depth == d].float().mean() for d in range(int(depth.max()) + 1)])


def with_minus_one(right, depth):
    return share(right, depth + 1)


def sums(right, depth):
    return torch.stack([right[depth == d].float().sum() for d in range(int(depth.max()) + 1)])


def steps(before, last):
    return (last - before).norm(dim=-1)


def drawn(generator):
    return int(torch.randint(3, 7, (), generator=generator))


def ends(model, batch, loops, grad_loops):
    """The states in front of the last loop and behind it."""
    x = model.encode(batch.tokens)
    z = model.start(x)
    for loop in range(loops):
        before = z.detach() if loop <= loops - grad_loops else z
        z = model.step(before, x)
    return before, z


def mean_loss(model, z, batch):
    return F.cross_entropy(model.readout(z).flatten(0, 1), batch.targets.flatten())


def update(model, optimiser, loss, zero=True, clip=1.0, move=True):
    if zero:
        optimiser.zero_grad()
    loss.backward()
    if clip:
        clip_grad_norm_(model.parameters(), clip)
    if move:
        optimiser.step()
    return loss.item()


def training(loops=drawn, cut=None, loss=mean_loss, **settings):
    """A training step with something else in it than there should be."""

    def step(model, optimiser, batch, generator, grad_loops=6):
        z = ends(model, batch, loops(generator), cut or grad_loops)[1]
        return update(model, optimiser, loss(model, z, batch), **settings)

    return step


def along_tokens(model, z, batch):
    return F.cross_entropy(model.readout(z), batch.targets)


def relative(before, last):
    return (steps(before, last) / last.norm(dim=-1)).mean()


def calm(penalty=relative):
    """A step that asks for rest, with this penalty."""

    def step(model, optimiser, batch, generator, grad_loops=6, weight=0.5):
        before, z = ends(model, batch, drawn(generator), grad_loops)
        loss = mean_loss(model, z, batch) + weight * penalty(before, z)
        return update(model, optimiser, loss)

    return step


def full_weight(model, optimiser, batch, generator, grad_loops=6, weight=0.5):
    return calm()(model, optimiser, batch, generator, grad_loops, weight=1.0)


def all_the_way(model, optimiser, batch, generator, grad_loops=6, weight=0.5):
    z = ends(model, batch, drawn(generator), grad_loops)[1]
    start = model.start(model.encode(batch.tokens))
    loss = mean_loss(model, z, batch) + weight * relative(start, z)
    return update(model, optimiser, loss)


def one_more_loop(model, optimiser, batch, generator, grad_loops=6, weight=0.5):
    x = model.encode(batch.tokens)
    before = ends(model, batch, drawn(generator), grad_loops - 1)[1]
    before = before if grad_loops > 1 else before.detach()
    z = model.step(before, x)
    return update(model, optimiser, mean_loss(model, z, batch) + weight * relative(before, z))


# exercise -> [(wrong answer, part of the sentence it should get)]
BANK = {
    "02.1": [
        (lambda low, high, g: int(torch.randint(low, high, (1,), generator=g)), "no 6"),
        (lambda low, high, g: int(torch.randint(low, high + 1, (1,))), "different draws"),
        (lambda low, high, g: torch.randint(low, high + 1, (1,), generator=g), "a plain int"),
        (lambda low, high, g: high, "every draw is 6"),
        (lambda low, high, g: int(torch.randint(high + 1, (1,), generator=g)), "lies outside"),
    ],
    "02.2": [
        (lambda step, z, loops, grad_loops: run(step, z, loops), "still reaches the first"),
        (restart, "restarts at every pass"),
        (cut_everywhere, "through 1 loops"),
        (last_loops_only, "ran 2 times"),
        (cut_at_the_end, "no gradient is left"),
        (always_the_last_loops, "yours ran 6"),
    ],
    "02.3": [
        (with_minus_one, "depth -1 have no depth"),
        (sums, "counts of right answers"),
        (lambda right, depth: sums(right, depth) / right.numel(), "divided by all tokens"),
    ],
    "02.4": [
        (lambda depth: depth, "serial reading"),
        (lambda depth: ceil(depth / 2), "no later row"),
        (lambda depth: max(1, floor(log2(depth))), "round up"),
        (lambda depth: max(1.0, log2(depth)), "should be whole"),
        (lambda depth: ceil(log2(depth)), "no loop, no answer"),
    ],
    "02.5": [
        (lambda before, last: steps(before, last).mean(), "no unit yet"),
        (
            lambda before, last: steps(before, last).mean() / last.norm(dim=-1).mean(),
            "after averaging",
        ),
        (lambda before, last: (last - before).norm() / last.norm(), "a state is the last axis"),
        (
            lambda before, last: (steps(before, last) / last.norm(dim=-1)).mean().item(),
            "carries no gradient",
        ),
        (lambda before, last: steps(before, last) / last.norm(dim=-1), "one number"),
        (
            lambda before, last: (steps(before, last) / last.norm(dim=-1)).square().mean(),
            "square of the ratio",
        ),
    ],
    "02.6": [
        (training(zero=False), "set it to zero first"),
        (training(move=False), "no weight has moved"),
        (training(loss=along_tokens), "along the wrong axis"),
        (training(clip=None), "nothing limits the gradient"),
        (training(loops=lambda generator: 5), "every step runs 5 loops"),
        (training(cut=6), "loops, and grad_loops is 2"),
    ],
    "02.7": [
        (full_weight, "multiply it by its weight"),
        (calm(lambda before, last: relative(before, last).item()), "not in the gradient"),
        (calm(lambda before, last: relative(before.detach(), last)), "in front of the last step"),
        (calm(lambda before, last: 0), "the penalty is not in it"),
        (all_the_way, "the way from the start"),
        (one_more_loop, "from 3 to 6"),
    ],
}
