"""Taps that turn the values of one sequence's run into numbers, and keep no more than they say.

All of them are given a batch of one. Attention stays fused; patterns are computed from queries and
keys in float32 at least, a few heads at a time, and shown to whoever listens.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.linalg import vector_norm

from looplab.measure import colsum_concentration, mixing_score, residual_entropy, sink_score
from looplab.measure.shapes import precise
from looplab.measure.stages import sink_share
from looplab.model import LoopedTransformer, Site
from looplab.model.tap import Tap
from looplab.streaming.statistics import block_rows, hidden_keys
from looplab.streaming.statistics import precise as precise_dtype

STAGES = ("norm", "peak", "concentration", "sink_rate", "mixing", "entropy")  # of every layer

Listener = Callable[[Site, slice, Tensor], None]  # site, heads, their patterns [head, token, token]


class Place(NamedTuple):
    """A layer that ran: `loop` is None outside of the core."""

    part: str  # prelude, core or coda
    loop: int | None
    layer: int


def place_of(site: Site) -> Place:
    """Where a value of a layer comes from.

    >>> place_of(Site(2, 0, "core.attn.q"))
    Place(part='core', loop=2, layer=0)
    """
    return Place(site.name.partition(".")[0], site.loop, site.layer)


def in_turn(*taps: Tap) -> Tap:
    """One tap out of several: each sees what those before it have left of a value.

    >>> double, show = lambda site, value: 2 * value, lambda site, value: print(value)
    >>> in_turn(double, show)(Site(None, None, "input"), torch.ones(1)).item()
    tensor([2.])
    2.0
    """

    def tap(site: Site, value: Tensor) -> Tensor | None:
        replaced = None
        for one in taps:
            found = one(site, value)
            if found is not None:
                value = replaced = found
        return replaced

    return tap


class Patterns:
    """A tap that shows the attention patterns of every layer to some listeners, head by head."""

    def __init__(self, model: LoopedTransformer, tokens: Tensor, listeners: Sequence[Listener]):
        self.listeners, self.query = listeners, None
        count, self.kind = tokens.shape[1], precise_dtype(model.dtype)
        context = model.context(count, tokens)
        self.hidden = hidden_keys(context, count, model.device, self.kind)
        self.scale = model.config.head_width**-0.5
        self.block = block_rows(count, model.device)

    def __call__(self, site: Site, value: Tensor) -> None:
        if site.name.endswith("attn.q"):
            self.query = value[0]
        elif site.name.endswith("attn.k"):
            query, self.query = self.query, None
            for first in range(0, len(query), self.block):
                heads = slice(first, min(first + self.block, len(query)))
                q, k = query[heads].to(self.kind), value[0, heads].to(self.kind)
                scores = torch.baddbmm(self.hidden, q, k.mT, alpha=self.scale)
                pattern = scores.softmax(-1)
                del scores  # or two blocks would be held for the listeners
                for listener in self.listeners:
                    listener(site, heads, pattern)


class Stages:
    """STAGES of every layer that runs: a listener of patterns, and a tap for states.

    The entropy of states is dear, so it is left out (NaN) of loops that are not in `loops`, which
    are counted from 1.
    """

    def __init__(self, loops: Sequence[int]):
        self.loops = {None, *(loop - 1 for loop in loops)}
        self._heads: dict[Place, list[Tensor]] = {}  # blocks of [concentration, sink, mixing]
        self._states: dict[Place, Tensor] = {}  # norm, peak, entropy

    def listen(self, site: Site, heads: slice, pattern: Tensor) -> None:
        """Take the numbers of some heads' patterns [head, token, token]."""
        found = (colsum_concentration(pattern), sink_score(pattern), mixing_score(pattern))
        self._heads.setdefault(place_of(site), []).append(torch.stack(found))

    def __call__(self, site: Site, value: Tensor) -> None:
        if site.layer is None or not site.name.endswith(".resid"):
            return
        state = precise(value[0])  # [token, width]
        length = vector_norm(state, dim=-1)
        entropy = length.new_tensor(torch.nan)
        if site.loop in self.loops:
            entropy = residual_entropy(state)
        peak = length.amax() / length.median().clamp_min(torch.finfo(length.dtype).tiny)
        self._states[place_of(site)] = torch.stack((length.mean(), peak, entropy))

    def of(self, part: str) -> Tensor:
        """The numbers of one part's layers, in the order in which they ran: [run, stage]."""
        places = [place for place in self._states if place.part == part]
        rows = [self._row(place) for place in places]
        return torch.stack(rows) if rows else torch.empty(0, len(STAGES))

    def _row(self, place: Place) -> Tensor:
        concentration, sink, mixing = torch.cat(self._heads[place], dim=1)
        norm, peak, entropy = self._states[place]
        heads = (concentration.mean(), sink_share(sink), mixing.mean())
        return torch.stack((norm, peak, *heads, entropy)).cpu()


