"""A slider over the streams of a model with hyper-connections: strips of state, gates as bars."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from looplab import plots
from looplab.measure import StreamPasses, stream_passes
from looplab.model import LoopedTransformer
from looplab.plots.picture import numbers as as_array
from looplab.plots.streams import MOST
from looplab.widgets.meta import StreamsMeta
from looplab.widgets.payload import pack, unpack
from looplab.widgets.text_stepper import Packed, TextStepper
from looplab.widgets.words import number, percent, visible

__all__ = ["StreamMicroscope"]

GATES = ("pre", "post", "res")
CELLS = 128  # numbers of a state that a strip shows; more would be finer than a screen
SAME = 1e-6  # of a stream's length: what differs less differs by rounding
MOST_BYTES = 4_000_000


class StreamMicroscope(TextStepper):
    """One slider over the loops of a model with streams (Hyperloop), on one token of a text.

    A strip of colour for each stream, for their mean, and for what the pass wrote: a cell is a
    number of the state, in units of the strip's own rms, since streams grow from loop to loop.
    Beside a stream stand the gates of the pass that led here as bars, how much of the stream was
    read (H_pre), how much of what was written it got (H_post), how much of itself it kept (H_res),
    then its length, and what the model would say next if all streams were this one. A menu shows
    what of each stream differs from their mean instead. Below, all lengths over the loops.

    Loops count from 1; loop 0 is the start, before any pass. Keys and holding as in LoopMicroscope:
    a held loop shows in the lower half of each strip. A click chooses a token or a loop.
    `of_text` and `of_tokens` make one; the first has a box to type in.

    run: a dict of `words` [token], `passes` (what `measure.stream_passes` returns, of one sequence)
    and, where the model says words, `said` [loop + 1][token][stream + 1], the likeliest next word
    of each stream and of their mean, and `likely`, the same shape, how likely. read: a function
    from a text to such a dict. Raises ValueError where the run would take too many bytes in a
    browser.

    >>> from looplab import LoopedConfig
    >>> model = LoopedTransformer(LoopedConfig(vocab=9, width=16, core=2, loops=3, streams=4))
    >>> StreamMicroscope.of_tokens(model, [[1, 2, 3]], loops=6)
    StreamMicroscope(loops=0..6, streams=4, tokens=3)
    """

    @classmethod
    def of_text(
        cls, model: LoopedTransformer, text: str, loops: int | None = None
    ) -> "StreamMicroscope":
        """A model that knows its `words`, on a text, with a box for other texts.

        loops: the config's unless given. Raises ValueError for a model without streams around its
        passes, TypeError for one that does not know its words.
        """

        def read(text: str) -> dict:
            tokens, _ = model.read(text)
            words = [model.words.decode([one]) for one in tokens[0].tolist()]
            passes = stream_passes(model, tokens, loops)
            said, likely = _answers(model, passes.streams, tokens)
            return {"words": words, "passes": passes, "said": said, "likely": likely}

        return cls(read(text), read, text)

    @classmethod
    def of_tokens(
        cls,
        model: LoopedTransformer,
        tokens: Tensor,
        loops: int | None = None,
        *,
        words: Sequence[str] | None = None,
    ) -> "StreamMicroscope":
        """Any model with streams, on one sequence of tokens [1, token] or [1, token, field].

        words: a name for every token; its numbers unless given. What streams would say is left out.
        Raises ValueError for several sequences, and where names and tokens are not as many.
        """
        tokens, _ = model.read(tokens)
        if len(tokens) != 1:
            raise ValueError(f"{len(tokens)} sequences of tokens: expected one, tokens[:1]")
        fields = tokens[0].reshape(tokens.shape[1], -1).tolist()
        words = [",".join(map(str, one)) for one in fields] if words is None else list(words)
        if len(words) != len(fields):
            raise ValueError(f"words names {len(words)} tokens: there are {len(fields)}")
        return cls({"words": words, "passes": stream_passes(model, tokens, loops)})

    def __repr__(self):
        meta = self.meta
        return (
            f"StreamMicroscope(loops=0..{meta.last}, streams={meta.streams}, "
            f"tokens={len(meta.labels)})"
        )

    def packed(self, run: dict) -> Packed:
        """The numbers of a run as bytes, as they arrive, and what the browser is told of them."""
        labels = [visible(str(word)) for word in run["words"]]
        passes = StreamPasses(*(as_array(one)[:, 0] for one in run["passes"]))
        loops, tokens, streams = passes.pre.shape
        width = passes.streams.shape[-1]
        size = (loops + 1) * tokens * (2 * streams + 2) * min(width, CELLS)
        if size > MOST_BYTES:
            raise ValueError(
                f"{loops} loops of {streams} streams at {tokens} tokens would take "
                f"{size / 1e6:.0f} MB in the browser: give fewer loops or fewer tokens"
            )
        finite = np.isfinite(passes.streams).all((1, 2, 3))
        if not finite.all():
            raise ValueError(
                f"the streams are not finite from loop {finite.argmin()} on: run fewer loops"
            )
        whole, apart, share = _parts(passes)
        length = np.linalg.norm(whole, axis=-1)  # [loop + 1, token, stream + 2]
        channels = {
            "strips": (_strips(whole), 1),
            "apart": (_strips(apart), 1),
            "share": (_log10(share), 2),
            "length": (_log10(length), 2),
            "gates": (np.stack([getattr(passes, gate) for gate in GATES], -1), 2),
        }
        said = run.get("said")
        if said is not None:
            channels["likely"] = (as_array(run["likely"]), 2)
        data, layout = pack(channels)
        meta = StreamsMeta(
            title=f"Stream microscope: {loops} loops, {streams} streams, {tokens} tokens",
            layout=layout,
            first=0,
            last=loops,
            menus={
                "token": ["token", []],
                "head": ["strips", ["each stream", "what differs from their mean"]],
            },
            labels=labels,
            streams=streams,
            width=width,
            post_most=max(1, math.ceil(float(passes.post.max()))),
            said=said and [[[visible(word) for word in row] for row in loop] for loop in said],
            every=1 if loops <= 16 else 4,
            lengths=_decades(length[length > 0]),
        )
        return data, unpack(data, layout), meta

    def picture_state(self, loop: int | None = None) -> dict:
        """The numbers that are drawn (as rounded for the browser), for this loop or another.

        loop, token, label; pre, post, res [stream] of the pass that led here (None at loop 0);
        lengths [stream], mean_length, written_length (None at loop 0); apart [stream], the share of
        each length that differs from the mean; strips [stream][cell] as the menu has them; said
        [stream + 1] or None, of each stream and of their mean; held_loop; words.
        """
        loop, token, count = self.checked_loop(loop), self.token, self.meta.streams
        lengths, shares = (self._sizes(name, loop) for name in ("length", "share"))
        gates = self.numbers["gates"][loop - 1, token] if loop else None
        strips = self.numbers["apart" if self.stage.head else "strips"][loop, token, :count]
        state = {"loop": loop, "token": token, "label": self.meta.labels[token]}
        for n, name in enumerate(GATES):
            state[name] = None if gates is None else gates[:, n].tolist()
        return state | {
            "lengths": lengths[:count],
            "mean_length": lengths[count],
            "written_length": lengths[count + 1] if loop else None,
            "apart": shares,
            "strips": strips.tolist(),
            "said": None if self.meta.said is None else self.meta.said[loop][token],
            "held_loop": self.held_loop,
            "words": self._words(loop),
        }

    def describe(self, loop: int | None = None) -> str:
        """What this loop (or another) shows, in words; the line under the picture."""
        return self._words(self.checked_loop(loop))

    def film_strip(self, loops: Sequence[int] = (1, 2, 4)):
        """Some loops below each other as one still picture with alt text (a plots.Picture)."""
        loops = [loop for loop in loops if 1 <= loop <= self.meta.last]
        if not loops:
            raise ValueError(f"no loop to show: this run has 1 to {self.meta.last}")
        passes, token, said = self.run["passes"], self.token, None
        if self.meta.said is not None:
            said = [
                [self._quoted(loop, n) for n in range(self.meta.streams)]
                for loop in range(1, self.meta.last + 1)
            ]
        streams = passes.streams[1:, 0, token]
        if self.stage.head:
            streams = streams - streams.mean(-2, keepdim=True)
        return plots.stream_strips(
            streams,
            {
                "read H_pre": passes.pre[:, 0, token],
                "got H_post": passes.post[:, 0, token],
                "kept H_res": passes.res[:, 0, token],
            },
            loops,
            said,
            f"Streams at token {token + 1}, “{self.meta.labels[token]}”"
            + (", what differs from their mean" if self.stage.head else ""),
        )

    def _sizes(self, name: str, loop: int) -> list[float]:
        """The numbers of a loop whose logarithms travel; zero, which has none, as missing."""
        return np.nan_to_num(10 ** self.numbers[name][loop, self.token], nan=0.0).tolist()

    def _quoted(self, loop: int, n: int) -> str:
        """What a stream, or after the last their mean, would say."""
        p = percent(self.numbers["likely"][loop, self.token, n])
        return f"“{self.meta.said[loop][self.token][n]}” ({p})"

    def _words(self, loop: int) -> str:
        """The same sentence as `words` in js/streams.js."""
        meta, token, count = self.meta, self.token, self.meta.streams
        listed = ", ".join
        where = f"token {token + 1}, “{meta.labels[token]}”"
        if loop:
            pre, post, res = (
                listed(number(x) for x in self.numbers["gates"][loop - 1, token, :, n])
                for n in range(3)
            )
            said = [
                f"Loop {loop} of {meta.last} at {where}: of streams 1 to {count} it read {pre} "
                f"(H_pre), they kept {res} (H_res) and got {post} of what it wrote (H_post)."
            ]
        else:
            said = [f"Loop 0 of {meta.last}, the start before any pass, at {where}."]
        lengths = listed(_length(x) for x in self._sizes("length", loop)[:count])
        apart = listed(f"{number(100 * x)} %" for x in self._sizes("share", loop))
        said.append(
            f"Their lengths are {lengths}; what differs from their mean is {apart} of that."
        )
        if meta.said is not None:
            alone = listed(self._quoted(loop, n) for n in range(count))
            said.append(
                f"Alone they would say {alone}; their mean says {self._quoted(loop, count)}."
            )
        if self.held_loop is not None:
            said.append(f"Held beside it, loop {self.held_loop}.")
        return " ".join(said)


def _answers(
    model: LoopedTransformer, streams: Tensor, tokens: Tensor
) -> tuple[list[list[list[str]]], Tensor]:
    """Likeliest next words if all streams were one of them, and of their mean; how likely they are.

    streams [loop, 1, token, stream, width]; returns [loop][token][stream + 1], twice.
    """
    model.check_says_next("StreamMicroscope")
    decode: Callable[[list[int]], str] = model.words.decode
    said, likely = [], []
    with torch.inference_mode():
        for now in streams.to(model.dtype):  # one loop at a time: vocabularies are large
            alone = [now[:, :, [n] * now.shape[2]] for n in range(now.shape[2])]
            states = torch.stack([*alone, now]).flatten(-2)  # [stream + 1, 1, token, n * width]
            best = model.readout(states, tokens)[:, 0].float().softmax(-1).max(-1)
            likely.append(best.values.T)
            said.append([[decode([one]) for one in row] for row in best.indices.T.tolist()])
    return said, torch.stack(likely)


def _parts(passes: StreamPasses) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What strips show, in their own units, and the share of each stream that differs.

    Returns [loop + 1, token, stream + 2, width], the streams, their mean, and what was written
    (nothing at loop 0); the streams minus their mean [loop + 1, token, stream, width]; and its
    length as a share of the stream's [loop + 1, token, stream].
    """
    streams = passes.streams.astype(np.float64)
    mean = streams.mean(-2, keepdims=True)
    written = np.zeros_like(mean)
    written[1:, :, 0] = passes.written
    apart = streams - mean
    length = np.linalg.norm(streams, axis=-1)
    share = np.linalg.norm(apart, axis=-1) / np.maximum(length, np.finfo(float).tiny)
    apart[share < SAME] = 0
    return np.concatenate([streams, mean, written], -2), apart, np.where(share < SAME, 0, share)


def _strips(states: np.ndarray) -> np.ndarray:
    """The first numbers of states [..., width] in units of each state's rms [..., cell]."""
    rms = np.sqrt(np.square(states).mean(-1, keepdims=True))
    shown = np.divide(states, rms, out=np.zeros_like(states), where=rms > 0)
    return shown[..., :CELLS].clip(-MOST, MOST)


def _log10(sizes: np.ndarray) -> np.ndarray:
    """Logarithms, missing for zero."""
    return np.log10(sizes, out=np.full_like(sizes, np.nan), where=sizes > 0)


def _decades(lengths: np.ndarray) -> list[float]:
    """Powers of ten around lengths, at most seven, evenly spaced."""
    ends = np.log10([lengths.min(), lengths.max()]) if lengths.size else np.zeros(2)
    low, high = math.floor(ends[0]), max(math.ceil(ends[1]), math.floor(ends[0]) + 1)
    step = -(-(high - low) // 6)
    return [float(f"1e{decade}") for decade in range(low, high + step, step)]


def _length(x: float) -> str:
    """Whole numbers, or two digits below ten."""
    return str(math.floor(x + 0.5)) if x >= 10 else number(x)
