"""Products with the Jacobian of a map at a state; the Jacobian itself is never formed.

A state of any shape counts as one vector: with all tokens of a prompt in it, the Jacobian also says
how one token's state depends on another's.
"""

from collections.abc import Callable
from copy import deepcopy

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from looplab.measure.shapes import precise
from looplab.model import LoopedTransformer

Map = Callable[[Tensor], Tensor]


def loop_map(model: LoopedTransformer, tokens: Tensor) -> Map:
    """One loop of `model` on one prompt, as a map of states [start, token, width] to the same.

    `tokens` [1, token] or [1, token, field]; the map runs any number of states side by side, each
    on that prompt. It runs in float32 at least: of a half-precision model it takes a float32 copy,
    because half precision rounds away what is measured here. Where loops have gates of their own
    (streams), it is the map of the last set, which a long run uses. Raises ValueError for several
    prompts, and for an unrolled twin, whose every loop is another map.

    >>> from looplab import LoopedConfig
    >>> model = LoopedTransformer(LoopedConfig(vocab=9, width=16, heads=2, injection="concat"))
    >>> loop_map(model, torch.tensor([[1, 2, 3]]))(torch.zeros(5, 3, 16)).shape
    torch.Size([5, 3, 16])
    """
    if not model.config.tied:
        raise ValueError("an unrolled twin has another map in every loop: use the tied model")
    tokens, _ = model.read(tokens)
    if tokens.shape[0] != 1:
        raise ValueError(
            f"tokens have shape {tuple(tokens.shape)}: expected one prompt, such as tokens[:1], "
            "because prompts do not see each other and have a spectrum each"
        )
    wide = torch.promote_types(model.dtype, torch.float32)
    if wide != model.dtype:
        model = deepcopy(model).to(wide)
    with torch.no_grad():
        x = model.encode(tokens)

    def step(state: Tensor) -> Tensor:
        state = state.to(torch.promote_types(state.dtype, x.dtype))
        given = x.expand(*state.shape[:-1], -1)
        return model.step(state, given, loop=model.config.stream_sets - 1, tokens=tokens)

    return step


def precisely(step: Map, state: Tensor) -> tuple[Map, Tensor]:
    """A map and a state of it in float32 at least, whatever the state comes in.

    A map that takes nothing but half precision is given it, and its results are made wider.

    >>> precisely(torch.sin, torch.zeros(1, dtype=torch.float16))[1].dtype
    torch.float32
    """
    wide = precise(state)
    if wide.dtype == state.dtype:
        return step, state
    try:
        with torch.no_grad():
            step(wide)
    except RuntimeError:  # weights of another dtype

        def narrow(z: Tensor) -> Tensor:
            return step(z.to(state.dtype)).to(z.dtype)

        return narrow, wide
    return step, wide


def transposed_product(step: Map, state: Tensor) -> Map:
    """The map v -> J^T v at `state`, for v of its shape; J^T has the eigenvalues of J.

    The forward pass is run once and its graph kept, so that each product costs one backward pass.
    """
    point, end = _run(step, state)
    if not end.requires_grad:
        return torch.zeros_like  # the map forgets its state

    def pull(v: Tensor) -> Tensor:
        return torch.autograd.grad(end, point, v, retain_graph=True, materialize_grads=True)[0]

    return pull


def direct_products(step: Map, state: Tensor) -> tuple[Tensor, Map]:
    """step(state), and the map that takes rows v [direction, *state.shape] to rows J v.

    J^T w is linear in w, so its own transposed product is J v. For a transformer that is several
    times faster than forward mode, much of which torch runs in Python.
    """
    # The fused kernels cannot be differentiated twice; the plain formula can.
    with sdpa_kernel(SDPBackend.MATH):
        point, end = _run(step, state)
    if not end.requires_grad:
        return end, torch.zeros_like
    w = torch.zeros_like(end, requires_grad=True)
    with torch.enable_grad():
        (image,) = torch.autograd.grad(end, point, w, create_graph=True, materialize_grads=True)
    if not image.requires_grad:
        return end.detach(), torch.zeros_like

    def push(v: Tensor) -> Tensor:
        return torch.autograd.grad(image, w, v, retain_graph=True, is_grads_batched=True)[0]

    return end.detach(), push


def _run(step: Map, state: Tensor) -> tuple[Tensor, Tensor]:
    point = state.detach().clone().requires_grad_()
    with torch.enable_grad():
        end = step(point)
    if end.shape != state.shape:
        raise ValueError(
            f"step turned a state of shape {tuple(state.shape)} into {tuple(end.shape)}: "
            "expected a map from states to states"
        )
    if not end.isfinite().all():
        raise ValueError("step left the finite numbers here: look at an earlier state")
    return point, end
