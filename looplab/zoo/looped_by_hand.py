"""Loop a model that was never looped, without training: naively, or in damped steps.

Source: arXiv 2605.23872, its block mode.
"""

from dataclasses import replace

import torch

from looplab.model import LoopedTransformer


def loopify(
    model: LoopedTransformer, first: int, last: int, loops: int, *, damped: bool = True
) -> LoopedTransformer:
    """Run layers `first` to `last - 1` of a one-loop model `loops` times; the weights are shared.

    Naive looping applies the window g again and again, x = g(x). If a layer is an Euler step of a
    flow, this follows the flow `loops` times too far; damped looping goes as far as the model was
    trained to, in finer steps: x = x + (g(x) - x) / loops. Calling a damped model with another
    number of loops than this one follows the flow further or less far. One loop is the model
    itself in either mode.

    Raises ValueError naming the value for a model that is looped already and a window outside it.

    >>> from looplab import LoopedConfig
    >>> base = LoopedTransformer(LoopedConfig(vocab=10, width=16, heads=2, core=6, loops=1))
    >>> loopify(base, 2, 4, loops=3).config.notation
    '(2, 2⊗3, 2)'
    """
    config = model.config
    if config.loops != 1 or config.prelude or config.coda or config.injection != "none":
        raise ValueError(
            f"this model is {config.notation}: expected a feedforward one, with one loop that is "
            "the whole model"
        )
    if config.placement.loop_end:
        raise ValueError(f"norm={config.norm!r} ends in a norm that belongs to the loop")
    if config.placement.before_coda:
        raise ValueError(f"norm={config.norm!r} norms its state once more in front of a coda")
    if not 0 <= first < last <= config.core:
        raise ValueError(
            f"window {first} to {last}: expected 0 <= first < last <= {config.core} layers"
        )
    ends = {"prelude": first, "core": last - first, "coda": config.core - last, "loops": loops}
    ends["stride"] = 1 / loops if damped else 1.0
    with torch.device("meta"):  # no new weights
        looped = LoopedTransformer(replace(config, **ends))
    weights = {_moved(name, first, last): w for name, w in model.state_dict().items()}
    looped.load_state_dict(weights, assign=True)
    if config.tie_head:
        looped.head.weight = looped.embed[0].weight
    return looped.train(model.training).requires_grad_(model.head.weight.requires_grad)


def _moved(name: str, first: int, last: int) -> str:
    """Where a weight of the one-loop model is in the looped one."""
    if not name.startswith("cores.0.layers."):
        return name
    layer, inside = name.removeprefix("cores.0.layers.").split(".", 1)
    layer = int(layer)
    if layer < first:
        return f"prelude.{layer}.{inside}"
    if layer < last:
        return f"cores.0.layers.{layer - first}.{inside}"
    return f"coda.{layer - last}.{inside}"
