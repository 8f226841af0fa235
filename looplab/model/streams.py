"""Hyper-connections: a state of several streams, with gates that read from, write to and keep them.

The state of a model with n streams is [batch, token, n * width], stream after stream. One
connection stands around a whole pass (Hyperloop) or around every branch of the core's layers (mHC):
it reads one input out of the streams, and writes one output back to all of them.

Sources: Hyperloop, arXiv 2604.21254, section 2, with the initial values of its authors' code; mHC,
arXiv 2512.24880.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from looplab.model.config import LoopedConfig
from looplab.model.layers import Layer, Visit
from looplab.model.tap import Site, Tap, show

SINKHORN_ROUNDS = 20  # of dividing rows and columns by their sums (mHC)
_TINY = 1e-20  # keeps a state of zeros from dividing by zero


class Maps(NamedTuple):
    """One connection's gates for one state: different for every token."""

    pre: Tensor  # share of each stream in the input, 0 to 1 [..., stream]
    post: Tensor  # what each stream gets of the output, 0 to 2 [..., stream]
    # what each stream keeps of itself, 0 to 1 [..., stream], or of all [..., stream, stream]
    res: Tensor | None  # None: all of it


class Gate(nn.Module):
    """`alpha * phi(g) + bias`: numbers, before their sigmoid, from the normed streams g."""

    def __init__(self, inputs: int, outputs: int, bias: float):
        super().__init__()
        self.phi = nn.Linear(inputs, outputs, bias=False)
        self.alpha = nn.Parameter(torch.empty(1))
        self.bias = nn.Parameter(torch.empty(outputs))
        self.begin = bias

    def reset(self):
        """Start nearly constant: gates depend on the state by a hundredth of what phi says."""
        self.phi.reset_parameters()
        nn.init.constant_(self.alpha, 0.01)
        nn.init.constant_(self.bias, self.begin)

    def forward(self, g: Tensor) -> Tensor:
        return self.alpha * self.phi(g) + self.bias


class StreamMaps(nn.Module):
    """H_pre, H_post and H_res of one connection at one loop, and that loop's own embedding."""

    def __init__(self, config: LoopedConfig):
        super().__init__()
        n, flat = config.streams, config.streams * config.width
        self.carry = config.stream_carry
        self.pre = Gate(flat, n, 1 / n)
        self.post = Gate(flat, n, 0.0)
        self.res = None
        if self.carry == "diagonal":
            self.res = Gate(flat, n, 1.0)
        elif self.carry == "sinkhorn":
            self.res = Gate(flat, n * n, 0.0)
        self.embed = None  # added to what the pass writes
        if config.loop_embed:
            self.embed = nn.Parameter(torch.empty(config.width))

    def reset(self, std: float):
        for gate in (self.pre, self.post, self.res):
            if gate is not None:
                gate.reset()
        if self.embed is not None:
            nn.init.normal_(self.embed, std=std)

    def forward(self, y: Tensor) -> Maps:
        """Gates for the streams `y` [batch, token, stream, width]."""
        flat = y.flatten(-2)
        g = flat * torch.rsqrt(flat.square().mean(-1, keepdim=True) + _TINY)
        res = None
        if self.carry == "diagonal":
            res = self.res(g).sigmoid()
        elif self.carry == "sinkhorn":
            res = sinkhorn(self.res(g).unflatten(-1, (y.shape[-2], y.shape[-2])))
        return Maps(self.pre(g).sigmoid(), 2 * self.post(g).sigmoid(), res)


def sinkhorn(logits: Tensor) -> Tensor:
    """exp of `logits` [..., row, column], scaled until rows and columns sum to one.

    Source: mHC, arXiv 2512.24880; here in the log domain, where a round is two operations.

    >>> sinkhorn(torch.tensor([[1.0, 3.0], [3.0, 1.0]]).log())
    tensor([[0.2500, 0.7500],
            [0.7500, 0.2500]])
    """
    for _ in range(SINKHORN_ROUNDS):
        logits = logits.log_softmax(-1).log_softmax(-2)
    return logits.exp()


