"""What a learner's process may say to the grader, and what an answer may do to its own check."""

import contextlib
import math
import os
import pickle
import socket
import struct
import subprocess
import sys
import textwrap
import threading
import time

import cloudpickle
import pytest
import torch

from looplab.course.build import ROOT
from looplab.course.exercises import check, exercise, exercises, judging, sandbox
from looplab.course.exercises.account import account
from looplab.course.exercises.judge_socket import (
    LARGEST,
    MANY,
    Refused,
    Unheard,
    connect,
    decode,
    dumps,
    loads,
    send,
)
from looplab.course.exercises.judging import judge
from looplab.course.exercises.notebook_end import as_message
from looplab.course.exercises.probing import Elsewhere, Mistake
from looplab.course.grading.grader_end import GraderEnd, InNotebook
from looplab_nbval.cause import Cause

FOUR = "AAAAAA=="  # four bytes


def tensor(shape, data="", dtype="torch.float32", grad=False):
    return {"tensor": data, "dtype": dtype, "shape": shape, "grad": grad}


FORGED = {
    "infinite": tensor([math.inf]),
    "negative infinite": tensor([-math.inf], FOUR),
    "no number": tensor([math.nan], FOUR),
    "of a float": tensor([1.0], FOUR),
    "true": tensor([True], FOUR),
    "inferred": tensor([-1], FOUR),
    "negative twice": tensor([-1, -1], FOUR),
    "large without data": tensor([400_000_000]),
    "large as a float": tensor([4e8]),
    "larger than its data": tensor([2], FOUR),
    "smaller than its data": tensor([0], FOUR),
    "empty and huge": tensor([0, 10**18]),
    "beyond 64 bits": tensor([0, 2**70]),
    "of many axes": tensor([1] * 1000, FOUR),
    "a number": tensor(1, FOUR),
    "words": tensor("1", FOUR),
    "a dict": tensor({"0": 1}, FOUR),
    "nested": tensor([[1]], FOUR),
    "of no dtype": tensor([1], FOUR, "torch.complex64"),
    "a dtype that is a list": tensor([1], FOUR, []),
    "data that is none": tensor([1], None),
    "in a list": [tensor([1], FOUR), tensor([math.inf])],
    "as a key": {"dict": [[tensor([0]), 1], [[1], 2]]},
    "pairs that are none": {"dict": [5]},
    "a tuple of a number": {"tuple": None},
}


@pytest.mark.parametrize("told", FORGED.values(), ids=FORGED)
def test_a_forged_value_is_refused_and_takes_no_memory(told):
    with pytest.raises(Refused):
        decode(loads(dumps({"v": told}))["v"])


def test_overflowing_axes_are_refused_or_empty():
    with contextlib.suppress(Refused):
        assert decode(tensor([0, *[LARGEST] * 20])).numel() == 0


def test_a_bool_is_a_bool_whatever_its_byte_says():
    back = decode(tensor([4], "AAEC/w==", "torch.bool"))
    assert back.tolist() == [False, True, True, True]
    assert back.view(torch.uint8).tolist() == [0, 1, 1, 1]


def test_the_name_of_an_object_is_a_name_and_no_sentence():
    for name in ("Give them all the points", "a" * 90, "", "a\0b", "\ud800", 5, None, ["x"]):
        assert type(decode({"foreign": name})).__name__ in ("object", "None")
    assert type(decode({"foreign": "Größe"})).__name__ == "Größe"


def test_a_message_of_too_many_parts_is_refused():
    for part in (b"[],", b"{},", b"0,"):
        with pytest.raises(Refused, match="too many parts"):
            loads(b'{"v": [' + part * (MANY + 1) + b"0]}")
    with pytest.raises(Refused):
        loads(b'{"v": ' + b"9" * 10_000 + b"}")


@pytest.mark.parametrize("told", FORGED.values(), ids=FORGED)
def test_a_forged_answer_or_result_costs_its_own_check_alone(told, tmp_path):
    grader = GraderEnd(tmp_path, "03", 0)
    here, there = socket.socketpair()
    with here, there:
        send(there, dumps({"returned": told}))
        verdict = judge(exercise("03.1"), InNotebook(here))
    assert (verdict.kind, verdict.cause) == ("error", Cause.REFUSED)
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(grader.address)
        send(caller, dumps({"ex": "03.1", "callable": False, "answer": told}))
        grader.serve(5)
    grader.close()
    assert "03.1" not in grader.verdicts


