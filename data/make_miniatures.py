"""Train the miniatures: small looped language models in the released families' on-disk forms.

    python data/make_miniatures.py [NAME ...]

They are the course's own. Only the form is a released model's: config fields, tensor names,
layouts. Text is drawn as it is needed (looplab.zoo.miniatures.where_is), training is train.fit on
one CPU thread, one to two minutes each, and export.py writes what load reads. Two of them are made
in two steps: the retrofit starts from the layers of the feedforward model, as the released
retrofits do, and Ouro's exit gate is trained after the rest, on frozen states (arXiv 2510.25741,
stage II). Other seeds are trained for the card alone; what they gave is kept beside the
folders until the card is written, so that a stopped run goes on where it was.
"""

import hashlib
import json
import shutil
import sys
import time
from dataclasses import dataclass, replace
from textwrap import fill

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from looplab import LoopedConfig, LoopedTransformer, train
from looplab.zoo import load
from looplab.zoo.exporting import export
from looplab.zoo.miniatures import FOLDER, WORDS, most_named, text, where_is

SEEDS = (0, 1, 2)  # the first is published, of the others the card tells the losses
LOOPS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64)
DIARIES = 256  # held out: drawn from a seed of their own
TEST_SEED = 10**6
MAX_BYTES = 2 * 10**6
SAYS = "the place of each day, and not the next word"
STEPS = 9  # answers are told by how many steps back they take, 0 to 8
RIGHT = "answers right by loops, for 0 to 8 steps"

BASE = LoopedConfig(
    vocab=len(WORDS), width=48, heads=3, mlp="gated", activation="silu", mlp_width=96
)
FEEDFORWARD = replace(BASE, core=6, loops=1)


@dataclass(frozen=True)
class Miniature:
    """One model: what it is, the released form it has, how it is trained."""

    about: str
    form: str  # see looplab.zoo.exporting
    like: str  # the released models of this form
    config: LoopedConfig
    recipe: train.Recipe


def recipe(steps, loops, lr=3e-3, **options):
    return train.Recipe(steps=steps, batch=32, lr=lr, loops=loops, **options)


MINIATURES = {
    "feedforward-mini": Miniature(
        "the control: six layers, never looped",
        "llama",
        "Llama and TinyLlama",
        FEEDFORWARD,
        recipe(900, 1),
    ),
    "retrofit-mini": Miniature(
        "layer 1 of feedforward-mini, then layers 3, 4 and 5 in a loop, then layer 6",
        "retrofit",
        "smcleish/Recurrent-Llama-3.2-train-recurrence-*",
        replace(
            BASE,
            prelude=1,
            core=3,
            coda=1,
            loops=4,
            injection="concat",
            start="normal",
            start_std=0.008703882797784892,  # Huginn's, left in the released retrofits' config
        ),
        recipe(500, train.PoissonLogNormalLoops(3), grad_loops=4),
    ),
    "huginn-mini": Miniature(
        "one layer, three looped ones, one layer; every sum is normed and the start is noise",
        "huginn",
        "tomg-group-umd/huginn-0125",
        replace(
            BASE,
            prelude=1,
            core=3,
            coda=1,
            loops=4,
            norm="residual_sandwich",
            injection="concat",
            start="normal",
            position="rope_interleaved",
            rope_theta=50_000.0,
            qk_bias=True,
            tie_head=True,
            embed_scale=48**0.5,  # the root of the width
        ),
        recipe(700, train.PoissonLogNormalLoops(3), grad_loops=4),
    ),
    "ouro-mini": Miniature(
        "three layers looped four times, nothing around them, and an exit gate",
        "ouro",
        "ByteDance/Ouro-1.4B",
        replace(BASE, core=3, loops=4, norm="branch_sandwich", exit_gate=True),
        recipe(700, 4, loss_on="all"),
    ),
}


