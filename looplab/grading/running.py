"""Run a notebook under nbval in a process group of its own, with limits, and read its rows."""

import contextlib
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import nbformat

from looplab.build import ROOT

POLL = 0.25  # seconds between looks at a run


@dataclass(frozen=True)
class Limits:
    """What one run may take."""

    cell: int = 30  # seconds for one cell
    total: int = 240  # seconds for all of it
    memory: int = 4 * 2**30  # bytes of address space for each process; torch alone maps 1 GB
    file: int = 64 * 2**20  # bytes of one written file
    processes: int = 24  # at the same time: pytest, the kernel and what they need are about 3


@functools.cache
def isolation() -> tuple[str, ...]:
    """The command in front of a run that cuts the network and hides the solved chapters.

    Linux namespaces, where the system lets a user make them; () elsewhere.
    """
    if not sys.platform.startswith("linux") or not shutil.which("unshare"):
        return ()
    # Kernels are spoken to over loopback, which a new network namespace has switched off.
    hidden = [ROOT / "chapters" / "solved", ROOT / "tests"]
    mounts = "".join(f'mount -t tmpfs none "{folder}" && ' for folder in hidden if folder.exists())
    script = f'ip link set lo up && {mounts}exec "$@"'
    command = ("unshare", "-Urnpfm", "--kill-child", "--mount-proc", "sh", "-c", script, "sh")
    try:
        tried = subprocess.run([*command, "true"], capture_output=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return command if tried.returncode == 0 else ()


def run(notebook, limits: Limits | None = None, seed: int = 0) -> tuple[dict[str, dict], str]:
    """Rows of the exercises that were reached, by exercise; and what stopped the run, if anything.

    An exercise's row is its check's, or that of its answer's cell where the check showed nothing.
    """
    limits = limits or Limits()
    with tempfile.TemporaryDirectory(prefix="looplab-grade-") as name:
        folder = Path(name)
        nbformat.write(notebook, folder / "submission.ipynb")
        rows = folder / "rows"
        command = [*isolation(), sys.executable, "-m", "pytest", "-q", "--tb=no", "-c", os.devnull]
        command += ["-p", "looplab_nbval.plugin", "-p", "no:cacheprovider", f"--rootdir={folder}"]
        command += ["--nbval-lax", "--nbval-current-env", f"--nbval-cell-timeout={limits.cell}"]
        process = subprocess.Popen(
            [*command, str(folder / "submission.ipynb")],
            cwd=folder,
            env=_environment(folder, rows, seed),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=functools.partial(_limit, limits) if os.name == "posix" else None,
        )
        stopped = _watch(process, limits)
        found = []
        with contextlib.suppress(OSError):
            for line in rows.read_text(encoding="utf-8").splitlines():
                with contextlib.suppress(ValueError):  # a line cut off by the end of the run
                    found.append(json.loads(line))
    return _by_exercise(found), stopped


def _environment(folder: Path, rows: Path, seed: int) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "LANG", "SYSTEMROOT")}
    return kept | {
        "HOME": str(folder),
        "OMP_NUM_THREADS": "1",
        "LOOPLAB_ROWS": str(rows),
        "LOOPLAB_MODE": "grade",
        "LOOPLAB_SEED": str(seed),
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _limit(limits: Limits):
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (limits.memory, limits.memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits.file, limits.file))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _watch(process: subprocess.Popen, limits: Limits) -> str:
    """Wait for the end, and end it where a limit is passed; returns which, or ""."""
    end, stopped = time.monotonic() + limits.total, ""
    while process.poll() is None and not stopped:
        if time.monotonic() > end:
            stopped = f"the whole run took more than {limits.total} seconds"
        elif _descendants(process.pid) > limits.processes:
            stopped = f"it started more than {limits.processes} processes"
        else:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(POLL)
    # Nothing that the submission started outlives its grading.
    _kill_family(process)
    process.wait()
    return stopped


def _descendants(pid: int) -> int:
    import psutil

    try:
        return len(psutil.Process(pid).children(recursive=True))
    except psutil.Error:
        return 0


def _kill_family(process: subprocess.Popen):
    import psutil

    for _ in range(20):  # a process that keeps forking may slip through once, not for ever
        try:
            family = psutil.Process(process.pid).children(recursive=True)
        except psutil.Error:
            family = []
        for one in family:
            with contextlib.suppress(psutil.Error):
                one.kill()
        if not family:
            break
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


def _by_exercise(found: list[dict]) -> dict[str, dict]:
    rows = {row["ex"]: row for row in found if row.get("role") == "check" and "ex" in row}
    for row in found:
        # Where a check showed nothing, what went wrong in the answer's cell says why.
        failed = row.get("role") == "answer" and not row.get("ok")
        if failed and not (rows.get(row["ex"]) or {}).get("payload"):
            rows[row["ex"]] = row
    return rows
