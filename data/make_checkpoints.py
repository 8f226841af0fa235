"""Train the course's small models, one per seed, and write their checkpoints and cards.

    python data/make_checkpoints.py [NAME ...]

Every model is trained with seeds 0, 1 and 2; seed 0 is published in data/checkpoints/ as it comes
out. Results of all seeds go to data/recipes.json and to the card beside each checkpoint.
"""

import hashlib
import json
import sys
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file

from looplab import LoopedConfig, LoopedTransformer, measure, tasks, trace, train

DATA = Path(__file__).parent
SEEDS = (0, 1, 2)
LOOPS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
ITEMS = 512  # test items per table
MAX_BYTES = 500_000


@dataclass(frozen=True)
class Model:
    """One published model: what it is, how it is trained, what it is tested on."""

    about: str
    config: LoopedConfig
    task: partial
    beyond: partial  # harder than anything seen in training
    recipe: train.Recipe
    half: bool = False  # stored in float16, to stay under MAX_BYTES
    seeds: tuple[int, ...] = SEEDS  # the first is published


ROOT = LoopedConfig(
    vocab=12,
    fields=2,
    width=32,
    heads=2,
    core=1,
    loops=6,
    injection="concat",
    start="zeros",
    attention="full",
    position="none",
)
HERO = replace(ROOT, core=3, norm="residual_sandwich", start="normal")
FLOOD = replace(ROOT, vocab=3, fields=1, classes=2, core=2, loops=12, attention="grid")
PARITY = replace(
    ROOT,
    vocab=3,
    fields=1,
    classes=2,
    core=2,
    loops=8,
    attention="window",
    window=3,
    position="rope_half",
    rope_theta=1000.0,
)

find_root = partial(tasks.find_root, max_depth=5)
find_root_beyond = partial(tasks.find_root, max_depth=11)
flood = partial(tasks.flood_fill, side=6)
flood_beyond = partial(tasks.flood_fill, side=10)
parity = partial(tasks.windowed_parity, length=12)
parity_beyond = partial(tasks.windowed_parity, length=36)

root_recipe = train.Recipe(steps=800, batch=64, loops=train.UniformLoops(3, 6), grad_loops=6)
flood_recipe = train.Recipe(steps=700, batch=32, loops=train.UniformLoops(6, 12), grad_loops=12)
parity_recipe = train.Recipe(
    steps=1200, batch=64, loops=train.UniformLoops(4, 8), grad_loops=8, penalty=0.1
)


def trained_on(about, config, recipe, half=False):
    """A find-the-root model."""
    return Model(about, config, find_root, find_root_beyond, recipe, half)


def flooded(about, config, recipe, half=False):
    """A flood-fill model."""
    return Model(about, config, flood, flood_beyond, recipe, half)


MODELS = {
    "root-k1": trained_on("find the root with one looped layer", ROOT, root_recipe),
    "root-k1-long": trained_on(
        "the same, trained as long as the one with the penalty",
        ROOT,
        replace(root_recipe, steps=1500),
    ),
    "root-k1-penalty": trained_on(
        "the same, and the state is asked to be at rest when the loop ends",
        ROOT,
        replace(root_recipe, steps=1500, penalty=0.5),
    ),
    "root-k1-unrolled": trained_on(
        "equal compute: six layers with weights of their own",
        ROOT.unrolled(6),
        replace(root_recipe, loops=6),
    ),
    "root-k1-shallow": trained_on(
        "equal parameters: one layer passed once", ROOT.shallow(), replace(root_recipe, loops=1)
    ),
    "hero": trained_on(
        "find the root with three looped layers, Huginn's norms and random starts",
        HERO,
        replace(root_recipe, steps=1500),
    ),
    "hero-unrolled": trained_on(
        "equal compute: eighteen layers with weights of their own",
        HERO.unrolled(6),
        replace(root_recipe, steps=1500, loops=6),
        half=True,
    ),
    "hero-shallow": trained_on(
        "equal parameters: three layers passed once",
        HERO.shallow(),
        replace(root_recipe, steps=1500, loops=1),
    ),
    "root-ouro": trained_on(
        "two looped layers, Ouro's norms, no injection; always 4 loops, loss on all of them",
        replace(ROOT, core=2, norm="branch_sandwich", injection="none", start="input", loops=4),
        replace(root_recipe, steps=1500, loops=4, loss_on="all"),
    ),
    "flood": flooded("flood fill with two looped layers", FLOOD, flood_recipe),
    "flood-turning": replace(
        flooded(
            "the recipe of flood with another seed: part of its state never rests",
            FLOOD,
            flood_recipe,
        ),
        seeds=(1,),
    ),
    "flood-unrolled": flooded(
        "equal compute: sixteen layers with weights of their own",
        FLOOD.unrolled(8),
        replace(flood_recipe, loops=8),
        half=True,
    ),
    "flood-shallow": flooded(
        "equal parameters: two layers passed once",
        FLOOD.shallow(),
        replace(flood_recipe, loops=1),
    ),
    "parity": Model(
        "running parity with two looped layers that see three tokens",
        PARITY,
        parity,
        parity_beyond,
        parity_recipe,
    ),
    "parity-no-injection": Model(
        "the same without injection: the input is the state at loop 0 and never comes back",
        replace(PARITY, injection="none", start="input"),
        parity,
        parity_beyond,
        parity_recipe,
    ),
    "parity-plain": Model(
        "running parity with injection, trained without the penalty",
        PARITY,
        parity,
        parity_beyond,
        replace(parity_recipe, penalty=0.0),
    ),
    "parity-plain-no-injection": Model(
        "running parity without injection, trained without the penalty",
        replace(PARITY, injection="none", start="input"),
        parity,
        parity_beyond,
        replace(parity_recipe, penalty=0.0),
    ),
}

