"""What people have: lists, arrays, a tokenizer's output, masks, whole numbers of NumPy."""

from collections import UserDict

import numpy as np
import pytest
import torch
from rounding import assert_rounds_to
from test_generate import DEPTH, build, in_parts, some_tokens

from looplab import LoopedConfig, adapt, generate, trace
from looplab.model import Cache
from looplab.streaming import stream
from looplab.train import Recipe

LEFT = torch.ones(2, 9, dtype=torch.bool)
LEFT[0, :4] = False


@pytest.mark.parametrize(
    "settings", [{}, {"attention": "window", "window": 3}, {"coda": 2}], ids=str
)
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_mask_hides_padding_from_model_and_trace(settings, side):
    model, tokens = build(**settings), some_tokens()
    mask = LEFT if side == "left" else LEFT.flip(1)
    kept = mask[0].nonzero().flatten()
    alone = trace(model, tokens[:1, kept], keep=("states", "attention"))
    both = trace(model, tokens, mask=mask, keep=("states", "attention"))
    assert_rounds_to(both.logits[:1, kept], alone.logits, sums=DEPTH)
    assert_rounds_to(both.states[:, :, :1, kept], alone.states, sums=DEPTH)
    seen = both.attention[:, :, :1]
    assert_rounds_to(seen[..., kept, :][..., kept], alone.attention, sums=DEPTH)
    assert_rounds_to(both.logits[1:], model(tokens[1:]).logits, sums=DEPTH)
    assert_rounds_to(model(tokens, mask=mask).logits, both.logits, sums=DEPTH)
    states = model(tokens, mask=mask, every_loop=True).loop_states
    assert_rounds_to(model.readout(states, mask=mask)[-1], both.logits, sums=DEPTH)


def test_a_mask_where_tokens_look_both_ways():
    model, tokens = build(attention="full"), some_tokens()
    alone = model(tokens[:1, 4:]).logits
    assert_rounds_to(model(tokens, mask=LEFT).logits[:1, 4:], alone, sums=DEPTH)


class Encoded(UserDict):
    """What a tokenizer returns, as transformers makes it."""

    def __getattr__(self, name):
        try:
            return self.data[name]
        except KeyError:
            raise AttributeError from None


PEOPLE_HAVE = {
    "lists": lambda ids: ids.tolist(),
    "numpy": lambda ids: ids.numpy(),
    "numpy, unsigned": lambda ids: ids.numpy().astype("uint16"),
    "int32": lambda ids: ids.int(),
    "uint8": lambda ids: ids.to(torch.uint8),
    "tensors": lambda ids: list(ids),
    "encoding": lambda ids: Encoded(input_ids=ids, attention_mask=torch.ones_like(ids)),
    "encoding of lists": lambda ids: {"input_ids": ids.tolist()},
}


@pytest.mark.parametrize("kind", PEOPLE_HAVE)
def test_tokens_as_people_have_them(kind):
    model, ids = build(), some_tokens()
    given = PEOPLE_HAVE[kind](ids)
    with torch.no_grad():
        assert torch.equal(model(given).logits, model(ids).logits)
        assert torch.equal(model.encode(given), model.encode(ids))
    run = trace(model, given, loops=np.int64(2))
    assert torch.equal(run.states, trace(model, ids, loops=2).states)
    assert torch.equal(run.tokens, ids)
    written = generate(model, given, np.int64(3), loops=np.int64(2), stop=np.int64(1))
    assert torch.equal(written.tokens, generate(model, ids, 3, loops=2, stop=1).tokens)
    assert torch.equal(stream(model, given).norm, stream(model, ids).norm)


def test_the_mask_of_a_tokenizers_output_counts():
    model, ids = build(), some_tokens()
    given = Encoded(input_ids=ids, attention_mask=LEFT.long())
    with torch.no_grad():
        assert torch.equal(model(given).logits, model(ids, mask=LEFT).logits)
    assert torch.equal(generate(model, given, 4).tokens, generate(model, ids, 4, mask=LEFT).tokens)
    with pytest.raises(ValueError, match="padded, and a stream"):
        stream(model, given)


def test_settings_of_numpy_are_kept_as_json_has_them():
    config = LoopedConfig(vocab=np.int64(9), width=16, heads=2, loops=np.int32(3))
    assert type(config.vocab) is type(config.loops) is int
    assert type(Recipe(steps=np.int64(5), batch=2, loops=np.int64(3)).steps) is int


def test_several_tokens_end_a_sequence():
    model, ids = build(), some_tokens()
    free = generate(model, ids, 12).tokens[:, 9:]
    stops = {int(free[0, 3]), int(free[1, 5])}
    found = generate(model, ids, 12, stop=sorted(stops))
    for row, written in enumerate(found.tokens[:, 9:].tolist()):
        at = next(n for n, token in enumerate(free[row].tolist()) if token in stops)
        assert written[: at + 1] == free[row, : at + 1].tolist()
        assert set(written[at:]) == {int(free[row, at])}  # filled with the one it ended at
        assert found.loops[row].gt(0).sum() == at + 1


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda m, t: generate(m, t, mask=t > 99), r"shape \(2, 9\) hides every token of sequence"),
        (lambda m, t: generate(m, t, mask=t[:, :5] > -1), r"shape \(2, 5\).*token=9"),
        (lambda m, t: generate(m, t, mask=torch.ones(2, 14)), r"shape \(2, 14\).*token=9"),
        (lambda m, t: generate(m, t, mask=torch.full((2, 9), 2)), "values from 2 to 2"),
        (lambda m, t: Cache(m, 2, mask=t > 99), r"shape \(2, 9\) hides"),
        (lambda m, t: Cache(m, 2, mask=[1, 1]), r"shape \(2,\): expected .batch=2"),
        (
            lambda m, t: in_parts(m, t, Cache(m, 2, mask=LEFT[:, :5]), [9]),
            r"mask has shape \(2, 5\), but these are tokens 1 to 9",
        ),
        (
            lambda m, t: in_parts(m, t, Cache(m, 2, mask=LEFT[:, :5]), [3, 6]),
            r"mask has shape \(2, 5\), but these are tokens 4 to 9",
        ),
        (lambda m, t: m(t, mask=t[:, :5] > -1), r"shape \(2, 5\).*token=9"),
        (lambda m, t: m(t, mask=LEFT, cache=Cache(m, 2)), "give it Cache.mask="),
        (lambda m, t: trace(m, t, mask=t[:1] > -1), r"shape \(1, 9\).*batch=2"),
        (lambda m, t: trace(adapt(torch.nn.Identity()), t, mask=LEFT), "takes no mask"),
        (lambda m, t: generate(m, t, stop=[1, 9]), "stop=9"),
        (lambda m, t: generate(m, t, stop="end"), "stop='end'"),
        (lambda m, t: generate(m, t, stop=1.5), "stop=1.5"),
        (lambda m, t: generate(m, [[1, 2], [3]]), "several lengths"),
        (lambda m, t: generate(m, {"ids": [[1]]}), "tokens have ids: expected input_ids"),
    ],
)
def test_what_cannot_be_meant_names_shapes_and_remedy(call, says):
    with pytest.raises(ValueError, match=says):
        call(build(), some_tokens())
