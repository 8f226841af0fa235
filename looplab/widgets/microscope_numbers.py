"""The arrays that the loop microscope draws and the room that they take on its panels.

Computed from one run or two; `MicroscopeMeta` says what is in each.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from looplab.measure import cycle_pca, distance_to_limit, relative_step
from looplab.model import Loop
from looplab.tracing import Trace
from looplab.widgets.stepper import whole

MATRIX_CLASSES = 32  # up to here every answer has its own column; beyond, the likeliest are named
TOP = 3
HEADS_BYTES = 100_000  # patterns above this many bytes travel as the mean over heads
MOST_BYTES = 8_000_000

Channels = dict[str, tuple[np.ndarray, int]]  # as payload.pack takes them


@dataclass(frozen=True)
class Run:
    """One sequence of a trace, and the model that reads its answers."""

    trace: Trace
    model: Loop | None
    item: int
    states: Tensor  # [loop, layer, token, width], float64

    @classmethod
    def of(cls, trace: Trace, model: Loop | None, item: int) -> "Run":
        """ValueError when there are no states, no such sequence, or states that are not finite."""
        if trace.states is None:
            raise ValueError('this trace has no states: record it with keep=("states",)')
        batch = trace.states.shape[2]
        if not 0 <= whole("item", item) < batch:
            raise ValueError(f"item={item}: this trace holds sequences 0 to {batch - 1}")
        states = trace.states[:, :, item].double()
        if not torch.isfinite(states).all():
            bad = int((~torch.isfinite(states)).flatten(1).any(1).nonzero()[0]) + 1
            raise ValueError(f"the states are not finite from loop {bad} on: trace fewer loops")
        return cls(trace, model, item, states)

    @property
    def start(self) -> Tensor:
        """The state before any pass [token, width], float64."""
        return self.trace.start[self.item].double()


class Planes(NamedTuple):
    """The plane of every token's path."""

    mean: Tensor  # [token, width]
    axes: Tensor  # [token, 2, width], orthonormal; zero where a path has fewer dimensions
    explained: Tensor  # share of the movement along each axis [token, 2]

    @classmethod
    def of(cls, states: Tensor) -> "Planes":
        """Fitted to states [loop, layer, token, width], each token for itself."""
        loops, layers, tokens, width = states.shape
        components = min(2, loops * layers, width)
        found = [cycle_pca(states[:, :, token], components) for token in range(tokens)]
        missing = 2 - components  # a single point or one-wide states have no second axis
        return cls(
            torch.stack([one.mean for one in found]),
            F.pad(torch.stack([one.axes for one in found]), (0, 0, 0, missing)),
            F.pad(torch.stack([one.explained for one in found]), (0, missing)),
        )

    def project(self, states: Tensor) -> Tensor:
        """[..., token, width] -> [..., token, 2]."""
        return torch.einsum("...tw,tcw->...tc", states - self.mean, self.axes)


class Answers(NamedTuple):
    """What each loop's end reads out as."""

    channels: Channels
    names: list[str]  # of the answers that travel
    classes: int  # columns of the matrix; 0: the likeliest answers travel instead
    targets: list[int] | None  # right answers, as indices of `names`


def positions(who: str, run: Run, planes: Planes) -> Channels:
    """Where every state is in its token's plane."""
    points, start = planes.project(run.states), planes.project(run.start)
    return {f"{who}.points": (points.numpy(), 2), f"{who}.start": (start.numpy(), 2)}


def distances(who: str, run: Run) -> Channels:
    """log10 of relative distance to the last loop, and of the relative step [loop+1, layer, token].

    Row 0 is the start state; it precedes layer 1, so it has a value for the last layer only, whose
    state is what a loop starts from.
    """
    before = torch.full_like(run.states[:1], torch.nan)
    before[0, -1] = run.start
    path = torch.cat([before, run.states])  # [loop+1, layer, token, width]
    distance, step = distance_to_limit(path, relative=True), relative_step(path)
    # To a state of no length nothing is relative: a gap in the line.
    some = run.states.norm(dim=-1) > 0  # [loop, layer, token]
    distance, step = distance.where(some[-1], torch.nan), step.where(some, torch.nan)
    step = torch.cat([torch.full_like(step[:1], torch.nan), step])
    return {
        f"{who}.distance": (distance.log10().numpy(), 2),
        f"{who}.step": (step.log10().numpy(), 2),
    }


