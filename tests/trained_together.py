"""Training runs that test_processes.py compares: in one process, and under torchrun in several.

    torchrun --nproc-per-node 2 tests/trained_together.py FOLDER

Each process leaves what it saw in FOLDER/RANK.json and its weights in FOLDER/RANK.safetensors.
"""

import io
import json
import os
import signal
import sys
from contextlib import redirect_stderr
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file

from looplab import LoopedConfig, LoopedTransformer, tasks
from looplab.train import Recipe, UniformLoops, fit

CONFIG = LoopedConfig(
    vocab=4,
    fields=2,
    width=16,
    heads=2,
    attention="full",
    position="none",
    injection="concat",
    start="normal",
    exit_gate=True,  # which gets no gradient
)
RECIPE = Recipe(
    steps=12, batch=5, loops=UniformLoops(2, 4), grad_loops=2, warmup=2, penalty=0.1, clip=0.5
)
STOP = 4  # steps of the run that is interrupted
OPTIONS = {"accumulate": 2, "every": 5, "threads": 1, "device": "cpu"}


def task(count, generator):
    """Find the root; of each five items the first has no target and the second has one."""
    batch = tasks.find_root(count, generator, nodes=4, max_depth=2)
    targets = batch.targets.clone()
    targets[0::5] = -100
    targets[1::5, 1:] = -100
    return batch._replace(targets=targets)


def build(seed=0):
    torch.manual_seed(seed)
    return LoopedTransformer(CONFIG).double()  # so that sums in another order hardly differ


def look(model, step):
    return {"weight": model.head.weight.abs().mean().item()}


def train(model, file=None, recipe=RECIPE, **options):
    return fit(model, task, recipe, file, **OPTIONS | {"evaluate": look} | options)


def interrupted(file, rank=0, progress=False):
    """A run into whose third next step an interrupt falls, in one of the processes only."""
    model, calls = build(), []

    def press(*_):
        calls.append(1)
        if len(calls) == 2 * STOP and int(os.environ.get("RANK", 0)) == rank:
            signal.raise_signal(signal.SIGINT)

    model.register_forward_hook(press)
    return train(model, file, progress=progress)


def main(folder):
    rank, folder = int(os.environ["RANK"]), Path(folder)
    looks, said, found = [], io.StringIO(), {}

    def watched(model, step):
        looks.append(step)
        return look(model, step)

    model = build(seed=rank)  # the others are lent the first one's weights
    with redirect_stderr(said):
        whole = train(model, folder / "whole.run", evaluate=watched, progress=True)
    save_file(model.state_dict(), folder / f"{rank}.safetensors")
    found |= {"loss": whole.loss, "evaluations": whole.evaluations, "looks": looks}
    found["said"] = said.getvalue()

    stopped = interrupted(folder / "stopped.run", rank=1)
    found["stopped"] = stopped.steps, stopped.interrupted
    found["in time"] = train(build(), progress=False, seconds=1e-9).steps
    found["resumed"] = train(build(), folder / "begun.run", progress=False).loss
    for name, change in {
        "few": lambda: train(build(), recipe=replace(RECIPE, batch=1, steps=1), accumulate=1),
        "other": lambda: train(build(), recipe=replace(RECIPE, seed=rank), progress=False),
    }.items():
        try:
            change()
        except ValueError as error:
            found[name] = str(error)
    (folder / f"{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
