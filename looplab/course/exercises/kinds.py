"""The kinds in which one and the same answer may come: tensor, array, list, number."""

import functools
from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy
import torch
from torch import Tensor


class Rough(float):
    """A number that came in few digits: `eps` is the rounding of its dtype."""

    eps: float

    def __new__(cls, value: float, eps: float):
        made = super().__new__(cls, value)
        made.eps = eps
        return made


def rounding(value: Any) -> float:
    """Relative rounding of a tensor or number, the coarsest of a container's; 0 for whole numbers.

    >>> rounding([torch.ones(2), torch.ones(1, dtype=torch.bfloat16)]), rounding(3)
    (0.0078125, 0.0)
    """
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return max(map(rounding, value), default=0.0)
    if isinstance(value, Tensor):
        return torch.finfo(value.dtype).eps if value.dtype.is_floating_point else 0.0
    return getattr(value, "eps", 0.0) if isinstance(value, Rough) else 0.0


def without_numpy(value: Any) -> Any:
    """The value with tensors in the place of NumPy's arrays and scalars, in containers too.

    >>> without_numpy((numpy.float32(2), [numpy.arange(2)], "x"))
    (tensor(2.), [tensor([0, 1])], 'x')
    """
    if isinstance(value, list | tuple) and type(value) in (list, tuple):
        return type(value)(without_numpy(item) for item in value)
    if isinstance(value, dict) and type(value) is dict:
        return {key: without_numpy(item) for key, item in value.items()}
    if isinstance(value, numpy.ndarray | numpy.generic) and value.dtype.kind in "biuf":
        kind, size = value.dtype.kind, value.dtype.itemsize
        plain = {"u": "int64", "i": f"int{8 * size}", "f": f"float{8 * min(size, 8)}", "b": "bool"}
        return torch.from_numpy(numpy.array(value, dtype=plain[kind], order="C"))
    return value


def as_tensor(value: Any) -> Any:
    """A tensor, where the value is an array, or a list of numbers or tensors of one shape.

    Anything else comes back as it is, a bare number too.

    >>> as_tensor([torch.ones(2), [3, 4]])
    tensor([[1., 1.],
            [3., 4.]])
    """
    value = without_numpy(value)
    if not isinstance(value, list | tuple) or not value:
        return value
    parts = [_number(as_tensor(item)) for item in value]
    if any(not isinstance(part, Tensor) or part.shape != parts[0].shape for part in parts):
        return value
    dtype = functools.reduce(torch.promote_types, (part.dtype for part in parts))
    return torch.stack([part.to(dtype) for part in parts])


def _number(value: Any) -> Any:
    """A Python number as a tensor that holds all its digits, unless it is too large for one."""
    if isinstance(value, bool) or (isinstance(value, int) and abs(value) < 2**63):
        return torch.tensor(value)
    return torch.tensor(value, dtype=torch.float64) if isinstance(value, float) else value


class Heard:
    """A function that keeps what it returned last, apart from None, and the dtype it was given."""

    def __init__(self, function: Callable):
        self.function, self.last, self.floats = function, None, []

    def __call__(self, *arguments, **keywords):
        result = self.function(*arguments, **keywords)
        if result is not None:
            self.last, self.floats = result, _floats(arguments, keywords)
        return result

    def differs_from(self, like: Any) -> bool:
        """True where `in_the_kind_of(like, ...)` would change the kind of the last result.

        >>> listening = Heard(lambda x: x.double())
        >>> (listening(torch.ones(2)), listening.differs_from(torch.ones(1)))[1]
        True
        """
        return _kind(self.last) != _kind(_convert(self.last, like, self.floats))


def heard(answer: Any) -> Any:
    """A plain function as a Heard; anything else as it is."""
    return Heard(answer) if isinstance(answer, FunctionType) else answer


def in_the_kind_of(like: Any, answer: Callable) -> Callable:
    """The answer, with results in the kind of `like`, and floats in that of its first floats.

    What goes on with them counts on it: a chapter runs on whichever answer passed.

    >>> in_the_kind_of(torch.ones(1), lambda x: x.double().numpy())(torch.tensor([2.0]))
    tensor([2.])
    """

    @functools.wraps(answer)
    def converted(*arguments, **keywords):
        return _convert(answer(*arguments, **keywords), like, _floats(arguments, keywords))

    return converted


def _floats(arguments: tuple, keywords: dict) -> list[torch.dtype]:
    """The dtype of the first tensor of floats among the arguments, in a list."""
    given = [one for one in (*arguments, *keywords.values()) if isinstance(one, Tensor)]
    return [one.dtype for one in given if one.dtype.is_floating_point][:1]


def _kind(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return type(value), [_kind(item) for item in value]
    return value.dtype if isinstance(value, Tensor) else type(value)


def _convert(value: Any, like: Any, floats: list[torch.dtype]) -> Any:
    value = as_tensor(value) if isinstance(like, Tensor) else without_numpy(value)
    if isinstance(like, Tensor):
        value = _number(value)
        if not isinstance(value, Tensor):
            return value
        return value.to((floats or [like.dtype])[0] if like.dtype.is_floating_point else like.dtype)
    if isinstance(like, tuple) and isinstance(value, tuple | list | Tensor):
        return tuple(_convert(*pair, floats) for pair in zip(value, like, strict=False))
    if type(like) in (bool, int, float) and isinstance(value, bool | int | float | Tensor):
        return type(like)(value.item() if isinstance(value, Tensor) else value)
    return value
