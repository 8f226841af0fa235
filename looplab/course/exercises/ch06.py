"""Checks of chapter 06, Orbits, sliders and overthinking."""

from functools import lru_cache

import torch

from looplab import measure, tasks
from looplab.course.exercises.catalogue import Exercise
from looplab.course.exercises.probing import (
    Mistake,
    ask,
    expect_close,
    expect_number,
    expect_tensor,
    normal,
)
from looplab.course.exercises.solutions import solution
from looplab.course.faults import FAULTS, faulty_run, vital_signs
from looplab.zoo import checkpoints


def _orbit(period, loops, seed):
    """Visits `period` points in turn: [loop, width]."""
    return normal(seed, period, 6)[torch.arange(loops) % period]


def _same(result, right):
    return result.shape == right.shape and torch.equal(result.long(), right.long())


# 06.1


def returns_after(answer, seed):
    loops, back = 48, solution("06.1")
    draw = torch.Generator().manual_seed(seed)
    drawn = torch.tensor([1, 2, 3, 4, 6, 12])[torch.randint(6, (8,), generator=draw)].tolist()
    cases = [([1, 3, 4, 6], lag) for lag in (1, 2, 3, 4, 6, 12)]
    cases += [(drawn, lag) for lag in (1, 2, 3)]
    results = []
    for periods, lag in cases:
        orbits = [_orbit(period, loops, seed + n) for n, period in enumerate(periods)]
        orbits = torch.stack(orbits, dim=1)  # [loop, token, width]
        result = expect_tensor(ask(answer, orbits, lag), (len(periods),))
        right = back(orbits, lag)
        if not _same(result, right):
            shifted = [back(orbits, other) for other in (lag - 1, lag + 1) if other]
            if lag > 1 and any(_same(result, other) for other in shifted):
                raise Mistake(
                    f"off by one: asked about a lag of {lag}, yours answers about another; "
                    "states[-lag:] begins lag states before the end"
                )
            raise Mistake(
                f"on points visited in turn, with periods {periods}, a lag of {lag} should give "
                f"{right.tolist()}, and yours gives {result.bool().tolist()}"
            )
        results.append(result.long())

    # Passes near its state of `lag` loops ago once, at the very end: that is no return.
    wander = normal(seed, loops, 1, 6)
    wander[-1] = wander[-5]
    if expect_tensor(ask(answer, wander, 4), (1,)).bool().item():
        raise Mistake(
            "a state that happens to meet one earlier state passes: every loop of the last "
            "quarter has to be back"
        )
    late = torch.cat((normal(seed, 24, 1, 6), _orbit(4, 24, seed)[:, None]))
    if not expect_tensor(ask(answer, late, 4), (1,)).bool().item():
        raise Mistake(
            "a run that wanders first and turns later fails: look at the last quarter only"
        )
    flicker = _orbit(4, loops, seed)[:, None] + 0.0005 * normal(seed + 1, loops, 1, 6)
    for scale in (1.0, 1000.0):
        if not expect_tensor(ask(answer, scale * flicker, 4), (1,)).bool().item():
            raise Mistake(
                "longer states of the same shape fail: the tolerance is relative to the length of "
                "the state"
                if scale > 1
                else "a return to within a small part of the state's length fails"
            )
    return {"back": results}


# 06.2


def lasting_from(answer, seed):
    right = torch.tensor(
        [
            [0, 1, 1, 0, 0, 1, 0],
            [0, 1, 0, 0, 1, 1, 1],
            [1, 1, 1, 0, 1, 1, 0],
            [1, 1, 1, 0, 1, 0, 0],
            [1, 1, 1, 0, 0, 1, 0],
        ]
    ).bool()  # [loop, token]
    wanted = measure.lasting_from(right)
    result = expect_tensor(ask(answer, right), (7,)).long()
    never = ~right[-1]
    first = right.long().argmax(0) + 1
    if _same(result[~never], first[~never]) and not _same(result, wanted):
        raise Mistake(
            "that is the first time the answer is right; it may be lost again before it stays"
        )
    if _same(result + 1, wanted) or _same(result[~never] + 1, wanted[~never]):
        raise Mistake("off by one: loops count from 1")
    if _same(result[~never], right.sum(0)[~never]):
        raise Mistake("you counted the right loops; asked is where the last right stretch begins")
    if _same(result[~never], wanted[~never]) and not _same(result, wanted):
        raise Mistake(
            f"an answer that is wrong at the last loop should give 0, and yours gives "
            f"{result[never][0].item()}"
        )
    drawn = torch.rand(9, 3, 4, generator=torch.Generator().manual_seed(seed)) < 0.7
    result_drawn = expect_tensor(ask(answer, drawn), (3, 4))
    expect_close(result, wanted, "the shape is right, but the loops are not")
    expect_close(result_drawn, measure.lasting_from(drawn), "with more axes the loops are not")
    return {"first": result, "drawn": result_drawn.long()}


