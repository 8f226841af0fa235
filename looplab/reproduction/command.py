"""The figures and tables of arXiv 2604.11791 for one model, in one folder.

    looplab reproduce MODEL [--figures ...] [--prompts FILE] [--quick] [--out DIR]
    torchrun --nproc-per-node 8 -m looplab reproduce MODEL ...

MODEL is as in `looplab trace`. It says what it will take, measures prompt by prompt, and goes on
where it was when the same command is run again. Under torchrun each process takes its share.
"""

import argparse
import math
import shlex
import sys
from dataclasses import replace
from pathlib import Path

from looplab.basics.running import exit_status
from looplab.reproduction.items import GSM8K
from looplab.reproduction.planning import free_bytes, operations
from looplab.reproduction.protocol import FIGURES, QUICK, Protocol
from looplab.reproduction.run import Job, ask, processes, run
from looplab.streaming.command import device_named
from looplab.zoo.dtypes import DTYPES


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit status."""
    given = _parser().parse_args(arguments)
    return exit_status("looplab reproduce", lambda: _run(given, arguments))


def _run(given: argparse.Namespace, arguments: list[str]) -> None:
    rank, world = processes()
    device = device_named(given.device)
    if given.memory is not None and not 0 < given.memory < math.inf:
        raise ValueError(f"--memory {given.memory:g}: expected GiB above 0, or leave it out")
    folder = given.out or Path(f"reproduced-{Path(given.model).name}")
    limit = None if given.memory is None else int(given.memory * 2**30)
    job = ask(
        given.model,
        given.prompts,
        _protocol(given),
        illustration=given.sentence,
        dtype=given.dtype,
        device=device,
        max_bytes=limit,
    )
    if rank == 0:
        print(_told(job, limit), file=sys.stderr)
    if given.plan:
        return
    command = shlex.join(["looplab", "reproduce", *arguments])
    if world > 1:
        command = f"torchrun --nproc-per-node {world} -m {command}"
    report = run(job, folder, command=command, rank=rank, world=world)
    if report is not None:
        print(report)
        print(f"{len(report.figures)} figures in {folder}: see report.html")


def _protocol(given: argparse.Namespace) -> Protocol:
    asked = {name: getattr(given, name) for name in ("loops", "items", "tokens", "seed")}
    asked = {name: value for name, value in asked.items() if value is not None}
    if given.figures is not None:
        asked["figures"] = tuple(name for one in given.figures for name in one.split(",") if name)
    return replace(QUICK if given.quick else Protocol(), **asked)


def _told(job: Job, limit: int | None) -> str:
    """What the job will take, in a few lines."""
    lengths = [len(prompt.tokens) for prompt in job.items.prompts]
    parts = ", ".join(f"{name} {_size(size)}" for name, size in job.sizes.items())
    free = free_bytes(job.device) if limit is None else limit
    work = operations(job.model, lengths, job.protocol)
    lines = [
        f"{job.name} {job.model.config.notation}, {job.dtype}: {job.items.what}, up to "
        f"{max(lengths)} tokens, {job.protocol.loops} loops",
        f"memory: {_size(sum(job.sizes.values()))} ({parts}) of {_size(free)}",
        f"work: {work / 1e12:.3g} trillion operations, {work / len(lengths) / 1e12:.3g} a prompt",
    ]
    lines += [f"left out: {name}, {reason}" for name, reason in job.left_out.items()]
    return "\n".join(lines)


def _size(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"


def _parser() -> argparse.ArgumentParser:
    figures = ", ".join(f"{name} ({claim})" for name, (claim, _) in FIGURES.items())
    parser = argparse.ArgumentParser(
        prog="looplab reproduce",
        description="The figures and tables of arXiv 2604.11791 for one model, in one folder.",
        epilog="Run the same command again to go on after an interruption. Under torchrun each "
        "process takes its share of the prompts. C8 is about untrained models: see looplab grid.",
    )
    parser.add_argument(
        "model", metavar="MODEL", help="hero, ouro-mini, smollm2, a model's folder, or a hub id"
    )
    parser.add_argument(
        "--figures", metavar="NAME", nargs="+", help=f"only these: {figures}; default all"
    )
    parser.add_argument(
        "--prompts",
        metavar="FILE",
        help='lines of {"tokens": [...]}, {"text": "..."}, {"messages": [...]} or of GSM8K\'s '
        f"test.jsonl; {GSM8K}, through the package datasets; default: our own in GSM8K's form",
    )
    parser.add_argument("--sentence", metavar="TEXT", help="the illustration's; default a greeting")
    parser.add_argument("--quick", action="store_true", help="a look: 4 prompts, 16 loops or more")
    whole = {"metavar": "N", "type": int}
    parser.add_argument("--items", **whole, help="prompts, drawn at random (default 256)")
    parser.add_argument("--loops", **whole, help="of the long run (default 128)")
    parser.add_argument("--tokens", **whole, help="cut each prompt behind so many tokens")
    parser.add_argument("--seed", **whole, help="of what is drawn (default 0)")
    parser.add_argument("--out", metavar="DIR", type=Path, help="default reproduced-MODEL")
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="default float32")
    parser.add_argument("--device", help="default: a GPU where there is one")
    parser.add_argument(
        "--memory", metavar="GIB", type=float, help="refuse to take more (default: what is free)"
    )
    parser.add_argument("--plan", action="store_true", help="only say what it would take")
    return parser
