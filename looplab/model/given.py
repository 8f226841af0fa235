"""What people hand a model as tokens and masks, as the tensors that it reads."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor


class Words(Protocol):
    """What turns text into a model's token ids and back; `looplab.zoo.load` finds its own."""

    def __call__(self, text: str | Sequence[Mapping]) -> list[int]:
        """The ids of a text, or of messages {"role": ..., "content": ...}."""

    def decode(self, ids: Sequence[int]) -> str:
        """The text of some ids, without special tokens."""


def is_text(tokens: object) -> bool:
    """Whether these are a text, or messages, instead of token ids.

    >>> is_text("Hello"), is_text([{"role": "user", "content": "Hello"}]), is_text([[1, 2]])
    (True, True, False)
    """
    messages = isinstance(tokens, (list, tuple)) and tokens and isinstance(tokens[0], Mapping)
    return isinstance(tokens, str) or bool(messages)


def from_text(text: str | Sequence[Mapping], words: Words | None) -> list[list[int]]:
    """A text or messages as a batch of one sequence of ids.

    Raises TypeError with the lines to write where the model has no `words`, ValueError for a text
    without a token.
    """
    if words is None:
        told = f"the text {text[:40]!r}" if isinstance(text, str) else "messages"
        raise TypeError(
            f"tokens are {told}, and this model does not know its tokenizer, as one from zoo.load "
            "does: give ids, words = zoo.tokenizer(FOLDER); tokens = [words(text).input_ids]"
        )
    ids = list(words(text))
    if not ids:
        raise ValueError(f"the text {text!r} has no token: nothing to run on")
    return [ids]


def as_tokens(tokens: object, device: str | torch.device | None = None) -> Tensor:
    """Token ids as a tensor of longs: a tensor of any whole numbers, a NumPy array, or lists.

    A tokenizer's output is read by its "input_ids"; see `as_mask` for its mask. Floats and meta
    tensors are left as they are. Raises ValueError naming what it is given instead, and TypeError
    for what can be no tokens.

    >>> as_tokens([[1, 2, 3]])
    tensor([[1, 2, 3]])
    >>> as_tokens({"input_ids": torch.tensor([[7]], dtype=torch.int32)})
    tensor([[7]])
    """
    if isinstance(tokens, Mapping) or hasattr(tokens, "input_ids"):  # a BatchEncoding is a UserDict
        if "input_ids" not in tokens:
            raise ValueError(f"tokens have {', '.join(map(str, tokens))}: expected input_ids")
        tokens = tokens["input_ids"]
    if isinstance(tokens, (list, tuple)) and tokens and isinstance(tokens[0], str):
        raise TypeError(
            f"tokens are {len(tokens)} texts, the first {tokens[0][:40]!r}: give one text at a "
            "time, or a tokenizer's output, padded on the left"
        )
    if not isinstance(tokens, Tensor):
        tokens = _tensor(tokens, "tokens")
    if tokens.is_meta:
        return tokens
    whole = not (tokens.is_floating_point() or tokens.is_complex() or tokens.dtype == torch.bool)
    return tokens.to(device, torch.long if whole else None)


def as_mask(mask: object, given: object, shape: tuple[int, int], device) -> Tensor | None:
    """A mask [batch, token], True at tokens; None where no token is hidden.

    `given` are the tokens as they were handed over: the "attention_mask" of a tokenizer's output is
    used where there is no `mask`. Raises ValueError with the shapes for one of another shape than
    `shape`, for values besides 0 and 1, and for a sequence that is hidden altogether.

    >>> as_mask([[0, 1, 1]], None, (1, 3), None)
    tensor([[False,  True,  True]])
    >>> as_mask([[1, 1, 1]], None, (1, 3), None) is None
    True
    """
    if mask is None and (isinstance(given, Mapping) or hasattr(given, "input_ids")):
        mask = given.get("attention_mask")
    if mask is None:
        return None
    if not isinstance(mask, Tensor):
        mask = _tensor(mask, "mask")
    if tuple(mask.shape) != tuple(shape):
        raise ValueError(
            f"mask has shape {tuple(mask.shape)}: expected [batch={shape[0]}, token={shape[1]}], "
            f"{tuple(shape)} as these tokens"
        )
    mask = mask.to(device)
    shown = mask.bool()
    if not torch.equal(shown.to(mask.dtype), mask):
        raise ValueError(
            f"mask has values from {mask.min().item()} to {mask.max().item()}: expected True or 1 "
            "at tokens and False or 0 at padding"
        )
    hidden = (~shown.any(1)).nonzero().flatten().tolist()
    if hidden:
        raise ValueError(
            f"mask of shape {tuple(mask.shape)} hides every token of sequence {hidden[0]}: "
            "expected True where a token is (to write on, with all padding on the left)"
        )
    return None if shown.all() else shown


def given_types(types: object, given: object) -> object:
    """The token types that came with tokens: `types`, or else a tokenizer's "token_type_ids".

    >>> given_types(None, {"input_ids": [[5, 6]], "token_type_ids": [[0, 1]]})
    [[0, 1]]
    """
    if types is None and (isinstance(given, Mapping) or hasattr(given, "input_ids")):
        return given.get("token_type_ids")
    return types


def as_types(types: object, kinds: int, shape: tuple[int, int], device) -> Tensor | None:
    """Token types [batch, token] as a tensor of longs, for a model that knows `kinds` of them.

    None where every token is of type 0, which is what no types mean. Raises ValueError with the
    shapes for another shape than `shape`, for broken numbers, and for a type that the model does
    not know.

    >>> as_types([[0, 1]], 2, (1, 2), None)
    tensor([[0, 1]])
    """
    if types is None:
        return None
    if not isinstance(types, Tensor):
        types = _tensor(types, "types")
    if tuple(types.shape) != tuple(shape):
        raise ValueError(
            f"types have shape {tuple(types.shape)}: expected [batch={shape[0]}, "
            f"token={shape[1]}], {tuple(shape)} as these tokens"
        )
    given, types = types, types.to(device, torch.long)
    broken = given[types.to(given) != given]
    if len(broken):
        raise ValueError(f"token type {broken[0].item()}: expected whole numbers")
    low, high = int(types.min()), int(types.max())
    if low < 0 or high >= max(kinds, 1):
        known = f"0 to {kinds - 1}" if kinds else "none, so leave them out"
        raise ValueError(f"token type {low if low < 0 else high}: this model knows {known}")
    return types if high else None


def _tensor(values: object, name: str) -> Tensor:
    """Lists and arrays as a tensor; ValueError for sequences of several lengths."""
    if isinstance(values, (list, tuple)) and values and isinstance(values[0], Tensor):
        return torch.stack(tuple(values)) if len({v.shape for v in values}) == 1 else _ragged(name)
    try:
        array = np.asarray(values)
    except ValueError:
        return _ragged(name)
    if array.dtype == object:
        if isinstance(values, (list, tuple)):
            return _ragged(name)
        raise TypeError(
            f"{name} are a {type(values).__name__}: expected a tensor, an array or lists of whole "
            "numbers"
        )
    if array.dtype == np.uint16 or array.dtype == np.uint32 or array.dtype == np.uint64:
        array = array.astype(np.int64)
    try:
        return torch.from_numpy(np.array(array))  # a copy: arrays may be read-only
    except TypeError:
        raise TypeError(f"{name} have dtype {array.dtype}: expected whole numbers") from None


def _ragged(name: str) -> Tensor:
    raise ValueError(
        f"{name} are sequences of several lengths: pad them on the left and give mask=, or run "
        "them one by one"
    )
