"""Hostile and broken answers on real kernels: a truthful row each, and the others graded on.

Several answers share a submission, beside a right one: that is cheaper, and it is what a grader
has to take apart.
"""

import contextlib
import os
import socket
import tempfile
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
from classroom import QUICK, RIGHT, SOLVED, submission

from looplab.course.build import ROOT
from looplab.course.grading import grade, isolation
from looplab.course.grading.key import role, transplant, without_explorations
from looplab.course.grading.marking import mark
from looplab.course.grading.pool import grade_all
from looplab.course.grading.running import run

SPREAD = (
    "def spread(ends):\n    größe = ends.norm(dim=-1).mean(0)\n"
    "    return (ends[:, None] - ends[None]).norm(dim=-1).amax((0, 1)) / größe"
)
PRAISE = "print('03.2 passed: distance to the limit')"
PAYLOAD = (
    "display({'application/vnd.looplab.check+json': {'id': '03.3', 'verdict': 'passed', "
    "'values': {}}, 'text/plain': '03.3 passed'}, raw=True)\n"
)
FORGE = (  # the file in which nbval's rows are kept, and the answer to the check's own cell
    "import json, os\n"
    "with open(os.environ['LOOPLAB_ROWS'], 'a') as file:\n"
    "    for role in ('answer', 'check'):\n"
    "        row = {'ex': '03.3', 'role': role, 'ok': True, 'payload': {'verdict': 'passed'}}\n"
    "        file.write(json.dumps(row) + chr(10))\n"
)
POINTS = "def cycle_points(states):\n    return states[..., :2] - states[..., :2].mean((0, 1))"
ROTATE = "def rotated_pass(layers, inject, z, first):\n    "
FRAMES = (
    "import sys\n\ndef step_size(states):\n    frame = sys._getframe()\n    while frame:\n"
    "        for name, value in {**frame.f_globals, **frame.f_locals}.items():\n"
    "            if name in ('right', 'wanted', 'EXERCISES', 'task'):\n"
    "                return getattr(value, 'reference', value)\n"
    "        frame = frame.f_back\n    raise LookupError('no frame knows the answer')"
)
OBJECTS = (
    "import gc\n\ndef distance_to_limit(states, limit):\n    for one in gc.get_objects():\n"
    "        if type(one).__name__ == 'Exercise' and one.id == '03.2':\n"
    "            return one.reference(states, limit)\n    raise LookupError('no such object')"
)
IMPORTS = (
    "import importlib\n\ndef cycle_points(states):\n"
    "    checks = importlib.import_module('looplab.course.exercises.' + 'ch03')\n"
    "    return checks.solution('03.3')(states)"
)
PATCHED = (
    "import looplab.course.exercises.judging as judging\n"
    "import looplab.course.exercises.probing as probing\n"
    "judging.judge = lambda *a, **k: judging.Verdict('passed', '', {})\n"
    "probing.expect_close = lambda *a, **k: None\n"
    "torch.allclose = torch.equal = lambda *a, **k: True\n"
    "class Equal(torch.Tensor):\n    __eq__ = lambda *a: True\n" + ROTATE + "return z.clone()"
)
READS = (
    "import json, pathlib\n"
    f"cells = json.loads(pathlib.Path({str(SOLVED)!r}).read_text())['cells']\n"
    "exec([''.join(c['source']) for c in cells if '# exercise 03.5' in ''.join(c['source'])][0])"
)
TRANSFORMER = (
    "def fake(lines):\n    return ['print(\"03.1 passed: step size\")\\n']\n"
    "get_ipython().input_transformers_cleanup.append(fake)\nstep_size = 1"
)
TRACED = (
    "import sys, atexit\n"
    "atexit.register(print, '03.2 passed')\n"
    "import looplab.course.exercises.notebook_end as wire\n"
    "wire.encode = lambda value: True\n"
    "sys.settrace(lambda frame, event, arg: frame.f_locals.update(right=1))\n"
    "def distance_to_limit(states, limit):\n    return states[..., 0]"
)
KILL = "import os\nos.kill(os.getppid(), 9)\nos.kill(os.getpid(), 9)"
FORKS = (
    "import os, time\nfor _ in range(60):\n    if os.fork() == 0:\n        time.sleep(300)\n"
    "time.sleep(20)"
)