class PatternSteps:
    """A listener: Frobenius distance of each core pattern to that of the loop before, and to a
    reference [layer, head, token, token]; means over heads, [loop, layer]. `step[0]` is no step."""

    def __init__(self, model: LoopedTransformer, tokens: int, loops: int, reference: Tensor | None):
        config = model.config
        shape = (config.core, config.heads, tokens, tokens)
        kind = precise_dtype(model.dtype)
        self.previous = torch.zeros(shape, dtype=kind, device=model.device)
        self.reference, self.heads = reference, config.heads
        numbers = torch.zeros(2, loops, config.core, dtype=kind, device=model.device)
        self.step, self.distance = numbers.unbind()

    def __call__(self, site: Site, heads: slice, pattern: Tensor) -> None:
        loop, layer, name = site
        if not name.startswith("core."):
            return
        before = self.previous[layer, heads]
        moved = vector_norm(before.sub_(pattern), dim=(-2, -1))
        self.step[loop, layer] += moved.sum() / self.heads
        before.copy_(pattern)
        if self.reference is not None:
            apart = vector_norm(pattern - self.reference[layer, heads], dim=(-2, -1))
            self.distance[loop, layer] += apart.sum() / self.heads


class KeepPatterns:
    """A listener that keeps the core's patterns of some loops, from 0: [loop, layer, head, ...]."""

    def __init__(self, model: LoopedTransformer, tokens: int, loops: range):
        config = model.config
        shape = (len(loops), config.core, config.heads, tokens, tokens)
        self.loops = loops
        self.patterns = torch.empty(shape, dtype=precise_dtype(model.dtype), device=model.device)

    def __call__(self, site: Site, heads: slice, pattern: Tensor) -> None:
        if site.name.startswith("core.") and site.loop in self.loops:
            self.patterns[site.loop - self.loops.start, site.layer, heads] = pattern


class KeepMeans:
    """A listener that keeps the head mean of every pattern of the first loops, in running order."""

    def __init__(self, model: LoopedTransformer, loops: int):
        self.heads, self.loops = model.config.heads, loops
        self.found: dict[str, dict[Place, Tensor]] = {"prelude": {}, "core": {}, "coda": {}}

    def __call__(self, site: Site, heads: slice, pattern: Tensor) -> None:
        place = place_of(site)
        if place.loop is None or place.loop < self.loops:
            kept = self.found[place.part]
            kept[place] = kept.get(place, 0) + pattern.sum(0) / self.heads

    def of(self, part: str) -> Tensor:
        """Mean patterns [run, token, token] of a part; [0] where it has no layers."""
        found = list(self.found[part].values())
        return torch.stack(found).cpu() if found else torch.empty(0)


class KeepToken:
    """A tap that keeps the last token's state after every core layer: [loop, layer, width]."""

    def __init__(self, model: LoopedTransformer, loops: int):
        shape = (loops, model.config.core, model.config.layer_width)
        self.states = torch.empty(shape, dtype=precise_dtype(model.dtype), device=model.device)

    def __call__(self, site: Site, value: Tensor) -> None:
        if site.name == "core.resid":
            self.states[site.loop, site.layer] = value[0, -1]


class Written:
    """A tap: the longest vector that each MLP of prelude and core adds at any token."""

    def __init__(self):
        self.longest: dict[Place, Tensor] = {}

    def __call__(self, site: Site, value: Tensor) -> None:
        if site.name.endswith("mlp.out") and not site.name.startswith("coda."):
            self.longest[place_of(site)] = vector_norm(precise(value[0]), dim=-1).amax()


class Silence:
    """A tap that puts zeros in place of what one layer's MLP adds, in every loop."""

    def __init__(self, part: str, layer: int):
        self.name, self.layer = f"{part}.mlp.out", layer

    def __call__(self, site: Site, value: Tensor) -> Tensor | None:
        return torch.zeros_like(value) if site[1:] == (self.layer, self.name) else None
