"""What hyper-connections do in a run: the streams, the gates, and what a pass writes to them.

Source: Hyperloop, arXiv 2604.21254, section 2.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from looplab.measure.shapes import precise
from looplab.model import LoopedTransformer, Site

__all__ = ["StreamPasses", "stream_passes"]

_GATES = ("core.h_pre", "core.h_post", "core.h_res")


class StreamPasses(NamedTuple):
    """One run, stream by stream: streams[t + 1] = res[t] * streams[t] + post[t] * written[t]."""

    streams: Tensor  # the start, then after each loop [loop + 1, batch, token, stream, width]
    written: Tensor  # what a pass gives to be written [loop, batch, token, width]
    pre: Tensor  # H_pre, the share of each stream that is read, 0 to 1 [loop, batch, token, stream]
    post: Tensor  # H_post, how much of `written` each gets, 0 to 2 [loop, batch, token, stream]
    res: Tensor  # H_res, what each keeps of itself, 0 to 1 [loop, batch, token, stream]


@torch.no_grad()
def stream_passes(
    model: LoopedTransformer,
    tokens: Tensor,
    loops: int | None = None,
    generator: torch.Generator | None = None,
) -> StreamPasses:
    """Run `model` on `tokens` and keep its streams, gates, and what every pass writes.

    `written` is the output of the last layer, with the embedding of its loop where a model has one.
    Where streams are mixed (stream_carry="sinkhorn"), `res` is the diagonal of the matrix. Raises
    ValueError where there are no gates around a pass, and as the model's forward pass does.

    >>> from looplab import LoopedConfig
    >>> model = LoopedTransformer(LoopedConfig(vocab=9, width=16, core=2, loops=3, streams=4))
    >>> run = stream_passes(model, torch.tensor([[1, 2, 3]]))
    >>> run.streams.shape, run.post.shape
    (torch.Size([4, 1, 3, 4, 16]), torch.Size([3, 1, 3, 4]))
    """
    config = model.config
    if not config.streams or config.stream_unit != "pass":
        raise ValueError(
            f"streams={config.streams}, stream_unit={config.stream_unit!r}: this model has no "
            "gates around a pass; expected streams=4, say, and stream_unit='pass' (Hyperloop)"
        )
    tokens, mask = model.read(tokens)
    keep = _Keep(config.core - 1)
    ready = model.prepare(tokens, mask=mask, generator=generator)
    ends = [ready.start, *(z for _, z in model.passes(ready, loops, tap=keep))]
    streams = precise(torch.stack(ends)).unflatten(-1, (config.streams, -1))
    written = [out + _embedding(model, loop) for loop, out in enumerate(keep.outputs)]
    found = {name: torch.stack(values) for name, values in keep.gates.items() if values}
    pre, post, res = (found.get(name) for name in _GATES)
    if res is None:  # stream_carry="identity"
        res = torch.ones_like(pre)
    elif res.dim() > pre.dim():
        res = res.diagonal(dim1=-2, dim2=-1)
    return StreamPasses(streams, torch.stack(written), pre, post, res)


class _Keep:
    """A tap that keeps the gates of every pass, and what its last layer gives."""

    def __init__(self, last: int):
        self.last = last
        self.outputs: list[Tensor] = []
        self.gates: dict[str, list[Tensor]] = {name: [] for name in _GATES}

    def __call__(self, site: Site, value: Tensor) -> None:
        if site.name in self.gates:
            self.gates[site.name].append(precise(value))
        elif site.name == "core.resid" and site.layer == self.last:
            self.outputs.append(precise(value))


def _embedding(model: LoopedTransformer, loop: int) -> Tensor | float:
    """What is added to the output of the pass `loop`, from 0 [width]."""
    core = model.cores[0 if model.config.tied else loop]
    embed = core.hyper.at(loop).embed
    return 0.0 if embed is None else precise(embed)
