"""A slider over what a model does to one text, with a box to type another one in."""

from collections.abc import Callable

import ipywidgets
import numpy as np

from looplab.widgets.meta import Meta
from looplab.widgets.stepper import Stepper, whole

Packed = tuple[bytes, dict[str, np.ndarray], Meta]


class TextStepper(Stepper):
    """A slider over the steps of a model, layers or loops, on one text, and a token of it.

    A kind of it says in `packed` how a run is shown; `run` is the one shown now. `read` is a
    function from a text to a run as `packed` takes it; with one there is a box to type in.
    """

    def __init__(self, run: dict, read: Callable[[str], dict] | None = None, text: str = ""):
        data, numbers, meta = self.packed(run)
        self.run, self.read = run, read
        super().__init__(data, numbers, meta, loop=meta.first, token=len(meta.labels) - 1)
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

    def packed(self, run: dict) -> Packed:
        """The numbers of a run as bytes, as they arrive, and what the browser is told of them."""
        raise NotImplementedError

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
            raise ValueError(
                f"there is no model here to read a text: give {type(self).__name__} a read="
            )
        run = self.read(text)
        data, numbers, meta = self.packed(run)
        if meta.last != self.meta.last:  # the slider stays as it is
            raise ValueError(
                f"read gives {meta.slider}s up to {meta.last}: expected {self.meta.last}, as for "
                "the first text"
            )
        self.release()  # what was held is another text
        self.run, self.numbers, self.meta = run, numbers, meta
        with self.stage.hold_sync():
            self.stage.token = len(meta.labels) - 1
            self.stage.meta, self.stage.data = meta.as_dict(), data

    def _typed(self, text: str):
        try:
            self.show(text)
        except ValueError as refused:
            self.stage.send({"notice": f"Not read: {refused}."})
        else:
            self.stage.send({"notice": ""})
