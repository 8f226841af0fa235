"""Submissions of chapter 03 as learners hand them in, for the tests of the grader."""

import copy
import functools
import json

import nbformat

from looplab.course.build import ROOT
from looplab.course.grading.running import Limits

STUB = ROOT / "chapters" / "03_watch_fixed_points_form.ipynb"
SOLVED = ROOT / "chapters" / "solved" / STUB.name
QUICK = Limits(cell=8, total=120)
RIGHT = {
    "03.1": "def step_size(states):\n    return (states[1:] - states[:-1]).norm(dim=-1)",
    "03.2": (
        "def distance_to_limit(states, limit):\n"
        "    return (states - states[limit - 1]).norm(dim=-1)"
    ),
}
OLD = ROOT / "tests" / "old_edition"  # saved with the course's first edition
WRONG = "def step_size(states):\n    return (states[:, 1:] - states[:, :-1]).norm(dim=-1)"
code = nbformat.v4.new_code_cell


@functools.cache
def stub():
    return nbformat.read(STUB, as_version=4)


def submission(path, answers, change=None):
    """The unsolved chapter with some exercises answered, and then changed."""
    made = copy.deepcopy(stub())
    for cell in made.cells:
        about = cell.metadata.get("looplab", {})
        if about.get("role") == "answer" and about["ex"] in answers:
            cell.source = f"# exercise {about['ex']}\n{answers[about['ex']]}"
    made = change(made) or made if change else made
    path.write_text(json.dumps(made), encoding="utf-8")
    return path


def results(report):
    return {row.exercise: row.result for row in report.rows}


def row(report, exercise="03.1"):
    return next(row for row in report.rows if row.exercise == exercise)
