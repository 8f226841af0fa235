"""Distances between all attention patterns of a run: one matrix product against a loop over pairs.

python benchmarks/bench_attention.py [course long]
"""

import sys

import torch
from timing import interleave, show

from looplab.measure import attention_distance

HEADS, TOKENS = 4, 128
ROUNDS = {"course": (32, 4, 7), "long": (128, 4, 3)}  # loops, layers, rounds
GATES = {"looplab, float64": 1 / 5}  # of the time of the pair loop


def patterns(loops, layers, orbit=1, rate=0.8):
    """Causal patterns [loop, layer, batch, head, token, token] that settle, or orbit for good."""
    random = torch.Generator().manual_seed(0)
    shape = (layers, 1, HEADS, TOKENS, TOKENS)
    phases = 2 * torch.randn(orbit, *shape, generator=random)
    kick = torch.randn(shape, generator=random)
    future = torch.ones(TOKENS, TOKENS, dtype=torch.bool).triu(1)
    scores = torch.stack([phases[t % orbit] + rate**t * kick for t in range(loops)])
    return scores.masked_fill_(future, float("-inf")).softmax(-1)


def pair_loop(attention):
    """What a user would write by hand: every two patterns subtracted."""
    each = attention.flatten(0, 1)[:, 0]  # [pattern, head, token, token]
    distance = torch.zeros(len(each), len(each), dtype=torch.float64)
    for a in range(len(each)):
        for b in range(a):
            distance[a, b] = (each[a] - each[b]).flatten(1).norm(dim=1).mean()
    return distance + distance.T


def single_gram(attention):
    """The same matrix product in float32, as it is often written."""
    each = attention.flatten(0, 1)[:, 0].flatten(2).transpose(0, 1)  # [head, pattern, entry]
    gram = each @ each.mT
    square = gram.diagonal(dim1=-2, dim2=-1)[..., None]
    return (square + square.mT - 2 * gram).clamp_min(0).sqrt().mean(0)


def largest_error(found, right):
    """Relative to the right distance, over all pairs at least 1e-4 apart."""
    far = right >= 1e-4
    return ((found - right).abs()[far] / right[far]).max()


def main(names):
    torch.set_num_threads(1)
    for name in names or ROUNDS:
        loops, layers, rounds = ROUNDS[name]
        settling = patterns(loops, layers)
        cases = {
            "loop over pairs": lambda run=settling: pair_loop(run),
            "looplab, float64": lambda run=settling: attention_distance(run),
            "one product in float32": lambda run=settling: single_gram(run),
        }
        seconds = interleave(cases, rounds, warmup=1)
        title = f"{name}: {loops} loops of {layers} layers, {HEADS} heads, {TOKENS} tokens"
        show(title, seconds, "loop over pairs", GATES)
    for kind, run in {"settling": patterns(32, 4), "orbit of 3": patterns(32, 4, orbit=3)}.items():
        right = pair_loop(run.double())
        error = largest_error(attention_distance(run), right)
        single = largest_error(single_gram(run).double(), right)
        verdict = "ok" if error <= 1e-5 else "OVER"
        print(f"  {kind}: largest relative error {error:.1e}  bound 1e-5 {verdict}", end="")
        print(f"  (in float32 {single:.1e})")


if __name__ == "__main__":
    main(sys.argv[1:])
