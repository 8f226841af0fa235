"""The committed models are what their cards say, and the counts what their script says."""

import importlib
import json
import shutil
from functools import partial

import pytest
import torch

from looplab import tasks, train
from looplab.zoo import checkpoints

DATA = checkpoints.FOLDER.parent


@pytest.mark.parametrize("name", checkpoints.names())
def test_a_checkpoint_is_what_its_card_says(name):
    said, model = checkpoints.card(name), checkpoints.load(name)
    assert sum(p.numel() for p in model.parameters()) == said["parameters"]
    assert (checkpoints.FOLDER / f"{name}.safetensors").stat().st_size < 500_000

    task, _, arguments = said["task"].partition("(")
    arguments = dict(pair.split("=") for pair in arguments.rstrip(")").split(", "))
    draw = partial(getattr(tasks, task), **{k: int(v) for k, v in arguments.items()})
    batch = draw(512, torch.Generator().manual_seed(10_000))  # the items that the card counted
    published = said["results by seed"][0]["in distribution"]["exact"]
    loop = max(int(loop) for loop in published if int(loop) <= model.config.loops)
    exact = train.accuracy_table(model, batch, loop).exact[-1].item()
    # Rounded to four digits there; three near ties may fall otherwise on another processor.
    assert exact == pytest.approx(published[str(loop)], abs=3.1 / 512)


@pytest.fixture(scope="module")
def count_chains():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(DATA)
        return importlib.import_module("count_chains")


def test_every_recipe_is_counted_for_three_seeds(count_chains):
    text = (DATA / "chains.json").read_text(encoding="utf-8")
    counted = json.loads(text)
    assert counted.keys() == count_chains.PLANS.keys()
    assert all(list(seeds) == ["0", "1", "2"] for seeds in counted.values())
    assert count_chains.as_text(counted) == text


@pytest.mark.parametrize("test", ["forests", "two chains", "chain and star"])
def test_counts_of_chains_are_those_of_the_published_models(count_chains, test):
    counted = json.loads((DATA / "chains.json").read_text(encoding="utf-8"))
    batch = count_chains.TESTS[test](count_chains.ITEMS, count_chains.generator())
    nodes = batch.difficulty[batch.difficulty >= 0].bincount()
    for name in counted.keys() & set(checkpoints.names()):
        model = checkpoints.load(name)
        now = train.accuracy_table(model, batch, model.config.loops).accuracy
        said = torch.tensor([*counted[name]["0"][test].values()])
        # Rounded to three digits there; three near ties may fall otherwise on another processor.
        assert ((now - said).abs() <= 3.1 / nodes + 0.0006).all(), name


def test_counts_of_ancestors_are_those_of_the_published_models(count_chains):
    counted = json.loads((DATA / "chains.json").read_text(encoding="utf-8"))
    assert {name for name, seeds in counted.items() if "ancestors" in seeds["0"]} == set(
        count_chains.ASKED
    )
    batch = count_chains.TESTS["chain and star"](count_chains.ITEMS, count_chains.generator())
    nodes = int((batch.difficulty == 9).sum())
    for name in count_chains.ASKED:
        now, said = count_chains.ancestors(checkpoints.load(name)), counted[name]["0"]["ancestors"]
        assert now.keys() == said.keys()
        for loop, row in now.items():
            assert row == pytest.approx(said[loop], abs=3.1 / nodes + 0.0006), (name, loop)


def test_names_and_damage_are_reported(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="no checkpoint 'her': known are .*hero"):
        checkpoints.load("her")
    for end in ("json", "safetensors"):
        shutil.copy(checkpoints.FOLDER / f"root-k1.{end}", tmp_path)
    monkeypatch.setattr(checkpoints, "FOLDER", tmp_path)
    file = tmp_path / "root-k1.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    with pytest.raises(ValueError, match="root-k1.safetensors is damaged"):
        checkpoints.load("root-k1")
    assert json.loads((tmp_path / "root-k1.json").read_text())["name"] == "root-k1"
