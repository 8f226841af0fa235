"""Patching: values of one run put into another, one place or many variants at once."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from looplab.basics.memory import check_bytes
from looplab.interventions.changes import At, chain
from looplab.interventions.places import Place, Which, check_name, has_layers
from looplab.model import Loop, Site, Tap
from looplab.model.given import given_types
from looplab.tracing import MAX_BYTES

__all__ = ["Kept", "Patch", "keep", "patch", "run_patches"]


@dataclass(frozen=True, eq=False)
class Kept:
    """Values of one run by their sites, for patching into another; `keep` makes one."""

    values: dict[Site, Tensor]
    tokens: Tensor  # [batch, token] or [batch, token, field]
    start: Tensor  # state at loop 0 [batch, token, width]
    logits: Tensor  # after the last loop [batch, token, vocab]
    loops: int

    def at(self, name: str, loop: int | None = None, layer: int | None = None) -> Tensor:
        """The value called `name` at loop and layer, from 1; KeyError where none was kept."""
        site = Site(None if loop is None else loop - 1, None if layer is None else layer - 1, name)
        if site not in self.values:
            where = "".join(
                f", {what} {n}" for what, n in (("loop", loop), ("layer", layer)) if n is not None
            )
            raise KeyError(
                f"{name}{where}: not kept. This run has {self.loops} loops and kept "
                f"{', '.join(sorted({one.name for one in self.values}))}"
            )
        return self.values[site]

    def __repr__(self):
        names = ", ".join(sorted({one.name for one in self.values}))
        return f"Kept({names}; loops={self.loops}, batch={len(self.tokens)})"


@dataclass(frozen=True)
class Patch:
    """One place to patch: loops and layer counted from 1, a token's index, None for all of them."""

    to_loop: int
    from_loop: int | None = None  # None: the same
    layer: int | None = None
    token: int | None = None


@torch.no_grad()
def keep(
    model: Loop,
    tokens: Tensor,
    loops: int | None = None,
    names: Sequence[str] = ("core.loop_end",),
    *,
    mask: Tensor | None = None,
    types: Tensor | None = None,
    state: Tensor | None = None,
    generator: torch.Generator | None = None,
    tap: Tap | None = None,
    max_bytes: int = MAX_BYTES,
) -> Kept:
    """Run `model` and keep every value of these names (`looplab.model.tap`), and the logits.

    The rest as in `trace`; a model with a random start gets the same one for two runs from `state`.
    Raises ValueError for a name that no pass has or that this run had not, and MemoryError as soon
    as what is kept takes more than `max_bytes`.

    >>> from looplab import LoopedConfig, LoopedTransformer
    >>> model = LoopedTransformer(LoopedConfig(vocab=10, width=16, heads=2, core=2))
    >>> run = keep(model, torch.zeros(1, 5, dtype=torch.long), loops=4)
    >>> run.at("core.loop_end", loop=4).shape
    torch.Size([1, 5, 16])
    """
    if isinstance(names, str):
        raise ValueError(f"names={names!r}: give a tuple of names, names=({names!r},)")
    for name in names:
        check_name(name)
    values: dict[Site, Tensor] = {}
    start: list[Tensor] = []
    taken = 0

    def record(site: Site, value: Tensor) -> None:
        nonlocal taken
        if site.name == "start":
            start.append(value)
        if site.name in names:
            taken += value.nbytes
            check_bytes(
                "what is kept", {"so far": taken}, max_bytes, "keep fewer names, loops or sequences"
            )
            values[site] = value.clone()

    record.patterns = any(name.endswith("attn.pattern") for name in names)
    types = given_types(types, tokens)
    tokens, mask = model.read(tokens, mask)
    loops = model.check_loops(loops)
    given = _given(mask=mask, types=types, state=state, generator=generator)
    out = model(tokens, loops, tap=record if tap is None else chain(tap, record), **given)
    for name in names:
        if all(site.name != name for site in values):
            raise ValueError(f"{name}: this model shows no such value, choose another name")
    return Kept(values, tokens, start[0], out.logits, loops)


