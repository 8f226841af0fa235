"""Cached generation: against the uncached model, and early exit against taps on uncached runs."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from rounding import LAYER, assert_rounds_to
from torch.testing import assert_close

from looplab import LoopedConfig, LoopedTransformer, generate
from looplab.generation import ExitRule, choose
from looplab.measure.exits import acceleration_signal, answer_signal, first_exit, step_signal
from looplab.model import Cache

NORMS = ("pre", "residual_sandwich", "branch_sandwich", "branch_post")
INJECTIONS = ("none", "concat", "add", "diagonal")
SMALL = LoopedConfig(vocab=9, width=16, heads=4, prelude=1, core=2, coda=1, loops=4)
DEPTH = LAYER * SMALL.realized_depth  # sums in a row
CHUNKS = {"whole": [9], "one by one": [1] * 9, "chunks": [4, 1, 3, 1]}


def build(seed=0, **settings):
    torch.manual_seed(seed)
    model = LoopedTransformer(replace(SMALL, **settings)).eval()
    for value in model.parameters():  # norms that do something, layers that matter
        value.data += (0.3 if value.dim() == 1 else 0.1) * torch.randn_like(value)
    return model


def some_tokens(batch=2, token=9, seed=7):
    return torch.randint(9, (batch, token), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def in_parts(model, tokens, cache, sizes, start=None, loops=None):
    """Logits of all tokens, run in parts of the given sizes."""
    states = [None] * len(sizes) if start is None else start.split(sizes, dim=1)
    parts = zip(tokens.split(sizes, dim=1), states, strict=True)
    return torch.cat([model(t, loops, state=s, cache=cache).logits for t, s in parts], dim=1)


VARIANTS = [
    {"norm": norm, "injection": injection, "kv_heads": kv_heads}
    for norm in NORMS
    for injection in INJECTIONS
    for kv_heads in (None, 2)
] + [
    {"position": "rope_interleaved", "qk_bias": True},
    {"position": "none"},
    {"qk_norm": "head"},
    {"qk_norm": "all", "kv_heads": 1},
    {"attention": "window", "window": 3},
    {"rope_scaling": (8.0, 1.0, 4.0, 16.0), "mlp": "gated", "head_dim": 6},
    {"tied": False},
    {"start": "zeros", "injection": "add"},
    {"start": "normal", "injection": "concat"},
    {"start": "hashed", "injection": "orthogonal"},
    {"norm": "pre_bare_end", "injection": "concat", "injection_bias": True},
]


@pytest.mark.parametrize("settings", VARIANTS, ids=str)
def test_cached_equals_uncached_however_the_tokens_come(settings):
    model, tokens = build(**settings), some_tokens()
    start = None
    if model.config.start == "normal":
        start = model.start(torch.empty(2, 9, 16), torch.Generator().manual_seed(3))
    whole = model(tokens, state=start).logits
    for sizes in CHUNKS.values():
        cache = Cache(model, batch=2, tokens=2)  # small, so that it has to grow
        assert_rounds_to(in_parts(model, tokens, cache, sizes, start), whole, sums=DEPTH)
        assert cache.length == 9


class Patterns:
    patterns = True

    def __call__(self, site, value):
        return None


@pytest.mark.parametrize(
    "settings", [{}, {"attention": "window", "window": 3}, {"start": "hashed"}], ids=str
)
def test_left_padding_changes_nothing(settings):
    model, tokens = build(**settings), some_tokens()
    alone = model(tokens[:1, 4:]).logits
    mask = torch.ones(2, 9, dtype=torch.bool)
    mask[0, :4] = False
    for sizes in CHUNKS.values():
        cached = in_parts(model, tokens, Cache(model, 2, mask=mask), sizes)
        assert_rounds_to(cached[:1, 4:], alone, sums=DEPTH)
        assert_rounds_to(cached[1:], model(tokens[1:]).logits, sums=DEPTH)
    with torch.no_grad():  # with the softmax written out, a query that sees nothing would be NaN
        tap = Patterns()
        written_out = model(tokens, cache=Cache(model, 2, mask=mask), tap=tap).logits
        assert_rounds_to(written_out, cached, sums=DEPTH)
    both = generate(model, tokens, 6, mask=mask).tokens[:, 9:]
    assert torch.equal(both[:1], generate(model, tokens[:1, 4:], 6).tokens[:, 5:])
    assert torch.equal(both[1:], generate(model, tokens[1:], 6).tokens[:, 9:])


@pytest.mark.parametrize("start", ["input", "normal"])
@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_generation_equals_running_everything_again(start, temperature):
    model, tokens = build(start=start, injection="concat").double(), some_tokens(token=4)
    dice = torch.Generator().manual_seed(5)
    written = generate(model, tokens, 8, temperature=temperature, generator=dice)

    dice = torch.Generator().manual_seed(5)
    blank = torch.empty(2, 12, 16, dtype=torch.float64)
    states = model.start(blank, dice) if start == "normal" else None
    for _ in range(8):
        state = None if states is None else states[:, : tokens.shape[1]]
        logits = model(tokens, state=state).logits[:, -1]
        luck = torch.empty(2, 9).exponential_(generator=dice) if temperature else None
        tokens = torch.cat((tokens, choose(logits, temperature, luck=luck)[:, None]), dim=1)
    assert torch.equal(written.tokens, tokens)
    assert written.saving == 0


def test_fewer_slots_are_smaller_and_exact_at_a_fixed_point():
    """Where the state has come to rest, every loop has the same keys, so sharing costs nothing."""
    model = build(injection="concat", norm="residual_sandwich", loops=60).double()
    tokens = some_tokens()
    full, shared = (Cache(model, 2, slots=slots, tokens=9) for slots in (None, 1))
    assert full.nbytes == shared.nbytes * (60 * 2 + 2) / (2 + 2)
    exact = in_parts(model, tokens, full, [1] * 9)
    assert_rounds_to(exact, model(tokens).logits, sums=LAYER * model.config.realized_depth)
    shared = in_parts(model, tokens, shared, [1] * 9)
    assert_close(shared[:, -1], exact[:, -1], rtol=1e-3, atol=1e-3)  # as near as 60 loops come


def test_a_later_token_that_runs_more_loops_finds_the_last_loops_keys():
    model, tokens = build(), some_tokens(token=2)
    cache = Cache(model, 2, loops=4)
    in_parts(model, tokens[:, :1], cache, [1], loops=2)
    keys = cache._parts["core"][..., 0, :]  # of the first token [slot, layer, k or v, ...]
    assert_close(keys[2], keys[1], rtol=0, atol=0)
    assert_close(keys[3], keys[1], rtol=0, atol=0)
    assert not torch.allclose(keys[1], keys[0])
    cached = in_parts(model, tokens[:, 1:], cache, [1], loops=4)

    layer_inputs = {}

    def hold(site, value):  # keep the first token where it was at loop 2
        if site.name in ("core.inject", "core.resid", "core.loop_end"):
            if site.loop < 2:
                layer_inputs[site.layer, site.name] = value
            else:
                old = layer_inputs[site.layer, site.name]
                return torch.cat((old[:, :1], value[:, 1:]), dim=1)

    assert_rounds_to(cached[:, 0], model(tokens, 4, tap=hold).logits[:, 1], sums=DEPTH)


class Held:
    """A tap: earlier tokens are at each loop what a later token would find in the cache of them.

    It puts the layer inputs of another loop in place, so that the model computes the keys anew.
    """

    def __init__(self, past, exits, loops, slots):
        self.past, self.exits, self.loops, self.slots = past, exits, loops, slots
        self.new = {}  # (loop, layer, name) -> the newest token's value [batch, width]

    def found(self, row, token, loop):
        done = self.exits[token][row]
        same = [at for at in range(done) if at % self.slots == loop % self.slots]
        return same[-1] if same else done - 1

    def __call__(self, site, value):
        if site.name not in ("core.inject", "core.resid", "core.loop_end"):
            return None
        value = value.clone()
        for token, past in enumerate(self.past):
            for row in range(len(value)):
                loop = self.found(row, token, site.loop)
                if site.name == "core.loop_end":  # the coda sees the state at the exit
                    loop = self.exits[token][row] - 1
                value[row, token] = past[loop, site.layer, site.name][row]
        self.new[tuple(site)] = value[:, -1].clone()
        return value


def exit_loops(rule, model, states, logits):
    """Exits by the measures for whole runs: states [loop, batch, width] -> [batch]."""
    if rule.signal == "gate":
        chance = model.gate(states).squeeze(-1).sigmoid()
        inside = (1 - chance).cumprod(0)
        inside = torch.cat((torch.ones_like(inside[:1]), inside))
        return first_exit((chance * inside[:-1]).cumsum(0) >= rule.threshold)
    signal = {"step": step_signal, "acceleration": acceleration_signal, "answer": answer_signal}
    values = logits if rule.signal == "answer" else states
    return first_exit(signal[rule.signal](values) < rule.threshold)


@torch.no_grad()
def slowly(model, tokens, new, loops, rule, slots):
    """What `generate` does for a prompt of one token, without a cache: every token from scratch."""
    past, exits = [], []
    for _ in range(new):
        tap = Held(past, exits, loops, slots)
        run = model(tokens, loops, tap=tap, every_loop=True)
        states = run.loop_states  # [loop, batch, token, width]
        left = torch.full((len(tokens),), loops)
        if past and rule is not None:
            left = exit_loops(rule, model, states[:, :, -1], model.readout(states)[:, :, -1])
        ended = torch.stack([states[at - 1, row] for row, at in enumerate(left.tolist())])
        logits = model.readout(ended)[:, -1]
        past.append(tap.new)
        exits.append(left.tolist())
        tokens = torch.cat((tokens, logits.argmax(-1, keepdim=True)), dim=1)
    return tokens, torch.tensor(exits).T, logits


@pytest.mark.parametrize("slots", [None, 1, 2])
@pytest.mark.parametrize(
    "rule",
    [
        ExitRule("answer", 3e-3),
        ExitRule("step", 0.12),
        ExitRule("acceleration", 0.06),
        ExitRule("gate", 0.9),
        None,
    ],
    ids=lambda rule: getattr(rule, "signal", "none"),
)
def test_exits_equal_a_model_that_never_cached(rule, slots):
    model = build(norm="branch_sandwich", injection="concat", exit_gate=True, loops=7).double()
    model.gate.weight.data *= 3
    tokens = some_tokens(batch=3, token=1)
    written = generate(model, tokens, 8, exit=rule, slots=slots)
    text, exits, _ = slowly(model, tokens, 8, 7, rule, slots or 7)
    assert torch.equal(written.tokens, text)
    assert torch.equal(written.loops, exits)
    assert written.saving == pytest.approx(1 - exits.double().mean().item() / 7)
    if rule is not None:
        assert exits[:, 1:].unique().numel() > 1, "the rule should let tokens leave at many loops"
    # What is left in the cache, as the next token sees it
    after = in_parts(model, written.tokens[:, -1:], written.cache, [1])[:, 0]
    _, _, logits = slowly_from(model, text, exits, 7, slots or 7)
    assert_rounds_to(after, logits, sums=LAYER * model.config.realized_depth)


@torch.no_grad()
def slowly_from(model, text, exits, loops, slots):
    """Logits after `text` when its tokens left at `exits` [batch, token], the last at `loops`."""
    past, left = [], []
    for token in range(text.shape[1]):
        tap = Held(past, left, loops, slots)
        logits = model(text[:, : token + 1], loops, tap=tap).logits[:, -1]
        past.append(tap.new)
        left.append(exits[:, token].tolist() if token < exits.shape[1] else [loops] * len(text))
    return text, exits, logits


def test_a_rows_text_does_not_depend_on_when_others_stop():
    model, tokens = build(), some_tokens(batch=4, token=3)

    def dice():
        return torch.Generator().manual_seed(1)

    free = generate(model, tokens, 12, temperature=1.0, generator=dice()).tokens[:, 3:]
    stop = int(free[0, 4])
    ended = generate(model, tokens, 12, temperature=1.0, generator=dice(), stop=stop)
    for row, text, loops in zip(free, ended.tokens[:, 3:], ended.loops, strict=True):
        places = (row == stop).nonzero()
        length = int(places[0]) + 1 if len(places) else len(text)
        assert torch.equal(text[:length], row[:length])
        assert (text[length:] == stop).all()
        assert (loops[:length] == 4).all() and (loops[length:] == 0).all()


def test_generation_ends_when_every_row_has_stopped():
    model, tokens = build(), some_tokens(batch=1, token=3)
    stop = int(generate(model, tokens, 1).tokens[0, -1])
    written = generate(model, tokens, 12, stop=stop)
    assert written.tokens.shape == (1, 4) and written.loops.tolist() == [[4]]


def test_choices_follow_the_probabilities():
    torch.manual_seed(0)
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0, -2.0])
    many = logits.expand(40_000, 5)

    def shares(**settings):
        return F.one_hot(choose(many, **settings), 5).double().mean(0)

    def expected(kept, temperature=1.0):
        odds = (logits.double() / temperature).exp()
        odds[kept:] = 0
        return odds / odds.sum()

    close = {"rtol": 0, "atol": 5 * (0.25 / 40_000) ** 0.5}  # five standard deviations at most
    assert_close(shares(temperature=1.0), expected(5), **close)
    assert_close(shares(temperature=2.0), expected(5, 2.0), **close)
    assert_close(shares(temperature=1.0, top_k=2), expected(2), **close)
    # 0.636, 0.234, 0.086 ...: two hold 0.87, the third is needed for 0.9
    assert_close(shares(temperature=1.0, top_p=0.9), expected(3), **close)
    assert_close(shares(temperature=1.0, top_p=0.5), expected(1), **close)
    assert_close(shares(temperature=1e-30), expected(1), **close)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda m, t: generate(m, t, 0), "new=0"),
        (lambda m, t: generate(m, t, stop=9), "stop=9"),
        (lambda m, t: generate(m, t, loops=0), "loops=0"),
        (lambda m, t: generate(m, t[0]), "add a batch axis"),
        (lambda m, t: generate(m, t, slots=0), "slots=0"),
        (lambda m, t: generate(m, t, temperature=-1), "temperature=-1"),
        (lambda m, t: generate(m, t, top_k=3), "raise the temperature"),
        (lambda m, t: generate(m, t, temperature=1, top_k=0), "top_k=0"),
        (lambda m, t: generate(m, t, temperature=1, top_p=1.5), "top_p=1.5"),
        (lambda m, t: generate(m, t, exit=ExitRule("gate", 0.5)), "no exit gate"),
        (lambda m, t: ExitRule("gate", 1.0), "reaches 1 only by rounding"),
        (lambda m, t: ExitRule("kl", 1.0), "expected one of answer"),
        (lambda m, t: ExitRule("step", 0.0), "threshold=0.0"),
        (lambda m, t: generate(m, t, mask=t[:1] > -1), "expected .batch=2, token"),
        (lambda m, t: generate(m, t, mask=t < 0), "padding on the left"),
        (lambda m, t: generate(build(attention="full"), t), "lets tokens look ahead"),
        (lambda m, t: generate(build(classes=3), t), "as many classes as vocab"),
        (lambda m, t: m(t, cache=Cache(m, 2)), "no graph"),
        (lambda m, t: in_parts(m, t, Cache(m), [9]), "a batch of 2: this cache is for 1"),
        (lambda m, t: in_parts(m, t, Cache(m, 2), [9], loops=5), "loop 5 of a cache for 4"),
    ],
)
def test_bad_input_names_the_value_and_the_remedy(call, says):
    with pytest.raises(ValueError, match=says):
        call(build(), some_tokens())
