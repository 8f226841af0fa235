"""Checks of chapter 00, Welcome."""

import random

from looplab.course.exercises.catalogue import Exercise
from looplab.course.exercises.probing import Mistake, ask, expect_close, expect_int, expect_number
from looplab.course.exercises.solutions import solution


def layers_run(answer, seed):
    cases = [(3, 2), (1, 7), (5, 4), (2, 10 + seed % 50)]
    found = [expect_number(ask(answer, layers, loops)) for layers, loops in cases]
    named = {
        "that adds the two numbers: three layers, looped twice, are six visits and not five": (
            lambda layers, loops: layers + loops
        ),
        "that is a power: every loop adds the same number of layers": (
            lambda layers, loops: layers**loops
        ),
        "the other way round, it is a power: every loop adds the same number of layers": (
            lambda layers, loops: loops**layers
        ),
        "that counts loops; each of them has several layers": lambda layers, loops: loops,
        "those are the layers the model has; the state visits each of them in every loop": (
            lambda layers, loops: layers
        ),
        "one loop too many: the first pass is loop 1 already": (
            lambda layers, loops: layers * (loops + 1)
        ),
    }
    for mistake, wrong in named.items():
        if found == [wrong(*case) for case in cases]:
            raise Mistake(mistake)
    expect_close(found, [a * b for a, b in cases], "some numbers of layers and loops come out else")
    return {"layers": found}


def _loop(said):
    return None if said is None else expect_int(said)


def right_from(answer, seed):
    right = 3 + seed % 5
    runs = [
        [1, right, right, right],  # a plain case
        [right, 2, right, right],  # right, then wrong, then right for good
        [right, right, right],
        [1, 2, right],
        [right, right, 2],  # taken back at the end
        [1, 2, 1],
    ]
    wanted = [2, 3, 1, 3, None, None]
    found = [_loop(ask(answer, list(run), right)) for run in runs]
    last, unsettled = found[:4], found[4:]
    if all(loop is None for loop in found):
        raise Mistake("the function returns nothing for any run: is there a return?")
    if last == [1, 2, 0, 2]:
        raise Mistake("loops count from 1: the first answer is the answer after loop 1")
    if last == [2, 1, 1, 3]:
        raise Mistake("that is the first right answer; it may be taken back, so look at all after")
    if last == [1, 0, 0, 2]:
        raise Mistake(
            "that is the first right answer, counted from 0: loops count from 1, and a right "
            "answer may be taken back"
        )
    if last == [4, 4, 3, 3]:
        raise Mistake("that is the last loop that is right; the first of the good stretch is asked")
    if last == [3, 3, 3, 1]:
        raise Mistake("that counts right answers: a number of loops, and not which loop")
    if last == wanted[:4] and unsettled != [None, None]:
        raise Mistake("where the last answer is wrong there is no such loop: return None")
    if found != wanted:
        at = next(n for n, (a, b) in enumerate(zip(found, wanted, strict=True)) if a != b)
        raise Mistake(
            f"for the answers {runs[at]} and the target {right} it gives {found[at]}, "
            f"expected {wanted[at]}"
        )
    draw = random.Random(seed)
    for length in range(5, 12):
        run = [right if draw.random() < 0.6 else 1 for _ in range(length)]
        said, first = _loop(ask(answer, list(run), right)), solution("00.2")(run, right)
        if said != first:
            raise Mistake(
                f"for the answers {run} and the target {right} it gives {said}, expected {first}"
            )
        found.append(said)
    return {"loops": [0 if loop is None else loop for loop in found]}


EXERCISES = [
    Exercise("00.1", "layers in all", solution("00.1"), layers_run),
    Exercise("00.2", "right from here on", solution("00.2"), right_from),
]
