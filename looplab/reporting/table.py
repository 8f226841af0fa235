"""Reports beside each other: one line for each."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

from looplab.basics.tensor_files import check_format, reading
from looplab.reporting.measuring import FORMAT
from looplab.reporting.sentences import lowest_precision
from looplab.reporting.wording import number, share


def read_report(path: Path) -> dict:
    """The numbers of a report.json, or of the one in a report's folder.

    ValueError naming the file for one that is no report, FileNotFoundError where there is none.
    """
    path = path / "report.json" if path.is_dir() else path
    with reading(path, "is not a readable report", "make it again with looplab report"):
        told = json.loads(path.read_text(encoding="utf-8"))
        check_format(path, told, "looplab report", FORMAT, "make it again with looplab report")
    return told


def is_report(name: str) -> bool:
    """Whether this names a report that is there, by its file or folder.

    >>> is_report("hero")
    False
    """
    path = Path(name).expanduser()
    return path.is_file() and path.suffix == ".json" or (path / "report.json").is_file()


def row(told: dict) -> dict:
    """A report's numbers that can be set beside another's; None where it has none."""
    rules = {one["rule"]: one for one in (told["exits"] or {"rules": []})["rules"]}
    oracle = rules.pop("oracle", None)
    rules.pop("fixed", None)
    best = max(rules.values(), key=lambda one: one["saves"], default=None)
    if oracle is not None and oracle["loops"] == 1:  # nothing to save
        best = oracle = None
    sizes = [one["multipliers"][0][0] for one in told["spectra"] if one["multipliers"]]
    grown = [one["exponent"] for one in told["spectra"] if one["exponent"] is not None]
    found, depth, starts = told["rest"], told["depth"], told["starts"]
    return {
        "name": told["name"],
        "loops": found["loops_most"],
        "tokens": told["token_count"],
        "at_rest": found["shares"]["rest"],
        "rate": (told["speed"] or {}).get("rate"),
        "multiplier": max(sizes, default=None),
        "exponent": max(grown, default=None),
        "one_end": starts["one_end"] / starts["inputs"],
        "settles": (told["tokens"] or {}).get("settled_median"),
        "useful_from": None if depth is None else depth["first"],
        "useful_to": None if depth is None else depth["last"],
        "overthinks": None if depth is None else depth["overthinking"],
        "best_rule": None if best is None else best["rule"],
        "saves": None if best is None else best["saves"],
        "oracle_saves": None if oracle is None else oracle["saves"],
        "precision": lowest_precision(told),
        "warnings": len(told["warnings"]),
    }


def report_table(reports: Sequence[dict]) -> list[dict[str, str]]:
    """The rows as one reads them: column -> what it says."""
    shown = []
    for one in map(row, reports):
        useful = "-"
        if one["useful_from"] is not None:
            useful = f"{one['useful_from']} to {one['useful_to']}"
        over = {None: "-", True: "yes", False: "no"}[one["overthinks"]]
        shown.append(
            {
                "report": one["name"],
                "at rest": share(one["at_rest"]),
                "shrinks by": number(one["rate"]),
                "multiplier": number(one["multiplier"]),
                "exponent": number(one["exponent"]),
                "one end": share(one["one_end"]),
                "settles at": number(one["settles"]),
                "useful loops": useful,
                "overthinks": over,
                "best rule": one["best_rule"] or "-",
                "saves": _saved(one["saves"]),
                "oracle": _saved(one["oracle_saves"]),
                "rests down to": one["precision"] or "-",
                "warnings": str(one["warnings"]),
            }
        )
    return shown


def _saved(value: float | None) -> str:
    return "-" if value is None else f"{round(100 * value) + 0} %"


def report_csv(reports: Sequence[dict]) -> str:
    """Every number of the rows, one line for each report."""
    rows, text = [row(one) for one in reports], io.StringIO()
    table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()
