"""IFM's LoopedLM, Part II: one prelude layer, two looped ones, one of coda, and four injections.

Pre-norm layers; norms' weights are stored around zero, w for a factor of 1 + w, and become that
factor when they are read. What differs between the released models is how the prelude's output gets
into the state: *diagonal*; *parcae*, diagonal behind a norm; *orthoinj*, where the state first
loses its component along what is added; *linear*, a matrix with a bias, and a norm without weights
at the end of every loop. How training drew its number of loops (fixed, sampled, learned) leaves no
trace in the weights. Evaluation begins with a hash that looks like noise: `looplab.model.hashed`.

config.json has the settings under "model", all that the authors' library knows, and no model_type;
artifact_manifest.json has the SHA-256 of every file, which `looplab verify` compares. Models of
Part I, the dense ones and the distilled students are refused: their forward passes are others.

Source: "Towards Looped Models Done Right, Part II", github.com/ifm-ai/xllm-loop.
"""

import hashlib
import json
from pathlib import Path

from looplab.model import LoopedConfig
from looplab.zoo.family import Family, Form
from looplab.zoo.files import INDEX, ConfigFile, Stored
from looplab.zoo.hashes import MANIFEST, hash_of
from looplab.zoo.keys import Keys
from looplab.zoo.translation import Part, Translation, ends

_ENDS = ("embed.weight", "output.output.weight")
_SHARD = "model-00001-of-00001.safetensors"
_STARTS = {"normal": "hashed", "zero": "zeros", "input": "input"}
_SWITCH = {True: True, False: False}
_EXITS = {"none": "pre", "parameterless_rms": "pre_bare_end"}

_OTHERS = "another architecture of the same library"
_NO_EXPERTS = "there are no experts"
_TRAINING = "training only"
_KERNEL = "another kernel, the same formula"
_UNUSED = "the huginn_ settings decide"
_KEYS = Keys(
    used=(
        "arch",
        "huginn_depth_control",
        "apply_rmsnorm",
        "swiglu",
        "num_layers",
        "huginn_prelude_layers",
        "huginn_recurrent_layers",
        "huginn_coda_layers",
        "loop_times",
        "model_dim",
        "ffn_hidden_dim",
        "num_heads",
        "num_kv_heads",
        "head_dim",
        "rope_head_dim",
        "rope_base",
        "rmsnorm_eps",
        "vocab_size",
        "output_size",
        "apply_bias_term",
        "huginn_input_injection",
        "huginn_prelude_orthogonal",
        "huginn_ortho_projection_eps",
        "huginn_prelude_norm",
        "huginn_recurrent_exit_norm",
        "huginn_state_init",
    ),
    harmless={
        **dict.fromkeys(
            (
                "causal_attn_backend",
                "chunk_size",
                "fused_block",
                "fused_output_layer",
                "layerwise_ckpt",
                "memory_efficient_norm",
                "ddp_backend",
                "recompute_attention",
                "recompute_awk",
                "recompute_fc1_out",
                "recompute_fc3_out",
                "recompute_logits",
                "recompute_q",
                "recompute_router",
                "recompute_v",
            ),
            _KERNEL,
        ),
        **dict.fromkeys(
            (
                "dropout",
                "hidden_dropout",
                "init_embed_std",
                "init_logits_std",
                "init_mode",
                "init_std",
                "huginn_antithetic_sampling",
                "huginn_backprop_depth",
                "huginn_depth_prior",
                "huginn_depth_prior_entropy",
                "huginn_diagonal_a_init",
                "huginn_diagonal_dt_init",
                "huginn_poisson_lognormal_max",
                "huginn_poisson_lognormal_sigma",
                "huginn_poisson_lognormal_target_mean",
                "huginn_sampling_scheme",
            ),
            _TRAINING,
        ),
        **dict.fromkeys(
            (
                "awm_orthogonal_update",
                "causal_conv_backend",
                "causal_conv_weight_normalization",
                "causal_conv_width",
                "layernorm_eps",
                "sca_backend",
                "timenorm_backend",
                "timenorm_beta1",
                "timenorm_beta2",
                "timenorm_eps",
                "timenorm_num_groups",
                "v_head_dim",
            ),
            _OTHERS,
        ),
        **dict.fromkeys(
            (
                "expert_inter_dim",
                "moe_expert_backend",
                "moe_permutation_backend",
                "moe_router_bias",
                "moe_router_bias_update_rate",
                "moe_router_scaling_factor",
                "moe_router_score_func",
                "mova_backend",
            ),
            _NO_EXPERTS,
        ),
        **dict.fromkeys(
            (
                "loop_start_layer",
                "loop_end_layers",
                "loop_diagonal_a_init",
                "loop_diagonal_dt_init",
                "dense_prelude_diagonal_a_init",
                "dense_prelude_diagonal_dt_init",
                "dense_prelude_source_layer",
            ),
            _UNUSED,
        ),
        "attn_gate_func": "attention has no gate",
        "residual_heads": "the stream is added up as usual",
        "huginn_hierarchical_h_cycles": "there is one state",
        "huginn_hierarchical_l_cycles": "there is one state",
    },
    fixed={
        "apply_attn_gate": (False,),
        "attn_act_func": ("softmax",),
        "layernorm_num_groups": (1,),
        "norm_affine": (True,),
        "qknorm": (False,),
        "residual_func": ("base", "add"),
        "scale_emb": (False,),
        "num_experts": (0,),
        "num_activated_experts": (0,),
        "num_shared_experts": (0,),
        "num_dense_layers": (None,),
        "num_values": (0,),
        "num_activated_values": (0,),
        "loop_input_injection": ("none",),
        "dense_prelude_input_injection": ("none",),
        "dense_prelude_input_layers": ("",),
        "huginn_hierarchical_state": ("none",),
        "huginn_split_module_repeats": (1,),
    },
)


