"""Interventions: what each is equal to when it is written out, its null, and what it refuses."""

import pytest
import torch
from rounding import LAYER, assert_rounds_to
from test_model import build, some_tokens
from torch import nn
from torch.testing import assert_close

from looplab import adapt, generate, trace
from looplab.interventions import (
    Patch,
    ablate,
    ablate_head,
    answer_gap,
    at,
    chain,
    hold,
    in_order,
    keep,
    patch,
    patch_map,
    run_patches,
    shorten,
    steer,
)
from looplab.interventions.places import Place
from looplab.model.tap import wants_patterns

LOOPS = 4
SETTINGS = [
    {"prelude": 1, "coda": 1, "injection": "concat"},
    {"norm": "branch_sandwich", "start": "normal", "injection": "add", "exit_gate": True},
    {"streams": 2, "loop_embed": True},
    {"streams": 2, "stream_unit": "branch"},
]
DEPTH = LAYER * 12


def other_tokens():
    return (some_tokens() + 1 + torch.arange(9) % 3) % 9


def state_of(model, tokens, seed=1):
    return model.prepare(tokens, generator=torch.Generator().manual_seed(seed)).start


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_every_value_that_a_run_shows_can_be_named(settings):
    model, seen = build(**settings), set()

    def look(site, value):
        assert Place(site.name).holds(site)
        seen.add(site.name)

    look.patterns = True
    model(some_tokens(), LOOPS, tap=look)
    assert {"start", "core.attn.pattern", "core.loop_end", "logits"} <= seen
    assert ("core.gate" in seen) == bool(settings.get("exit_gate"))


def test_silencing_a_value_equals_weights_of_zero():
    model, tokens = build(), some_tokens()
    quiet = trace(model, tokens, LOOPS, tap=ablate("core.mlp.out", layers=2)).logits
    head = trace(model, tokens, LOOPS, tap=ablate_head(1, layers=1)).logits
    with torch.no_grad():
        cut = build()
        cut.cores[0].layers[1].mlp.down.weight.zero_()
        assert torch.equal(quiet, cut(tokens, LOOPS).logits)
        cut = build()
        second = slice(cut.config.head_width, 2 * cut.config.head_width)
        cut.cores[0].layers[0].attn.out.weight[:, second].zero_()
        assert_rounds_to(head, cut(tokens, LOOPS).logits, DEPTH)


def test_only_the_chosen_loops_and_tokens_are_changed():
    model, tokens = build(injection="concat"), some_tokens()
    plain = trace(model, tokens, LOOPS)
    run = trace(model, tokens, LOOPS, tap=steer(torch.ones(16), loops=[2, 3], tokens=[0, -1]))
    moved = run.loop_ends[1] - run.states[1, -1]
    assert_close(moved[:, [0, 8]], torch.ones(2, 2, 16))
    assert not moved[:, 1:8].any()
    assert torch.equal(run.loop_ends[0], plain.loop_ends[0])
    assert torch.equal(run.loop_ends[3], run.states[3, -1])
    assert not torch.equal(run.logits, plain.logits)


@pytest.mark.parametrize("name", ["core.attn.pattern", "core.attn.out", "core.mlp.out"])
def test_what_is_held_stays_from_that_loop_on_or_at_one_only(name):
    model, tokens = build(injection="concat"), some_tokens()
    held = keep(model, tokens, LOOPS, (name,), tap=hold(name, 2))
    once = keep(model, tokens, LOOPS, (name,), tap=hold(name, 2, loops=4, layers=1))
    for layer in (1, 2):
        first = held.at(name, 2, layer)
        assert not torch.equal(held.at(name, 1, layer), first)
        assert torch.equal(held.at(name, 3, layer), first)
        assert torch.equal(held.at(name, 4, layer), first)
        assert not torch.equal(once.at(name, 3, layer), first)
        assert torch.equal(once.at(name, 4, layer), first) == (layer == 1)


