"""Hyper-connections: against official numbers, against written-out formulas, and in every tool."""

import shutil

import golden_models
import pytest
import torch
from rounding import LAYER, assert_rounds_to
from torch.testing import assert_close

from looplab import LoopedConfig, LoopedTransformer, generate, measure, plan, trace, zoo
from looplab.measure import stability
from looplab.model import Cache
from looplab.model.streams import HyperConnection, merge, sinkhorn
from looplab.zoo import hyperloop

TOLERANCE = {"rtol": 0, "atol": 2e-4}  # a requirement: parity with the official code
SIZES = LoopedConfig(vocab=11, width=16, heads=2, prelude=1, core=2, coda=1, loops=3)
KINDS = {
    "hyperloop": {"loop_embed": True},
    "shared": {"stream_maps": "shared"},
    "identity": {"stream_carry": "identity"},
    "sinkhorn": {"stream_carry": "sinkhorn"},
    "mhc": {"stream_unit": "branch", "stream_carry": "sinkhorn"},
    "injected": {"injection": "concat", "start": "normal"},
}
TOKENS = torch.tensor([[1, 2, 3, 4, 5], [5, 6, 7, 8, 9]])


@pytest.fixture(params=KINDS)
def model(request):
    """A small model of each kind, all of whose gates depend on the state."""
    torch.manual_seed(0)
    settings = SIZES.to_dict() | {"streams": 4} | KINDS[request.param]
    model = LoopedTransformer(LoopedConfig(**settings)).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith(("alpha", "bias", "embed")):
                weight.copy_(torch.randn_like(weight))
    return model


def run(model, loops=None, **given):
    return model(TOKENS, loops, generator=torch.Generator().manual_seed(1), **given)


@pytest.mark.parametrize("name", ["hyperloop-a", "hyperloop-train-a"])
@pytest.mark.parametrize("loops", [4, 7])
def test_streams_and_gates_are_the_official_ones(name, loops):
    model, tokens, expected = golden_models.load(name)
    official = golden_models.official(expected, loops)
    gates = {"core.h_pre": [], "core.h_post": [], "core.h_res": []}
    told = trace(
        model,
        tokens,
        loops,
        tap=lambda site, value: gates[site.name].append(value) if site.name in gates else None,
    )
    assert_close(told.streams, official["streams"][1:], **TOLERANCE)
    assert_close(told.start.unflatten(-1, (4, -1)), official["streams"][0], **TOLERANCE)
    assert_close(told.states, official["core_hidden"], **TOLERANCE)
    assert_close(merge(told.loop_ends[-1], 4), official["coda_input"], **TOLERANCE)
    assert_close(told.logits, official["logits"], **TOLERANCE)
    for name, values in gates.items():
        assert_close(torch.stack(values), official[name.removeprefix("core.").replace("h", "H", 1)])


def test_a_pass_is_its_formula(model):
    """Every number of one pass, from the gates that were shown, by loops over the streams."""
    config = model.config
    if config.stream_unit == "branch":
        pytest.skip("its connections are around branches")
    seen = {}
    ready = model.prepare(TOKENS, generator=torch.Generator().manual_seed(1))
    after = model.step(
        ready.start, ready, loop=1, tap=lambda site, value: seen.update({site.name: value})
    )
    streams = ready.start.unflatten(-1, (4, -1)).unbind(-2)
    read = sum(seen["core.h_pre"][..., s, None] * streams[s] for s in range(4))
    if config.injection == "none":
        assert_close(seen["core.inject"], read)
    out = seen["core.resid"]
    if config.loop_embed:
        out = out + model.cores[0].hyper.maps[1].embed
    for s in range(4):
        kept = streams[s]
        if config.stream_carry == "diagonal":
            kept = seen["core.h_res"][..., s, None] * kept
        elif config.stream_carry == "sinkhorn":
            kept = sum(seen["core.h_res"][..., s, t, None] * streams[t] for t in range(4))
        written = kept + seen["core.h_post"][..., s, None] * out
        assert_close(after.unflatten(-1, (4, -1))[..., s, :], written)


def test_sinkhorn_makes_rows_and_columns_sum_to_one():
    matrix = sinkhorn(torch.randn(5, 4, 4, generator=torch.Generator().manual_seed(0)))
    assert_close(matrix.sum(-2), torch.ones(5, 4))
    assert_close(matrix.sum(-1), torch.ones(5, 4), rtol=0, atol=1e-3)


def test_the_unrolled_twin_and_a_trace_say_the_same(model):
    whole = run(model)
    twin = model.unrolled()
    assert torch.equal(run(twin).logits, whole.logits)
    told = trace(model, TOKENS, generator=torch.Generator().manual_seed(1))
    assert torch.equal(told.logits, whole.logits)
    assert told.streams.shape == (3, 2, 5, 4, 16)
    assert torch.equal(model.readout(told.loop_ends)[-1], whole.logits)
    assert sum(plan(model, TOKENS).values()) == told.nbytes - told.tokens.nbytes


