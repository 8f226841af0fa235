"""Traces: the loop axis, what is kept, memory stated beforehand, and files."""

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from test_model import build, some_tokens
from torch.testing import assert_close

from looplab import Trace, adapt, generate, plan, trace
from looplab.generation import ExitRule


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


def ablate(site, value):
    """A tap: no MLP in the second loop's first layer."""
    if site[:2] == (1, 0) and site.name == "core.mlp.out":
        return torch.zeros_like(value)
    return None


@pytest.mark.parametrize("norm", ["pre", "branch_sandwich"])
def test_what_a_tap_makes_of_a_run_is_recorded(norm):
    model, tokens = build(norm=norm, prelude=1, coda=1, injection="concat"), some_tokens()
    plain, cut = trace(model, tokens, 3), trace(model, tokens, 3, tap=ablate)
    assert torch.equal(cut.states[0], plain.states[0])
    assert not torch.allclose(cut.states[1, 0], plain.states[1, 0])
    assert torch.equal(cut.logits, model(tokens, 3, tap=ablate).logits)
    middle = {}
    model(tokens, 3, tap=lambda site, value: middle.update({site: value}) or ablate(site, value))
    after = [value for site, value in middle.items() if site.name == "core.resid"]
    assert torch.equal(cut.states.flatten(0, 1), torch.stack(after))


@pytest.mark.parametrize("name", ["input", "start", "core.resid", "core.loop_end", "logits"])
def test_a_replaced_value_stands_where_it_was_replaced(name):
    model, tokens = build(prelude=1, coda=1, injection="concat"), some_tokens()

    def patch(site, value):
        return torch.full_like(value, 0.5) if site.name == name else None

    run = trace(model, tokens, 3, tap=patch)
    kept = {"core.resid": "states", "core.loop_end": "loop_ends"}.get(name, name)
    assert (getattr(run, kept) == 0.5).all()
    assert torch.equal(run.logits, model(tokens, 3, tap=patch).logits)
    if name == "core.loop_end":  # of the last layer's state nothing is lost
        assert not (run.states == 0.5).any()


def test_patterns_are_recorded_as_replaced_and_shown_to_taps_that_want_them():
    model, tokens = build(prelude=1, coda=1), some_tokens()
    seen = []

    def even(site, value):
        seen.append(site.name)
        if site.name == "core.attn.pattern":
            return torch.ones_like(value).tril() / torch.arange(1, 10)[:, None]
        return None

    run = trace(model, tokens, 3, keep=("attention",), tap=even)
    assert "core.attn.pattern" not in seen
    even.patterns = True
    run = trace(model, tokens, 3, keep=("attention",), tap=even)
    assert (run.attention[..., -1, :] == 1 / 9).all()
    assert not (run.coda_attention[..., -1, :] == 1 / 9).any()
    assert torch.equal(run.logits, model(tokens, 3, tap=even).logits)
    run = trace(model, tokens, 3, tap=even)  # seen, and not kept
    assert run.attention is None and run.coda_attention is None


def test_an_adapted_modules_patterns_cannot_be_replaced():
    layer = torch.nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)

    class Mine(torch.nn.Module):
        blocks = [layer]

        def forward(self, z, x):
            return layer(z + x)

    def zero(site, value):
        return 0 * value if site.name == "core.attn.pattern" else None

    zero.patterns = True
    with pytest.raises(ValueError, match="the tap replaces the pattern of block 1"):
        trace(adapt(Mine()), torch.randn(1, 5, 8), 2, tap=zero)


def test_a_trace_with_a_tap_counts_the_ends_that_it_keeps():
    model, tokens = build(), some_tokens()
    ends = 10 * tokens.numel() * model.config.width * 4
    least = sum(plan(model, tokens, 10).values())
    with pytest.raises(MemoryError, match="loop_ends"):
        trace(model, tokens, 10, tap=ablate, max_bytes=least + ends - 1)
    assert trace(model, tokens, 10, tap=ablate, max_bytes=least + ends).loops == 10


