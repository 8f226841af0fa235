"""Test the root models where guessing does not pay, over three seeds, and write data/chains.json.

    python data/count_chains.py [NAME ...]

Three tests: random forests deeper than those of training, on which a guess is often right; two
equal chains; a chain beside a star. Every model is trained again by the recipe of
data/make_checkpoints.py: only seed 0 is published, and a comparison that rests on one training run
is one data point. Three recipes more are none of a published model: gradient through two loops
only, for as many steps as root-k1 and as root-k1-long, and an unrolled twin with as many as the
latter. Of root-k1-long the wrong answers are counted too: which ancestor do they name?
"""

import json
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import make_checkpoints
import torch

from looplab import tasks, train
from looplab.basics.threads import use_threads

OUT = Path(__file__).parent / "chains.json"
ITEMS = 1024
TESTS = {
    "forests": partial(tasks.find_root, max_depth=11),
    "two chains": tasks.two_chains,
    "chain and star": tasks.chain_and_star,
}
ASKED = ("root-k1-long",)  # whose answers are counted by the ancestor that they name


def generator():
    """Draws the items, the same for every model."""
    return torch.Generator().manual_seed(40_000)


def of(name, **settings):
    """A published model's plan, with other settings in its recipe."""
    plan = make_checkpoints.MODELS[name]
    return replace(plan, recipe=replace(plan.recipe, **settings))


PLANS = {
    "root-k1": of("root-k1"),
    "root-k1-long": of("root-k1-long"),
    "root-k1-penalty": of("root-k1-penalty"),
    "root-k1-cut": of("root-k1", grad_loops=2),
    "root-k1-cut-long": of("root-k1-long", grad_loops=2),
    "root-k1-unrolled": of("root-k1-unrolled"),
    "root-k1-unrolled-long": of("root-k1-unrolled", steps=1500),
    "root-k1-shallow": of("root-k1-shallow"),
}


def count(model):
    """Accuracy by test, loop and depth, rounded: {test: {loop: [depth]}}."""
    result = {}
    for name, draw in TESTS.items():
        batch = draw(ITEMS, generator())
        table = train.accuracy_table(model, batch, model.config.loops).accuracy
        rows = enumerate(table.tolist(), 1)
        result[name] = {str(loop): [round(share, 3) for share in row] for loop, row in rows}
    return result


def ancestors(model, depth=9):
    """Share of answers at `depth` that name the ancestor 0, 1, ... steps up: {loop: [steps]}."""
    batch = tasks.chain_and_star(ITEMS, generator())
    own, up = batch.tokens.unbind(-1)
    parent = torch.empty_like(own).scatter(1, own, up)  # [batch, label]
    asked, named = batch.difficulty == depth, [own]
    while len(named) <= depth:
        named.append(parent.gather(1, named[-1]))
    with torch.no_grad():
        out = model(batch.tokens, model.config.loops, every_loop=True)
        answers = model.readout(out.loop_states).argmax(-1)  # [loop, batch, token]
    return {
        str(loop): [round((given == one)[asked].float().mean().item(), 3) for one in named]
        for loop, given in enumerate(answers, 1)
    }


def main(names):
    for name in names or PLANS:
        seeds = {}
        for seed in make_checkpoints.SEEDS:
            with use_threads(1):
                model, _ = make_checkpoints.run(PLANS[name], seed)
                seeds[str(seed)] = count(model)
                if name in ASKED:
                    seeds[str(seed)]["ancestors"] = ancestors(model)
            print(name, seed, seeds[str(seed)]["chain and star"], flush=True)
        known = json.loads(OUT.read_text(encoding="utf-8")) if OUT.exists() else {}
        OUT.write_text(as_text(known | {name: seeds}), encoding="utf-8")


def as_text(counts):
    """JSON with one line for each model, seed and test."""
    text = json.dumps(counts, indent=1)
    for test in (*TESTS, "ancestors"):  # a test's table is told on one line
        head, *rest = text.split(f'"{test}": ')
        for n, part in enumerate(rest):
            table, end = json.JSONDecoder().raw_decode(part)
            rest[n] = json.dumps(table) + part[end:]
        text = f'"{test}": '.join([head, *rest])
    return text + "\n"


if __name__ == "__main__":
    main(sys.argv[1:])
