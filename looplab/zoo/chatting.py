"""From messages to an answer: the model's own template, tokens, and text again."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch

from looplab.generation import generate
from looplab.model import LoopedTransformer
from looplab.zoo.named import folder_of
from looplab.zoo.tokenizers import LazyTokenizer


def chat(
    model: LoopedTransformer,
    messages: Sequence[dict] | str,
    source: str | Path | None = None,
    new: int = 256,
    *,
    template: str | None = None,
    **options,
) -> str:
    """What the model answers to `messages`, [{"role": "user", "content": "..."}, ...] or one text.

    The tokenizer, the template that the model was trained to talk in (another one, in Jinja, as
    `template`), and the tokens that end an answer are those of `source`, a folder, a hub id or a
    name; None means where the model was loaded from. At most `new` tokens are written; `options`
    are those of `looplab.generate`, such as loops= or exit=. Raises ValueError for a tokenizer
    without a template, for messages that it does not take, and as `generate` does.

    >>> from looplab.zoo.named import open_named
    >>> model, _ = open_named("ouro-mini")
    >>> story = "<bos> ann in barn bob with ann cat in cave dan with cat bob ?"
    >>> chat(model, story, new=1, template="{{ messages[0].content }}")
    'barn'
    """
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    words = model.words if source is None else LazyTokenizer(folder_of(str(source)))
    if words is None:
        raise ValueError("this model does not know its tokenizer: give source=, its folder or id")
    prompt = words.talk(messages, template)
    if "stop" not in options:
        options["stop"] = _ends(words)
    written = generate(model, [prompt], new, **options)
    answer = written.tokens[0, len(prompt) :]
    stops = torch.as_tensor(options["stop"] or [], device=answer.device).flatten()
    end = torch.isin(answer, stops).nonzero().flatten()
    kept = answer[: end[0]] if len(end) else answer
    return words.decode(kept.tolist())


def _ends(words: LazyTokenizer) -> list[int]:
    """The tokens at which an answer ends, as generation_config.json and the tokenizer say."""
    try:
        said = json.loads((words.folder / "generation_config.json").read_text(encoding="utf-8"))
        found = said.get("eos_token_id")
    except (OSError, ValueError, AttributeError):
        found = None
    found = found if isinstance(found, list) else [found]
    return sorted({end for end in [*found, words.tokenizer.eos_token_id] if end is not None})
