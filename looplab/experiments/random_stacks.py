"""What a looped stack does before any training: norm, injection, depth and gain against its limit.

    looplab grid [--width 32] [--seeds 3] [--gains 0.5 0.7 1 1.5 2] [--settle 0] [--out grid.json]

Every cell is a stack of `depth` layers without prelude and coda, its weights drawn from
N(0, gain²/fan-in), looped 128 times on random tokens, if wanted after others that do not count.
Source: the experiment of arXiv 2604.11791, figures 6 and 29-31 (claim C8); the gain is ours.
"""

import argparse
import json
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import product
from math import sqrt
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from looplab.basics.threads import use_threads
from looplab.measure import Limit, limit_by_period, min_layer_cosine, relative_step
from looplab.model import LoopedConfig, LoopedTransformer

NORMS = {"pre": "pre", "Huginn": "residual_sandwich", "Ouro": "branch_sandwich"}
# Name -> (the config's injection, does its matrix start as half the state and half the input?)
INJECTIONS = {"none": ("none", False), "random": ("concat", False), "half-half": ("concat", True)}
KINDS = ("cycle", "degenerate", "orbit", "no rest", "explodes")
VOCAB = 32
SHARE = 0.9  # of the tokens that must rest, or turn, before we say that the stack does
DEGENERATE = 0.999  # cosine above which the layers' last states are one
EXPLODES = 100.0  # growth over the second half of the run; a stream that grows by the loop has 2


@dataclass(frozen=True)
class Outcome:
    """Where one randomly drawn stack ended."""

    norm: str
    injection: str
    depth: int  # layers in the core
    gain: float
    seed: int
    kind: str  # one of KINDS
    period: int  # loops; of most of the tokens on an orbit, 0 where the kind is no orbit
    resting: float  # share of tokens at a fixed point
    cosine: float  # smallest between layer 1's last state and another layer's, mean over tokens
    step: float  # length of the last step, relative to the state; median over tokens
    growth: float  # length of the last state divided by that half-way


def grid(
    norms: Sequence[str] = tuple(NORMS),
    injections: Sequence[str] = tuple(INJECTIONS),
    depths: Sequence[int] = (4, 12, 16),
    gains: Sequence[float] = (0.5, 0.7, 1.0, 1.5, 2.0),
    seeds: Sequence[int] = (0, 1, 2),
    *,
    width: int = 32,
    tokens: int = 12,
    loops: int = 128,
    settle: int = 0,
    jobs: int = 1,
) -> list[Outcome]:
    """Outcome of every combination; all gains and seeds of a norm and depth run at once.

    Stacks run in float64: one that does not rest magnifies rounding, and in float32 some labels
    would differ from one processor to the next. Each is judged by `loops` loops, after `settle`
    loops that do not count. `jobs` processes share the work; the outcomes are the same.

    >>> [o.kind for o in grid(["pre"], ["none"], [2], [1.0], [0, 1], width=16, tokens=4)]
    ['degenerate', 'degenerate']
    """
    cells = []
    for norm, depth in product(norms, depths):
        # With and without an injection matrix are two architectures; all else is one batch.
        for kind in ("none", "concat"):
            members = [
                (injection, gain, seed)
                for injection, gain, seed in product(injections, gains, seeds)
                if INJECTIONS[injection][0] == kind
            ]
            if members:
                cells.append((norm, depth, members, width, tokens, loops, settle))
    if jobs > 1:
        cells.sort(key=lambda cell: cell[1], reverse=True)  # deep ones first: no long wait at last
        spawn = get_context("spawn")  # a fork of a process that has run torch may hang
        with ProcessPoolExecutor(min(jobs, len(cells)), mp_context=spawn) as pool:
            done = list(pool.map(_cell, cells))
    else:
        done = map(_cell, cells)
    found = [outcome for cell in done for outcome in cell]
    order = {name: n for n, name in enumerate((*norms, *injections))}
    return sorted(found, key=lambda o: (order[o.norm], order[o.injection], o.depth))


