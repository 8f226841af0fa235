"""The loop microscope: four linked views of one run, moved by one slider."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from looplab.model import LoopedTransformer
from looplab.tracing import Trace
from looplab.widgets.payload import pack, unpack
from looplab.widgets.stepper import Stepper, whole

MATRIX_CLASSES = 32  # up to here every answer has its own column; beyond, the likeliest are named
TOP = 3
HEADS_BYTES = 100_000  # patterns above this many bytes travel as the mean over heads
MOST_BYTES = 8_000_000


class LoopMicroscope(Stepper):
    """One slider over the loops of a run, four linked views of what happens in them.

    1. Where each layer's state is, in the plane of the token's own path (PCA over loops and
       layers): the cycle closing. 2. Its distance to the fixed point, divided by the length of the
       fixed point; the last loop stands for the fixed point. 3. What the model would answer if it
       stopped now (readout of the loop's end). 4. Attention in this loop, when the trace kept it;
       otherwise the size of each step.

    Loops count from 1; loop 0 is the start state, before any pass. Everything is computed here,
    once, and sent once: stepping, playing and holding happen in the browser. On the picture,
    left/right, Page Up/Down, Home and End move the loop, up/down the token, H holds.

    trace: a Trace with states, of any model. model: gives the answers (without it view 3 is empty).
    item: which sequence of the batch. token: the token to begin with; by default the one that is
    farthest from its fixed point after one loop. targets: right answers, [batch, token] or [token].
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
        model: LoopedTransformer | None = None,
        *,
        item: int = 0,
        token: int | None = None,
        targets: Tensor | Sequence[int] | None = None,
        compare: Trace | tuple[Trace, LoopedTransformer] | None = None,
        labels: Sequence[str] | None = None,
        answer_names: Sequence[str] | None = None,
    ):
        states = _states(trace, item)
        loops, layers, tokens, width = states.shape
        labels = _labels(trace, item) if labels is None else [str(label) for label in labels]
        if len(labels) != tokens:
            raise ValueError(f"labels names {len(labels)} tokens: this run has {tokens}")
        if token is not None and not 0 <= whole("token", token) < tokens:
            raise ValueError(f"token={token}: this run has tokens 0 to {tokens - 1}")
        targets = _targets(targets, item, tokens)

        runs = {"main": (trace, model, states)}
        if compare is not None:
            other, other_model = compare if isinstance(compare, tuple) else (compare, model)
            other_states = _states(other, item if other.tokens.shape[0] > item else 0)
            if other_states.shape[1:] != states.shape[1:]:
                raise ValueError(
                    f"compare has [layer, token, width] = {list(other_states.shape[1:])}: expected "
                    f"{list(states.shape[1:])}, as in the first trace"
                )
            runs["other"] = (other, other_model, other_states)

        channels, meta = {}, {}
        planes, meta["explained"] = _planes(states)
        for who, (run, _, path) in runs.items():
            begin = run.start[item if run.start.shape[0] > item else 0].double()
            channels |= _positions(who, path, begin, planes)
            channels |= _distances(who, path, begin)
            if run.attention is not None:
                channels |= _attention(who, run, item, len(runs))
        if model is not None:
            answers, meta["names"], meta["classes"] = _answers(runs, item, targets, answer_names)
            if not meta["classes"]:
                targets = None if targets is None else answers.pop("targets")
            channels |= answers
        # A ghost of another kind than the picture could not be drawn over it.
        if "main.attention" not in channels:
            channels.pop("other.attention", None)
        with_patterns = "main.attention" in channels
        data, layout = pack(channels)
        shown = unpack(data, layout)

        meta |= {
            "kind": "microscope",
            "title": f"Loop microscope: {loops} loops, {layers} layers, {tokens} tokens",
            "layout": layout,
            "first": 0,
            "last": loops,
            "loops": loops,
            "other_loops": runs["other"][2].shape[0] if "other" in runs else loops,
            "layers": layers,
            "labels": labels,
            "targets": targets,
            "unit": "distance ÷ length of the fixed point; the last loop defines it",
            "noise": round(math.log10(torch.finfo(trace.states.dtype).eps), 3),
            "noise_name": f"{str(trace.states.dtype).removeprefix('torch.')} rounding",
            "ranges": {name: _range(shown, name) for name in ("distance", "step")},
            "extent": _extents(shown),
        }
        meta.setdefault("names", [])
        meta.setdefault("classes", 0)
        layer_names, head_names = [], []
        if with_patterns:
            layer_names = [f"layer {n + 1}" for n in range(layers)]
            patterns = shown["main.attention"]
            if patterns.shape[2] > 1:
                heads = [f"head {n + 1}" for n in range(patterns.shape[2])]
                head_names = ["mean of heads", *heads]
            meta["attention_max"] = _attention_max(patterns)

        if token is None:
            token = int(np.nan_to_num(shown["main.distance"][1, -1], nan=-99).argmax())
        meta["menus"] = {
            "token": ["token", labels],
            "layer": ["layer", layer_names],
            "head": ["head", head_names],
        }
        self._shown, self._size = shown, (loops, layers, tokens)
        super().__init__(data, meta, loop=1, token=int(token), layer=layers - 1, head=0)

    def __repr__(self):
        return "LoopMicroscope(loops={}, layers={}, tokens={})".format(*self._size)

    @property
    def token(self) -> int:
        """The token whose path is shown, from 0."""
        return self.stage.token

    @token.setter
    def token(self, value: int):
        tokens = self._size[2]
        if not 0 <= whole("token", value) < tokens:
            raise ValueError(f"token={value}: this run has tokens 0 to {tokens - 1}")
        self.stage.token = int(value)

    def picture_state(self, loop: int | None = None) -> dict:
        """The numbers that are drawn (after rounding for the browser), for this loop or another.

        loop, loops, token, label; points [layer][2] (None at loop 0), start [2]; distance, step
        [layer], relative to the state's length; answers [token] (names), probability [token],
        right (count, with targets), kept (answers equal to the last loop's); attention
        [token][token] or None; ghost: None or {"run", "loop", "points", "answers"}; words.
        """
        loop = self.loop if loop is None else whole("loop", loop)
        loops, _, _ = self._size
        if not 0 <= loop <= loops:
            raise ValueError(f"loop={loop}: this run has loops 0 to {loops}")
        meta, shown, token = self.stage.meta, self._shown, self.token
        state = {
            "loop": loop,
            "loops": loops,
            "token": token,
            "label": meta["labels"][token],
            "start": shown["main.start"][token].tolist(),
            "points": self._points("main", loop),
            "distance": (10 ** shown["main.distance"][loop, :, token]).tolist(),
            "step": (10 ** shown["main.step"][loop, :, token]).tolist(),
            "attention": self._pattern(loop),
        }
        state |= self._told("main", loop)
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

    def film_strip(self, loops: Sequence[int] = (1, 2, 4, 8, 16)):
        """The microscope at a few loops as one still picture with alt text (a plots.Picture)."""
        from looplab.widgets.strip import microscope_strip

        return microscope_strip(self, loops)

    def _points(self, who: str, loop: int) -> list | None:
        points = self._shown[f"{who}.points"]
        return points[loop - 1, :, self.token].tolist() if loop else None

    def _pattern(self, loop: int) -> list | None:
        if not loop or "main.attention" not in self._shown:
            return None
        patterns = self._shown["main.attention"][loop - 1, self.stage.layer]
        one = self.stage.head > 0 and len(patterns) > 1
        return (patterns[self.stage.head - 1] if one else patterns.mean(0)).tolist()

    def _likeliest(self, who: str, loop: int) -> tuple[np.ndarray, np.ndarray]:
        if f"{who}.answers" in self._shown:
            probability = self._shown[f"{who}.answers"][loop]
            return probability.argmax(-1), probability.max(-1)
        top, likely = self._shown[f"{who}.top"], self._shown[f"{who}.top_p"]
        return top[loop, :, 0].astype(int), likely[loop, :, 0]

    def _told(self, who: str, loop: int) -> dict:
        if f"{who}.answers" not in self._shown and f"{who}.top" not in self._shown:
            return {"answers": None, "probability": None, "right": None, "kept": None}
        meta = self.stage.meta
        answer, probability = self._likeliest(who, loop)
        last = self._size[0] if who == "main" else meta["other_loops"]
        final, _ = self._likeliest(who, last)
        right = None if meta["targets"] is None else int((answer == meta["targets"]).sum())
        return {
            "answers": [meta["names"][a] for a in answer],
            "probability": probability.tolist(),
            "right": right,
            "kept": int((answer == final).sum()),
        }

    def _ghost(self, loop: int) -> tuple[str, int, str] | None:
        if self.held_loop is not None:
            return "main", self.held_loop, f"loop {self.held_loop}"
        if "other.points" in self._shown:
            return "other", min(loop, self.stage.meta["other_loops"]), "the other run"
        return None

    def _count(self, told: dict) -> str:
        if told["right"] is not None:
            return f"{told['right']} of {self._size[2]} answers are right"
        return f"{told['kept']} of {self._size[2]} answers are the final ones"

    def _words(self, state: dict) -> str:
        """The same sentence as `words` in view.js; a browser test holds the two together."""
        meta, loop, loops, token = self.stage.meta, state["loop"], state["loops"], state["token"]
        said = [f"Loop {loop} of {loops}." if loop else "Loop 0, the start state before any pass."]
        if state["answers"] is not None:
            said.append(self._count(state) + ".")
            answer, p = state["answers"][token], math.floor(state["probability"][token] * 100 + 0.5)
            verdict = ""
            if meta["targets"] is not None:
                wanted = meta["names"][meta["targets"][token]]
                got, _ = self._likeliest("main", loop)
                right = got[token] == meta["targets"][token]
                verdict = ", which is right" if right else f"; right is {wanted}"
            said.append(f"Token {state['label']} answers {answer} ({p} %){verdict}.")
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


