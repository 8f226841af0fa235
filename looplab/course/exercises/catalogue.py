"""What an exercise is, and where a chapter's exercises are found."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class Exercise:
    """One checked exercise.

    `probe(answer, seed)` raises Mistake or returns the numbers it computed with the answer, as a
    dict of tensors, numbers or lists; the same probe runs on the reference.
    """

    id: str  # chapter and number, "03.1"
    title: str
    reference: Any  # a function, or the value itself
    probe: Callable[[Any, int], dict]


def exercises(chapter: str) -> list[Exercise]:
    """The exercises of a chapter such as "03", those of both halves of one that stands in two.

    Raises ValueError for a chapter without any.
    """
    try:
        return import_module(f"looplab.course.exercises.ch{chapter}").EXERCISES
    except ModuleNotFoundError:
        raise ValueError(f"chapter {chapter!r} has no exercises: is the number right?") from None


def exercises_in(notebook: str) -> list[Exercise]:
    """The exercises that stand in one notebook: "05" and "05b" are the halves of chapter 05.

    >>> [task.id for task in exercises_in("00")]
    ['00.1', '00.2']
    """
    # Not above: while a notebook is graded there are no solutions to import.
    from looplab.course.exercises.solutions import answered_in

    there = answered_in(notebook)
    return sorted(
        (task for task in exercises(notebook[:2]) if task.id in there),
        key=lambda task: there.index(task.id),
    )


def exercise(id: str) -> Exercise:
    """The exercise with this id; ValueError naming the known ones.

    >>> exercise("03.1").title
    'step size'
    """
    known = exercises(str(id).split(".")[0])
    for task in known:
        if task.id == id:
            return task
    raise ValueError(f"no exercise {id!r}: known are {', '.join(task.id for task in known)}")
