"""What measurements are given: states and patterns of the right shape, and one state of a run."""

import torch
from torch import Tensor


def precise(values: Tensor) -> Tensor:
    """Numbers in what measurements are made in: float32 at least, whatever they come in.

    Differences of half-precision states lose what little they have when taken in that precision.

    >>> precise(torch.ones(1, dtype=torch.bfloat16)).dtype, precise(torch.ones(1).double()).dtype
    (torch.float32, torch.float64)
    """
    return values.to(torch.promote_types(values.dtype, torch.float32))


def check_states(states: Tensor, least: int = 2, wanted: str = "two loops or more") -> None:
    """ValueError unless `states` are [loop, ..., width] with at least `least` loops.

    >>> check_states(torch.zeros(2, 8))
    """
    if states.dim() < 2 or len(states) < least:
        raise ValueError(
            f"states have shape {tuple(states.shape)}: expected [loop, ..., width] with {wanted}"
        )


def state_at(states: Tensor, limit: int | None) -> Tensor:
    """The state after recurrence `limit`, counted from 1, None meaning the last: [...].

    Raises ValueError for a recurrence outside `states` [loop, ...].

    >>> state_at(torch.tensor([8.0, 4.0, 2.0]), 2)
    tensor(4.)
    """
    if limit is None:
        return states[-1]
    if not 1 <= limit <= len(states):
        raise ValueError(
            f"limit={limit}: these states cover recurrences 1 to {len(states)}; "
            "trace more loops or choose a smaller limit"
        )
    return states[limit - 1]


def check_patterns(attention: Tensor, dims: int = 2, shape: str = "[..., token, token]") -> None:
    """ValueError unless `attention` has at least `dims` axes and ends in [token, token].

    >>> check_patterns(torch.eye(3))
    """
    if attention.dim() < dims or attention.shape[-1] != attention.shape[-2]:
        raise ValueError(
            f"attention has shape {tuple(attention.shape)}: expected {shape}, such as "
            'trace(model, tokens, keep=("attention",)).attention'
        )
