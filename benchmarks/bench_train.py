"""What a training step costs, beside PyTorch's own parts.

    python benchmarks/bench_train.py [steps language streams data first]

`steps` compares a looped model, a truncated one and the unrolled twin with PyTorch's encoder stack:
16 layer calls of the same shapes, so equal FLOPs (but for truncation). `language` compares the step
that `train.fit` takes on the loop of data/make_language.py with a stack of as many layers in plain
PyTorch, `streams` with Hyperloop and mHC, in training and forward. `data` and `first` are the model
of chapter 02: what its data costs beside a step, and what the whole training takes.
"""

import statistics
import sys
import time
from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F
from timing import interleave, show
from torch import nn

from looplab import LoopedConfig, LoopedTransformer, tasks, train
from looplab.train.step import Progress, train_step
from looplab.zoo import checkpoints, english

WIDTH, CORE, LOOPS, TOKENS, BATCH, VOCAB = 64, 2, 8, 32, 64, 64
CONFIG = LoopedConfig(vocab=VOCAB, width=WIDTH, core=CORE, loops=LOOPS, position="none")

LANGUAGE = LoopedConfig.from_dict(english.card("loop")["config"])
PIECES, LENGTH = 16, 128  # of text in a batch, and tokens in each
SLOWER = 1 / 0.95  # looplab / plain PyTorch: at least 95 % of its tokens a second


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


class PlainLayer(nn.Module):
    """A layer of Llama's form, written down as it stands in the paper."""

    def __init__(self, config):
        super().__init__()
        width, self.heads = config.width, config.heads
        self.norm1, self.norm2 = nn.RMSNorm(width, 1e-6), nn.RMSNorm(width, 1e-6)
        self.q, self.k, self.v, self.o = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.gate = nn.Linear(width, config.hidden, bias=False)
        self.up = nn.Linear(width, config.hidden, bias=False)
        self.down = nn.Linear(config.hidden, width, bias=False)

    def forward(self, x, cos, sin):
        batch, tokens, width = x.shape
        y = self.norm1(x)
        q, k, v = (
            part(y).view(batch, tokens, self.heads, width // self.heads).transpose(1, 2)
            for part in (self.q, self.k, self.v)
        )
        q, k = (z * cos + turned(z) * sin for z in (q, k))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.o(mixed.transpose(1, 2).reshape(batch, tokens, width))
        y = self.norm2(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


def turned(z):
    """(a, b) -> (-b, a), halves of the last axis."""
    a, b = z.chunk(2, dim=-1)
    return torch.cat((-b, a), dim=-1)


class PlainLanguageModel(nn.Module):
    """As many layers as the loop runs, each with weights of its own, and a tied head."""

    def __init__(self, config):
        super().__init__()
        self.embed = nn.Embedding(config.vocab, config.width)
        nn.init.normal_(self.embed.weight, std=0.02)
        self.layers = nn.ModuleList(PlainLayer(config) for _ in range(config.realized_depth))
        self.norm = nn.RMSNorm(config.width, 1e-6)
        speed = config.rope_theta ** (-torch.arange(0, config.head_width, 2) / config.head_width)
        angle = torch.outer(torch.arange(LENGTH), speed).repeat(1, 2)
        self.register_buffer("cos", angle.cos())
        self.register_buffer("sin", angle.sin())

    def forward(self, tokens):
        x = self.embed(tokens)
        for layer in self.layers:
            x = layer(x, self.cos, self.sin)
        return F.linear(self.norm(x), self.embed.weight)


def language():
    """The step of `train.fit` on text beside the same written in plain PyTorch."""
    text = train.text_pieces(torch.randint(LANGUAGE.vocab, (10_000,)), LENGTH)
    batch = text(PIECES, torch.Generator().manual_seed(0))
    recipe = train.Recipe(steps=1000, batch=PIECES, loops=LANGUAGE.loops)
    loop, plain = LoopedTransformer(LANGUAGE), PlainLanguageModel(LANGUAGE)
    ours, theirs = (
        torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True) for model in (loop, plain)
    )
    progress, generator = Progress([]), torch.Generator()

    def looped():
        train_step(loop, ours, batch, recipe, LANGUAGE.loops, generator, progress)

    def by_hand():
        theirs.zero_grad()
        loss = F.cross_entropy(plain(batch.tokens).flatten(0, 1), batch.targets.flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
        theirs.step()
        return loss.item()

    title = f"training on text: width {LANGUAGE.width}, {LANGUAGE.notation}, {PIECES}x{LENGTH}"
    seconds = interleave({"train.fit": looped, "plain PyTorch": by_hand}, rounds=9, warmup=1)
    show(title, seconds, "plain PyTorch", {"train.fit": SLOWER})
    for name, spent in seconds.items():
        print(f"  {name:44s} {PIECES * LENGTH / statistics.median(spent):8.0f} tokens/s")


def streams():
    """The loop of data/make_language.py beside the same with hyper-connections."""
    hyper = replace(LANGUAGE, streams=4, loop_embed=True)
    mhc = replace(LANGUAGE, streams=4, stream_unit="branch", stream_carry="sinkhorn")
    models = {
        "plain loop": LoopedTransformer(LANGUAGE),
        "Hyperloop": LoopedTransformer(hyper),
        "mHC": LoopedTransformer(mhc),
    }
    batch = train.text_pieces(torch.randint(LANGUAGE.vocab, (10_000,)), LENGTH)(
        PIECES, torch.Generator().manual_seed(0)
    )
    recipe = train.Recipe(steps=1000, batch=PIECES, loops=LANGUAGE.loops)

    def stepping(model):
        optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
        progress, random = Progress([]), torch.Generator()
        return lambda: train_step(model, optimiser, batch, recipe, LANGUAGE.loops, random, progress)

    def forward(model):
        with torch.no_grad():
            return model(batch.tokens).logits

    what = f"width {LANGUAGE.width}, {LANGUAGE.notation}, {PIECES}x{LENGTH} tokens"
    steps = {name: stepping(model) for name, model in models.items()}
    show(f"training step with streams: {what}", interleave(steps, 7, 1), "plain loop")
    runs = {name: partial(forward, model) for name, model in models.items()}
    show(f"forward with streams: {what}", interleave(runs, 7, 1), "plain loop")


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


def steps():
    """Looped, truncated, unrolled and PyTorch's own."""
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


CASES = {
    "steps": steps,
    "language": language,
    "streams": streams,
    "data": data,
    "first": first_model,
}


def main(names):
    torch.set_num_threads(1)
    for name in names or CASES:
        torch.manual_seed(0)
        CASES[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
