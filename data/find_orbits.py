"""Find looped stacks of random weights whose tokens end on orbits, and write data/orbits.json.

    python data/find_orbits.py

Each stack is one of looplab.experiments.random_stacks: nothing is trained. The scan labels the
end of every token with measure.limit_by_period. A candidate is a stack whose periods come out the
same three more times, run alone, in double precision, and from a start nudged by NUDGE, and at a
tenth of the tolerance. It is kept only if its orbit closes: in double precision, after CLOSE_AFTER
loops, to within CLOSED. Candidates that do not close are no orbits, however much they look like
some; they are kept as decoys, with what becomes of them.
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
CLOSE_AFTER, CLOSED = 1024, 1e-9  # all kept orbits close to a few roundings, 1e-13 and less
LONG = 24_000  # loops after which a decoy is looked at again


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


def way_back(states, orbit):
    """How far the last loops of its tokens lie from one period before, in lengths of the state."""
    on_it = torch.tensor(orbit["period of each token"]) == orbit["period"]
    path, period = states[:, on_it], orbit["period"]
    away = (path[-4 * period :] - path[-5 * period : -period]).norm(dim=-1)
    return (away / path[-1].norm(dim=-1)).max().item()


def closing(stacks):
    """(tokens called orbits by loop LOOPS, and how many of these close later) over all stacks."""
    called = closed = 0
    for stack in stacks:
        states = run_alone({**stack, "loops": CLOSE_AFTER}, torch.float64)
        for token, period in enumerate(periods(states[:LOOPS])[1].tolist()):
            if period:
                one = {"period": period, "period of each token": [0] * TOKENS}
                one["period of each token"][token] = period
                called += 1
                closed += way_back(states, one) <= CLOSED
    return called, closed


def unmask(orbit):
    """What becomes of a candidate that does not close: the entry with what it is."""
    states = run_alone({**orbit, "loops": LONG}, torch.float64)
    apart = {str(n): float(f"{way_back(states[:n], orbit):.1g}") for n in (CLOSE_AFTER, 4096, LONG)}
    step = (states[-1] - states[-2]).norm(dim=-1).max()
    what = "a path that never closes"
    if step <= CLOSED:
        what = "a slow spiral"
    elif apart[str(LONG)] <= CLOSED:
        what = "an orbit that closes late"
    return {**orbit, "what it is": what, "one period apart": apart}


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
        kept, decoys = [], []
        for period in WANTED:
            mine = [pair for pair in candidates if pair[1]["period"] == period]
            mine.sort(key=lambda pair: -pair[0])
            good = []
            for orbit in filter(None, (confirm(orbit) for _, orbit in mine)):
                far = run_alone({**orbit, "loops": CLOSE_AFTER}, torch.float64)
                if way_back(far, orbit) <= CLOSED:
                    good.append(orbit)
                else:
                    decoys.append(unmask(orbit))
                if len(good) == KEEP:
                    break
            kept += good
            print(f"period {period}: {len(mine)} candidates, {len(good)} kept", flush=True)
        bare = [{k: v for k, v in orbit.items() if k != "period"} for _, orbit in candidates]
        called, closed = closing({tuple(stack.items()): stack for stack in bare}.values())
    missing = {4, 5, 6, 12} - {orbit["period"] for orbit in kept}
    if missing:
        raise SystemExit(f"no stack with period {sorted(missing)}: scan more seeds")
    found = {
        "about": "Looped stacks of random weights whose tokens end on orbits.",
        "found by": "data/find_orbits.py",
        "torch": torch.__version__.split("+")[0],
        "stacks scanned": len(rows) * SEEDS,
        "tolerance": {"of the scan": TOLERANCE, "of the orbits": STRICT},
        "tokens called orbits": {"by loop 128": called, "of these closed by loop 1024": closed},
        "orbits": kept,
        "decoys": decoys,
        "scan": rows,
    }
    OUT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"{time.process_time() - begin:.0f} CPU seconds")


if __name__ == "__main__":
    main()
