"""The diagnosis game as a state machine, and the faults that it shows."""

import re

import pytest
import torch

from looplab import LoopedConfig, LoopedTransformer, measure, tasks
from looplab.course.diagnosis import TELLS, Diagnosis, signs_picture
from looplab.course.faults import EVERY, FAULTS, faulty_run, vital_signs
from looplab.zoo import checkpoints


@pytest.fixture(scope="module")
def hero():
    return checkpoints.load("hero")


@pytest.fixture(scope="module")
def tokens():
    return tasks.find_root(4, torch.Generator().manual_seed(3), max_depth=8).tokens


@pytest.fixture(scope="module")
def runs(hero, tokens):
    return {name: faulty_run(hero, tokens, name) for name in FAULTS}


@pytest.fixture(scope="module")
def signs(runs):
    return {name: vital_signs(states) for name, states in runs.items()}


@pytest.fixture
def game(signs):
    return Diagnosis([(name, signs[name]) for name in ("no input", "reset", "gain", "healthy")])


def test_a_healthy_run_is_the_model_itself(hero, tokens, runs):
    with torch.no_grad():
        out = hero(tokens, 48, every_loop=True, generator=torch.Generator().manual_seed(0))
    assert torch.equal(runs["healthy"], out.loop_states)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_model_that_embeds_its_values_can_be_broken_too(fault):
    torch.manual_seed(0)
    model = LoopedTransformer(LoopedConfig(vocab=9, width=32, core=2, value_layers=(1,))).eval()
    states = faulty_run(model, torch.tensor([[1, 2, 3], [3, 2, 1]]), fault, loops=3)
    if fault == "healthy":
        with torch.no_grad():
            whole = model(torch.tensor([[1, 2, 3], [3, 2, 1]]), 3, every_loop=True)
        assert torch.equal(states, whole.loop_states)
    assert states.isfinite().all()


def test_every_fault_shows_what_its_tell_says(signs):
    assert set(TELLS) == set(FAULTS)
    step = {name: sign.step for name, sign in signs.items()}
    assert step["healthy"][-1] < 1e-6
    assert (step["not looped"] == 0).all()
    assert step["gain"][-16:].min() > 0.05
    jumps = step["reset"][EVERY - 1 :: EVERY]  # loops 9, 17, ...: the first after a reset
    assert jumps.min() > 0.5 and step["reset"][EVERY * 3 - 3] < 0.01
    grown = {name: (sign.length[-1] / sign.length[0]).item() for name, sign in signs.items()}
    assert grown["no norms"] > 1.5
    assert all(ratio < 1.1 for name, ratio in grown.items() if name != "no norms")
    apart = {name: sign.apart[-1].item() for name, sign in signs.items()}
    assert apart["no input"] < 1e-3
    assert all(distance > 0.02 for name, distance in apart.items() if name != "no input")


def test_the_gain_keeps_the_state_from_resting(runs):
    limit = measure.limit_by_period(runs["gain"]).limit
    assert (limit == measure.Limit.FIXED_POINT).float().mean() < 0.5


def test_an_unknown_fault_is_refused(hero, tokens, signs):
    with pytest.raises(ValueError, match="fault='rust': expected one of healthy"):
        faulty_run(hero, tokens, "rust")
    with pytest.raises(ValueError, match="fault='rust'"):
        Diagnosis([("rust", signs["healthy"])])
    with pytest.raises(ValueError, match="cases is empty"):
        Diagnosis([])


def test_a_right_guess_solves_the_case_and_says_why(game):
    said = game.guess("no input")
    assert said == game.words and said.startswith("Yes, no input: the tokens lose their distance")
    assert (game.case, game.solved, game.score, game.finished) == (1, 1, 1, False)
    assert not game.next_button.disabled


def test_a_wrong_guess_says_what_would_have_been_seen(game):
    said = game.guess("no norms")
    assert said.startswith("Not no norms: there the state grows")
    assert "no input" not in said
    assert game.buttons["no norms"].disabled and game.solved == 0
    game.guess("no input")
    assert (game.solved, game.score) == (1, 0)


def test_the_next_case_waits_for_the_answer(game):
    assert game.next_button.disabled
    game.next_case()
    assert game.case == 1 and "first" in game.words
    game.guess("no input")
    game.next_case()
    assert game.case == 2 and not any(button.disabled for button in game.buttons.values())
    assert "Case 2 of 4" in game.picture.alt


def test_a_whole_game_by_its_buttons(game):
    for name in ("no input", "reset", "gain"):
        game.buttons[name].click()
        game.next_button.click()
    game.buttons["not looped"].click()
    game.buttons["healthy"].click()
    assert game.finished and game.words.endswith("3 of 4 at first sight.")
    assert game.next_button.disabled
    game.next_case()
    assert game.case == 4
    assert "solved" in game.guess("gain") and game.score == 3
    game.again_button.click()
    assert (game.case, game.solved, game.score, game.finished) == (1, 0, 0, False)


def test_the_view_holds_picture_alt_text_and_announcement(game):
    assert re.search(r'<img alt="Case 1 of 4\. Step at loops 2, 3, 4', game.view.value)
    assert 'aria-live="polite"' in game.told.value
    assert not any(name in game.view.value for name in FAULTS)
    strip = game.film_strip()
    assert strip.alt.count("Case ") == 4 and not any(name in strip.alt for name in FAULTS)
    assert strip.png().startswith(b"\x89PNG") and len(strip.png()) < 120_000


def test_zero_steps_are_said_in_words(signs):
    assert "exactly 0 at all" in signs_picture(signs["not looped"]).alt


def test_a_seed_draws_the_cases(hero, tokens):
    games = [Diagnosis.of(hero, tokens, cases=3, seed=seed, loops=16) for seed in (0, 0, 1)]
    drawn = [game.solution for game in games]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(drawn[0])) == 3
    with pytest.raises(ValueError, match="cases=7"):
        Diagnosis.of(hero, tokens, cases=7)


def test_only_core_widgets_of_the_oldest_supported_release(game):
    kinds = {type(child).__name__ for child in game.children}
    kinds |= {type(button).__name__ for button in game.buttons.values()}
    assert kinds == {"HTML", "HBox", "Button"}
