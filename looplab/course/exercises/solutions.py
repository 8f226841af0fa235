"""looplab's own answers, read from the chapters' sources, where each is written once."""

import ast
import builtins
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

CHAPTERS = Path(__file__).resolve().parents[3] / "chapters" / "source"
ANSWER = re.compile(r'role="answer" ex="([^"]+)"')
CHECK = re.compile(r'^(\w+) = check\("([^"]+)", ', re.M)
STUB = re.compile(r"^ *# --- stub\n.*?^ *# --- end\n", re.M | re.S)


@cache
def solution(id: str) -> Callable:
    """The solution that the answer cell of an exercise holds in its chapter's source.

    It runs with those imports of the set-up cell that it names and with the chapter's earlier
    answers, and with nothing else of the chapter. Raises ValueError for an exercise without a
    solution, or whose solution needs more.

    >>> solution("00.1")(3, 2)
    6
    """
    return run(id, *code_of(id))


def run(id: str, code: ast.Module, name: str) -> Callable:
    """What a solution's code defines under this name."""
    others = {other: solution(its) for other, its in _others(id).items() if other in _names(code)}
    space = {"__name__": f"looplab's solution of {id}", **others}
    exec(compile(code, f"<looplab's solution of {id}>", "exec"), space)
    return space[name]


def code_of(id: str) -> tuple[ast.Module, str]:
    """The code of a solution, with the imports that it names, and the name that it defines.

    >>> code_of("00.1")[1]
    'layers_run'
    """
    cells = next((c for c in _chapters(id.split(".")[0]) if id in _answered(c)), [])
    answer = next((text for head, text in cells if ANSWER.findall(head) == [id]), None)
    named = [re.search(rf'^(\w+) = check\("{re.escape(id)}", ', text, re.M) for _, text in cells]
    names = [match[1] for match in named if match]
    if answer is None or len(names) != 1:
        raise ValueError(f"no solution of {id!r}: expected its answer and its check in {CHAPTERS}")
    tree = ast.parse(STUB.sub("", answer))
    used = _names(tree)
    set_up = next(text for head, text in cells if 'id="set-up"' in head)
    code = ast.Module([*_imports(set_up, used), *tree.body], type_ignores=[])
    if lacking := used - _bound(code) - _others(id).keys() - set(dir(builtins)):
        raise ValueError(
            f"the solution of {id} names {', '.join(sorted(lacking))}, which is no import of the "
            "set-up cell and no other answer: write its reference by hand"
        )
    return code, names[0]


def given(notebook: str, cell: str) -> str:
    """The text of one cell of a chapter's source, named by its id; "" where there is none.

    >>> given("01", "block-class").splitlines()[0]
    'class Block(nn.Module):'
    """
    cells = (pair for path in CHAPTERS.glob(f"{notebook}_*.py") for pair in _cells(path))
    return next((text for head, text in cells if f'id="{cell}"' in head), "")


def answered_in(notebook: str) -> list[str]:
    """The exercises whose answer cells stand in the source of a notebook such as "05b", in order.

    >>> answered_in("00")
    ['00.1', '00.2']
    """
    return [id for path in CHAPTERS.glob(f"{notebook}_*.py") for id in _answered(_cells(path))]


def _others(id: str) -> dict[str, str]:
    """The answers that the checks in front of this exercise hand on: name -> exercise."""
    cells = next((c for c in _chapters(id.split(".")[0]) if id in _answered(c)), [])
    checks = [found for _, text in cells for found in CHECK.findall(text)]
    return dict(checks[: [its for _, its in checks].index(id)])


def _names(code: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(code) if isinstance(node, ast.Name)}


def _answered(cells: list[tuple[str, str]]) -> list[str]:
    return [id for head, _ in cells for id in ANSWER.findall(head)]


def _chapters(number: str) -> list[list[tuple[str, str]]]:
    """The cells of each source of a chapter: of two where it has two halves."""
    return [_cells(path) for path in sorted(CHAPTERS.glob(f"{number}*_*.py"))]


@cache
def _cells(source: Path) -> list[tuple[str, str]]:
    """(head, text) of each cell of a source."""
    text = source.read_text(encoding="utf-8")
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
