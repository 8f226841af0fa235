"""Patching maps: the score of a run under a patch at every loop and token, loop and layer, ..."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from looplab.interventions.patching import Kept, Patch, run_patches
from looplab.model import Loop

__all__ = ["PatchMap", "answer_gap", "patch_map"]

AXES = {
    ("loop", "token"): "one token at one loop",
    ("loop", "layer"): "one layer at one loop",
    ("from_loop", "to_loop"): "one loop of the source at one loop",
}
Score = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class PatchMap:
    """What patches of a run do to a score, place by place; `patch_map` makes one."""

    values: Tensor  # the score under each patch [row, column, batch]
    base: Tensor  # of the run that is patched, as it is [batch]
    aim: Tensor  # of the run that values come from [batch]
    axes: tuple[str, str]  # what rows and columns are
    what: str  # what was patched, in words
    control: Tensor | None  # as `values`, with values of a run that has to do with neither

    @property
    def share(self) -> Tensor:
        """0 where a patch does nothing, 1 where it makes the whole difference [row, column, batch].

        Not a number where both runs have one score.
        """
        return self._share(self.values)

    @property
    def control_share(self) -> Tensor | None:
        """`share` of the control, or None."""
        return None if self.control is None else self._share(self.control)

    @property
    def null(self) -> str:
        """What would be seen if the patched values did not matter, in words."""
        return "0 everywhere: what a run patched into itself has"

    def _share(self, values: Tensor) -> Tensor:
        return (values - self.base) / (self.aim - self.base)

    def __repr__(self):
        rows, columns, batch = self.values.shape
        return f"PatchMap({self.what}: {rows} x {columns}, batch={batch})"


def answer_gap(token: int, right: Tensor | int, wrong: Tensor | int) -> Score:
    """A score: the logit of class `right` less that of `wrong`, at one token; [batch] or one each.

    >>> answer_gap(-1, 2, 0)(torch.tensor([[[[1.0, 0.0, 4.0]]]]))
    tensor([[3.]])
    """

    def score(logits: Tensor) -> Tensor:
        here = logits[..., token, :]  # [patch, batch, vocab]

        def of(which: Tensor | int) -> Tensor:
            index = torch.as_tensor(which, device=here.device).expand(here.shape[:-1])
            return here.gather(-1, index[..., None])[..., 0]

        return of(right) - of(wrong)

    return score


def patch_map(
    model: Loop,
    source: Kept,
    tokens: Tensor,
    score: Score,
    axes: tuple[str, str] = ("loop", "token"),
    loops: int | None = None,
    *,
    name: str | None = None,
    token: int | None = None,
    layer: int | None = None,
    control: Kept | None = None,
    state: Tensor | None = None,
    generator: torch.Generator | None = None,
    **options,
) -> PatchMap:
    """Patch `source` into the run on `tokens` at every place of a map, all variants side by side.

    `axes` are ("loop", "token"), ("loop", "layer") or ("from_loop", "to_loop"); the first two put
    a loop's value into the same loop. `name` is core.loop_end, or core.resid with layers. `token`
    and `layer` restrict patches where the axes do not say. `score` makes of logits [patch, batch,
    token, vocab] a number for each [patch, batch], as `answer_gap` does. `control` is a run on an
    input that has to do with neither: what any disturbance of this size does. `options` are those
    of `run_patches` (mask, max_bytes, bar).

    >>> from looplab import LoopedConfig, LoopedTransformer
    >>> from looplab.interventions import keep
    >>> model = LoopedTransformer(LoopedConfig(vocab=10, width=16, heads=2, core=2))
    >>> a, b = torch.tensor([[1, 2, 3]]), torch.tensor([[4, 5, 6]])
    >>> patch_map(model, keep(model, a, 4), b, answer_gap(-1, 7, 8), loops=4)
    PatchMap(core.loop_end, one token at one loop: 4 x 3, batch=1)
    """
    if tuple(axes) not in AXES:
        raise ValueError(f"axes={axes!r}: expected one of {', '.join(map(str, AXES))}")
    tokens, _ = model.read(tokens)
    loops = model.check_loops(loops)
    if name is None:
        name = "core.resid" if "layer" in (*axes, "layer" if layer else "") else "core.loop_end"
    ranges = {
        "loop": range(1, loops + 1),
        "from_loop": range(1, source.loops + 1),
        "to_loop": range(1, loops + 1),
        "layer": range(1, model.config.core + 1),
        "token": range(tokens.shape[1]),
    }
    patches = []
    for pair in product(*(ranges[axis] for axis in axes)):
        at = {"layer": layer, "token": token} | dict(zip(axes, pair, strict=True))
        at["to_loop"] = at.pop("loop", None) or at["to_loop"]
        patches.append(Patch(**at))
    # One state at loop 0 for all, the patched and the plain run
    begun = model.prepare(tokens, state=state, generator=generator, **_masks(options)).start

    def run(kept: Kept) -> Tensor:
        found = run_patches(
            model, kept, tokens, patches, loops, name=name, score=score, state=begun, **options
        )
        return found.unflatten(0, [len(ranges[axis]) for axis in axes])

    with torch.no_grad():
        plain = model(tokens, loops, state=begun, **_masks(options)).logits
    return PatchMap(
        run(source),
        score(plain[None])[0],
        score(source.logits[None])[0].expand(len(tokens)),
        tuple(axes),
        f"{name}, {AXES[tuple(axes)]}" + _where(token, layer),
        None if control is None else run(control),
    )


def _masks(options: dict) -> dict:
    return {key: options[key] for key in ("mask", "types") if options.get(key) is not None}


def _where(token: int | None, layer: int | None) -> str:
    return "".join(
        f", {what} {n}" for what, n in (("token", token), ("layer", layer)) if n is not None
    )
