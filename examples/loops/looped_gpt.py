"""A looped GPT, nanoGPT's way: one block, run again and again, that reads the input at each pass.

    looplab report examples/loops/looped_gpt.py --quick

To report on your own, put your model in the place of this one and load its weights. These are drawn
at random, so nothing was learned: what the report says is about the design.
"""

import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    def __init__(self, width=32, heads=4):
        super().__init__()
        self.heads = heads
        self.n1, self.n2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        q, k, v = self.qkv(self.n1(x)).chunk(3, dim=-1)
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (q, k, v))
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(seen.transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.n2(x))))


class LoopedGPT(nn.Module):
    def __init__(self, vocab=65, width=32, context=32):
        super().__init__()
        self.embed, self.place = nn.Embedding(vocab, width), nn.Embedding(context, width)
        self.mix, self.block = nn.Linear(2 * width, width), Block(width)
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocab, bias=False)

    def encode(self, tokens):
        return self.embed(tokens) + self.place(torch.arange(tokens.shape[1]))

    def step(self, z, x):
        return self.block(self.mix(torch.cat((z, x), dim=-1)))

    def readout(self, z):
        return self.head(self.norm(z))


torch.manual_seed(0)
model = LoopedGPT().eval()
tokens = torch.randint(65, (64, 25))
LOOPS = 8  # what it would be trained with


def inputs():
    return tokens[:, :-1]


def targets():
    return tokens[:, 1:]


def loop(x):
    given = model.encode(x)
    return torch.zeros_like(given), lambda z: model.step(z, given), model.readout
