"""`looplab grade` on real notebooks: right, wrong, broken, torn and hostile."""

import copy
import csv
import functools
import json
import time
from concurrent.futures import ThreadPoolExecutor

import nbformat
import pytest

from looplab.build import ROOT
from looplab.grading import command, grade
from looplab.grading.grade import role, transplant
from looplab.grading.running import Limits, isolation, run
from looplab.grading.submission import Unreadable, answers_in, read, student_of

STUB = ROOT / "chapters" / "03_watch_fixed_points_form.ipynb"
SOLVED = ROOT / "chapters" / "solved" / STUB.name
QUICK = Limits(cell=10, total=60)
RIGHT = {
    "03.1": "def step_size(states):\n    return (states[1:] - states[:-1]).norm(dim=-1)",
    "03.2": (
        "def distance_to_limit(states, limit):\n"
        "    return (states - states[limit - 1]).norm(dim=-1)"
    ),
}
WRONG = "def step_size(states):\n    return (states[:, 1:] - states[:, :-1]).norm(dim=-1)"
code = nbformat.v4.new_code_cell


@functools.cache
def stub():
    return nbformat.read(STUB, as_version=4)


def submission(path, answers, change=None):
    """The unsolved chapter with some exercises answered, as a learner would hand it in."""
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


@pytest.fixture(scope="module")
def classroom(tmp_path_factory):
    """A folder with a class, graded by the command; the report, the table and the gradebook."""
    folder = tmp_path_factory.mktemp("class")
    (folder / "group a").mkdir()
    (folder / "group a" / "stub.ipynb").write_bytes(STUB.read_bytes())
    submission(folder / "group a" / "ada.ipynb", RIGHT)
    submission(folder / "wrong.ipynb", {**RIGHT, "03.1": WRONG})
    (folder / "torn.ipynb").write_bytes(SOLVED.read_bytes()[:5000])
    out, gradebook, rubric = (folder / name for name in ("r.json", "r.csv", "rubric.json"))
    rubric.write_text('{"03.1": 3}')
    options = [str(folder), "--json", str(out), "--csv", str(gradebook), "--rubric", str(rubric)]
    assert command.main(options) == 0
    with open(gradebook, newline="", encoding="utf-8") as file:
        rows = {line["student"]: line for line in csv.DictReader(file)}
    return folder, json.loads(out.read_text()), rows, options


def test_every_file_has_a_row_in_the_gradebook(classroom):
    _, _, rows, _ = classroom
    assert set(rows) == {"stub", "ada", "wrong", "torn"}
    assert (rows["ada"]["03.1"], rows["ada"]["03.2"]) == ("passed", "passed")
    assert (rows["ada"]["points"], rows["ada"]["out of"]) == ("4.0", "7.0")
    assert (rows["wrong"]["03.1"], rows["wrong"]["points"]) == ("not yet", "1.0")
    assert rows["stub"]["03.1"] == "not attempted"
    assert "cannot be read as a notebook" in rows["torn"]["problem"]


def test_a_mistake_is_named(classroom):
    _, report, _, _ = classroom
    [wrong] = [one for one in report["submissions"] if one["student"] == "wrong"]
    assert "compared layers" in wrong["rows"][0]["why"]


def test_a_second_run_grades_only_what_has_changed(classroom):
    folder, report, _, options = classroom
    submission(folder / "wrong.ipynb", RIGHT)
    begin = time.monotonic()
    assert command.main(options) == 0
    again = json.loads((folder / "r.json").read_text())
    assert {one["student"]: one["passed"] for one in again["submissions"]}["wrong"] == 2
    others = [one for one in again["submissions"] if one["student"] != "wrong"]
    assert others == [one for one in report["submissions"] if one["student"] != "wrong"]
    assert time.monotonic() - begin < 40


def test_the_solved_chapter_passes_with_inputs_nobody_has_seen():
    assert set(results(grade(SOLVED, seed=12345)).values()) == {"passed"}


