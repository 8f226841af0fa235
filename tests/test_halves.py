"""Chapter 05 stands in two notebooks, 05 and 05b; its exercises are numbered as one chapter's."""

import json
import shutil

import nbformat
import pytest
from classroom import OLD, QUICK, results

from looplab.course import build, passport
from looplab.course.exercises import exercises, exercises_in, scoreboard
from looplab.course.grading import grade
from looplab.course.grading.report import lines, summary
from looplab.course.grading.submission import student_of

HALVES = {"05": ["05.1", "05.2", "05.6"], "05b": ["05.5", "05.3", "05.4", "05.7"]}
SOURCES = {
    cell.metadata.looplab.ex: cell.source
    for half in HALVES
    for cell in build.make(build.find(half), "solved").cells
    if cell.metadata.get("looplab", {}).get("role") == "answer"
}


def test_each_half_lists_its_own_exercises():
    assert {half: [task.id for task in exercises_in(half)] for half in HALVES} == HALVES
    assert {task.id for task in exercises("05")} == {id for ids in HALVES.values() for id in ids}
    for half, ids in HALVES.items():
        assert [id for id, _, _ in scoreboard(half).rows] == ids


def test_the_halves_are_found_by_their_numbers_in_order():
    numbers = [build.number(source) for source in build.sources()]
    assert numbers.index("05b") == numbers.index("05") + 1
    assert {half: build.header(build.find(half))["chapter"] for half in HALVES} == {
        half: half for half in HALVES
    }
    table = build.chapter_table()
    assert table.index("](chapters/05_") < table.index("](chapters/05b_") < table.index("/06_")


@pytest.mark.parametrize("half", HALVES)
def test_a_half_is_graded_by_itself(half, tmp_path):
    for edition, result in (("unsolved", "not attempted"), ("solved", "passed")):
        path = tmp_path / edition / "ada.ipynb"
        path.parent.mkdir()
        shutil.copy(build.target(build.find(half), edition), path)
        report = grade(path, limits=QUICK)
        assert report.chapter == half
        assert results(report) == dict.fromkeys(HALVES[half], result)
    said = summary([report])
    assert f"chapter {half}, 1 submission" in said
    assert [id for id in SOURCES if id in said] == [id for id in SOURCES if id in HALVES[half]]


def test_a_notebook_from_before_the_division_is_graded_by_both(tmp_path):
    report = grade(OLD / "05_what_makes_a_fixed_point.ipynb", limits=QUICK)
    assert report.chapter == "05"
    old = [f"05.{n}" for n in range(1, 6)]
    assert results(report) == dict.fromkeys(old, "passed") | {
        "05.6": "not attempted",
        "05.7": "not attempted",
    }
    assert "chapter 05, 5 of 7" in lines(report, {})


def test_a_passport_of_the_whole_chapter_fills_both_halves(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(passport, "_kept", {})
    when = "2026-01-01T00:00:00"
    answers = {
        id: [{"source": source, "passed": True, "when": when}] for id, source in SOURCES.items()
    }
    # An exercise that this course does not have must not be lost either.
    answers["05.99"] = [{"source": "# exercise 05.99\nmine = 1", "passed": False, "when": when}]
    told = {"format": passport.FORMAT, "version": passport.VERSION, "answers": answers}
    (tmp_path / passport.NAME).write_text(json.dumps(told), encoding="utf-8")
    said = repr(passport.restore())
    assert "chapter 05: 7 of 7 passed" in said and "not yet 05.99" in said
    for half, ids in HALVES.items():
        stem = build.find(half).stem
        restored = nbformat.read(tmp_path / f"{stem}-restored.ipynb", as_version=4)
        nbformat.validate(restored)
        found = {
            cell.metadata.looplab.ex: cell.source
            for cell in restored.cells
            if cell.metadata.get("looplab", {}).get("role") == "answer"
        }
        lost = {"05.99": "# exercise 05.99\nmine = 1"} if half == "05" else {}
        assert found == {id: SOURCES[id] for id in ids} | lost


def test_a_half_handed_in_under_its_own_name_is_its_folders():
    stem = build.find("05b").stem
    assert student_of(build.ROOT / "ada" / f"{stem}.ipynb") == "ada"
