"""Stability measures on maps whose answer is known, and on a model with a small Jacobian."""

import math

import pytest
import torch
from test_model import build, some_tokens
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.testing import assert_close

from looplab import LoopedTransformer, measure, trace
from looplab.measure import stability

WIDE = 144  # more numbers than the sizes at which the whole Jacobian is formed


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def linear(matrix):
    return lambda z: z @ matrix.T


def with_spectrum(blocks, seed=0, shear=0.0, size=WIDE):
    """A matrix with the given real eigenvalues and complex pairs; the others lie below 0.3.

    In a random basis, with `shear` times a random strictly upper triangle: normal for 0.
    """
    rest = 0.3 * torch.rand(size, generator=torch.Generator().manual_seed(seed))
    matrix, at = torch.diag(rest.double()), 0
    for value in blocks:
        if isinstance(value, complex):
            a, b = value.real, value.imag
            matrix[at : at + 2, at : at + 2] = torch.tensor([[a, -b], [b, a]])
            at += 2
        else:
            matrix[at, at] = value
            at += 1
    upper = normal(size, size, seed=seed + 1).triu(1)
    upper[:at, :at] = 0  # would change the blocks
    basis = torch.linalg.qr(normal(size, size, seed=seed + 2)).Q
    return basis @ (matrix + shear * upper) @ basis.T


def wild(seed=0, gain=1.5, **settings):
    """A tiny model with layers N(0, gain^2 / fan in), in float64, and one prompt's loop map."""
    model = build(seed, norm="residual_sandwich", injection="concat", **settings).double()
    for number, weight in enumerate(model.cores[0].layers.parameters()):
        if weight.dim() == 2:
            fresh = normal(*weight.shape, seed=100 * seed + number)
            weight.data = gain * fresh / weight.shape[1] ** 0.5
    return model, stability.loop_map(model, some_tokens(1))


def dense(step, state):
    with sdpa_kernel(SDPBackend.MATH):  # jacrev has no rule for the fused attention
        jacobian = torch.func.jacrev(step)(state)
    return jacobian.detach().reshape(state.numel(), -1)


def leading(matrix, count):
    values = torch.linalg.eigvals(matrix)
    return values[values.abs().argsort(descending=True)][:count]


def upper_half(values):
    """Eigenvalues of real matrices come in pairs; one of each, so that order cannot matter."""
    return torch.complex(values.real, values.imag.abs())


