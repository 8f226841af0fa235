"""The folder of one run: its settings, one file for every finished batch, and the summary.

    settings.json              what the run was asked for; another run does not fit in here
    batch-00000.safetensors    a Stream; its header says which lines of the prompt file it holds
    summary.json               means over all prompts, written when every batch is there

A file appears whole or not at all, so whatever is there is finished and is not done again.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from looplab.basics.settings import defaults, describe_differences
from looplab.basics.tensor_files import reading
from looplab.basics.writing import remove_torn, write_text
from looplab.model import LoopedConfig, LoopedTransformer
from looplab.streaming.prompts import Prompt
from looplab.streaming.run import Stream

# Name in the summary -> what is averaged there over tokens or heads: [loop, layer, batch, ...]
MEANS = (
    "norm",
    "step",
    "relative_step",
    "distance",
    "relative_distance",
    "cosine",
    "concentration",
    "sink",
    "sink_rate",
    "mixing",
    "attention_step",
)


def claim(folder: Path, settings: dict) -> None:
    """Make `folder` this run's, or see that it is.

    Raises ValueError naming the settings that differ, and for a folder with other things in it.
    """
    path = folder / "settings.json"
    folder.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        strangers = [one.name for one in folder.iterdir() if not one.name.startswith(".")]
        # Processes of one run start at the same time: another may have written what is here.
        if strangers and not path.exists():
            raise ValueError(
                f"{folder} has no settings.json but other files, such as {min(strangers)}: "
                "give --out a folder of its own"
            )
        _write_json(path, settings)  # by several at once, perhaps, but then all write the same
    with reading(path, "is damaged", "give --out another folder, or remove this one"):
        there = dict(json.loads(path.read_text(encoding="utf-8")))
    found = describe_differences(there, json.loads(json.dumps(settings)))
    if found:
        raise ValueError(
            f"{folder} belongs to another run ({found}): give --out another folder, or "
            "go back to its settings"
        )


def batch_path(folder: Path, number: int) -> Path:
    """Where a batch's statistics stand.

    >>> batch_path(Path("out"), 7).name
    'batch-00007.safetensors'
    """
    return folder / f"batch-{number:05d}.safetensors"


def save_batch(folder: Path, number: int, batch: Sequence[Prompt], run: Stream) -> None:
    """Write one finished batch."""
    path = batch_path(folder, number)
    remove_torn(path)
    run.save(path, lines=json.dumps([prompt.line for prompt in batch]))


def summarise(
    folder: Path, batches: Sequence[Sequence[Prompt]], note: str | None = None
) -> dict | None:
    """Write summary.json from the batches' files and return it; None while some are missing.

    A `note` on the run stands in it.
    Every prompt counts the same, whatever its length. Numbers that are not finite become null.
    """
    paths = [batch_path(folder, number) for number in range(len(batches))]
    if not all(path.exists() for path in paths):
        return None
    prompts, totals, cosine = [], {}, 0.0
    for path, batch in zip(paths, batches, strict=True):
        run = Stream.load(path)
        least = run.min_layer_cosine.double().mean(-1)  # [batch]
        cosine += least.sum()
        for name in MEANS:
            totals[name] = totals.get(name, 0) + _by_prompt(getattr(run, name)).sum(-1)
        # Of the layer that moved most [1, batch]; a single loop has no step [0, batch].
        last = _by_prompt(run.relative_step)[-1:].amax(1)
        for row, prompt in enumerate(batch):
            prompts.append(
                {
                    "line": prompt.line,
                    "tokens": len(prompt.tokens),
                    "file": path.name,
                    "row": row,
                    "last_relative_step": _plain(last[0, row]) if len(last) else None,
                    "min_layer_cosine": _plain(least[row]),
                }
            )
    count = len(prompts)
    summary = {
        "prompts": sorted(prompts, key=lambda one: one["line"]),
        "means": {name: _plain(total / count) for name, total in totals.items()},
        "min_layer_cosine": _plain(cosine / count),
    }
    if note:
        summary["note"] = note
    _write_json(folder / "summary.json", summary)
    return summary


def fingerprint(model: LoopedTransformer) -> str:
    """A short name for config and weights, from a few entries of each tensor: quick at any size.

    Settings at their defaults are left out, so that one that comes later changes no name.

    >>> from looplab import LoopedConfig
    >>> one, other = (LoopedTransformer(LoopedConfig(vocab=5, width=16)) for _ in range(2))
    >>> fingerprint(one) == fingerprint(one), fingerprint(one) == fingerprint(other)
    (True, False)
    """
    usual = defaults(LoopedConfig)
    said = {name: v for name, v in model.config.to_dict().items() if v != usual.get(name)}
    told = hashlib.sha256(json.dumps(said, sort_keys=True).encode())
    for name, value in model.state_dict().items():
        flat = value.flatten()
        some = flat[:: max(1, len(flat) // 64)].double().cpu()
        told.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        told.update(some.numpy().tobytes())
    return told.hexdigest()[:16]


def prompts_fingerprint(prompts: Sequence[Prompt]) -> str:
    """A short name for all prompts: their lines and ids, however they were written."""
    told = json.dumps([[prompt.line, prompt.tokens.tolist()] for prompt in prompts])
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def _write_json(path: Path, value: dict) -> None:
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def _by_prompt(values: Tensor) -> Tensor:
    """Mean over tokens or heads: [loop, layer, batch, ...] -> [loop, layer, batch] in float64."""
    values = values.double()
    return values.mean(-1) if values.dim() == 4 else values


def _plain(values: Tensor):
    """Numbers and lists of them as JSON has them."""
    if values.dim():
        return [_plain(one) for one in values]
    return values.item() if torch.isfinite(values) else None
