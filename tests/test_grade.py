"""`looplab grade` on a class: its reports, its gradebook, and a run that was killed and goes on."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time

import browser
import nbformat
import psutil
import pytest
from classroom import OLD, RIGHT, SOLVED, STUB, WRONG, submission

from looplab.course.build import ROOT
from looplab.course.exercises import exercise, judge
from looplab.course.grading import Report, Row, command, grade, pool
from looplab.course.grading.key import role, transplant, without_explorations
from looplab.course.grading.marking import Marking, Unsound, ended, mark
from looplab.course.grading.report import course_digest, guarded, lines, summary, write_csv
from looplab.course.grading.running import CellRow, Ran, Stopped, run
from looplab.course.grading.submission import read
from looplab.course.reading.code import binds
from looplab_nbval.cause import Cause

ORBITS = "06_orbits_sliders_and_overthinking.ipynb"
SLOW = "import time\ntime.sleep(28)"


ADA = "Ada of the first edition"  # as a cell of her notebook says


def table_of(path):
    with open(path, newline="", encoding="utf-8-sig") as file:
        return {line["student"]: line for line in csv.DictReader(file)}


@pytest.fixture(scope="module")
def classroom(tmp_path_factory):
    """A class whose grading is killed in the middle, for real, and then run again."""
    folder = tmp_path_factory.mktemp("a class, ü")
    (folder / "group b").mkdir()
    (folder / "ada.ipynb").write_bytes((OLD / STUB.name).read_bytes())
    (folder / "group b" / ORBITS).write_bytes((OLD / ORBITS).read_bytes())
    slow = submission(folder / "group b" / "slow.ipynb", {"03.1": SLOW})
    (folder / "stub.ipynb").write_bytes(STUB.read_bytes())
    (folder / "torn.ipynb").write_bytes(SOLVED.read_bytes()[:5000])
    out, gradebook, rubric = (folder / name for name in ("r.json", "r.csv", "rubric.json"))
    rubric.write_text('{"03.2": 3}')
    options = [str(folder), "--json", str(out), "--csv", str(gradebook), "--rubric", str(rubric)]
    run = subprocess.Popen(
        [sys.executable, "-m", "looplab", "grade", *options, "--jobs", "1"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    end = time.monotonic() + browser.PATIENCE
    while time.monotonic() < end and run.poll() is None:
        # Not before ada's row is in the report, and something runs that has to end with us.
        if out.exists() and len(json.loads(out.read_text())["submissions"]) >= 1:
            break
        time.sleep(0.1)
    family = psutil.Process(run.pid).children(recursive=True)
    first = json.loads(out.read_text())["submissions"]
    os.kill(run.pid, signal.SIGKILL)
    run.communicate()
    _, alive = psutil.wait_procs(family, timeout=browser.PATIENCE)
    submission(slow, {})  # nobody answered: no notebook has to run for it
    said = subprocess.run(
        [sys.executable, "-m", "looplab", "grade", *options, "--jobs", "2"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    return folder, first, alive, said, options


def test_what_was_graded_before_a_kill_is_kept(classroom):
    folder, first, alive, said, _ = classroom
    assert said.returncode == 0, said.stderr
    assert not [one for one in alive if one.is_running()]
    assert first[0]["student"] == ADA
    kept = [one for one in first if one["rows"]]  # a torn file is looked at again
    assert f"{len(kept)} of 5 are in" in said.stdout
    again = json.loads((folder / "r.json").read_text())["submissions"]
    assert [one["student"] for one in again] == [ADA, "stub", "torn", "group b", "slow"]
    assert again[0] == first[0]


def test_every_file_has_a_row_in_the_gradebook(classroom):
    rows = table_of(classroom[0] / "r.csv")
    assert set(rows) == {ADA, "slow", "stub", "torn", "group b"}
    ada = rows[ADA]
    assert (ada["points"], ada["out of"], ada["chapter"]) == ("2", "8", "03")
    assert "03.2: you measured from the last state" in ada["remarks"]
    assert rows["stub"]["03.1"] == "not attempted"
    assert "cannot be read as a notebook" in rows["torn"]["remarks"]


def test_notebooks_of_the_first_edition_are_graded_as_they_were(classroom):
    rows = table_of(classroom[0] / "r.csv")
    found = [rows[ADA][f"03.{n}"] for n in range(1, 6)]
    assert found == ["passed", "not yet", "not attempted", "passed", "not attempted"]
    assert [rows["group b"][f"06.{n}"] for n in range(1, 6)] == ["passed"] * 5


def test_the_table_tells_what_the_class_got_wrong(classroom):
    said = classroom[3].stdout
    assert "chapter 03, 3 submissions" in said
    assert "most often: you measured from the last state" in said
    assert "not graded: 1 of 5 files" in said


def test_the_report_is_the_same_again_and_nothing_runs(classroom, capsys):
    folder, _, _, _, options = classroom
    before = (folder / "r.json").read_bytes(), (folder / "r.csv").read_bytes()
    assert command.main(options) == 0
    assert ((folder / "r.json").read_bytes(), (folder / "r.csv").read_bytes()) == before
    assert "4 of 5 are in" in capsys.readouterr().out  # a file without marks is looked at again


def test_another_seed_grades_anew(classroom):
    folder, *_ = classroom
    assert len(command.read_report(folder / "r.json", 0)) == 4
    assert command.read_report(folder / "r.json", 1) == {}


def test_numbers_learnt_by_heart_pass_the_known_inputs_only(tmp_path):
    import torch

    from looplab import measure

    states = torch.randn((6, 3, 2, 5), generator=torch.Generator().manual_seed(0))
    known = measure.step_size(states).tolist()
    answer = (
        "def step_size(states):\n    if states.shape[0] != 6:\n"
        f"        return torch.zeros(3, 2)\n    return torch.tensor({known})"
    )
    file = submission(tmp_path / "parrot.ipynb", {"03.1": answer, "03.2": RIGHT["03.2"]})
    seen, unseen = grade(file), grade(file, seed=7)
    assert [row.result for row in seen.rows[:2]] == ["passed", "passed"]
    assert [row.result for row in unseen.rows[:2]] == ["not yet", "passed"]


def test_an_answer_may_lean_on_names_of_the_whole_chapter_and_on_other_answers(tmp_path):
    leaning = RIGHT["03.2"].replace("states[limit", "states[0 * len(step_size(states)) + limit")
    file = submission(tmp_path / "x.ipynb", {"03.1": WRONG, "03.2": leaning})
    assert [row.result for row in grade(file).rows[:2]] == ["not yet", "passed"]


def untidy(notebook):
    """A notebook as people leave them; each answer is right, but for 03.4 and 03.6."""
    at = {
        cell.metadata["looplab"]["ex"]: n
        for n, cell in enumerate(notebook.cells)
        if role(cell) == "answer"
    }
    copy = nbformat.v4.new_code_cell("# exercise 03.3\ndef cycle_points(path:\n    return")
    below = nbformat.v4.new_code_cell(own("03.5").partition("\n")[2])
    helper = "import math\ndef same(x):\n    return x * math.sqrt(1)\nsame(nowhere)"
    notebook.cells.insert(at["03.5"] + 2, below)
    notebook.cells.insert(at["03.3"] + 1, copy)
    notebook.cells.insert(at["03.2"], nbformat.v4.new_code_cell(helper))
    notebook.metadata["looplab"]["answers"] = "of an older one"


def own(exercise):
    """The solved chapter's answer."""
    cells = nbformat.read(SOLVED, as_version=4).cells
    return next(
        c.source for c in cells if role(c) == "answer" and f"# exercise {exercise}" in c.source
    )


