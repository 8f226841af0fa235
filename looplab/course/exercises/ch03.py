"""Checks of chapter 03, Watch fixed points form."""

import torch

from looplab import measure
from looplab.course.exercises.catalogue import Exercise
from looplab.course.exercises.kinds import as_tensor
from looplab.course.exercises.probing import (
    Mistake,
    agrees,
    ask,
    expect_bools,
    expect_close,
    expect_int,
    expect_number,
    expect_right,
    expect_tensor,
    normal,
    watch,
)
from looplab.course.exercises.solutions import solution


def step_size(answer, seed):
    states = normal(seed, 6, 3, 2, 5)  # [loop, layer, token, width]
    result = as_tensor(ask(answer, states))
    right = measure.step_size(states)
    if isinstance(result, torch.Tensor):
        if result.shape == (5, 3, 2, 5):
            raise Mistake("that is the step itself, a vector: the question is how long it is")
        if result.shape == (6, 2, 2):
            raise Mistake("you compared layers of one loop; a step goes from one loop to the next")
    result = expect_tensor(result, right.shape)
    still = expect_tensor(ask(answer, torch.ones(4, 2, 3)))
    expect_close(still, torch.zeros(3, 2), "a state that never moves should have steps of length 0")
    named = {
        "these are squared lengths: the square root is missing": right.square(),
        "you subtracted lengths; two states of equal length can still be far apart": (
            states[1:].norm(dim=-1) - states[:-1].norm(dim=-1)
        ),
    }
    expect_right(result, right, named, "the shape is right, but the lengths are not")
    return {"steps": result}


def distance_to_limit(answer, seed):
    states, limit = normal(seed, 9, 2, 3, 5), 4 + seed % 3
    result = as_tensor(ask(answer, states, limit))
    right = measure.distance_to_limit(states, limit)
    if isinstance(result, torch.Tensor) and result.shape == (9, 3):
        raise Mistake("that is one layer alone: keep the distance of every layer")
    result = expect_tensor(result, (9, 2, 3))
    point = states[limit - 1]
    named = {
        "you measured from the last state: the limit is an argument, use it": (
            measure.distance_to_limit(states)
        ),
        f"off by one: recurrence {limit} has index {limit - 1}, as Python counts from 0": (
            (states - states[limit]).norm(dim=-1)
        ),
        "you divided by the length of the limit; here the plain distance is asked": (
            right / point.norm(dim=-1)
        ),
        "all layers are measured from the last layer's limit: each layer has a limit of its own": (
            (states - point[-1]).norm(dim=-1)
        ),
        "all layers are measured from the first layer's limit: each layer has a limit of its own": (
            (states - point[0]).norm(dim=-1)
        ),
        "these are squared distances: the square root is missing": right.square(),
    }
    if not agrees(result, right) and not any(agrees(result, wrong) for wrong in named.values()):
        zero = torch.zeros(2, 3)
        expect_close(result[limit - 1], zero, "at the limit itself the distance should be 0")
    expect_right(result, right, named, "the shape is right, but the distances are not")
    return {"distance": result}


def cycle_points(answer, seed):
    # Two directions with a clear order, turned so that no channel is one of them.
    turn = torch.linalg.qr(normal(seed + 1, 9, 9))[0]
    spread = torch.tensor([3.0, 1.5, 0.4, 0.4, 0.3, 0.3, 0.2, 0.2, 0.1])
    path = normal(seed, 7, 3, 9) * spread
    path[..., 0] += torch.tensor([-2.0, 0.0, 2.0])  # layers in different places: a fit per layer
    path[..., 1] += torch.tensor([1.0, -2.0, 1.0])  # shows
    path = path @ turn + 5
    result = expect_tensor(ask(answer, path), (7, 3, 2))
    right = measure.cycle_pca(path).points
    flat, wanted = result.flatten(0, 1).double(), right.flatten(0, 1).double()
    size = wanted.norm(dim=-1).mean()
    if flat.mean(0).abs().max() > 1e-2 * size:
        raise Mistake("the points are not centred: subtract the mean of all states first")
    if result.mean(0).abs().max() < 1e-3:
        raise Mistake("each layer is centred on its own, so the layers fall on top of each other")
    channels = (path - path.mean((0, 1)))[..., :2].flatten(0, 1)
    if agrees(flat.abs().sort(0).values, channels.abs().sort(0).values):
        raise Mistake("these are the first two channels, not the two principal components")
    sizes = flat.norm(dim=0)
    if abs(sizes[0] - sizes[1]) < 1e-3 * sizes[0]:
        raise Mistake("both components are scaled to one size: keep the scale of the data")
    # The sign of a component is arbitrary.
    near = {"rtol": 1e-3, "atol": 1e-3}
    signs = (flat * wanted).sum(0).sign()
    points = (result * signs).to(result.dtype)
    if not agrees(points, right, **near):
        crossed = flat.flip(-1)
        if agrees(crossed * (crossed * wanted).sum(0).sign(), wanted, **near):
            raise Mistake(
                "the two components have changed places: the one of largest variance comes first"
            )
        if agrees(torch.cdist(flat, flat), torch.cdist(wanted, wanted), **near):
            raise Mistake(
                "the plane is right, and the points are turned in it: the first coordinate goes "
                "along the direction of largest variance"
            )
        raise Mistake("the plane is not the one of largest variance of all states together")
    return {"distances": torch.cdist(flat, flat).to(result.dtype)}


