"""Checks of chapter 02, Train a tiny loop."""

from math import ceil, log2

import torch

from looplab.exercises.checking import Exercise
from looplab.exercises.probing import Mistake, ask, expect_close, expect_number, expect_tensor


def draw_loops(answer, seed):
    def draws(low, high, seed, count=60):
        generator = torch.Generator().manual_seed(seed)
        return [ask(answer, low, high, generator) for _ in range(count)]

    found = draws(3, 6, seed)
    for loops in found:
        if isinstance(loops, bool) or not isinstance(loops, int):
            raise Mistake(f"a plain int is expected, and this is a {type(loops).__name__}")
    if found != draws(3, 6, seed):
        raise Mistake("the same generator state gives different draws: draw from the generator")
    if min(found) < 3 or max(found) > 6:
        raise Mistake(f"a draw of {min(found)} or {max(found)} lies outside 3 to 6")
    if len(set(found)) == 1:
        raise Mistake(f"every draw is {found[0]}: a new number is needed at each step")
    if set(found) != {3, 4, 5, 6}:
        missing = sorted({3, 4, 5, 6} - set(found))
        raise Mistake(f"in 60 draws from 3 to 6 there was no {missing[0]}: both ends belong to it")
    return {"lowest": min(found), "highest": max(found)}


def run_loops(answer, seed):
    generator = torch.Generator().manual_seed(seed)
    start = torch.rand(3, generator=generator) + 0.5
    rate = (torch.rand((), generator=generator) / 2 + 0.5).requires_grad_()
    calls = []

    def step(z):
        calls.append(z.detach().clone())
        return rate * z

    end = ask(answer, step, start, 5, 2)
    expect_tensor(end, (3,))
    if len(calls) != 5:
        raise Mistake(f"5 loops were asked for and the step ran {len(calls)} times")
    if all(torch.equal(z, start) for z in calls):
        raise Mistake("your state restarts at every pass: each step begins from the same state")
    expect_close(end.detach(), rate.item() ** 5 * start, "the end of the run is not step^5(start)")
    if not end.requires_grad:
        raise Mistake("no gradient is left at all: the last loops must carry it")
    (slope,) = torch.autograd.grad(end.sum(), rate)
    passes = [n * (rate.item() ** 4 * start).sum() for n in range(6)]  # n passes carry gradient
    reached = [n for n in range(6) if torch.allclose(slope, passes[n], rtol=1e-4)]
    if reached == [5]:
        raise Mistake("the gradient still reaches the first loops: cut it in front of the last 2")
    if reached != [2]:
        through = f"{reached[0]}" if reached else "some other number of"
        raise Mistake(f"the gradient goes through {through} loops, and 2 were asked for")
    return {"end": end, "slope": slope}


def accuracy_by_depth(answer, seed):
    generator = torch.Generator().manual_seed(seed)
    depth = torch.randint(-1, 5, (20, 6), generator=generator)
    depth[0, 0] = 4
    depth[:10] = depth[:10].clamp(max=2)  # depths are not spread evenly over the items
    right = torch.rand(20, 6, generator=generator) < 0.5
    result = expect_tensor(ask(answer, right, depth))
    counts = torch.stack([(depth == d).sum() for d in range(5)])
    hits = torch.stack([(right & (depth == d)).sum() for d in range(5)])
    if result.shape == (6,):
        raise Mistake(
            "there is a place too many: tokens of depth -1 have no depth and do not count"
        )
    expect_tensor(result, (5,))
    if torch.allclose(result.float(), hits.float()):
        raise Mistake("these are counts of right answers: divide by the tokens of that depth")
    if torch.allclose(result.float(), hits / right.numel()):
        raise Mistake("you divided by all tokens: the share is among the tokens of one depth")
    expect_close(result, hits / counts, "the shape is right, but the shares are not")
    return {"accuracy": result}


def loops_needed(answer, seed):
    depths = [1, 2, 3, 4, 5, 8, 9, 11, 16, 17]
    found = [expect_number(ask(answer, depth)) for depth in depths]
    right = [max(1, ceil(log2(depth))) for depth in depths]
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
    return {"loops": found}


def rest_penalty(answer, seed):
    generator = torch.Generator().manual_seed(seed)
    before, last = torch.randn(2, 4, 3, 5, generator=generator)
    last = last * torch.tensor([0.2, 1.0, 5.0])[:, None]  # tokens of different lengths
    result = ask(answer, before, last)
    if isinstance(result, torch.Tensor) and result.dim():
        raise Mistake("a loss is one number: take the mean over batch and tokens")
    value = torch.tensor(expect_number(result))
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
    }
    for mistake, wrong in named.items():
        if torch.allclose(value, wrong, rtol=1e-4):
            raise Mistake(mistake)
    live = last.clone().requires_grad_()
    penalty = answer(before.clone(), live)
    if not isinstance(penalty, torch.Tensor) or not penalty.requires_grad:
        raise Mistake("the penalty carries no gradient, so it cannot teach: keep it a tensor")
    expect_close(value, (step / size).mean(), "it is a number, but not the mean relative step")
    return {"penalty": value}


def _reference_draw(low, high, generator):
    return int(torch.randint(low, high + 1, (1,), generator=generator))


def _reference_run(step, z, loops, grad_loops):
    for loop in range(loops):
        if loop == loops - grad_loops:
            z = z.detach()
        z = step(z)
    return z


def _reference_accuracy(right, depth):
    return torch.stack([right[depth == d].float().mean() for d in range(int(depth.max()) + 1)])


def _reference_loops(depth):
    return max(1, ceil(log2(depth))) if depth > 0 else 1


def _reference_penalty(before, last):
    return ((last - before).norm(dim=-1) / last.norm(dim=-1)).mean()


EXERCISES = [
    Exercise("02.1", "draw the number of loops", _reference_draw, draw_loops),
    Exercise("02.2", "cut the gradient", _reference_run, run_loops),
    Exercise("02.3", "accuracy by depth", _reference_accuracy, accuracy_by_depth),
    Exercise("02.4", "the law of the staircase", _reference_loops, loops_needed),
    Exercise("02.5", "a penalty for restlessness", _reference_penalty, rest_penalty),
]
