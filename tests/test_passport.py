"""A learner's answers survive a lost session: in a file, on other days, beside other people's."""

import base64
import json
import os
import re
import subprocess
import sys

import browser
import nbformat
import pytest
from classroom import OLD
from nbclient import NotebookClient

from looplab.course import build, passport
from looplab.course.exercises import exercises
from looplab.course.grading.submission import answers_in
from looplab.course.passport import Answer, PassportError, merge

CHAPTER = build.target(build.find("00"), "unsolved")
SOLVED = {
    cell.metadata.looplab.ex: cell.source
    for cell in build.make(build.find("00"), "solved").cells
    if cell.metadata.get("looplab", {}).get("role") == "answer"
}
WRONG = "# exercise 00.2\ndef right_from(answers, target):\n    return 1"


@pytest.fixture(autouse=True)
def empty(tmp_path, monkeypatch):
    """A folder and a kernel in which nothing has happened yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(passport, "_kept", {})


def write(name, answers, **other):
    data = {"format": "looplab-passport", "version": 1, "answers": answers}
    with open(name, "w", encoding="utf-8") as file:
        json.dump({**data, **other}, file)


def entry(source="return 1", passed=True, when="2026-01-01T00:00:00"):
    return {"source": source, "passed": passed, "when": when}


def session(folder, cells):
    """Run cells in a fresh kernel; returns the texts they show."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    where = {"metadata": {"path": str(folder)}}
    NotebookClient(
        notebook, kernel_name="python3", timeout=browser.PATIENCE, resources=where
    ).execute()
    return [
        "\n".join(out.get("text") or out["data"]["text/plain"] for out in cell.outputs)
        for cell in notebook.cells
    ]


