"""A pytest plugin that makes nbval a grader: pytest --nbval-lax -p looplab_nbval.plugin ...

A check cell passes if it shows one check payload whose numbers are close to the stored one's;
everything else about its output is ignored. A dead kernel is noticed at once, not after the cell's
whole time limit, and a flood of output ends the kernel. With LOOPLAB_ROWS=FILE one JSON line per
cell is appended to FILE, by cell id (nbval itself counts cells by position only); what went wrong
stands in it as a text for people and as a cause.
"""

import json
import os
import re
import time
from collections import deque
from queue import Empty

import pytest
from nbval import kernel, plugin

from looplab_nbval.cause import Cause, read_cause
from looplab_nbval.payload import MIME, close

MAX_OUTPUT = 5_000_000  # bytes of messages per kernel
PATIENCE = 10  # seconds for a cell to end once it is interrupted
# The account of what a cell raised, by its type and not by its words: the kernel has both.
LAST = "__import__('sys').last_value"
ACCOUNT = f"__import__('looplab.course.exercises.account', fromlist=['x']).account({LAST})"
ANSI = re.compile(r"\x1b\[[0-9;]*m")  # the colours of a traceback
OUTPUTS = ("stream", "display_data", "execute_result", "update_display_data", "error")


class KernelDied(RuntimeError):
    pass


class TooMuchOutput(RuntimeError):
    pass


class WatchedKernel(kernel.RunningKernel):
    """nbval's kernel, watched while a cell runs."""

    def __init__(self, *arguments, **keywords):
        # First: starting the kernel reads messages.
        self.waiting, self.seen, self.overran, self.patient_until = deque(), 0, False, 0.0
        super().__init__(*arguments, **keywords)

    def await_reply(self, msg_id, timeout=None):
        end, self.overran = time.monotonic() + (timeout or 3600), False
        while True:
            try:
                message = self.kc.get_shell_msg(timeout=0.2)
            except Empty:
                self._drain()
                if not self.is_alive():
                    raise KernelDied("the kernel ended while this cell was running") from None
                if time.monotonic() > end:
                    self.overran = True
                    raise  # nbval interrupts the kernel and reports the time limit
                continue
            if message["parent_header"].get("msg_id") == msg_id:
                return

    def interrupt(self):
        self.patient_until = time.monotonic() + PATIENCE
        super().interrupt()

    def get_message(self, stream, timeout=None):
        if self.overran and time.monotonic() > self.patient_until:
            raise Empty  # a cell may catch the interrupt and talk on; nbval ends the kernel
        if stream == "iopub" and self.waiting:
            return self.waiting.popleft()
        return super().get_message(stream, timeout)

    def value_of(self, expression: str, seconds: float = 2.0) -> str:
        """The repr of what an expression is in the notebook, "" where it cannot be told."""
        asked = self.kc.execute(
            "", silent=True, store_history=False, user_expressions={"value": expression}
        )
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            try:
                message = self.kc.get_shell_msg(timeout=left)
            except Empty:
                break
            if message["parent_header"].get("msg_id") == asked:
                told = message["content"].get("user_expressions", {}).get("value", {})
                return str(told.get("data", {}).get("text/plain", ""))
        return ""

    def _drain(self):
        while True:
            try:
                message = self.kc.get_iopub_msg(timeout=0)
            except Empty:
                return
            self.waiting.append(message)
            if message["msg_type"] in OUTPUTS:
                self.seen += len(json.dumps(message["content"], default=str))
            if self.seen > MAX_OUTPUT:
                self.km.shutdown_kernel(now=True)
                raise TooMuchOutput(f"more than {MAX_OUTPUT} bytes of output")


def compare_outputs(cell, test, ref, skip_compare=None):
    if _looplab(cell).get("role") != "check":
        return _nbval_compares(cell, test, ref, skip_compare)
    got, want = _payloads(test), _payloads(ref)
    cell.looplab_payload = got[0] if got else None
    same = len(got) == len(want) == 1 and all(
        close(got[0].get(key), want[0].get(key)) for key in ("id", "verdict", "values")
    )
    if not same:
        cell.comparison_traceback = ["no check was shown" if not got else "the numbers differ"]
    return same


_nbval_compares = plugin.IPyNbCell.compare_outputs


ROWS = pytest.StashKey()


def pytest_configure(config):
    # Before any cell runs: what a cell does to the file of this name changes nothing.
    if rows := os.environ.get("LOOPLAB_ROWS"):
        config.stash[ROWS] = os.open(rows, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    plugin.IPyNbCell.compare_outputs = compare_outputs
    plugin.RunningKernel = WatchedKernel


def pytest_unconfigure(config):
    if ROWS in config.stash:
        os.close(config.stash[ROWS])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    wanted = ROWS in item.config.stash
    if wanted and isinstance(item, plugin.IPyNbCell) and (call.when == "call" or report.failed):
        error = call.excinfo.value if call.excinfo else None
        row = {
            "id": item.cell.get("id"),
            **_looplab(item),
            "ok": report.passed,
            "payload": getattr(item, "looplab_payload", None),
            "error": None if error is None else _why(error)[:400],
            "seconds": round(call.duration, 3),
        }
        if error is not None:
            row |= {"cause": _cause(item, error), "missing": _missing(item, error)}
        os.write(item.config.stash[ROWS], json.dumps(row).encode() + b"\n")
    return report


def _why(error: BaseException) -> str:
    """The learner's own exception where there is one, else what stopped the cell."""
    told = ANSI.sub("", getattr(error, "inner_traceback", None) or "").strip()
    return told.split("\n")[-1] if told else str(error)


def _cause(item, error: BaseException) -> Cause:
    kernel = item.parent.kernel
    if isinstance(error, TooMuchOutput):
        return Cause.OUTPUT
    if isinstance(error, plugin.NbCellError) and kernel.overran:
        return Cause.TIME
    if name := _raised(item, error):
        return Cause.EXIT if name == "SystemExit" else _told_cause(kernel)
    if kernel is None or not kernel.is_alive():
        return Cause.DIED
    # What nbval itself raises is about messages that make no sense: somebody patched the kernel.
    return Cause.EXCEPTION if isinstance(error, plugin.NbCellError) else Cause.UNHEARD


def _told_cause(kernel) -> Cause:
    """Whether what was raised is a lack of memory; an exception where the kernel cannot tell."""
    told = kernel.value_of(f"str({ACCOUNT}.cause)")
    return read_cause(told[1:-1])


def _missing(item, error: BaseException) -> str:
    """The name that a NameError in this cell did not find: the exception knows it."""
    if _raised(item, error) != "NameError":
        return ""
    told = item.parent.kernel.value_of(f"getattr({LAST}, 'name', None)")
    return told[1:-1] if told[1:-1].isidentifier() else ""


def _raised(item, error: BaseException) -> str:
    """The type of the exception that the cell itself raised, "" where something else is wrong."""
    outputs = item.test_outputs if isinstance(error, plugin.NbCellError) else None
    last = outputs[-1] if outputs else {}
    return str(last.get("ename", ""))


def _looplab(item):
    return dict(item.cell.metadata.get("looplab", {}))


def _payloads(outputs):
    return [o["data"][MIME] for o in outputs if MIME in o.get("data", {})]
