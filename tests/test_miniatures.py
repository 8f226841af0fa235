"""The miniatures are what their cards say, and are labelled as ours."""

import hashlib
import json

import pytest
import torch
import torch.nn.functional as F

from looplab.zoo import load, miniatures
from looplab.zoo.miniatures import BACK, WORDS, ids, most_named, text, where_is

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
def test_it_has_learned_to_follow_days_back(name):
    """With each of three seeds, and each number of steps, it is right more often than the rule."""
    card = miniatures.card(name)
    rule = card["right by the rule most_named, for 0 to 8 steps"]
    assert len(rule) == 9 and set(card["other seeds"]) == {"1", "2"}
    for results in (card, *card["other seeds"].values()):
        told = results["answers right by loops, for 0 to 8 steps"][str(card["config"]["loops"])]
        assert all(share > guess + 0.15 for share, guess in zip(told, rule, strict=True))


@each
def test_the_words_of_the_folder_are_ours(name):
    said = json.loads((miniatures.folder(name) / "tokenizer.json").read_text())
    assert said["model"]["vocab"] == {word: number for number, word in enumerate(WORDS)}


def test_text_and_ids_are_inverse():
    story = where_is(1, torch.Generator().manual_seed(0)).tokens[0]
    assert torch.equal(ids(text(story)), story)
    with pytest.raises(ValueError, match="'zoo'"):
        ids("zoo one-back")


def test_diaries_say_where_each_day_was_spent():
    batch = where_is(64, torch.Generator().manual_seed(3), days=12)
    assert batch.tokens.shape == batch.targets.shape == (64, 13)
    for tokens, targets, steps in zip(*batch, strict=True):
        assert tokens[0] == 0 and targets[0] == -100 and steps[0] == -1
        words = text(tokens).split()[1:]
        for day in range(12):
            at, depth = day, 0
            while words[at] in BACK:
                at, depth = at - 1 - BACK.index(words[at]), depth + 1
            assert at >= 0 and WORDS[targets[day + 1]] == words[at]
            assert steps[day + 1] == depth


def test_the_rule_names_what_was_named_most_often():
    said = most_named(ids("<bos> farm inn one-back inn farm two-back cave cave cave"))
    assert text(said[1:]) == "farm inn inn inn farm farm farm cave cave"


def test_a_seed_gives_the_same_diaries():
    one, two = (where_is(8, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(one.tokens, two.tokens)
    with pytest.raises(ValueError, match="days=0"):
        where_is(1, torch.Generator().manual_seed(1), days=0)
