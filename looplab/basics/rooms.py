"""A room that offers what its modules offer, so that adding a module means adding a file."""

import sys
from importlib import import_module
from pkgutil import iter_modules


def open_room(package: str) -> list[str]:
    """Import every module of a package and put the names in their `__all__` on the package itself.

    A package's `__init__` calls this with its own `__name__`; returns the names. Raises ImportError
    for a name that two modules offer, or that is a module's own.

    >>> import looplab.tasks
    >>> "find_root" in open_room("looplab.tasks")
    True
    """
    room = sys.modules[package]
    modules = [found.name for found in iter_modules(room.__path__)]
    offered: dict[str, str] = {}
    for name in modules:
        module = import_module(f"{package}.{name}")
        if hasattr(module, "__path__"):  # a room inside this one, which keeps what it offers
            continue
        for thing in getattr(module, "__all__", ()):
            if thing in offered or thing in modules:
                raise ImportError(
                    f"{package} would have {thing} twice, from {name} and "
                    f"{offered.get(thing, 'a module of this name')}: rename one of them"
                )
            offered[thing] = name
            setattr(room, thing, getattr(module, thing))
    return sorted(offered)
