"""Train Hyperloop and its peers, one per seed: on the course's English, and on flood fill.

    python data/make_hyperloop.py FOLDER [NAME-SEED ...]     train, all or some
    python data/make_hyperloop.py FOLDER publish ENGLISH     measure them, and write data/hyperloop

ENGLISH is the folder of data/make_language.py, whose *loop* and *plain20* stand beside them.
Everything but the hyper-connections is as in data/make_language.py and data/make_checkpoints.py.
Models of English have the size and recipe of its *loop*, (2, 4⊗4, 2), and see the same tokens:

    hyper      four streams around every pass, gates and an embedding of each loop's own
    mhc        four streams around every branch of the core's layers, mixed doubly stochastically
    identity, sinkhorn    hyper with another H_res
    one        hyper with one stream: the gates and the embedding alone
    no_embed   hyper without the embedding of the loop

Models of flood fill have the size and recipe of *flood*, and like Hyperloop no injection; there
are two more kinds of them:

    flood_shared    one set of gates for all loops
    flood_zero      gates that begin with biases of zero

FOLDER keeps what was trained, so that a run that was stopped goes on.
"""

import hashlib
import json
import sys
import time
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import make_checkpoints
import make_language
import torch
from safetensors.torch import load_file, save, save_file

from looplab import LoopedConfig, LoopedTransformer, measure, trace, train
from looplab.model.layers import Layer
from looplab.model.streams import Gate

DATA = Path(__file__).parent
OUT = DATA / "hyperloop"
SEEDS = (0, 1, 2)
WITH_WEIGHTS = ("hyper", "flood_loop", "flood_hyper", "flood_shared", "flood_mhc")
PEERS = ("loop", "plain20")  # of data/make_language.py
FLOOD_LOOPS = (1, 2, 3, 4, 6, 8, 10, 12, 16, 24, 32)
LENGTHS_AT = (1, 2, 3, 4, 8, 16, 32)  # loops at which the state's length is told
GROUP = 32  # weights that share a scale when rounded
BITS = (8, 4, 3)

HYPER = replace(make_language.LOOP, streams=4, loop_embed=True)
ENGLISH = {
    "hyper": HYPER,
    "mhc": replace(HYPER, stream_unit="branch", stream_carry="sinkhorn", loop_embed=False),
    "identity": replace(HYPER, stream_carry="identity"),
    "sinkhorn": replace(HYPER, stream_carry="sinkhorn"),
    "one": replace(HYPER, streams=1),
    "no_embed": replace(HYPER, loop_embed=False),
}
FLOOD = replace(make_checkpoints.FLOOD, injection="none", start="input")
FLOODS = {
    "flood_loop": FLOOD,
    "flood_hyper": replace(FLOOD, streams=4, loop_embed=True),
    "flood_mhc": replace(FLOOD, streams=4, stream_unit="branch", stream_carry="sinkhorn"),
    "flood_shared": replace(FLOOD, streams=4, loop_embed=True, stream_maps="shared"),
    "flood_zero": replace(FLOOD, streams=4, loop_embed=True),
    "flood_twin": FLOOD.unrolled(12),
}


def drawn(name: str, seed: int) -> LoopedTransformer:
    """An untrained model of this name."""
    torch.manual_seed(seed)
    model = LoopedTransformer((ENGLISH | FLOODS)[name])
    if name == "flood_zero":
        for module in model.modules():
            if isinstance(module, Gate):
                torch.nn.init.zeros_(module.bias)
    return model


