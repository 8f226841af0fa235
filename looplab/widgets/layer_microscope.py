"""A slider over the layers of a language model, on real words."""

import math
from collections.abc import Callable, Sequence

import ipywidgets
import numpy as np

from looplab import plots
from looplab.plots.picture import numbers as as_array
from looplab.widgets.meta import LayersMeta
from looplab.widgets.payload import pack, unpack
from looplab.widgets.stepper import Stepper, whole
from looplab.widgets.words import percent

__all__ = ["LayerMicroscope"]

MOST = 40  # tokens; more could not be read


class LayerMicroscope(Stepper):
    """One slider over the layers of a language model, four linked views of one text.

    1. Attention of a head in this layer: the row's token looks at the column's. 2. What the model
       would say after this layer, if it had no others (the logit lens): the likeliest next tokens.
       3. The length of the state of the first token, of the chosen one, and of the
       median one, over all layers. 4. The entropy of the states, with the first token and without.

    Layers count from 0. Keys and holding as in LoopMicroscope; a click chooses a layer or a token.

    run: a dict of `words` [token], `attention` [layer, head, token, token], `norm` [layer, token],
    `entropy` and `rest` [layer] (without the first token), `likely` [layer, token, rank], and
    `said` [layer][token][rank], words. read: a function from a text to such a dict; with one there
    is a box to type in. Raises ValueError for a text of fewer than 2 or more than 40 tokens.

    >>> import torch
    >>> run = {"words": ["a", "b"], "attention": torch.eye(2).expand(3, 1, 2, 2)}
    >>> run |= {"norm": torch.ones(3, 2), "entropy": torch.ones(3), "rest": torch.zeros(3)}
    >>> run |= {"likely": torch.ones(3, 2, 1), "said": [[["b"], ["a"]]] * 3}
    >>> LayerMicroscope(run)
    LayerMicroscope(layers=0..2, heads=1, tokens=2)
    """

    def __init__(self, run: dict, read: Callable[[str], dict] | None = None, text: str = ""):
        data, numbers, meta = _packed(run)
        self.read = read
        super().__init__(data, numbers, meta, loop=0, token=len(meta.labels) - 1)
        if read is not None:
            box = ipywidgets.Text(
                value=text,
                description="text",
                continuous_update=False,
                layout=ipywidgets.Layout(width="100%"),
            )
            box.observe(lambda change: self._typed(change["new"]), "value")
            self.box = box
            self.children = (box, *self.children)

    def __repr__(self):
        meta = self.meta
        return (
            f"LayerMicroscope(layers=0..{meta.last}, heads={self.numbers['attention'].shape[1]}, "
            f"tokens={len(meta.labels)})"
        )

    @property
    def token(self) -> int:
        """The token whose row is marked, from 0."""
        return self.stage.token

    @token.setter
    def token(self, value: int):
        if not 0 <= whole("token", value) < len(self.meta.labels):
            raise ValueError(
                f"token={value}: this text has tokens 0 to {len(self.meta.labels) - 1}"
            )
        self.stage.token = int(value)

    def show(self, text: str) -> None:
        """Ask the model about another text. ValueError without a model, and as at the start."""
        if self.read is None:
            raise ValueError("there is no model here to read a text: give LayerMicroscope a read=")
        data, numbers, meta = _packed(self.read(text))
        self.release()  # what was held is another text
        self.numbers, self.meta = numbers, meta
        with self.stage.hold_sync():
            self.stage.token = len(meta.labels) - 1
            self.stage.meta, self.stage.data = meta.as_dict(), data

    def picture_state(self, loop: int | None = None) -> dict:
        """layer, token, attention [token][token], said and norm [token], words."""
        loop = self.checked_loop(loop)
        state = {
            "layer": loop,
            "token": self.token,
            "attention": self._pattern(loop).tolist(),
            "said": [names[0] for names in self.meta.said[loop]],
            "norm": (10 ** self.numbers["norm"][loop]).tolist(),
        }
        return state | {"words": self._words(loop)}

    def describe(self, loop: int | None = None) -> str:
        """What this layer (or another) shows, in words; the line under the picture."""
        return self._words(self.checked_loop(loop))

    def film_strip(self, layers: Sequence[int] = (0, 4, 11, 12, 20, 29)):
        """Some layers side by side as one still picture with alt text (a plots.Picture)."""
        layers = [layer for layer in layers if 0 <= layer <= self.meta.last]
        labels = self.meta.labels
        columns = min(3, len(layers))
        rows = -(-len(layers) // columns)
        size = max(1.9, 0.15 * len(labels))
        with plots.drawing(
            (size + 0.3) * columns + 0.7, (size + 0.75) * rows, columns, rows, squeeze=False
        ) as (figure, grid):
            for unused in grid.flatten()[len(layers) :]:
                unused.set_visible(False)
            for panel, layer in zip(grid.flatten(), layers, strict=False):
                panel.imshow(self._pattern(layer), cmap="Oranges", vmin=0, vmax=1)
                panel.grid(False)
                told = self.meta.said[layer][self.token][0]
                p = percent(self.numbers["likely"][layer, self.token, 0])
                panel.set_title(f"layer {layer}", fontsize=10)
                panel.set_xlabel(f"it would say “{told}” ({p})", fontsize=9)
                panel.set(xticks=[], yticks=[])
            for panel in grid[:, 0]:
                panel.set_yticks(range(len(labels)), labels, fontsize=7)
        alt = f"{self.meta.title}. " + " ".join(self._words(layer) for layer in layers)
        return plots.Picture(figure, alt, {"layers": layers})

    def _pattern(self, layer: int) -> np.ndarray:
        patterns = self.numbers["attention"][layer]
        one = self.stage.head > 0 and len(patterns) > 1
        return patterns[self.stage.head - 1] if one else patterns.mean(0)

    def _words(self, layer: int) -> str:
        """The same sentence as `words` in js/layers.js."""
        meta, token = self.meta, self.token
        norm = [math.floor(10**value + 0.5) for value in self.numbers["norm"][layer]]
        to_first = percent(self._pattern(layer)[:, 0].mean())
        p = percent(self.numbers["likely"][layer, token, 0])
        said = [
            f"Layer {layer} of {meta.last}: {to_first} of the attention goes to "
            f"“{meta.labels[0]}”, whose state has length {norm[0]}.",
            f"At “{meta.labels[token]}” (length {norm[token]}) the model would now say "
            f"“{meta.said[layer][token][0]}” ({p}).",
        ]
        if self.held_loop is not None:
            said.append(f"Held beside it, layer {self.held_loop}.")
        return " ".join(said)

    def _typed(self, text: str):
        try:
            self.show(text)
        except ValueError as refused:
            self.stage.send({"notice": f"Not read: {refused}."})
        else:
            self.stage.send({"notice": ""})


def _packed(run: dict) -> tuple[bytes, dict[str, np.ndarray], LayersMeta]:
    """The numbers of a run as bytes, as they arrive, and what the browser is told about them."""
    labels = [_visible(word) for word in run["words"]]
    if not 2 <= len(labels) <= MOST:
        raise ValueError(f"the text has {len(labels)} tokens: expected 2 to {MOST}")
    patterns = as_array(run["attention"])
    layers, heads = patterns.shape[:2]
    norm = np.log10(np.maximum(as_array(run["norm"]), 1e-6))
    entropy = np.stack([as_array(run[name]) for name in ("entropy", "rest")], axis=-1)
    data, layout = pack(
        {
            "attention": (patterns, 1),
            "norm": (norm, 2),
            "entropy": (entropy, 2),
            "likely": (as_array(run["likely"]), 2),
        }
    )
    names = ["mean of heads", *(f"head {n}" for n in range(heads))] if heads > 1 else []
    meta = LayersMeta(
        title=f"Layer microscope: {layers} layers, {len(labels)} tokens",
        layout=layout,
        first=0,
        last=layers - 1,
        slider="layer",
        menus={"token": ["token", []], "head": ["head", names]},
        labels=labels,
        said=[[[_visible(word) for word in rank] for rank in row] for row in run["said"]],
        norm_range=[math.floor(norm.min()), math.ceil(norm.max())],
        entropy_most=float(f"{max(entropy.max(), 0.1) * 1.05:.3g}"),
    )
    return data, unpack(data, layout), meta


def _visible(word: str) -> str:
    """A token as it can be read: without the space in front, line breaks as a sign."""
    return word.replace("\n", "⏎").strip(" ") or "␣"
