"""Where a tap acts: the name of a value, and which loops, layers and tokens of it."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from looplab.basics.whole import is_whole
from looplab.model import Site
from looplab.model.tap import OF_LAYERS, OF_LOOPS, OUTSIDE, PARTS

Which = int | Iterable[int] | None  # one, several, or all

_NAMES = (
    *OUTSIDE,
    *(f"core.{name}" for name in OF_LOOPS),
    *(f"{part}.{name}" for part in PARTS for name in OF_LAYERS),
)


@dataclass(frozen=True)
class Place:
    """Values of one name: at some loops and layers, counted from 1, and some tokens, from 0.

    None stands for all. Raises ValueError for a name that no pass has, and for loops or layers
    that it cannot have.

    >>> place = Place("core.mlp.out", loops=2)
    >>> place.holds(Site(1, 0, "core.mlp.out")), place.holds(Site(2, 0, "core.mlp.out"))
    (True, False)
    """

    name: str
    loops: Which = None
    layers: Which = None
    tokens: Which = None

    def __post_init__(self):
        check_name(self.name)
        for what, least in (("loops", 1), ("layers", 1), ("tokens", None)):
            object.__setattr__(self, what, _several(what, getattr(self, what), least))
        if self.loops is not None and not self.name.startswith("core."):
            raise ValueError(f"loops={_list(self.loops)}: {self.name} is outside the loop, once")
        if self.layers is not None and not has_layers(self.name):
            raise ValueError(f"layers={_list(self.layers)}: {self.name} stands between layers")

    def holds(self, site: Site) -> bool:
        """Whether the values at this site are of this place."""
        return (
            site.name == self.name
            and (self.loops is None or site.loop + 1 in self.loops)
            and (self.layers is None or site.layer + 1 in self.layers)
        )

    def put(self, value: Tensor, new: Tensor) -> Tensor:
        """`value` with `new`, of the same shape, in the place of its chosen tokens."""
        if self.tokens is None:
            return new
        axis = token_axis(value)
        count = value.shape[axis]
        for token in self.tokens:
            if not -count <= token < count:
                raise ValueError(
                    f"token {token} of {self.name}, which has {count} here: choose -{count} to "
                    f"{count - 1} (behind its prompt, generate shows one token at a time)"
                )
        chosen = torch.zeros(count, dtype=torch.bool, device=value.device)
        chosen[list(self.tokens)] = True
        return torch.where(chosen.view(-1, *[1] * (value.dim() - axis - 1)), new, value)

    def __str__(self):
        words = [self.name]
        for what in ("loops", "layers", "tokens"):
            chosen = getattr(self, what)
            if chosen is not None:
                many = what if len(chosen) > 1 else what[:-1]
                words.append(f"{many} {_list(chosen)}")
        return ", ".join(words)


def check_name(name: str) -> None:
    """Raise ValueError for a name that no pass has; the message lists those there are."""
    if name not in _NAMES:
        layers = ", ".join(OF_LAYERS)
        raise ValueError(
            f"name={name!r}: expected one of {', '.join(OUTSIDE)}; core. and one of "
            f"{', '.join(OF_LOOPS)}; or {' or '.join(f'{part}.' for part in PARTS)} and one of "
            f"{layers}"
        )


def has_layers(name: str) -> bool:
    """Whether each layer has a value of this name."""
    return name.partition(".")[2] in OF_LAYERS


def token_axis(value: Tensor) -> int:
    """1, or 2 behind the heads: [batch, token, width] or [batch, head, token, ...]."""
    return 2 if value.dim() == 4 else 1


def _several(what: str, which: Which, least: int | None) -> frozenset[int] | None:
    if which is None:
        return None
    single = is_whole(which) or isinstance(which, str) or not isinstance(which, Iterable)
    several = [which] if single else list(which)
    for one in several:
        if not is_whole(one, least):
            kind = "a whole number" if least is None else f"a whole number of at least {least}"
            raise ValueError(f"{what} has {one!r}: expected {kind}, several of them, or None")
    if not several:
        raise ValueError(f"{what} is empty: name at least one, or None for all")
    return frozenset(int(one) for one in several)


def _list(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))