# 06.3


def _after_one_quiet_loop(states, tolerance):
    return measure.first_exit(measure.acceleration_signal(states) < tolerance, 1)


def acceleration_exit(answer, seed):
    way = torch.linalg.qr(normal(seed, 6, 3))[0].T  # [3, width], at right angles
    away = normal(seed + 9, 6)
    loops, rate = 24 + seed % 13, 0.6 + seed % 10 / 100
    loop = torch.arange(1.0, loops + 1)
    settling = 3 * way[0] + rate ** loop[:, None] * away
    straight = 3 * way[0] + 0.2 * loop[:, None] * away
    turn = loop * 2.1
    circle = turn.cos()[:, None] * way[1] + turn.sin()[:, None] * way[2]
    states = torch.stack((settling, straight, circle), dim=1)  # [loop, path, width]
    right = solution("06.3")(states, 0.02)
    result = expect_tensor(ask(answer, states, 0.02), (3,)).long()
    if _same(result, right):
        # One quiet loop, then unrest again: patience has to see it.
        step = torch.tensor([1.0, 1.0, 3.0, 1.0, 5.0, 5.0, 5.0, 5.0])[:, None]
        jerky = (step.cumsum(0) + 20)[:, None] * torch.ones(4)
        once = _after_one_quiet_loop(jerky, 0.02)
        twice = solution("06.3")(jerky, 0.02)
        found = expect_tensor(ask(answer, jerky, 0.02), (1,)).long()
        if _same(found, once):
            raise Mistake("one quiet loop is enough for yours; asked are two in a row")
        expect_close(found, twice, "a path that is quiet for one loop is left at the wrong loop")
        return {"exits": result, "jerky": found}

    step = measure.first_exit(measure.step_signal(states) < 0.02, 2)
    if _same(result, step):
        raise Mistake(
            "you stop where the step is small; acceleration is the difference of two steps"
        )
    lengths = (states[1:] - states[:-1]).norm(dim=-1)
    change = (lengths[1:] - lengths[:-1]).abs() / states[2:].norm(dim=-1)
    change = torch.cat((torch.full((2, 3), torch.inf), change))
    for patience in (1, 2):
        if _same(result, measure.first_exit(change < 0.02, patience)):
            raise Mistake(
                "you compare the lengths of steps: on a circle they are equal though the step turns"
            )
    if _same(result, _after_one_quiet_loop(states, 0.02)):
        raise Mistake("one quiet loop is enough for yours; asked are two in a row")
    if not result[2]:
        raise Mistake("a token that never falls quiet leaves at the last loop, not at 0")
    for by in (1, 2, 3):
        if _same(result[:2] + by, right[:2]):
            raise Mistake(
                f"yours leaves {by} loops too early: the first acceleration belongs to loop 3, "
                "which is made of the states of loops 1, 2 and 3"
            )
    own = (states[2:] - 2 * states[1:-1] + states[:-2]).norm(dim=-1)
    own = torch.cat((torch.full((2, 3), torch.inf), own))
    if _same(result, measure.first_exit(own < 0.02, 2)):
        raise Mistake("the acceleration has no unit yet: divide by the length of the state")
    raise Mistake(
        f"a settling path, a straight one and a circle should be left at loops {right.tolist()}, "
        f"and yours leaves at {result.tolist()}"
    )


# 06.4


