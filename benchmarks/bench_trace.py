"""What recording costs: looplab's trace against the plain forward pass, raw hooks and peers.

    python benchmarks/bench_trace.py [small course mid]

nnsight and TransformerLens are compared when they are installed (benchmarks/requirements.txt).
"""

import importlib.util
import statistics
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from timing import interleave, show

from looplab import LoopedConfig, LoopedTransformer, plan, trace

OURS = "trace, every state"
NNSIGHT = "nnsight cache, core layers"
LENS = "TransformerLens run_with_cache"


@dataclass(frozen=True)
class Size:
    width: int
    core: int
    loops: int
    tokens: int
    batch: int
    rounds: int
    gate: float  # trace keeping every state / plain forward


SIZES = {
    "small": Size(width=64, core=2, loops=16, tokens=32, batch=1, rounds=41, gate=1.20),
    "course": Size(width=128, core=2, loops=16, tokens=64, batch=16, rounds=11, gate=1.08),
    "mid": Size(width=256, core=4, loops=32, tokens=128, batch=4, rounds=5, gate=1.08),
}


def looped(size):
    torch.manual_seed(0)
    return LoopedTransformer(
        LoopedConfig(
            vocab=512,
            width=size.width,
            prelude=1,
            core=size.core,
            coda=1,
            loops=size.loops,
            injection="concat",
        )
    ).eval()


def hooks(model, tokens, keep):
    """What a user would write by hand: a forward hook on each core layer."""
    kept = []
    handles = [
        layer.register_forward_hook(lambda module, args, out: kept.append(keep(out)))
        for layer in model.cores[0].layers
    ]
    with torch.no_grad():
        model(tokens)
    for handle in handles:
        handle.remove()
    return kept


def own_cases(model, tokens):
    def plain():
        with torch.no_grad():
            return model(tokens)

    return {
        "plain forward": plain,
        OURS: lambda: trace(model, tokens),
        "trace, loop ends": lambda: trace(model, tokens, keep=()),
        "trace, states and attention": lambda: trace(model, tokens, keep=("states", "attention")),
        "hooks, append clones": lambda: hooks(model, tokens, torch.clone),
        "hooks, append then stack": lambda: torch.stack(hooks(model, tokens, torch.clone)),
    }


def nnsight_cases(model, tokens):
    from nnsight import NNsight

    wrapped = NNsight(model)
    layers = list(wrapped.cores[0].layers)

    def cache():
        with torch.no_grad(), wrapped.trace(tokens) as tracer:
            kept = tracer.cache(modules=layers).save()
        return kept

    return {NNSIGHT: cache}


def transformer_lens(size, tokens):
    """Its own table: TransformerLens keeps one visit per module, so its model is unrolled."""
    from transformer_lens import TransformerBridgeConfig
    from transformer_lens.model_bridge.sources import boot_native

    lens = boot_native(
        TransformerBridgeConfig(
            d_model=size.width,
            d_head=size.width // 4,
            n_heads=4,
            n_layers=size.core * size.loops + 2,
            n_ctx=size.tokens,
            d_vocab=512,
            d_mlp=4 * size.width,
            act_fn="gelu",
            normalization_type="LN",
            seed=0,
            device="cpu",
        )
    )

    def plain():
        with torch.no_grad():
            return lens(tokens)

    def cached():
        with torch.no_grad():
            return lens.run_with_cache(tokens)

    return {"TransformerLens plain": plain, LENS: cached}


PEAK_GROWTH = """
import ctypes, re, sys, torch
from bench_trace import SIZES, looped, own_cases
from looplab import plan, trace

def peak():  # resident memory at its highest since the last reset, in bytes
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read()).group(1))

def growth(case):
    case()
    ctypes.CDLL(None).malloc_trim(0)  # or the growth hides in freed memory
    open("/proc/self/clear_refs", "w").write("5")
    before = peak()
    kept = case()
    return peak() - before

torch.set_num_threads(1)
size = SIZES[sys.argv[1]]
model, tokens = looped(size), torch.randint(512, (size.batch, size.tokens))
cases = own_cases(model, tokens)
more = growth(cases["trace, every state"]) - growth(cases["plain forward"])
print(more / sum(plan(model, tokens).values()))
"""


def per_call():
    """Print what recording adds to one layer call of a tiny model, where nothing hides it.

    Runs of 16 and of 64 loops: the difference leaves out what a trace costs once.
    """
    tiny, spent = Size(32, 2, 16, 8, 1, 31, 0.0), {}
    for loops in (16, 64):
        size = replace(tiny, loops=loops)
        model, tokens = looped(size), torch.randint(512, (size.batch, size.tokens))
        cases = {name: own_cases(model, tokens)[name] for name in ("plain forward", OURS)}
        pairs = {OURS: "plain forward"}
        if importlib.util.find_spec("nnsight"):
            cases |= nnsight_cases(looped(size), tokens)
            pairs[NNSIGHT] = "plain forward"
        if importlib.util.find_spec("transformer_lens"):
            cases |= transformer_lens(size, tokens)
            pairs[LENS] = "TransformerLens plain"
        seconds = interleave(cases, size.rounds)
        for name, base in pairs.items():
            more = [a - b for a, b in zip(seconds[name], seconds[base], strict=True)]
            spent.setdefault(name, []).append(statistics.median(more))
    each = {name: 1e6 * (long - short) / (48 * tiny.core) for name, (short, long) in spent.items()}
    print("\nrecording adds to one layer call (CPU time, one thread)")
    for name, microseconds in each.items():
        half = "" if name == OURS else f"  ours / this {each[OURS] / microseconds:.2f}  bound 0.50"
        print(f"  {name:44s} {microseconds:6.1f} microseconds{half}")


def peak_growth(name):
    """Peak memory of a trace above a plain forward's / bytes planned, in a process of its own."""
    command = [sys.executable, "-c", PEAK_GROWTH, name]
    return float(subprocess.check_output(command, cwd=Path(__file__).parent, text=True))


def main(names):
    torch.set_num_threads(1)
    for name in names or SIZES:
        size = SIZES[name]
        model = looped(size)
        tokens = torch.randint(512, (size.batch, size.tokens))
        cases = own_cases(model, tokens)
        if importlib.util.find_spec("nnsight"):
            cases |= nnsight_cases(looped(size), tokens)
        title = f"{name}: width {size.width}, {model.config.notation}, {size.batch}x{size.tokens}"
        seconds = interleave(cases, size.rounds)
        show(title, seconds, "plain forward", {OURS: size.gate})
        run = trace(model, tokens)
        held = (run.nbytes - run.tokens.nbytes) / sum(plan(model, tokens).values())
        print(f"  bytes held by the trace / bytes planned: {held:.3f}", end="")
        print(f"  bound 1.10 {'ok' if held <= 1.10 else 'OVER'}")
        if name == "mid" and Path("/proc/self/clear_refs").exists():
            growth = peak_growth(name)
            print(f"  peak memory above a plain forward's / bytes planned: {growth:.2f}", end="")
            print(f"  bound 1.10 {'ok' if growth <= 1.10 else 'OVER'}")
        if importlib.util.find_spec("transformer_lens") and name != "mid":
            seconds = interleave(transformer_lens(size, tokens), size.rounds)
            show(f"{name}: the same depth in TransformerLens", seconds, "TransformerLens plain")
    per_call()


if __name__ == "__main__":
    main(sys.argv[1:])
