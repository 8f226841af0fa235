"""One prompt, measured: two runs (the first to know where it ends), and one with an MLP silenced.

Everything comes back as small tensors, so that a prompt is one small file.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from looplab.experiments.layerwise import next_token_loss
from looplab.measure import (
    AttentionDistances,
    cycle_pca,
    limit_by_period,
    limit_of_cosines,
)
from looplab.model import LoopedTransformer, Ready
from looplab.reproduction.protocol import Protocol, shown_loops, trained_loops
from looplab.reproduction.taps import (
    KeepMeans,
    KeepPatterns,
    KeepToken,
    Patterns,
    PatternSteps,
    Silence,
    Stages,
    Written,
    in_turn,
)
from looplab.streaming.command import start
from looplab.streaming.prompts import Prompt
from looplab.streaming.statistics import KeepStates, StateStatistics
from looplab.zoo import miniatures


class Source(NamedTuple):
    """The MLP that adds the longest vector: the suspect for massive activations."""

    part: str  # prelude or core
    layer: int  # counted inside the part, from 0
    times: float  # its vector's length over the median of the other layers' longest


@torch.inference_mode()
def find_source(model: LoopedTransformer, tokens: Tensor, loops: int) -> Source:
    """Which MLP of prelude and core adds the longest vector on `tokens` [token] in `loops` loops.

    Source: after arXiv 2604.11791, figure 41 (claim C12), where it is layer 2 of the retrofitted
    Llama; how it was found is not said there.

    >>> from looplab import LoopedConfig
    >>> model = LoopedTransformer(LoopedConfig(vocab=9, prelude=1, core=2))
    >>> find_source(model, torch.arange(5), loops=2).part in ("prelude", "core")
    True
    """
    written = Written()
    ready = prepared(model, tokens, written)
    for _ in model.passes(ready, loops, tap=written):
        pass
    longest: dict[tuple[str, int], float] = {}
    for place, length in written.longest.items():
        where = (place.part, place.layer)
        longest[where] = max(longest.get(where, 0.0), length.item())
    (part, layer), most = max(longest.items(), key=lambda one: one[1])
    usual = torch.tensor(list(longest.values())).median().item()
    return Source(part, layer, most / max(usual, 1e-30))


def prepared(model: LoopedTransformer, tokens: Tensor, tap=None) -> Ready:
    """What a run on `tokens` [token] needs; noise is drawn from a seed of the tokens."""
    state = start(model, [Prompt(0, tokens.cpu())])
    return model.prepare(tokens[None].to(model.device), state=state, tap=tap)


def says_next_tokens(model: LoopedTransformer) -> bool:
    """Whether its answers are next tokens, whose loss can be taken."""
    config = model.config
    words = config.fields == 1 and config.answers == config.vocab and not config.masked_lm
    return words and config.attention == "causal" and not miniatures.is_one(model)


@torch.inference_mode()
def measure_prompt(
    model: LoopedTransformer, tokens: Tensor, protocol: Protocol, source: Source | None
) -> dict[str, Tensor]:
    """All numbers that the protocol asks of one prompt, `tokens` [token]: name -> small tensor.

    Means over tokens and heads stand as [loop, layer]; what stages have, [run, stage] for
    prelude, core and coda; labels [layer, token]; loss [shown loop].
    """
    run = _Run(model, tokens, protocol)
    found = run.measured()
    if source is not None and protocol.asks("ablation"):
        found |= silenced(model, tokens, protocol, source)
    return {name: value.cpu() for name, value in found.items()}


@torch.inference_mode()
def measure_illustration(
    model: LoopedTransformer, tokens: Tensor, protocol: Protocol
) -> dict[str, Tensor]:
    """What is drawn of one sequence alone: its path, patterns and their distances."""
    loops = min(protocol.loops, max(protocol.compared_once, model.config.loops))
    shown = min(loops, max(8, trained_loops(model.config, protocol)), 32)
    means, listeners = KeepMeans(model, shown), []
    kept = KeepPatterns(model, len(tokens), range(min(loops, protocol.compared_once)))
    token = KeepToken(model, loops)
    listeners += [means] * protocol.asks("floorplan") + [kept] * protocol.asks("distances")
    patterns = Patterns(model, tokens[None].to(model.device), listeners)
    taps = in_turn(patterns, token)
    ready = prepared(model, tokens, taps)
    for loop, z in model.passes(ready, loops, tap=taps):
        if loop + 1 == shown:
            model.answer(z, ready, tap=patterns)
    found = {"tokens": tokens}
    if protocol.asks("floorplan"):
        found |= {f"floor.{part}": means.of(part) for part in means.found}
    if protocol.asks("distances"):
        found["distances"] = pattern_distances(kept.patterns)
    if protocol.asks("cycle") and loops > 1:
        path = cycle_pca(token.states)
        found |= {"points": path.points, "explained": path.explained}
    return {name: value.cpu() for name, value in found.items()}


def pattern_distances(patterns: Tensor) -> Tensor:
    """Distances [pattern, pattern] of one sequence's [loop, layer, head, token, token].

    One head at a time: the products of all pairs would else be held for all heads at once.
    """
    seen = AttentionDistances()
    for head in range(patterns.shape[2]):
        seen.update(patterns[:, :, None, head : head + 1])
    return seen.distance()


def silenced(
    model: LoopedTransformer, tokens: Tensor, protocol: Protocol, source: Source
) -> dict[str, Tensor]:
    """Stages [run, stage] of a run of the trained loops without the source's MLP, and its loss."""
    loops = trained_loops(model.config, protocol)
    stages = Stages(range(1, loops + 1))
    patterns = Patterns(model, tokens[None].to(model.device), [stages.listen])
    tap = in_turn(Silence(source.part, source.layer), patterns, stages)
    ready = prepared(model, tokens, tap)
    for _, z in model.passes(ready, loops, tap=tap):  # noqa: B007 the last one is read out
        pass
    logits = model.answer(z, ready, tap=tap)
    found = {f"silenced.{part}": stages.of(part) for part in ("prelude", "core", "coda")}
    if says_next_tokens(model):
        found["silenced.loss"] = next_token_loss(logits, ready.tokens)
    return found


