"""Record what a looped model does: one array whose first two axes are the loop and the layer."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from looplab.basics.memory import check_bytes
from looplab.basics.tensor_files import check_format, read_tensors, reading, write_tensors
from looplab.model import Loop, LoopedConfig, Site, Tap
from looplab.model.given import given_types
from looplab.model.tap import wants_patterns

KEEP = ("states", "attention")
MAX_BYTES = 2**30  # 1 GiB: fits the smallest place the course runs in
_FORMAT = "looplab.trace.1"


@dataclass(frozen=True, eq=False)
class Trace:
    """One recorded run. Axes always come in the order loop, layer, batch, head, token, width."""

    config: LoopedConfig
    tokens: Tensor  # [batch, token] or [batch, token, field]
    input: Tensor  # X, injected at every loop [batch, token, width]
    # Of a model with n streams, `start` and `loop_ends` have n * width numbers: see `streams`
    start: Tensor  # state at loop 0 [batch, token, width]
    prelude: Tensor  # [layer, batch, token, width]
    states: Tensor | None  # after every core layer [loop, layer, batch, token, width]
    loop_ends: Tensor  # what the next loop starts from [loop, batch, token, width]
    coda: Tensor  # [layer, batch, token, width]
    logits: Tensor  # after the last loop [batch, token, vocab]
    attention: Tensor | None  # core patterns [loop, layer, batch, head, token, token]
    prelude_attention: Tensor | None = None  # [layer, batch, head, token, token]
    coda_attention: Tensor | None = None  # [layer, batch, head, token, token]
    gate: Tensor | None = None  # exit gate before its sigmoid [loop, batch, token]

    @property
    def loops(self) -> int:
        return self.loop_ends.shape[0]

    @property
    def streams(self) -> Tensor:
        """What the next loop starts from, stream by stream [loop, batch, token, stream, width].

        Without hyper-connections there is one stream.
        """
        return self.loop_ends.unflatten(-1, (max(1, self.config.streams), -1))

    @property
    def nbytes(self) -> int:
        """Bytes of memory the recorded tensors hold (a view counts once)."""
        tensors = [t for t in vars(self).values() if isinstance(t, Tensor)]
        storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
        return sum(storages.values())

    def __repr__(self):
        batch, token = self.tokens.shape[:2]
        kept = [name for name in KEEP if getattr(self, name) is not None]
        return (
            f"Trace({self.config.notation}, loops={self.loops}, batch={batch}, tokens={token}, "
            f"keep={kept}, {self.nbytes / 2**20:.1f} MiB)"
        )

    def save(self, path: str | Path) -> Path:
        """Write the trace as safetensors; an existing file is left alone (FileExistsError)."""
        path = Path(path).expanduser()
        if path.exists():
            raise FileExistsError(f"{path} exists: choose another name or remove it first")
        tensors = {
            name: value
            for name, value in vars(self).items()
            if isinstance(value, Tensor) and not (name == "loop_ends" and self._ends_are_states())
        }
        header = {"format": _FORMAT, "config": json.dumps(self.config.to_dict())}
        write_tensors(path, tensors, header)
        return path

    @classmethod
    def load(cls, path: str | Path) -> "Trace":
        """Read a trace written by `save`; ValueError if the file is damaged or something else."""
        path = Path(path).expanduser()
        with reading(path, "is not a readable trace", "record and save it again"):
            header, tensors = read_tensors(path)
            check_format(path, header, "looplab trace", _FORMAT, "write one with Trace.save")
            for name in ("states", "attention"):
                tensors.setdefault(name, None)
            if "loop_ends" not in tensors:
                tensors["loop_ends"] = tensors["states"][:, -1]
            return cls(config=LoopedConfig.from_dict(json.loads(header["config"])), **tensors)

    def _ends_are_states(self) -> bool:
        return (
            self.states is not None
            and self.loop_ends.untyped_storage().data_ptr()
            == self.states.untyped_storage().data_ptr()
        )


def plan(
    model: Loop,
    tokens: Tensor,
    loops: int | None = None,
    keep: Sequence[str] = ("states",),
) -> dict[str, int]:
    """Bytes that `trace` would take for each item it keeps, before anything is run.

    >>> from looplab import LoopedConfig, LoopedTransformer
    >>> model = LoopedTransformer(LoopedConfig(vocab=10, width=16, heads=2, core=2))
    >>> plan(model, torch.zeros(1, 5, dtype=torch.long), loops=100)["states"]
    64000
    """
    _check_keep(keep)
    if not getattr(tokens, "is_meta", False):  # on "meta" they have a shape and nothing to check
        tokens, _ = model.read(tokens)
        model.check_tokens(tokens)  # an adapted module learns its sizes from them
    config = model.config
    loops = config.loops if loops is None else loops
    batch, token = tokens.shape[:2]
    item = torch.finfo(model.dtype).bits // 8
    token_size = batch * token * item
    ends = token_size * config.state_width
    sizes = {
        "layers outside the loop": (
            token_size * (1 + config.prelude + config.coda) * config.width + ends
        ),
        "logits": batch * token * config.answers * item,
    }
    if model.gate is not None:
        sizes["gate"] = loops * batch * token * item
    if "states" in keep:
        sizes["states"] = loops * config.core * token_size * config.layer_width
    if "states" not in keep or not config.ends_at_layer:
        sizes["loop_ends"] = loops * ends
    if "attention" in keep:
        layers = config.prelude + loops * config.core + config.coda
        sizes["attention"] = layers * batch * config.heads * token * token * item
    return sizes


def trace(
    model: Loop,
    tokens: Tensor,
    loops: int | None = None,
    *,
    mask: Tensor | None = None,
    types: Tensor | None = None,
    state: Tensor | None = None,
    keep: Sequence[str] = ("states",),
    generator: torch.Generator | None = None,
    tap: Tap | None = None,
    max_bytes: int = MAX_BYTES,
) -> Trace:
    """Run `model` on `tokens` without gradients and record every core layer at every loop.

    `keep` names what is worth the memory: "states" [loop, layer, batch, token, width] and
    "attention" [loop, layer, batch, head, token, token], that of prelude and coda too; the ends of
    the loops are always kept, and an exit gate's logits. A `tap` (`looplab.model.tap`) may replace
    values on the way: what is recorded is what the run went on with.
    `mask` [batch, token] is False at padding, `types` [batch, token] are for models that tell kinds
    of token apart, and all three may be what people have, as in the model's forward pass, a text
    too where the model knows its `words`; what is recorded at the padding itself means nothing.
    Raises MemoryError naming the sizes and a cheaper choice when the trace would take more than
    `max_bytes`, and ValueError as the model's forward pass does.

    >>> from looplab import LoopedConfig, LoopedTransformer
    >>> model = LoopedTransformer(LoopedConfig(vocab=10, width=16, heads=2, core=2))
    >>> trace(model, torch.zeros(1, 5, dtype=torch.long), loops=3).states.shape
    torch.Size([3, 2, 1, 5, 16])
    """
    loops = model.check_loops(loops)
    types = given_types(types, tokens)
    tokens, mask = model.read(tokens, mask)
    sizes = plan(model, tokens, loops, keep)
    if tap is not None:  # it may replace the end of a loop and not what the last layer left
        token_size = tokens.shape[0] * tokens.shape[1] * model.dtype.itemsize
        sizes["loop_ends"] = loops * token_size * model.config.state_width
    check_bytes("this trace", sizes, max_bytes, _advice(sizes))
    with torch.no_grad():
        recorder = _Recorder(model, tokens, loops, keep, tap)
        given = {"mask": mask, "types": types, "state": state, "generator": generator}
        out = model(tokens, loops, tap=recorder, **given)
    return recorder.trace(tokens, out.logits)


class _Recorder:
    """A tap that copies values into buffers allocated once (appending would fragment the heap).

    Another tap stands in front of it, and what that one makes of a value is recorded.
    """

    def __init__(
        self, model: Loop, tokens: Tensor, loops: int, keep: Sequence[str], first: Tap | None
    ):
        config = model.config
        empty = partial(torch.empty, dtype=model.dtype, device=model.device)
        self.config = config
        self.first, self.first_sees = first, wants_patterns(first)
        self.patterns = "attention" in keep or self.first_sees
        batch, token = tokens.shape[:2]
        outside, state = (batch, token, config.width), (batch, token, config.state_width)
        self.input, self.start = empty(outside), empty(state)
        self.prelude = empty(config.prelude, *outside)
        self.coda = empty(config.coda, *outside)
        self.states = self.attention = self.prelude_attention = self.coda_attention = None
        self.gate = None if model.gate is None else empty(loops, batch, token)
        self._slots = {
            "input": [self.input],
            "start": [self.start],
            "prelude.resid": self.prelude.unbind(),
            "coda.resid": self.coda.unbind(),
        }
        if self.gate is not None:
            self._slots["core.gate"] = self.gate.unbind()
        if "states" in keep:
            self.states = empty(loops, config.core, batch, token, config.layer_width)
            self._slots["core.resid"] = self.states.flatten(0, 1).unbind()
        if "attention" in keep:
            pattern = (batch, config.heads, token, token)
            self.attention = empty(loops, config.core, *pattern)
            self.prelude_attention = empty(config.prelude, *pattern)
            self.coda_attention = empty(config.coda, *pattern)
            self._slots["core.attn.pattern"] = self.attention.flatten(0, 1).unbind()
            self._slots["prelude.attn.pattern"] = self.prelude_attention.unbind()
            self._slots["coda.attn.pattern"] = self.coda_attention.unbind()
        if self.states is not None and config.ends_at_layer and first is None:
            self.loop_ends = self.states[:, -1]  # the loop ends where its last layer does
        else:
            self.loop_ends = empty(loops, *state)
            self._slots["core.loop_end"] = self.loop_ends.unbind()

    def __call__(self, site: Site, value: Tensor) -> Tensor | None:
        loop, layer, name = site
        replaced = None
        if self.first is not None and (self.first_sees or not name.endswith("attn.pattern")):
            replaced = self.first(site, value)
            value = value if replaced is None else replaced
        slots = self._slots.get(name)
        if slots is not None:
            at = loop or 0
            slots[at if layer is None else at * self.config.core + layer].copy_(value)
        return replaced

    def trace(self, tokens: Tensor, logits: Tensor) -> Trace:
        return Trace(
            self.config,
            tokens,
            self.input,
            self.start,
            self.prelude,
            self.states,
            self.loop_ends,
            self.coda,
            logits,
            self.attention,
            self.prelude_attention,
            self.coda_attention,
            self.gate,
        )


def _check_keep(keep: Sequence[str]):
    if isinstance(keep, str):
        raise ValueError(f"keep={keep!r}: give a tuple of names, keep=({keep!r},)")
    for name in keep:
        if name not in KEEP:
            raise ValueError(f"keep has {name!r}: expected names out of {', '.join(KEEP)}")


def _advice(sizes: dict[str, int]) -> str:
    remedy = {
        "attention": 'leave "attention" out of keep',
        "states": "keep=() for the ends of the loops only",
    }.get(max(sizes, key=sizes.get), "trace fewer sequences at a time")
    return f"run fewer loops or sequences, {remedy}"
