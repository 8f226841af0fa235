"""The core: what is looped. One pass of it is input injection and k layers."""

from torch import Tensor, nn

from looplab.model.config import LoopedConfig
from looplab.model.injection import INJECTIONS
from looplab.model.layers import Context, GainLayer, Layer, Visit, make_layers
from looplab.model.norms import make_norm
from looplab.model.streams import HyperConnection, StreamLayer
from looplab.model.tap import Site, Tap, show


class Core(nn.Module):
    """One pass: injection, k layers, and what a placement of norms has at the end of a loop."""

    def __init__(self, config: LoopedConfig):
        super().__init__()
        self.stride, self.minus_state = config.stride, config.minus_state
        self.injection = INJECTIONS[config.injection](
            config.width, config.injection_bias, config.injection_eps
        )
        self.hyper, kind = None, Layer
        if config.streams and config.stream_unit == "pass":
            self.hyper = HyperConnection(config)
        elif config.streams:
            kind = StreamLayer
        elif config.branch_gain is not None:
            kind = GainLayer
        self.layers = make_layers(config, config.prelude, config.core, kind)
        self.loop_norm = None
        if config.placement.loop_end:
            kind = "bare" if config.placement.bare_end else config.norm_kind
            self.loop_norm = make_norm(kind, config.width, config.norm_eps)

    def forward(
        self, z: Tensor, x: Tensor, context: Context, tap: Tap | None, loop: int, first_layer: int
    ) -> Tensor:
        """State and input [batch, token, width] to the next state; `first_layer` rotates it.

        A state of streams [batch, token, stream * width] is read in front of the layers, and
        written to behind them.
        """
        begin, count = z, len(self.layers)
        for n in range(count):
            layer = (first_layer + n) % count
            if layer == 0:
                if self.hyper is not None:
                    z, maps = self.hyper.read(z, loop, tap=tap)
                z = show(tap, Site(loop, None, "core.inject"), self.injection(z, x))
            z = self.layers[layer](z, Visit(context, "core", loop, layer, tap))
            if layer == count - 1:
                if self.hyper is not None:
                    z = self.hyper.write(begin, z, maps, loop)
                z = self.end_loop(z, begin)
                z = show(tap, Site(loop, None, "core.loop_end"), z)
        return z

    def end_loop(self, z: Tensor, begin: Tensor) -> Tensor:
        """What a loop ends in: from the state its last layer left, and the one it began with."""
        if self.loop_norm is not None:
            z = self.loop_norm(z)
        if self.minus_state:
            z = z - begin
        return z if self.stride == 1 else begin + self.stride * (z - begin)