def loss_to_oracle(answer, seed):
    random = torch.Generator().manual_seed(seed)
    right = torch.rand(9, 40, generator=random) < 0.6  # [loop, token]
    right[:, :3] = False  # three tokens that the oracle cannot help
    right[-1, 3:24] = True
    exits = torch.randint(1, 10, (40,), generator=random)
    result = ask(answer, exits, right)
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise Mistake("two numbers are expected: loops to spare, and the share lost")
    spare, lost = expect_number(result[0]), expect_number(result[1])
    wanted_spare, wanted_lost = solution("06.4")(exits, right)
    best = measure.lasting_from(right)
    known, kept = best > 0, measure.at_exit(right, exits)

    def near(a, b):
        return abs(a - b) < 1e-5

    if not near(lost, wanted_lost):
        late = right.roll(-1, 0)
        late[-1] = right[-1]
        if near(lost, (~kept).double().mean().item()):
            raise Mistake(
                "you count every wrong answer; only what the oracle has right can be lost"
            )
        if near(lost, wanted_lost * 40):
            raise Mistake("that is the number of tokens lost; asked is their share of all tokens")
        if near(lost, (known & ~kept).double().sum().item() / known.sum().item()):
            raise Mistake("you divide by the tokens of the oracle; asked is the share of all")
        if near(lost, (known & ~measure.at_exit(late, exits)).double().mean().item()):
            raise Mistake("off by one: an exit at loop 1 reads row 0")
    if not near(spare, wanted_spare):
        if near(spare, (exits - best).double().mean().item()):
            raise Mistake(
                "your mean of spare loops takes in tokens without an oracle exit, "
                "with 0 for their loop"
            )
        if near(spare, (exits - best)[known].clamp_min(0).double().mean().item()):
            raise Mistake(
                "you drop the loops of tokens that left before the oracle: leaving early counts "
                "as less"
            )
    expect_close(spare, wanted_spare, "the loops to spare are not right")
    expect_close(lost, wanted_lost, "the share of lost answers is not right")
    return {"spare": spare, "lost": lost}


# 06.5


@lru_cache(maxsize=4)
def _patients(seed):
    """The hero with every fault: (name, Signs)."""
    hero = checkpoints.load("hero")
    tokens = tasks.find_root(2, torch.Generator().manual_seed(100 + seed), max_depth=8).tokens
    return [(name, vital_signs(faulty_run(hero, tokens, name, 40, seed))) for name in FAULTS]


def name_the_fault(answer, seed):
    patients = _patients(seed)
    order = torch.randperm(len(patients), generator=torch.Generator().manual_seed(seed)).tolist()
    called = {}
    for at in order:
        said = ask(answer, *patients[at][1])
        if said is None:
            raise Mistake("the function returns nothing: is there a return?")
        if said not in FAULTS:
            raise Mistake(f"{said!r} is no name of a fault: choose from {', '.join(FAULTS)}")
        called[at] = said
    named = [called[at] for at in range(len(patients))]
    truths = [truth for truth, _ in patients]
    if len(set(named)) == 1:
        raise Mistake(f"every run is called {named[0]!r}: what differs between their curves?")
    # The faults that are easiest to confuse come first.
    reasons = {
        ("not looped", None): "its steps are exactly 0",
        ("reset", "gain"): "both keep taking large steps; the reset is quiet in between",
        ("gain", "reset"): "both keep taking large steps; the gain is never quiet",
        ("healthy", "not looped"): "small is not zero: rounding still moves a loop that runs",
        ("no input", None): "its tokens have lost their distance from each other",
        ("no norms", None): "its state has grown; look at the length",
        ("healthy", "no input"): "it settles, but so do the others; what do its tokens do?",
    }
    for truth, said in zip(truths, named, strict=True):
        if said != truth:
            why = reasons.get((truth, said)) or reasons.get((truth, None))
            told = f"a run with the fault {truth!r} is called {said!r}"
            raise Mistake(f"{told}: {why}" if why else told)
    for truth, signs in patients:
        wide = signs._replace(length=10 * signs.length)
        if ask(answer, *wide) != truth:
            raise Mistake(
                "a wider model has longer states, and your rule changes its mind: compare the "
                "length with its own beginning"
            )
    return {"named": [called[at] for at in order]}


# 06.2 is not the chapter's solution: the library's function, handed in as it is, has to be
# recognised.
EXERCISES = [
    Exercise("06.1", "back after a lag", solution("06.1"), returns_after),
    Exercise("06.2", "right for good", measure.lasting_from, lasting_from),
    Exercise("06.3", "exit on acceleration", solution("06.3"), acceleration_exit),
    Exercise("06.4", "what a rule loses", solution("06.4"), loss_to_oracle),
    Exercise("06.5", "name the fault", solution("06.5"), name_the_fault),
]
