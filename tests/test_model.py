"""What must hold for every member of the family, whatever its weights."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from rounding import LAYER, assert_rounds_to
from torch.testing import assert_close

from looplab import LoopedConfig, LoopedTransformer, Site, trace
from looplab.model.injection import INJECTIONS
from looplab.model.norms import PLACEMENTS

NORMS = tuple(PLACEMENTS)
SMALL = LoopedConfig(vocab=9, width=16, heads=4, core=2, loops=4)


def build(seed=0, **settings):
    torch.manual_seed(seed)
    model = LoopedTransformer(replace(SMALL, **settings)).eval()
    for value in model.parameters():  # norms and biases that do something
        if value.dim() == 1:
            value.data += 0.3 * torch.randn_like(value)
    return model


def some_tokens(batch=2, token=9):
    return torch.randint(9, (batch, token), generator=torch.Generator().manual_seed(7))


def rms(x, weight, eps=1e-6):
    return x * (x.pow(2).mean(-1, keepdim=True) + eps).rsqrt() * weight


def pre(x, attend, think, n):
    x = x + attend(n(1, x))
    return x + think(n(3, x))


def residual_sandwich(x, attend, think, n):
    x = n(2, x + attend(n(1, x)))
    return n(4, x + think(n(3, x)))


def branch_sandwich(x, attend, think, n):
    x = x + n(2, attend(n(1, x)))
    return x + n(4, think(n(3, x)))


def branch_post(x, attend, think, n):
    x = x + n(2, attend(x))
    return x + n(4, think(x))


def post(x, attend, think, n):
    x = n(2, x + attend(x))
    return n(4, x + think(x))


# A layer for each row of looplab.model.norms, from its branches and its norms n(1, .) to n(4, .)
FORMULAS = {
    "pre": pre,
    "residual_sandwich": residual_sandwich,
    "branch_sandwich": branch_sandwich,
    "branch_post": branch_post,
    "post": post,
    "pre_loop_end": pre,
    "pre_bare_end": pre,
}


@pytest.mark.parametrize("norm", NORMS)
def test_each_norm_placement_is_its_formula(norm):
    model = build(norm=norm, core=1, position="none", attention="full")
    layer = model.cores[0].layers[0]
    x = model.encode(some_tokens())

    def attend(y):
        q, k, v = layer.attn.qkv(y).chunk(3, -1)
        mixed = []
        for at in range(0, 16, 4):  # four heads of four channels
            head = slice(at, at + 4)
            weights = (q[..., head] @ k[..., head].transpose(1, 2) / 2).softmax(-1)
            mixed.append(weights @ v[..., head])
        return torch.cat(mixed, -1) @ layer.attn.out.weight.T

    def think(y):
        return F.gelu(y @ layer.mlp.up.weight.T) @ layer.mlp.down.weight.T

    def n(number, y):
        return rms(y, getattr(layer, f"n{number}").weight)

    x = FORMULAS[norm](x, attend, think, n)
    if PLACEMENTS[norm].loop_end:
        weight = model.cores[0].loop_norm.weight
        x = rms(x, 1.0 if weight is None else weight)
    assert_close(model(some_tokens(), 1).state, x)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("injection", INJECTIONS)
def test_a_run_is_prepared_and_then_passed(norm, injection):
    model = build(norm=norm, injection=injection, prelude=1, coda=1, start="normal")
    with torch.no_grad():
        ready = model.prepare(some_tokens(), generator=torch.Generator().manual_seed(1))
        z, ends = ready.start, []
        for loop in range(3):
            z = model.step(z, ready, loop=loop)
            ends.append(z)
        passed = list(model.passes(ready, 3))
        out = model(some_tokens(), 3, state=ready.start, every_loop=True)
    assert [loop for loop, _ in passed] == [0, 1, 2]
    assert torch.equal(torch.stack([z for _, z in passed]), out.loop_states)
    assert torch.equal(torch.stack(ends), out.loop_states)
    assert torch.equal(model.answer(z, ready), out.logits)


@pytest.mark.parametrize("norm", NORMS)
def test_a_placement_says_itself_where_a_loop_and_a_coda_begin(norm):
    model = build(norm=norm, prelude=1, coda=1)
    run = trace(model, some_tokens(), loops=3)
    ends_there = torch.equal(run.loop_ends, run.states[:, -1])
    assert ends_there == model.config.ends_at_layer == (not PLACEMENTS[norm].loop_end)
    coda = model.through_coda(
        model.norm(run.loop_ends[-1]) if PLACEMENTS[norm].before_coda else run.loop_ends[-1],
        model.context(9),
    )
    assert_close(run.coda[-1], coda)


@pytest.mark.parametrize("norm", NORMS)
def test_one_loop_is_the_plain_stack(norm):
    looped = build(norm=norm, prelude=1, coda=1)
    plain = build(norm=norm, prelude=1, coda=1, loops=1)
    plain.load_state_dict(looped.state_dict())
    assert_close(looped(some_tokens(), 1).logits, plain(some_tokens()).logits)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("injection", INJECTIONS)
def test_loops_equal_the_unrolled_twin_with_copied_weights(norm, injection):
    model = build(norm=norm, injection=injection, prelude=1, coda=1)
    twin = model.unrolled(3)
    assert_close(twin(some_tokens()).logits, model(some_tokens(), 3).logits)
    core = sum(p.numel() for p in model.cores.parameters())
    assert sum(p.numel() for p in twin.cores.parameters()) == 3 * core


@pytest.mark.parametrize("injection", INJECTIONS)
def test_shared_gradient_is_the_sum_over_passes(injection):
    model = build(injection=injection, prelude=1).double()
    twin = model.unrolled(4)
    for each in (model, twin):
        each(some_tokens(), 4).logits.logsumexp(-1).sum().backward()
    for name, shared in model.cores[0].named_parameters():
        passes = [core.get_parameter(name).grad for core in twin.cores]
        assert_close(shared.grad, sum(passes))


def test_truncated_backprop_keeps_the_last_passes_only():
    model = build(injection="concat").double()
    twin = model.unrolled(4)
    model(some_tokens(), 4, grad_loops=2).logits.logsumexp(-1).sum().backward()
    twin(some_tokens(), 4, grad_loops=2).logits.logsumexp(-1).sum().backward()
    assert all(p.grad is None for core in twin.cores[:2] for p in core.parameters())
    for name, shared in model.cores[0].named_parameters():
        passes = [core.get_parameter(name).grad for core in twin.cores[2:]]
        assert_close(shared.grad, sum(passes))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("start", ["input", "zeros", "normal", "hashed"])
def test_carrying_the_state_on_continues_the_run(norm, start):
    model = build(norm=norm, injection="concat", start=start, prelude=1, coda=1)
    whole = model(some_tokens(), 6, generator=torch.Generator().manual_seed(3))
    half = model(some_tokens(), 3, generator=torch.Generator().manual_seed(3))
    rest = model(some_tokens(), 3, state=half.state)
    assert_close(rest.logits, whole.logits)


@pytest.mark.parametrize("position", ["rope_half", "rope_interleaved", "none"])
@pytest.mark.parametrize(("attention", "window"), [("causal", None), ("window", 3)])
def test_the_past_never_sees_the_future(position, attention, window):
    model = build(position=position, attention=attention, window=window, prelude=1, coda=1)
    tokens = some_tokens()
    changed = tokens.clone()
    changed[:, 5] = (changed[:, 5] + 1) % 9
    before, after = (model(t, 4).logits for t in (tokens, changed))
    assert torch.equal(before[:, :5], after[:, :5])
    assert not torch.allclose(before[:, 5], after[:, 5])


def test_a_window_reaches_window_minus_one_tokens_per_layer():
    model = build(attention="window", window=3, core=1)
    tokens = some_tokens()
    changed = tokens.clone()
    changed[:, 0] = (changed[:, 0] + 1) % 9
    for loops in (1, 2, 3):
        moved = (model(tokens, loops).state - model(changed, loops).state).abs().amax((0, 2)) > 0
        assert moved.nonzero().max() == 2 * loops


def test_grid_attention_reaches_one_cell_per_layer():
    model = build(attention="grid", core=1, position="none")
    tokens = some_tokens(token=25)
    changed = tokens.clone()
    changed[:, 12] = (changed[:, 12] + 1) % 9  # the middle of a 5 by 5 grid
    cell = torch.arange(25)
    distance = (cell // 5 - 2).abs() + (cell % 5 - 2).abs()
    for loops in (1, 2, 3):
        moved = (model(tokens, loops).state - model(changed, loops).state).abs().amax((0, 2)) > 0
        assert torch.equal(moved, distance <= loops)


@pytest.mark.parametrize("position", ["rope_half", "rope_interleaved"])
def test_rotary_attention_depends_on_distance_alone(position):
    model = build(position=position, attention="window", window=3, core=1)
    tokens = torch.tensor([[1, 2, 3, 4, 1, 2, 3, 4]])
    state = model(tokens, 1).state
    assert_rounds_to(state[:, 3], state[:, 7], sums=LAYER)


def test_grouped_queries_equal_repeated_keys():
    grouped = build(kv_heads=2, core=1)
    full = build(core=1)
    weights = grouped.state_dict()
    q, k, v = weights["cores.0.layers.0.attn.qkv.weight"].split((16, 8, 8))
    k, v = (x.unflatten(0, (2, 4)).repeat_interleave(2, 0).flatten(0, 1) for x in (k, v))
    weights["cores.0.layers.0.attn.qkv.weight"] = torch.cat((q, k, v))
    full.load_state_dict(weights)
    assert_close(full(some_tokens()).logits, grouped(some_tokens()).logits)


@pytest.mark.parametrize("attention", ["causal", "full", "window", "grid"])
def test_written_out_attention_equals_fused(attention):
    model = build(attention=attention, window=3 if attention == "window" else None, qk_norm="head")
    run = trace(model, some_tokens(), keep=("attention",))
    assert_close(run.logits, model(some_tokens()).logits)
    assert_close(run.attention.sum(-1), torch.ones(run.attention.shape[:-1]))


def test_a_tap_sees_every_site_and_can_replace_a_value():
    model = build(prelude=1, coda=1, injection="concat")
    seen = []
    model(some_tokens(), 2, tap=lambda site, value: seen.append(site))
    assert seen.count(Site(1, 0, "core.resid")) == 1
    assert Site(None, 0, "prelude.resid") in seen
    assert Site(1, None, "core.loop_end") in seen

    def silence(site, value):
        if site.name == "core.mlp.out" and site.loop == 1:
            return torch.zeros_like(value)

    plain, ablated = (model(some_tokens(), 2, tap=tap).logits for tap in (None, silence))
    assert not torch.allclose(plain, ablated)
    assert_close(model(some_tokens(), 1, tap=silence).logits, model(some_tokens(), 1).logits)


def test_a_converged_state_is_a_fixed_point_of_every_rotation():
    """Prop 4.1: if the core maps a state to itself, each rotation of the core has one too."""
    model = build(norm="residual_sandwich", injection="concat", core=3).double()
    tokens = some_tokens()
    x = model.encode(tokens)
    run = trace(model, tokens, 200)
    for layer in (1, 2):
        in_front = run.states[-1, layer - 1]
        assert_close(model.step(in_front, x, first_layer=layer), in_front, rtol=0, atol=1e-9)
    early = run.states[0, 0]
    assert (model.step(early, x, first_layer=1) - early).norm() > 0.1


@pytest.mark.parametrize("norm", NORMS)
def test_the_parts_of_the_core_make_one_pass(norm):
    model = build(norm=norm, injection="concat", core=3)
    x = model.encode(some_tokens())
    inject, layers = model.core_parts(x)
    z = inject(torch.ones_like(x))
    for layer in layers:
        z = layer(z)
    assert_close(z, model.step(torch.ones_like(x), x))
    with pytest.raises(ValueError, match="another core at every loop"):
        model.unrolled(2).core_parts(x)


def test_readout_takes_any_leading_axes():
    model = build(prelude=1, coda=1)
    run = trace(model, some_tokens(), 3)
    lens = model.readout(run.states)
    assert lens.shape == (3, 2, 2, 9, 9)
    assert_close(lens[-1, -1], run.logits)


def test_twins_have_equal_compute_or_equal_parameters():
    config = replace(SMALL, core=2, loops=5)
    assert config.unrolled().realized_depth == config.realized_depth == 10
    assert config.shallow().realized_depth == 2
    size = {
        c: sum(p.numel() for p in LoopedTransformer(c).parameters())
        for c in (config, config.shallow(), config.unrolled())
    }
    assert size[config] == size[config.shallow()] < size[config.unrolled()]


def test_config_survives_json():
    config = replace(SMALL, rope_scaling=(32.0, 1.0, 4.0, 64.0))
    values = config.to_dict() | {"rope_scaling": [32.0, 1.0, 4.0, 64.0]}
    assert LoopedConfig.from_dict(values) == config
    with pytest.raises(ValueError, match="'depth'"):
        LoopedConfig.from_dict({"vocab": 3, "depth": 4})


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"width": 15}, "width=15 does not divide into heads=4"),
        ({"width": 12, "heads": 4}, "head width 3 is odd"),
        ({"kv_heads": 3}, "heads=4 is not a multiple of kv_heads=3"),
        ({"norm": "middle"}, "norm='middle': expected one of pre"),
        ({"loops": 0}, "loops=0: expected a whole number of at least 1"),
        ({"tie_head": "no"}, "tie_head='no': expected True or False"),
        ({"core": 1.5}, "core=1.5"),
        ({"attention": "window"}, "give window exactly when"),
        ({"tie_head": True, "classes": 3}, "tie_head needs"),
        ({"norm_eps": 0.0}, "norm_eps=0.0"),
        ({"rope_scaling": (1.0,)}, "expected four numbers"),
    ],
)
def test_a_config_that_does_not_fit_says_why(settings, says):
    with pytest.raises(ValueError, match=says.replace("(", r"\(")):
        replace(SMALL, **settings)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda m, t: m(t + 5), "out of range: this model knows 0 to 8"),
        (lambda m, t: m(t - 9), "token id -9 is out of range"),
        (lambda m, t: m(t[0]), "add a batch axis"),
        (lambda m, t: m(t.float()), "expected whole numbers"),
        (lambda m, t: m(t[:, :0]), "nothing to run on"),
        (lambda m, t: m(t, 0), "loops=0"),
        (lambda m, t: m(t, 2.0), "loops=2.0"),
        (lambda m, t: m(t, state=torch.zeros(2, 9, 4)), "expected .batch, token, width"),
        (lambda m, t: m(t, grad_loops=0), "grad_loops=0"),
        (lambda m, t: m.unrolled(3)(t, 4), "weights for exactly 3"),
        (lambda m, t: m.step(m.encode(t), m.encode(t), first_layer=2), "layers 0 to 1"),
    ],
)
def test_bad_input_names_the_value_and_the_remedy(call, says):
    tokens = some_tokens().clamp(max=8)
    tokens[0, 0], tokens[0, 1] = 8, 0
    with pytest.raises(ValueError, match=says):
        call(build(), tokens)


def test_a_grid_must_be_square():
    with pytest.raises(ValueError, match="pad the grid to 9 cells"):
        build(attention="grid")(some_tokens(token=8))
