"""One frozen description of every looped model in this library."""

from dataclasses import asdict, dataclass, fields, replace
from typing import Literal, get_args

from looplab.basics.whole import whole_number
from looplab.model.injection import INJECTIONS
from looplab.model.norms import NORM_KINDS, PLACEMENTS, Placement

Start = Literal["input", "zeros", "normal", "hashed"]
Attention = Literal["causal", "full", "window", "grid"]
Position = Literal["rope_half", "rope_interleaved", "learned", "none"]
Mlp = Literal["plain", "gated"]
Activation = Literal["gelu", "gelu_tanh", "silu", "relu", "half_relu2"]
QkNorm = Literal["none", "head", "all", "rotated"]
Solver = Literal["plain", "anderson"]
StreamUnit = Literal["pass", "branch"]
StreamCarry = Literal["diagonal", "identity", "sinkhorn"]
StreamMapsOf = Literal["loop", "shared"]

_CHOICES = {
    "norm": tuple(PLACEMENTS),
    "norm_kind": NORM_KINDS,
    "injection": tuple(INJECTIONS),
    "start": get_args(Start),
    "attention": get_args(Attention),
    "position": get_args(Position),
    "mlp": get_args(Mlp),
    "activation": get_args(Activation),
    "qk_norm": get_args(QkNorm),
    "solver": get_args(Solver),
    "stream_unit": get_args(StreamUnit),
    "stream_carry": get_args(StreamCarry),
    "stream_maps": get_args(StreamMapsOf),
}