def is_ifm(config: ConfigFile) -> bool:
    """Whether a config.json has the authors' layout: settings with an `arch`, under "model"."""
    inside = config.get("model")
    return isinstance(inside, dict) and "arch" in inside


def _settings(config: ConfigFile) -> ConfigFile:
    """The settings, which stand beside where the tokenizer is; anything else there is refused."""
    for key in config.values:
        if key not in ("model", "tokenizer"):
            raise ValueError(
                f"{config.path} has {key!r} beside model and tokenizer, as the distilled students "
                "have, whose forward pass looplab does not know: get one of the "
                "LoopedLM-P2-huginn models"
            )
    return ConfigFile(config.path, config["model"])


def translate(config: ConfigFile, stored: dict[str, Stored]) -> Translation:
    """Config and tensors of an IFM folder."""
    ours = _config(config)
    width, inject = ours.width, "cores.0.injection."
    tensors = {**ends(ours, _ENDS, stored), "norm.weight": _norm("output.final_norm", width)}
    if ours.input_norm:
        tensors["input_norm.weight"] = _norm("huginn_prelude_norm_module", width)
    if ours.injection == "concat":
        adapter = "input_injection.adapter"
        tensors[f"{inject}mix.weight"] = (Part(f"{adapter}.weight", (width, 2 * width)),)
        if ours.injection_bias:
            tensors[f"{inject}mix.bias"] = (Part(f"{adapter}.bias", (width,)),)
    else:
        tensors |= {
            f"{inject}log_a": (Part("input_injection.A_log", (width,)),),
            f"{inject}dt_bias": (Part("input_injection.dt_bias", (width,)),),
            f"{inject}b.weight": (Part("input_injection.input_adapter.weight", (width, width)),),
        }
    stacks = (("prelude", ours.prelude), ("cores.0.layers", ours.core), ("coda", ours.coda))
    here = [f"{stack}.{layer}." for stack, layers in stacks for layer in range(layers)]
    for number, name in enumerate(here):
        tensors |= _layer(ours, name, f"layers.{number}.")
    return Translation(ours, tensors, _ENDS)


def _norm(name: str, width: int) -> tuple[Part, ...]:
    return (Part(f"{name}.weight", (width,), plus=1.0),)


def _config(config: ConfigFile) -> LoopedConfig:
    # What the authors' library takes where one of these is absent is another model.
    for key, known in {
        "arch": "huginn",
        "huginn_depth_control": True,
        "apply_rmsnorm": True,
        "swiglu": True,
    }.items():
        if config[key] is None:
            raise ValueError(f"{config.path} says {key}=None: expected {known!r}")
        config.must_be(key, known)
    width, heads, vocab = config["model_dim"], config["num_heads"], config["vocab_size"]
    head = width // heads if config["head_dim"] is None else config["head_dim"]
    config.must_be("rope_head_dim", head)
    config.must_be("output_size", -1, vocab)
    layers, prelude = config["num_layers"], config["huginn_prelude_layers"]
    core, coda = config["huginn_recurrent_layers"], config["huginn_coda_layers"]
    core = layers - prelude - coda if core is None else core
    if prelude + core + coda != layers:
        raise ValueError(
            f"{config.path} says num_layers={layers}, but huginn_ layers that add up to "
            f"{prelude + core + coda}: files of two models?"
        )
    orthogonal = config.one_of("huginn_prelude_orthogonal", _SWITCH)
    kind = config.one_of("huginn_input_injection", {"diagonal": "diagonal", "linear": "concat"})
    if orthogonal:
        config.must_be("huginn_input_injection", "diagonal")
        kind = "orthogonal"
    return LoopedConfig(
        vocab=vocab,
        width=width,
        prelude=prelude,
        core=core,
        coda=coda,
        loops=config["loop_times"],
        heads=heads,
        kv_heads=config["num_kv_heads"],
        head_dim=head,
        mlp="gated",
        activation="silu",
        mlp_width=config["ffn_hidden_dim"],
        norm=config.one_of("huginn_recurrent_exit_norm", _EXITS),
        norm_eps=config["rmsnorm_eps"],
        injection=kind,
        injection_bias=kind == "concat" and config.one_of("apply_bias_term", _SWITCH),
        injection_eps=config["huginn_ortho_projection_eps"],
        start=config.one_of("huginn_state_init", _STARTS),
        start_std=width**-0.5,
        position="rope_interleaved",
        rope_theta=float(config["rope_base"]),
        input_norm=config.one_of("huginn_prelude_norm", {"none": False, "rms": True}),
    )


