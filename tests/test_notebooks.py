"""Both editions of every chapter: fresh, clean, and run through nbval to the end."""

import json
import os
import re
import subprocess
import sys
import time

import nbformat
import pytest

from looplab.course import build
from looplab.course.exercises import MIME

NOTEBOOKS = [
    build.target(source, edition) for source in build.sources() for edition in build.EDITIONS
]
IDS = [str(path.relative_to(build.ROOT / "chapters")) for path in NOTEBOOKS]
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=IDS)

SECONDS, BYTES = 180, 10**9  # what a chapter may take on two cores

# pytest in a process of its own, which then says how much memory its largest child took.
RUN = """
import resource, subprocess, sys
status = subprocess.run([sys.executable, "-m", "pytest", *sys.argv[1:]]).returncode
print("PEAK", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
sys.exit(status)
"""


def test_there_are_chapters():
    assert len(NOTEBOOKS) >= 4


def test_notebooks_and_readme_are_what_the_sources_say(capsys):
    assert build.main(["--check"]) == 0, capsys.readouterr().out


@each
def test_a_notebook_is_clean(path):
    text = path.read_text(encoding="utf-8")
    notebook = nbformat.reads(text, as_version=4)
    assert len(text.encode()) < build.MAX_BYTES
    assert "widgets" not in notebook.metadata
    addresses = re.compile(r"\bat 0x[0-9a-f]{6,}|/tmp/|/home/|/root/|\.venv")
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            assert "![](" not in cell.source, f"{cell.id}: a picture without alt text"
            continue
        for output in cell.outputs:
            assert output.output_type != "error", cell.id
            data = output.get("data", {})
            told = output.get("text", "") + data.get("text/plain", "")
            assert not addresses.search(told), f"{cell.id}: {told}"
            if "image/png" in data:
                assert len(output.metadata["image/png"]["alt"]) > 40, f"{cell.id}: no alt text"


@each
def test_exercises_keep_the_contract(path):
    notebook = nbformat.read(path, as_version=4)
    cells = notebook.cells
    answers = [n for n, cell in enumerate(cells) if role(cell) == "answer"]
    welcome = notebook.metadata["looplab"].get("kind") == "welcome"  # a short one, before the rest
    assert len(answers) in ((1, 2) if welcome else (4, 5, 6))
    for n in answers:
        assert role(cells[n + 1]) == "check"
        assert cells[n + 2].source.count("<details>") == 3, f"{cells[n].id}: three hints"
        assert "Solution](" in cells[n + 2].source
    prose = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    wanted = ["## Predict", "## Explore", "## Key points", "## Scoreboard", "## Read on"]
    if not welcome:
        wanted += ["## Interpret", "## Five questions", "open question"]
    for heading in wanted:
        assert heading in prose
    assert (12 if welcome else 25) <= len(cells) <= 60


@each
@pytest.mark.alone
def test_a_notebook_runs_and_its_checks_say_what_they_should(path, tmp_path, record_property):
    rows = tmp_path / "rows"
    command = ["--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=120", "-q", "-rN"]
    command += ["-p", "looplab_nbval.plugin", "-p", "no:cacheprovider", "-c", os.devnull]
    environment = {**os.environ, "LOOPLAB_ROWS": str(rows), "OMP_NUM_THREADS": "1"}
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", RUN, *command, f"--rootdir={tmp_path}", str(path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS + 60,
    )
    seconds = time.monotonic() - begin
    peak = int(re.search(r"PEAK (\d+)", done.stdout)[1])
    name = path.relative_to(build.ROOT).as_posix()
    record_property("chapter", f"{name:55s} {seconds:4.0f} s {peak / 2**20:6.0f} MiB")
    assert done.returncode == 0, done.stdout[-3000:]
    assert seconds < SECONDS
    assert peak < BYTES

    ran = [json.loads(line) for line in rows.read_text(encoding="utf-8").splitlines()]
    notebook = nbformat.read(path, as_version=4)
    checks = [cell for cell in notebook.cells if role(cell) == "check"]
    compared = [row for row in ran if row.get("payload")]
    assert len(compared) == len(checks) > 0
    solved = path.parent.name == "solved"
    wanted = "passed" if solved else "not attempted"
    assert {row["payload"]["verdict"] for row in compared} == {wanted}
    for cell in checks:
        stored = cell.outputs[0].data
        assert stored[MIME]["verdict"] == wanted
        assert stored["text/plain"].startswith(f"{stored[MIME]['id']} {wanted}")


def role(cell):
    return cell.metadata.get("looplab", {}).get("role")
