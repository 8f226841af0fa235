"""Parcae: a diagonal decay of the state, and token embeddings in the values of every second layer.

Pre-norm layers; queries and keys are turned (neighbouring channels are pairs) and then normed
without parameters; the MLP is relu(x)^2 / 2; the prelude's output is normed; one matrix, C, stands
between loop and coda. The official config does not store what these two functions of it give:

- the state at loop 0 is normal with std sqrt(2 / 5 width), cut at 3 std, as Huginn's;
- layer i, counted through prelude, core and coda, has value embeddings if i is odd where their
  number is even and even where it is odd; and its attention has a gate for them by the same rule,
  for another i (the coda's are counted behind all loops) and another number (the core's layers
  times `mean_backprop_depth`). A layer uses them where both rules agree.

Official loading builds its rotary table from base 50000, whatever rope_settings says, and then
takes the stored one (`freqs_cis`) in its place: for a trained file the stored table decides. Here
rope_settings does, and a file whose table disagrees is refused, with the base that it stands for.

Official loading passes over tensors that are missing or not known; here those that are not known
are passed over with a warning, and a missing one is an error, because official code leaves it at
random.

Sources: arXiv 2604.12946 and github.com/sandyresearch/parcae.
"""

from math import sqrt

from looplab.model import LoopedConfig
from looplab.model.layers import GATE_CHANNELS
from looplab.zoo.family import Family
from looplab.zoo.files import ConfigFile, Stored
from looplab.zoo.keys import Keys
from looplab.zoo.translation import Part, Translation, ends, stacked_layers

# What the config.json of this code, and of the code that others made of it, say
CODE_FIXED = {
    "block_class_name": ("TransformerPreNormBlock",),
    "norm_class_name": ("RMSNorm",),
    "mlp_class_name": ("BaseMLP",),
    "nonlin_name": ("ReLU2",),
    # With these the embedding and the logits are not scaled.
    "init_strategy": ("scaled-zero", "scaled", "scaled-geiping", "small"),
    "bias": (False,),
    "qk_bias": (False,),
    "clip_qkv": (None,),
    "logit_softcap": (None,),
    "mup_model_scaling_factor": (1,),
    "use_abacus": (False,),
    "randomize_positions_from": (None,),
    "debias_attention": (False,),
    "center_attention": (False,),
}
CODE_HARMLESS = {
    "name": "what it is called",
    "hf_config": "what it is called",
    "auto_map": "its code is never run",
    "block_size": "a length to plan for; rotary tables grow",
    "padding_multiple": "padded_vocab_size has the rows",
    "attn_impl": "another kernel, the same formula",
    "use_fused_head": "another kernel, the same formula",
    "simple_ops": "another kernel, the same formula",
    "init_orthogonal": "how training began",
    "skip_initialization": "how training began",
    "activation_checkpoint_impl": "memory in training",
    "strategy": "how training was shared out",
}
# What `code_settings` reads
CODE_KEYS = (
    "n_embd",
    "intermediate_size",
    "num_attention_heads",
    "num_key_value_heads",
    "vocab_size",
    "padded_vocab_size",
    "rope_settings",
    "norm_eps",
    "qk_norm",
    "recurrent_embedding_dimension",
    "recurrent_intermediation_embedding_dimension",
    "recurrent_num_attention_heads",
    "tie_embeddings",
)
_TRAINING = "training only"
_KEYS = Keys(
    used=(
        *CODE_KEYS,
        "n_layers_in_prelude",
        "n_layers_in_recurrent_block",
        "n_layers_in_coda",
        "prelude_norm",
        "mean_recurrence",
        "mean_backprop_depth",
    ),
    harmless=CODE_HARMLESS
    | {
        "sampling_scheme": _TRAINING,
        "lockstep_n": _TRAINING,
        "lockstep_k": _TRAINING,
        "curriculum_target": _TRAINING,
        "recurrent_iteration_method": "the number of loops is the call's",
    },
    fixed=CODE_FIXED
    | {
        "injection_type": ("diagonal",),
        "state_init": ("like-init",),
        "model_class_name": ("Parcae",),
        "_class_name": ("ParcaeConfig",),
        "_is_recurrent_block_config": (False,),
    },
)
_ROPE_BASE = 50_000  # where the config has none

_ENDS = ("transformer.wte.weight", "lm_head.weight")


def is_parcae(config: ConfigFile) -> bool:
    """Whether a config is Parcae's own, which has no model_type."""
    return config.get("_class_name") == "ParcaeConfig" or config.get("model_class_name") == "Parcae"


