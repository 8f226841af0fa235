"""Run a notebook under nbval in a process group of its own, with limits, and judge its checks."""

import contextlib
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
from looplab.course.exercises.checking import Verdict
from looplab.course.grading.grader_end import Desk
from looplab.course.grading.isolation import isolated

POLL = 0.25  # seconds between looks at a run


@dataclass(frozen=True)
class Limits:
    """What one run may take."""

    cell: int = 30  # seconds for one cell
    total: int = 240  # seconds for all of it
    memory: int = 4 * 2**30  # bytes of address space for each process; torch alone maps 1 GB
    file: int = 64 * 2**20  # bytes of one written file
    processes: int = 24  # at the same time: pytest, the kernel and what they need are about 3


class Ran(NamedTuple):
    """What a run showed.

    `verdicts` were reached outside of the learner's process and count. `rows` are what that
    process says of each cell, by exercise: good only for telling why there is no verdict.
    `stopped` says which limit of the whole run was passed, if any; `set_up` why the chapter's own
    first cell did not run, which is no learner's doing.
    """

    verdicts: dict[str, Verdict]
    rows: dict[str, dict]
    stopped: str
    set_up: str


def run(
    notebook, chapter: str, seed: int = 0, limits: Limits | None = None, hidden: Iterable[Path] = ()
) -> Ran:
    """Run a notebook of a chapter; paths in `hidden` are out of its sight where that can be had."""
    limits = limits or Limits()
    # No "looplab" in this name: errors are told with the innermost line outside of the library.
    with tempfile.TemporaryDirectory(prefix="grading-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        nbformat.write(notebook, folder / "submission.ipynb")
        rows = folder / "rows"
        desk = Desk(folder, chapter, seed)
        command = [*isolated(folder, hidden), sys.executable, "-m", "pytest", "-q", "--tb=no"]
        command += ["-p", "looplab_nbval.plugin", "-p", "no:cacheprovider", "-c", os.devnull]
        command += [f"--rootdir={folder}", "--nbval-lax", "--nbval-current-env"]
        command += [f"--nbval-cell-timeout={limits.cell}", str(folder / "submission.ipynb")]
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=_environment(folder, rows, desk.address),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=functools.partial(_limit, limits) if os.name == "posix" else None,
        )
        stopped: list[str] = []
        watch = threading.Thread(target=_watch, args=(process, limits, stopped), daemon=True)
        watch.start()
        try:
            while process.poll() is None:
                desk.serve(POLL)
        finally:
            # Nothing that the submission started outlives its grading.
            _kill_family(process)
            process.wait()
            watch.join()
            desk.close()
        found = _read(rows)
        first = next((row for row in found if row.get("id") == "set-up"), {"error": "no row"})
        set_up = "" if first.get("ok") else str(first.get("error"))
        return Ran(desk.verdicts, _by_exercise(found), "".join(stopped), set_up)


def _environment(folder: Path, rows: Path, desk: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "LANG", "SYSTEMROOT")}
    return kept | {
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "OMP_NUM_THREADS": "1",
        "LOOPLAB_ROWS": str(rows),
        "LOOPLAB_DESK": desk,
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
    }


def _limit(limits: Limits):
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (limits.memory, limits.memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits.file, limits.file))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _watch(process: subprocess.Popen, limits: Limits, stopped: list[str]):
    """End a run that passes a limit, and say which in `stopped`."""
    end = time.monotonic() + limits.total
    while process.poll() is None:
        if time.monotonic() > end:
            stopped.append(f"the whole run took more than {limits.total} seconds")
        elif len(_family(process.pid)) > limits.processes:
            stopped.append(f"it started more than {limits.processes} processes")
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


def _by_exercise(found: list[dict]) -> dict[str, dict]:
    found = [row for row in found if isinstance(row.get("ex"), str)]
    rows = {row["ex"]: row for row in found if row.get("role") == "check"}
    for row in found:
        # What went wrong in the answer's cell explains what is missing in the check's.
        if row.get("role") == "answer" and not row.get("ok"):
            rows[row["ex"]] = row
    return rows
