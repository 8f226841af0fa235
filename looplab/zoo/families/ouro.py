"""Ouro: the whole stack is the loop, the last norm is inside it, and a gate may end it early.

Source: arXiv 2510.25741 and its modelling code.
"""

from looplab.model import LoopedConfig
from looplab.zoo.family import Family, Form
from looplab.zoo.files import ConfigFile, Stored
from looplab.zoo.keys import Keys
from looplab.zoo.translation import (
    DECODER_FIXED,
    DECODER_HARMLESS,
    DECODER_KEYS,
    Part,
    Translation,
    decoder_layer,
    decoder_settings,
    describe_decoder,
    ends,
)

_ENDS = ("model.embed_tokens.weight", "lm_head.weight")
_NORMS = {
    "n1": "input_layernorm",
    "n2": "input_layernorm_2",
    "n3": "post_attention_layernorm",
    "n4": "post_attention_layernorm_2",
}


def translate(config: ConfigFile, stored: dict[str, Stored]) -> Translation:
    """Config and tensors of an Ouro folder."""
    ours = LoopedConfig(
        **decoder_settings(config),
        loops=config["total_ut_steps"],
        head_dim=config["head_dim"],
        norm="branch_sandwich",
        exit_gate=True,
        tie_head=config.switch("tie_word_embeddings", absent=False),
    )
    tensors = {
        **ends(ours, _ENDS, stored),
        "gate.weight": (Part("model.early_exit_gate.weight", (1, ours.width)),),
        "gate.bias": (Part("model.early_exit_gate.bias", (1,)),),
        "cores.0.loop_norm.weight": (Part("model.norm.weight", (ours.width,)),),
    }
    for layer in range(ours.core):
        here, there = f"cores.0.layers.{layer}.", f"model.layers.{layer}."
        tensors |= decoder_layer(ours, here, there, _NORMS)
    return Translation(ours, tensors, _ENDS)


def _describe(config: LoopedConfig) -> dict:
    return {
        "architectures": ["OuroForCausalLM"],
        "attention_dropout": 0.0,
        "early_exit_threshold": 1.0,
        "layer_types": ["full_attention"] * config.core,
        "model_type": "ouro",
        "sliding_window": None,
        "total_ut_steps": config.loops,
        "use_sliding_window": False,
        **describe_decoder(config),
    }


_KEYS = Keys(
    used=(*DECODER_KEYS, "total_ut_steps"),
    harmless={
        **DECODER_HARMLESS,
        "auto_map": "its code is never run",
        "sliding_window": "use_sliding_window is false",
        "max_window_layers": "use_sliding_window is false",
    },
    # A gate or a step that ends the loop early: here every loop is run, see ExitRule.
    fixed={**DECODER_FIXED, "early_exit_threshold": (1,), "early_exit_step": (None,)},
    classes=("OuroForCausalLM", "OuroModel"),
)
FAMILY = Family(("ouro",), _KEYS, translate, forms={"ouro": Form(_describe)})
