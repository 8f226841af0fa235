"""From a model and prompts to a report: planned, resumable, in one process or several.

A folder holds settings.json (what the report was asked for; another does not fit in), parts/ with a
small file for every prompt that is done, and at the end what `Report.save` writes. Processes need
nothing of each other but the folder; whichever finishes last finds every part and writes the
report.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from looplab.basics.provenance import provenance
from looplab.basics.tensor_files import check_format, read_tensors, reading, write_tensors
from looplab.basics.writing import remove_torn
from looplab.model import LoopedTransformer
from looplab.reproduction.claims import claims
from looplab.reproduction.collected import FORMAT, collect, source_text
from looplab.reproduction.drawing import draw
from looplab.reproduction.items import Items, choose
from looplab.reproduction.measuring import (
    Source,
    find_source,
    measure_illustration,
    measure_prompt,
)
from looplab.reproduction.neurons import count_neurons
from looplab.reproduction.planning import check_memory, free_bytes, plan
from looplab.reproduction.protocol import Protocol, fitted, trained_loops
from looplab.reproduction.report import Report
from looplab.streaming import folder as out
from looplab.zoo.dtypes import as_dtype
from looplab.zoo.named import open_named, outline


@dataclass(frozen=True, eq=False)
class Job:
    """A report that was asked for, before anything has run."""

    name: str
    model: LoopedTransformer  # on "meta" where it is to be loaded when the job runs
    device: torch.device
    protocol: Protocol
    left_out: dict[str, str]  # figure -> why
    items: Items
    sizes: dict[str, int]  # bytes, as `planning.plan` names them

    @property
    def dtype(self) -> str:
        return str(self.model.dtype).removeprefix("torch.")

    def opened(self) -> LoopedTransformer:
        """The model with its weights."""
        if self.model.device.type != "meta":
            return self.model
        return open_named(self.name, self.model.dtype, self.device)[0]


def ask(
    model: LoopedTransformer | str | Path,
    prompts: str | Path | Sequence | None = None,
    protocol: Protocol | None = None,
    *,
    illustration: str | None = None,
    dtype: torch.dtype | str = "float32",
    device: str | torch.device = "cpu",
    max_bytes: int | None = None,
) -> Job:
    """See that a report can be made, and what it will take; nothing is run and no weight is read.

    Raises ValueError for prompts and figures that do not fit, and MemoryError where the plan is
    more than `max_bytes`, None meaning what is free.

    >>> job = ask("ouro-mini", protocol=Protocol(items=2, figures=("steps",)))
    >>> job.model.device.type, len(job.items.prompts), job.left_out
    ('meta', 2, {})
    """
    if isinstance(model, LoopedTransformer):
        name, shape, encode, device = _name(model), model, model.words, model.device
    else:
        name, device = str(model), torch.device(device)
        shape, encode = outline(name, as_dtype(dtype))
    fits, missing = fitted(Protocol() if protocol is None else protocol, shape.config)
    items = choose(prompts, shape, encode, fits, illustration)
    longest = max(len(prompt.tokens) for prompt in items.prompts)
    sizes = plan(shape, longest, fits)
    check_memory(sizes, shape.config, fits, free_bytes(device) if max_bytes is None else max_bytes)
    return Job(name, shape, device, fits, missing, items, sizes)


def reproduce(
    model: LoopedTransformer | str | Path,
    prompts: str | Path | Sequence | None = None,
    protocol: Protocol | None = None,
    *,
    illustration: str | None = None,
    dtype: torch.dtype | str = "float32",
    device: str | torch.device = "cpu",
    max_bytes: int | None = None,
    folder: str | Path | None = None,
    progress: bool = False,
) -> Report:
    """All figures and tables of arXiv 2604.11791 for one model, as `looplab reproduce` makes them.

    `model` is one that is loaded, or a name, folder or hub id, loaded as `dtype` onto `device`.
    `prompts` as in `items.choose`, None for problems of our own; `protocol` None for the paper's,
    `QUICK` for a look of seconds. With a `folder` the report is written there, and the same call
    goes on where it was interrupted. Raises as `ask`, and ValueError for a folder of another one.

    >>> from looplab import LoopedConfig
    >>> from looplab.reproduction import QUICK
    >>> from dataclasses import replace
    >>> model = LoopedTransformer(LoopedConfig(vocab=9, core=3))
    >>> report = reproduce(model, [[1, 2, 3, 4]], replace(QUICK, figures=("steps", "stages")))
    >>> list(report.figures), report.numbers["step"].shape
    (['steps', 'stages'], torch.Size([15, 3]))
    """
    job = ask(
        model,
        prompts,
        protocol,
        illustration=illustration,
        dtype=dtype,
        device=device,
        max_bytes=max_bytes,
    )
    if folder is not None:
        return run(job, Path(folder).expanduser(), progress=progress)
    with tempfile.TemporaryDirectory() as lent:
        return run(job, Path(lent), progress=progress, keep=False)


def run(
    job: Job,
    folder: Path,
    *,
    command: str = "",
    rank: int = 0,
    world: int = 1,
    progress: bool = True,
    keep: bool = True,
) -> Report | None:
    """Do this process's share of a job; returns the report, None while other processes' is missing.

    With `keep` the report is saved in the folder.
    """
    model, parts = job.opened(), folder / "parts"
    out.claim(folder, _settings(job, model))
    parts.mkdir(exist_ok=True)
    source = _source(job, model)
    once = _once(job, model, parts, source) if rank == 0 else None
    lengths = [len(prompt.tokens) for prompt in job.items.prompts]
    # The longest first, so that memory runs out at once or never; neighbours in length go to
    # different processes, so that all have about the same to do.
    order = sorted(range(len(lengths)), key=lambda n: (-lengths[n], n))
    mine = order[rank::world]
    left = [n for n in mine if not _part(parts, n).exists()]
    done = len(mine) - len(left)
    with tqdm(
        total=len(mine), initial=done, unit="prompt", disable=rank > 0 or not progress
    ) as bar:
        for n in left:
            tokens = job.items.prompts[n].tokens
            found = measure_prompt(model, tokens, job.protocol, source)
            _write(_part(parts, n), found, source)
            bar.update()
    paths = [_part(parts, n) for n in range(len(lengths))]
    if once is None:
        once = _read_once(job, parts)
    if once is None or not all(path.exists() for path in paths):
        return None
    collected = collect(paths, model.config, job.protocol, job.dtype, *once, source)
    numbers, spread = collected.numbers()
    report = Report(
        _about(job, model, source, command),
        claims(collected),
        draw(collected),
        numbers,
        spread,
        job.left_out,
    )
    if keep:
        report.save(folder, replace=True)  # the folder is this very report's
    return report


def _source(job: Job, model: LoopedTransformer) -> Source | None:
    if not job.protocol.asks("ablation"):
        return None
    return find_source(model, job.items.illustration, trained_loops(model.config, job.protocol))


def _once(
    job: Job, model: LoopedTransformer, parts: Path, source: Source | None
) -> tuple[dict[str, Tensor], Tensor | None]:
    """What is measured once, for the illustration and of the weights; by the first process."""
    if _read_once(job, parts) is None:
        found = measure_illustration(model, job.items.illustration, job.protocol)
        if job.protocol.asks("neurons"):
            found["neurons"] = count_neurons(model, job.protocol)
        _write(parts / "once.safetensors", found, source)
    return _read_once(job, parts)


def _read_once(job: Job, parts: Path) -> tuple[dict[str, Tensor], Tensor | None] | None:
    path = parts / "once.safetensors"
    if not path.exists():
        return None
    with reading(path, "is not a readable part of a report", "remove it and run again"):
        header, found = read_tensors(path)
        check_format(path, header, "part of a report", FORMAT, "remove it and run again")
    return found, found.pop("neurons", None)


def _part(parts: Path, number: int) -> Path:
    return parts / f"prompt-{number:05d}.safetensors"


def _write(path: Path, found: dict[str, Tensor], source: Source | None) -> None:
    remove_torn(path)
    write_tensors(path, found, {"format": FORMAT, "source": source_text(source)})


def _settings(job: Job, model: LoopedTransformer) -> dict:
    illustration = json.dumps(job.items.illustration.tolist())
    return {
        "format": FORMAT,
        "model": job.name,
        "weights": out.fingerprint(model),
        "prompts": out.prompts_fingerprint(job.items.prompts),
        "illustration": hashlib.sha256(illustration.encode()).hexdigest()[:16],
        "protocol": json.loads(json.dumps(asdict(job.protocol))),
        "dtype": job.dtype,
        "device": job.device.type,
    }


def _about(job: Job, model: LoopedTransformer, source: Source | None, command: str) -> dict:
    lengths = [len(prompt.tokens) for prompt in job.items.prompts]
    about = {
        "model": job.name,
        "notation": model.config.notation,
        "prompts": job.items.what,
        "tokens": f"{min(lengths)} to {max(lengths)} in a prompt, {sum(lengths)} in all",
        "illustration": job.items.illustration_text,
        "loops": job.protocol.loops,
        "loops of the config": model.config.loops,
        "dtype": job.dtype,
        "quick": job.protocol.quick,
        "protocol": {key: value for key, value in asdict(job.protocol).items() if key != "figures"},
        "figures": ", ".join(job.protocol.figures),
        "planned memory, MiB": {k: round(v / 2**20, 1) for k, v in job.sizes.items()},
        "weights": out.fingerprint(model),
        "made with": provenance(job.device),
    }
    if source is not None:
        about["silenced"] = f"the MLP of {source.part} layer {source.layer + 1}"
    if command:
        about["command"] = command
    return about


def processes() -> tuple[int, int]:
    """This process's number and how many there are, as torchrun says it.

    >>> processes()
    (0, 1)
    """
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def _name(model: LoopedTransformer) -> str:
    folder = getattr(model.words, "folder", None)
    return "a model" if folder is None else Path(folder).name
