"""What is read of a submission, whatever was done to it; no notebook is run here."""

import copy
import json
import os
import random

import nbformat
import pytest
from classroom import RIGHT, SOLVED, STUB, code, results, row, submission

from looplab.course.build import ROOT
from looplab.course.grading import grade
from looplab.course.grading.key import role, transplant
from looplab.course.grading.submission import Unreadable, answers_in, is_stub, read, student_of


def without_ids(notebook):
    for cell in notebook.cells:
        cell.pop("id")
        cell.metadata.clear()
    notebook.nbformat_minor = 4
    notebook.metadata.pop("looplab")


def rewritten_ids(notebook):
    for number, cell in enumerate(notebook.cells):
        cell.id = str(number)


def one_id_for_all(notebook):
    for cell in notebook.cells:
        cell.id = "same"


def ids_in_metadata(notebook):  # as older Colab saves them
    for cell in notebook.cells:
        cell.metadata["id"] = cell.pop("id")
    notebook.nbformat_minor = 0
    notebook.metadata["colab"] = {"provenance": []}


def reversed_cells(notebook):
    notebook.cells = notebook.cells[::-1]


def shuffled(notebook):
    random.Random(0).shuffle(notebook.cells)


def without_checks(notebook):
    notebook.cells = [cell for cell in notebook.cells if role(cell) != "check"]


def only_answers(notebook):
    notebook.cells = [cell for cell in notebook.cells if role(cell) == "answer"]


def merged(notebook):
    answers = [cell for cell in notebook.cells if role(cell) == "answer"]
    notebook.cells = [code("\n\n".join(cell.source for cell in answers))]


def split(notebook):
    at = next(n for n, cell in enumerate(notebook.cells) if role(cell) == "answer")
    first, second = notebook.cells[at].source.rsplit("\n", 1)
    lower = copy.deepcopy(notebook.cells[at])
    notebook.cells[at].source, lower.source = first, second
    notebook.cells.insert(at + 1, lower)


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


def other_metadata(notebook):
    notebook.metadata = {"looplab": {"chapter": "../../etc", "kernelspec": 3}}
    for cell in notebook.cells:
        cell.metadata = {"looplab": ["nonsense"], "tags": ["raises-exception", "nbval-skip"]}


def windows_line_ends(notebook):
    for cell in notebook.cells:
        cell.source = cell.source.replace("\n", "\r\n")


def as_version_3(notebook):
    return json.loads(nbformat.v3.writes_json(nbformat.convert(notebook, 3)))


