"""How a family's reader says which official tensors become which of ours."""

from dataclasses import dataclass
from math import prod

from looplab.model import LoopedConfig
from looplab.zoo.files import ConfigFile

LENGTH = 4096  # tokens that an exported config claims to go up to


@dataclass(frozen=True)
class Part:
    """One official tensor, or one entry or some rows of its first axis, as it is in the folder."""

    name: str
    shape: tuple[int, ...]  # of the whole tensor
    index: int | None = None  # an entry, which becomes a vector
    rows: tuple[int, int] | None = None  # first and last, as in a slice
    plus: float = 0.0  # added to what is stored: 1 where a norm's weights are kept around zero

    @property
    def slice(self) -> tuple[int, int] | None:
        """Rows of the official tensor that are meant; None for all."""
        return self.rows if self.index is None else (self.index, self.index + 1)

    @property
    def ours(self) -> tuple[int, ...]:
        """Shape of the piece in our tensor."""
        if self.index is not None:
            return (prod(self.shape[1:]),)
        first, last = self.rows or (0, self.shape[0])
        return (last - first, *self.shape[1:])


@dataclass(frozen=True)
class Translation:
    """A folder in our words: the config, and for each of our tensors the parts, row on row."""

    config: LoopedConfig
    tensors: dict[str, tuple[Part, ...]]
    ends: tuple[str, str]  # official names of embedding and head, which may be one matrix
    unused: tuple[str, ...] = ()  # official names that may be there and do nothing
    twins: tuple[tuple[str, str], ...] = ()  # pairs of official names of one tensor
    table: str | None = None  # official name of a rotary table, which has to be the config's
    passes_over: bool = False  # other names get a warning instead of an error, as upstream does

    @property
    def parts(self) -> list[Part]:
        """Every official tensor, or entry of one, that the model is made of."""
        return [part for parts in self.tensors.values() for part in parts]


_ROPE_KEYS = ("rope_theta", "rope_type", "type", "partial_rotary_factor")
_LLAMA3_KEYS = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")


def rope(config: ConfigFile) -> tuple[float, tuple[float, float, float, float] | None]:
    """Rotary base and Llama-3 scaling, as any version of transformers spells them.

    They stand in `rope_parameters`, or in `rope_theta` and `rope_scaling`; ValueError naming the
    key for two that disagree, for another kind of scaling, and for what looplab does not have.
    """
    config.must_be("partial_rotary_factor", 1)
    groups = [config.get(key) or {} for key in ("rope_parameters", "rope_scaling")]
    for key, group in zip(("rope_parameters", "rope_scaling"), groups, strict=True):
        if not isinstance(group, dict):
            raise ValueError(
                f"{config.path} says {key}={group!r}: looplab has this family only with an object"
            )
    if all(groups) and groups[0] != groups[1]:
        raise ValueError(
            f"{config.path} has rope_parameters and another rope_scaling, and versions of "
            "transformers differ in which they read: leave one of them"
        )
    said = ConfigFile(config.path, dict(groups[0] or groups[1]))
    said.must_be("rope_type", "default", "llama3")
    said.must_be("type", "default", "llama3")  # what rope_type was called in older files
    said.must_be("partial_rotary_factor", 1)
    kinds = {said.get(key) for key in ("rope_type", "type")} - {None}
    if len(kinds) > 1:
        raise ValueError(f"{config.path} has a rope_type and another type: leave one of them")
    llama3 = kinds == {"llama3"}
    for key, value in said.values.items():
        if value is not None and key not in _ROPE_KEYS + (_LLAMA3_KEYS if llama3 else ()):
            raise ValueError(
                f"{config.path} says {key}={value!r} of its rotary positions, which looplab does "
                f"not know for rope_type {'llama3' if llama3 else 'default'!r}: take it out of a "
                "copy of the file where the model's own code does not read it"
            )
    bases = [group["rope_theta"] for group in (said.values, config.values) if "rope_theta" in group]
    bases = [base for base in bases if base is not None] or [said["rope_theta"]]
    if len(set(bases)) > 1:
        raise ValueError(
            f"{config.path} has rope_theta={bases[0]!r} and rope_theta={bases[1]!r}: leave one"
        )
    scaling = tuple(float(said[key]) for key in _LLAMA3_KEYS) if llama3 else None
    return float(bases[0]), scaling


# What `decoder_settings` reads, and what it refuses
DECODER_KEYS = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "intermediate_size",
    "rms_norm_eps",
    "rope_theta",
    "rope_scaling",
    "rope_parameters",
    "partial_rotary_factor",
    "layer_types",
    "tie_word_embeddings",
)
DECODER_FIXED = {
    "hidden_act": ("silu",),
    "attention_bias": (False,),
    "mlp_bias": (False,),
    "use_sliding_window": (False,),
}
DECODER_HARMLESS = {"max_position_embeddings": "a length to plan for; rotary tables grow"}


