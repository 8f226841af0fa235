"""The name under which notebooks find their exercises: `looplab.course.exercises`."""

from looplab.course.exercises import check, scoreboard, todo, whose

__all__ = ["check", "scoreboard", "todo", "whose"]
