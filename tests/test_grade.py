"""`looplab grade` on real notebooks, right, wrong, broken and torn."""

import json

import nbformat
import pytest

from looplab import grade
from looplab.build import ROOT

STUB = ROOT / "chapters" / "03_watch_fixed_points_form.ipynb"
SOLVED = ROOT / "chapters" / "solved" / STUB.name


def submission(path, answers, notebook=SOLVED):
    """The solved chapter with some answer cells replaced."""
    made = nbformat.read(notebook, as_version=4)
    for cell in made.cells:
        about = cell.metadata.get("looplab", {})
        if about.get("role") == "answer" and about["ex"] in answers:
            cell.source = f"# exercise {about['ex']}\n{answers[about['ex']]}"
    nbformat.write(made, path)
    return path


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """Three submissions and a torn file, graded by the command; file -> report."""
    folder = tmp_path_factory.mktemp("class")
    (folder / "stub.ipynb").write_bytes(STUB.read_bytes())
    wrong = "def step_size(states):\n    return (states[:, 1:] - states[:, :-1]).norm(dim=-1)"
    endless = "def cycle_points(path):\n    while True:\n        pass"
    answers = {
        "03.1": wrong,
        "03.2": "def distance_to_limit(states:\n    return states",
        "03.3": endless,
        "03.5": "import os\nos._exit(1)",
    }
    submission(folder / "mixed.ipynb", answers)
    (folder / "torn.ipynb").write_bytes(SOLVED.read_bytes()[:5000])
    files = [folder / f"{name}.ipynb" for name in ("stub", "mixed", "torn")]
    out = folder / "report.json"
    status = grade.main([str(file) for file in [*files, SOLVED]] + ["--json", str(out)])
    assert status == 1  # the torn file could not be graded
    found = json.loads(out.read_text())
    return dict(zip(("stub", "mixed", "torn", "solved"), found, strict=True))


def test_the_stub_is_not_attempted_and_the_solution_passes(reports):
    assert {row["result"] for row in reports["stub"]["rows"]} == {"not attempted"}
    assert {row["result"] for row in reports["solved"]["rows"]} == {"passed"}
    assert reports["stub"]["passed"] == 0
    assert reports["solved"]["passed"] == len(reports["solved"]["rows"]) == 5


@pytest.mark.parametrize(
    ("exercise", "result", "why"),
    [
        ("03.1", "not yet", "compared layers"),
        ("03.2", "error", "SyntaxError"),
        ("03.3", "error", "never ends"),
        ("03.4", "passed", ""),
        ("03.5", "error", "the kernel ended"),
    ],
)
def test_each_answer_gets_its_own_row_whatever_the_others_do(reports, exercise, result, why):
    rows = {row["exercise"]: row for row in reports["mixed"]["rows"]}
    assert rows[exercise]["result"] == result
    assert why in rows[exercise]["why"]


def test_a_torn_file_is_reported_and_the_others_are_graded(reports):
    assert "cannot be read as a notebook" in reports["torn"]["problem"]


def test_answers_are_found_by_their_marker_line_when_cells_were_moved():
    code = nbformat.v4.new_code_cell
    merged = code("x = 1\n# exercise 03.2\nb = 2\n# exercise 03.1\na = 1")
    notebook = nbformat.v4.new_notebook(cells=[merged, code("no exercise here")])
    assert grade.answers_in(notebook) == {
        "03.2": "# exercise 03.2\nb = 2\n",
        "03.1": "# exercise 03.1\na = 1",
    }


def test_an_answer_may_use_what_the_chapter_defined_before_it(tmp_path):
    leaning = (
        "def step_size(states):\n    run.states\n    return (states[1:] - states[:-1]).norm(dim=-1)"
    )
    report = grade.grade(submission(tmp_path / "leaning.ipynb", {"03.1": leaning}))
    assert report.passed == 5


def test_only_answers_are_taken_from_a_submission():
    reference = nbformat.read(SOLVED, as_version=4)
    made = grade.transplant(reference, {"03.1": "# exercise 03.1\nstep_size = 1"})
    changed = [
        (old.id, new.source)
        for old, new in zip(reference.cells, made.cells, strict=True)
        if old.source != new.source
    ]
    assert ("step-size-answer", "# exercise 03.1\nstep_size = 1") in changed
    assert {name for name, _ in changed} == {c.id for c in made.cells if grade._role(c) == "answer"}
