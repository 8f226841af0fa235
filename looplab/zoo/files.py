"""What a model's folder holds: config.json and the headers of its safetensors files.

Headers are enough to know every tensor's name, shape and dtype, so that a folder is checked whole
before any weight is read. Some families are released as a pickle; see `looplab.zoo.pickled`. One
writes its settings as train_config.yaml.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from looplab.basics.tensor_files import reading
from looplab.zoo.pickled import open_pickle

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
RUN = "train_config.yaml"
DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
}
_BLOCK = 2**24  # bytes read at a time: large enough to be fast, small beside any released model
_AGAIN = "get this file again"


@dataclass(frozen=True)
class ConfigFile:
    """The values of a config.json, with the file's name in every complaint."""

    path: Path
    values: dict

    def __getitem__(self, key: str):
        if key not in self.values:
            raise ValueError(f"{self.path} has no {key!r}, which its model_type needs: {_AGAIN}")
        return self.values[key]

    def get(self, key: str, default=None):
        return self.values.get(key, default)

    def must_be(self, key: str, *known):
        """Refuse a value, present and not null, that would give another model than we build."""
        value = self.get(key)
        if value is not None and value not in known:
            raise ValueError(
                f"{self.path} says {key}={value!r}: looplab has this family only with "
                f"{' or '.join(map(repr, known))}"
            )

    def one_of(self, key: str, known: dict):
        """What a value means, in a table of those that looplab has; ValueError for another."""
        value = self[key]
        for theirs, ours in known.items():
            if theirs == value:
                return ours
        raise ValueError(
            f"{self.path} says {key}={value!r}: looplab has this family only with "
            f"{' or '.join(map(repr, known))}"
        )

    def switch(self, key: str, absent: bool | None = None) -> bool:
        """A value that is true or false, null meaning false; ValueError for another.

        `absent` stands in for a key that is not there; where it is None, that is an error too.
        """
        value = self[key] if absent is None else self.get(key, absent)
        if value not in (True, False, None):
            raise ValueError(f"{self.path} says {key}={value!r}: expected true or false")
        return bool(value)


@dataclass(frozen=True)
class Stored:
    """One tensor as a safetensors header describes it."""

    file: Path
    shape: tuple[int, ...]
    dtype: str
    # Rows (first, last) -> tensor, where the file is no safetensors file: a pickle, or GGUF
    rows: Callable[[int, int], Tensor] | None = None
    name: str = ""  # what its file calls it


