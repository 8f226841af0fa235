"""Numbers in words."""

from math import floor, log10


def share(value: float) -> str:
    """A share as per cent, never rounded up to all or down to none.

    >>> share(1.0), share(0.9996), share(0.3333), share(0.0004), share(0.0)
    ('100 %', '99.9 %', '33 %', '0.1 %', '0 %')
    """
    per_cent = 100 * value
    if per_cent in (0, 100):
        return f"{per_cent:.0f} %"
    if 1 <= per_cent <= 99:
        return f"{per_cent:.0f} %"
    return f"{min(max(per_cent, 0.1), 99.9):.1f} %"


def number(value: float | None, digits: int = 2) -> str:
    """A number with so many digits that count; "-" for none.

    >>> number(0.03456), number(None), number(1234.0), number(1.9e-7)
    ('0.035', '-', '1200', '1.9e-07')
    """
    if value is None:
        return "-"
    said = f"{value:.{digits}g}"
    if "e" in said and 1 <= abs(value) < 1e6:
        return f"{float(said):.0f}"
    return said


def plural(count: int, what: str) -> str:
    """A count and its noun.

    >>> plural(1, "loop"), plural(3, "loop")
    ('1 loop', '3 loops')
    """
    return f"{count} {what}{'' if count == 1 else 's'}"


def with_error(value: float, error: float) -> str:
    """A number and its standard error, with the digits that the error leaves.

    >>> with_error(0.3814, 0.0113), with_error(-1e-7, 1e-9), with_error(2.0, 0.0)
    ('0.381 ± 0.011', '-1e-07 ± 1e-09', '2 ± 0')
    """
    if not error > 0:
        return f"{value:.3g} ± 0"
    if error < 1e-5:
        return f"{value:.2g} ± {error:.2g}"
    digits = max(0, 1 - floor(log10(error)))
    return f"{value:.{digits}f} ± {error:.{digits}f}"
