"""Checks of chapter 02, Train a tiny loop."""

import random
from math import ceil

import torch
import torch.nn.functional as F
from torch import nn

from looplab import tasks
from looplab.course.exercises.catalogue import Exercise
from looplab.course.exercises.probing import (
    Mistake,
    agrees,
    ask,
    derived,
    expect_close,
    expect_number,
    expect_right,
    expect_tensor,
    normal,
    watch,
)
from looplab.course.exercises.solutions import solution
from looplab.model import LoopedOutput


def draw_loops(answer, seed):
    def draws(answer, low, high, seed, count):
        generator = torch.Generator().manual_seed(seed)
        return [answer(low, high, generator) for _ in range(count)]

    if not callable(answer):
        raise Mistake(f"a function is expected here, and this is a {type(answer).__name__}")
    ends, draw = {}, derived(seed)
    for low, high in ((3, 6), (7 + seed % 100, 10 + seed % 100)):
        found = [_plain_int(one) for one in watch(answer, draws, low, high, draw, 2000)]
        again = [_plain_int(one) for one in watch(answer, draws, low, high, draw, 60)]
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

    def slopes(answer, *states):
        given = [state.clone().requires_grad_() for state in states]
        penalty = answer(*given)
        if not isinstance(penalty, torch.Tensor) or not penalty.requires_grad:
            return None, None
        return torch.autograd.grad(penalty.sum(), given, allow_unused=True)

    found = watch(answer, slopes, before, last)
    if all(slope is None for slope in found):
        raise Mistake(
            "the penalty carries no gradient back to the states, so it cannot teach: keep what is "
            "computed from them a tensor"
        )
    right = slopes(solution("02.5"), before, last)
    for state, slope, wanted in zip(("before", "last"), found, right, strict=True):
        if slope is None or not agrees(slope, wanted, rtol=1e-3, atol=1e-6):
            raise Mistake(
                f"the number is right, but not how it changes with {state}: its gradient has to "
                "flow through both states, through the step and through the length"
            )
    return {"penalty": value}


CUTS = ((True, 2), (False, 1))  # a loud run and a quiet one, with gradient through so many loops
TOKENS = 5  # as many as labels, as in the chapter: the loss along a wrong axis raises nothing


class _Tiny(nn.Module):
    """A looped model in a few operations; a loud one has gradients far longer than 1."""

    def __init__(self, seed, loud):
        super().__init__()
        self.labels, self.mix, self.head = (
            nn.Parameter(normal(seed + n, *shape).double() / shape[-1] ** 0.5)
            for n, shape in enumerate(((2, TOKENS, 8), (8, 16), (TOKENS, 8)))
        )
        self.loud, self.ran = 20.0 if loud else 0.2, 0

    def encode(self, tokens):
        return self.labels[0, tokens[..., 0]] + self.labels[1, tokens[..., 1]]

    def start(self, x):
        return torch.zeros_like(x)

    def step(self, z, x):
        self.ran += 1
        z = torch.cat([z + z.roll(1, -2), x], dim=-1)  # a token sees another
        return torch.tanh(z @ self.mix.T)

    def readout(self, z):
        return self.loud * z @ self.head.T

    def forward(self, tokens, loops, *, grad_loops=None):
        z = _run(self, tokens, loops, grad_loops or loops)[1]
        return LoopedOutput(self.readout(z), z, None, None)


class _Descent:
    """Plain gradient descent; torch's own optimisers take seconds to import what they need."""

    def __init__(self, model, rate):
        self.weights, self.rate = list(model.parameters()), rate
        self.param_groups = [{"params": self.weights, "lr": rate}]

    def zero_grad(self, set_to_none=True):
        for weight in self.weights:
            weight.grad = None

    def step(self):
        with torch.no_grad():
            for weight in self.weights:
                if weight.grad is not None:
                    weight -= self.rate * weight.grad


