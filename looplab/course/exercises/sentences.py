"""The sentences in which checks name mistakes, read from where they are written.

A check may look at an answer in the learner's own process and name the mistake from there. There
anybody can raise a `Mistake`, with any words: what no check says is not one.
"""

import ast
import re
from functools import cache
from pathlib import Path

SHORTEST = 12  # characters that a sentence has of its own, besides what is filled in
# What may stand in the place of a value: numbers and names in a line, and no four words of text.
FILLED = r"(?:(?!(?:[^\W\d_]+\W+){3}[^\W\d_])[^\n]){0,60}"


def says(checks: Path, text: str) -> bool:
    """True where this text is one that a file of checks, or what they share, may say.

    >>> from looplab.course.exercises import probing
    >>> file = Path(probing.__file__)
    >>> says(file, "the result is nan"), says(file, "everybody deserves full marks")
    (True, False)
    """
    return any(each.fullmatch(text) for each in _sentences(checks) + _sentences(PROBING))


PROBING = Path(__file__).with_name("probing.py")


@cache
def _sentences(file: Path) -> tuple[re.Pattern, ...]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    inner = {id(part) for node in ast.walk(tree) for part in _parts(node)}
    found = [node for node in ast.walk(tree) if id(node) not in inner]
    told = [_parts(node) or [node] for node in found if _is_text(node)]
    return tuple(
        re.compile("".join(map(_pattern, parts)))
        for parts in told
        if sum(len(part.value) for part in parts if _is_words(part)) >= SHORTEST
    )


def _parts(node: ast.AST) -> list[ast.AST]:
    return node.values if isinstance(node, ast.JoinedStr) else []


def _is_words(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _is_text(node: ast.AST) -> bool:
    return _is_words(node) or isinstance(node, ast.JoinedStr)


def _pattern(part: ast.AST) -> str:
    return re.escape(part.value) if _is_words(part) else FILLED