def test_a_stranger_is_not_listened_to(tmp_path):
    """Only what belongs to a run may offer its answers: the first verdict on each counts."""
    offer = dumps({"ex": "03.1", "todo": True})
    script = (
        "import socket, sys, time\ns = socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n"
        f"s.sendall({struct.pack('>I', len(offer)) + offer!r})\ntime.sleep(60)"
    )
    runs = {"own": os.getpid(), "a child's": os.getppid(), "another": 1}
    heard = {}
    for name, run in runs.items():
        (tmp_path / name).mkdir()
        grader = GraderEnd(tmp_path / name, "03", 0)
        caller = subprocess.Popen([sys.executable, "-c", script, grader.address])
        run = caller.pid + 1 if name == "another" else run
        grader.serve(20, run)
        caller.kill()
        caller.wait()
        grader.close()
        heard[name] = "03.1" in grader.verdicts
    if hasattr(socket, "SO_PEERCRED"):
        assert heard == {"own": True, "a child's": True, "another": False}


def test_ready_is_said_and_is_no_verdict(tmp_path, monkeypatch):
    from looplab.course.exercises.notebook_end import tell_ready

    grader = GraderEnd(tmp_path, "03", 0)
    monkeypatch.setenv("LOOPLAB_GRADER", grader.address)
    assert not grader.ready
    tell_ready()
    grader.serve(5, os.getpid())
    grader.close()
    assert grader.ready and not grader.verdicts


@pytest.mark.parametrize("address", ["/nowhere", "", "x" * 200, "127.0.0.1:x", "127.0.0.1:1", "\0"])
def test_a_grader_that_cannot_be_reached_is_no_exception_of_the_answers(address):
    with pytest.raises(Unheard) as raised:
        connect(address)
    assert account(raised.value).cause == Cause.UNHEARD


FORGERIES = (
    "Everybody did well, give all of them full marks",
    "the function changes the tensor it is given",  # half of a sentence is none
    "",
    "x" * 500,
    "the result is nan\nand passed",
    "the result is fine, give everybody their points",
)


@pytest.mark.parametrize("text", FORGERIES)
def test_a_mistake_that_no_check_names_is_an_exception_of_the_learners(text, tmp_path):
    grader = GraderEnd(tmp_path, "01", 0)
    here, there = socket.socketpair()
    with here, there:
        send(there, dumps(as_message(Mistake(text))))
        verdict = judge(exercise("01.6"), InNotebook(here, grader.says))
    grader.close()
    assert (verdict.kind, verdict.cause) == ("error", Cause.EXCEPTION), verdict


@pytest.mark.parametrize(
    "text",
    [
        "the weights of the blocks are not among those of the model, and would never be trained: "
        "a plain list hides them, an nn.ModuleList does not",
        "encode gives (2, 6, 2, 8): the vectors of the two fields have to be added up",
        "the function changes the tensor it is given: work on a new one, without operations that "
        "end in _ or assign into it",
        "the shape is (3,), expected (2, 2)",
    ],
)
def test_a_mistake_that_a_check_names_over_there_is_one(text, tmp_path):
    grader = GraderEnd(tmp_path, "01", 0)
    here, there = socket.socketpair()
    with here, there:
        send(there, dumps(as_message(Mistake(text))))
        verdict = judge(exercise("01.6"), InNotebook(here, grader.says))
    grader.close()
    assert (verdict.kind, verdict.mistake) == ("not yet", text)


class Sent(Elsewhere):
    """An answer that is looplab's own, called with copies; keeps what it would be sent."""

    def __init__(self, task, checks):
        self.task, self.seen = task, []
        cloudpickle.register_pickle_by_value(checks)

    def run(self, driver, *arguments):
        blob = cloudpickle.dumps((driver, arguments))
        self.seen.append(blob)
        driver, arguments = pickle.loads(blob)
        return driver(self.task.reference, *arguments)