class HyperConnection(nn.Module):
    """Reads one input [batch, token, width] out of a state of streams, and writes one back.

    It has one set of maps for each loop, or one for all; a loop beyond the last set uses the last.

    >>> from looplab import LoopedConfig
    >>> connection = HyperConnection(LoopedConfig(vocab=10, width=16, streams=4, loops=3))
    >>> connection.reset(std=0.1)
    >>> state = torch.randn(1, 5, 4 * 16)
    >>> inside, maps = connection.read(state, loop=0)
    >>> inside.shape, connection.write(state, inside, maps, loop=0).shape
    (torch.Size([1, 5, 16]), torch.Size([1, 5, 64]))
    """

    def __init__(self, config: LoopedConfig):
        super().__init__()
        self.streams = config.streams
        self.maps = nn.ModuleList(StreamMaps(config) for _ in range(config.stream_sets))

    def reset(self, std: float):
        for maps in self.maps:
            maps.reset(std)

    def read(
        self,
        z: Tensor,
        loop: int,
        *,
        tap: Tap | None = None,
        layer: int | None = None,
        name: str = "core.",
    ) -> tuple[Tensor, Maps]:
        """Input of what the connection is around, and the maps that `write` wants."""
        y = z.unflatten(-1, (self.streams, -1))
        maps = self.at(loop)(y)
        if tap is not None:
            shown = {
                key: show(tap, Site(loop, layer, f"{name}h_{key}"), value)
                for key, value in maps._asdict().items()
                if value is not None
            }
            maps = maps._replace(**shown)
        return (maps.pre[..., None] * y).sum(-2), maps

    def write(self, z: Tensor, out: Tensor, maps: Maps, loop: int) -> Tensor:
        """The next state, from the one that was read and the output `out` [batch, token, width]."""
        y = z.unflatten(-1, (self.streams, -1))
        embed = self.at(loop).embed
        if embed is not None:
            out = out + embed
        if maps.res is not None:
            whole = maps.res.dim() == y.dim()  # a matrix for every token, not a gate
            y = maps.res @ y if whole else maps.res[..., None] * y
        return (y + maps.post[..., None] * out[..., None, :]).flatten(-2)

    def at(self, loop: int) -> StreamMaps:
        """The set of maps that `loop`, from 0, uses."""
        return self.maps[min(loop, len(self.maps) - 1)]


class StreamLayer(Layer):
    """A layer of the core with a connection around each of its branches (mHC)."""

    def __init__(self, config: LoopedConfig, embeds_values: bool = False):
        super().__init__(config, embeds_values)
        self.hyper_attn = HyperConnection(config)
        self.hyper_mlp = HyperConnection(config)

    def forward(self, x: Tensor, visit: Visit) -> Tensor:
        x = self._around(x, self.hyper_attn, visit, "attn", self._attend)
        x = visit.show("resid_mid", x)
        x = self._around(x, self.hyper_mlp, visit, "mlp", self._think)
        return visit.show("resid", x)

    def _around(self, x: Tensor, hyper: HyperConnection, visit: Visit, name: str, branch) -> Tensor:
        where = f"{visit.part}.{name}."
        inside, maps = hyper.read(x, visit.loop, tap=visit.tap, layer=visit.layer, name=where)
        return hyper.write(x, visit.show(f"{name}.out", branch(inside, visit)), maps, visit.loop)

    def _attend(self, x: Tensor, visit: Visit) -> Tensor:
        return self.n2(self.attn(self.n1(x), visit))

    def _think(self, x: Tensor, visit: Visit) -> Tensor:
        return self.n4(self.mlp(self.n3(x)))


def merge(z: Tensor, streams: int) -> Tensor:
    """The mean of a state's streams: [..., stream * width] to [..., width].

    >>> merge(torch.tensor([[1.0, 2.0, 3.0, 4.0]]), streams=2)
    tensor([[2., 3.]])
    """
    return z if streams < 2 else z.unflatten(-1, (streams, -1)).mean(-2)