def test_a_shortened_pass_goes_a_share_of_its_way():
    model, tokens = build(injection="concat"), some_tokens()
    z = model.start(x := model.encode(tokens))
    for _ in range(LOOPS):
        z = z + 0.25 * (model.step(z, x) - z)
    short = trace(model, tokens, LOOPS, tap=shorten(0.25))
    assert_rounds_to(short.loop_ends[-1], z, DEPTH)
    skipped = trace(model, tokens, LOOPS, tap=shorten(0, loops=[1, 3]))
    assert torch.equal(skipped.logits, model(tokens, LOOPS - 2).logits)
    whole = trace(model, tokens, LOOPS, tap=shorten(1)).logits
    assert_rounds_to(whole, model(tokens, LOOPS).logits, DEPTH)


def test_taps_in_a_chain_see_what_those_before_them_made():
    model, tokens = build(), some_tokens()
    both = chain(ablate("core.mlp.out"), ablate_head(range(4)))
    assert wants_patterns(both) and not wants_patterns(chain(ablate("core.mlp.out")))
    with torch.no_grad():
        cut = build()
        for layer in cut.cores[0].layers:
            layer.mlp.down.weight.zero_()
            layer.attn.out.weight.zero_()
        assert torch.equal(trace(model, tokens, 3, tap=both).logits, cut(tokens, 3).logits)
    # A tap that wants none is shown none, though another asks for them.
    names = []
    chained = chain(lambda site, value: names.append(site.name), ablate_head(0))
    model(tokens, 2, tap=chained)
    assert "core.attn.out" in names and "core.attn.pattern" not in names


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("name", ["core.loop_end", "core.resid", "core.attn.pattern"])
def test_a_run_patched_into_itself_does_not_change(settings, name):
    model, tokens = build(**settings), some_tokens()
    state = state_of(model, tokens)
    source = keep(model, tokens, LOOPS, (name,), state=state)
    layers = [1, 2] if name != "core.loop_end" else [None]
    patches = [Patch(n, token=t, layer=k) for n in (1, 4) for t in (0, None) for k in layers]
    found = run_patches(model, source, tokens, patches, LOOPS, name=name, state=state)
    for one in found:  # rows of one batch: another shape of sums, and so another rounding
        assert_rounds_to(one, source.logits, DEPTH)
    tap = patch(source, name)
    assert torch.equal(trace(model, tokens, LOOPS, state=state, tap=tap).logits, source.logits)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("mask", [False, True])
def test_patches_side_by_side_equal_one_after_the_other(settings, mask):
    model, a, b = build(**settings), some_tokens(), other_tokens()
    given = {"state": state_of(model, b)}
    if mask:
        given["mask"] = torch.arange(9).expand(2, 9) > torch.tensor([[1], [3]])
    for name in ("core.loop_end", "core.attn.pattern", "core.mlp.out"):
        source = keep(model, a, LOOPS, (name,), **given)
        layer = None if name == "core.loop_end" else 2
        patches = [Patch(2, 1, layer, 5), Patch(4, 4, layer), Patch(1, 3, None, -1)]
        together = run_patches(model, source, b, patches, LOOPS, name=name, **given)
        in_turns = run_patches(
            model, source, b, patches, LOOPS, name=name, max_bytes=100_000, **given
        )
        for one, found, turn in zip(patches, together, in_turns, strict=True):
            tap = patch(
                source,
                name,
                to_loop=one.to_loop,
                from_loop=one.from_loop,
                layers=one.layer,
                tokens=one.token,
            )
            alone = model(b, LOOPS, tap=tap, **given).logits
            told = given.get("mask", torch.ones(2, 9, dtype=torch.bool))
            assert_rounds_to(found[told], alone[told], DEPTH)
            assert_rounds_to(turn[told], alone[told], DEPTH)


