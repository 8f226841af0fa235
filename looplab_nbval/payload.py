"""What a check hands to a grader, and when two such are the same; imports nothing heavy."""

import math
from typing import Any

MIME = "application/vnd.looplab.check+json"


def close(a: Any, b: Any, rtol: float = 1e-3, atol: float = 1e-5) -> bool:
    """True when two plain values have the same structure and nearly the same numbers.

    >>> close({"x": [1.0, 2]}, {"x": [1.0001, 2]}), close([1.0], [1.0, 1.0])
    (True, False)
    """
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(close(a[k], b[k], rtol, atol) for k in b)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(close(x, y, rtol, atol) for x, y in zip(a, b, strict=True))
    numbers = (int, float)
    if isinstance(a, numbers) and isinstance(b, numbers) and not isinstance(a, bool):
        return math.isclose(a, b, rel_tol=rtol, abs_tol=atol)
    return type(a) is type(b) and a == b