def start(name: str, seed: int) -> LoopedTransformer:
    """Weights before training; the retrofit takes the feedforward model's layers."""
    torch.manual_seed(seed)
    model = LoopedTransformer(MINIATURES[name].config)
    if name == "retrofit-mini":
        first = seed == SEEDS[0]
        base = load(FOLDER / "feedforward-mini") if first else trained("feedforward-mini", seed)[0]
        mine = (*model.prelude, *model.cores[0].layers, *model.coda)
        for layer, source in zip(mine, (0, 2, 3, 4, 5), strict=True):
            layer.load_state_dict(base.cores[0].layers[source].state_dict())
        for part in ("embed.0", "norm", "head"):
            model.get_submodule(part).load_state_dict(base.get_submodule(part).state_dict())
    return model


def trained(name: str, seed: int) -> tuple[LoopedTransformer, train.History, float]:
    """A trained model, what happened, and the CPU seconds it took."""
    said, model = MINIATURES[name], start(name, seed)
    began = time.process_time()
    recipe = replace(said.recipe, seed=seed)
    history = train.fit(model, where_is, recipe, progress=False, device="cpu", threads=1)
    if said.config.exit_gate:
        train_gate(model, seed)
    seconds = time.process_time() - began
    return model.eval().requires_grad_(False), history, seconds


def train_gate(model: LoopedTransformer, seed: int, steps: int = 200) -> None:
    """Teach the gate to go on where another loop lowers the loss by more than 0.005.

    Source: Ouro's stage II, arXiv 2510.25741: the rest of the model is frozen, the wish to go on is
    sigmoid(50 (improvement - 0.005)).
    """
    generator = torch.Generator().manual_seed(seed + 1)
    optimizer = torch.optim.AdamW(model.gate.parameters(), 1e-2)
    for _ in range(steps):
        batch = where_is(64, generator)
        with torch.no_grad():
            states = model(batch.tokens, every_loop=True).loop_states
            logits = model.readout(states)
            targets = batch.targets.expand(logits.shape[:-1])
            loss = F.cross_entropy(logits.flatten(0, 2), targets.flatten(), reduction="none")
            loss = loss.view(targets.shape)[..., 1:]  # [loop, batch, day]; <bos> is not asked
            go_on = torch.sigmoid(50 * ((loss[:-1] - loss[1:]).clamp_min(0) - 0.005))
        gate = model.gate(states[:-1, :, 1:]).squeeze(-1)  # whether to leave after loops 1 to R - 1
        error = F.binary_cross_entropy_with_logits(gate, 1 - go_on)
        optimizer.zero_grad()
        error.backward()
        optimizer.step()


@torch.no_grad()
def results(model: LoopedTransformer) -> dict:
    """Loss, and share of right answers by the steps that they take, after each of LOOPS."""
    test = held_out()
    losses, right = {}, {}
    for loops in LOOPS if model.config.loops > 1 else (1,):
        logits = model(test.tokens, loops, generator=torch.Generator().manual_seed(0)).logits
        loss = F.cross_entropy(logits.flatten(0, 1), test.targets.flatten())
        losses[str(loops)] = round(loss.item(), 4)
        right[str(loops)] = by_steps(logits.argmax(-1))
    return {"loss by loops": losses, RIGHT: right}


def held_out():
    return where_is(DIARIES, torch.Generator().manual_seed(TEST_SEED))


def by_steps(answers: torch.Tensor) -> list[float]:
    test = held_out()
    hit = answers == test.targets
    return [round(hit[test.difficulty == n].float().mean().item(), 4) for n in range(STEPS)]


def other_seeds(name: str) -> dict:
    """Results of the same recipe with the other seeds; kept until the card is written."""
    kept = FOLDER / f".{name}.json"
    told = json.loads(kept.read_text()) if kept.exists() else {}
    for seed in SEEDS[1:]:
        if str(seed) not in told:
            told[str(seed)] = results(trained(name, seed)[0])
            kept.write_text(json.dumps(told))
            print(name, seed, told[str(seed)], flush=True)
    return told


