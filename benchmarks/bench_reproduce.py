"""What `looplab reproduce` takes beside what it planned: memory, and CPU time.

    python benchmarks/bench_reproduce.py [tiny ouro huginn plan]

The quick protocol with every figure, on one prompt of 16 tokens, one thread, each shape in a
process of its own (Linux, which tells a process's peak). Weights are random, in bfloat16. `tiny`,
which is run where no shape is named, takes seconds; one of zoo/menu.py takes minutes, and the
memory of its weights. `plan` makes the table of docs/reproduce.md and runs nothing.
"""

import multiprocessing
import re
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from looplab import LoopedConfig, LoopedTransformer
from looplab.reproduction import QUICK, Protocol, ask
from looplab.reproduction.planning import operations, plan
from looplab.reproduction.protocol import fitted
from looplab.reproduction.run import run
from looplab.zoo.menu import RELEASED

BOUND = 1.10  # peak / plan
TOKENS = 16
TINY = LoopedConfig(vocab=512, width=64, core=8, loops=4, norm="branch_sandwich")
SHAPES = {"tiny": TINY} | {name: model.config for name, model in RELEASED.items()}

PLANNED = {name: SHAPES[name] for name in ("huginn", "ouro", "retrofit")}
PLANNED["ouro 2.6B"] = replace(SHAPES["ouro"], core=48)


def drawn(config):
    """A model with random weights, made without a second copy of them."""
    with torch.device("meta"):
        model = LoopedTransformer(config).to(torch.bfloat16)
    model = model.to_empty(device="cpu").requires_grad_(False).eval()
    if config.tie_head:
        model.head.weight = model.embed[0].weight
    # A million numbers again and again: as good for time and memory as numbers of their own
    some = torch.randn(2**20 + 7).bfloat16()
    for name, weight in model.named_parameters():
        if weight.dim() == 1:
            weight.fill_(0 if "bias" in name else 1)
            continue
        scale = 1 if "embed" in name and not config.tie_head else (0.4 / config.width) ** 0.5
        for part in weight.view(-1).split(len(some)):
            torch.mul(some[: len(part)], scale, out=part)
    return model


def peak():
    """Resident memory of this process at its highest, in bytes."""
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text()).group(1))


def take(name):
    """Plan and make one report, and print what both say."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = drawn(SHAPES[name])
    prompt = torch.randint(model.config.vocab, (TOKENS,))
    job = ask(model, [prompt], replace(QUICK, items=1))
    planned = sum(job.sizes.values())
    begin = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        report = run(job, Path(folder), progress=False)
    spent, ratio = time.process_time() - begin, peak() / planned
    print(
        f"{name} {model.config.notation}, {job.protocol.loops} loops, {len(report.figures)} "
        f"figures: plan {planned / 2**20:.0f} MiB, peak {peak() / 2**20:.0f} MiB, "
        f"{spent:.0f} s of CPU\n"
        f"  peak / plan {ratio:.3f}  bound {BOUND:.2f} {'ok' if ratio <= BOUND else 'OVER'}",
        flush=True,
    )


def plans():
    """What the paper's protocol would take on released shapes, this process on a CPU included."""
    print("256 prompts: 200 tokens at most, 150 on average")
    for name, config in PLANNED.items():
        protocol, gib = fitted(Protocol(), config)[0], []
        for dtype in (torch.float32, torch.bfloat16):
            with torch.device("meta"):
                model = LoopedTransformer(config).to(dtype)
            gib.append(sum(plan(model, 200, protocol).values()) / 2**30)
        work = operations(model, [150] * 256, protocol)
        print(f"  {name:10s} float32 {gib[0]:.1f} GiB, bfloat16 {gib[1]:.1f} GiB, {work:.1e} ops")


def main(names):
    for name in names or ["tiny"]:
        if name == "plan":
            plans()
            continue
        process = multiprocessing.get_context("spawn").Process(target=take, args=(name,))
        process.start()
        process.join()
        if process.exitcode:
            sys.exit(process.exitcode)


if __name__ == "__main__":
    main(sys.argv[1:])
