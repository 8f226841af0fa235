"""Measurements on sequences whose answer is known beforehand."""

import math

import pytest
import torch
from rounding import LAYER, assert_rounds_to
from test_model import build, some_tokens
from torch.testing import assert_close

from looplab import measure, trace


def geometric(rate, loops=400, width=4):
    """A sequence that approaches (1, 1, ...) and gets closer by `rate` at each loop."""
    way = torch.ones(width, dtype=torch.float64) / math.sqrt(width)
    return 1 + rate ** torch.arange(loops, dtype=torch.float64)[:, None] * way


def test_a_constant_sequence_takes_no_steps():
    still = torch.ones(5, 2, 3, 4)
    assert_close(measure.step_size(still), torch.zeros(4, 2, 3))
    assert_close(measure.successive_cosine(still), torch.ones(4, 2, 3))
    assert_close(measure.distance_to_limit(still), torch.zeros(5, 2, 3))
    assert torch.equal(measure.settling_loop(still), torch.ones(2, 3, dtype=torch.long))


@pytest.mark.parametrize("rate", [0.3, 0.5, 0.9])
def test_a_geometric_sequence_gives_its_rate_back(rate):
    states = geometric(rate)
    steps = measure.step_size(states)
    assert_close(steps[1:9] / steps[:8], torch.full((8,), rate, dtype=torch.float64))
    distance = measure.distance_to_limit(states)
    assert_close(measure.contraction_rate(distance).item(), rate, rtol=1e-3, atol=0)


def test_the_rate_is_fitted_above_the_noise_floor():
    distance = 0.5 ** torch.arange(40.0)
    distance = distance.clamp_min(2e-7)  # where float32 would flicker
    assert_close(measure.contraction_rate(distance).item(), 0.5, rtol=1e-4, atol=0)
    assert measure.contraction_rate(torch.full((9,), 1e-9)).isnan()


def test_an_orbit_never_comes_closer():
    turn = torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
    states = [torch.tensor([1.0, 0.0])]
    for _ in range(11):
        states.append(states[-1] @ turn)
    states = torch.stack(states)  # period 4
    assert_close(measure.step_size(states), torch.full((11,), math.sqrt(2)))
    assert measure.settling_loop(states) == 0
    assert_close(measure.cosine_to_limit(states)[3::4], torch.ones(3))


def test_the_limit_is_an_argument():
    states = geometric(0.5)
    distance = measure.distance_to_limit(states, limit=5)
    assert distance[4] == 0
    assert distance[-1] > 0
    assert measure.settling_loop(states, tolerance=0.1, limit=10) < 6


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: measure.step_size(torch.zeros(1, 3)), "two loops"),
        (lambda: measure.distance_to_limit(torch.zeros(3, 3), limit=4), "1 to 3"),
        (lambda: measure.distance_to_limit(torch.zeros(3, 3), limit=0), "1 to 3"),
        (lambda: measure.contraction_rate(torch.zeros(2)), "three loops"),
        (lambda: measure.min_layer_cosine(torch.zeros(3, 3)), "loop, layer, batch"),
        (lambda: measure.cycle_pca(torch.zeros(3, 3)), "one token's"),
        (lambda: measure.cycle_pca(torch.zeros(2, 1, 8), 3), "this path has 1 to 2"),
        (
            lambda: measure.path_independence(build(), some_tokens(), 2, starts=1),
            "at least 2",
        ),
    ],
)
def test_bad_input_names_the_value(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_pca_keeps_distances_within_a_plane():
    angle = torch.linspace(0, 6, 12).view(4, 3)
    circle = torch.stack((angle.cos(), angle.sin()), -1)
    axes = torch.linalg.qr(torch.randn(9, 2, generator=torch.Generator().manual_seed(0)))[0]
    pca = measure.cycle_pca(circle @ axes.T + 5)
    assert_close(pca.explained.sum().item(), 1.0)
    flat, plane = circle.flatten(0, 1), pca.points.flatten(0, 1)
    far = torch.cdist(flat, flat)
    assert_rounds_to(torch.cdist(plane, plane), far, sums=LAYER, scale=5 * 3)  # sqrt(9) of the 5


def test_every_rotation_of_the_core_has_a_fixed_point_and_other_states_are_none():
    model = build(norm="residual_sandwich", injection="concat", core=3)
    tokens = some_tokens()
    run = trace(model, tokens, 100)
    for layer in range(3):
        settled = measure.rotation_residual(model, tokens, run.loop_ends[-1], layer)
        fresh = measure.rotation_residual(model, tokens, run.start, layer)
        assert settled.max() < 1e-5
        assert fresh.min() > 1e-3


def test_many_starts_end_in_one_place_or_do_not():
    tokens, random = some_tokens(), torch.Generator().manual_seed(0)
    settled = build(norm="pre", injection="concat")
    same = measure.path_independence(settled, tokens, 60, starts=3, generator=random)
    assert same.distance.max() < 1e-4
    assert same.agree.min() == 1
    forgetful = build(norm="pre", injection="none")
    apart = measure.path_independence(forgetful, tokens, 60, starts=3, generator=random)
    off_diagonal = ~torch.eye(3, dtype=torch.bool)
    assert apart.distance[off_diagonal].median() > 1e-2


def test_one_point_for_all_layers_is_degenerate():
    run = trace(build(core=3), some_tokens(), 5)
    same = run.states[:, :1].expand_as(run.states)
    assert_close(measure.min_layer_cosine(same), torch.ones(2, 9))
    assert measure.min_layer_cosine(run.states, limit=1).max() < 0.999
