"""A slider over the layers of a language model, on real words."""

from collections.abc import Sequence

from looplab.plots.picture import numbers as as_array
from looplab.widgets.text_microscope import TextMicroscope, pack_text, scale
from looplab.widgets.text_stepper import Packed

__all__ = ["LayerMicroscope"]


class LayerMicroscope(TextMicroscope):
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

    def __repr__(self):
        meta = self.meta
        return (
            f"LayerMicroscope(layers=0..{meta.last}, heads={self.numbers['attention'].shape[1]}, "
            f"tokens={len(meta.labels)})"
        )

    def film_strip(self, layers: Sequence[int] = (0, 4, 11, 12, 20, 29)):
        """Some layers side by side as one still picture with alt text (a plots.Picture)."""
        return self.strip(layers)

    def packed(self, run: dict) -> Packed:
        """The numbers of a run as bytes, as they arrive, and what the browser is told of them."""
        patterns = as_array(run["attention"])
        layers, heads = patterns.shape[:2]
        names = ["mean of heads", *(f"head {n}" for n in range(heads))] if heads > 1 else []
        return pack_text(
            run,
            patterns,
            f"Layer microscope: {layers} layers",
            first=0,
            last=layers - 1,
            slider="layer",
            menus={"token": ["token", []], "head": ["head", names]},
            whole="mean of heads",
            every=5,
            lengths=scale(as_array(run["norm"]), (1,)),
        )
