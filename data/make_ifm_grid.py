"""Train small models in the form of IFM's LoopedLM: four injections, two ways to choose loops.

    python data/make_ifm_grid.py FOLDER [NAME-SEED ...]     train, all or some
    python data/make_ifm_grid.py FOLDER publish             cards and weights of seed 0

They are the course's own, trained on word problems (looplab.tasks.word_problems), and differ in one
thing each: how the input gets into the state (diagonal; parcae, with a norm in front; orthoinj;
linear, with the norm at a loop's end that comes with it), and whether every step of training runs 5
loops or a number drawn with mean 5. Sizes, steps, learning rate and, for a seed, the text and the
noise are the same. FOLDER keeps what was trained, so that a run that was stopped goes on.
"""

import hashlib
import json
import shutil
import sys
import time
from dataclasses import replace
from functools import cache
from pathlib import Path
from textwrap import fill

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

from looplab import LoopedConfig, LoopedTransformer, train
from looplab.tasks import word_problems
from looplab.zoo import export, load

PUBLISHED = Path(__file__).parent / "ifm_grid"
SHARD = "model-00001-of-00001.safetensors"
SEEDS = (0, 1, 2)  # the first is published; of others that were trained the card tells the losses
LOOPS = (1, 2, 3, 4, 5, 6, 8, 12, 16, 32, 64)
LENGTH = 64  # tokens of a piece of text
PROBLEMS, HELD = 4000, 400  # to train on, and held out behind them
VOCAB = 280

PLAIN = LoopedConfig(
    vocab=VOCAB,
    width=48,
    prelude=1,
    core=2,
    coda=1,
    loops=5,
    heads=3,
    kv_heads=1,
    mlp="gated",
    activation="silu",
    mlp_width=96,
    injection="diagonal",
    start="hashed",
    start_std=48**-0.5,
    position="rope_interleaved",
)
INJECTIONS = {
    "diagonal": PLAIN,
    "parcae": replace(PLAIN, input_norm=True),
    "orthoinj": replace(PLAIN, injection="orthogonal"),
    "linear": replace(PLAIN, injection="concat", injection_bias=True, norm="pre_bare_end"),
}
PRIORS = {"fixed": 5, "drawn": train.PoissonLogNormalLoops(5)}
GRID = {
    f"ifm-{injection}-{prior}": (injection, prior) for injection in INJECTIONS for prior in PRIORS
}


def recipe(prior: str, seed: int) -> train.Recipe:
    return train.Recipe(
        steps=300, batch=8, loops=PRIORS[prior], grad_loops=10, lr=3e-3, warmup=30, seed=seed
    )


@cache
def words() -> Tokenizer:
    """One token for a word, a digit or a sign; <bos> in front of every text."""
    made = Tokenizer(models.WordLevel(unk_token="<unk>"))
    digits = pre_tokenizers.Digits(individual_digits=True)
    made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), digits])
    trainer = trainers.WordLevelTrainer(vocab_size=VOCAB, special_tokens=["<bos>", "<unk>"])
    made.train_from_iterator(word_problems(PROBLEMS), trainer)
    made.post_processor = processors.TemplateProcessing("<bos> $A", special_tokens=[("<bos>", 0)])
    return made


@cache
def tokens() -> tuple[torch.Tensor, torch.Tensor]:
    """The text to train on, one stream [token], and pieces of held-out problems [piece, token]."""
    ids = [words().encode(problem).ids for problem in word_problems(PROBLEMS + HELD)]
    stream = torch.tensor([token for one in ids[:PROBLEMS] for token in one])
    held = [one[: LENGTH + 1] for one in ids[PROBLEMS:] if len(one) > LENGTH][:64]
    return stream, torch.tensor(held)


@torch.inference_mode()
def losses(model: LoopedTransformer) -> dict[int, float]:
    """Nats a token on held-out problems after each of LOOPS."""
    held, told = tokens()[1], {}
    ready = model.prepare(held[:, :-1])
    for loop, z in model.passes(ready, max(LOOPS)):
        if loop + 1 in LOOPS:
            logits = model.answer(z, ready).flatten(0, 1)
            told[loop + 1] = round(F.cross_entropy(logits, held[:, 1:].flatten()).item(), 4)
    return told


