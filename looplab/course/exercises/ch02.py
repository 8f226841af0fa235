"""Checks of chapter 02, Train a tiny loop."""

import random
from math import ceil

import torch

from looplab.course.exercises.catalogue import Exercise
from looplab.course.exercises.probing import (
    Mistake,
    agrees,
    ask,
    expect_close,
    expect_number,
    expect_right,
    expect_tensor,
    watch,
)
from looplab.course.exercises.solutions import solution


def draw_loops(answer, seed):
    def draws(answer, low, high, seed, count):
        generator = torch.Generator().manual_seed(seed)
        return [answer(low, high, generator) for _ in range(count)]

    if not callable(answer):
        raise Mistake(f"a function is expected here, and this is a {type(answer).__name__}")
    ends = {}
    for low, high in ((3, 6), (7 + seed % 100, 10 + seed % 100)):
        found = [_plain_int(one) for one in watch(answer, draws, low, high, seed, 2000)]
        again = [_plain_int(one) for one in watch(answer, draws, low, high, seed, 60)]
        if found[:60] != again:
            raise Mistake("the same generator state gives different draws: draw from the generator")
        if min(found) < low or max(found) > high:
            lowest, highest = min(found), max(found)
            raise Mistake(f"a draw of {lowest} or {highest} lies outside {low} to {high}")
        if len(set(found)) == 1:
            raise Mistake(f"every draw is {found[0]}: a new number is needed at each step")
        counts = {one: found.count(one) for one in range(low, high + 1)}
        if missing := [one for one, count in counts.items() if not count]:
            raise Mistake(
                f"in 2000 draws from {low} to {high} there was no {missing[0]}: "
                "both ends belong to it"
            )
        # 500 each, and never 100 off by chance, which is more than five standard deviations.
        if max(abs(count - 500) for count in counts.values()) > 100:
            told = ", ".join(f"{one} {count} times" for one, count in counts.items())
            raise Mistake(
                f"some numbers come more often than others, in 2000 draws {told}: each of them "
                "should be as likely"
            )
        ends[f"{low} to {high}"] = [min(found), max(found)]
    return {"ends": ends}


def _plain_int(value):
    if isinstance(value, torch.Tensor) and not value.dim() and not value.dtype.is_floating_point:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int):
        raise Mistake(f"a plain int is expected, and this is a {type(value).__name__}")
    return value


def run_loops(answer, seed):
    generator = torch.Generator().manual_seed(seed)
    start = torch.rand(3, generator=generator) + 0.5
    rate = torch.rand((), generator=generator) / 2 + 0.5

    def watched(answer, start, rate, loops, grad_loops):
        calls, rate = [], rate.clone().requires_grad_()

        def step(z):
            calls.append(z.detach().clone())
            return rate * z

        end, slope = ask(answer, step, start, loops, grad_loops), None
        if isinstance(end, torch.Tensor) and end.requires_grad:
            (slope,) = torch.autograd.grad(end.sum(), rate, allow_unused=True)
        return end, calls, slope

    end, calls, slope = watch(answer, watched, start, rate, 5, 2)
    end = expect_tensor(end, (3,))
    if len(calls) != 5:
        raise Mistake(f"5 loops were asked for and the step ran {len(calls)} times")
    if all(torch.equal(z, start) for z in calls):
        raise Mistake("your state restarts at every pass: each step begins from the same state")
    expect_close(end, rate.item() ** 5 * start, "the end of the run is not step^5(start)")
    if slope is None:
        raise Mistake("no gradient is left at all: the last loops must carry it")
    passes = [n * (rate.item() ** 4 * start).sum() for n in range(6)]  # n passes carry gradient
    reached = [n for n in range(6) if torch.allclose(slope, passes[n], rtol=1e-4)]
    if reached == [5]:
        raise Mistake("the gradient still reaches the first loops: cut it in front of the last 2")
    if reached != [2]:
        through = f"{reached[0]}" if reached else "some other number of"
        raise Mistake(f"the gradient goes through {through} loops, and 2 were asked for")
    # Training draws such short runs too.
    _, calls, short = watch(answer, watched, start, rate, 3, 6)
    if len(calls) != 3:
        raise Mistake(
            f"of 3 loops with gradient through the last 6 yours ran {len(calls)}: a run shorter "
            "than the cut is run as it is, with gradient through all of it"
        )
    if short is None or not agrees(short, 3 * (rate.item() ** 2 * start).sum()):
        raise Mistake(
            "of 3 loops with gradient through the last 6 all carry gradient, and in yours not all "
            "do: what stands in front of the first?"
        )
    return {"end": end, "slope": slope}


