"""Checks of chapter 03, Watch fixed points form."""

import torch

from looplab import measure
from looplab.course.exercises.catalogue import Exercise
from looplab.course.exercises.probing import (
    Mistake,
    agrees,
    ask,
    expect_close,
    expect_tensor,
    normal,
    watch,
)
from looplab.course.exercises.solutions import solution


def step_size(answer, seed):
    states = normal(seed, 6, 3, 2, 5)  # [loop, layer, token, width]
    result = ask(answer, states)
    right = measure.step_size(states)
    if isinstance(result, torch.Tensor):
        if result.shape == (5, 3, 2, 5):
            raise Mistake("that is the step itself, a vector: the question is how long it is")
        if result.shape == (6, 2, 2):
            raise Mistake("you compared layers of one loop; a step goes from one loop to the next")
    result = expect_tensor(result, right.shape)
    if agrees(result, right.square()):
        raise Mistake("these are squared lengths: the square root is missing")
    if agrees(result, states[1:].norm(dim=-1) - states[:-1].norm(dim=-1)):
        raise Mistake("you subtracted lengths; two states of equal length can still be far apart")
    still = expect_tensor(ask(answer, torch.ones(4, 2, 3)))
    expect_close(still, torch.zeros(3, 2), "a state that never moves should have steps of length 0")
    expect_close(result, right, "the shape is right, but the lengths are not")
    return {"steps": result}


def distance_to_limit(answer, seed):
    states = normal(seed, 8, 2, 3, 5)
    result = expect_tensor(ask(answer, states, 6), (8, 2, 3))
    right = measure.distance_to_limit(states, 6)
    if agrees(result, measure.distance_to_limit(states)):
        raise Mistake("you measured from the last state: the limit is an argument, use it")
    if agrees(result, (states - states[6]).norm(dim=-1)):
        raise Mistake("off by one: recurrence 6 is the sixth state, and Python counts from 0")
    if agrees(result, right / states[5].norm(dim=-1)):
        raise Mistake("you divided by the length of the limit; here the plain distance is asked")
    expect_close(result[5], torch.zeros(2, 3), "at the limit itself the distance should be 0")
    expect_close(result, right, "the shape is right, but the distances are not")
    return {"distance": result}


def cycle_points(answer, seed):
    path = normal(seed, 7, 3, 9) * torch.linspace(2, 0.2, 9) + 5
    path[:, 1] += 2  # layers in different places, so that a fit per layer shows
    result = expect_tensor(ask(answer, path), (7, 3, 2))
    right = measure.cycle_pca(path).points
    flat, wanted = result.flatten(0, 1), right.flatten(0, 1)
    if flat.mean(0).abs().max() > 1e-2:
        raise Mistake("the points are not centred: subtract the mean of all states first")
    if result.mean(0).abs().max() < 1e-3:
        raise Mistake("each layer is centred on its own, so the layers fall on top of each other")
    if agrees(
        flat.abs().sort(0).values,
        (path - path.mean((0, 1)))[..., :2].flatten(0, 1).abs().sort(0).values,
    ):
        raise Mistake("these are the first two channels, not the two principal components")
    sizes = flat.norm(dim=0)
    if abs(sizes[0] - sizes[1]) < 1e-3 * sizes[0]:
        raise Mistake("both components are scaled to one size: keep the scale of the data")
    # The sign of a component is arbitrary, distances between points are not.
    expect_close(
        torch.cdist(flat, flat),
        torch.cdist(wanted, wanted),
        "the plane is not the one of largest variance of all states together",
        rtol=1e-3,
        atol=1e-3,
    )
    return {"distances": torch.cdist(flat, flat)}


def rotated_pass(answer, seed):
    shifts = normal(seed, 4)

    def watched(answer, first, shifts):
        ran = []

        def layer(n):
            def run(z):
                ran.append(n)
                return z * (n + 2) + shifts[n]

            return run

        def inject(z):
            ran.append("inject")
            return z / 2 + shifts[3]

        return ask(answer, [layer(n) for n in range(3)], inject, torch.ones(2), first), ran

    results = []
    for first in range(3):
        result, order = watch(answer, watched, first, shifts)
        result = expect_tensor(result, (2,))
        wanted = [*range(first, 3), "inject", *range(first)] if first else ["inject", 0, 1, 2]
        if "inject" not in order:
            raise Mistake("the pass never injects the input: it belongs in front of layer 0")
        if first and order == ["inject", *range(first, 3), *range(first)]:
            raise Mistake(
                "you inject at the start of every pass; injection stands in front of layer 0, "
                "wherever the pass begins"
            )
        if sorted(map(str, order)) != sorted(map(str, wanted)):
            raise Mistake(f"a pass runs every layer once; from layer {first} yours ran {order}")
        if order != wanted:
            raise Mistake(f"from layer {first} the order should go round; yours was {order}")
        results.append(result)
    return {"results": torch.stack(results)}


def spread(answer, seed):
    ends = normal(seed, 4, 3, 5)  # [start, token, width]
    ends[1], ends[2] = ends[1] + 4, ends[2] - 4  # the widest pair is not one with the first start
    result = expect_tensor(ask(answer, ends), (3,))
    distance = (ends[:, None] - ends[None]).norm(dim=-1)  # [start, start, token]
    size = ends.norm(dim=-1).mean(0)
    if agrees(result, distance.amax((0, 1))):
        raise Mistake("the distance has no unit yet: divide by the mean length of the ends")
    if agrees(result, distance[0].amax(0) / size):
        raise Mistake("you compared with the first start only; every pair counts")
    if agrees(result, distance.mean((0, 1)) / size):
        raise Mistake(
            "that is the mean over pairs, with each end compared to itself too; take the largest"
        )
    same = expect_tensor(ask(answer, torch.ones(3, 2, 4)))
    expect_close(same, torch.zeros(2), "ends that agree should have a spread of 0")
    expect_close(
        result, distance.amax((0, 1)) / size, "the shape is right, but the numbers are not"
    )
    return {"spread": result}


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
]
