"""Measurements of a looped model's run: pure functions from tensors to tensors."""

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

__all__ = [
    "CyclePCA",
    "PathIndependence",
    "contraction_rate",
    "cosine_to_limit",
    "cycle_pca",
    "distance_to_limit",
    "min_layer_cosine",
    "path_independence",
    "relative_step",
    "rotation_residual",
    "settling_loop",
    "step_size",
    "successive_cosine",
]
