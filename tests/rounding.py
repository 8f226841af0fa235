"""How far two runs of the same arithmetic may lie apart, whatever processor they ran on.

Another processor, number of threads or shape of a batch adds the same numbers up in another order
and with other instructions, and each sum then rounds otherwise. How much depends on the arithmetic
alone: a sum of n terms of either sign, taken in two orders, differs by about 0.3 sqrt(n) eps of a
typical result, where eps is the spacing of its dtype at 1. For the 16 to 300 terms of the models
under test this is 1 to 5 eps of a typical result, and so about one eps of the largest result of a
tensor, which is some three times a typical one. Sums in a row add their shares; a norm,
a softmax or an activation between two of them passes the share on.
"""

import torch
from torch import Tensor
from torch.testing import assert_close

LAYER = 8  # sums in a row in one layer: norm, product, mix, product; norm, product, product, stream


def assert_rounds_to(
    actual: Tensor, expected: Tensor, sums: int, scale: float | None = None, what: str = ""
) -> None:
    """Assert that two tensors differ by the rounding of `sums` sums in a row at the most.

    The bound is sums * eps * scale, with the eps of the coarser dtype of the two. `scale` is the
    size of what was added: the largest magnitude in `expected` unless it is given, as it must be
    where larger numbers cancel. A failure begins with `what`.
    """
    dtype = min(actual.dtype, expected.dtype, key=lambda one: torch.finfo(one).bits)
    if scale is None:
        scale = expected.detach().abs().max().item()
    bound = sums * torch.finfo(dtype).eps * scale
    told = f"{what}: rounding of {sums} sums of numbers up to {scale:.3g}. "
    assert_close(
        actual, expected, rtol=0, atol=bound, check_dtype=False, msg=lambda said: told + said
    )