class _Run:
    """The long run of one prompt: who listens to it, and what they have heard."""

    def __init__(self, model: LoopedTransformer, tokens: Tensor, protocol: Protocol):
        self.model, self.protocol, self.count = model, protocol, len(tokens)
        self.loops, self.trained = protocol.loops, trained_loops(model.config, protocol)
        self.shown = shown_loops(model.config, protocol)
        self.stages = Stages(self.shown)
        self.tokens = tokens
        self.ready = prepared(model, tokens)

    def measured(self) -> dict[str, Tensor]:
        model, protocol = self.model, self.protocol
        points = patterns = None
        if protocol.asks("limit", "labels"):
            points, patterns = self._first_run()
        states = StateStatistics(model, self.ready.x, self.loops, points)
        listeners, taps = [self.stages.listen], [states, self.stages]
        steps = kept = token = None
        if protocol.asks("steps", "limit"):
            steps = PatternSteps(model, self.count, self.loops, patterns)
            listeners.append(steps)
        if protocol.asks("distances"):
            loops = range(min(self.loops, protocol.compared))
            kept = KeepPatterns(model, self.count, loops)
            listeners.append(kept)
        if protocol.asks("labels"):
            token = KeepToken(model, self.loops)
            taps.append(token)
        loss = self._second_run(in_turn(self._patterns(listeners), *taps))

        found = {"tokens": self.tokens, "loss": loss}
        found |= {part: self.stages.of(part) for part in ("prelude", "core", "coda")}
        found |= _moves(states, steps)
        if points is not None:
            found |= _ends(states, steps)
        if kept is not None:
            found["distances"] = pattern_distances(kept.patterns)
        if token is not None:
            cosine = _cosine(states)
            found["labels"] = limit_of_cosines(cosine).limit.to(torch.int8)  # [layer, token]
            last = limit_by_period(token.states)
            found["last.label"], found["last.period"] = (one.to(torch.int16) for one in last)
        return found

    def _patterns(self, listeners) -> Patterns:
        return Patterns(self.model, self.ready.tokens, listeners)

    def _first_run(self) -> tuple[Tensor, Tensor]:
        """States and patterns of the last loop: [layer, 1, token, width], [layer, head, ...]."""
        keep = KeepStates(self.model, self.ready.x)
        last = range(self.loops - 1, self.loops)
        patterns = KeepPatterns(self.model, self.count, last)
        watch = in_turn(keep, self._patterns([patterns]))

        def tap(site, value):
            if site.loop in last:
                watch(site, value)

        for _ in self.model.passes(self.ready, self.loops, tap=tap):
            pass
        return keep.states, patterns.patterns[0]

    def _second_run(self, tap) -> Tensor:
        """Loss after the shown loops [shown loop], NaN where answers are no next tokens."""
        model, losses = self.model, []
        outside = in_turn(self._patterns([self.stages.listen]), self.stages)
        ready = prepared(model, self.tokens, outside)  # the prelude is measured here
        for loop, z in model.passes(ready, self.loops, tap=tap):
            number = loop + 1
            if number in self.shown or number == self.trained:
                logits = model.answer(z, ready, tap=outside if number == self.trained else None)
                if says_next_tokens(model):
                    losses.append(next_token_loss(logits, ready.tokens)[0])
                else:
                    losses.append(logits.new_tensor(torch.nan, dtype=torch.float32))
        return torch.stack(losses)


def _moves(states: StateStatistics, steps: PatternSteps | None) -> dict[str, Tensor]:
    """Lengths of steps [loop - 1, layer], means over tokens."""
    norm, step = states.norm[:, :, 0], states.step[1:, :, 0]  # [loop, layer, token]
    found = {
        "step": step.mean(-1),
        "relative_step": (step / norm[1:].clamp_min(torch.finfo(norm.dtype).tiny)).mean(-1),
        "step_turn": _turn(norm[1:], norm[:-1], step).mean(-1),
    }
    return found if steps is None else found | {"attention_step": steps.step[1:]}


def _ends(states: StateStatistics, steps: PatternSteps | None) -> dict[str, Tensor]:
    """Distances to the last loop's state and patterns [loop, layer], means over tokens."""
    norm, distance = states.norm[:, :, 0], states.distance[:, :, 0]  # [loop, layer, token]
    unit = norm[-1]
    found = {
        "distance": distance.mean(-1),
        "relative_distance": (distance / unit.clamp_min(torch.finfo(unit.dtype).tiny)).mean(-1),
        "limit_turn": _turn(norm, unit, distance).mean(-1),
    }
    return found if steps is None else found | {"attention_distance": steps.distance}


def _turn(one: Tensor, other: Tensor, apart: Tensor) -> Tensor:
    """1 - cosine of two states from their lengths and distance, which keeps its digits near 0."""
    product = (2 * one * other).clamp_min(torch.finfo(one.dtype).tiny)
    return ((apart.square() - (one - other).square()) / product).clamp_min(0)


def _cosine(states: StateStatistics) -> Tensor:
    """Cosine of each state to the last one: [loop, layer, token]."""
    norm = states.norm[:, :, 0].clamp_min(1e-8)  # as torch's cosine_similarity guards them
    return states.along[:, :, 0] / norm / norm[-1]
