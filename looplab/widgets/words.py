"""Numbers in words, written in Python as the browser writes them (js/numbers.js)."""

import math


def number(x: float) -> str:
    """Two significant digits.

    >>> number(0.0314), number(0.00314), number(12.3), number(0)
    ('0.031', '3.1e-3', '12', '0')
    """
    if not math.isfinite(x):
        return "–"
    if x == 0:
        return "0"
    if 0.01 <= x < 99.5:
        return f"{x:#.2g}".rstrip(".")
    digits, exponent = f"{x:.1e}".split("e")
    return f"{digits}e{int(exponent):+d}"


def percent(share: float) -> str:
    """A share in whole per cent.

    >>> percent(0.125)
    '13 %'
    """
    return f"{math.floor(share * 100 + 0.5)} %"


def visible(word: str) -> str:
    """A token as it can be read: without the space in front, line breaks as a sign.

    >>> visible(" loop"), visible("\\n"), visible(" ")
    ('loop', '⏎', '␣')
    """
    return word.replace("\n", "⏎").strip(" ") or "␣"
