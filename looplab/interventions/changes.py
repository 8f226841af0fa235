"""Taps that change a run: silence, steer, hold a value for later loops, shorten a pass."""

from collections.abc import Callable

import torch
from torch import Tensor

from looplab.interventions.places import Place, Which
from looplab.model import Site, Tap
from looplab.model.tap import wants_patterns

__all__ = ["ablate", "ablate_head", "at", "chain", "hold", "shorten", "steer"]


class At:
    """A tap that puts change(site, value) in the place of values; it says so where there are none.

    The logits end a run: a tap that has met nothing by then was asked for what this run has not.
    """

    def __init__(self, place: Place, change: Callable[[Site, Tensor], Tensor | None]):
        self.place, self.change, self.met = place, change, False
        self.patterns = place.name.endswith("attn.pattern")

    def __call__(self, site: Site, value: Tensor) -> Tensor | None:
        if self.place.holds(site):
            new = self.change(site, value)
            if new is None:
                return None
            self.met = True
            if new.shape != value.shape:
                raise ValueError(
                    f"{self.place}: a value {tuple(new.shape)} for one {tuple(value.shape)}; "
                    "it must keep the shape"
                )
            return self.place.put(value, new.to(value))
        if site.name == "logits" and not self.met:
            raise ValueError(
                f"{self.place}: this run had no such value. Has it fewer loops or layers, or a "
                "model without this site?"
            )
        return None


def at(
    name: str,
    change: Callable[[Tensor], Tensor],
    *,
    loops: Which = None,
    layers: Which = None,
    tokens: Which = None,
) -> Tap:
    """A tap that puts `change(value)` in the place of the value called `name`.

    `name` as in `looplab.model.tap`. Of a core's values, `loops` and `layers` say which, counted
    from 1: one, several, or None for all. `tokens` are indices from 0 (of the queries, where the
    value is an attention pattern); the others keep their value. A run that ends without such a
    value raises ValueError, since the change was then none.

    >>> from looplab import LoopedConfig, LoopedTransformer, trace
    >>> model = LoopedTransformer(LoopedConfig(vocab=10, width=16, heads=2, core=2))
    >>> half = at("core.loop_end", lambda z: z / 2, loops=3)
    >>> run = trace(model, torch.zeros(1, 5, dtype=torch.long), loops=4, tap=half)
    >>> bool((run.loop_ends[2] == run.states[2, -1] / 2).all())
    True
    """
    return At(Place(name, loops, layers, tokens), lambda site, value: change(value))


def ablate(
    name: str = "core.mlp.out",
    *,
    to: Tensor | float = 0.0,
    loops: Which = None,
    layers: Which = None,
    tokens: Which = None,
) -> Tap:
    """A tap that puts zero, or `to` (a mean, say, that broadcasts), in the place of a value.

    The rest as in `at`.

    >>> tap = ablate("core.attn.out", loops=[1, 2])
    >>> tap(Site(0, 0, "core.attn.out"), torch.ones(1, 2, 3)).sum()
    tensor(0.)
    """
    to = torch.as_tensor(to)
    return at(
        name, lambda value: to.to(value).expand_as(value), loops=loops, layers=layers, tokens=tokens
    )


def ablate_head(
    heads: Which, *, loops: Which = None, layers: Which = None, part: str = "core"
) -> Tap:
    """A tap that silences attention heads, counted from 0: they mix nothing into the stream.

    `part` is "prelude", "core" or "coda". What attention's last matrix adds as a bias stays. The
    rest as in `at`; an adapted module's patterns cannot be replaced (ValueError).

    >>> tap = ablate_head(1, loops=2)
    >>> tap(Site(1, 0, "core.attn.pattern"), torch.ones(1, 2, 1, 3))[0, :, 0].sum(-1)
    tensor([3., 0.])
    """
    heads = sorted(Place("logits", tokens=heads).tokens or [])
    if not heads:
        raise ValueError("heads=None: name the heads to silence, from 0")

    def silence(pattern: Tensor) -> Tensor:
        count = pattern.shape[1]
        if not 0 <= heads[0] <= heads[-1] < count:
            raise ValueError(f"heads {heads}: this model has heads 0 to {count - 1}")
        keeps = torch.ones(count, dtype=pattern.dtype, device=pattern.device)
        keeps[heads] = 0
        return pattern * keeps[:, None, None]

    return at(f"{part}.attn.pattern", silence, loops=loops, layers=layers)


