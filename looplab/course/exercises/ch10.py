"""Checks of chapter 10, Released models."""

import torch

from looplab.course.exercises.catalogue import Exercise
from looplab.course.exercises.kinds import as_tensor
from looplab.course.exercises.probing import (
    Mistake,
    ask,
    expect_close,
    expect_int,
    expect_number,
    expect_right,
    expect_tensor,
    normal,
)
from looplab.course.exercises.solutions import solution


def injected(answer, seed):
    width, loops, share = 4, 3, 0.3
    x, mix = normal(seed, 2, 3, width), normal(seed + 1, width, width) / 2
    push = normal(seed + 2, width)

    def window(z):
        return z + torch.tanh(z @ mix) + push

    def run(step, z=x):
        states = []
        for loop in range(loops):
            states.append(z := step(z, loop))
        return torch.stack(states)

    def mixed(z, part=share):
        return part * z + (1 - part) * x

    right = run(lambda z, loop: window(mixed(z)))
    result = as_tensor(ask(answer, window, x, share, loops))
    if isinstance(result, torch.Tensor) and result.shape == x.shape:
        raise Mistake("this is one state: keep that of every loop, and stack them")
    if isinstance(result, torch.Tensor) and result.shape == (loops + 1, *x.shape):
        raise Mistake("there is one state too many: the first one kept is that after loop 1")
    result = expect_tensor(result, (loops, *x.shape))
    named = {
        "the shares are the other way round: share belongs to the state, the rest to the input": (
            run(lambda z, loop: window(mixed(z, 1 - share)))
        ),
        "nothing is injected: every pass must read the input again": (
            run(lambda z, loop: window(z))
        ),
        "the input is mixed in behind the window: it belongs in front of it": (
            run(lambda z, loop: mixed(window(z)))
        ),
        "the state begins as zeros: it begins as the input": (
            run(lambda z, loop: window(mixed(z)), torch.zeros_like(x))
        ),
        "the input is added whole: its share is 1 - share": (
            run(lambda z, loop: window(share * z + x))
        ),
        "that damps the window's step: share is how much of the state the window reads": (
            run(lambda z, loop: share * z + (1 - share) * window(z))
        ),
        "the input is overwritten by the state: keep it apart": (
            torch.stack([window(x), window(window(x)), window(window(window(x)))])
        ),
        "these are the mixtures in front of the window: keep what it gives": (
            torch.cat((mixed(x)[None], mixed(right[:-1])))
        ),
    }
    expect_right(result, right, named, "the states are not those of the loop on the card")
    short = expect_tensor(ask(answer, window, x, 1.0, 2), (2, *x.shape))
    expect_close(short[1], window(window(x)), "with share 1 each pass reads the state alone")
    return {"states": result, "no injection": short}


def cost(answer, seed):
    found = {}
    for n, (loops, texts) in enumerate(((3, 6), (4, 9))):
        common = normal(seed + n, texts) * 2 + 4
        losses = common + torch.arange(loops)[:, None] * (0.4 + 0.5 * normal(seed + n + 7, texts))
        losses = losses + 0.3 * normal(seed + n + 20, loops, texts)
        told = as_tensor(ask(answer, losses))
        if isinstance(told, torch.Tensor) and told.dim() and len(told) == 2:
            told = list(told)
        if not isinstance(told, tuple | list) or len(told) != 2:
            raise Mistake("two tensors are expected, the means and their standard errors")
        mean, error = (_rows(one, loops, texts) for one in told)
        change, root = losses - losses[:1], texts**0.5
        right, width = change.mean(1), change.std(1) / root
        following = (losses[1:] - losses[:-1]).mean(1)
        named = {
            "these are the losses: take that of the first row from each, text by text": (
                losses.mean(1)
            ),
            "the sign is the other way: a loop that makes things worse costs more than 0": -right,
            "each row is compared with the row before it: compare with the first one": (
                torch.cat((torch.zeros(1), following))
            ),
            "each row is compared with the last one: compare with the first": (
                (losses - losses[-1:]).mean(1)
            ),
            "changes have a sign: you took how large they are": change.abs().mean(1),
            "the standard errors come second, the means first": width,
            "this is the sum of the changes: take their mean": change.sum(1),
            "this is the median of the changes: take their mean": change.median(1).values,
        }
        expect_right(mean, right, named, "the first are not the mean changes from the first row on")
        alone = (losses.var(1) / texts + losses[0].var() / texts).sqrt()
        named = {
            "that is the error of each row's own loss: the texts are the same, so take that of "
            "the changes": losses.std(1) / root,
            "these are two errors put together as if the texts were others: take that of the "
            "changes": alone,
            "this is the spread of the changes: the error of their mean is smaller, by the root "
            "of the number of texts": change.std(1),
            "the spread is divided by the number of texts: divide by its root": (
                change.std(1) / texts
            ),
            "this is the error squared: a root is missing": change.var(1) / texts,
            "the spread was divided by n inside its root: one is n - 1, as torch's std has it": (
                change.std(1, correction=0) / root
            ),
            "the root is that of the number of loops: divide by that of the texts": (
                change.std(1) / loops**0.5
            ),
        }
        expect_right(error, width, named, "the second are not the standard errors of the changes")
        found |= {f"mean {n}": mean, f"error {n}": error}
    return found


