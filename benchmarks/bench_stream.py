"""What measuring a run while it happens costs: time, memory, and the statistics themselves.

    python benchmarks/bench_stream.py [small course mid]

Streaming stops before the coda, and so does the plain run that it is compared with.
"""

import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from bench_trace import SIZES, looped
from timing import interleave, show

from looplab import measure, trace
from looplab.streaming import plan, stream

# Statistics of states and attention / plain; tiny operations are all that `small` does.
GATES = {"course": 1.35, "mid": 1.35}


def plain(model, tokens, loops=None):
    """The core's loops with nobody looking."""
    with torch.no_grad():
        x = model.encode(tokens)
        z = model.start(x)
        for loop in range(loops or model.config.loops):
            z = model.step(z, x, loop=loop)
    return z


def cases(model, tokens):
    return {
        "plain run": lambda: plain(model, tokens),
        "streamed, states": lambda: stream(model, tokens, attention=False, to_limit=False),
        "streamed, states and attention": lambda: stream(model, tokens, to_limit=False),
        "streamed, with a first run to the limit": lambda: stream(model, tokens),
        "whole trace, measured afterwards": lambda: afterwards(model, tokens),
    }


def afterwards(model, tokens):
    run = trace(model, tokens, keep=("states", "attention"))
    return (
        run.states.norm(dim=-1),
        measure.step_size(run.states),
        measure.colsum_concentration(run.attention),
        measure.sink_score(run.attention),
        measure.mixing_score(run.attention),
        measure.attention_step(run.attention),
    )


def per_head(attention):
    """The three statistics as they are often written: numpy, one head's matrix at a time."""
    found = []
    for pattern in attention.flatten(0, -3).numpy():
        columns = pattern.sum(0) / len(pattern)
        some = columns[columns > 0]
        concentration = 1 + (some * np.log(some)).sum() / np.log(len(pattern))
        entropy = []
        for row in pattern:
            p = row[row > 0]
            entropy.append(-(p * np.log(p)).sum())
        found.append((concentration, pattern[:, 0].mean(), np.mean(entropy)))
    return torch.tensor(np.array(found)).T


def vectorised(attention):
    functions = (measure.colsum_concentration, measure.sink_score, measure.mixing_score)
    return torch.stack([function(attention).flatten() for function in functions])


PEAK_GROWTH = """
import ctypes, re, sys, torch
from bench_stream import SIZES, looped, plain, stream

def peak():  # resident memory at its highest since the last reset, in bytes
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read()).group(1))

torch.set_num_threads(1)
size, loops = SIZES[sys.argv[1]], int(sys.argv[2])
case = {"plain": plain, "stream": stream}[sys.argv[3]]
model, tokens = looped(size), torch.randint(512, (size.batch, size.tokens))
with torch.no_grad():
    case(model, tokens, 2)
    ctypes.CDLL(None).malloc_trim(0)  # or the growth hides in freed memory
    open("/proc/self/clear_refs", "w").write("5")
    before = peak()
    kept = case(model, tokens, loops)
    print(peak() - before)
"""


def peak_growth(name, loops, case):
    """Bytes by which peak memory grows, in a process of its own."""
    command = [sys.executable, "-c", PEAK_GROWTH, name, str(loops), case]
    return int(subprocess.check_output(command, cwd=Path(__file__).parent, text=True))


def memory(name, size, model, tokens):
    """Peak memory above the plain run's, at the usual number of loops and at twice as many."""
    grown = {}
    for loops in (size.loops, 2 * size.loops):
        # One process may differ from the next by some MiB: the middle of five pairs.
        more = statistics.median(
            peak_growth(name, loops, "stream") - peak_growth(name, loops, "plain") for _ in range(5)
        )
        said = plan(model, tokens, loops)
        grown[loops] = (more - said["statistics"]) / 2**20
        states = loops * size.core * tokens.numel() * size.width * 4 / 2**20
        patterns = states / size.width * 4 * size.tokens
        print(
            f"  {loops} loops: {more / 2**20:.1f} MiB above a plain run, "
            f"{sum(said.values()) / 2**20:.1f} planned, of which statistics "
            f"{said['statistics'] / 2**20:.2f}; kept whole {states + patterns:.0f} MiB"
        )
    few, many = grown.values()
    verdict = "ok" if many <= few + 2 else "OVER"  # MiB; the allocator's own grain
    print(f"  without the statistics: {few:.1f} and {many:.1f} MiB  bound flat {verdict}")


def statistics_alone():
    torch.manual_seed(0)
    future = torch.ones(128, 128, dtype=torch.bool).triu(1)
    scores = 2 * torch.randn(32, 4, 1, 4, 128, 128)
    attention = scores.masked_fill_(future, float("-inf")).softmax(-1)
    seconds = interleave(
        {
            "numpy, one head at a time": lambda: per_head(attention),
            "looplab": lambda: vectorised(attention),
        },
        rounds=5,
        warmup=1,
    )
    gate = {"looplab": 1 / 5}
    show("statistics of 512 patterns of 128 tokens", seconds, "numpy, one head at a time", gate)
    error = (vectorised(attention) - per_head(attention)).abs().max()
    print(f"  largest difference {error:.1e}  bound 1e-5 {'ok' if error <= 1e-5 else 'OVER'}")


def main(names):
    torch.set_num_threads(1)
    for name in names or SIZES:
        size = SIZES[name]
        model = looped(size)
        tokens = torch.randint(512, (size.batch, size.tokens))
        title = f"{name}: width {size.width}, {model.config.notation}, {size.batch}x{size.tokens}"
        seconds = interleave(cases(model, tokens), size.rounds)
        gate = {"streamed, states and attention": GATES[name]} if name in GATES else None
        show(title, seconds, "plain run", gate)
        if name != "small" and Path("/proc/self/clear_refs").exists():
            memory(name, size, model, tokens)
    statistics_alone()


if __name__ == "__main__":
    main(sys.argv[1:])
