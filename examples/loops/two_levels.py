"""Two levels, HRM's way: a fast module that runs three times for each run of a slow one.

    looplab report examples/loops/two_levels.py --quick

The state is both levels side by side, [batch, token, 2 * width], and one step is one cycle of the
slow one (after HRM, arXiv 2506.21734). Weights are drawn at random, so nothing was learned; and
there are no targets(), so the report says what it would need them for.
"""

import torch
from torch import nn

FAST = 3  # runs of the fast module in a cycle


def module(width=24):
    layer = nn.TransformerEncoderLayer(width, 4, 2 * width, dropout=0.0, batch_first=True)
    return layer.eval()  # norms after each branch, as HRM has them


torch.manual_seed(0)
embed, head = nn.Embedding(10, 24), nn.Linear(24, 10)
slow, fast = module(), module()
puzzles = torch.randint(10, (32, 16))


def inputs():
    return puzzles


def loop(x):
    given = embed(x)

    def step(z):
        high, low = z.chunk(2, dim=-1)
        for _ in range(FAST):
            low = fast(low + high + given)
        return torch.cat((slow(high + low), low), dim=-1)

    def readout(z):
        return head(z.chunk(2, dim=-1)[0])

    return torch.zeros(*given.shape[:2], 2 * given.shape[2], dtype=given.dtype), step, readout
