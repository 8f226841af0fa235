"""looplab: build, train and look inside looped (recurrent-depth) transformers.

>>> import torch, looplab
>>> _ = torch.manual_seed(0)
>>> model = looplab.LoopedTransformer(looplab.LoopedConfig(vocab=10, width=16, heads=2, core=2))
>>> looplab.trace(model, torch.arange(5)[None], loops=4).states.shape
torch.Size([4, 2, 1, 5, 16])
"""

import sys
from importlib import import_module

try:
    from looplab.generation import generate
    from looplab.model import LoopedConfig, LoopedOutput, LoopedTransformer, Site, adapt
    from looplab.tracing import Trace, plan, trace
except ModuleNotFoundError as error:
    if (error.name or "looplab").startswith("looplab"):
        raise
    raise ModuleNotFoundError(
        f"looplab needs {error.name}, and {sys.executable} has none. 'python3 course.py lab' "
        "sets up a Python that has all it needs; 'python3 course.py doctor' says what else is off.",
        name=error.name,
    ) from None

__version__ = "0.1.0"

__all__ = [
    "LoopedConfig",
    "LoopedOutput",
    "LoopedTransformer",
    "Site",
    "Trace",
    "adapt",
    "generate",
    "plan",
    "trace",
]

# Loaded on first use, so that `import looplab` costs little more than `import torch`.
_SUBMODULES = {
    name: f"looplab.{name}"
    for name in (
        "exercises",
        "interventions",
        "measure",
        "passport",
        "plots",
        "reporting",
        "reproduction",
        "streaming",
        "tasks",
        "train",
        "widgets",
        "zoo",
    )
}
# Notebooks know these by short names of their own.
_SUBMODULES |= {
    "checkpoints": "looplab.zoo.checkpoints",
    "doctor": "looplab.course.doctor",
    "grid": "looplab.experiments.random_stacks",
    "sketch": "looplab.plots.sketch",
}


def __getattr__(name):
    if name == "reproduce":
        return import_module("looplab.reproduction").reproduce
    if name in _SUBMODULES:
        return import_module(_SUBMODULES[name])
    raise AttributeError(f"module 'looplab' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *_SUBMODULES, "reproduce"})
