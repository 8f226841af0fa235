"""The miniatures are what their cards say, and are labelled as ours."""

import hashlib
import json

import pytest
import torch
import torch.nn.functional as F

from looplab.zoo import load, miniatures
from looplab.zoo.miniatures import WORDS, ids, text, where_is

NAMES = ["feedforward-mini", "huginn-mini", "ouro-mini", "retrofit-mini"]
each = pytest.mark.parametrize("name", NAMES)


def test_there_is_one_of_each_family():
    assert miniatures.names() == NAMES
    with pytest.raises(ValueError, match="known are feedforward-mini"):
        miniatures.folder("huginn-0125")


@each
def test_files_are_small_and_are_those_of_the_card(name):
    folder, card = miniatures.folder(name), miniatures.card(name)
    data = (folder / "model.safetensors").read_bytes()
    assert len(data) == card["bytes"] < 2 * 10**6
    assert hashlib.sha256(data).hexdigest() == card["sha256"]
    assert card["cpu seconds"] <= 180
    assert "NaN" not in (folder / "card.json").read_text()  # which is no JSON


@each
def test_a_folder_says_that_it_is_ours(name):
    folder = miniatures.folder(name)
    assert "not a released model" in (folder / "README.md").read_text().splitlines()[0]
    assert miniatures.card(name)["is not"].startswith("a released model")


@each
def test_losses_are_those_of_the_card(name):
    model, card = load(miniatures.folder(name)), miniatures.card(name)
    assert model.config.notation == card["notation"]
    test = where_is(256, torch.Generator().manual_seed(10**6))
    for loops in (1, 4) if model.config.loops > 1 else (1,):
        logits = model(test.tokens, loops, generator=torch.Generator().manual_seed(0)).logits
        loss = F.cross_entropy(logits.flatten(0, 1), test.targets.flatten()).item()
        assert loss == pytest.approx(card["loss by loops"][str(loops)], abs=2e-3)
        assert loss < card["uniform loss"]


@each
def test_the_words_of_the_folder_are_ours(name):
    said = json.loads((miniatures.folder(name) / "tokenizer.json").read_text())
    assert said["model"]["vocab"] == {word: number for number, word in enumerate(WORDS)}


def test_text_and_ids_are_inverse():
    story = where_is(1, torch.Generator().manual_seed(0)).tokens[0]
    assert torch.equal(ids(text(story)), story)
    with pytest.raises(ValueError, match="'zoe'"):
        ids("zoe in barn")


def test_stories_are_told_and_asked_rightly():
    batch = where_is(64, torch.Generator().manual_seed(3), people=5)
    assert batch.tokens.shape == (64, 45)
    assert torch.equal(batch.tokens[:, 1:], batch.targets[:, :-1])
    for tokens, targets, steps in zip(*batch, strict=True):
        words = [*text(tokens).split(), WORDS[targets[-1]]][1:]
        said = {words[n]: (words[n + 1], words[n + 2]) for n in range(0, 15, 3)}
        assert len(said) == 5
        asked = {}
        for at in range(15, 45, 3):
            person, mark, answer = words[at : at + 3]
            depth, (how, where) = 0, said[person]
            while how == "with":
                depth, (how, where) = depth + 1, said[where]
            assert (mark, answer) == ("?", where)
            assert steps[at + 2] == (-1 if person in asked else depth)
            asked[person] = asked.get(person, 0) + 1
        assert set(asked.values()) == {2}
    assert (batch.difficulty >= 0).sum(1).eq(5).all()


def test_a_seed_gives_the_same_stories():
    one, two = (where_is(8, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(one.tokens, two.tokens)
    with pytest.raises(ValueError, match="people=13"):
        where_is(1, torch.Generator().manual_seed(1), people=13)
