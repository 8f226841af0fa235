"""Loop a model that was never looped, without training: naively, or in damped steps.

Source: arXiv 2605.23872, its block mode.
"""

from dataclasses import replace

import torch

from looplab.model import LoopedTransformer


def loopify(
    model: LoopedTransformer,
    first: int,
    last: int,
    loops: int,
    *,
    damped: bool | None = None,
    injection: float | None = None,
    drop: int = 0,
) -> LoopedTransformer:
    """Run layers `first` to `last - 1` of a one-loop model `loops` times; the weights are shared.

    Naive looping applies the window g again and again, x = g(x). If a layer is an Euler step of a
    flow, this follows the flow `loops` times too far; damped looping goes as far as the model was
    trained to, in finer steps: x = x + (g(x) - x) / loops. Calling a damped model with another
    number of loops than this one follows the flow further or less far.

    With `injection=a`, from 0 to 1, the window reads a * state + (1 - a) * input in front of every
    pass, where the input is what the window was given at first, and the state at loop 0 too. That
    is a concat injection, as the retrofits have it, and can be trained. It is not damped besides.
    One loop is the model itself in each of the three modes. `looplab.zoo.export` writes the result
    in the form "looplab": the retrofits' begins with noise.

    `drop` leaves out as many layers behind the window: what a trained loop may come to stand for.
    `damped` None means damped without an injection. Raises ValueError naming the value for a model
    that is looped already, a window outside it, a share outside of 0 to 1, and damping beside one.

    >>> from looplab import LoopedConfig
    >>> base = LoopedTransformer(LoopedConfig(vocab=10, width=16, heads=2, core=6, loops=1))
    >>> loopify(base, 2, 4, loops=3).config.notation
    '(2, 2⊗3, 2)'
    >>> loopify(base, 2, 4, loops=3, injection=0.3).config.notation
    '(2, 2⊗3, 2)_I'
    """
    config = model.config
    damped = injection is None if damped is None else damped
    if injection is not None and not 0 <= injection <= 1:
        raise ValueError(f"injection={injection!r}: expected the state's share, from 0 to 1")
    if injection is not None and damped:
        raise ValueError(
            f"injection={injection!r} with damped=True: an injected loop is not damped besides"
        )
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
    if not 0 <= drop <= config.core - last:
        raise ValueError(
            f"drop={drop}: expected 0 to {config.core - last} layers behind {last - 1}"
        )
    coda = config.core - last - drop
    ends = {"prelude": first, "core": last - first, "coda": coda, "loops": loops}
    ends["stride"] = 1 / loops if damped else 1.0
    if injection is not None:
        ends["injection"] = "concat"
    with torch.device("meta"):  # no new weights
        looped = LoopedTransformer(replace(config, **ends))
    weights = {}
    for name, weight in model.state_dict().items():
        if (moved := _moved(name, first, last, drop)) is not None:
            weights[moved] = weight
    if injection is not None:
        eye = torch.eye(config.width, dtype=model.dtype, device=model.device)
        mix = torch.cat((injection * eye, (1 - injection) * eye), dim=1)
        weights["cores.0.injection.mix.weight"] = mix
    looped.load_state_dict(weights, assign=True)
    if config.tie_head:
        looped.head.weight = looped.embed[0].weight
    looped.words = model.words
    return looped.train(model.training).requires_grad_(model.head.weight.requires_grad)


def _moved(name: str, first: int, last: int, drop: int) -> str | None:
    """Where a weight of the one-loop model is in the looped one; None if it is left out."""
    if not name.startswith("cores.0.layers."):
        return name
    layer, inside = name.removeprefix("cores.0.layers.").split(".", 1)
    layer = int(layer)
    if layer < first:
        return f"prelude.{layer}.{inside}"
    if layer < last:
        return f"cores.0.layers.{layer - first}.{inside}"
    return None if layer < last + drop else f"coda.{layer - last - drop}.{inside}"
