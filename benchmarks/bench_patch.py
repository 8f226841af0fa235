"""What a patching map costs, against as many plain passes.

    python benchmarks/bench_patch.py [small course]

A map of loops and tokens is run at once, by `patch_map`; beside it the same number of plain runs,
as rows of one batch and one after the other, and patches one after the other with a tap.
"""

import sys
from dataclasses import dataclass

import torch
from timing import interleave, show

from looplab import LoopedConfig, LoopedTransformer
from looplab.interventions import Patch, answer_gap, keep, patch, patch_map, run_patches


@dataclass(frozen=True)
class Size:
    width: int
    core: int
    loops: int
    tokens: int
    rounds: int


SIZES = {
    "small": Size(width=64, core=3, loops=12, tokens=12, rounds=9),
    "course": Size(width=128, core=4, loops=6, tokens=16, rounds=5),
}
BOUND = 1.3  # of plain passes, as rows of one batch


def cases(size):
    """Functions that make one map of loops and tokens, and what it is compared with."""
    torch.manual_seed(0)
    config = LoopedConfig(
        vocab=512,
        width=size.width,
        prelude=1,
        core=size.core,
        coda=1,
        loops=size.loops,
        injection="concat",
    )
    model = LoopedTransformer(config).eval()
    a, b = torch.randint(512, (2, 1, size.tokens))
    score = answer_gap(-1, 1, 2)
    sources = {
        name: keep(model, a, size.loops, (name,)) for name in ("core.loop_end", "core.mlp.out")
    }
    count = size.loops * size.tokens
    places = [(loop, token) for loop in range(1, size.loops + 1) for token in range(size.tokens)]

    def rows():
        with torch.no_grad():
            return score(model(b.expand(count, -1), size.loops).logits[:, None])

    def alone(tap=None):
        with torch.no_grad():
            return score(model(b, size.loops, tap=tap).logits[None])

    def one_by_one():
        return [alone(patch(sources["core.loop_end"], to_loop=n, tokens=t)) for n, t in places]

    return {
        "plain runs, rows of one batch": rows,
        "patch_map of core.loop_end": lambda: patch_map(
            model, sources["core.loop_end"], b, score, loops=size.loops
        ),
        "run_patches of core.mlp.out, layer 1": lambda: run_patches(
            model,
            sources["core.mlp.out"],
            b,
            [Patch(loop, layer=1, token=token) for loop, token in places],
            size.loops,
            name="core.mlp.out",
            score=score,
        ),
        "plain runs, one after the other": lambda: [alone() for _ in places],
        "patches, one after the other": one_by_one,
    }


def main(names):
    torch.set_num_threads(1)
    for name in names or SIZES:
        size = SIZES[name]
        made = cases(size)
        base = next(iter(made))
        gates = dict.fromkeys(list(made)[1:3], BOUND)
        title = f"{name}: {size.loops} x {size.tokens} patches, width {size.width}"
        show(title, interleave(made, size.rounds, warmup=1), base, gates)


if __name__ == "__main__":
    main(sys.argv[1:])
