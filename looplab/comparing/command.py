"""Many models on the same prompts: one table and one figure.

    looplab compare MODEL MODEL ... --prompts FILE --loops N --out DIR

A MODEL is what `looplab trace` takes: a checkpoint or miniature of the course, "smollm2", a folder
or GGUF file of a released model, or its hub id. FILE has one prompt on each line, as for `looplab
trace`. DIR gets compare.png, compare.csv, compare.txt (what is printed) and a JSON file for each
model with all its numbers, written as soon as it is known: an interrupted command goes on where it
was. Nothing is overwritten.

    looplab compare REPORT REPORT ...

shows reports of `looplab report` beside each other, each a folder or its report.json; with --out
the table is also written, as compare.txt and compare.csv.
"""

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from looplab.basics.running import exit_status
from looplab.basics.tensor_files import reading
from looplab.basics.whole import whole_number
from looplab.basics.writing import write_text
from looplab.comparing.measuring import LEAST, Portrait, portray
from looplab.comparing.table import aligned, csv_table, text_table
from looplab.plots import comparison
from looplab.reporting.table import is_report, read_report, report_csv, report_table
from looplab.streaming import folder as out
from looplab.streaming.command import device_named, never_looped
from looplab.streaming.prompts import read
from looplab.zoo.dtypes import DTYPES
from looplab.zoo.named import open_named, outline

FORMAT = "looplab.compare.1"


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit status."""
    given = _parser().parse_args(arguments)
    return exit_status("looplab compare", lambda: _run(given))


def _run(given: argparse.Namespace) -> None:
    reports = [is_report(name) for name in given.models]
    if all(reports):
        _reports(given)
        return
    if any(reports):
        raise ValueError(
            f"{given.models[reports.index(True)]} is a report and "
            f"{given.models[reports.index(False)]} is none: compare reports, or models"
        )
    missing = [f"--{name}" for name in ("prompts", "loops", "out") if getattr(given, name) is None]
    if missing:
        raise ValueError(f"{', '.join(missing)}: models are run, and need to be told on what")
    if given.loops < LEAST:
        raise ValueError(f"--loops {given.loops}: expected at least {LEAST}, to see steps shrink")
    whole_number("batch", given.batch, 1)
    whole_number("spectra", given.spectra, 0)
    labels, dtype = names_of(given.models), DTYPES[given.dtype]
    for model in given.models:  # before anything is written, see that each can read the prompts
        read(given.prompts, *outline(model, dtype))
    settings = {
        "format": FORMAT,
        "models": given.models,
        "prompts": hashlib.sha256(given.prompts.read_bytes()).hexdigest()[:16],
        "loops": given.loops,
        "dtype": given.dtype,
        "batch": given.batch,
        "spectra": given.spectra,
    }
    out.claim(given.out, settings)
    portraits = []
    for number, (model, label) in enumerate(zip(given.models, labels, strict=True)):
        path = given.out / f"{number + 1:02d}-{re.sub(r'[^A-Za-z0-9._-]', '-', label)}.json"
        portraits.append(_portrait(model, label, path, given))
    table = text_table(portraits)
    for name, text in (("compare.txt", f"{table}\n"), ("compare.csv", csv_table(portraits))):
        if not (given.out / name).exists():
            write_text(given.out / name, text)
    if not (given.out / "compare.png").exists():
        comparison({one.name: asdict(one) for one in portraits}).save(given.out / "compare.png")
    print(table)
    print(f"\n{len(portraits)} models, {given.loops} loops: see {given.out / 'compare.png'}")


def _reports(given: argparse.Namespace) -> None:
    """Show reports beside each other; nothing is run."""
    told = [read_report(Path(name).expanduser()) for name in given.models]
    table = aligned(report_table(told))
    if given.out is not None:
        if given.out.exists():
            raise FileExistsError(
                f"{given.out} exists, and nothing is overwritten: give --out another name"
            )
        given.out.mkdir(parents=True)
        write_text(given.out / "compare.txt", f"{table}\n")
        write_text(given.out / "compare.csv", report_csv(told))
    print(table)
    if len({json.dumps(one["protocol"]) for one in told}) > 1:
        print("\nThey were not made alike (inputs, loops or starts differ): see their settings")


def _portrait(name: str, label: str, path: Path, given: argparse.Namespace) -> Portrait:
    """One model's numbers: measured and written, or read where this very model has been."""
    model, encode = open_named(name, DTYPES[given.dtype], device_named(given.device))
    weights = out.fingerprint(model)
    if path.exists():
        with reading(path, "is damaged", "remove it and run again"):
            found = Portrait(**json.loads(path.read_text(encoding="utf-8")))
        if found.weights != weights:
            raise ValueError(
                f"{path} is of other weights than {name} has now: give --out another folder"
            )
        return found
    if note := never_looped(model, given.loops):
        print(f"looplab compare: {name}: {note}", file=sys.stderr)
    print(f"looplab compare: {name} ...", file=sys.stderr, flush=True)
    prompts = read(given.prompts, model, encode)
    found = portray(
        label,
        model,
        prompts,
        given.loops,
        batch=given.batch,
        spectra=given.spectra,
        weights=weights,
    )
    write_text(path, json.dumps(asdict(found), allow_nan=False) + "\n")
    return found


def names_of(models: Sequence[str]) -> list[str]:
    """A short name for each model: the last part of its path or id; ValueError for one given twice.

    >>> names_of(["hero", "data/grid/one/", "else/one"])
    ['hero', 'data/grid/one', 'else/one']
    >>> names_of(["hero", "data/grid/one/", "data/grid/two"])
    ['hero', 'one', 'two']
    """
    whole = [model.rstrip("/") for model in models]
    for model in whole:
        if whole.count(model) > 1:
            raise ValueError(f"{model} is given twice: name each model once")
    short = [model.rsplit("/", 1)[-1] for model in whole]
    return short if len(set(short)) == len(short) else whole


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="looplab compare",
        description="Settling, multipliers, stages and exits of several models, in one table and "
        "one figure.",
        epilog="at rest: share of tokens within 1 % of their last state from 3/4 of the run on. "
        "settles at: median loop from which those are so near. last step: median length of the "
        "last step / the state. shrinks by: median factor per loop. multiplier: modulus of the "
        "largest, at the last state. answer from: mean loop from which the likeliest answer stays. "
        "leaves, saves, same: Huginn's exit rule (KL < 5e-4 nats), the share of loops it saves, "
        "and the share of answers that are then the last ones. loss: nats for each next token, "
        "after the loops of the config, at its lowest, and after the last loop. ColSum, sinks, "
        "mixing: attention of the core's layers, at the first loop and the last.",
    )
    parser.add_argument(
        "models",
        metavar="MODEL",
        nargs="+",
        help="hero, ouro-mini, smollm2, a model's folder, or a hub id; or reports",
    )
    parser.add_argument(
        "--prompts",
        metavar="FILE",
        type=Path,
        help='lines of {"tokens": [...]}, {"text": "..."} or {"messages": [...]}',
    )
    parser.add_argument("--loops", metavar="N", type=int)
    parser.add_argument("--out", metavar="DIR", type=Path)
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="default float32")
    parser.add_argument("--device", help="default: a GPU where there is one")
    parser.add_argument("--batch", metavar="N", type=int, default=8, help="prompts (default 8)")
    parser.add_argument(
        "--spectra",
        metavar="N",
        type=int,
        default=3,
        help="prompts whose multipliers are computed, 0 for none (default 3)",
    )
    return parser
