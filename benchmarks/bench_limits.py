"""Labelling the limit of every token, and exit rules: all at once against a loop over tokens.

python benchmarks/bench_limits.py
"""

import torch
from timing import interleave, show

from looplab.measure import exit_cost, first_exit, limit_by_cosine, limit_by_period, step_signal

LOOPS, TOKENS, WIDTH, ROUNDS = 128, 192, 64, 5
GATES = {"limit_by_period, all tokens": 1 / 3, "limit_by_cosine, all tokens": 1 / 3}


def one_by_one(states):
    """What a user would write: for every token the first lag that brings the state back."""
    found = []
    for token in range(states.shape[1]):
        path = states[:, token]
        size = path[-1].norm()
        lags = range(1, LOOPS // 4 + 1)
        away = [float((path[-32:] - path[-32 - k : -k]).norm(dim=-1).max() / size) for k in lags]
        found.append(next((k for k in lags if away[k - 1] < 0.01), 0))
    return found


def exits_one_by_one(states, right, tolerance):
    """For every token the first quiet loop, the oracle's loop, and what the rule lost."""
    spare, lost = [], 0
    for path, good in zip(states.unbind(1), right.unbind(1), strict=True):
        out = best = LOOPS
        for loop in range(1, LOOPS):
            if (path[loop] - path[loop - 1]).norm() / path[loop].norm() < tolerance:
                out = loop + 1
                break
        while best > 0 and good[best - 1]:
            best -= 1
        if best < LOOPS:
            spare.append(out - best - 1)
            lost += not good[out - 1]
    return sum(spare) / len(spare), lost / states.shape[1]


def main():
    torch.set_num_threads(1)
    random = torch.Generator().manual_seed(0)
    loop = torch.arange(LOOPS)[:, None, None]
    limit = torch.randn(TOKENS, WIDTH, generator=random)
    states = limit + 0.8**loop * torch.randn(TOKENS, WIDTH, generator=random)
    cases = {
        "a loop over tokens and lags": lambda: one_by_one(states),
        "limit_by_period, all tokens": lambda: limit_by_period(states),
        "limit_by_cosine, all tokens": lambda: limit_by_cosine(states),
    }
    title = f"{TOKENS} tokens, {LOOPS} loops"
    show(title, interleave(cases, ROUNDS), "a loop over tokens and lags", GATES)
    right = loop[..., 0] >= torch.randint(2, 20, (TOKENS,), generator=random)
    cases = {
        "exits by a loop over tokens": lambda: exits_one_by_one(states, right, 1e-3),
        "signal, exit and its cost": lambda: exit_cost(
            first_exit(step_signal(states) < 1e-3), right
        ),
    }
    spare, lost = cases["exits by a loop over tokens"]()
    found = cases["signal, exit and its cost"]()
    assert abs(found.spare - spare) < 1e-6 and abs(found.lost - lost) < 1e-9
    gates = {"signal, exit and its cost": 1 / 5}
    show("one exit rule", interleave(cases, ROUNDS), "exits by a loop over tokens", gates)


if __name__ == "__main__":
    main()
