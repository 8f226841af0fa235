"""A model in one GGUF file of Llama's form, as if it were the official folder of the model.

GGUF is the format of llama.cpp: settings, tokenizer and weights in one file, the weights mostly in
blocks of a few bits. They are brought back to numbers row by row by the `gguf` package; what the
rounding took away before the file was written stays away.

Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from functools import partial
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from looplab.basics.tensor_files import reading
from looplab.zoo.files import ConfigFile, Stored
from looplab.zoo.gguf_header import Placed, read_header

# What llama.cpp calls a layer's tensors, and what Llama's own folder calls them.
LAYER = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
ENDS = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
SETTINGS = {
    "vocab_size": "vocab_size",
    "hidden_size": "embedding_length",
    "intermediate_size": "feed_forward_length",
    "num_hidden_layers": "block_count",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "max_position_embeddings": "context_length",
    "rope_theta": "rope.freq_base",
    "rms_norm_eps": "attention.layer_norm_rms_epsilon",
}
# Further settings of a Llama-form file that say nothing new, or must say this.
IMPLIED = {"rope.dimension_count", "attention.key_length", "attention.value_length"}
# Llama 3 turns slow pairs slower still, which llama.cpp keeps as a table of factors.
FACTORS = "rope_freqs.weight"
_AGAIN = "get this file again"


def open_gguf(path: Path) -> tuple[ConfigFile, dict[str, Stored]]:
    """Settings and tensors of a GGUF file, under the names of Llama's official folder.

    Nothing but the header is read until a tensor is asked for. Raises ValueError naming file and
    key or tensor for a file that is damaged or of another form than Llama's, ImportError with the
    remedy where the package gguf is missing.
    """
    if find_spec("gguf") is None:
        raise ImportError(f"{path} is a GGUF file: pip install gguf")
    with reading(path, "is damaged, cut short or no GGUF file", _AGAIN):
        said, found = read_header(path, lambda name: not name.startswith("tokenizer."))
    settings = _settings(path, said, found)
    _check_kinds(path, found)
    stored = {
        _official(path, name): _stored(path, name, tensor, settings)
        for name, tensor in found.items()
    }
    return ConfigFile(path, settings), stored


def _settings(path: Path, said: dict, found: dict) -> dict:
    """What Llama's config.json would say."""
    form = said.get("general.architecture")
    if form != "llama":
        raise ValueError(
            f"{path} says general.architecture={form!r}: looplab reads GGUF files of the form "
            "'llama' only"
        )
    given = {key.removeprefix("llama."): v for key, v in said.items() if key.startswith("llama.")}
    if "vocab_size" not in given and "token_embd.weight" in found:
        given["vocab_size"] = found["token_embd.weight"].shape[0]
    given.setdefault("attention.head_count_kv", given.get("attention.head_count"))
    given.setdefault("rope.freq_base", 10000.0)  # the format's own default
    settings = {}
    for ours, theirs in SETTINGS.items():
        if given.get(theirs) is None:
            raise ValueError(f"{path} has no llama.{theirs}, which every such file has: {_AGAIN}")
        settings[ours] = given.pop(theirs)
    head = settings["hidden_size"] // settings["num_attention_heads"]
    head = given.get("attention.key_length", head)
    for key, value in given.items():
        if key not in IMPLIED or value != head:
            raise ValueError(
                f"{path} says llama.{key}={value!r}, which looplab does not have: without it the "
                "numbers would not be the model's own"
            )
    epsilon = float(f"{settings['rms_norm_eps']:.6g}")  # stored as float32: 1e-5 is 9.99999974e-6
    return settings | {
        "model_type": "llama",
        "head_dim": head,
        "hidden_act": "silu",
        "rms_norm_eps": epsilon,
        "tie_word_embeddings": "output.weight" not in found,
    }


def _check_kinds(path: Path, found: dict[str, Placed]) -> None:
    """Refuse kinds of blocks that the package gguf cannot bring back, before a tensor is read."""
    import numpy
    from gguf import GGML_QUANT_SIZES, dequantize

    for name, tensor in found.items():
        if tensor.kind.name in ("F32", "F16"):
            continue
        block = numpy.zeros((1, GGML_QUANT_SIZES[tensor.kind][1]), numpy.uint8)
        try:
            dequantize(block, tensor.kind)
        except NotImplementedError:
            raise ValueError(
                f"{path} has {name} as {tensor.kind.name}, which the package gguf does not bring "
                "back to numbers: get the model in another kind, such as Q8_0 or F16"
            ) from None


def _official(path: Path, name: str) -> str:
    if name in ENDS:
        return ENDS[name]
    if name == FACTORS:
        raise ValueError(
            f"{path} has {name}, Llama 3's slowed-down positions, which looplab reads only where "
            "config.json says them: get this model as a folder with safetensors"
        )
    part, _, rest = name.partition(".")
    number, _, what = rest.partition(".")
    ours = LAYER.get(what.removesuffix(".weight"))
    if part != "blk" or not number.isdigit() or not what.endswith(".weight") or ours is None:
        raise ValueError(
            f"{path} has a tensor {name}, which a model of Llama's form does not have: without it "
            "the numbers would not be the model's own"
        )
    return f"model.layers.{number}.{ours}.weight"


def _stored(path: Path, name: str, tensor: Placed, settings: dict) -> Stored:
    """A tensor of the header; its rows are read when they are asked for."""
    heads = {
        "attn_q": settings["num_attention_heads"],
        "attn_k": settings["num_key_value_heads"],
    }.get(name.split(".")[-2])
    rows = partial(_rows, path, tensor, heads)
    return Stored(path, tensor.shape, "F32", rows, name)


def _rows(path: Path, tensor: Placed, heads: int | None, first: int, last: int) -> Tensor:
    """Rows `first` to `last - 1` of a tensor, as float32 [row, ...]."""
    import numpy
    from gguf import dequantize

    if heads is not None:  # rows change places within a head, so that all are needed
        whole = _rows(path, tensor, None, 0, tensor.shape[0])
        return _halves(whole, heads)[first:last]
    each = tensor.size // tensor.shape[0]
    blocks = numpy.fromfile(
        path, numpy.uint8, (last - first) * each, offset=tensor.offset + first * each
    ).reshape(last - first, each)
    if tensor.kind.name in ("F32", "F16"):
        plain = blocks.view({"F32": numpy.float32, "F16": numpy.float16}[tensor.kind.name])
        values = plain.astype(numpy.float32)
    else:
        values = dequantize(blocks, tensor.kind)
    return torch.from_numpy(values).reshape(last - first, *tensor.shape[1:])


def _halves(weight: Tensor, heads: int) -> Tensor:
    """Rows of q or k in Llama's order: llama.cpp puts the two of a rotated pair side by side."""
    pairs = weight.unflatten(0, (heads, weight.shape[0] // heads // 2, 2))
    return pairs.transpose(1, 2).reshape(weight.shape)