def patch(
    source: Kept,
    name: str = "core.loop_end",
    *,
    to_loop: int | None = None,
    from_loop: int | None = None,
    layers: Which = None,
    tokens: Which = None,
    direction: Tensor | None = None,
) -> Tap:
    """A tap that puts values of the run `source` in the place of this run's.

    At loop `to_loop` stands what `source` had at `from_loop` (the same loop for None); with
    neither, every loop gets its own. `layers` and `tokens` as in `at`. With a `direction` [width],
    or several [direction, width], only the part along them is put there, and what is at right
    angles stays. Source: activation patching, as in arXiv 2404.15255.

    >>> from looplab import LoopedConfig, LoopedTransformer, trace
    >>> model = LoopedTransformer(LoopedConfig(vocab=10, width=16, heads=2, core=2))
    >>> a, b = torch.tensor([[1, 2, 3]]), torch.tensor([[4, 5, 6]])
    >>> run = trace(model, b, 4, tap=patch(keep(model, a, 4), to_loop=2, tokens=1))
    >>> bool((run.loop_ends[1, :, 1] == keep(model, a, 4).at("core.loop_end", 2)[:, 1]).all())
    True
    """
    place = Place(name, to_loop, layers, tokens)
    if from_loop is not None and to_loop is None:
        raise ValueError(f"from_loop={from_loop} needs a to_loop: into which loop?")
    basis = None if direction is None else _orthonormal(direction)

    def change(site: Site, value: Tensor) -> Tensor:
        loop = None if site.loop is None else site.loop + 1
        layer = None if site.layer is None else site.layer + 1
        new = source.at(name, loop if from_loop is None else from_loop, layer)
        new = _fitting(new, value, name)
        if basis is None:
            return new
        along = basis.to(value)
        return value + (new - value) @ along.T @ along

    return At(place, change)


@torch.no_grad()
def run_patches(
    model: Loop,
    source: Kept,
    tokens: Tensor,
    patches: Sequence[Patch],
    loops: int | None = None,
    *,
    name: str = "core.loop_end",
    score: Callable[[Tensor], Tensor] | None = None,
    mask: Tensor | None = None,
    types: Tensor | None = None,
    state: Tensor | None = None,
    generator: torch.Generator | None = None,
    max_bytes: int = MAX_BYTES,
    bar: bool = True,
) -> Tensor:
    """The logits [patch, batch, token, vocab] of `tokens` under each patch out of `source`.

    The variants run side by side as rows of one batch, in as many turns as `max_bytes` asks for,
    each from one state at loop 0, with a `bar` when that takes longer than a second. `score` makes
    of the logits of some patches [patch, batch, token, vocab] what is kept of them, [patch, ...].
    Raises ValueError for a place that the run has not.

    >>> from looplab import LoopedConfig, LoopedTransformer
    >>> model = LoopedTransformer(LoopedConfig(vocab=10, width=16, heads=2, core=2))
    >>> a, b = torch.tensor([[1, 2, 3]]), torch.tensor([[4, 5, 6]])
    >>> run_patches(model, keep(model, a, 4), b, [Patch(1), Patch(4, token=2)], 4).shape
    torch.Size([2, 1, 3, 10])
    """
    types = given_types(types, tokens)
    tokens, mask = model.read(tokens, mask)
    loops = model.check_loops(loops)
    _check_patches(model, source, patches, name, loops)
    fixed = _given(mask=mask, types=types)
    begun = model.prepare(tokens, **_given(state=state, generator=generator), **fixed).start
    found = []
    for some in _turns(model, tokens, patches, name, max_bytes, bar):
        rows = {
            key: value.repeat(len(some), *[1] * (value.dim() - 1))
            for key, value in {"tokens": tokens, "state": begun, **fixed}.items()
        }
        tap = _by_row(source, name, some, len(tokens))
        logits = model(rows.pop("tokens"), loops, tap=tap, **rows).logits
        logits = logits.unflatten(0, (len(some), len(tokens)))
        # Copied, since a score may be a part of the logits and would keep all of them.
        found.append(logits if score is None else score(logits).clone())
    return torch.cat(found)