def number(x: float) -> str:
    """Two significant digits, written as the browser writes them.

    >>> number(0.0314), number(0.00314), number(12.3)
    ('0.031', '3.1e-3', '12')
    """
    if not math.isfinite(x):
        return "–"
    if 0.01 <= x < 99.5:
        return f"{x:#.2g}".rstrip(".")
    digits, exponent = f"{x:.1e}".split("e")
    return f"{digits}e{int(exponent):+d}"


def _states(trace: Trace, item: int) -> Tensor:
    """One sequence's states [loop, layer, token, width] in float64."""
    if trace.states is None:
        raise ValueError('this trace has no states: record it with keep=("states",)')
    batch = trace.states.shape[2]
    if not 0 <= whole("item", item) < batch:
        raise ValueError(f"item={item}: this trace holds sequences 0 to {batch - 1}")
    states = trace.states[:, :, item].double()
    if not torch.isfinite(states).all():
        bad = int((~torch.isfinite(states)).flatten(1).any(1).nonzero()[0]) + 1
        raise ValueError(f"the states are not finite from loop {bad} on: trace fewer loops")
    return states


def _labels(trace: Trace, item: int) -> list[str]:
    return [
        ",".join(map(str, token)) if isinstance(token, list) else str(token)
        for token in trace.tokens[item].tolist()
    ]


