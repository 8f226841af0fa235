"""Huginn and the retrofits: one `model_type`, huginn_raven, and three different forward passes.

config.json does not tell them apart; the names of the tensors do. Huginn norms the sum of stream
and branch (norm_1 to norm_4), Llama-form retrofits norm the branch's input (norm_1, norm_2), and
OLMo-2-form retrofits norm the branch's output (norm_1, norm_2, and q_norm, k_norm).

Sources: arXiv 2502.05171 (Huginn) and 2511.07384 (retrofits), and their modelling code.
"""

from math import sqrt

import torch
from torch import Tensor

from looplab.model import LoopedConfig
from looplab.model.layers import rotary_table
from looplab.zoo.family import Family, Form
from looplab.zoo.files import ConfigFile, Stored
from looplab.zoo.keys import Keys
from looplab.zoo.translation import (
    LENGTH,
    Part,
    Translation,
    describe_rope,
    ends,
    rope,
    stacked_layers,
)

# What a layer's tensors are called in one form and in no other; the Llama form has no such name.
_SIGNS = {"residual_sandwich": "norm_3.weight", "branch_post": "attn.q_norm.weight"}

_ENDS = ("transformer.wte.weight", "lm_head.weight")


def translate(config: ConfigFile, stored: dict[str, Stored]) -> Translation:
    """Config and tensors of a huginn_raven folder."""
    ours = _config(config, _form(stored))
    tensors = {
        **ends(ours, _ENDS, stored),
        "cores.0.injection.mix.weight": (
            Part("transformer.adapter.weight", (ours.width, 2 * ours.width)),
        ),
        "norm.weight": (Part("transformer.ln_f.weight", (ours.width,)),),
    }
    for here, there in stacked_layers(ours):
        tensors |= _layer(ours, here, there)
    # freqs_cis is the rotary table, which a cast to bfloat16 would have spoilt: it is rebuilt.
    return Translation(ours, tensors, _ENDS, ("freqs_cis",))


def _form(names) -> str:
    """The norm placement by which the three are told apart."""
    for form, sign in _SIGNS.items():
        if any(name.endswith(sign) for name in names):
            return form
    return "pre"


def _config(config: ConfigFile, form: str) -> LoopedConfig:
    if config["qk_bias"]:  # official code adds a bias of n_heads rows to the keys too
        config.must_be("num_key_value_heads", config["n_heads"])
    huginn = form == "residual_sandwich"
    # The retrofits carry Huginn's rope_base too, unused.
    theta, scaling = (float(config["rope_base"]), None) if huginn else rope(config)
    init = ConfigFile(config.path, config["init_values"])
    strange = sorted(set(init.values) - {"embed_scale", "embedding", "out_proj", "std"})
    if strange:
        raise ValueError(f"{config.path} has init_values with {strange[0]!r}, which is not known")
    tied = "tie_embeddings"
    if tied not in config.values and config.get("tie_word_embeddings") is not None:
        tied = "tie_word_embeddings"
    return LoopedConfig(
        vocab=config["padded_vocab_size"],
        width=config["n_embd"],
        prelude=config["n_layers_in_prelude"],
        core=config["n_layers_in_recurrent_block"],
        coda=config["n_layers_in_coda"],
        loops=config["mean_recurrence"],
        heads=config["n_heads"],
        kv_heads=config["num_key_value_heads"],
        head_dim=config["head_dim"],
        mlp="gated",
        activation="silu",
        mlp_width=config["intermediate_size"],
        norm=form,
        norm_eps=config["norm_eps"],
        injection="concat",
        start="normal",
        start_std=init["embed_scale"] * init["std"],
        position="rope_interleaved" if huginn else "rope_half",
        rope_theta=theta,
        rope_scaling=scaling,
        qk_bias=config.switch("qk_bias"),
        qk_norm="all" if form == "branch_post" else "none",
        embed_scale=init["embed_scale"],
        tie_head=config.switch(tied),
    )


