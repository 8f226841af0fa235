"""How an answer is found in a learner's cells, in whatever state they are; no notebook is run."""

import re

import nbformat
import pytest
from classroom import RIGHT, SOLVED, STUB, WRONG, code, submission

from looplab.course.grading.editions import as_of_today, renumbered
from looplab.course.grading.key import checked_in, exercise_of, role, without_explorations
from looplab.course.grading.marking import Marking, older
from looplab.course.grading.submission import as_cell, read
from looplab.course.reading.code import binds, needs, python_of, statements
from looplab.course.reading.gather import MOST, readings, whereabouts
from looplab.course.reading.given import given_by
from looplab.course.reading.marks import Cell, Piece, pieces_of

ANSWER = RIGHT["03.1"]
LEANING = "def step_size(states):\n    return helper(states[1:] - states[:-1])"
HELPER = "def helper(steps):\n    return steps.norm(dim=-1)"
KEY = nbformat.read(SOLVED, as_version=4)
GIVEN = given_by(map(as_cell, KEY.cells))


def at(notebook, exercise="03.1", wanted="answer"):
    return next(
        n
        for n, cell in enumerate(notebook.cells)
        if role(cell) == wanted and exercise_of(cell) == exercise
    )


def cell_at(where, source, **about):
    """A change that puts a cell so many cells behind the answer's."""

    def change(notebook):
        new = code(source)
        new.metadata["looplab"] = about
        notebook.cells.insert(at(notebook) + where, new)

    return change


def edited(wanted, source):
    """A change that adds code to the check's cell or to the set-up's."""

    def change(notebook):
        n = 1 if wanted == "set-up" else at(notebook, wanted=wanted)
        notebook.cells[n].source = f"{source}\n{notebook.cells[n].source}"

    return change


def without_metadata(source):
    def change(notebook):
        notebook.cells[at(notebook)].source = source
        for cell in notebook.cells:
            cell.metadata.clear()

    return change


def in_the_next_answer(notebook):
    cell = notebook.cells[at(notebook, "03.2")]
    cell.source = f"# exercise 03.2\n{ANSWER}\n{RIGHT['03.2']}"


def found(tmp_path, answer="", change=None, exercise="03.1"):
    path = submission(tmp_path / "x.ipynb", {exercise: answer} if answer else {}, change)
    return readings(exercise, read(path).pieces, GIVEN)


def runs(source):
    """What an answer to 03.1 makes of two states, alone with the imports that it has."""
    import torch

    space = {"torch": torch}
    exec(source, space)
    return space["step_size"](torch.tensor([[0.0, 0.0], [3.0, 4.0]])).tolist()


# Where the right answer stands, and how.
PLACES = {
    "above the stub's line": (f"{ANSWER}\n    return todo()  # replace this line", None),
    "below the stub": (f"def step_size(s):\n    return todo()  # replace me\n{ANSWER}", None),
    "with a helper's cell above": (LEANING, cell_at(0, f"import os\n{HELPER}\nprint(nowhere)")),
    "with a helper's cell below": (LEANING, cell_at(3, HELPER)),
    "with a helper in the check's cell": (LEANING, edited("check", HELPER)),
    "with a helper in the set-up": (LEANING, edited("set-up", HELPER)),
    "with a helper in another answer": (LEANING, lambda n: n.cells[at(n, "03.5")].update(
        source=f"# exercise 03.5\n{HELPER}\ndef spread(ends):\n    return todo()")),
    "with helpers of helpers": (
        LEANING,
        cell_at(0, "from math import sqrt\nONE = sqrt(1)\nONE *= 1\n"
                "helper = lambda steps: steps.norm(dim=-1) * ONE"),
    ),
    "with an import in another cell": (
        "def step_size(states):\n    return einops_like(states)",
        cell_at(0, "from torch import diff as d\n"
                "def einops_like(states):\n    return d(states, dim=0).norm(dim=-1)"),
    ),
    "with a helper called like a variable of the chapter": (
        LEANING.replace("helper", "run"), cell_at(0, HELPER.replace("helper", "run"))),
    "in a new cell below": ("", cell_at(2, f"{ANSWER}\nprint(step_size(states))")),
    "in a new cell below an older one": (WRONG, cell_at(2, ANSWER)),
    "in a new cell above the stub": ("", cell_at(0, ANSWER)),
    "in the check's cell": ("", edited("check", ANSWER)),
    "in another answer's cell": ("", in_the_next_answer),
    "under another name": (
        "", cell_at(2, f'{ANSWER.replace("step_size", "mine")}\nstep_size = check("03.1", mine)')),
    "as an alias": ("", cell_at(2, f'{ANSWER.replace("step_size", "mine")}\nstep_size = mine')),
    "beside a broken copy below": (
        ANSWER, cell_at(1, "# exercise 03.1\ndef step_size(states:\n", role="answer", ex="03.1")),
    "beside a broken copy above": (
        ANSWER, cell_at(0, "# exercise 03.1\ndef step_size(states:\n", role="answer", ex="03.1")),
    "beside an emptied copy": (ANSWER, cell_at(1, "# exercise 03.1\ndef step_size(states):\n")),
    "beside the stub's copy": (
        ANSWER, cell_at(1, "# exercise 03.1\ndef step_size(s):\n    return todo()  # mine below")),
    "beside a copy that is no code": (ANSWER, cell_at(1, "no code", role="answer", ex="03.1")),
    "in a timed copy": (WRONG, cell_at(1, f"%%time\n# exercise 03.1\n{ANSWER}")),
    "with magics": (f"%matplotlib inline\n!ls\n{ANSWER}\n%timeit step_size(3)\nstep_size?", None),
    "with its check": (f"{ANSWER}\nstep_size = check('03.1', step_size)", None),
    "with a scratch cell's number": (ANSWER, cell_at(4, "step_size = step_size(run.states)")),
    "in two halves": (
        "def step_size(states):", cell_at(1, "    return (states[1:] - states[:-1]).norm(dim=-1)",
                                          role="answer", ex="03.1")),
    "in two cells": ("from torch import diff", cell_at(
        1, "def step_size(states):\n    return diff(states, dim=0).norm(dim=-1)")),
    "marked in one word": ("", without_metadata(f"#exercise 03.1\n{ANSWER}")),
    "marked with a capital": ("", without_metadata(f"# Exercise 3.1:\n{ANSWER}")),
    "marked with words": ("", without_metadata(f"\n# exercise 03.1: mine, 2.0\n{ANSWER}")),
    "not marked": ("", without_metadata(ANSWER)),
}  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_an_answer_is_read_wherever_it_stands(place, tmp_path):
    first, *_ = found(tmp_path, *PLACES[place])
    assert runs(first.source) == [5.0]


