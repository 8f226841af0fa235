"""Numbers on the wire: quantised once, sent once, read the same way here and in the browser."""

import numpy as np


def pack(channels: dict[str, tuple[np.ndarray, int]]) -> tuple[bytes, dict[str, list]]:
    """Quantise named arrays; each comes with the bytes per number it is worth, 1 or 2.

    Returns the bytes and a JSON-able layout: name -> [offset, bytes per number, shape, low, step].
    A value is `low + code * step`; the highest code stands for a missing value (NaN or infinite).
    The error is at most half a step, (largest - smallest) / 508 or / 131068.

    >>> data, layout = pack({"p": (np.array([0.0, 0.5, 1.0, np.nan]), 1)})
    >>> unpack(data, layout)["p"].round(2)
    array([0. , 0.5, 1. , nan])
    """
    parts, layout, offset = [], {}, 0
    # Two-byte numbers first, so that each starts at an even offset.
    for name in sorted(channels, key=lambda n: -channels[n][1]):
        values, size = channels[name]
        values = np.asarray(values, dtype=np.float64)
        top = 256**size - 1
        known = np.isfinite(values)
        low = float(values[known].min()) if known.any() else 0.0
        high = float(values[known].max()) if known.any() else 0.0
        step = (high - low) / (top - 1) or 1.0
        # Whole numbers (answers, categories) go through unchanged wherever they fit.
        if float(low).is_integer() and high - low < top and not np.any(values[known] % 1):
            step = 1.0
        codes = np.full(values.shape, top, dtype=f"<u{size}")
        codes[known] = np.rint((values[known] - low) / step)
        layout[name] = [offset, size, list(values.shape), low, step]
        parts.append(codes.tobytes())
        offset += codes.nbytes
    return b"".join(parts), layout


def unpack(data: bytes, layout: dict[str, list]) -> dict[str, np.ndarray]:
    """Inverse of `pack`, in float64: exactly the numbers that the browser draws."""
    arrays = {}
    for name, (offset, size, shape, low, step) in layout.items():
        codes = np.frombuffer(data, f"<u{size}", int(np.prod(shape)), offset).reshape(shape)
        arrays[name] = np.where(codes == 256**size - 1, np.nan, low + codes * step)
    return arrays