def _rows(value, loops, texts):
    """One number for each row of losses."""
    value = as_tensor(value)
    if isinstance(value, torch.Tensor):
        if tuple(value.shape) == (texts,):
            raise Mistake("a number for each text: one for each number of loops is asked for")
        if tuple(value.shape) == (loops, texts):
            raise Mistake("a number for each text: take their mean over the texts")
        if tuple(value.shape) == (loops - 1,):
            raise Mistake("the first row is missing: it costs 0, with an error of 0")
    return expect_tensor(value, (loops,))


def period(answer, seed):
    turns = _turns(seed)
    for name, (states, tolerance, right, mistake) in turns.items():
        options = {} if tolerance is None else {"tolerance": tolerance}
        found = expect_int(ask(answer, states, **options))
        if found != right:
            raise Mistake(f"{name}: {mistake} (expected {right}, and this is {found})")
    return {"periods": torch.tensor([right for _, _, right, _ in turns.values()])}


def _turns(seed):
    """Runs, tolerance (None: the default), their period, and what an answer with another misses."""
    width, draw = 3, torch.Generator().manual_seed(seed)
    one, two, half = (2 + torch.randperm(4, generator=draw)[:3]).tolist()  # of 2 to 5
    odd = 3 + 2 * int(torch.randint(2, (), generator=draw))
    ring = normal(seed, 8, width) + 3 * torch.nn.functional.normalize(normal(seed + 1, 8, width))
    at = 5 + torch.arange(8)[:, None] * 0.5
    ring = at * torch.nn.functional.normalize(ring, dim=-1)  # lengths 5 to 8.5, all apart
    settling = 8 * 0.3 ** torch.arange(24.0)[:, None]

    def around(points, loops):
        return ring[:points].repeat(-(-loops // points), 1)[:loops]

    even = torch.ones(1, width) / width**0.5  # whose length is 1, and no single number is

    def trembling(share):
        return even * (1 + share * (torch.arange(16)[:, None] % 2))

    growing = torch.arange(1.0, 21)[:, None] * ring[0]
    big = 100 * around(odd, 6 * odd)
    big = big + 2 * even * (torch.arange(6 * odd)[:, None] % 2)
    return {
        "a run at rest": (
            ring[:1].repeat(12, 1),
            None,
            1,
            "where nothing moves, the state is back after each loop",
        ),
        "a run that comes to rest": (
            ring[:1] + settling,
            None,
            1,
            "only the second half counts, and there it rests",
        ),
        "an orbit": (
            around(one, 6 * one + 1),
            None,
            one,
            "the smallest number of loops after which each state is back",
        ),
        "an orbit that is approached": (
            around(two, 24) + settling,
            None,
            two,
            "only the second half of the run has to come back",
        ),
        "an orbit as long as half the run": (
            around(half, 2 * half),
            None,
            half,
            "periods go up to half the number of loops",
        ),
        "an orbit longer than half the run": (
            around(8, 14),
            None,
            0,
            "no period up to half the number of loops brings it back",
        ),
        "a run that grows": (growing, None, 0, "it is never back"),
        "an orbit with one wrong turn": (
            torch.cat((around(2, 15), ring[3:4], around(2, 4))),
            None,
            0,
            "each state of the second half has to be back, not most of them",
        ),
        "a run that trembles by 0.8 %": (
            trembling(0.008),
            None,
            1,
            "the length of the difference is below a hundredth of the state's",
        ),
        "a run that trembles by 1.3 %": (
            trembling(0.013),
            None,
            2,
            "the length of the difference is above a hundredth of the state's own",
        ),
        "an orbit of long states, a little shaken": (
            big,
            None,
            odd,
            "the tolerance is relative: times the state's own length",
        ),
        "the same, with a smaller tolerance": (
            big,
            1e-3,
            2 * odd,
            "the tolerance that is given counts",
        ),
    }


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
    Exercise("10.1", "a loop around frozen layers", solution("10.1"), injected),
    Exercise("10.2", "what a loop costs", solution("10.2"), cost),
    Exercise("10.3", "how long is the way round", solution("10.3"), period),
    Exercise("10.4", "when a token leaves", solution("10.4"), exit_probabilities),
    Exercise("10.5", "the right slot", solution("10.5"), core_slot),
]