def make(name: str, seed: int, folder: Path) -> None:
    """Train one model from draws of N(0, 1/width), and write it as it is evaluated, in bfloat16."""
    injection, prior = GRID[name]
    torch.manual_seed(seed)
    model = LoopedTransformer(replace(INJECTIONS[injection], start="normal"))
    began = time.process_time()
    history = train.fit(
        model,
        train.text_pieces(tokens()[0], LENGTH),
        recipe(prior, seed),
        progress=False,
        device="cpu",
        threads=1,
    )
    seconds = time.process_time() - began
    published = LoopedTransformer(INJECTIONS[injection]).bfloat16()
    published.load_state_dict(model.state_dict())
    export(published, folder, "ifm")
    (folder / "tokenizer").mkdir()
    words().save(str(folder / "tokenizer" / "tokenizer.json"), pretty=False)
    said = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<bos>"}
    (folder / "tokenizer" / "tokenizer_config.json").write_text(json.dumps(said) + "\n")
    told = {
        "cpu seconds": round(seconds, 1),
        "training loss, each sixth": [
            round(sum(history.loss[n : n + 50]) / 50, 3) for n in range(0, 300, 50)
        ],
        "loss by loops": losses(load(folder, dtype=torch.float32)),
    }
    (folder / "told.json").write_text(json.dumps(told) + "\n")
    print(folder.name, f"{seconds:.0f} s", told["loss by loops"], flush=True)


def write_reference(model: LoopedTransformer, folder: Path) -> None:
    """Logits of the model in float32, for `looplab verify` to compare with."""
    held = tokens()[1][:2, :24]
    with torch.no_grad():
        tensors = {f"r{loops}.logits": model(held, loops).logits for loops in (4, 7)}
    (folder / "input_ids.json").write_text(json.dumps(held.tolist()) + "\n")
    save_file(tensors, folder / "expected.safetensors")


def publish(name: str, trained: Path) -> None:
    """Put the model of seed 0 into data/ifm_grid, with its card, a README and a reference."""
    (injection, prior), folder = GRID[name], PUBLISHED / name
    files = {seed: trained / f"{name}-{seed}" / "told.json" for seed in SEEDS}
    told = {seed: json.loads(file.read_text()) for seed, file in files.items() if file.exists()}
    if folder.exists():
        shutil.rmtree(folder)
    shutil.copytree(trained / f"{name}-0", folder, ignore=shutil.ignore_patterns("told.json"))
    model = load(folder, dtype=torch.float32)
    write_reference(model, folder)
    data = (folder / SHARD).read_bytes()
    card = {
        "name": name,
        "made by": "looplab, data/make_ifm_grid.py",
        "is not": "a released model; only the file format is that of IFM/LoopedLM-P2-huginn-*",
        "about": f"{injection} injection, loops in training {prior}",
        "notation": model.config.notation,
        "parameters": sum(p.numel() for p in model.parameters()),
        "trained on": "looplab.tasks.word_problems, from starts drawn from N(0, 1/48)",
        "config": model.config.to_dict(),
        "recipe": recipe(prior, SEEDS[0]).to_dict(),
        "seed": SEEDS[0],
        "torch": torch.__version__.split("+")[0],
        "stored as": "bfloat16",
        **told[0],
        "loss by loops, other seeds": {
            seed: one["loss by loops"] for seed, one in told.items() if seed != SEEDS[0]
        },
        "text": word_problems(PROBLEMS + 1)[-1],
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "licence": "MIT, as the rest of looplab",
    }
    (folder / "card.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(readme(card), encoding="utf-8")


def readme(card: dict) -> str:
    made = (
        f"Made by looplab (`data/make_ifm_grid.py`) in {card['cpu seconds']:.0f} seconds on one "
        f"CPU core. {card['parameters']:,} parameters, {card['notation']}: {card['about']}. Only "
        "the file format, that is config fields, tensor names and layouts, is that of "
        "IFM/LoopedLM-P2-huginn-*; no weight comes from there, and what this model does says "
        "nothing about what a released one does."
    )
    return f"""# {card["name"]}: ours, not a released model

{fill(made, 98, break_on_hyphens=False)}

`card.json` has recipe, seed, losses by loop and hash; `input_ids.json` and `expected.safetensors`
have logits that `looplab verify` compares with.

Licence: MIT, as the rest of looplab.
"""


def main(folder: str, *names: str) -> None:
    trained = Path(folder)
    if names == ("publish",):
        for name in GRID:
            publish(name, trained)
        return
    for one in names or [f"{name}-{seed}" for seed in SEEDS for name in GRID]:
        name, seed = one.rsplit("-", 1)
        if not (trained / one / "told.json").exists():
            shutil.rmtree(trained / one, ignore_errors=True)
            make(name, int(seed), trained / one)


if __name__ == "__main__":
    main(*sys.argv[1:])
