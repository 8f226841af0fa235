"""What a loop does, in one page: a report on a model, or on a loop of your own.

    looplab report MODEL|FILE.py [--quick] [--prompts FILE] [--out DIR]

MODEL is as in `looplab trace`. FILE.py is a Python file of yours with a function `loop(x)` that
returns (start, step, readout); it is run. DIR, which must not exist, gets report.html and
report.json.
"""

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

from looplab.basics.running import exit_status
from looplab.reporting.composing import report
from looplab.reporting.protocol import QUICK, Protocol
from looplab.streaming.command import device_named


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit status."""
    given = _parser().parse_args(arguments)
    return exit_status("looplab report", lambda: _run(given), resumes=False)


def _run(given: argparse.Namespace) -> None:
    name = Path(given.model)
    folder = given.out or Path(f"report-{name.stem if name.suffix == '.py' else name.name}")
    if folder.exists():
        raise FileExistsError(
            f"{folder} exists, and nothing is overwritten: remove it, or give --out another name"
        )
    asked = {one: getattr(given, one) for one in ("loops", "items", "seed")}
    asked = {one: value for one, value in asked.items() if value is not None}
    protocol = replace(QUICK if given.quick else Protocol(), **asked)
    begun = time.perf_counter()

    def say(what: str) -> None:
        print(f"looplab report: {what} ...", file=sys.stderr, flush=True)

    found = report(given.model, given.prompts, protocol, device=device_named(given.device), say=say)
    found.save(folder)
    print(found)
    spent = time.perf_counter() - begun
    print(f"\n{spent:.0f} seconds: see {folder / 'report.html'}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="looplab report",
        description="What a loop does: rest, speed, starts, multipliers, useful depth, exits, "
        "cache slots, precision, with warnings in plain words. One HTML page and one JSON file.",
        epilog="A FILE.py is run, with all that its code may do: give only files that you trust. "
        "docs/report.md says what it must have.",
    )
    parser.add_argument(
        "model",
        metavar="MODEL|FILE.py",
        help="hero, ouro-mini, smollm2, a model's folder, a hub id, or a Python file with loop(x)",
    )
    parser.add_argument("--quick", action="store_true", help="a look: fewer inputs and loops")
    parser.add_argument(
        "--prompts",
        metavar="FILE",
        type=Path,
        help='lines of {"tokens": [...]}, {"text": "..."} or {"messages": [...]}; default: its own '
        "task, or texts of ours",
    )
    whole = {"metavar": "N", "type": int}
    parser.add_argument("--loops", **whole, help="of the curves and the window (default 128)")
    parser.add_argument("--items", **whole, help="inputs (default 128)")
    parser.add_argument("--seed", **whole, help="of what is drawn (default 0)")
    parser.add_argument("--out", metavar="DIR", type=Path, help="default report-MODEL")
    parser.add_argument("--device", help="default: a GPU where there is one")
    return parser
