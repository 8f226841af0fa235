"""Any loop of your own behind the same instruments: `adapt` makes a module look like the family."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from looplab.model.config import LoopedConfig
from looplab.model.loop import Loop, Ready
from looplab.model.tap import Site, Tap, show, wants_patterns

Step = Callable[[Tensor, Tensor], Tensor]


def adapt(module: nn.Module | Step) -> Loop:
    """Make a module or function that maps (state, input) to the next state a model of this library.

    `trace`, the microscope, measures, tables and exits then take it as they take a
    `LoopedTransformer`, which is returned as it is. States and inputs are [batch, token, width].
    What the module has of these is used:

        step(z, x) -> z            one pass; without it the module itself is called
        encode(tokens) -> x        the input; without it the "tokens" are the input itself, floats
        start(x) -> z              the state at loop 0; zeros without it
        readout(z) -> logits       the answer, from [..., batch, token, width]; else the state
        blocks                     a list of the layers that a pass runs, each once, in order: their
                                   states are recorded one by one; without it a pass is one layer

    The patterns of one nn.MultiheadAttention in each block are recorded as attention. Of the
    result's `config` only the sizes mean something; they are known once it has seen tokens.

    Raises TypeError for something that cannot be called, ValueError (on the first run) for a pass
    that changes the state's shape, or does not run each of its blocks once.

    >>> from looplab import trace
    >>> layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    >>> loop = adapt(lambda z, x: layer((z + x) / 2))
    >>> trace(loop, torch.randn(1, 5, 8), loops=4).states.shape
    torch.Size([4, 1, 1, 5, 8])
    """
    if isinstance(module, Loop):
        return module
    if not callable(getattr(module, "step", module)):
        raise TypeError(
            f"a {type(module).__name__} cannot be looped: give a module or a function that takes "
            "(state, input) and returns the next state, or one with a method step(state, input)"
        )
    return _Adapted(module)


class _Adapted(Loop):
    """What `adapt` returns; `module` is what it was given."""

    def __init__(self, module: nn.Module | Step):
        super().__init__()
        self.module, self.gate = module, None
        self.layers: Sequence[nn.Module] = tuple(getattr(module, "blocks", ()))
        self.attention = [
            [part for part in layer.modules() if isinstance(part, nn.MultiheadAttention)]
            for layer in self.layers
        ]
        self.config = LoopedConfig(
            vocab=1, width=1, heads=1, core=max(1, len(self.layers)), position="none"
        )
        self._state = torch.zeros(())  # has the dtype and device of the states last seen

    @property
    def dtype(self) -> torch.dtype:
        return self._state.dtype

    @property
    def device(self) -> torch.device:
        return self._state.device

    def check_tokens(self, tokens: Tensor) -> None:
        """Learn the sizes from a pass on these tokens; ValueError for a pass that is none."""
        with torch.no_grad():
            x = self.encode(tokens)
            if not isinstance(x, Tensor) or x.dim() != 3 or not x.is_floating_point():
                told = f"{tuple(x.shape)}, {x.dtype}" if isinstance(x, Tensor) else type(x).__name__
                raise ValueError(
                    f"the input is {told}: expected floats [batch, token, width], from encode "
                    "(tokens) or given in the tokens' place"
                )
            z = self.start(x)
            seen: list[Tensor] = []
            with self._watched(lambda layer, value: seen.append(value)):
                end = self.step(z, x)
            if getattr(end, "shape", None) != z.shape:
                raise ValueError(
                    f"a pass makes {tuple(getattr(end, 'shape', ()))} of a state "
                    f"{tuple(z.shape)}: it must return the next state, of the same shape"
                )
            for value in seen:
                if value.shape != z.shape:
                    raise ValueError(
                        f"a block returns {tuple(value.shape)}: expected the state's shape "
                        f"{tuple(z.shape)}"
                    )
            if self.layers and len(seen) != len(self.layers):
                raise ValueError(
                    f"a pass runs its blocks {len(seen)} times in all: expected each of the "
                    f"{len(self.layers)} once. What runs more often belongs into blocks more often"
                )
            logits = self.readout(end)
        heads = {part.num_heads for parts in self.attention for part in parts}
        self.config = LoopedConfig(
            vocab=logits.shape[-1],
            width=z.shape[-1],
            heads=heads.pop() if len(heads) == 1 else 1,
            head_dim=1,  # keeps the config from asking whether heads divide the width
            core=max(1, len(self.layers)),
            attention="full",
            position="none",
            # Blocks may be followed by something; a row with a norm there says so.
            norm="pre" if not seen or torch.equal(seen[-1], end) else "branch_sandwich",
        )
        self._state = torch.zeros((), dtype=z.dtype, device=z.device)

    def encode(self, tokens: Tensor) -> Tensor:
        """The input X that every loop is given, [batch, token, width]."""
        encode = getattr(self.module, "encode", None)
        return tokens if encode is None else encode(tokens)

    def start(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """The state at loop 0 for the input `x`; same shape."""
        start = getattr(self.module, "start", None)
        return torch.zeros_like(x) if start is None else start(x)

    def prepare(
        self, tokens, *, mask=None, state=None, generator=None, cache=None, rows=None, tap=None
    ) -> Ready:
        tokens, _ = self.read(tokens, mask)
        if cache is not None:
            raise ValueError("an adapted module has no cache: run it on the whole sequence")
        self.check_tokens(tokens)
        x = show(tap, Site(None, None, "input"), self.encode(tokens))
        z = self.start(x, generator) if state is None else state.to(x)
        return Ready(tokens, x, show(tap, Site(None, None, "start"), z), None)

    def step(self, z: Tensor, x, *, loop: int = 0, tap: Tap | None = None, tokens=None) -> Tensor:
        """One pass: z = step(z, x); `x` is what `prepare` returned, or an input."""
        x = x.x if isinstance(x, Ready) else x
        run = getattr(self.module, "step", self.module)
        if tap is None:
            return run(z, x)

        def offer(layer: int, value: Tensor) -> Tensor:
            return show(tap, Site(loop, layer, "core.resid"), value)

        def offer_pattern(layer: int, value: Tensor) -> None:
            if show(tap, Site(loop, layer, "core.attn.pattern"), value) is not value:
                raise ValueError(
                    f"the tap replaces the pattern of block {layer + 1}: an adapted module's own "
                    "attention shows its patterns and takes none, so replace the block's state"
                )

        with self._watched(offer, offer_pattern if wants_patterns(tap) else None):
            z = run(z, x)
        if not self.layers:
            z = offer(0, z)
        return show(tap, Site(loop, None, "core.loop_end"), z)

    def readout(self, states: Tensor, tokens: Tensor | None = None) -> Tensor:
        """What it would answer from `states`, [..., batch, token, width] to [..., vocab].

        The states themselves where the module has no readout.
        """
        readout = getattr(self.module, "readout", None)
        if readout is None:
            return states
        flat = states.flatten(0, -3) if states.dim() > 3 else states
        logits = readout(flat)
        return logits.unflatten(0, states.shape[:-2]) if states.dim() > 3 else logits

    def answer(self, z: Tensor, ready: Ready, *, tap: Tap | None = None) -> Tensor:
        return self.readout(z)

    @contextmanager
    def _watched(self, states, patterns=None) -> Iterator[None]:
        """Call `states(layer, value)` behind each block and `patterns` at its attention.

        What `states` returns, if anything, takes the block's output's place.
        """
        with ExitStack() as hooks:
            for layer, block in enumerate(self.layers):

                def behind(module, given, output, layer=layer):
                    value, *rest = output if isinstance(output, tuple) else (output,)
                    value = states(layer, value)
                    if value is None:
                        return None
                    return (value, *rest) if isinstance(output, tuple) else value

                hooks.callback(block.register_forward_hook(behind).remove)
                if patterns is None:
                    continue
                if len(self.attention[layer]) != 1:
                    raise ValueError(
                        f"block {layer + 1} has {len(self.attention[layer])} "
                        "nn.MultiheadAttention: attention is recorded where there is one"
                    )
                (attention,) = self.attention[layer]

                def ask(module, given, named):
                    order = ("key_padding_mask", "need_weights", "attn_mask")
                    named = dict(zip(order, given[3:], strict=False)) | named
                    return given[:3], named | {"need_weights": True, "average_attn_weights": False}

                def told(module, given, output, layer=layer):
                    patterns(layer, output[1])

                hooks.callback(attention.register_forward_pre_hook(ask, with_kwargs=True).remove)
                hooks.callback(attention.register_forward_hook(told).remove)
            yield
