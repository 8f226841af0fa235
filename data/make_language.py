"""Train the course's small language models on the text of data/make_text.py, one per seed.

    python data/make_language.py FOLDER [NAME-SEED ...]     train, all or some
    python data/make_language.py FOLDER publish             measure them, and write data/english

Loops with a constant number of passes and a plain loss on the last one, as in the paper, and the
same with an injection and a drawn number of passes; beside them models that are never looped: one
as large as the loop (8 layers), one that computes as much (20), and the paper's control (12). Every
model sees the same tokens in the same order for its seed. FOLDER keeps what was trained, so that a
run that was stopped goes on.
"""

import hashlib
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save, save_file

from looplab import LoopedConfig, LoopedTransformer, measure, train
from looplab.experiments.layerwise import by_layer

DATA = Path(__file__).parent
OUT = DATA / "english"
WITH_WEIGHTS = ("drawn", "loop", "plain12")
LENGTH = 128  # tokens of a piece of text
PIECES = 64  # of the held-out speeches, that all are measured on
STEPS = 500
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
    "plain8": (replace(PLAIN, core=8), 1),
    "plain20": (replace(PLAIN, core=20), 1),
    "plain12": (PLAIN, 1),
}


def recipe(loops, seed: int) -> train.Recipe:
    return train.Recipe(
        steps=STEPS,
        batch=16,
        loops=loops,
        grad_loops=4,
        lr=2e-3,
        warmup=50,
        weight_decay=0.1,
        seed=seed,
    )


@torch.inference_mode()
def held_losses(model: LoopedTransformer, pieces: torch.Tensor) -> torch.Tensor:
    """Nats a token on held-out pieces after each number of LOOPS: [loop, piece]."""
    loops = LOOPS if model.config.loops > 1 else (1,)
    told = []
    for part in pieces.split(16):
        ready = model.prepare(part[:, :-1])
        each = []
        for loop, z in model.passes(ready, max(loops)):
            if loop + 1 in loops:
                logits = model.answer(z, ready).flatten(0, 1)
                loss = F.cross_entropy(logits, part[:, 1:].flatten(), reduction="none")
                each.append(loss.unflatten(0, (len(part), -1)).mean(1))
        told.append(torch.stack(each))
    return torch.cat(told, 1)


@torch.inference_mode()
def looked_at(model: LoopedTransformer, pieces: torch.Tensor) -> dict:
    """Stages of inference and rest on a few pieces, means: by layer in running order, by loop."""
    found = by_layer(
        model,
        pieces[:, :-1],
        {
            "attn.pattern": {
                "ColSum": measure.colsum_concentration,
                "sinks": measure.sink_rate,
                "mixing": measure.mixing_score,
            },
            "resid": {"norm": lambda x: x.norm(dim=-1).median(-1).values},
        },
    )
    told = {
        name: [round(x, 4) for x in values.mean(1).tolist()]
        for name, values in found.items()
        if name != "loss"
    }
    if model.config.loops > 1:
        states = model(pieces[:, :-1], 64, every_loop=True).loop_states
        steps = measure.relative_step(states).flatten(1).median(1).values  # from loop 2 on
        told["step"] = {n: float(f"{steps[n - 2]:.2g}") for n in LOOPS if n > 1}
    return told


def looked_into(path: Path, pieces: torch.Tensor) -> tuple[dict, torch.Tensor]:
    """What is measured of a trained model, once: kept beside its weights."""
    told, losses = path.with_suffix(".told"), path.with_suffix(".losses")
    if not told.exists():
        trained = json.loads(path.read_text(encoding="utf-8"))
        model = LoopedTransformer(LoopedConfig.from_dict(trained["config"])).eval()
        model.load_state_dict(load_file(path.with_suffix(".safetensors")))
        save_file({"held": held_losses(model, pieces)}, losses)
        found = {
            "notation": trained["notation"],
            "parameters": trained["parameters"],
            "seconds": trained["seconds"],
            "training loss": trained["loss"],
            **looked_at(model, pieces[:: PIECES // 16]),
        }
        told.write_text(json.dumps(found))
    return json.loads(told.read_text(encoding="utf-8")), load_file(losses)["held"]


def publish(folder: Path):
    """Write data/english: three models of seed 0, and what was measured of all."""
    text = load_file(DATA / "text" / "tokens.safetensors")
    pieces = train.even_pieces(text["held"], PIECES, LENGTH)
    losses, told = {}, {"loops": list(LOOPS), "pieces": PIECES, "tokens": LENGTH, "models": {}}
    OUT.mkdir(exist_ok=True)
    for path in sorted(folder.glob("*-?.json")):
        told["models"][path.stem], losses[path.stem] = looked_into(path, pieces)
        print(path.stem, losses[path.stem].mean(1).tolist(), flush=True)
        name, seed = path.stem.rsplit("-", 1)
        if seed == "0" and name in WITH_WEIGHTS:
            weights = load_file(path.with_suffix(".safetensors"))
            data = save({key: value.half() for key, value in weights.items()})
            (OUT / f"{name}.safetensors").write_bytes(data)
            trained = json.loads(path.read_text(encoding="utf-8"))
            card = {key: trained[key] for key in ("notation", "config", "parameters", "recipe")}
            card = {"name": name, **card, "tokens": trained["tokens"], "stored as": "float16"}
            card |= {"sha256": hashlib.sha256(data).hexdigest(), "torch": torch.__version__}
            card["trained by"] = "data/make_language.py"
            (OUT / f"{name}.json").write_text(json.dumps(card, indent=1) + "\n")
    save_file(losses, OUT / "losses.safetensors")
    (OUT / "measured.json").write_text(json.dumps(told, indent=1) + "\n")


def main(folder: str, *names: str):
    out = Path(folder)
    out.mkdir(exist_ok=True)
    if names == ("publish",):
        publish(out)
        return
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
        }
        weights = {key: value.clone() for key, value in model.state_dict().items()}
        save_file(weights, out / f"{name}.safetensors")
        (out / f"{name}.json").write_text(json.dumps(told, indent=1))
        print(name, f"{time.perf_counter() - begun:.0f} s", told["loss"][-1], flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
