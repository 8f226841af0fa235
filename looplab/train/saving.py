"""Training checkpoints: one safetensors file with model, optimiser, step and history.

No random state is stored because none is needed: every step draws its batch, its loops and its
start noise from seeds that depend only on the recipe's seed and the number of the step.
"""

import functools
import json
import os
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

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
    return json.loads(json.dumps(run))  # as it reads when it comes back: tuples become lists


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
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": value for key, value in state.items()}
    tensors["history.loss"] = torch.tensor(saved.loss, dtype=torch.float64)
    tensors["history.loops"] = torch.tensor(saved.loops, dtype=torch.long)
    header = {**run, "step": saved.step, "seconds": saved.seconds, "threads": saved.threads}
    header = {key: json.dumps(value) for key, value in header.items()}
    write_safetensors(path, tensors, {"format": FORMAT, "torch": torch.__version__, **header})


def write_safetensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file in one stroke: whoever reads `path` sees all of it or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    # Clones, because tied weights share memory and safetensors stores each tensor on its own.
    tensors = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
    try:
        save_file(tensors, partial, metadata=metadata)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def restore(path: Path, run: dict, model: nn.Module, optimizer) -> Saved:
    """Load a checkpoint into model and optimiser.

    Raises ValueError where the file is damaged, is something else, or belongs to another run.
    """
    if path.is_dir():
        raise ValueError(f"{path} is a folder: name the file of the checkpoint")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise ValueError(
                    f"{path} is not a training checkpoint of this version of looplab and will not "
                    "be overwritten: choose another file name"
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(
            f"{path} cannot be read as a checkpoint and will not be overwritten ({error}): "
            "choose another file name, or delete it if you do not need it"
        ) from error
    header = {key: json.loads(metadata[key]) for key in (*run, "step", "seconds", "threads")}
    differences = describe_differences(header, run)
    if differences:
        raise ValueError(
            f"{path} belongs to another run: {differences}. Choose another file name, or go back "
            "to the settings of the checkpoint"
        )
    model.load_state_dict(_under("model.", tensors))
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in _under("optimizer.", tensors).items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    return Saved(
        header["step"],
        tensors["history.loss"].tolist(),
        tensors["history.loops"].tolist(),
        header["seconds"],
        header["threads"],
    )


def describe_differences(saved: dict, wanted: dict) -> str:
    """'lr is 0.002 there and 0.001 here' for every setting that differs; empty if none does."""
    found = []
    for part, here in wanted.items():
        there = saved[part]
        if not isinstance(here, dict):
            there, here = {part: there}, {part: here}
        found += [
            f"{name} is {there.get(name)!r} there and {here.get(name)!r} here"
            for name in sorted({*there, *here})
            if there.get(name) != here.get(name)
        ]
    return "; ".join(found)


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
