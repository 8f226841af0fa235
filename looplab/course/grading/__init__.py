"""Grading with nbval: a submission's answers in the solved chapter, run apart, judged outside.

Only the source of the answer cells is taken from a submission. It is put into a copy of the
solved chapter, and nbval runs that in a fresh process and folder, under limits. A check calls the
learner's answer there, and everything else of it happens here: the inputs are made, looplab's own
answer is computed and the two are compared outside of the learner's process. Whatever the notebook
prints or displays does not count.

What this protects against, and what it does not, is said in docs/grading.md.
"""

from looplab.course.grading.marking import Report, Row, Unsound, grade
from looplab.course.grading.pool import grade_all

__all__ = ["Report", "Row", "Unsound", "grade", "grade_all"]
