"""The report's figures, each from the numbers of all prompts."""

from collections.abc import Callable

import torch
from torch import Tensor

from looplab.measure import Limit, MeanPatterns
from looplab.plots import (
    Picture,
    across_layers,
    floorplan,
    groupings,
    latent_path,
    over_loops,
    pattern_distances,
    trade_off,
)
from looplab.reproduction.collected import Collected

STAGE_NAMES = {
    "concentration": "ColSum concentration",
    "sink_rate": "sink rate at token 1",
    "mixing": "mixing score, nats",
    "entropy": "residual entropy, nats",
}
FAR = 20  # times its smallest number, from which a quantity has a logarithmic scale
NORM_NAMES = {"norm": "mean length", "peak": "longest over median"}


def draw(found: Collected) -> dict[str, Picture]:
    """All figures that the protocol asks for: file name -> picture; one claim may have two."""
    pictures = {}
    for name in found.protocol.figures:
        for more, picture in _DRAWN[name](found).items():
            pictures[name + more] = picture
    return pictures


def _steps(found: Collected) -> dict[str, Picture]:
    unit = found.stage("norm").mean(1)[1:]  # [loop - 1]
    panels = {
        "length of a step": found.mean("step"),
        "1 - cosine to the loop before": found.mean("step_turn"),
        "step of attention (Frobenius)": found.mean("attention_step"),
    }
    floors = {
        "length of a step": found.noise * unit,
        "1 - cosine to the loop before": found.noise**2 / 2,
        "step of attention (Frobenius)": _pattern_noise(found),
    }
    return {"": over_loops(panels, floors, last=found.protocol.loops, floor_name=_floor(found))}


def _limit(found: Collected) -> dict[str, Picture]:
    loops = found.protocol.loops
    # The last loop is its own reference: its zero says nothing.
    panels = {
        f"distance to loop {loops}": found.mean("distance")[:-1],
        "1 - cosine to it": found.mean("limit_turn")[:-1],
        "attention, Frobenius": found.mean("attention_distance")[:-1],
    }
    floors = {
        f"distance to loop {loops}": found.noise * found.stage("norm").mean(1)[:-1],
        "1 - cosine to it": found.noise**2 / 2,
        "attention, Frobenius": _pattern_noise(found),
    }
    return {"": over_loops(panels, floors, last=loops - 1, floor_name=_floor(found))}


def _distances(found: Collected) -> dict[str, Picture]:
    each, once = found.mean("distances"), found.illustration["distances"]
    core = found.config.core
    tables = {
        f"{len(found.lengths)} prompts, {len(each) // core} loops": each,
        f"illustration, {len(once) // core} loops": once,
    }
    pictures = [pattern_distances({name: table}, core) for name, table in tables.items()]
    return {"": pictures[0], "-illustration": pictures[1]}


def _cycle(found: Collected) -> dict[str, Picture]:
    once = found.illustration
    return {"": latent_path(once["points"], once["explained"])}


def _labels(found: Collected) -> dict[str, Picture]:
    counts = found.label_counts.double()  # [prompt, layer, label]
    shares = counts / counts.sum(-1, keepdim=True)
    named = {kind.name.lower().replace("_", " "): kind for kind in Limit}
    return {
        "": across_layers({"share of tokens": {n: shares[..., k].T for n, k in named.items()}}, 1)
    }


def _stages(found: Collected) -> dict[str, Picture]:
    return {"": _grouped(found, STAGE_NAMES)}


def _norms(found: Collected) -> dict[str, Picture]:
    return {"": _grouped(found, NORM_NAMES)}


def _grouped(found: Collected, names: dict[str, str]) -> Picture:
    panels = {told: found.stage(name, found.trained) for name, told in names.items()}
    outside = {told: found.outside(name) for name, told in names.items()}
    return groupings(panels, outside, log=_wide(panels))


def _ablation(found: Collected) -> dict[str, Picture]:
    names = STAGE_NAMES | NORM_NAMES
    runs = {"as it is": "", f"without the MLP of {where(found)}": "silenced."}
    panels = {
        told: {run: found.realized(name, kind) for run, kind in runs.items()}
        for name, told in names.items()
    }
    wide = _wide({told: torch.cat(list(both.values()), 1) for told, both in panels.items()})
    return {"": across_layers(panels, first=1, log=wide)}


def _beyond(found: Collected) -> dict[str, Picture]:
    rows = [loop - 1 for loop in found.shown]
    panels = {told: found.stage(name)[rows] for name, told in (STAGE_NAMES | NORM_NAMES).items()}
    by = ("recurrence", "layer")
    pictures = {"": groupings(panels, by=by, loops=found.shown, log=_wide(panels))}
    loss = found.mean("loss")
    if loss.isfinite().any():
        curve = {"": {"mean over prompts": (found.shown, loss)}}
        pictures["-loss"] = trade_off(curve, "loops", "loss per next token, nats")
    return pictures


def _neurons(found: Collected) -> dict[str, Picture]:
    prediction, suppression, kurtosis = found.neurons.T[..., None]  # each [layer, 1]
    panels = {
        "share of neurons": {"prediction": prediction, "suppression": suppression},
        "mean kurtosis": {"all neurons": kurtosis},
    }
    return {"": across_layers(panels, first=1)}


def _floorplan(found: Collected) -> dict[str, Picture]:
    prelude, core, coda = (found.illustration[f"floor.{part}"] for part in MeanPatterns._fields)
    core = core.unflatten(0, (-1, found.config.core))
    empty = core.new_empty(0, *core.shape[-2:])
    ends = (one if one.numel() else empty for one in (prelude, coda))
    before, after = (one[:, None] for one in ends)
    return {"": floorplan(MeanPatterns(before, core[:, :, None], after))}


def _halves(found: Collected) -> dict[str, Picture]:
    panels = {}
    for name, told in (STAGE_NAMES | NORM_NAMES).items():
        first, second = found.halves(name)
        panels[told] = {"first half of a pass": first, "second half": second}
    return {"": across_layers(panels, first=1)}


def where(found: Collected) -> str:
    """The silenced layer in words, counted from 1.

    >>> from looplab.reproduction.measuring import Source
    >>> from types import SimpleNamespace
    >>> where(SimpleNamespace(source=Source("prelude", 1, 30.0)))
    'prelude layer 2'
    """
    return f"{found.source.part} layer {found.source.layer + 1}"


def _wide(panels: dict[str, Tensor]) -> list[str]:
    """Quantities whose numbers are all above zero and far apart: their scale is logarithmic."""
    seen = {told: table[table.isfinite()] for told, table in panels.items()}
    return [told for told, x in seen.items() if len(x) and 0 < FAR * x.min() < x.max()]


def _floor(found: Collected) -> str:
    return f"rounding of {found.dtype}"


def _pattern_noise(found: Collected) -> Tensor:
    """Frobenius distance of two patterns that differ by rounding: rows of about unit length."""
    return torch.tensor(found.noise * found.lengths.double().mean().sqrt().item())


_DRAWN: dict[str, Callable[[Collected], dict[str, Picture]]] = {
    "steps": _steps,
    "distances": _distances,
    "limit": _limit,
    "cycle": _cycle,
    "labels": _labels,
    "stages": _stages,
    "norms": _norms,
    "ablation": _ablation,
    "beyond": _beyond,
    "neurons": _neurons,
    "floorplan": _floorplan,
    "halves": _halves,
}
