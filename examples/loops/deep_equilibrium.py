"""A deep equilibrium model: a layer whose fixed point is the answer, here of a point's class.

    looplab report examples/loops/deep_equilibrium.py --quick

z <- tanh(W z + U x + b), with W scaled so that no pass can stretch (|W| < 1), after Bai et al.
(arXiv 1909.01377). There are no tokens: states are [batch, width]. It is trained when the file is
run, in a second or two, by running 30 passes and differentiating through the last five.
"""

import torch
import torch.nn.functional as F
from torch import nn


class Equilibrium(nn.Module):
    def __init__(self, width=16, classes=2):
        super().__init__()
        self.given, self.head = nn.Linear(2, width), nn.Linear(width, classes)
        self.weight = nn.Parameter(torch.randn(width, width) / width**0.5)

    def step(self, z, x):
        size = torch.linalg.matrix_norm(self.weight.float(), ord=2).to(z)
        return torch.tanh(z @ (0.9 * self.weight / size.clamp(min=0.9)).T + self.given(x))

    def forward(self, x, loops=30):
        z = torch.zeros(len(x), len(self.weight))
        for n in range(loops):
            z = self.step(z.detach() if n < loops - 5 else z, x)
        return self.head(z)


def spirals(count):
    """Points on two arms of a spiral [point, 2], and which arm each is on [point]."""
    arm = torch.arange(count) % 2
    turn = 5 * torch.rand(count).sqrt()
    angle = turn + torch.pi * arm
    points = torch.stack((angle.cos(), angle.sin()), dim=-1) * turn[:, None] / 5
    return points + 0.02 * torch.randn(count, 2), arm


torch.manual_seed(0)
model = Equilibrium()
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
for _ in range(300):
    points, arms = spirals(128)
    optimizer.zero_grad()
    F.cross_entropy(model(points), arms).backward()
    optimizer.step()
model.eval().requires_grad_(False)
points, arms = spirals(128)
LOOPS = 30


def inputs():
    return points


def targets():
    return arms


def loop(x):
    start = torch.zeros(len(x), len(model.weight), dtype=x.dtype)
    return start, lambda z: model.step(z, x), model.head
