"""Exit signals, rules and the oracle on runs whose answer is known; the chapter's two pictures."""

import pytest
import torch
from torch.testing import assert_close

from looplab import measure, plots


def test_every_signal_is_infinite_until_it_exists():
    states = torch.randn(6, 3, 4, generator=torch.Generator().manual_seed(0))
    for signal, silent in (
        (measure.step_signal(states), 1),
        (measure.answer_signal(states), 1),
        (measure.acceleration_signal(states), 2),
    ):
        assert signal.shape == (6, 3)
        assert signal[:silent].isinf().all() and signal[silent:].isfinite().all()
        assert (signal >= 0).all()


def test_acceleration_ignores_an_even_walk_and_the_step_does_not():
    walk = 5 + torch.arange(1.0, 9)[:, None, None] * torch.ones(1, 1, 4)
    assert_close(measure.acceleration_signal(walk)[2:], torch.zeros(6, 1))
    assert measure.step_signal(walk)[1:].min() > 0.05


def test_the_answer_signal_is_the_divergence_of_before_from_now():
    logits = torch.randn(4, 2, 5, generator=torch.Generator().manual_seed(1))
    before, now = logits[:-1].softmax(-1), logits[1:].softmax(-1)
    assert_close(measure.answer_signal(logits)[1:], (before * (before / now).log()).sum(-1))


@pytest.mark.parametrize("patience", [1, 2, 3])
def test_first_exit_against_a_plain_search(patience):
    quiet = torch.rand(12, 30, generator=torch.Generator().manual_seed(patience)) < 0.5
    found = measure.first_exit(quiet, patience)
    for token in range(30):
        column = quiet[:, token].tolist()
        exits = [n for n in range(patience, 13) if all(column[n - patience : n])]
        assert found[token] == (exits[0] if exits else 12)


def test_first_exit_needs_patience():
    with pytest.raises(ValueError, match="patience=0"):
        measure.first_exit(torch.ones(3).bool(), 0)


def test_the_oracle_against_a_plain_search():
    right = torch.rand(7, 40, generator=torch.Generator().manual_seed(3)) < 0.8
    best = measure.lasting_from(right)
    for token in range(40):
        lasting = [n for n in range(1, 8) if right[n - 1 :, token].all()]
        assert best[token] == (lasting[0] if lasting else 0)


def test_the_oracle_loses_nothing_to_itself():
    right = torch.rand(7, 40, generator=torch.Generator().manual_seed(3)) < 0.8
    best = measure.lasting_from(right)
    cost = measure.exit_cost(torch.where(best == 0, 7, best), right)
    assert cost.spare == 0 and cost.lost == 0
    assert cost.right == pytest.approx((best > 0).double().mean().item())
    assert measure.exit_cost(torch.full((40,), 7), right).spare > 0


def test_without_an_oracle_exit_nothing_is_spare_or_lost():
    cost = measure.exit_cost(torch.tensor([2]), torch.zeros(3, 1).bool())
    assert cost.spare != cost.spare and cost.lost == 0


def test_the_pictures_say_their_numbers():
    corners = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
    picture = plots.orbits({"five": corners[torch.arange(100) % 5]})
    assert "five visits about 5 places" in picture.alt and picture.png().startswith(b"\x89PNG")
    turn = torch.arange(400) * 2.4
    path = torch.stack((turn.cos(), turn.sin()), dim=1)
    fine, coarse = (plots.orbits({"turn": path}, last=400, fine=fine) for fine in (True, False))
    assert fine.alt == coarse.alt
    lines = [len(picture.figure.axes[0].lines) for picture in (fine, coarse)]
    assert lines == [2, 3]  # dots and a ring; a line as well
    curves = {"rule": ([2.0, 4.0], [0.5, 1.0]), "oracle": ([1.5], [1.0])}
    picture = plots.trade_off({"model": curves}, "loops", "share right")
    assert "model, rule: from 0.50 at 2.0 to 1.00 at 4.0" in picture.alt
    assert picture.png().startswith(b"\x89PNG")