def decoder_settings(config: ConfigFile) -> dict:
    """Settings that Llama, OLMo-2 and Ouro call by the same names."""
    theta, scaling = rope(config)
    kinds = config.get("layer_types") or []
    for kind in [kinds] if isinstance(kinds, str) else kinds:
        if kind != "full_attention":
            raise ValueError(
                f"{config.path} says layer_types with {kind!r}: looplab has this family only with "
                "'full_attention' in every layer"
            )
    return {
        "vocab": config["vocab_size"],
        "width": config["hidden_size"],
        "core": config["num_hidden_layers"],
        "heads": config["num_attention_heads"],
        "kv_heads": config["num_key_value_heads"],
        "mlp": "gated",
        "activation": "silu",
        "mlp_width": config["intermediate_size"],
        "norm_eps": config["rms_norm_eps"],
        "rope_theta": theta,
        "rope_scaling": scaling,
    }


# transformers' names of activations -> ours; several of them are one formula
_ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}


def activation(config: ConfigFile) -> str:
    """Our name of what `hidden_act` says; ValueError for one that looplab does not have."""
    return config.one_of("hidden_act", _ACTIVATIONS)


def describe_activation(config: LoopedConfig) -> str:
    """What `activation` reads; our own name where transformers has none."""
    names = {ours: theirs for theirs, ours in reversed(_ACTIVATIONS.items())}
    return names.get(config.activation, config.activation)


def describe_rope(config: LoopedConfig) -> dict:
    """What `rope` reads, in the older pair of keys."""
    said = {"rope_theta": config.rope_theta, "rope_scaling": None}
    if config.rope_scaling is not None:
        factor, low, high, original = config.rope_scaling
        said["rope_scaling"] = {
            "factor": float(factor),
            "low_freq_factor": float(low),
            "high_freq_factor": float(high),
            "original_max_position_embeddings": int(original),
            "rope_type": "llama3",
        }
    return said


def describe_decoder(config: LoopedConfig) -> dict:
    """What `decoder_settings` reads, and what such a config.json has besides."""
    return {
        "head_dim": config.head_width,
        "hidden_act": "silu",
        "hidden_size": config.width,
        "intermediate_size": config.hidden,
        "initializer_range": 0.02,
        "max_position_embeddings": LENGTH,
        "num_attention_heads": config.heads,
        "num_hidden_layers": config.core,
        "num_key_value_heads": config.key_heads,
        "rms_norm_eps": config.norm_eps,
        **describe_rope(config),
        "tie_word_embeddings": config.tie_head,
        "torch_dtype": "float32",
        "use_cache": True,
        "vocab_size": config.vocab,
    }


def decoder_layer(
    config: LoopedConfig, ours: str, theirs: str, norms: dict[str, str]
) -> dict[str, tuple[Part, ...]]:
    """A layer that stores q, k, v, gate and up apart (Llama, OLMo-2, Ouro).

    `norms` says what ours (n1 .. n4, see looplab.model.layers.Layer) are called there.
    """
    width, hidden = config.width, config.hidden
    queries, keys = config.heads * config.head_width, config.key_heads * config.head_width
    attn, mlp = f"{theirs}self_attn.", f"{theirs}mlp."
    return {
        f"{ours}attn.qkv.weight": (
            Part(f"{attn}q_proj.weight", (queries, width)),
            Part(f"{attn}k_proj.weight", (keys, width)),
            Part(f"{attn}v_proj.weight", (keys, width)),
        ),
        f"{ours}attn.out.weight": (Part(f"{attn}o_proj.weight", (width, queries)),),
        f"{ours}mlp.up.weight": (
            Part(f"{mlp}gate_proj.weight", (hidden, width)),
            Part(f"{mlp}up_proj.weight", (hidden, width)),
        ),
        f"{ours}mlp.down.weight": (Part(f"{mlp}down_proj.weight", (width, hidden)),),
        **{
            f"{ours}{norm}.weight": (Part(f"{theirs}{official}.weight", (width,)),)
            for norm, official in norms.items()
        },
    }


def stacked_layers(config: LoopedConfig) -> list[tuple[str, str]]:
    """Our prefix and theirs of every layer in order, where three stacks are named so (Huginn)."""
    stacks = (
        ("prelude", "prelude", config.prelude),
        ("cores.0.layers", "core_block", config.core),
        ("coda", "coda", config.coda),
    )
    return [
        (f"{ours}.{layer}.", f"transformer.{theirs}.{layer}.")
        for ours, theirs, layers in stacks
        for layer in range(layers)
    ]


def ends(config: LoopedConfig, names: tuple[str, str], stored) -> dict[str, tuple[Part, ...]]:
    """Embedding and head, of these official names; a tied pair may be stored as either or as two.

    Two copies have to be the same: that is seen to where the folder is checked.
    """
    shape, (embedding, head) = (config.vocab, config.table_width), names
    if config.tie_head:
        return {"embed.0.weight": (Part(embedding if embedding in stored else head, shape),)}
    return {
        "embed.0.weight": (Part(embedding, shape),),
        "head.weight": (Part(head, (config.vocab, config.width)),),
    }
