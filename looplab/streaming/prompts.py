"""Prompts: a file with one JSON object per line, and batches of equal length."""

import codecs
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from looplab.model import LoopedTransformer
from looplab.zoo import miniatures

Encode = Callable[[str | list[dict]], list[int]]


class Prompt(NamedTuple):
    """One line of the file."""

    line: int  # counted from 1
    tokens: Tensor  # [token] or [token, field]


def read(
    path: Path,
    model: LoopedTransformer,
    encode: Encode,
    reword: Callable[[Any], Any] = lambda said: said,
) -> list[Prompt]:
    """Every prompt of a JSONL file, {"tokens": [...]}, {"text": "..."} or {"messages": [...]}.

    A prompt is a line; messages are a chat's, [{"role": "user", "content": "..."}, ...]. `encode`
    turns a text, and messages, into token ids; `reword` may bring what a line says into one of
    these forms first; empty lines are skipped. Raises ValueError naming the first line that is no
    prompt for this model, before anything is run. UTF-8, or UTF-16 with its byte order mark; only a
    line feed ends a line.
    """
    prompts = []
    for number, line in enumerate(_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            tokens = _tokens(reword(json.loads(line)), encode)
            model.check_tokens(tokens[None])
        except (ValueError, TypeError) as error:  # a JSONDecodeError is a ValueError
            raise ValueError(f"{path}, line {number}: {error}") from None
        prompts.append(Prompt(number, tokens))
    if not prompts:
        raise ValueError(f'{path} has no prompts: expected lines like {{"tokens": [1, 2, 3]}}')
    return prompts


def _text(path: Path) -> str:
    """The file's text; ValueError naming the file and the line that is not in its encoding."""
    data = path.read_bytes()
    encoding = "utf-16" if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
    if encoding != "utf-16" and b"\0" in data:
        raise ValueError(
            f"{path} holds zero bytes, as UTF-16 without a byte order mark: save the file as UTF-8"
        )
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{path}, line {line}: not {encoding.upper().removesuffix('-SIG')} ({error.reason}): "
            "save the file as UTF-8"
        ) from None


def _tokens(said, encode: Encode) -> Tensor:
    if not isinstance(said, dict) or len(said.keys() & {"tokens", "text", "messages"}) != 1:
        raise ValueError('expected {"tokens": [...]}, {"text": "..."} or {"messages": [...]}')
    if "tokens" in said:
        return torch.tensor(said["tokens"])
    if "messages" in said:
        talk = said["messages"]
        if not (isinstance(talk, list) and talk and all(isinstance(one, dict) for one in talk)):
            raise ValueError(
                f'messages are {talk!r}: expected [{{"role": "user", "content": "..."}}, ...]'
            )
        return torch.tensor(encode(talk), dtype=torch.long)
    if not isinstance(said["text"], str):
        raise ValueError(f"text is {said['text']!r}: expected a string")
    return torch.tensor(encode(said["text"]), dtype=torch.long)


def next_targets(model: LoopedTransformer, tokens: Tensor) -> Tensor | None:
    """What the model should have said at each place of `tokens` [batch, token], or one token less.

    The next tokens, or, of a model that fills in hidden ones, the tokens themselves; None for a
    model that does not write what it reads.

    >>> from looplab import LoopedConfig
    >>> model = LoopedTransformer(LoopedConfig(vocab=9, width=16, heads=2))
    >>> next_targets(model, torch.tensor([[1, 2, 3]]))
    tensor([[2, 3]])
    """
    config = model.config
    if config.fields != 1 or config.answers != config.vocab or miniatures.is_one(model):
        return None
    if config.masked_lm:
        return tokens
    ahead = config.attention in ("causal", "window") and tokens.shape[1] > 1
    return tokens[:, 1:] if ahead else None


def batches(prompts: Sequence[Prompt], size: int) -> list[list[Prompt]]:
    """Prompts of one length together, at most `size` of them, the longest first.

    Padding would change what a model does and what an average over tokens means. The order depends
    on the prompts alone, so that every process of a run finds the same batches; the largest
    comes first, so that memory runs out at once or never.

    >>> prompts = [Prompt(n, torch.zeros(length)) for n, length in enumerate((2, 3, 2, 2), 1)]
    >>> [[prompt.line for prompt in batch] for batch in batches(prompts, 2)]
    [[2], [1, 3], [4]]
    """
    lengths: dict[int, list[Prompt]] = {}
    for prompt in prompts:
        lengths.setdefault(len(prompt.tokens), []).append(prompt)
    found = []
    for length in sorted(lengths, reverse=True):
        same = lengths[length]
        found += [same[first : first + size] for first in range(0, len(same), size)]
    return found
