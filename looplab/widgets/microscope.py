"""The loop microscope: four linked views of one run, moved by one slider."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from looplab.model import Loop
from looplab.tracing import Trace
from looplab.widgets.forest import lay_out
from looplab.widgets.meta import MicroscopeMeta
from looplab.widgets.microscope_numbers import (
    Answers,
    Planes,
    Run,
    answers,
    attention,
    decades,
    distances,
    extents,
    largest_weights,
    positions,
)
from looplab.widgets.payload import pack, unpack
from looplab.widgets.stepper import Stepper, whole
from looplab.widgets.words import number, percent

__all__ = ["LoopMicroscope"]


class LoopMicroscope(Stepper):
    """One slider over the loops of a run, four linked views of what happens in them.

    1. Where each layer's state is, in the plane of the token's own path (PCA over loops and
       layers): the cycle closing. 2. Its distance to the fixed point, divided by the length of the
       fixed point; the last loop stands for the fixed point. 3. What the model would answer if it
       stopped now (readout of the loop's end): a table of token by answer or, with `parents`, a
       forest whose nodes take the colour of the root that they name. 4. Attention in this loop,
       when the trace kept it; otherwise the size of each step.

    Loops count from 1; loop 0 is the start state, before any pass. Everything is computed here,
    once, and sent once: stepping, playing and holding happen in the browser. On the picture,
    left/right, Page Up/Down, Home and End move the loop, up/down the token, H holds; a click
    chooses a loop or a token.

    trace: a Trace with states, of any model. model: gives the answers (without it view 3 is empty).
    item: which sequence of the batch. token: the token to begin with; by default the one that is
    farthest from its fixed point after one loop. targets: right answers, [batch, token] or [token].
    parents: index of each token's parent, [batch, token] or [token], a root its own
    (tasks.parents makes it); a token of two numbers is then called by its first.
    compare: a second Trace of the same shape, or (Trace, model), drawn as a ghost at the same loop.
    labels: a name for every token; answer_names: a name for every answer.
    Raises ValueError naming the value when these do not fit together.

    >>> import torch
    >>> from looplab import LoopedConfig, LoopedTransformer, trace
    >>> model = LoopedTransformer(LoopedConfig(vocab=10, width=16, heads=2, core=2))
    >>> run = trace(model, torch.arange(5)[None], loops=8)
    >>> microscope = LoopMicroscope(run, model)
    >>> microscope.loop = 3
    >>> microscope
    LoopMicroscope(loops=8, layers=2, tokens=5)
    """

    def __init__(
        self,
        trace: Trace,
        model: Loop | None = None,
        *,
        item: int = 0,
        token: int | None = None,
        targets: Tensor | Sequence[int] | None = None,
        parents: Tensor | Sequence[int] | None = None,
        compare: Trace | tuple[Trace, Loop] | None = None,
        labels: Sequence[str] | None = None,
        answer_names: Sequence[str] | None = None,
    ):
        runs = _runs(trace, model, compare, item)
        loops, layers, tokens, _ = runs["main"].states.shape
        if labels is None:
            labels = _labels(trace, item, own=parents is not None)
        labels = [str(label) for label in labels]
        if len(labels) != tokens:
            raise ValueError(f"labels names {len(labels)} tokens: this run has {tokens}")
        if token is not None:
            _check_token(token, tokens)
        told = Answers({}, [], 0, _of_item("targets", targets, item, tokens))
        parents = _of_item("parents", parents, item, tokens)
        if model is not None:
            told = answers(runs, told.targets, answer_names)

        planes = Planes.of(runs["main"].states)
        channels = {}
        for who, run in runs.items():
            channels |= positions(who, run, planes) | distances(who, run)
            # A ghost of another kind than the picture could not be drawn over it.
            if run.trace.attention is not None and trace.attention is not None:
                channels |= attention(who, run, len(runs))
        data, layout = pack(channels | told.channels)
        numbers = unpack(data, layout)
        patterns = numbers.get("main.attention")

        meta = MicroscopeMeta(
            title=f"Loop microscope: {loops} loops, {layers} layers, {tokens} tokens",
            layout=layout,
            first=0,
            last=loops,
            menus=_menus(labels, layers, patterns),
            loops=loops,
            other_loops=len(runs.get("other", runs["main"]).states),
            layers=layers,
            labels=labels,
            explained=[[round(float(share), 4) for share in pair] for pair in planes.explained],
            extent=extents(numbers),
            unit="distance ÷ length of the fixed point; the last loop defines it",
            ranges={name: decades(numbers, name) for name in ("distance", "step")},
            noise=round(math.log10(torch.finfo(trace.states.dtype).eps), 3),
            noise_name=f"{str(trace.states.dtype).removeprefix('torch.')} rounding",
            names=told.names,
            classes=told.classes,
            targets=told.targets,
            attention_max=None if patterns is None else largest_weights(patterns),
            forest=None if parents is None else lay_out(parents, labels),
        )
        if token is None:
            token = np.nan_to_num(numbers["main.distance"][1, -1], nan=-99).argmax()
        super().__init__(data, numbers, meta, loop=1, token=int(token), layer=layers - 1, head=0)

    def __repr__(self):
        meta = self.meta
        return (
            f"LoopMicroscope(loops={meta.loops}, layers={meta.layers}, tokens={len(meta.labels)})"
        )

    @property
    def token(self) -> int:
        """The token whose path is shown, from 0."""
        return self.stage.token

    @token.setter
    def token(self, value: int):
        _check_token(value, len(self.meta.labels))
        self.stage.token = int(value)

    def picture_state(self, loop: int | None = None) -> dict:
        """The numbers that are drawn (after rounding for the browser), for this loop or another.

        loop, loops, token, label; points [layer][2] (None at loop 0), start [2]; distance, step
        [layer], relative to the state's length; answers [token] (names), probability [token],
        right (count, with targets), kept (answers equal to the last loop's); attention
        [token][token] or None; forest: None or, for each node, {"label", "depth", "parent" (its
        label), "answer", "right", "colour"}; ghost: None or {"run", "loop", "points", "answers"};
        words.
        """
        loop, token, numbers = self.checked_loop(loop), self.token, self.numbers
        state = {
            "loop": loop,
            "loops": self.meta.loops,
            "token": token,
            "label": self.meta.labels[token],
            "start": numbers["main.start"][token].tolist(),
            "points": self._points("main", loop),
            "distance": (10 ** numbers["main.distance"][loop, :, token]).tolist(),
            "step": (10 ** numbers["main.step"][loop, :, token]).tolist(),
            "attention": self._pattern(loop),
        }
        state |= self._told("main", loop)
        state["forest"] = self._forest(loop, state["answers"])
        ghost = self._ghost(loop)
        state["ghost"] = None
        if ghost is not None:
            who, at, name = ghost
            state["ghost"] = {"run": name, "loop": at, "points": self._points(who, at)}
            state["ghost"] |= self._told(who, at)
        state["words"] = self._words(state)
        return state

    def describe(self, loop: int | None = None) -> str:
        """What this loop (or another) shows, in words; the line under the picture."""
        return self.picture_state(loop)["words"]

    def film_strip(self, loops: Sequence[int] = (1, 2, 4, 8, 16), states: bool = False):
        """The microscope at a few loops as one still picture with alt text (a plots.Picture).

        With `parents`, the forest at each loop; with `states`, the token's path below it as well.
        """
        from looplab.widgets.strip import forest_strip, microscope_strip

        drawn = self.meta.forest is not None and self.meta.names  # no names without a model
        return forest_strip(self, loops, states) if drawn else microscope_strip(self, loops)

    def _points(self, who: str, loop: int) -> list | None:
        points = self.numbers[f"{who}.points"]
        return points[loop - 1, :, self.token].tolist() if loop else None

    def _pattern(self, loop: int) -> list | None:
        if not loop or "main.attention" not in self.numbers:
            return None
        patterns = self.numbers["main.attention"][loop - 1, self.stage.layer]
        one = self.stage.head > 0 and len(patterns) > 1
        return (patterns[self.stage.head - 1] if one else patterns.mean(0)).tolist()

    def _likeliest(self, who: str, loop: int) -> tuple[np.ndarray, np.ndarray]:
        if f"{who}.answers" in self.numbers:
            probability = self.numbers[f"{who}.answers"][loop]
            return probability.argmax(-1), probability.max(-1)
        top, likely = self.numbers[f"{who}.top"], self.numbers[f"{who}.top_p"]
        return top[loop, :, 0].astype(int), likely[loop, :, 0]

    def _told(self, who: str, loop: int) -> dict:
        if f"{who}.answers" not in self.numbers and f"{who}.top" not in self.numbers:
            return {"answers": None, "probability": None, "right": None, "kept": None}
        meta = self.meta
        answer, probability = self._likeliest(who, loop)
        last = meta.loops if who == "main" else meta.other_loops
        final, _ = self._likeliest(who, last)
        right = self._right(loop, who)
        return {
            "answers": [meta.names[a] for a in answer],
            "probability": probability.tolist(),
            "right": None if right is None else int(right.sum()),
            "kept": int((answer == final).sum()),
        }

    def _forest(self, loop: int, answers: list[str] | None) -> list[dict] | None:
        forest, labels = self.meta.forest, self.meta.labels
        if forest is None or answers is None:
            return None
        right, colours = self._right(loop), dict(forest.colours)
        return [
            {
                "label": labels[token],
                "depth": forest.spots[token][1],
                "parent": labels[forest.parents[token]],
                "answer": answer,
                "right": None if right is None else bool(right[token]),
                "colour": colours.get(answer, forest.other),
            }
            for token, answer in enumerate(answers)
        ]

    def _right(self, loop: int, who: str = "main") -> np.ndarray | None:
        """Which answers are right [token]; None without targets."""
        return (
            None
            if self.meta.targets is None
            else self._likeliest(who, loop)[0] == self.meta.targets
        )

    def _ghost(self, loop: int) -> tuple[str, int, str] | None:
        if self.held_loop is not None:
            return "main", self.held_loop, f"loop {self.held_loop}"
        if "other.points" in self.numbers:
            return "other", min(loop, self.meta.other_loops), "the other run"
        return None

    def _count(self, told: dict) -> str:
        tokens = len(self.meta.labels)
        if told["right"] is not None:
            return f"{told['right']} of {tokens} answers are right"
        return f"{told['kept']} of {tokens} answers are the final ones"

    def _name(self, token: int) -> str:
        label, forest = self.meta.labels[token], self.meta.forest
        if forest is None:
            return f"Token {label}"
        depth = forest.spots[token][1]
        steps = f"{depth} step{'s' if depth > 1 else ''} below its root"
        return f"Node {label}, {steps if depth else 'a root'},"

    def _words(self, state: dict) -> str:
        """The same sentence as js/microscope/words.js; a browser test holds the two together."""
        meta, loop, loops, token = self.meta, state["loop"], state["loops"], state["token"]
        said = [f"Loop {loop} of {loops}." if loop else "Loop 0, the start state before any pass."]
        if state["answers"] is not None:
            said.append(self._count(state) + ".")
            answer, p = state["answers"][token], percent(state["probability"][token])
            verdict = ""
            if meta.targets is not None:
                right = f"; right is {meta.names[meta.targets[token]]}"
                verdict = ", which is right" if self._right(loop)[token] else right
            said.append(f"{self._name(token)} answers {answer} ({p}){verdict}.")
        distance = state["distance"][-1]
        if loop == loops:
            said.append("This last loop stands for the fixed point.")
        elif math.isfinite(distance):
            said.append(f"Its state is {number(distance)} of its length from the fixed point.")
        ghost = state["ghost"]
        if ghost is not None:
            beside = "Held beside it, " if self.held_loop is not None else "Beside it, "
            told = "" if ghost["answers"] is None else ": " + self._count(ghost)
            said.append(f"{beside}{ghost['run']}{told}.")
        return " ".join(said)


def _runs(
    trace: Trace,
    model: Loop | None,
    compare: Trace | tuple[Trace, Loop] | None,
    item: int,
) -> dict[str, Run]:
    """The run that is looked at, "main", and the one beside it, "other"."""
    runs = {"main": Run.of(trace, model, item)}
    if compare is not None:
        beside, its_model = compare if isinstance(compare, tuple) else (compare, model)
        other = Run.of(beside, its_model, item if len(beside.tokens) > item else 0)
        shape, wanted = list(other.states.shape[1:]), list(runs["main"].states.shape[1:])
        if shape != wanted:
            raise ValueError(
                f"compare has [layer, token, width] = {shape}: expected {wanted}, as in the first "
                "trace"
            )
        runs["other"] = other
    return runs


def _labels(trace: Trace, item: int, own: bool) -> list[str]:
    """The numbers of each token; only the first, a node's own label, where `own` is true."""
    return [
        ",".join(map(str, token[:1] if own else token)) if isinstance(token, list) else str(token)
        for token in trace.tokens[item].tolist()
    ]


def _of_item(name: str, values, item: int, tokens: int) -> list[int] | None:
    """One whole number for each token, given for the whole batch or for this sequence."""
    if values is None:
        return None
    values = torch.as_tensor(values)
    if values.dim() == 2:
        values = values[item]
    if values.shape != (tokens,):
        raise ValueError(
            f"{name} have shape {list(values.shape)}: expected [batch, token] or [token] "
            f"with {tokens} tokens"
        )
    return values.tolist()


def _check_token(token: int, tokens: int):
    if not 0 <= whole("token", token) < tokens:
        raise ValueError(f"token={token}: this run has tokens 0 to {tokens - 1}")


def _menus(labels: list[str], layers: int, patterns: np.ndarray | None) -> dict[str, list]:
    """Menus of the tokens, and of the layers and heads whose attention travelled."""
    layer_names, head_names = [], []
    if patterns is not None:  # [loop, layer, head, token, token]
        layer_names = [f"layer {n + 1}" for n in range(layers)]
        heads = patterns.shape[2]
        if heads > 1:
            head_names = ["mean of heads", *(f"head {n + 1}" for n in range(heads))]
    return {
        "token": ["token", labels],
        "layer": ["layer", layer_names],
        "head": ["head", head_names],
    }
