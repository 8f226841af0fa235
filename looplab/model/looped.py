"""The looped transformer: prelude, a core that runs again and again, coda."""

from collections.abc import Callable
from functools import partial
from math import sqrt
from typing import NamedTuple

import torch
from torch import Tensor, nn

from looplab.model.cache import Cache
from looplab.model.config import LoopedConfig
from looplab.model.layers import Geometry, Layer, geometry
from looplab.model.tap import Tap, visit

StateMap = Callable[[Tensor], Tensor]


class LoopedOutput(NamedTuple):
    """What one forward pass gives back."""

    logits: Tensor  # [batch, token, vocab], after the last loop
    state: Tensor  # [batch, token, width], end of the last loop; pass it on as state=
    loop_states: Tensor | None  # [loop, batch, token, width], with every_loop=True
    gate: Tensor | None  # [loop, batch, token], exit gate before its sigmoid


class Injection(nn.Module):
    """Bring the input X back into the state Z at the start of a loop.

    none      Z
    concat    [Z, X] W_I       Huginn and the retrofits; starts as (Z + X) / 2
    add       Z + X
    diagonal  exp(-dt A) Z + dt B X,  A and dt positive per channel   (Parcae, 2604.12946)
    """

    def __init__(self, config: LoopedConfig):
        super().__init__()
        self.kind, width = config.injection, config.width
        if self.kind == "concat":
            self.mix = nn.Linear(2 * width, width, bias=False)
        elif self.kind == "diagonal":
            self.log_a = nn.Parameter(torch.zeros(width))
            self.dt_bias = nn.Parameter(torch.zeros(width))  # dt = softplus(0) = log 2: halves Z
            self.b = nn.Linear(width, width, bias=False)

    def reset(self):
        """Start as the even mix of state and input, so that both get through from step one."""
        if self.kind == "concat":
            half = torch.eye(self.mix.out_features) / 2
            self.mix.weight.data.copy_(torch.cat((half, half), dim=1))
        elif self.kind == "diagonal":
            eye = torch.eye(self.b.out_features)
            self.b.weight.data.copy_(eye / 2 / nn.functional.softplus(self.dt_bias.data))

    def forward(self, z: Tensor, x: Tensor) -> Tensor:
        if self.kind == "concat":
            return self.mix(torch.cat((z, x), dim=-1))
        if self.kind == "add":
            return z + x
        if self.kind == "diagonal":
            dt = nn.functional.softplus(self.dt_bias)
            return z * torch.exp(-dt * self.log_a.exp()) + dt * self.b(x)
        return z


class Core(nn.Module):
    """One pass: injection, k layers, and Ouro's norm at the end of the loop."""

    def __init__(self, config: LoopedConfig):
        super().__init__()
        self.injection = Injection(config)
        self.layers = _layers(config, config.prelude, config.core)
        ends_normed = config.norm == "branch_sandwich"
        self.loop_norm = nn.RMSNorm(config.width, eps=config.norm_eps) if ends_normed else None

    def forward(
        self, z, x, where: Geometry, tap: Tap | None, loop: int, first_layer: int
    ) -> Tensor:
        for layer in range(first_layer, len(self.layers)):
            if layer == 0:
                z = self._inject(z, x, tap, loop)
            z = self.layers[layer](z, where, tap, loop, layer, "core")
        if self.loop_norm is not None:
            z = self.loop_norm(z)
        z = visit(tap, loop, None, "core.loop_end", z)
        for layer in range(first_layer):  # a rotated pass ends with the layers it skipped
            if layer == 0:
                z = self._inject(z, x, tap, loop)
            z = self.layers[layer](z, where, tap, loop, layer, "core")
        return z

    def _inject(self, z, x, tap, loop) -> Tensor:
        return visit(tap, loop, None, "core.inject", self.injection(z, x))


def _layers(config: LoopedConfig, first: int, count: int) -> nn.ModuleList:
    """`count` layers, numbered from `first` through prelude, core and coda."""
    numbers = range(first, first + count)
    return nn.ModuleList(Layer(config, number in config.value_layers) for number in numbers)