def accuracy_by_depth(answer, seed):
    for deepest in (4, 2 + seed % 2):
        result = _accuracy(answer, seed, deepest)
    return {"accuracy": result}


def _accuracy(answer, seed, deepest):
    generator = torch.Generator().manual_seed(seed)
    depth = torch.randint(-1, deepest + 1, (20, 6), generator=generator)
    depth[0, :5] = torch.tensor([deepest, deepest, 0, 1, 2])  # every depth is there
    depth[:10] = depth[:10].clamp(max=max(2, depth[0].max() // 2))  # and not spread evenly
    depth[0, 0] = deepest
    right = torch.rand(20, 6, generator=generator) < 0.5
    result = expect_tensor(ask(answer, right, depth))
    counts = torch.stack([(depth == d).sum() for d in range(deepest + 1)])
    hits = torch.stack([(right & (depth == d)).sum() for d in range(deepest + 1)])
    if result.shape == (deepest + 2,):
        raise Mistake(
            "there is a place too many: tokens of depth -1 have no depth and do not count"
        )
    result = expect_tensor(result, (deepest + 1,))
    named = {
        "these are counts of right answers: divide by the tokens of that depth": hits,
        "you divided by all tokens: the share is among the tokens of one depth": (
            hits / right.numel()
        ),
        "that is the share of wrong answers": 1 - hits / counts,
    }
    expect_right(result, hits / counts, named, "the shape is right, but the shares are not")
    return result


def loops_needed(answer, seed):
    depths = [1, 2, 3, 4, 5, 8, 9, 11, 16, 17]
    found = [expect_number(ask(answer, depth)) for depth in depths]
    right = [max(1, (depth - 1).bit_length()) for depth in depths]
    if found == depths:
        raise Mistake(
            "one loop per step is what serial reading would need; look at the table again"
        )
    if found == [ceil(depth / 2) for depth in depths]:
        raise Mistake("that fits loops 1 and 2 and no later row of the table: how does it go on?")
    if any(value % 1 for value in found):
        raise Mistake("a loop is run or not: the number should be whole")
    if found[5:] != right[5:] and [v + 1 for v in found[5:]] >= right[5:] and found[5] == right[5]:
        raise Mistake("a depth just above a power of two needs one loop more: round up")
    if found[0] == 0:
        raise Mistake("depth 1 takes a loop as well: no loop, no answer")
    expect_close(found, right, "some depths get another number of loops in the table")
    deep = [int(2 ** random.Random(seed + n).uniform(4, 12)) for n in range(6)]
    further = [expect_number(ask(answer, depth)) for depth in deep]
    expect_close(
        further,
        [(depth - 1).bit_length() for depth in deep],
        f"the law holds beyond the table too: look at the depths {deep}",
    )
    return {"loops": found + further}


def rest_penalty(answer, seed):
    generator = torch.Generator().manual_seed(seed)
    before, last = torch.randn(2, 4, 3, 5, generator=generator)
    last = last * torch.tensor([0.2, 1.0, 5.0])[:, None]  # tokens of different lengths
    result = ask(answer, before, last)
    if isinstance(result, torch.Tensor) and result.numel() > 1:
        raise Mistake("a loss is one number: take the mean over batch and tokens")
    value = expect_number(result)
    step, size = (last - before).norm(dim=-1), last.norm(dim=-1)
    named = {
        "the step has no unit yet: divide by the length of the last state": step.mean(),
        "you divided after averaging: each token has a length of its own": step.mean()
        / size.mean(),
        "the lengths run over batch and tokens too: a state is the last axis": (
            (last - before).norm() / last.norm()
        ),
        "that is the square of the ratio: a small step would hardly count": (
            (step / size).square().mean()
        ),
        "you divided by the length of the state before: asked is that of the last": (
            (step / before.norm(dim=-1)).mean()
        ),
    }
    wrong = "it is a number, but not the mean relative step"
    expect_right(value, (step / size).mean(), named, wrong)

    def teaches(answer, before, last):
        penalty = answer(before.clone(), last.clone().requires_grad_())
        return isinstance(penalty, torch.Tensor) and penalty.requires_grad

    if not watch(answer, teaches, before, last):
        raise Mistake("the penalty carries no gradient, so it cannot teach: keep it a tensor")
    return {"penalty": value}


EXERCISES = [
    Exercise("02.1", "draw the number of loops", solution("02.1"), draw_loops),
    Exercise("02.2", "cut the gradient", solution("02.2"), run_loops),
    Exercise("02.3", "accuracy by depth", solution("02.3"), accuracy_by_depth),
    Exercise("02.4", "the law of the staircase", solution("02.4"), loops_needed),
    Exercise("02.5", "a penalty for restlessness", solution("02.5"), rest_penalty),
]
