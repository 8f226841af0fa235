"""Exercises that a learner cannot get stuck on.

In a chapter an exercise is a stub and a check:

    # exercise 03.1
    def step_size(states):
        return todo()                    # replace this line

    step_size = check("03.1", step_size)

`check` prints one line, never raises in practice mode, and gives back the learner's own answer
once it passes and looplab's until then, so that everything below runs either way.

To write one, add an `Exercise` to EXERCISES in `looplab/course/exercises/chNN.py`. Its probe calls
the answer on seeded inputs, raises `Mistake` with a sentence that names what went wrong, and
returns the numbers that a grader compares:

    def probe(answer, seed):
        states = torch.randn(4, 3, generator=torch.Generator().manual_seed(seed))
        steps = expect_tensor(ask(answer, states), shape=(3,))
        if steps.lt(0).any():
            raise Mistake("a length cannot be negative: did you forget the norm?")
        return {"steps": steps}

    EXERCISES = [Exercise("03.4", "rotate the core", reference=solution("03.4"), probe=probe)]

`solution` reads looplab's own answer from the chapter's source, so that it is written once.
"""

from looplab.course.exercises.catalogue import Exercise, exercise, exercises, exercises_in
from looplab.course.exercises.checking import CheckFailed, check, scoreboard
from looplab.course.exercises.judging import judge
from looplab.course.exercises.own_loop import keep_loop, my_loop
from looplab.course.exercises.owners import whose
from looplab.course.exercises.probing import (
    Mistake,
    NotAttempted,
    ask,
    expect_close,
    expect_number,
    expect_tensor,
    todo,
    watch,
)
from looplab_nbval.payload import MIME

__all__ = [
    "MIME",
    "CheckFailed",
    "Exercise",
    "Mistake",
    "NotAttempted",
    "ask",
    "check",
    "exercise",
    "exercises",
    "exercises_in",
    "expect_close",
    "expect_number",
    "expect_tensor",
    "judge",
    "keep_loop",
    "my_loop",
    "scoreboard",
    "watch",
    "todo",
    "whose",
]
