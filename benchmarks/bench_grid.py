"""Tracing many random stacks: all at once against one after the other.

python benchmarks/bench_grid.py
"""

from itertools import product

import torch
from timing import interleave, show

from looplab import trace
from looplab.experiments import random_stacks as grid

LOOPS, DEPTH, TOKENS, ROUNDS = 32, 4, 12, 5
GAINS, SEEDS = (0.5, 0.7, 1.0, 1.5, 2.0), (0, 1, 2)
GATES = {"all at once": 1 / 3}


def main():
    torch.set_num_threads(1)
    members = list(product(GAINS, SEEDS))
    stacks = [grid.random_stack("Huginn", "random", DEPTH, gain, seed) for gain, seed in members]
    ids = torch.stack([grid.random_tokens(seed, TOKENS) for _, seed in members])

    def one_by_one():
        return [trace(s, i, loops=LOOPS).states for s, i in zip(stacks, ids, strict=True)]

    cases = {
        "one trace after the other": one_by_one,
        "all at once": lambda: grid.run_together(stacks, ids, LOOPS),
    }
    title = f"{len(members)} stacks of {DEPTH} layers, {LOOPS} loops"
    show(title, interleave(cases, ROUNDS), "one trace after the other", GATES)


if __name__ == "__main__":
    main()
