"""Passes in another order: skipped, repeated, turned around."""

from collections.abc import Sequence

import torch
from torch import Tensor

from looplab.basics.whole import whole_number
from looplab.model import Loop, LoopedOutput, Site, Tap
from looplab.model.given import given_types
from looplab.model.tap import show

__all__ = ["in_order"]


@torch.no_grad()
def in_order(
    model: Loop,
    tokens: Tensor,
    order: Sequence[int],
    *,
    mask: Tensor | None = None,
    types: Tensor | None = None,
    state: Tensor | None = None,
    generator: torch.Generator | None = None,
    tap: Tap | None = None,
) -> LoopedOutput:
    """Run the passes of these numbers, from 1, one after the other: [1, 2, 2, 4] repeats and skips.

    Where passes share all their weights, one more or one less is all that an order can say; it
    matters for an unrolled twin, for gates or vectors of each loop's own, and for what a tap does
    at a loop. `loop_states` of the result are the ends of the passes in this order [pass, batch,
    token, width]; the rest as in the model's forward pass. Raises ValueError for an empty order, a
    pass that an unrolled twin has not, and a model that has a solver, which mixes passes.

    Source: skipping, repeating and reordering of layers, arXiv 2407.09298, done to passes.

    >>> from looplab import LoopedConfig, LoopedTransformer
    >>> model = LoopedTransformer(LoopedConfig(vocab=10, width=16, heads=2, core=2))
    >>> run = in_order(model, torch.tensor([[1, 2, 3]]), [1, 2, 2])
    >>> torch.equal(run.logits, model(torch.tensor([[1, 2, 3]]), 3).logits)
    True
    """
    numbers = [whole_number("a pass of order", one, 1) for one in order]
    if not numbers:
        raise ValueError("order is empty: name at least one pass, from 1")
    if not model.config.tied and max(numbers) > model.config.loops:
        raise ValueError(f"order has {max(numbers)}: this unrolled twin has {model.config.loops}")
    if model.config.solver != "plain":
        raise ValueError(
            f"solver={model.config.solver!r} mixes passes, which have no order then: "
            'use model.with_solver("plain")'
        )
    types = given_types(types, tokens)
    tokens, mask = model.read(tokens, mask)
    more = {"mask": mask, "types": types}
    more = {name: value for name, value in more.items() if value is not None}
    ready = model.prepare(tokens, state=state, generator=generator, tap=tap, **more)
    z, ends, gates = ready.start, [], []
    for number in numbers:
        z = model.step(z, ready, loop=number - 1, tap=tap)
        ends.append(z)
        if model.gate is not None:
            gates.append(model.gate_logit(z, number - 1, tap=tap))
    logits = show(tap, Site(None, None, "logits"), model.answer(z, ready, tap=tap))
    return LoopedOutput(logits, z, torch.stack(ends), torch.stack(gates) if gates else None)
