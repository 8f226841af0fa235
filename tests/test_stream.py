"""Streamed statistics: the numbers of a whole trace, in memory flat in the loops."""

from functools import partial

import pytest
import torch
from live_bytes import peak
from rounding import LAYER, assert_rounds_to
from test_model import build, some_tokens
from torch.testing import assert_close

from looplab import measure, trace
from looplab.measure import stages
from looplab.streaming import Stream, plan, statistics, stream


def assert_same(run, whole, limit=None):
    states, patterns = whole.states, whole.attention
    expected = {
        "norm": states.norm(dim=-1),
        "step": measure.step_size(states),
        "relative_step": measure.relative_step(states),
        "distance": measure.distance_to_limit(states, limit),
        "relative_distance": measure.distance_to_limit(states, limit, relative=True),
        "cosine": measure.cosine_to_limit(states, limit),
        "min_layer_cosine": measure.min_layer_cosine(states, limit),
        "concentration": measure.colsum_concentration(patterns),
        "sink": measure.sink_score(patterns),
        "sink_rate": measure.sink_rate(patterns),
        "mixing": measure.mixing_score(patterns),
        "attention_step": measure.attention_step(patterns),
    }
    # Steps and distances are what is left of two states, each of which ran through all layers.
    sums = LAYER * len(states) * states.shape[1]
    scale = states.norm(dim=-1).max().item()
    for name, value in expected.items():
        assert_rounds_to(getattr(run, name), value, sums, scale, what=name)


@pytest.mark.parametrize("norm", ["pre", "residual_sandwich", "branch_sandwich"])
@pytest.mark.parametrize("attention", ["causal", "full", "window", "grid"])
def test_the_numbers_are_those_of_a_whole_trace(norm, attention):
    model = build(
        norm=norm,
        attention=attention,
        window=3 if attention == "window" else None,
        injection="concat",
        prelude=1,
        kv_heads=2,
    ).double()
    whole = trace(model, some_tokens(), 12, keep=("states", "attention"))
    assert_same(stream(model, some_tokens(), 12), whole)


def test_every_pattern_is_looked_at_when_blocks_are_small(monkeypatch):
    monkeypatch.setitem(statistics.BLOCK, "cpu", 3 * 9 * 9)  # 3 of 8 patterns at a time
    monkeypatch.setattr(stages, "_BLOCK", 2 * 9 * 9)
    model = build(injection="concat").double()
    whole = trace(model, some_tokens(), 5, keep=("states", "attention"))
    assert_same(stream(model, some_tokens(), 5), whole)


def test_an_earlier_limit_and_a_random_start():
    model = build(injection="concat", start="normal").double()
    draw = torch.Generator()
    whole = trace(
        model, some_tokens(), 9, keep=("states", "attention"), generator=draw.manual_seed(3)
    )
    run = stream(model, some_tokens(), 9, limit=6, generator=draw.manual_seed(3))
    assert_same(run, whole, limit=6)
    assert run.limit == 6
    assert run.distance[5].max() == 0  # the second run repeats the first, bit for bit
    assert_same(stream(model, some_tokens(), 9, limit=6, state=whole.start), whole, limit=6)


def test_streams_around_the_branches():
    model = build(streams=2, stream_unit="branch").double()
    whole = trace(model, some_tokens(), 4, keep=("states", "attention"))
    assert_same(stream(model, some_tokens(), 4), whole)


def test_an_unrolled_twin():
    model = build(injection="concat").double().unrolled()
    whole = trace(model, some_tokens(), keep=("states", "attention"))
    assert_same(stream(model, some_tokens(), limit=2), whole, limit=2)


def test_what_is_not_asked_for_is_not_there():
    run = stream(build(), some_tokens(), 4, to_limit=False, attention=False)
    whole = trace(build(), some_tokens(), 4)
    assert run.distance is run.cosine is run.relative_distance is None
    assert run.mixing is run.sink_rate is run.attention_step is None
    assert_close(run.step, measure.step_size(whole.states))
    assert_close(run.min_layer_cosine, measure.min_layer_cosine(whole.states))


def test_half_precision_is_measured_in_single():
    model = build(injection="concat").to(torch.bfloat16)
    run = stream(model, some_tokens(), 6)
    states = trace(model, some_tokens(), 6).states.float()
    assert run.step.dtype == run.mixing.dtype == torch.float32
    assert_close(run.step, measure.step_size(states))
    assert_close(run.cosine, measure.cosine_to_limit(states))