def _cell(cell) -> list[Outcome]:
    """The outcomes of stacks that differ in injection, gain and seed only."""
    norm, depth, members, width, tokens, loops, settle = cell
    models = [
        random_stack(norm, injection, depth, gain, seed, width=width).double()
        for injection, gain, seed in members
    ]
    ids = torch.stack([random_tokens(seed, tokens) for _, _, seed in members])
    with use_threads(1):  # these matrices are too small to share out
        states = run_together(models, ids, loops, settle)
    return [
        Outcome(norm, injection, depth, gain, seed, **judge(path))
        for (injection, gain, seed), path in zip(members, states, strict=True)
    ]


def random_stack(
    norm: str, injection: str, depth: int, gain: float, seed: int, *, width: int = 32
) -> LoopedTransformer:
    """A looped stack (0, depth⊗l, 0), every matrix drawn from N(0, gain²/fan-in).

    norm: "pre", "Huginn" or "Ouro". injection: "none", "random" (its matrix drawn like the others)
    or "half-half" (it starts as the mean of state and input). Raises ValueError for another name.
    """
    for name, value, known in (("norm", norm, NORMS), ("injection", injection, INJECTIONS)):
        if value not in known:
            raise ValueError(f"{name}={value!r}: expected one of {', '.join(known)}")
    kind, half = INJECTIONS[injection]
    config = LoopedConfig(
        vocab=VOCAB,
        width=width,
        core=depth,
        norm=NORMS[norm],
        injection=kind,
        start="input" if kind == "none" else "normal",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LoopedTransformer(config).eval().requires_grad_(False)
        for module in model.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=gain / sqrt(module.in_features))
        if half:
            model.cores[0].injection.reset()
    return model


class Runs(NamedTuple):
    """What `random_runs` returns."""

    input: Tensor  # X, the embedded tokens [seed, run, token, width]
    states: Tensor  # [seed, run, loop, layer, token, width]


def random_runs(
    norm: str,
    injection: str,
    seeds: Sequence[int],
    inputs: Sequence[int] = (0,),
    *,
    depth: int = 3,
    gain: float = 1.0,
    tokens: int = 12,
    loops: int = 128,
) -> Runs:
    """Runs of random stacks, one stack for each seed.

    Every stack runs once for each of `inputs`: runs of one number share their random tokens, and
    each run has a start of its own where the start is random. In float64, as `grid` runs them;
    names as in `random_stack`.

    >>> random_runs("Huginn", "none", range(2), inputs=(0, 0, 1), tokens=4, loops=5).states.shape
    torch.Size([2, 3, 5, 3, 4, 32])
    """
    stacks = [random_stack(norm, injection, depth, gain, seed).double() for seed in seeds]
    ids = torch.stack(
        [torch.cat([random_tokens(seed + 100 * n, tokens) for n in inputs]) for seed in seeds]
    )
    x = torch.stack([stack.encode(one) for stack, one in zip(stacks, ids, strict=True)])
    return Runs(x, run_together(stacks, ids, loops).movedim(3, 1))


def random_tokens(seed: int, tokens: int) -> Tensor:
    """One random sequence, [1, token]."""
    return torch.randint(VOCAB, (1, tokens), generator=torch.Generator().manual_seed(seed))


def run_together(
    models: Sequence[LoopedTransformer], tokens: Tensor, loops: int, settle: int = 0
) -> Tensor:
    """Trace models of one shape at the same time, each on its own sequence.

    tokens: [model, batch, token]. Returns states [model, loop, layer, batch, token, width], without
    those of the first `settle` loops, which are run and not kept. The numbers are those of `trace`
    up to rounding; the speed is that of one model of few kernels.
    """
    ready = [
        model.prepare(ids, generator=torch.Generator().manual_seed(n))
        for n, (model, ids) in enumerate(zip(models, tokens, strict=True))
    ]
    z, x = (torch.stack([getattr(one, name) for one in ready]) for name in ("start", "x"))
    first = _OnePass(models[0])
    weights, _ = stack_module_state([_OnePass(model) for model in models])
    together = vmap(lambda weights, z, x: functional_call(first, weights, (z, x)))
    states = []
    with torch.no_grad():
        for loop in range(settle + loops):
            z, layers = together(weights, z, x)
            if loop >= settle:
                states.append(layers)
    return torch.stack(states, dim=1)


