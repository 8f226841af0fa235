"""Flood fill: which cells of a maze can be reached from the start?"""

import math

import torch

from looplab.tasks.batch import Batch, check_generator, check_whole

__all__ = [
    "OPEN",
    "START",
    "WALL",
    "flood_fill",
    "steps_from_start",
]

OPEN, WALL, START = 0, 1, 2


def flood_fill(batch: int, generator: torch.Generator, side: int = 6, wall: float = 0.35) -> Batch:
    """Random mazes whose every cell asks whether the water poured in at the start gets there.

    tokens: [batch, side*side] in row order, 0 open, 1 wall, 2 start (one a maze).
    targets: [batch, side*side], 1 where the cell is reachable over the four neighbours (the start
    is), else 0. difficulty: distance from the start in cells, -1 for walls and dry cells.

    Raises TypeError or ValueError for side < 1 or wall outside 0..1.
    Source: maze reachability, a small cousin of the mazes of Bansal et al., arXiv 2202.05826.

    Example:
        >>> flood_fill(2, torch.Generator().manual_seed(0), side=4).tokens.shape
        torch.Size([2, 16])
    """
    check_whole("batch", batch, 1)
    check_whole("side", side, 1)
    check_generator(generator)
    if not 0 <= wall <= 1:
        raise ValueError(f"wall is {wall}; the share of walls must be from 0 to 1")

    cells = side * side
    tokens = (torch.rand(batch, cells, generator=generator) < wall).long()
    start = torch.randint(cells, (batch, 1), generator=generator)
    tokens.scatter_(1, start, START)

    difficulty = steps_from_start(tokens)
    return Batch(tokens, (difficulty >= 0).long(), difficulty)


def steps_from_start(tokens: torch.Tensor) -> torch.Tensor:
    """Cells that water passes on its way from the start to each cell; -1 where it never gets.

    tokens: [batch, side*side], mazes as `flood_fill` makes them; returns the same shape. ValueError
    when the cells make no square.

    Example:
        >>> steps_from_start(torch.tensor([[START, WALL, OPEN, OPEN]]))  # two rows of two
        tensor([[ 0, -1,  1,  2]])
    """
    batch, cells = tokens.shape
    side = math.isqrt(cells)
    if side * side != cells:
        raise ValueError(f"tokens have shape {list(tokens.shape)}: expected [batch, side * side]")
    # One cell of wall all round, so that a shift never wraps into the neighbouring row.
    width = side + 2
    passable = torch.zeros(batch, width, width, dtype=torch.bool)
    passable[:, 1:-1, 1:-1] = (tokens != WALL).view(batch, side, side)
    front = torch.zeros_like(passable)
    front[:, 1:-1, 1:-1] = (tokens == START).view(batch, side, side)
    distance = torch.full((batch, width, width), -1)
    reached = 0
    while front.any():
        distance[front] = reached
        passable &= ~front
        grown = torch.zeros_like(front)
        grown[:, 1:-1, 1:-1] = (
            front[:, :-2, 1:-1] | front[:, 2:, 1:-1] | front[:, 1:-1, :-2] | front[:, 1:-1, 2:]
        )
        front = grown & passable
        reached += 1
    return distance[:, 1:-1, 1:-1].reshape(batch, cells)
