"""How a looped model's loop map behaves near a state: does it pull in, let go, or keep turning?

Every function takes a map `step`, from a state to the next one of the same shape. `loop_map` makes
it from a model and a prompt; any function of tensors will do, and small known maps are the best way
to learn what the numbers mean.
"""

from looplab.measure.contraction import ContractionFit, fit_contraction
from looplab.measure.stability.attraction import Basins, basins, sort_ends
from looplab.measure.stability.jacobian import loop_map
from looplab.measure.stability.lyapunov import Lyapunov, lyapunov_exponents
from looplab.measure.stability.multipliers import (
    leading_multipliers,
    spectral_norm,
    spectral_radius,
)
from looplab.measure.stability.path import StepSplit, split_steps
from looplab.measure.stability.solvers import SOLVERS, Solution, compare_solvers, solve

__all__ = [
    "SOLVERS",
    "Basins",
    "ContractionFit",
    "Lyapunov",
    "Solution",
    "StepSplit",
    "basins",
    "compare_solvers",
    "fit_contraction",
    "leading_multipliers",
    "loop_map",
    "lyapunov_exponents",
    "solve",
    "sort_ends",
    "spectral_norm",
    "spectral_radius",
    "split_steps",
]
