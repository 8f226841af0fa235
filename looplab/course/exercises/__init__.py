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

    EXERCISES = [Exercise("03.1", "step size", reference=measure.step_size, probe=probe)]
"""

from looplab.course.exercises.checking import (
    MIME,
    CheckFailed,
    Exercise,
    check,
    exercise,
    exercises,
    judge,
    scoreboard,
    whose,
)
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
    "expect_close",
    "expect_number",
    "expect_tensor",
    "judge",
    "scoreboard",
    "watch",
    "todo",
    "whose",
]