CHANGES = [
    without_ids,
    rewritten_ids,
    one_id_for_all,
    ids_in_metadata,
    reversed_cells,
    shuffled,
    without_checks,
    only_answers,
    merged,
    split,
    copied,
    faked,
    other_metadata,
    windows_line_ends,
    as_version_3,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_cells_may_have_been_moved_merged_copied_or_faked(tmp_path, change):
    found = read(submission(tmp_path / "x.ipynb", RIGHT, change))
    assert found.chapter == "03"
    for exercise, source in RIGHT.items():
        # What is run of a submission is the source of its answers, and nothing else.
        assert found.answers[exercise].replace("\r", "").strip().endswith(source)


def test_only_the_answers_of_a_submission_are_run(tmp_path):
    def poisoned(notebook):
        for cell in notebook.cells:
            if role(cell) != "answer" and cell.cell_type == "code":
                cell.source = "import os\nos._exit(1)"

    key = nbformat.read(SOLVED, as_version=4)
    made = transplant(key, read(submission(tmp_path / "x.ipynb", RIGHT, poisoned)).answers)
    assert [c.id for c in made.cells] == [c.id for c in key.cells]
    assert "os._exit" not in nbformat.writes(made)
    assert not any(cell.get("outputs") for cell in made.cells)


def test_missing_text_and_oversized_answers_say_what_they_are():
    cells = [
        nbformat.v4.new_markdown_cell("# exercise 03.1\ndef step_size(): ..."),
        code("# exercise 03.2\n" + "x = 1  # ünïcödé\n" * 50_000),
        code("# exercise 03.3\n" + "#" * 10_000_000),
        code("# student: " + " " * 1_000_000 + "x"),
        code("no exercise here"),
    ]
    answers, notes = answers_in(cells)
    assert answers == {}
    assert "text cell" in notes["03.1"]
    assert "850016 characters, more than 200000" in notes["03.2"]
    assert "10000016 characters" in notes["03.3"]


def test_a_text_cell_and_a_deleted_cell_are_rows(tmp_path):
    def change(notebook):
        for cell in notebook.cells:
            if role(cell) == "answer" and cell.metadata["looplab"]["ex"] == "03.1":
                cell.cell_type = "markdown"
                del cell["outputs"], cell["execution_count"]
        notebook.cells = [
            cell
            for cell in notebook.cells
            if not (role(cell) == "answer" and cell.metadata["looplab"]["ex"] == "03.2")
        ]

    report = grade(submission(tmp_path / "x.ipynb", RIGHT, change))
    assert "make it a code cell again" in row(report, "03.1").why
    assert "the answer cell is missing" in row(report, "03.2").why
    assert set(results(report).values()) == {"not attempted"}


LINE = "return todo()  # replace this line"


@pytest.mark.parametrize(
    ("source", "stub"),
    [
        (f"# exercise 03.1\ndef f(x):\n    {LINE}", True),
        (f'def f(x):\n    """Reworded."""\n    # a thought\n    {LINE}', True),
        (f"def helper(x):\n    return x\n\ndef f(x):\n    {LINE}", True),
        (f"def f(x):\n    return x\n\ndef f(x):\n    {LINE}", True),
        ("class F(B):\n    def __init__(self):\n        super().__init__()\n        todo()", True),
        ("# exercise 03.1\n", True),
        ("def f(x):\n    pass", True),
        ("def f(x):\n    # what was here is gone", True),
        ("def f(\n    x,\n):\n\n\ndef helper(x):\n    return x", False),  # f is not the last
        (f"def f(x):\n    # {LINE}\n    return x", False),
        (f'def f(x):\n    """{LINE}"""\n    return x', False),
        (f"def f(x):\n    return x\n    {LINE}", False),
        (f"def f(x):\n    if x:\n        return x\n    else:\n        {LINE}", False),
        (f"def f(x):\n    try:\n        return x\n    except ValueError:\n        {LINE}", False),
        (f"def f(x):\n    {LINE}\n\ndef f(x):\n    return x", False),
        (f"def f(x):\n    {LINE}\n\nf = lambda x: x", False),
        ("def f(x:\n    return x", False),
        ("f = 3", False),
    ],
)
def test_a_stub_is_what_does_nothing_of_its_own(source, stub):
    assert is_stub(source) == stub


def test_a_chapter_is_known_by_its_exercises_and_not_by_its_name(tmp_path):
    other = ROOT / "chapters" / "02_train_a_tiny_loop.ipynb"
    (tmp_path / STUB.name).write_bytes(other.read_bytes())
    report = grade(tmp_path / STUB.name)
    assert report.chapter == "02"
    assert set(results(report).values()) == {"not attempted"}


@pytest.mark.parametrize("chapter", ["*", "..", "03_", "77", ["03"]])
def test_a_notebook_of_no_chapter_says_so(tmp_path, chapter):
    nothing = nbformat.v4.new_notebook(cells=[code("1 + 1")])
    nothing.metadata["looplab"] = {"chapter": chapter}
    (tmp_path / "x.ipynb").write_text(json.dumps(nothing))
    report = grade(tmp_path / "x.ipynb")
    assert "none of the course's chapters" in report.problem


DAMAGED = {
    "empty": (b"", "it is empty"),
    "blank": (b" \n", "it is empty"),
    "not JSON": (b"<html>", "cannot be read"),
    "cut in half": (STUB.read_bytes()[: STUB.stat().st_size // 2], "cannot be read"),
    "no notebook": (b"{}", "cannot be read"),
    "a list": (b"[]", "cannot be read"),
    "nested": (b"[" * 100_000, "cannot be read"),
    "latin-1": ('{"cells": "é"}'.encode("latin-1"), "cannot be read"),
    "cells that are no cells": (
        b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": 5}',
        "cannot be read|no cells",
    ),
    "version 99": (b'{"nbformat": 99, "nbformat_minor": 0, "cells": []}', "cannot be read"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_files_that_are_no_notebooks_say_so(tmp_path, name):
    content, why = DAMAGED[name]
    path = tmp_path / "x.ipynb"
    path.write_bytes(content)
    with pytest.raises(Unreadable, match=why):
        read(path)


def test_cells_of_nonsense_are_passed_over(tmp_path):
    def change(notebook):
        whole = json.loads(json.dumps(notebook))
        whole["cells"] += [{"cell_type": "code", "source": "x", "metadata": []}]
        whole["cells"] += [{"cell_type": "code", "source": "\ud800", "metadata": {}}]
        return whole

    assert read(submission(tmp_path / "x.ipynb", RIGHT, change)).chapter == "03"


def test_a_byte_order_mark_is_no_damage(tmp_path):
    path = submission(tmp_path / "x.ipynb", RIGHT)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read(path).chapter == "03"


def test_what_is_no_file_says_so(tmp_path):
    with pytest.raises(Unreadable, match="no such file"):
        read(tmp_path / "x.ipynb")
    with pytest.raises(Unreadable, match="it is no file"):
        read(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.ipynb")  # nobody writes: reading it would wait for ever
        with pytest.raises(Unreadable, match="it is no file"):
            read(tmp_path / "pipe.ipynb")


def test_a_student_is_named_by_a_cell_the_file_or_its_folder(tmp_path):
    named = submission(tmp_path / "x.ipynb", {}, lambda n: n.cells.append(code("# student: Ada L")))
    assert read(named).student == "Ada L"
    assert student_of(tmp_path / "grace" / STUB.name) == "grace"
    tricky = lambda n: n.cells.append(code("# student:  \x1b[31m007\ud800\t "))  # noqa: E731
    assert read(submission(tmp_path / "y.ipynb", {}, tricky)).student == "?[31m007?"
