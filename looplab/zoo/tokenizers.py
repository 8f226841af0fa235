"""Text to token ids with a released model's own tokenizer, none of whose code is run."""

from collections.abc import Callable
from pathlib import Path


def tokenizer(folder: str | Path) -> Callable[[str], list[int]]:
    """A function from text to the ids of the tokenizer in a model's folder; no code of it is run.

    The tokenizer is loaded when the first text asks for it. Raises ValueError where there is none.
    """
    loaded = []

    def encode(text: str) -> list[int]:
        if not loaded:
            loaded.append(load_tokenizer(folder))
        return loaded[0](text)["input_ids"]

    return encode


def no_tokenizer(name: str) -> Callable[[str], list[int]]:
    """What stands in for the tokenizer of a checkpoint that has none."""

    def encode(text: str) -> list[int]:
        raise ValueError(
            f'the checkpoint {name} has no tokenizer: give ids, {{"tokens": [...]}}, '
            "as the functions of looplab.tasks make them"
        )

    return encode


def load_tokenizer(folder: str | Path):
    """The tokenizer in a model's folder, as transformers has it; ValueError where there is none."""
    try:
        from transformers import AutoTokenizer, PreTrainedConfig
    except ImportError:
        raise ValueError(
            'text needs a tokenizer: pip install transformers, or give ids, {"tokens": [...]}'
        ) from None
    try:
        # The tokenizer's own files decide: transformers does not know every family's config.json.
        config = PreTrainedConfig()
        where = Path(folder)
        if where.suffix == ".gguf" and where.is_file():
            return AutoTokenizer.from_pretrained(where.parent, gguf_file=where.name)
        return AutoTokenizer.from_pretrained(folder, config=config, trust_remote_code=False)
    except Exception as error:  # transformers raises whatever its parts do
        raise ValueError(
            f"{folder} has no tokenizer that transformers can load without running its code "
            f"({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}): "
            'add tokenizer.json and tokenizer_config.json, or give ids, {"tokens": [...]}'
        ) from error
