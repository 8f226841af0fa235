"""A tap that turns every state and every attention pattern into a few numbers and forgets it."""

import torch
from torch import Tensor
from torch.linalg import vecdot, vector_norm

from looplab.measure.stages import column_share, concentration, mixing_score
from looplab.model import LoopedTransformer, Ready, Site
from looplab.model.layers import Context

# Pattern entries worked on at a time: what a CPU core's cache holds; large launches on a GPU.
BLOCK = {"cpu": 2**17, "cuda": 2**24}


def precise(dtype: torch.dtype) -> torch.dtype:
    """What measurements are made in: float32 at least, whatever the model runs in.

    >>> precise(torch.bfloat16), precise(torch.float64)
    (torch.float32, torch.float64)
    """
    return torch.promote_types(dtype, torch.float32)


def block_rows(tokens: int, device: torch.device) -> int:
    """Patterns [token, token] that are worked on together."""
    return max(1, BLOCK.get(device.type, BLOCK["cuda"]) // tokens**2)


class KeepStates:
    """A tap that keeps each core layer's last seen state: [layer, batch, token, width]."""

    def __init__(self, model: LoopedTransformer, x: Tensor):
        self.states = x.new_empty(_every_layer(model, x), dtype=precise(x.dtype))

    def __call__(self, site: Site, value: Tensor) -> None:
        if site.name == "core.resid":
            self.states[site.layer].copy_(value)


class StateStatistics:
    """A tap for lengths, steps and distances; holds one state per layer, however many loops.

    `norm`, `step`, `distance` and `along` are [loop, layer, batch, token]; `step[0]` is no step.
    `along` is the inner product with `reference` [layer, batch, token, width].
    """

    def __init__(self, model: LoopedTransformer, x: Tensor, loops: int, reference: Tensor | None):
        kind = precise(x.dtype)
        shape = (loops, model.config.core, *x.shape[:2])
        self.norm, self.step = x.new_zeros(2, *shape, dtype=kind).unbind()
        self.distance = self.along = None
        if reference is not None:
            self.distance, self.along = x.new_empty(2, *shape, dtype=kind).unbind()
        self.reference = reference
        self.previous = x.new_empty(_every_layer(model, x), dtype=kind)

    def __call__(self, site: Site, value: Tensor) -> None:
        loop, layer, name = site
        if name != "core.resid":
            return
        previous = self.previous[layer]
        if loop:  # the previous state is not needed any more: its place takes the difference
            vector_norm(previous.sub_(value), dim=-1, out=self.step[loop, layer])
        previous.copy_(value)  # in float32, from here on in place of a half-precision value
        vector_norm(previous, dim=-1, out=self.norm[loop, layer])
        if self.reference is not None:
            point = self.reference[layer]
            vecdot(previous, point, dim=-1, out=self.along[loop, layer])
            vector_norm(previous - point, dim=-1, out=self.distance[loop, layer])


class AttentionStatistics:
    """A tap for attention; holds one pattern per layer and head, however many loops.

    Attention itself stays fused: patterns are computed from queries and keys, in float32 at least.
    `concentration`, `sink`, `mixing` and `step` are [loop, layer, batch, head]; `step[0]` is no
    step.
    """

    def __init__(self, model: LoopedTransformer, ready: Ready, loops: int):
        config, x = model.config, ready.x
        tokens = x.shape[1]
        rows = x.shape[0] * config.heads
        self.shape = (loops, config.core, x.shape[0], config.heads)
        kind = precise(x.dtype)
        values = x.new_zeros(4, loops, config.core, rows, dtype=kind)
        self.values = values.unbind()  # each [loop, layer, batch * head]
        self.previous = x.new_empty(config.core, rows, tokens, tokens, dtype=kind)
        self.block = block_rows(tokens, x.device)
        self.scale = config.head_width**-0.5
        self.hidden = hidden_keys(ready.context, tokens, x.device, kind)
        self.sequence = torch.arange(rows, device=x.device) // config.heads  # [batch * head]
        self.query = None

    def __call__(self, site: Site, value: Tensor) -> None:
        if site.name == "core.attn.q":
            self.query = value
        elif site.name == "core.attn.k":
            query, self.query = self.query, None
            self._measure(site.loop, site.layer, query.flatten(0, 1), value.flatten(0, 1))

    def _measure(self, loop: int, layer: int, queries: Tensor, keys: Tensor) -> None:
        """`queries` and `keys` are [batch * head, token, width]."""
        before = self.previous[layer]
        sums, sinks, mixing, steps = (value[loop, layer] for value in self.values)
        for first in range(0, len(queries), self.block):
            rows = slice(first, first + self.block)
            q, k = queries[rows].to(before.dtype), keys[rows].to(before.dtype)
            hidden = self.hidden if self.hidden.dim() == 2 else self.hidden[self.sequence[rows]]
            scores = torch.baddbmm(hidden, q, k.mT, alpha=self.scale)
            pattern = scores.softmax(-1)
            del scores  # or three blocks would be held at once
            share = column_share(pattern)
            sums[rows] = concentration(share)
            sinks[rows] = share[:, 0]
            mixing[rows] = mixing_score(pattern)
            if loop:
                moved = before[rows].sub_(pattern)
                vector_norm(moved, dim=(-2, -1), out=steps[rows])
            before[rows] = pattern

    def result(self) -> list[Tensor]:
        """Concentration, sink, mixing and step, each [loop, layer, batch, head]."""
        return [value.view(self.shape) for value in self.values]


def _every_layer(model: LoopedTransformer, x: Tensor) -> tuple[int, ...]:
    """Shape of all core layers' states; with streams a layer may leave more than a width."""
    return (model.config.core, *x.shape[:2], model.config.layer_width)


def hidden_keys(context: Context, tokens: int, device, dtype) -> Tensor:
    """What is added to scores: -inf where a query may not look, [token, token] or, where sequences
    differ, [batch, token, token].

    >>> hidden_keys(Context(None, None, causal=True), 2, "cpu", torch.float32)
    tensor([[0., -inf],
            [0., 0.]])
    """
    mask = context.mask
    if context.causal:
        mask = torch.ones(tokens, tokens, dtype=torch.bool, device=device).tril()
    if mask is None:
        return torch.zeros(tokens, tokens, dtype=dtype, device=device)
    mask = mask[:, 0] if mask.dim() == 4 else mask
    return torch.zeros(mask.shape, dtype=dtype, device=device).masked_fill_(~mask, float("-inf"))