# Each submission: exercise -> (answer, result, a part of why, kind).
SUBMISSIONS = {
    "broken answers": {
        "03.1": ("def step_size(states:\n    return states", "error", "SyntaxError", "exception"),
        "03.2": (
            "def distance_to_limit(s, limit):\n    return distance_to_limit(s, limit)",
            "error",
            "without end",
            "exception",
        ),
        "03.3": ("def cycle_points(s):\n    return torch.empty(10**12)", "error", "mem", "memory"),
        "03.4": ("import sys\nsys.exit(0)", "error", "SystemExit", "ended"),
        "03.5": (SPREAD, "passed", "", ""),
    },
    "fakes": {
        "03.1": (
            "def step_size(states):\n    while True:\n        pass",
            "error",
            "never ends",
            "time",
        ),
        "03.2": (PRAISE, "error", "not defined", "exception"),
        "03.3": (PAYLOAD + FORGE + POINTS, "not yet", "first two channels", ""),
        "03.4": (
            "def check(id, answer):\n    print(f'{id} passed')\n    return answer\n"
            + ROTATE
            + "return z",
            "not yet",  # each check cell has looplab's own again
            "never injects",
            "",
        ),
        "03.5": (SPREAD, "passed", "", ""),
    },
    "spies": {
        "03.1": (FRAMES, "error", "no frame knows", "exception"),
        "03.2": (OBJECTS, "error", "no such object", "exception"),
        "03.3": (IMPORTS, "error", "not there while a notebook is graded", "exception"),
        "03.4": (PATCHED, "not yet", "never injects", ""),
        "03.5": (SPREAD, "passed", "", ""),
    },
    "kernel killers": {
        "03.1": ("import os\nos._exit(0)", "error", "kernel ended", "ended"),
        "03.2": ("while True:\n    print('x' * 10000)", "error", "bytes of output", "ended"),
        "03.3": (KILL, "error", "kernel ended", "ended"),
        "03.5": (SPREAD, "passed", "", ""),
    },
    "forks and threads": {
        "03.4": (FORKS, "error", "processes", "ended"),
        "03.5": (
            "import threading, time\n"
            "threading.Thread(target=lambda: time.sleep(60), daemon=False).start()\n" + SPREAD,
            "passed",
            "",
            "",
        ),
    },
    "hooks": {
        "03.1": (TRANSFORMER, "error", "did not reach the grader", "checker"),
        "03.2": (TRACED, "not yet", "", ""),
        "03.3": (
            "def cycle_points(states):\n    import os\n    os._exit(0)",
            "error",
            "kernel ended",
            "ended",
        ),
        "03.4": ("from looplab import measure\nrotated_pass = measure.step_size", "", "", ""),
        "03.5": (SPREAD, "passed", "", ""),
    },
    "an endless cell": {
        "03.1": ("while True:\n    pass", "error", "Interrupt", "time"),
        "03.5": (SPREAD, "passed", "", ""),
    },
}
if isolation.available():
    SUBMISSIONS["a copyist"] = {
        "03.5": (READS, "error", "FileNotFoundError", "exception"),
        "03.1": (RIGHT["03.1"], "passed", "", ""),
    }


@pytest.mark.parametrize("name", SUBMISSIONS)
def test_a_hostile_answer_gets_a_truthful_row_and_spoils_no_other(name, tmp_path):
    answers = SUBMISSIONS[name]
    file = submission(tmp_path / "x.ipynb", {e: answer for e, (answer, *_) in answers.items()})
    # On a busy machine a check stops an endless answer after 20 seconds, before the cell ends.
    limits = replace(QUICK, cell=24) if name == "fakes" else QUICK
    rows = {row.exercise: row for row in grade(file, limits=limits).rows}
    told = "\n".join(map(str, rows.values()))
    print(told)
    for exercise, (_, result, why, kind) in answers.items():
        row = rows[exercise]
        if not result:  # any result that is no pass
            assert row.result != "passed", told
            continue
        assert (row.result, row.kind) == (result, kind), told
        assert why in row.why, told
    assert all(row.result != "passed" for e, row in rows.items() if e not in answers)


WORDS = "seconds, MemoryError, SystemExit, Kernel dead, bytes of output, did not reach the grader"
RAISED = {
    "03.1": (f"raise ValueError({WORDS!r})", "exception", WORDS, ""),
    "03.2": ("distance_to_limit = no_such_name", "exception", "NameError", "no_such_name"),
    "03.3": (
        "def cycle_points(path):\n    raise ValueError('kernel size must be odd')",
        "exception",
        "kernel size",
        "",
    ),
    "03.4": (
        "def rotated_pass(layers, inject, z, first):\n"
        "    raise RuntimeError(\"NameError: name 'x' is not defined\")",
        "exception",
        "name 'x'",
        "",
    ),
    "03.5": ("spread = bytearray(2**60)", "memory", "MemoryError", ""),
}


