"""A slider over the loops of a looped language model, on real words."""

from collections.abc import Sequence

from looplab.plots.picture import numbers as as_array
from looplab.widgets.text_microscope import TextMicroscope, pack_text, scale
from looplab.widgets.text_stepper import Packed

__all__ = ["WordMicroscope"]


class WordMicroscope(TextMicroscope):
    """One slider over the loops of a looped language model, four linked views of one text.

    1. Attention of a layer of the core in this loop, mean of its heads: the row's token looks at
       the column's. 2. What the model would say next if it stopped after this loop, with a mark at
       each token whose answer is, from this loop on, what it is after the last one. 3. The length
       of the state of the first token, of the chosen one, and of the median one, over all loops.
       4. The entropy of the states, with the first token and without.

    Loops and layers count from 1. Keys and holding as in LoopMicroscope; a click chooses a loop or
    a token.

    run: what `experiments.layerwise.loop_run` returns (its `states` are not needed). read: a
    function from a text to such a dict, of as many loops; with one there is a box to type in.
    Raises ValueError for a text of fewer than 2 or more than 40 tokens.

    >>> from looplab import LoopedConfig, LoopedTransformer
    >>> from looplab.experiments.layerwise import loop_run
    >>> model = LoopedTransformer(LoopedConfig(vocab=128, core=2))
    >>> run = loop_run(model, lambda t: [ord(x) for x in t], lambda ids: chr(ids[0]), "loops", 6)
    >>> WordMicroscope(run)
    WordMicroscope(loops=1..6, layers=2, tokens=5)
    """

    def __repr__(self):
        meta = self.meta
        return (
            f"WordMicroscope(loops=1..{meta.last}, layers={self.numbers['attention'].shape[1]}, "
            f"tokens={len(meta.labels)})"
        )

    def film_strip(self, loops: Sequence[int] = (1, 2, 4, 8, 16, 32)):
        """Some loops side by side as one still picture with alt text (a plots.Picture)."""
        return self.strip(loops)

    def packed(self, run: dict) -> Packed:
        """The numbers of a run as bytes, as they arrive, and what the browser is told of them."""
        patterns, norm = as_array(run["attention"]), as_array(run["norm"])
        loops, layers = patterns.shape[:2]
        names = ["mean of layers", *(f"layer {n + 1}" for n in range(layers))] if layers > 1 else []
        # A loop changes lengths less than a first layer does: finer lines, unless they are many.
        lengths = scale(norm, (1, 2, 5))
        return pack_text(
            run,
            patterns,
            f"Word microscope: {loops} loops of {layers} layer{'s' * (layers > 1)}",
            first=1,
            last=loops,
            slider="loop",
            menus={"token": ["token", []], "head": ["layer", names]},
            whole="its one layer",
            every=1 if loops <= 16 else 4,
            lengths=lengths if 2 <= len(lengths) <= 6 else scale(norm, (1,)),
            settled=as_array(run["settled"]).tolist(),
        )
