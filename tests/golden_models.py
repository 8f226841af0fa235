"""The golden fixtures, loaded from their official on-disk form.

Provenance of the numbers: golden/README.md.
"""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from looplab import zoo

GOLDEN = Path(__file__).parent / "golden"
FAMILIES = (
    "huginn-a",
    "hyperloop-a",
    "ifm-linear-a",
    "nanbeige-a",
    "ouro-a",
    "retrofit-llama-a",
    "retrofit-olmo-a",
)

# Compared with official numbers besides; what is true of a family's files is asked of one fixture
MORE = ("ifm-diagonal-a", "ifm-orthoinj-a", "ifm-parcae-a", "nanbeige-skip-a", "parcae-a")

# Compared in tests of their own, because their runs are not like the others'
ALONE = ("albert-a", "attractor-a", "hrm-text-a")
FILES = (*FAMILIES, *ALONE)  # what is true of any family's files


def copy(name, to):
    """A fixture in a folder of its own, with its weights in one file; returns the folder."""
    shutil.copytree(GOLDEN / name, to)
    shards = list(to.glob("model-*.safetensors"))
    if shards:
        weights = {key: value for path in shards for key, value in load_file(path).items()}
        for path in (*shards, *to.glob("*index.json"), *to.glob("*manifest.json")):
            path.unlink()
        save_file(weights, to / "model.safetensors")
    return to


def load(name):
    """The fixture's model in eval mode, its tokens, and the official numbers."""
    folder = GOLDEN / name
    tokens = torch.tensor(json.loads((folder / "input_ids.json").read_text()))
    return zoo.load(folder), tokens, load_file(folder / "expected.safetensors")


def official(expected, loops):
    """The numbers of the run with `loops` recurrences."""
    prefix = f"r{loops}."
    return {n.removeprefix(prefix): v for n, v in expected.items() if n.startswith(prefix)}
