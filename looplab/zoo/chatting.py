"""From messages to an answer: the model's own template, tokens, and text again."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch

from looplab.generation import generate
from looplab.model import LoopedTransformer
from looplab.zoo.named import folder_of
from looplab.zoo.tokenizers import load_tokenizer


def chat(
    model: LoopedTransformer,
    messages: Sequence[dict] | str,
    source: str | Path,
    new: int = 256,
    *,
    template: str | None = None,
    **options,
) -> str:
    """What the model answers to `messages`, [{"role": "user", "content": "..."}, ...] or one text.

    `source` is the folder or hub id that the model was loaded from: its tokenizer, the template
    that it was trained to talk in (another one, in Jinja, as `template`), and the tokens that end
    an answer are taken from there. At most `new` tokens are written; `options` are those of
    `looplab.generate`, such as loops= or exit=. Raises ValueError for a tokenizer without a
    template, for messages that it does not take, and as `generate` does.

    >>> from looplab.zoo.named import open_named
    >>> model, _ = open_named("ouro-mini")
    >>> story = "<bos> ann in barn bob with ann cat in cave dan with cat bob ?"
    >>> chat(model, story, "ouro-mini", new=1, template="{{ messages[0].content }}")
    'barn'
    """
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    folder = folder_of(str(source))
    tokenizer = load_tokenizer(folder)
    if not (template or tokenizer.chat_template):
        raise ValueError(
            f"the tokenizer of {folder} has no chat template, so this model was not trained to "
            "talk: give template=, or give generate its token ids"
        )
    try:
        encoded = tokenizer.apply_chat_template(
            list(messages),
            chat_template=template,
            add_generation_prompt=True,
            return_dict=True,
            return_tensors="pt",
        )
    except Exception as error:  # templates raise whatever they like
        raise ValueError(
            f"the chat template of {folder} does not take these messages ({error}): expected "
            '[{"role": "user", "content": "..."}, ...]'
        ) from error
    if "stop" not in options:
        options["stop"] = _ends(folder, tokenizer)
    written = generate(model, encoded, new, **options)
    answer = written.tokens[0, encoded["input_ids"].shape[1] :]
    stops = torch.as_tensor(options["stop"] or [], device=answer.device).flatten()
    end = torch.isin(answer, stops).nonzero().flatten()
    kept = answer[: end[0]] if len(end) else answer
    return tokenizer.decode(kept.tolist(), skip_special_tokens=True)


def _ends(folder: Path, tokenizer) -> list[int]:
    """The tokens at which an answer ends, as generation_config.json and the tokenizer say."""
    try:
        said = json.loads((folder / "generation_config.json").read_text(encoding="utf-8"))
        found = said.get("eos_token_id")
    except (OSError, ValueError, AttributeError):
        found = None
    found = found if isinstance(found, list) else [found]
    return sorted({end for end in [*found, tokenizer.eos_token_id] if end is not None})
