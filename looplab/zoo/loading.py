"""Load a released model from its official files."""

import warnings
from fnmatch import fnmatch
from functools import reduce
from pathlib import Path

import torch
from torch import Tensor

from looplab.basics.tensor_files import reading
from looplab.model import LoopedTransformer
from looplab.zoo.families import family_of
from looplab.zoo.family import Family
from looplab.zoo.files import DTYPES, ConfigFile, Reader, Stored, read_json, stored_tensors
from looplab.zoo.source import find
from looplab.zoo.translation import Part, Translation


def load(
    source: str | Path,
    *,
    revision: str | None = None,
    dtype: torch.dtype | None = None,
    device: str | torch.device | None = None,
) -> LoopedTransformer:
    """A released model as a LoopedTransformer in eval mode, without gradients.

    `source` is a folder in the official form (config.json and safetensors, one file or shards with
    an index; for Parcae pytorch_model.bin, opened as tensors only) or a hub id, downloaded at
    `revision` (a commit pinned here where None and known). `dtype` None keeps that of the files,
    `device` None means the CPU. Weights are copied one by one, so that loading takes little more
    memory than the model and the model does not change when its files do. Nothing in the folder is
    run.

    Raises ValueError naming file, key or tensor and the remedy for a folder that is damaged,
    incomplete or of an unknown family, before any weight is read; ConnectionError without network.

    >>> import tempfile
    >>> from transformers import LlamaConfig, LlamaForCausalLM
    >>> sizes = dict(hidden_size=16, intermediate_size=32, num_attention_heads=2, vocab_size=10)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     LlamaForCausalLM(LlamaConfig(num_hidden_layers=3, **sizes)).save_pretrained(folder)
    ...     load(folder).config.notation
    '(0, 3⊗1, 0)'
    """
    config, family, stored = inspect(find(source, revision))
    try:
        known = family.translate(config, stored)
    except (TypeError, AttributeError) as error:  # such as a list where a number should be
        raise ValueError(f"{config.path} has a value of the wrong type ({error})") from error
    except ValueError as error:  # from LoopedConfig, which does not know the file
        if str(config.path) in str(error):
            raise
        raise ValueError(f"{config.path}: {error}") from error
    _check(config, known, stored)
    if dtype is None:
        used = {stored[part.name].dtype for parts in known.tensors.values() for part in parts}
        dtype = reduce(torch.promote_types, (DTYPES[name] for name in used))
    with torch.device("meta"):  # shapes without memory: every weight comes from the files
        model = LoopedTransformer(known.config)
    with Reader() as reader:
        state = {
            name: _read(reader, parts, stored, dtype, device)
            for name, parts in known.tensors.items()
        }
    if known.config.tie_head:
        state["head.weight"] = state["embed.0.weight"]
    model.load_state_dict(state, assign=True)
    if known.config.tie_head:
        model.head.weight = model.embed[0].weight
    return model.eval().requires_grad_(False)


def inspect(folder: Path) -> tuple[ConfigFile, Family, dict[str, Stored]]:
    """A folder's config, its family, and what its weight files hold."""
    config = ConfigFile(folder / "config.json", read_json(folder / "config.json"))
    family = family_of(config)
    return config, family, stored_tensors(folder, pickle=family.pickled)


def _check(config: ConfigFile, known: Translation, stored: dict[str, Stored]) -> None:
    parts = {part.name: part for parts in known.tensors.values() for part in parts}
    missing = [name for name in parts if name not in stored]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ValueError(
            f"{config.path.parent} has no tensor {missing[0]}{more}, which its config.json asks "
            "for: get the folder again"
        )
    passed_over = []
    for name, found in stored.items():
        if name not in parts:
            if any(fnmatch(name, pattern) for pattern in known.unused):
                continue
            if known.passes_over:
                passed_over.append(name)
                continue
            raise ValueError(
                f"{found.file} has a tensor {name} that a {known.config.notation} model of this "
                "family does not use: without it the numbers would not be the official ones"
            )
        if found.shape != parts[name].shape:
            raise ValueError(
                f"{found.file}: {name} has shape {found.shape}, config.json asks for "
                f"{parts[name].shape}: files of two models?"
            )
        if found.dtype not in DTYPES:
            raise ValueError(
                f"{found.file}: {name} is stored as {found.dtype}, expected one of "
                f"{', '.join(DTYPES)}: get the model before it was quantised"
            )
    if passed_over:
        told = f"{config.path.parent} has tensors that are not used: {', '.join(passed_over)}"
        warnings.warn(told, stacklevel=3)


def _read(
    reader: Reader, parts: tuple[Part, ...], stored: dict[str, Stored], dtype, device
) -> Tensor:
    """Our tensor from its parts, one under the other."""
    shapes = [_shape(part) for part in parts]
    rows = [shape[0] for shape in shapes]
    whole = torch.empty(sum(rows), *shapes[0][1:], dtype=dtype, device=device)
    for part, out in zip(parts, whole.split(rows), strict=True):
        found = stored[part.name]
        with reading(found.file, f"gives no {part.name}", "did the file change meanwhile?"):
            reader.into(out, part.name, found, part.index)
    return whole


def _shape(part: Part) -> tuple[int, ...]:
    if part.index is None:
        return part.shape
    return (torch.Size(part.shape[1:]).numel(),)  # an entry of a stack becomes a vector
