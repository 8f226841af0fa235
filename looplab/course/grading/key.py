"""The solved chapter as the key: what of it is run beside a submission's answers."""

import copy
from collections.abc import Collection

from looplab.course.reading.code import binds, needs, statements


def role(cell) -> str:
    return cell.metadata.get("looplab", {}).get("role", "")


def exercise_of(cell) -> str:
    return cell.metadata.get("looplab", {}).get("ex", "")


def checked_in(key) -> dict[str, str]:
    """Exercise -> what its answer defines, as in `name = check("03.1", name)`."""
    return {
        exercise_of(cell): cell.source.split("=")[0].strip()
        for cell in key.cells
        if role(cell) == "check"
    }


def without_explorations(key, answers: dict[str, str] | None = None, also: Collection[str] = ()):
    """Set-up, answers and checks: training and figures change no mark.

    With those given cells in front of these answers that define what they name, or what is named in
    `also`, and with what such a cell needs in turn.
    """
    cells, answers = key.cells, answers or {}
    kept = {n for n, cell in enumerate(cells) if _always(cell)}
    waiting = [
        (n, name)
        for n, cell in enumerate(cells)
        if role(cell) == "answer" and exercise_of(cell) in answers
        for name in needs(statements(answers[exercise_of(cell)])) | {*also}
    ]
    while waiting:
        before, name = waiting.pop()
        home = next((n for n in reversed(range(before)) if name in _bound(cells[n])), None)
        if home is not None and home not in kept:
            kept.add(home)
            waiting += [(home, other) for other in needs(statements(cells[home].source))]
    brief = copy.copy(key)
    brief.cells = [cell for n, cell in enumerate(cells) if n in kept]
    return brief


def transplant(key, answers: dict[str, str]):
    """The chapter with these answers in place of its own, and nothing stored."""
    notebook = copy.deepcopy(key)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        if role(cell) == "answer":
            source = answers.get(exercise_of(cell), cell.source)
            cell.source = source.encode("utf-8", "replace").decode()
        elif role(cell) == "check":
            # Whatever an answer calls `check`.
            cell.source = f"from looplab.exercises import check\n\n{cell.source}"
        cell.metadata.pop("tags", None)  # nothing is compared in there
    return notebook


def _always(cell) -> bool:
    return cell.id == "set-up" or role(cell) in ("answer", "check")


def _bound(cell) -> frozenset[str]:
    """Names that a cell of the chapter defines; what an answer does is its own affair."""
    code = cell.cell_type == "code" and role(cell) != "answer"
    return binds(cell.source) if code else frozenset()
