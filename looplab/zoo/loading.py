"""Load a released model from its official files."""

import warnings
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import torch
from torch import Tensor

from looplab.basics.tensor_files import reading
from looplab.model import LoopedTransformer
from looplab.zoo.dtypes import as_dtype
from looplab.zoo.families import family_of
from looplab.zoo.family import Family
from looplab.zoo.files import DTYPES, ConfigFile, Reader, Stored, read_config, stored_tensors
from looplab.zoo.gguf_file import open_gguf
from looplab.zoo.names import aligned, unwrapped
from looplab.zoo.rotary import check_table
from looplab.zoo.source import find
from looplab.zoo.tokenizers import LazyTokenizer
from looplab.zoo.translation import Part, Translation


def load(
    source: str | Path,
    *,
    revision: str | None = None,
    dtype: torch.dtype | str | None = None,
    device: str | torch.device | None = None,
) -> LoopedTransformer:
    """A released model as a LoopedTransformer in eval mode, without gradients.

    `source` is a folder in the official form (config.json and safetensors, one file or shards with
    an index; for Parcae pytorch_model.bin, opened as tensors only), a GGUF file of Llama's form,
    whose weights are brought back to float32, or a hub id, downloaded at `revision` (a commit
    pinned here where None and known). `dtype`, or its name, None keeps that of the files, `device`
    None means the CPU. Weights are copied one by one, so that loading takes little more memory than
    the model and the model does not change when its files do. Nothing in the folder is run. Its
    tokenizer is loaded when the model is first given a text: model("Hello"), trace, generate.

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
    dtype = as_dtype(dtype)
    where = find(source, revision)
    folder = open_folder(where)
    known, stored = folder.known, folder.stored
    if dtype is None:
        used = {stored[part.name].dtype for part in known.parts}
        dtype = reduce(torch.promote_types, (DTYPES[name] for name in used))
    with torch.device("meta"):  # shapes without memory: every weight comes from the files
        model = LoopedTransformer(known.config)
    with Reader() as reader:
        _check_twins(folder, reader)
        if (found := stored.get(known.table)) is not None:
            table = torch.empty(found.shape)
            if table.dim():  # else it is no table, and has no rows to read
                reader.into(table, found)
            check_table(known.config, table, found.file, found.name)
        state = {
            name: _read(reader, parts, stored, dtype, device)
            for name, parts in known.tensors.items()
        }
    if known.config.tie_head:
        state["head.weight"] = state["embed.0.weight"]
    model.load_state_dict(state, assign=True)
    if known.config.tie_head:
        model.head.weight = model.embed[0].weight
    model.words = LazyTokenizer(where)
    return model.eval().requires_grad_(False)


@dataclass(frozen=True)
class Folder:
    """A model's folder, checked, before any weight is read."""

    config: ConfigFile
    family: Family
    stored: dict[str, Stored]  # under the family's names
    known: Translation


def open_folder(folder: Path) -> Folder:
    """What a folder or a GGUF file holds, in our words; ValueError as `load`."""
    if folder.is_file():
        config, stored = open_gguf(folder)
        family = family_of(config)
    else:
        config = read_config(folder)
        family = family_of(config)
        config = family.settings(config)
        stored = unwrapped(stored_tensors(folder, family.pickles))
    known = _translated(config, family, stored)
    if any(part.name not in stored for part in known.parts):
        renamed = aligned(stored, {part.name for part in known.parts})
        if renamed is not None:
            stored = renamed
            known = _translated(config, family, stored)
    found = Folder(config, family, stored, known)
    _check(found)
    return found


def _translated(config: ConfigFile, family: Family, stored: dict[str, Stored]) -> Translation:
    try:
        family.keys.check(config)
        return family.translate(config, stored)
    except (TypeError, AttributeError) as error:  # such as a list where a number should be
        raise ValueError(f"{config.path} has a value of the wrong type ({error})") from error
    except ArithmeticError as error:  # such as a root of a width of 0
        raise ValueError(f"{config.path} has a number that cannot be ({error})") from error
    except ValueError as error:  # from LoopedConfig, which does not know the file
        if str(config.path) in str(error):
            raise
        raise ValueError(f"{config.path}: {error}") from error


