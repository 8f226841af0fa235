"""The numbers of all prompts of a report, side by side."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from looplab.basics.tensor_files import check_format, read_tensors, reading
from looplab.measure import Limit
from looplab.model import LoopedConfig
from looplab.reproduction.measuring import Source
from looplab.reproduction.protocol import Protocol, shown_loops, trained_loops
from looplab.reproduction.taps import STAGES

FORMAT = "looplab.reproduction.1"
NOISE = {
    "float16": 1e-3,
    "bfloat16": 1e-2,
    "float32": 1e-7,
    "float64": 1e-16,
}  # of a state's length
PARTS = ("prelude", "core", "coda")
_OF_A_PROMPT = ("tokens", "labels")  # as long as the prompt; they are counted instead


@dataclass(frozen=True, eq=False)
class Collected:
    """What was measured. Every value has the prompts first, in their order: [prompt, ...]."""

    config: LoopedConfig
    protocol: Protocol
    dtype: str
    lengths: Tensor  # tokens of each prompt [prompt]
    values: dict[str, Tensor]  # such as "step" [prompt, loop - 1, layer]
    label_counts: Tensor | None  # tokens of each label [prompt, layer, label]
    illustration: dict[str, Tensor]
    neurons: Tensor | None  # [layer, (prediction, suppression, kurtosis)]
    source: Source | None
    shown: list[int] = field(init=False)  # loops at which losses and entropies were taken

    def __post_init__(self):
        object.__setattr__(self, "shown", shown_loops(self.config, self.protocol))

    @property
    def trained(self) -> int:
        """Loops of the model's config, if as many were run."""
        return trained_loops(self.config, self.protocol)

    @property
    def noise(self) -> float:
        """Rounding of a state at rest, relative to its length."""
        return NOISE[self.dtype]

    def mean(self, name: str) -> Tensor:
        """A value's mean over the prompts, each of which counts the same, in float64."""
        return self.values[name].double().mean(0)

    def stage(self, name: str, loops: int | None = None) -> Tensor:
        """One of STAGES of the core, mean over prompts: [loop, layer]."""
        table = self.mean("core")[:, STAGES.index(name)]
        return table.unflatten(0, (-1, self.config.core))[:loops]

    def outside(self, name: str) -> tuple[Tensor, Tensor]:
        """One of STAGES of prelude [layer] and coda [layer], mean over prompts."""
        column = STAGES.index(name)
        found = (self.mean(part) for part in ("prelude", "coda"))
        return tuple(one[:, column] if one.numel() else torch.empty(0) for one in found)

    def realized(self, name: str, kind: str = "") -> Tensor:
        """One of STAGES along all layers of a run of the trained loops: [layer that ran, prompt].

        kind "silenced.": of the run without the source's MLP.
        """
        column, rows = STAGES.index(name), []
        for part in PARTS:
            table = self.values[kind + part]
            if table.numel():
                table = table[..., column]  # [prompt, layer that ran]
                rows.append(
                    table[:, : self.trained * self.config.core] if part == "core" else table
                )
        return torch.cat(rows, dim=1).T

    def halves(self, name: str) -> tuple[Tensor, Tensor]:
        """One of STAGES along the two halves of a pass, mean of the trained loops: [layer, prompt].

        The core has to have an even number of layers.
        """
        table = self.values["core"][..., STAGES.index(name)]  # [prompt, layer that ran]
        passes = table.unflatten(1, (-1, self.config.core))[:, : self.trained].mean(1)
        return passes.T.chunk(2)

    def numbers(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """All numbers as a report keeps them: name -> mean over prompts, and standard deviation.

        Stages are [loop, layer] for the core, [layer] for prelude and coda, and, silenced, [layer
        that ran]; loops of "loss" and of the entropy are those of "shown loops".
        """
        means, spread = {}, {}

        def keep(name: str, value: Tensor):  # [prompt, ...]
            means[name] = value.double().mean(0)
            spread[name] = value.double().std(0, correction=0)

        for name, value in self.values.items():
            if not value.numel():  # such as the steps of a single loop
                continue
            if name.rpartition(".")[2] not in PARTS:
                keep(name, value)
            else:
                for column, stage in enumerate(STAGES):
                    table = value[..., column]
                    if name == "core":
                        table = table.unflatten(1, (-1, self.config.core))
                    keep(f"{name}.{stage}", table)
        if self.label_counts is not None:
            counts = self.label_counts.double()
            shares = counts.sum(0) / counts.sum((0, 2))[:, None]  # [layer, label]
            for kind in Limit:
                means[f"label.{kind.name.lower()}"] = shares[:, kind]
        if self.neurons is not None:
            named = ("prediction", "suppression", "kurtosis")
            means |= {f"neurons.{n}": self.neurons[:, i] for i, n in enumerate(named)}
        for name in ("points", "explained", "distances"):
            if name in self.illustration:
                means[f"illustration.{name}"] = self.illustration[name]
        means["shown loops"] = torch.tensor(self.shown)
        means["tokens"] = self.lengths
        return means, spread


def collect(
    paths: Sequence[Path],
    config: LoopedConfig,
    protocol: Protocol,
    dtype: str,
    illustration: dict[str, Tensor],
    neurons: Tensor | None,
    source: Source | None,
) -> Collected:
    """Read the files of all prompts, in the order of `paths`.

    Raises ValueError for a damaged file, and for one that was measured with another MLP silenced.
    """
    lengths, counts, columns = [], [], {}
    for path in paths:
        with reading(path, "is not a readable part of a report", "remove it and run again"):
            header, found = read_tensors(path)
            check_format(path, header, "part of a report", FORMAT, "remove it and run again")
        check_source(path, header.get("source", ""), source)
        lengths.append(len(found["tokens"]))
        if "labels" in found:
            counts.append(_count(found["labels"]))
        for name, value in found.items():
            if name not in _OF_A_PROMPT:
                columns.setdefault(name, []).append(value)
    return Collected(
        config,
        protocol,
        dtype,
        torch.tensor(lengths),
        {name: torch.stack(values) for name, values in columns.items()},
        torch.stack(counts) if counts else None,
        illustration,
        neurons,
        source,
    )


def source_text(source: Source | None) -> str:
    """A source as a file's header has it.

    >>> source_text(Source("prelude", 1, 30.0)), source_text(None)
    ('prelude 1', '')
    """
    return "" if source is None else f"{source.part} {source.layer}"


def check_source(path: Path, told: str, source: Source | None) -> None:
    """ValueError where a file was measured with another MLP silenced than this run's."""
    if told != source_text(source):
        raise ValueError(
            f"{path} was measured with the MLP {told!r} silenced, and this run finds "
            f"{source_text(source)!r}: another machine rounds otherwise; give --out another folder"
        )


def _count(labels: Tensor) -> Tensor:
    """Labels [layer, token] -> tokens of each label [layer, label]."""
    return torch.stack([(labels == kind).sum(-1) for kind in Limit], dim=-1)
