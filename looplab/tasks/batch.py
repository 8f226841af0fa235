"""What every task returns, and how training draws it cheaply."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch

from looplab.basics.whole import is_whole

__all__ = ["Batch", "Task", "batches"]


class Batch(NamedTuple):
    """One batch of a task; every tensor is long.

    tokens: [batch, token] or [batch, token, field].
    targets: [batch, token], the class to predict at every token.
    difficulty: [batch, token], the steps a serial solver needs, -1 where a token has none.
    """

    tokens: torch.Tensor
    targets: torch.Tensor
    difficulty: torch.Tensor


Task = Callable[[int, torch.Generator], Batch]


def batches(task: Task, batch: int, generator: torch.Generator, block: int = 64) -> Iterator[Batch]:
    """Endless batches of a task, drawn `block` at a time and sliced.

    Small tensors cost more to dispatch than to compute: drawing 64 batches of 64 items takes
    hardly longer than drawing a few, so that data is almost free beside a training step.

    Example:
        >>> from looplab.tasks import find_root
        >>> stream = batches(find_root, 64, torch.Generator().manual_seed(0))
        >>> next(stream).tokens.shape
        torch.Size([64, 12, 2])
    """
    check_whole("batch", batch, 1)
    check_whole("block", block, 1)
    while True:
        drawn = check_drawn(task(batch * block, generator), batch * block)
        for start in range(0, batch * block, batch):
            yield Batch(*(tensor[start : start + batch] for tensor in drawn))


def check_drawn(drawn: object, count: int) -> Batch:
    """What a task gave, as a Batch; ValueError unless it is three tensors of `count` items.

    >>> items = torch.zeros(2, 5, dtype=torch.long)
    >>> check_drawn((items, items, items), 2).tokens.shape
    torch.Size([2, 5])
    """
    parts = tuple(drawn) if isinstance(drawn, tuple | list) else (drawn,)
    if len(parts) != 3 or not all(isinstance(part, torch.Tensor) for part in parts):
        told = ", ".join(type(part).__name__ for part in parts)
        raise ValueError(
            f"the task gives {told}: expected looplab.tasks.Batch(tokens, targets, difficulty), "
            "three tensors; difficulty is -1 where there is none"
        )
    for name, part in zip(Batch._fields, parts, strict=True):
        if part.dim() < 1 or len(part) != count:
            raise ValueError(
                f"the task was asked for {count} items and gave {name} of shape "
                f"{tuple(part.shape)}: task(items, generator) must give as many as asked for, "
                "training draws many batches at once"
            )
    return Batch(*parts)


def check_whole(name: str, value: int, low: int, high: int | None = None) -> None:
    """Raise unless `value` is a whole number from `low` to `high`."""
    wanted = f"at least {low}" if high is None else f"from {low} to {high}"
    if not is_whole(value):
        raise TypeError(f"{name} is {value!r}; it must be a whole number {wanted}")
    if value < low or (high is not None and value > high):
        raise ValueError(f"{name} is {value}; it must be {wanted}")


def check_generator(generator: torch.Generator) -> None:
    """Raise unless `generator` is a CPU generator: tasks are the same on every device."""
    if not isinstance(generator, torch.Generator):
        raise TypeError(
            f"generator is {generator!r}; pass torch.Generator().manual_seed(0), for example"
        )
    if generator.device.type != "cpu":
        raise ValueError(
            f"generator lives on {generator.device}; tasks are drawn on the CPU, "
            "so pass torch.Generator() and move the batch afterwards"
        )