def _check(folder: Folder) -> None:
    config, known, stored = folder.config, folder.known, folder.stored
    parts = {part.name: part for part in known.parts}
    missing = [name for name in parts if name not in stored]
    if missing == [known.ends[1]]:
        raise ValueError(
            f"{config.path.parent} has no tensor {missing[0]}: it holds a model without its head, "
            "which config.json does not tie to the embedding. Get or save the whole model, such as "
            "a ...ForCausalLM"
        )
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        strange = next((name for name in stored if name not in parts), None)
        held = f"; it has {strange}, which is not expected" if strange else ""
        raise ValueError(
            f"{config.path.parent} has no tensor {missing[0]}{more}, which its "
            f"{config.path.name} asks for{held}: get the folder again"
        )
    passed_over = []
    for name, found in stored.items():
        if name not in parts and name != known.table:
            if _does_nothing(name, known):
                continue
            if known.passes_over:
                passed_over.append(name)
                continue
            raise ValueError(
                f"{found.file} has a tensor {found.name} that a {known.config.notation} model of "
                "this family does not use: without it the numbers would not be the official ones"
            )
        if name in parts and found.shape != parts[name].shape:
            raise ValueError(
                f"{found.file}: {found.name} has shape {found.shape}, {config.path.name} "
                f"asks for {parts[name].shape}: files of two models?"
            )
        if found.dtype not in DTYPES:
            raise ValueError(
                f"{found.file}: {found.name} is stored as {found.dtype}, expected one of "
                f"{', '.join(DTYPES)}: get the model before it was quantised"
            )
    if passed_over:
        told = f"{config.path.parent} has tensors that are not used: {', '.join(passed_over)}"
        warnings.warn(told, stacklevel=4)


def _does_nothing(name: str, known: Translation) -> bool:
    """Whether a tensor beside those of the model may be there: a twin, or rotary speeds."""
    twin = known.config.tie_head and name in known.ends or any(name in pair for pair in known.twins)
    return twin or name in known.unused or name.rpartition(".")[2] == "inv_freq"


def _check_twins(folder: Folder, reader: Reader) -> None:
    """Refuse a tied pair that is stored as two different tensors.

    Some versions of transformers take the embedding for both then, others keep the stored head.
    """
    ends = (folder.known.ends,) if folder.known.config.tie_head else ()
    for pair in (*ends, *folder.known.twins):
        one, other = (folder.stored.get(name) for name in pair)
        if one is None or other is None:
            continue
        with reading(other.file, f"gives no {other.name}", "did the file change meanwhile?"):
            alike = other.dtype in DTYPES and other.shape == one.shape
            same = alike and reader.same(one, other)
        if not same:
            tied = "the head to the embedding" if pair in ends else "the two"
            raise ValueError(
                f"{folder.config.path} ties {tied}, but {other.file} holds a {other.name} that "
                f"differs from {one.name}, and versions of transformers differ in which they use. "
                "In a copy of the folder, say that the two are not tied, or take one of the two "
                "tensors out"
            )


def _read(
    reader: Reader, parts: tuple[Part, ...], stored: dict[str, Stored], dtype, device
) -> Tensor:
    """Our tensor from its parts, one under the other."""
    shapes = [part.ours for part in parts]
    rows = [shape[0] for shape in shapes]
    whole = torch.empty(sum(rows), *shapes[0][1:], dtype=dtype, device=device)
    for part, out in zip(parts, whole.split(rows), strict=True):
        found = stored[part.name]
        with reading(found.file, f"gives no {part.name}", "did the file change meanwhile?"):
            reader.into(out, found, part.slice)
        if part.plus:
            out += part.plus
    return whole