def make(name: str) -> None:
    """Train one miniature and write its folder."""
    said, folder = MINIATURES[name], FOLDER / name
    model, history, seconds = trained(name, SEEDS[0])
    if folder.exists():
        shutil.rmtree(folder)
    export(model, folder, said.form)
    write_words(folder)
    write_reference(model, folder)
    data = (folder / "model.safetensors").read_bytes()
    assert len(data) < MAX_BYTES, f"{name} takes {len(data)} bytes"
    card = {
        "name": name,
        "made by": "looplab, data/make_miniatures.py",
        "is not": f"a released model; only the file format is that of {said.like}",
        "about": said.about,
        "says": SAYS,
        "notation": said.config.notation,
        "parameters": sum(p.numel() for p in model.parameters()),
        "trained on": "diaries drawn by looplab.zoo.miniatures.where_is",
        "config": said.config.to_dict(),
        "recipe": said.recipe.to_dict(),
        "seed": SEEDS[0],
        "torch": torch.__version__.split("+")[0],
        "cpu seconds": round(seconds, 1),
        "training loss, each eighth": [
            round(sum(part) / len(part), 3) for part in _eighths(history.loss)
        ],
        "uniform loss": round(torch.tensor(float(len(WORDS))).log().item(), 4),
        **results(model),
        "right by the rule most_named, for 0 to 8 steps": by_steps(most_named(held_out().tokens)),
        "other seeds": other_seeds(name),
        "text": text(where_is(1, torch.Generator().manual_seed(TEST_SEED + 1)).tokens[0]),
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "licence": "MIT, as the rest of looplab",
    }
    (folder / "card.json").write_text(
        json.dumps(card, indent=1, allow_nan=False) + "\n", encoding="utf-8"
    )
    (folder / "README.md").write_text(readme(card, said), encoding="utf-8")
    (FOLDER / f".{name}.json").unlink(missing_ok=True)
    print(name, f"{seconds:.0f} s", card["loss by loops"], card[RIGHT], flush=True)


def _eighths(values: list[float]) -> list[list[float]]:
    size = max(1, len(values) // 8)
    return [values[at : at + size] for at in range(0, size * 8, size)]


def write_words(folder) -> None:
    """One word, one token, as a tokenizer.json that transformers reads too."""
    vocab = {word: number for number, word in enumerate(WORDS)}
    words = {
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "<bos>"},
    }
    said = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<bos>"}
    for name, values in {"tokenizer.json": words, "tokenizer_config.json": said}.items():
        (folder / name).write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def write_reference(model: LoopedTransformer, folder) -> None:
    """Logits of the model as it was trained, for `looplab verify` to compare with."""
    tokens = where_is(2, torch.Generator().manual_seed(TEST_SEED + 2)).tokens
    tensors = {}
    state = None
    if model.config.start == "normal":
        shape = torch.empty(*tokens.shape, model.config.width)
        state = tensors["initial_state"] = model.start(shape, torch.Generator().manual_seed(1))
    for loops in (4, 7) if model.config.loops > 1 else (1,):
        with torch.no_grad():
            tensors[f"r{loops}.logits"] = model(tokens, loops, state=state).logits
    (folder / "input_ids.json").write_text(json.dumps(tokens.tolist()) + "\n", encoding="utf-8")
    save_file(tensors, folder / "expected.safetensors")


def readme(card: dict, said: Miniature) -> str:
    made = (
        f"Made by looplab (`data/make_miniatures.py`) in {card['cpu seconds']:.0f} seconds on one "
        f"CPU core. {card['parameters']:,} parameters, {card['notation']}: {said.about}. Only the "
        "file format, that is config fields, tensor names and layouts, is that of "
        f"{said.like}; no weight comes from there, and what this model does says nothing about "
        "what a released one does."
    )
    return f"""# {card["name"]}: ours, not a released model

{fill(made, 98, break_on_hyphens=False)}

It reads {len(WORDS)} words, a diary such as

    {card["text"]}

and says for each day the place where it was spent, and not the next word.

- `config.json`, `model.safetensors`: the model; `looplab.zoo.load` reads them
- `tokenizer.json`, `tokenizer_config.json`: one word, one token
- `card.json`: recipe, seed, losses by loop, hash
- `input_ids.json`, `expected.safetensors`: logits of the model before it was written, which
  `looplab verify` compares with

Licence: MIT, as the rest of looplab.
"""


def main(names: list[str]) -> None:
    unknown = sorted(set(names) - set(MINIATURES))
    if unknown:
        raise SystemExit(f"no miniature {unknown[0]!r}: known are {', '.join(MINIATURES)}")
    for name in names or MINIATURES:
        make(name)


if __name__ == "__main__":
    main(sys.argv[1:])
