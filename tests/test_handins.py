"""What was handed in: folders, archives, notebooks under other names; nothing vanishes."""

import io
import json
import os
import stat
import zipfile
from pathlib import Path

import pytest
from classroom import SOLVED, STUB

from looplab.course.build import ROOT
from looplab.course.grading import archives
from looplab.course.grading.handins import find
from looplab.course.grading.outputs import is_a_teachers

NOTEBOOK = json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []})


def packed(files, **about):
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content, **about)
    return held.getvalue()


def lay(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def told(found, root):
    """name below the root -> "" for one that is graded, or the problem."""
    return {one.place.relative_to(root).as_posix(): one.problem for one in found.hand_ins}


@pytest.fixture
def scratch(tmp_path):
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


@pytest.fixture
def room(tmp_path):
    folder = tmp_path.resolve() / "class"
    folder.mkdir()
    return folder


def test_notebooks_are_read_under_any_name_and_everything_else_has_a_reason(room, scratch):
    graded = ["a.ipynb", "b.IPYNB", "c.ipynb.txt", "d.json", "e.ipynb.json", "f", "g.ipynb (1)"]
    others = {
        "h.html": "web page",
        "i.py": "script",
        "j.url": "shortcut",
        "k.pdf": "text",
        "l.7z": "only .zip is opened",
        "m.png": "picture",
        "n.json": "no notebook in it",
        "o.txt": "no notebook in it",
        "p.zip": "no notebook in it",
        "looplab-passport.json": "passport",
        "x_1_assignsubmission_onlinetext_/onlinetext.html": "typed on the platform",
    }
    lay(room, {name: NOTEBOOK for name in graded} | {name: "{}" for name in others})
    found = told(find([room], scratch), room)
    assert set(found) == {*graded, *others}
    assert {name for name, why in found.items() if not why} == set(graded)
    for name, why in others.items():
        assert why in found[name] and "(.ipynb) is needed" in found[name]


def test_what_editors_systems_and_platforms_leave_is_no_hand_in(room, scratch):
    left = (
        *(".DS_Store", "._a.ipynb", "Thumbs.db", "desktop.ini", "~$notes.docx", "a.ipynb~"),
        *(".a.ipynb.swp", "timestamp.txt", "submission_metadata.yml", "x/.git/config"),
        *("__MACOSX/a.ipynb", "x/.ipynb_checkpoints/a-checkpoint.ipynb", "x/__pycache__/a.pyc"),
    )
    lay(room, {name: NOTEBOOK for name in (*left, "x/a.ipynb")})
    lay(room, {"all.zip": packed({name: NOTEBOOK for name in (*left, "x/a.ipynb")})})
    assert told(find([room], scratch), room) == {"x/a.ipynb": "", "all.zip/x/a.ipynb": ""}


def test_a_folder_is_searched_all_the_way_down_and_links_are_pointed_out(room, scratch):
    deep = room.joinpath(*"abcdefgh")
    wanted = [deep / "1.ipynb", room / "ü b" / "2 é.IPYNB", room / "x.ipynb" / "3.ipynb"]
    lay(room, {str(path.relative_to(room)): NOTEBOOK for path in wanted})
    (room / "link.ipynb").symlink_to(SOLVED)
    (room / "loop").symlink_to(room)
    os.mkfifo(room / "pipe.ipynb")  # nobody writes: reading it would wait for ever
    missing = room / "nothing.ipynb"
    found = find([room, deep, missing, room / "a" / ".." / "link.ipynb"], scratch)
    assert {one.place for one in found.hand_ins if one.file} == {
        *wanted,
        missing,
        room / "pipe.ipynb",
    }
    problems = {one.place.name: one.problem for one in found.hand_ins if one.problem}
    assert set(problems) == {"link.ipynb", "loop"} and all("link" in p for p in problems.values())


def test_one_file_is_one_hand_in_however_its_path_is_typed(room, scratch, monkeypatch):
    lay(room, {"ada/03.ipynb": NOTEBOOK})
    monkeypatch.chdir(room)
    typed = ["ada", "ada/", "./ada/03.ipynb", str(room), "../class/ada/../ada/03.ipynb"]
    found = find([Path(path) for path in typed], scratch)
    assert [one.place for one in found.hand_ins] == [room / "ada" / "03.ipynb"]


def test_archives_are_opened_one_within_another(room, scratch):
    inner = packed({"03.ipynb": NOTEBOOK, "notes.pdf": "x"})
    deepest = packed({"deep.zip": packed({"x.ipynb": NOTEBOOK})})
    files = {"ada/work.zip": inner, "ben/03.ipynb": NOTEBOOK, "cy/all.zip": deepest}
    lay(room, {"class.zip": packed(files), "empty.zip": packed({}), "torn.zip": inner[:50]})
    found = find([room], scratch)
    assert told(found, room) == {
        "class.zip/ada/work.zip/03.ipynb": "",
        "class.zip/ada/work.zip/notes.pdf": "it is a text: the notebook itself (.ipynb) is needed",
        "class.zip/ben/03.ipynb": "",
        "class.zip/cy/all.zip/deep.zip": "it is an archive in an archive in an archive",
        "empty.zip": "there is nothing in this archive",
        "torn.zip": "there is no notebook in it: the notebook itself (.ipynb) is needed",
    }
    for one in found.hand_ins:
        assert one.file is None or one.file.read_text() == NOTEBOOK


def test_an_archive_gets_no_file_out_of_its_place(room, scratch):
    evil = ["../out.ipynb", "/abs.ipynb", "a/../../b.ipynb", "..\\win.ipynb", "C:\\c.ipynb"]
    lay(room, {"evil.zip": packed({name: NOTEBOOK for name in [*evil, "good.ipynb"]})})
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        link = zipfile.ZipInfo("link.ipynb")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    lay(room, {"links.zip": held.getvalue()})
    before = set(room.parent.rglob("*"))
    found = find([room], scratch)
    assert [one.place.name for one in found.hand_ins if one.file] == ["good.ipynb"]
    problems = [one.problem for one in found.hand_ins if one.problem]
    assert len(problems) == 6 and sum("leads out" in one for one in problems) == 5
    # Copies have numbers for names, in their own folder.
    assert [path.name for path in set(room.parent.rglob("*")) - before] == ["000001.ipynb"]


def test_an_archive_cannot_fill_the_disk(room, scratch, monkeypatch):
    monkeypatch.setattr(archives, "MEMBERS", 3)
    bomb = {"bomb.ipynb": b"0" * 30_000_000}
    lay(room, {"bomb.zip": packed(bomb), "many.zip": packed({f"{n}.ipynb": "" for n in range(4)})})
    liar = bytearray(packed({"x.ipynb": b"0" * 500_000}))
    size = (500_000).to_bytes(4, "little")
    lay(room, {"liar.zip": bytes(liar).replace(size, (5).to_bytes(4, "little"))})
    found = told(find([room], scratch), room)
    assert "too much for what it is" in found["bomb.zip/bomb.ipynb"]
    assert "it holds 4 files" in found["many.zip"]
    assert "cannot be unpacked" in found["liar.zip/x.ipynb"]
    monkeypatch.setattr(archives, "ALTOGETHER", 1000)
    lay(room, {"plain.zip": packed({"x.ipynb": os.urandom(2000)})})
    assert "too much" in told(find([room], scratch), room)["plain.zip/x.ipynb"]
    assert sum(file.stat().st_size for file in scratch.iterdir()) < 1000


def test_files_of_the_teachers_are_no_hand_ins(room, scratch):
    lay(
        room,
        {
            "r.json": '{"submissions": [], "class": null}',
            "old.json": json.dumps({"submissions": [SUBMISSION]}),
            "rubric.json": "{}",
            "g.csv": "student,file,chapter,03.1,points,out of,remarks\na,a.ipynb,03,passed,1,1,\n",
            "book.csv": "student,id,e-mail,chapter 03,points,out of,late,remarks\n",
            "list.csv": "Name;Matrikelnummer\nAda;007\n",
            "fb/ada.html": "<!-- written by looplab grade -->\n",
            "data.csv": "x,y\n1,2\n",
        },
    )
    found = told(find([room], scratch, [room / "rubric.json"], is_a_teachers), room)
    assert set(found) == {"data.csv", "r.json"}  # r.json is no report: nothing is in it
    assert set(told(find([room], scratch, [room / "r.json"]), room)) > {"rubric.json", "g.csv"}


SUBMISSION = {"file": "a", "student": "a", "chapter": "", "rows": [], "problem": "x", "sha256": ""}


def test_a_copy_of_the_course_is_handed_in_with_its_chapters_only(room, scratch):
    copy = {
        "ada/chapters/03_watch_fixed_points_form.ipynb": STUB.read_bytes(),
        "ada/chapters/solved/03_watch_fixed_points_form.ipynb": SOLVED.read_bytes(),
        "ada/chapters/solved/04_x.ipynb": NOTEBOOK,
        "ada/README.md": "my copy",
        "ada/looplab/cli.py": (ROOT / "looplab" / "cli.py").read_bytes(),
        "ada/mine.py": "x",
    }
    lay(room, copy)
    lay(room, {"ben.zip": packed(copy)})
    found = told(find([room], scratch), room)
    inside = {name for name in found if name.startswith("ada/")}
    assert inside == {
        "ada/chapters/03_watch_fixed_points_form.ipynb",
        "ada/chapters/solved/04_x.ipynb",
        "ada/mine.py",
    }
    assert {name.removeprefix("ben.zip/") for name in found.keys() - inside} == inside
    assert "chapters/solved" in found["ada/chapters/solved/04_x.ipynb"]