def rotated_pass(answer, seed):
    results = [_rotated(answer, seed, n, first) for n in (3, 4) for first in range(n)]
    return {"results": torch.stack(results)}


def _rotated(answer, seed, count, first):
    """The answer's pass through `count` layers from layer `first`, once its order is right."""

    def watched(answer, count, first, shifts):
        ran = []

        def layer(n):
            def run(z):
                ran.append(n)
                return z * (n + 2) + shifts[n]

            return run

        def inject(z):
            ran.append("inject")
            return z / 2 + shifts[-1]

        return ask(answer, [layer(n) for n in range(count)], inject, torch.ones(2), first), ran

    shifts = normal(seed, count + 1)
    result, order = watch(answer, watched, count, first, shifts)
    result = expect_tensor(result, (2,))
    rest = list(range(first, count))
    wanted = [*rest, "inject", *range(first)] if first else ["inject", *rest]
    if "inject" not in order:
        raise Mistake("the pass never injects the input: it belongs in front of layers[0]")
    if first and order == ["inject", *rest, *range(first)]:
        raise Mistake(
            "you inject at the start of every pass; injection stands in front of layers[0], "
            "wherever the pass begins"
        )
    if sorted(map(str, order)) != sorted(map(str, wanted)):
        raise Mistake(f"a pass runs every layer once; from layers[{first}] yours ran {order}")
    if order != wanted:
        raise Mistake(f"from layers[{first}] the order should go round; yours was {order}")
    right = torch.ones(2)
    for step in wanted:
        right = right / 2 + shifts[-1] if step == "inject" else right * (step + 2) + shifts[step]
    expect_close(
        result,
        right,
        "the layers run in the right order, but the state is not handed on from each to the next",
    )
    return result


