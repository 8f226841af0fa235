"""Write a LoopedTransformer in a released family's on-disk form: `looplab.zoo.load` backwards.

Only names, layouts and config fields are the families'; whoever exports a model says whose it is.
There is no auto_map: the folder points to no code.
"""

import json
from math import sqrt
from pathlib import Path

import torch
from torch import Tensor

from looplab.basics.tensor_files import write_tensors
from looplab.basics.writing import write_text
from looplab.model import LoopedConfig, LoopedTransformer
from looplab.model.layers import rotary_table
from looplab.zoo.files import SINGLE, ConfigFile, Stored
from looplab.zoo.loading import FAMILIES
from looplab.zoo.raven import SIGNS

FORMS = ("huginn", "ouro", "retrofit", "llama")
_TOKENS = 4096  # the position up to which an exported config claims to go


def export(model: LoopedTransformer, folder: str | Path, form: str) -> Path:
    """Write config.json and model.safetensors into a new folder; returns it.

    `form` is "huginn", "ouro", "retrofit" (Llama's or OLMo-2's, as the model's norms say) or
    "llama". Loading the folder gives the same config and weights.

    Raises ValueError for an unknown form, and naming the setting that a form has no place for;
    FileExistsError when the folder holds a model already.

    Source: the reading direction, looplab.zoo.raven, looplab.zoo.ouro, looplab.zoo.feedforward.

    >>> import tempfile
    >>> from looplab.zoo import load
    >>> model = LoopedTransformer(LoopedConfig(
    ...     vocab=10, width=16, heads=2, core=2, loops=4, mlp="gated", activation="silu",
    ...     norm="branch_sandwich", exit_gate=True))
    >>> with tempfile.TemporaryDirectory() as parent:
    ...     again = load(export(model, f"{parent}/new", "ouro"))
    >>> again.config.notation, torch.equal(again.head.weight, model.head.weight)
    ('(0, 2⊗4, 0)', True)
    """
    if form not in FORMS:
        raise ValueError(f"form={form!r}: expected one of {', '.join(FORMS)}")
    folder = Path(folder)
    write = {"huginn": _huginn, "retrofit": _retrofit, "ouro": _ouro, "llama": _llama}[form]
    said = write(model.config)
    weights = model.state_dict()
    config = ConfigFile(folder / "config.json", said)
    known = FAMILIES[said["model_type"]](config, _signs(model.config, form))
    _check(model.config, known.config, form)
    written: dict[str, Tensor] = {}
    for ours, parts in known.tensors.items():
        rows = [part.shape[0] if part.index is None else weights[ours].numel() for part in parts]
        for part, piece in zip(parts, weights[ours].split(rows), strict=True):
            if part.index is None:
                written[part.name] = piece.reshape(part.shape).clone()
            else:
                whole = written.setdefault(part.name, piece.new_empty(part.shape))
                whole[part.index] = piece.reshape(part.shape[1:])
    if form == "huginn":
        written["freqs_cis"] = _table(model.config, said["block_size"])
        if model.config.tie_head:  # the release stores both copies
            written["lm_head.weight"] = written["transformer.wte.weight"].clone()
    for name in ("config.json", SINGLE):
        if (folder / name).exists():
            raise FileExistsError(f"{folder / name} exists: export into a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "config.json", json.dumps(said, indent=2) + "\n")
    write_tensors(folder / SINGLE, written, {"format": "pt"})
    return folder


def _check(mine: LoopedConfig, read: LoopedConfig, form: str):
    """Refuse a model whose settings would not come back."""
    for name, value in mine.to_dict().items():
        again = read.to_dict()[name]
        effective = {
            "kv_heads": (mine.key_heads, read.key_heads),
            "head_dim": (mine.head_width, read.head_width),
            "mlp_width": (mine.hidden, read.hidden),
        }.get(name, (value, again))
        if name == "start_std" and mine.start != "normal":
            continue
        close = isinstance(value, float) and abs(value - again) <= 1e-12 * abs(value)
        if effective[0] != effective[1] and not close:
            raise ValueError(
                f"{name}={value!r}: the {form} form stands for {again!r}, so this model has no "
                "place in it"
            )


def _signs(config: LoopedConfig, form: str) -> dict[str, Stored]:
    """The tensor names by which the three huginn_raven forms are told apart."""
    names = ["transformer.wte.weight"]
    if form == "huginn":
        names.append(f"transformer.core_block.0.{SIGNS['residual_sandwich']}")
    elif not config.placement.before:  # a retrofit of OLMo-2
        names.append(f"transformer.core_block.0.{SIGNS['branch_post']}")
    return {name: Stored(Path(SINGLE), (), "F32") for name in names}


def _huginn(config: LoopedConfig) -> dict:
    # The release stores a table of angles, and the length of the table.
    return _raven(config, tokens=64, rope_base=config.rope_theta)


def _retrofit(config: LoopedConfig) -> dict:
    # Retrofits carry Huginn's base too, and do not use it.
    said = _raven(config, tokens=_TOKENS, rope_base=500_000.0)
    return said | {"max_position_embeddings": _TOKENS} | _rope(config)


def _raven(config: LoopedConfig, tokens: int, rope_base: float) -> dict:
    std = config.start_std / config.embed_scale
    depth = config.realized_depth
    return {
        "activation_checkpoint_impl": "per-iteration",
        "architecture_class_name": "RecurrentGPT",
        "architectures": ["RavenForCausalLM"],
        "bias": False,
        "block_class_name": "SandwichBlock",
        "block_size": tokens,
        "effective_expected_depth": depth,
        "head_dim": config.head_width,
        "init_orthogonal": False,
        "init_strategy": "takase",
        "init_values": {
            "embed_scale": config.embed_scale,
            "embedding": std,
            "out_proj": std / sqrt(2 * depth),
            "std": std,
        },
        "injection_type": "linear",
        "intermediate_size": config.hidden,
        "mean_recurrence": config.loops,
        "mlp_class_name": "GatedMLP",
        "model_type": "huginn_raven",
        "n_embd": config.width,
        "n_heads": config.heads,
        "n_layers": config.prelude + config.core + config.coda,
        "n_layers_in_coda": config.coda,
        "n_layers_in_prelude": config.prelude,
        "n_layers_in_recurrent_block": config.core,
        "nonlin_name": "SiLU",
        "norm_class_name": "RMSNorm_llama",
        "norm_eps": config.norm_eps,
        "num_key_value_heads": config.key_heads,
        "padded_vocab_size": config.vocab,
        "padding_multiple": 1,
        "qk_bias": config.qk_bias,
        "rope_base": rope_base,
        "sampling_scheme": "poisson-lognormal-filling",
        "state_init": "like-init",
        "test_time_noise": 0,
        "test_time_noise_type": "fixed",
        "tie_embeddings": config.tie_head,
        "torch_dtype": "float32",
        "vocab_size": config.vocab,
    }


def _ouro(config: LoopedConfig) -> dict:
    return {
        "architectures": ["OuroForCausalLM"],
        "attention_dropout": 0.0,
        "early_exit_threshold": 1.0,
        "layer_types": ["full_attention"] * config.core,
        "model_type": "ouro",
        "sliding_window": None,
        "total_ut_steps": config.loops,
        "use_sliding_window": False,
        **_common(config),
    }


def _llama(config: LoopedConfig) -> dict:
    return {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "mlp_bias": False,
        "model_type": "llama",
        **_common(config),
    }


def _common(config: LoopedConfig) -> dict:
    return {
        "head_dim": config.head_width,
        "hidden_act": "silu",
        "hidden_size": config.width,
        "intermediate_size": config.hidden,
        "initializer_range": 0.02,
        "max_position_embeddings": _TOKENS,
        "num_attention_heads": config.heads,
        "num_hidden_layers": config.core,
        "num_key_value_heads": config.key_heads,
        "rms_norm_eps": config.norm_eps,
        **_rope(config),
        "tie_word_embeddings": config.tie_head,
        "torch_dtype": "float32",
        "use_cache": True,
        "vocab_size": config.vocab,
    }


def _rope(config: LoopedConfig) -> dict:
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


def _table(config: LoopedConfig, tokens: int) -> Tensor:
    """Huginn's persistent rotary table, [1, token, 1, head_dim / 2, (cos, sin)]."""
    cos, sin = rotary_table(
        tokens, config.head_width, config.rope_theta, None, "cpu", torch.float32
    )
    return torch.stack((cos, sin), dim=-1)[None, :, None]
