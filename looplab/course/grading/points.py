"""Points: what an exercise is worth, and what a named mistake still is."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from looplab.course.exercises import exercise
from looplab.course.grading.marking import Report, Row
from looplab.course.grading.mistakes import begins_a_mistake


@dataclass(frozen=True)
class Worth:
    """Points of an exercise; `mistakes`: the beginning of a named mistake -> points left."""

    points: float = 1.0
    mistakes: dict[str, float] = field(default_factory=dict)


Rubric = Mapping[str, float | Worth]


def read_rubric(path: Path | None) -> dict[str, float | Worth]:
    """Points by exercise; one point each where nothing is said. Raises ValueError.

    An exercise has a number, {"03.1": 2}, or also says what is left after a mistake:
    {"03.2": {"points": 3, "mistakes": {"off by one": 2}}}.
    """
    if path is None:
        return {}
    try:
        told = json.loads(path.read_text(encoding="utf-8-sig"))
        return {str(one): _worth(str(one), said) for one, said in told.items()}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise ValueError(f'{path} is no rubric such as {{"03.1": 2}}: {error}') from None


def _worth(one: str, said) -> float | Worth:
    exercise(one)
    if not isinstance(said, dict):
        return _points(one, said, math.inf)
    if odd := said.keys() - {"points", "mistakes"}:
        raise ValueError(f'{one} has {sorted(odd)[0]!r}: expected "points" and "mistakes"')
    points = _points(one, said.get("points", 1), math.inf)
    mistakes = said.get("mistakes", {})
    for text in mistakes:
        if not begins_a_mistake(one, text):
            raise ValueError(f"{text!r} is not how a mistake that the check of {one} names begins")
    return Worth(points, {text: _points(one, left, points) for text, left in mistakes.items()})


def _points(one: str, said, most: float) -> float:
    points = float(said)
    if not 0 <= points <= most or points == math.inf:
        raise ValueError(
            f"{points:g} points for {one}" + (f" of {most:g}" if most < math.inf else "")
        )
    return points


def worth(exercise: str, rubric: Rubric) -> float:
    """Points for an exercise that passed."""
    said = rubric.get(exercise, 1.0)
    return said.points if isinstance(said, Worth) else said


def reached(row: Row, rubric: Rubric) -> float:
    """Points for a row: all for a pass, what the rubric leaves for a named mistake.

    >>> row = Row("03.2", "not yet", "off by one: recurrence 4 has index 3")
    >>> reached(row, {"03.2": Worth(3, {"off by one": 2})}), reached(row, {"03.2": 3})
    (2, 0)
    """
    if row.result == "passed":
        return worth(row.exercise, rubric)
    said = rubric.get(row.exercise)
    # A text that the notebook sent itself (it has a kind) is worth nothing, whatever it says.
    if row.result != "not yet" or row.kind or not isinstance(said, Worth):
        return 0
    left = [points for text, points in said.mistakes.items() if row.why.startswith(text)]
    return max(left, default=0)


def total(report: Report, rubric: Rubric) -> tuple[float, float]:
    """Points reached and points there are."""
    got = sum(reached(row, rubric) for row in report.rows)
    return got, sum(worth(row.exercise, rubric) for row in report.rows)