def steer(
    vector: Tensor,
    name: str = "core.loop_end",
    *,
    loops: Which = None,
    layers: Which = None,
    tokens: Which = None,
) -> Tap:
    """A tap that adds `vector`, [width] or what broadcasts to the value; the rest as in `at`.

    >>> tap = steer(torch.ones(3), loops=1, tokens=-1)
    >>> tap(Site(0, None, "core.loop_end"), torch.zeros(1, 2, 3))[0, :, 0]
    tensor([0., 1.])
    """

    def add(value: Tensor) -> Tensor:
        if vector.shape[-1:] not in ((1,), value.shape[-1:]):
            raise ValueError(
                f"vector has shape {tuple(vector.shape)}: {name} has width {value.shape[-1]}"
            )
        return value + vector.to(value)

    return at(name, add, loops=loops, layers=layers, tokens=tokens)


def hold(
    name: str,
    loop: int,
    *,
    loops: Which = None,
    layers: Which = None,
    tokens: Which = None,
) -> Tap:
    """A tap that keeps what `name` is at loop `loop`, and puts it there at later loops.

    `loops` are those at which it is put, all later ones for None. With "core.attn.pattern"
    attention is frozen; with "core.attn.out" or "core.mlp.out" a write is held. The rest as in
    `at`. Raises ValueError for a loop that is not later, and where tokens have left a generation
    early, since the value kept is of all of them.

    >>> tap = hold("core.attn.out", 1)
    >>> _ = tap(Site(0, 0, "core.attn.out"), torch.ones(1, 2, 3))
    >>> tap(Site(4, 0, "core.attn.out"), torch.zeros(1, 2, 3)).mean()
    tensor(1.)
    """
    place = Place(name, loops, layers, tokens)
    begin = Place(name, loop, layers)
    (first,) = begin.loops if begin.loops is not None and len(begin.loops) == 1 else (None,)
    if first is None:
        raise ValueError(f"loop={loop!r}: expected the one loop whose value is held")
    if place.loops is not None and min(place.loops) <= first:
        raise ValueError(f"loops has {min(place.loops)}: expected loops behind loop {first}")
    kept: dict[int | None, Tensor] = {}

    def change(site: Site, value: Tensor) -> Tensor | None:
        if site.loop + 1 < first:
            return None
        if site.loop + 1 == first:
            kept[site.layer] = value
            return None
        if site.layer not in kept:
            raise ValueError(f"{begin}: this run began behind it, so there is nothing to hold")
        return kept[site.layer]

    watched = None if place.loops is None else {first, *place.loops}
    return At(Place(name, watched, layers, tokens), change)


def shorten(share: float, *, loops: Which = None, tokens: Which = None) -> Tap:
    """A tap that makes passes go `share` of their way: z + share * (f(z) - z).

    0 skips a pass, 0.25 makes a quarter of its step, above 1 it goes further. `loops` and `tokens`
    as in `at`. A fixed point of f stays one. Raises ValueError for a share below 0, and in a run
    that shows no state at loop 0 (a bare `step`).

    Source: damped (Krasnoselskii-Mann) iteration.

    >>> tap = shorten(0.25)
    >>> _ = tap(Site(None, None, "start"), torch.zeros(1, 1, 2))
    >>> tap(Site(0, None, "core.loop_end"), torch.ones(1, 1, 2))
    tensor([[[0.2500, 0.2500]]])
    """
    if not share >= 0:
        raise ValueError(f"share={share}: expected 0 (a pass is skipped) or more")
    before: list[Tensor] = []  # the state that the pass began with

    def change(site: Site, value: Tensor) -> Tensor:
        if not before:
            raise ValueError("shorten: this run showed no state at loop 0, run the whole model")
        (begun,) = before
        if begun.shape != value.shape:
            raise ValueError(
                f"shorten: a pass began with {tuple(begun.shape)} and ends with "
                f"{tuple(value.shape)}; generate without an exit rule"
            )
        return begun + share * (value - begun)

    inner = At(Place("core.loop_end", loops, tokens=tokens), change)

    def tap(site: Site, value: Tensor) -> Tensor | None:
        new = inner(site, value)
        if site.name in ("start", "core.loop_end"):
            before[:] = [value if new is None else new]
        return new

    return tap


def chain(*taps: Tap) -> Tap:
    """One tap out of several; each sees what those before it made of the value.

    >>> twice = chain(steer(torch.ones(2)), steer(torch.ones(2)))
    >>> twice(Site(0, None, "core.loop_end"), torch.zeros(1, 1, 2))
    tensor([[[2., 2.]]])
    """

    def tap(site: Site, value: Tensor) -> Tensor | None:
        begun = value
        for one in taps:
            if site.name.endswith("attn.pattern") and not wants_patterns(one):
                continue
            new = one(site, value)
            value = value if new is None else new
        return None if value is begun else value

    tap.patterns = any(wants_patterns(one) for one in taps)
    return tap
