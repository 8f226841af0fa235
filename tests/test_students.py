"""Whose a hand-in is: platforms' layouts, a cell, a pattern, or what differs in the paths."""

import re
from pathlib import Path

import pytest

from looplab.course.grading.glance import said_in
from looplab.course.grading.naming import Clue
from looplab.course.grading.students import Student, identify

ROOT = Path("/home/teacher/classroom")
WATCH = "03_watch_fixed_points_form"
# Files below the folder of the class, and whose each is. Chapters are read in the notebooks; here
# a file's first two digits tell, or it is of chapter 03.
PLACES = {
    "a folder each": {f"ada/{WATCH}.ipynb": "ada", f"ben/{WATCH}.ipynb": "ben"},
    "one folder": {f"{WATCH} - Ada L.ipynb": "Ada L", f"{WATCH} - Ben.ipynb": "Ben"},
    "one folder, one file": {"00_welcome - Ada.ipynb": "Ada"},
    "names as files": {"ada.ipynb": "ada", "O'Neil, Ben.ipynb": "O'Neil, Ben", "王.ipynb": "王"},
    "numbers as files": {"007.ipynb": "007", "1234567.ipynb": "1234567", "12.ipynb": "12"},
    "name in front": {"ada_03_watch.ipynb": "ada", f"ben - {WATCH}.ipynb": "ben"},
    "name behind": {"03_ada.ipynb": "ada", "03-watch-ben (1).ipynb": "ben"},
    "an assignment in front": {"hw1-ada.ipynb": "ada", "hw1-ben.ipynb": "ben"},
    "an assignment behind": {"ada_hw 1.ipynb": "ada", "ben_hw 1.ipynb": "ben"},
    "weeks of names": {
        "week1/ada.ipynb": "ada",
        "week1/ben.ipynb": "ben",
        "week 2/ada.ipynb": "ada",
    },
    "days of names": {"mon/ada.ipynb": "ada", "mon/ben.ipynb": "ben", "tue/cem.ipynb": "cem"},
    "sections": {"sec1/ada/03.ipynb": "ada", "sec1/ben/03.ipynb": "ben", "sec 2/cy/03.ipynb": "cy"},
    "towns": {"rom/ada/03.ipynb": "ada", "rom/ben/03.ipynb": "ben", "bonn/cy/03.ipynb": "cy"},
    "assignments below": {
        "ada/ps1/03.ipynb": "ada",
        "ada/ps2/05.ipynb": "ada",
        "ben/ps1/03.ipynb": "ben",
    },
    "free names below": {
        **{f"ada/{name}.ipynb": "ada" for name in ("03 warm", "05 loops", "06 last")},
        **{f"ben/{name}.ipynb": "ben" for name in ("03 warm", "05 loops", "06 last")},
    },
    "one name for all": {"ada/final.ipynb": "ada", "ben/final.ipynb": "ben"},
    "files of any name": {"ada/a.ipynb": "ada", "ben/my try.ipynb": "ben", "cy/x.ipynb": "cy"},
    "numbered students": {"student1/03.ipynb": "student1", "student2/03.ipynb": "student2"},
    "groups": {"group 1/03.ipynb": "group 1", "group 2/03.ipynb": "group 2"},
    "mixed": {"ada.ipynb": "ada", "ben/03_watch.ipynb": "ben", "cy/03_watch.ipynb": "cy"},
    "one among names": {"ada.ipynb": "ada", "ben.ipynb": "ben", "03_watch.ipynb": "03_watch"},
    "Moodle": {
        "Ada Lovelace_123456_assignsubmission_file_/03_watch.ipynb": "Ada Lovelace",
        "Ben A. Ng_7_assignsubmission_file/03_watch.ipynb": "Ben A. Ng",
        "Cy O_Hara_8_assignsubmission_onlinetext_/onlinetext.html": "Cy O_Hara",
        "Di_9_assignsubmission_file_03_watch.ipynb": "Di",
        "Participant_55_assignsubmission_file_/x.ipynb": "Participant 55",
    },
    "Canvas": {
        "lovelaceada_12345_678901_03_watch-1.ipynb": "lovelaceada",
        "ngben_LATE_23456_678902_03_watch.ipynb": "ngben",
        "müllereva_34567_678903_my_notebook.ipynb": "müllereva",
    },
    "nbgrader": {
        "submitted/ada/ps1/03.ipynb": "ada",
        "submitted/ben/ps1/03.ipynb": "ben",
        "submitted/ben/ps2/05.ipynb": "ben",
    },
    "nbgrader, one": {"submitted/ada/ps1/03_watch.ipynb": "ada"},
    "GitHub Classroom": {
        f"assignment-1-ada/chapters/{WATCH}.ipynb": "ada",
        f"assignment-1-ben-ng/chapters/{WATCH}.ipynb": "ben-ng",
        f"assignment-1-ben-na/chapters/{WATCH}.ipynb": "ben-na",
    },
    "GitHub Classroom, one": {f"assignment-1-ben-ng/chapters/{WATCH}.ipynb": "ben-ng"},
    "GitHub Classroom's client": {
        f"ps1-submissions/ps1-ada/chapters/{WATCH}.ipynb": "ada",
        f"ps1-submissions/ps1-ben/chapters/{WATCH}.ipynb": "ben",
    },
    "a slug of no kind": {
        f"looped-ada/chapters/{WATCH}.ipynb": "ada",
        f"looped-ben/chapters/{WATCH}.ipynb": "ben",
    },
    "archives": {f"ada.zip/{WATCH}.ipynb": "ada", f"ben.zip/work/{WATCH}.ipynb": "ben"},
}


