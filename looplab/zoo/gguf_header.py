"""The header of a GGUF file: its settings, and where each tensor stands.

The tokenizer's words, tens of thousands of them, are passed over: the package's own reader makes
several objects of each, more than 100 MB of them, before it comes to the tensors.

Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import os
import struct
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

_NUMBERS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
_STRING, _ARRAY = 8, 9
_VERSIONS = (2, 3)


class Placed(NamedTuple):
    """One tensor of a file."""

    shape: tuple[int, ...]  # as PyTorch has it: the last axis lies side by side
    kind: Any  # a gguf.GGMLQuantizationType
    offset: int  # of its first byte in the file
    size: int  # bytes


def read_header(
    path: Path, wanted: Callable[[str], bool]
) -> tuple[dict[str, Any], dict[str, Placed]]:
    """Settings whose names are `wanted`, and every tensor by its name.

    Raises ValueError saying what is wrong for something else than a whole GGUF file; ImportError
    without the package gguf, which knows how large a block of each kind is.
    """
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    with path.open("rb") as file:
        read = _Reading(file)
        if read.take(4) != b"GGUF":
            raise ValueError("it does not begin with GGUF")
        if (version := read.number("I")) not in _VERSIONS:
            raise ValueError(f"version {version}, expected one of {_VERSIONS}")
        tensors, settings, said = read.number("Q"), read.number("Q"), {}
        for _ in range(settings):
            name, kind = read.string(), read.number("I")
            if name in said:
                raise ValueError(f"{name} is there twice")
            keep = wanted(name) or name == "general.alignment"
            value = read.value(kind) if keep else read.skip(kind)
            if keep:
                said[name] = value
        found = {}
        for _ in range(tensors):
            name, axes = read.string(), read.number("I")
            shape = tuple(reversed([read.number("Q") for _ in range(axes)]))
            kind, offset = GGMLQuantizationType(read.number("I")), read.number("Q")
            if name in found:
                raise ValueError(f"tensor {name} is there twice")
            values, stored = GGML_QUANT_SIZES[kind]
            if not shape or prod(shape) == 0 or shape[-1] % values:
                raise ValueError(f"tensor {name} of shape {shape} does not fit {kind.name}")
            found[name] = Placed(shape, kind, offset, prod(shape) // values * stored)
        step = said.get("general.alignment", 32)
        if not isinstance(step, int) or step < 1:
            raise ValueError(f"general.alignment is {step!r}")
        begin = -(-file.tell() // step) * step
        for name, tensor in found.items():
            found[name] = tensor._replace(offset=begin + tensor.offset)
            if begin + tensor.offset + tensor.size > read.size:
                raise ValueError(f"tensor {name} lies beyond the file's end")
    return said, found


class _Reading:
    """A file read from its beginning; ValueError where it ends too early."""

    def __init__(self, file: BinaryIO):
        self.file, self.size = file, os.fstat(file.fileno()).st_size

    def take(self, count: int) -> bytes:
        if count > self.size - self.file.tell():
            raise ValueError("it ends in its header")
        return self.file.read(count)

    def number(self, form: str):
        return struct.unpack(f"<{form}", self.take(struct.calcsize(f"<{form}")))[0]

    def string(self) -> str:
        return self.take(self.number("Q")).decode()

    def value(self, kind: int):
        """A value of a kind, by its number in the format."""
        if kind == _ARRAY:
            kind, count = self.number("I"), self.number("Q")
            return [self._single(kind) for _ in range(count)]
        return self._single(kind)

    def skip(self, kind: int) -> None:
        """Pass over a value of a kind."""
        count = 1
        if kind == _ARRAY:
            kind, count = self.number("I"), self.number("Q")
        for _ in range(count):
            self._single(kind)

    def _single(self, kind: int):
        if kind == _STRING:
            return self.string()
        if kind not in _NUMBERS:  # an array of arrays neither
            raise ValueError(f"a value of kind {kind} where none was expected")
        return self.number(_NUMBERS[kind])
