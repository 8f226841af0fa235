"""The parts of one transformer layer: norms, rotary positions, attention, MLP, and their order."""

from collections.abc import Callable
from functools import lru_cache, partial
from math import isqrt, pi
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from looplab.model.config import LoopedConfig
from looplab.model.norms import make_norm
from looplab.model.tap import Site, Tap, show, wants_patterns


def half_relu2(x: Tensor) -> Tensor:
    """relu(x)^2 / 2: its slope is relu(x)."""
    return F.relu(x).square() / 2


ACTIVATIONS = {
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "silu": F.silu,
    "relu": F.relu,
    "half_relu2": half_relu2,
}
GATE_CHANNELS = 32  # of a layer's input, which open the gate of its value embedding


class Context(NamedTuple):
    """What every layer of one run shares besides its weights: where tokens stand, and what else
    of the text it may look at."""

    rotary: tuple[Tensor, Tensor] | None  # cos and sin, each [token, head_dim / 2]
    # [token, token] or [batch, 1, token, token], True where a query (row) may see a key (column)
    mask: Tensor | None
    causal: bool
    # A cache's (part, loop, layer, k, v) -> k, v with those of earlier tokens in front
    extend: Callable | None = None
    tokens: Tensor | None = None  # [batch, token], for value embeddings


class Visit(NamedTuple):
    """One layer at work in one run: the run's context, which layer it is, and who watches."""

    context: Context
    part: str  # prelude, core or coda
    loop: int | None  # None outside of the core
    layer: int  # counted inside the part
    tap: Tap | None

    def show(self, name: str, value: Tensor) -> Tensor:
        """Offer `value` to the tap as `part.name`; returns what the layer goes on with."""
        if self.tap is None:
            return value
        return show(self.tap, Site(self.loop, self.layer, f"{self.part}.{name}"), value)


def make_context(config: LoopedConfig, tokens: int, device, dtype) -> Context:
    """Masks and rotary tables for a sequence of `tokens` tokens."""
    rotary = None
    if config.rotary:
        if config.position == "rope_interleaved":  # Huginn turns in float32 even in bfloat16
            dtype = torch.promote_types(dtype, torch.float32)
        rotary = rotary_table(
            tokens, config.head_width, config.rope_theta, config.rope_scaling, str(device), dtype
        )
    mask = None
    if config.attention == "window":
        mask = window_mask(tokens, config.window, str(device))
    elif config.attention == "grid":
        mask = grid_mask(tokens, str(device))
    return Context(rotary, mask, config.attention == "causal")


def hide(context: Context, shown: Tensor) -> Context:
    """The context with every token hidden from others where `shown` [batch, token] is False."""
    tokens = shown.shape[1]
    sees = context.mask
    if sees is None:
        sees = torch.ones(tokens, tokens, dtype=torch.bool, device=shown.device)
        sees = sees.tril() if context.causal else sees
    # A hidden token sees itself, because a softmax over nothing would be NaN.
    itself = torch.eye(tokens, dtype=torch.bool, device=shown.device)
    return context._replace(mask=sees & shown[:, None, None] | itself, causal=False)


def open_prefix(context: Context, prefix: Tensor) -> Context:
    """The context in which the tokens of `prefix` [batch, token] see each other both ways."""
    tokens = prefix.shape[1]
    sees = context.mask
    if sees is None:
        sees = torch.ones(tokens, tokens, dtype=torch.bool, device=prefix.device).tril()
    return context._replace(
        mask=sees | prefix[:, None, None] & prefix[:, None, :, None], causal=False
    )


@lru_cache(maxsize=16)
def rotary_table(tokens: int, head_dim: int, theta: float, scaling, device: str, dtype):
    """cos and sin of `position * theta^(-2i / head_dim)`, each [token, head_dim / 2]."""
    with torch.inference_mode(False):  # a cached inference tensor could not be used in training
        pair = torch.arange(0, head_dim, 2, device=device, dtype=torch.float32)
        speed = 1.0 / theta ** (pair / head_dim)  # in this order, as official code rounds it
        if scaling is not None:
            speed = slow_down(speed, *scaling)
        angle = torch.outer(torch.arange(tokens, device=device, dtype=torch.float32), speed)
        return angle.cos().to(dtype), angle.sin().to(dtype)


def slow_down(speed: Tensor, factor: float, low: float, high: float, original: float) -> Tensor:
    """Llama 3's stretch: pairs that turn fewer than `low` times in `original` tokens turn `factor`
    times slower, those that turn more than `high` times stay, and the rest are blended."""
    turns = original * speed / (2 * pi)
    keep = ((turns - low) / (high - low)).clamp(0, 1)
    return speed * (keep + (1 - keep) / factor)


@lru_cache(maxsize=16)
def window_mask(tokens: int, window: int, device: str) -> Tensor:
    """Each token sees itself and the `window - 1` tokens before it: [token, token]."""
    with torch.inference_mode(False):
        at = torch.arange(tokens, device=device)
        back = at[:, None] - at[None, :]
        return (back >= 0) & (back < window)


