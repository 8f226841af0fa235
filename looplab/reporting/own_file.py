"""A loop of somebody's own, in a Python file: it is run, with all that it may do."""

import hashlib
import importlib.util
import inspect
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn

from looplab.basics.whole import whole_number
from looplab.reporting.protocol import Protocol
from looplab.reporting.subject import Case, Subject, check, told
from looplab.reporting.wording import plural

WANTED = "expected a function loop(x) that returns (start, step, readout)"


def open_file(path: Path, prompts: Path | None, protocol: Protocol) -> Subject:
    """The loop of a Python file, whose code is run.

        loop(x) -> (start, step, readout)   start [batch, token, width] or [batch, width], floats;
                                            step(z) -> the next state; readout(z) -> [batch, token,
                                            class] or [batch, class], or None
        inputs() -> x                       a tensor [batch, ...]; else the prompts' ids, else
                                            loop() is called without an input
        targets() -> classes                [batch, token] whole, -100 for none; or numbers, of the
                                            readout's shape; optional
        difficulty() -> steps               [batch, token] whole, below 0 for none; optional
        LOOPS = 8                           loops that it is usually run for; optional

    Modules (nn.Module) at the top level of the file are what is cast to other precisions. Raises
    ValueError naming the file and what is wrong with it, FileNotFoundError where there is none.
    """
    module = _run(path)
    build = getattr(module, "loop", None)
    if build is None:
        raise ValueError(f"{path} has no function loop: {WANTED}")
    if not callable(build):
        raise ValueError(f"{path}: loop is {told(build)}: {WANTED}")
    given, where = _inputs(module, build, path, prompts)
    return _subject(path, module, given, where, protocol)


def _run(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("looplab_report_loop", path)
    module = importlib.util.module_from_spec(spec)
    before = list(sys.path)
    sys.modules[spec.name] = module  # dataclasses look themselves up there
    sys.path.insert(0, str(path.resolve().parent))  # so that it may import what lies beside it
    try:
        with _seeded(0), _said(path, "cannot be run"):
            spec.loader.exec_module(module)
    finally:
        sys.path[:] = before
    return module


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """What the block draws is always the same, and what is drawn behind it as if it were not."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


@contextmanager
def _said(path: Path, what: str) -> Iterator[None]:
    """Turn what a person's own code raises into a ValueError that names the file and the line."""
    try:
        yield
    except FileNotFoundError as error:
        if error.filename == str(path):
            raise
        raise ValueError(f"{path} {what}: FileNotFoundError: {error}") from error
    except (Exception, SystemExit) as error:
        frame, line = error.__traceback__, getattr(error, "lineno", None)
        while frame is not None:
            if frame.tb_frame.f_code.co_filename == str(path):
                line = frame.tb_lineno
            frame = frame.tb_next
        at = f", line {line}" if line else ""
        raise ValueError(f"{path}{at}: {what}: {type(error).__name__}: {error}") from error


def _inputs(module: ModuleType, build, path: Path, prompts: Path | None) -> tuple:
    """The inputs x, None for none, and where they are from, in words."""
    if prompts is not None:
        return _tokens(prompts), prompts.name
    if hasattr(module, "inputs"):
        with _said(path, "inputs() fails"):
            x = module.inputs()
        if not isinstance(x, Tensor) or x.dim() < 1 or not x.numel():
            raise ValueError(
                f"{path}: inputs() returns {told(x)}: expected a tensor [batch, ...] with an entry"
            )
        return x, "inputs()"
    try:
        needs = [
            one
            for one in inspect.signature(build).parameters.values()
            if one.default is one.empty
            and one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)
        ]
    except (TypeError, ValueError):  # a builtin
        needs = []
    if needs:
        raise ValueError(
            f"{path} has loop({needs[0].name}) and nothing to give it: add a function inputs() "
            "that returns a tensor [batch, ...], or give --prompts FILE, lines of "
            '{"tokens": [...]}'
        )
    return None, "none: loop() takes no input"


def _tokens(path: Path) -> Tensor:
    """Ids [batch, token] of a JSONL file; ValueError naming the first line that does not fit."""
    rows: list[Tensor] = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = torch.tensor(json.loads(line)["tokens"])
        except (ValueError, TypeError, KeyError, RuntimeError):
            raise ValueError(
                f'{path}, line {number}: expected {{"tokens": [...]}}: a file of one\'s own has no '
                "tokenizer that looplab knows"
            ) from None
        if rows and row.shape != rows[0].shape:
            raise ValueError(
                f"{path}, line {number}: {len(row)} tokens and {len(rows[0])} in the first line: "
                "expected prompts of one length, which run side by side"
            )
        rows.append(row)
    if not rows:
        raise ValueError(f'{path} has no prompts: expected lines like {{"tokens": [1, 2, 3]}}')
    return torch.stack(rows)


