"""Measurements of a looped model's run: pure functions from tensors to tensors."""

from looplab.measure import stability
from looplab.measure.attention import (
    AttentionDistances,
    attention_cosine,
    attention_distance,
    attention_step,
    attention_to_limit,
    diagonal_contrast,
)
from looplab.measure.attention_bound import AttentionBound, attention_bound, query_key_norm
from looplab.measure.convergence import (
    contraction_rate,
    cosine_to_limit,
    distance_to_limit,
    relative_step,
    settling_loop,
    step_size,
    successive_cosine,
)
from looplab.measure.cycles import (
    CyclePCA,
    PathIndependence,
    cycle_pca,
    min_layer_cosine,
    path_independence,
    rotation_residual,
)
from looplab.measure.limits import (
    Limit,
    PeriodTest,
    limit_by_cosine,
    limit_by_period,
    limit_shares,
)

__all__ = [
    "AttentionBound",
    "AttentionDistances",
    "CyclePCA",
    "Limit",
    "PathIndependence",
    "PeriodTest",
    "attention_bound",
    "attention_cosine",
    "attention_distance",
    "attention_step",
    "attention_to_limit",
    "contraction_rate",
    "cosine_to_limit",
    "cycle_pca",
    "diagonal_contrast",
    "distance_to_limit",
    "limit_by_cosine",
    "limit_by_period",
    "limit_shares",
    "min_layer_cosine",
    "path_independence",
    "query_key_norm",
    "relative_step",
    "rotation_residual",
    "settling_loop",
    "stability",
    "step_size",
    "successive_cosine",
]
