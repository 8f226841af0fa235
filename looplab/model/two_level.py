"""A loop in a loop: a low stack of layers that runs several times for each run of a high one (HRM).

The state is the high level's and the low level's, one behind the other, [batch, token, 2 * width];
the answer is read out of the first half. A pass is one cycle of the high level:

    low_cycles times:  z_L = low(z_L + z_H)
    then:              z_H = high(z_H + z_L)

where a stack ends in a norm. z_H begins as the input, which does not come back later; z_L as one
vector for all tokens.

Source: HRM, arXiv 2506.21734; HRM-Text as transformers 5.23 has it.
"""

import torch
from torch import Tensor, nn

from looplab.model.config import LoopedConfig
from looplab.model.injection import INJECTIONS
from looplab.model.layers import Context, Visit, make_layers
from looplab.model.norms import make_norm
from looplab.model.tap import Site, Tap, show


class TwoLevelCore(nn.Module):
    """One pass: `low_cycles` runs of the low stack, then one of the high stack.

    A layer is counted every time that it runs: the low stack's first run, its second ..., the high
    stack's.
    """

    def __init__(self, config: LoopedConfig):
        super().__init__()
        self.cycles = config.low_cycles
        self.injection = INJECTIONS["none"](config.width, False, config.injection_eps)
        self.low = make_layers(config, 0, config.stack)
        self.high = make_layers(config, 0, config.stack)
        self.low_norm, self.high_norm = (
            make_norm(config.norm_kind, config.width, config.norm_eps) for _ in range(2)
        )
        self.low_start = nn.Parameter(torch.zeros(config.width))

    def begin(self, x: Tensor) -> Tensor:
        """The state at loop 0 [batch, token, 2 * width] for the input [batch, token, width]."""
        return torch.cat((x, self.low_start.to(x).expand_as(x)), dim=-1)

    def forward(
        self, z: Tensor, x: Tensor, context: Context, tap: Tap | None, loop: int, first_layer: int
    ) -> Tensor:
        """State [batch, token, 2 * width] to the next; the input is only its beginning."""
        high, low = z.chunk(2, dim=-1)
        for cycle in range(self.cycles):
            low = self.low_norm(self._run(self.low, low + high, context, tap, loop, cycle))
        high = self.high_norm(self._run(self.high, high + low, context, tap, loop, self.cycles))
        return show(tap, Site(loop, None, "core.loop_end"), torch.cat((high, low), dim=-1))

    def _run(
        self,
        stack: nn.ModuleList,
        z: Tensor,
        context: Context,
        tap: Tap | None,
        loop: int,
        run: int,
    ) -> Tensor:
        for number, layer in enumerate(stack):
            z = layer(z, Visit(context, "core", loop, run * len(stack) + number, tap))
        return z
