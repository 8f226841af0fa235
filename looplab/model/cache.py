"""Keys and values of the tokens seen so far, so that a new token need not run the old ones again.

A looped model meets each core layer once per loop, with other keys each time. So a full cache has
a slot for every (loop, layer), and one for every prelude and coda layer:

    prelude  [slot = 1,    layer, key or value, batch, key head, token, width]
    core     [slot = loop, layer, key or value, batch, key head, token, width]
    coda     [slot = 1,    layer, key or value, batch, key head, token, width]

With fewer slots than loops, loop r (from 0) uses slot r modulo `slots`. While a token runs, it
finds in a slot what the earlier tokens wrote there last: with `slots=1` their last loop, whichever
loop it is in itself. That is Huginn's fixed budget; near a fixed point it changes little.

A token that ran fewer loops than the cache has slots for leaves the keys and values of its last
loop in the slots that it never reached, for tokens that run on to look at (Huginn: "latest").
"""

from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from looplab.basics.whole import whole_number
from looplab.model.given import as_mask
from looplab.model.layers import Context, rotary_table


class Cache:
    """What a `LoopedTransformer` keeps of the tokens before; it grows as needed.

    `batch` sequences, up to `loops` loops (None: as the config says), memory for `tokens` tokens at
    first. `slots` is the cache budget: None keeps every loop, fewer slots are shared by the loops.
    `mask` [batch, token] is True where a token is and False where padding stands on its left; it is
    as wide as the prompt, which may come in parts. Raises ValueError for attention that looks
    ahead, for sizes below 1, for other padding, and for parts that do not end where the mask does.

    Source: Huginn, arXiv 2502.05171, sections 4.3 and 6.2.

    >>> from looplab import LoopedConfig, LoopedTransformer
    >>> model = LoopedTransformer(LoopedConfig(vocab=10, width=16, heads=2, core=2, loops=3))
    >>> tokens, cache = torch.tensor([[1, 2, 3, 4]]), Cache(model)
    >>> with torch.no_grad():
    ...     whole = model(tokens).logits
    ...     parts = [model(part, cache=cache).logits for part in tokens.split([3, 1], dim=1)]
    >>> cache, torch.allclose(torch.cat(parts, dim=1), whole, atol=1e-5)
    (Cache(tokens=4, slots=3 for 3 loops), True)
    """

    def __init__(
        self,
        model: nn.Module,
        batch: int = 1,
        loops: int | None = None,
        *,
        slots: int | None = None,
        tokens: int = 64,
        mask: Tensor | None = None,
    ):
        config = model.config
        if config.attention not in ("causal", "window"):
            raise ValueError(
                f"attention={config.attention!r} lets tokens look ahead, so a new token changes "
                "the old ones: a cache needs attention='causal' or 'window'"
            )
        if config.solver != "plain":
            raise ValueError(
                f"solver={config.solver!r} mixes over all tokens of a sequence, so a new token "
                "changes the old ones: a cache needs model.with_solver('plain')"
            )
        self.loops = config.loops if loops is None else whole_number("loops", loops, 1)
        self.slots = (
            self.loops if slots is None else min(whole_number("slots", slots, 1), self.loops)
        )
        batch = whole_number("batch", batch, 1)
        self.config, self.batch = config, batch
        self.length = 0  # tokens held
        self._padding = None if mask is None else _left_padding(mask, batch, model.device)
        tokens = max(tokens, 1)
        self._parts = {
            part: model.head.weight.new_zeros(
                slots, layers, 2, batch, config.key_heads, tokens, config.head_width
            )
            for part, slots, layers in (
                ("prelude", 1, config.prelude),
                ("core", self.slots, config.core),
                ("coda", 1, config.coda),
            )
        }

    def __repr__(self):
        return f"Cache(tokens={self.length}, slots={self.slots} for {self.loops} loops)"

    @property
    def nbytes(self) -> int:
        """Bytes of memory held, for tokens still to come too."""
        return sum(part.nbytes for part in self._parts.values())

    def place(self, batch: int, tokens: int, rows: Tensor | None = None) -> Context:
        """Where the next `tokens` tokens stand, of all sequences or of those numbered by `rows`."""
        if batch != (self.batch if rows is None else len(rows)):
            raise ValueError(f"a batch of {batch}: this cache is for {self.batch}, so make another")
        if torch.is_grad_enabled():
            raise ValueError("a cache keeps numbers and no graph: run it under torch.no_grad()")
        start, end = self.length, self.length + tokens
        wide = 0 if self._padding is None else self._padding.shape[1]
        if start < wide < end:
            raise ValueError(
                f"mask has shape {tuple(self._padding.shape)}, but these are tokens {start + 1} to "
                f"{end} of [batch={self.batch}, token]: expected a mask as wide as the prompt"
            )
        self._grow(end)
        core, rotary = self._parts["core"], None
        if self.config.rotary:
            rotary = rotary_table(
                core.shape[-2],
                self.config.head_width,
                self.config.rope_theta,
                self.config.rope_scaling,
                str(core.device),
                core.dtype,
            )
            rotary = tuple(table[start:end] for table in rotary)
        mask, causal = self._who_sees_whom(start, end, rows)
        return Context(rotary, mask, causal, partial(self._extend, start, end, rows))

    def places(self, tokens: int, rows: Tensor | None = None) -> Tensor:
        """Places in their texts, from 0, of the next `tokens` tokens: [row or 1, token]."""
        at = torch.arange(self.length, self.length + tokens)[None]
        padding = self.padded(self.length + tokens, rows)
        if padding is None:
            return at
        return (at - padding.sum(1, keepdim=True).cpu()).clamp_min(0)

    def padded(self, tokens: int, rows: Tensor | None = None) -> Tensor | None:
        """True at those of the first `tokens` tokens that are padding [row, token]; None: none."""
        if self._padding is None:
            return None
        padding = self._padding if rows is None else self._padding[rows]
        return F.pad(padding, (0, max(tokens - padding.shape[1], 0)))[:, :tokens]

    def commit(self, tokens: int, loops: int | Tensor, rows: Tensor | None = None):
        """Keep the tokens that were just run, which took `loops` loops: one number, or [row]."""
        core, at = self._parts["core"], slice(self.length, self.length + tokens)
        if isinstance(loops, int):
            if loops < self.slots:
                core[loops:, ..., at, :] = core[loops - 1, ..., at, :]
        else:
            for last in loops[loops < self.slots].unique().tolist():
                some = rows[loops == last]
                # [layer, key or value, row, key head, token, width], the same for all later slots
                core[last:, :, :, some, :, at] = core[last - 1][:, :, some, :, at]
        self.length += tokens

    def _extend(self, start, end, rows, part, loop, layer, k: Tensor, v: Tensor):
        """Write new keys and values; give back all tokens' [batch, key head, token, width]."""
        if loop is not None and loop >= self.loops:
            raise ValueError(
                f"loop {loop + 1} of a cache for {self.loops} loops: make it with a larger loops="
            )
        keys, values = self._parts[part][0 if loop is None else loop % self.slots, layer]
        if rows is None:
            keys[:, :, start:end] = k
            values[:, :, start:end] = v
            return keys[:, :, :end], values[:, :, :end]
        keys[rows, :, start:end] = k
        values[rows, :, start:end] = v
        return keys[rows, :, :end], values[rows, :, :end]

    def _who_sees_whom(self, start: int, end: int, rows: Tensor | None):
        """Mask [new token, token] or [row, 1, new token, token], and whether `causal` says it."""
        window = self.config.window
        if self._padding is None and (window is None or end <= window):
            if start == 0:
                return None, True
            if end - start == 1:
                return None, False  # the newest token sees every other
        at = torch.arange(end, device=self._parts["core"].device)
        back = at[start:, None] - at
        mask = back >= 0
        if window is not None:
            mask &= back < window
        padding = self.padded(end, rows)
        if padding is not None:
            # Padding sees itself, because a softmax over nothing would be NaN.
            mask = mask & ~padding[:, None, None, :] | (back == 0)
        return mask, False

    def _grow(self, tokens: int):
        room = self._parts["core"].shape[-2]
        if tokens > room:
            more = max(tokens, 2 * room) - room  # doubling: each token is copied once on average
            self._parts = {name: F.pad(part, (0, 0, 0, more)) for name, part in self._parts.items()}


def _left_padding(mask: object, batch: int, device: torch.device) -> Tensor | None:
    """True where padding stands, [batch, token]; None where there is none."""
    shape = tuple(getattr(mask, "shape", np.shape(mask)))
    if len(shape) != 2 or shape[0] != batch:
        raise ValueError(f"mask has shape {shape}: expected [batch={batch}, token]")
    shown = as_mask(mask, None, shape, device)
    if shown is None:
        return None
    padding = ~shown
    if padding[:, -1].any() or (padding[:, 1:] & ~padding[:, :-1]).any():
        raise ValueError(
            "mask has padding after a token: new tokens follow the last one, so put the padding on "
            "the left"
        )
    return padding