@pytest.mark.parametrize("size", [(2, 9), (1, 200)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_memory_is_what_was_planned_and_grows_by_the_numbers_alone(size, dtype):
    model = build(injection="concat").to(dtype)
    tokens = some_tokens(*size)

    def plain(loops):
        with torch.no_grad():
            x = model.encode(tokens)
            z = model.start(x)
            for loop in range(loops):
                z = model.step(z, x, loop=loop)

    plain(1)  # tables of angles are made once and kept
    for options in ({}, {"to_limit": False}, {"attention": False}):
        few, many = (peak(partial(stream, model, tokens, n, **options)) for n in (3, 18))
        planned = [plan(model, tokens, n, **options) for n in (3, 18)]
        small, large = (one["statistics"] for one in planned)
        # The rows of a mean over each token are made at the end, when the work is over.
        assert many - few <= 1.02 * (large - small), options
        assert few - peak(lambda: plain(3)) <= 1.02 * sum(planned[0].values()), options


def test_a_run_too_large_is_refused_before_it_starts():
    model = build()
    with pytest.raises(MemoryError, match=r"previous patterns 4 MiB.*attention=False.*max_bytes"):
        stream(model, some_tokens(2, 250), 4, max_bytes=1_000_000)
    with pytest.raises(ValueError, match="limit=9: this run covers recurrences 1 to 4"):
        stream(model, some_tokens(), 4, limit=9)


def test_a_saved_stream_comes_back_whole(tmp_path):
    for options in ({}, {"to_limit": False}, {"attention": False}):
        run = stream(build(), some_tokens(), 3, **options)
        path = run.save(tmp_path / "run.safetensors")
        back = Stream.load(path)
        assert repr(back) == repr(run)
        assert (back.config, back.limit) == (run.config, run.limit)
        for name, value in vars(run).items():
            same = getattr(back, name)
            if isinstance(value, torch.Tensor):
                assert torch.equal(same, value), name
            else:
                assert same == value, name
        with pytest.raises(FileExistsError, match="choose another name"):
            run.save(path)
        path.unlink()
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(run.save(tmp_path / "run.safetensors").read_bytes()[:-10])
    with pytest.raises(ValueError, match="torn.safetensors is not a readable"):
        Stream.load(torn)
    with pytest.raises(ValueError, match="other.safetensors is not a looplab stream"):
        Stream.load(trace(build(), some_tokens(), 2).save(tmp_path / "other.safetensors"))


def by_hand(pattern):
    """The paper's definitions for one matrix, as loops over its entries."""
    count = len(pattern)
    columns = [sum(row[j] for row in pattern) / count for j in range(count)]
    entropy = [-sum(a * torch.tensor(a).log().item() for a in row if a) for row in pattern]
    spread = -sum(c * torch.tensor(c).log().item() for c in columns if c)
    return 1 - spread / torch.tensor(count).log().item(), columns[0], sum(entropy) / count


def test_stages_follow_the_definitions():
    patterns = trace(build(), some_tokens(), 3, keep=("attention",)).attention
    each = patterns.flatten(0, -3)
    right = torch.tensor([by_hand(one.double().tolist()) for one in each]).T
    found = (measure.colsum_concentration, measure.sink_score, measure.mixing_score)
    for function, expected in zip(found, right, strict=True):
        assert_rounds_to(function(patterns).flatten(), expected, sums=LAYER, scale=1)
        assert_close(function(each[0]), function(each)[0])
    rates = (right[1].view(patterns.shape[:-2]) >= 0.3).float().mean(-1)
    assert_close(measure.sink_rate(patterns), rates)
    assert_close(measure.column_share(patterns).sum(-1), torch.ones(patterns.shape[:-2]))
    with pytest.raises(ValueError, match=r"expected \[..., token, token\]"):
        measure.mixing_score(patterns[..., :3])


def test_extreme_patterns():
    same = torch.full((7, 7), 1 / 7)
    assert_rounds_to(measure.colsum_concentration(same), torch.tensor(0.0), sums=LAYER, scale=1)
    assert_close(measure.mixing_score(same), torch.tensor(7.0).log())
    sink = torch.eye(7)[:1].expand(7, 7)
    assert measure.colsum_concentration(sink) == 1
    assert measure.mixing_score(sink) == 0
    assert measure.sink_rate(sink[None]) == 1
    assert measure.colsum_concentration(torch.ones(1, 1)) == 1  # a single token


def test_entropy_of_the_states_follows_the_definition():
    draw = torch.Generator().manual_seed(0)
    for tokens, width in ((5, 12), (12, 5)):
        x = torch.randn(3, tokens, width, generator=draw)
        shares = torch.linalg.svdvals(x.double()).square()
        shares = shares / shares.sum(-1, keepdim=True)
        right = -(shares * shares.log()).sum(-1).float()
        assert_close(measure.residual_entropy(x), right)
    assert_close(measure.residual_entropy(torch.eye(4)), torch.tensor(4.0).log())
    assert measure.residual_entropy(torch.ones(6, 3)) < 1e-6
    with pytest.raises(ValueError, match=r"expected \[..., token, width\]"):
        measure.residual_entropy(torch.ones(3))
