"""Run a notebook under nbval in a process group of its own, with limits, and judge its checks."""

import contextlib
import copy
import functools
import os
import signal
import subprocess
import sys
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
from looplab.course.grading.isolation import DISK, isolated
from looplab.course.grading.rows import Rows
from looplab.course.grading.workplace import outweighs, workplace
from looplab_nbval.cause import Cause, read_cause

POLL = 0.25  # seconds between looks at a run
# Stands in front of a notebook that is graded.
FIRST = nbformat.v4.new_code_cell(
    "from looplab.course.exercises.notebook_end import hide_checks\n\nhide_checks()",
    id="hide-checks",
)
# Stands behind the chapter's own set-up, in front of all that a learner wrote.
READY = nbformat.v4.new_code_cell(
    "from looplab.course.exercises.notebook_end import tell_ready\n\ntell_ready()", id="ready"
)


@dataclass(frozen=True)
class Limits:
    """What one run may take."""

    cell: int = 30  # seconds for one cell
    total: int = 240  # seconds for all of it
    memory: int = 4 * 2**30  # bytes of address space for each process; torch alone maps 1 GB
    file: int = 64 * 2**20  # bytes of one written file
    disk: int = DISK  # bytes of all that is written
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
    with workplace() as folder:
        work = folder / "work"
        nbformat.write(_begun(notebook), work / "submission.ipynb")
        rows, grader = Rows(folder / "rows"), GraderEnd(folder, chapter, seed)
        bound = [rows.path, *([Path(grader.address)] if os.path.exists(grader.address) else [])]
        inside = isolated(folder, hidden, limits.disk, bound)
        command = [*inside, sys.executable, "-m", "looplab_nbval", "-q"]
        command += ["--tb=no", "-p", "no:cacheprovider", "-c", os.devnull]
        command += [f"--rootdir={work}", "--nbval-lax", "--nbval-current-env"]
        command += [f"--nbval-cell-timeout={limits.cell}", str(work / "submission.ipynb")]
        process = subprocess.Popen(
            command,
            cwd=work,
            env=_environment(work, rows.path, grader.address),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=functools.partial(_limit, limits) if os.name == "posix" else None,
        )
        # Namespaces have a limit of their own; elsewhere somebody has to look.
        weighed = None if inside else work
        stopped: list[Stopped] = []
        watch = threading.Thread(
            target=_watch, args=(process, limits, weighed, stopped), daemon=True
        )
        watch.start()
        try:
            while process.poll() is None:
                grader.serve(POLL, process.pid)
                rows.look()
        finally:
            # Nothing that the submission started outlives its grading.
            _kill_family(process)
            process.wait()
            watch.join()
            grader.close()
            rows.close()
        told = (_failure(rows.found, cell) for cell in (FIRST.id, "set-up", READY.id))
        set_up = "" if grader.ready else "".join(told)
        return Ran(grader.verdicts, _by_exercise(rows.found), next(iter(stopped), None), set_up)


def _begun(notebook):
    """The notebook with a cell in front of it, and one that says when its set-up has run."""
    begun = copy.copy(notebook)
    begun.cells = [FIRST, *notebook.cells]
    at = next((n for n, cell in enumerate(begun.cells) if cell.get("id") == "set-up"), None)
    if at is not None:
        begun.cells.insert(at + 1, READY)
    return begun


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


def _watch(process: subprocess.Popen, limits: Limits, weighed: Path | None, stopped: list[Stopped]):
    """End a run that passes a limit, and say which in `stopped`."""
    end = time.monotonic() + limits.total
    while process.poll() is None:
        if time.monotonic() > end:
            told = f"the whole run took more than {limits.total} seconds"
            stopped.append(Stopped(told, Cause.TIME))
        elif len(_family(process.pid)) > limits.processes:
            told = f"it started more than {limits.processes} processes"
            stopped.append(Stopped(told, Cause.STOPPED))
        elif weighed and outweighs(weighed, limits.disk):
            told = f"it wrote more than {limits.disk // 10**6} MB"
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
