"""What a command prints never ends it: terminals of another encoding, pipes, full disks."""

import io
import os
import subprocess
import sys

import pytest

from looplab import cli
from looplab.basics.output import steady_output

TEXT = "chapter 03: (4, 4⊗6, 4), Ünï 王 \udcff"


def terminal(monkeypatch, encoding):
    held = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(held, encoding=encoding, newline=""))
    return held


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "cp437", "utf-8", "shift_jis"])
def test_a_character_that_a_terminal_lacks_is_a_question_mark(monkeypatch, encoding):
    held = terminal(monkeypatch, encoding)
    with steady_output():
        print(TEXT)
        print("next", flush=True)
    said = held.getvalue().decode(encoding)
    assert said.startswith("chapter 03: (4, 4") and said.endswith("next\n") and "?" in said


def test_a_command_says_everything_on_such_a_terminal(monkeypatch):
    held = terminal(monkeypatch, "cp1252")
    assert cli.main(["verify", "retrofit-mini"]) == 0
    assert b"checks passed" in held.getvalue()


def test_a_pipe_that_nobody_reads_stops_nothing(monkeypatch):
    reader, writer = os.pipe()
    os.close(reader)
    stream = open(writer, "w", encoding="utf-8")  # noqa: SIM115
    monkeypatch.setattr(sys, "stdout", stream)
    done = []
    with steady_output():
        for number in range(3):
            print("x" * 100_000, flush=True)
            done.append(number)
    assert done == [0, 1, 2]
    stream.close()  # raises where something is left to be written


def test_a_stream_that_is_not_there_or_closed_stops_nothing(monkeypatch):
    for stream in (None, closed()):
        monkeypatch.setattr(sys, "stdout", stream)
        with steady_output():
            print("heard by nobody", flush=True)
        assert sys.stdout is stream


def closed():
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk_is_told(monkeypatch, capfd):
    with open("/dev/full", "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        with steady_output():
            print("x", flush=True)
    assert "cannot be printed" in capfd.readouterr().err


def test_head_gets_its_line_and_no_traceback():
    asked = [sys.executable, "-m", "looplab", "doctor"]
    with subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        run.stdout.close()
        assert (run.stderr.read(), run.wait()) == (b"", 0)
