"""The name under which notebooks find their passport: `looplab.course.passport`."""

from looplab.course.passport import Answer, PassportError, merge, read, restore, save

__all__ = ["Answer", "PassportError", "merge", "read", "restore", "save"]
