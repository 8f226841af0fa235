"""What a probe needs: calling an answer safely, and sentences that name a mistake."""

import torch
from torch import Tensor


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
    """Call the answer on copies of the tensors among the arguments.

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
    return driver(answer, *arguments)


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
    """`value` if it is a finite tensor of floats of this shape; raises Mistake otherwise."""
    if value is None:
        raise Mistake("the function returns nothing: is there a return?")
    if not isinstance(value, Tensor):
        raise Mistake(f"a tensor is expected, and this is a {type(value).__name__}")
    if shape is not None and tuple(value.shape) != tuple(shape):
        raise Mistake(f"the shape is {tuple(value.shape)}, expected {tuple(shape)}")
    value = value.detach()
    if not value.isfinite().all():
        raise Mistake("there are NaN or infinite numbers in the result")
    return value


def expect_number(value) -> float:
    """`value` as a float if it is a finite number; raises Mistake otherwise."""
    if value is None:
        raise Mistake("the function returns nothing: is there a return?")
    if isinstance(value, Tensor) and value.numel() == 1:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Mistake(f"a number is expected, and this is a {type(value).__name__}")
    if value != value or value in (float("inf"), float("-inf")):
        raise Mistake(f"the result is {value}")
    return float(value)


def expect_close(actual, expected, mistake: str, rtol: float = 1e-4, atol: float = 1e-5):
    """Raise Mistake with this sentence unless the two agree."""
    if not agrees(torch.as_tensor(actual), torch.as_tensor(expected), rtol, atol):
        raise Mistake(mistake)


def agrees(a: Tensor, b: Tensor, rtol: float = 1e-4, atol: float = 1e-5) -> bool:
    """True for two tensors of one shape with nearly the same numbers, of whatever type.

    >>> agrees(torch.tensor([1, 2]), torch.tensor([1.0, 2.0])), agrees(torch.ones(2), torch.ones(1))
    (True, False)
    """
    return a.shape == b.shape and torch.allclose(a.double(), b.double(), rtol=rtol, atol=atol)


def normal(seed: int, *shape: int) -> Tensor:
    """Numbers from N(0, 1) that depend on the seed alone: shape.

    >>> torch.equal(normal(3, 2, 4), normal(3, 2, 4))
    True
    """
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.equal(a, b)
