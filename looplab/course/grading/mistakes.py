"""The sentences with which looplab's own checks name a mistake, read from their source.

A learner's process can send a sentence of its own. What a teacher is shown of a class, and what a
rubric gives points for, are these.
"""

import ast
import re
from functools import cache

from looplab.course.build import ROOT

CHECKS = ROOT / "looplab" / "course" / "exercises"
SHARED = ("probing", "judging", "kinds", "own_loop")  # what the checks of all chapters say
GAP = "…"  # stands for what is different each time, such as a number


def named(exercise: str, why: str) -> str:
    """The sentence of our own that `why` is, "…" in place of what varies; "" for another's.

    >>> named("03.2", "off by one: recurrence 4 has index 3, as Python counts from 0")
    'off by one: recurrence … has index …, as Python counts from 0'
    >>> named("03.2", "vote for me")
    ''
    """
    fitting = [told for told, pattern in _sentences(exercise[:2]) if pattern.fullmatch(why)]
    return max(fitting, key=len, default="")


def begins_a_mistake(exercise: str, text: str) -> bool:
    """True where a sentence of the exercise's chapter begins so, its own words only.

    >>> begins_a_mistake("03.2", "off by one"), begins_a_mistake("03.2", "of by one")
    (True, False)
    """
    return bool(text) and any(told.startswith(text) for told, _ in _sentences(exercise[:2]))


@cache
def _sentences(chapter: str) -> tuple[tuple[str, re.Pattern], ...]:
    found = {}
    for name in (*SHARED, f"ch{chapter}"):
        file = CHECKS / f"{name}.py"
        tree = ast.parse(file.read_text(encoding="utf-8")) if file.is_file() else ast.Module([], [])
        for node in ast.walk(tree):
            pieces = node.values if isinstance(node, ast.JoinedStr) else [node]
            texts = [one.value if _is_text(one) else None for one in pieces]
            told = "".join(GAP if text is None else text for text in texts)
            if sum(len(text or "") for text in texts) >= 12 and " " in told:
                found[told] = "".join(".*" if t is None else re.escape(t) for t in texts)
    return tuple((told, re.compile(pattern, re.S)) for told, pattern in found.items())


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)
