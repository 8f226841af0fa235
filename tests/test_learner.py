"""A learner's way: open a chapter, answer wrongly, read why, answer rightly, be graded."""

import browser

from looplab.course.build import ROOT
from looplab.course.grading import grade

CHAPTER = "03_watch_fixed_points_form.ipynb"
WRONG = """\
# exercise 03.1
def step_size(states):
    return (states[:, 1:] - states[:, :-1]).norm(dim=-1)"""
RIGHT = """\
# exercise 03.1
def step_size(states):
    return torch.linalg.vector_norm(states[1:] - states[:-1], dim=-1)"""


def test_an_exercise_in_jupyterlab(page, lab, lab_folder):
    folder = lab_folder / "learner"
    folder.mkdir()
    mine = folder / CHAPTER
    mine.write_bytes((ROOT / "chapters" / CHAPTER).read_bytes())
    notebook = browser.Notebook(page, lab, f"learner/{CHAPTER}")
    notebook.run("set-up")
    notebook.run("step-size-answer")
    assert notebook.run("step-size-check").startswith("03.1 not attempted")

    notebook.type_into("step-size-answer", WRONG)
    notebook.run("step-size-answer")
    said = notebook.run("step-size-check")
    assert said.startswith("03.1 not yet: you compared layers")

    notebook.type_into("step-size-answer", RIGHT)
    assert notebook.run("step-size-answer") == ""
    assert notebook.run("step-size-check") == "03.1 passed: step size"
    notebook.save()
    assert notebook.all_errors() == []

    page.wait_for_function("() => !window.jupyterapp.shell.currentWidget.context.model.dirty")
    report = grade(mine)
    results = {row.exercise: row.result for row in report.rows}
    assert results.pop("03.1") == "passed"
    assert set(results.values()) == {"not attempted"}
