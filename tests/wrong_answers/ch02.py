"""Typical wrong answers to chapter 02, and the hint each of them should get."""

from math import ceil, floor, log2

import torch


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
}
