"""Every public measure, and every figure of tensors, in every dtype and on every device here."""

import inspect

import pytest
import torch

from looplab import LoopedConfig, LoopedTransformer, measure, plots, trace
from looplab.measure import stability

HALF = (torch.bfloat16, torch.float16)
DTYPES = (*HALF, torch.float32, torch.float64)
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
DRAW = torch.Generator().manual_seed(0)
STATES = 1 + torch.randn(20, 2, 1, 5, 16, generator=DRAW, dtype=torch.float64)  # two layers
PATTERNS = torch.randn(20, 2, 1, 2, 5, 5, generator=DRAW, dtype=torch.float64).softmax(-1)
TOKENS = torch.tensor([[1, 2, 3, 4, 5]])
_ = torch.manual_seed(0)
MODEL = LoopedTransformer(
    LoopedConfig(vocab=9, width=16, heads=2, core=2, injection="concat")
).requires_grad_(False)
RIGHT = torch.tensor([[False, True], [True, True], [True, True]])


# name -> what it says of numbers made by `to`, which gives them their dtype and device
MEASURES = {
    "acceleration_signal": lambda to: measure.acceleration_signal(to(STATES)),
    "answer_age": lambda to: measure.answer_age(to(torch.tensor([[1], [1], [2]]))),
    "answer_signal": lambda to: measure.answer_signal(to(STATES)),
    "at_exit": lambda to: measure.at_exit(to(STATES[:, 0, 0, :, 0]), on(to, [1, 2, 3, 4, 5])),
    "attention_bound": lambda to: measure.attention_bound(model(to), run(to)),
    "attention_cosine": lambda to: measure.attention_cosine(to(PATTERNS)),
    "attention_distance": lambda to: measure.attention_distance(to(PATTERNS)),
    "attention_step": lambda to: measure.attention_step(to(PATTERNS), relative=True),
    "attention_to_limit": lambda to: measure.attention_to_limit(to(PATTERNS), relative=True),
    "colsum_concentration": lambda to: measure.colsum_concentration(to(PATTERNS)),
    "column_share": lambda to: measure.column_share(to(PATTERNS)),
    "contraction_rate": lambda to: measure.contraction_rate(to(0.75 ** torch.arange(9.0))),
    "cosine_to_limit": lambda to: measure.cosine_to_limit(to(STATES)),
    "cycle_pca": lambda to: measure.cycle_pca(to(STATES[:, :, 0, -1])),
    "diagonal_contrast": lambda to: measure.diagonal_contrast(to(stripes()), 2),
    "distance_to_limit": lambda to: measure.distance_to_limit(to(STATES), relative=True),
    "exit_cost": lambda to: measure.exit_cost(on(to, [2, 3]), RIGHT.to(to(STATES).device)),
    "first_exit": lambda to: measure.first_exit(to(STATES[:, 0, 0, :, 0]) < 0, 2),
    "how_it_ends": lambda to: measure.how_it_ends(to(STATES), 0.01),
    "lasting_from": lambda to: measure.lasting_from(to(STATES[:, 0, 0, :, 0]) < 9),
    "limit_by_cosine": lambda to: measure.limit_by_cosine(to(STATES)),
    "limit_by_period": lambda to: measure.limit_by_period(to(STATES)),
    "limit_of_cosines": lambda to: measure.limit_of_cosines(to(STATES[:, 0, 0, 0, :1].abs())),
    "limit_shares": lambda to: measure.limit_shares(measure.limit_by_cosine(to(STATES))),
    "mean_patterns": lambda to: measure.mean_patterns(model(to), on(to, [[1, 2, 3]]), 3),
    "min_layer_cosine": lambda to: measure.min_layer_cosine(to(STATES)),
    "mixing_score": lambda to: measure.mixing_score(to(PATTERNS)),
    "neuron_shares": lambda to: measure.neuron_shares(
        to(STATES[:, 0, 0, 0, 0]), to(STATES[:, 0, 0, 0, 1])
    ),
    "path_independence": lambda to: measure.path_independence(
        model(to), on(to, [[1, 2, 3]]), 3, 2, generator=torch.Generator().manual_seed(0)
    ),
    "query_key_norm": lambda to: measure.query_key_norm(model(to), 5),
    "sort_ends": lambda to: stability.sort_ends(to(STATES[:, 0, 0]), to(STATES)[:, 0, 0, 0, 0] < 9),
    "useful_depth": lambda to: measure.useful_depth(to(STATES[:, 0, 0].flatten(1))),
    "relative_step": lambda to: measure.relative_step(to(STATES)),
    "residual_entropy": lambda to: measure.residual_entropy(to(STATES)),
    "rotation_residual": lambda to: measure.rotation_residual(
        model(to), on(to, TOKENS.tolist()), to(STATES[0, 0]), 1
    ),
    "settling_loop": lambda to: measure.settling_loop(to(STATES)),
    "sink_rate": lambda to: measure.sink_rate(to(PATTERNS)),
    "sink_score": lambda to: measure.sink_score(to(PATTERNS)),
    "step_signal": lambda to: measure.step_signal(to(STATES)),
    "step_size": lambda to: measure.step_size(to(STATES)),
    "stream_passes": lambda to: measure.stream_passes(hyper(to), on(to, [[1, 2, 3]]), 3),
    "successive_cosine": lambda to: measure.successive_cosine(to(STATES)),
    "vocabulary_moments": lambda to: measure.vocabulary_moments(
        to(STATES[:, 0, 0, 0]).mT, to(STATES[:, 0, 0, 1])
    ),
    "basins": lambda to: stability.basins(loop(to), to(STATES[:3, 0, 0]), 4),
    "compare_solvers": lambda to: stability.compare_solvers(*start(to)),
    "fit_contraction": lambda to: stability.fit_contraction(to(0.75 ** torch.arange(9.0))),
    "leading_multipliers": lambda to: stability.leading_multipliers(*start(to), 2),
    "loop_map": lambda to: loop(to)(to(STATES[:2, 0, 0])),
    "lyapunov_exponents": lambda to: stability.lyapunov_exponents(*start(to), 4, 2),
    "solve": lambda to: stability.solve(*start(to), "anderson"),
    "spectral_norm": lambda to: stability.spectral_norm(*start(to)),
    "spectral_radius": lambda to: stability.spectral_radius(*start(to)),
    "split_steps": lambda to: stability.split_steps(to(STATES)),
}


