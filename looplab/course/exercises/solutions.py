"""looplab's own answers, read from the chapters' sources, where each is written once."""

import ast
import builtins
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

CHAPTERS = Path(__file__).resolve().parents[3] / "chapters" / "source"
STUB = re.compile(r"^ *# --- stub\n.*?^ *# --- end\n", re.M | re.S)


@cache
def solution(id: str) -> Callable:
    """The solution that the answer cell of an exercise holds in its chapter's source.

    It runs with those imports of the set-up cell that it names, and with nothing else of the
    chapter. Raises ValueError for an exercise without a solution, or whose solution needs more.

    >>> solution("00.1")(3, 2)
    6
    """
    return run(id, *code_of(id))


def run(id: str, code: ast.Module, name: str) -> Callable:
    """What a solution's code defines under this name."""
    space = {"__name__": f"looplab's solution of {id}"}
    exec(compile(code, f"<looplab's solution of {id}>", "exec"), space)
    return space[name]


def code_of(id: str) -> tuple[ast.Module, str]:
    """The code of a solution, with the imports that it names, and the name that it defines.

    >>> code_of("00.1")[1]
    'layers_run'
    """
    cells = _cells(id.split(".")[0])
    answer = next((text for head, text in cells if f'role="answer" ex="{id}"' in head), None)
    named = [re.search(rf'^(\w+) = check\("{re.escape(id)}", ', text, re.M) for _, text in cells]
    names = [match[1] for match in named if match]
    if answer is None or len(names) != 1:
        raise ValueError(f"no solution of {id!r}: expected its answer and its check in {CHAPTERS}")
    tree = ast.parse(STUB.sub("", answer))
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    set_up = next(text for head, text in cells if 'id="set-up"' in head)
    code = ast.Module([*_imports(set_up, used), *tree.body], type_ignores=[])
    if lacking := used - _bound(code) - set(dir(builtins)):
        raise ValueError(
            f"the solution of {id} names {', '.join(sorted(lacking))}, which is no import of the "
            "set-up cell: write its reference by hand"
        )
    return code, names[0]


@cache
def _cells(chapter: str) -> list[tuple[str, str]]:
    """(head, text) of each cell of a chapter's source; [] for a chapter without a source."""
    source = next(CHAPTERS.glob(f"{chapter}_*.py"), None)
    text = source.read_text(encoding="utf-8") if source else ""
    return [(cell.partition("\n")[0], cell.partition("\n")[2]) for cell in text.split("\n# %% ")]


def _imports(set_up: str, used: set[str]) -> list[ast.stmt]:
    """The imports of a cell, with those of their names that are used."""
    kept = []
    for line in ast.parse(set_up).body:
        if isinstance(line, ast.Import | ast.ImportFrom):
            line.names = [one for one in line.names if (one.asname or one.name) in used]
            kept += [line] if line.names else []
    return kept


def _bound(code: ast.Module) -> set[str]:
    """Every name that the code binds somewhere."""
    found = set()
    for node in ast.walk(code):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.alias):
            found.add(node.asname or node.name)
    return found