def translate(config: ConfigFile, stored: dict[str, Stored]) -> Translation:
    """Config and tensors of a Parcae folder."""
    ours = _config(config)
    width, both = (ours.width,), (ours.width, ours.width)
    carry = "cores.0.injection."
    tensors = {
        **ends(ours, _ENDS, stored),
        f"{carry}log_a": (Part("transformer.adapter.A_log", width),),
        f"{carry}dt_bias": (Part("transformer.adapter.dt_bias", width),),
        f"{carry}b.weight": (Part("transformer.adapter.B", both),),
        "state_out.weight": (Part("transformer.C.weight", both),),
        "norm.weight": (Part("transformer.ln_f.weight", width),),
    }
    if ours.input_norm:
        tensors["input_norm.weight"] = (Part("transformer.ln_prelude.weight", width),)
    for number, (here, there) in enumerate(stacked_layers(ours)):
        tensors |= _layer(ours, number, here, there)
    return Translation(ours, tensors, _ENDS, table="freqs_cis", passes_over=True)


def code_settings(config: ConfigFile) -> dict:
    """Settings that Parcae and what was made of its code call by the same names."""
    width, heads = config["n_embd"], config["num_attention_heads"]
    config.must_be("recurrent_embedding_dimension", width)
    config.must_be("recurrent_intermediation_embedding_dimension", config["intermediate_size"])
    config.must_be("recurrent_num_attention_heads", heads)
    config.must_be("num_key_value_heads", heads)
    rope = ConfigFile(config.path, config.get("rope_settings") or {})
    rope.must_be("use_rope", True)
    rope.must_be("rope_condense_ratio", 1)
    strange = sorted(set(rope.values) - {"use_rope", "rope_condense_ratio", "rope_base"})
    if strange:
        raise ValueError(f"{config.path} has rope_settings with {strange[0]!r}, not known here")
    return {
        "vocab": config.get("padded_vocab_size") or config["vocab_size"],
        "width": width,
        "heads": heads,
        "mlp_width": config["intermediate_size"],
        "activation": "half_relu2",
        "norm": "pre",
        "norm_eps": config["norm_eps"],
        "position": "rope_interleaved",
        "rope_theta": float(rope.get("rope_base", _ROPE_BASE)),
        "qk_norm": "rotated" if config.switch("qk_norm") else "none",
        "tie_head": config.switch("tie_embeddings"),
    }


def _config(config: ConfigFile) -> LoopedConfig:
    parts = [config[f"n_layers_in_{part}"] for part in ("prelude", "recurrent_block", "coda")]
    loops, deep = config["mean_recurrence"], config["mean_backprop_depth"]
    return LoopedConfig(
        **code_settings(config),
        prelude=parts[0],
        core=parts[1],
        coda=parts[2],
        loops=loops,
        injection="diagonal",
        start="normal",
        start_std=sqrt(2 / (5 * config["n_embd"])),
        value_layers=_value_layers(*parts, loops, deep),
        input_norm=config.switch("prelude_norm"),
        state_out=True,
    )


def _value_layers(prelude: int, core: int, coda: int, loops: int, deep: int) -> tuple[int, ...]:
    """Layers that have both an embedding of values and a gate for it."""
    layers = prelude + core + coda
    counted = [*range(prelude + core), *(prelude + core * loops + n for n in range(coda))]
    return tuple(
        number
        for number, place in enumerate(counted)
        if number % 2 == (layers - 1) % 2 and place % 2 == (core * deep - 1) % 2
    )


def _layer(config: LoopedConfig, number: int, ours: str, theirs: str) -> dict:
    tensors = block(config, ours, theirs)
    if number in config.value_layers:
        table, gate = (config.vocab, config.width), (config.heads, GATE_CHANNELS)
        tensors[f"{ours}attn.value_embed.weight"] = (Part(f"value_embeds.{number}.weight", table),)
        gates = f"{theirs}attn.ve_gate.weight"
        tensors[f"{ours}attn.value_gate.weight"] = (Part(gates, gate),)
    return tensors


def block(config: LoopedConfig, ours: str, theirs: str) -> dict[str, tuple[Part, ...]]:
    """Norms, attention and MLP of one layer."""
    width, hidden = config.width, config.hidden
    attn, square = f"{theirs}attn.", (width, width)
    return {
        f"{ours}n1.weight": (Part(f"{theirs}norm_1.weight", (width,)),),
        f"{ours}n3.weight": (Part(f"{theirs}norm_2.weight", (width,)),),
        f"{ours}attn.qkv.weight": tuple(Part(f"{attn}c_{x}.weight", square) for x in "qkv"),
        f"{ours}attn.out.weight": (Part(f"{attn}c_proj.weight", square),),
        f"{ours}mlp.up.weight": (Part(f"{theirs}mlp.fc.weight", (hidden, width)),),
        f"{ours}mlp.down.weight": (Part(f"{theirs}mlp.proj.weight", (width, hidden)),),
    }


FAMILY = Family(("parcae",), _KEYS, translate, is_parcae, pickles=("pytorch_model.bin",))
