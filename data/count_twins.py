"""The hero's unrolled twin, trained with three seeds: what chapters 03 and 04 ask of the hero.

    python data/count_twins.py

Only seed 0 of the twin is published, and it is large: so the numbers are kept, in data/twins.json.
"""

import json
from pathlib import Path

import make_checkpoints
import torch

from looplab import measure, tasks, trace
from looplab.basics.threads import use_threads

OUT = Path(__file__).parent / "twins.json"


def main():
    forests = tasks.chain_and_star(16, torch.Generator().manual_seed(7), chain=(7, 7))
    plan, results = make_checkpoints.MODELS["hero-unrolled"], []
    for seed in make_checkpoints.SEEDS:
        with use_threads(1):
            model, _ = make_checkpoints.run(plan, seed)
            run = trace(
                model,
                forests.tokens,
                loops=plan.config.loops,
                keep=("states", "attention"),
                generator=torch.Generator().manual_seed(0),
            )
        step = measure.relative_step(run.loop_ends)[-1].mean().item()
        distances = measure.attention_distance(run.attention)
        contrast = measure.diagonal_contrast(distances, plan.config.core).mean().item()
        results.append(
            {
                "seed": seed,
                "relative step of the last pass": round(step, 3),
                "contrast of patterns": round(contrast, 3),
            }
        )
        print(results[-1], flush=True)
    told = {"hero-unrolled": results}
    OUT.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