def _layer(config: LoopedConfig, ours: str, theirs: str) -> dict[str, tuple[Part, ...]]:
    width, hidden, heads, head = config.width, config.hidden, config.heads, config.head_width
    queries, keys = heads * head, config.key_heads * head
    tensors = {
        f"{ours}attn.qkv.weight": (Part(f"{theirs}attn.Wqkv.weight", (queries + 2 * keys, width)),),
        f"{ours}attn.out.weight": (Part(f"{theirs}attn.proj.weight", (width, queries)),),
        f"{ours}mlp.up.weight": (Part(f"{theirs}mlp.fc.weight", (2 * hidden, width)),),
        f"{ours}mlp.down.weight": (Part(f"{theirs}mlp.proj.weight", (width, hidden)),),
    }
    for number, norm in enumerate(config.placement.norms, start=1):  # their norm_1, norm_2 ...
        tensors[f"{ours}{norm}.weight"] = (Part(f"{theirs}norm_{number}.weight", (width,)),)
    if config.qk_bias:
        bias, shape = f"{theirs}attn.qk_bias", (2, 1, heads, head)
        tensors[f"{ours}attn.q_bias"] = (Part(bias, shape, index=0),)
        tensors[f"{ours}attn.k_bias"] = (Part(bias, shape, index=1),)
    if config.qk_norm == "all":
        tensors[f"{ours}attn.q_norm.weight"] = (Part(f"{theirs}attn.q_norm.weight", (queries,)),)
        tensors[f"{ours}attn.k_norm.weight"] = (Part(f"{theirs}attn.k_norm.weight", (keys,)),)
    return tensors


def _huginn(config: LoopedConfig) -> dict:
    # The release stores a table of angles, and the length of the table.
    return _raven(config, tokens=64, rope_base=config.rope_theta)


def _retrofit(config: LoopedConfig) -> dict:
    # Retrofits carry Huginn's base too, and do not use it.
    said = _raven(config, tokens=LENGTH, rope_base=500_000.0)
    return said | {"max_position_embeddings": LENGTH} | describe_rope(config)


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


def _huginn_signs(config: LoopedConfig) -> list[str]:
    return ["transformer.wte.weight", f"transformer.core_block.0.{_SIGNS['residual_sandwich']}"]


def _retrofit_signs(config: LoopedConfig) -> list[str]:
    names = ["transformer.wte.weight"]
    if not config.placement.before:  # a retrofit of OLMo-2
        names.append(f"transformer.core_block.0.{_SIGNS['branch_post']}")
    return names


def _huginn_extras(config: LoopedConfig, said: dict, written: dict[str, Tensor]) -> dict:
    extras = {"freqs_cis": _table(config, said["block_size"])}
    if config.tie_head:  # the release stores both copies
        extras["lm_head.weight"] = written["transformer.wte.weight"].clone()
    return extras


def _table(config: LoopedConfig, tokens: int) -> Tensor:
    """Huginn's persistent rotary table, [1, token, 1, head_dim / 2, (cos, sin)]."""
    cos, sin = rotary_table(
        tokens, config.head_width, config.rope_theta, None, "cpu", torch.float32
    )
    return torch.stack((cos, sin), dim=-1)[None, :, None]


_KEYS = Keys(
    used=(
        "n_embd",
        "n_heads",
        "num_key_value_heads",
        "head_dim",
        "intermediate_size",
        "n_layers_in_prelude",
        "n_layers_in_recurrent_block",
        "n_layers_in_coda",
        "mean_recurrence",
        "padded_vocab_size",
        "norm_eps",
        "qk_bias",
        "rope_base",
        "rope_theta",
        "rope_scaling",
        "rope_parameters",
        "init_values",
        "tie_embeddings",
        "tie_word_embeddings",
    ),
    harmless={
        "auto_map": "its code is never run",
        "n_layers": "counted again, part by part",
        "vocab_size": "padded_vocab_size has the rows",
        "padding_multiple": "padded_vocab_size has the rows",
        "block_size": "a length to plan for; rotary tables grow",
        "max_position_embeddings": "a length to plan for; rotary tables grow",
        "effective_expected_depth": "how training began",
        "init_orthogonal": "how training began",
        "activation_checkpoint_impl": "memory in training",
        "mean_backprop_depth": "training only",
        "sampling_scheme": "training only",
        "test_time_noise_type": "test_time_noise is 0",
    },
    fixed={
        "architecture_class_name": ("RecurrentGPT",),
        "block_class_name": ("SandwichBlock",),
        "norm_class_name": ("RMSNorm_llama",),
        "mlp_class_name": ("GatedMLP",),
        "nonlin_name": ("SiLU",),
        "injection_type": ("linear",),
        "state_init": ("like-init",),
        "init_strategy": ("takase",),
        "bias": (False,),
        "test_time_noise": (0,),
        "partial_rotary_factor": (1,),
    },
    classes=("RavenForCausalLM",),
)
FAMILY = Family(
    ("huginn_raven",),
    _KEYS,
    translate,
    forms={
        "huginn": Form(_huginn, _huginn_signs, _huginn_extras),
        "retrofit": Form(_retrofit, _retrofit_signs),
    },
)