def test_a_loop_beyond_the_last_set_of_gates_uses_the_last(model):
    ready = model.prepare(TOKENS, generator=torch.Generator().manual_seed(1))
    assert torch.equal(
        model.step(ready.start, ready, loop=2), model.step(ready.start, ready, loop=9)
    )


def test_a_cache_and_generation_take_streams(model):
    if model.config.start == "normal":
        pytest.skip("parts would draw other starts")
    whole, cache = run(model).logits, Cache(model, 2)
    with torch.no_grad():
        parts = [model(part, cache=cache).logits for part in TOKENS.split([3, 1, 1], dim=1)]
    assert_rounds_to(torch.cat(parts, dim=1), whole, sums=4 * LAYER * 8)
    assert generate(model, TOKENS, new=3).tokens.shape == (2, 8)


def test_instruments_of_rest_take_streams(model):
    states = run(model, 5, every_loop=True).loop_states
    assert measure.relative_step(states).shape == (4, 2, 5)
    step = stability.loop_map(model, TOKENS[:1])
    multipliers = stability.leading_multipliers(step, states[-1, :1], count=2)
    assert multipliers.abs()[0] <= stability.spectral_norm(step, states[-1, :1]) * (1 + 1e-4)
    ready = model.prepare(TOKENS[:1], state=states[-1, :1])
    assert_close(step(ready.start), model.step(ready.start, ready, loop=30))


def test_layers_of_a_pass_with_streams_are_no_maps_of_the_state():
    model = LoopedTransformer(LoopedConfig(vocab=11, width=16, heads=2, core=2, streams=2))
    x = model.encode(TOKENS)
    with pytest.raises(ValueError, match="2 streams.*step"):
        model.core_parts(x)
    with pytest.raises(ValueError, match="first_layer=1.*2 streams"):
        model.step(model.start(x), x, first_layer=1)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"streams": -1}, "streams=-1"),
        ({"streams": 2, "exit_gate": True}, "streams=2 with exit_gate=True"),
        ({"streams": 2, "norm": "branch_sandwich"}, "norm='branch_sandwich'"),
        ({"streams": 2, "stream_unit": "branch", "loop_embed": True}, "stream_unit='branch'"),
        ({"streams": 2, "stream_carry": "cayley"}, "stream_carry='cayley'.*sinkhorn"),
        ({"loop_embed": True}, "loop_embed=True with streams=0"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, told):
    with pytest.raises(ValueError, match=told):
        LoopedConfig(vocab=11, **settings)


def test_gates_begin_as_the_official_ones_do():
    torch.manual_seed(0)
    connection = HyperConnection(LoopedConfig(vocab=11, width=64, streams=4))
    connection.reset(std=0.1)
    _, maps = connection.read(torch.randn(1, 9, 256), loop=0)
    for gate, value in zip(maps, (0.562, 1.0, 0.731), strict=True):
        assert_close(gate, torch.full_like(gate, value), rtol=0, atol=0.02)


def test_a_training_run_with_a_damaged_file_is_refused(tmp_path):
    folder = shutil.copytree(golden_models.GOLDEN / "hyperloop-train-a", tmp_path / "run")
    config, last = folder / "train_config.yaml", next(folder.glob("*.tar"))
    assert zoo.load(folder).config.notation == "(1, 2⊗7, 1)"
    said = config.read_text()
    for text, told in (
        (said.replace("use_mhc: false", "use_mhc: true"), "has no tensor transformer.h.1.mhc_"),
        (said.replace("lora_rank: null", "lora_rank: 4"), "lora_rank=4"),
        (said.replace("diagonal_gate", "cayley"), "rs_mixing_strat='cayley'"),
        (said.replace("diagonal_gate", "null"), "rs_mixing_strat=None"),
        (said + "surprise: 3\n", "surprise=3"),
        ("a: [", "train_config.yaml is not readable YAML"),
    ):
        config.write_text(text)
        with pytest.raises(ValueError, match=told):
            zoo.load(folder)
    config.write_text(said)
    last.write_bytes(last.read_bytes()[:20_000])
    with pytest.raises(ValueError, match=f"{last.name} is damaged"):
        zoo.load(folder)
    last.unlink()
    with pytest.raises(ValueError, match="has neither model.safetensors"):
        zoo.load(folder)


def test_the_courses_hyperloops_and_what_was_measured_of_them():
    told, losses = hyperloop.measured(), hyperloop.losses()
    for name in hyperloop.names():
        model, card = hyperloop.load(name), hyperloop.card(name)
        assert model.config == LoopedConfig.from_dict(card["config"])
        found = told["models"][f"{name}-0"]
        assert found["parameters"] == sum(p.numel() for p in model.parameters())
        assert model(torch.zeros(1, 36, dtype=torch.long)).logits.isfinite().all()
    for name, each in losses.items():
        assert each.shape == (len(told["loops"]), 64) or name.startswith("plain20"), name
    with pytest.raises(ValueError, match="no checkpoint 'hyperloop': known are flood_hyper"):
        hyperloop.load("hyperloop")