def learn(name: str, seed: int, folder: Path) -> None:
    """Train one model, and write its weights and what is known of it into the folder."""
    model = drawn(name, seed)
    if name in ENGLISH:
        text = load_file(DATA / "text" / "tokens.safetensors")
        task = train.text_pieces(text["train"], make_language.LENGTH)
        recipe = make_language.recipe(4, seed)
    else:
        task = make_checkpoints.flood
        recipe = replace(make_checkpoints.flood_recipe, seed=seed)
        if not model.config.tied:
            recipe = replace(recipe, loops=12)
    path = folder / f"{name}-{seed}.safetensors"
    history = train.fit(
        model, task, recipe, checkpoint=path.with_suffix(".run"), progress=False, threads=1
    )
    told = {
        "config": model.config.to_dict(),
        "notation": model.config.notation,
        "parameters": sum(p.numel() for p in model.parameters()),
        "recipe": recipe.to_dict(),
        "final loss": round(sum(history.loss[-20:]) / 20, 4),
    }
    save_file({key: value.clone() for key, value in model.state_dict().items()}, path)
    path.with_suffix(".json").write_text(json.dumps(told, indent=1))


def read(path: Path) -> LoopedTransformer:
    """A trained model from its card and weights."""
    config = LoopedConfig.from_dict(json.loads(path.read_text(encoding="utf-8"))["config"])
    model = LoopedTransformer(config)
    model.load_state_dict(load_file(path.with_suffix(".safetensors")))
    return model.eval().requires_grad_(False)


def rounded(weight: torch.Tensor, bits: int) -> torch.Tensor:
    """The nearest of 2^bits - 1 levels, in groups of GROUP along a row with one scale each."""
    groups = weight.unflatten(-1, (-1, GROUP))
    top = 2 ** (bits - 1) - 1
    scale = groups.abs().amax(-1, keepdim=True) / top
    return (groups / scale).round().mul(scale).flatten(-2)


@torch.inference_mode()
def rounding_losses(path: Path, pieces: torch.Tensor) -> dict:
    """Held-out loss after the trained loops, with the matrices of all layers rounded."""
    found = {}
    for bits in BITS:
        model = read(path)
        for module in model.modules():
            if isinstance(module, Layer):
                for part in (module.attn.qkv, module.attn.out, module.mlp.up, module.mlp.down):
                    part.weight.copy_(rounded(part.weight, bits))
        losses = [
            torch.nn.functional.cross_entropy(
                model(part[:, :-1]).logits.flatten(0, 1), part[:, 1:].flatten()
            )
            for part in pieces.split(16)
        ]
        found[str(bits)] = round(sum(losses).item() / len(losses), 4)
    return found


@torch.inference_mode()
def inside(model: LoopedTransformer, pieces: torch.Tensor) -> dict:
    """What the loops of a model of English have in common, and what its streams hold."""
    told = trace(model, pieces, keep=("states",))
    pairs = list(combinations(range(told.loops), 2))
    alike = torch.stack(
        [torch.cosine_similarity(told.states[i], told.states[j], dim=-1) for i, j in pairs]
    )
    found = {"cosine between loops": [round(x, 4) for x in alike.mean((0, 2, 3)).tolist()]}
    ends = model(pieces, max(LENGTHS_AT), every_loop=True).loop_states
    length = ends.norm(dim=-1).flatten(1).median(1).values
    step = measure.relative_step(ends).flatten(1).median(1).values
    found["length"] = {n: float(f"{length[n - 1]:.4g}") for n in LENGTHS_AT}
    found["step"] = {n: float(f"{step[n - 2]:.3g}") for n in LENGTHS_AT if n > 1}
    turns = torch.cosine_similarity(ends[1:], ends[:-1], dim=-1).flatten(1).median(1).values
    found["turn"] = {n: float(f"{1 - turns[n - 2]:.3g}") for n in LENGTHS_AT if n > 1}
    if model.config.streams > 1:
        between = torch.stack(
            [
                torch.cosine_similarity(told.streams[..., i, :], told.streams[..., j, :], dim=-1)
                for i, j in combinations(range(model.config.streams), 2)
            ]
        )
        found["cosine between streams"] = [round(x, 4) for x in between.mean((0, 2, 3)).tolist()]
    return found


