"""The golden fixtures, loaded from their official on-disk form.

Provenance of the numbers: golden/README.md.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file

from looplab import zoo

GOLDEN = Path(__file__).parent / "golden"
FAMILIES = ("huginn-a", "ouro-a", "retrofit-llama-a", "retrofit-olmo-a")


def load(name):
    """The fixture's model in eval mode, its tokens, and the official numbers."""
    folder = GOLDEN / name
    tokens = torch.tensor(json.loads((folder / "input_ids.json").read_text()))
    return zoo.load(folder), tokens, load_file(folder / "expected.safetensors")


def official(expected, loops):
    """The numbers of the run with `loops` recurrences."""
    prefix = f"r{loops}."
    return {n.removeprefix(prefix): v for n, v in expected.items() if n.startswith(prefix)}
