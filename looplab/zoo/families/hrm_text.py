"""HRM-Text: a loop of two levels, a low stack of layers that runs three times for each high one.

Norms have no weights and stand in front of the branches and at the end of a stack; every channel of
a head's answer is gated by the layer's input; the embedding is scaled and does not come back after
loop 0. With token types, the tokens of type 1 (a question) see each other both ways, and what
follows is causal. One loop here is one cycle of the high level; its state is both levels, see
`looplab.model.two_level`.

The files have other names than the modules of transformers: `gqkv_proj` holds gate, queries, keys
and values, one below the other. `num_hidden_layers` counts every run of a layer.

Source: HrmTextForCausalLM of transformers 5.23.
"""

from looplab.model import LoopedConfig
from looplab.zoo.family import Family, Form
from looplab.zoo.files import ConfigFile, Stored
from looplab.zoo.keys import Keys, own_code
from looplab.zoo.translation import (
    LENGTH,
    Part,
    Translation,
    activation,
    describe_activation,
    describe_rope,
    ends,
    rope,
)

_ENDS = ("model.embed_tokens.weight", "lm_head.weight")
_STACKS = {"low": "L_module", "high": "H_module"}


def translate(config: ConfigFile, stored: dict[str, Stored]) -> Translation:
    """Config and tensors of a folder that transformers reads as HrmTextForCausalLM."""
    own_code(config)
    ours = _config(config)
    tensors = {
        **ends(ours, _ENDS, stored),
        "cores.0.low_start": (Part("model.z_L_init", (ours.width,)),),
    }
    for here, there in _STACKS.items():
        for layer in range(ours.stack):
            tensors |= _layer(ours, f"cores.0.{here}.{layer}.", f"model.{there}.layers.{layer}.")
    return Translation(ours, tensors, _ENDS)


def _config(config: ConfigFile) -> LoopedConfig:
    theta, scaling = rope(config)
    if not config["L_cycles"] > 0:
        raise ValueError(f"{config.path} says L_cycles={config['L_cycles']!r}: expected 1 or more")
    stack = config.get("num_layers_per_stack") or config["num_hidden_layers"]  # older: the real one
    scale = config["embedding_scale"]
    return LoopedConfig(
        vocab=config["vocab_size"],
        width=config["hidden_size"],
        core=stack * (config["L_cycles"] + 1),
        loops=config["H_cycles"],
        heads=config["num_attention_heads"],
        head_dim=config["head_dim"],
        mlp="gated",
        activation=activation(config),
        mlp_width=config["intermediate_size"],
        norm_kind="bare",
        norm_eps=config["rms_norm_eps"],
        rope_theta=theta,
        rope_scaling=scaling,
        embed_scale=1 / config["initializer_range"] if scale is None else scale,
        tie_head=config.switch("tie_word_embeddings"),
        low_cycles=config["L_cycles"],
        attn_gate=True,
        prefix_lm=config.switch("prefix_lm"),
    )


def _layer(config: LoopedConfig, ours: str, theirs: str) -> dict[str, tuple[Part, ...]]:
    width, hidden, inside = config.width, config.hidden, config.heads * config.head_width
    fused, shape = f"{theirs}attn.gqkv_proj.weight", (4 * inside, width)
    return {
        f"{ours}attn.gate.weight": (Part(fused, shape, rows=(0, inside)),),
        f"{ours}attn.qkv.weight": (Part(fused, shape, rows=(inside, 4 * inside)),),
        f"{ours}attn.out.weight": (Part(f"{theirs}attn.o_proj.weight", (width, inside)),),
        f"{ours}mlp.up.weight": (Part(f"{theirs}mlp.gate_up_proj.weight", (2 * hidden, width)),),
        f"{ours}mlp.down.weight": (Part(f"{theirs}mlp.down_proj.weight", (width, hidden)),),
    }


def _describe(config: LoopedConfig) -> dict:
    return {
        "H_cycles": config.loops,
        "L_bp_cycles": [2],
        "L_cycles": config.low_cycles,
        "architectures": ["HrmTextForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "embedding_scale": config.embed_scale,
        "head_dim": config.head_width,
        "hidden_act": describe_activation(config),
        "hidden_size": config.width,
        "initializer_range": 0.02,
        "intermediate_size": config.hidden,
        "max_position_embeddings": LENGTH,
        "mlp_bias": False,
        "model_type": "hrm_text",
        "num_attention_heads": config.heads,
        "num_hidden_layers": config.core * config.loops,
        "num_layers_per_stack": config.stack,
        "prefix_lm": config.prefix_lm,
        "rms_norm_eps": config.norm_eps,
        "rope_parameters": _describe_rope(config),
        "tie_word_embeddings": config.tie_head,
        "torch_dtype": "float32",
        "use_cache": True,
        "vocab_size": config.vocab,
    }


def _describe_rope(config: LoopedConfig) -> dict:
    """What `rope` reads, in the newer key."""
    said = describe_rope(config)
    return {"rope_type": "default", "rope_theta": said["rope_theta"]} | (said["rope_scaling"] or {})


_KEYS = Keys(
    used=(
        "vocab_size",
        "hidden_size",
        "num_hidden_layers",
        "num_layers_per_stack",
        "H_cycles",
        "L_cycles",
        "num_attention_heads",
        "head_dim",
        "intermediate_size",
        "hidden_act",
        "rms_norm_eps",
        "rope_theta",
        "rope_scaling",
        "rope_parameters",
        "embedding_scale",
        "initializer_range",
        "tie_word_embeddings",
        "prefix_lm",
        "auto_map",
    ),
    harmless={
        "L_bp_cycles": "training only: how far gradients go back",
        "max_position_embeddings": "a length to plan for; rotary tables grow",
    },
    fixed={
        "attention_bias": (False,),
        "mlp_bias": (False,),
        "partial_rotary_factor": (1,),
    },
    classes=("HrmTextForCausalLM", "HrmTextModel"),
)
FAMILY = Family(("hrm_text",), _KEYS, translate, forms={"hrm_text": Form(_describe)})
