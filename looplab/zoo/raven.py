"""Huginn and the retrofits: one `model_type`, huginn_raven, and three different forward passes.

config.json does not tell them apart; the names of the tensors do. Huginn norms the sum of stream
and branch (norm_1 to norm_4), Llama-form retrofits norm the branch's input (norm_1, norm_2), and
OLMo-2-form retrofits norm the branch's output (norm_1, norm_2, and q_norm, k_norm).

Sources: arXiv 2502.05171 (Huginn) and 2511.07384 (retrofits), and their modelling code.
"""

from looplab.model import LoopedConfig
from looplab.zoo.files import ConfigFile, Stored
from looplab.zoo.translation import Part, Translation, ends, rope, stacked_layers

# What a layer's tensors are called in one form and in no other; the Llama form has no such name.
SIGNS = {"residual_sandwich": "norm_3.weight", "branch_post": "attn.q_norm.weight"}


def translate(config: ConfigFile, stored: dict[str, Stored]) -> Translation:
    """Config and tensors of a huginn_raven folder."""
    ours = _config(config, _form(stored))
    tensors = {
        **ends(ours, "transformer.wte.weight", "lm_head.weight", stored),
        "cores.0.injection.mix.weight": (
            Part("transformer.adapter.weight", (ours.width, 2 * ours.width)),
        ),
        "norm.weight": (Part("transformer.ln_f.weight", (ours.width,)),),
    }
    for here, there in stacked_layers(ours):
        tensors |= _layer(ours, here, there)
    # freqs_cis is the rotary table, which a cast to bfloat16 would have spoilt: it is rebuilt.
    unused = ("freqs_cis", "lm_head.weight") if ours.tie_head else ("freqs_cis",)
    return Translation(ours, tensors, unused)


def _form(names) -> str:
    """The norm placement by which the three are told apart."""
    for form, sign in SIGNS.items():
        if any(name.endswith(sign) for name in names):
            return form
    return "pre"


def _config(config: ConfigFile, form: str) -> LoopedConfig:
    config.must_be("injection_type", "linear")
    config.must_be("state_init", "like-init")
    config.must_be("nonlin_name", "SiLU")
    config.must_be("mlp_class_name", "GatedMLP")
    config.must_be("bias", False)
    config.must_be("test_time_noise", 0)
    if config["qk_bias"]:  # official code adds a bias of n_heads rows to the keys too
        config.must_be("num_key_value_heads", config["n_heads"])
    huginn = form == "residual_sandwich"
    # The retrofits carry Huginn's rope_base too, unused.
    theta, scaling = (float(config["rope_base"]), None) if huginn else rope(config)
    init = ConfigFile(config.path, config["init_values"])
    tied = config.get("tie_embeddings", config.get("tie_word_embeddings"))
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
        qk_bias=config["qk_bias"],
        qk_norm="all" if form == "branch_post" else "none",
        embed_scale=init["embed_scale"],
        tie_head=config["tie_embeddings"] if tied is None else tied,
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
