"""The baselines that were never looped, as models with one loop: Llama (TinyLlama too) and OLMo-2.

All layers are the core, so that a trace has them on its layer axis; `loopify` moves some of them
in front of and behind a loop.
"""

from looplab.model import LoopedConfig
from looplab.zoo.family import Family, Form
from looplab.zoo.files import ConfigFile, Stored
from looplab.zoo.keys import Keys, own_code
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
    rope,
)

# Which of our norms (n1 .. n4, see looplab.model.layers.Layer) theirs are.
_LLAMA = {"n1": "input_layernorm", "n3": "post_attention_layernorm"}
_OLMO2 = {"n2": "post_attention_layernorm", "n4": "post_feedforward_layernorm"}

_ENDS = ("model.embed_tokens.weight", "lm_head.weight")


def translate(config: ConfigFile, stored: dict[str, Stored]) -> Translation:
    """Config and tensors of a folder that transformers itself reads as Llama or OLMo-2."""
    own_code(config)
    rope(config)  # as it is said, before transformers fills it in
    config = _completed(config)
    olmo2 = config["model_type"] == "olmo2"
    ours = LoopedConfig(
        **decoder_settings(config),
        loops=1,
        head_dim=config.get("head_dim"),
        norm="branch_post" if olmo2 else "pre",
        qk_norm="all" if olmo2 else "none",
        tie_head=config.switch("tie_word_embeddings"),
    )
    tensors = {
        **ends(ours, _ENDS, stored),
        "norm.weight": (Part("model.norm.weight", (ours.width,)),),
    }
    for layer in range(ours.core):
        here, there = f"cores.0.layers.{layer}.", f"model.layers.{layer}."
        tensors |= decoder_layer(ours, here, there, _OLMO2 if olmo2 else _LLAMA)
        if olmo2:
            for letter, heads in (("q", ours.heads), ("k", ours.key_heads)):
                norm = f"self_attn.{letter}_norm.weight"
                size = (heads * ours.head_width,)
                tensors[f"{here}attn.{letter}_norm.weight"] = (Part(f"{there}{norm}", size),)
    return Translation(ours, tensors, _ENDS)


def _completed(config: ConfigFile) -> ConfigFile:
    """The file's values with transformers' own defaults for those it leaves out."""
    try:
        from transformers import LlamaConfig, Olmo2Config
    except ImportError:
        raise ImportError(
            f"{config.path}: a {config['model_type']} config is read by its own library, "
            "pip install transformers"
        ) from None
    official = {"llama": LlamaConfig, "olmo2": Olmo2Config}[config["model_type"]]
    try:
        whole = official.from_dict(config.values).to_dict()
    except Exception as error:  # transformers raises whatever its checks do
        told = " ".join(str(error).split())
        raise ValueError(f"{config.path} is no config for transformers: {told}") from error
    return ConfigFile(config.path, whole)


def _describe(config: LoopedConfig) -> dict:
    return {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "mlp_bias": False,
        "model_type": "llama",
        **describe_decoder(config),
    }


_KEYS = Keys(
    used=(*DECODER_KEYS, "auto_map"),
    harmless=DECODER_HARMLESS | {"pretraining_tp": "splits a product, the same sum"},
    fixed=DECODER_FIXED | {"sliding_window": (None,)},
    classes=("LlamaForCausalLM", "LlamaModel", "Olmo2ForCausalLM", "Olmo2Model"),
)
FAMILY = Family(("llama", "olmo2"), _KEYS, translate, forms={"llama": Form(_describe)})
