"""How a family's reader says which official tensors become which of ours."""

from dataclasses import dataclass

from looplab.model import LoopedConfig
from looplab.zoo.files import ConfigFile

LENGTH = 4096  # tokens that an exported config claims to go up to


@dataclass(frozen=True)
class Part:
    """One official tensor, or one entry of its first axis, as it must be in the folder."""

    name: str
    shape: tuple[int, ...]
    index: int | None = None


@dataclass(frozen=True)
class Translation:
    """A folder in our words: the config, and for each of our tensors the parts, row on row."""

    config: LoopedConfig
    tensors: dict[str, tuple[Part, ...]]
    unused: tuple[str, ...] = ()  # patterns of official names that may be there and do nothing
    passes_over: bool = False  # other names get a warning instead of an error, as upstream does


def rope(config: ConfigFile) -> tuple[float, tuple[float, float, float, float] | None]:
    """Rotary base and Llama-3 scaling, from `rope_parameters` or the older pair of keys."""
    said = config.get("rope_parameters")
    if said is None:
        said = {"rope_theta": config["rope_theta"], **(config.get("rope_scaling") or {})}
    said = ConfigFile(config.path, said)
    said.must_be("rope_type", "default", "llama3")
    said.must_be("type", "default", "llama3")  # what rope_type was called in older files
    if said.get("rope_type", said.get("type", "default")) == "default":
        return float(said["rope_theta"]), None
    keys = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
    return float(said["rope_theta"]), tuple(float(said[key]) for key in keys)


def decoder_settings(config: ConfigFile) -> dict:
    """Settings that Llama, OLMo-2 and Ouro call by the same names."""
    config.must_be("hidden_act", "silu")
    theta, scaling = rope(config)
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


def ends(config: LoopedConfig, embedding: str, head: str, names) -> dict[str, tuple[Part, ...]]:
    """Embedding and head; a tied pair may be stored as either, or as two copies."""
    shape = (config.vocab, config.width)
    if config.tie_head:
        # Official code ties after loading, so that the embedding wins where both are stored.
        return {"embed.0.weight": (Part(embedding if embedding in names else head, shape),)}
    return {"embed.0.weight": (Part(embedding, shape),), "head.weight": (Part(head, shape),)}