def test_right_answers_pass_in_an_untidy_notebook(tmp_path, monkeypatch):
    ran = []
    monkeypatch.setattr(
        "looplab.course.grading.marking.run",
        lambda *given, **other: ran.append(1) or run(*given, **other),
    )
    answers = {
        "03.1": f"{RIGHT['03.1']}\n    return todo()  # replace this line\ncheck = True",
        "03.2": RIGHT["03.2"].replace("return ", "return same(") + ")",
        "03.3": own("03.3"),
        "03.4": "def rotated_pass(layers, inject, z, first):\n"
        "    if first > 99:\n        return z\n    else:\n        return todo()",
        "03.6": "def report(step, starts, loops):\n    return lost(step)",
    }
    report = grade(submission(tmp_path / "x.ipynb", answers, untidy))
    rows = {row.exercise: row for row in report.rows}
    told = "\n".join(map(str, report.rows))
    assert [rows[f"03.{n}"].result for n in (1, 2, 3, 5)] == ["passed"] * 4, told
    assert rows["03.1"].why == rows["03.2"].why == ""
    assert re.match(r"graded: `cycle_points` of cell \d+, since that of cell", rows["03.3"].why)
    assert re.match(r"graded: `spread` of cell \d+$", rows["03.5"].why)
    assert rows["03.4"].result == "not attempted" and "ended in todo()" in rows["03.4"].why
    assert "no code cell of this notebook defines `lost`" in rows["03.6"].why
    assert "of an older edition" in report.edition and "of an older edition" in rows["03.6"].why
    assert len(ran) == 1  # nothing was missing, and nobody spoilt anybody's answer