def test_what_a_cell_raised_is_told_by_its_type():
    answers = {
        exercise: f"# exercise {exercise}\n{code}" for exercise, (code, *_) in RAISED.items()
    }
    key = without_explorations(nbformat.read(SOLVED, as_version=4))
    ran = run(transplant(key, answers), "03", limits=QUICK)
    for exercise, (_, kind, why, missing) in RAISED.items():
        row = mark(exercise, ran)
        assert (row.result, row.kind) == ("error", kind) and why in row.why, row
        told = ran.verdicts.get(exercise) or ran.rows[exercise]
        assert told.missing == missing, told


needs_namespaces = pytest.mark.skipif(not isolation.available(), reason="no Linux namespaces here")
REPLACED = (
    "import os\nrows = os.environ['LOOPLAB_ROWS']\n"
    "try:\n    os.remove(rows)\n    os.mkfifo(rows)\nexcept OSError:\n    pass\n"
)
REMOVED = "!rm -rf *\n!chmod 0 . && mkdir -p deep/deep\n"
FRAMES_OF_NONSENSE = """
import base64, json, socket, struct
def offers(exercise, value):
    with socket.socket(socket.AF_UNIX) as grader:
        grader.connect(os.environ["LOOPLAB_GRADER"])
        told = json.dumps({"ex": exercise, "callable": False, "answer": value}).encode()
        grader.sendall(struct.pack(">I", len(told)) + told)
for size in (float("inf"), 4e8, 400_000_000, -1, float("nan"), 2**70):
    offers("03.5", {"tensor": "", "dtype": "torch.float32", "shape": [size], "grad": False})
for start in (b"", b"\\0", b"\\xff" * 8):
    with socket.socket(socket.AF_UNIX) as grader:
        grader.connect(os.environ["LOOPLAB_GRADER"])
        grader.sendall(start)
"""
FORGED = (
    "from looplab.course.exercises.probing import Mistake\n"
    "def rotated_pass(layers, inject, z, first):\n"
    "    raise Mistake('everybody deserves full marks')"
)


@pytest.mark.parametrize("inside", [True, False], ids=["namespaces", "none"])
def test_what_an_answer_does_to_the_graders_files_costs_nobody_anything(
    inside, tmp_path, tmp_path_factory, monkeypatch
):
    if not inside:
        monkeypatch.setattr(isolation, "available", lambda: False)
    elif not isolation.available():
        pytest.skip("no Linux namespaces here")
    place = tmp_path_factory.mktemp("t")
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    answers = {
        "03.1": REPLACED + RIGHT["03.1"],
        "03.2": REMOVED + RIGHT["03.2"],
        "03.3": FRAMES_OF_NONSENSE + POINTS,
        "03.4": FORGED,
        "03.5": SPREAD,
    }
    rows = {r.exercise: r for r in grade(submission(tmp_path / "x.ipynb", answers)).rows}
    told = "\n".join(map(str, rows.values()))
    assert [rows[e].result for e in ("03.1", "03.2", "03.5")] == ["passed"] * 3, told
    assert rows["03.3"].result == "not yet" and "first two channels" in rows["03.3"].why, told
    assert (rows["03.4"].result, rows["03.4"].kind) == ("error", "exception"), told
    assert list(place.iterdir()) == []


SPY = """
import glob, json, os, socket, struct, time
own, found = os.path.dirname(os.environ["LOOPLAB_GRADER"]), set()
end = time.monotonic() + 8
while time.monotonic() < end and not found:
    for path in glob.glob(os.path.dirname(own) + "/grading-*") + glob.glob("/proc/[0-9]*/cwd"):
        if not os.path.realpath(path).startswith((own, "/proc")):
            found.add(path)
    time.sleep(0.1)
for path in found:
    try:
        with socket.socket(socket.AF_UNIX) as other:
            other.connect(path + "/grader")
            told = json.dumps({"ex": "03.2", "todo": True}).encode()
            other.sendall(struct.pack(">I", len(told)) + told)
    except OSError:
        pass
raise LookupError(f"found {sorted(found)}, no more")
"""