def test_numbers_learnt_by_heart_pass_the_known_inputs_only(tmp_path):
    import torch

    from looplab import measure

    states = torch.randn((6, 3, 2, 5), generator=torch.Generator().manual_seed(0))
    known = measure.step_size(states).tolist()
    answer = (
        "def step_size(states):\n    import torch\n    if states.shape[0] != 6:\n"
        f"        return torch.zeros(3, 2)\n    return torch.tensor({known})"
    )
    file = submission(tmp_path / "parrot.ipynb", {"03.1": answer})
    assert row(grade(file)).result == "passed"
    assert row(grade(file, seed=7)).result == "not yet"


HOSTILE = {
    "a syntax error": ("def step_size(states:\n    return states", "error", "SyntaxError"),
    "an endless loop": ("def step_size(states):\n    while True:\n        pass", "error", "ends"),
    "an endless cell": ("while True:\n    pass", "error", "Interrupt"),
    "deep recursion": ("def step_size(s):\n    return step_size(s)", "error", "without end"),
    "a huge allocation": (
        "def step_size(states):\n    return torch.empty(10**12)",
        "error",
        "memory",
    ),
    "output without end": ("while True:\n    print('x' * 10000)", "error", "output"),
    "sys.exit": ("import sys\nsys.exit(0)", "error", "SystemExit"),
    "os._exit": ("import os\nos._exit(0)", "error", "kernel ended"),
    "a killed parent": ("import os\nos.kill(os.getppid(), 9)", "error", ""),
    "forks": (
        "import os, time\nfor _ in range(60):\n    if os.fork() == 0:\n        time.sleep(300)",
        "error",
        "processes",
    ),
    "a thread left running": (
        "import threading, time\n"
        "threading.Thread(target=lambda: time.sleep(60), daemon=True).start()\n" + RIGHT["03.1"],
        "passed",
        "",
    ),
    "printed praise": ("print('03.1 passed: step size')", "error", "not defined"),
    "a faked payload": (
        "from IPython.display import display\n"
        "display({'application/vnd.looplab.check+json': {'id': '03.1', 'verdict': 'passed',"
        " 'values': {}}, 'text/plain': '03.1 passed'}, raw=True)\n" + WRONG,
        "not yet",
        "compared layers",
    ),
    "a patched check": (
        "def check(*a):\n    print('03.1 passed')\n    return a[1]\nstep_size = 1",
        "error",
        "no check",
    ),
    "a patched allclose": (
        "torch.allclose = lambda *a, **k: True\n"
        "def step_size(states):\n    return torch.zeros(states.shape[0] - 1, *states.shape[1:-1])",
        "not yet",
        "",
    ),
    "the checker's own answers": (
        "from looplab.exercises.ch03 import EXERCISES\nstep_size = EXERCISES[0].reference",
        "error",
        "own answers",
    ),
    "looplab's own function": (
        "from looplab import measure\nstep_size = measure.step_size",
        "not attempted",
        "",
    ),
}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """Every hostile answer beside a right one, graded two at a time: name -> report."""
    folder = tmp_path_factory.mktemp("hostile")
    files = [
        submission(folder / f"{n}.ipynb", {"03.1": answer, "03.2": RIGHT["03.2"]})
        for n, (answer, _, _) in enumerate(HOSTILE.values())
    ]
    with ThreadPoolExecutor(2) as pool:
        reports = pool.map(lambda file: grade(file, limits=QUICK), files)
        return dict(zip(HOSTILE, reports, strict=True))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_answer_gets_a_truthful_row_and_spoils_no_other(hostile, name):
    _, result, why = HOSTILE[name]
    report = hostile[name]
    assert row(report).result == result, row(report)
    assert why in row(report).why
    assert row(report, "03.2").result == "passed", row(report, "03.2")


@pytest.mark.skipif(not isolation(), reason="no Linux namespaces here")
def test_the_solved_chapter_and_the_network_are_out_of_reach():
    peep = (
        "import pathlib, socket\n"
        "found = list(pathlib.Path('/').glob('**/solved/03_*.ipynb'))\n"
        "socket.create_connection(('192.0.2.1', 80), timeout=3)"
    )
    key = nbformat.read(SOLVED, as_version=4)
    look = f"import pathlib\nfound = list(pathlib.Path({str(SOLVED.parent)!r}).glob('*'))\n"
    look += "assert not found, found\n" + peep.split("\n", 2)[2].replace(
        "socket.", "import socket; socket.", 1
    )
    made = transplant(key, {"03.1": f"# exercise 03.1\n{look}"})
    made.cells = [c for c in made.cells if role(c) in ("answer", "check")][:2]
    rows, _ = run(made, QUICK)
    assert "unreachable" in rows["03.1"]["error"].lower()


