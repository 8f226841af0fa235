"""One name for every model: the course's checkpoints and miniatures, a folder, or a hub id."""

from collections.abc import Callable
from pathlib import Path

import torch

from looplab.model import LoopedConfig, LoopedTransformer
from looplab.zoo import checkpoints, miniatures
from looplab.zoo.dtypes import as_dtype
from looplab.zoo.loading import load, open_folder
from looplab.zoo.packaged import NAME, smollm2_file
from looplab.zoo.source import find
from looplab.zoo.tokenizers import load_tokenizer, no_tokenizer, tokenizer


def folder_of(name: str) -> Path:
    """The folder (or GGUF file) of a miniature, "smollm2", a path, or a hub id, downloaded once.

    Raises what `looplab.zoo.source.find` raises.

    >>> folder_of("ouro-mini").name
    'ouro-mini'
    """
    if name == NAME:
        return smollm2_file()
    return miniatures.folder(name) if name in miniatures.names() else find(name)


def tokenizer_of(name: str | Path):
    """The tokenizer of a released model, of a folder, hub id, GGUF file or name, from transformers.

    It turns text into ids, `words(text).input_ids`, ids into text, `words.decode(ids)`, and, where
    the model was trained to talk, messages into ids, `words.apply_chat_template(messages)`. No code
    of the model's is run. Raises ValueError where there is none.

    >>> words = tokenizer_of("ouro-mini")
    >>> words.decode(words("barn attic").input_ids)
    'barn attic'
    """
    return load_tokenizer(folder_of(str(name)))


def open_named(
    name: str, dtype: torch.dtype | str | None = None, device: str | torch.device = "cpu"
) -> tuple[LoopedTransformer, Callable[[str], list[int]]]:
    """The model, and the function that turns text into its token ids (loaded at the first text).

    Raises ValueError naming the known ones, and what `looplab.zoo.load` raises.

    >>> open_named("hero", torch.float32)[0].config.notation
    '(0, 3⊗6, 0)_I'
    """
    if name in checkpoints.names():
        return checkpoints.load(name).to(device, as_dtype(dtype)), no_tokenizer(name)
    folder = _folder_of_known(name)
    return load(folder, dtype=dtype, device=device), tokenizer(folder)


def outline(
    name: str, dtype: torch.dtype | str
) -> tuple[LoopedTransformer, Callable[[str], list[int]]]:
    """The model that `open_named` would give, on "meta": its shapes, without memory for weights.

    It tells what a run would take before anything is read. Raises what `open_named` raises.

    >>> model, _ = outline("ouro-mini", "float32")
    >>> model.config.notation, model.device.type
    ('(0, 3⊗4, 0)', 'meta')
    """
    if name in checkpoints.names():
        config = LoopedConfig.from_dict(checkpoints.card(name)["config"])
        words, encode = None, no_tokenizer(name)
    else:
        folder = _folder_of_known(name)
        config, words = open_folder(folder).known.config, tokenizer(folder)
        encode = words
    with torch.device("meta"):
        model = LoopedTransformer(config).to(as_dtype(dtype))
    model.words = words
    return model.eval().requires_grad_(False), encode


def _folder_of_known(name: str) -> Path:
    known = name in (NAME, *miniatures.names()) or Path(name).expanduser().exists()
    if not known and "/" not in name:  # a hub id has one
        raise ValueError(
            f"no checkpoint and no folder {name!r}: the checkpoints are "
            f"{', '.join(checkpoints.names())}; the miniatures {', '.join(miniatures.names())}; "
            f"{NAME} is a real language model; a hub id is like ByteDance/Ouro-1.4B"
        )
    return folder_of(name)
