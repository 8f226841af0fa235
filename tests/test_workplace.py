"""The folder of a run and the file of its rows: whatever a learner does to them, nothing hangs."""

import json
import os
import socket
import threading

import pytest

from looplab.course.grading import isolation, rows
from looplab.course.grading.rows import Rows
from looplab.course.grading.workplace import outweighs, remove, workplace

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX files")


def deep(folder):
    """A folder in a folder in ...: longer than any path, deeper than any recursion."""
    before = os.getcwd()
    os.chdir(folder)
    for _ in range(1500):
        os.mkdir("a" * 50)
        os.chdir("a" * 50)
    os.chdir(before)


def closed(folder):
    (folder / "a" / "b" / "c").mkdir(parents=True)
    (folder / "a" / "b" / "file").write_text("x")
    for place in ("a/b/c", "a/b", "a"):
        (folder / place).chmod(0)


def odd_names(folder):
    for name in (b"\xff\xfe", b"a\nb", "ü".encode() * 100, b"-rf", b"*"):
        os.mkdir(os.path.join(os.fsencode(folder), name))


def odd_kinds(folder):
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "s"))
    os.symlink("/dev/zero", folder / "endless")
    os.symlink("nowhere", folder / "broken")
    os.symlink(folder, folder / "itself")


@posix
@pytest.mark.parametrize("trap", [deep, closed, odd_names, odd_kinds])
def test_whatever_a_learner_leaves_is_removed(trap):
    with workplace() as folder:
        trap(folder / "work")
        assert not outweighs(folder, 10**8)
    assert not folder.exists()


@posix
def test_a_link_is_not_followed_out_of_the_folder(tmp_path):
    (tmp_path / "kept").write_text("x" * 100_000)
    (tmp_path / "run").mkdir()
    os.symlink(tmp_path, tmp_path / "run" / "out")
    os.symlink(tmp_path / "kept", tmp_path / "run" / "file")
    assert not outweighs(tmp_path / "run", 50_000)
    remove(tmp_path / "run")
    assert (tmp_path / "kept").read_text() and not (tmp_path / "run").exists()


def test_many_small_files_weigh_as_one_large_file(tmp_path):
    for n in range(100):
        (tmp_path / str(n)).touch()
    assert outweighs(tmp_path, 100_000) and not outweighs(tmp_path, 1_000_000)


@pytest.fixture
def told(tmp_path):
    """Rows, and the other end as nbval's process holds it."""
    made = Rows(tmp_path / "rows")
    with open(made.path, "ab", buffering=0) as other:
        other.write(b'{"id": "set-up", "ok": true}\n')
        made.look()
        yield made, other
    made.close()


def names(made):
    return [row["id"] for row in made.found]


def removes(path):
    path.unlink()


def empties(path):
    path.write_bytes(b"")


def makes_a_pipe(path):
    path.unlink()
    os.mkfifo(path)


def links_to(target):
    def links(path):
        path.unlink()
        path.symlink_to(target)

    return links


def makes_a_folder(path):
    path.unlink()
    (path / "rows").mkdir(parents=True)


def closes(path):
    path.chmod(0)


@posix
@pytest.mark.parametrize(
    "does",
    [
        removes,
        empties,
        makes_a_pipe,
        links_to("/dev/zero"),
        links_to("/dev/stdin"),
        links_to("rows"),
        makes_a_folder,
        closes,
    ],
)
def test_what_happens_to_the_name_of_the_rows_changes_nothing(does, told):
    made, other = told
    does(made.path)
    other.write(b'{"id": "next"}\n')
    reader = threading.Thread(target=made.look, daemon=True)
    reader.start()
    reader.join(10)
    assert not reader.is_alive(), "reading hangs"
    assert names(made) == ["set-up", "next"]


def test_a_file_of_rows_is_made_and_never_taken_over(tmp_path):
    (tmp_path / "rows").symlink_to("/dev/zero")
    with pytest.raises(FileExistsError):
        Rows(tmp_path / "rows")


def test_rows_that_make_no_sense_are_left_out(told):
    made, other = told
    for line in (b"[1]", b"\xff", b"[" * 50_000, b"{", b"", b'"x"', b"1" * 10_000):
        other.write(line + b"\n")
    other.write(b'{"id": "half')
    made.look()
    other.write(b' and half"}\n')
    made.look()
    assert names(made) == ["set-up", "half and half"]


def test_there_is_an_end_to_what_is_read(told, monkeypatch):
    made, other = told
    long = json.dumps({"id": "x" * rows.LONGEST}).encode() + b"\n"
    other.write(long + b'{"id": "behind a long one"}\n')
    made.look()
    assert names(made) == ["set-up", "behind a long one"]
    for _ in range(4):
        other.write(bytes(rows.MOST // 2))  # a line without an end
        made.look()
    other.write(b'\n{"id": "too late"}\n')
    made.look()
    assert names(made) == ["set-up", "behind a long one"]


@posix
@pytest.mark.parametrize("available", [True, False])
@pytest.mark.parametrize("user", [0, 1000])
def test_a_teacher_is_told_what_submissions_can_do(available, user, monkeypatch):
    monkeypatch.setattr(isolation, "available", lambda: available)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    told = isolation.cautions()
    assert any("You are root" in line for line in told) == (user == 0)
    assert any("No Linux namespaces" in line for line in told) == (not available)
