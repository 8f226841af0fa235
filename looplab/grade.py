"""Grade notebooks with nbval.

    looplab grade FILE... [--json OUT]

Only the source of the answer cells is taken from a submission. It is put into a copy of the
solved chapter, whose given and check cells, stored numbers and order are the reference, and nbval
runs that in a fresh process and folder: set-up, answers and checks first, and the whole chapter
where an answer needs more of it. A check passes if the numbers it computed from the
learner's answer are close to the stored ones; whatever else the notebook prints does not count.

The exit status is 0 when every file could be graded, whatever the marks.
"""

import argparse
import contextlib
import copy
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import nbformat

from looplab.build import ROOT

MARK = re.compile(r"^# exercise (\d\d\.\d+)\s*$", re.M)
CELL_SECONDS, TOTAL_SECONDS = 60, 300
MEMORY = 4 * 2**30  # bytes of address space of the kernel; torch alone maps about 1 GB


@dataclass(frozen=True)
class Row:
    """The mark of one exercise: passed, not yet, not attempted, or error, and why."""

    exercise: str
    result: str
    why: str = ""


@dataclass(frozen=True)
class Report:
    """The marks of one submission; `problem` says why a file could not be graded at all."""

    file: str
    chapter: str
    rows: tuple[Row, ...] = ()
    problem: str = ""

    @property
    def passed(self) -> int:
        return sum(row.result == "passed" for row in self.rows)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="looplab grade", description="Grade notebooks.")
    parser.add_argument("files", nargs="+", type=Path, help="notebooks to grade")
    parser.add_argument("--json", type=Path, help="also write the report here")
    given = parser.parse_args(arguments)
    reports = []
    for file in given.files:
        reports.append(grade(file))
        print(table(reports[-1]), flush=True)
    if given.json:
        report = [{**asdict(one), "passed": one.passed} for one in reports]
        given.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return int(any(report.problem for report in reports))


def table(report: Report) -> str:
    if report.problem:
        return f"{report.file}: not graded: {report.problem}"
    lines = [f"{report.file}: chapter {report.chapter}, {report.passed} of {len(report.rows)}"]
    lines += [f"  {row.exercise}  {row.result:13s} {row.why}".rstrip() for row in report.rows]
    return "\n".join(lines)


def grade(file: Path, solved: Path = ROOT / "chapters" / "solved") -> Report:
    """Grade one notebook; every failure ends in a Report, none is raised."""
    name = str(file)
    try:
        submission = nbformat.read(file, as_version=4)
    except FileNotFoundError:
        return Report(name, "", problem="there is no such file")
    except Exception as error:  # nbformat raises many kinds for a damaged file
        why = f"it cannot be read as a notebook ({type(error).__name__})"
        return Report(name, "", problem=why)
    answers = answers_in(submission)
    chapter = submission.metadata.get("looplab", {}).get("chapter") or next(
        (exercise[:2] for exercise in answers), ""
    )
    key = next(iter(sorted(solved.glob(f"{chapter}_*.ipynb"))), None) if chapter else None
    if key is None:
        return Report(name, str(chapter), problem="it is no chapter of this course that is known")
    reference = nbformat.read(key, as_version=4)
    exercises = [
        cell.metadata["looplab"]["ex"] for cell in reference.cells if _role(cell) == "check"
    ]
    brief = without_explorations(reference)
    first = run(transplant(brief, answers))
    if any("NameError" in json.dumps(row) for row in first.values()):
        brief = reference  # an answer may lean on a name that only the whole chapter defines
        first = run(transplant(brief, answers))
    rows = {exercise: judge(exercise, answers, first) for exercise in exercises}
    doubtful = [e for e in exercises if rows[e].result in ("error", "not yet")]
    cut_short = [e for e in exercises if e in answers and e not in first]
    if len(doubtful) > 1 or cut_short:
        # One answer may have spoilt what came after it: each gets a run of its own.
        for exercise in {*doubtful, *cut_short}:
            alone = run(transplant(brief, {exercise: answers.get(exercise, "")}, rest=True))
            rows[exercise] = judge(exercise, answers, alone)
    return Report(name, str(chapter), tuple(rows[exercise] for exercise in exercises))


