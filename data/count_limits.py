"""Count how the tokens of our trained models end, over three seeds, and write data/limits.json.

    python data/count_limits.py [NAME ...]

Every model is trained again by the recipe of data/make_checkpoints.py: only seed 0 is published,
and a rate that rests on one training run is one data point.
"""

import json
import sys
from pathlib import Path

import make_checkpoints
import torch

from looplab import measure, trace
from looplab.basics.threads import use_threads
from looplab.measure import Limit

OUT = Path(__file__).parent / "limits.json"
NAMES = ("hero", "root-k1", "root-k1-penalty", "root-ouro", "flood")
LOOPS = 128
ITEMS = {"flood": 256}  # mazes of 36 tokens; of the forests, which have 12, 1024


def count(model, batch):
    """How the tokens end, by both detectors, and how many rest on a wrong answer."""
    cosine, period, wrong = [], [], []
    for begin in range(0, len(batch.tokens), 128):
        part = slice(begin, begin + 128)
        run = trace(
            model, batch.tokens[part], LOOPS, keep=(), generator=torch.Generator().manual_seed(0)
        )
        cosine.append(measure.limit_by_cosine(run.loop_ends).limit)
        period.append(measure.limit_by_period(run.loop_ends).limit)
        wrong.append(run.logits.argmax(-1) != batch.targets[part])
    cosine, period, wrong = (torch.cat(parts) for parts in (cosine, period, wrong))
    named = {"by cosine": cosine, "by period": period}
    result = {"items": len(period), "tokens": period.numel()}
    for name, limit in named.items():
        result[name] = {
            kind.name.lower().replace("_", " "): int((limit == kind).sum()) for kind in Limit
        }
    at_rest = period == Limit.FIXED_POINT
    result["wrong"] = int(wrong.sum())
    result["at rest and wrong"] = int((at_rest & wrong).sum())
    return result


def main(names):
    for name in names or NAMES:
        plan, results = make_checkpoints.MODELS[name], []
        batch = plan.task(ITEMS.get(name, 1024), torch.Generator().manual_seed(30_000))
        for seed in make_checkpoints.SEEDS:
            with use_threads(1):
                model, _ = make_checkpoints.run(plan, seed)
                results.append({"seed": seed, "loops": LOOPS, **count(model, batch)})
            print(name, results[-1], flush=True)
        known = json.loads(OUT.read_text(encoding="utf-8")) if OUT.exists() else {}
        OUT.write_text(json.dumps(known | {name: results}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
