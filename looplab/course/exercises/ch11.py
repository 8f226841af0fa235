"""Checks of chapter 11, Surgery on passes, and of 11b."""

import random

import torch

from looplab.course.exercises.catalogue import Exercise
from looplab.course.exercises.probing import (
    Mistake,
    ask,
    expect_number,
    expect_right,
    expect_tensor,
    normal,
    watch,
)
from looplab.course.exercises.solutions import solution
from looplab.model import Site


def _shown(answer, source, loop, token, sites):
    """What the answer's tap makes of the value at each of the sites, and whether it wrote into it.

    `sites` are (loop, layer, name, value). A value that it leaves alone comes back as it is.
    """
    tap = ask(answer, source, loop, token)
    if not callable(tap):
        raise Mistake(f"a tap is expected, a function of (site, value), not {tap!r}")
    seen, wrote = [], False
    for at, layer, name, value in sites:
        shown = value.clone()
        new = tap(Site(at, layer, name), shown)
        seen.append(shown if new is None else new)
        wrote = wrote or not torch.equal(shown, value)
    return seen, wrote


def put(answer, seed):
    results = []
    for loop, token in ((2, 1), (3, 4)):
        source = normal(seed + loop, 5, 6, 3)
        names = [(n, None, "core.loop_end") for n in range(4)]
        names += [
            (loop - 1, 0, "core.resid"),
            (None, None, "start"),
            (loop - 1, None, "core.inject"),
        ]
        values = [normal(seed + 10 * n + loop, 5, 6, 3) for n in range(len(names))]
        sites = [(*name, value) for name, value in zip(names, values, strict=True)]
        seen, wrote = watch(answer, _shown, source, loop, token, sites)
        seen = torch.stack([expect_tensor(each, (5, 6, 3)) for each in seen])

        def expected(at, place=(slice(None), token), of=source, values=values):
            right = torch.stack(values)
            for n in at:
                right[n][place] = of[place]
            return right

        hit = [loop - 1]
        named = {
            "the value never changes: does the tap return it?": torch.stack(values),
            "one loop too late: loops count from 1, site.loop from 0": expected([loop]),
            "the token changes after every loop: look at site.loop": expected(range(4)),
            "all tokens are replaced: only one is asked": expected(hit, slice(None)),
            "a sequence of the batch is replaced, not a token: the batch is the first axis": (
                expected(hit, (token,))
            ),
            "values at other sites of that loop change too: look at site.name": (
                expected([*hit, 4, 6])
            ),
        }
        if wrote:
            raise Mistake("the tap writes into the value it is shown: clone it first")
        expect_right(seen, expected(hit), named, "the token after that loop is not the source's")
        results.append(seen.mean((1, 3)))  # a number for each site and token is enough to keep
    return {"values": torch.stack(results)}


def share_made(answer, seed):
    # Gaps of both signs, some of them too small to count.
    plain = normal(seed, 7)
    gap = torch.tensor([3.0, -2.0, 0.4, 5.0, -0.3, 1.6, -4.0]) + 0.1 * normal(seed + 1, 7)
    aim, patched = plain + gap, plain + gap * normal(seed + 2, 2, 3, 7)
    counts = gap.abs() >= 1.0
    result = expect_tensor(ask(answer, patched, plain, aim), (2, 3))
    shares = (patched - plain) / gap
    right = shares[..., counts].mean(-1)
    named = {
        "pairs without a difference count too: leave out those below `least`": shares.mean(-1),
        "pairs whose difference is negative are left out: what counts is its size": (
            shares[..., gap >= 1.0].mean(-1)
        ),
        "you divided by the score of the run on A: the whole is aim - plain": (
            ((patched - plain) / aim)[..., counts].mean(-1)
        ),
        "0 and 1 have changed places: a patch that does nothing has share 0": 1 - right,
        "pairs that do not count are in the mean as zeros: take it over the others": (
            (shares * counts).mean(-1)
        ),
        "you divided the mean by the mean: it is the shares that are averaged": (
            (patched - plain)[..., counts].mean(-1) / gap[counts].mean()
        ),
    }
    expect_right(result, right, named, "these are not the mean shares")
    more = expect_tensor(ask(answer, patched, plain, aim, least=2.5), (2, 3))
    wanted = shares[..., gap.abs() >= 2.5].mean(-1)
    expect_right(more, wanted, {}, "`least` is an argument: use it in place of a number")
    whole = torch.tensor([2.0, -2.0, 1.0])
    edge = expect_tensor(ask(answer, whole * torch.tensor([1.0, 1, 0]), torch.zeros(3), whole), ())
    expect_right(edge, torch.tensor(2 / 3), {}, "a pair whose difference is just `least` counts")
    return {"shares": result, "more": more, "edge": edge}


