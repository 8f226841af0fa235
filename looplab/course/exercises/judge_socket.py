"""The socket between a notebook that is being graded and the grader: frames without code.

`notebook_end.py` beside this module is the one end, `grader_end.py` in the grading room the other.

What comes from the notebook is JSON: a learner's process can send whatever it likes, and nothing
of it is ever executed. Tensors travel as their bytes, and arrays as tensors; of any other object
only its type's name.
"""

import base64
import contextlib
import json
import math
import os
import socket
import struct
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from looplab.course.exercises.kinds import without_numpy

LARGEST = 16 * 2**20  # bytes of one frame; what checks exchange is a few kilobytes
MANY = 1_000_000  # parts of one message: each takes a hundred times the room it has in JSON
AXES = 64
DTYPES = {
    str(dtype): dtype
    for dtype in (
        torch.bool,
        torch.uint8,
        torch.int8,
        torch.int16,
        torch.int32,
        torch.int64,
        torch.bfloat16,
        torch.float16,
        torch.float32,
        torch.float64,
    )
}


class Refused(ValueError):
    """A value or frame that is too large or makes no sense."""


class Unheard(ConnectionError):
    """The grader cannot be reached from here: something was done to its address."""


def listen(folder: Path) -> tuple[socket.socket, str]:
    """A listening socket and the address that `connect` takes; a file in `folder` where it can."""
    if hasattr(socket, "AF_UNIX"):
        server, address = socket.socket(socket.AF_UNIX), str(folder / "grader")
        server.bind(address)
    else:
        server = socket.socket(socket.AF_INET)
        server.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{server.getsockname()[1]}"
    server.listen(8)
    return server, address


def connect(address: str) -> socket.socket:
    """A connection to the grader's end. Raises Unheard where nobody listens."""
    host, _, port = address.rpartition(":")
    try:
        if host == "127.0.0.1":
            return socket.create_connection((host, int(port)))
        with contextlib.ExitStack() as opened:
            client = opened.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(address)
            opened.pop_all()
            return client
    except (OSError, ValueError) as error:
        raise Unheard(f"the grader is not to be reached at {address!r} ({error})") from None


def send(to: socket.socket, data: bytes):
    if len(data) > LARGEST:
        raise Refused(f"the answer returns more than {LARGEST // 2**20} MB")
    to.sendall(struct.pack(">I", len(data)) + data)


def receive(source: socket.socket) -> bytes:
    """The next frame. Raises ConnectionError at the end, Refused for one that is too large."""
    (size,) = struct.unpack(">I", _exactly(source, 4))
    if size > LARGEST:
        raise Refused(f"a frame of {size} bytes")
    return _exactly(source, size)


def _exactly(source: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = source.recv(min(size - len(data), 2**16))
        if not piece:
            raise ConnectionError("the other side has gone")
        data += piece
    return bytes(data)


class Foreign:
    """Stands for an object that cannot travel; a subclass of it carries the object's type name."""


def encode(value: Any) -> Any:
    """A value as plain JSON.

    >>> encode((1, None)), decode(encode({"a": [1.5, "x"]}))
    ({'tuple': [1, None]}, {'a': [1.5, 'x']})
    """
    value = without_numpy(value)
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, Tensor):
        return _tensor(value)
    if isinstance(value, list):
        return [encode(item) for item in value]
    if isinstance(value, tuple):
        return {"tuple": [encode(item) for item in value]}
    if isinstance(value, dict):
        return {"dict": [[encode(key), encode(item)] for key, item in value.items()]}
    return {"foreign": type(value).__name__[:80]}


def _tensor(value: Tensor) -> dict:
    try:
        plain = value.detach().as_subclass(Tensor).cpu().contiguous()
        data = plain.flatten().view(torch.uint8).numpy().tobytes() if plain.numel() else b""
        if len(data) > LARGEST // 2:
            raise Refused(f"the answer returns a tensor of {len(data)} bytes")
        if str(plain.dtype) in DTYPES:
            return {
                "tensor": base64.b64encode(data).decode(),
                "dtype": str(plain.dtype),
                "shape": list(plain.shape),
                "grad": value.requires_grad,
            }
    except (RuntimeError, NotImplementedError, TypeError):
        pass  # sparse, meta, complex: no check takes them
    return {"foreign": "Tensor"}


def decode(told: Any) -> Any:
    """The value that was encoded. Raises Refused for anything else."""
    try:
        return _decode(told)
    except (
        *(KeyError, TypeError, ValueError, AttributeError),
        *(RuntimeError, OverflowError, MemoryError),
    ) as error:
        raise Refused(f"a value that makes no sense: {error}") from None


def _decode(told: Any) -> Any:
    if told is None or isinstance(told, bool | int | float | str):
        return told
    if isinstance(told, list):
        return [_decode(item) for item in told]
    if "tuple" in told:
        return tuple(_decode(item) for item in told["tuple"])
    if "dict" in told:
        return {_decode(key): _decode(item) for key, item in told["dict"]}
    if "tensor" in told:
        return _told_tensor(told)
    name = str(told["foreign"])
    # It stands in what the teacher reads: a name, and no sentence.
    return type(name if name.isidentifier() and len(name) <= 80 else "object", (Foreign,), {})()


def _told_tensor(told: dict) -> Tensor:
    dtype, shape = DTYPES[told["dtype"]], told["shape"]
    if not isinstance(shape, list) or len(shape) > AXES:
        raise ValueError("a shape that is none")
    if any(type(size) is not int or not 0 <= size <= LARGEST for size in shape):
        raise ValueError("sizes that are none")
    data = bytearray(base64.b64decode(told["tensor"], validate=True))
    if math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError(f"{len(data)} bytes do not fill its shape")
    if not data:
        return torch.zeros(shape, dtype=dtype)
    if dtype == torch.bool:  # a byte that is neither 0 nor 1 would be no bool
        return torch.frombuffer(data, dtype=torch.uint8).ne(0).reshape(shape)
    value = torch.frombuffer(data, dtype=dtype).reshape(shape)
    return value.requires_grad_() if told["grad"] and dtype.is_floating_point else value


def dumps(message: dict) -> bytes:
    return json.dumps(message).encode()


def loads(data: bytes) -> dict:
    """A message; raises Refused for what is no JSON object, or one of too many parts."""
    if sum(map(data.count, (b",", b"[", b"{"))) > MANY:
        raise Refused("a message of too many parts")
    try:
        message = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Refused(f"a message that cannot be read: {error}") from None
    if not isinstance(message, dict):
        raise Refused("a message that is no object")
    return message


def grader_address() -> str | None:
    """The address of the grader's end, where a grader runs this notebook."""
    return os.environ.get("LOOPLAB_GRADER")
