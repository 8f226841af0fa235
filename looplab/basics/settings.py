"""Settings as plain values: their defaults, and in what two sets of them differ."""

from dataclasses import MISSING, fields


def defaults(kind: type) -> dict:
    """Settings of a dataclass that have a default, at that default.

    >>> from looplab import LoopedConfig
    >>> defaults(LoopedConfig)["norm"], "vocab" in defaults(LoopedConfig)
    ('pre', False)
    """
    return {one.name: one.default for one in fields(kind) if one.default is not MISSING}


def describe_differences(there: dict, here: dict) -> str:
    """A clause for every setting that differs, in groups of settings too; empty if none does.

    >>> describe_differences({"recipe": {"lr": 0.002}, "task": "a"}, {"recipe": {"lr": 0.1}})
    "lr is 0.002 there and 0.1 here; task is 'a' there and None here"
    """
    found = []
    for name in sorted({*there, *here}):
        one, other = there.get(name), here.get(name)
        if isinstance(one, dict) and isinstance(other, dict):
            found.append(describe_differences(one, other))
        elif one != other:
            found.append(f"{name} is {one!r} there and {other!r} here")
    return "; ".join(filter(None, found))