def spread(answer, seed):
    ends = normal(seed, 6, 3, 5) * torch.tensor([1.0, 2.0, 5.0])[:, None]  # [start, token, width]
    for token, (one, other) in enumerate([(1, 3), (1, 4), (2, 4)]):
        # The widest pair is neither of neighbours nor with the first start or the last.
        far = torch.cdist(ends[:, token], ends[:, token]).argmax().item()
        widest = [far // 6, far % 6]
        others = iter(n for n in range(6) if n not in widest)
        order = [
            widest[(one, other).index(n)] if n in (one, other) else next(others) for n in range(6)
        ]
        ends[:, token] = ends[order, token]
    result = expect_tensor(ask(answer, ends), (3,))
    distance = (ends[:, None] - ends[None]).norm(dim=-1)  # [start, start, token]
    length = ends.norm(dim=-1)
    size, widest = length.mean(0), distance.amax((0, 1))
    same = expect_tensor(ask(answer, torch.ones(3, 2, 4)))
    expect_close(same, torch.zeros(2), "ends that agree should have a spread of 0")
    neighbours = (ends[1:] - ends[:-1]).norm(dim=-1).amax(0)
    named = {
        "the distance has no unit yet: divide by the mean length of the ends": widest,
        "you compared with the first start only; every pair counts": distance[0].amax(0) / size,
        "you compared neighbouring starts only; every pair counts": neighbours / size,
        "that is the mean over pairs, with each end compared to itself too; take the largest": (
            distance.mean((0, 1)) / size
        ),
        "that is the mean over pairs; take the largest": distance.sum((0, 1)) / 30 / size,
        "you took each channel's largest and smallest: they may belong to different runs": (
            (ends.amax(0) - ends.amin(0)).norm(dim=-1) / size
        ),
        "the unit is the longest end: asked is the mean of their lengths": widest / length.amax(0),
    }
    expect_right(result, widest / size, named, "the shape is right, but the numbers are not")
    return {"spread": result}


def report(answer, seed):
    """Loops with known ends; every number of the report is asked of each."""

    def watched(answer, matrix, ends, starts, loops):
        def step(z):
            if z.shape[1:] != starts.shape[1:]:
                raise Mistake(
                    f"step was given a state of shape {tuple(z.shape)}: hand it all starts at "
                    f"once, [start, ..., width], here {tuple(starts.shape)}"
                )
            left, low = (z[..., :2] < 0).long().unbind(-1)
            end = ends[left * (1 + low)]
            return end + (z - end) @ matrix

        return ask(answer, step, starts, loops)

    found = {}
    for name, given in _loops(seed).items():
        told = watch(answer, watched, *given)
        if told is None:
            raise Mistake("the function returns nothing: is there a return?")
        if not isinstance(told, dict):
            raise Mistake(f"a dict of four is expected, and this is a {type(told).__name__}")
        if lacking := [key for key in ("rests", "loop", "factor", "spread") if key not in told]:
            raise Mistake(f"the report lacks {lacking[0]!r}")
        right = _told(watched(_run, *given))
        _expect_rests(bool(expect_bools(told["rests"], ())), right, name)
        _expect_loop(expect_int(told["loop"]), right)
        factor, apart = expect_number(told["factor"]), expect_number(told["spread"])
        near = {"rtol": 0.02, "atol": 1e-3}
        named = {
            "the factor is upside down: below 1 means that the steps shrink": 1 / right["factor"],
            "the factor is that of the distances to the end: asked is the steps'": right["closing"],
        }
        otherwise = "factor is not what contraction_rate finds for the mean relative step"
        expect_right(factor, right["factor"], named, otherwise, **near)
        named = {
            "spread has no unit: divide by the mean length of the ends": right["bare"],
            "spread is a mean over the nodes: take the largest": right["middling"],
            "spread compares with the first start only: every pair counts": right["to first"],
        }
        otherwise = "spread is not the largest distance of two ends, in units of their mean length"
        expect_right(apart, right["spread"], named, otherwise, **near)
        found |= {f"{name}, spread": torch.tensor(apart), f"{name}, factor": torch.tensor(factor)}
    return {key: value.round(decimals=2) for key, value in found.items()}


def _loops(seed):
    """Maps z -> end + (z - end) matrix: matrix, three ends, starts [4, token, width], loops."""
    draw = torch.Generator().manual_seed(seed)

    def uniform(low, high, *shape):
        return low + (high - low) * torch.rand(shape, generator=draw)

    point = 30 * torch.randn(6, generator=draw).sign() * uniform(0.7, 1.3, 6)
    point[:2] = point[:2].abs()
    size, noise = point.norm(), torch.randn(4, 3, 6, generator=draw)
    noise[..., :2] = noise[..., :2].abs()  # on its side of the borders between the ends
    far, one = point + 0.3 * size * noise, point.expand(3, 6)
    eye, slow, fast = torch.eye(6), uniform(0.6, 0.75), uniform(0.3, 0.5)
    loops = {"settles": (slow * eye, one, far, 60)}
    loops["begins at its end"] = (slow * eye, one, point + 1e-3 * size * noise, 40)
    # Near its end from the first loop on, then thrown away from it, then back.
    thrown, there = uniform(0.68, 0.75) * eye, point.expand(4, 12, 6).clone()
    thrown[4, 5] = 2.0
    there[2, 11, 4] += 0.004 * size
    loops["is thrown"] = (thrown, one, there, 60)
    # One node of one start goes round and round, in small steps.
    turn, angle = fast * eye, uniform(0.8, 1.2)
    across = torch.stack((angle.cos(), angle.sin(), -angle.sin(), angle.cos()))
    turn[4:, 4:] = across.view(2, 2)
    turning = point + (far - point) * torch.tensor([1.0, 1.0, 1.0, 1.0, 0.0, 0.0])
    turning[1, 2, 5] += 6e-4 * size
    loops["turns"] = (turn, one, turning, 60)
    # Its last steps are just small enough beside the state, and one loop before they were not.
    # All channels move alike, so that no single one is nearly all of a step.
    even = point + 0.3 * size * noise.norm(dim=-1, keepdim=True) / 6**0.5 * noise.sign()
    path = point + (even - point) * 0.8 ** torch.arange(60.0)[:, None, None, None]  # from loop 0
    steps = (path[1:] - path[:-1]).norm(dim=-1) / path[1:].norm(dim=-1)
    enough = int((steps.flatten(1).amax(1) < 1e-4).nonzero()[0]) + 1
    loops["creeps"] = (0.8 * eye, one, even, enough)
    loops["creeps still"] = (0.8 * eye, one, even, enough - 1)
    # From far away, stopped in full flight.
    flying = 3 * point + 0.3 * size * noise
    loops["is stopped"] = (uniform(0.68, 0.75) * eye, one, flying, 8)
    # Three ends; the first start is not of the widest pair, and one node has a pair of its own.
    ends = torch.stack((point, -uniform(0.1, 0.2) * point, -uniform(0.5, 0.7) * point))
    ends[1, 1] *= -1
    which = torch.tensor([[1, 1, 1], [0, 0, 1], [2, 1, 1], [1, 1, 1]])  # [start, token]
    starts = ends[which] * (1 + 0.2 * noise.abs())
    loops["has three ends"] = (fast * eye, ends, starts, 60)
    # Its first states are more than twice as long as its last.
    loops["comes from afar"] = (uniform(0.68, 0.75) * eye, one, flying, 60)
    return loops


def _run(step, starts, loops):
    """All states of a loop, [loop, start, ..., width]."""
    states = [starts]
    for _ in range(loops):
        states.append(step(states[-1]))
    return torch.stack(states[1:])


def _told(states):
    """The report that is right, and numbers that tell wrong ones."""
    ends, size = states[-1], states.norm(dim=-1)
    steps = (states[1:] - states[:-1]).norm(dim=-1) / size[1:]
    distance = (states - ends).norm(dim=-1) / size[-1]
    away = (distance > 0.01).flatten(1)
    apart = (ends[:, None] - ends[None]).norm(dim=-1)
    unit = size[-1].mean(0)

    def since(away):
        return int(away.nonzero().max()) + 2 if away.any() else 1

    return {
        "rests": bool(steps[-1].max() < 1e-4),
        "loop": since(away.any(1)),
        "loop of the mean": since(distance.flatten(1).mean(1) > 0.01),
        "first near": int((~away.any(1)).nonzero().min()) + 1,
        "factor": measure.contraction_rate(steps.flatten(1).mean(1)).item(),
        "closing": measure.contraction_rate(distance[:-1].flatten(1).mean(1)).item(),
        "spread": (apart.amax((0, 1)) / unit).max().item(),
        "bare": apart.max().item(),
        "middling": (apart.amax((0, 1)) / unit).mean().item(),
        "to first": (apart[0].amax(0) / unit).max().item(),
    }


def _expect_rests(rests, right, name):
    if rests == right["rests"]:
        return
    if name == "creeps":
        raise Mistake(
            "rests is wrong for a long state whose last steps are small beside it: measure a step "
            "in units of the state it ends in"
        )
    if name == "creeps still":
        raise Mistake("rests is true, and the last step is still above a ten-thousandth")
    if rests:
        raise Mistake(
            "rests is true for a loop in which one node of one start never stops: every last step "
            "must be small"
        )
    raise Mistake("rests is false for a loop whose last steps are far below a ten-thousandth")


def _expect_loop(loop, right):
    wanted = right["loop"] if right["rests"] else 0
    if loop == wanted:
        return
    if not right["rests"]:
        raise Mistake("loop is 0 where the loop does not rest")
    if loop == right["first near"]:
        raise Mistake(
            "loop is the first one near the end, and the state leaves again: asked is from when on "
            "it stays"
        )
    if loop == wanted - 1:
        raise Mistake("loop is one too small: loops count from 1, and it is the first one within")
    if loop == wanted + 1:
        raise Mistake("loop is one too large: the start is loop 0, before any step")
    if loop == right["loop of the mean"]:
        raise Mistake("loop goes by the mean: every state has to be within 1 % of its own end")
    raise Mistake("loop is not the first one from which on every state stays within 1 % of its end")


def _points(path):
    return measure.cycle_pca(path).points


# Not the chapter's solutions: a library function that is handed in as it is has to be recognised,
# and the library's axes of a cycle have signs that stay the same from figure to figure.
EXERCISES = [
    Exercise("03.1", "step size", measure.step_size, step_size),
    Exercise("03.2", "distance to the limit", measure.distance_to_limit, distance_to_limit),
    Exercise("03.3", "the plane of the cycle", _points, cycle_points),
    Exercise("03.4", "rotate the core", solution("03.4"), rotated_pass),
    Exercise("03.5", "many starts", solution("03.5"), spread),
    Exercise("03.6", "a report on any loop", solution("03.6"), report),
]
