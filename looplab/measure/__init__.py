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
from looplab.measure.contraction import contraction_rate
from looplab.measure.convergence import (
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
from looplab.measure.exits import (
    ExitCost,
    acceleration_signal,
    answer_age,
    answer_signal,
    at_exit,
    exit_cost,
    first_exit,
    step_signal,
)
from looplab.measure.lasting import lasting_from
from looplab.measure.limits import (
    Limit,
    PeriodTest,
    limit_by_cosine,
    limit_by_period,
    limit_shares,
)
from looplab.measure.lipschitz import AttentionBound, attention_bound, query_key_norm
from looplab.measure.patterns import MeanPatterns, mean_patterns
from looplab.measure.stages import (
    colsum_concentration,
    column_share,
    mixing_score,
    residual_entropy,
    sink_rate,
    sink_score,
)

__all__ = [
    "AttentionBound",
    "AttentionDistances",
    "CyclePCA",
    "ExitCost",
    "Limit",
    "MeanPatterns",
    "PathIndependence",
    "PeriodTest",
    "acceleration_signal",
    "answer_age",
    "answer_signal",
    "at_exit",
    "attention_bound",
    "attention_cosine",
    "attention_distance",
    "attention_step",
    "attention_to_limit",
    "colsum_concentration",
    "column_share",
    "contraction_rate",
    "cosine_to_limit",
    "cycle_pca",
    "diagonal_contrast",
    "distance_to_limit",
    "exit_cost",
    "first_exit",
    "lasting_from",
    "limit_by_cosine",
    "limit_by_period",
    "limit_shares",
    "mean_patterns",
    "min_layer_cosine",
    "mixing_score",
    "path_independence",
    "query_key_norm",
    "relative_step",
    "residual_entropy",
    "rotation_residual",
    "settling_loop",
    "sink_rate",
    "sink_score",
    "stability",
    "step_signal",
    "step_size",
    "successive_cosine",
]
