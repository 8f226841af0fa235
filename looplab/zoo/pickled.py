"""Weights in torch's own file format, a pickle, read in the one way that runs nothing of it."""

from pathlib import Path

import torch
from torch import Tensor


def open_pickle(path: Path) -> dict[str, Tensor]:
    """Tensors of a `pytorch_model.bin`, mapped and not yet read; of a training run's, the model's.

    Raises ValueError naming the file for everything that torch.load(weights_only=True) refuses,
    and for whatever else than tensors with names.
    """
    try:
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # unpickling raises whatever its input makes it raise
        raise ValueError(
            f"{path} is damaged, or asks for more than tensors when it is opened "
            f"({type(error).__name__}), and looplab opens no pickle in another way than "
            "torch.load(weights_only=True): get this file again, or safetensors"
        ) from None
    if isinstance(found, dict) and "model_state_dict" in found:
        found = found["model_state_dict"]
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds a {type(found).__name__}: expected tensors with names")
    for name, value in found.items():
        dense = isinstance(value, Tensor) and value.layout == torch.strided
        if not (dense and isinstance(name, str)):
            raise ValueError(f"{path}: {name!r} is a {type(value).__name__}, expected a tensor")
    return found
