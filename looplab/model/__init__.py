"""The model family `(p, k⊗l, c)`: p prelude layers, k core layers looped l times, c coda layers."""

from looplab.model.cache import Cache
from looplab.model.config import LoopedConfig
from looplab.model.looped import LoopedOutput, LoopedTransformer, Ready
from looplab.model.tap import Site, Tap

__all__ = ["Cache", "LoopedConfig", "LoopedOutput", "LoopedTransformer", "Ready", "Site", "Tap"]
