"""Checks judged from outside: probes work over the socket, which carries no code."""

import contextlib
import importlib
import json
import socket
import sys
import threading

import pytest
import torch
from right_answers import RIGHT, in_kind
from wrong_answers import once_passed

from looplab.course import build
from looplab.course.exercises import Mistake, ask, exercise, exercises, notebook_end, todo
from looplab.course.exercises.judge_socket import (
    DTYPES,
    LARGEST,
    Refused,
    connect,
    decode,
    encode,
    loads,
    receive,
    send,
)
from looplab.course.exercises.notebook_end import as_message, hide_checks, let_grader_judge
from looplab.course.grading.grader_end import GraderEnd, InNotebook, as_error
from looplab_nbval.cause import Cause

CHAPTERS = sorted({build.number(source)[:2] for source in build.sources()})
TASKS = [task for number in CHAPTERS for task in exercises(number)]


@pytest.fixture
def notebook(tmp_path, monkeypatch):
    """Offers an answer to a grader as a notebook does, and gives the grader's line and verdict."""

    def judged(id, answer, seed=3):
        (tmp_path / "grader").unlink(missing_ok=True)
        grader = GraderEnd(tmp_path, id.split(".")[0], seed)
        monkeypatch.setenv("LOOPLAB_GRADER", grader.address)
        told = []

        def run():
            with contextlib.suppress(OSError):
                told.append(let_grader_judge(id, answer, 5.0))

        thread = threading.Thread(target=run)
        thread.start()
        grader.serve(20)
        thread.join(20)
        grader.close()
        return told, grader.verdicts.get(id)

    # Both ends share this process: what they put back at the end must not cross.
    monkeypatch.setattr(notebook_end, "state_kept", contextlib.nullcontext)
    return judged


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.id)
def test_a_right_answer_passes_over_the_wire(task, notebook):
    told, verdict = notebook(task.id, lambda *given, **named: task.reference(*given, **named))
    assert verdict.kind == "passed", verdict
    assert told == [f"{task.id} passed: {task.title}"]


@pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")  # torch.func's own
@pytest.mark.parametrize(("id", "answer"), [(i, a) for i, rows in RIGHT.items() for a in rows])
def test_what_is_right_in_another_way_passes_over_the_wire(id, answer, notebook):
    _, verdict = notebook(id, answer)
    assert verdict.kind == "passed", verdict


@pytest.mark.parametrize("kind", ["NumPy", "bfloat16", "lists"])
@pytest.mark.parametrize("id", ["03.1", "03.3", "04.3", "06.1", "06.4"])
def test_every_kind_of_result_passes_over_the_wire(id, kind, notebook):
    _, verdict = notebook(id, in_kind(exercise(id).reference, kind))
    assert verdict.kind == "passed", verdict


@pytest.mark.parametrize("id", once_passed.BANK)
def test_what_once_passed_is_named_over_the_wire(id, notebook):
    for answer, hint in once_passed.BANK[id]:
        _, verdict = notebook(id, answer)
        assert verdict.kind == "not yet" and hint in verdict.mistake, verdict


def raising(error):
    def answer(states):
        raise error

    return answer


class MyTypeError(TypeError):
    pass


def test_every_kind_of_answer_has_its_verdict(notebook):
    def changes(states):
        return states.zero_()

    def deep(states):
        return deep(states)

    answers = {
        todo: ("not attempted", "", None),
        (lambda states: todo()): ("not attempted", "", None),
        (lambda states: None): ("not yet", "returns nothing", None),
        (lambda states: b"x"): ("not yet", "this is a bytes", None),
        (lambda states: torch.zeros(2).to_sparse()): ("not yet", "this is a Tensor", None),
        (lambda states: states[1:, ..., 0] * torch.nan): ("not yet", "NaN", None),
        changes: ("not yet", "changes the tensor", None),
        raising(ValueError("my own")): ("error", "ValueError: my own (line", Cause.EXCEPTION),
        raising(MyTypeError("x")): ("error", "MyTypeError: x (line", Cause.EXCEPTION),
        deep: ("error", "calls itself without end", Cause.EXCEPTION),
        raising(SystemExit()): ("error", "SystemExit", Cause.EXIT),
        raising(MemoryError()): ("error", "MemoryError", Cause.MEMORY),
        (lambda states: torch.empty(10**17)): ("error", "allocate", Cause.MEMORY),
        (lambda states: torch.zeros(10**7)): ("error", "a tensor of 40000000 bytes", Cause.REFUSED),
        5: ("not yet", "a function is expected here, and this is a int", None),
    }
    for n, (answer, (kind, why, cause)) in enumerate(answers.items()):
        _, verdict = notebook("03.1", answer)
        assert (verdict.kind, verdict.cause) == (kind, cause), (n, verdict)
        assert why in verdict.mistake, (n, verdict)


