"""What a training step costs: looped, truncated, unrolled twin, and PyTorch's own encoder stack.

    python benchmarks/bench_train.py

All run 16 layer calls of the same shapes, so their FLOPs are equal (but for truncation). Then the
model of chapter 02: what its data costs beside a step, and what the whole training takes.
"""

import time
from functools import partial

import torch
import torch.nn.functional as F
from timing import interleave, show
from torch import nn

from looplab import LoopedConfig, LoopedTransformer, tasks, train
from looplab.zoo import checkpoints

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


def data(steps=64):
    """Print CPU time of drawing a batch / of a training step, for each task's own recipe."""
    drawn = {
        "root-k1": partial(tasks.find_root, max_depth=5),
        "flood": partial(tasks.flood_fill, side=6),
        "parity": partial(tasks.windowed_parity, length=12),
    }
    print("\ndrawing a batch / training step (CPU time, one thread)")
    for name, task in drawn.items():
        card = checkpoints.card(name)
        model = LoopedTransformer(LoopedConfig.from_dict(card["config"]))
        size, loops = card["recipe"]["batch"], card["config"]["loops"]
        recipe = train.Recipe(steps=steps, batch=size, loops=loops)
        generator = torch.Generator().manual_seed(0)
        stream = tasks.batches(task, size, generator)
        begin = time.process_time()
        for _ in range(steps):
            next(stream)
        drawing = time.process_time() - begin
        begin = time.process_time()
        train.fit(model, task, recipe, progress=False, device="cpu", threads=1)
        share = drawing / (time.process_time() - begin)
        print(f"  {name:44s} {share:6.3f}  bound 0.05 {'ok' if share <= 0.05 else 'OVER'}")


def first_model(steps=300):
    """Print what the training of chapter 02 takes, from its first steps, and the loss by then."""
    torch.manual_seed(0)
    card = checkpoints.card("root-k1")
    model = LoopedTransformer(LoopedConfig.from_dict(card["config"]))
    recipe = train.Recipe(steps=steps, batch=64, loops=train.UniformLoops(3, 6))
    task = partial(tasks.find_root, max_depth=5)
    begin = time.process_time()
    history = train.fit(model, task, recipe, progress=False, device="cpu", threads=1)
    seconds = (time.process_time() - begin) * 1000 / steps
    print("\nchapter 02's training (CPU time, one thread)")
    print(f"  1000 steps take {seconds:.1f} s  bound 30 {'ok' if seconds <= 30 else 'OVER'}")
    print(f"  loss {history.loss[0]:.2f} at the start, {history.loss[-1]:.2f} after {steps} steps")


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
    data()
    first_model()


if __name__ == "__main__":
    main()
