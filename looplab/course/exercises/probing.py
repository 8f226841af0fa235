"""What a probe needs: calling an answer safely, and sentences that name a mistake."""

import hashlib

import torch
from torch import Tensor

from looplab.course.exercises.kinds import Rough, as_tensor, rounding, without_numpy

FLOAT32 = torch.finfo(torch.float32).eps


class Mistake(Exception):
    """A named mistake; the learner reads its text: it says what to look at, not the fix."""


class NotAttempted(Exception):
    """The stub is still in place."""


class _Todo:
    """`todo()` in a function, or `answer = todo` for a value: not attempted yet."""

    def __call__(self, *args, **kwargs):
        raise NotAttempted

    def __repr__(self):
        return "todo"


todo = _Todo()


class Elsewhere:
    """An answer that lives in another process: a grader calls it there.

    `run(driver, *arguments)` returns what `driver(answer, *arguments)` returns over there.
    """

    def run(self, driver, *arguments):
        raise NotImplementedError

    def __call__(self, *arguments, **keywords):
        return self.run(_call, arguments, keywords)


def ask(answer, *arguments, **keywords):
    """Call the answer on copies of the tensors among the arguments; arrays come back as tensors.

    Raises Mistake if the answer is not callable or writes into a tensor it was given.
    """
    if not callable(answer):
        raise Mistake(f"a function is expected here, and this is a {type(answer).__name__}")
    return watch(answer, _call, arguments, keywords)


def watch(answer, driver, *arguments):
    """What `driver(answer, *arguments)` returns: for probes that have to watch an answer at work.

    While a notebook is graded the probe runs outside of the learner's process, and the driver is
    sent there with its arguments. So it holds nothing that the learner is asked for, and it
    returns all that the probe wants to know: tensors and plain values, not functions or graphs.
    """
    if isinstance(answer, Elsewhere):
        return answer.run(driver, *arguments)
    return without_numpy(driver(answer, *arguments))


def _call(answer, arguments, keywords):
    def copy(value):
        return value.clone() if type(value) is Tensor and not value.requires_grad else value

    given = [copy(value) for value in arguments]
    named = {name: copy(value) for name, value in keywords.items()}
    result = answer(*given, **named)
    pairs = [*zip(arguments, given, strict=True)]
    pairs += [(keywords[name], named[name]) for name in keywords]
    for before, after in pairs:
        if type(before) is Tensor and not _same(before, after):
            raise Mistake(
                "the function changes the tensor it is given: work on a new one, "
                "without operations that end in _ or assign into it"
            )
    return result


def expect_tensor(value, shape: tuple | None = None) -> Tensor:
    """`value` as a tensor without NaN or infinities, of this shape; raises Mistake otherwise.

    An array will do, and a list of equal parts; a number where no axes are asked for.

    >>> expect_tensor([torch.ones(2), torch.zeros(2)], (2, 2))
    tensor([[1., 1.],
            [0., 0.]])
    """
    if value is None:
        raise Mistake("the function returns nothing: is there a return?")
    value = as_tensor(value)
    if shape == () and isinstance(value, bool | int | float):
        value = torch.tensor(value, dtype=torch.float64 if isinstance(value, float) else None)
    if not isinstance(value, Tensor) or value.is_complex():
        raise Mistake(f"a tensor is expected, and this is a {_kind(value)}")
    if shape is not None and tuple(value.shape) != tuple(shape):
        raise Mistake(f"the shape is {tuple(value.shape)}, expected {tuple(shape)}")
    value = value.detach()
    if not value.isfinite().all():
        raise Mistake("there are NaN or infinite numbers in the result")
    return value


def expect_whole(value, shape: tuple | None = None) -> Tensor:
    """As expect_tensor, of whole numbers, in whatever dtype they came: int64.

    >>> expect_whole([1.0, 2.0])
    tensor([1, 2])
    """
    value = expect_tensor(value, shape)
    if not torch.equal(value, (whole := value.double().round().long()).to(value.dtype)):
        odd = value[value != value.double().round()].flatten()[0].item()
        raise Mistake(f"whole numbers are expected, and there is {odd:.4g} among them")
    return whole


