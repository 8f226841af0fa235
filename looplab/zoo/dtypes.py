"""What a model can be run in, by the names that people give it."""

import torch

DTYPES = {name: getattr(torch, name) for name in ("float32", "bfloat16", "float16", "float64")}


def as_dtype(given: torch.dtype | str | None) -> torch.dtype | None:
    """A dtype from itself or its name, with or without "torch."; None stays None.

    Raises ValueError naming the known ones.

    >>> as_dtype("bfloat16"), as_dtype(torch.float32)
    (torch.bfloat16, torch.float32)
    """
    if given is None or given in DTYPES.values():
        return given
    name = given.removeprefix("torch.") if isinstance(given, str) else None
    if name not in DTYPES:
        raise ValueError(f"dtype={given!r}: expected one of {', '.join(DTYPES)}, or None")
    return DTYPES[name]
