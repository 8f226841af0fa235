"""The house is as docs/architecture.md draws it: rooms, arrows, no circles, nobody's privates."""

import ast
import importlib
import re
import subprocess
import sys

import house
import pytest

PAGE = (house.ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
# A row of the page's table of rooms: | `room` | what is in it | imports |
ROW = re.compile(r"^\| `([\w/]+)` \|.*\|([^|]*)\|$", re.M)
# Public by their documentation, whatever they look like.
PUBLIC = {"_replace", "_asdict", "_fields", "_exit", "_current_frames"}


def drawn() -> dict[str, list[str]]:
    """Rooms in the page's order, each with the rooms that it may import."""
    return {name: re.findall(r"`([\w/]+)`", said) for name, said in ROW.findall(PAGE)}


def test_the_page_has_every_room_and_no_other():
    assert set(drawn()) == {house.room(name) for name in house.modules()} - {"door", "course"}


def test_the_page_has_every_arrow_and_no_other():
    said = {(room, other) for room, others in drawn().items() for other in others}
    there = {arrow for arrow in house.arrows() if "course" not in arrow}
    new = sorted(f"{a} -> {b}" for a, b in there - said)
    gone = sorted(f"{a} -> {b}" for a, b in said - there)
    assert not new, f"docs/architecture.md does not have these arrows: {new}"
    assert not gone, f"docs/architecture.md has arrows that nothing needs: {gone}"


def test_a_room_imports_only_rooms_that_stand_above_it_on_the_page():
    order = {room: n for n, room in enumerate(drawn())}
    upward = [(a, b) for a, b in house.arrows() if "course" not in (a, b) and order[b] >= order[a]]
    assert not upward


def test_the_library_knows_nothing_of_the_course():
    wrong = [
        (name, other)
        for name in house.modules()
        if name.startswith("looplab.") and not house.room(name).startswith(("course", "door"))
        for other in house.imports(name)
        if house.room(other).startswith(("course", "door", "looplab_nbval"))
    ]
    assert not wrong


def test_no_modules_import_each_other_in_a_circle():
    graph = {name: house.imports(name) for name in house.modules() if name not in house.DOORS}
    assert house.circle(graph) == []


def private(module: str) -> list[str]:
    """Names with one underscore that a module takes from elsewhere."""
    tree, wrong = house.modules()[module], []
    own = {node.name for node in ast.walk(tree) if hasattr(node, "name")}
    own |= {
        node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and is_own(node)
    }
    own |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("looplab"):
            wrong += [alias.name for alias in node.names if hidden(alias.name)]
        asked = isinstance(node, ast.Attribute) and hidden(node.attr) and not is_own(node)
        if asked and node.attr not in own | PUBLIC:
            wrong.append(f"line {node.lineno}: {ast.unparse(node)}")
    return wrong


def hidden(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def is_own(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")


@pytest.mark.parametrize("module", sorted(house.modules()))
def test_nobody_reaches_for_anothers_privates(module):
    assert private(module) == []


@pytest.mark.parametrize("module", ["measure._at", "x = model._check(1)", "type(x)._make()"])
def test_a_private_call_would_be_found(module, monkeypatch):
    monkeypatch.setattr(house, "modules", lambda: {"m": ast.parse(module)})
    assert private("m")


def test_no_function_shadows_a_module():
    shadowed = []
    for name in house.modules():
        package, _, last = name.rpartition(".")
        if package and name not in house.DOORS and last != "__main__":
            module = importlib.import_module(name)
            if getattr(importlib.import_module(package), last) is not module:
                shadowed.append(name)
    assert not shadowed


HOOKS = """
import builtins, importlib, signal, sys, threading, warnings
from nbval import plugin

def hooks():
    return [
        list(sys.meta_path), list(sys.path_hooks), sys.excepthook, sys.displayhook,
        threading.excepthook, builtins.__import__, builtins.open, warnings.showwarning,
        signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM),
        signal.getsignal(getattr(signal, "SIGALRM", signal.SIGINT)),
        plugin.IPyNbCell.compare_outputs, plugin.RunningKernel,
    ]

import torch, numpy, matplotlib, ipywidgets, anywidget, jupytext, nbformat, nbclient, six
before = hooks()
for name in sys.argv[1:]:
    importlib.import_module(name)
assert hooks() == before, [a for a, b in zip(before, hooks()) if a != b]
"""


def test_importing_a_module_installs_no_hook(monkeypatch):
    monkeypatch.setenv("LOOPLAB_GRADER", "/nowhere")  # as where a notebook is graded
    names = [name for name in house.modules() if not name.endswith("__main__")]
    done = subprocess.run([sys.executable, "-c", HOOKS, *names], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