class _OnePass(nn.Module):
    """A model's step as a module of its own: what `functional_call` can call with any weights."""

    def __init__(self, model: LoopedTransformer):
        super().__init__()
        self.model = model

    def forward(self, z: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        tap = _KeepLayers()
        return self.model.step(z, x, tap=tap), torch.stack(tap.states)


class _KeepLayers:
    patterns = True  # fused attention has no batched form; written out it has

    def __init__(self):
        self.states = []

    def __call__(self, site, value):
        if site.name == "core.resid":
            self.states.append(value)


def judge(states: Tensor) -> dict[str, Any]:
    """What an `Outcome` says of a run, from its states [loop, layer, batch, token, width].

    >>> judge(torch.randn(1, 3, 1, 4, 8).expand(64, -1, -1, -1, -1))["kind"]
    'cycle'
    """
    ends = states[:, -1]
    length = ends.norm(dim=-1)
    growth = (length[-1] / length[len(length) // 2]).median().item()
    # A length may leave float32 before the numbers do: then its growth is not a number.
    if not torch.isfinite(states).all() or not growth <= EXPLODES:
        return {"kind": "explodes", "period": 0, "growth": growth} | dict.fromkeys(
            ("resting", "cosine", "step"), float("nan")
        )
    # Directions: a stream that only grows rests for the norms that read it.
    limit, period = limit_by_period(nn.functional.normalize(ends, dim=-1))
    resting = (limit == Limit.FIXED_POINT).float().mean().item()
    turning = period[limit == Limit.ORBIT]
    cosine = min_layer_cosine(states).mean().item()
    if cosine > DEGENERATE:
        kind = "degenerate"
    elif resting >= SHARE:
        kind = "cycle"
    else:
        kind = "orbit" if resting + len(turning) / limit.numel() >= SHARE else "no rest"
    return {
        "kind": kind,
        "period": int(turning.mode().values) if kind == "orbit" else 0,
        "resting": resting,
        "cosine": cosine,
        "step": relative_step(ends[-2:]).median().item(),
        "growth": growth,
    }


def table(outcomes: Sequence[Outcome]) -> str:
    """How many seeds ended how, by norm and injection (rows) and gain (columns), as Markdown.

    >>> print(table(grid(["pre"], ["none"], [2], [1.0], [0, 1], width=16, tokens=4)))
    | norm | injection | layers | gain 1 | cosine |
    |---|---|---|---|---|
    | pre | none | 2 | 2 degenerate | 1.00 ± 0.00 |
    """
    gains = sorted({o.gain for o in outcomes})
    head = ["norm", "injection", "layers", *(f"gain {gain:g}" for gain in gains), "cosine"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    rows: dict[tuple[str, str, int], list[Outcome]] = {}
    for one in outcomes:
        rows.setdefault((one.norm, one.injection, one.depth), []).append(one)
    for key, row in rows.items():
        cells = [_count([o for o in row if o.gain == gain]) for gain in gains]
        cosine = torch.tensor([o.cosine for o in row if o.kind in ("cycle", "degenerate")])
        spread = f"{cosine.mean():.2f} ± {cosine.std():.2f}" if len(cosine) > 1 else "–"
        lines.append("| " + " | ".join([*map(str, key), *cells, spread]) + " |")
    return "\n".join(lines)


def _count(outcomes: Sequence[Outcome]) -> str:
    counts = [(kind, sum(o.kind == kind for o in outcomes)) for kind in KINDS]
    return ", ".join(f"{n} {kind}" for kind, n in counts if n)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="looplab grid",
        description="What looped stacks of random weights do: the outcome table.",
    )
    parser.add_argument("--width", type=int, default=32, help="numbers in a state (default 32)")
    parser.add_argument("--seeds", type=int, default=3, help="stacks per setting (default 3)")
    parser.add_argument("--depths", type=int, nargs="+", default=[4, 12, 16])
    parser.add_argument("--gains", type=float, nargs="+", default=[0.5, 0.7, 1.0, 1.5, 2.0])
    parser.add_argument("--settle", type=int, default=0, help="loops first that do not count")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="default: all cores")
    parser.add_argument("--out", type=Path, help="write every outcome here as JSON")
    given = parser.parse_args(arguments)
    outcomes = grid(
        depths=given.depths,
        gains=given.gains,
        seeds=range(given.seeds),
        width=given.width,
        settle=given.settle,
        jobs=given.jobs,
    )
    print(table(outcomes))
    if given.out:
        given.out.write_text(json.dumps([asdict(o) for o in outcomes], indent=1) + "\n")
    return 0