@lru_cache(maxsize=16)
def grid_mask(tokens: int, device: str) -> Tensor:
    """Tokens are the cells of a square grid, row by row; a cell sees itself and 4 neighbours."""
    side = isqrt(tokens)
    if side * side != tokens:
        raise ValueError(
            f"attention='grid' needs a square number of tokens, got {tokens}: "
            f"pad the grid to {(side + 1) ** 2} cells"
        )
    with torch.inference_mode(False):
        at = torch.arange(tokens, device=device)
        row, column = at // side, at % side
        steps = (row[:, None] - row[None, :]).abs() + (column[:, None] - column[None, :]).abs()
        return steps <= 1


def rotate(x: Tensor, rotary: tuple[Tensor, Tensor], interleaved: bool) -> Tensor:
    """Turn each pair of channels of `x` [batch, head, token, head_dim] by its position's angle.

    Pairs are (2i, 2i+1) when interleaved (Huginn) and (i, i + head_dim/2) otherwise (Llama, Ouro).
    Interleaved, cos and sin may be wider than `x`; the result has the dtype of `x`.
    """
    cos, sin = rotary
    if interleaved:
        a, b = x[..., 0::2], x[..., 1::2]
        return torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-1).flatten(-2).to(x)
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)


class Attention(nn.Module):
    """Multi-head attention from [batch, token, width] to [batch, token, width]."""

    def __init__(self, config: LoopedConfig, embeds_values: bool = False):
        super().__init__()
        self.heads, self.key_heads = config.heads, config.key_heads
        self.head_dim = config.head_width
        self.interleaved = config.position == "rope_interleaved"
        self.qk_norm = config.qk_norm
        queries, keys = self.heads * self.head_dim, self.key_heads * self.head_dim
        self.sizes = (queries, keys, keys)
        self.qkv = nn.Linear(config.width, queries + 2 * keys, bias=config.bias)
        self.out = nn.Linear(queries, config.width, bias=config.bias)
        self.gate = None
        if config.attn_gate:
            self.gate = nn.Linear(config.width, queries, bias=config.bias)
        if config.qk_bias:
            self.q_bias = nn.Parameter(torch.zeros(queries))
            self.k_bias = nn.Parameter(torch.zeros(keys))
        else:
            self.q_bias = self.k_bias = None
        if config.qk_norm in ("head", "all"):
            per_head = config.qk_norm == "head"
            self.q_norm = nn.RMSNorm(self.head_dim if per_head else queries, eps=config.norm_eps)
            self.k_norm = nn.RMSNorm(self.head_dim if per_head else keys, eps=config.norm_eps)
        self.value_embed = self.value_gate = None
        if embeds_values:
            self.value_embed = nn.Embedding(config.vocab, keys)
            self.value_gate = nn.Linear(GATE_CHANNELS, self.key_heads, bias=False)

    def forward(self, x: Tensor, visit: Visit) -> Tensor:
        context = visit.context
        q, k, v = self.qkv(x).split(self.sizes, dim=-1)
        if self.q_bias is not None:
            q, k = q + self.q_bias, k + self.k_bias
        if self.qk_norm == "all":
            q, k = self.q_norm(q), self.k_norm(k)
        q, k, v = (self._heads(y) for y in (q, k, v))
        if self.qk_norm == "head":
            q, k = self.q_norm(q), self.k_norm(k)
        if self.value_embed is not None:
            v = v + self._token_values(x, context.tokens)
        if context.rotary is not None:
            q = rotate(q, context.rotary, self.interleaved)
            k = rotate(k, context.rotary, self.interleaved)
        if self.qk_norm == "rotated":
            q, k = (F.rms_norm(y, (self.head_dim,)) for y in (q, k))
        if context.extend is not None:
            k, v = context.extend(visit.part, visit.loop, visit.layer, k, v)
        # Each key head serves heads / key_heads queries. Fused attention on a CPU knows that by
        # itself; on a GPU it may have to be written out for it, and a tap is shown all keys.
        if self.key_heads < self.heads and (visit.tap is not None or k.device.type != "cpu"):
            k = k.repeat_interleave(self.heads // self.key_heads, dim=1)
            v = v.repeat_interleave(self.heads // self.key_heads, dim=1)
        q = visit.show("attn.q", q)
        k = visit.show("attn.k", k)
        if wants_patterns(visit.tap):
            mixed = visit.show("attn.pattern", attention_pattern(q, k, context)) @ v
        else:
            mixed = F.scaled_dot_product_attention(
                q,
                k,
                v,
                attn_mask=context.mask,
                is_causal=context.causal,
                enable_gqa=k.shape[1] < self.heads,
            )
        # [batch, head, token, head_dim] -> [batch, token, head * head_dim]
        mixed = mixed.transpose(1, 2).flatten(2)
        if self.gate is not None:
            mixed = mixed * self.gate(x).sigmoid()
        return self.out(mixed)

    def _token_values(self, x: Tensor, tokens: Tensor) -> Tensor:
        """What the tokens add to the values, [batch, head, token, head_dim]; a gate, 0 to 2, for
        each head."""
        gate = 2 * self.value_gate(x[..., :GATE_CHANNELS]).sigmoid()  # [batch, token, head]
        return self._heads(self.value_embed(tokens)) * gate.transpose(1, 2)[..., None]

    def _heads(self, y: Tensor) -> Tensor:
        # [batch, token, head * head_dim] -> [batch, head, token, head_dim]
        return y.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)


def attention_pattern(q: Tensor, k: Tensor, context: Context) -> Tensor:
    """softmax(q k^T / sqrt(head_dim)) over what each token may see: [batch, head, token, token]."""
    scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
    mask = context.mask
    if context.causal:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).tril()
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return scores.softmax(dim=-1)