def test_solve_save_lose_the_session_restore_and_all_is_solved_again(tmp_path):
    chapter = nbformat.read(CHAPTER, as_version=4)
    source = {cell.id: cell.source for cell in chapter.cells}
    told = session(
        tmp_path,
        [
            source["set-up"],
            SOLVED["00.1"],
            source["layers-check"],
            WRONG,
            source["right-check"],
            "from looplab import passport; passport.save()",
        ],
    )
    assert told[2] == "00.1 passed: layers in all"
    assert told[4].startswith("00.2 not yet")
    assert "2 answers, 1 passed\n  chapter 00: 1 of 2 passed (00.1); not yet 00.2" in told[5]

    # Another day, another kernel, and only the file is left.
    told = session(tmp_path, ["from looplab import passport; passport.restore()"])
    assert "wrote 00_welcome-restored.ipynb" in told[0]
    restored = nbformat.read("00_welcome-restored.ipynb", as_version=4)
    nbformat.validate(restored)
    assert [cell.id for cell in restored.cells] == [cell.id for cell in chapter.cells]
    for cell in restored.cells:
        kept = {"layers-answer": SOLVED["00.1"], "right-answer": WRONG}.get(cell.id)
        assert cell.source == (kept or source[cell.id])
        assert cell.get("outputs", []) == []

    told = session(
        tmp_path,
        [cell.source for cell in restored.cells if cell.cell_type == "code"]
        + [SOLVED["00.2"], source["right-check"], "from looplab import passport; passport.save()"],
    )
    assert sum(text == "00.1 passed: layers in all" for text in told) == 1
    assert told[-2] == "00.2 passed: right from here on"
    assert "2 answers, 2 passed" in told[-1]

    # And under nbval, with checks that raise where an answer does not pass.
    session(tmp_path, ["from looplab import passport; passport.restore()"])
    command = ["-m", "looplab_nbval", "-q", "-c", os.devnull, f"--rootdir={tmp_path}"]
    command += ["--nbval-lax", "--nbval-current-env", "-p", "no:cacheprovider", "-rA"]
    strict = {**os.environ, "LOOPLAB_MODE": "strict", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    names = ("00_welcome-restored-2.ipynb", "00_welcome-restored.ipynb")
    done = subprocess.run(
        [sys.executable, *command, *names], env=strict, capture_output=True, text=True
    )
    failed = re.findall(r"^FAILED (.*)::", done.stdout, re.M)
    assert set(failed) == {names[1]}, done.stdout[-2000:]
    assert "00.2 not yet" in done.stdout


def test_the_link_downloads_the_file_in_jupyterlab(page, lab, lab_folder):
    folder = lab_folder / "passport"
    folder.mkdir()
    cells = {
        "begin": "from looplab.exercises import check\nfrom looplab import passport",
        "answer": SOLVED["00.1"],
        "check": "layers_run = check('00.1', layers_run)",
        "save": "passport.save()",
    }
    browser.write_notebook(folder / "mine.ipynb", cells)
    notebook = browser.Notebook(page, lab, "passport/mine.ipynb")
    notebook.run_all()
    assert notebook.all_errors() == []
    link = notebook.cell("save").get_by_role("link", name="Download looplab-passport.json")
    with page.expect_download() as coming:
        link.click()
    assert coming.value.suggested_filename == "looplab-passport.json"
    kept = (folder / "looplab-passport.json").read_bytes()
    with open(coming.value.path(), "rb") as file:
        assert file.read() == kept
    assert passport.read(folder / "looplab-passport.json")["00.1"][0].source == SOLVED["00.1"]


def test_saving_adds_to_what_is_there(tmp_path):
    write("looplab-passport.json", {"03.1": [entry("theirs")], "03.2": [entry()]})
    passport._kept["03.1"] = (Answer("mine", True, "2025-01-01T00:00:00"),)  # older than theirs
    assert "2 answers, 2 passed" in repr(passport.save())
    found = passport.read("looplab-passport.json")
    assert [answer.source for answer in found["03.1"]] == ["theirs", "mine"]
    assert list(found) == ["03.1", "03.2"]
    before = (tmp_path / "looplab-passport.json").read_bytes()
    passport.save()
    assert (tmp_path / "looplab-passport.json").read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["looplab-passport.json"]


def test_passed_comes_before_newer_and_newer_before_older():
    old, new = Answer("a", True, "2026-01-01"), Answer("b", True, "2026-01-02")
    later = Answer("c", False, "2026-01-03")
    one, two, three = {"03.1": (old,)}, {"03.1": (later,), "04.2": (old,)}, {"03.1": (new,)}
    joined = merge(one, two, three)
    assert joined == {"03.1": (new, old, later), "04.2": (old,)}
    assert merge(three, merge(two, one)) == joined == merge(joined, joined)
    again = Answer("a", False, "2026-02-01")  # the same answer, judged anew
    assert merge(one, {"03.1": (again,)}) == {"03.1": (again,)}


@pytest.fixture
def cells(monkeypatch):
    """What was run in this kernel, one cell after the other."""
    cells = []
    monkeypatch.setattr(
        "IPython.get_ipython",
        lambda: type("", (), {"history_manager": type("", (), {"input_hist_raw": cells})}),
    )
    return cells


def test_a_session_keeps_its_last_try_and_what_passed(cells):
    for number, passed in enumerate((False, False, True, False)):
        cells += [f"# exercise 03.1\nstep_size = {number}", "check('03.1', step_size)"]
        passport.keep("03.1", passed)
    assert [answer.source[-1] for answer in passport._kept["03.1"]] == ["2", "3"]
    cells.append("import math\n# exercise 03.1\nstep_size = 1\n# exercise 03.2\nz = 2\n")
    passport.keep("03.2", True)
    assert passport._kept["03.2"][0].source == "# exercise 03.2\nz = 2"
    passport.keep("03.1", True)
    assert passport._kept["03.1"][0].source == "import math\n# exercise 03.1\nstep_size = 1"


STUB = "# exercise 00.1\ndef layers_run(layers, loops):\n    return todo()  # replace this line"
ANSWER = "def layers_run(layers, loops):\n    return layers * loops"
CHECK = "layers_run = check('00.1', layers_run)"
# What was run -> what a restored notebook must be able to do without.
RUNS = {
    "in another cell than the mark": [STUB, ANSWER, CHECK],
    "in front of the mark's cell": [ANSWER, "# exercise 00.1\nlayers_run(1, 2)", CHECK],
    "without a mark": [ANSWER, CHECK],
    "marked by hand": ["# Exercise 0.1: mine\n" + ANSWER, CHECK],
    "in the check's own cell": [STUB, ANSWER + "\n" + CHECK],
    "a lambda below the stub": [STUB + "\nlayers_run = lambda a, b: a * b", CHECK],
    "with a helper's cell": [
        "import operator\nONE = 1\nONE += 0",
        "def times(a, b):\n    return operator.mul(a, b) * ONE\nprint(nowhere)",
        "# exercise 00.1\ndef layers_run(layers, loops):\n    return times(layers, loops)",
        CHECK,
    ],
    "under another name": ["def mine(a, b):\n    return a * b", "layers_run = check('00.1', mine)"],
    "timed": ["%%time\n" + ANSWER, CHECK],
    "in two halves": [
        "# exercise 00.1\ndef half(a, b):\n    return a * b",
        "layers_run = half",
        CHECK,
    ],
    "after a broken try": [ANSWER, "# exercise 00.1\ndef layers_run(layers:\n    return", CHECK],
}


@pytest.mark.parametrize("name", RUNS)
def test_what_is_kept_is_the_source_of_what_passed(name, cells):
    cells += ["", *RUNS[name]]
    passport.keep("00.1", True)
    (kept,) = passport._kept["00.1"]
    assert kept.passed and "check(" not in kept.source
    space = {}
    exec(kept.source, space)  # alone, as in a restored notebook
    assert space["layers_run"](6, 7) == 42
    assert answers_in([nbformat.v4.new_code_cell(kept.source)])[0] == {"00.1": kept.source}
    assert "1 answer, 1 passed" in repr(passport.save())


def test_what_the_chapter_gives_is_not_kept_with_an_answer(cells):
    given = [cell.source for cell in nbformat.read(CHAPTER, as_version=4).cells]
    answer = ANSWER + " if whose else check"
    cells += [*given, answer, CHECK]
    passport.keep("00.1", True)
    assert passport._kept["00.1"][0].source == f"# exercise 00.1\n{answer}"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_passport_that_an_editor_saved_anew_is_read(encoding, tmp_path):
    write("looplab-passport.json", {"00.1": [entry("# é")], "00.2": []})
    path = tmp_path / "looplab-passport.json"
    path.write_text(path.read_text(encoding="utf-8"), encoding=encoding)
    assert list(passport.read(path)) == ["00.1"]  # of 00.2 there is no answer
    assert "1 answer, 1 passed" in repr(passport.restore())
    assert "1 answer, 1 passed" in repr(passport.save("again.json"))


def test_outside_of_a_notebook_there_is_nothing_to_keep(tmp_path):
    passport.keep("03.1", True)
    assert "Nothing to keep yet" in repr(passport.save())
    assert list(tmp_path.iterdir()) == []


def test_several_passports_are_joined_and_nothing_is_overwritten(tmp_path):
    write("looplab-passport.json", {"00.1": [entry("# one")]})
    write("looplab-passport (1).json", {"00.2": [entry("# two", passed=False)], "03.1": [entry()]})
    mine = tmp_path / "00_welcome-restored.ipynb"
    mine.write_text("a learner's file")
    told = repr(passport.restore())
    assert "3 answers, 2 passed" in told
    assert "wrote 00_welcome-restored-2.ipynb: open it" in told
    assert "wrote 03_watch_fixed_points_form-restored.ipynb" in told
    assert mine.read_text() == "a learner's file"
    text = (tmp_path / "00_welcome-restored-2.ipynb").read_text(encoding="utf-8")
    assert "# one" in text and "# two" in text
    passport.restore()  # the same again: no third copy
    assert len(list(tmp_path.glob("*-restored*"))) == 3
    passport.save("joined.json")
    assert list(passport.read("joined.json")) == ["00.1", "00.2", "03.1"]


def test_a_passport_of_the_first_edition_is_restored(tmp_path):
    told = repr(passport.restore(OLD / "passport.json"))
    assert "4 answers, 3 passed" in told
    assert "chapter 00: 1 of 2 passed (00.1)" in told
    assert f"chapter 03: 2 of {len(exercises('03'))} passed (03.1, 03.4); not yet 03.2" in told
    kept = passport.read(OLD / "passport.json")
    sources = {}
    for name in ("00_welcome", "03_watch_fixed_points_form"):
        restored = nbformat.read(f"{name}-restored.ipynb", as_version=4)
        sources |= {c.metadata.get("looplab", {}).get("ex"): c.source for c in answers_of(restored)}
    for id, (answer,) in kept.items():
        assert sources[id] == answer.source and answer.passed == (id != "03.2")


def answers_of(notebook):
    return [c for c in notebook.cells if c.metadata.get("looplab", {}).get("role") == "answer"]


def test_the_exercises_of_a_chapter_are_counted_in_the_shipped_notebooks(tmp_path, monkeypatch):
    write("looplab-passport.json", {"03.1": [entry()], "88.1": [entry()], "88.2": [entry()]})
    told = repr(passport.restore())
    assert f"chapter 03: 1 of {len(exercises('03'))} passed (03.1)" in told
    assert "chapter 88: 2 of 2 passed (88.1, 88.2)" in told  # of a newer course
    (tmp_path / "solved").mkdir()
    (tmp_path / "solved" / "03_x.ipynb").write_text('{"cells": [3]}')
    monkeypatch.setattr(passport, "CHAPTERS", tmp_path)
    assert "chapter 03: 1 of 1 passed (03.1)" in repr(passport.restore())


def test_answers_without_a_place_are_not_lost(tmp_path, monkeypatch):
    write("looplab-passport.json", {"00.1": [entry("# one")], "88.1": [entry()]})
    monkeypatch.setattr(passport, "CHAPTERS", tmp_path / "chapters")
    (tmp_path / "chapters").mkdir()
    notebook = nbformat.read(CHAPTER, as_version=4)
    notebook.cells = [cell for cell in notebook.cells if cell.id != "layers-answer"]
    nbformat.write(notebook, tmp_path / "chapters" / "00_welcome.ipynb")
    assert "chapter 88 is not in this copy of the course" in repr(passport.restore())
    restored = nbformat.read("00_welcome-restored.ipynb", as_version=4)
    nbformat.validate(restored)
    assert restored.cells[-1].source == "# one"
    (tmp_path / "chapters" / "00_welcome.ipynb").write_text("{")
    with pytest.raises(PassportError, match="00_welcome.ipynb is damaged: fetch a fresh copy"):
        passport.restore()


def test_on_colab_the_notebooks_can_be_downloaded(monkeypatch):
    write("looplab-passport.json", {"00.1": [entry("# one")]})
    assert "<a " not in passport.restore()._repr_html_()
    monkeypatch.setitem(sys.modules, "google.colab", sys)
    shown = passport.restore()
    assert "File, Upload notebook" in repr(shown)
    (link,) = re.findall(r'download="([^"]+)" href="[^"]*base64,([^"]+)"', shown._repr_html_())
    assert link[0] == "00_welcome-restored.ipynb"
    assert "# one" in base64.b64decode(link[1]).decode()


def test_odd_characters_come_back_as_they_were():
    odd = 'x = "\ud800 é <b> 你好"\n'
    passport._kept["00.1"] = (Answer(odd, True, "2026-01-01T00:00:00"),)
    assert "<b>" not in passport.save()._repr_html_()
    assert passport.read("looplab-passport.json")["00.1"][0].source == odd
    passport.restore()
    with open("00_welcome-restored.ipynb", encoding="utf-8") as file:
        assert odd in [cell["source"] for cell in json.load(file)["cells"]]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is damaged or no passport: expected the JSON that passport.save() writes"),
        ('{"format": "looplab-pass', "is damaged or no passport"),
        ("[" * 100_000, "is damaged or no passport"),
        ("\udcff", "is damaged or no passport"),
        ("[]", "is no passport: expected a file that passport.save() wrote"),
        ('{"cells": []}', "is no passport"),
        ('{"format": "looplab-passport"}', "has version None"),
        ('{"format": "looplab-passport", "version": 2, "answers": {}}', "has version 2, and this"),
        ('{"format": "looplab-passport", "version": 1}', "is a damaged passport"),
        ('{"format": "looplab-passport", "version": 1, "answers": [3]}', "is a damaged passport"),
        (
            '{"format": "looplab-passport", "version": 1, "answers": {"../x": []}}',
            "is a damaged passport",
        ),
        (
            '{"format": "looplab-passport", "version": 1, "answers": {"00.1": [{"source": "x"}]}}',
            "is a damaged passport",
        ),
        (
            '{"format": "looplab-passport", "version": 1, "answers": {"00.1": '
            '[{"source": "x", "passed": 1, "when": "2026-01-01"}]}}',
            "is a damaged passport",
        ),
    ],
)
def test_a_file_that_is_no_passport_is_named_and_left_alone(text, says, tmp_path):
    path = tmp_path / "looplab-passport.json"
    path.write_bytes(text.encode("utf-8", errors="surrogateescape"))
    before = path.read_bytes()
    passport._kept["00.1"] = (Answer("x", True, "2026-01-01T00:00:00"),)
    for call in (passport.restore, passport.save, lambda: passport.restore(path)):
        with pytest.raises(PassportError, match=re.escape(says)) as caught:
            call()
        assert "looplab-passport.json" in str(caught.value)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["looplab-passport.json"]


def test_files_that_are_not_there_too_large_or_in_the_way(tmp_path, monkeypatch):
    with pytest.raises(PassportError, match="there is no looplab-passport.json in .*drag it"):
        passport.restore()
    with pytest.raises(PassportError, match="none.json cannot be read: No such file"):
        passport.restore("none.json")
    passport._kept["00.1"] = (Answer("x", True, "2026-01-01T00:00:00"),)
    with pytest.raises(PassportError, match="cannot be written: No such file.*passport.save"):
        passport.save("nowhere/x.json")
    with pytest.raises(PassportError, match="cannot be read: Is a directory"):
        passport.save(tmp_path)
    monkeypatch.setattr(passport, "LARGEST", 10)
    write("looplab-passport.json", {})
    with pytest.raises(PassportError, match="is too large for a passport"):
        passport.restore()
