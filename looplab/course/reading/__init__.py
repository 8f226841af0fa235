"""What a learner's cells hold: marked answers, their copies, and the code they need from elsewhere.

Nothing of it is run here. The grader and the passport read alike, so that what a learner saw
passing is what is graded and what is kept.
"""