def test_a_name_that_is_missing_is_told_as_a_name(notebook):
    _, verdict = notebook("03.1", lambda states: no_such_name)  # noqa: F821
    assert (verdict.cause, verdict.missing) == (Cause.EXCEPTION, "no_such_name")
    _, verdict = notebook("03.1", raising(ValueError("NameError: name 'x' is not defined")))
    assert (verdict.cause, verdict.missing) == (Cause.EXCEPTION, "")


def test_looplabs_own_function_is_no_attempt(notebook):
    for task in exercises("03"):
        _, verdict = notebook(task.id, task.reference)
        assert verdict.kind == "not attempted" and "looplab's own" in verdict.mistake


VALUES = [
    None,
    True,
    -3,
    10**30,
    2.5,
    float("inf"),
    "ünïcödé",
    [1, [2, "x"]],
    (1, (2.0, None)),
    {"a": [1], 2: (3,)},
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_plain_values_come_through(value):
    assert decode(json.loads(json.dumps(encode(value)))) == value


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)])
def test_tensors_come_through(dtype, shape):
    value = (torch.rand(shape) * 5).to(dtype)
    back = decode(json.loads(json.dumps(encode(value))))
    assert back.dtype == dtype and torch.equal(back, value)


def test_an_object_is_a_type_name_and_nothing_else():
    class Equal:
        def __eq__(self, other):
            return True

        def __reduce__(self):
            raise AssertionError("it must not be pickled")

    back = decode(json.loads(json.dumps(encode(Equal()))))
    assert type(back).__name__ == "Equal" and back != 1
    tricky = torch.zeros(3).as_subclass(type("Tricky", (torch.Tensor,), {}))
    assert type(decode(encode(tricky))) is torch.Tensor


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"tensor": "AAAA", "dtype": "torch.float32", "shape": [10**12], "grad": False},
        {"tensor": "AAAA", "dtype": "object", "shape": [1], "grad": False},
        {"tensor": "!", "dtype": "torch.uint8", "shape": [1], "grad": False},
        {"tuple": 3},
        {"dict": [[[], 1]]},
    ],
)
def test_nonsense_is_refused(told):
    with pytest.raises(Refused):
        decode(told)


def test_frames_that_are_too_large_or_cut_off_are_refused():
    here, there = socket.socketpair()
    with here, there:
        there.sendall(b"\xff\xff\xff\xff")
        with pytest.raises(Refused):
            receive(here)
        there.sendall(b"\x00\x00\x00\x09half")
        there.close()
        with pytest.raises(ConnectionError):
            receive(here)
        with pytest.raises(Refused):
            send(here, bytes(LARGEST + 1))
    for data in (b"\xff", b"[1]", b"[" * 100_000):
        with pytest.raises(Refused):
            loads(data)


def test_a_grader_outlives_callers_that_make_no_sense(tmp_path):
    grader = GraderEnd(tmp_path, "03", 0)
    for data in (b"", b"\xff\xff\xff\xff", b"\x00\x00\x00\x02[]", b'\x00\x00\x00\x0c{"ex":"99.9"}'):
        with connect(grader.address) as caller:
            caller.sendall(data)
            caller.shutdown(socket.SHUT_WR)
            grader.serve(5)
    assert grader.verdicts == {}
    grader.close()


def test_a_notebook_that_goes_away_is_an_error_of_its_own():
    here, there = socket.socketpair()
    there.close()
    with here, pytest.raises(RuntimeError) as raised:
        ask(InNotebook(here), 1)
    assert "kernel ended" in raised.value.account.text
    assert raised.value.account.cause == Cause.DIED


def test_what_was_raised_over_there_is_raised_here():
    for error in (Mistake("named"), TypeError("a tuple"), KeyError("x"), RecursionError("deep")):
        assert type(as_error(as_message(error))) is type(error)
    assert type(as_error(as_message(MyTypeError("x")))) is TypeError
    unknown = as_error({"raised": "os.system", "text": "x", "told": "y", "cause": ["z"]})
    assert type(unknown) is RuntimeError
    assert (unknown.account.text, unknown.account.cause) == ("y", Cause.EXCEPTION)


def test_looplabs_checks_are_absent_while_a_notebook_is_graded(monkeypatch):
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    before = [*sys.meta_path]
    monkeypatch.setenv("LOOPLAB_GRADER", "somewhere")
    importlib.reload(notebook_end)
    assert sys.meta_path == before  # importing it changes nothing
    hide_checks()
    for name in ("ch03", "solutions"):
        monkeypatch.delitem(sys.modules, f"looplab.course.exercises.{name}")
        with pytest.raises(ImportError, match="not there while a notebook is graded"):
            importlib.import_module(f"looplab.course.exercises.{name}")
    assert importlib.import_module("looplab.course.exercises.probing")
