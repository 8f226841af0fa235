"""The model family against numbers from the official code of the released models."""

import golden_models
import pytest
import torch
from torch.testing import assert_close

from looplab import trace

TOLERANCE = {"rtol": 0, "atol": 2e-4}


@pytest.fixture(scope="module", params=golden_models.FAMILIES)
def golden(request):
    return golden_models.load(request.param)


@pytest.mark.parametrize("loops", [4, 7])
def test_every_state_and_the_logits_are_the_official_ones(golden, loops):
    model, tokens, expected = golden
    official = {n.split(".", 1)[1]: v for n, v in expected.items() if n.startswith(f"r{loops}.")}
    run = trace(model, tokens, loops, state=expected.get("initial_state"))

    assert_close(run.states, official.get("core_hidden", official.get("layer_hidden")), **TOLERANCE)
    assert_close(run.logits, official["logits"], **TOLERANCE)
    if model.config.prelude:
        assert_close(run.prelude, expected["prelude_hidden"], **TOLERANCE)
        assert_close(run.coda, official["coda_hidden"], **TOLERANCE)
    else:
        assert_close(run.start, expected["embedding"], **TOLERANCE)
        assert_close(run.loop_ends, official["loop_hidden"], **TOLERANCE)


@pytest.mark.parametrize("loops", [4, 7])
@pytest.mark.parametrize("family", ["huginn-a", "retrofit-llama-a", "retrofit-olmo-a"])
def test_injection_is_the_official_adapter(family, loops):
    model, tokens, expected = golden_models.load(family)
    injected = []
    model(
        tokens,
        loops,
        state=expected["initial_state"],
        tap=lambda site, value: injected.append(value) if site.name == "core.inject" else None,
    )
    assert_close(torch.stack(injected), expected[f"r{loops}.adapter_out"], **TOLERANCE)


@pytest.mark.parametrize("loops", [4, 7])
def test_ouro_gate_and_the_logits_of_every_loop(loops):
    model, tokens, expected = golden_models.load("ouro-a")
    out = model(tokens, loops, every_loop=True)
    assert_close(out.gate, expected[f"r{loops}.gate_logits"], **TOLERANCE)
    assert_close(model.readout(out.loop_states), expected[f"r{loops}.step_logits"], **TOLERANCE)
