"""Labelling the limit of every token: all at once against a loop over tokens.

python benchmarks/bench_limits.py
"""

import torch
from timing import interleave, show

from looplab.measure import limit_by_cosine, limit_by_period

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


if __name__ == "__main__":
    main()
