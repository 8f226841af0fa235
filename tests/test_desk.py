"""Checks judged from outside: probes work over the socket, which carries no code."""

import contextlib
import json
import socket
import threading

import pytest
import torch

from looplab.course import build
from looplab.course.exercises import Mistake, ask, exercises, judge_socket, notebook_end
from looplab.course.grading.grader_end import Desk, InNotebook, _error

CHAPTERS = [source.name[:2] for source in build.sources()]
TASKS = [task for number in CHAPTERS for task in exercises(number)]


@pytest.fixture
def notebook(tmp_path, monkeypatch):
    """Offers an answer to a desk as a notebook does, and gives the desk's line and verdict."""

    def judged(id, answer, seed=3):
        (tmp_path / "desk").unlink(missing_ok=True)
        desk = Desk(tmp_path, id.split(".")[0], seed)
        monkeypatch.setenv("LOOPLAB_DESK", desk.address)
        told = []

        def run():
            with contextlib.suppress(OSError):
                told.append(notebook_end.offer(id, answer, 5.0))

        thread = threading.Thread(target=run)
        thread.start()
        desk.serve(20)
        thread.join(20)
        desk.close()
        return told, desk.verdicts.get(id)

    # Both sides share this process: what they put back at the end must not cross.
    monkeypatch.setattr(notebook_end, "state_kept", contextlib.nullcontext)
    return judged


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.id)
def test_a_right_answer_passes_over_the_wire(task, notebook):
    told, verdict = notebook(task.id, lambda *given, **named: task.reference(*given, **named))
    assert verdict.kind == "passed", verdict
    assert told == [f"{task.id} passed: {task.title}"]


def test_every_kind_of_answer_has_its_verdict(notebook):
    from looplab.course.exercises import todo

    def changes(states):
        return states.zero_()

    def fails(states):
        raise ValueError("my own")

    def deep(states):
        return deep(states)

    def exits(states):
        raise SystemExit

    def huge(states):
        return torch.zeros(10**7)

    answers = {
        todo: ("not attempted", ""),
        (lambda states: todo()): ("not attempted", ""),
        (lambda states: None): ("not yet", "returns nothing"),
        (lambda states: b"x"): ("not yet", "this is a bytes"),
        (lambda states: torch.zeros(2).to_sparse()): ("not yet", "this is a Tensor"),
        (lambda states: states[1:, ..., 0] * torch.nan): ("not yet", "NaN"),
        changes: ("not yet", "changes the tensor"),
        fails: ("error", "ValueError: my own (line"),
        deep: ("error", "calls itself without end"),
        exits: ("error", "SystemExit"),
        huge: ("error", "more than|bytes"),
        5: ("not yet", "a function is expected here, and this is a int"),
    }
    for n, (answer, (kind, why)) in enumerate(answers.items()):
        _, verdict = notebook("03.1", answer)
        assert verdict.kind == kind, (n, verdict)
        assert any(part in verdict.mistake for part in why.split("|")), (n, verdict)


def test_looplabs_own_function_is_no_attempt(notebook):
    _, verdict = notebook("03.1", exercises("03")[0].reference)
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
    assert judge_socket.decode(json.loads(json.dumps(judge_socket.encode(value)))) == value


@pytest.mark.parametrize("dtype", judge_socket.DTYPES.values(), ids=str)
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)])
def test_tensors_come_through(dtype, shape):
    value = (torch.rand(shape) * 5).to(dtype)
    back = judge_socket.decode(json.loads(json.dumps(judge_socket.encode(value))))
    assert back.dtype == dtype and torch.equal(back, value)


def test_an_object_is_a_type_name_and_nothing_else():
    class Equal:
        def __eq__(self, other):
            return True

        def __reduce__(self):
            raise AssertionError("it must not be pickled")

    back = judge_socket.decode(json.loads(json.dumps(judge_socket.encode(Equal()))))
    assert type(back).__name__ == "Equal" and back != 1
    tricky = torch.zeros(3).as_subclass(type("Tricky", (torch.Tensor,), {}))
    assert type(judge_socket.decode(judge_socket.encode(tricky))) is torch.Tensor


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
    with pytest.raises(judge_socket.Refused):
        judge_socket.decode(told)


def test_frames_that_are_too_large_or_cut_off_are_refused():
    here, there = socket.socketpair()
    with here, there:
        there.sendall(b"\xff\xff\xff\xff")
        with pytest.raises(judge_socket.Refused):
            judge_socket.receive(here)
        there.sendall(b"\x00\x00\x00\x09half")
        there.close()
        with pytest.raises(ConnectionError):
            judge_socket.receive(here)
        with pytest.raises(judge_socket.Refused):
            judge_socket.send(here, bytes(judge_socket.LARGEST + 1))
    for data in (b"\xff", b"[1]", b"[" * 100_000):
        with pytest.raises(judge_socket.Refused):
            judge_socket.loads(data)


def test_a_desk_outlives_callers_that_make_no_sense(tmp_path):
    desk = Desk(tmp_path, "03", 0)
    for data in (b"", b"\xff\xff\xff\xff", b"\x00\x00\x00\x02[]", b'\x00\x00\x00\x0c{"ex":"99.9"}'):
        with judge_socket.connect(desk.address) as caller:
            caller.sendall(data)
            caller.shutdown(socket.SHUT_WR)
            desk.serve(5)
    assert desk.verdicts == {}
    desk.close()


def test_a_notebook_that_goes_away_is_an_error_of_its_own():
    here, there = socket.socketpair()
    there.close()
    with here, pytest.raises(RuntimeError) as raised:
        ask(InNotebook(here), 1)
    assert "kernel ended" in raised.value.told


def test_what_was_raised_over_there_is_raised_here():
    for error in (Mistake("named"), TypeError("a tuple"), KeyError("x"), RecursionError("deep")):
        assert type(_error(notebook_end._raised(error))) is type(error)
    unknown = _error({"raised": "os.system", "text": "x", "told": "y"})
    assert type(unknown) is RuntimeError and unknown.told == "y"


def test_looplabs_checks_are_absent_while_a_notebook_is_graded():
    with pytest.raises(ImportError, match="not there while a notebook is graded"):
        notebook_end._Absent().find_spec("looplab.course.exercises.ch03", None)
    assert notebook_end._Absent().find_spec("looplab.course.exercises.probing", None) is None
