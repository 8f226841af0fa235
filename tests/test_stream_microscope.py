"""Streams and gates of a run kept, drawn, and moved under a slider."""

import json

import browser
import pytest
import torch
from rounding import LAYER, assert_rounds_to

from looplab import LoopedConfig, LoopedTransformer, measure, plots
from looplab.widgets import StreamMicroscope

SIZES = {"vocab": 128, "width": 16, "heads": 2, "prelude": 1, "core": 2, "coda": 1, "loops": 3}
CLOSE = {"rtol": 1e-3, "atol": 1e-3}
TEXT = "loops turn"


class Letters:
    """A tokenizer of single letters."""

    def __call__(self, text):
        return [ord(one) for one in text]

    def decode(self, ids):
        return "".join(map(chr, ids))


def made(**settings):
    """A small model whose gates depend on its state, and differ from stream to stream."""
    torch.manual_seed(0)
    model = LoopedTransformer(LoopedConfig(**SIZES | settings)).eval().requires_grad_(False)
    for name, weight in model.named_parameters():
        if name.endswith(("alpha", "hyper.bias", "embed")) or ".maps." in name:
            weight.copy_(torch.randn_like(weight))
    model.words = Letters()
    return model


@pytest.fixture(scope="module")
def model():
    return made(streams=4, loop_embed=True)


@pytest.fixture(scope="module")
def passes(model):
    return measure.stream_passes(model, TEXT, 5)


@pytest.fixture
def scope(model):
    return StreamMicroscope.of_text(model, TEXT, loops=5)


@pytest.mark.parametrize(
    "settings",
    [{"loop_embed": True}, {"stream_carry": "identity"}, {"tied": False, "streams": 1}],
    ids=str,
)
def test_streams_are_what_gates_make_of_them(settings):
    model = made(**{"streams": 3} | settings)
    run = measure.stream_passes(model, TEXT)
    after = run.res[..., None] * run.streams[:-1] + run.post[..., None] * run.written[:, :, :, None]
    assert_rounds_to(after, run.streams[1:], LAYER)
    ends = model(torch.tensor([model.words(TEXT)]), every_loop=True).loop_states
    assert_rounds_to(run.streams[1:].flatten(-2), ends, LAYER)
    assert (run.res == 1).all() == (settings.get("stream_carry") == "identity")


def test_of_mixed_streams_the_diagonal_is_kept():
    run = measure.stream_passes(made(streams=3, stream_carry="sinkhorn"), TEXT)
    assert run.res.shape == run.pre.shape and ((run.res > 0) & (run.res < 1)).all()


@pytest.mark.parametrize("settings", [{}, {"streams": 4, "stream_unit": "branch"}], ids=str)
def test_a_model_without_gates_around_a_pass_is_told_so(settings):
    with pytest.raises(ValueError, match="no gates around a pass; expected streams=4"):
        measure.stream_passes(made(**settings), TEXT)


def test_the_microscope_shows_what_was_measured(scope, model, passes):
    assert repr(scope) == "StreamMicroscope(loops=0..5, streams=4, tokens=10)"
    scope.token = 2
    state = scope.picture_state(3)
    for gate in ("pre", "post", "res"):
        torch.testing.assert_close(
            torch.tensor(state[gate]), getattr(passes, gate)[2, 0, 2], **CLOSE
        )
    streams = passes.streams[3, 0, 2]
    torch.testing.assert_close(torch.tensor(state["lengths"]), streams.norm(dim=-1), **CLOSE)
    shown = torch.tensor(state["strips"])
    wanted = (streams / streams.square().mean(-1, keepdim=True).sqrt()).clamp(-3, 3)
    torch.testing.assert_close(shown, wanted, rtol=0, atol=0.02)
    apart = streams - streams.mean(0)
    share = apart.norm(dim=-1) / streams.norm(dim=-1)
    torch.testing.assert_close(torch.tensor(state["apart"]), share, **CLOSE)
    scope.stage.head = 1
    shown = torch.tensor(scope.picture_state(3)["strips"])
    wanted = (apart / apart.square().mean(-1, keepdim=True).sqrt()).clamp(-3, 3)
    torch.testing.assert_close(shown, wanted, rtol=0, atol=0.02)
    assert json.loads(json.dumps(scope.stage.meta)) == scope.meta.as_dict()
    assert set(scope.meta.layout) == set(scope.numbers)


