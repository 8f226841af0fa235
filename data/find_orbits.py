"""Find looped stacks of random weights whose tokens end on orbits, and write data/orbits.json.

    python data/find_orbits.py

Each stack is one of looplab.experiments.random_stacks: nothing is trained. The scan labels the
end of every token with measure.limit_by_period. A stack is kept only if its
periods come out the same three more times, run alone, in double precision, and from a start
nudged by NUDGE, and at a tenth of the tolerance: those are orbits that pull the state
in, not accidents of rounding or of slow drift.
"""

import json
import time
from collections import Counter
from itertools import product
from pathlib import Path

import torch

from looplab import measure, trace
from looplab.basics.threads import use_threads
from looplab.experiments import random_stacks as grid
from looplab.measure import Limit

OUT = Path(__file__).parent / "orbits.json"
NORMS, INJECTIONS, DEPTHS, GAINS = ("Huginn", "Ouro"), ("none", "half-half"), (1, 2, 4), (1.5, 2, 3)
SEEDS = 40
WIDTH, TOKENS, LOOPS = 32, 8, 128
WANTED = (2, 3, 4, 5, 6, 7, 8, 10, 12, 16)
KEEP = 2  # stacks for each period
NUDGE = 1e-3
TOLERANCE, STRICT = 0.01, 0.001


def periods(states, tolerance=TOLERANCE):
    """Label and period of every token of states [loop, ..., width]; 0 off an orbit."""
    limit, period = measure.limit_by_period(states, tolerance)
    return limit, torch.where(limit == Limit.ORBIT, period, 0)


def scan(norm, injection, depth, gain):
    """One setting, all seeds at once: shares of the limits, and the orbits seen by seed."""
    seeds = range(SEEDS)
    models = [grid.random_stack(norm, injection, depth, gain, seed, width=WIDTH) for seed in seeds]
    tokens = torch.stack([grid.random_tokens(seed, TOKENS) for seed in seeds])
    states = grid.run_together(models, tokens, LOOPS)[:, :, -1, 0]  # [seed, loop, token, width]
    limit, period = periods(states.transpose(0, 1))  # [seed, token]
    shares = {name: round(share, 4) for name, share in measure.limit_shares(limit).items()}
    seen = Counter(period[period > 0].tolist())
    row = {"norm": norm, "injection": injection, "depth": depth, "gain": gain, "shares": shares}
    row["tokens by period"] = {str(p): n for p, n in sorted(seen.items())}
    return row, [Counter(row[row > 0].tolist()) for row in period]


def run_alone(orbit, dtype=torch.float32, nudge=0.0):
    """States at the loops' ends [loop, token, width] of one entry of orbits.json."""
    setting = [orbit[key] for key in ("norm", "injection", "depth", "gain", "seed")]
    model = grid.random_stack(*setting, width=orbit["width"]).to(dtype)
    tokens = grid.random_tokens(orbit["seed"], orbit["tokens"])
    start = model.start(model.encode(tokens), torch.Generator().manual_seed(0))
    push = torch.randn(start.shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    run = trace(model, tokens, orbit["loops"], state=start + nudge * push, keep=())
    return run.loop_ends[:, 0]


def confirm(orbit):
    """The entry with the period of each token, or None where a repeat tells another story."""
    found = [
        periods(run_alone(orbit, dtype, nudge), STRICT)[1].tolist()
        for dtype, nudge in ((torch.float32, 0.0), (torch.float64, 0.0), (torch.float32, NUDGE))
    ]
    if found[0] != found[1] or found[0] != found[2] or orbit["period"] not in found[0]:
        return None
    return {**orbit, "period of each token": found[0], "on it": found[0].count(orbit["period"])}


def main():
    begin = time.process_time()
    rows, candidates = [], []
    with use_threads(1):
        for setting in product(NORMS, INJECTIONS, DEPTHS, GAINS):
            row, by_seed = scan(*setting)
            rows.append(row)
            for seed, seen in enumerate(by_seed):
                for period, count in seen.items():
                    orbit = dict(zip(("norm", "injection", "depth", "gain"), setting, strict=True))
                    orbit |= {"seed": seed, "width": WIDTH, "tokens": TOKENS, "loops": LOOPS}
                    candidates.append((count, {**orbit, "period": period}))
        kept = []
        for period in WANTED:
            mine = [pair for pair in candidates if pair[1]["period"] == period]
            mine.sort(key=lambda pair: -pair[0])
            good = (confirm(orbit) for _, orbit in mine)
            good = [orbit for orbit, _ in zip((o for o in good if o), range(KEEP), strict=False)]
            kept += good
            print(f"period {period}: {len(mine)} candidates, {len(good)} kept", flush=True)
    missing = {4, 5, 6, 12} - {orbit["period"] for orbit in kept}
    if missing:
        raise SystemExit(f"no stack with period {sorted(missing)}: scan more seeds")
    found = {
        "about": "Looped stacks of random weights whose tokens end on orbits.",
        "found by": "data/find_orbits.py",
        "torch": torch.__version__.split("+")[0],
        "stacks scanned": len(rows) * SEEDS,
        "tolerance": {"of the scan": TOLERANCE, "of the orbits": STRICT},
        "orbits": kept,
        "scan": rows,
    }
    OUT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"{time.process_time() - begin:.0f} CPU seconds")


if __name__ == "__main__":
    main()
