"""Attention of every layer that ran, prelude and coda included, averaged over heads."""

from typing import NamedTuple

import torch
from torch import Tensor

from looplab.measure.shapes import precise
from looplab.model import LoopedTransformer, Site

__all__ = ["MeanPatterns", "mean_patterns"]


class MeanPatterns(NamedTuple):
    """Attention of all layers of one run, averaged over heads; rows (queries) sum to one."""

    prelude: Tensor  # [layer, batch, token, token]
    core: Tensor  # [loop, layer, batch, token, token]
    coda: Tensor  # [layer, batch, token, token]


@torch.no_grad()
def mean_patterns(
    model: LoopedTransformer,
    tokens: Tensor,
    loops: int | None = None,
    generator: torch.Generator | None = None,
) -> MeanPatterns:
    """Run `model` on `tokens` and keep every layer's attention pattern, its heads averaged.

    A trace keeps the core's patterns head by head; this keeps one matrix for every layer that
    ran, prelude and coda included. Raises ValueError as the model's forward pass does.

    >>> from looplab import LoopedConfig
    >>> model = LoopedTransformer(LoopedConfig(vocab=9, prelude=1, core=2, coda=1))
    >>> [part.shape[:-2] for part in mean_patterns(model, torch.tensor([[1, 2, 3]]), loops=4)]
    [torch.Size([1, 1]), torch.Size([4, 2, 1]), torch.Size([1, 1])]
    """
    tokens, mask = model.read(tokens)
    keep = _Keep()
    model(tokens, loops, mask=mask, tap=keep, generator=generator)
    batch, token = tokens.shape[:2]
    empty = precise(model.head.weight.new_empty(0, batch, token, token))
    prelude, core, coda = (
        torch.stack(keep.found[part]) if keep.found[part] else empty
        for part in ("prelude", "core", "coda")
    )
    return MeanPatterns(prelude, core.unflatten(0, (-1, model.config.core)), coda)


class _Keep:
    """A tap that keeps the head mean of every pattern, in the order in which the layers ran."""

    patterns = True

    def __init__(self):
        self.found = {"prelude": [], "core": [], "coda": []}

    def __call__(self, site: Site, value: Tensor) -> None:
        part, _, name = site.name.partition(".")
        if name == "attn.pattern":
            self.found[part].append(precise(value).mean(1))
