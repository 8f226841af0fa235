"""What `looplab compare` says of one model: settling, multipliers, stages, exits.

Numbers are over all tokens of all prompts alike, but for the stages' (means over prompts and heads)
and the multiplier (a mean over a few prompts). States are those at the ends of the loops.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

import torch
import torch.nn.functional as F
from torch import Tensor

from looplab.basics.memory import check_bytes
from looplab.basics.whole import whole_number
from looplab.measure import (
    answer_signal,
    at_exit,
    contraction_rate,
    first_exit,
    lasting_from,
    relative_step,
    settling_loop,
)
from looplab.measure.stability import leading_multipliers, loop_map, spectral_radius
from looplab.measure.stages import sink_share
from looplab.model import LoopedTransformer
from looplab.streaming.command import start
from looplab.streaming.prompts import Prompt, batches, next_targets
from looplab.streaming.statistics import AttentionStatistics
from looplab.tracing import MAX_BYTES

LEAST = 4  # loops: a rate is fitted to three steps
NEAR = 0.01  # of the state's length: a token this near to its last state has settled
REST = 0.75  # of the run: who settles later was perhaps only caught at the end
EXIT = 5e-4  # nats between two answers, below which Huginn's rule leaves
SPECTRUM = 32  # tokens of a prompt that a multiplier is computed on


@dataclass(frozen=True)
class Portrait:
    """One model on the prompts; loops count from 1. None: it could not be said of this model."""

    name: str
    notation: str
    parameters: int
    weights: str  # fingerprint
    trained: int  # loops that its config says
    loops: int  # loops that were run
    tokens: int
    # settling
    at_rest: float  # share of tokens within 1 % of their last state from 3/4 of the run on
    settles: float | None  # median loop from which tokens at rest stay that near
    last_step: float  # median length of the last step, in units of the state
    # multipliers
    rate: float | None  # median factor per loop by which steps shrink
    multiplier: float | None  # modulus of the largest one at the last state
    # exits
    answer_from: float  # mean loop from which a token's answer is its last one
    leaves: float  # mean loop at which Huginn's rule (KL < 5e-4 nats) leaves
    saves: float  # share of loops which that saves
    same: float  # share of tokens whose answer is then the last one already
    best_loop: int | None  # useful depth: loop with the lowest loss
    best_loss: float | None  # nats a token
    trained_loss: float | None  # after as many loops as the config says, where so many were run
    last_loss: float | None
    # by loop: [loop - 1], [loop], [loop] or None, and stages [loop][layer]
    steps: list[float]
    answered: list[float]  # share of tokens whose answer is the last one
    losses: list[float] | None
    concentration: list[list[float]]
    sinks: list[list[float]]
    mixing: list[list[float]]


def portray(
    name: str,
    model: LoopedTransformer,
    prompts: Sequence[Prompt],
    loops: int,
    *,
    batch: int = 8,
    spectra: int = 3,
    weights: str = "",
    max_bytes: int = MAX_BYTES,
) -> Portrait:
    """Run `model` for `loops` loops on `prompts`, `batch` of one length at a time, and look at it.

    Multipliers are computed on the first `spectra` prompts, of 32 tokens at most; 0 leaves them
    out. Losses are said of models that write what they read. ValueError for fewer than 4 loops or
    a batch below 1, and as a run of the model raises; MemoryError where a batch would not fit.

    >>> from looplab import LoopedConfig
    >>> model = LoopedTransformer(LoopedConfig(vocab=9, width=16, heads=2)).eval()
    >>> told = portray("untrained", model, [Prompt(1, torch.arange(5))], loops=4)
    >>> len(told.steps), len(told.losses), len(told.mixing), told.multiplier > 0
    (3, 4, 4, True)
    """
    if loops < LEAST:
        raise ValueError(f"loops={loops}: expected at least {LEAST}, to see whether steps shrink")
    model.check_loops(loops)
    whole_number("batch", batch, 1)
    whole_number("spectra", spectra, 0)
    config, runs = model.config, []
    for some in batches(prompts, batch):
        tokens = torch.stack([prompt.tokens for prompt in some]).to(model.device)
        count = tokens.shape[1]
        sizes = {
            "states": 4 * loops * len(some) * count * config.state_width,
            "patterns": 4 * config.core * len(some) * config.heads * count**2,
        }
        check_bytes(f"{len(some)} prompts", sizes, max_bytes, "give a smaller --batch or --loops")
        runs.append(_run(model, tokens, loops, start(model, some)))
    run = {key: _joined([one[key] for one in runs]) for key in runs[0]}
    stage = run["stages"].double().mean(-1)  # [3, loop, layer]
    near, last = run["settling"], run["steps"][-1]
    rests = (near > 0) & (near <= REST * loops)
    answer, answers = run["answers"][-1], run["answers"]
    exits = first_exit(run["moved"] < EXIT)
    losses = None
    if run["losses"].numel():
        losses = [_plain(value) for value in run["losses"].double().mean(1)]
    best = None
    if losses is not None and None not in losses:
        best = min(range(loops), key=losses.__getitem__)
    rate = contraction_rate(run["steps"])
    return Portrait(
        name=name,
        notation=config.notation,
        parameters=sum(weight.numel() for weight in model.parameters()),
        weights=weights,
        trained=config.loops,
        loops=loops,
        tokens=near.numel(),
        at_rest=rests.double().mean().item(),
        settles=near[rests].double().median().item() if rests.any() else None,
        last_step=_plain(last.double().median()),
        rate=_plain(rate.double().nanmedian()),
        multiplier=_multiplier(model, prompts[:spectra], loops),
        answer_from=lasting_from(answers == answer).double().mean().item(),
        leaves=exits.double().mean().item(),
        saves=1 - exits.double().mean().item() / loops,
        same=(at_exit(answers, exits) == answer).double().mean().item(),
        best_loop=None if best is None else best + 1,
        best_loss=None if best is None else losses[best],
        trained_loss=None if losses is None or config.loops > loops else losses[config.loops - 1],
        last_loss=None if losses is None else losses[-1],
        steps=[_plain(value) for value in run["steps"].double().median(1).values],
        answered=(answers == answer).double().mean(1).tolist(),
        losses=losses,
        concentration=stage[0].tolist(),
        sinks=stage[1].tolist(),
        mixing=stage[2].tolist(),
    )


@torch.no_grad()
def _run(model: LoopedTransformer, tokens: Tensor, loops: int, begin: Tensor | None) -> dict:
    """By loop and token, tokens of all prompts in one axis: steps, answers, how answers move.

    Stages, means over heads, are [3, loop, layer, prompt].
    """
    ready = model.prepare(tokens, state=begin)
    heads = AttentionStatistics(model, ready, loops)
    targets = next_targets(model, ready.tokens)
    states, answers, moved, losses, before = [], [], [], [], None
    for _, z in model.passes(ready, loops, tap=heads):
        logits = model.answer(z, ready).float()
        states.append(z.float())
        answers.append(logits.argmax(-1).flatten())
        pair = logits[None] if before is None else torch.stack((before, logits))
        moved.append(answer_signal(pair)[-1].flatten())
        if targets is not None:
            said = logits[:, : targets.shape[1]].flatten(0, 1)
            losses.append(F.cross_entropy(said, targets.flatten(), reduction="none"))
        before = logits
    states = torch.stack(states)
    concentration, sink, mixing, _ = heads.result()  # each [loop, layer, prompt, head]
    return {
        "stages": torch.stack((concentration.mean(-1), sink_share(sink), mixing.mean(-1))),
        "steps": relative_step(states).flatten(1),
        "settling": settling_loop(states, NEAR).flatten()[None],
        "answers": torch.stack(answers),
        "moved": torch.stack(moved),
        "losses": torch.stack(losses) if losses else torch.zeros(0, 0),
    }


def _joined(parts: list[Tensor]) -> Tensor:
    whole = torch.cat(parts, -1)
    return whole[0] if len(whole) == 1 else whole


def _multiplier(model: LoopedTransformer, prompts: Sequence[Prompt], loops: int) -> float | None:
    """Mean modulus of the largest multiplier at the last state of the first tokens of prompts."""
    found = []
    for prompt in prompts:
        some = prompt._replace(tokens=prompt.tokens[:SPECTRUM])
        tokens = some.tokens[None].to(model.device)
        with torch.no_grad():
            state = model(tokens, loops, state=start(model, [some])).state
        if not state.isfinite().all():
            return None
        step = loop_map(model, tokens)
        try:
            value = leading_multipliers(step, state, 1).abs()[0]
        except RuntimeError:  # many of nearly the same size
            value = spectral_radius(step, state)
        found.append(value.item())
    return sum(found) / len(found) if found else None


def _plain(value: Tensor) -> float | None:
    """A number as JSON has it."""
    number = value.item()
    return number if isfinite(number) else None
