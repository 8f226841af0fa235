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

# A setting that comes later needs its default here: folders written before it lack it.
_SETTINGS = tuple(setting.name for setting in fields(LoopedConfig))
_SWITCHES = tuple(setting.name for setting in fields(LoopedConfig) if setting.type is bool)
_ENDS = ("embed.0.weight", "head.weight")


def translate(config: ConfigFile, stored: dict[str, Stored]) -> Translation:
    """Config and tensors of a folder in looplab's own form, under their own names."""
    for name in _SWITCHES:
        if not isinstance(config[name], bool):
            raise ValueError(f"{config.path} says {name}={config[name]!r}: expected true or false")
    ours = LoopedConfig(**{name: config[name] for name in _SETTINGS})
    with torch.device("meta"):  # names and shapes without memory
        weights = LoopedTransformer(ours).state_dict()
    inside = {name: weight for name, weight in weights.items() if name not in _ENDS}
    tensors = {name: (Part(name, tuple(weight.shape)),) for name, weight in inside.items()}
    return Translation(ours, _ends(ours, stored) | tensors, _ENDS)


def _ends(config: LoopedConfig, stored: dict[str, Stored]) -> dict[str, tuple[Part, ...]]:
    """Embedding and head; the head of a model of toy tasks has a row for each class."""
    found = ends(config, _ENDS, stored)
    if not config.tie_head:
        found["head.weight"] = (Part("head.weight", (config.answers, config.width)),)
    return found


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
