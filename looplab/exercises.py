"""The name under which notebooks find their exercises: `looplab.course.exercises`."""

from looplab.course.exercises import check, keep_loop, my_loop, scoreboard, todo, whose

__all__ = ["check", "keep_loop", "my_loop", "scoreboard", "todo", "whose"]
