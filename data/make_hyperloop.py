"""Train Hyperloop and its peers, one per seed: on the course's English, and on flood fill.

    python data/make_hyperloop.py FOLDER [NAME-SEED ...]     train, all or some
    python data/make_hyperloop.py FOLDER publish             measure them, and write data/hyperloop

Everything but the hyper-connections is as in data/make_language.py and data/make_checkpoints.py.
Models of English have the size and recipe of its *loop*, (2, 4⊗4, 2), and see the same tokens:

    hyper      four streams around every pass, gates and an embedding of each loop's own
    mhc        four streams around every branch of the core's layers, mixed doubly stochastically
    identity, sinkhorn    hyper with another H_res
    shared     hyper with one set of gates for all loops
    zero       hyper whose gates begin with biases of zero

Models of flood fill have the size and recipe of *flood*, and like Hyperloop no injection. FOLDER
keeps what was trained, so that a run that was stopped goes on.
"""

import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import make_checkpoints
import make_language
import torch
from safetensors.torch import load_file, save_file

from looplab import LoopedTransformer, train
from looplab.model.streams import Gate

DATA = Path(__file__).parent
SEEDS = (0, 1, 2)

HYPER = replace(make_language.LOOP, streams=4, loop_embed=True)
ENGLISH = {
    "hyper": HYPER,
    "mhc": replace(HYPER, stream_unit="branch", stream_carry="sinkhorn", loop_embed=False),
    "identity": replace(HYPER, stream_carry="identity"),
    "sinkhorn": replace(HYPER, stream_carry="sinkhorn"),
    "shared": replace(HYPER, stream_maps="shared"),
    "zero": HYPER,
}
FLOOD = replace(make_checkpoints.FLOOD, injection="none", start="input")
FLOODS = {
    "flood_loop": FLOOD,
    "flood_hyper": replace(FLOOD, streams=4, loop_embed=True),
    "flood_mhc": replace(FLOOD, streams=4, stream_unit="branch", stream_carry="sinkhorn"),
    "flood_twin": FLOOD.unrolled(12),
}


def drawn(name: str, seed: int) -> LoopedTransformer:
    """An untrained model of this name."""
    torch.manual_seed(seed)
    model = LoopedTransformer((ENGLISH | FLOODS)[name])
    if name == "zero":
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


def main(folder: str, *names: str):
    out = Path(folder)
    out.mkdir(exist_ok=True)
    for name in names or [f"{name}-{seed}" for seed in SEEDS for name in ENGLISH | FLOODS]:
        if not (out / f"{name}.json").exists():
            begun = time.perf_counter()
            kind, seed = name.rsplit("-", 1)
            learn(kind, int(seed), out)
            print(name, f"{time.perf_counter() - begun:.0f} s", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
