"""Families of released models: each module here holds one as FAMILY, and is found by itself."""

from importlib import import_module
from pkgutil import iter_modules

from looplab.zoo.family import Family
from looplab.zoo.files import ConfigFile

_FOUND = [import_module(f"{__name__}.{module.name}").FAMILY for module in iter_modules(__path__)]
FAMILIES: dict[str, Family] = {kind: family for family in _FOUND for kind in family.kinds}
# Form for `export` -> the family it is of
FORMS: dict[str, Family] = {form: family for family in _FOUND for form in family.forms}


def family_of(config: ConfigFile) -> Family:
    """The family that a config.json is of; ValueError naming the known ones, and for quantised."""
    for key in ("quantization_config", "compression_config", "quantization"):
        if config.get(key) is not None:
            raise ValueError(
                f"{config.path} describes quantised weights ({key}): get the full ones"
            )
    kind = config.get("model_type")
    if not isinstance(kind, str | None):
        raise ValueError(
            f"{config.path} says model_type={kind!r}: expected one of {', '.join(FAMILIES)}"
        )
    for family in _FOUND:
        if family.detects is not None and family.detects(config):
            kind = family.kinds[0]
    if kind not in FAMILIES:
        code = ""
        if "auto_map" in config.values:
            code = ", and looplab never runs the Python code that its auto_map points to"
        raise ValueError(
            f"{config.path} says model_type={kind!r}: expected one of {', '.join(FAMILIES)}{code}"
        )
    return FAMILIES[kind]