def _by_row(source: Kept, name: str, patches: Sequence[Patch], batch: int) -> Tap:
    """A tap that gives each patch to rows of its own: the first `batch` rows have the first."""
    wanted: dict[int, list[int]] = {}
    for row, one in enumerate(patches):
        wanted.setdefault(one.to_loop - 1, []).append(row)

    def tap(site: Site, value: Tensor) -> Tensor | None:
        if site.name != name or site.loop not in wanted:
            return None
        layer = None if site.layer is None else site.layer + 1
        cells = value.unflatten(0, (len(patches), batch)).clone()
        for row in wanted[site.loop]:
            one = patches[row]
            if one.layer not in (None, layer):
                continue
            new = source.at(name, one.from_loop or one.to_loop, layer)
            place = Place(name, tokens=one.token)
            cells[row] = place.put(cells[row], _fitting(new, cells[row], name))
        return cells.flatten(0, 1)

    tap.patterns = name.endswith("attn.pattern")
    return tap


def _turns(
    model: Loop, tokens: Tensor, patches: Sequence[Patch], name: str, max_bytes: int, bar: bool
) -> Iterator[Sequence[Patch]]:
    """The patches in as many parts as the memory asks for."""
    config, (batch, token) = model.config, tokens.shape[:2]
    numbers = config.answers + 8 * config.state_width + 2 * config.hidden  # of a token, at a time
    if name.endswith("attn.pattern"):
        numbers += 2 * config.heads * token
    each = batch * token * numbers * model.dtype.itemsize
    check_bytes("one patch", {"its run": each}, max_bytes, "patch fewer sequences at a time")
    size = min(len(patches), max(1, max_bytes // each))
    with tqdm(total=len(patches), unit="patch", disable=not bar, delay=1) as shown:
        for first in range(0, len(patches), size):
            some = patches[first : first + size]
            yield some
            shown.update(len(some))


def _check_patches(
    model: Loop, source: Kept, patches: Sequence[Patch], name: str, loops: int
) -> None:
    check_name(name)
    if not name.startswith("core."):
        raise ValueError(f"name={name!r}: expected a value of the core, such as core.loop_end")
    if not len(patches):
        raise ValueError("patches is empty: give at least one")
    for one in patches:
        Place(name, one.to_loop, one.layer, one.token)
        if one.to_loop > loops:
            raise ValueError(f"{one}: this run has {loops} loops")
        if one.layer is not None and one.layer > model.config.core:
            raise ValueError(f"{one}: this core has layers 1 to {model.config.core}")
        source.at(
            name, one.from_loop or one.to_loop, one.layer or (1 if has_layers(name) else None)
        )


def _fitting(new: Tensor, value: Tensor, name: str) -> Tensor:
    """`new` with a batch as large as that of `value`; ValueError where the rest differs."""
    if new.shape[1:] != value.shape[1:] or len(new) not in (1, len(value)):
        raise ValueError(
            f"{name} is {tuple(new.shape)} in the source and {tuple(value.shape)} here: both runs "
            "need as many tokens, and the source one sequence or as many"
        )
    return new.to(value).expand_as(value)


def _orthonormal(direction: Tensor) -> Tensor:
    """Rows [direction, width] of length 1, at right angles, that span what `direction` spans."""
    rows = direction[None] if direction.dim() == 1 else direction
    if rows.dim() != 2 or not rows.is_floating_point() or not torch.isfinite(rows).all():
        raise ValueError(
            f"direction has shape {tuple(direction.shape)}: expected floats [width] or "
            "[direction, width], all finite"
        )
    basis, triangle = torch.linalg.qr(rows.double().T)
    sizes = triangle.diagonal().abs()
    if len(rows) > rows.shape[1] or (sizes <= 1e-6 * sizes.max()).any():
        raise ValueError("direction: the directions must differ, none zero or a mix of the others")
    return basis.T


def _given(**values) -> dict:
    """Those that are not None: a model of somebody else's takes no mask."""
    return {name: value for name, value in values.items() if value is not None}
