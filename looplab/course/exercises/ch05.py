"""Checks of chapter 05, What makes a fixed point."""

from itertools import product
from math import cos, log, pi, sin, sqrt
from operator import mul

import torch
import torch.nn.functional as F

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
    watch,
)
from looplab.course.exercises.solutions import solution


def draw_weights(answer, seed):
    rows, columns, seed = 300, 100, derived(seed)

    def draw(gain, seed):
        drawn = ask(answer, rows, columns, gain, torch.Generator().manual_seed(seed))
        return expect_tensor(drawn, (rows, columns))

    matrix = draw(2.0, seed)
    if not torch.equal(matrix, draw(2.0, seed)):
        raise Mistake("the same generator state gives different weights: draw from the generator")
    found = matrix.std().item()

    def near(std):
        return abs(found / std - 1) < 0.05

    if near(2 / sqrt(rows)):
        raise Mistake(
            "you divided by the root of the rows; fan-in is what goes into a row: the columns"
        )
    if near(4 / columns):
        raise Mistake("gain squared over fan-in is the variance; the standard deviation is asked")
    if near(2 / columns):
        raise Mistake("the root is missing: the standard deviation is the gain over sqrt(fan-in)")
    if near(1 / sqrt(columns)) or near(2.0):
        raise Mistake("one of the two is not used: the gain, or the root of fan-in")
    if abs(matrix.mean().item()) > 0.02:
        raise Mistake("the weights are not centred at zero")
    if matrix.abs().max() < 2.5 * found:
        raise Mistake("no weight is far out: these are not from a normal distribution")
    tails = (matrix.double() / found).pow(4).mean().item()  # 3 for a normal distribution
    if abs(tails - 3) > 0.4:
        raise Mistake("too few weights are far out, or too many: these are not from a normal one")
    units = [round(draw(gain, seed).std().item() * sqrt(columns) / gain, 1) for gain in (0.5, 2.0)]
    expect_close(units, [1.0, 1.0], "the standard deviation is not gain / sqrt(fan-in)", atol=0.05)
    drawn = torch.Generator().manual_seed(seed)
    wide, gain = 80 + int(torch.randint(60, (), generator=drawn)), 1 + seed % 7 / 7
    other = expect_tensor(ask(answer, rows, wide, gain, drawn), (rows, wide))
    units.append(round(other.std().item() * sqrt(wide) / gain, 1))
    expect_close(units[-1], 1.0, "the standard deviation is not gain / sqrt(fan-in)", atol=0.05)
    return {"std in units of gain / sqrt(fan-in)": units}