def _targets(targets, item: int, tokens: int) -> list[int] | None:
    if targets is None:
        return None
    targets = torch.as_tensor(targets)
    if targets.dim() == 2:
        targets = targets[item]
    if targets.shape != (tokens,):
        raise ValueError(
            f"targets have shape {list(targets.shape)}: expected [batch, token] or [token] "
            f"with {tokens} tokens"
        )
    return targets.tolist()


def _planes(states: Tensor) -> tuple[tuple[Tensor, Tensor], list]:
    """The plane of every token's path: mean and axes [token, (2,) width], and what it explains."""
    path = states.flatten(0, 1).transpose(0, 1)  # [token, loop * layer, width]
    mean = path.mean(1, keepdim=True)
    _, spread, axes = torch.linalg.svd(path - mean, full_matrices=False)
    axes, spread = axes[:, :2], spread.square()
    if axes.shape[1] < 2:  # a single point or one-wide states have no second axis
        axes = torch.nn.functional.pad(axes, (0, 0, 0, 2 - axes.shape[1]))
        spread = torch.nn.functional.pad(spread, (0, 2 - spread.shape[1]))
    # Signs of singular vectors are arbitrary: the largest entry is made positive.
    largest = axes.abs().argmax(-1, keepdim=True)
    axes = axes * axes.gather(-1, largest).sign()
    share = spread[:, :2] / spread.sum(1, keepdim=True).clamp(min=1e-300)
    return (mean, axes), [[round(float(s), 4) for s in pair] for pair in share]


def _positions(who: str, states: Tensor, start: Tensor, planes) -> dict:
    mean, axes = planes  # [token, 1, width], [token, 2, width]
    points = torch.einsum("lktw,tcw->lktc", states - mean[:, 0], axes)
    begin = torch.einsum("tw,tcw->tc", start - mean[:, 0], axes)
    return {f"{who}.points": (points.numpy(), 2), f"{who}.start": (begin.numpy(), 2)}


def _distances(who: str, states: Tensor, start: Tensor) -> dict:
    """log10 of relative distance to the last loop, and of the relative step [loop+1, layer, token].

    Row 0 is the start state; it precedes layer 1, so it has a value for the last layer only, whose
    state is what a loop starts from.
    """
    limit = states[-1]
    before = torch.full_like(states[:1], torch.nan)
    before[0, -1] = start
    path = torch.cat([before, states])  # [loop+1, layer, token, width]
    distance = (path - limit).norm(dim=-1) / limit.norm(dim=-1)
    step = (path[1:] - path[:-1]).norm(dim=-1) / path[1:].norm(dim=-1)
    step = torch.cat([torch.full_like(step[:1], torch.nan), step])
    return {
        f"{who}.distance": (distance.log10().numpy(), 2),
        f"{who}.step": (step.log10().numpy(), 2),
    }


