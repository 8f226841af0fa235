"""The attractor family against official numbers: each evaluation, and what the solver finds."""

import json
import pickle

import golden_models
import pytest
import torch
from rounding import LAYER, assert_rounds_to
from test_zoo_damaged import Bomb
from torch.testing import assert_close

from looplab import LoopedConfig, cli, generate, measure, trace, zoo
from looplab.model import Cache
from looplab.model.anderson import anderson
from looplab.streaming import stream

TOLERANCE = {"rtol": 0, "atol": 2e-4}  # a requirement: parity with the official code


@pytest.fixture(scope="module")
def golden():
    return golden_models.load("attractor-a")


@pytest.mark.parametrize("loops", [4, 7])
@pytest.mark.parametrize("solver", ["anderson", "plain"])
def test_every_evaluation_is_the_official_one(golden, solver, loops):
    model, tokens, expected = golden
    before = "" if solver == "anderson" else "fpi."
    wanted = {n.removeprefix(before): v for n, v in expected.items() if n.startswith(f"{before}r")}
    wanted = golden_models.official(wanted, loops)
    model, begun = model.with_solver(solver), []
    run = trace(
        model,
        tokens,
        loops,
        tap=lambda site, value: begun.append(value) if site.name == "core.inject" else None,
    )
    assert_close(run.prelude, expected["prelude_hidden"], **TOLERANCE)
    assert_close(run.start, expected["initial_state"], **TOLERANCE)
    if "core_input" in wanted:
        assert_close(torch.stack(begun), wanted["core_input"], **TOLERANCE)
    assert_close(run.states, wanted["core_hidden"], **TOLERANCE)
    assert_close(run.loop_ends[-1], wanted["y"], **TOLERANCE)
    assert_close(model.norm(run.loop_ends[-1]), wanted["final_norm"], **TOLERANCE)
    assert_close(run.logits, wanted["logits"], **TOLERANCE)


@torch.no_grad()
def test_the_solution_is_the_official_one_and_a_fixed_point_of_the_plain_loop(golden):
    model, tokens, expected = golden
    ready = model.prepare(tokens)
    found = anderson(lambda y: model.step(y, ready), ready.start)
    assert found.evaluations == expected["solve.iters"].item()
    assert found.residual == pytest.approx(expected["solve.rel_residual"].item(), rel=0.02)
    assert_close(found.value, expected["solve.y"], **TOLERANCE)
    assert_close(model.answer(found.value, ready), expected["solve.logits"], **TOLERANCE)
    rest = anderson(lambda y: model.step(y, ready), ready.start, tolerance=1e-6).value
    assert (measure.relative_step(torch.stack((rest, model.step(rest, ready)))) < 1e-5).all()


def test_the_solver_lets_a_token_see_later_ones_and_the_plain_loop_does_not(golden):
    model, tokens, _ = golden
    whole, cut = (model(some, 4).logits[:, :6] for some in (tokens, tokens[:, :6]))
    assert (whole - cut).abs().max() > 0.1
    plain = model.with_solver("plain")
    whole, cut = (plain(some, 4).logits[:, :6] for some in (tokens, tokens[:, :6]))
    assert_rounds_to(cut, whole, sums=6 * LAYER)


def test_what_goes_token_by_token_wants_the_plain_loop(golden):
    model, tokens, _ = golden
    for needs in (lambda: Cache(model), lambda: generate(model, tokens)):
        with pytest.raises(ValueError, match=r"a cache needs model\.with_solver\('plain'\)"):
            needs()
    assert generate(model.with_solver("plain"), tokens, new=3, loops=5).tokens.shape == (2, 14)


def test_a_stream_measures_the_run_that_a_trace_records(golden):
    model, tokens, _ = golden
    run, few = trace(model, tokens, 6), stream(model, tokens, 6)
    to_end = measure.distance_to_limit(run.states)
    assert_close(few.distance, to_end, rtol=0, atol=1e-4)


def test_verify_says_which_loop_it_asked(golden, capsys):
    cli.main(["verify", str(golden_models.GOLDEN / "attractor-a"), "--loops", "7"])
    told = capsys.readouterr().out
    assert "FAILED" not in told and "cached is uncached, in the plain loop" in told
    assert "ok           stored logits after 7 loops" in told


def test_what_the_code_writes_is_opened_as_tensors_only(golden, tmp_path):
    model, _, _ = golden
    folder = golden_models.copy("attractor-a", tmp_path / "attractor")
    (folder / "model.safetensors").unlink()
    said = json.loads((folder / "config.json").read_text())
    older = said | {"_class_name": "EQLMConfig", "model_class_name": "EQLM"}
    (folder / "config.json").write_text(json.dumps(older))
    assert_close(zoo.load(folder).state_dict(), model.state_dict(), rtol=0, atol=0)
    (folder / "model.pt").write_bytes(pickle.dumps(Bomb(tmp_path / "touched")))
    with pytest.raises(ValueError, match=r"model\.pt is damaged, or asks for more than tensors"):
        zoo.load(folder)
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"solver": "broyden"}, "solver='broyden'"),
        ({"causal": False}, "causal=False"),
        ({"logit_softcap": 30.0}, "logit_softcap=30.0"),
        ({"anderson_m": 1}, "solver_memory=1"),
        ({"rope_settings": {"rope_base": 900}}, "looks like base 700"),
        ({"layer_scale_init": None}, "raw_gamma_attn.*does not use"),
    ],
)
def test_another_attractor_is_refused_by_name(said, told, tmp_path):
    folder = golden_models.copy("attractor-a", tmp_path / "attractor")
    config = json.loads((folder / "config.json").read_text()) | said
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=told):
        zoo.load(folder)


def test_settings_that_contradict_each_other():
    for settings in (
        {"branch_gain": 1.0, "norm": "post"},
        {"branch_gain": 0.0},
        {"solver": "anderson", "tied": False},
        {"solver_share": 0.0},
        {"minus_state": True, "streams": 2},
    ):
        with pytest.raises(ValueError, match=next(iter(settings))):
            LoopedConfig(vocab=9, **settings)
