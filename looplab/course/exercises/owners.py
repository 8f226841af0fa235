"""Whose code a chapter runs on: the learner's once it passed, looplab's until then."""

from looplab.course.exercises.catalogue import exercise
from looplab.course.exercises.judge_socket import grader_address

_whose: dict[str, str] = {}


def remember(id: str, who: str) -> None:
    """Note that the exercise runs on `who`: "yours" or "looplab's"."""
    _whose[id] = who


def whose(id: str) -> str:
    """ "yours" once your answer to this exercise passed here, "looplab's" until then."""
    return _whose.get(str(id) if grader_address() else exercise(id).id, "looplab's")
