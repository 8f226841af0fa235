"""One step of training: the loss of a batch, its gradient, and the update of the weights."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from looplab.measure import relative_step
from looplab.model import LoopedTransformer
from looplab.tasks import Batch
from looplab.train.processes import Processes
from looplab.train.recipe import Recipe

NO_TARGET = -100  # what stands in targets where a token has none, as in PyTorch's cross-entropy


@dataclass
class Progress:
    """How far a run has come."""

    loss: list[float]  # [step]
    torn: bool = False  # whether an update was begun and not ended: the weights are no step's

    @property
    def step(self) -> int:
        """Steps taken."""
        return len(self.loss)


def train_step(
    model: LoopedTransformer,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    recipe: Recipe,
    loops: int,
    generator: torch.Generator,
    progress: Progress,
    accumulate: int = 1,
    ours: Processes | None = None,
) -> None:
    """Take the step after those of `progress`, and add its loss there.

    `generator` draws the state at loop 0. The batch is run in as many parts as `accumulate` says,
    by each of `ours` on its own rows; loss and gradient are those of the whole. Raises, before the
    weights are touched, ValueError for a batch without a target, and FloatingPointError when the
    loss or its gradient stops being a number.

    >>> from looplab import LoopedConfig, tasks
    >>> model = LoopedTransformer(LoopedConfig(vocab=12, fields=2, width=16, heads=2))
    >>> optimizer, recipe = torch.optim.AdamW(model.parameters()), Recipe(1, 4, loops=2)
    >>> draw, progress = torch.Generator().manual_seed(0), Progress([])
    >>> train_step(model, optimizer, tasks.find_root(4, draw), recipe, 2, draw, progress)
    >>> progress.step
    1
    """
    ours = ours or Processes(batch.tokens.device)
    optimizer.zero_grad()
    start = drawn_start(model, batch, generator)
    loss = torch.zeros((), device=batch.tokens.device)
    for rows in parts_of(ours.rows(len(batch.tokens)), accumulate):
        of_part = batch_loss(model, batch, recipe, loops, start, rows)
        of_part.backward()
        loss = loss + of_part.detach()
    weights = [weight for weight in model.parameters() if weight.grad is not None]
    ours.add_up([loss, *(weight.grad for weight in weights)])
    size = torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
    if not (loss.isfinite() and size.isfinite()):
        if not (batch.targets != NO_TARGET).any():
            raise ValueError(f"step {progress.step}: every target of its batch is {NO_TARGET}")
        raise FloatingPointError(
            f"step {progress.step} ({loops} loops) gave loss {loss.item():.3g} and gradient size "
            f"{size.item():.3g}; the model holds the weights from before it. "
            f"Try a lower lr (now {recipe.lr}), a longer warmup (now {recipe.warmup}), fewer "
            "loops, or a norm that bounds the state"
        )
    for group in optimizer.param_groups:
        group["lr"] = recipe.learning_rate(progress.step)
    progress.torn = True
    optimizer.step()
    progress.loss.append(loss.item())
    progress.torn = False


def parts_of(rows: range, count: int) -> list[slice]:
    """Rows of a batch in `count` parts, or fewer where there are not as many.

    >>> parts_of(range(5, 10), 2)
    [slice(5, 8, None), slice(8, 10, None)]
    """
    size = -(-len(rows) // count)
    return [slice(at, min(at + size, rows.stop)) for at in rows[::size]]


def drawn_start(
    model: LoopedTransformer, batch: Batch, generator: torch.Generator
) -> Tensor | None:
    """The state at loop 0 of a model with random starts, [batch, token, width]; else None.

    It is drawn for the whole batch at once: drawn part by part it would be another.

    >>> from looplab import LoopedConfig, tasks
    >>> draw = torch.Generator().manual_seed(0)
    >>> batch = tasks.find_root(4, draw)
    >>> model = LoopedTransformer(LoopedConfig(vocab=12, fields=2, width=16, heads=2))
    >>> drawn_start(model, batch, draw) is None
    True
    """
    if model.config.start != "normal":
        return None
    shape = (*batch.tokens.shape[:2], model.config.width)
    return model.start(torch.empty(shape, dtype=model.dtype, device=model.device), generator)


def batch_loss(
    model: LoopedTransformer,
    whole: Batch,
    recipe: Recipe,
    loops: int,
    start: Tensor | None = None,
    rows: slice = slice(None),
) -> Tensor:
    """Cross-entropy over all tokens with a target, of the last loop or of all, plus the penalty.

    Of a part of the batch, its `rows`, this is their share in the loss of the whole. `start`
    [batch, token, width] is the whole's state at loop 0; None for the model's own.

    >>> from looplab import LoopedConfig, tasks
    >>> model = LoopedTransformer(LoopedConfig(vocab=12, fields=2, width=16, heads=2))
    >>> batch = tasks.find_root(4, torch.Generator().manual_seed(0))
    >>> batch_loss(model, batch, Recipe(1, 4, loops=2), loops=2).shape
    torch.Size([])
    """
    batch = Batch(*(tensor[rows] for tensor in whole))
    on_all = recipe.loss_on == "all"
    device = batch.tokens.device.type
    # T4-class GPUs only emulate bfloat16, slowly; they train in float32.
    half = device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    with torch.autocast(device, torch.bfloat16, enabled=half):
        out = model(
            batch.tokens,
            loops,
            state=None if start is None else start[rows],
            grad_loops=recipe.grad_loops,
            every_loop=on_all or recipe.penalty > 0,
        )
        logits = out.logits[None]  # [loop, batch, token, class]
        if on_all:
            ends = out.loop_states[-(recipe.grad_loops or loops) :]
            logits = model.readout(ends, batch.tokens)
    targets = batch.targets.long().expand(logits.shape[:-1])
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    loss = F.cross_entropy(logits.flatten(0, -2), targets.flatten(), ignore_index=NO_TARGET)
    share = len(batch.tokens) / len(whole.tokens)
    if share < 1:
        told = [int((one.targets != NO_TARGET).sum()) for one in (batch, whole)]
        if told[1]:  # else it stays no number
            loss = loss * (told[0] / told[1]) if told[0] else 0 * logits.sum()
    if recipe.penalty > 0 and loops > 1:
        loss = loss + share * recipe.penalty * relative_step(out.loop_states[-2:].float()).mean()
    return loss