def test_each_stream_alone_and_their_mean_say_what_the_readout_says(scope, model, passes):
    scope.token = 4
    tokens = torch.tensor([model.words(TEXT)])
    streams = passes.streams[2]
    alone = [streams[..., [n] * 4, :].flatten(-2) for n in range(4)]
    for said, z in zip(scope.picture_state(2)["said"], [*alone, streams.flatten(-2)], strict=True):
        best = int(model.readout(z, tokens)[0, 4].argmax())
        assert said == (chr(best).replace("\n", "⏎").strip(" ") or "␣")


def test_at_the_start_streams_are_copies_and_nothing_is_written(scope):
    state = scope.picture_state(0)
    assert state["pre"] is None and state["written_length"] is None
    assert state["apart"] == [0, 0, 0, 0] and "the start before any pass" in state["words"]
    scope.stage.head = 1
    assert torch.tensor(scope.picture_state(0)["strips"]).abs().max() < 0.02


def test_it_is_moved_held_and_given_another_text(scope):
    scope.loop, scope.token = 9, 3
    assert (scope.loop, scope.token) == (5, 3)
    scope.hold(2)
    assert scope.describe().startswith("Loop 5 of 5 at token 4, “p”: of streams 1 to 4 it read ")
    assert scope.describe().endswith("Held beside it, loop 2.")
    scope.box.value = "abc"
    assert scope.meta.labels == ["a", "b", "c"] and (scope.token, scope.held_loop) == (2, None)
    before = scope.stage.data
    scope.box.value = "é"  # no token of this model
    assert scope.stage.data == before and scope.meta.labels[0] == "a"
    with pytest.raises(ValueError, match="loop=6: this run has loops 0 to 5"):
        scope.describe(6)
    assert 'data-looplab="stepper"' in scope.html()
    assert scope.payload < 2**18


def test_film_strips_tell_lengths_gates_and_words(scope, passes):
    strip = scope.film_strip((0, 1, 4, 9))
    assert strip.data["loops"] == [1, 4]
    lengths = ", ".join(f"{x:.3g}" for x in passes.streams[4, 0, -1].norm(dim=-1).tolist())
    kept = ", ".join(f"{x:.2f}" for x in passes.res[3, 0, -1].tolist())
    assert f"Loop 4: lengths {lengths}; " in strip.alt and f"kept H_res {kept}; " in strip.alt
    assert f"alone they would say “{scope.meta.said[4][-1][0]}”" in strip.alt
    scope.stage.head = 1
    assert "token 10, “n”, what differs from their mean, 4 of width 16." in scope.film_strip().alt
    with pytest.raises(ValueError, match="no loop to show: this run has 1 to 5"):
        scope.film_strip((0, 6))


def test_any_tokens_will_do_and_only_so_many(model):
    mazes = made(streams=2, vocab=3, classes=2, attention="grid", position="none", loops=4)
    scope = StreamMicroscope.of_tokens(mazes, torch.arange(9)[None] % 3)
    assert scope.meta.said is None and scope.picture_state(4)["said"] is None
    assert "say" not in scope.describe(4) and scope.meta.labels[:3] == ["0", "1", "2"]
    wide = made(streams=2, width=256)
    scope = StreamMicroscope.of_tokens(wide, [[1, 2]], words=["one", "two"])
    assert len(scope.picture_state(1)["strips"][0]) == 128 and scope.meta.width == 256
    with pytest.raises(ValueError, match="words names 1 tokens: there are 2"):
        StreamMicroscope.of_tokens(wide, [[1, 2]], words=["one"])
    with pytest.raises(ValueError, match=r"2 sequences of tokens: expected one, tokens\[:1\]"):
        StreamMicroscope.of_tokens(model, [[1, 2], [3, 4]])
    with pytest.raises(TypeError, match="does not know its tokenizer"):
        StreamMicroscope.of_text(LoopedTransformer(model.config), TEXT)


