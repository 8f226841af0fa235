"""Which prompts a report reads: a file of yours, GSM8K, or problems and texts of our own."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch
from torch import Tensor

from looplab.model import LoopedTransformer
from looplab.reproduction.protocol import Protocol
from looplab.streaming.prompts import Encode, Prompt, read
from looplab.tasks import word_problems
from looplab.zoo import miniatures

GSM8K = "gsm8k"  # the name that stands for the data set
GREETING = "Good morning! I hope you slept well and that the kettle is already on."


@dataclass(frozen=True)
class Items:
    """Prompts, and in words what they are."""

    what: str
    prompts: tuple[Prompt, ...]
    illustration: Tensor  # [token]
    illustration_text: str


def choose(
    given: str | Path | Sequence | None,
    model: LoopedTransformer,
    encode: Encode | None,
    protocol: Protocol,
    illustration: str | None = None,
) -> Items:
    """The prompts of a report, drawn with the protocol's seed where there are more than it wants.

    `given` is a file as `looplab trace` reads it, or of GSM8K's own lines; "gsm8k", which asks the
    package `datasets`; texts or ids in a list; None for problems of our own in GSM8K's form, and
    for texts in their own language for the miniatures. `encode` turns text into ids, None where the
    model has no tokenizer. Raises ValueError naming a line that is no prompt, where there is none,
    and for an `illustration` that is no prompt.
    """
    little = encode is not None and miniatures.is_one(model)
    if given is None and little:
        what, prompts = _little_texts(protocol)
    elif given is None:
        what, prompts = _own(encode, protocol, model)
    elif str(given) == GSM8K and not Path(GSM8K).exists():
        what, prompts = _gsm8k(model, _must(encode))
    elif isinstance(given, str | Path):
        what, prompts = _file(Path(given), model, _must(encode))
    else:
        what, prompts = _listed(given, model, encode)
    taken = _drawn(prompts, protocol)
    if len(taken) < len(prompts):
        what += f", {len(taken)} of {len(prompts)} drawn with seed {protocol.seed}"
    cut = tuple(prompt._replace(tokens=prompt.tokens[: protocol.tokens]) for prompt in taken)
    if protocol.tokens is not None:
        what += f", the first {protocol.tokens} tokens of each"
    short = next((prompt for prompt in cut if len(prompt.tokens) < 2), None)
    if short is not None:
        raise ValueError(
            f"prompt {short.line} has {len(short.tokens)} token: expected 2 or more, because one "
            "token's attention says nothing"
        )
    first, text = _illustration(illustration, model, encode, cut, little)
    return Items(what, cut, first, text)


def _illustration(
    text: str | None,
    model: LoopedTransformer,
    encode: Encode | None,
    prompts: Sequence[Prompt],
    little: bool,
) -> tuple[Tensor, str]:
    if text is not None:
        return _encoded([text], model, _must(encode))[0].tokens, text
    text = GREETING
    if little:
        text = miniatures.text(miniatures.where_is(1, torch.Generator().manual_seed(9)).tokens[0])
    try:
        return _encoded([text], model, _must(encode))[0].tokens, text
    except ValueError:
        return prompts[0].tokens, f"prompt {prompts[0].line}, as this model has no tokenizer"


def _must(encode: Encode | None) -> Encode:
    def none(text) -> list[int]:
        raise ValueError(
            'this model has no tokenizer: give ids, lines of {"tokens": [...]} in --prompts FILE'
        )

    return none if encode is None else encode


def _little_texts(protocol: Protocol) -> tuple[str, list[Prompt]]:
    draw = torch.Generator().manual_seed(protocol.seed)
    tokens = miniatures.where_is(protocol.items, draw).tokens
    what = f"{protocol.items} texts in the miniatures' own language (not GSM8K)"
    return what, [Prompt(n, row) for n, row in enumerate(tokens, start=1)]


def _own(encode: Encode | None, protocol: Protocol, model) -> tuple[str, list[Prompt]]:
    texts = word_problems(protocol.items, protocol.seed)
    what = f"{len(texts)} problems of our own in the form of GSM8K (not GSM8K's)"
    return what, _encoded(texts, model, _must(encode))


def _listed(given: Sequence, model, encode: Encode | None) -> tuple[str, list[Prompt]]:
    if not len(given):
        raise ValueError("prompts=[]: expected texts or token ids, one or more")
    ids = [_must(encode)(one) if isinstance(one, str) else one for one in given]
    prompts = [Prompt(n, torch.as_tensor(one)) for n, one in enumerate(ids, start=1)]
    for prompt in prompts:
        model.check_tokens(prompt.tokens[None])
    return f"{len(prompts)} prompts that were given", prompts


def _encoded(texts: Sequence[str], model, encode: Encode) -> list[Prompt]:
    prompts = []
    for line, text in enumerate(texts, start=1):
        ids = torch.tensor(encode(text), dtype=torch.long)
        model.check_tokens(ids[None])
        prompts.append(Prompt(line, ids))
    return prompts


def _file(path: Path, model, encode: Encode) -> tuple[str, list[Prompt]]:
    def question(said):
        """GSM8K's own lines as text; anything else as it is."""
        if isinstance(said, dict) and said.keys() >= {"question", "answer"}:
            return {"text": _problem(said)}
        return said

    prompts = read(path.expanduser(), model, encode, question)
    return f"{len(prompts)} prompts of {path.name}", prompts


def _gsm8k(model, encode: Encode) -> tuple[str, list[Prompt]]:
    """GSM8K's test items through the package `datasets`, from its cache or the hub."""
    try:
        from datasets import load_dataset
    except ImportError:
        raise ImportError(
            "--prompts gsm8k asks the package datasets: pip install datasets, or give the file "
            "test.jsonl of github.com/openai/grade-school-math as --prompts"
        ) from None
    items = load_dataset("openai/gsm8k", "main", split="test")
    texts = [_problem(item) for item in items]
    return f"{len(texts)} test items of GSM8K", _encoded(texts, model, encode)


def _problem(item: dict) -> str:
    return f"Question: {item['question']}\nAnswer: {item['answer']}"


def _drawn(prompts: Sequence[Prompt], protocol: Protocol) -> list[Prompt]:
    if len(prompts) <= protocol.items:
        return list(prompts)
    taken = Random(protocol.seed).sample(range(len(prompts)), protocol.items)
    return [prompts[n] for n in sorted(taken)]
