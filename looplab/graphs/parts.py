"""The parts of one run that become graphs: what stands before the loop, a pass of it, the answer.

Each part calls the model's own methods. Only two things differ from a run in torch: tokens are not
checked, since a graph cannot raise an error, and what depends on the length of a text (rotary
angles, who may see whom) is cut out of the tables for the longest one.
"""

import torch
from torch import Tensor, nn

from looplab.model import LoopedConfig, LoopedTransformer, Site
from looplab.model.layers import Context, make_context


class Tables:
    """The context of the longest text, cut to the length at hand."""

    def __init__(self, config: LoopedConfig, longest: int):
        # Which cells of a grid are neighbours depends on its side: that mask is given, not cut.
        self.given = config.attention == "grid"
        # One token more than that: a table that is cut anywhere is not a table left whole.
        tokens = 1 if self.given else longest + 1
        self.whole = make_context(config, tokens, "cpu", torch.float32)
        self.sees: Tensor | None = None  # [token, token], True where a query (row) sees a key

    def cut(self, length: int) -> Context:
        rotary, mask = self.whole.rotary, self.whole.mask
        if rotary is not None:
            rotary = tuple(table[:length] for table in rotary)
        if self.given:
            mask = self.sees
        elif mask is not None:
            mask = mask[:length, :length]
        return self.whole._replace(rotary=rotary, mask=mask)


class Drawn(LoopedTransformer):
    """A model whose run can be drawn as a graph; it shares the weights of the one it is made of."""

    def __init__(self, config: LoopedConfig, tables: Tables):
        super().__init__(config)
        self.tables = tables

    def read(self, tokens, mask=None):
        return tokens, mask

    def context(self, length, tokens=None, cache=None, rows=None, mask=None, types=None):
        return self.tables.cut(length)


def drawn(model: LoopedTransformer, longest: int) -> Drawn:
    """The same model with these very weights, ready to be drawn for up to `longest` tokens."""
    with torch.device("meta"):
        twin = Drawn(model.config, None)
    twin.tables = Tables(model.config, longest)
    twin.load_state_dict(model.state_dict(), assign=True)
    return twin.eval().requires_grad_(False)


class Part(nn.Module):
    """One graph: its inputs and outputs, in the order in which `forward` has them."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def __init__(self, model: Drawn, layers: bool):
        super().__init__()
        self.model = model
        if layers and model.tables.given:
            self.inputs = (*self.inputs, "sees")


class Prelude(Part):
    """tokens [batch, token] or [batch, token, field] -> x and, unless it is drawn, the start."""

    inputs = ("tokens",)

    def __init__(self, model: Drawn):
        super().__init__(model, layers=model.config.prelude > 0)
        self.outputs = ("x",) if model.config.start == "normal" else ("x", "start")

    def forward(self, tokens: Tensor, sees: Tensor | None = None):
        self.model.tables.sees = sees
        x = self.model.encode(tokens)
        return x if len(self.outputs) == 1 else (x, self.model.start(x))


class Pass(Part):
    """state, x [batch, token, width] -> the next state, and what the core's layers did.

    layers [layer, batch, token, width] are the states behind each of them, attention
    [layer, batch, head, token (query), token (key)] their patterns.
    """

    inputs = ("state", "x")
    outputs = ("next", "layers", "attention")

    def __init__(self, model: Drawn):
        super().__init__(model, layers=True)

    def forward(self, state: Tensor, x: Tensor, sees: Tensor | None = None):
        self.model.tables.sees = sees
        layers, attention = [], []

        def tap(site: Site, value: Tensor) -> None:
            if site.name == "core.resid":
                layers.append(value)
            if site.name == "core.attn.pattern":
                attention.append(value)

        tap.patterns = True
        state = self.model.step(state, x, tap=tap)
        return state, torch.stack(layers), torch.stack(attention)


class Answer(Part):
    """state [batch, token, width] -> logits [batch, token, answer]."""

    inputs = ("state",)
    outputs = ("logits",)

    def __init__(self, model: Drawn):
        super().__init__(model, layers=model.config.coda > 0)

    def forward(self, state: Tensor, sees: Tensor | None = None):
        self.model.tables.sees = sees
        return self.model.readout(state)


PARTS = {"prelude": Prelude, "core": Pass, "answer": Answer}