def _layer(config: LoopedConfig, ours: str, theirs: str) -> dict[str, tuple[Part, ...]]:
    width, hidden = config.width, config.hidden
    queries, keys = config.heads * config.head_width, config.key_heads * config.head_width
    attn, mlp = f"{theirs}attention.", f"{theirs}nffn."
    return {
        f"{ours}n1.weight": _norm(f"{attn}norm", width),
        f"{ours}n3.weight": _norm(f"{mlp}norm", width),
        f"{ours}attn.qkv.weight": (
            Part(f"{attn}wq.weight", (queries, width)),
            Part(f"{attn}wk.weight", (keys, width)),
            Part(f"{attn}wv.weight", (keys, width)),
        ),
        f"{ours}attn.out.weight": (Part(f"{attn}wo.weight", (width, queries)),),
        f"{ours}mlp.up.weight": (
            Part(f"{mlp}fc1.weight", (hidden, width)),
            Part(f"{mlp}fc3.weight", (hidden, width)),
        ),
        f"{ours}mlp.down.weight": (Part(f"{mlp}fc2.weight", (width, hidden)),),
    }


def _describe(config: LoopedConfig) -> dict:
    linear = config.injection == "concat"
    model = {
        "apply_bias_term": config.injection_bias or not linear,
        "apply_rmsnorm": True,
        "arch": "huginn",
        "attn_gate_func": "silu",
        "causal_attn_backend": "flash",
        "chunk_size": 1024,
        "ffn_hidden_dim": config.hidden,
        "head_dim": config.head_width,
        "huginn_backprop_depth": config.loops,
        "huginn_coda_layers": config.coda,
        "huginn_depth_control": True,
        "huginn_input_injection": "linear" if linear else "diagonal",
        "huginn_ortho_projection_eps": config.injection_eps,
        "huginn_prelude_layers": config.prelude,
        "huginn_prelude_norm": "rms" if config.input_norm else "none",
        "huginn_prelude_orthogonal": config.injection == "orthogonal",
        "huginn_recurrent_exit_norm": _their(_EXITS, config.norm),
        "huginn_recurrent_layers": config.core,
        "huginn_sampling_scheme": "fixed",
        "huginn_state_init": _their(_STARTS, config.start),
        "init_mode": "gaussian",
        "init_std": 0.02,
        "loop_end_layers": config.prelude + config.core,
        "loop_start_layer": config.prelude,
        "loop_times": config.loops,
        "model_dim": config.width,
        "num_heads": config.heads,
        "num_kv_heads": config.key_heads,
        "num_layers": config.prelude + config.core + config.coda,
        "rmsnorm_eps": config.norm_eps,
        "rope_base": config.rope_theta,
        "rope_head_dim": config.head_width,
        "swiglu": True,
        "vocab_size": config.vocab,
    }
    return {"model": model, "tokenizer": {"path": "tokenizer", "type": "huggingface"}}


def _their(known: dict, ours: str) -> str:
    """Their word for a setting of ours; where they have none, one that does not come back."""
    return next((theirs for theirs, word in known.items() if word == ours), next(iter(known)))


def _manifest(folder: Path) -> str:
    """The list of files that the authors' reader asks for."""
    files = [
        {
            "path": path.name,
            "sha256": hash_of(path, like="0" * 64),
            "size_bytes": path.stat().st_size,
        }
        for path in (folder / "config.json", folder / _SHARD, folder / INDEX)
    ]
    index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    said = {
        "files": files,
        "format": "xllm-native-bf16-safetensors",
        "model": {
            "index": INDEX,
            "shards": 1,
            "tensor_count": len(index["weight_map"]),
        },
        "release": "paper-part2",
        "schema_version": 1,
        "source": {"checkpoint": "written by looplab"},
    }
    told = json.dumps(said, sort_keys=True, separators=(",", ":")).encode()
    said["manifest_sha256"] = hashlib.sha256(told).hexdigest()
    return json.dumps(said, indent=2, sort_keys=True) + "\n"


FAMILY = Family(
    ("ifm",),
    _KEYS,
    translate,
    is_ifm,
    settings=_settings,
    forms={"ifm": Form(_describe, weights=_SHARD, beside={MANIFEST: _manifest})},
)
