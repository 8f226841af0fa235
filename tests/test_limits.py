"""Labels of sequences whose limit is known beforehand."""

import math
import subprocess
import sys

import pytest
import torch
from torch.testing import assert_close

from looplab import measure
from looplab.measure import Limit

LOOPS, WIDTH = 128, 16
UNKNOWN, FIXED_POINT, ORBIT, SLIDER = Limit
GOLDEN = math.pi * (math.sqrt(5) - 1)  # the turn that is hardest to approach by a whole period


def direction(seed=0, count=1):
    random = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(WIDTH, count, generator=random))[0].T  # [count, WIDTH]


def time(loops=LOOPS):
    return torch.arange(1.0, loops + 1)[:, None]


def settling(rate, loops=LOOPS):
    """Approaches a point, closer by `rate` (below zero: from alternating sides) each loop."""
    point, way = 3 * direction(0), 3 * direction(1)
    return point + rate ** time(loops) * way


def orbit(period, loops=LOOPS, rate=0.8):
    """Comes to visit `period` points in turn, closer by `rate` each loop."""
    points = torch.randn(period, WIDTH, generator=torch.Generator().manual_seed(period))
    turn = points[torch.arange(loops) % period]
    return turn + rate ** time(loops) * direction(1)


def drift(speed, loops=LOOPS):
    """Moves along a line as the function `speed` of the loop says."""
    return direction(0) + speed(time(loops)) * direction(1)


def noise(loops=LOOPS):
    return torch.randn(loops, WIDTH, generator=torch.Generator().manual_seed(5))


SEQUENCES = {
    "at rest": (torch.ones(LOOPS, WIDTH), FIXED_POINT, 1),
    "all zeros": (torch.zeros(LOOPS, WIDTH), FIXED_POINT, 1),
    "geometric 0.3": (settling(0.3), FIXED_POINT, 1),
    "geometric 0.9": (settling(0.9), FIXED_POINT, 1),
    "geometric 0.95": (settling(0.95), FIXED_POINT, 1),
    "alternating -0.9": (settling(-0.9), FIXED_POINT, 1),
    "still settling 0.97": (settling(0.97), UNKNOWN, 0),
    "still alternating -0.97": (settling(-0.97), UNKNOWN, 0),
    **{f"orbit of {p}": (orbit(p), ORBIT, p) for p in (2, 3, 4, 5, 6, 12, 24, 32)},
    "slowly reached orbit of 4": (orbit(4, rate=0.94), ORBIT, 4),
    "longer than a quarter of the run": (orbit(33), UNKNOWN, 0),
    "linear": (drift(lambda t: 0.05 * t), SLIDER, 0),
    "square root": (drift(lambda t: 0.3 * t.sqrt()), SLIDER, 0),
    "slow arc": (torch.cat((torch.cos(time() / 60), torch.sin(time() / 60)), 1), SLIDER, 0),
    "logarithmic": (drift(lambda t: t.log()), SLIDER, 0),
    "sum of 1/t²": (drift(lambda t: 3 - 100 / t), UNKNOWN, 0),
    "noise": (noise(), UNKNOWN, 0),
    "random walk": (noise().cumsum(0), UNKNOWN, 0),
    "irrational turn": (
        torch.cat((torch.cos(GOLDEN * time()), torch.sin(GOLDEN * time())), 1),
        UNKNOWN,
        0,
    ),
    "drifting orbit": (orbit(3) + drift(lambda t: 0.05 * t), UNKNOWN, 0),
    "diverged": (torch.full((LOOPS, WIDTH), torch.nan), UNKNOWN, 0),
}


@pytest.mark.parametrize("name", SEQUENCES)
def test_the_period_test_knows_every_kind(name):
    states, limit, period = SEQUENCES[name]
    found = measure.limit_by_period(states)
    assert (Limit(found.limit.item()), found.period.item()) == (limit, period)


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("at rest", FIXED_POINT),
        ("geometric 0.9", FIXED_POINT),
        ("alternating -0.9", FIXED_POINT),
        *((f"orbit of {p}", ORBIT) for p in (2, 3, 4, 5, 6, 12)),
        ("slow arc", SLIDER),
        ("noise", UNKNOWN),
        ("random walk", UNKNOWN),
        ("diverged", UNKNOWN),
    ],
)
def test_the_cosine_test_knows_the_plain_cases(name, limit):
    assert Limit(measure.limit_by_cosine(SEQUENCES[name][0]).item()) == limit


def test_where_the_two_tests_disagree():
    """The cosine test takes the last state for the limit; the period test does not."""
    # Along a straight line the directions of late states are all alike.
    for name in ("linear", "logarithmic"):
        assert measure.limit_by_cosine(SEQUENCES[name][0]).limit == FIXED_POINT
        assert measure.limit_by_period(SEQUENCES[name][0]).limit == SLIDER
    # The points of a small orbit are all near each other.
    small = 8 * direction(0) + orbit(4) / 4
    assert measure.limit_by_cosine(small).limit == FIXED_POINT
    assert measure.limit_by_period(small).period == 4
    # An irrational turn never comes back exactly, and often nearly.
    turn = SEQUENCES["irrational turn"][0]
    assert measure.limit_by_cosine(turn).limit == ORBIT
    assert measure.limit_by_period(turn).limit == UNKNOWN


