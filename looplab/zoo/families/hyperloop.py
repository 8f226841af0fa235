"""Hyperloop and its peers: loops with hyper-connections, as its authors' training code writes them.

No checkpoint is released. A training run's folder has train_config.yaml, all arguments of the
training, and NUMBER.tar or NUMBER_final.tar, of which the last is read, as tensors only. The norms'
eps, the rotary base and the sizes of heads are not among the arguments: training has them
fixed, and they can be said in a config.json with the fields of the code's Config, which then
counts, beside the same tensors as model.safetensors.

Official code has as many sets of gates as it was built with loops, and runs no more loops than
that; here a loop beyond the last set uses the last.

Sources: arXiv 2604.21254 and github.com/azeitoun/hyperloop-transformer, commit 0fc0767.
"""

from looplab.model import LoopedConfig
from looplab.zoo.family import Family, Form
from looplab.zoo.files import ConfigFile, Stored
from looplab.zoo.keys import Keys
from looplab.zoo.translation import LENGTH, Part, Translation, ends

_ENDS = ("transformer.wte.weight", "lm_head.weight")
_CARRY = {"diagonal_gate": "diagonal", "identity": "identity", "sinkhorn": "sinkhorn"}
# Names of the arguments in train_config.yaml -> those of the code's Config
_ARGUMENTS = {
    "d_model": "n_embd",
    "d_ff": "intermediate_size",
    "n_heads": "n_head",
    "n_layers": "n_layer",
    "n_kv_heads": "n_query_groups",
    "d_head": "head_size",
    "max_seq_len": "block_size",
}
# What training has fixed, where only its arguments are known
_TRAINED_WITH = {"norm_eps": 1e-5, "rope_base": 10_000}


def is_hyperloop(config: ConfigFile) -> bool:
    """Whether settings are of this code, which writes no model_type."""
    return "rs_mixing_strat" in config.values and "n_res_streams" in config.values


def translate(config: ConfigFile, stored: dict[str, Stored]) -> Translation:
    """Config and tensors of a run's folder."""
    ours = _config(config)
    width = (ours.width,)
    tensors = {
        **ends(ours, _ENDS, stored),
        "norm.weight": (Part("transformer.ln_f.weight", width),),
    }
    places = [
        *(f"prelude.{n}." for n in range(ours.prelude)),
        *(f"cores.0.layers.{n}." for n in range(ours.core)),
        *(f"coda.{n}." for n in range(ours.coda)),
    ]
    for number, here in enumerate(places):
        tensors |= _layer(ours, here, f"transformer.h.{number}.")
    if ours.streams > 0 and ours.stream_unit == "pass":
        for loop in range(ours.loops):
            here = f"cores.0.hyper.maps.{loop}."
            tensors |= _maps(ours, here, "", f"_proj.{loop}.")
            if ours.loop_embed:
                shape = (ours.loops, ours.width)
                tensors[f"{here}embed"] = (Part("postmap_pos_embeds.weight", shape, loop),)
    elif ours.streams > 0:
        for layer in range(ours.core):
            for branch in ("attn", "mlp"):
                for loop in range(ours.loops):
                    here = f"cores.0.layers.{layer}.hyper_{branch}.maps.{loop}."
                    there = f"transformer.h.{ours.prelude + layer}.mhc_"
                    tensors |= _maps(ours, here, there, f"_{branch}.{loop}.")
    return Translation(ours, tensors, _ENDS)