def cone(answer, seed):
    nodes, batch = 5, 3
    change = normal(seed, nodes, batch, nodes).abs() + 0.1
    result = expect_tensor(ask(answer, change), (nodes,))

    def along(of, mean=True):
        lines = [of.diagonal(d, 0, 2) for d in range(nodes)]
        return torch.stack([each.mean() if mean else each.sum() for each in lines])

    both = [torch.cat((change.diagonal(d, 0, 2), change.diagonal(-d, 0, 2))) for d in range(nodes)]
    named = {
        "these are distances above the patched node: node j stands j - i below node i": (
            along(change.transpose(0, 2))
        ),
        "nodes above and below are mixed: only those below are asked": (
            torch.stack([each.mean() for each in both])
        ),
        "these are sums: far distances have fewer pairs, so take the mean": along(change, False),
        "these are means for each node, not for each distance": change.mean((0, 1)),
        "only the patched node 0 is asked: take all of them": change[0].mean(0),
        "only the first sequence of the batch is in it": along(change[:, :1]),
    }
    expect_right(result, along(change), named, "these are not the means at each distance")
    return {"cone": result}


def factor(answer, seed):
    left = torch.tensor([4, 8, 12, 20, 24, 36, 40])
    rate = 0.5 + 0.05 * (seed % 5)
    noise = (0.4 * normal(seed, 7)).exp()
    effect = 3.0 * rate ** left.double() * noise
    effect[-2:] = 1e-9 * (1 + normal(seed + 1, 2).abs())  # drowned
    floor = 1e-8
    seen = effect > floor

    def line(x, y):
        x, y = x.double(), y.double()
        return ((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum()

    x, y = left[seen], effect[seen]
    slope = line(x, y.log())
    right = slope.exp().item()
    result = expect_number(ask(answer, effect, left, floor))
    named = {
        "that is the slope: undo the logarithm to have a factor": slope.item(),
        "effects that drowned in rounding are in the fit: only those above the floor count": (
            line(left, effect.log()).exp().item()
        ),
        "the slope is of log10, and you undid log: take one of them both times": (
            line(x, y.log10()).exp().item()
        ),
        "that is the factor per push: pushes are several loops apart": (
            line(torch.arange(len(x)), y.log()).exp().item()
        ),
        "the line goes through the origin: subtract the means of both first": (
            ((x * y.log()).sum() / x.square().sum()).exp().item()
        ),
        "that is from the first and the last alone: fit a line through all": (
            ((y[-1] / y[0]) ** (1 / (x[-1] - x[0]))).item()
        ),
        "1 over the factor: an effect that shrinks has one below 1": 1 / right,
    }
    expect_right(result, right, named, "this is not the factor of the least-squares line")
    other = expect_number(ask(answer, effect.flip(0), left.flip(0), floor))
    expect_right(
        other, right, {}, "the pushes may come in any order: keep effect and left together"
    )
    edge = torch.tensor([1.0, 0.5, 0.25, 0.2], dtype=torch.float64)
    last = expect_number(ask(answer, edge, torch.arange(4), 0.2))
    expect_right(last, 0.5, {}, "an effect that is just the floor does not count")
    return {"factor": result, "other": other, "edge": last}


def _repaired(answer, states, share, limit):
    """The answer, and the states that its `right` was asked about."""

    def right(z):
        return (z[..., 0] > limit[0]) & (z[..., 1] < limit[1])

    return ask(answer, states, share, right)


def repaired(answer, seed):
    states = normal(seed, 9, 4, 6, 3)
    limit = torch.tensor([-0.3, 0.4])

    def right(z):
        return (z[..., 0] > limit[0]) & (z[..., 1] < limit[1])

    results = []
    for share in (0.25, 0.6):
        result = expect_number(watch(answer, _repaired, states, share, limit))
        was = right(states)
        short = right(states[:-1] + share * (states[1:] - states[:-1]))
        failed = was[:-1] & ~was[1:]
        other = right(states[1:] + share * (states[:-1] - states[1:]))
        named = {
            "that is the share of all steps: only those that lost the right answer count": (
                short.float().mean().item()
            ),
            "steps from a wrong answer count too: it has to be right before": (
                short[~was[1:]].float().mean().item()
            ),
            "steps that kept the right answer count too: it has to be wrong after": (
                short[was[:-1]].float().mean().item()
            ),
            "the step is shortened from its end: begin with the state before it": (
                other[failed].float().mean().item()
            ),
            "that is how many were repaired: divide by the steps that failed": (
                short[failed].float().sum().item()
            ),
            "that is the share which stays lost": 1 - short[failed].float().mean().item(),
            "steps to the right answer are judged, not steps that lost it": (
                short[~was[:-1] & was[1:]].float().mean().item()
            ),
        }
        wanted = short[failed].float().mean().item()
        expect_right(result, wanted, named, "this is not the share of the failed steps")
        results.append(result)
    return dict(zip(("quarter", "more"), results, strict=True))


# What was said -> the mistake, for cases of each kind.
_LATE = "just `least` above the highest control is enough for a yes"
_HIGH = "no training is `least` above any control, and it is not called no"
_HARD = "yes although one training is below a control: the worst must reach it"
_SOFT = "no although the best training is far above: the best must fall short"
YES = {"open": _LATE, "no": _LATE}
NO = {"open": _HIGH, "yes": _HIGH}
OPEN = {"yes": _HARD, "no": _SOFT}
EDGE = {
    "yes": _HARD,
    "no": "the best training is just `least` above the lowest control: that is no `no`",
}


def _expect_word(value):
    if not isinstance(value, str):
        raise Mistake(f"one of the words yes, no and open is expected, not {value!r}")
    if value not in ("yes", "no", "open"):
        raise Mistake(f"the words are yes, no and open, and this is {value!r}")
    return value


def verdict(answer, seed):
    # (ours, control, least, the verdict, the mistake of another): numbers that floats hold exactly
    cases = [
        ([2.0, 1.75, 1.5], [0.25, 0.5, 1.0], 0.5, "yes", YES),
        ([1.0, 1.25], [0.5, 0.75], 0.25, "yes", YES),
        ([3.0, 2.75, 2.5], [1.0, 0.5, 0.75], 1.0, "yes", YES),
        ([0.75, 0.5, 1.0], [0.75, 1.0, 0.625], 0.5, "no", NO),
        ([0.5, 0.25], [0.5, 0.75], 0.25, "no", NO),
        ([1.0, 1.5, 1.25], [1.0, 0.75, 1.25], 1.0, "no", NO),
        ([1.0, 2.0, 1.5], [0.75, 0.25, 1.25], 0.5, "open", OPEN),
        ([1.5, 0.75], [0.5, 0.625], 0.5, "open", OPEN),
        ([1.25, 0.5], [0.75, 0.25], 0.25, "open", OPEN),
        ([1.0, 0.875], [0.5, 0.25], 0.75, "open", EDGE),
    ]
    random.Random(seed).shuffle(cases)
    said = []
    for ours, control, least, right, mistakes in cases:
        word = _expect_word(ask(answer, ours, control, least))
        if word != right:
            raise Mistake(mistakes[word])
        said.append(word)
    return {"verdicts": said}


EXERCISES = [
    Exercise("11.1", "put a state", solution("11.1"), put),
    Exercise("11.2", "share of the difference", solution("11.2"), share_made),
    Exercise("11.3", "light cone", solution("11.3"), cone),
    Exercise("11.4", "factor per loop", solution("11.4"), factor),
    Exercise("11.5", "repaired", solution("11.5"), repaired),
    Exercise("11.6", "verdict", solution("11.6"), verdict),
]
