"""Small looped models of Qwen3's layers, such as looped-fineweb-10m, from a description alone.

    s = 0;  loops times: s = layers(s + e), e the embedding;  logits = head(norm(s))

What is known is a sentence: two layers of Qwen3 (norms in front of the branches, and on every
head's queries and keys), looped 16 times, the embedding added in front of each, a vocabulary of
8,192, weights in pytorch_model.bin. Neither a file nor its code was seen, and the description does
not say what the state begins as: zeros here. So loading warns, a setting that is not in the table
is refused, and `looplab verify` asks whether a text is likelier than by chance.
"""

import warnings

from looplab.model import LoopedConfig
from looplab.zoo.family import Family
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
    ends,
)

_ENDS = ("model.embed_tokens.weight", "lm_head.weight")
_NORMS = {"n1": "input_layernorm", "n3": "post_attention_layernorm"}
_LOOPS = ("num_loops", "n_loops", "loops", "num_recurrences")  # whichever the file has
_SIZES = ("hidden_size", "num_hidden_layers", "num_attention_heads")


def is_looped_qwen3(config: ConfigFile) -> bool:
    """Whether a config has Qwen3's sizes and a number of loops, and says no family of its own."""
    kind = config.get("model_type") or "loop"
    named = kind == "qwen3" or "loop" in kind
    sized = all(size in config.values for size in _SIZES)
    return named and sized and any(name in config.values for name in _LOOPS)


def translate(config: ConfigFile, stored: dict[str, Stored]) -> Translation:
    """Config and tensors of a folder with Qwen3's names and a number of loops."""
    said = [name for name in _LOOPS if config.get(name) is not None]
    if len(said) != 1:
        raise ValueError(
            f"{config.path} has {', '.join(said) or 'no number of loops'}: expected one of "
            f"{', '.join(_LOOPS)}"
        )
    tied = _ENDS[1] not in stored
    if config.get("tie_word_embeddings") is not None:
        tied = config.switch("tie_word_embeddings")
    ours = LoopedConfig(
        **decoder_settings(config),
        loops=config[said[0]],
        head_dim=config.get("head_dim"),
        norm="pre",
        qk_norm="head",
        injection="add",
        start="zeros",
        tie_head=tied,
    )
    tensors = {
        **ends(ours, _ENDS, stored),
        "norm.weight": (Part("model.norm.weight", (ours.width,)),),
    }
    for layer in range(ours.core):
        here, there = f"cores.0.layers.{layer}.", f"model.layers.{layer}."
        tensors |= decoder_layer(ours, here, there, _NORMS)
        for letter in "qk":
            norm = Part(f"{there}self_attn.{letter}_norm.weight", (ours.head_width,))
            tensors[f"{here}attn.{letter}_norm.weight"] = (norm,)
    warnings.warn(
        f"{config.path.parent} is read from a description of its family: neither its files nor its "
        "code were seen, so compare its answers with its own code's before you build on them",
        stacklevel=5,
    )
    return Translation(ours, tensors, _ENDS)


_KEYS = Keys(
    used=(*DECODER_KEYS, *_LOOPS),
    harmless={**DECODER_HARMLESS, "auto_map": "its code is never run"},
    fixed={**DECODER_FIXED, "sliding_window": (None,)},
)
FAMILY = Family(
    ("looped_qwen3",), _KEYS, translate, is_looped_qwen3, pickles=("pytorch_model.bin",)
)