def answers_in(notebook) -> dict[str, str]:
    """Exercise -> source: by marker line first, then by metadata; pieces in document order."""
    found: dict[str, list[str]] = {}
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        marks = list(MARK.finditer(cell.source))
        starts = [mark.start() for mark in marks]
        head = cell.source[: starts[0] if starts else None]
        if _role(cell) == "answer" and head.strip():
            found.setdefault(cell.metadata["looplab"].get("ex", ""), []).append(head)
        for mark, end in zip(marks, [*starts[1:], None], strict=False):
            found.setdefault(mark[1], []).append(cell.source[mark.start() : end])
    return {exercise: "\n".join(pieces) for exercise, pieces in found.items() if exercise}


def transplant(reference, answers: dict[str, str], rest: bool = False):
    """The solved chapter with these answers; with `rest` the others keep the reference's."""
    notebook = copy.deepcopy(reference)
    for cell in notebook.cells:
        if _role(cell) == "answer":
            exercise = cell.metadata["looplab"]["ex"]
            if exercise in answers:
                cell.source = answers[exercise]
            elif not rest:
                cell.source = f"# exercise {exercise}\nfrom looplab.exercises import todo\n"
                cell.source += f"{_checked_name(reference, exercise)} = todo"
    return notebook


def without_explorations(notebook):
    """Set-up, answers and checks only: training and figures change no mark."""
    kept = copy.copy(notebook)
    kept.cells = [
        cell for cell in notebook.cells if cell.id == "set-up" or _role(cell) in ("answer", "check")
    ]
    return kept


def run(notebook) -> dict[str, dict]:
    """nbval's row of every exercise that was reached: its check's, or its failed answer's."""
    with tempfile.TemporaryDirectory(prefix="looplab-grade-") as folder:
        folder = Path(folder)
        nbformat.write(notebook, folder / "submission.ipynb")
        rows = folder / "rows"
        environment = {
            **{k: v for k, v in os.environ.items() if k in ("PATH", "LANG", "SYSTEMROOT")},
            "HOME": str(folder),
            "OMP_NUM_THREADS": "1",
            "LOOPLAB_ROWS": str(rows),
            "LOOPLAB_MODE": "grade",
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        command = [sys.executable, "-m", "pytest", "-q", "--tb=no", "-c", os.devnull]
        command += ["-p", "looplab.nbval_plugin", "-p", "no:cacheprovider", f"--rootdir={folder}"]
        command += ["--nbval-lax", "--nbval-current-env", f"--nbval-cell-timeout={CELL_SECONDS}"]
        process = subprocess.Popen(
            [*command, str(folder / "submission.ipynb")],
            cwd=folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_limit_memory if os.name == "posix" else None,
        )
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(TOTAL_SECONDS)
        _end(process)
        found = (
            [json.loads(line) for line in rows.read_text().splitlines()] if rows.exists() else []
        )
    rows = {row["ex"]: row for row in found if row.get("role") == "check"}
    for row in found:
        # Where a check showed nothing, what went wrong in the answer's cell says why.
        failed = row.get("role") == "answer" and not row["ok"]
        if failed and not (rows.get(row["ex"]) or {}).get("payload"):
            rows[row["ex"]] = row
    return rows


def judge(exercise: str, answers: dict[str, str], rows: dict[str, dict]) -> Row:
    if exercise not in answers:
        return Row(exercise, "not attempted", "the answer cell is missing")
    row = rows.get(exercise)
    if row is None:
        return Row(exercise, "error", "the notebook stopped before this check")
    payload = row.get("payload") or {}
    if row["ok"] and row.get("role") == "check":
        return Row(exercise, "passed")
    if payload.get("verdict") in ("not attempted", "not yet", "error"):
        return Row(exercise, payload["verdict"], payload.get("mistake", ""))
    if payload.get("verdict") == "passed":
        return Row(exercise, "not yet", "the numbers differ from the reference's")
    return Row(exercise, "error", (row.get("error") or "no check was shown").split("\n")[0][:200])


def _role(cell) -> str:
    return cell.metadata.get("looplab", {}).get("role", "")


def _checked_name(reference, exercise: str) -> str:
    """The name that the check cell of this exercise hands on: `name = check("03.1", name)`."""
    for cell in reference.cells:
        if _role(cell) == "check" and cell.metadata["looplab"]["ex"] == exercise:
            return cell.source.split("=")[0].strip()
    raise ValueError(f"no check cell for exercise {exercise}")


def _limit_memory():
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def _end(process):
    """Nothing that the submission started outlives its grading."""
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()