# What is no answer to 03.1, whatever else stands in the notebook.
NOTHING = {
    "the stub": ("", None),
    "a mark alone": ("\n", None),
    "an emptied function": ('def step_size(states):\n    """Mine."""\n    # to do', None),
    "a pass": ("def step_size(states):\n    pass", None),
    "a helper in the stub's cell": (f"{HELPER}\ndef step_size(s):\n    return todo()", None),
    "a number of a scratch cell": ("", cell_at(3, "step_size = step_size(run.states)")),
    "the chapter's own check": ("", cell_at(3, 'step_size = check("03.1", step_size)')),
}


@pytest.mark.parametrize("name", NOTHING)
def test_where_nothing_was_written_nothing_is_run(name, tmp_path):
    assert found(tmp_path, *NOTHING[name]) == ()


def test_a_copy_that_fails_leaves_the_turn_to_an_earlier_one(tmp_path):
    copy = cell_at(1, f"# exercise 03.1\n{WRONG}", role="answer", ex="03.1")
    several = found(tmp_path, ANSWER, copy)
    assert [WRONG in one.source for one in several] == [True, True, False]
    assert runs(several[-1].source) == [5.0]
    cells = re.findall(r"cell (\d+)", several[-1].remark)
    assert int(cells[1]) == int(cells[0]) + 1 and "fails" in several[-1].remark
    pieces = tuple(Piece(n, "03.1", f"{ANSWER}\n{n}") for n in range(50))
    assert len(readings("03.1", pieces, GIVEN)) <= MOST


def test_a_cell_of_the_chapter_that_was_changed_is_not_run_instead_of_ours(tmp_path):
    changed = edited("set-up", "hero = 3\nfrom torch import nn as nn\ndef trace(x):\n    return 3")
    (one,) = found(tmp_path, "def step_size(s):\n    return trace(hero, nn, s)", changed)
    assert one.source.startswith("# exercise 03.1\ndef step_size(s)")


def test_given_cells_come_only_where_an_answer_needs_them():
    always = {cell.id for cell in without_explorations(KEY).cells}
    assert all(role(cell) in ("answer", "check") or cell.id == "set-up"
               for cell in KEY.cells if cell.id in always)  # fmt: skip
    assert len(without_explorations(KEY, {"03.2": RIGHT["03.2"]}).cells) == len(always)
    leaning = {"03.2": "def distance_to_limit(s, limit):\n    return hero, states, s"}
    more = [c for c in without_explorations(KEY, leaning).cells if c.id not in always]
    assert len(more) == 1 and "hero" in binds(more[0].source)  # states comes only further down


def test_a_row_can_say_where_a_name_stands_that_cannot_be_had(tmp_path):
    def change(notebook):
        notebook.cells[0].source = f"# My helpers\n\n{HELPER}"
        notebook.cells.append(code("%%writefile mine.py\ndef written():\n    pass"))
        notebook.cells.append(code("def broken(:\n    pass"))

    path = submission(tmp_path / "x.ipynb", {"03.1": LEANING}, change)
    pieces = read(path).pieces
    assert whereabouts("helper", pieces, GIVEN).startswith(
        "`helper` is defined in cell 1, which is"
    )
    assert "begins with %%writefile: take that line out" in whereabouts("written", pieces, GIVEN)
    assert "which Python cannot read" in whereabouts("broken", pieces, GIVEN)
    assert whereabouts("nowhere", pieces, GIVEN) == ""
    later = (GIVEN.all_names - GIVEN.names["03.1"]) - set(GIVEN.asked.values())
    assert "only behind this exercise" in whereabouts(min(later), (), GIVEN)