SEED = 918_273_645_546_372_819  # its bytes come by no chance
TASKS = [
    task
    for chapter in ("00", "01", "02", "03", "04", "05", "06", "07", "08", "10")
    for task in exercises(chapter)
]


def tells(blob: bytes, seed: int) -> bool:
    """True where the seed, or a number next to it, is found in these bytes."""
    return struct.pack("<q", seed)[2:] in blob or str(seed)[:-3].encode() in blob


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.id)
def test_what_is_sent_to_a_notebook_does_not_show_the_hidden_seed(task):
    checks = sys.modules[f"looplab.course.exercises.ch{task.id[:2]}"]
    sent = Sent(task, checks)
    with contextlib.suppress(Mistake):
        task.probe(sent, SEED)
    assert sent.seen
    assert not any(tells(blob, SEED) for blob in sent.seen)


def penalty(before, last):
    return ((last - before).norm(dim=-1) / last.norm(dim=-1)).mean()


WITHOUT_GRADIENT = {
    "a new leaf": lambda b, z: torch.tensor(penalty(b, z).item(), requires_grad=True),
    "a detached leaf": lambda b, z: penalty(b, z).detach().requires_grad_(),
    "a parameter": lambda b, z: torch.nn.Parameter(penalty(b, z).detach()),
    "a gradient of zero": lambda b, z: penalty(b, z).detach() + 0 * z.sum(),
    "of something else": lambda b, z: penalty(b, z).detach() + z.sum() - z.sum().detach(),
    "of the step alone": lambda b, z: ((z - b).norm(dim=-1) / z.norm(dim=-1).detach()).mean(),
    "of one state alone": lambda b, z: penalty(b.detach(), z),
}


@pytest.mark.parametrize("answer", WITHOUT_GRADIENT.values(), ids=WITHOUT_GRADIENT)
def test_a_penalty_has_to_teach_what_it_says(answer):
    verdict = judge(exercise("02.5"), answer)
    assert verdict.kind == "not yet" and "gradient" in verdict.mistake, verdict


def test_a_penalty_in_another_way_teaches_as_well():
    def squares(before, last):
        step = (last - before).square().sum(-1) / last.square().sum(-1)
        return step.sqrt().sum() / step.numel()

    assert judge(exercise("02.5"), squares).kind == "passed"


class Silent(Exception):
    def __str__(self):
        raise ValueError("no")


class Endless(Exception):
    def __str__(self):
        while True:
            pass


class Long(Exception):
    def __str__(self):
        return "x" * 10**7


class Nameless(NameError):
    @property
    def name(self):
        raise OSError("no")


class Accounted(Exception):
    @property
    def account(self):
        raise KeyError


def raising(error):
    def answer(states):
        raise error

    return answer


class Odd(type):
    def __eq__(cls, other):
        raise ValueError

    __hash__ = type.__hash__


class OddKind(Exception, metaclass=Odd):
    pass


class Thing:
    """Says no to whatever it is asked."""

    def __getattr__(self, name):
        raise ZeroDivisionError(name)

    __eq__ = __len__ = __iter__ = __float__ = __repr__ = __bool__ = __getattr__


RAISED = [
    ValueError("\ud800"),
    ValueError("x\0\x1b[31m\u2028"),
    KeyError("\udfff"),
    OSError("\udcff", b"\xff"),
    *(Silent(), Endless(), Long(), Nameless("x"), Accounted(), OddKind()),
    *(KeyboardInterrupt(), SystemExit("\ud800"), GeneratorExit(), StopIteration()),
    ExceptionGroup("\ud800", [ValueError("\ud800")]),
    UnicodeEncodeError("utf-8", "\ud800", 0, 1, "x"),
]


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_check_never_raises_whatever_is_raised(error, capfd):
    assert check("03.1", raising(error)) is exercise("03.1").reference
    line = capfd.readouterr().out
    assert line.startswith("03.1 not yet: ") and line.encode("utf-8")
    dumps(as_message(error))


RETURNED = {
    "a thing": Thing,
    "things": lambda: [Thing(), Thing()],
    "a surrogate": lambda: "\ud800",
    "a key": lambda: {"\ud800": 1},
    "a large number": lambda: 10**5000,
}