def test_attention_of_prelude_and_coda_is_kept_too():
    model, tokens = build(prelude=2, coda=1, injection="concat"), some_tokens()
    seen = {}

    def tap(site, value):
        seen[site] = value

    tap.patterns = True
    model(tokens, 3, tap=tap)
    run = trace(model, tokens, 3, keep=("attention",))
    for part, kept in (("prelude", run.prelude_attention), ("coda", run.coda_attention)):
        wanted = [v for site, v in seen.items() if site.name == f"{part}.attn.pattern"]
        assert torch.equal(kept, torch.stack(wanted))
        assert_close(kept.sum(-1), torch.ones(kept.shape[:-1]))
    assert run.prelude_attention.shape == (2, 2, 4, 9, 9) and run.states is None
    bare = trace(build(), tokens, 3, keep=("attention",))
    assert bare.coda_attention.shape == (0, 2, 4, 9, 9)
    assert trace(model, tokens, 3).prelude_attention is None


def test_a_file_from_before_prelude_and_coda_had_attention_is_read(tmp_path):
    run = trace(build(prelude=1), some_tokens(), 3, keep=("attention",))
    path = run.save(tmp_path / "run.safetensors")
    with safe_open(path, "pt") as file:
        header, names = file.metadata(), set(file.keys())
        old = {n: file.get_tensor(n) for n in names - {"prelude_attention", "coda_attention"}}
    save_file(old, tmp_path / "old.safetensors", metadata=header)
    back = Trace.load(tmp_path / "old.safetensors")
    assert torch.equal(back.attention, run.attention)
    assert back.prelude_attention is None and back.coda_attention is None


def test_the_exit_gate_is_recorded_and_can_be_replaced(tmp_path):
    model, tokens = build(exit_gate=True), some_tokens()

    def opened(site, value):
        """A tap: the gate opens at the end of the third loop and not before."""
        if site.name == "core.gate":
            return torch.full_like(value, 20.0 if site.loop == 2 else -20.0)
        return None

    run = trace(model, tokens, 4)
    assert torch.equal(run.gate, model(tokens, 4).gate)
    assert torch.equal(Trace.load(run.save(tmp_path / "run.safetensors")).gate, run.gate)
    assert trace(model, tokens, 4, tap=opened).gate[:, 0, 0].tolist() == [-20, -20, 20, -20]
    written = generate(model, tokens, 3, loops=5, tap=opened, exit=ExitRule("gate", 0.5))
    assert written.loops.tolist() == [[5, 3, 3]] * len(tokens)
    assert trace(build(), tokens, 4).gate is None


@pytest.mark.parametrize("exits", [None, ExitRule("step", 0.3)])
def test_what_is_written_under_a_tap_is_what_the_tapped_model_says(exits):
    model, tokens = build(prelude=1, coda=1), some_tokens()

    def without(site, value):
        if site.name == "coda.mlp.out" or (site.layer == 0 and site.name == "core.attn.out"):
            return torch.zeros_like(value)
        return value + 1 if site.name == "logits" else None

    written = generate(model, tokens, 6, loops=4, tap=without, exit=exits)
    with torch.no_grad():
        for layer in (model.coda[0].mlp.down, model.cores[0].layers[0].attn.out):
            layer.weight.zero_()
    plain = generate(model, tokens, 6, loops=4, exit=exits)
    assert torch.equal(written.tokens, plain.tokens)
    assert torch.equal(written.loops, plain.loops)
    assert not torch.equal(written.tokens, generate(build(prelude=1, coda=1), tokens, 6, 4).tokens)


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
@pytest.mark.parametrize("settings", [{}, {"prelude": 1, "coda": 2}], ids=str)
def test_a_saved_trace_comes_back_whole(tmp_path, keep, settings):
    run = trace(build(**settings), some_tokens(), 3, keep=keep)
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
