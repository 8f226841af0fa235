"""Taps: one optional function that sees, and may replace, every named value of a forward pass.

Recording, streaming a measurement, ablating and patching are all taps. A tap is any callable
`tap(site, value) -> None | Tensor`; a returned tensor takes the value's place. With `tap=None`
the forward pass pays nothing.

Attention runs fused unless the tap has a true attribute `patterns`; then the softmax is written
out and the pattern itself is offered as `core.attn.pattern`.

Names, in the order in which a pass meets them (`core` also reads `prelude` or `coda`):

    embed            [batch, token, width]        token embeddings
    input            [batch, token, width]        X, after the prelude
    start            [batch, token, width]        state at loop 0
    core.inject      [batch, token, width]        state after input injection (once per loop)
    core.attn.q      [batch, head, token, width]  queries, rotated
    core.attn.k      [batch, head, token, width]  keys, rotated, one per query head
    core.attn.pattern[batch, head, token, token]  rows sum to one (query, key)
    core.attn.out    [batch, token, width]        attention branch, as it is added
    core.resid_mid   [batch, token, width]        stream between the two branches
    core.mlp.out     [batch, token, width]        MLP branch, as it is added
    core.resid       [batch, token, width]        stream after the layer
    core.loop_end    [batch, token, width]        what the next loop starts from
    logits           [batch, token, vocab]
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor


class Site(NamedTuple):
    """Where a value stands: `loop` is None outside the core, `layer` is None between layers."""

    loop: int | None
    layer: int | None
    name: str


Tap = Callable[[Site, Tensor], Tensor | None]


def visit(tap: Tap | None, loop: int | None, layer: int | None, name: str, value: Tensor) -> Tensor:
    """Show `value` to the tap and return what the forward pass goes on with."""
    if tap is None:
        return value
    replacement = tap(Site(loop, layer, name), value)
    return value if replacement is None else replacement