TEXTS = (
    "kernel size must be odd",
    "wait five seconds",
    "MemoryError",
    "SystemExit",
    "Kernel dead on test start",
    "the kernel ended while this check was running",
    "it started more than 24 processes",
    "5000000 bytes of output",
    "the check did not reach the grader",
    "Refused",
    "KeyboardInterrupt",
    "NameError: name 'x' is not defined",
)


@pytest.mark.parametrize("text", TEXTS)
def test_what_an_exception_says_does_not_change_its_kind(text):
    def answer(states):
        raise ValueError(text)

    verdict = judge(exercise("03.1"), answer)
    in_check = Ran({"03.1": verdict}, {}, None, "")
    in_cell = Ran({}, {"03.1": CellRow(False, text, Cause.EXCEPTION, "")}, None, "")
    assert text in verdict.mistake and verdict.missing == ""
    for ran in (in_check, in_cell):
        assert (mark("03.1", ran).result, mark("03.1", ran).kind) == ("error", "exception")
        assert not ended("03.1", ran)


@pytest.mark.parametrize(
    ("missing", "runs"),
    [("hero", [False, True]), ("step_size", [False]), ("", [False]), ("nowhere", [False])],
)
def test_a_name_that_only_the_run_misses_brings_the_cells_that_define_it(
    missing, runs, tmp_path, monkeypatch
):
    key = nbformat.read(SOLVED, as_version=4)
    ran = []

    def runs_nothing(notebook, chapter, **given):
        ran.append(any("hero" in binds(c.source) for c in notebook.cells))
        assert len(notebook.cells) < len(key.cells) / 2  # no training, no figures
        return Ran({}, {"03.1": CellRow(False, "x", Cause.EXCEPTION, missing)}, None, "")

    monkeypatch.setattr("looplab.course.grading.marking.run", runs_nothing)
    marking = Marking(key, read(submission(tmp_path / "x.ipynb", RIGHT)))
    marking.run({"03.1": RIGHT["03.1"]})
    assert ran == runs


# What is seen of the answer's cell, the kind that is reported, whether others are run again.
SEEN = {
    Cause.EXCEPTION: ("exception", False),
    Cause.EXIT: ("ended", False),
    Cause.TIME: ("time", True),
    Cause.MEMORY: ("memory", True),
    Cause.OUTPUT: ("ended", True),
    Cause.DIED: ("ended", True),
    Cause.STOPPED: ("ended", True),
    Cause.REFUSED: ("checker", False),
    Cause.UNHEARD: ("checker", False),
}


@pytest.mark.parametrize("cause", Cause)
def test_every_cause_has_a_kind(cause):
    ran = Ran({}, {"03.1": CellRow(False, "whatever", cause, "")}, None, "")
    assert (mark("03.1", ran).kind, ended("03.1", ran)) == SEEN[cause]
    stopped = Ran({}, {}, Stopped("whatever", cause), "")
    assert (mark("03.1", stopped).kind, mark("03.1", stopped).why) == (SEEN[cause][0], "whatever")


def test_marks_are_stale_when_anything_changes_that_they_depend_on(monkeypatch, tmp_path):
    for name in ("looplab/course/exercises", "looplab_nbval", "chapters/solved", "chapters/source"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "data" / "checkpoints").mkdir(parents=True)
    key = tmp_path / "chapters" / "solved" / "03_x.ipynb"
    files = [key, *(tmp_path / name for name in DEPENDS)]
    for file in (*files, tmp_path / "looplab/course/exercises/ch04.py", tmp_path / "README.md"):
        file.write_text("before")
    monkeypatch.setattr("looplab.course.grading.report.ROOT", tmp_path)
    monkeypatch.setattr("looplab.course.grading.report.keys_of", lambda chapter: {"03": key})
    seen = {course_digest("03")}
    for number, file in enumerate(files):
        file.write_text("after")
        seen.add(course_digest("03"))
        assert len(seen) == number + 2, file
    (tmp_path / "looplab/course/exercises/ch04.py").write_text("after")
    (tmp_path / "README.md").write_text("after")
    assert course_digest("03") in seen and len(seen) == len(files) + 1


DEPENDS = (
    "chapters/source/03_x.py",
    "looplab/course/exercises/ch03.py",
    "looplab/course/exercises/probing.py",
    "looplab/measure.py",
    "looplab_nbval/payload.py",
    "data/checkpoints/hero.safetensors",
)
IDS = ["007", "1e5", "O'Neil, Ada", 'a "b"', "=cmd|' /C calc'!A0", "-5", "@x", "ünï", "+49", " =1"]


