"""One model trained in two processes: they make what one process makes of the same batches."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch.distributed
import trained_together
from safetensors.torch import load_file
from torch.testing import assert_close

pytestmark = pytest.mark.skipif(
    not (torch.distributed.is_available() and torch.distributed.is_gloo_available()),
    reason="this PyTorch has no gloo",
)
CLOSE = {"rtol": 1e-6, "atol": 1e-9}  # in float64; the penalty is a float32


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What two processes leave, and begun.run, which one process began and they ended."""
    folder = tmp_path_factory.mktemp("together")
    trained_together.interrupted(folder / "begun.run")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", trained_together.__file__, folder]
    root = Path(trained_together.__file__).parents[1]
    path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def found(folder):
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


@pytest.fixture(scope="module")
def alone():
    """The same run in one process: its weights and its history."""
    model = trained_together.build()
    history = trained_together.train(model, progress=False)
    return model.state_dict(), history


def test_two_processes_learn_what_one_does(folder, found, alone):
    weights, history = alone
    for rank in range(2):
        assert_close(load_file(folder / f"{rank}.safetensors"), dict(weights), **CLOSE)
        assert_close(found[rank]["loss"], history.loss, **CLOSE)
    first, second = (load_file(folder / f"{rank}.safetensors") for rank in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_only_the_first_process_looks_and_tells(found, alone):
    first, second = found
    assert first["looks"] == [5, 10, 12] and second["looks"] == []
    assert first["evaluations"] == second["evaluations"]
    assert_close(first["evaluations"], alone[1].evaluations, **CLOSE)
    assert "tokens/s" in first["said"] and second["said"] == ""


def test_all_processes_stop_after_the_same_step(found):
    for one in found:
        assert one["stopped"] == [trained_together.STOP, True]
        assert one["in time"] == 1


def test_a_run_goes_on_in_another_number_of_processes(folder, found, alone):
    model = trained_together.build()
    resumed = trained_together.train(model, folder / "stopped.run", progress=False)
    assert_close(resumed.loss, alone[1].loss, **CLOSE)
    assert_close(dict(model.state_dict()), dict(alone[0]), **CLOSE)
    for one in found:
        assert_close(one["resumed"], alone[1].loss, **CLOSE)


def test_the_checkpoint_is_one_file(folder, alone):
    model = trained_together.build()
    again = trained_together.train(model, folder / "whole.run", progress=False)
    assert again.steps == 12
    assert_close(dict(model.state_dict()), dict(alone[0]), **CLOSE)
    names = {path.name for path in folder.iterdir() if path.suffix not in (".json", ".safetensors")}
    assert names == {"whole.run", "stopped.run", "begun.run"}


def test_what_cannot_be_shared_is_named(found):
    for one in found:
        assert "batch=1 is fewer rows than the 2 processes" in one["few"]
        assert "process 1 of 2 has a batch with the fingerprint" in one["other"]
