"""Loaded models against numbers from the official code of the released ones, state by state."""

import golden_models
import pytest
import torch
from rounding import LAYER, assert_rounds_to
from torch.testing import assert_close

from looplab import measure, trace, zoo
from looplab.model import Cache

TOLERANCE = {"rtol": 0, "atol": 2e-4}  # a requirement: parity with the official code
both_loop_counts = pytest.mark.parametrize("loops", [4, 7])


@pytest.fixture(scope="module", params=[*golden_models.FAMILIES, *golden_models.MORE])
def golden(request):
    return golden_models.load(request.param)


INJECTED = ("huginn-a", "ifm-linear-a", "retrofit-llama-a", "retrofit-olmo-a", "parcae-a")
INJECTED += ("ifm-diagonal-a", "ifm-orthoinj-a", "ifm-parcae-a")


@pytest.fixture(scope="module", params=INJECTED)
def injected(request):
    return golden_models.load(request.param)


@pytest.fixture(scope="module")
def ouro():
    return golden_models.load("ouro-a")


@both_loop_counts
def test_every_state_and_the_logits_are_the_official_ones(golden, loops):
    model, tokens, expected = golden
    official = golden_models.official(expected, loops)
    run = trace(model, tokens, loops, state=expected.get("initial_state"))

    assert_close(run.states, official.get("core_hidden", official.get("layer_hidden")), **TOLERANCE)
    assert_close(run.logits, official["logits"], **TOLERANCE)
    if "exit_normed" in official:
        assert_close(run.loop_ends, official["exit_normed"], **TOLERANCE)
    if model.config.prelude:
        assert_close(run.prelude, expected["prelude_hidden"], **TOLERANCE)
        assert_close(run.coda, official["coda_hidden"], **TOLERANCE)
    else:
        assert_close(run.start, expected["embedding"], **TOLERANCE)
        assert_close(run.loop_ends, official["loop_hidden"], **TOLERANCE)


@pytest.mark.parametrize("sizes", [[1] * 11, [5, 1, 4, 1]], ids=["one by one", "chunks"])
@both_loop_counts
def test_a_cache_changes_nothing(golden, loops, sizes):
    model, tokens, expected = golden
    state, cache = expected.get("initial_state"), Cache(model, 2, loops)
    whole = model(tokens, loops, state=state).logits
    states = [None] * len(sizes) if state is None else state.split(sizes, dim=1)
    with torch.no_grad():
        parts = [
            model(part, loops, state=begin, cache=cache).logits
            for part, begin in zip(tokens.split(sizes, dim=1), states, strict=True)
        ]
    config = model.config
    layers = config.prelude + config.core * loops + config.coda
    assert_rounds_to(torch.cat(parts, dim=1), whole, sums=LAYER * layers)


@both_loop_counts
def test_embedding_and_injection_are_the_official_ones(injected, loops):
    model, tokens, expected = injected
    seen = {"embed": [], "core.inject": []}
    model(
        tokens,
        loops,
        state=expected["initial_state"],
        tap=lambda site, value: seen[site.name].append(value) if site.name in seen else None,
    )
    assert_close(seen["embed"][0], expected["embedding"], **TOLERANCE)
    official = golden_models.official(expected, loops)
    adapter = official.get("adapter_out", official.get("injected"))
    assert_close(torch.stack(seen["core.inject"]), adapter, **TOLERANCE)


@both_loop_counts
def test_what_enters_the_coda_and_the_head_is_official(injected, loops):
    model, tokens, expected = injected
    official = golden_models.official(expected, loops)
    entered = []
    watched = (model.coda[0], model.head)
    hooks = [m.register_forward_pre_hook(lambda _, args: entered.append(args[0])) for m in watched]
    model(tokens, loops, state=expected["initial_state"])
    for hook in hooks:
        hook.remove()
    if "coda_input" in official:
        assert_close(entered[0], official["coda_input"], **TOLERANCE)
    assert_close(entered[1], official["final_norm"], **TOLERANCE)


@both_loop_counts
def test_ouro_gate_and_exit_distribution(ouro, loops):
    model, tokens, expected = ouro
    official = golden_models.official(expected, loops)
    gate = model(tokens, loops).gate
    assert_close(gate, official["gate_logits"], **TOLERANCE)
    assert_close(gate.sigmoid(), official["gate_prob"], **TOLERANCE)
    assert_close(zoo.exit_distribution(gate).movedim(0, -1), official["exit_pdf"], **TOLERANCE)


@both_loop_counts
def test_ouro_exits_and_the_logits_of_every_loop(ouro, loops):
    model, tokens, expected = ouro
    official = golden_models.official(expected, loops)
    out = model(tokens, loops, every_loop=True)
    logits = model.readout(out.loop_states)
    leave = zoo.exit_distribution(out.gate)
    assert_close(logits, official["step_logits"], **TOLERANCE)
    assert_close(zoo.expected_logits(logits, leave), official["logits_weighted"], **TOLERANCE)
    for threshold in (0.5, 0.8):
        exits = zoo.exit_loop(leave, threshold)
        assert torch.equal(exits - 1, official[f"exit_step_q{threshold}"].long())  # theirs from 0
        left_with = measure.at_exit(logits, exits[..., None].expand_as(logits[0]))
        assert_close(left_with, official[f"logits_q{threshold}"], **TOLERANCE)
    assert (zoo.exit_loop(leave, 1.0) == loops).all()
