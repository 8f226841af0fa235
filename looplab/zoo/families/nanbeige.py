"""Nanbeige 4.2: a Llama whose whole stack runs twice, with the last norm at the end of every loop.

Ouro's loop without gate and without norms behind the branches. Its configuration class knows many
more things (loops of a middle part, shared keys, hyper-connections, n-gram embeddings), which no
release uses and which are refused here.

Source: the modelling code of Nanbeige/Nanbeige4.2-3B on the hub.
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
_NORMS = {"n1": "input_layernorm", "n3": "post_attention_layernorm"}


def translate(config: ConfigFile, stored: dict[str, Stored]) -> Translation:
    """Config and tensors of a Nanbeige folder."""
    config.must_be("kv_channels", config["head_dim"])
    # Weights of the losses of the loops before the last: where there are some, they are counted,
    # and num_loops is not read.
    weights = config.get("loop_loss_weights") or []
    skips = config.get("skip_loop_final_norm") or False
    listed = isinstance(weights, list) and all(isinstance(one, int | float) for one in weights)
    if not isinstance(skips, bool) or not listed:
        raise ValueError(
            f"{config.path} says skip_loop_final_norm={skips!r}, loop_loss_weights={weights!r}: "
            "expected true or false, and a list of numbers"
        )
    ours = LoopedConfig(
        **decoder_settings(config),
        loops=len(weights) + 1 if weights else config["num_loops"],
        head_dim=config["head_dim"],
        norm="pre" if skips else "pre_loop_end",
        tie_head=config.switch("tie_word_embeddings", absent=False),
    )
    norm = "norm.weight" if skips else "cores.0.loop_norm.weight"
    tensors = {
        **ends(ours, _ENDS, stored),
        norm: (Part("model.norm.weight", (ours.width,)),),
    }
    for layer in range(ours.core):
        here, there = f"cores.0.layers.{layer}.", f"model.layers.{layer}."
        tensors |= decoder_layer(ours, here, there, _NORMS)
    return Translation(ours, tensors, _ENDS)


def _describe(config: LoopedConfig) -> dict:
    return {
        "architectures": ["NanbeigeForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "loop_loss_weights": [],
        "mlp_bias": False,
        "model_type": "nanbeige",
        "num_loops": config.loops,
        "skip_loop_final_norm": not config.placement.loop_end,
        **describe_decoder(config),
    }


_OFF = (False,)
_KEYS = Keys(
    used=(*DECODER_KEYS, "kv_channels", "loop_loss_weights", "num_loops", "skip_loop_final_norm"),
    harmless={
        **DECODER_HARMLESS,
        "auto_map": "its code is never run",
        "pretraining_tp": "splits a product, the same sum",
        "emb_split_num": "there are no n-gram embeddings",
        "ngram_vocab_size_ratio": "there are no n-gram embeddings",
    },
    fixed={
        **DECODER_FIXED,
        "emb_neighbor_num": (None,),
        "enable_depth_attention": _OFF,
        "enable_double_loop_split": _OFF,
        "enable_h_res_identity": _OFF,
        "enable_hyper_connection": _OFF,
        "enable_mhc": _OFF,
        "insert_ngram_layer_idx": ([],),
        "loop_middle_layers": (None, 0, []),
        "loop_share_kv": _OFF,
        "ngram_insert_all_layers": _OFF,
        "qk_layernorm": _OFF,
    },
    classes=("NanbeigeForCausalLM", "NanbeigeModel"),
)
FAMILY = Family(("nanbeige",), _KEYS, translate, forms={"nanbeige": Form(_describe)})
