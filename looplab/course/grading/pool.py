"""Grade many files at the same time, each in a worker process that outlives no grader."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import psutil

from looplab.course.grading.marking import Report, Unsound, grade
from looplab.course.grading.running import Limits
from looplab.course.grading.submission import printable, student_of


def grade_all(
    files: Iterable[Path],
    seed: int = 0,
    jobs: int = 1,
    limits: Limits | None = None,
    hidden: Iterable[Path] = (),
) -> Iterator[tuple[Path, Report, str]]:
    """(file, report, unsound) as they come; `unsound` says where the grader itself failed."""
    waiting, hidden = list(dict.fromkeys(files)), tuple(hidden)
    while waiting:
        # Not forked: a worker imports torch afresh, in a process without threads.
        pool = ProcessPoolExecutor(
            min(jobs, len(waiting)), multiprocessing.get_context("spawn"), _begin
        )
        try:
            asked = {pool.submit(_grade, file, seed, limits, hidden): file for file in waiting}
            for future in as_completed(asked):
                report, unsound = future.result()
                waiting.remove(asked[future])
                yield asked[future], report, unsound
        except BrokenProcessPool:
            # A worker was killed, perhaps for want of memory: go on one at a time.
            if jobs == 1:
                yield waiting[0], *_failed(waiting.pop(0), "the grader's own process was ended")
            jobs = 1
        except BaseException:
            for worker in multiprocessing.active_children():
                worker.terminate()
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _grade(file: Path, seed: int, limits, hidden) -> tuple[Report, str]:
    try:
        return grade(file, seed, limits, hidden), ""
    except Unsound as error:
        return _failed(file, str(error))
    except Exception as error:  # the other submissions are graded on, and the exit status says so
        return _failed(file, f"{type(error).__name__}: {error}")


def _failed(file: Path, why: str) -> tuple[Report, str]:
    why = printable(f"the grader failed: {why}")
    report = Report(printable(str(file)), printable(student_of(file)), "", problem=why)
    return report, why


def _begin():
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the command's own business
    signal.signal(signal.SIGTERM, lambda *_: _leave())
    threading.Thread(target=_outlive_nobody, daemon=True).start()


def _outlive_nobody():
    multiprocessing.parent_process().join()
    _leave()


def _leave():
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            child.kill()
    os._exit(143)
