"""Training checkpoints: one safetensors file with model, optimiser, step and history.

No random state is stored because none is needed: every step draws its batch, its loops and its
start noise from seeds that depend only on the recipe and the number of the step.

A run is known by what it started from and not by names: the start weights, the recipe, and what is
in its first batch. A task may be a lambda, a closure or an object, and be built anew.
"""

import functools
import hashlib
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from looplab.basics.settings import defaults, describe_differences
from looplab.basics.tensor_files import check_format, read_tensors, reading, write_tensors
from looplab.model import LoopedConfig, LoopedTransformer
from looplab.tasks import Batch
from looplab.train.recipe import Recipe

FORMAT = "looplab training checkpoint 2"
_SETTINGS = ("config", "recipe", "frozen")


class Saved(NamedTuple):
    """What a checkpoint holds beside the weights, which `restore` puts back in place."""

    step: int
    loss: list[float]
    loops: list[int]
    seconds: float
    threads: int
    evaluations: list[dict]


def identity(model: LoopedTransformer, task, recipe: Recipe, first: Batch) -> dict:
    """What two runs must share for one to continue the other; `first` is the run's first batch.

    "task" is a name for messages only, and "begun" how many steps the first batch was drawn for.
    """
    return _as_json(
        {
            "config": model.config.to_dict(),
            "recipe": recipe.to_dict(),
            "frozen": [name for name, w in model.named_parameters() if not w.requires_grad],
            "start": _of_weights(model.state_dict()),
            "data": fingerprint(first),
            "begun": recipe.steps,
            "task": name_of(task),
        }
    )


def fingerprint(tensors: Iterable[Tensor]) -> str:
    """A hash of the numbers in some tensors, the same on every device.

    >>> one, other = torch.ones(2), torch.zeros(2)
    >>> fingerprint([one]) == fingerprint([one.clone()]) != fingerprint([other])
    True
    """
    told = hashlib.sha256()
    for tensor in tensors:
        told.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        told.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return told.hexdigest()


def _of_weights(weights: dict[str, Tensor]) -> str:
    return fingerprint(weights[name] for name in sorted(weights))


def name_of(task) -> str:
    """Readable name of a task: its function and the arguments bound to it, without addresses."""
    arguments = []
    if isinstance(task, functools.partial):  # partials of partials are already flat
        arguments = [repr(value) for value in task.args]
        arguments += [f"{key}={value!r}" for key, value in sorted(task.keywords.items())]
        task = task.func
    function = getattr(task, "__qualname__", type(task).__qualname__)
    return re.sub(r" at 0x[0-9a-fA-F]+", "", f"{function}({', '.join(arguments)})")


def save(path: Path, run: dict, model: LoopedTransformer, optimizer, saved: Saved) -> None:
    """Write the checkpoint: the old file stays whole until the new one is complete."""
    # Clones, because tied weights share memory.
    tensors = {f"model.{name}": value.clone() for name, value in model.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": value for key, value in state.items()}
    tensors["history.loss"] = torch.tensor(saved.loss, dtype=torch.float64)
    tensors["history.loops"] = torch.tensor(saved.loops, dtype=torch.long)
    header = {**run, "step": saved.step, "seconds": saved.seconds, "threads": saved.threads}
    header["evaluations"] = saved.evaluations
    header = {key: json.dumps(value) for key, value in header.items()}
    write_tensors(path, tensors, {"format": FORMAT, "torch": torch.__version__, **header})


def restore(
    path: Path,
    model: LoopedTransformer,
    optimizer,
    task,
    recipe: Recipe,
    first_batch: Callable[[Recipe], Batch],
) -> tuple[Saved, dict]:
    """Load a checkpoint into model and optimiser; returns what it holds, and whose it is.

    `first_batch` draws the first batch of a recipe. The recipe may have more steps than that of a
    finished run. Raises ValueError where the file is damaged, is something else, or belongs to
    another run.
    """
    if path.is_dir():
        raise ValueError(f"{path} is a folder: name the file of the checkpoint")
    trouble = "cannot be read as a checkpoint and will not be overwritten"
    with reading(path, trouble, "choose another file name, or delete it if you do not need it"):
        header, tensors = read_tensors(path)
        kind = "training checkpoint of this version of looplab"
        remedy = "it will not be overwritten, choose another file name"
        check_format(path, header, kind, FORMAT, remedy)
        names = (*_SETTINGS, "start", "data", "begun", "task", "step", "seconds", "threads")
        there = {key: json.loads(header[key]) for key in names}
        saved = Saved(
            there.pop("step"),
            tensors["history.loss"].tolist(),
            tensors["history.loops"].tolist(),
            there.pop("seconds"),
            there.pop("threads"),
            json.loads(header.get("evaluations", "[]")),  # older checkpoints have none
        )
        # A checkpoint from before a setting was there was made with what is its default now.
        for part, kind in {"config": LoopedConfig, "recipe": Recipe}.items():
            there[part] = _as_json(defaults(kind)) | there[part]
        weights = _under("model.", tensors)
        drawn = replace(recipe, steps=there["begun"])
        here = identity(model, task, drawn, first_batch(drawn))
        here["recipe"]["steps"] = recipe.steps
        _check_run(path, there, here, saved.step, _of_weights(weights))
        if weights.keys() != model.state_dict().keys():
            raise ValueError("its weights have other names than the model's")
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in _under("optimizer.", tensors).items():
            index, key = name.split(".", 1)
            state.setdefault(int(index), {})[key] = value
        if len({frozenset(kept) for kept in state.values()}) > 1:
            raise ValueError("its optimiser holds more of some weights than of others")
    model.load_state_dict(weights)
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    return saved, {**there, "recipe": here["recipe"]}


def _check_run(path: Path, there: dict, here: dict, step: int, reached: str) -> None:
    """ValueError unless the run that is asked for can go on from the one in the file."""
    steps = there["recipe"]["steps"]
    if steps < here["recipe"]["steps"]:  # a finished run may be given more steps
        if step < steps:
            raise ValueError(
                f"{path} has taken {step} of {steps} steps: finish these with steps={steps} in the "
                f"recipe first, then go on to {here['recipe']['steps']}"
            )
        there = {**there, "recipe": {**there["recipe"], "steps": here["recipe"]["steps"]}}
    differences = [
        describe_differences(*({key: run[key] for key in _SETTINGS} for run in (there, here)))
    ]
    if not differences[0] and here["start"] not in (there["start"], reached):
        differences.append(
            "it started from other weights than this model has (build the model with the same "
            "torch.manual_seed)"
        )
    if not differences[0] and here["data"] != there["data"]:
        differences.append(
            f"another first batch, its task is {there['task']} there and {here['task']} here"
        )
    found = "; ".join(filter(None, differences))
    if found:
        raise ValueError(
            f"{path} belongs to another run: {found}. Choose another file name, or go "
            "back to the settings of the checkpoint"
        )


def _as_json(values: dict) -> dict:
    return json.loads(json.dumps(values))  # as they read when they come back: tuples become lists


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
