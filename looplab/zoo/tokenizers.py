"""Text to token ids with a released model's own tokenizer, none of whose code is run."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from looplab.zoo.gguf_header import read_header

FIRST = "tokenizer.ggml.add_bos_token"


class LazyTokenizer:
    """The tokenizer in a model's folder or GGUF file, loaded when the first text asks for it.

    words(text) and words(messages) give ids, words.decode(ids) a text. No code of the model's is
    run. Raises ValueError where there is no tokenizer.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)

    def __repr__(self):
        return f"LazyTokenizer({str(self.folder)!r})"

    @cached_property
    def tokenizer(self):
        """The tokenizer as transformers has it."""
        return load_tokenizer(self.folder)

    def __call__(self, text: str | Sequence[Mapping]) -> list[int]:
        """Ids of a text; of messages too, up to where the next answer begins.

        Behind a last message of the assistant's, nothing begins.
        """
        if isinstance(text, str):
            return self.tokenizer(text)["input_ids"]
        return self.talk(text, begin=text[-1].get("role") != "assistant")

    def talk(
        self, messages: Sequence[Mapping], template: str | None = None, begin: bool = True
    ) -> list[int]:
        """Ids of messages in the form that the model was trained to talk in, or by a `template`.

        With `begin` they end where the assistant's next answer begins. Raises ValueError for a
        tokenizer without a template, and for messages that the template does not take.
        """
        if not (template or self.tokenizer.chat_template):
            raise ValueError(
                f"the tokenizer of {self.folder} has no chat template, so this model was not "
                "trained to talk: give zoo.chat a template=, or give text instead of messages"
            )
        try:
            return self.tokenizer.apply_chat_template(
                list(messages),
                chat_template=template,
                add_generation_prompt=begin,
                return_dict=True,
            )["input_ids"]
        except Exception as error:  # templates raise whatever they like
            raise ValueError(
                f"the chat template of {self.folder} does not take these messages ({error}): "
                'expected [{"role": "user", "content": "..."}, ...]'
            ) from error

    def decode(self, ids: Sequence[int]) -> str:
        """The text of some ids, without special tokens."""
        return self.tokenizer.decode(ids, skip_special_tokens=True)


def tokenizer(folder: str | Path) -> LazyTokenizer:
    """What turns text into the ids of the tokenizer in a model's folder."""
    return LazyTokenizer(folder)


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
        from transformers import AutoTokenizer, PretrainedConfig
    except ImportError:
        raise ValueError(
            'text needs a tokenizer: pip install transformers, or give ids, {"tokens": [...]}'
        ) from None
    try:
        # The tokenizer's own files decide: transformers does not know every family's config.json.
        config = PretrainedConfig()
        where = Path(folder)
        if where.suffix.lower() == ".gguf" and where.is_file():
            # transformers 4 puts a first token in front of a text, whatever the file says.
            said, _ = read_header(where, lambda name: name == FIRST)
            first = {} if said.get(FIRST, True) else {"add_bos_token": False}
            return AutoTokenizer.from_pretrained(where.parent, gguf_file=where.name, **first)
        if (where / "tokenizer").is_dir() and not (where / "tokenizer.json").exists():
            where = where / "tokenizer"  # IFM's
        return AutoTokenizer.from_pretrained(where, config=config, trust_remote_code=False)
    except Exception as error:  # transformers raises whatever its parts do
        raise ValueError(
            f"{folder} has no tokenizer that transformers can load without running its code "
            f"({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}): "
            'add tokenizer.json and tokenizer_config.json, or give ids, {"tokens": [...]}'
        ) from error