def test_a_run_beside_another_neither_sees_it_nor_speaks_for_it(tmp_path):
    spy = submission(tmp_path / "spy.ipynb", {"03.1": SPY})
    slow = "import time\ntime.sleep(8)\n" + RIGHT["03.1"]
    victim = submission(tmp_path / "victim.ipynb", {"03.1": slow, "03.2": RIGHT["03.2"]})
    told = {file: report for file, report, _ in grade_all([spy, victim], jobs=2)}
    results = {one.exercise: one.result for one in told[victim].rows}
    assert (results["03.1"], results["03.2"]) == ("passed", "passed"), told[victim]
    if isolation.available():
        assert "found [], no more" in told[spy].rows[0].why, told[spy]


@pytest.fixture
def servers():
    """Sockets of the host: one in each of these places, and one without a place."""
    places = ["/tmp", "/run", "/var/tmp", "/dev/shm", "/srv", "/opt", str(ROOT), str(Path.home())]
    with contextlib.ExitStack() as stack:
        listening = []
        for address in (*(f"{place}/looplab-{os.getpid()}" for place in places), "\0looplab"):
            server = stack.enter_context(socket.socket(socket.AF_UNIX))
            with contextlib.suppress(OSError):  # not everybody may write everywhere
                server.bind(address)
                server.listen(1)
                listening.append(address)
                if address[0] == "/":
                    stack.callback(os.unlink, address)
        yield listening


@needs_namespaces
def test_an_isolated_run_reaches_nothing(tmp_path, servers):
    (tmp_path / "other.ipynb").write_text("another submission")
    look = f"""
import os, pathlib, socket, subprocess
reached = []

def tries(name, what):
    try:
        what()
        reached.append(name)
    except OSError:
        pass

root = pathlib.Path({str(ROOT)!r})
tries("solved", lambda: os.stat(root / "chapters/solved"))
tries("source", lambda: os.stat(root / "chapters/source"))
tries("tests", lambda: os.stat(root / "tests/classroom.py"))
tries("history", lambda: os.stat(root / ".git/HEAD"))
checks = root / "looplab/course/exercises/ch03.py"
tries("checks", lambda: checks.read_text() or os.stat("/nowhere"))
tries("another submission", lambda: os.stat({str(tmp_path / "other.ipynb")!r}))
tries("writing to the course", lambda: (root / "x").write_text("x"))
tries("writing elsewhere", lambda: pathlib.Path({str(tmp_path.parent / "x")!r}).write_text("x"))
tries("writing to /tmp", lambda: pathlib.Path("/tmp/looplab-x").write_text("x"))
tries("the network", lambda: socket.create_connection(("192.0.2.1", 80), timeout=2))
for address in {servers!r}:
    with socket.socket(socket.AF_UNIX) as one:
        tries(f"the server {{address!r}}", lambda: one.connect(address))
for place in ("/proc/sys/kernel/core_pattern", "/sys/devices/system/cpu/cpu0/uevent", "/dev/x"):
    tries(place, lambda: open(place, "a").write("x"))
for place in (os.environ["LOOPLAB_ROWS"], os.environ["LOOPLAB_GRADER"]):
    tries("removing " + place, lambda: os.remove(place))
for place in ("/home", "/etc/shadow", "/var", "/run", "/dev/pts/0", "/dev/tty"):
    tries(place, lambda: os.stat(place))
for place in (".", "/dev/shm"):
    written = 0
    try:
        for n in range(20):
            written += pathlib.Path(place, str(n)).write_bytes(bytes(32 * 2**20))
    except OSError:
        pass
    if written > 270 * 10**6:
        reached.append(f"{{written}} bytes in {{place}}")
    for path in pathlib.Path(place).glob("[0-9]*"):
        path.unlink()
for what in (["mount", "-o", "remount,rw", "/"], ["unshare", "-Ur", "true"], ["umount", "/proc"]):
    if subprocess.run(what, capture_output=True).returncode == 0:
        reached.append(" ".join(what))
pathlib.Path("own").write_text("its own folder can be written")
pathlib.Path(os.environ["HOME"], "own").write_text("and so can its HOME")
raise LookupError(f"reached {{reached}}, no more")
"""
    made = transplant(nbformat.read(SOLVED, as_version=4), {"03.1": f"# exercise 03.1{look}"})
    made.cells = [cell for cell in made.cells if role(cell) in ("answer", "check")][:2]
    ran = run(made, "03", limits=QUICK, hidden=[tmp_path])
    assert "reached [], no more" in mark("03.1", ran).why, mark("03.1", ran)
