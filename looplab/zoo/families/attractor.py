"""Attractor: the answer is a fixed point, which Anderson's method looks for.

Behind a prelude c of ordinary layers, the looped map is f(y) = core(y + c) - y, from y = c on; its
fixed point y is read out by the last norm and the head. Layers are Parcae's, those of the core with
a gate for each channel on what a branch adds. One loop here is one evaluation of f.

Official code stops when the solver's relative residual is below `tol`; here a call runs as many
evaluations as it says, and `looplab.model.anderson` stops by a tolerance. The solver's weights are
of a whole sequence, so before it has converged a token depends on later ones; the plain loop,
`model.with_solver("plain")`, is causal.

Sources: github.com/jacobfa/Attractor, whose parts are Parcae's. Its own reader fails on the files
that it writes ("AttractorConfig" is none of the names that it knows); "EQLMConfig" is the older
name of the same model. The released file's name was not seen: model.pt is what the code writes.
"""

from looplab.model import LoopedConfig
from looplab.zoo.families.parcae import CODE_FIXED, CODE_HARMLESS, CODE_KEYS, block, code_settings
from looplab.zoo.family import Family, Form
from looplab.zoo.files import ConfigFile, Stored
from looplab.zoo.keys import Keys
from looplab.zoo.translation import LENGTH, Part, Translation, ends, stacked_layers

_ENDS = ("transformer.wte.weight", "lm_head.weight")
_CLASSES = ("AttractorConfig", "EQLMConfig")
_MODELS = ("Attractor", "EQLM")
_SOLVERS = {"anderson": "anderson", "fpi": "plain"}


def is_attractor(config: ConfigFile) -> bool:
    """Whether a config is an attractor's, which has no model_type."""
    return config.get("_class_name") in _CLASSES or config.get("model_class_name") in _MODELS


def translate(config: ConfigFile, stored: dict[str, Stored]) -> Translation:
    """Config and tensors of an attractor's folder."""
    ours = _config(config)
    width = (ours.width,)
    tensors = {
        **ends(ours, _ENDS, stored),
        "norm.weight": (Part("transformer.ln_f.weight", width),),
    }
    for here, there in stacked_layers(ours):
        tensors |= block(ours, here, there)
        if ours.branch_gain is not None and here.startswith("cores"):
            tensors[f"{here}attn_gain"] = (Part(f"{there}raw_gamma_attn", width),)
            tensors[f"{here}mlp_gain"] = (Part(f"{there}raw_gamma_mlp", width),)
    return Translation(ours, tensors, _ENDS, table="freqs_cis")


def _config(config: ConfigFile) -> LoopedConfig:
    gain = None
    if config["layer_scale_init"] is not None:
        gain = 1.0 if config["gamma_max"] is None else float(config["gamma_max"])
    return LoopedConfig(
        **code_settings(config),
        prelude=config["n_backbone_layers"],
        core=config["n_fp_blocks"],
        loops=config["max_iter"],
        injection="add",
        minus_state=True,
        branch_gain=gain,
        solver=config.one_of("solver", _SOLVERS),
        solver_memory=config["anderson_m"],
        solver_share=config["anderson_beta"],
    )


def _describe(config: LoopedConfig) -> dict:
    return {
        "_class_name": _CLASSES[0],
        "model_class_name": _MODELS[0],
        "anderson_beta": config.solver_share,
        "anderson_m": config.solver_memory,
        "bias": False,
        "block_class_name": "TransformerPreNormBlock",
        "block_size": LENGTH,
        "gamma_max": config.branch_gain,
        "init_strategy": "scaled-zero",
        "intermediate_size": config.hidden,
        "layer_scale_init": config.branch_gain,
        "max_iter": config.loops,
        "min_iter": 6,
        "mlp_class_name": "BaseMLP",
        "n_backbone_layers": config.prelude,
        "n_embd": config.width,
        "n_fp_blocks": config.core,
        "nonlin_name": "ReLU2",
        "norm_class_name": "RMSNorm",
        "norm_eps": config.norm_eps,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.key_heads,
        "padded_vocab_size": config.vocab,
        "qk_bias": False,
        "qk_norm": config.qk_norm == "rotated",
        "rope_settings": {
            "rope_base": config.rope_theta,
            "rope_condense_ratio": 1,
            "use_rope": True,
        },
        "solver": {ours: theirs for theirs, ours in _SOLVERS.items()}[config.solver],
        "tie_embeddings": config.tie_head,
        "tol": 3e-4,
        "vocab_size": config.vocab,
    }


_BACKWARD = "training only: the gradient through a fixed point"
_KEYS = Keys(
    used=(
        *CODE_KEYS,
        "n_backbone_layers",
        "n_fp_blocks",
        "max_iter",
        "solver",
        "anderson_m",
        "anderson_beta",
        "layer_scale_init",
        "gamma_max",
    ),
    harmless=CODE_HARMLESS
    | {
        "min_iter": "every evaluation that is asked for is run",
        "tol": "every evaluation that is asked for is run",
        "backward_type": _BACKWARD,
        "backward_max_iter": _BACKWARD,
        "backward_min_iter": _BACKWARD,
        "backward_tol": _BACKWARD,
        "adjoint_grad_clip": _BACKWARD,
        "fp_lr_scale": "training only",
        "fp_wd": "training only",
    },
    fixed=CODE_FIXED
    | {
        "causal": (True,),
        "model_class_name": _MODELS,
        "_class_name": _CLASSES,
    },
)
FAMILY = Family(
    ("attractor",),
    _KEYS,
    translate,
    is_attractor,
    pickles=("model.pt", "pytorch_model.bin"),
    forms={"attractor": Form(_describe)},
)