def test_without_injection_a_patched_state_is_the_whole_story():
    model, a, b = build(coda=1), some_tokens(), other_tokens()
    source = keep(model, a, LOOPS)
    gap = answer_gap(4, 1, 2)
    found = patch_map(model, source, b, gap, ("from_loop", "to_loop"), LOOPS)
    assert found.values.shape == (LOOPS, LOOPS, 2)
    with torch.no_grad():
        for first in range(LOOPS):  # k passes of A, and as many as are left when B had j
            for to in range(LOOPS):
                loops = first + LOOPS - to
                assert_rounds_to(
                    found.values[first, to], gap(model(a, loops).logits[None])[0], DEPTH, scale=8
                )
    assert_close(found.share.diagonal().T, torch.ones(LOOPS, 2), rtol=0, atol=1e-3)
    none = patch_map(model, keep(model, b, LOOPS), b, gap, ("loop", "token"), LOOPS, control=source)
    assert_rounds_to(none.values, none.base.expand_as(none.values), DEPTH, scale=8)
    assert none.control.shape == (LOOPS, 9, 2)
    assert "core.loop_end, one token at one loop" in repr(none)


def test_a_map_over_layers_patches_them_one_by_one():
    model, a, b = build(injection="concat"), some_tokens(), other_tokens()
    source, gap = keep(model, a, LOOPS, ("core.resid",)), answer_gap(-1, torch.tensor([1, 3]), 0)
    found = patch_map(model, source, b, gap, ("loop", "layer"), LOOPS, token=8)
    tap = patch(source, "core.resid", to_loop=3, layers=1, tokens=8)
    logits = model(b, LOOPS, tap=tap).logits[:, -1]
    expected = torch.stack((logits[0, 1] - logits[0, 0], logits[1, 3] - logits[1, 0]))
    assert_rounds_to(found.values[2, 0], expected, DEPTH, scale=8)


def test_a_direction_moves_only_along_itself():
    model, a, b = build(injection="concat"), some_tokens(), other_tokens()
    source = keep(model, a, LOOPS)
    way = torch.randn(2, 16, generator=torch.Generator().manual_seed(3))
    run = trace(model, b, LOOPS, tap=patch(source, to_loop=2, direction=way))
    moved, whole = (
        run.loop_ends[1] - run.states[1, -1],
        source.at("core.loop_end", 2) - run.states[1, -1],
    )
    assert_rounds_to(moved @ way.T, whole @ way.T, LAYER, scale=20)
    across = torch.linalg.qr(way.T, mode="complete").Q[:, 2:]
    assert_rounds_to(moved @ across, torch.zeros(2, 9, 14), LAYER, scale=20)
    everything = trace(model, b, LOOPS, tap=patch(source, to_loop=2, direction=torch.eye(16)))
    assert_rounds_to(everything.loop_ends[1], source.at("core.loop_end", 2), LAYER)


def test_passes_in_another_order():
    tokens = some_tokens()
    model = build(injection="concat", streams=2, loop_embed=True)
    twin = model.unrolled(4)
    plain = model(tokens, 4, every_loop=True)
    for one in (model, twin):
        assert torch.equal(in_order(one, tokens, [1, 2, 3, 4]).loop_states, plain.loop_states)
    gated = build(exit_gate=True)
    assert torch.equal(in_order(gated, tokens, [1, 2]).gate, gated(tokens, 2).gate)
    turned = [in_order(one, tokens, [2, 1, 3, 3]).logits for one in (model, twin)]
    assert_close(*turned)
    assert not torch.equal(turned[0], plain.logits)
    with pytest.raises(ValueError, match="order has 5: this unrolled twin has 4"):
        in_order(twin, tokens, [5])
    with pytest.raises(ValueError, match="order is empty"):
        in_order(model, tokens, [])
    with pytest.raises(ValueError, match="mixes passes.*with_solver"):
        in_order(model.with_solver("anderson"), tokens, [1])


def test_somebody_elses_loop_is_patched_too():
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True).eval()
    loop = adapt(lambda z, x: layer(z / 2 + x))
    a, b = torch.randn(2, 1, 5, 8, generator=torch.Generator().manual_seed(1)).unbind()
    source = keep(loop, a, 3)
    found = run_patches(loop, source, b, [Patch(3), Patch(1, token=2)], 3)
    assert_rounds_to(found[0], source.logits, DEPTH)
    alone = trace(loop, b, 3, tap=patch(source, to_loop=1, tokens=2)).logits
    assert_rounds_to(found[1], alone, DEPTH)


