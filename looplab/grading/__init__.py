"""Grading with nbval: a submission's answers in the solved chapter, run apart, judged outside.

Only the source of the answer cells is taken from a submission. It is put into a copy of the
solved chapter, and nbval runs that in a fresh process and folder, under limits. A check passes if
the numbers that it computed from the learner's answer are close to those of looplab's own answer,
which are computed here, outside the learner's process; whatever else the notebook prints or
displays does not count.

What this protects against, and what it does not, is said in docs/grading.md.
"""

from looplab.grading.grade import Report, Row, grade

__all__ = ["Report", "Row", "grade"]
