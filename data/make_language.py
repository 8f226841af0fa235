"""Train the course's small language models on the text of data/make_text.py, one per seed.

    python data/make_language.py FOLDER [NAME-SEED ...]

Loops with a constant number of passes and a plain loss on the last one, as in the paper, and the
same with an injection and a drawn number of passes; beside them models that are never looped, one
as large as the loop (8 layers) and the paper's control (12). Every model sees the same tokens in
the same order for its seed. FOLDER keeps what was trained, so that a run that was stopped goes on.
"""

import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from looplab import LoopedConfig, LoopedTransformer, train

DATA = Path(__file__).parent
LENGTH = 128  # tokens of a piece of text
STEPS = 800
SEEDS = (0, 1, 2)
LOOPS = (1, 2, 3, 4, 5, 6, 8, 12, 16, 32, 64)  # what the held-out loss is measured at

PLAIN = LoopedConfig(
    vocab=2048,
    width=128,
    heads=4,
    core=12,
    loops=1,
    mlp="gated",
    activation="silu",
    tie_head=True,
)
LOOP = replace(PLAIN, prelude=2, core=4, coda=2, loops=4)
MODELS = {
    "loop": (LOOP, 4),
    "drawn": (replace(LOOP, injection="concat"), train.PoissonLogNormalLoops(3)),
    "plain12": (PLAIN, 1),
    "plain8": (replace(PLAIN, core=8), 1),
    "injected": (replace(LOOP, injection="concat"), 4),
    "deep": (replace(LOOP, core=8), 4),
}


def recipe(loops, seed: int) -> train.Recipe:
    return train.Recipe(
        steps=STEPS,
        batch=16,
        loops=loops,
        grad_loops=4,
        lr=2e-3,
        warmup=80,
        weight_decay=0.1,
        seed=seed,
    )


@torch.inference_mode()
def held_loss(model: LoopedTransformer, tokens: torch.Tensor, pieces: int = 128) -> dict:
    """Nats per token on held-out text after each number of loops; mean and error of the mean."""
    stride = (len(tokens) - 1) // pieces
    text = torch.stack([tokens[n * stride :][: LENGTH + 1] for n in range(pieces)]).long()
    looped = model.config.loops > 1
    told = {}
    for loops in LOOPS if looped else (1,):
        logits = torch.cat([model(part[:, :-1], loops).logits for part in text.split(16)])
        each = (
            F.cross_entropy(logits.flatten(0, 1), text[:, 1:].flatten(), reduction="none")
            .unflatten(0, (pieces, LENGTH))
            .mean(1)
        )
        told[loops] = [each.mean().item(), (each.std() / pieces**0.5).item()]
    return told


def main(folder: str, *names: str):
    out = Path(folder)
    out.mkdir(exist_ok=True)
    text = load_file(DATA / "text" / "tokens.safetensors")
    for name in names or [f"{model}-{seed}" for seed in SEEDS for model in MODELS]:
        if (out / f"{name}.json").exists():
            continue
        model_name, seed = name.rsplit("-", 1)
        config, loops = MODELS[model_name]
        torch.manual_seed(int(seed))
        model = LoopedTransformer(config)
        begun = time.perf_counter()
        history = train.fit(
            model,
            train.text_pieces(text["train"], LENGTH),
            recipe(loops, int(seed)),
            checkpoint=out / f"{name}.run",
            progress=False,
            threads=1,
        )
        model.eval()
        told = {
            "config": config.to_dict(),
            "notation": config.notation,
            "parameters": sum(p.numel() for p in model.parameters()),
            "recipe": recipe(loops, int(seed)).to_dict(),
            "tokens": STEPS * 16 * LENGTH,
            "seconds": round(history.seconds),
            "loss": [round(sum(history.loss[n : n + 20]) / 20, 4) for n in range(0, STEPS, 20)],
            "held": held_loss(model, text["held"]),
        }
        save_file(model.state_dict(), out / f"{name}.safetensors")
        (out / f"{name}.json").write_text(json.dumps(told, indent=1))
        print(name, f"{time.perf_counter() - begun:.0f} s", told["held"], flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
