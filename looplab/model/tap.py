"""Taps: one optional function that sees, and may replace, every named value of a forward pass.

Recording, streaming a measurement, ablating and patching are all taps. A tap is any callable
`tap(site, value) -> None | Tensor`; a returned tensor takes the value's place. With `tap=None`
the forward pass pays nothing.

Attention runs fused, and no pattern is ever formed, unless the tap carries a true attribute
`patterns` (a function can carry one too: `tap.patterns = True`); then the softmax is written out
and the pattern itself is offered as `core.attn.pattern`. A tap without the attribute wants none.

Names, in the order in which a pass meets them (`core` also reads `prelude` or `coda`):

    embed            [batch, token, embed_width]  token embeddings
    input            [batch, token, width]        X, after the prelude
    start            [batch, token, width]        state at loop 0
    core.h_pre       [batch, token, stream]       gates of a pass with streams, and core.h_post,
                                                  core.h_res; core.attn.h_pre, core.mlp.h_pre ...
    core.inject      [batch, token, width]        state after input injection (once per loop)
    core.attn.q      [batch, head, token, width]  queries, rotated
    core.attn.k      [batch, head, token, width]  keys, rotated, one per query head
    core.attn.pattern[batch, head, token, token]  rows sum to one (query, key)
    core.attn.out    [batch, token, width]        attention branch, as it is added
    core.resid_mid   [batch, token, width]        stream between the two branches
    core.mlp.out     [batch, token, width]        MLP branch, as it is added
    core.resid       [batch, token, width]        stream after the layer
    core.loop_end    [batch, token, width]        what the next loop starts from
    core.gate        [batch, token]               exit gate before its sigmoid, where it is asked
    logits           [batch, token, vocab]

A model with n streams has n * width numbers in `start`, `core.loop_end` and, where the connections
are around its branches, `core.resid_mid` and `core.resid`.
"""

from typing import NamedTuple, Protocol

from torch import Tensor

OUTSIDE = ("embed", "input", "start", "logits")  # once a run, between layers
OF_LOOPS = ("inject", "h_pre", "h_post", "h_res", "loop_end", "gate")  # of the core, between layers
OF_LAYERS = (
    *("attn.q", "attn.k", "attn.pattern", "attn.out", "resid_mid", "mlp.out", "resid"),
    *(f"{branch}.h_{gate}" for branch in ("attn", "mlp") for gate in ("pre", "post", "res")),
)
PARTS = ("prelude", "core", "coda")


class Site(NamedTuple):
    """Where a value stands: `loop` is None outside the core, `layer` is None between layers."""

    loop: int | None
    layer: int | None
    name: str


class Tap(Protocol):
    """A function of the site and its value; `patterns = True` on it asks for attention patterns.

    It returns None to leave the value as it is, or a tensor of the same shape to replace it.
    """

    def __call__(self, site: Site, value: Tensor) -> Tensor | None: ...


def wants_patterns(tap: Tap | None) -> bool:
    """Whether attention has to be written out for this tap.

    >>> wants_patterns(None), wants_patterns(lambda site, value: None)
    (False, False)
    """
    return bool(getattr(tap, "patterns", False))


def show(tap: Tap | None, site: Site, value: Tensor) -> Tensor:
    """Show `value` to the tap and return what the forward pass goes on with."""
    if tap is None:
        return value
    replacement = tap(site, value)
    return value if replacement is None else replacement
