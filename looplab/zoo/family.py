"""What a module of `looplab.zoo.families` says of its family."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from looplab.model import LoopedConfig
from looplab.zoo.files import SINGLE, ConfigFile, Stored
from looplab.zoo.keys import Keys
from looplab.zoo.translation import Translation


@dataclass(frozen=True)
class Form:
    """A family's form on disk, as `looplab.zoo.exporting` writes it."""

    describe: Callable[[LoopedConfig], dict]  # config.json
    # Tensor names by which the family's reader tells this form from its others
    signs: Callable[[LoopedConfig], Sequence[str]] = lambda config: ()
    # What the release stores besides: (config, config.json, the other tensors) -> tensors
    extras: Callable[[LoopedConfig, dict, dict[str, Tensor]], dict[str, Tensor]] | None = None
    # The file of weights; another than the single one gets an index beside it
    weights: str = SINGLE
    # Further files of such a folder: name -> text, made of a folder that has the others
    beside: dict[str, Callable[[Path], str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Family:
    """One family of released models; its module calls it FAMILY, and is found by that."""

    kinds: tuple[str, ...]  # what its config.json may say as model_type
    keys: Keys  # what its config.json may say
    translate: Callable[[ConfigFile, dict[str, Stored]], Translation]
    detects: Callable[[ConfigFile], bool] | None = None  # for a config.json without model_type
    # Files that its weights may come in where there is no safetensors file: patterns of names, of
    # which the last in order counts; opened as tensors only
    pickles: tuple[str, ...] = ()
    # Where in config.json its settings stand, for one that has more than settings
    settings: Callable[[ConfigFile], ConfigFile] = lambda config: config
    forms: dict[str, Form] = field(default_factory=dict)  # name for `export` -> form
