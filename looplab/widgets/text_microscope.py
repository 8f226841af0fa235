"""One text in a language model under a slider: what the layer and the word microscope share."""

import math
from collections.abc import Sequence

import numpy as np

from looplab import plots
from looplab.plots.picture import numbers as as_array
from looplab.widgets.meta import LayersMeta
from looplab.widgets.payload import pack, unpack
from looplab.widgets.text_stepper import Packed, TextStepper
from looplab.widgets.words import percent, visible

MOST = 40  # tokens; more could not be read


class TextMicroscope(TextStepper):
    """A slider over the steps of a model, layers or loops, and four linked views of one text."""

    def picture_state(self, loop: int | None = None) -> dict:
        """layer or loop, token, attention [token][token], said and norm [token], words.

        With answers that settle also final [token], whether it has its final answer.
        """
        loop = self.checked_loop(loop)
        now = loop - self.meta.first
        state = {
            self.meta.slider: loop,
            "token": self.token,
            "attention": self._pattern(loop).tolist(),
            "said": [names[0] for names in self.meta.said[now]],
            "norm": (10 ** self.numbers["norm"][now]).tolist(),
        }
        if self.meta.settled is not None:
            state["final"] = [settled <= loop for settled in self.meta.settled]
        return state | {"words": self._words(loop)}

    def describe(self, loop: int | None = None) -> str:
        """What this step (or another) shows, in words; the line under the picture."""
        return self._words(self.checked_loop(loop))

    def strip(self, steps: Sequence[int]):
        """Some steps side by side as one still picture with alt text (a plots.Picture)."""
        meta, slider = self.meta, self.meta.slider
        steps = [step for step in steps if meta.first <= step <= meta.last]
        if not steps:
            raise ValueError(f"no {slider} to show: this run has {meta.first} to {meta.last}")
        columns = min(3, len(steps))
        rows = -(-len(steps) // columns)
        size = max(1.9, 0.15 * len(meta.labels))
        with plots.drawing(
            (size + 0.3) * columns + 0.7, (size + 0.75) * rows, columns, rows, squeeze=False
        ) as (figure, grid):
            for unused in grid.flatten()[len(steps) :]:
                unused.set_visible(False)
            for panel, step in zip(grid.flatten(), steps, strict=False):
                panel.imshow(self._pattern(step), cmap="Oranges", vmin=0, vmax=1)
                panel.grid(False)
                told = meta.said[step - meta.first][self.token][0]
                p = percent(self.numbers["likely"][step - meta.first, self.token, 0])
                heading = f"{slider} {step}"
                if meta.settled is not None:
                    heading += f": {self._final(step)} of {len(meta.labels)} final"
                panel.set_title(heading, fontsize=10)
                panel.set_xlabel(f"it would say “{told}” ({p})", fontsize=9)
                panel.set(xticks=[], yticks=[])
            for panel in grid[:, 0]:
                panel.set_yticks(range(len(meta.labels)), meta.labels, fontsize=7)
        alt = f"{meta.title}. " + " ".join(self._words(step) for step in steps)
        return plots.Picture(figure, alt, {f"{slider}s": steps})

    def _pattern(self, loop: int) -> np.ndarray:
        patterns = self.numbers["attention"][loop - self.meta.first]
        one = self.stage.head > 0 and len(patterns) > 1
        return patterns[self.stage.head - 1] if one else patterns.mean(0)

    def _final(self, loop: int) -> int:
        """How many tokens have their final answer."""
        return sum(settled <= loop for settled in self.meta.settled)

    def _words(self, loop: int) -> str:
        """The same sentence as `words` in js/layers.js."""
        meta, token, now = self.meta, self.token, loop - self.meta.first
        norm = [math.floor(10**value + 0.5) for value in self.numbers["norm"][now]]
        to_first = percent(self._pattern(loop)[:, 0].mean())
        p = percent(self.numbers["likely"][now, token, 0])
        said = [
            f"{meta.slider.capitalize()} {loop} of {meta.last}: {to_first} of the attention goes "
            f"to “{meta.labels[0]}”, whose state has length {norm[0]}.",
            f"At “{meta.labels[token]}” (length {norm[token]}) the model would now say "
            f"“{meta.said[now][token][0]}” ({p}).",
        ]
        if meta.settled is not None:
            said.append(
                f"Tokens with their final answer: {self._final(loop)} of {len(meta.labels)}; "
                f"“{meta.labels[token]}” has it from {meta.slider} {meta.settled[token]} on."
            )
        if self.held_loop is not None:
            said.append(f"Held beside it, {meta.slider} {self.held_loop}.")
        return " ".join(said)


def pack_text(run: dict, patterns: np.ndarray, title: str, **told) -> Packed:
    """A run as `TextMicroscope.packed` returns it; `told` are the fields that only its kind knows.

    patterns [step, pattern, token, token], title: its first words. The rest is read from `run`, a
    dict as `layer_run` and `loop_run` return it. ValueError for too few or too many tokens.
    """
    labels = [visible(word) for word in run["words"]]
    if not 2 <= len(labels) <= MOST:
        raise ValueError(f"the text has {len(labels)} tokens: expected 2 to {MOST}")
    entropy = np.stack([as_array(run[name]) for name in ("entropy", "rest")], axis=-1)
    data, layout = pack(
        {
            "attention": (patterns, 1),
            "norm": (np.log10(np.maximum(as_array(run["norm"]), 1e-6)), 2),
            "entropy": (entropy, 2),
            "likely": (as_array(run["likely"]), 2),
        }
    )
    meta = LayersMeta(
        title=f"{title}, {len(labels)} tokens",
        layout=layout,
        labels=labels,
        said=[[[visible(word) for word in rank] for rank in row] for row in run["said"]],
        entropy_most=float(f"{max(entropy.max(), 0.1) * 1.05:.3g}"),
        **told,
    )
    return data, unpack(data, layout), meta


def scale(norm: np.ndarray, steps: Sequence[int]) -> list[float]:
    """Lengths for the lines of a log scale: `steps` in each decade, as far as `norm` goes.

    >>> scale(np.array([3.0, 40.0]), (1,)), scale(np.array([3.0, 40.0]), (1, 2, 5))
    ([1, 10, 100], [2, 5, 10, 20, 50])
    """
    low, high = (max(float(end), 1e-6) for end in (norm.min(), norm.max()))
    # A decade more at either end, for lengths that are all the same or stand on a line.
    decades = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
    lines = [step * 10**decade for decade in decades for step in steps]
    below = max(n for n, line in enumerate(lines) if line <= low)
    above = min(n for n, line in enumerate(lines) if line >= high and n > below)
    return lines[below : above + 1]