def attention(who: str, run: Run, runs: int) -> Channels:
    """Every head's patterns, or their mean where `runs` runs of them would be too many bytes."""
    patterns = run.trace.attention[:, :, run.item].float()  # [loop, layer, head, token, token]
    if patterns.numel() * runs > HEADS_BYTES:
        patterns = patterns.mean(2, keepdim=True)
    if patterns.numel() > MOST_BYTES:
        raise ValueError(
            f"the attention of {patterns.shape[0]} loops and {patterns.shape[-1]} tokens would "
            f"take {patterns.numel() / 1e6:.0f} MB in the browser: trace fewer loops or tokens, or "
            'leave "attention" out of keep'
        )
    return {f"{who}.attention": (patterns.numpy(), 1)}


def answers(runs: dict[str, Run], targets: list[int] | None, names) -> Answers:
    """A probability for every class, or the likeliest few where there are many classes.

    names: one for each answer, or None for their numbers. ValueError when the models, targets and
    names do not fit together.
    """
    classes = runs["main"].model.config.answers
    if names is not None and len(names) != classes:
        raise ValueError(f"answer_names has {len(names)} names: this model has {classes} answers")
    if targets is not None and not all(0 <= t < classes for t in targets):
        wrong = next(t for t in targets if not 0 <= t < classes)
        raise ValueError(f"targets hold {wrong}: this model's answers are 0 to {classes - 1}")
    for run in runs.values():
        if run.model.config.answers != classes:
            raise ValueError(
                f"compare's model has {run.model.config.answers} answers: expected {classes}"
            )
    name = str if names is None else lambda answer: str(names[answer])
    if classes <= MATRIX_CLASSES:
        channels = {
            f"{who}.answers": (torch.stack(list(_read(run))).numpy(), 1)
            for who, run in runs.items()
        }
        return Answers(channels, [name(i) for i in range(classes)], classes, targets)
    # A large vocabulary: only the answers that appear travel, under small numbers of their own.
    tops = {}
    for who, run in runs.items():
        rows = [probability.topk(TOP, dim=-1) for probability in _read(run)]
        tops[who] = tuple(torch.stack(part).numpy() for part in zip(*rows, strict=True))
    used = {i for _, top in tops.values() for i in np.unique(top).tolist()} | set(targets or [])
    used = sorted(used)
    channels = {}
    for who, (likely, top) in tops.items():
        channels[f"{who}.top"] = (np.searchsorted(used, top), 2)
        channels[f"{who}.top_p"] = (likely, 1)
    small = None if targets is None else np.searchsorted(used, targets).tolist()
    return Answers(channels, [name(i) for i in used], 0, small)


def decades(numbers: dict, channel: str) -> list[float]:
    """Whole decades around every value of a channel, both runs."""
    values = np.concatenate([v.ravel() for n, v in numbers.items() if n.endswith("." + channel)])
    values = values[np.isfinite(values)]
    if not values.size:
        return [-1.0, 0.0]
    low, high = float(np.floor(values.min())), float(np.ceil(values.max()))
    return [low, high if high > low else low + 1]


def extents(numbers: dict) -> list[list[float]]:
    """x0, x1, y0, y1 of everything drawn in each token's plane, never of no size."""
    tokens = numbers["main.start"].shape[0]
    clouds = [numbers["main.points"].reshape(-1, tokens, 2), numbers["main.start"][None]]
    if "other.points" in numbers:
        clouds += [numbers["other.points"].reshape(-1, tokens, 2), numbers["other.start"][None]]
    cloud = np.concatenate(clouds)
    low, high = cloud.min(0), cloud.max(0)
    least = np.maximum((high - low).max(-1, keepdims=True) * 0.05, 1e-9)
    middle, half = (low + high) / 2, np.maximum((high - low) / 2, least)
    low, high = middle - half, middle + half
    return [
        [float(f"{v:.6g}") for v in row]
        for row in np.stack([low[:, 0], high[:, 0], low[:, 1], high[:, 1]], 1)
    ]


def largest_weights(patterns: np.ndarray) -> list[list[float]]:
    """Largest weight of every layer: of the mean of heads, then of each head."""
    most = [patterns.mean(2).max((0, 2, 3)), *np.moveaxis(patterns.max((0, 3, 4)), 1, 0)]
    return [[float(f"{v:.4g}") for v in row] for row in np.stack(most, 1)]


def _read(run: Run):
    """Probabilities [token, class] of every loop's end, the start first."""
    # One loop at a time: with a large vocabulary all of them at once would not fit.
    one = slice(run.item, run.item + 1)
    for state in (run.trace.start, *run.trace.loop_ends):
        with torch.no_grad():
            logits = run.model.readout(state[one], run.trace.tokens[one])
        yield logits[0].float().softmax(-1)
