"""How far attention may move when the state in front of it moves: Prop. 4.2, measured."""

from math import sqrt
from typing import NamedTuple

import torch
from torch import Tensor

from looplab.model import LoopedTransformer
from looplab.model.layers import rotary_table, rotate
from looplab.tracing import Trace

__all__ = ["AttentionBound", "attention_bound", "query_key_norm"]

SOFTMAX_LIPSCHITZ = 0.5  # of each row, in the Euclidean norm; Nair 2025, arXiv 2510.23012


class AttentionBound(NamedTuple):
    """Both sides of Prop. 4.2 from each loop to the next, all [loop - 1, layer, batch, head]."""

    moved: Tensor  # left: how far the pattern moved, Frobenius
    bound: Tensor  # right: how far it could have moved at most
    slack: Tensor  # bound / moved, at least 1; infinite where nothing moved


@torch.no_grad()
def attention_bound(model: LoopedTransformer, run: Trace) -> AttentionBound:
    """Compare every change of a pattern with the most that the change of its input allows.

        ‖softmax(A(X_t)) - softmax(A(X_{t-1}))‖  <=  1/2 · 2 B κ / sqrt(d) · ‖X_t - X_{t-1}‖

    X [token, width] is what the attention reads, the stream after its norm n1. Norms of patterns
    and states are Frobenius norms over one sequence, B is the larger of ‖X_t‖ and ‖X_{t-1}‖, and
    κ is the spectral norm from `query_key_norm`. Each head has a bound of its own. Within float32
    noise of a fixed point both sides are rounding.

    Raises ValueError when the trace lacks states or patterns, for an unrolled twin (no layer meets
    both states) and for qk_norm or qk_bias (scores are then not bilinear in X).

    Source: Prop. 4.2 of arXiv 2604.11791 (claim C3).

    >>> from looplab import LoopedConfig, trace
    >>> model = LoopedTransformer(LoopedConfig(vocab=10, width=16, heads=2, core=2))
    >>> run = trace(model, torch.arange(5)[None], loops=4, keep=("states", "attention"))
    >>> bool((attention_bound(model, run).slack > 1).all())
    True
    """
    if run.states is None or run.attention is None:
        raise ValueError('this trace lacks states or patterns: keep=("states", "attention")')
    kappa = query_key_norm(model, run.tokens.shape[1])  # [layer, head]
    inputs = _attention_inputs(model, run).double()  # [loop, layer, batch, token, width]
    size = inputs.flatten(-2).norm(dim=-1)
    largest = torch.maximum(size[1:], size[:-1])  # B [loop - 1, layer, batch]
    step = (inputs[1:] - inputs[:-1]).flatten(-2).norm(dim=-1)
    most = SOFTMAX_LIPSCHITZ * 2 * largest * step / sqrt(model.config.head_width)
    bound = most[..., None] * kappa[:, None]
    patterns = run.attention.double()
    moved = (patterns[1:] - patterns[:-1]).flatten(-2).norm(dim=-1)
    return AttentionBound(moved, bound, torch.where(moved > 0, bound / moved, torch.inf))


@torch.no_grad()
def query_key_norm(model: LoopedTransformer, tokens: int) -> Tensor:
    """κ = ‖W_Q W_K^T‖, the spectral norm for each head of the core: [layer, head] in float64.

    Rotary positions put a rotation that depends on the distance between query and key in the
    middle, W_Q R W_K^T; κ is then the largest norm over the distances that fit into `tokens`
    tokens. (This is why B must be a Frobenius norm: the spectral norm of X would do for one fixed
    matrix, not for one matrix per distance.) Raises ValueError for qk_norm, qk_bias and unrolled
    twins, as `attention_bound` does.

    >>> from looplab import LoopedConfig
    >>> query_key_norm(LoopedTransformer(LoopedConfig(vocab=9, core=3)), tokens=5).shape
    torch.Size([3, 4])
    """
    config = model.config
    if not config.tied:
        raise ValueError("Prop. 4.2 compares two passes through one layer: this model is unrolled")
    if config.qk_norm != "none" or config.qk_bias:
        raise ValueError(
            f"Prop. 4.2 needs scores X W_Q W_K^T X^T; this model has qk_norm={config.qk_norm!r}, "
            f"qk_bias={config.qk_bias}, which bend them: look at attention_step instead"
        )
    return torch.stack([_kappa(layer.attn, config, tokens) for layer in model.cores[0].layers])


def _kappa(attn, config, tokens: int) -> Tensor:
    width = config.head_width
    query, key, _ = attn.qkv.weight.double().split(attn.sizes)
    # [head * head_dim, width] -> [head, width, head_dim]; each key head serves several queries
    query, key = (w.unflatten(0, (-1, width)).mT for w in (query, key))
    key = key.repeat_interleave(config.heads // config.key_heads, dim=0)
    # Orthonormal columns do not change a spectral norm: what is left is [head, head_dim, head_dim].
    query, key = (torch.linalg.qr(w).R for w in (query, key))
    if config.position == "none":
        return torch.linalg.matrix_norm(query @ key.mT, ord=2)
    cos, sin = rotary_table(
        tokens, width, config.rope_theta, config.rope_scaling, str(query.device), query.dtype
    )
    turns = [(cos, sin)]  # a causal query stands at its key or 1, 2, ... tokens behind it
    if config.attention not in ("causal", "window"):
        turns.append((cos, -sin))
    norms = []
    for turn in turns:
        # [head, row, 1, head_dim] turned by every distance -> [head, row, distance, head_dim]
        turned = rotate(query[:, :, None], turn, config.position == "rope_interleaved")
        scores = turned.transpose(1, 2) @ key.mT[:, None]
        norms.append(torch.linalg.matrix_norm(scores, ord=2).amax(1))
    return torch.stack(norms).amax(0)


def _attention_inputs(model: LoopedTransformer, run: Trace) -> Tensor:
    """What each core layer's attention read: [loop, layer, batch, token, width]."""
    core = model.cores[0]
    before = torch.cat((run.start[None], run.loop_ends[:-1]))  # [loop, batch, token, width]
    first = core.injection(before, run.input.expand_as(before))
    stream = [first, *run.states[:, :-1].unbind(1)]  # in front of each layer
    return torch.stack([layer.n1(x) for layer, x in zip(core.layers, stream, strict=True)], dim=1)