def _config(config: ConfigFile) -> LoopedConfig:
    known = {_ARGUMENTS.get(key, key): value for key, value in config.values.items()}
    said = ConfigFile(config.path, {**_TRAINED_WITH, **known})
    first, last, layers = said["first_recur_layer"], said["last_recur_layer"], said["n_layer"]
    streams = said["n_res_streams"] or 0
    around_branches = said.switch("use_mhc", absent=False) and streams > 0
    if streams > 0:
        said.must_be("duplicate_init_res_proj", True)
        said.must_be("average_fin_res_proj", True)
        if not around_branches:
            said.must_be("mix_rs_every_l_layers", last - first + 1)
    if said.get("n_q_heads") is not None:
        said.must_be("n_q_heads", said["n_head"])
    if said.get("rotary_percentage", 1) != 1:
        said.must_be("rotary_percentage", 1)
    return LoopedConfig(
        vocab=said["padded_vocab_size"],
        width=said["n_embd"],
        prelude=first,
        core=last - first + 1,
        coda=layers - 1 - last,
        loops=said["num_loops"],
        heads=said["n_head"],
        kv_heads=said.get("n_query_groups"),
        head_dim=said.get("head_size"),
        mlp="gated",
        activation="silu",
        mlp_width=said["intermediate_size"],
        norm="pre",
        norm_eps=said["norm_eps"],
        rope_theta=float(said["rope_base"]),
        streams=streams,
        stream_unit="branch" if around_branches else "pass",
        stream_carry=said.one_of("rs_mixing_strat", _CARRY) if streams > 0 else "diagonal",
        loop_embed=streams > 0 and not around_branches and said.switch("add_postmap_pos_embeds"),
    )


def _layer(config: LoopedConfig, ours: str, theirs: str) -> dict[str, tuple[Part, ...]]:
    width, hidden, head = config.width, config.hidden, config.head_width
    queries, keys = config.heads * head, config.key_heads * head
    # One matrix, grouped: the queries that share a key head, then its key, then its value.
    name, whole = f"{theirs}attn.attn.weight", (queries + 2 * keys, width)
    shared = queries // config.key_heads
    group = shared + 2 * head
    starts = [group * n for n in range(config.key_heads)]
    pieces = ((0, shared), (shared, shared + head), (shared + head, group))
    return {
        f"{ours}attn.qkv.weight": tuple(
            Part(name, whole, rows=(at + first, at + last))
            for first, last in pieces
            for at in starts
        ),
        f"{ours}attn.out.weight": (Part(f"{theirs}attn.proj.weight", (width, queries)),),
        f"{ours}mlp.up.weight": (
            Part(f"{theirs}mlp.fc_1.weight", (hidden, width)),
            Part(f"{theirs}mlp.fc_2.weight", (hidden, width)),
        ),
        f"{ours}mlp.down.weight": (Part(f"{theirs}mlp.proj.weight", (width, hidden)),),
        f"{ours}n1.weight": (Part(f"{theirs}norm_1.weight", (width,)),),
        f"{ours}n3.weight": (Part(f"{theirs}norm_2.weight", (width,)),),
    }


def _maps(config: LoopedConfig, ours: str, front: str, back: str) -> dict[str, tuple[Part, ...]]:
    """Three gates; those of H_res lack where it is the identity."""
    n, flat = config.streams, config.state_width
    matrix = config.stream_carry == "sinkhorn"
    tensors = {}
    for gate in ("pre", "post", "res"):
        if gate == "res" and config.stream_carry == "identity":
            continue
        mixes = matrix and gate == "res"
        there, outputs = f"{front}{gate}{back}", n * n if mixes else n
        bias = f"{there}bias"
        rows = tuple(Part(bias, (n, n), row) for row in range(n)) if mixes else (Part(bias, (n,)),)
        tensors |= {
            f"{ours}{gate}.phi.weight": (Part(f"{there}phi.weight", (outputs, flat)),),
            f"{ours}{gate}.alpha": (Part(f"{there}alpha", (1,)),),
            f"{ours}{gate}.bias": rows,
        }
    return tensors