@pytest.mark.parametrize("attention", ["causal", "full"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_models_multipliers_are_those_of_its_dense_jacobian(attention, seed):
    _, step = wild(seed, attention=attention)
    state = normal(1, 9, 16, seed=seed)
    jacobian = dense(step, state)
    found = stability.leading_multipliers(step, state, 5)
    assert_close(upper_half(found), upper_half(leading(jacobian, 5)), rtol=1e-6, atol=1e-8)
    norm = torch.linalg.matrix_norm(jacobian, ord=2)
    assert_close(stability.spectral_norm(step, state), norm, rtol=1e-6, atol=0)
    radius = leading(jacobian, 1)[0].abs()
    assert_close(stability.spectral_radius(step, state, 400), radius, rtol=0.01, atol=0)
    assert norm > radius  # the map is not normal


def test_float32_and_training_mode_give_the_same_multipliers():
    model, step = wild()
    state = normal(1, 9, 16)
    exact = stability.leading_multipliers(step, state, 3).to(torch.complex64)
    single = stability.loop_map(model.float().train(), some_tokens(1))
    assert_close(stability.leading_multipliers(single, state.float(), 3), exact, rtol=1e-4, atol=0)
    assert all(value.grad is None for value in model.parameters())


@pytest.mark.parametrize("shear", [0.0, 0.1])
@pytest.mark.parametrize("blocks", [(0.9, -0.8, 0.5), (0.6 + 0.7j, 0.8), (-1.2, 0.3 + 1.0j)])
def test_known_spectra_real_complex_and_not_normal(blocks, shear):
    matrix = with_spectrum(blocks, shear=shear)
    step, state = linear(matrix), torch.zeros(WIDE, dtype=torch.float64)
    expected = []
    for value in sorted(blocks, key=abs, reverse=True):
        expected += [value, value.conjugate()] if isinstance(value, complex) else [value]
    expected = torch.tensor(expected, dtype=torch.complex128)
    found = stability.leading_multipliers(step, state, len(expected))
    assert_close(found, expected, rtol=1e-6, atol=1e-6)
    radius = stability.spectral_radius(step, state, 300)
    assert_close(radius, expected[0].abs(), rtol=0.01, atol=0)
    norm = stability.spectral_norm(step, state)
    assert_close(norm, torch.linalg.matrix_norm(matrix, ord=2), rtol=1e-6, atol=0)
    if shear == 0:
        assert_close(norm, expected[0].abs(), rtol=1e-6, atol=0)
    else:
        assert norm > 1.05 * expected[0].abs()


def test_a_strongly_sheared_map_stretches_before_it_shrinks():
    shear = torch.tensor([[0.5, 100.0], [0.0, 0.4]], dtype=torch.float64)
    step, state = linear(shear), torch.ones(2, dtype=torch.float64)
    assert_close(stability.leading_multipliers(step, state, 2).real, shear.diagonal())
    assert stability.spectral_norm(step, state) > 100
    path = [state]
    for _ in range(60):
        path.append(step(path[-1]))
    sizes = torch.stack(path).norm(dim=-1)
    assert sizes.max() > 50 * sizes[0]
    assert sizes[-1] < 1e-10


def test_one_of_a_pair_is_the_upper_one():
    matrix = with_spectrum((0.6 + 0.7j,))
    found = stability.leading_multipliers(linear(matrix), torch.zeros(WIDE).double(), 1)
    assert_close(found[0].imag.item(), 0.7, rtol=1e-6, atol=0)


@pytest.mark.parametrize("size", [3, WIDE])
@pytest.mark.parametrize("step", [torch.ones_like, lambda z: 0 * z])
def test_a_map_that_forgets_has_no_multipliers(size, step):
    state = torch.zeros(size)
    assert not stability.leading_multipliers(step, state, 2).abs().any()
    assert stability.spectral_norm(step, state) == 0
    assert stability.spectral_radius(step, state) < 1e-30
    assert stability.lyapunov_exponents(step, state, 3).exponents.item() == -math.inf


def test_a_spectrum_without_leaders_is_an_error_that_says_so():
    turn = torch.linalg.qr(normal(WIDE, WIDE)).Q  # all moduli are one
    with pytest.raises(RuntimeError, match="of count=3 multipliers converged"):
        stability.leading_multipliers(linear(turn), torch.zeros(WIDE).double(), 3)
    assert_close(stability.spectral_radius(linear(turn), torch.zeros(WIDE).double()).item(), 1.0)


def rotation(angle):
    return torch.tensor(
        [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]],
        dtype=torch.float64,
    )


def test_a_rotation_neither_stretches_nor_shrinks():
    step, state = linear(rotation(0.7)), torch.ones(2, dtype=torch.float64)
    found = stability.leading_multipliers(step, state, 2)
    assert_close(found.abs(), torch.ones(2, dtype=torch.float64))
    assert_close(found.angle().abs(), torch.full((2,), 0.7, dtype=torch.float64))
    assert_close(stability.spectral_norm(step, state).item(), 1.0)
    exponents = stability.lyapunov_exponents(step, state, 50, 2).exponents
    assert_close(exponents, torch.zeros(2, dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("r", "exponent", "loops"),
    [(4.0, math.log(2), 2000), (3.2, None, 600), (2.5, -math.log(2), 600)],
)
def test_the_logistic_map_is_chaotic_periodic_or_still(r, exponent, loops):
    """Means over 2000 loops of chaotic paths scatter by 0.0006, whichever path rounding picks."""
    start = torch.tensor([0.3], dtype=torch.float64)
    run = stability.lyapunov_exponents(lambda z: r * z * (1 - z), start, 100 + loops, settle=100)
    assert run.growth.shape == (loops, 1)
    if exponent is None:  # a period of two, whose product of slopes is 4 + 2r - r^2
        exponent = math.log(abs(4 + 2 * r - r * r)) / 2
        assert exponent < 0
    assert_close(run.exponents.item(), exponent, rtol=0, atol=0.01)


def test_exponents_at_a_models_fixed_point_are_log_moduli_of_its_multipliers():
    model, step = wild(gain=1.0)
    start = normal(1, 9, 16)
    point = model(some_tokens(1), 400, state=start).state.detach()
    assert_close(step(point), point, rtol=0, atol=1e-9)
    run = stability.lyapunov_exponents(step, point, 250, 3, settle=100)
    moduli = stability.leading_multipliers(step, point, 3).abs()
    assert_close(run.exponents.exp(), moduli, rtol=0.03, atol=0)
    assert_close(run.state, point, rtol=0, atol=1e-9)


def test_the_fitted_rate_of_a_trace_is_the_modulus_of_its_leading_multiplier():
    model, step = wild(gain=1.0)
    run = trace(model, some_tokens(1), 300, state=normal(1, 9, 16))
    steps = measure.step_size(run.loop_ends.flatten(1))
    fit = stability.fit_contraction(steps, first=20, floor=1e-10)
    radius = stability.leading_multipliers(step, run.loop_ends[-1], 1)[0].abs()
    assert_close(fit.rate, radius, rtol=0.02, atol=0)
    assert fit.r_squared > 0.99
    assert fit.first == 20 < fit.last < 299
    assert steps[fit.last] > 1e-10 >= steps[fit.last + 1]


def test_a_linear_contraction_gives_its_rate_back():
    rate = torch.tensor([0.3, 0.9, 1.1], dtype=torch.float64)
    distances = rate ** torch.arange(40, dtype=torch.float64)[:, None]
    fit = stability.fit_contraction(distances)
    assert_close(fit.rate, rate)
    assert_close(fit.r_squared, torch.ones(3, dtype=torch.float64))
    assert fit.first.tolist() == [0, 0, 0]
    assert fit.last.tolist() == [11, 39, 39]


def test_a_fit_says_when_the_line_is_no_line():
    noise = normal(50).exp()
    assert stability.fit_contraction(noise).r_squared < 0.3
    orbit = stability.fit_contraction(torch.ones(20))
    assert orbit.rate == 1
    assert orbit.r_squared.isnan()
    settled = stability.fit_contraction(torch.full((9,), 1e-9))
    assert settled.rate.isnan()
    assert settled.last < settled.first


def test_the_parts_of_a_step_are_at_right_angles():
    states = normal(6, 2, 3, 8)
    split = stability.split_steps(states)
    whole = (split.radial**2 + split.angular**2).sqrt()
    assert_close(whole, measure.step_size(states))
    growing = torch.arange(1.0, 6.0)[:, None] * torch.tensor([3.0, 4.0])
    assert_close(stability.split_steps(growing).radial, torch.full((4,), 5.0))
    assert_close(stability.split_steps(growing).angular, torch.zeros(4))
    assert_close(stability.split_steps(-growing.flip(0)).radial, torch.full((4,), -5.0))
    from_rest = stability.split_steps(torch.tensor([[0.0, 0.0], [3.0, 4.0]]))
    assert (from_rest.radial.item(), from_rest.angular.item()) == (0, 5)


def test_anderson_beats_plain_looping_on_a_stiff_map():
    slow = torch.linspace(0.0, 0.98, 40, dtype=torch.float64)
    found = stability.compare_solvers(
        lambda z: slow * z + 1, torch.zeros(40).double(), max_evaluations=2000
    )
    assert list(found) == list(stability.SOLVERS)
    assert all(solution.reached for solution in found.values())
    for method in ("anderson", "broyden"):
        assert found[method].evaluations < found["plain"].evaluations / 3
    for solution in found.values():
        assert_close(solution.point, 1 / (1 - slow), rtol=0, atol=0.02)
        assert solution.residual[-1] <= 1e-5 < solution.residual[:-1].min()


@pytest.mark.parametrize("method", stability.SOLVERS)
def test_every_solver_finds_a_models_fixed_point(method):
    _, step = wild(gain=1.0)
    start = normal(1, 9, 16)
    found = stability.solve(step, start, method, tolerance=1e-9, max_evaluations=600)
    assert found.reached
    assert found.verdict == f"reached in {found.evaluations} evaluations"
    assert_close(step(found.point), found.point, rtol=0, atol=1e-7)
    assert found.point.shape == start.shape


def test_solvers_reach_the_unstable_point_inside_an_orbit():
    step, start = (lambda z: 3.2 * z * (1 - z)), torch.tensor([0.3], dtype=torch.float64)
    found = stability.compare_solvers(step, start)
    assert not found["plain"].reached
    assert "not reached in 200 evaluations, least residual" in found["plain"].verdict
    for method in ("damped", "anderson", "broyden"):
        assert_close(found[method].point.item(), 1 - 1 / 3.2, rtol=1e-3, atol=0)
    multiplier = stability.leading_multipliers(step, found["broyden"].point, 1)
    assert_close(multiplier.real.item(), 2 - 3.2, rtol=1e-3, atol=0)


@pytest.mark.parametrize("method", stability.SOLVERS)
@pytest.mark.parametrize(
    "step",
    [lambda z: z + 1, lambda z: z.square() + 1, lambda z: z * torch.nan, torch.exp],
    ids=["shift", "square", "nan", "exp"],
)
def test_a_map_without_fixed_point_is_never_reached(method, step):
    found = stability.solve(step, torch.full((3,), 0.3), method)
    assert not found.reached
    assert found.evaluations <= 200


@pytest.mark.parametrize("method", stability.SOLVERS)
def test_a_tolerance_below_rounding_is_not_reached_and_does_no_harm(method):
    model, _ = wild(gain=1.0)
    step = stability.loop_map(model.float(), some_tokens(1))
    found = stability.solve(step, normal(1, 9, 16).float(), method, 1e-15, 300)
    assert not found.reached
    assert found.residual.min() < 1e-5


def test_a_solver_that_starts_at_the_point_needs_one_evaluation():
    for method in stability.SOLVERS:
        found = stability.solve(lambda z: z / 2, torch.zeros(3), method)
        assert (found.reached, found.evaluations) == (True, 1)


def test_two_basins_are_told_apart():
    starts = torch.linspace(-2, 2.5, 46)[:, None] + 0.01
    found = stability.basins(lambda z: torch.tanh(2 * z), starts, 60)
    assert found.share.tolist() == pytest.approx([26 / 46, 20 / 46])
    assert_close(found.points.abs(), torch.full((2, 1), 0.957504), rtol=1e-4, atol=0)
    assert found.points[0] > 0 > found.points[1]
    assert torch.equal(found.basin, (starts[:, 0] < 0).long())
    assert found.spread.max() < 1e-4
    assert found.ends.shape == starts.shape


def test_starts_that_never_rest_are_in_no_basin():
    turning = stability.basins(linear(rotation(0.7)), normal(5, 2), 30)
    assert turning.basin.tolist() == [-1] * 5
    assert (len(turning.share), turning.points.shape) == (0, (0, 2))
    outward = stability.basins(lambda z: 3 * z, torch.ones(2, 1), 500)
    assert outward.basin.tolist() == [-1, -1]  # inf is no fixed point
    half = stability.basins(lambda z: torch.where(z > 0, z / 2 + 1, -z - 3), -normal(9, 1), 99)
    assert half.share.sum() < 1


def test_a_path_independent_model_has_one_basin_and_a_forgetful_one_several():
    _, step = wild(gain=1.0)
    found = stability.basins(step, normal(12, 9, 16), 300)
    assert found.share.tolist() == [1.0]
    assert found.spread.item() < 1e-6
    assert_close(step(found.points), found.points, rtol=0, atol=1e-6)
    stay = stability.basins(lambda z: z, normal(4, 9, 16), 3)
    assert stay.share.tolist() == [0.25] * 4


def test_a_multiplier_beyond_one_means_that_the_loop_leaves():
    """What plain looping does is decided by the multipliers at the point a solver finds."""
    fates = []
    for seed in range(8):
        _, step = wild(seed, gain=2.0)
        start = normal(1, 9, 16, seed=seed)
        point = stability.solve(step, start, "broyden", 1e-10, 400)
        if not point.reached:
            continue
        radius = stability.leading_multipliers(step, point.point, 1)[0].abs()
        nudged = point.point + 1e-6 * start
        stays = stability.solve(step, nudged, "plain", 1e-9, 600).reached
        fates.append((radius.item() < 1, stays))
    assert len(fates) >= 4
    assert all(inside == stays for inside, stays in fates)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: stability.leading_multipliers(torch.sin, torch.zeros(3), 4), "count=4.*1 to 3"),
        (lambda: stability.leading_multipliers(torch.sum, torch.zeros(3), 1), "maps? from states"),
        (lambda: stability.spectral_radius(torch.sin, torch.zeros(3), 1), "steps=1"),
        (lambda: stability.spectral_norm(torch.log, torch.zeros(3)), "finite numbers"),
        (lambda: stability.lyapunov_exponents(torch.exp, torch.ones(3), 9), "finite numbers"),
        (lambda: stability.lyapunov_exponents(torch.sin, torch.zeros(3), 5, 0), "count=0"),
        (lambda: stability.lyapunov_exponents(torch.sin, torch.zeros(3), 5, settle=5), "settle=5"),
        (lambda: stability.fit_contraction(torch.ones(5), first=3), "first=3"),
        (lambda: stability.fit_contraction(torch.tensor(1.0)), "three loops"),
        (lambda: stability.split_steps(torch.ones(1, 4)), "two loops"),
        (lambda: stability.solve(torch.cos, torch.ones(1), "newton"), "'newton'.*plain, damped"),
        (lambda: stability.solve(torch.cos, torch.ones(1), max_evaluations=0), "=0"),
        (lambda: stability.basins(torch.cos, torch.ones(1, 2), 5), "2 or more"),
        (lambda: stability.basins(torch.cos, torch.ones(2, 2), 0), "loops=0"),
        (lambda: stability.loop_map(build(), some_tokens(2)), "one prompt"),
        (lambda: stability.loop_map(build(tied=False), some_tokens(1)), "tied model"),
    ],
)
def test_bad_input_names_the_value(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_the_loop_map_is_the_models_own_loop():
    model = build(injection="concat", prelude=1)
    assert isinstance(model, LoopedTransformer)
    step, state = stability.loop_map(model, some_tokens(1)), normal(1, 9, 16).float()
    with torch.no_grad():
        assert_close(step(step(state)), model(some_tokens(1), 2, state=state).state)
        many = normal(4, 9, 16).float()
        assert_close(step(many)[2:3], step(many[2:3]))
