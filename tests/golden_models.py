"""The golden fixtures as looplab models: official tensor names put into the one model family.

Provenance of the numbers: golden/README.md.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file

from looplab import LoopedConfig, LoopedTransformer

GOLDEN = Path(__file__).parent / "golden"
FAMILIES = ("huginn-a", "ouro-a", "retrofit-llama-a", "retrofit-olmo-a")


def load(name):
    """The fixture's model in eval mode, its tokens, and the official numbers."""
    folder = GOLDEN / name
    said = json.loads((folder / "config.json").read_text())
    weights = load_file(folder / "model.safetensors")
    read = _ouro if said["model_type"] == "ouro" else _raven
    config, state = read(said, weights)
    model = LoopedTransformer(config).eval()
    model.load_state_dict(state)
    tokens = torch.tensor(json.loads((folder / "input_ids.json").read_text()))
    return model, tokens, load_file(folder / "expected.safetensors")


def _raven(said, weights):
    huginn = any(name.endswith("norm_3.weight") for name in weights)
    olmo = any(name.endswith("q_norm.weight") for name in weights)
    scaling = said.get("rope_scaling")
    config = LoopedConfig(
        vocab=said["vocab_size"],
        width=said["n_embd"],
        prelude=said["n_layers_in_prelude"],
        core=said["n_layers_in_recurrent_block"],
        coda=said["n_layers_in_coda"],
        loops=said["mean_recurrence"],
        heads=said["n_heads"],
        kv_heads=said["num_key_value_heads"],
        head_dim=said["head_dim"],
        mlp="gated",
        activation="silu",
        mlp_width=said["intermediate_size"],
        norm="residual_sandwich" if huginn else "branch_post" if olmo else "pre",
        norm_eps=said["norm_eps"],
        injection="concat",
        start="normal",
        position="rope_interleaved" if huginn else "rope_half",
        rope_theta=said["rope_base"] if huginn else said["rope_theta"],
        rope_scaling=scaling
        and (
            scaling["factor"],
            scaling["low_freq_factor"],
            scaling["high_freq_factor"],
            scaling["original_max_position_embeddings"],
        ),
        qk_bias=said["qk_bias"],
        qk_norm="all" if olmo else "none",
        embed_scale=said["init_values"]["embed_scale"],
        tie_head=said["tie_embeddings"],
    )
    norms = {"norm_1": "n2", "norm_2": "n4"} if olmo else {"norm_1": "n1", "norm_2": "n3"}
    if huginn:
        norms = {f"norm_{i}": f"n{i}" for i in (1, 2, 3, 4)}
    parts = {"prelude": "prelude", "core_block": "cores.0.layers", "coda": "coda"}
    inner = {"attn.Wqkv": "attn.qkv", "attn.proj": "attn.out", "mlp.fc": "mlp.up"}
    inner |= {"mlp.proj": "mlp.down", "attn.q_norm": "attn.q_norm", "attn.k_norm": "attn.k_norm"}
    state = {
        "embed.0.weight": weights["transformer.wte.weight"],
        "head.weight": weights["lm_head.weight"],
        "norm.weight": weights["transformer.ln_f.weight"],
        "cores.0.injection.mix.weight": weights["transformer.adapter.weight"],
    }
    for name, value in weights.items():
        part, _, rest = name.removeprefix("transformer.").partition(".")
        if part not in parts:
            continue
        layer, _, inside = rest.removesuffix(".weight").partition(".")
        if inside == "attn.qk_bias":
            state[f"{parts[part]}.{layer}.attn.q_bias"] = value[0].flatten()
            state[f"{parts[part]}.{layer}.attn.k_bias"] = value[1].flatten()
        else:
            inside = norms.get(inside) or inner[inside]
            state[f"{parts[part]}.{layer}.{inside}.weight"] = value
    return config, state


def _ouro(said, weights):
    config = LoopedConfig(
        vocab=said["vocab_size"],
        width=said["hidden_size"],
        core=said["num_hidden_layers"],
        loops=said["total_ut_steps"],
        heads=said["num_attention_heads"],
        kv_heads=said["num_key_value_heads"],
        head_dim=said["head_dim"],
        mlp="gated",
        activation="silu",
        mlp_width=said["intermediate_size"],
        norm="branch_sandwich",
        norm_eps=said["rms_norm_eps"],
        rope_theta=said["rope_theta"],
        exit_gate=True,
    )
    state = {
        "embed.0.weight": weights["model.embed_tokens.weight"],
        "head.weight": weights["lm_head.weight"],
        "gate.weight": weights["model.early_exit_gate.weight"],
        "gate.bias": weights["model.early_exit_gate.bias"],
        "cores.0.loop_norm.weight": weights["model.norm.weight"],
    }
    norms = ("input_layernorm", "input_layernorm_2")
    norms += ("post_attention_layernorm", "post_attention_layernorm_2")
    for layer in range(said["num_hidden_layers"]):

        def take(*names, at=f"model.layers.{layer}."):
            return torch.cat([weights[f"{at}{name}.weight"] for name in names])

        ours = f"cores.0.layers.{layer}."
        for number, name in enumerate(norms, start=1):
            state[f"{ours}n{number}.weight"] = take(name)
        state[f"{ours}attn.qkv.weight"] = take(*(f"self_attn.{x}_proj" for x in "qkv"))
        state[f"{ours}attn.out.weight"] = take("self_attn.o_proj")
        state[f"{ours}mlp.up.weight"] = take("mlp.gate_proj", "mlp.up_proj")
        state[f"{ours}mlp.down.weight"] = take("mlp.down_proj")
    return config, state
