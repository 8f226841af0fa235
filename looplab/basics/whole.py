"""Whole numbers: counts of layers, loops, steps."""

from numbers import Integral


def is_whole(value: object, least: int | None = None) -> bool:
    """Whether `value` is a whole number of at least `least`, NumPy's included; a bool is none.

    >>> is_whole(3), is_whole(3, 4), is_whole(3.0), is_whole(True)
    (True, False, False, False)
    """
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    return whole and (least is None or value >= least)


def whole_number(name: str, value: object, least: int) -> int:
    """`value` as an int; ValueError naming the setting unless it is whole and at least `least`.

    >>> whole_number("loops", 0, 1)
    Traceback (most recent call last):
    ValueError: loops=0: expected a whole number of at least 1
    """
    if not is_whole(value, least):
        raise ValueError(f"{name}={value!r}: expected a whole number of at least {least}")
    return int(value)
