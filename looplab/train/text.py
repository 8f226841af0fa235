"""Pieces of a long text as a task: each token is to be followed by the next."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from looplab.basics.tensor_files import reading
from looplab.basics.whole import whole_number
from looplab.tasks import Batch, Task


def text_pieces(
    tokens: Tensor | np.ndarray | str | Path, length: int, name: str | None = None
) -> Task:
    """A task whose items are `length` tokens from anywhere in a text, each followed by the next.

    `tokens` [token] is a tensor, an array, or a file: .npy, or .safetensors with the tensor called
    `name` (None: its only one). A file is mapped and not read, so that it may be larger than
    memory, and processes of one machine share what they read of it. Whole numbers of any size will
    do. Raises ValueError for tokens that are no text, for a text that is not longer than a piece,
    and for a file that has no such tensor.

    >>> task = text_pieces(torch.arange(100), length=4)
    >>> batch = task(2, torch.Generator().manual_seed(0))
    >>> batch.tokens.shape, torch.equal(batch.tokens + 1, batch.targets)
    (torch.Size([2, 4]), True)
    """
    length = whole_number("length", length, 1)
    text = _mapped(Path(tokens).expanduser(), name) if isinstance(tokens, str | Path) else tokens
    text = _one_text(text)
    if len(text) <= length:
        raise ValueError(
            f"a text of {len(text)} tokens has no piece of length={length} and a next token: "
            "expected a longer text or a smaller length"
        )

    def pieces(batch: int, generator: torch.Generator) -> Batch:
        first = torch.randint(0, len(text) - length, (batch,), generator=generator)
        at = first[:, None] + torch.arange(length + 1)
        drawn = torch.from_numpy(text[at.numpy()].astype(np.int64))
        nowhere = torch.tensor(-1).expand(batch, length)  # no token has a difficulty
        return Batch(drawn[:, :-1], drawn[:, 1:], nowhere)  # views: many batches are drawn at once

    return pieces


def even_pieces(tokens: Tensor | np.ndarray, count: int, length: int) -> Tensor:
    """`count` pieces of a text [token], spread evenly over it: [piece, length + 1], longs.

    One token more than `length`, so that each of these has a next one. Raises ValueError for tokens
    that are no text, and where the pieces would overlap.

    >>> even_pieces(torch.arange(100), count=3, length=4)[:, 0]
    tensor([ 0, 33, 66])
    """
    count, length = whole_number("count", count, 1), whole_number("length", length, 1)
    text = _one_text(tokens)
    stride = (len(text) - 1) // count
    if stride < length:
        raise ValueError(
            f"a text of {len(text)} tokens has no {count} pieces of length={length} that do not "
            "overlap: expected fewer or shorter ones"
        )
    pieces = np.stack([text[n * stride :][: length + 1] for n in range(count)])
    return torch.from_numpy(pieces.astype(np.int64))


def _one_text(tokens: Tensor | np.ndarray) -> np.ndarray:
    """Tokens [token] as an array; ValueError for what is no text."""
    text = tokens.cpu().numpy() if isinstance(tokens, Tensor) else np.asanyarray(tokens)
    if text.ndim != 1 or text.dtype.kind not in "iu":
        raise ValueError(
            f"tokens have shape {text.shape} and dtype {text.dtype}: expected one text of whole "
            "numbers, [token]"
        )
    return text


def _mapped(path: Path, name: str | None) -> Tensor | np.ndarray:
    """The tokens in a file, read where they are asked for."""
    from safetensors import safe_open

    if path.suffix not in (".npy", ".safetensors"):
        raise ValueError(f"tokens are the file {path}: expected .npy or .safetensors")
    with reading(path, f"is no readable {path.suffix} file of tokens", "write it again"):
        if path.suffix == ".npy":
            return np.load(path, mmap_mode="r")
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            if name is None and len(names) == 1:
                name = names[0]
            if name not in names:
                raise ValueError(f"{path} has {', '.join(names)}: say which one with name=")
            return file.get_tensor(name)
