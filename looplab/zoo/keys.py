"""Every setting of a config.json is read, known to change nothing, or refused by name.

A setting that is passed over in silence may be the one that makes it another model: a partial
rotation, a sliding window, a number of loops in a config that is otherwise Llama's. So each family
has a table, and a name that is in none of its columns is an error.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from looplab.zoo.files import ConfigFile

_WORDS = "how generate() writes, not what the model computes"
_TRAINING = "training only"

# What transformers writes into the config of any model, whatever it computes.
EVERYWHERE = {
    "model_type": "says the family",
    "transformers_version": "who wrote the file",
    "torch_dtype": "the files' own dtype is read",
    "dtype": "the files' own dtype is read",
    "_name_or_path": "where the file came from",
    "name_or_path": "where the file came from",
    "_commit_hash": "where the file came from",
    "_attn_implementation": "another kernel, the same formula",
    "_attn_implementation_autoset": "another kernel, the same formula",
    "attn_implementation": "another kernel, the same formula",
    "use_cache": "speed only",
    "torchscript": "tracing only",
    "return_dict": "form of the output",
    "use_return_dict": "form of the output",
    "output_hidden_states": "form of the output",
    "output_attentions": "form of the output",
    "chunk_size_feed_forward": "memory only",
    "use_bfloat16": "TensorFlow only",
    "tf_legacy_loss": "TensorFlow only",
    "is_decoder": "Llama-like models are causal without it",
    "tie_encoder_decoder": "there is no encoder",
    "decoder_start_token_id": "there is no encoder",
    "finetuning_task": "no head for classes is read",
    "num_labels": "no head for classes is read",
    "id2label": "no head for classes is read",
    "label2id": "no head for classes is read",
    "problem_type": "no head for classes is read",
    "task_specific_params": _WORDS,
    "tokenizer_class": "the tokenizer's own files decide",
    "prefix": _WORDS,
    "initializer_range": _TRAINING,
    "attention_dropout": _TRAINING,
    **dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id"), _WORDS),
    **dict.fromkeys(
        (
            "bad_words_ids",
            "begin_suppress_tokens",
            "diversity_penalty",
            "do_sample",
            "early_stopping",
            "encoder_no_repeat_ngram_size",
            "epsilon_cutoff",
            "eta_cutoff",
            "exponential_decay_length_penalty",
            "forced_bos_token_id",
            "forced_eos_token_id",
            "length_penalty",
            "max_length",
            "max_new_tokens",
            "min_length",
            "no_repeat_ngram_size",
            "num_beam_groups",
            "num_beams",
            "num_return_sequences",
            "output_scores",
            "remove_invalid_values",
            "repetition_penalty",
            "return_dict_in_generate",
            "suppress_tokens",
            "temperature",
            "top_k",
            "top_p",
            "typical_p",
        ),
        _WORDS,
    ),
}
# What transformers writes everywhere too, and what would be another model at another value.
_EVERYWHERE_FIXED = {
    "is_encoder_decoder": (False,),
    "add_cross_attention": (False,),
    "cross_attention_hidden_size": (None,),
    "pruned_heads": ({},),
    "quantization_config": (None,),
}


@dataclass(frozen=True)
class Keys:
    """A family's table of settings.

    >>> from pathlib import Path
    >>> table = Keys(used=("hidden_size",), fixed={"bias": (False,)})
    >>> table.check(ConfigFile(Path("config.json"), {"hidden_size": 64, "bias": False}))
    >>> table.check(ConfigFile(Path("config.json"), {"num_loops": 4}))
    Traceback (most recent call last):
    ValueError: config.json says num_loops=4, a setting that looplab does not know in this family: \
it may make it another model. Where the model's own code does nothing with it, take it out of a \
copy of the file; else looplab cannot read this model
    """

    used: tuple[str, ...]  # read by the family's `translate`, or refused there
    harmless: Mapping[str, str] = field(default_factory=dict)  # key -> why it changes nothing
    fixed: Mapping[str, tuple] = field(default_factory=dict)  # key -> values that change nothing
    classes: tuple[str, ...] = ()  # names of the official model classes that are read

    def check(self, config: ConfigFile) -> None:
        """ValueError naming the first setting that is unknown, or that would change the model.

        A value of null says that a setting is not used, whatever its name.
        """
        for key, known in {**_EVERYWHERE_FIXED, **self.fixed}.items():
            config.must_be(key, *known)
        named = config.get("architectures") or ()
        for name in [named] if isinstance(named, str) else named:
            if self.classes and name not in self.classes:
                raise ValueError(
                    f"{config.path} says architectures={named!r}: looplab has this family only "
                    f"with {' or '.join(self.classes)}, another class may compute something else"
                )
        for key, value in config.values.items():
            if not (value is None or key == "architectures" or key in self):
                raise ValueError(
                    f"{config.path} says {key}={value!r}, a setting that looplab does not know in "
                    "this family: it may make it another model. Where the model's own code does "
                    "nothing with it, take it out of a copy of the file; else looplab cannot read "
                    "this model"
                )

    def __contains__(self, key: str) -> bool:
        columns = (self.used, self.harmless, self.fixed, EVERYWHERE, _EVERYWHERE_FIXED)
        return any(key in column for column in columns)


def own_code(config: ConfigFile) -> None:
    """Refuse a family that transformers reads itself and that comes with code for its model.

    >>> from pathlib import Path
    >>> own_code(ConfigFile(Path("config.json"), {"auto_map": {"AutoTokenizer": "words.Words"}}))
    """
    code = config.get("auto_map") or {}
    if not isinstance(code, dict):
        raise ValueError(f"{config.path} says auto_map={code!r}: expected an object")
    found = [f"{key}={value!r}" for key, value in code.items() if not key.startswith("AutoToken")]
    if found:
        raise ValueError(
            f"{config.path} has auto_map with {found[0]}: this model has code of its own, which "
            "looplab never runs and which may compute something else than model_type="
            f"{config.get('model_type')!r}. Where it does not, take auto_map out of a copy of the "
            "file"
        )