def test_a_steered_model_writes_what_it_then_says():
    model, tokens = build(prelude=1, coda=1, injection="concat"), some_tokens()
    tap = steer(10 * torch.ones(16), loops=[2, 3])
    written = generate(model, tokens, 3, loops=LOOPS, tap=tap).tokens
    for n in range(3):
        said = model(written[:, : 9 + n], LOOPS, tap=tap).logits[:, -1].argmax(-1)
        assert torch.equal(written[:, 9 + n], said)
    assert not torch.equal(written, generate(model, tokens, 3, loops=LOOPS).tokens)


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda s: ablate("core.mpl.out"), "name='core.mpl.out': expected one of embed, .*mlp.out"),
        (lambda s: ablate("coda.mlp.out", loops=1), "loops=1: coda.mlp.out is outside the loop"),
        (lambda s: steer(torch.ones(16), layers=1), "layers=1: core.loop_end stands between"),
        (lambda s: ablate(loops=0), "loops has 0: expected a whole number of at least 1"),
        (lambda s: ablate(loops=[]), "loops is empty"),
        (lambda s: ablate(loops=9), "core.mlp.out, loop 9: this run had no such value"),
        (lambda s: hold("core.attn.out", 9), "core.attn.out: this run had no such value"),
        (lambda s: hold("core.attn.out", 3, loops=2), "loops has 2: expected loops behind loop 3"),
        (lambda s: steer(torch.ones(3)), r"vector has shape \(3,\): core.loop_end has width 16"),
        (lambda s: steer(torch.ones(16), tokens=9), "token 9 of core.loop_end, which has 9 here"),
        (lambda s: ablate_head(4), r"heads \[4\]: this model has heads 0 to 3"),
        (lambda s: shorten(-1), "share=-1: expected 0"),
        (lambda s: at("core.resid", lambda z: z[:1]), r"a value \(1, 9, 16\) for one \(2, 9, 16\)"),
        (lambda s: patch(s, from_loop=2), "from_loop=2 needs a to_loop"),
        (lambda s: patch(s, to_loop=2, from_loop=7), "core.loop_end, loop 7: not kept.*4 loops"),
        (lambda s: patch(s, "core.resid"), "core.resid, loop 1, layer 1: not kept"),
        (lambda s: patch(s, direction=torch.zeros(16)), "the directions must differ, none zero"),
    ],
)
def test_what_cannot_be_is_refused_by_name(make, says):
    model, tokens = build(), some_tokens()
    source = keep(model, tokens, LOOPS)
    with pytest.raises((ValueError, KeyError), match=says):
        model(tokens, LOOPS, tap=make(source))


@pytest.mark.parametrize(
    "call, says",
    [
        (lambda m, s, t: keep(m, t, 2, "core.resid"), r"names=\('core.resid',\)"),
        (lambda m, s, t: keep(m, t, 2, ("core.gate",)), "core.gate: this model shows no such"),
        (lambda m, s, t: run_patches(m, s, t, [Patch(5)], 4), "to_loop=5.*has 4 loops"),
        (lambda m, s, t: run_patches(m, s, t, [], 4), "patches is empty"),
        (lambda m, s, t: run_patches(m, s, t[:, :5], [Patch(1)], 4), "as many tokens"),
        (lambda m, s, t: run_patches(m, s, t, [Patch(1)], 4, name="logits"), "a value of the core"),
        (lambda m, s, t: run_patches(m, s, t, [Patch(1, layer=1)], 4), "stands between layers"),
        (lambda m, s, t: patch_map(m, s, t, len, ("token", "loop")), "expected one of"),
    ],
)
def test_maps_refuse_what_cannot_be(call, says):
    model, tokens = build(), some_tokens()
    with pytest.raises(ValueError, match=says):
        call(model, keep(model, tokens, LOOPS), tokens)


def test_what_is_kept_has_a_limit():
    with pytest.raises(MemoryError, match="what is kept would take .*keep fewer names"):
        keep(build(), some_tokens(), 100, max_bytes=10_000)
