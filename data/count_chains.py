"""Test the root models on two equal chains, over three seeds, and write data/chains.json.

    python data/count_chains.py [NAME ...]

Every model is trained again by the recipe of data/make_checkpoints.py: only seed 0 is published,
and a comparison that rests on one training run is one data point.
"""

import json
import sys
from pathlib import Path

import make_checkpoints
import torch

from looplab import tasks, train
from looplab.basics.threads import use_threads

OUT = Path(__file__).parent / "chains.json"
NAMES = ("root-k1", "root-k1-unrolled", "root-k1-shallow")
ITEMS = 1024


def main(names):
    batch = tasks.two_chains(ITEMS, torch.Generator().manual_seed(40_000))
    for name in names or NAMES:
        plan, results = make_checkpoints.MODELS[name], []
        for seed in make_checkpoints.SEEDS:
            with use_threads(1):
                model, _ = make_checkpoints.run(plan, seed)
                table = train.accuracy_table(model, batch, plan.config.loops)
            by_loop = {n: [round(v, 4) for v in row.tolist()] for n, row in enumerate(table[0], 1)}
            results.append({"seed": seed, "items": ITEMS, "accuracy": by_loop})
            print(name, seed, by_loop[plan.config.loops], flush=True)
        known = json.loads(OUT.read_text(encoding="utf-8")) if OUT.exists() else {}
        OUT.write_text(json.dumps(known | {name: results}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