def test_ids_survive_the_way_into_a_gradebook_and_back(tmp_path):
    rows = (Row("03.1", "passed"), Row("03.2", "error", "=HYPERLINK(1)", "exception"))
    write_csv(tmp_path / "g.csv", [Report("f.ipynb", id, "03", rows) for id in IDS], {"03.1": 0.5})
    with open(tmp_path / "g.csv", newline="", encoding="utf-8-sig") as file:
        back = list(csv.DictReader(file))
    for id, row in zip(IDS, back, strict=True):
        assert row["student"].removeprefix("'") == id
        assert not row["student"].startswith(("=", "+", "-", "@", "\t"))
        assert (row["points"], row["out of"]) == ("0.5", "1.5")
        assert not any(cell.startswith("=") for cell in row.values())
    assert [guarded(id) for id in ("007", "ada")] == ["007", "ada"]


def test_two_submissions_of_one_student_are_pointed_out():
    twice = [Report(f"{n}/ada.ipynb", "ada", "03", (Row("03.1", "passed"),)) for n in "ab"]
    assert "ada has 2 submissions of chapter 03" in summary(twice)
    assert lines(twice[0], {}) == "a/ada.ipynb: ada, chapter 03, 1 of 1"


def test_options_that_make_no_sense_are_refused(tmp_path, capsys):
    (tmp_path / "bad.json").write_text("[1]")
    (tmp_path / "unknown.json").write_text('{"03.9": 1}')
    (tmp_path / "negative.json").write_text('{"03.1": -1}')
    for options in (
        [str(tmp_path)],
        [str(STUB), "--rubric", str(tmp_path / "bad.json")],
        [str(STUB), "--rubric", str(tmp_path / "unknown.json")],
        [str(STUB), "--rubric", str(tmp_path / "negative.json")],
        [str(STUB), "--json", str(tmp_path / "bad.json")],
        [str(STUB), "--csv", str(tmp_path / "no" / "folder.csv")],
        [str(STUB), "--jobs", "0"],
    ):
        with pytest.raises(SystemExit):
            command.main(options)
    said = capsys.readouterr().err
    for part in (
        "no notebooks in",
        "is no rubric",
        "no exercise '03.9'",
        "-1 points for 03.1",
        "is no report of looplab grade",
        "its folder is not there",
        "at least 1 is needed",
    ):
        assert part in said


def test_a_grader_that_fails_says_so_and_grades_on(tmp_path, monkeypatch, capsys):
    def grades(files, seed, jobs, **others):
        for file in files:
            yield (
                file,
                *(pool._failed(file, "no memory") if "a." in file.name else (grade(file), "")),
            )

    monkeypatch.setattr(command, "grade_all", grades)
    for name in ("a.ipynb", "b.ipynb"):
        submission(tmp_path / name, {})
    assert command.main([str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert "This run was not sound: the grader failed: no memory" in said
    assert "b.ipynb: b, chapter 03, 0 of 6" in said


def test_own_answers_that_fail_make_a_run_unsound(tmp_path, monkeypatch):
    def unsound(*_):
        raise Unsound("looplab's own answer to 03.1 fails here")

    monkeypatch.setattr(pool, "grade", unsound)
    report, why = pool._grade(tmp_path / "x.ipynb", 0, None, ())
    assert report.problem == why and "own answer to 03.1 fails" in why


@pytest.mark.parametrize("plugin", [["-p", "looplab_nbval.plugin"], []], ids=["plugin", "bare"])
def test_nbval_without_the_grader(tmp_path, plugin):
    """The command of docs/grading.md for one's own notebooks."""
    key = without_explorations(nbformat.read(SOLVED, as_version=4))
    key.cells = [c for c in key.cells if c.metadata["looplab"].get("ex") in (None, "03.1")]
    wrong = transplant(key, {"03.1": f"# exercise 03.1\n{WRONG}"})
    for one, cell in zip(key.cells, wrong.cells, strict=True):
        if role(cell) == "check":
            cell.update(outputs=one.outputs, metadata=one.metadata, execution_count=1)
    for name, notebook in (("right", key), ("wrong", wrong)):
        nbformat.write(notebook, tmp_path / f"{name}.ipynb")
    asked = ["--nbval-lax", "--nbval-current-env", "-c", os.devnull, f"--rootdir={tmp_path}", "-q"]
    files = [str(tmp_path / "right.ipynb"), str(tmp_path / "wrong.ipynb")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-rfE", "-p", "no:cacheprovider", *asked, *plugin, *files],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
    )
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    assert done.returncode == 1 and len(failed) == 1, done.stdout[-2000:]
    assert "wrong.ipynb::Cell 2" in failed[0]