def _forests(seed):
    """A batch of no task in particular: tokens [3, token, 2], targets [3, token]."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(TOKENS, (3, TOKENS, 2), generator=generator)
    targets = torch.randint(TOKENS, (3, TOKENS), generator=generator)
    return tasks.Batch(tokens, targets, torch.zeros_like(targets))


def _train_once(answer, seed, loud, options, stale=False):
    """Let the answer take one step of plain gradient descent, with a rate of 1, and watch it.

    Returns what it returned, how many loops it ran, and what was added to the weights [weight].
    """
    model = _Tiny(seed, loud)
    before = torch.cat([weight.detach().flatten() for weight in model.parameters()])
    if stale:  # as the step before leaves them
        for weight in model.parameters():
            weight.grad = torch.full_like(weight, 0.5)
    generator = torch.Generator().manual_seed(seed)
    optimiser = _Descent(model, 1.0)
    told = answer(model, optimiser, _forests(seed), generator, **options)
    told = told.detach() if isinstance(told, torch.Tensor) else told
    after = torch.cat([weight.detach().flatten() for weight in model.parameters()])
    return told, model.ran, after - before


def _count_loops(answer, seed, steps):
    """How many loops each of several steps ran, with one generator."""
    model, counts = _Tiny(seed, False), []
    optimiser = _Descent(model, 0.0)
    batch, generator = _forests(seed), torch.Generator().manual_seed(seed)
    for _ in range(steps):
        model.ran = 0
        answer(model, optimiser, batch, generator)
        counts.append(model.ran)
    return counts


def _run(model, tokens, loops, grad_loops):
    """The states in front of the last loop and behind it, with gradient through the last loops."""
    x = model.encode(tokens)
    z = model.start(x)
    for loop in range(loops):
        before = z.detach() if loop <= loops - grad_loops else z
        z = model.step(before, x)
    return before, z


def _cross_entropy(model, z, targets):
    return F.cross_entropy(model.readout(z).flatten(0, 1), targets.flatten())


def _restlessness(before, last):
    return ((last - before).norm(dim=-1) / last.norm(dim=-1)).mean()


def _moves(moved, model, loss, how=lambda gradient: gradient / max(1.0, gradient.norm().item())):
    """Whether the weights moved against the gradient of this loss, clipped or treated otherwise."""
    weights = list(model.parameters())
    parts = torch.autograd.grad(loss, weights, retain_graph=True, materialize_grads=True)
    gradient = torch.cat([part.flatten() for part in parts])
    return agrees(moved, -how(gradient), rtol=1e-4, atol=1e-7)


def _expect_one_step(answer, seed, loud, options):
    """One step: the number that was returned, the loops that were run, the weights' change."""
    told, loops, moved = watch(answer, _train_once, seed, loud, options)
    told = expect_number(told)
    if not 3 <= loops <= 6:
        raise Mistake(f"one step of training ran {loops} loops: draw from 3 to 6, and run these")
    if not moved.any():
        raise Mistake(
            "no weight has moved: the optimiser has to step behind the backward pass, and the "
            "gradient has to be there still"
        )
    return told, loops, moved


def _expect_gradient(moved, model, loss_through, loops, cut):
    """Raise the Mistake of a step that is not against the clipped gradient of `loss_through`."""
    right = loss_through(cut)
    if _moves(moved, model, right):
        return
    treated = {
        "nothing limits the gradient when the step is taken: clip its length to 1": lambda g: g,
        "each number of the gradient is cut off by itself: clip the length of all to 1": (
            lambda g: g.clamp(-1, 1)
        ),
        "every gradient was made 1 long: one that is shorter stays as it is": (
            lambda g: g / g.norm()
        ),
    }
    for mistake, how in treated.items():
        if _moves(moved, model, right, how):
            raise Mistake(mistake)
    for through in range(1, loops + 1):
        if _moves(moved, model, loss_through(through)):
            raise Mistake(f"the gradient goes through {through} loops, and grad_loops is {cut}")
    raise Mistake("the loss is right, but the weights do not move against its gradient")


def _expect_fresh_gradient(answer, seed, options, moved):
    again = watch(answer, _train_once, seed, True, options, True)[2]
    if not agrees(again, moved, rtol=1e-4, atol=1e-7):
        raise Mistake("the gradient of the step before is still in this one: set it to zero first")


def _expect_draws(answer, seed):
    counts = watch(answer, _count_loops, seed, 40)
    if len(set(counts)) == 1:
        raise Mistake(f"every step runs {counts[0]} loops: draw their number anew each time")
    if missing := sorted({3, 4, 5, 6} - set(counts)):
        raise Mistake(f"in 40 steps none ran {missing[0]} loops: draw from 3 to 6, both included")
    if max(counts) > 6 or min(counts) < 3:
        raise Mistake(f"there are steps of {min(counts)} to {max(counts)} loops: draw from 3 to 6")
    if watch(answer, _count_loops, seed, 10) != counts[:10]:
        raise Mistake("the same generator state draws other loops: draw them from the generator")