def _attention(who: str, trace: Trace, item: int, runs: int) -> dict:
    item = item if trace.attention.shape[2] > item else 0
    patterns = trace.attention[:, :, item].float()  # [loop, layer, head, token, token]
    if patterns.numel() * runs > HEADS_BYTES:
        patterns = patterns.mean(2, keepdim=True)
    if patterns.numel() > MOST_BYTES:
        raise ValueError(
            f"the attention of {patterns.shape[0]} loops and {patterns.shape[-1]} tokens would "
            f"take {patterns.numel() / 1e6:.0f} MB in the browser: trace fewer loops or tokens, or "
            'leave "attention" out of keep'
        )
    return {f"{who}.attention": (patterns.numpy(), 1)}


def _answers(runs: dict, item: int, targets: list[int] | None, names) -> tuple[dict, list, int]:
    """Channels of what each loop's end reads out as, the answers' names, columns (0: too many)."""
    classes = runs["main"][1].config.answers
    if names is not None and len(names) != classes:
        raise ValueError(f"answer_names has {len(names)} names: this model has {classes} answers")
    if targets is not None and not all(0 <= t < classes for t in targets):
        wrong = next(t for t in targets if not 0 <= t < classes)
        raise ValueError(f"targets hold {wrong}: this model's answers are 0 to {classes - 1}")
    matrix = classes <= MATRIX_CLASSES
    channels, tops = {}, {}
    for who, (run, model, _) in runs.items():
        if model.config.answers != classes:
            raise ValueError(
                f"compare's model has {model.config.answers} answers: expected {classes}"
            )
        at = item if run.start.shape[0] > item else 0
        probability = _lens(model, run, at, None if matrix else TOP)
        if matrix:
            channels[f"{who}.answers"] = (probability.numpy(), 1)
        else:
            tops[who] = probability.indices
            channels[f"{who}.top_p"] = (probability.values.numpy(), 1)
    name = str if names is None else lambda i: str(names[i])
    if matrix:
        return channels, [name(i) for i in range(classes)], classes
    # A large vocabulary: only the answers that appear travel, under small numbers of their own.
    used = {i for top in tops.values() for i in top.unique().tolist()} | set(targets or [])
    used = sorted(used)
    small = {i: n for n, i in enumerate(used)}
    for who, top in tops.items():
        compact = np.searchsorted(used, top.numpy())
        channels[f"{who}.top"] = (compact, 2)
    if targets is not None:
        channels["targets"] = [small[t] for t in targets]
    return channels, [name(i) for i in used], 0


def _lens(model: LoopedTransformer, run: Trace, item: int, top: int | None):
    """Probabilities [loop+1, token, class] of every loop's end, the start first; or their top k."""
    rows = []
    with torch.no_grad():
        # One loop at a time: with a large vocabulary all of them at once would not fit.
        for state in (run.start, *run.loop_ends):
            tokens = run.tokens[item : item + 1]
            logits = model.readout(state[item : item + 1], tokens)[0].float()
            probability = logits.softmax(-1)
            rows.append(probability if top is None else probability.topk(top, dim=-1))
    if top is None:
        return torch.stack(rows)
    return torch.return_types.topk(tuple(torch.stack(part) for part in zip(*rows, strict=True)))


def _range(shown: dict, channel: str) -> list[float]:
    """Whole decades around every value of a channel, both runs."""
    values = np.concatenate([v.ravel() for n, v in shown.items() if n.endswith("." + channel)])
    values = values[np.isfinite(values)]
    if not values.size:
        return [-1.0, 0.0]
    low, high = float(np.floor(values.min())), float(np.ceil(values.max()))
    return [low, high if high > low else low + 1]


def _extents(shown: dict) -> list[list[float]]:
    """x0, x1, y0, y1 of everything drawn in each token's plane, never of no size."""
    tokens = shown["main.start"].shape[0]
    clouds = [shown["main.points"].reshape(-1, tokens, 2), shown["main.start"][None]]
    if "other.points" in shown:
        clouds += [shown["other.points"].reshape(-1, tokens, 2), shown["other.start"][None]]
    cloud = np.concatenate(clouds)
    low, high = cloud.min(0), cloud.max(0)
    least = np.maximum((high - low).max(-1, keepdims=True) * 0.05, 1e-9)
    middle, half = (low + high) / 2, np.maximum((high - low) / 2, least)
    low, high = middle - half, middle + half
    return [
        [float(f"{v:.6g}") for v in row]
        for row in np.stack([low[:, 0], high[:, 0], low[:, 1], high[:, 1]], 1)
    ]


def _attention_max(patterns: np.ndarray) -> list[list[float]]:
    """Largest weight of every layer: of the mean of heads, then of each head."""
    most = [patterns.mean(2).max((0, 2, 3)), *np.moveaxis(patterns.max((0, 3, 4)), 1, 0)]
    return [[float(f"{v:.4g}") for v in row] for row in np.stack(most, 1)]