def test_an_answer_that_is_no_python_says_so(tmp_path):
    path = submission(tmp_path / "x.ipynb", {}, without_metadata("%%bash\n# exercise 03.1\nls"))
    assert "begins with %%bash" in read(path).notes["03.1"]


CODE = [
    ("import numpy as np\nx = np.ones(n)", {"n"}),
    ("x = x + 1", {"x"}),
    ("x += 1", {"x"}),
    ("def f(a, *b, c=d, **e):\n    return a, b, c, e, g, f", {"d", "g"}),
    ("y = [a + b for a in c if (k := a)]", {"b", "c"}),
    ("f = lambda a: f(a) + b", {"b"}),
    ("class A(B):\n    c = D\n    def m(self):\n        return self, E, A", {"B", "D", "E"}),
    ("def f():\n    return later\nlater = 1", set()),
    ("now()\nnow = 1", {"now"}),
    ("for n in range(3):\n    print(n)", set()),
    ("try:\n    import a\nexcept ImportError as e:\n    print(e, b)", {"b"}),
    (
        "def f():\n    def g():\n        nonlocal_ = x\n        return nonlocal_ + y\n    x = 1",
        {"y"},
    ),
    ("@deco\ndef f(x: Tensor) -> 'Tensor':\n    ...", {"deco", "Tensor"}),
    ("await thing()", {"thing"}),
    ("match x:\n    case [a, b]:\n        print(a, b)", {"x"}),
    ("display(get_ipython())", set()),
    ("no python", set()),
    ("x" * 300_000, set()),
    ("(" * 300, set()),
]


@pytest.mark.parametrize(("source", "lacking"), CODE)
def test_the_names_that_code_takes_from_elsewhere(source, lacking):
    assert needs(statements(source)) == lacking


@pytest.mark.parametrize(
    ("cell", "code_of_it"),
    [
        ("\n# a\n%%time\nx = 1", "\n# a\n# %%time\nx = 1"),
        ("x = (5\n  % 3)", "x = (5\n  % 3)"),
        ('s = """\n%matplotlib inline\n"""', 's = """\n%matplotlib inline\n"""'),
        ("def f():\n    %timeit 3\n    return 1", "def f():\n    pass\n    return 1"),
        ("!pip install x\nx?\n?x", "pass\npass\npass"),
        ("x = 1\r\ny = 2", "x = 1\ny = 2"),
    ],
)
def test_magics_are_taken_out(cell, code_of_it):
    assert python_of(cell) == (code_of_it, "")


def test_marks_written_by_hand_and_remarks_that_are_none():
    cells = [
        Cell("# exercise 03.2\n# Exercise 03.1 was harder\ndef f(): ..."),
        Cell("# exercise 03.3: see exercise 03.1\nx"),
        Cell("x = 1  # exercise 03.4"),
        Cell("# exercise 03.5", kind="text"),
        Cell("# Exercise 03.6\n\nAbout it.", kind="text"),
        Cell("y", role="answer", exercise="03.6"),
        Cell("import a\n# exercise 03.4\nz", role="answer", exercise="03.6"),
    ]
    told = [(piece.cell, piece.exercise, piece.kind) for piece in pieces_of(cells)]
    assert told == [
        (1, "03.2", "code"),
        (2, "03.3", "code"),
        (3, "", "code"),
        (4, "03.5", "text"),
        (5, "", "text"),
        (6, "03.6", "code"),
        (7, "03.6", "code"),
        (7, "03.4", "code"),
    ]


def of_an_older_edition(notebook):
    """Exercises 03.1 and 03.2 had each other's number, and 03.5 had another name."""
    new = {"03.1": "03.2", "03.2": "03.1"}
    notebook.metadata["looplab"]["answers"] = "0123456789abcdef"
    for cell in notebook.cells:
        about = cell.metadata.get("looplab", {})
        if about.get("ex") in new:
            old, about["ex"] = about["ex"], new[about["ex"]]
            cell.source = cell.source.replace(old, new[old])
        cell.source = re.sub(r"\bspread\b", "farthest", cell.source)


def test_an_older_edition_is_known_by_its_digest_and_its_numbers_are_translated(tmp_path):
    names = checked_in(KEY)
    old = read(submission(tmp_path / "x.ipynb", RIGHT, of_an_older_edition))
    assert older(old, ["03"]) and not older(read(STUB), ["03"]) and not older(read(SOLVED), ["03"])
    new = renumbered(old.pieces, names)
    assert new == {"03.1": "03.2", "03.2": "03.1", "03.5": ""}
    marking = Marking(KEY, old, older=True)
    for exercise, answer in RIGHT.items():
        (one,) = readings(exercise, marking.pieces, GIVEN, older=True)
        assert one.source.endswith(answer)
    assert as_of_today((Piece(1, "03.5", "x"),), new)[0].exercise == ""