@pytest.mark.parametrize("period", [2, 3, 8, 16])
@pytest.mark.parametrize("degrees", [2, 6, 25, 60])
def test_the_cosine_test_says_that_it_cannot_tell_a_small_orbit_from_rest(period, degrees):
    """A circle on the sphere, of which no two points are more than twice `degrees` apart."""
    turn = 2 * math.pi * time() / period
    circle = torch.cat((turn.cos(), turn.sin(), torch.zeros(LOOPS, WIDTH - 2)), 1)
    circle[:, 2] = 1 / math.tan(math.radians(degrees))
    by_cosine, by_period = measure.limit_by_cosine(circle), measure.limit_by_period(circle)
    assert type(by_cosine) is type(by_period) is measure.LimitTest
    assert (by_period.limit, by_period.period) == (ORBIT, period)
    assert by_cosine.limit == (FIXED_POINT if degrees < 9 else ORBIT)
    assert by_cosine.period == 0  # and no claim of rest


def test_a_test_is_taken_apart_like_its_labels():
    names = ["geometric 0.9", "orbit of 5", "linear"]
    found = measure.limit_by_period(torch.stack([SEQUENCES[name][0] for name in names], dim=1))
    limit, period = found
    assert (limit.tolist(), period.tolist()) == ([1, 2, 3], [1, 5, 0])
    turning = found[found.limit == ORBIT]
    assert (turning.item(), turning.period.item()) == (ORBIT, 5)
    assert measure.limit_shares(found) == measure.limit_shares(limit)


def test_tokens_and_layers_are_labelled_at_once():
    names = ["geometric 0.9", "orbit of 5", "linear", "noise", "orbit of 2", "all zeros"]
    grid = torch.stack([SEQUENCES[name][0] for name in names], dim=1).unflatten(1, (2, 3))
    for test in (measure.limit_by_cosine, measure.limit_by_period):
        together = test(grid).limit
        assert together.shape == (2, 3)
        for label, name in zip(together.flatten(), names, strict=True):
            assert label == test(SEQUENCES[name][0]).limit
    assert measure.limit_by_period(grid).period.tolist() == [[1, 5, 0], [0, 2, 1]]


def test_labels_do_not_depend_on_scale_or_axes():
    turn = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=torch.Generator().manual_seed(3)))[0]
    for name in ("geometric 0.9", "orbit of 6", "logarithmic", "noise"):
        states, limit, period = SEQUENCES[name]
        for other in (1e-6 * states, 1e6 * states, states @ turn, states.double()):
            found = measure.limit_by_period(other)
            assert (found.limit, found.period) == (limit, period)
            same = measure.limit_by_cosine(states).limit
            assert measure.limit_by_cosine(other).limit == same


def test_half_precision_states_are_compared_in_float32():
    for name in ("geometric 0.9", "orbit of 6", "linear"):
        states, limit, _ = SEQUENCES[name]
        assert measure.limit_by_period(states.bfloat16()).limit == limit


def test_the_tolerance_decides_what_counts_as_rest():
    small = 10 * direction(0) + 0.05 * orbit(3)
    assert measure.limit_by_period(small, tolerance=0.1).limit == FIXED_POINT
    assert measure.limit_by_period(small, tolerance=1e-3).period == 3


def test_a_slow_turn_has_its_period():
    angle = time() * (2 * math.pi / 30)
    circle = direction(0, 3)[2] + 0.03 * torch.cat((angle.cos(), angle.sin()), 1) @ direction(0, 2)
    found = measure.limit_by_period(circle)
    assert (found.limit, found.period) == (ORBIT, 30)


def test_shares_add_up():
    limit = torch.tensor([[0, 1, 1], [1, 2, 3]])
    shares = measure.limit_shares(limit)
    assert_close(sum(shares.values()), 1.0)
    assert shares["fixed point"] == 0.5
    assert measure.limit_shares(torch.tensor([1]))["orbit"] == 0


@pytest.mark.parametrize("test", [measure.limit_by_cosine, measure.limit_by_period])
def test_short_runs_are_refused(test):
    with pytest.raises(ValueError, match=r"\(15, 4\).*16 loops or more"):
        test(torch.zeros(15, 4))
    assert test(torch.ones(16, 4)) is not None


def test_labels_of_states_that_a_gradient_runs_through():
    states = orbit(5).requires_grad_()
    assert measure.limit_by_period(states).period == 5
    assert measure.limit_by_cosine(states).limit == ORBIT


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads Linux' memory figures")
def test_a_long_window_does_not_fragment_the_heap():
    """In a fresh process: as a sum of live tensors the trouble would not show."""
    code = """
import resource, torch
from looplab import measure
states = torch.randn(1024, 72, 32)
measure.limit_by_period(states[:128])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
measure.limit_by_period(states)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**10)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 40  # MiB; the states of its half of the run have 4.5
