"""What attention's instruments cost against a loop over pairs, and over loops, layers and heads.

python benchmarks/bench_attention.py [course long bound]
"""

import sys

import torch
from timing import interleave, show

from looplab import LoopedConfig, LoopedTransformer, trace
from looplab.measure import attention_bound, attention_distance
from looplab.model.layers import rotary_table, rotate

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


def bound_by_loops(model, run):
    """Prop. 4.2 as it is written down: the whole W_Q R W_K^T for every distance of two tokens."""
    config, tokens = model.config, run.tokens.shape[1]
    width, found = config.head_width, []
    cos, sin = rotary_table(tokens, width, config.rope_theta, None, "cpu", torch.float32)
    for number, layer in enumerate(model.cores[0].layers):
        query, key, _ = layer.attn.qkv.weight.detach().split(layer.attn.sizes)
        for head in range(config.heads):
            q, k = (w.unflatten(0, (-1, width))[head].T for w in (query, key))
            kappa = max(
                torch.linalg.matrix_norm(rotate(q, (cos[t], sin[t]), False) @ k.T, 2)
                for t in range(tokens)
            )
            for loop in range(1, run.loops):
                reads = []
                for t in (loop - 1, loop):
                    before = run.states[t, number - 1] if number else run.start
                    before = run.loop_ends[t - 1] if not number and t else before
                    if not number:
                        before = model.cores[0].injection(before, run.input)
                    reads.append(layer.n1(before).detach())
                for item in range(len(run.tokens)):
                    one, two = reads[0][item], reads[1][item]
                    bound = max(one.norm(), two.norm()) * kappa / width**0.5 * (two - one).norm()
                    pattern = run.attention[:, number, item, head]
                    found.append(((pattern[loop] - pattern[loop - 1]).norm(), bound))
    return found


def bound_cases():
    torch.manual_seed(0)
    model = LoopedTransformer(LoopedConfig(vocab=64, width=64, heads=4, core=4, injection="concat"))
    tokens = torch.randint(64, (8, 32), generator=torch.Generator().manual_seed(0))
    run = trace(model.eval(), tokens, 16, keep=("states", "attention"))
    moved, bound, _ = attention_bound(model, run)
    by_hand = torch.tensor(bound_by_loops(model, run)).T.double()
    for mine, right in zip((moved, bound), by_hand, strict=True):
        mine = mine.permute(1, 3, 0, 2).flatten()  # layer, head, loop, item
        assert torch.allclose(mine, right, rtol=1e-3, atol=1e-5)
    cases = {
        "loops over layers, heads, loops": lambda: bound_by_loops(model, run),
        "attention_bound": lambda: attention_bound(model, run),
    }
    seconds = interleave(cases, 5, warmup=1)
    title = "both sides of Prop. 4.2: 16 loops of 4 layers, 8 sequences of 32 tokens"
    show(title, seconds, "loops over layers, heads, loops", {"attention_bound": 1 / 3})


def main(names):
    torch.set_num_threads(1)
    for name in names or [*ROUNDS, "bound"]:
        if name == "bound":
            bound_cases()
            continue
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