def clues(files, said=""):
    for file in files:
        number = re.match(r"(?:.*[/_])?(\d\d)[_ .-]", file)
        yield Clue(ROOT / file, ROOT, number[1] if number else "03", said)


@pytest.mark.parametrize("name", PLACES)
def test_a_student_is_named_by_the_path(name):
    files = PLACES[name]
    assert [whose.name for whose in identify(list(clues(files)))] == list(files.values())


def test_a_single_file_is_named_by_its_own_folder_where_it_is_called_like_the_chapter():
    alone = Path("/class/ada")
    (whose,) = identify([Clue(alone / f"{WATCH}.ipynb", alone, "03")])
    assert whose.name == "ada"
    deeper = Path("/class/ada/ps1")
    (whose,) = identify([Clue(deeper / "03_watch.ipynb", deeper, "03")])
    assert whose.name == "ada"


def test_platforms_tell_numbers_late_and_attempts():
    moodle, canvas, late = identify(
        [
            *clues(["Ada Lovelace_123456_assignsubmission_file_/03_watch.ipynb"]),
            *clues(["lovelaceada_12345_678901_03_watch-2.ipynb"]),
            *clues(["ngben_LATE_23456_678902_03_watch.ipynb"]),
        ]
    )
    assert moodle.students == (Student("Ada Lovelace", number="123456"),)
    assert (canvas.students[0].number, canvas.late, canvas.attempt) == ("12345", False, 2)
    assert (late.students[0].number, late.late, late.attempt) == ("23456", True, 0)


def test_gradescopes_folders_are_those_of_its_list():
    team = (Student("Ada L", "1", "a@x.org"), Student("Ben", "2", "b@x.org"))
    files = ["submission_77/03.ipynb", "submission_78/work/03.ipynb"]
    first, second = identify(list(clues(files)), told={ROOT / "submission_77": team})
    assert first.students == team and first.name == "Ada L, Ben"
    assert second.students[0].number == "78"


LINES = [
    "# student: Ada L",
    "#student: Ada L",
    "# Student:Ada L",
    "# student :  Ada L  ",
    "## STUDENT: Ada L",
]


@pytest.mark.parametrize("line", LINES)
def test_a_line_in_the_notebook_names_the_student(line):
    assert said_in(["x = 1", f"y = 2\n{line}\r\nz = 3"]) == "Ada L"
    assert said_in([f"text {line}", "# student: NAME", "# student:"]) == ""


def test_a_line_is_believed_before_a_path_but_not_before_a_platforms_name():
    (whose,) = identify(list(clues(["x/y.ipynb"], said="Ada")))
    assert whose.name == "Ada"
    moodle = "Ada Lovelace_12_assignsubmission_file_/03_watch.ipynb"
    (same,) = identify(list(clues([moodle], said="Lovelace, Ada")))
    assert (same.name, same.note, same.students[0].number) == ("Lovelace, Ada", "", "12")
    (other,) = identify(list(clues([moodle], said="Ben Ng")))
    assert (other.name, other.note) == ("Ada Lovelace", "the notebook says Ben Ng")


def test_a_pattern_of_the_teachers_is_believed_first():
    files = ["2026-ada_17.ipynb", "2026-ben_18.ipynb", "else.ipynb"]
    pattern = re.compile(r"2026-(?P<student>\w+)_(?P<id>\d+)")
    found = identify(list(clues(files, said="Cy")), pattern)
    assert [one.students[0] for one in found] == [
        Student("ada", "17"),
        Student("ben", "18"),
        Student("Cy"),
    ]
