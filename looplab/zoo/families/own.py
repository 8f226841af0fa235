"""looplab's own form, for models that no released family has a place for, such as a looped Llama.

config.json is a `LoopedConfig`, setting by setting, with model_type "looplab"; tensors have the
names that a `LoopedTransformer` gives them. Every one can be written so.
"""

from dataclasses import fields

import torch

from looplab.model import LoopedConfig, LoopedTransformer
from looplab.zoo.family import Family, Form
from looplab.zoo.files import ConfigFile, Stored
from looplab.zoo.keys import Keys
from looplab.zoo.translation import Part, Translation, ends

# Settings that folders of the first version have; of one that came later they lack it, and mean
# its default.
# fmt: off
_FIRST = {
    "vocab", "width", "prelude", "core", "coda", "loops", "tied", "fields", "classes", "heads",
    "kv_heads", "head_dim", "mlp_width", "mlp", "activation", "norm", "norm_eps", "injection",
    "start", "start_std", "attention", "window", "position", "rope_theta", "rope_scaling",
    "qk_bias", "qk_norm", "value_layers", "embed_scale", "tie_head", "exit_gate", "input_norm",
    "state_out", "stride",
}
# fmt: on
_SETTINGS = tuple(setting.name for setting in fields(LoopedConfig))
_SWITCHES = tuple(setting.name for setting in fields(LoopedConfig) if setting.type is bool)
_ENDS = ("embed.0.weight", "head.weight")


def translate(config: ConfigFile, stored: dict[str, Stored]) -> Translation:
    """Config and tensors of a folder in looplab's own form, under their own names."""
    said = {name: config[name] for name in _SETTINGS if name in _FIRST or name in config.values}
    for name in _SWITCHES:
        if not isinstance(said.get(name, False), bool):
            raise ValueError(f"{config.path} says {name}={said[name]!r}: expected true or false")
    ours = LoopedConfig(**said)
    with torch.device("meta"):  # names and shapes without memory
        weights = LoopedTransformer(ours).state_dict()
    tensors = {name: (Part(name, tuple(weight.shape)),) for name, weight in weights.items()}
    if ours.tie_head:
        del tensors["head.weight"]
        tensors |= ends(ours, _ENDS, stored)
    return Translation(ours, tensors, _ENDS)


def _describe(config: LoopedConfig) -> dict:
    return {
        "architectures": ["LoopedTransformer"],
        "model_type": "looplab",
        **config.to_dict(),
    }


FAMILY = Family(
    ("looplab",),
    Keys(used=_SETTINGS, classes=("LoopedTransformer",)),
    translate,
    forms={"looplab": Form(_describe)},
)
