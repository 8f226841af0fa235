"""Refuse what would not fit, before it is begun."""


def check_bytes(what: str, sizes: dict[str, int], max_bytes: int, advice: str) -> None:
    """Raise MemoryError, naming all `sizes` in bytes and the `advice`, when they exceed the limit.

    >>> check_bytes("this trace", {"states": 3 * 2**20}, 2**20, "run fewer loops")
    Traceback (most recent call last):
    MemoryError: this trace would take 3 MiB (states 3 MiB), more than 1 MiB: run fewer loops, or \
raise max_bytes=1048576
    """
    total = sum(sizes.values())
    if total > max_bytes:
        parts = ", ".join(f"{name} {size / 2**20:.0f} MiB" for name, size in sizes.items())
        raise MemoryError(
            f"{what} would take {total / 2**20:.0f} MiB ({parts}), more than "
            f"{max_bytes / 2**20:.0f} MiB: {advice}, or raise max_bytes={max_bytes}"
        )