def _subject(path: Path, module: ModuleType, x, where: str, protocol: Protocol) -> Subject:
    goals = {}
    for name in ("targets", "difficulty"):
        if hasattr(module, name) and where == "inputs()":
            with _said(path, f"{name}() fails"):
                goals[name] = getattr(module, name)()
            if not isinstance(goals[name], Tensor) or len(goals[name]) != len(x):
                raise ValueError(
                    f"{path}: {name}() returns {told(goals[name])}: expected a tensor of "
                    f"{len(x)} rows, one for each input"
                )
    trained = getattr(module, "LOOPS", None)
    if trained is not None:
        trained = whole_number(f"{path}: LOOPS", trained, 1)
    count = 1 if x is None else len(x)
    if x is not None and count > protocol.items:  # evenly over them
        kept = torch.arange(protocol.items) * count // protocol.items
        x, goals = x[kept], {name: goal[kept] for name, goal in goals.items()}
        count = protocol.items
    plain = {name: goal[..., None] if goal.dim() == 1 else goal for name, goal in goals.items()}

    def case(rows: slice, dtype: torch.dtype | None = None) -> Case:
        some = None if x is None else x[rows]
        if dtype is not None and some is not None and some.is_floating_point():
            some = some.to(dtype)
        with torch.no_grad(), _seeded(protocol.seed), _said(path, "loop(x) fails"):
            made = module.loop() if some is None else module.loop(some)
        if not isinstance(made, tuple | list) or len(made) != 3:
            size = f" of {len(made)}" if isinstance(made, tuple | list) else ""
            raise ValueError(f"{path}: loop(x) returns {told(made)}{size}: {WANTED}")
        begin, step, readout = made
        if not callable(step) or not (readout is None or callable(readout)):
            wrong = ("step", step) if not callable(step) else ("readout", readout)
            raise ValueError(
                f"{path}: {wrong[0]} is {told(wrong[1])}: expected a function of the state"
            )
        flat = isinstance(begin, Tensor) and begin.dim() == 2
        if dtype is not None and isinstance(begin, Tensor) and begin.is_floating_point():
            begin = begin.to(dtype)
        goal = plain.get("targets")
        hard = plain.get("difficulty")
        if goal is not None and goal.is_floating_point():
            goal = goals["targets"]
            goal = goal[:, None] if flat and goal.dim() == 2 else goal
        return Case(
            begin[:, None] if flat else begin,
            _guarded(path, "step", step, flat),
            None if readout is None else _guarded(path, "readout", readout, flat),
            None if goal is None else goal[rows],
            None if hard is None else hard[rows],
            tuple(range(count)[rows]) if x is not None else tuple(range(len(begin))),
        )

    def of(dtype: torch.dtype | None) -> Subject:
        at_once = max(1, min(count, 256))

        def cases() -> Iterator[Case]:
            return (case(slice(n, n + at_once), dtype) for n in range(0, count, at_once))

        @contextmanager
        def inside(dtype: torch.dtype) -> Iterator[Subject]:
            with cast([part for part in vars(module).values() if _is_module(part)], dtype):
                yield of(dtype)

        modules = [part for part in vars(module).values() if _is_module(part)]
        return Subject(
            path.stem,
            f"the loop of {path.name}",
            f"{plural(count, 'row')} of {where}" if x is not None else where,
            count,
            trained,
            cases,
            lambda n, tokens: case(slice(0, n), dtype),
            lambda n, tokens: case(slice(n, n + 1), dtype),
            inside,
            parameters=sum(w.numel() for one in modules for w in one.parameters()) or None,
            weights=hashlib.sha256(path.read_bytes()).hexdigest()[:16],
        )

    found = of(None)
    one, some = (check(case, str(path)) for case in (found.one(0, None), found.some(count, None)))
    if x is not None:
        with torch.no_grad():
            beside, alone = some.step(some.start, 0)[:1], one.step(some.start[:1], 0)
        if not torch.allclose(beside, alone, rtol=1e-3, atol=1e-3 * alone.abs().max().item()):
            raise ValueError(
                f"{path}: the first input steps elsewhere when it is run alone: inputs beside each "
                "other must not see each other (batch norm: model.eval())"
            )
    return found


def _is_module(part: object) -> bool:
    return isinstance(part, nn.Module)


def _guarded(path: Path, name: str, call, flat: bool):
    """`call` on states [batch, token, width], whatever it takes, naming the file where it fails."""

    def run(z: Tensor, loop: int = 0) -> Tensor:
        with _said(path, f"{name} fails"):
            out = call(z[:, 0]) if flat else call(z)
        return out[:, None] if flat and isinstance(out, Tensor) and out.dim() == 2 else out

    return run


@contextmanager
def cast(modules: Sequence[nn.Module], dtype: torch.dtype) -> Iterator[None]:
    """These modules in another dtype while the block runs, and bit for bit as before behind it.

    >>> layer = nn.Linear(2, 2)
    >>> with cast([layer], torch.bfloat16):
    ...     layer.weight.dtype
    torch.bfloat16
    >>> layer.weight.dtype
    torch.float32
    """
    kept = [(part, part.data) for one in modules for part in (*one.parameters(), *one.buffers())]
    try:
        for part, data in kept:
            if data.is_floating_point():
                part.data = data.to(dtype)
        yield
    finally:
        for part, data in kept:
            part.data = data
