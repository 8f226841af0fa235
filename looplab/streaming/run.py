"""One run, measured while it happens: a result as small as its numbers, at any number of loops."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from looplab.basics.memory import check_bytes
from looplab.basics.tensor_files import check_format, read_tensors, reading, write_tensors
from looplab.measure import min_layer_cosine
from looplab.measure.stages import sink_share
from looplab.model import LoopedConfig, LoopedTransformer, Ready, Site
from looplab.model.given import given_types
from looplab.streaming.statistics import (
    AttentionStatistics,
    KeepStates,
    StateStatistics,
    block_rows,
    precise,
)
from looplab.tracing import MAX_BYTES

FORMAT = "looplab.stream.1"


@dataclass(frozen=True, eq=False)
class Stream:
    """Statistics of one run's core; the numbers that `measure` takes from a whole `Trace`.

    Distances and cosines are to the state of the same layer after recurrence `limit`. What was not
    asked for is None.
    """

    config: LoopedConfig
    limit: int  # recurrence of the reference, counted from 1
    tokens: Tensor  # [batch, token] or [batch, token, field]
    norm: Tensor  # length of the state [loop, layer, batch, token]
    step: Tensor  # step_size [loop - 1, layer, batch, token]
    min_layer_cosine: Tensor  # at the limit, or else after the last loop [batch, token]
    distance: Tensor | None  # distance_to_limit [loop, layer, batch, token]
    cosine: Tensor | None  # cosine_to_limit [loop, layer, batch, token]
    concentration: Tensor | None  # colsum_concentration [loop, layer, batch, head]
    sink: Tensor | None  # sink_score of the first token [loop, layer, batch, head]
    mixing: Tensor | None  # mixing_score [loop, layer, batch, head]
    attention_step: Tensor | None  # attention_step [loop - 1, layer, batch, head]

    @property
    def loops(self) -> int:
        return len(self.norm)

    @property
    def relative_step(self) -> Tensor:
        """`measure.relative_step`: [loop - 1, layer, batch, token]."""
        return self.step / self.norm[1:].clamp_min(torch.finfo(self.norm.dtype).tiny)

    @property
    def relative_distance(self) -> Tensor | None:
        """`measure.distance_to_limit` with relative=True: [loop, layer, batch, token]."""
        if self.distance is None:
            return None
        unit = self.norm[self.limit - 1].clamp_min(torch.finfo(self.norm.dtype).tiny)
        return self.distance / unit

    @property
    def sink_rate(self) -> Tensor | None:
        """`measure.stages.sink_rate` of the first token: [loop, layer, batch]."""
        return None if self.sink is None else sink_share(self.sink)

    def __repr__(self):
        batch, token = self.tokens.shape[:2]
        return (
            f"Stream({self.config.notation}, loops={self.loops}, batch={batch}, tokens={token}, "
            f"limit={self.limit})"
        )

    def save(self, path: str | Path, **header: str) -> Path:
        """Write safetensors in one stroke; an existing file is left alone (FileExistsError)."""
        path = Path(path).expanduser()
        if path.exists():
            raise FileExistsError(f"{path} exists: choose another name or remove it first")
        header |= {"format": FORMAT, "limit": str(self.limit)}
        header["config"] = json.dumps(self.config.to_dict())
        tensors = {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}
        write_tensors(path, tensors, header)
        return path

    @classmethod
    def load(cls, path: str | Path) -> "Stream":
        """Read what `save` wrote; ValueError if the file is damaged or something else."""
        path = Path(path).expanduser()
        with reading(path, "is not a readable stream", "remove it and run again"):
            header, tensors = read_tensors(path)
            check_format(path, header, "looplab stream", FORMAT, "write one with Stream.save")
            empty = dict.fromkeys(name for name in cls.__dataclass_fields__ if name not in tensors)
            known = {
                "config": LoopedConfig.from_dict(json.loads(header["config"])),
                "limit": int(header["limit"]),
            }
            return cls(**empty | tensors | known)


def plan(
    model: LoopedTransformer,
    tokens: Tensor,
    loops: int | None = None,
    *,
    to_limit: bool = True,
    attention: bool = True,
) -> dict[str, int]:
    """Bytes that `stream` takes beside the model and its forward pass; only "statistics" grow
    with the loops.

    >>> model = LoopedTransformer(LoopedConfig(vocab=10, width=16, heads=2, core=2))
    >>> few, many = (plan(model, torch.zeros(1, 5, dtype=torch.long), n) for n in (10, 1000))
    >>> [name for name in few if few[name] != many[name]], many["statistics"]
    (['statistics'], 224000)
    """
    config = model.config
    loops = config.loops if loops is None else loops
    batch, token = tokens.shape[:2]
    dtype, device = model.head.weight.dtype, model.head.weight.device
    item, short = precise(dtype).itemsize, dtype.itemsize
    state = batch * token * config.layer_width
    pattern = token * token
    numbers = loops * config.core * batch * 2 * token * (2 if to_limit else 1)
    # Input and start, and differences of states on the way.
    work = 2 * state * short + 2 * state * item
    sizes = {"previous states": config.core * state * item}
    if to_limit:
        sizes["reference"] = config.core * state * item
    if attention:
        numbers += loops * config.core * batch * 4 * config.heads
        rows = min(block_rows(token, device), batch * config.heads)
        # A pattern and its logarithms, the mask; queries and keys laid out anew.
        work += (2 * rows + 1) * pattern * item
        work += 2 * batch * config.heads * token * config.head_width * item
        sizes["previous patterns"] = config.core * batch * config.heads * pattern * item
    return {"statistics": numbers * item, **sizes, "work": work}


@torch.no_grad()
def stream(
    model: LoopedTransformer,
    tokens: Tensor,
    loops: int | None = None,
    *,
    limit: int | None = None,
    to_limit: bool = True,
    attention: bool = True,
    state: Tensor | None = None,
    generator: torch.Generator | None = None,
    max_bytes: int = MAX_BYTES,
) -> Stream:
    """Run `model` on `tokens` and keep what `measure` would say about every core layer and loop.

    The reference of distances and cosines is the state after recurrence `limit`, None meaning the
    last loop. It is not known until the model has been there, so it costs a first run of `limit`
    loops from the same start; `to_limit=False` leaves it out, as `attention=False` does patterns.
    Where the second run repeats the first bit for bit, the distance at `limit` is exactly 0.

    Raises MemoryError naming the sizes when `plan` says more than `max_bytes`, and ValueError for
    a limit outside the run and as the model's forward pass does.

    >>> model = LoopedTransformer(LoopedConfig(vocab=10, width=16, heads=2, core=2))
    >>> run = stream(model, torch.arange(5)[None], loops=100)
    >>> run.distance.shape, run.mixing.shape
    (torch.Size([100, 2, 1, 5]), torch.Size([100, 2, 1, 2]))
    """
    loops = model.check_loops(loops)
    limit = loops if limit is None else limit
    if not 1 <= limit <= loops:
        raise ValueError(f"limit={limit}: this run covers recurrences 1 to {loops}")
    types = given_types(None, tokens)
    tokens, mask = model.read(tokens)
    if mask is not None:
        raise ValueError(
            "these tokens are padded, and a stream's averages take every token: run prompts of one "
            "length together, as looplab trace does"
        )
    sizes = plan(model, tokens, loops, to_limit=to_limit, attention=attention)
    check_bytes("this run, beside the model,", sizes, max_bytes, _advice(sizes))

    ready = model.prepare(tokens, types=types, state=state, generator=generator)
    reference = _first_run(model, ready, loops, limit) if to_limit else None
    states = StateStatistics(model, ready.x, loops, reference)
    heads = AttentionStatistics(model, ready, loops) if attention else None

    def tap(site: Site, value: Tensor) -> None:
        if heads is not None:
            heads(site, value)
        states(site, value)

    for _ in model.passes(ready, loops, tap=tap):
        pass

    cosine = _to_cosine(states, limit) if to_limit else None
    sums = sink = mixing = moved = None
    if heads is not None:
        sums, sink, mixing, moved = heads.result()
        moved = moved[1:]
    return Stream(
        model.config,
        limit,
        tokens,
        states.norm,
        states.step[1:],
        _least_cosine(states.previous if reference is None else reference),
        states.distance,
        cosine,
        sums,
        sink,
        mixing,
        moved,
    )


def _first_run(model: LoopedTransformer, ready: Ready, loops: int, limit: int) -> Tensor:
    """Every layer's state after recurrence `limit`: [layer, batch, token, width]."""
    keep = KeepStates(model, ready.x)

    def last(site: Site, value: Tensor) -> None:
        if site.loop == limit - 1:
            keep(site, value)

    for loop, _ in model.passes(ready, loops, tap=last):
        if loop == limit - 1:
            break
    return keep.states


def _to_cosine(states: StateStatistics, limit: int) -> Tensor:
    """Inner products with the reference, divided by both lengths: [loop, layer, batch, token]."""
    unit = states.norm[limit - 1].clamp_min(1e-8)  # as torch's cosine_similarity guards them
    for along, length in zip(states.along, states.norm, strict=True):  # loops may be many
        along.div_(length.clamp_min(1e-8) * unit)
    return states.along


def _least_cosine(points: Tensor) -> Tensor:
    """`min_layer_cosine` of states [layer, batch, token, width], two at a time to save memory."""
    pairs = (torch.stack((points[0], point)) for point in points)
    return torch.stack([min_layer_cosine(pair[None]) for pair in pairs]).amin(0)


def _advice(sizes: dict[str, int]) -> str:
    remedy = {
        "previous patterns": "attention=False",
        "reference": "to_limit=False",
    }.get(max(sizes, key=sizes.get), "shorter sequences")
    return f"run fewer sequences at a time, {remedy}"