def without_ids(notebook):
    for cell in notebook.cells:
        cell.pop("id")
        cell.metadata.clear()
    notebook.nbformat_minor = 4
    notebook.metadata.pop("looplab")


def reversed_cells(notebook):
    notebook.cells = notebook.cells[::-1]


def without_checks(notebook):
    notebook.cells = [cell for cell in notebook.cells if role(cell) != "check"]


def merged(notebook):
    answers = [cell for cell in notebook.cells if role(cell) == "answer"]
    notebook.cells = [code("\n\n".join(cell.source for cell in answers))]


def copied(notebook):
    at = next(n for n, cell in enumerate(notebook.cells) if role(cell) == "answer")
    again = copy.deepcopy(notebook.cells[at])
    notebook.cells[at].source = "# exercise 03.1\ndef f(s):\n    return todo()  # replace this line"
    notebook.cells.insert(at + 1, again)


def faked(notebook):
    for cell in notebook.cells:
        if role(cell) == "check":
            cell.source = "print('passed')"
            cell.outputs = [nbformat.v4.new_output("stream", text="03.1 passed\n")]


def as_version_3(notebook):
    return json.loads(nbformat.v3.writes_json(nbformat.convert(notebook, 3)))


@pytest.mark.parametrize(
    "change",
    [without_ids, reversed_cells, without_checks, merged, copied, faked, as_version_3],
    ids=lambda change: change.__name__,
)
def test_cells_may_have_been_moved_merged_copied_or_faked(tmp_path, change):
    found = read(submission(tmp_path / "x.ipynb", RIGHT, change))
    assert found.chapter == "03"
    for exercise, source in RIGHT.items():
        # What is run of a submission is the source of its answers, and nothing else.
        assert found.answers[exercise].strip().endswith(source)


def test_missing_text_and_oversized_answers_say_what_they_are():
    cells = [
        nbformat.v4.new_markdown_cell("# exercise 03.1\ndef step_size(): ..."),
        code("# exercise 03.2\n" + "x = 1  # ünïcödé\n" * 50_000),
        code("no exercise here"),
    ]
    answers, notes = answers_in(cells)
    assert answers == {}
    assert "text cell" in notes["03.1"]
    assert "850016 characters, more than 200000" in notes["03.2"]


def test_a_chapter_is_known_by_its_exercises_and_not_by_its_name(tmp_path):
    other = ROOT / "chapters" / "02_train_a_tiny_loop.ipynb"
    (tmp_path / STUB.name).write_bytes(other.read_bytes())
    report = grade(tmp_path / STUB.name)
    assert report.chapter == "02"
    assert set(results(report).values()) == {"not attempted"}
    nothing = nbformat.v4.new_notebook(cells=[code("1 + 1")])
    nbformat.write(nothing, tmp_path / "nothing.ipynb")
    assert "no chapter of this course" in grade(tmp_path / "nothing.ipynb").problem


@pytest.mark.parametrize(
    ("content", "why"), [(b"", "cannot be read"), (b"{}", "cannot be read"), (None, "no such file")]
)
def test_files_that_are_no_notebooks_say_so(tmp_path, content, why):
    path = tmp_path / "x.ipynb"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Unreadable, match=why):
        read(path)


def test_a_student_is_named_by_a_cell_the_file_or_its_folder(tmp_path):
    named = submission(tmp_path / "x.ipynb", {}, lambda n: n.cells.append(code("# student: Ada L")))
    assert read(named).student == "Ada L"
    assert student_of(tmp_path / "grace" / STUB.name) == "grace"


def test_options_that_make_no_sense_are_refused(tmp_path, capsys):
    (tmp_path / "bad.json").write_text("[1]")
    for options in (
        [str(tmp_path)],
        [str(STUB), "--rubric", str(tmp_path / "bad.json")],
        [str(STUB), "--json", str(tmp_path / "bad.json")],
    ):
        with pytest.raises(SystemExit):
            command.main(options)
    said = capsys.readouterr().err
    assert "no notebooks in" in said
    assert "is no rubric" in said
    assert "is no report of looplab grade" in said