def _describe(config: LoopedConfig) -> dict:
    """Fields of the code's Config."""
    carries = {ours: theirs for theirs, ours in _CARRY.items()}
    return {
        "n_layer": config.prelude + config.core + config.coda,
        "n_embd": config.width,
        "n_head": config.heads,
        "n_query_groups": config.key_heads,
        "head_size": config.head_width,
        "intermediate_size": config.hidden,
        "vocab_size": config.vocab,
        "padded_vocab_size": config.vocab,
        "block_size": LENGTH,
        "norm_eps": config.norm_eps,
        "rope_base": config.rope_theta,
        "first_recur_layer": config.prelude,
        "last_recur_layer": config.prelude + config.core - 1,
        "num_loops": config.loops,
        "looping_strategy": "cycle",
        "n_res_streams": config.streams or None,
        "mix_rs_every_l_layers": config.core,
        "rs_mixing_strat": carries[config.stream_carry],
        "premap_mixing_strat": "default",
        "postmap_mixing_strat": "default",
        "duplicate_init_res_proj": True,
        "average_fin_res_proj": True,
        "add_premap_pos_embeds": False,
        "add_postmap_pos_embeds": config.loop_embed,
        "use_mhc": config.streams > 0 and config.stream_unit == "branch",
    }


_TRAINING = "training only"
_KEYS = Keys(
    used=(
        *("n_layer", "n_embd", "n_head", "n_query_groups", "head_size", "intermediate_size"),
        *("padded_vocab_size", "norm_eps", "rope_base", "rotary_percentage"),
        *("first_recur_layer", "last_recur_layer", "num_loops", "n_res_streams", "use_mhc"),
        *("mix_rs_every_l_layers", "rs_mixing_strat", "add_postmap_pos_embeds"),
        *("duplicate_init_res_proj", "average_fin_res_proj", "n_q_heads"),
        *_ARGUMENTS,
    ),
    harmless={
        "name": "what it is called",
        "hf_config": "what it is called",
        "vocab_size": "padded_vocab_size has the rows",
        "padding_multiple": "padded_vocab_size has the rows",
        "block_size": "a length to plan for; rotary tables grow",
        "gelu_approximate": "the MLP has no gelu",
        "max_depth": "a copy of the core's size",
        "mix_rs_after_loops": "mix_rs_every_l_layers says where",
        "mix_rs_after_layers": "mix_rs_every_l_layers says where",
        "lora_alpha": "there is no LoRA",
        "lora_attn_alpha": "there is no LoRA",
        "sliding_window_layer_placing": "there is no sliding window",
        "init_scheme": "how training began",
        "n_expert_per_token": "there are no experts",
        **dict.fromkeys(
            (
                *("micro_batch_size", "global_batch_size", "save_every_batches", "seed"),
                *("custom_lr_sched", "learning_rate", "warmup_ratio", "warmup_iters"),
                *("max_grad_norm", "weight_decay", "beta1", "beta2", "tok_path", "dataset_name"),
                *("max_train_tokens", "save_dir", "exp_name", "run_id", "debug", "wandb_proj_name"),
                *("use_locally_cached_dataset",),
            ),
            _TRAINING,
        ),
    },
    fixed={
        "looping_strategy": ("cycle",),
        "lora_rank": (None,),
        "lora_attn_rank": (None,),
        "premap_mixing_strat": ("default",),
        "postmap_mixing_strat": ("default",),
        "add_premap_pos_embeds": (False,),
        "init_res_proj_rank": (None,),
        "fin_res_proj_rank": (None,),
        "scale_embeddings": (False,),
        "attention_scores_scalar": (None,),
        "sliding_window_size": (None,),
        "parallel_residual": (False,),
        "bias": (False,),
        "lm_head_bias": (False,),
        "shared_attention_norm": (False,),
        "norm_class_name": ("RMSNorm",),
        "post_attention_norm": (False,),
        "post_mlp_norm": (False,),
        "mlp_class_name": ("LLaMAMLP",),
        "rope_condense_ratio": (1,),
        "rope_adjustments": (None,),
        "n_expert": (0,),
        "attention_logit_softcapping": (None,),
        "final_logit_softcapping": (None,),
    },
)
FAMILY = Family(
    ("hyperloop",),
    _KEYS,
    translate,
    is_hyperloop,
    pickles=("*.tar",),
    forms={"hyperloop": Form(_describe)},
)
