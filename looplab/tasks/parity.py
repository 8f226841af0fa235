"""Windowed parity: count bits with attention that sees only a few tokens back."""

import torch

from looplab.tasks.batch import Batch, check_generator, check_whole

__all__ = ["BOS", "windowed_parity"]

BOS = 2


def windowed_parity(batch: int, generator: torch.Generator, length: int = 12) -> Batch:
    """Random bits whose every position asks for the parity of the bits so far.

    tokens: [batch, length + 1], a BOS (2) and then bits. Without BOS a model with a window of
    three tokens cannot tell where the sequence begins.
    targets: [batch, length + 1], parity of the bits up to and including the token (0 at BOS).
    difficulty: [batch, length + 1], the position, which is the number of bits to count.

    Raises TypeError or ValueError for batch or length below 1.
    Source: running parity, the prefix sums of Bansal et al., arXiv 2202.05826.

    Example:
        >>> windowed_parity(1, torch.Generator().manual_seed(0), length=3).difficulty
        tensor([[0, 1, 2, 3]])
    """
    check_whole("batch", batch, 1)
    check_whole("length", length, 1)
    check_generator(generator)
    bits = torch.randint(2, (batch, length), generator=generator)
    start = torch.full((batch, 1), BOS)
    targets = torch.cat([torch.zeros_like(start), bits.cumsum(1) % 2], dim=1)
    difficulty = torch.arange(length + 1).expand(batch, -1).contiguous()
    return Batch(torch.cat([start, bits], dim=1), targets, difficulty)