def expect_bools(value, shape: tuple | None = None) -> Tensor:
    """As expect_tensor, of true and false (1 and 0 will do): bool."""
    value = expect_tensor(value, shape)
    if not ((value == 0) | (value == 1)).all():
        raise Mistake("true or false is expected, and there are other numbers in the result")
    return value.bool()


def expect_number(value) -> float:
    """`value` as a float if it is a finite number; raises Mistake otherwise.

    >>> expect_number(torch.tensor([2.5]))
    2.5
    """
    if value is None:
        raise Mistake("the function returns nothing: is there a return?")
    value, eps = without_numpy(value), 0.0
    if isinstance(value, Tensor) and value.numel() == 1:
        value, eps = value.item(), rounding(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Mistake(f"a number is expected, and this is a {_kind(value)}")
    if value != value or value in (float("inf"), float("-inf")):
        raise Mistake(f"the result is {value}")
    return Rough(value, eps) if eps > FLOAT32 else float(value)


def expect_int(value) -> int:
    """`value` as an int if it is one whole number; raises Mistake otherwise.

    >>> expect_int(torch.tensor(3)), expect_int(3.0)
    (3, 3)
    """
    if isinstance(value := without_numpy(value), Tensor) and value.dim():
        raise Mistake(f"one whole number is expected, and this is a {_kind(value)}")
    number = expect_number(value)
    if number % 1:
        raise Mistake(f"a whole number is expected, and this is {number:.4g}")
    return int(number)


def _kind(value) -> str:
    """What a value is, in words: 'list', 'tensor of shape (2, 3)'."""
    if not isinstance(value, Tensor):
        return type(value).__name__
    if value.is_complex():
        return "tensor of complex numbers"
    return f"tensor of shape {tuple(value.shape)}"


def expect_close(actual, expected, mistake: str, rtol: float = 1e-4, atol: float = 1e-5):
    """Raise Mistake with this sentence unless the two agree."""
    if not agrees(actual, expected, rtol, atol):
        raise Mistake(mistake)


def expect_right(actual, right, named: dict, otherwise: str, rtol=1e-4, atol=1e-5):
    """Raise the Mistake of `named` (sentence -> wrong numbers) that explains what is not right.

    What agrees with the right numbers passes; what agrees with none of them gets `otherwise`.
    """
    if agrees(actual, right, rtol, atol):
        return
    for mistake, wrong in named.items():
        if agrees(actual, wrong, rtol, atol):
            raise Mistake(mistake)
    raise Mistake(otherwise)


def agrees(a, b, rtol: float = 1e-4, atol: float = 1e-5) -> bool:
    """True for two of one shape with nearly the same numbers, of whatever type.

    Numbers in half precision may differ by its rounding.

    >>> agrees(torch.tensor([1, 2]), [1.0, 2.0]), agrees(torch.ones(2), torch.ones(1))
    (True, False)
    >>> agrees(torch.tensor(1.003, dtype=torch.bfloat16), 1.003)
    True
    """
    eps = max(rounding(a), rounding(b))
    a, b = (torch.as_tensor(as_tensor(value)).double() for value in (a, b))
    if a.shape != b.shape:
        return False
    if eps > FLOAT32 and b.numel():
        rtol, atol = max(rtol, 4 * eps), max(atol, 4 * eps * b.abs().max().item())
    return torch.allclose(a, b, rtol=rtol, atol=atol)


def normal(seed: int, *shape: int) -> Tensor:
    """Numbers from N(0, 1) that depend on the seed alone: shape.

    >>> torch.equal(normal(3, 2, 4), normal(3, 2, 4))
    True
    """
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def derived(seed: int) -> int:
    """A seed for what is sent to a learner's process, which does not show the one it stems from.

    With the seed of a class an answer could draw the hidden inputs itself. 0 is everybody's.

    >>> derived(0), derived(3) == derived(3), derived(3) == 3
    (0, True, False)
    """
    return seed and int.from_bytes(hashlib.sha256(f"looplab {seed}".encode()).digest()[:7])


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and bool(((a == b) | (a.isnan() & b.isnan())).all())
