"""Traces: the loop axis, what is kept, memory stated beforehand, and files."""

import pytest
import torch
from safetensors.torch import save_file
from test_model import build, some_tokens
from torch.testing import assert_close

from looplab import Trace, plan, trace


@pytest.mark.parametrize("norm", ["pre", "branch_sandwich"])
def test_states_stand_at_their_loop_and_layer(norm):
    model = build(norm=norm, injection="concat", prelude=1, coda=2)
    tokens = some_tokens()
    run = trace(model, tokens, 3)
    assert run.states.shape == (3, 2, 2, 9, 16)
    assert run.coda.shape == (2, 2, 9, 16)

    z = model.start(x := model.encode(tokens))
    assert_close(run.input, x)
    assert_close(run.start, z)
    for loop in range(3):
        layers = []
        z = model.step(
            z, x, tap=lambda s, v, out=layers: out.append(v) if s.name == "core.resid" else None
        )
        assert_close(run.states[loop], torch.stack(layers))
        assert_close(run.loop_ends[loop], z)
    assert_close(run.logits, model(tokens, 3).logits)


def test_a_trace_is_no_larger_than_planned():
    model = build(prelude=1, coda=1, norm="branch_sandwich")
    for keep in ((), ("states",), ("states", "attention")):
        run = trace(model, some_tokens(), 10, keep=keep)
        planned = sum(plan(model, some_tokens(), 10, keep).values())
        assert run.nbytes <= planned + run.tokens.nbytes
        assert (run.states is None) == ("states" not in keep)


def test_keeping_does_not_change_what_is_kept():
    model = build(injection="concat")
    everything = trace(model, some_tokens(), 4, keep=("states", "attention"))
    ends = trace(model, some_tokens(), 4, keep=())
    assert_close(ends.loop_ends, everything.states[:, -1])


def test_a_trace_too_large_is_refused_before_it_runs():
    model = build()
    with pytest.raises(MemoryError, match=r"states 2 MiB.*more than 0 MiB.*keep=\(\)"):
        trace(model, some_tokens(), 1000, max_bytes=100_000)
    with pytest.raises(MemoryError, match='leave "attention" out'):
        trace(model, some_tokens(), 1000, keep=("attention",), max_bytes=100_000)
    with pytest.raises(ValueError, match=r"keep=\('states',\)"):
        trace(model, some_tokens(), keep="states")
    with pytest.raises(ValueError, match="'mlp'.*expected names out of states, attention"):
        trace(model, some_tokens(), keep=("mlp",))


@pytest.mark.parametrize("keep", [(), ("states",), ("states", "attention")])
def test_a_saved_trace_comes_back_whole(tmp_path, keep):
    run = trace(build(), some_tokens(), 3, keep=keep)
    back = Trace.load(run.save(tmp_path / "run.safetensors"))
    assert repr(back) == repr(run)
    for name, value in vars(run).items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(getattr(back, name), value), name
    with pytest.raises(FileExistsError, match="choose another name"):
        run.save(tmp_path / "run.safetensors")


def test_files_that_are_no_trace_are_named(tmp_path):
    torn = tmp_path / "torn.safetensors"
    whole = trace(build(), some_tokens(), 3).save(tmp_path / "run.safetensors")
    torn.write_bytes(whole.read_bytes()[:-10])
    with pytest.raises(ValueError, match="torn.safetensors is not a readable"):
        Trace.load(torn)
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="other.safetensors is not a looplab trace"):
        Trace.load(tmp_path / "other.safetensors")