class MLP(nn.Module):
    """Two matrices with an activation between, or three with a gate: width -> width."""

    def __init__(self, config: LoopedConfig):
        super().__init__()
        self.gated = config.mlp == "gated"
        self.act = ACTIVATIONS[config.activation]
        rows = config.hidden * (2 if self.gated else 1)
        self.up = nn.Linear(config.width, rows, bias=config.bias)
        self.down = nn.Linear(config.hidden, config.width, bias=config.bias)

    def forward(self, x: Tensor) -> Tensor:
        if self.gated:
            # Two products, because MKL takes up to a tenth longer for one with twice the rows
            # (fp32, 20 to 170 tokens of width 576).
            gate, value = self.up.weight.chunk(2)
            return self.down(self.act(F.linear(x, gate)) * F.linear(x, value))
        return self.down(self.act(self.up(x)))


class Layer(nn.Module):
    """One layer: an attention branch, an MLP branch, and up to four norms around them.

        pre                x = x + attn(n1 x)          x = x + mlp(n3 x)         Llama, retrofits
        residual_sandwich  x = n2(x + attn(n1 x))      x = n4(x + mlp(n3 x))     Huginn
        branch_sandwich    x = x + n2(attn(n1 x))      x = x + n4(mlp(n3 x))     Ouro
        branch_post        x = x + n2(attn(x))         x = x + n4(mlp(x))        OLMo-2
        post               x = n2(x + attn(x))         x = n4(x + mlp(x))        ALBERT

    What stands where is a row of `looplab.model.norms.PLACEMENTS`.
    Source: norms n1..n4 of arXiv 2604.11791, section 2.
    """

    def __init__(self, config: LoopedConfig, embeds_values: bool = False):
        super().__init__()
        placement = config.placement
        self.on_sum = placement.on_sum
        self.n1, self.n2, self.n3, self.n4 = (
            make_norm(config.norm_kind, config.width, config.norm_eps)
            if name in placement.norms
            else nn.Identity()
            for name in ("n1", "n2", "n3", "n4")
        )
        self.attn = Attention(config, embeds_values)
        self.mlp = MLP(config)

    def forward(self, x: Tensor, visit: Visit) -> Tensor:
        x = self._add(x, self.attn(self.n1(x), visit), self.n2, visit, "attn.out")
        x = visit.show("resid_mid", x)
        x = self._add(x, self.mlp(self.n3(x)), self.n4, visit, "mlp.out")
        return visit.show("resid", x)

    def _add(self, x: Tensor, branch: Tensor, norm: nn.Module, visit: Visit, name: str) -> Tensor:
        if self.on_sum:
            return norm(x + visit.show(name, branch))
        return x + visit.show(name, norm(branch))


class GainLayer(Layer):
    """A layer whose branches are multiplied by gates, 0 to `branch_gain` for each channel.

    Source: LayerScale with an upper limit, github.com/jacobfa/Attractor.
    """

    def __init__(self, config: LoopedConfig, embeds_values: bool = False):
        super().__init__(config, embeds_values)
        self.most = config.branch_gain
        self.attn_gain = nn.Parameter(torch.zeros(config.width))
        self.mlp_gain = nn.Parameter(torch.zeros(config.width))

    def _add(self, x: Tensor, branch: Tensor, norm: nn.Module, visit: Visit, name: str) -> Tensor:
        gain = self.attn_gain if name == "attn.out" else self.mlp_gain
        return x + visit.show(name, norm(branch) * (self.most * gain.sigmoid()))


def make_layers(
    config: LoopedConfig, first: int, count: int, kind: type[Layer] = Layer
) -> nn.ModuleList:
    """`count` layers, numbered from `first` through prelude, core and coda."""
    numbers = range(first, first + count)
    return nn.ModuleList(kind(config, number in config.value_layers) for number in numbers)
