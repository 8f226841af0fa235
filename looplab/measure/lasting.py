"""From which loop on does something hold for good?"""

import torch
from torch import Tensor

__all__ = ["lasting_from"]


def lasting_from(right: Tensor) -> Tensor:
    """First loop from which `right` holds to the end of the run, 0 where it does not: the oracle.

    [loop, ...] of bool -> [...], whole numbers. It depends on where the run ends: an answer that is
    lost at loop 30 lasts in a run of 20.

    >>> lasting_from(torch.tensor([True, False, True, True]))
    tensor(3)
    """
    order = torch.arange(1, len(right) + 1, device=right.device)
    order = order.view(-1, *[1] * (right.dim() - 1))
    first = torch.where(right, 0, order).amax(0) + 1
    return torch.where(first > len(right), 0, first)