def training_step(answer, seed):
    seed = derived(seed)
    batch, steps = _forests(seed), []
    for loud, cut in CUTS:
        told, loops, moved = _expect_one_step(answer, seed, loud, {"grad_loops": cut})
        model = _Tiny(seed, loud)
        z = _run(model, batch.tokens, loops, cut)[1]
        loss = _cross_entropy(model, z, batch.targets)
        named = {
            "the loss compares along the wrong axis: cross_entropy looks for the labels on axis "
            "1, so give it one row per token": F.cross_entropy(model.readout(z), batch.targets),
            "that is the sum over all tokens: the size of a step would hang on the batch": (
                batch.targets.numel() * loss
            ),
        }
        for mistake, wrong in named.items():
            if _moves(moved, model, wrong) and not _moves(moved, model, loss):
                raise Mistake(mistake)
        expect_right(
            told,
            loss.item(),
            {mistake: wrong.item() for mistake, wrong in named.items()},
            "what is returned is not the mean loss of the answer after the last loop",
        )

        def loss_through(grad_loops, model=model, loops=loops):
            z = _run(model, batch.tokens, loops, grad_loops)[1]
            return _cross_entropy(model, z, batch.targets)

        _expect_gradient(moved, model, loss_through, loops, cut)
        steps.append(moved)
    _expect_fresh_gradient(answer, seed, {"grad_loops": CUTS[0][1]}, steps[0])
    _expect_draws(answer, seed)
    return {"loss": told, "step": steps[1].norm()}


def calm_step(answer, seed):
    seed = derived(seed)
    weight = 0.1 + (seed % 5) / 20
    batch, steps = _forests(seed), []
    for loud, cut in CUTS:
        options = {"grad_loops": cut, "weight": weight}
        told, loops, moved = _expect_one_step(answer, seed, loud, options)
        model = _Tiny(seed, loud)
        before, z = _run(model, batch.tokens, loops, cut)
        loss, rest = _cross_entropy(model, z, batch.targets), _restlessness(before, z)
        start = model.start(model.encode(batch.tokens))
        right = loss + weight * rest
        named = {
            "that is the loss of the answer alone: the penalty is not in it": loss,
            "the penalty counts in full: multiply it by its weight": loss + rest,
            "the penalty is subtracted: the state would be asked to move": loss - weight * rest,
            "the penalty measures the way from the start: it is about the last step alone": (
                loss + weight * _restlessness(start, z)
            ),
            "that is the loss of the state in front of the last loop: read out the last one": (
                _cross_entropy(model, before, batch.targets) + weight * rest
            ),
            "the answer itself has left the loss: the penalty is added to it": weight * rest,
        }
        expect_right(
            told,
            right.item(),
            {mistake: wrong.item() for mistake, wrong in named.items()},
            "what is returned is not the loss of the last answer plus weight times the penalty",
        )
        unseen = {
            "the penalty is in the number and not in the gradient: it has to stay a tensor": loss,
            "the penalty's gradient stops in front of the last step: the state before it was made "
            "by the loop too": loss + weight * _restlessness(before.detach(), z),
        }
        for mistake, wrong in unseen.items():
            if _moves(moved, model, wrong) and not _moves(moved, model, right):
                raise Mistake(mistake)

        def loss_through(grad_loops, model=model, loops=loops):
            before, z = _run(model, batch.tokens, loops, grad_loops)
            return _cross_entropy(model, z, batch.targets) + weight * _restlessness(before, z)

        _expect_gradient(moved, model, loss_through, loops, cut)
        steps.append(moved)
    _expect_fresh_gradient(answer, seed, {"grad_loops": CUTS[0][1], "weight": weight}, steps[0])
    _expect_draws(answer, seed)
    return {"loss": told, "step": steps[1].norm()}


EXERCISES = [
    Exercise("02.1", "draw the number of loops", solution("02.1"), draw_loops),
    Exercise("02.2", "cut the gradient", solution("02.2"), run_loops),
    Exercise("02.3", "accuracy by depth", solution("02.3"), accuracy_by_depth),
    Exercise("02.6", "one step of training", solution("02.6"), training_step),
    Exercise("02.4", "the law of the staircase", solution("02.4"), loops_needed),
    Exercise("02.5", "a penalty for restlessness", solution("02.5"), rest_penalty),
    Exercise("02.7", "a step that asks for rest", solution("02.7"), calm_step),
]