@pytest.mark.parametrize("result", RETURNED.values(), ids=RETURNED)
def test_check_never_raises_whatever_is_returned(result, capfd):
    result = result()
    assert check("03.1", lambda states: result) is exercise("03.1").reference
    assert check("03.1", result) is exercise("03.1").reference


def test_a_console_that_knows_few_letters_gets_the_line(capfd):
    script = "from looplab.course.exercises import check\ncheck('03.1', lambda s: größe)"
    told = subprocess.run(
        [sys.executable, "-X", "utf8=0", "-c", script],
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONPATH": str(ROOT)},
    )
    assert b"name 'gr??e' is not defined" in told.stdout.replace(b"gr?e", b"gr??e"), told


def swallows(loop):
    space = {"time": time, "contextlib": contextlib}
    exec(compile(textwrap.dedent(loop), "<a cell>", "exec"), space)
    return space["answer"]


LOOPS = {
    "pass": """
        def answer(states):
            while True:
                try:
                    sum(range(1000))
                except:
                    pass
        """,
    "continue": """
        def answer(states):
            while True:
                try:
                    time.sleep(0.01)
                except BaseException as error:
                    continue
        """,
    "suppress": """
        def answer(states):
            while True:
                with contextlib.suppress(BaseException):
                    sum(range(1000))
        """,
    "finally": """
        def answer(states):
            while True:
                try:
                    sum(range(1000))
                finally:
                    continue
        """,
    "inside": """
        def answer(states):
            def works():
                try:
                    return sum(range(10_000))
                except:
                    return 0
            while True:
                works()
        """,
}


@pytest.mark.parametrize("loop", LOOPS.values(), ids=LOOPS)
def test_a_loop_that_swallows_the_interrupt_is_ended(loop, monkeypatch):
    monkeypatch.setattr(judging, "SECONDS", 0.2)
    tracing = sys.gettrace()
    verdict = judge(exercise("03.1"), swallows(loop))
    assert (verdict.kind, verdict.cause) == ("error", Cause.TIME)
    assert sys.gettrace() is tracing


def nested(depth):
    """Lines of a loop that never ends, inside of so many `try` that each go on after anything."""
    lines = ["sum(range(1000))"]
    for _ in range(depth):
        lines = [
            "while True:",
            "    try:",
            *(f"        {line}" for line in lines),
            "    except:",
            "        pass",
        ]
    return "\n".join(["def answer(states):", *(f"    {line}" for line in lines)])


# Two may be left by luck: an alarm that rings in the outer one ends it. Six are not.
NESTED = nested(6)


def test_where_a_loop_cannot_be_ended_it_is_said_what_to_do():
    script = (
        f"from looplab.course.exercises import check, judging\njudging.SECONDS = 0.2\n{NESTED}\n"
        "check('03.1', answer)"
    )
    running = subprocess.Popen(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    waiting = threading.Timer(60, running.kill)
    waiting.start()
    line = running.stderr.readline()
    waiting.cancel()
    running.kill()
    running.communicate()
    assert "Restart the kernel" in line and "except Exception" in line


def test_memory_is_told_by_who_raised_and_not_by_words():
    words = "[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory"
    verdict = judge(exercise("03.1"), raising(RuntimeError(words)))
    assert verdict.cause == Cause.EXCEPTION
    assert judge(exercise("03.1"), lambda states: torch.empty(10**17)).cause == Cause.MEMORY
    assert account(RuntimeError(words)).cause == Cause.MEMORY  # as another process tells it


def test_who_takes_memory_until_the_time_is_up_is_told_of_the_memory(monkeypatch):
    monkeypatch.setattr(judging, "SECONDS", 0.3)
    monkeypatch.setattr(sandbox, "GREEDY", 2**24)
    bytes(2**30).rjust(2**30 + 1)  # this process had more before, and gave it back

    def grows(states):
        taken = []
        while True:
            taken.append(b"x" * (2**22 + len(taken)))
            sum(range(10_000))

    verdict = judge(exercise("03.1"), grows)
    assert verdict.cause == Cause.MEMORY and "GB of memory" in verdict.mistake
    verdict = judge(exercise("03.1"), swallows(LOOPS["pass"]))
    assert verdict.cause == Cause.TIME
