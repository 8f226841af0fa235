"""Portraits as one table: for reading in a terminal, and as CSV with every number."""

import csv
import io
from collections.abc import Sequence
from dataclasses import fields

from looplab.comparing.measuring import Portrait

_CURVES = ("steps", "answered", "losses", "concentration", "sinks", "mixing")
# Rows of stages are [loop][layer]; the table has their means over layers at the first loop and last
_STAGES = ("concentration", "sinks", "mixing")


def text_table(portraits: Sequence[Portrait]) -> str:
    """The numbers to read, a line for each model, in two parts.

    >>> import torch
    >>> from looplab import LoopedConfig, LoopedTransformer
    >>> from looplab.comparing.measuring import portray
    >>> from looplab.streaming.prompts import Prompt
    >>> model = LoopedTransformer(LoopedConfig(vocab=9, width=16, heads=2)).eval()
    >>> told = portray("untrained", model, [Prompt(1, torch.arange(5))], loops=4)
    >>> [line.split()[:3] for line in text_table([told]).splitlines()[:1]]
    [['model', 'at', 'rest']]
    """
    settling = [
        {
            "model": one.name,
            "at rest": _percent(one.at_rest),
            "settles at": _number(one.settles, ".0f"),
            "last step": _number(one.last_step, ".0e"),
            "shrinks by": _number(one.rate, ".2f"),
            "multiplier": _number(one.multiplier, ".2f"),
            "answer from": _number(one.answer_from, ".1f"),
            "leaves": _number(one.leaves, ".1f"),
            "saves": _percent(one.saves),
            "same": _percent(one.same),
        }
        for one in portraits
    ]
    stages = [
        {
            "model": one.name,
            "loops trained": str(one.trained),
            "loss there": _number(one.trained_loss, ".3f"),
            "best": "-" if one.best_loss is None else f"{one.best_loss:.3f} at {one.best_loop}",
            "last": _number(one.last_loss, ".3f"),
            "ColSum": _change(one.concentration),
            "sinks": _change(one.sinks),
            "mixing": _change(one.mixing),
        }
        for one in portraits
    ]
    return f"{aligned(settling)}\n\n{aligned(stages)}"


def csv_table(portraits: Sequence[Portrait]) -> str:
    """Every number but the curves, one row for each model; stages at the first loop and the last.

    >>> import torch
    >>> from looplab import LoopedConfig, LoopedTransformer
    >>> from looplab.comparing.measuring import portray
    >>> from looplab.streaming.prompts import Prompt
    >>> model = LoopedTransformer(LoopedConfig(vocab=9, width=16, heads=2)).eval()
    >>> told = portray("untrained", model, [Prompt(1, torch.arange(5))], loops=4)
    >>> csv_table([told]).splitlines()[0][:32]
    'name,notation,parameters,weights'
    """
    names = [one.name for one in fields(Portrait) if one.name not in _CURVES]
    rows = []
    for one in portraits:
        row = {name: getattr(one, name) for name in names}
        for name in _STAGES:
            first, last = ends(getattr(one, name))
            row |= {f"{name}_first": first, f"{name}_last": last}
        rows.append(row)
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()


def ends(stage: list[list[float]]) -> tuple[float, float]:
    """Means over layers of a stage [loop][layer], at the first loop and at the last.

    >>> ends([[1.0, 2.0], [5.0, 7.0]])
    (1.5, 6.0)
    """
    first, last = stage[0], stage[-1]
    return sum(first) / len(first), sum(last) / len(last)


def aligned(rows: Sequence[dict[str, str]]) -> str:
    """Rows as lines, names on the left and numbers on the right of their columns.

    >>> print(aligned([{"model": "hero", "loops": "6"}, {"model": "me", "loops": "12"}]))
    model  loops
    hero       6
    me        12
    """
    heads = list(rows[0])
    wide = [max(len(head), *(len(row[head]) for row in rows)) for head in heads]
    lines = []
    for row in (dict(zip(heads, heads, strict=True)), *rows):
        cells = [row[head].rjust(size) for head, size in zip(heads, wide, strict=True)]
        lines.append("  ".join([row[heads[0]].ljust(wide[0]), *cells[1:]]))
    return "\n".join(lines)


def _number(value: float | None, digits: str) -> str:
    return "-" if value is None else format(value, digits)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def _change(stage: list[list[float]]) -> str:
    first, last = (round(value, 2) + 0.0 for value in ends(stage))  # 0.0: no sign on a zero
    return f"{first:.2f} to {last:.2f}"
