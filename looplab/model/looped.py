"""The looped transformer: prelude, a core that runs again and again, coda."""

from copy import copy
from dataclasses import replace
from functools import partial
from math import sqrt

import torch
from torch import Tensor, nn

from looplab.model.cache import Cache
from looplab.model.config import LoopedConfig
from looplab.model.core import Core
from looplab.model.encoder import Entrance, MaskedHead
from looplab.model.given import as_mask, as_tokens, as_types, from_text, given_types, is_text
from looplab.model.hashed import example_terms, hashed_normal
from looplab.model.layers import (
    Context,
    Layer,
    Visit,
    hide,
    make_context,
    make_layers,
    open_prefix,
)
from looplab.model.loop import Loop, Ready, StateMap
from looplab.model.norms import make_norm
from looplab.model.streams import HyperConnection, merge
from looplab.model.tap import Site, Tap, show
from looplab.model.two_level import TwoLevelCore


class LoopedTransformer(Loop):
    """A looped transformer; the number of loops is chosen at every call.

    >>> _ = torch.manual_seed(0)
    >>> model = LoopedTransformer(LoopedConfig(vocab=10, width=16, heads=2, core=2, loops=3))
    >>> tokens = torch.tensor([[1, 2, 3]])
    >>> model(tokens).logits.shape, model(tokens, loops=50).state.shape
    (torch.Size([1, 3, 10]), torch.Size([1, 3, 16]))
    """

    def __init__(self, config: LoopedConfig):
        super().__init__()
        self.config = config
        self.embed = nn.ModuleList(
            nn.Embedding(config.vocab, config.table_width) for _ in range(config.fields)
        )
        self.entrance = self.embed_map = None
        if config.places is not None or config.types or config.embed_norm:
            self.entrance = Entrance(config)
        if config.embed_width is not None:
            self.embed_map = nn.Linear(config.embed_width, config.width)
        self.prelude = make_layers(config, 0, config.prelude)
        self.input_norm = self.state_out = None
        if config.input_norm:
            self.input_norm = make_norm(config.norm_kind, config.width, config.norm_eps)
        copies = 1 if config.tied else config.loops
        kind = TwoLevelCore if config.low_cycles else Core
        self.cores = nn.ModuleList(kind(config) for _ in range(copies))
        if config.state_out:
            self.state_out = nn.Linear(config.width, config.width, bias=False)
        self.coda = make_layers(config, config.prelude + config.core, config.coda)
        # A loop that ends in a norm with weights needs another one only behind a coda.
        ends_normed = config.placement.loop_end and not config.placement.bare_end
        ends_normed = ends_normed or config.low_cycles > 0
        needs_norm = not ends_normed or config.coda > 0
        self.norm = nn.Identity()
        if config.masked_lm:
            self.norm = MaskedHead(config)
        elif needs_norm:
            self.norm = make_norm(config.norm_kind, config.width, config.norm_eps)
        read = config.table_width if config.masked_lm else config.width
        self.head = nn.Linear(read, config.answers, bias=config.masked_lm)
        self.gate = nn.Linear(config.width, 1) if config.exit_gate else None
        self._initialise()
        if config.tie_head:
            self.head.weight = self.embed[0].weight

    @property
    def dtype(self) -> torch.dtype:
        return self.head.weight.dtype

    @property
    def device(self) -> torch.device:
        return self.head.weight.device

    def _initialise(self):
        """Truncated normal of std sqrt(2 / 5D); branch outputs smaller the deeper the model runs.

        Source: Huginn, arXiv 2502.05171, section 3.
        """
        config = self.config
        std = sqrt(2 / (5 * config.width))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=std, a=-3 * std, b=3 * std)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for module in self.modules():
            if isinstance(module, Layer):
                for linear in (module.attn.out, module.mlp.down):
                    linear.weight.data /= sqrt(2 * config.realized_depth)
        for core in self.cores:
            core.injection.reset()
        for module in self.modules():
            if isinstance(module, HyperConnection):
                module.reset(std)
        for table in self.embed:  # unit rows: the input is as large as a normed state
            nn.init.normal_(table.weight, std=std if config.tie_head else 1.0)

    def prepare(
        self,
        tokens: Tensor,
        *,
        mask: Tensor | None = None,
        types: Tensor | None = None,
        state: Tensor | None = None,
        generator: torch.Generator | None = None,
        cache: Cache | None = None,
        rows: Tensor | None = None,
        tap: Tap | None = None,
    ) -> Ready:
        """Everything before the first pass: checked tokens, the input X, the state at loop 0.

        `mask`, `types`, `state`, `generator` and `cache` as in `forward`; `rows` [row] says which
        sequences of the cache these are, None meaning all. Raises ValueError as `forward` does.

        >>> model = LoopedTransformer(LoopedConfig(vocab=10, width=16, heads=2, loops=3))
        >>> ready = model.prepare(torch.tensor([[1, 2, 3]]))
        >>> z = ready.start
        >>> for loop in range(3):
        ...     z = model.step(z, ready, loop=loop)
        >>> torch.equal(z, model(ready.tokens).state)
        True
        """
        types = given_types(types, tokens)
        tokens, mask = self.read(tokens, mask)
        types = self._read_types(types, tokens)
        if mask is not None and cache is not None:
            raise ValueError("a cache knows the padding of all that is in it: give it Cache(mask=)")
        context = self.context(tokens.shape[1], tokens, cache, rows, mask, types)
        first = 0 if cache is None else cache.length
        x = self._encode(tokens, context, tap, types, first)
        x = show(tap, Site(None, None, "input"), x)
        if state is None:
            hashed = self.config.start == "hashed"
            places = _places(tokens.shape[1], cache, rows, mask) if hashed else None
            z = self.start(x, generator, places)
        else:
            z = self._check_state(state, x)
        return Ready(tokens, x, show(tap, Site(None, None, "start"), z), context)

    def step(
        self,
        z: Tensor,
        x: Ready | Tensor,
        *,
        loop: int = 0,
        tap: Tap | None = None,
        first_layer: int = 0,
        tokens: Tensor | None = None,
    ) -> Tensor:
        """One pass of the core from state `z` [batch, token, width] to the next: z = step(z, x).

        A model with n streams has states [batch, token, n * width], here and wherever states are.
        `x` is what `prepare` returned, or a bare input [batch, token, width], as `encode` gives;
        beside a bare one, a model with value embeddings also reads the `tokens` [batch, token].

        With `first_layer=r` the pass is rotated: `z` is the state in front of layer r, and the
        pass runs layers r..k-1, then injection and layers 0..r-1 (Prop. 4.1, arXiv 2604.11791).
        """
        if first_layer:
            self._check_rotation(first_layer)
        if isinstance(x, Ready):
            x, context = x.x, x.context
        else:
            context = self.context(x.shape[-2], self._repeated(tokens, x))
        return self.cores[0 if self.config.tied else loop](z, x, context, tap, loop, first_layer)

    def encode(self, tokens: Tensor) -> Tensor:
        """The input X that every loop is given: embedding and prelude, [batch, token, width]."""
        types = given_types(None, tokens)
        tokens, _ = self.read(tokens)
        types = self._read_types(types, tokens)
        return self._encode(tokens, self.context(tokens.shape[1], tokens), None, types, 0)

    def _encode(
        self, tokens: Tensor, context: Context, tap: Tap | None, types: Tensor | None, first: int
    ) -> Tensor:
        ids = tokens[..., None] if self.config.fields == 1 else tokens
        x = self.embed[0](ids[..., 0])
        for field in range(1, self.config.fields):
            x = x + self.embed[field](ids[..., field])
        if self.config.embed_scale != 1.0:
            x = x * self.config.embed_scale
        if self.entrance is not None:
            x = self.entrance(x, types, first)
        x = show(tap, Site(None, None, "embed"), x)
        if self.embed_map is not None:
            x = self.embed_map(x)
        for layer, block in enumerate(self.prelude):
            x = block(x, Visit(context, "prelude", None, layer, tap))
        return x if self.input_norm is None else self.input_norm(x)

    def start(
        self, x: Tensor, generator: torch.Generator | None = None, places: Tensor | None = None
    ) -> Tensor:
        """The state at loop 0 for the input `x` [batch, token, width]; all streams of it.

        `places` [batch or 1, token] are the tokens' places in their texts, from 0, None meaning
        0, 1, 2 ...; only start="hashed" asks, which takes every sequence for evaluation example 0.
        """
        if self.config.streams > 1:
            x = x.repeat(*[1] * (x.dim() - 1), self.config.streams)  # stream after stream
        if self.config.low_cycles:
            return self.cores[0].begin(x)
        if self.config.start == "input":
            return x
        if self.config.start == "hashed":
            if places is None:
                places = torch.arange(x.shape[-2])[None]
            z = hashed_normal(places, example_terms([0]), x.shape[-1], self.config.start_std)
            return z.to(x).expand_as(x)
        z = torch.zeros_like(x)
        if self.config.start == "normal":
            std = self.config.start_std
            nn.init.trunc_normal_(z, std=std, a=-3 * std, b=3 * std, generator=generator)
        return z

    def core_parts(
        self, x: Tensor, tokens: Tensor | None = None
    ) -> tuple[StateMap, list[StateMap]]:
        """The core as plain functions of the state, for the input `x` [batch, token, width].

        Returns the injection and the layers, each from [batch, token, width] to the same; in this
        order they are one pass of `step`. Ouro's norm at the end of a loop is part of the last.
        Raises ValueError for an unrolled twin, whose loops differ, and for a damped pass, whose
        end depends on where it began.
        """
        if not self.config.tied:
            raise ValueError("this unrolled twin has another core at every loop: call step(loop=)")
        if self.config.needs_begin or self.config.low_cycles:
            raise ValueError(
                f"stride={self.config.stride}, minus_state={self.config.minus_state}, "
                f"low_cycles={self.config.low_cycles}: a pass whose end depends on its beginning, "
                "or that runs a loop inside, has no such parts"
            )
        self._check_parts("core_parts")
        core = self.cores[0]
        context = self.context(x.shape[-2], self._repeated(tokens, x))

        def run(layer: int, z: Tensor) -> Tensor:
            end = core.layers[layer](z, Visit(context, "core", 0, layer, None))
            return core.end_loop(end, z) if layer == len(core.layers) - 1 else end

        layers = [partial(run, layer) for layer in range(len(core.layers))]
        return lambda z: core.injection(z, x), layers

    def readout(
        self, states: Tensor, tokens: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """What the model would answer from `states` [..., batch, token, width]: coda, norm, head.

        A model with value embeddings also reads the `tokens` [batch, token]; `mask` [batch, token]
        is that of the run. Returns logits [..., batch, token, vocab].
        """
        # [..., batch, token, width] -> [rest, token, width]
        flat = states.flatten(0, -3) if states.dim() > 3 else states
        if mask is not None:
            shape = (states.shape[-3] if states.dim() > 2 else 1, states.shape[-2])
            mask = as_mask(mask, None, shape, self.device)
            mask = None if mask is None else mask.repeat(len(flat) // len(mask), 1)
        context = self.context(flat.shape[-2], self._repeated(tokens, flat), mask=mask)
        logits = self._answer(flat, context)
        return logits.unflatten(0, states.shape[:-2]) if states.dim() > 3 else logits

    def answer(self, z: Tensor, ready: Ready, *, tap: Tap | None = None) -> Tensor:
        """Logits [batch, token, vocab] of a state of this very run, whose cache it shares."""
        return self._answer(z, ready.context, tap)

    def unrolled(self, loops: int | None = None) -> "LoopedTransformer":
        """The unrolled twin with these very weights copied into each of its loops."""
        if not self.config.tied:
            raise ValueError("this model is unrolled already")
        twin = LoopedTransformer(self.config.unrolled(loops)).to(self.head.weight)
        own, weights = self.state_dict(), {}
        for name in twin.state_dict():
            source = name
            if name.startswith("cores."):
                _, loop, rest = name.split(".", 2)
                maps = min(int(loop), self.config.stream_sets - 1)  # where loops have their own
                source = f"cores.0.{rest.replace('maps.0.', f'maps.{maps}.')}"
            weights[name] = own[source]
        twin.load_state_dict(weights)
        twin.words = self.words
        return twin.train(self.training)

    def with_solver(self, solver: str) -> "LoopedTransformer":
        """This model with these very weights, shared, looped "plain" or by "anderson".

        >>> model = LoopedTransformer(LoopedConfig(vocab=10, width=16, injection="add"))
        >>> solved = model.with_solver("anderson")
        >>> solved.config.solver, solved.head.weight is model.head.weight
        ('anderson', True)
        """
        twin = copy(self)
        twin.config = replace(self.config, solver=solver)
        return twin

    def _answer(self, z: Tensor, context: Context, tap: Tap | None = None) -> Tensor:
        z = merge(z, self.config.streams)
        if self.config.low_cycles:
            z = z[..., : self.config.width]  # the high level
        if self.coda and self.config.placement.before_coda:
            z = self.norm(z)
        if self.state_out is not None:
            z = self.state_out(z)
        return self.head(self.norm(self.through_coda(z, context, tap)))

    def through_coda(self, z: Tensor, context: Context, tap: Tap | None = None) -> Tensor:
        """The layers behind the loop alone, from [batch, token, width] to the same."""
        for layer, block in enumerate(self.coda):
            z = block(z, Visit(context, "coda", None, layer, tap))
        return z

    def context(
        self,
        length: int,
        tokens: Tensor | None = None,
        cache: Cache | None = None,
        rows: Tensor | None = None,
        mask: Tensor | None = None,
        types: Tensor | None = None,
    ) -> Context:
        """What the layers share on sequences of `length` tokens; `tokens` for value embeddings.

        With a `cache` they stand behind the tokens in it, `rows` [row] of it or all. `mask`
        [batch, token] is False at tokens that no other may look at; `types` [batch, token] mark the
        prefix of a prefix_lm, which has to come at once: ValueError behind other tokens.
        """
        if self.config.value_layers and tokens is None:
            raise ValueError(
                f"layers {self.config.value_layers} add an embedding of the token to their values: "
                "give tokens= too"
            )
        if cache is None:
            weight = self.head.weight
            context = make_context(self.config, length, weight.device, weight.dtype)
        else:
            context = cache.place(len(tokens), length, rows)
        if self.config.prefix_lm and types is not None:
            if cache is not None and cache.length:
                raise ValueError(
                    f"types mark a prefix behind {cache.length} tokens in the cache: a prefix has "
                    "to come at once, as the first tokens"
                )
            prefix, padding = types == 1, None
            if cache is not None:
                padding = cache.padded(length, rows)
            context = open_prefix(context, prefix if padding is None else prefix & ~padding)
        if mask is not None:
            context = hide(context, mask)
        return context._replace(tokens=tokens) if self.config.value_layers else context

    def _repeated(self, tokens: Tensor | None, x: Tensor) -> Tensor | None:
        """Tokens for each sequence of `x`, which may hold several states of each."""
        if tokens is None or not self.config.value_layers:
            return None
        return tokens.repeat(len(x) // len(tokens), 1)

    def read(self, tokens, mask=None) -> tuple[Tensor, Tensor | None]:
        """Checked token ids [batch, token] or [batch, token, field], and a mask or None.

        Tokens may be lists, arrays, whole numbers of any size, or what a tokenizer returns, whose
        attention mask then counts too; a text or messages, where the model knows its `words`. The
        mask is None where nothing is hidden. Raises TypeError for other text, and ValueError
        naming value or shapes, and the remedy.

        >>> model = LoopedTransformer(LoopedConfig(vocab=10, width=16, heads=2))
        >>> model.read([[1, 2]], [[0, 1]])
        (tensor([[1, 2]]), tensor([[False,  True]]))
        """
        if is_text(tokens):
            tokens = from_text(tokens, self.words)
        ids = as_tokens(tokens, self.device)
        self.check_tokens(ids)
        return ids, as_mask(mask, tokens, tuple(ids.shape[:2]), ids.device)

    def _read_types(self, types: object, tokens: Tensor) -> Tensor | None:
        kinds = 2 if self.config.prefix_lm else self.config.types
        return as_types(types, kinds, tuple(tokens.shape[:2]), tokens.device)

    def check_tokens(self, tokens: Tensor):
        """Raise ValueError, naming value and remedy, for tokens that this model cannot read."""
        config = self.config
        dims = 2 if config.fields == 1 else 3
        shape = "[batch, token]" if dims == 2 else f"[batch, token, {config.fields}]"
        if tokens.dim() != dims or (dims == 3 and tokens.shape[-1] != config.fields):
            raise ValueError(
                f"tokens have shape {tuple(tokens.shape)}: expected {shape}"
                + (", so add a batch axis with tokens[None]" if tokens.dim() == dims - 1 else "")
            )
        if tokens.is_floating_point() or tokens.is_complex() or tokens.dtype == torch.bool:
            raise ValueError(f"tokens have dtype {tokens.dtype}: expected whole numbers, .long()")
        if tokens.numel() == 0:
            raise ValueError(f"tokens have shape {tuple(tokens.shape)}: nothing to run on")
        if config.places is not None and tokens.shape[1] > config.places:
            raise ValueError(
                f"{tokens.shape[1]} tokens: this model has learned {config.places} positions and "
                "knows no more, so give shorter sequences"
            )
        low, high = int(tokens.min()), int(tokens.max())
        if low < 0 or high >= config.vocab:
            wrong = low if low < 0 else high
            raise ValueError(
                f"token id {wrong} is out of range: this model knows 0 to {config.vocab - 1}"
            )

    def check_loops(self, loops: int | None) -> int:
        """The number of loops to run, the config's for None; ValueError for one it cannot."""
        loops = super().check_loops(loops)
        if not self.config.tied and loops != self.config.loops:
            raise ValueError(
                f"loops={loops}: this unrolled twin has weights for exactly {self.config.loops} "
                "loops; only a tied model can be run for more or fewer"
            )
        return loops

    def _check_rotation(self, first_layer: int):
        if not 0 <= first_layer < self.config.core:
            raise ValueError(
                f"first_layer={first_layer}: this core has layers 0 to {self.config.core - 1}"
            )
        if not self.config.tied:
            raise ValueError("a rotated pass needs tied weights: this model is an unrolled twin")
        if self.config.needs_begin or self.config.low_cycles:
            raise ValueError(
                f"first_layer={first_layer} with stride={self.config.stride}, "
                f"minus_state={self.config.minus_state}, low_cycles={self.config.low_cycles}: a "
                "damped pass cannot be rotated, nor one that takes its beginning away or runs a "
                "loop inside"
            )
        self._check_parts(f"first_layer={first_layer}")

    def _check_parts(self, asked: str):
        if self.cores[0].hyper is not None:
            raise ValueError(
                f"{asked}: between the layers of a pass with {self.config.streams} streams the "
                "state is not all there, since its gates read the streams once a pass; measure "
                "whole passes, with step"
            )

    def _check_state(self, state: Tensor, x: Tensor) -> Tensor:
        if self.config.low_cycles and state.shape == x.shape:  # the low level's; x is the high's
            return torch.cat((x, state.to(x)), dim=-1)
        expected = (*x.shape[:-1], self.config.state_width)
        if tuple(state.shape) != expected:
            raise ValueError(
                f"state has shape {tuple(state.shape)}: expected [batch, token, width] = "
                f"{expected} for these tokens"
            )
        return state.to(x)


def _places(
    length: int, cache: Cache | None, rows: Tensor | None, mask: Tensor | None
) -> Tensor | None:
    """Places [row or 1, token] of tokens in their texts, padding not counted; None: 0, 1, 2 ..."""
    if cache is not None:
        return cache.places(length, rows)
    return None if mask is None else (mask.long().cumsum(1) - 1).clamp_min(0)
