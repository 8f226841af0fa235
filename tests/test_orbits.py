"""The committed orbits and counts are what their scripts say."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch

from looplab.zoo import checkpoints

DATA = Path(__file__).parents[1] / "data"
FOUND = json.loads((DATA / "orbits.json").read_text(encoding="utf-8"))
LIMITS = json.loads((DATA / "limits.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("find_orbits", DATA / "find_orbits.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def name(orbit):
    return "{norm}-{injection}-{depth}-{gain}-{seed}-period{period}".format(**orbit)


@pytest.mark.parametrize("orbit", FOUND["orbits"], ids=name)
def test_a_committed_seed_has_its_period_and_closes(script, orbit):
    # In float64 and for longer: until then each path has left its transient behind, whose length
    # is chance.
    states = script.run_alone({**orbit, "loops": script.CLOSE_AFTER}, torch.float64)
    _, period = script.periods(states[-128:], script.STRICT)
    wanted = torch.tensor(orbit["period of each token"])
    on_it = wanted == orbit["period"]
    assert on_it.sum() == orbit["on it"] > 0
    assert torch.equal(period[on_it], wanted[on_it])
    assert script.way_back(states, orbit) < script.CLOSED


@pytest.mark.parametrize("orbit", FOUND["decoys"], ids=name)
def test_a_decoy_passes_the_usual_test_and_does_not_close(script, orbit):
    states = script.run_alone({**orbit, "loops": script.CLOSE_AFTER}, torch.float64)
    token = orbit["period of each token"].index(orbit["period"])
    _, period = script.periods(states[:128, token], script.STRICT)
    assert period == orbit["period"]
    assert script.way_back(states, orbit) > 1e-5
    rests = orbit["one period apart"]["24000"] < script.CLOSED
    assert rests == (orbit["what it is"] == "a slow spiral")


def test_the_chapter_has_its_periods():
    assert {4, 5, 6, 12} <= {orbit["period"] for orbit in FOUND["orbits"]}


def test_the_scan_adds_up(script):
    assert FOUND["stacks scanned"] == len(FOUND["scan"]) * script.SEEDS
    for row in FOUND["scan"]:
        assert sum(row["shares"].values()) == pytest.approx(1, abs=1e-3)
        on_orbits = row["shares"]["orbit"] * script.SEEDS * script.TOKENS
        assert sum(row["tokens by period"].values()) == pytest.approx(on_orbits, abs=0.1)


@pytest.mark.parametrize("model", LIMITS)
def test_the_counts_add_up(model):
    for seed in LIMITS[model]:
        assert sum(seed["by period"].values()) == seed["tokens"]
        assert sum(seed["by cosine"].values()) == seed["tokens"]
        assert seed["at rest and wrong"] <= min(seed["wrong"], seed["by period"]["fixed point"])


def test_the_turning_model_turns_and_is_right():
    card = checkpoints.card("flood-turning")
    assert [seed["seed"] for seed in card["results by seed"]] == [1]
    assert card["recipe"]["seed"] == 1
    assert LIMITS["flood"][1]["by period"]["orbit"] > 0.3 * LIMITS["flood"][1]["tokens"]
    assert LIMITS["flood"][1]["wrong"] == 0