def read_json(path: Path) -> dict:
    """The object in a JSON file; ValueError naming the file if it is missing or damaged."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path.parent} has no {path.name}: is it a model's folder?") from None
    except ValueError as error:  # not JSON, or not even UTF-8
        raise ValueError(f"{path} is not readable JSON ({error}): {_AGAIN}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path} holds a {type(values).__name__} instead of settings: {_AGAIN}")
    return values


def read_config(folder: Path) -> ConfigFile:
    """The settings of a model's folder: config.json, or the train_config.yaml of a run's folder."""
    if (folder / "config.json").exists() or not (folder / RUN).exists():
        return ConfigFile(folder / "config.json", read_json(folder / "config.json"))
    try:
        import yaml  # here, because looplab does without it
    except ImportError:
        raise ImportError(f"{folder / RUN} is a YAML file: pip install pyyaml") from None
    try:
        values = yaml.safe_load((folder / RUN).read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{folder / RUN} is not readable YAML ({error}): {_AGAIN}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{folder / RUN} holds {values!r} instead of settings: {_AGAIN}")
    return ConfigFile(folder / RUN, values)


def stored_tensors(folder: Path, pickles: Sequence[str] = ()) -> dict[str, Stored]:
    """Every tensor in the folder's single file or in the shards its index names.

    The last file of a pattern in `pickles` may stand in for them. Raises ValueError naming file
    and tensor when a file is missing, damaged or another pickle, or when the index and the shards
    disagree.
    """
    if (folder / SINGLE).is_file():
        return _header(folder / SINGLE)
    if (folder / INDEX).is_file():
        return _sharded(folder / INDEX)
    for pattern in pickles:
        if found := sorted(folder.glob(pattern)):
            return _pickled(found[-1])
    small = [p.name for p in sorted(folder.iterdir()) if p.suffix == ".gguf"]
    if small:
        raise ValueError(
            f"{folder / small[0]} is a GGUF file, most often of quantised weights: get the model "
            f"as {SINGLE}, before it was quantised"
        )
    others = [
        p.name for p in sorted(folder.iterdir()) if p.suffix in (".bin", ".pt", ".pth", ".tar")
    ]
    if others:
        raise ValueError(
            f"{folder / others[0]} is a pickle, which can run code when it is opened, and looplab "
            f"opens none: get the model as {SINGLE}, or convert it where you trust it"
        )
    raise ValueError(f"{folder} has neither {SINGLE} nor {INDEX}: are its weights downloaded?")


def _sharded(index: Path) -> dict[str, Stored]:
    shard_of = read_json(index).get("weight_map")
    if not isinstance(shard_of, dict) or not all(isinstance(f, str) for f in shard_of.values()):
        raise ValueError(f"{index} has no weight_map from tensors to files: {_AGAIN}")
    stored: dict[str, Stored] = {}
    for name in sorted(set(shard_of.values())):
        file = index.parent / name
        if file.parent != index.parent or file.suffix != ".safetensors":
            raise ValueError(f"{index} names {name!r}, no safetensors file beside it: {_AGAIN}")
        if not file.is_file():
            raise ValueError(f"{index} names {name}, which is missing from the folder: get it too")
        for tensor, found in _header(file).items():
            if shard_of.get(tensor) != name:
                raise ValueError(
                    f"{file} holds {tensor}, which {index.name} puts in "
                    f"{shard_of.get(tensor, 'no file')}: files of two versions? Get all again"
                )
            stored[tensor] = found
    absent = sorted(set(shard_of) - set(stored))
    if absent:
        raise ValueError(
            f"{index.parent / shard_of[absent[0]]} lacks {absent[0]}, which {index.name} puts "
            "there: files of two versions? Get all again"
        )
    return stored


def _header(path: Path) -> dict[str, Stored]:
    with (
        reading(path, "is damaged, cut short or no safetensors file", _AGAIN),
        safe_open(path, framework="pt") as file,
    ):
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
        return {
            name: Stored(path, tuple(part.get_shape()), part.get_dtype(), name=name)
            for name, part in slices.items()
        }


def _pickled(path: Path) -> dict[str, Stored]:
    names = {dtype: name for name, dtype in DTYPES.items()}
    return {
        name: Stored(
            path,
            tuple(value.shape),
            names.get(value.dtype, str(value.dtype)),
            lambda first, last, value=value: value[first:last],
            name,
        )
        for name, value in open_pickle(path).items()
    }


class Reader:
    """Copies stored tensors out of their files; a context manager.

    A file stays mapped until `_BLOCK` bytes were touched and is then mapped anew: touched pages
    count as ours until a mapping is closed, and a model would take twice its size. A new mapping
    for each tensor would be slow, because opening a file reads its whole header.
    """

    def __init__(self):
        self._open, self._files, self._touched = ExitStack(), {}, 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._close()

    def into(self, out: Tensor, stored: Stored, rows: tuple[int, int] | None = None) -> None:
        """Copy a tensor, or `rows` (first, last) of it, into `out` (cast, moved, reshaped)."""
        if rows is not None:
            out.copy_(self._rows(stored, *rows).reshape(out.shape))
            return
        for first, block in self._blocks(stored):
            out[first : first + len(block)].copy_(block)

    def same(self, one: Stored, other: Stored) -> bool:
        """Whether two tensors of one shape hold the same numbers."""
        wide = torch.promote_types(DTYPES[one.dtype], DTYPES[other.dtype])
        for first, block in self._blocks(one):
            there = self._rows(other, first, first + len(block))
            if not torch.equal(block.to(wide).nan_to_num(), there.to(wide).nan_to_num()):
                return False
        return True

    def _blocks(self, stored: Stored) -> Iterator[tuple[int, Tensor]]:
        """The rows of a tensor, some at a time, with the number of the first."""
        # Bringing back blocks of a few bits takes several times their size.
        block = _BLOCK if stored.rows is None else _BLOCK // 8
        rows = max(1, block // _row_bytes(stored))
        for first in range(0, stored.shape[0], rows):
            yield first, self._rows(stored, first, min(first + rows, stored.shape[0]))

    def _rows(self, stored: Stored, first: int, last: int) -> Tensor:
        if self._touched >= _BLOCK:
            self._close()
        if stored.rows is not None:
            return stored.rows(first, last)
        block = self._file(stored.file).get_slice(stored.name)[first:last]
        self._touched += block.nbytes
        return block

    def _file(self, path: Path):
        if path not in self._files:
            self._files[path] = self._open.enter_context(safe_open(path, framework="pt"))
        return self._files[path]

    def _close(self):
        self._open.close()
        self._files.clear()
        self._touched = 0


def _row_bytes(stored: Stored) -> int:
    row = DTYPES[stored.dtype].itemsize
    for size in stored.shape[1:]:
        row *= size
    return row
