"""Which layers should one loop? A window of a feedforward model run again and again, three ways.

Source: the naive and the damped loop of arXiv 2605.23872, and an injection with no training.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from looplab.experiments.layerwise import Answers, next_token_loss
from looplab.model import LoopedTransformer
from looplab.tasks import word_problems
from looplab.zoo import english, loopify

__all__ = ["texts", "window_losses", "window_map"]

LOOPS = (1, 2, 4, 8)
SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)
MAP = "smollm2_map_{}.safetensors"  # by data/map_smollm2.py, for windows of so many layers
SIZES = (6, 4)


def texts(encode: Callable[[str], Sequence[int]], count: int, length: int) -> Tensor:
    """Word problems of our own, then pieces of held-out speeches: `count` of each, [text, token].

    Each is cut to its first `length` tokens; `encode` is the tokenizer, from text to ids.

    >>> texts(lambda text: [ord(letter) for letter in text], 3, 20).shape
    torch.Size([6, 20])
    """
    held = (english.TEXT / "held.txt").read_text(encoding="utf-8")
    stride, most = len(held) // count, 16 * length  # letters: more than length tokens have
    speeches = [held[n * stride : n * stride + most] for n in range(count)]
    return torch.tensor([encode(one)[:length] for one in word_problems(count) + speeches])


def window_losses(
    model: LoopedTransformer,
    tokens: Tensor,
    first: int,
    last: int,
    *,
    loops: Sequence[int] = LOOPS,
    shares: Sequence[float] = SHARES,
    batch: int = 8,
) -> dict[str, Tensor]:
    """Loss with layers `first` to `last - 1` looped: way -> [loops, text], in nats a token.

    Ways are "naive" z = g(z), "damped" z = z + (g(z) - z) / n for n loops, and for each of `shares`
    str(a), an injection z = g(a z + (1 - a) x), where g is the window and x what came into it.
    Each equals the model itself at one loop. "step a" [text] is the median over tokens of the last
    step's length, relative to the state's. `tokens` [text, token] are read `batch` texts at a time;
    the layers in front run once for all ways. Raises ValueError as `zoo.loopify` does.

    >>> from looplab import LoopedConfig
    >>> model = LoopedTransformer(LoopedConfig(vocab=9, core=4, loops=1))
    >>> found = window_losses(model, torch.tensor([[1, 2, 3]]), 1, 3, loops=(1, 2), shares=(0.5,))
    >>> list(found), found["damped"].shape
    (['naive', 'damped', '0.5', 'step 0.5'], torch.Size([2, 1]))
    """
    looped = loopify(model, first, last, max(loops), damped=False)
    parts = []
    with torch.inference_mode():
        for some in tokens.split(batch):
            ready = looped.prepare(some)

            def judged(z: Tensor, ready=ready, some=some) -> Tensor:
                return next_token_loss(looped.answer(z, ready), some)

            def window(z: Tensor, ready=ready) -> Tensor:
                return looped.step(z, ready)

            parts.append(_losses(window, ready.start, judged, loops, shares))
    return {way: torch.cat([part[way] for part in parts], dim=-1) for way in parts[0]}


def window_map() -> dict[tuple[int, int], dict[str, Tensor]]:
    """What data/map_smollm2.py measured of SmolLM2: (first, last) -> what `window_losses` returns.

    On 24 `texts`, 12 of each kind with 32 tokens; windows of six and of four layers. ValueError
    where a file is damaged.

    >>> list(window_map()[12, 18]["naive"].shape)
    [4, 24]
    """
    found = {}
    for size in SIZES:
        told = Answers(MAP.format(size), live=False)
        for name in told.names():
            found[int(name), int(name) + size] = told.ask(name, dict)
    return dict(sorted(found.items()))


def _losses(
    window: Callable[[Tensor], Tensor],
    x: Tensor,
    judged: Callable[[Tensor], Tensor],
    loops: Sequence[int],
    shares: Sequence[float],
) -> dict[str, Tensor]:
    once = window(x)  # every way's first pass
    itself = judged(once) if 1 in loops else None

    def run(step: Callable[[Tensor], Tensor], begin: Tensor) -> tuple[list[Tensor], Tensor]:
        z, told, before = begin, [itself] if 1 in loops else [], begin
        for loop in range(2, max(loops) + 1):
            before, z = z, step(z)
            if loop in loops:
                told.append(judged(z))
        moved = (z - before)[:, 1:].norm(dim=-1) / z[:, 1:].norm(dim=-1)  # not the first token
        return told, moved.median(-1).values

    told = {"naive": torch.stack(run(window, once)[0])}
    damped = []
    for n in loops:
        z = x + (once - x) / n
        for _ in range(n - 1):
            z = z + (window(z) - z) / n
        damped.append(itself if n == 1 else judged(z))
    told["damped"] = torch.stack(damped)
    for share in shares:
        losses, moved = run(lambda z, a=share: window(a * z + (1 - a) * x), once)
        told[str(share)], told[f"step {share}"] = torch.stack(losses), moved
    return told
