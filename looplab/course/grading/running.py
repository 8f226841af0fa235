"""Run a notebook under nbval in a process group of its own, with limits, and judge its checks."""

import contextlib
import copy
import functools
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import nbformat
import psutil

from looplab.course.build import ROOT
from looplab.course.exercises.judging import Verdict
from looplab.course.grading.grader_end import GraderEnd
from looplab.course.grading.isolation import isolated
from looplab_nbval.cause import Cause, read_cause

POLL = 0.25  # seconds between looks at a run
# Stands in front of a notebook that is graded.
FIRST = nbformat.v4.new_code_cell(
    "from looplab.course.exercises.notebook_end import hide_checks\n\nhide_checks()",
    id="hide-checks",
)


@dataclass(frozen=True)
class Limits:
    """What one run may take."""

    cell: int = 30  # seconds for one cell
    total: int = 240  # seconds for all of it
    memory: int = 4 * 2**30  # bytes of address space for each process; torch alone maps 1 GB
    file: int = 64 * 2**20  # bytes of one written file
    processes: int = 24  # at the same time: pytest, the kernel and what they need are about 3


class CellRow(NamedTuple):
    """What nbval's process says of a cell: whether it ran, and if not a text and its cause.

    `missing` is the name that a NameError did not find.
    """

    ok: bool
    error: str
    cause: Cause
    missing: str


class Stopped(NamedTuple):
    """Which limit of the whole run was passed."""

    text: str
    cause: Cause


class Ran(NamedTuple):
    """What a run showed.

    `verdicts` were reached outside of the learner's process and count. `rows` are what that
    process says of each cell, by exercise: good only for telling why there is no verdict.
    `set_up` says why the cells in front of all answers did not run, which is no learner's doing.
    """

    verdicts: dict[str, Verdict]
    rows: dict[str, CellRow]
    stopped: Stopped | None
    set_up: str


def run(
    notebook, chapter: str, seed: int = 0, limits: Limits | None = None, hidden: Iterable[Path] = ()
) -> Ran:
    """Run a notebook of a chapter; paths in `hidden` are out of its sight where that can be had."""
    limits = limits or Limits()
    # No "looplab" in this name: errors are told with the innermost line outside of the library.
    with tempfile.TemporaryDirectory(prefix="grading-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        begun = copy.copy(notebook)
        begun.cells = [FIRST, *notebook.cells]
        nbformat.write(begun, folder / "submission.ipynb")
        rows = folder / "rows"
        grader = GraderEnd(folder, chapter, seed)
        command = [*isolated(folder, hidden), sys.executable, "-m", "looplab_nbval", "-q"]
        command += ["--tb=no", "-p", "no:cacheprovider", "-c", os.devnull]
        command += [f"--rootdir={folder}", "--nbval-lax", "--nbval-current-env"]
        command += [f"--nbval-cell-timeout={limits.cell}", str(folder / "submission.ipynb")]
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=_environment(folder, rows, grader.address),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=functools.partial(_limit, limits) if os.name == "posix" else None,
        )
        stopped: list[Stopped] = []
        watch = threading.Thread(target=_watch, args=(process, limits, stopped), daemon=True)
        watch.start()
        try:
            while process.poll() is None:
                grader.serve(POLL)
        finally:
            # Nothing that the submission started outlives its grading.
            _kill_family(process)
            process.wait()
            watch.join()
            grader.close()
        found = _read(rows)
        set_up = "".join(_failure(found, name) for name in (FIRST.id, "set-up"))
        return Ran(grader.verdicts, _by_exercise(found), next(iter(stopped), None), set_up)


def _failure(found: list[dict], name: str) -> str:
    """Why the cell of this name did not run; "" where it did."""
    row = next((row for row in found if row.get("id") == name), {"error": f"{name}: no row"})
    return "" if row.get("ok") else f"{row.get('error')} "


def _environment(folder: Path, rows: Path, grader: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "LANG", "SYSTEMROOT")}
    return kept | {
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "OMP_NUM_THREADS": "1",
        "LOOPLAB_ROWS": str(rows),
        "LOOPLAB_GRADER": grader,
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # others cost time, and may change how cells are run
    }


def _limit(limits: Limits):
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (limits.memory, limits.memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits.file, limits.file))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _watch(process: subprocess.Popen, limits: Limits, stopped: list[Stopped]):
    """End a run that passes a limit, and say which in `stopped`."""
    end = time.monotonic() + limits.total
    while process.poll() is None:
        if time.monotonic() > end:
            told = f"the whole run took more than {limits.total} seconds"
            stopped.append(Stopped(told, Cause.TIME))
        elif len(_family(process.pid)) > limits.processes:
            told = f"it started more than {limits.processes} processes"
            stopped.append(Stopped(told, Cause.STOPPED))
        if stopped:
            _kill_family(process)
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(POLL)


def _family(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def _kill_family(process: subprocess.Popen):
    for _ in range(20):  # a process that keeps forking may slip through once, not for ever
        family = _family(process.pid)
        for one in family:
            with contextlib.suppress(psutil.Error):
                one.kill()
        if not family:
            break
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


def _read(rows: Path) -> list[dict]:
    """The lines of a file that the learner's process may have written itself."""
    found = []
    with contextlib.suppress(OSError), open(rows, encoding="utf-8", errors="replace") as file:
        for line in file:
            with contextlib.suppress(ValueError, RecursionError):
                row = json.loads(line)
                if isinstance(row, dict):
                    found.append(row)
    return found


def _by_exercise(found: list[dict]) -> dict[str, CellRow]:
    found = [row for row in found if isinstance(row.get("ex"), str)]
    rows = {row["ex"]: _cell_row(row) for row in found if row.get("role") == "check"}
    for row in found:
        # What went wrong in the answer's cell explains what is missing in the check's.
        if row.get("role") == "answer" and not row.get("ok"):
            rows[row["ex"]] = _cell_row(row)
    return rows


def _cell_row(row: dict) -> CellRow:
    error, missing = (str(row.get(key) or "") for key in ("error", "missing"))
    return CellRow(bool(row.get("ok")), error, read_cause(row.get("cause")), missing)