class LoopedTransformer(nn.Module):
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
            nn.Embedding(config.vocab, config.width) for _ in range(config.fields)
        )
        self.prelude = _layers(config, 0, config.prelude)
        self.input_norm = self.state_out = None
        if config.input_norm:
            self.input_norm = nn.RMSNorm(config.width, eps=config.norm_eps)
        copies = 1 if config.tied else config.loops
        self.cores = nn.ModuleList(Core(config) for _ in range(copies))
        if config.state_out:
            self.state_out = nn.Linear(config.width, config.width, bias=False)
        self.coda = _layers(config, config.prelude + config.core, config.coda)
        # Ouro's loop already ends in a norm; only a coda after it needs another one.
        needs_norm = config.norm != "branch_sandwich" or config.coda > 0
        self.norm = nn.RMSNorm(config.width, eps=config.norm_eps) if needs_norm else nn.Identity()
        self.head = nn.Linear(config.width, config.answers, bias=False)
        self.gate = nn.Linear(config.width, 1) if config.exit_gate else None
        self._initialise()
        if config.tie_head:
            self.head.weight = self.embed[0].weight

    def _initialise(self):
        """Truncated normal of std sqrt(2 / 5D); branch outputs smaller the deeper the model runs.

        Source: Huginn, arXiv 2502.05171, section 3.
        """
        config = self.config
        std = sqrt(2 / (5 * config.width))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=std, a=-3 * std, b=3 * std)
        for module in self.modules():
            if isinstance(module, Layer):
                for linear in (module.attn.out, module.mlp.down):
                    linear.weight.data /= sqrt(2 * config.realized_depth)
        for core in self.cores:
            core.injection.reset()
        for table in self.embed:  # unit rows: the input is as large as a normed state
            nn.init.normal_(table.weight, std=std if config.tie_head else 1.0)
        if self.gate is not None:
            nn.init.zeros_(self.gate.bias)

    def forward(
        self,
        tokens: Tensor,
        loops: int | None = None,
        *,
        state: Tensor | None = None,
        tap: Tap | None = None,
        grad_loops: int | None = None,
        every_loop: bool = False,
        generator: torch.Generator | None = None,
        cache: Cache | None = None,
    ) -> LoopedOutput:
        """Run `loops` passes through the core on `tokens`, [batch, token] or [batch, token, field].

        `state` [batch, token, width] replaces the state at loop 0, so k loops and then k more with
        the state carried on equal 2k. `grad_loops` keeps gradients through the last loops only
        (truncated backpropagation). `every_loop` also returns the state at the end of each loop;
        `readout` turns it into logits. `generator` draws the state of start="normal".
        `cache` (without gradients) holds the tokens before these, and then these too.

        Raises ValueError naming the value and the remedy for tokens, loops or a state that do
        not fit.
        """
        loops = self._check_loops(loops)
        if grad_loops is not None and grad_loops < 1:
            raise ValueError(f"grad_loops={grad_loops}: expected at least 1, or None for all")
        where = None
        if cache is not None:
            self._check_tokens(tokens)
            where = cache.place(*tokens.shape[:2])._replace(tokens=tokens)
        x = visit(tap, None, None, "input", self.encode(tokens, tap, where))
        z = self.start(x, generator) if state is None else self._check_state(state, x)
        z = visit(tap, None, None, "start", z)
        if where is None:
            where = self._geometry(x, tokens)
        ends, gates = [], []
        first_grad = 0 if grad_loops is None else loops - grad_loops
        for loop in range(loops):
            core = self.cores[0 if self.config.tied else loop]
            if loop < first_grad:
                with torch.no_grad():
                    z = core(z, x, where, tap, loop, 0)
            else:
                z = core(z, x, where, tap, loop, 0)
            if every_loop:
                ends.append(z)
            if self.gate is not None:
                gates.append(self.gate(z).squeeze(-1))
        logits = visit(tap, None, None, "logits", self._readout(z, where, tap))
        if cache is not None:
            cache.commit(tokens.shape[1], loops)
        return LoopedOutput(
            logits,
            z,
            torch.stack(ends) if every_loop else None,
            torch.stack(gates) if gates else None,
        )

    def encode(
        self, tokens: Tensor, tap: Tap | None = None, where: Geometry | None = None
    ) -> Tensor:
        """The input X that every loop is given: embedding and prelude, [batch, token, width]."""
        self._check_tokens(tokens)
        ids = tokens[..., None] if self.config.fields == 1 else tokens
        x = self.embed[0](ids[..., 0])
        for field in range(1, self.config.fields):
            x = x + self.embed[field](ids[..., field])
        if self.config.embed_scale != 1.0:
            x = x * self.config.embed_scale
        x = visit(tap, None, None, "embed", x)
        if where is None:
            where = self._geometry(x, tokens)
        for layer, block in enumerate(self.prelude):
            x = block(x, where, tap, None, layer, "prelude")
        return x if self.input_norm is None else self.input_norm(x)

    def start(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """The state at loop 0 for the input `x` [batch, token, width]; same shape."""
        if self.config.start == "input":
            return x
        z = torch.zeros_like(x)
        if self.config.start == "normal":
            std = self.config.start_std
            nn.init.trunc_normal_(z, std=std, a=-3 * std, b=3 * std, generator=generator)
        return z

    def step(
        self,
        z: Tensor,
        x: Tensor,
        *,
        loop: int = 0,
        tap: Tap | None = None,
        first_layer: int = 0,
        tokens: Tensor | None = None,
    ) -> Tensor:
        """One pass of the core from state `z` with input `x`, both [batch, token, width].

        A model with value embeddings also reads the `tokens` [batch, token].

        With `first_layer=r` the pass is rotated: `z` is the state in front of layer r, and the
        pass runs layers r..k-1, then injection and layers 0..r-1 (Prop. 4.1, arXiv 2604.11791).
        """
        if not 0 <= first_layer < self.config.core:
            raise ValueError(
                f"first_layer={first_layer}: this core has layers 0 to {self.config.core - 1}"
            )
        if first_layer and not self.config.tied:
            raise ValueError("a rotated pass needs tied weights: this model is an unrolled twin")
        core = self.cores[0 if self.config.tied else loop]
        return core(z, x, self._geometry(x, tokens), tap, loop, first_layer)

    def core_parts(
        self, x: Tensor, tokens: Tensor | None = None
    ) -> tuple[StateMap, list[StateMap]]:
        """The core as plain functions of the state, for the input `x` [batch, token, width].

        Returns the injection and the layers, each from [batch, token, width] to the same; in this
        order they are one pass of `step`. Ouro's norm at the end of a loop is part of the last.
        Raises ValueError for an unrolled twin, whose loops differ.
        """
        if not self.config.tied:
            raise ValueError("this unrolled twin has another core at every loop: call step(loop=)")
        core, where = self.cores[0], self._geometry(x, tokens)

        def run(layer: int, z: Tensor) -> Tensor:
            z = core.layers[layer](z, where, None, 0, layer, "core")
            last = layer == len(core.layers) - 1 and core.loop_norm is not None
            return core.loop_norm(z) if last else z

        layers = [partial(run, layer) for layer in range(len(core.layers))]
        return lambda z: core.injection(z, x), layers

    def readout(self, states: Tensor, tokens: Tensor | None = None) -> Tensor:
        """What the model would answer from `states` [..., batch, token, width]: coda, norm, head.

        A model with value embeddings also reads the `tokens` [batch, token]. Returns logits
        [..., batch, token, vocab].
        """
        # [..., batch, token, width] -> [rest, token, width]
        flat = states.flatten(0, -3) if states.dim() > 3 else states
        logits = self._readout(flat, self._geometry(flat, tokens), None)
        return logits.unflatten(0, states.shape[:-2]) if states.dim() > 3 else logits

    def unrolled(self, loops: int | None = None) -> "LoopedTransformer":
        """The unrolled twin with these very weights copied into each of its loops."""
        if not self.config.tied:
            raise ValueError("this model is unrolled already")
        twin = LoopedTransformer(self.config.unrolled(loops)).to(self.head.weight)
        weights = self.state_dict()
        for name in twin.state_dict():
            if name.startswith("cores."):
                rest = name.split(".", 2)[2]
                weights[name] = self.state_dict()[f"cores.0.{rest}"]
        twin.load_state_dict(weights)
        return twin.train(self.training)

    def _readout(self, z: Tensor, where: Geometry, tap: Tap | None) -> Tensor:
        if self.coda and self.config.norm == "residual_sandwich":
            z = self.norm(z)  # Huginn's last norm acts twice: before the coda and before the head
        if self.state_out is not None:
            z = self.state_out(z)
        for layer, block in enumerate(self.coda):
            z = block(z, where, tap, None, layer, "coda")
        return self.head(self.norm(z))

    def _geometry(self, x: Tensor, tokens: Tensor | None = None) -> Geometry:
        where = geometry(self.config, x.shape[-2], x.device, x.dtype)
        if not self.config.value_layers:
            return where
        if tokens is None:
            raise ValueError(
                f"layers {self.config.value_layers} add an embedding of the token to their values: "
                "give tokens= too"
            )
        return where._replace(tokens=tokens.repeat(len(x) // len(tokens), 1))

    def _check_tokens(self, tokens: Tensor):
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
        low, high = int(tokens.min()), int(tokens.max())
        if low < 0 or high >= config.vocab:
            wrong = low if low < 0 else high
            raise ValueError(
                f"token id {wrong} is out of range: this model knows 0 to {config.vocab - 1}"
            )

    def _check_loops(self, loops: int | None) -> int:
        if loops is None:
            return self.config.loops
        if isinstance(loops, bool) or not isinstance(loops, int) or loops < 1:
            raise ValueError(f"loops={loops!r}: expected a whole number of at least 1")
        if not self.config.tied and loops != self.config.loops:
            raise ValueError(
                f"loops={loops}: this unrolled twin has weights for exactly {self.config.loops} "
                "loops; only a tied model can be run for more or fewer"
            )
        return loops

    def _check_state(self, state: Tensor, x: Tensor) -> Tensor:
        if state.shape != x.shape:
            raise ValueError(
                f"state has shape {tuple(state.shape)}: expected [batch, token, width] = "
                f"{tuple(x.shape)} for these tokens"
            )
        return state.to(x)
