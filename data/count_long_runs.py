"""Follow stacks of random weights for thousands of loops, and write data/long_runs.json.

    python data/count_long_runs.py

The stacks are those of the phase diagram in chapter 05: 288 of four layers. Each is labelled by
its first 128 loops, as `looplab grid` does, and again after LOOPS loops in float64. One that is
then neither at rest, nor back where it was some loops ago, nor running away, has its leading
Lyapunov exponent measured over COUNTED further loops: around zero it turns without end (a torus),
above it is chaotic, below it is still settling.
"""

import json
import time
from collections import Counter
from itertools import product
from pathlib import Path

import torch
import torch.nn.functional as F

from looplab.basics.threads import use_threads
from looplab.experiments import random_stacks as grid
from looplab.measure import min_layer_cosine

OUT = Path(__file__).parent / "long_runs.json"
DEPTH, GAINS, SEEDS, TOKENS = 4, (0.5, 1.0, 1.5, 2.0), range(8), 12
LOOPS, WINDOW, COUNTED = 2000, 400, 1000  # loops before anything is asked; lags tried; exponent
WATCHED = 8000
CLOSED = 1e-8  # of a direction's length: closer than that the state is back
ZERO = 0.01  # an exponent nearer to zero than that is called zero


def ends(states):
    """(kind, period) of one stack's last WINDOW states [loop, layer, token, width]."""
    # Not by its norm: the squares of very long states leave the floats.
    longest = states.abs().amax((1, 2, 3))
    if not states.isfinite().all() or longest[-1] > grid.EXPLODES * longest[0]:
        return "explodes", 0
    if min_layer_cosine(states[:, :, None]).mean() > grid.DEGENERATE:
        return "degenerate", 0
    points = F.normalize(states[:, -1], dim=-1)
    gap = (points[:-1] - points[-1]).norm(dim=-1).amax(-1).flip(0)  # [lag - 1]
    if not (gap < CLOSED).any():
        return "restless", 0
    period = int((gap < CLOSED).int().argmax()) + 1
    return ("cycle", 1) if period == 1 else ("orbit", period)


@torch.no_grad()
def exponent(model, tokens, states):
    """Leading exponent over COUNTED loops from the last of `states`, by a neighbour."""
    x, z = model.encode(tokens), states[-1, -1][None]
    nudge = torch.randn(z.shape, generator=torch.Generator().manual_seed(1), dtype=z.dtype)
    apart, growth = 1e-7, []
    nudge *= apart / nudge.norm()
    for _ in range(COUNTED + 100):
        end, other = model.step(torch.cat((z, z + nudge)), torch.cat((x, x))).split(1)
        length = (other - end).norm()
        growth.append((length / apart).log())
        z, nudge = end, (other - end) * (apart / length)
    return torch.stack(growth[100:]).mean().item()


@torch.no_grad()
def watch():
    """Six starts of one stack that is chaotic, for WATCHED loops: does any come to an end?"""
    model = grid.random_stack("Huginn", "random", DEPTH, 1.5, 1).double()
    tokens = grid.random_tokens(1, TOKENS)
    x = model.encode(tokens)
    starts = [model.start(x, torch.Generator().manual_seed(n)) for n in range(6)]
    states, late = torch.cat(starts).double(), []
    with use_threads(1):
        for loop in range(WATCHED):
            states = model.step(states, x.expand_as(states))
            if loop >= WATCHED - WINDOW:
                late.append(states)
        late = torch.stack(late)
        gaps = F.normalize(late[:-1], dim=-1) - F.normalize(late[-1], dim=-1)
        nearest = gaps.norm(dim=-1).amax(-1).amin(0)  # [start]
        rates = [exponent(model, tokens, one[None, None]) for one in late[-1]]
    setting = {"norm": "Huginn", "injection": "random", "gain": 1.5, "seed": 1, "loops": WATCHED}
    return setting | {
        "nearest return": [round(one, 3) for one in nearest.tolist()],
        "exponents": [round(rate, 2) for rate in rates],
    }


def main():
    begin, rows = time.process_time(), []
    with use_threads(1):
        for setting in product(grid.NORMS, grid.INJECTIONS, GAINS):
            norm, injection, gain = setting
            models = [
                grid.random_stack(norm, injection, DEPTH, gain, seed).double() for seed in SEEDS
            ]
            tokens = torch.stack([grid.random_tokens(seed, TOKENS) for seed in SEEDS])
            first = grid.run_together(models, tokens, 128)
            runs = grid.run_together(models, tokens, WINDOW, settle=LOOPS - WINDOW)[:, :, :, 0]
            for seed, model, ids, early, states in zip(
                SEEDS, models, tokens, first, runs, strict=True
            ):
                kind, period = ends(states)
                row = {"norm": norm, "injection": injection, "gain": gain, "seed": seed}
                row |= {"after 128": grid.judge(early)["kind"], "after 2000": kind}
                if kind == "orbit":
                    row["period"] = period
                if kind == "restless":
                    rate = exponent(model, ids, states)
                    row["exponent"] = round(rate, 4)
                    sign = "turning" if abs(rate) < ZERO else "chaotic" if rate > 0 else "settling"
                    row["after 2000"] = sign
                rows.append(row)
            told = Counter(row["after 2000"] for row in rows[-len(SEEDS) :])
            seconds = time.process_time() - begin
            print(*setting, dict(told), f"{seconds:.0f} CPU seconds", flush=True)
    about = "How stacks of random weights end when one waits: four layers, 12 tokens, float64."
    found = {"about": about, "counted by": "data/count_long_runs.py", "stacks": rows}
    found["watched"] = watch()
    OUT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
