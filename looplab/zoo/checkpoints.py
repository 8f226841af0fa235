"""The course's own small models: trained by data/make_checkpoints.py, each with a card."""

import hashlib
from pathlib import Path

import torch
from safetensors.torch import load as read_safetensors

from looplab.model import LoopedConfig, LoopedTransformer
from looplab.zoo.files import read_json

FOLDER = Path(__file__).resolve().parents[2] / "data" / "checkpoints"


def names() -> list[str]:
    """Names that `load` and `card` know."""
    return names_in(FOLDER)


def card(name: str) -> dict:
    """What a checkpoint is: task, config, recipe, size, hash and the results of every seed.

    Raises ValueError naming the known checkpoints.

    >>> card("root-k1")["notation"]
    '(0, 1⊗6, 0)_I'
    """
    return read_card(FOLDER, name)


def load(name: str) -> LoopedTransformer:
    """A trained model in eval mode, float32, on the CPU.

    Raises ValueError for an unknown name, and for a file whose hash is not the card's.
    """
    return read_model(FOLDER, name)


def names_in(folder: Path) -> list[str]:
    """Models with weights and a card in a folder."""
    cards = (path for path in folder.glob("*.json"))
    return sorted(path.stem for path in cards if path.with_suffix(".safetensors").exists())


def read_card(folder: Path, name: str) -> dict:
    """The card of a model in a folder; ValueError naming the known ones."""
    if name not in names_in(folder):
        raise ValueError(f"no checkpoint {name!r}: known are {', '.join(names_in(folder))}")
    return read_json(folder / f"{name}.json")


def read_model(folder: Path, name: str) -> LoopedTransformer:
    """A model of a folder, as `load` gives it."""
    said = read_card(folder, name)
    path = folder / f"{name}.safetensors"
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != said["sha256"]:
        raise ValueError(
            f"{path.name} is damaged (sha256 {found[:12]}..., its card says "
            f"{said['sha256'][:12]}...): get it again, for example with git checkout"
        )
    model = LoopedTransformer(LoopedConfig.from_dict(said["config"]))
    model.load_state_dict({k: v.to(torch.float32) for k, v in read_safetensors(data).items()})
    return model.eval().requires_grad_(False)