EXACT = {
    "acceleration_signal",
    "answer_signal",
    "attention_step",
    "attention_to_limit",
    "column_share",
    "cosine_to_limit",
    "distance_to_limit",
    "min_layer_cosine",
    "mixing_score",
    "relative_step",
    "residual_entropy",
    "split_steps",
    "step_size",
    "successive_cosine",
}


def on(to, values):
    return torch.tensor(values, device=to(STATES[:1]).device)


def stripes():
    at = torch.arange(6) % 2
    return 0.5 + (at[:, None] != at).double()


def model(to):
    made = LoopedTransformer(MODEL.config)
    made.load_state_dict(MODEL.state_dict())
    return made.to(to(STATES[:1])).requires_grad_(False)


def hyper(to):
    config = LoopedConfig(vocab=9, width=16, heads=2, streams=3, loop_embed=True)
    return LoopedTransformer(config).to(to(STATES[:1]))


def loop(to):
    return stability.loop_map(model(to), on(to, TOKENS.tolist()))


def start(to):
    return loop(to), to(STATES[:1, 0, 0])


def run(to):
    return trace(model(to), on(to, TOKENS.tolist()), 3, keep=("states", "attention"))


def tensors(found):
    if isinstance(found, torch.Tensor):
        yield found
    elif isinstance(found, dict):
        for one in found.values():
            yield from tensors(one)
    elif isinstance(found, tuple | measure.LimitTest):
        for one in found:
            yield from tensors(one)


def test_every_public_measure_is_tried():
    public = {
        name
        for room in (measure, stability)
        for name in room.__all__
        if inspect.isfunction(getattr(room, name))
    }
    assert public == MEASURES.keys()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", MEASURES)
def test_a_measure_is_made_in_float32_at_least(name, dtype, device):
    torch.manual_seed(0)

    def to(values):
        return values.to(device, dtype if values.is_floating_point() else None)

    found = list(tensors(MEASURES[name](to)))
    if name != "at_exit":  # picks what it is given
        assert not any(one.dtype in HALF for one in found)
    if name.endswith("cosine") or name.startswith("cosine"):
        assert found[0].abs().max() <= 1 + 1e-6
    if name in EXACT and dtype in HALF:  # the same numbers, measured in float64
        exact = MEASURES[name](lambda values: values.to(dtype).double().to(device))
        for one, other in zip(found, tensors(exact), strict=True):
            torch.testing.assert_close(one.double(), other.double(), rtol=1e-3, atol=1e-4)


FIGURES = {
    "loss_curve": lambda to: plots.loss_curve(to(STATES[:, 0, 0, 0, 0].abs())),
    "accuracy_by_loop": lambda to: plots.accuracy_by_loop({"a": to(PATTERNS[:, 0, 0, 0, 0, 0])}),
    "staircase": lambda to: plots.staircase(to(PATTERNS[:, 0, 0, 0, 0])),
    "staircases": lambda to: plots.staircases({"a": {"b": to(PATTERNS[:, 0, 0, 0, 0])}}),
    "lines_by_layer": lambda to: plots.lines_by_layer(to(STATES[:, :, 0, 0, 0].abs()), "size"),
    "cycle": lambda to: plots.cycle(measure.cycle_pca(to(STATES[:, :, 0, -1]))),
    "pattern_distances": lambda to: plots.pattern_distances({"a": to(stripes())}, 2),
    "stages": lambda to: plots.stages({"a": {"b": to(STATES[:, :, 0, 0, 0].abs())}}),
    "orbits": lambda to: plots.orbits({"a": to(STATES[:, 0, 0, 0])}),
    "over_loops": lambda to: plots.over_loops({"a": to(STATES[:, :, 0, 0, 0].abs())}),
    "groupings": lambda to: plots.groupings({"a": to(STATES[:, :, 0, 0, 0])}),
    "latent_path": lambda to: plots.latent_path(*measure.cycle_pca(to(STATES[:, :, 0, -1]))[::3]),
    "stream_strips": lambda to: plots.stream_strips(
        to(STATES[:, 0, 0]), {"a": to(STATES[:, 0, 0, :, 0])}
    ),
    "floorplan": lambda to: plots.floorplan(
        measure.mean_patterns(model(to), on(to, [[1, 2, 3]]), 3)
    ),
}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", HALF, ids=str)
@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_draws_half_precision(name, dtype, device):
    values = STATES.to(device, dtype)
    assert FIGURES[name](lambda given: given.to(values)).alt
    grown = FIGURES[name](lambda given: given.to(values).requires_grad_())
    assert grown.alt
