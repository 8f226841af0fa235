"""The model family `(p, k⊗l, c)`: p prelude layers, k core layers looped l times, c coda layers."""

from looplab.model.adapter import adapt
from looplab.model.cache import Cache
from looplab.model.config import LoopedConfig
from looplab.model.loop import Loop, LoopedOutput, Ready
from looplab.model.looped import LoopedTransformer
from looplab.model.tap import Site, Tap

__all__ = [
    "Cache",
    "Loop",
    "LoopedConfig",
    "LoopedOutput",
    "LoopedTransformer",
    "Ready",
    "Site",
    "Tap",
    "adapt",
]
