"""The house as its code stands: modules, the rooms they are in, and which room imports which."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Front doors: they name both wings and hold nothing.
DOORS = ("looplab", "looplab.__main__", "looplab.cli", "looplab.exercises", "looplab.passport")


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of the project by its dotted name, parsed; packages without `__init__`."""
    found = {}
    for package in ("looplab", "looplab_nbval"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return found


def room(module: str) -> str:
    """The room that a module is in.

    >>> room("looplab.zoo.loading"), room("looplab.course.site.pages"), room("looplab.cli")
    ('zoo', 'course/site', 'door')
    """
    if module in DOORS:
        return "door"
    parts = module.split(".")
    if parts[0] == "looplab_nbval":
        return "looplab_nbval"
    return "/".join(parts[1 : 3 if parts[1] == "course" else 2])


def imports(module: str) -> set[str]:
    """Modules of the project that a module imports anywhere in it, but not its own package."""
    known, found = modules(), set()
    for node in ast.walk(known[module]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                inside = f"{node.module}.{alias.name}"
                found.add(inside if inside in known else node.module)
    return {name for name in found if name in known and name != module}


def arrows() -> set[tuple[str, str]]:
    """(room, room that it imports), without the doors."""
    found = {(room(name), room(other)) for name in modules() for other in imports(name)}
    return {(a, b) for a, b in found if a != b and "door" not in (a, b)}


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Names that lead back to the first of them; [] where there are none."""
    done: set[str] = set()

    def follow(name, path):
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        for other in sorted(graph.get(name, ())):
            if found := follow(other, [*path, name]):
                return found
        done.add(name)
        return []

    return next(filter(None, (follow(name, []) for name in sorted(graph))), [])
