"""ALBERT: one layer passed twelve times, and the first looped transformer that was widely released.

Norms stand on the sum (post-LN) and take the mean away, every matrix has a bias, tokens look both
ways, positions are learned, and the embedding is narrower than the state: a matrix leads from one
to the other, and another one back in front of the head, which is the embedding again. Nothing is
injected. It fills in masked tokens: logits at a token are of that very token.

Only the head of a masked language model is read; the pooler and the classifier of sentence order
that older files also hold lead to other answers and are passed over.

Sources: arXiv 1909.11942 and AlbertForMaskedLM of transformers 5.23.
"""

from looplab.model import LoopedConfig
from looplab.zoo.family import Family, Form
from looplab.zoo.files import ConfigFile, Stored
from looplab.zoo.keys import Keys, own_code
from looplab.zoo.translation import Part, Translation, activation, describe_activation, ends

_EMBEDDINGS = "albert.embeddings."
_ENDS = (f"{_EMBEDDINGS}word_embeddings.weight", "predictions.decoder.weight")
_BIAS = ("predictions.bias", "predictions.decoder.bias")  # the same one, by two names
_UNUSED = (
    f"{_EMBEDDINGS}position_ids",
    "albert.pooler.weight",
    "albert.pooler.bias",
    "sop_classifier.classifier.weight",
    "sop_classifier.classifier.bias",
)


def translate(config: ConfigFile, stored: dict[str, Stored]) -> Translation:
    """Config and tensors of a folder that transformers reads as AlbertForMaskedLM."""
    own_code(config)
    ours = _config(config)
    inside, width = ours.table_width, ours.width
    bias = _BIAS[0] if _BIAS[0] in stored else _BIAS[1]
    tensors = {
        **ends(ours, _ENDS, stored),
        "head.bias": (Part(bias, (ours.vocab,)),),
        "entrance.place.weight": (
            Part(f"{_EMBEDDINGS}position_embeddings.weight", (ours.places, inside)),
        ),
        "entrance.kind.weight": (
            Part(f"{_EMBEDDINGS}token_type_embeddings.weight", (ours.types, inside)),
        ),
        **_pair("entrance.norm", f"{_EMBEDDINGS}LayerNorm", inside),
        **_pair("embed_map", "albert.encoder.embedding_hidden_mapping_in", width, inside),
        **_pair("norm.map", "predictions.dense", inside, width),
        **_pair("norm.norm", "predictions.LayerNorm", inside),
    }
    for layer in range(ours.core):
        there = f"albert.encoder.albert_layer_groups.0.albert_layers.{layer}."
        tensors |= _layer(ours, f"cores.0.layers.{layer}.", there)
    return Translation(ours, tensors, _ENDS, _UNUSED, twins=(_BIAS,))


def _config(config: ConfigFile) -> LoopedConfig:
    return LoopedConfig(
        vocab=config["vocab_size"],
        width=config["hidden_size"],
        core=config["inner_group_num"],
        loops=config["num_hidden_layers"],  # of all layers of the group, however many it has
        heads=config["num_attention_heads"],
        mlp_width=config["intermediate_size"],
        activation=activation(config),
        norm="post",
        norm_kind="layer",
        norm_eps=config["layer_norm_eps"],
        attention="full",
        position="learned",
        places=config["max_position_embeddings"],
        bias=True,
        embed_width=config["embedding_size"],
        embed_norm=True,
        types=config["type_vocab_size"],
        masked_lm=True,
        tie_head=True,
    )


def _layer(config: LoopedConfig, ours: str, theirs: str) -> dict[str, tuple[Part, ...]]:
    width, hidden = config.width, config.hidden
    attn = f"{theirs}attention."
    names = ("query", "key", "value")
    return {
        f"{ours}attn.qkv.weight": tuple(Part(f"{attn}{x}.weight", (width, width)) for x in names),
        f"{ours}attn.qkv.bias": tuple(Part(f"{attn}{x}.bias", (width,)) for x in names),
        **_pair(f"{ours}attn.out", f"{attn}dense", width, width),
        **_pair(f"{ours}n2", f"{attn}LayerNorm", width),
        **_pair(f"{ours}mlp.up", f"{theirs}ffn", hidden, width),
        **_pair(f"{ours}mlp.down", f"{theirs}ffn_output", width, hidden),
        **_pair(f"{ours}n4", f"{theirs}full_layer_layer_norm", width),
    }


def _pair(ours: str, theirs: str, *shape: int) -> dict[str, tuple[Part, ...]]:
    """A weight of this shape and the bias of its rows."""
    return {
        f"{ours}.weight": (Part(f"{theirs}.weight", shape),),
        f"{ours}.bias": (Part(f"{theirs}.bias", shape[:1]),),
    }


def _describe(config: LoopedConfig) -> dict:
    return {
        "architectures": ["AlbertForMaskedLM"],
        "attention_probs_dropout_prob": 0,
        "classifier_dropout_prob": 0.1,
        "embedding_size": config.table_width,
        "hidden_act": describe_activation(config),
        "hidden_dropout_prob": 0,
        "hidden_size": config.width,
        "initializer_range": 0.02,
        "inner_group_num": config.core,
        "intermediate_size": config.hidden,
        "layer_norm_eps": config.norm_eps,
        "max_position_embeddings": config.places,
        "model_type": "albert",
        "num_attention_heads": config.heads,
        "num_hidden_groups": 1,
        "num_hidden_layers": config.loops,
        "torch_dtype": "float32",
        "type_vocab_size": config.types,
        "vocab_size": config.vocab,
    }


_NO_CODE = "of the first training code; the model's own does nothing with it"
_KEYS = Keys(
    used=(
        "vocab_size",
        "embedding_size",
        "hidden_size",
        "num_hidden_layers",
        "inner_group_num",
        "num_attention_heads",
        "intermediate_size",
        "hidden_act",
        "max_position_embeddings",
        "type_vocab_size",
        "layer_norm_eps",
        "auto_map",
    ),
    harmless={
        "hidden_dropout_prob": "training only",
        "attention_probs_dropout_prob": "training only",
        "classifier_dropout_prob": "training only",
        "down_scale_factor": _NO_CODE,
        "gap_size": _NO_CODE,
        "net_structure_type": _NO_CODE,
        "num_memory_blocks": _NO_CODE,
    },
    fixed={
        "num_hidden_groups": (1,),  # with more, the passes are not of one group
        "tie_word_embeddings": (True,),
        "position_embedding_type": ("absolute",),
        "is_decoder": (False,),
    },
    classes=("AlbertForMaskedLM", "AlbertForPreTraining"),
)
FAMILY = Family(
    ("albert",), _KEYS, translate, pickles=("pytorch_model.bin",), forms={"albert": Form(_describe)}
)