def _run(seed, layers=3, tokens=10, loops=40):
    """A run at rest on distinct points: states [loop, layer, token, width], and where it rests."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(layers, tokens, 8, generator=generator)
    away = torch.randn(layers, tokens, 8, generator=generator)
    fades = 0.5 ** torch.arange(1.0, loops + 1).view(-1, 1, 1, 1)
    return points + fades * away, points


def _turned(states, angles):
    """The same states, turned in the plane of their first two channels by angles [loop, token]."""
    cos, sin = angles.cos()[:, None], angles.sin()[:, None]  # [loop, 1, token]
    a, b = states[..., 0] + 2, states[..., 1]
    return torch.cat(
        (torch.stack((cos * a - sin * b, sin * a + cos * b), dim=-1), states[..., 2:]), dim=-1
    )


def kind_of_end(answer, seed):
    kinds = ("cycle", "degenerate", "explodes", "moving")
    rest, points = _run(seed, loops=40 + seed % 4)
    loops, _, tokens, _ = rest.shape
    loop = torch.arange(1.0, loops + 1)
    every = torch.ones(tokens)

    def of(states):
        kind = ask(answer, states)
        if kind is None:
            raise Mistake("the function returns nothing: is there a return at the end?")
        if not isinstance(kind, str) or kind not in kinds:
            raise Mistake(f"one of the words {', '.join(kinds)} is expected, not {kind!r}")
        return kind

    told = [of(rest)]
    if told[-1] != "cycle":
        raise Mistake(f"a run at rest on distinct points is a cycle; yours says {told[-1]}")

    told.append(of(rest * 1.3 ** loop.view(-1, 1, 1, 1)))
    if told[-1] != "explodes":
        raise Mistake(f"a run that grows 190-fold in its second half explodes, not {told[-1]}")
    broken = rest.clone()
    broken[-1, 0, 0, 0] = float("inf")  # a NaN is not equal to itself, and `ask` compares
    told.append(of(broken))
    if told[-1] != "explodes":
        raise Mistake(f"a run with an infinite number in it explodes; yours says {told[-1]}")

    drift = F.normalize(points[:1], dim=-1) * loop.view(-1, 1, 1, 1) + points / 1e4
    told.append(of(drift))
    if told[-1] == "moving":
        raise Mistake("layers that coincide, in a stream that only gets longer: degenerate")
    if told[-1] == "cycle":
        raise Mistake("you ask whether it rests first; coinciding layers make it degenerate")
    half = points.clone()
    half[1] = half[0]
    told.append(of(half.expand(loops, -1, -1, -1)))
    if told[-1] == "degenerate":
        raise Mistake(
            "only two of three layers coincide, and you say degenerate: the least cosine decides"
        )

    told.append(of(rest * loop.view(-1, 1, 1, 1)))
    if told[-1] == "moving":
        raise Mistake("this run's directions rest and only its length grows: compare directions")
    turn = (2 * torch.pi / 5) * loop[:, None] * every
    told.append(of(_turned(rest, turn)))
    if told[-1] != "moving":
        raise Mistake(f"every token of this run goes round a circle; yours says {told[-1]}")
    told.append(of(_turned(rest, turn * 0.005)))
    if told[-1] != "moving":
        raise Mistake("a slow turn takes short steps and is not at rest: look at the last quarter")
    few = every * 0
    few[0] = 1
    told.append(of(_turned(rest, turn * few)))
    few[1:3] = 1
    told.append(of(_turned(rest, turn * few)))
    if told[-2:] != ["cycle", "moving"]:
        raise Mistake(
            "with one token of ten in motion it is still a cycle, with three it is moving; "
            f"yours says {told[-2]} and {told[-1]}"
        )
    for sentence, wanted, states in _fine_points(points, loops):
        told.append(of(states))
        if told[-1] != wanted:
            raise Mistake(f"{sentence}: it is {wanted!r}, and yours says {told[-1]!r}")
    runs = {
        "cycle": rest,
        "explodes": rest * 1.3 ** loop.view(-1, 1, 1, 1),
        "degenerate": drift,
        "moving": _turned(rest, turn),
    }
    for at in torch.randint(4, (8,), generator=torch.Generator().manual_seed(seed)).tolist():
        told.append(of(runs[kinds[at]]))
        if told[-1] != kinds[at]:
            raise Mistake(f"a run of the kind {kinds[at]!r}, met again, is called {told[-1]!r}")
    return {"kinds": told}


def _fine_points(points, loops):
    """Runs that hang on one word of the rule each: (what is so, what it is called, states).

    points: where each layer of each token rests, [layer, token, width].
    """
    half, quarter = loops // 2, loops // 4
    still = points.expand(loops, -1, -1, -1)
    base = torch.linalg.qr(points.transpose(0, 1).transpose(-1, -2))[0]  # [token, width, 3]
    along, across = base[..., 0], base[..., 1]  # unit vectors at right angles, [token, width]

    def grown(factors, tokens=slice(None), layers=slice(None)):
        states = still.clone()
        states[:, layers, tokens] *= factors.view(-1, 1, 1, 1)
        return states

    def jump(at):
        return torch.where(torch.arange(loops) < at, 1.0, 1000.0)

    def to(end):
        return 1 + (end - 1) * ((torch.arange(loops) - half).clamp_min(0) / (loops - 1 - half))

    def fan(cosines):
        """Layers at these cosines to the first [layer, token], in one plane; signs are sides."""
        side, cosine = cosines.sign()[..., None], cosines.abs()[..., None]
        return cosine * along + side * (1 - cosine.square()).clamp_min(0).sqrt() * across

    def resting(cosines):
        cosines = torch.tensor(cosines)[:, None] if not torch.is_tensor(cosines) else cosines
        return fan(cosines.expand(3, 10)).expand(loops, -1, -1, -1)

    def blips(*away, tokens=10):
        """A direction that is away from its last value at some loops: (loop, how far)."""
        states = still.clone()
        states[:, -1] = along
        for at, far in away:
            chord = torch.tensor(far)
            cosine = 1 - chord.square() / 2
            moved = cosine * along + chord.sign() * (1 - cosine.square()).sqrt() * across
            states[at, -1, :tokens] = moved[:tokens]
        return states

    def unfolding(end):
        """Along one channel until half-way, in all of them alike then, and `end` times as long."""
        states, even = still.clone(), torch.ones(8)
        states[: half + 1, -1] = even * 1e-4
        states[: half + 1, -1, :, 0] = 1
        states[half + 1 :, -1] = even * end / 8**0.5
        return states

    one = torch.ones(3, 10)
    in_turn = one.clone()
    in_turn[1, ::2] = in_turn[2, 1::2] = 0.9985
    low, lower = one.clone(), one.clone()
    low[1, 0], lower[1, 0] = 0.9955, 0.985
    late, early = still.clone(), still.clone()
    late[:-1, :-1], early[-1, :-1] = late[:-1, -1:], early[-1, -1:]
    infinite, undefined = still.clone(), still.clone()
    infinite[3, 0, 2, 0], undefined[half, 1, 4, 1] = float("-inf"), float("nan")
    turning = still.clone()
    turning[:, :-1] = _turned(still, torch.arange(1.0, loops + 1)[:, None].expand(-1, 10))[:, :-1]
    both = (one[..., None] * along).expand(loops, -1, -1, -1)
    inside, window = loops - quarter, "the last quarter, loops // 4 long"
    creeping = [(loops - 1 - n, 0.016 * n / (quarter - 1)) for n in range(quarter)]
    return [
        (
            "two tokens of ten grow a thousandfold, and the median over tokens decides",
            "cycle",
            grown(to(1000.0), slice(2)),
        ),
        (
            "eight tokens of ten grow a thousandfold, and the median over tokens decides",
            "explodes",
            grown(to(1000.0), slice(8)),
        ),
        ("all growth is over at index loops // 2", "cycle", grown(jump(half))),
        ("all growth comes right after index loops // 2", "explodes", grown(jump(half + 1))),
        ("the length grows 99.5-fold in the second half", "cycle", grown(to(99.5))),
        ("the length grows 100.5-fold in the second half", "explodes", grown(to(100.5))),
        (
            "the length grows 60-fold, and single channels more",
            "cycle",
            unfolding(60.0),
        ),
        (
            "the length grows 170-fold, and the largest channel less",
            "explodes",
            unfolding(170.0),
        ),
        ("all layers but the last explode", "cycle", grown(to(1000.0), layers=slice(2))),
        ("one number of an early loop is infinite", "explodes", infinite),
        ("one number half-way is NaN", "explodes", undefined),
        (
            "each layer is close to the next, and the last is not close to the first",
            "cycle",
            resting([1.0, 0.99912, 0.9965]),
        ),
        (
            "all layers are close to the first, whatever they are to each other",
            "degenerate",
            resting([1.0, 0.9994, -0.9994]),
        ),
        (
            "the least cosine of each token is 0.9985, at one layer or the other",
            "cycle",
            resting(in_turn),
        ),
        ("the mean over tokens of the least cosine is 0.9985", "cycle", resting(lower)),
        ("the mean over tokens of the least cosine is 0.9995", "degenerate", resting(low)),
        ("the least cosine is 0.9988", "cycle", resting([1.0, 0.9988, 1.0])),
        ("the least cosine is 0.9992", "degenerate", resting([1.0, 1.0, 0.9992])),
        ("layers of one direction have different lengths", "degenerate", _longer(both)),
        ("layers coincide at all loops but the last", "cycle", late),
        ("layers coincide at the last loop alone", "degenerate", early),
        ("the run explodes, with all layers at one point", "explodes", both * _column(to(1000.0))),
        (
            "all layers coincide, and go round",
            "degenerate",
            _turned(both, torch.arange(1.0, loops + 1)[:, None].expand(-1, 10)),
        ),
        ("all layers but the last go round", "cycle", turning),
        (
            "every token is 0.02 away at one loop of the quarter",
            "moving",
            blips((inside + 2, 0.02)),
        ),
        (f"every token is away at the first loop of {window}", "moving", blips((inside, 0.02))),
        (f"every token is away one loop before {window}", "cycle", blips((inside - 1, 0.02))),
        ("every token is 0.0095 away at one loop", "cycle", blips((inside + 1, 0.0095))),
        ("every token is 0.0105 away at one loop", "moving", blips((inside + 1, 0.0105))),
        ("two tokens of ten are away at one loop", "moving", blips((inside, 0.02), tokens=2)),
        ("every token creeps by 0.016 in the last quarter", "moving", blips(*creeping)),
        (
            "every token is 0.007 away at two loops, on two sides, and the last value counts",
            "cycle",
            blips((inside, 0.007), (inside + 3, -0.007)),
        ),
        (
            "every token is 0.007 away at two early loops, on two sides, and the last value counts",
            "cycle",
            blips((inside + 1, 0.007), (inside + 3, -0.007)),
        ),
        (
            "every token is 0.007 away at two loops, on two sides, and the very last value counts",
            "cycle",
            blips((loops - 2, 0.007), (inside + 3, -0.007)),
        ),
    ]


def _column(values):
    return values.view(-1, 1, 1, 1)


def _longer(states):
    return states * torch.tensor([0.5, 2.0, 5.0])[:, None, None]


def radius(answer, seed):
    generator = torch.Generator().manual_seed(seed)
    skew = torch.eye(6) + 0.2 * torch.randn(6, 6, generator=generator)
    core = torch.diag(torch.tensor([0.8 * cos(1), 0.8 * cos(1), 0.72, -0.4, 0.3, 0.1]))
    # A pair that turns on an ellipse, so that the length pulses.
    core[0, 1], core[1, 0] = -0.8 * 4 * sin(1), 0.8 / 4 * sin(1)
    turning = skew @ core @ skew.inverse()
    flipping = skew @ torch.diag(torch.tensor([-0.9, 0.8, 0.4, 0.3, 0.2, 0.1])) @ skew.inverse()
    # Far from the leading direction: it takes a while until that has taken over.
    v = skew @ (torch.randn(6, generator=generator) + torch.tensor([0.0, 1.0, 20.0, 0, 0, 0]))

    def watched(answer, matrix, v, products):
        calls = []

        def push(v):
            calls.append(v.detach().clone())
            return matrix @ v

        return ask(answer, push, v, products), calls

    found = []
    for matrix, right, products in (
        (3 * turning, 2.4, 100),
        (flipping, 0.9, 81),
        (turning, 0.8, 60),
    ):
        value, calls = watch(answer, watched, matrix, v, products)
        if isinstance(value, torch.Tensor) and value.numel() > 1:
            raise Mistake("that is a vector; one number is asked: by how much it grows")
        if len(calls) < products:
            raise Mistake(
                f"{products} products were asked for, and push was called {len(calls)} times"
            )
        if all(torch.equal(call, calls[0]) for call in calls):
            raise Mistake("every product is of the same vector: hand on what came out")
        longest = max(call.norm().nan_to_num(float("inf")).item() for call in calls)
        undefined = isinstance(value, float | torch.Tensor) and float(value) != float(value)
        if longest > 1e6 or value is None or undefined:
            raise Mistake(
                "the vector grows without end and leaves the floats: bring it back to length 1 "
                "after every product"
            )
        value = expect_number(value)
        growth = _growth(matrix, v, products + 1)
        late = growth[products // 2 : products]

        def near(other, value=value):
            return agrees(value, other, rtol=1e-3, atol=1e-4)

        # The half may be cut on either side of the middle, after one product more as well.
        rights = [
            growth[start:stop].log().mean().exp()
            for stop in (products, products + 1)
            for start in (stop // 2, stop - products // 2)
        ]
        if not any(map(near, rights)):
            if abs(value + right) < 0.05 * right:
                raise Mistake("the sign of a multiplier is not asked here: the radius is a length")
            if near(late.log().mean()):
                raise Mistake("that is the mean logarithm: take its exp")
            if near(late.mean()):
                raise Mistake(
                    "that is the plain mean of the factors: factors multiply, so the mean of "
                    "their logarithms is the one to take"
                )
            if near(growth[products - 1]):
                raise Mistake(
                    "you return the last factor alone; where a pair turns it pulses for ever, so "
                    "average the second half"
                )
            if near(growth[:products].log().mean().exp()):
                raise Mistake("the first products belong to the start vector: leave that half out")
            raise Mistake(f"the radius of this matrix is {right}, and you found {value:.3g}")
        if len(calls) > 2 * products + 2:
            raise Mistake(
                f"{products} products were asked for, and push was called {len(calls)} times"
            )
        found.append(rights[0])
    return {"radii": found}


def _growth(matrix, v, products):
    """By how much each product lengthens the vector: [product]."""
    v, growth = v / v.norm(), []
    for _ in range(products):
        v = matrix @ v
        growth.append(v.norm())
        v = v / v.norm()
    return torch.stack(growth)


def leading_exponent(answer, seed):
    kick = torch.rand((), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    slow = torch.tensor([0.9, 0.3], dtype=torch.float64)

    def of(step, state, nudge, loops, settle):
        value = ask(answer, step, state.double(), nudge.double(), loops, settle)
        return expect_number(value)

    begin = torch.tensor([1.0, 1.0])
    nudge = torch.tensor([0.001, 1.0]) * 1e-6
    right = log(0.9)
    linear = of(lambda z: slow * z, begin, nudge, 60, 30)
    if abs(linear - right * 30) < 0.05:
        raise Mistake("that is the sum over the counted loops; an exponent is per loop")
    if abs(linear - right / log(10)) < 1e-4 or abs(linear - right / log(2)) < 1e-4:
        raise Mistake("another base: exponents are natural logarithms")
    if abs(linear - 0.9) < 0.01:
        raise Mistake("that is the growth factor; an exponent is its logarithm")
    if abs(linear - right / 2) < 0.02:
        raise Mistake("you divide by all loops, and only those after `settle` are counted")
    # Two neighbours on a map that folds: only a direction carried along and short stays true.
    tent = lambda z: torch.stack((1 - 1.9 * z[0].abs(), 0.5 * z[1]))  # noqa: E731
    folding = of(tent, torch.stack((0.1 + kick / 10, kick)), torch.tensor([1e-7, 0.0]), 150, 50)
    if folding < 0.9 * log(1.9):
        raise Mistake(
            "the neighbours drift as far apart as the map is wide, and then the distance says "
            "nothing: bring the neighbour back to its first distance after every loop"
        )
    if abs(linear - right) > 5e-3:
        early = solution("05.4")(lambda z: slow * z, begin.double(), nudge.double(), 60, 0)
        fixed = _stuck(lambda z: slow * z, begin.double(), nudge.double(), 60)
        if abs(linear - early.item()) < 5e-3:
            raise Mistake("the first `settle` loops are counted too: they belong to the start")
        if abs(linear - fixed) < 5e-3:
            raise Mistake(
                "the nudge keeps its first direction: carry on the direction that came out, only "
                "its length is reset"
            )
        raise Mistake(f"on the map (0.9 a, 0.3 b) the exponent is log 0.9, and yours {linear:.3g}")

    def alternate(z):  # stretches fourfold and squeezes eightfold in turn
        return torch.stack((-z[0], torch.where(z[0] > 0, 4 * z[1], z[1] / 8)))

    turns = of(alternate, torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1e-6]), 40, 10)
    wanted = (log(4) - log(8)) / 2
    if abs(turns - log((4 + 1 / 8) / 2)) < 1e-3:
        raise Mistake("that is the logarithm of the mean; take the mean of the logarithms")
    expect_close(turns, wanted, "growth by 4 and by 1/8 in turn: the exponent is off", atol=1e-3)
    # At rest on a point that repels: the state itself never leaves it, its neighbour would.
    resting = of(lambda z: (2 * z).tanh(), torch.zeros(2), nudge, 60, 30)
    if abs(resting - log(2)) > 5e-3:
        raise Mistake(
            f"at rest on a point where neighbours part by 2 per loop it should be log 2, and yours "
            f"is {resting:.3g}: the path is that of the state, the neighbour is only compared"
        )

    def clocked(z):
        """[clock, x, y]: x and y turn, and grow by another factor at each loop."""
        x, y = cos(1) * z[1] - sin(1) * z[2], sin(1) * z[1] + cos(1) * z[2]
        factor = 0.7 + 0.2 * (5 * z[0]).sin()
        return torch.stack((z[0] + 1, factor * x, factor * y))

    loops, settle = 12 + int(10 * kick), 5
    start, aside = torch.tensor([0.0, 1.0, 1.0]), torch.tensor([0.0, 6e-4, 8e-4])
    timed = of(clocked, start, aside, loops, settle)
    factors = [log(0.7 + 0.2 * sin(5 * t)) for t in range(loops + settle)]
    windows = {
        "the first `settle` loops are counted too: they belong to the start": (0, loops),
        "yours runs `settle` loops more than asked: they are the first of the `loops` loops": (
            settle,
            loops + settle,
        ),
        "one of the first `settle` loops is counted: leave all of them out": (settle - 1, loops),
        "one loop too few is counted: only the first `settle` are left out": (settle + 1, loops),
        "the last loop is not counted": (settle, loops - 1),
    }
    named = {mistake: sum(factors[a:b]) / (b - a) for mistake, (a, b) in windows.items()}
    wanted = sum(factors[settle:loops]) / (loops - settle)
    wrong = "where each loop has a factor of its own the mean of their logarithms is off"
    expect_right(timed, wanted, named, wrong, atol=1e-6)
    at_once = of(clocked, start, aside, loops, 0)
    wrong = "with no loops to settle it is off: the first growth is over the nudge's first length"
    expect_close(at_once, sum(factors[:loops]) / loops, wrong, atol=1e-6)
    rate = 0.5 + 0.45 * kick.item()
    drawn = of(lambda z: torch.tensor([rate, 0.3], dtype=z.dtype) * z, begin, nudge, 60, 30)
    expect_close(drawn, log(rate), f"on the map ({rate:.3f} a, 0.3 b) it is off", atol=5e-3)
    return {"linear": linear, "folding": folding, "turns": turns, "drawn": drawn, "timed": timed}


def decay(answer, seed):
    generator = torch.Generator().manual_seed(seed)
    log_a = torch.randn(20, generator=generator)
    dt_bias = torch.randn(20, generator=generator)
    log_a[0], dt_bias[1] = -2.0, -3.0  # so that a missing exp or softplus shows
    result = expect_tensor(ask(answer, log_a, dt_bias), (20,))
    dt, a = F.softplus(dt_bias), log_a.exp()

    right = (-dt * a).exp()
    named = {
        "that is the rate dt * a; what the state is multiplied by is exp of minus it": dt * a,
        "the sign is lost: these factors are above 1, and the state would grow": (dt * a).exp(),
        "log_a is the logarithm of the rate and may be negative: take its exp first": (
            (-dt * log_a).exp()
        ),
        "dt_bias may be negative, and a step length may not: send it through softplus": (
            (-dt_bias * a).exp()
        ),
        "1 - dt * a is the first-order step: for a large rate it leaves the interval 0 to 1": (
            1 - dt * a
        ),
    }
    known = any(agrees(result, wrong, atol=1e-6) for wrong in (right, *named.values()))
    if not known and (result.min() < 0 or result.max() > 1):
        raise Mistake("a factor lies outside 0 to 1")
    wrong = "all factors are between 0 and 1, but not these ones"
    expect_right(result, right, named, wrong, atol=1e-6)
    return {"decay": result}


def _stuck(step, state, nudge, loops):
    growth = []
    for _ in range(loops):
        end = step(state)
        growth.append(((step(state + nudge) - end).norm() / nudge.norm()).log())
        state = end
    return torch.stack(growth).mean().item()


REST = ("cycle", "degenerate")


def design_or_draw(answer, seed):
    generator = torch.Generator().manual_seed(seed)
    while True:  # drawn until every mistake would show
        tables = [_table(generator, *sizes) for sizes in ((4, 3, 0.8), (3, 2, 0.3), (5, 2, 0.7))]
        wrong_counts = {
            "a degenerate end is a rest as well": _rests(tables, ("cycle",)),
            "an orbit comes back and is no rest": _rests(tables, (*REST, "orbit")),
            "the rests of the first design come first": [two[::-1] for two in _rests(tables)],
        }
        wrong_chances = {
            "swaps that set the designs exactly as far apart as seen count too": _chances(
                tables, lambda lead, seen: abs(lead) > abs(seen)
            ),
            "the other design may lead as well: compare how far apart they are, without the sign": (
                _chances(tables, lambda lead, seen: lead >= seen)
            ),
            "the second design may lead as well: how far apart they really are has no sign": (
                _chances(tables, lambda lead, seen: abs(lead) >= seen)
            ),
            "with each seed take by how much the first design leads, and not the sum of both": (
                _chances(tables, both=True)
            ),
            "you swap single runs; all gains of a seed are the same dice: swap whole seeds": (
                _chances(tables, single=True)
            ),
            "that is the share of swaps that set them less far apart; the others are asked": (
                _chances(tables, lambda lead, seen: abs(lead) < abs(seen))
            ),
        }
        shows = _rests(tables) not in wrong_counts.values()
        if shows and _chances(tables) not in wrong_chances.values():
            break
    counts, chances = [], []
    for table in tables:
        designs, gains, seeds = (list(dict.fromkeys(key[n] for key in table)) for n in range(3))

        def ended(design, gain, seed, table=table):
            return table[design, gain, seed]

        result = ask(answer, ended, *designs, gains, seeds)
        if result is None:
            raise Mistake("the function returns nothing: is there a return at the end?")
        if not isinstance(result, list | tuple | torch.Tensor) or len(result) != 3:
            raise Mistake("three numbers are expected: the rests of both designs, and the chance")
        first, second, chance = map(expect_number, result)
        counts.append([first, second])
        chances.append(chance)
    named = wrong_counts | {
        "numbers of runs are asked, not shares": [
            [rests / len(table) * 2 for rests in two]
            for two, table in zip(_rests(tables), tables, strict=True)
        ]
    }
    wrong = "the rests of the two designs are not counted right"
    expect_right(counts, _rests(tables), named, wrong)
    wrong = (
        "the chance is off: of all 2^n ways to swap seeds, the share that sets them as far apart"
    )
    expect_right(chances, _chances(tables), wrong_chances, wrong)
    return {"rests": counts, "chance": chances}


def _table(generator, seeds, gains, share):
    """(design, gain, seed) -> word: the first design rests in about this share, the other less."""
    table = {}
    for design, rests in ((("Huginn", "none"), share), (("Ouro", "none"), 1 - share)):
        for n, seed in product(range(gains), range(seeds)):
            one, other = torch.rand(2, generator=generator).tolist()
            words = REST if one < rests else ("orbit", "no rest")
            table[design, (n + 1) / 2, seed + 3] = words[other < 0.4]
    return table


def _by_seed(table, words=REST):
    """Of each design in each seed, which of its gains rest: [design][seed][gain], true or false."""
    designs, gains, seeds = (list(dict.fromkeys(key[n] for key in table)) for n in range(3))
    return [[[table[d, g, s] in words for g in gains] for s in seeds] for d in designs]


def _rests(tables, words=REST):
    return [[sum(map(sum, runs)) for runs in _by_seed(table, words)] for table in tables]


def _chances(tables, far=lambda lead, seen: abs(lead) >= abs(seen), single=False, both=False):
    made = []
    for table in tables:
        one, other = _by_seed(table)
        leads = [
            [a + b if both else a - b for a, b in zip(*pair, strict=True)]
            for pair in zip(one, other, strict=True)
        ]
        leads = [lead for seed in leads for lead in seed] if single else [*map(sum, leads)]
        swaps = product((1, -1), repeat=len(leads))
        hits = [far(sum(map(mul, swap, leads)), sum(leads)) for swap in swaps]
        made.append(sum(hits) / len(hits))
    return made


def hold(answer, seed):
    generator = torch.Generator().manual_seed(seed)
    bend = 0.02

    def spin(size, degrees):
        return size * cos(degrees * pi / 180), size * sin(degrees * pi / 180)

    told, kinds = [], []
    for real, (a, b) in (
        ((-0.9, 0.6, 0.3, -0.2), spin(1.1, 60)),  # a pair decides
        ((-1.25, 0.5, 0.2, 0.1), spin(1.2, 100)),  # the leading one is not the one that decides
        ((0.5, -0.6, 0.3, 0.1), spin(0.6, 40)),  # calm
        ((1.3, 0.5, -0.4, 0.2), spin(0.5, 60)),  # nothing holds it
    ):
        jitter = 0.97 + 0.06 * torch.rand((), generator=generator).item()
        core = torch.zeros(6, 6, dtype=torch.float64)
        core[:4, :4] = torch.diag(jitter * torch.tensor(real, dtype=torch.float64))
        core[4:, 4:] = jitter * torch.tensor([[a, -b], [b, a]], dtype=torch.float64)
        skew = torch.eye(6) + 0.15 * torch.randn(6, 6, generator=generator)
        matrix = skew.double() @ core @ skew.double().inverse()
        point = torch.randn(6, generator=generator).double()
        aside = 0.3 * torch.randn(6, generator=generator).double()

        def step(z, matrix=matrix, point=point):
            away = z.reshape(-1, 6) - point
            return (point + away @ matrix.T + bend * away**2).reshape(z.shape)

        result = ask(answer, step, (point + aside).view(1, 2, 3))
        if result is None:
            raise Mistake("the function returns nothing: is there a return at the end?")
        if not isinstance(result, list | tuple) or len(result) != 2:
            raise Mistake("two things are expected: the point, and the share")
        found = expect_tensor(result[0], (1, 2, 3)).double().flatten()
        if (found - point).norm() > 1e-4:
            if (found - point - aside).norm() < 1e-6:
                raise Mistake("the point that you return is the start")
            raise Mistake("the point is no fixed point: one step from it leads elsewhere")
        told.append(expect_number(result[1]))
        kinds.append((torch.linalg.eigvals(matrix), matrix + 2 * bend * torch.diag(aside)))

    def shares(bound, many=min, cap=1.0, zero=True, values=None):
        made = []
        for mu in values or [mu for mu, _ in kinds]:
            bounds = [bound(1 - one) for one in mu.tolist()]
            lost = zero and mu.real.max().item() >= 1
            made.append(0.0 if lost else min(cap, many(bounds)))
        return made

    def right(away):
        return 2 * away.real / abs(away) ** 2

    def lead(bounds):
        return bounds[0]

    leading = [mu[mu.abs().argsort(descending=True)] for mu, _ in kinds]
    named = {
        "a share is at most 1, which is the loop as it is": shares(right, cap=9.0),
        "where a multiplier has a real part of 1 or more no share holds the loop: say 0": shares(
            right, zero=False
        ),
        "each multiplier sets a limit, and the smallest limit decides, not the largest": shares(
            right, many=max
        ),
        "the multiplier that is largest in modulus need not set the smallest limit": shares(
            right, many=lead, values=leading
        ),
        "a pair that turns has another limit: use the real part and the modulus of 1 - mu": shares(
            lambda away: 2 / (1 + abs(1 - away))
        ),
        "half of it: |1 - b + b mu| < 1 gives b < 2 Re(1 - mu) / |1 - mu|^2": shares(
            lambda away: right(away) / 2
        ),
        "these are the multipliers at the start: take them at the point": shares(
            right, values=[torch.linalg.eigvals(there) for _, there in kinds]
        ),
    }
    wrong = "the point is right, and the share is not: b < 2 Re(1 - mu) / |1 - mu|^2 for every mu"
    expect_right(told, shares(right), named, wrong, rtol=1e-3)
    return {"shares": told}


EXERCISES = [
    Exercise("05.1", "weights at a gain", solution("05.1"), draw_weights),
    Exercise("05.2", "how did it end?", solution("05.2"), kind_of_end),
    Exercise("05.3", "the radius from products", solution("05.3"), radius),
    Exercise("05.4", "two neighbours", solution("05.4"), leading_exponent),
    Exercise("05.5", "a decay below one", solution("05.5"), decay),
    Exercise("05.6", "the design, or the draw?", solution("05.6"), design_or_draw),
    Exercise("05.7", "hold a loop still", solution("05.7"), hold),
]
