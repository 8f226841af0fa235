"""Subjects made of looplab's models: checkpoints, miniatures, folders, hub ids."""

import ast
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from looplab import tasks
from looplab.basics.memory import check_bytes
from looplab.model import LoopedTransformer
from looplab.reporting.protocol import Protocol
from looplab.reporting.subject import Case, Subject, check
from looplab.streaming.command import never_looped, start
from looplab.streaming.folder import fingerprint
from looplab.streaming.prompts import Encode, Prompt, batches, next_targets, read
from looplab.tasks import word_problems
from looplab.tracing import MAX_BYTES
from looplab.zoo import checkpoints, miniatures
from looplab.zoo.named import open_named

AT_ONCE = 2**26  # bytes of states that are held at a time


class Item(NamedTuple):
    """One input; it goes where a Prompt goes."""

    number: int  # from 0
    tokens: Tensor  # [token] or [token, field]
    targets: Tensor | None = None  # [token], or one less where they are the next tokens
    difficulty: Tensor | None = None  # [token]

    def cut(self, tokens: int) -> "Item":
        parts = (None if part is None else part[:tokens] for part in self[1:])
        return Item(self.number, *parts)


def open_model(
    name: str, prompts: Path | None, protocol: Protocol, device: torch.device
) -> Subject:
    """The model of this name on its prompts, or, without any, on its own task or texts of ours.

    ValueError for a model whose loops have different weights, and as `open_named` and
    `streaming.prompts.read` raise.
    """
    model, encode = open_named(name, torch.float32, device)
    if not model.config.tied:
        raise ValueError(
            f"{name}: an unrolled twin has other weights in every loop, so there is no loop to "
            "report on: take the tied model"
        )
    if model.config.solver != "plain":
        model = model.with_solver("plain")
    if prompts is not None:
        found = _drawn(read(prompts, model, encode), protocol)
        what, items = (
            f"{len(found)} prompts of {prompts.name}",
            [Item(n, one.tokens) for n, one in enumerate(found)],
        )
    else:
        what, items = _own(name, model, encode, protocol)
    items = [
        one if one.targets is not None else one._replace(targets=_next(model, one.tokens))
        for one in items
    ]
    return _subject(Path(name).name, model, what, items, protocol)


def _own(
    name: str, model: LoopedTransformer, encode: Encode, protocol: Protocol
) -> tuple[str, list[Item]]:
    draw = torch.Generator().manual_seed(protocol.seed)
    batch = None
    if name in checkpoints.names():
        task = checkpoints.card(name)["task"]
        what = f"{protocol.items} items of {task}, seed {protocol.seed}"
        batch = task_named(task)(protocol.items, draw)
    elif miniatures.is_one(model):
        what = f"{protocol.items} diaries in the miniatures' own language, seed {protocol.seed}"
        batch = miniatures.where_is(protocol.items, draw)
    if batch is not None:
        rows = zip(*batch, strict=True)
        return what, [Item(n, *row) for n, row in enumerate(rows)]
    texts = word_problems(protocol.items, protocol.seed)
    try:
        items = [Item(n, torch.tensor(encode(text))) for n, text in enumerate(texts)]
    except ValueError as error:
        ids = 'lines of {"tokens": [...]} in --prompts FILE'
        raise ValueError(f"{error}; or give ids, {ids}") from None
    what = f"{len(texts)} word problems of looplab's own, seed {protocol.seed}"
    return what, items


def _next(model: LoopedTransformer, tokens: Tensor) -> Tensor | None:
    targets = next_targets(model, tokens[None])
    return None if targets is None else targets[0]


def task_named(said: str) -> tasks.Task:
    """The task that a card names, such as "find_root(max_depth=5)".

    >>> task_named("flood_fill(side=4)")(2, torch.Generator()).tokens.shape
    torch.Size([2, 16])
    """
    name, settings = re.fullmatch(r"(\w+)\((.*)\)", said).groups()
    call = ast.parse(f"f({settings})", mode="eval").body
    named = {one.arg: ast.literal_eval(one.value) for one in call.keywords}
    return lambda batch, generator: getattr(tasks, name)(batch, generator, **named)


def _drawn(prompts: list[Prompt], protocol: Protocol) -> list[Prompt]:
    """At most `protocol.items` of them, evenly over the file."""
    count = min(protocol.items, len(prompts))
    return [prompts[n * len(prompts) // count] for n in range(count)]


def _subject(
    name: str, model: LoopedTransformer, what: str, items: Sequence[Item], protocol: Protocol
) -> Subject:
    config = model.config
    cuts = config.attention in ("causal", "window") and not config.prefix_lm

    def case(model: LoopedTransformer, some: Sequence[Item]) -> Case:
        tokens = torch.stack([one.tokens for one in some]).to(model.device)
        with torch.no_grad():
            ready = model.prepare(tokens, state=start(model, some))
        goals = [one.targets for one in some if one.targets is not None]
        hard = [one.difficulty for one in some if one.difficulty is not None]
        most = config.stream_sets - 1
        return Case(
            ready.start,
            lambda z, loop: model.step(z, ready, loop=min(loop, most)),
            lambda z: model.answer(z, ready),
            torch.stack(goals).to(model.device) if goals else None,
            torch.stack(hard) if hard else None,
            tuple(one.number for one in some),
            tokens,
        )

    def short(one: Item, tokens: int | None) -> Item:
        return one.cut(tokens) if cuts and tokens is not None else one

    longest = max(len(one.tokens) for one in items)
    a_state = 4 * protocol.loops * longest * config.state_width
    check_bytes(
        f"{protocol.loops} loops of {longest} tokens",
        {"states": 2 * a_state},
        MAX_BYTES,
        "give shorter prompts or a smaller --loops",
    )
    work = batches(items, max(1, AT_ONCE // a_state))

    def of(model: LoopedTransformer) -> Subject:
        def cases() -> Iterator[Case]:
            return (case(model, some) for some in work)

        def some(count: int, tokens: int | None = None) -> Case:
            alike = batches([short(one, tokens) for one in items], count)
            return case(model, max(alike, key=len))

        def one(number: int, tokens: int | None = None) -> Case:
            return case(model, [short(items[number], tokens)])

        @contextmanager
        def inside(dtype: torch.dtype) -> Iterator[Subject]:
            size = dtype.itemsize * sum(weight.numel() for weight in model.parameters())
            if size > MAX_BYTES:
                raise ValueError(f"a copy of the weights would take {size / 2**30:.1f} GiB")
            yield of(deepcopy(model).to(dtype))

        return Subject(
            name,
            f"{config.notation}, {sum(w.numel() for w in model.parameters())} parameters",
            what,
            len(items),
            config.loops,
            cases,
            some,
            one,
            inside,
            model,
            never_looped(model, protocol.loops),
            config.notation,
            sum(weight.numel() for weight in model.parameters()),
            fingerprint(model),
        )

    found = of(model)
    check(found.one(0, None), name)
    return found