def test_what_is_too_much_or_not_finite_is_refused(passes):
    streams = passes.streams.clone()
    streams[3:] = torch.inf
    run = {"words": list(TEXT), "passes": passes._replace(streams=streams)}
    with pytest.raises(ValueError, match="not finite from loop 3 on: run fewer loops"):
        StreamMicroscope(run)
    many = passes._replace(
        streams=torch.zeros(1, 1, 1, 1, 1).expand(301, 1, 100, 4, 16),
        pre=torch.zeros(1, 1, 1, 1).expand(300, 1, 100, 4),
    )
    with pytest.raises(ValueError, match="100 tokens would take 5 MB in the browser: give fewer"):
        StreamMicroscope({"words": ["a"] * 100, "passes": many})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"streams": torch.ones(2, 8)}, r"shape \[2, 8\]: expected \[loop, stream, width\]"),
        ({"gates": {"a": torch.ones(2, 2)}}, r"gates 'a' have shape \[2, 2\]: expected \[loop, st"),
        ({"said": [["a"] * 3]}, r"said has 1 loops: expected words \[loop\]\[stream\] = \[2, 3\]"),
        ({"loops": (0,)}, r"loops=\[0\]: these streams have loops 1 to 2"),
    ],
)
def test_strips_that_do_not_fit_are_named(given, message):
    with pytest.raises(ValueError, match=message):
        plots.stream_strips(**{"streams": torch.ones(2, 3, 8), "gates": {}} | given)


NOTEBOOK = {
    "make": """\
import torch
from looplab import LoopedConfig, LoopedTransformer
from looplab.widgets import StreamMicroscope

class Letters:
    def __call__(self, text):
        return [ord(one) for one in text]
    def decode(self, ids):
        return "".join(map(chr, ids))

torch.manual_seed(0)
config = LoopedConfig(vocab=128, width=16, heads=2, prelude=1, core=2, coda=1, streams=4, loops=6)
model = LoopedTransformer(config).eval()
model.words = Letters()
scope = StreamMicroscope.of_text(model, "loops turn")""",
    "show": "scope",
    "read": "print(scope.loop, scope.token, scope.stage.head, scope.held_loop)\n"
    "print(scope.describe())",
}


def test_in_jupyterlab_keys_clicks_and_a_new_text_move_the_streams(chromium, each_lab):
    page, notebook, shown, agrees = browser.opened(chromium, each_lab, NOTEBOOK)
    agrees("0 9 0 None")
    menu = ("what differs from their mean", "3 8 1 None")
    keys = "Right Right Right Up"
    box = browser.by_keys_and_menu(page, shown, agrees, keys, "3 8 0 None", menu, "6 8 1 3")
    page.mouse.click(box["x"] + 30, box["y"] + 12)  # the second letter of the text
    agrees("6 1 1 3")
    below = box["y"] + 40 + 58 + 6 * 27 + 16 + 90  # where the lines are; they begin at the start
    page.mouse.click(box["x"] + 46, below)
    agrees("0 1 1 3")
    browser.reads_other(page, shown, agrees, "0 4 1 None")
    shown("input[type=text]").fill("é")
    page.keyboard.press("Enter")
    shown(".looplab-words", has_text="Not read: token id 233 is out of range").wait_for()
    assert notebook.all_errors() == [] and notebook.errors == []
    page.close()
