"""Training checkpoints: one safetensors file with model, optimiser, step and history.

No random state is stored because none is needed: every step draws its batch, its loops and its
start noise from seeds that depend only on the recipe's seed and the number of the step.
"""

import functools
import json
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from looplab.basics.settings import defaults, describe_differences
from looplab.basics.tensor_files import check_format, read_tensors, reading, write_tensors
from looplab.model import LoopedConfig
from looplab.train.recipe import Recipe

FORMAT = "looplab training checkpoint 1"


class Saved(NamedTuple):
    """What a checkpoint holds beside the weights, which `restore` puts back in place."""

    step: int
    loss: list[float]
    loops: list[int]
    seconds: float
    threads: int


def identity(model: nn.Module, task, recipe) -> dict:
    """What two runs must share for one to continue the other."""
    run = {"config": model.config.to_dict(), "recipe": recipe.to_dict(), "task": name_of(task)}
    return _as_json(run)


def name_of(task) -> str:
    """Readable name of a task: its function and the arguments bound to it."""
    arguments = []
    if isinstance(task, functools.partial):  # partials of partials are already flat
        arguments = [repr(value) for value in task.args]
        arguments += [f"{key}={value!r}" for key, value in sorted(task.keywords.items())]
        task = task.func
    function = getattr(task, "__qualname__", type(task).__qualname__)
    return f"{function}({', '.join(arguments)})"


def save(path: Path, run: dict, model: nn.Module, optimizer, saved: Saved) -> None:
    """Write the checkpoint: the old file stays whole until the new one is complete."""
    # Clones, because tied weights share memory.
    tensors = {f"model.{name}": value.clone() for name, value in model.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": value for key, value in state.items()}
    tensors["history.loss"] = torch.tensor(saved.loss, dtype=torch.float64)
    tensors["history.loops"] = torch.tensor(saved.loops, dtype=torch.long)
    header = {**run, "step": saved.step, "seconds": saved.seconds, "threads": saved.threads}
    header = {key: json.dumps(value) for key, value in header.items()}
    write_tensors(path, tensors, {"format": FORMAT, "torch": torch.__version__, **header})


def restore(path: Path, run: dict, model: nn.Module, optimizer) -> Saved:
    """Load a checkpoint into model and optimiser.

    Raises ValueError where the file is damaged, is something else, or belongs to another run.
    """
    if path.is_dir():
        raise ValueError(f"{path} is a folder: name the file of the checkpoint")
    trouble = "cannot be read as a checkpoint and will not be overwritten"
    with reading(path, trouble, "choose another file name, or delete it if you do not need it"):
        header, tensors = read_tensors(path)
        kind = "training checkpoint of this version of looplab"
        remedy = "it will not be overwritten, choose another file name"
        check_format(path, header, kind, FORMAT, remedy)
        header = {key: json.loads(header[key]) for key in (*run, "step", "seconds", "threads")}
        saved = Saved(
            header["step"],
            tensors["history.loss"].tolist(),
            tensors["history.loops"].tolist(),
            header["seconds"],
            header["threads"],
        )
        # A checkpoint from before a setting was there was made with what is its default now.
        for part, kind in {"config": LoopedConfig, "recipe": Recipe}.items():
            header[part] = _as_json(defaults(kind)) | header[part]
        differences = describe_differences({key: header[key] for key in run}, run)
        if differences:
            raise ValueError(
                f"{path} belongs to another run: {differences}. Choose another file name, or go "
                "back to the settings of the checkpoint"
            )
        weights = _under("model.", tensors)
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
    return saved


def _as_json(values: dict) -> dict:
    return json.loads(json.dumps(values))  # as they read when they come back: tuples become lists


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
