"""Ouro: the whole stack is the loop, the last norm is inside it, and a gate may end it early.

Source: arXiv 2510.25741 and its modelling code.
"""

from looplab.model import LoopedConfig
from looplab.zoo.files import ConfigFile, Stored
from looplab.zoo.translation import Part, Translation, ends, rope, split_layer

_NORMS = {
    "n1": "input_layernorm",
    "n2": "input_layernorm_2",
    "n3": "post_attention_layernorm",
    "n4": "post_attention_layernorm_2",
}


def translate(config: ConfigFile, stored: dict[str, Stored]) -> Translation:
    """Config and tensors of an Ouro folder."""
    config.must_be("hidden_act", "silu")
    config.must_be("use_sliding_window", False)
    theta, scaling = rope(config)
    ours = LoopedConfig(
        vocab=config["vocab_size"],
        width=config["hidden_size"],
        core=config["num_hidden_layers"],
        loops=config["total_ut_steps"],
        heads=config["num_attention_heads"],
        kv_heads=config["num_key_value_heads"],
        head_dim=config["head_dim"],
        mlp="gated",
        activation="silu",
        mlp_width=config["intermediate_size"],
        norm="branch_sandwich",
        norm_eps=config["rms_norm_eps"],
        rope_theta=theta,
        rope_scaling=scaling,
        exit_gate=True,
        tie_head=config.get("tie_word_embeddings", False),
    )
    width = (ours.width,)
    tensors = {
        **ends(ours, "model.embed_tokens.weight", "lm_head.weight", stored),
        "gate.weight": (Part("model.early_exit_gate.weight", (1, ours.width)),),
        "gate.bias": (Part("model.early_exit_gate.bias", (1,)),),
        "cores.0.loop_norm.weight": (Part("model.norm.weight", width),),
    }
    for layer in range(ours.core):
        here, there = f"cores.0.layers.{layer}.", f"model.layers.{layer}."
        tensors |= split_layer(ours, here, there)
        for norm, official in _NORMS.items():
            tensors[f"{here}{norm}.weight"] = (Part(f"{there}{official}.weight", width),)
    return Translation(ours, tensors, ("lm_head.weight",) if ours.tie_head else ())
