"""Files appear whole or not at all, and whatever a damaged one holds is one clear complaint."""

import json
import random

import pytest
import torch
from test_model import build, some_tokens
from test_train import build as small
from test_train import train

from looplab import Trace, trace
from looplab.basics.tensor_files import read_tensors, reading, write_tensors
from looplab.basics.whole import whole_number
from looplab.basics.writing import in_one_stroke, remove_torn, write_text
from looplab.streaming import Stream, stream
from looplab.train import Recipe


def test_a_file_that_could_not_be_finished_leaves_the_old_one(tmp_path):
    path = tmp_path / "a.json"
    write_text(path, "old")
    with pytest.raises(KeyboardInterrupt), in_one_stroke(path) as partial:
        partial.write_text("half of the n")
        raise KeyboardInterrupt
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "\ud800")
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_a_place_that_cannot_be_written_is_the_error_that_is_seen(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(NotADirectoryError):
        write_text(tmp_path / "file" / "a.json", "new")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        write_text(tmp_path / "folder", "new")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "folder"]


def test_what_killed_writers_left_is_removed_and_nothing_else(tmp_path):
    for name in (".a.json.7.partial", ".b.json.7.partial", "a.json", "a.json.partial"):
        (tmp_path / name).touch()
    remove_torn(tmp_path / "a.json")
    assert not (tmp_path / ".a.json.7.partial").exists()
    assert len(list(tmp_path.iterdir())) == 3


def test_tensors_laid_out_anyhow_come_back(tmp_path):
    x = torch.arange(6.0).view(2, 3)
    tensors = {"turned": x.T, "spread": x[:1].expand(4, 3), "part": x[:, 1:]}
    write_tensors(tmp_path / "x.safetensors", tensors, {})
    _, back = read_tensors(tmp_path / "x.safetensors")
    assert all(torch.equal(back[name], value) for name, value in tensors.items())


def one_trace(path):
    trace(build(), some_tokens(), 2, keep=()).save(path)


def one_stream(path):
    stream(build(), some_tokens(), 2, to_limit=False, attention=False).save(path)


def one_step(path):
    train(small(), Recipe(steps=1, batch=2, loops=1), checkpoint=path)


@pytest.mark.parametrize(
    ("write", "load"),
    [(one_trace, Trace.load), (one_stream, Stream.load), (one_step, one_step)],
    ids=["trace", "stream", "checkpoint"],
)
def test_a_damaged_header_is_named_with_the_file(write, load, tmp_path):
    whole, torn = tmp_path / "whole.safetensors", tmp_path / "torn.safetensors"
    write(whole)
    data = whole.read_bytes()
    header = 8 + int.from_bytes(data[:8], "little")
    drawn, complaints = random.Random(0), 0
    for _ in range(120):
        at = drawn.randrange(header)
        torn.write_bytes(data[:at] + bytes([data[at] ^ 1 << drawn.randrange(8)]) + data[at + 1 :])
        try:
            load(torn)
        except ValueError as error:
            assert str(torn) in str(error)
            complaints += 1
    assert complaints > 60


def test_a_file_that_is_not_there_is_not_called_damaged(tmp_path):
    with pytest.raises(FileNotFoundError):
        Trace.load(tmp_path / "none.safetensors")
    with pytest.raises(FileNotFoundError):
        Stream.load(tmp_path / "none.safetensors")


def test_an_error_that_names_the_file_stays_as_it_is():
    said = ("run.json", "is damaged", "write it again")
    with pytest.raises(ValueError, match="^run.json is no run$"), reading(*said):
        raise ValueError("run.json is no run")
    with (
        pytest.raises(ValueError, match="^run.json is damaged .*: write it again$"),
        reading(*said),
    ):
        json.loads("{")


@pytest.mark.parametrize("value", [0, 1.0, True, None, "1"])
def test_what_is_no_whole_number_is_named(value):
    with pytest.raises(ValueError, match=f"loops={value!r}: expected a whole number of at least 1"):
        whole_number("loops", value, 1)