@dataclass(frozen=True)
class LoopedConfig:
    """A looped transformer `(prelude, core⊗loops, coda)`; every family member is one of these.

    Unless a unit is given, a number counts things. Raises ValueError naming the value and the
    remedy when two settings do not fit together.

    Source: notation of arXiv 2604.11791, section 2.

    >>> LoopedConfig(vocab=12, core=3, loops=6).notation
    '(0, 3⊗6, 0)'
    """

    vocab: int  # symbols of each input field
    width: int = 64  # numbers in one token's state (D)
    prelude: int = 0  # layers before the loop (p)
    core: int = 1  # layers inside the loop (k)
    coda: int = 0  # layers after the loop (c)
    loops: int = 8  # passes through the core when the call does not say (l)
    tied: bool = True  # False: every loop has weights of its own (the unrolled twin)

    fields: int = 1  # symbols per token; their embeddings are summed
    classes: int | None = None  # answers to choose from; None: vocab
    heads: int = 4
    kv_heads: int | None = None  # fewer than heads: grouped-query attention; None: heads
    head_dim: int | None = None  # None: width / heads
    mlp_width: int | None = None  # None: 4 width (plain) or 8/3 width (gated)
    mlp: Mlp = "plain"
    activation: Activation = "gelu"  # half_relu2: relu(x)^2 / 2 (Parcae)

    norm: str = "pre"  # a row of looplab.model.norms
    norm_kind: str = "rms"  # one of looplab.model.norms.NORM_KINDS
    norm_eps: float = 1e-6
    injection: str = "none"  # a row of looplab.model.injection
    injection_bias: bool = False  # of injection="concat" (IFM Huginn-Linear)
    injection_eps: float = 1e-6  # beside the squared length in injection="orthogonal"
    start: Start = "input"  # state at loop 0; "hashed": looplab.model.hashed
    # Of start="normal", cut at 3 std, and of "hashed", not cut; Huginn's sqrt(2/5)
    start_std: float = 0.6325

    attention: Attention = "causal"
    window: int | None = None  # tokens a token sees, itself included; only attention="window"
    position: Position = "rope_half"
    places: int | None = None  # tokens that there are learned positions for; only "learned"
    rope_theta: float = 10_000.0
    # Llama 3's slow-down of long wavelengths: (factor, low, high, original length in tokens)
    rope_scaling: tuple[float, float, float, float] | None = None
    qk_bias: bool = False
    # "head": each head on its own; "all": all heads jointly (OLMo-2); "rotated": each head, after
    # its rotation and without parameters (Parcae)
    qk_norm: QkNorm = "none"
    # Layers, counted through prelude, core and coda, whose values have a gated embedding of the
    # token added to them (Parcae)
    value_layers: tuple[int, ...] = ()

    embed_scale: float = 1.0
    tie_head: bool = False  # head shares the embedding matrix
    exit_gate: bool = False  # one sigmoid unit on every loop's state (Ouro)
    input_norm: bool = False  # X is normed behind the prelude (Parcae)
    state_out: bool = False  # a matrix on the state as it leaves the loop (Parcae's C)
    # Share of the way from its start to its end that a pass goes; below 1 it is damped (loopify)
    stride: float = 1.0

    # What an attractor model has besides: a pass is f(z) = core(z + x) - z, whose fixed point is
    # the answer
    minus_state: bool = False  # a pass takes the state it began with away again
    branch_gain: float | None = None  # what a core layer adds, times a gate of 0 to this a channel
    # Where a pass begins: at the last one's end, or where looplab.model.anderson points to
    solver: Solver = "plain"
    solver_memory: int = 5  # passes that Anderson's method mixes
    solver_share: float = 1.0  # of their ends in the mixture, the rest is of their beginnings

    # What a loop of two levels has besides (looplab.model.two_level; HRM-Text)
    low_cycles: int = 0  # runs of a low stack for one of the high one; core counts every run
    attn_gate: bool = False  # each channel of a head's answer is opened by the layer's input
    prefix_lm: bool = False  # tokens of type 1 see each other both ways

    # What an encoder has besides (looplab.model.encoder; ALBERT)
    bias: bool = False  # of every matrix inside a layer
    embed_width: int | None = None  # of the embedding, behind which a matrix leads to width
    embed_norm: bool = False  # on the embedding
    types: int = 0  # kinds of token, such as first and second sentence, each with an embedding
    masked_lm: bool = False  # logits are of the token itself, hidden or not, and not of the next

    # Hyper-connections (looplab.model.streams) between that many streams of state; 0: none, and the
    # ordinary residual stream
    streams: int = 0
    stream_unit: StreamUnit = "pass"  # around a pass (Hyperloop) or each branch of it (mHC)
    stream_carry: StreamCarry = "diagonal"  # H_res: a gate for each stream, all kept, or mixed
    stream_maps: StreamMapsOf = "loop"  # gates of each loop's own, or one set for all loops
    loop_embed: bool = False  # a vector of each set, added to what the pass writes

    def __post_init__(self):
        for name, choice in _CHOICES.items():
            value = getattr(self, name)
            if value not in choice:
                raise ValueError(f"{name}={value!r}: expected one of {', '.join(choice)}")
        for setting in fields(self):
            value = getattr(self, setting.name)
            if setting.type is bool:
                if value not in (True, False):
                    raise ValueError(f"{setting.name}={value!r}: expected True or False")
                object.__setattr__(self, setting.name, bool(value))  # 1 and 0 are no JSON switches
        for name in ("vocab", "width", "core", "loops", "fields", "heads"):
            self._keep_whole(name, 1)
        for name in ("prelude", "coda", "streams", "types", "low_cycles"):
            self._keep_whole(name, 0)
        sizes = ("classes", "kv_heads", "head_dim", "mlp_width", "window", "places", "embed_width")
        for name in sizes:
            if getattr(self, name) is not None:
                self._keep_whole(name, 1)
        for name in ("norm_eps", "injection_eps", "start_std", "rope_theta", "embed_scale"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)!r}: expected a number above zero")
        if self.injection_bias and self.injection != "concat":
            raise ValueError(
                f"injection_bias=True with injection={self.injection!r}: only 'concat' has one"
            )
        if not 0 < self.stride <= 1:
            raise ValueError(f"stride={self.stride!r}: expected a share above 0 and up to 1")
        if self.head_dim is None and self.width % self.heads:
            raise ValueError(
                f"width={self.width} does not divide into heads={self.heads}: "
                "choose a multiple, or set head_dim"
            )
        if self.heads % self.key_heads:
            raise ValueError(
                f"heads={self.heads} is not a multiple of kv_heads={self.kv_heads}: "
                "each key head serves the same number of query heads"
            )
        if self.rotary and self.head_width % 2:
            raise ValueError(
                f"head width {self.head_width} is odd: rotary positions turn pairs, "
                "so choose an even head_dim or position='none'"
            )
        if self.rope_scaling is not None:
            if len(self.rope_scaling) != 4 or not all(n > 0 for n in self.rope_scaling):
                raise ValueError(
                    f"rope_scaling={self.rope_scaling!r}: expected four numbers above zero, "
                    "(factor, low, high, original length in tokens)"
                )
            object.__setattr__(self, "rope_scaling", tuple(self.rope_scaling))  # JSON has lists
        object.__setattr__(self, "value_layers", tuple(self.value_layers))
        layers = self.prelude + self.core + self.coda
        if self.value_layers and not all(0 <= n < layers for n in self.value_layers):
            raise ValueError(
                f"value_layers={self.value_layers}: this model has layers 0 to {layers - 1}"
            )
        if self.value_layers and (self.width < 32 or self.fields > 1):
            raise ValueError(
                f"value_layers={self.value_layers} with width={self.width}, fields={self.fields}: "
                "their gates read 32 channels, and they embed one symbol per token"
            )
        if (self.attention == "window") != (self.window is not None):
            raise ValueError(
                f"attention={self.attention!r} with window={self.window}: "
                "give window exactly when attention='window'"
            )
        if self.tie_head and (self.fields > 1 or self.answers != self.vocab):
            raise ValueError(
                f"tie_head needs one field and classes equal to vocab, got fields={self.fields}, "
                f"classes={self.answers}, vocab={self.vocab}"
            )

        self._check_encoder()
        self._check_attractor()
        self._check_levels()
        if self.streams:
            self._check_streams()
        elif self.loop_embed:
            raise ValueError("loop_embed=True with streams=0: it is a part of hyper-connections")

    def _check_attractor(self):
        self._keep_whole("solver_memory", 2)
        if not 0 < self.solver_share <= 1:
            raise ValueError(
                f"solver_share={self.solver_share!r}: expected a share above 0 and up to 1"
            )
        if self.branch_gain is not None and (self.placement.on_sum or not self.branch_gain > 0):
            raise ValueError(
                f"branch_gain={self.branch_gain!r} with norm={self.norm!r}: expected a number "
                "above zero, and branches that are added as they are, such as norm='pre'"
            )
        if self.solver != "plain" and not self.tied:
            raise ValueError(
                f"solver={self.solver!r} with tied=False: an unrolled twin has no one map whose "
                "fixed point could be solved for, so choose solver='plain'"
            )
        if self.streams and (self.minus_state or self.branch_gain is not None):
            raise ValueError(
                f"streams={self.streams} with minus_state={self.minus_state}, "
                f"branch_gain={self.branch_gain}: choose streams=0"
            )

    def _check_levels(self):
        if self.prefix_lm and (self.attention != "causal" or self.types):
            raise ValueError(
                f"prefix_lm=True with attention={self.attention!r}, types={self.types}: token "
                "types mark the prefix of a text that is causal behind it, and nothing else"
            )
        if not self.low_cycles:
            return
        if self.core % (self.low_cycles + 1):
            raise ValueError(
                f"core={self.core} with low_cycles={self.low_cycles}: a pass runs a low stack "
                f"{self.low_cycles} times and a high one once, so choose a multiple of "
                f"{self.low_cycles + 1}"
            )
        usual = {"injection": "none", "start": "input", "streams": 0, "stride": 1.0}
        usual |= {"minus_state": False, "branch_gain": None, "value_layers": (), "norm": "pre"}
        usual |= {"exit_gate": False, "solver": "plain", "stream_unit": "pass"}
        for name, value in usual.items():
            if getattr(self, name) != value:
                raise ValueError(
                    f"low_cycles={self.low_cycles} with {name}={getattr(self, name)!r}: a loop of "
                    f"two levels has {name}={value!r}"
                )

    def _check_encoder(self):
        if (self.position == "learned") != (self.places is not None):
            raise ValueError(
                f"position={self.position!r} with places={self.places}: give the number of places "
                "exactly when position='learned'"
            )
        if self.bias and (self.qk_bias or self.mlp == "gated"):
            raise ValueError(
                f"bias=True with qk_bias={self.qk_bias}, mlp={self.mlp!r}: every matrix has a bias "
                "then, queries' and keys' too, and a gated MLP here has none"
            )
        if self.masked_lm and (self.attention != "full" or self.placement.before_coda):
            raise ValueError(
                f"masked_lm=True with attention={self.attention!r}, norm={self.norm!r}: its tokens "
                "look both ways, attention='full', and its norm stands in front of the head only"
            )
        if self.tie_head and self.embed_width is not None and not self.masked_lm:
            raise ValueError(
                f"tie_head with embed_width={self.embed_width}: only the head of masked_lm leads "
                "back to the embedding's width"
            )

    def _check_streams(self):
        if self.exit_gate or self.placement.loop_end:
            raise ValueError(
                f"streams={self.streams} with exit_gate={self.exit_gate}, norm={self.norm!r}: a "
                "gate or a norm at the end of a loop reads one stream, so choose streams=0 or "
                "norm='pre' without a gate"
            )
        if self.stream_unit == "branch" and (self.placement.on_sum or self.loop_embed):
            raise ValueError(
                f"stream_unit='branch' with norm={self.norm!r}, loop_embed={self.loop_embed}: a "
                "connection takes the place of a layer's sum, and has no embedding of the loop"
            )

    def _keep_whole(self, name: str, least: int):
        # As an int, which JSON has; NumPy's whole numbers are none.
        object.__setattr__(self, name, whole_number(name, getattr(self, name), least))

    @property
    def placement(self) -> Placement:
        """Where the norms are."""
        return PLACEMENTS[self.norm]

    @property
    def ends_at_layer(self) -> bool:
        """Whether a loop ends in the very state that its last layer leaves."""
        hyper = self.streams > 0 and self.stream_unit == "pass"
        plain = not self.placement.loop_end and not self.needs_begin
        return plain and not hyper and not self.low_cycles

    @property
    def needs_begin(self) -> bool:
        """Whether the end of a pass depends on the state it began with."""
        return self.stride != 1 or self.minus_state

    @property
    def state_width(self) -> int:
        """Numbers in one token's state: all its streams, or both its levels."""
        return max(1, self.streams) * self.width * (2 if self.low_cycles else 1)

    @property
    def layer_width(self) -> int:
        """Numbers in one token's state behind a core layer."""
        return self.state_width if self.stream_unit == "branch" else self.width

    @property
    def stream_sets(self) -> int:
        """Sets of maps of each hyper-connection; in an unrolled twin every loop has its own."""
        return self.loops if self.tied and self.stream_maps == "loop" else 1

    @property
    def stack(self) -> int:
        """Layers of each of the two stacks, or of the only one."""
        return self.core // (self.low_cycles + 1)

    @property
    def rotary(self) -> bool:
        """Whether queries and keys are turned by their positions."""
        return self.position.startswith("rope")

    @property
    def table_width(self) -> int:
        """Numbers in a token's embedding."""
        return self.width if self.embed_width is None else self.embed_width

    @property
    def answers(self) -> int:
        """Width of the logits."""
        return self.vocab if self.classes is None else self.classes

    @property
    def key_heads(self) -> int:
        return self.heads if self.kv_heads is None else self.kv_heads

    @property
    def head_width(self) -> int:
        return self.width // self.heads if self.head_dim is None else self.head_dim

    @property
    def hidden(self) -> int:
        """Width inside the MLP."""
        if self.mlp_width is not None:
            return self.mlp_width
        # 8/3 keeps a gated MLP (three matrices) as large as a plain one; 16 suits the hardware.
        return 4 * self.width if self.mlp == "plain" else -(-8 * self.width // 48) * 16

    @property
    def realized_depth(self) -> int:
        """Layers executed in one forward pass."""
        return self.prelude + self.core * self.loops + self.coda

    @property
    def notation(self) -> str:
        """The paper's name of this model, with `_I` for input injection."""
        inject = "" if self.injection == "none" else "_I"
        return f"({self.prelude}, {self.core}⊗{self.loops}, {self.coda}){inject}"

    def unrolled(self, loops: int | None = None) -> "LoopedConfig":
        """The twin of equal compute: the same layers in the same order, none of them shared."""
        return replace(self, tied=False, loops=self.loops if loops is None else loops)

    def shallow(self) -> "LoopedConfig":
        """The twin of equal parameters: the same layers, passed once."""
        return replace(self, loops=1)

    def to_dict(self) -> dict:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> "LoopedConfig":
        """Inverse of `to_dict`; an unknown key raises ValueError naming it."""
        unknown = sorted(set(values) - {f.name for f in fields(cls)})
        if unknown:
            raise ValueError(f"unknown setting {unknown[0]!r}: written by a newer looplab?")
        return cls(**values)
