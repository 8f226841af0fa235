"""Write a LoopedTransformer in a form that `looplab.zoo.load` reads: a released family's, or ours.

Only names, layouts and config fields are the families'; whoever exports a model says whose it is.
There is no auto_map: the folder points to no code.
"""

import json
from pathlib import Path

from torch import Tensor

from looplab.basics.tensor_files import write_tensors
from looplab.basics.writing import write_text
from looplab.model import LoopedConfig, LoopedTransformer
from looplab.zoo.families import FORMS
from looplab.zoo.files import INDEX, SINGLE, ConfigFile, Stored


def export(model: LoopedTransformer, folder: str | Path, form: str) -> Path:
    """Write config.json and model.safetensors into a new folder; returns it.

    `form` is "albert", "attractor", "hrm_text", "huginn", "hyperloop", "ifm", "llama", "nanbeige",
    "ouro", "retrofit" (Llama's or OLMo-2's, as the model's norms say), or "looplab", our own, which
    has a place for every model, such as one that `loopify` made.
    Loading the folder gives the same config and weights. A tokenizer is not written: copy its files
    from the model that this one was made of.

    Raises ValueError for an unknown form, and naming the setting that a form has no place for;
    FileExistsError when the folder holds a model already.

    Source: the reading direction, in the modules of looplab.zoo.families.

    >>> import tempfile
    >>> from looplab.zoo import load
    >>> model = LoopedTransformer(LoopedConfig(
    ...     vocab=10, width=16, heads=2, core=2, loops=4, mlp="gated", activation="silu",
    ...     norm="branch_sandwich", exit_gate=True))
    >>> with tempfile.TemporaryDirectory() as parent:
    ...     again = load(export(model, f"{parent}/new", "ouro"))
    >>> again.config.notation, torch.equal(again.head.weight, model.head.weight)
    ('(0, 2⊗4, 0)', True)
    """
    if form not in FORMS:
        raise ValueError(f"form={form!r}: expected one of {', '.join(FORMS)}")
    folder = Path(folder).expanduser()
    family = FORMS[form]
    kind = family.forms[form]
    said = kind.describe(model.config)
    weights = model.state_dict()
    config = ConfigFile(folder / "config.json", said)
    signs = {name: Stored(Path(SINGLE), (), "F32") for name in kind.signs(model.config)}
    known = family.translate(family.settings(config), signs)
    _check(model.config, known.config, form)
    written: dict[str, Tensor] = {}
    for ours, parts in known.tensors.items():
        rows = [part.ours[0] for part in parts]
        for part, piece in zip(parts, weights[ours].split(rows), strict=True):
            first, last = part.slice or (0, part.shape[0])
            whole = written.setdefault(part.name, piece.new_empty(part.shape))
            whole[first:last] = (piece - part.plus).reshape(last - first, *part.shape[1:])
    if kind.extras is not None:
        written |= kind.extras(model.config, said, written)
    for name in ("config.json", SINGLE, INDEX, kind.weights, *kind.beside):
        if (folder / name).exists():
            raise FileExistsError(f"{folder / name} exists: export into a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "config.json", json.dumps(said, indent=2) + "\n")
    write_tensors(folder / kind.weights, written, {"format": "pt"})
    if kind.weights != SINGLE:
        size = sum(tensor.nbytes for tensor in written.values())
        where = dict.fromkeys(written, kind.weights)
        index = {"metadata": {"total_size": size}, "weight_map": where}
        write_text(folder / INDEX, json.dumps(index, indent=2, sort_keys=True) + "\n")
    for name, text in kind.beside.items():
        write_text(folder / name, text(folder))
    return folder


def _check(mine: LoopedConfig, read: LoopedConfig, form: str):
    """Refuse a model whose settings would not come back."""
    for name, value in mine.to_dict().items():
        again = read.to_dict()[name]
        effective = {
            "kv_heads": (mine.key_heads, read.key_heads),
            "head_dim": (mine.head_width, read.head_width),
            "mlp_width": (mine.hidden, read.hidden),
        }.get(name, (value, again))
        if name == "start_std" and mine.start not in ("normal", "hashed"):
            continue
        close = isinstance(value, float) and abs(value - again) <= 1e-12 * abs(value)
        if effective[0] != effective[1] and not close:
            raise ValueError(
                f"{name}={value!r}: the {form} form stands for {again!r}, so this model has no "
                "place in it"
            )
