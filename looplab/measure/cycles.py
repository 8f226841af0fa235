"""The cycle that the core walks in latent space once its layers have come to rest."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from looplab.measure.shapes import precise, state_at
from looplab.model import LoopedTransformer

__all__ = [
    "CyclePCA",
    "PathIndependence",
    "cycle_pca",
    "min_layer_cosine",
    "path_independence",
    "rotation_residual",
]


def min_layer_cosine(states: Tensor, limit: int | None = None) -> Tensor:
    """Least cosine between the first layer's fixed point and another layer's: [batch, token].

    `states` [loop, layer, batch, token, width]; the fixed points are the states at recurrence
    `limit` (counted from 1, None: the last). 1 means that every layer rests on the same point:
    the degenerate case, in which no layer does anything any more. A core of one layer has only
    one point and gives 1.

    Source: arXiv 2604.11791, section 4 and figure 6 (claims C2, C8).

    >>> points = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).view(1, 2, 1, 1, 2)
    >>> min_layer_cosine(points).item()
    0.0
    """
    if states.dim() != 5:
        raise ValueError(
            f"states have shape {tuple(states.shape)}: expected [loop, layer, batch, token, width]"
        )
    points = precise(state_at(states, limit))  # [layer, batch, token, width]
    return F.cosine_similarity(points[:1], points, dim=-1).amin(0)


class CyclePCA(NamedTuple):
    """A path seen in the plane of its largest movements."""

    points: Tensor  # [loop, layer, component]
    mean: Tensor  # [width]
    axes: Tensor  # [component, width], orthonormal
    explained: Tensor  # share of the variance along each axis [component]


def cycle_pca(path: Tensor, components: int = 2) -> CyclePCA:
    """Principal components of one token's path [loop, layer, width], all layers together.

    Fitted on every state of the path at once, so that the layers share one plane; the largest
    entry of each axis is positive, so that the picture does not flip between runs.
    Raises ValueError for a path of another shape or more components than it has.

    Source: arXiv 2604.11791, figure 5 (claim C7).

    >>> cycle_pca(torch.randn(6, 3, 16)).points.shape
    torch.Size([6, 3, 2])
    """
    if path.dim() != 3:
        raise ValueError(
            f"path has shape {tuple(path.shape)}: expected one token's [loop, layer, width], "
            "such as trace.states[:, :, 0, -1]"
        )
    path = precise(path)
    flat = path.flatten(0, 1)  # [loop * layer, width]
    most = min(flat.shape)
    if not 1 <= components <= most:
        raise ValueError(f"components={components}: this path has 1 to {most}")
    mean = flat.mean(0)
    _, sizes, axes = torch.linalg.svd(flat - mean, full_matrices=False)
    axes = axes[:components]
    largest = axes.gather(1, axes.abs().argmax(1, keepdim=True))
    axes = axes * largest.sign()
    total = sizes.square().sum().clamp_min(torch.finfo(sizes.dtype).tiny)
    explained = sizes[:components].square() / total
    return CyclePCA((path - mean) @ axes.T, mean, axes, explained)


@torch.no_grad()
def rotation_residual(
    model: LoopedTransformer, tokens: Tensor, state: Tensor, first_layer: int
) -> Tensor:
    """How far one pass of the rotated core moves the state in front of `first_layer`.

    `state` [batch, token, width] is the end of a loop. It is carried up to layer `first_layer`,
    and from there one whole pass is run: layers first_layer..k-1, injection, layers
    0..first_layer-1. Returns the distance between the two ends of that pass relative to its
    start, [batch, token]: zero, up to rounding, when `state` is a fixed point of the core, and
    large when it is not. `first_layer=0` is the core as it is.

    Source: Prop. 4.1 of arXiv 2604.11791 (claim C1).
    """
    ready = model.prepare(tokens, state=state)
    before = ready.start
    if first_layer:
        seen = {}

        def keep(site, value):
            if site.name == "core.resid":
                seen[site.layer] = value

        model.step(before, ready, tap=keep)
        before = seen[first_layer - 1]
    after = precise(model.step(before, ready, first_layer=first_layer))
    before = precise(before)
    return (after - before).norm(dim=-1) / before.norm(dim=-1)


class PathIndependence(NamedTuple):
    """Where runs from many starts end up."""

    ends: Tensor  # [start, batch, token, width]
    distance: Tensor  # relative, between every two starts [start, start, batch, token]
    agree: Tensor  # share of starts whose answer is the most common one [batch, token]


@torch.no_grad()
def path_independence(
    model: LoopedTransformer,
    tokens: Tensor,
    loops: int,
    starts: int = 8,
    std: float = 1.0,
    generator: torch.Generator | None = None,
) -> PathIndependence:
    """Run the same tokens from many random states at loop 0 and compare where they end.

    Starts are normal with the given standard deviation, whatever the model was trained to start
    from. Source: path independence, Anil et al. 2022, arXiv 2211.09961.

    >>> from looplab import LoopedConfig
    >>> model = LoopedTransformer(LoopedConfig(vocab=5, width=16, heads=2, injection="concat"))
    >>> path_independence(model, torch.tensor([[1, 2, 3]]), loops=4, starts=2).distance.shape
    torch.Size([2, 2, 1, 3])
    """
    if starts < 2:
        raise ValueError(f"starts={starts}: expected at least 2 to compare")
    tokens, _ = model.read(tokens)
    weight, shape = model.head.weight, (*tokens.shape[:2], model.config.width)
    ends, answers = [], []
    for _ in range(starts):
        kind = torch.promote_types(weight.dtype, torch.float32)
        state = std * torch.randn(shape, generator=generator, dtype=kind)
        out = model(tokens, loops, state=state.to(weight))
        ends.append(precise(out.state))
        answers.append(out.logits.argmax(-1))
    ends, answers = torch.stack(ends), torch.stack(answers)  # [start, batch, token, (width)]
    # [start, 1, ...] - [1, start, ...] -> [start, start, batch, token]
    distance = (ends[:, None] - ends[None]).norm(dim=-1) / ends.norm(dim=-1).mean(0)
    common = answers.mode(dim=0).values
    return PathIndependence(ends, distance, (answers == common).float().mean(0))
