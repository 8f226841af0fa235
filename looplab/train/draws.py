"""All that is random in a run, drawn from the recipe's seed: loops, noise and batches of a step."""

from collections.abc import Iterator
from itertools import islice

import torch

from looplab.tasks import Batch, Task, batches
from looplab.train.recipe import Recipe

BLOCK = 64  # batches drawn at once


class Seeds:
    """Loops [step], noise seeds [step] and data seeds [block] of a recipe.

    >>> Seeds(Recipe(steps=100, batch=4, loops=6)).loops[:3]
    [6, 6, 6]
    """

    def __init__(self, recipe: Recipe):
        generator = torch.Generator().manual_seed(recipe.seed)
        fixed = isinstance(recipe.loops, int)
        steps, blocks = recipe.steps, -(-recipe.steps // BLOCK)
        self.loops = [recipe.loops] * steps if fixed else recipe.loops.draw(steps, generator)
        self.noise = torch.randint(2**62, (steps,), generator=generator).tolist()
        self.data = torch.randint(2**62, (blocks,), generator=generator).tolist()


def drawn_batches(task: Task, recipe: Recipe, seeds: Seeds, first: int = 0) -> Iterator[Batch]:
    """The batches of steps first, first + 1, ...: the same ones whatever `first` is.

    >>> from looplab.tasks import find_root
    >>> recipe = Recipe(steps=3, batch=4, loops=6)
    >>> whole, rest = (
    ...     list(drawn_batches(find_root, recipe, Seeds(recipe), first)) for first in (0, 1))
    >>> torch.equal(whole[2].tokens, rest[1].tokens)
    True
    """
    for block in range(first // BLOCK, len(seeds.data)):
        begin = block * BLOCK
        size = min(BLOCK, recipe.steps - begin)
        generator = torch.Generator().manual_seed(seeds.data[block])
        drawn = batches(task, recipe.batch, generator, size)
        yield from islice(drawn, max(first - begin, 0), size)
