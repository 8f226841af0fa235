"""One token after the other: the prompt in one go, then each new token through the loops."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from looplab.basics.whole import is_whole, whole_number
from looplab.generation.exits import ExitRule, Watch
from looplab.generation.sampling import choose
from looplab.model import LoopedTransformer, Site, Tap
from looplab.model.cache import Cache
from looplab.model.given import Words, given_types
from looplab.model.tap import show


@dataclass(frozen=True, eq=False)
class Generation:
    """What `generate` wrote, and what it cost."""

    tokens: Tensor  # prompt and new tokens [batch, token]; after a stop token, stop tokens
    loops: Tensor  # loops behind each new token [batch, new token]; 0 after a stop token
    full: int  # loops of a token that does not exit early
    cache: Cache  # every token but the last is in it
    words: Words | None = None  # the model's tokenizer, where it is known

    @property
    def text(self) -> list[str]:
        """Prompt and new tokens of each sequence as text, without special tokens.

        Raises TypeError where the model does not know its tokenizer.
        """
        if self.words is None:
            raise TypeError(
                "the model that wrote this does not know its tokenizer, as one from zoo.load does: "
                "decode .tokens with words = zoo.tokenizer(FOLDER); words.decode(tokens[0])"
            )
        return [self.words.decode(row) for row in self.tokens.tolist()]

    @property
    def saving(self) -> float:
        """Share of the fixed number of loops that early exit saved, over the tokens written."""
        return 1 - self.loops.sum().item() / (self.full * int((self.loops > 0).sum()))

    def __repr__(self):
        batch, new = self.loops.shape
        used = self.loops[self.loops > 0].double().mean().item()
        return (
            f"Generation(batch={batch}, new={new}, loops={used:.1f} of {self.full}, "
            f"saving={self.saving:.0%})"
        )


@torch.no_grad()
def generate(
    model: LoopedTransformer,
    tokens: Tensor,
    new: int = 32,
    loops: int | None = None,
    *,
    mask: Tensor | None = None,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
    stop: int | Sequence[int] | None = None,
    exit: ExitRule | None = None,
    tap: Tap | None = None,
    slots: int | None = None,
) -> Generation:
    """Continue `tokens` [batch, token] by up to `new` tokens, with `loops` loops each.

    Greedy, or sampled with `temperature`, `top_k` and `top_p` (`choose`). Sequences end at the
    token `stop`, or at any of several; the rest of their row is filled with the one they ended at.
    `mask` [batch, token] is False where a shorter prompt is padded on its left; tokens and mask may
    be arrays, lists or what a tokenizer returns, with its mask and types; a model that knows its
    `words` takes a text, or messages, and `.text` of the result is text again. `slots` makes loops
    share cache slots (`Cache`).

    With `exit`, a new token leaves the loop early; the prompt runs every loop, and so does the
    choice of the first token. Where a token left early, later tokens that run on see the keys and
    values of its last loop. Rows are run only while they need it.

    A `tap` (`looplab.model.tap`) sees and may replace the values of every pass: the prompt's tokens
    at once, then one token of each row that is still written and still in the loop; keys are those
    of all tokens so far.

    `generator` is drawn from in this order, whatever rows do: for start="normal" all states at
    loop 0, `model.start` of [batch, prompt + new, width], so that an uncached pass given slices of
    them as `state` agrees; then, when sampling, Exponential(1) of [batch, vocab] per new token.

    Raises ValueError as `Cache`, `choose` and the model's forward pass do, and for a model that
    reads something else than it writes, or fills in hidden tokens.

    >>> from looplab import LoopedConfig
    >>> model = LoopedTransformer(LoopedConfig(vocab=10, width=16, heads=2, core=2, loops=6))
    >>> generate(model, torch.tensor([[1, 2, 3]]), new=5)
    Generation(batch=1, new=5, loops=6.0 of 6, saving=0%)
    >>> generate(model, torch.tensor([[1, 2, 3]]), new=5, exit=ExitRule("step", 10.0)).loops
    tensor([[6, 2, 2, 2, 2]])
    """
    config = model.config
    loops = model.check_loops(loops)
    types = given_types(None, tokens)
    tokens, mask = model.read(tokens, mask)
    if config.fields != 1 or config.answers != config.vocab:
        raise ValueError(
            f"fields={config.fields}, classes={config.answers}, vocab={config.vocab}: a model that "
            "writes needs one field, and as many classes as vocab"
        )
    model.check_says_next("generate")
    new = whole_number("new", new, 1)
    stops = _stops(stop, config.vocab, tokens.device)
    batch, prompt = tokens.shape
    weight = model.head.weight
    cache = Cache(model, batch, loops, slots=slots, tokens=prompt + new, mask=mask)
    start = None
    if config.start == "normal":
        start = model.start(weight.new_empty(batch, prompt + new, config.width), generator)

    text = torch.cat((tokens, tokens.new_zeros(batch, new)), dim=1)
    used = torch.zeros(batch, new, dtype=torch.long, device=tokens.device)
    rows = torch.arange(batch, device=tokens.device)  # sequences still being written
    for at in range(prompt, prompt + new):
        if at == prompt:
            state = None if start is None else start[:, :prompt]
            # [batch, vocab]
            whole = model(tokens, loops, types=types, state=state, cache=cache, tap=tap)
            logits = whole.logits[:, -1]
            spent = loops
        else:
            state = None if start is None else start[rows, at - 1 : at]
            token = text[rows, at - 1 : at]
            logits, spent = _run(model, token, cache, loops, state, exit, rows, tap)
        luck = None
        if temperature > 0:
            luck = weight.new_empty(batch, config.vocab).float().exponential_(generator=generator)
            luck = luck[rows]
        chosen = choose(logits, temperature, top_k, top_p, luck)
        text[rows, at], used[rows, at - prompt] = chosen, spent
        if len(stops):
            ended = torch.isin(chosen, stops)
            text[rows[ended], at:] = chosen[ended, None]
            rows = rows[~ended]
            if not len(rows):
                text, used = text[:, : at + 1], used[:, : at + 1 - prompt]
                break
    return Generation(text, used, loops, cache, model.words)


def _stops(stop: int | Sequence[int] | None, vocab: int, device: torch.device) -> Tensor:
    """The tokens [stop] at which a sequence ends; ValueError for one that is no token."""
    given = [] if stop is None else [stop] if is_whole(stop) else stop
    for token in given if isinstance(given, Iterable) and not isinstance(given, str) else [given]:
        if not (is_whole(token, 0) and token < vocab):
            raise ValueError(f"stop={token!r}: this model knows the tokens 0 to {vocab - 1}")
    return torch.tensor(sorted({int(token) for token in given}), dtype=torch.long, device=device)


def _run(model, token, cache: Cache, loops, state, rule: ExitRule | None, rows, tap: Tap | None):
    """One token of each of `rows` [row, 1] -> logits [row, vocab] and loops used [row]."""
    everyone = len(rows) == cache.batch
    ready = whole = model.prepare(
        token, state=state, cache=cache, rows=None if everyone else rows, tap=tap
    )
    z = ready.start
    watch = None if rule is None else Watch(rule)
    left = torch.empty_like(z)  # states at the loop where each row left
    used = torch.full_like(rows, loops)
    inside = torch.arange(len(rows), device=rows.device)  # of `rows`, those still in the loop
    for loop in range(loops):
        z = model.step(z, ready, loop=loop, tap=tap)
        if watch is None or loop + 1 == loops:
            continue

        def readout(state, ready=ready):
            return model.answer(state[:, None], ready, tap=tap)[:, 0]

        def gate(state, loop=loop):
            return model.gate_logit(state[:, None], loop, tap=tap)[:, 0]

        settled = watch.settled(z[:, 0], readout, gate)
        if settled.any():
            left[inside[settled]], used[inside[settled]] = z[settled], loop + 1
            going = ~settled
            inside, z = inside[going], z[going]
            if not len(inside):
                break
            watch.keep(going)
            context = model.context(1, token[inside], cache, rows[inside])
            ready = ready._replace(tokens=token[inside], x=ready.x[going], context=context)
    left[inside] = z
    logits = show(tap, Site(None, None, "logits"), model.answer(left, whole, tap=tap))[:, 0]
    cache.commit(1, loops if rule is None else used, rows)
    return logits, used
