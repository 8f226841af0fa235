"""What a training step costs: looped, truncated, unrolled twin, and PyTorch's own encoder stack.

    python benchmarks/bench_train.py

All run 16 layer calls of the same shapes, so their FLOPs are equal (but for truncation).
"""

import torch
import torch.nn.functional as F
from timing import interleave, show
from torch import nn

from looplab import LoopedConfig, LoopedTransformer

WIDTH, CORE, LOOPS, TOKENS, BATCH, VOCAB = 64, 2, 8, 32, 64, 64
CONFIG = LoopedConfig(vocab=VOCAB, width=WIDTH, core=CORE, loops=LOOPS, position="none")


class PlainStack(nn.Module):
    """The same depth out of PyTorch's parts: pre-norm encoder layers, no dropout, causal."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(VOCAB, WIDTH)
        layer = nn.TransformerEncoderLayer(
            WIDTH, 4, 4 * WIDTH, 0.0, "gelu", batch_first=True, norm_first=True, bias=False
        )
        self.stack = nn.TransformerEncoder(
            layer, CORE * LOOPS, nn.LayerNorm(WIDTH), enable_nested_tensor=False
        )
        self.head = nn.Linear(WIDTH, VOCAB, bias=False)
        mask = nn.Transformer.generate_square_subsequent_mask(TOKENS)
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, tokens):
        return self.head(self.stack(self.embed(tokens), mask=self.mask, is_causal=True))


def step(model, logits):
    """One optimiser step on fixed random tokens, as a function of nothing."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    tokens = torch.randint(VOCAB, (BATCH, TOKENS))

    def run():
        loss = F.cross_entropy(logits(tokens).flatten(0, 1), tokens.flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return run


def main():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    loop, cut, twin, plain = (
        LoopedTransformer(CONFIG),
        LoopedTransformer(CONFIG),
        LoopedTransformer(CONFIG.unrolled()),
        PlainStack(),
    )
    cases = {
        "looped": step(loop, lambda tokens: loop(tokens).logits),
        "looped, gradient through the last 4 of 8": step(
            cut, lambda tokens: cut(tokens, grad_loops=4).logits
        ),
        "unrolled twin": step(twin, lambda tokens: twin(tokens).logits),
        "torch.nn.TransformerEncoder": step(plain, plain),
    }
    title = f"training step: width {WIDTH}, {CONFIG.notation}, {BATCH}x{TOKENS} tokens"
    show(title, interleave(cases, rounds=9), "torch.nn.TransformerEncoder")


if __name__ == "__main__":
    main()
