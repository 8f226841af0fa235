"""Judge a looped model by loop and by difficulty, never by one number."""

from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor

from looplab.model import LoopedTransformer
from looplab.tasks import Batch
from looplab.train.step import NO_TARGET


class AccuracyTable(NamedTuple):
    """accuracy: [loop, difficulty], NaN where the batch has no such token; exact: [loop].

    Row 0 is loop 1; column d is difficulty d. `exact` is the share of items with every token
    right, tokens without a difficulty included. Tokens without a target (-100) count nowhere.
    """

    accuracy: Tensor
    exact: Tensor


@torch.no_grad()
def accuracy_table(
    model: LoopedTransformer,
    batch: Batch,
    loops: int,
    generator: torch.Generator | None = None,
) -> AccuracyTable:
    """Accuracy after every loop 1..loops for every difficulty, in one pass.

    generator draws the state at loop 0 of a model with random starts; None for a fixed one.
    States are read out and dropped loop by loop, so memory does not grow with loops.

    Raises ValueError for loops below 1, or beyond those of an unrolled model.

    Example:
        >>> from looplab import LoopedConfig, LoopedTransformer, tasks
        >>> model = LoopedTransformer(LoopedConfig(
        ...     vocab=3, classes=2, width=16, heads=2, attention="grid", position="none"))
        >>> mazes = tasks.flood_fill(8, torch.Generator().manual_seed(0), side=4)
        >>> accuracy_table(model, mazes, loops=5).exact.shape
        torch.Size([5])
    """
    limit = None if model.config.tied else model.config.loops
    if loops < 1 or (limit is not None and loops > limit):
        wanted = "at least 1" if limit is None else f"from 1 to {limit} (the model is unrolled)"
        raise ValueError(f"loops is {loops}; it must be {wanted}")
    device = next(model.parameters()).device
    tokens, targets, difficulty = (tensor.to(device) for tensor in batch)
    if generator is None:
        generator = torch.Generator(device).manual_seed(0)

    unasked = targets == NO_TARGET
    rated = (difficulty >= 0) & ~unasked
    kinds = difficulty[rated]  # [rated token]
    counts = kinds.bincount()
    accuracy = torch.empty(loops, len(counts))
    exact = torch.empty(loops)
    ready = model.prepare(tokens, generator=generator)
    # An unrolled model may be asked for its first loops, which are no run of their own.
    for loop, state in islice(model.passes(ready, limit or loops), loops):
        right = model.answer(state, ready).argmax(-1) == targets  # [batch, token]
        hits = kinds.bincount(weights=right[rated].double(), minlength=len(counts))
        accuracy[loop] = (hits / counts).cpu()
        exact[loop] = (right | unasked).all(-1).double().mean().cpu()
    return AccuracyTable(accuracy, exact)