@torch.inference_mode()
def mazes_right(model: LoopedTransformer, task) -> dict:
    """Share of mazes with every cell right after each number of loops."""
    batch = task(512, generator=torch.Generator().manual_seed(5))
    loops = FLOOD_LOOPS if model.config.tied else FLOOD_LOOPS[: FLOOD_LOOPS.index(12) + 1]
    ready, found = model.prepare(batch.tokens), {}
    for loop, z in model.passes(ready, max(loops) if model.config.tied else None):
        if loop + 1 in loops:
            right = (model.answer(z, ready).argmax(-1) == batch.targets).all(1).float().mean()
            found[loop + 1] = round(right.item(), 4)
    return found


def measured(path: Path, pieces: torch.Tensor) -> tuple[dict, dict]:
    """What is measured of a trained model, once: kept beside its weights."""
    told, held = path.with_suffix(".inside"), path.with_suffix(".held")
    if not told.exists():
        name, card = path.stem.rsplit("-", 1)[0], json.loads(path.read_text(encoding="utf-8"))
        model, losses = read(path), {}
        found = {"notation": card["notation"], "parameters": card["parameters"]}
        if name in FLOODS:
            found["exact"] = mazes_right(model, make_checkpoints.flood)
            found["exact beyond"] = mazes_right(model, make_checkpoints.flood_beyond)
        else:
            known = path.with_suffix(".losses")  # of data/make_language.py, where it is a peer
            losses = load_file(known) if known.exists() else {}
            losses = losses or {"held": make_language.held_losses(model, pieces)}
            if model.config.loops > 1:
                found |= inside(model, pieces[::4, :-1])
            found["rounded"] = rounding_losses(path, pieces)
        save_file(losses, held)
        told.write_text(json.dumps(found))
    return json.loads(told.read_text(encoding="utf-8")), load_file(held)


def publish(folder: Path, english: Path) -> None:
    """Write data/hyperloop: the models of seed 0, and what was measured of all."""
    text = load_file(DATA / "text" / "tokens.safetensors")
    pieces = train.even_pieces(text["held"], make_language.PIECES, make_language.LENGTH)
    losses = {}
    told = {"loops": list(make_language.LOOPS), "group": GROUP, "models": {}}
    OUT.mkdir(exist_ok=True)
    peers = [path for peer in PEERS for path in sorted(english.glob(f"{peer}-?.json"))]
    for path in [*peers, *sorted(folder.glob("*-?.json"))]:
        told["models"][path.stem], held = measured(path, pieces)
        if held:
            losses[path.stem] = held["held"]
        print(path.stem, told["models"][path.stem], flush=True)
        name, seed = path.stem.rsplit("-", 1)
        if seed == "0" and name in WITH_WEIGHTS:
            weights = load_file(path.with_suffix(".safetensors"))
            data = save({key: value.half() for key, value in weights.items()})
            (OUT / f"{name}.safetensors").write_bytes(data)
            trained = json.loads(path.read_text(encoding="utf-8"))
            card = {"name": name, **trained, "stored as": "float16"}
            card |= {"sha256": hashlib.sha256(data).hexdigest(), "torch": torch.__version__}
            card["trained by"] = "data/make_hyperloop.py"
            (OUT / f"{name}.json").write_text(json.dumps(card, indent=1) + "\n")
    save_file(losses, OUT / "losses.safetensors")
    (OUT / "losses.safetensors").chmod(0o644)  # safetensors leaves it to the owner alone
    (OUT / "measured.json").write_text(json.dumps(told, indent=1) + "\n")


def main(folder: str, *names: str):
    out = Path(folder)
    out.mkdir(exist_ok=True)
    if names[:1] == ("publish",):
        publish(out, Path(names[1]))
        return
    for name in names or [f"{name}-{seed}" for seed in SEEDS for name in ENGLISH | FLOODS]:
        if not (out / f"{name}.json").exists():
            begun = time.perf_counter()
            kind, seed = name.rsplit("-", 1)
            learn(kind, int(seed), out)
            print(name, f"{time.perf_counter() - begun:.0f} s", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