# Two more trainings each: what a chapter says of one trained model is said of three.
MODELS |= {
    f"{name}-{seed}": replace(
        MODELS[name], about=f"the recipe of {name} with seed {seed}", half=True, seeds=(seed,)
    )
    for name in ("hero", "root-k1", "root-k1-penalty", "flood")
    for seed in (1, 2)
    if (name, seed) != ("flood", 1)  # that one is flood-turning
}


def evaluate(model, plan):
    """Accuracy by loop and difficulty on both test sets, after the loops in LOOPS."""
    result = {}
    for name, task in (("in distribution", plan.task), ("beyond", plan.beyond)):
        batch = task(ITEMS, torch.Generator().manual_seed(10_000))
        loops = max(LOOPS) if model.config.tied else model.config.loops
        table = train.accuracy_table(model, batch, loops)
        shown = [loop for loop in LOOPS if loop <= loops]
        if loops not in shown:
            shown.append(loops)
        result[name] = {
            "exact": {loop: round(table.exact[loop - 1].item(), 4) for loop in shown},
            "accuracy": {
                loop: [
                    None if value != value else round(value, 4)
                    for value in table.accuracy[loop - 1].tolist()
                ]
                for loop in shown
            },
        }
    if model.config.tied and plan.config.loops > 1:
        result["at rest"] = at_rest(model, plan.task(64, torch.Generator().manual_seed(20_000)))
    return result


def at_rest(model, batch):
    """Does the state come to rest, and do the layers rest on points of their own?"""
    run = trace(model, batch.tokens, 96, generator=torch.Generator().manual_seed(0))
    change = measure.relative_step(run.loop_ends).mean((1, 2))
    return {
        "relative step at loop 32": float(f"{change[30]:.3g}"),
        "relative step at loop 96": float(f"{change[94]:.3g}"),
        "min layer cosine": round(measure.min_layer_cosine(run.states).mean().item(), 4),
    }


def run(plan, seed):
    """Train one model; returns it with its result."""
    torch.manual_seed(seed)
    model = LoopedTransformer(plan.config)
    begin = time.process_time()
    recipe = replace(plan.recipe, seed=seed)
    history = train.fit(model, plan.task, recipe, progress=False, device="cpu", threads=1)
    result = {
        "seed": seed,
        "cpu seconds": round(time.process_time() - begin, 1),
        "final loss": round(sum(history.loss[-20:]) / 20, 5),
        **evaluate(model.eval(), plan),
    }
    return model, result


def publish(name, plan, model, results):
    """Write the checkpoint and its card."""
    path = DATA / "checkpoints" / f"{name}.safetensors"
    path.parent.mkdir(exist_ok=True)
    dtype = torch.float16 if plan.half else torch.float32
    weights = {k: v.detach().to(dtype).contiguous() for k, v in model.state_dict().items()}
    save_file(weights, path, metadata={"config": json.dumps(plan.config.to_dict())})
    path.chmod(0o644)  # safetensors leaves it to the owner alone
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise SystemExit(f"{path} has {size} bytes, more than {MAX_BYTES}: store it in half")
    card = {
        "name": name,
        "about": plan.about,
        "notation": plan.config.notation,
        "config": plan.config.to_dict(),
        "parameters": sum(p.numel() for p in model.parameters()),
        "task": train.saving.name_of(plan.task),
        "tested beyond on": train.saving.name_of(plan.beyond),
        "recipe": replace(plan.recipe, seed=plan.seeds[0]).to_dict(),
        "stored as": str(dtype).removeprefix("torch."),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "trained by": "data/make_checkpoints.py",
        "torch": torch.__version__.split("+")[0],
        "results by seed": results,
    }
    path.with_suffix(".json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")


def main(names):
    torch.set_num_threads(1)
    unknown = [name for name in names if name not in MODELS]
    if unknown:
        raise SystemExit(f"unknown model {unknown[0]!r}: choose from {', '.join(MODELS)}")
    summary = DATA / "recipes.json"
    for name in names or MODELS:
        plan, results = MODELS[name], []
        for seed in plan.seeds:
            model, result = run(plan, seed)
            results.append(result)
            if seed == plan.seeds[0]:
                published = model
            exact = result["in distribution"]["exact"], result["beyond"]["exact"]
            print(name, seed, result["cpu seconds"], "s", *exact, flush=True)
        publish(name, plan, published, results)
        known = json.loads(summary.read_text(encoding="utf-8")) if summary.exists() else {}
        known[name] = results
        summary.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
