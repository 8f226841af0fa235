"""Every check passes its reference, knows its stub, and names each typical mistake."""

import importlib
import json

import pytest

from looplab.course import build
from looplab.course.exercises import MIME, exercise, exercises, exercises_in, judge, todo
from looplab_nbval.payload import close

NOTEBOOKS = [build.number(source) for source in build.sources()]
CHAPTERS = sorted({notebook[:2] for notebook in NOTEBOOKS})
BANKS = {number: importlib.import_module(f"wrong_answers.ch{number}").BANK for number in CHAPTERS}
TASKS = [task for number in CHAPTERS for task in exercises(number)]
WRONG = [
    (id, answer, hint)
    for bank in BANKS.values()
    for id, rows in bank.items()
    for answer, hint in rows
]


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.id)
@pytest.mark.parametrize("seed", range(10))
def test_the_reference_passes(task, seed):
    verdict = judge(task, task.reference, seed)
    assert verdict.kind == "passed", verdict.mistake
    assert verdict.values


@pytest.mark.parametrize("number", NOTEBOOKS)
def test_the_references_reach_the_numbers_that_the_solved_notebook_shows(number):
    notebook = build.target(build.find(number), "solved").read_text(encoding="utf-8")
    shown = [
        output["data"][MIME]
        for cell in json.loads(notebook)["cells"]
        for output in cell.get("outputs", [])
        if MIME in output.get("data", {})
    ]
    assert [one["id"] for one in shown] == [task.id for task in exercises_in(number)]
    for task, one in zip(exercises_in(number), shown, strict=True):
        assert close(judge(task, task.reference).values, one["values"]), task.id


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.id)
def test_the_stub_is_not_attempted(task):
    def stub(*arguments, **keywords):
        return todo()

    assert judge(task, stub).kind == "not attempted"
    assert judge(task, todo).kind == "not attempted"


@pytest.mark.parametrize(("id", "answer", "hint"), WRONG)
def test_a_wrong_answer_gets_its_own_hint(id, answer, hint):
    verdict = judge(exercise(id), answer)
    assert verdict.kind == "not yet", verdict
    assert hint in verdict.mistake


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.id)
def test_the_bank_is_full_and_its_hints_differ(task):
    rows = BANKS[task.id[:2]][task.id]
    hints = {judge(task, answer).mistake for answer, _ in rows}
    assert 3 <= len(rows) <= 6
    assert len(hints) == len(rows)
