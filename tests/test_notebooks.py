"""Both editions of every chapter: fresh, clean, and run to the end once each.

The unsolved edition runs as a learner meets it, in JupyterLab, where its widgets are moved too; the
solved one runs under nbval, as it does when notebooks are graded. `looplab build` ran all of it
when the chapter was made, and its measurements are those of the unsolved one. So here a solved
chapter that takes long runs as the grader runs it: its set-up, answers and checks with what they
need. With LOOPLAB_WHOLE=1 in the environment all of every chapter runs.
"""

import json
import os
import re
import subprocess
import sys
import time

import browser
import nbformat
import pytest

from looplab.course import build
from looplab.course.exercises import MIME
from looplab.course.grading.key import without_explorations
from looplab.course.grading.submission import answers_in
from looplab_nbval.payload import close

NOTEBOOKS = [
    build.target(source, edition) for source in build.sources() for edition in build.EDITIONS
]
IDS = [str(path.relative_to(build.ROOT / "chapters")) for path in NOTEBOOKS]
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=IDS)

BYTES = 10**9  # what a chapter may take; its time is shown in the log and not asserted
MORE = dict.fromkeys(("07", "10", "11"), 1_600_000_000)  # SmolLM2 alone takes 0.6 GB
SHORT = ("00", "04")  # solved chapters that run whole
COLAB_TOO = ("00", "04")  # run with Colab's widgets too: short, with every control between them
CANVAS = ".looplab-canvas"

# nbval in a process of its own, which then says how much memory its largest child took.
RUN = """
import resource, subprocess, sys
status = subprocess.run([sys.executable, "-m", "looplab_nbval", *sys.argv[1:]]).returncode
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
    assert len(answers) in ((1, 2) if welcome else (3, 4, 5, 6, 7))
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
    assert (12 if welcome else 25) <= len(cells) <= 75


def source_of(edition):
    found = [build.target(source, edition) for source in build.sources()]
    return pytest.mark.parametrize("path", found, ids=[path.stem for path in found])


@source_of("unsolved")
def test_an_unsolved_chapter_runs_in_jupyterlab_and_its_widgets_move(
    path, page, lab, lab_folder, record_property
):
    runs_and_moves(path, page, lab, lab_folder, record_property)


@pytest.mark.parametrize("chapter", COLAB_TOO)
def test_an_unsolved_chapter_runs_with_colabs_widgets(
    chapter, page, colabs_widgets, record_property
):
    path = build.target(build.find(chapter), "unsolved")
    runs_and_moves(path, page, *colabs_widgets, record_property)


def runs_and_moves(path, page, lab, folder, record_property):
    """Run a chapter in JupyterLab; no exercise is attempted, and each of its widgets moves."""
    (folder / path.name).write_bytes(path.read_bytes())
    begin = time.monotonic()
    notebook = browser.Notebook(page, lab, path.name)
    notebook.run_all()
    took(path, time.monotonic() - begin, notebook.peak(), record_property)
    assert notebook.all_errors() == []
    told = {
        cell_id: [output["data"][MIME] for output in outputs if MIME in output.get("data", {})]
        for cell_id, outputs in notebook.outputs().items()
    }
    checks_say(path, "not attempted", told)
    shown = notebook.widget_cells()
    assert shown
    for cell_id in shown:
        cell = notebook.cell(cell_id)
        if not cell.locator(CANVAS).count():  # a widget of buttons, the first perhaps down already
            before = cell.locator(".jp-OutputArea").inner_text()
            cell.locator(".jp-OutputArea button").nth(1).press("Enter")
            page.wait_for_function(
                "before => document.querySelector('.jp-mod-active .jp-OutputArea').innerText"
                " !== before",
                arg=before,
            )
            continue
        canvas = cell.locator(CANVAS)
        canvas.focus()
        page.keyboard.press("Home")
        before = canvas.screenshot()
        for _ in range(3):
            page.keyboard.press("ArrowRight")
        assert canvas.screenshot() != before, f"{cell_id}: nothing moved"


@source_of("solved")
def test_a_solved_chapter_passes_under_nbval(path, tmp_path, record_property):
    if not (os.environ.get("LOOPLAB_WHOLE") or path.name[:2] in SHORT):
        key = nbformat.read(path, as_version=4)
        nbformat.write(without_explorations(key, answers_in(key.cells)[0]), tmp_path / path.name)
        path = tmp_path / path.name
    under_nbval(path, "passed", tmp_path, record_property)


if not browser.find_chromium():

    @source_of("unsolved")
    def test_without_a_browser_the_unsolved_chapter_runs_under_nbval(
        path, tmp_path, record_property
    ):
        under_nbval(path, "not attempted", tmp_path, record_property)


def under_nbval(path, verdict, folder, record_property):
    """Run a notebook under nbval as a grader, and see what it says of each check."""
    rows = folder / "rows"
    command = ["--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=600", "-q", "-rN"]
    command += ["-p", "no:cacheprovider", "-c", os.devnull]
    environment = {**os.environ, "LOOPLAB_ROWS": str(rows), "OMP_NUM_THREADS": "1"}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # or nbval would be there twice
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", RUN, *command, f"--rootdir={folder}", str(path)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    peak = int(re.search(r"PEAK (\d+)", done.stdout)[1])
    took(path, time.monotonic() - begin, peak, record_property)
    ran = [json.loads(line) for line in rows.read_text(encoding="utf-8").splitlines()]
    checks_say(path, verdict, {row["id"]: [row["payload"]] for row in ran if row.get("payload")})


def took(path, seconds, peak, record_property):
    """Show in the log what a chapter took; its memory has a bound."""
    whole = path.is_relative_to(build.ROOT)
    name = path.relative_to(build.ROOT).as_posix() if whole else f"answers of {path.name}"
    record_property("chapter", f"{name:55s} {seconds:4.0f} s {peak / 2**20:6.0f} MiB")
    assert peak < MORE.get(path.name[:2], BYTES)


def checks_say(path, verdict, told):
    """Every check of the notebook has told this verdict once, with the numbers that are stored."""
    notebook = nbformat.read(path, as_version=4)
    checks = [cell for cell in notebook.cells if role(cell) == "check"]
    assert checks
    for cell in checks:
        stored = cell.outputs[0].data
        assert stored["text/plain"].startswith(f"{stored[MIME]['id']} {verdict}")
        (now,) = told[cell.id]
        assert stored[MIME]["verdict"] == now["verdict"] == verdict
        assert close(now["values"], stored[MIME]["values"]), cell.id


def role(cell):
    return cell.metadata.get("looplab", {}).get("role")
