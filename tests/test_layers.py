"""A model layer by layer: numbers taken while it runs, answers kept in a file, the microscope."""

import json

import browser
import pytest
import torch

from looplab import LoopedConfig, LoopedTransformer, measure, plots, trace, zoo
from looplab.course import build
from looplab.experiments import layerwise
from looplab.experiments.layerwise import (
    Answers,
    by_layer,
    layer_run,
    loop_run,
    next_token_loss,
)
from looplab.widgets import LayerMicroscope, WordMicroscope
from looplab.zoo import loopify

CONFIG = LoopedConfig(vocab=128, width=16, heads=2, core=5, loops=1)
TOKENS = torch.arange(12).view(3, 4)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return LoopedTransformer(CONFIG).eval().requires_grad_(False)


def run_of(model, text):
    return layer_run(model, lambda text: [ord(one) for one in text], lambda ids: chr(ids[0]), text)


def test_layers_are_measured_as_a_trace_would_be(model):
    measures = {
        "attn.pattern": {"sinks": measure.sink_rate, "mixing": measure.mixing_score},
        "resid": {"length": lambda x: x[:, 0].norm(dim=-1)},
    }
    found = by_layer(model, TOKENS, measures, batch=2)
    patterns = measure.mean_patterns(model, TOKENS)
    assert {name: list(value.shape) for name, value in found.items()} == {
        **{name: [5, 3] for name in ("sinks", "mixing", "length")},
        "loss": [3],
    }
    states = []
    logits = model(
        TOKENS, tap=lambda site, x: states.append(x) if site.name == "core.resid" else None
    ).logits
    torch.testing.assert_close(found["length"], torch.stack(states)[:, :, 0].norm(dim=-1))
    torch.testing.assert_close(found["loss"], next_token_loss(logits, TOKENS))
    assert len(patterns.core[0]) == len(found["mixing"])
    whole = by_layer(model, TOKENS, measures)
    torch.testing.assert_close(found, whole)


def test_a_tap_changes_what_is_measured_and_loops_follow_each_other(model):
    def mute(site, value):
        return torch.zeros_like(value) if site.name.endswith("resid") else None

    length = {"resid": {"length": lambda x: x.norm(dim=-1).mean(1)}}
    assert (by_layer(model, TOKENS, length, tap=mute)["length"] == 0).all()
    looped = loopify(model, 1, 3, loops=4, injection=0.5)
    assert by_layer(looped, TOKENS, length, loops=4)["length"].shape == (1 + 2 * 4 + 2, 3)


def test_answers_are_asked_again_or_read(tmp_path, monkeypatch):
    monkeypatch.setattr(layerwise, "_DATA", tmp_path)
    asked = []

    def question():
        asked.append(1)
        return {"numbers": torch.tensor([0.25, 3.0]), "at": torch.tensor([1]), "words": ["a"]}

    live = Answers("record.safetensors", live=True, record=lambda name: True)
    live.ask("one", question, live=False)
    live.save()
    away = Answers("record.safetensors", live=False)
    told = away.ask("one", question)
    assert told["numbers"].tolist() == [0.25, 3.0] and told["numbers"].dtype == torch.float32
    assert told["at"].tolist() == [1] and told["words"] == ["a"]
    assert len(asked) == 1
    Answers("record.safetensors", live=True).ask("one", question)
    Answers("record.safetensors", live=True).ask("one", question, live=False)
    assert len(asked) == 2
    again = Answers("record.safetensors", live=True, record=lambda name: name != "one")
    assert again.ask("one", question)["numbers"].tolist() == [0.25, 3.0]
    assert len(asked) == 2
    with pytest.raises(ValueError, match=r"has no 'two': it has \['one'\]"):
        away.ask("two", question)
    live.ask("large", lambda: {"x": torch.tensor([1e6])})
    with pytest.raises(ValueError, match="large, x: not finite in half precision"):
        live.save()
    (tmp_path / "record.safetensors").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="is not a readable record"):
        Answers("record.safetensors", live=False).ask("one", question)


def test_the_stored_record_answers_the_chapter():
    answers = Answers("smollm2_stages.safetensors", live=False)
    assert answers.path.stat().st_size < 2 * 2**20
    base = answers.ask("base", lambda: pytest.fail("asked"))
    assert base["sinks"].shape == (30, 64)
    assert base["sinks"][12:29].mean() > 0.8 > 0.1 > base["sinks"][10:12].mean()
    text = answers.ask("text", lambda: pytest.fail("asked"))
    assert repr(LayerMicroscope(text)).startswith("LayerMicroscope(layers=0..29, heads=9")


def test_the_chapter_runs_on_the_record_where_the_model_is_not(monkeypatch, capsys):
    monkeypatch.setattr(zoo, "has_smollm2", lambda: False)
    monkeypatch.setattr(zoo, "smollm2", lambda: pytest.fail("the model was loaded"))
    space = {"__name__": "chapter 07"}
    for cell in build.make(build.find("07"), "unsolved").cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, f"<chapter 07, {cell.id}>", "exec"), space)
    told = capsys.readouterr().out
    assert "recorded numbers are shown" in told
    assert told.count("not attempted") == 7
    assert "layer 11, first token" in told


def test_the_microscope_shows_what_was_measured(model):
    run = run_of(model, "loops turn")
    scope = LayerMicroscope(run)
    state = scope.picture_state(3)
    torch.testing.assert_close(
        torch.tensor(state["attention"]), run["attention"][3].mean(0), rtol=0, atol=3e-3
    )
    torch.testing.assert_close(torch.tensor(state["norm"]), run["norm"][3], rtol=1e-3, atol=0)
    assert len(state["said"]) == 10 and scope.meta.labels[5] == "␣"
    scope.token = 2
    scope.stage.head = 1
    assert f"At “o” (length {run['norm'][3, 2]:.0f})" in scope.describe(3)
    pattern = torch.tensor(scope.picture_state(3)["attention"])
    torch.testing.assert_close(pattern, run["attention"][3, 0], rtol=0, atol=3e-3)
    assert json.loads(json.dumps(scope.stage.meta)) == scope.meta.as_dict()
    scope.hold(1)
    assert scope.describe(3).endswith("Held beside it, layer 1.")
    assert "Layer 4 of 4" in scope.film_strip((0, 4, 9)).alt
    assert 'data-looplab="stepper"' in scope.html()


def test_another_text_is_read_and_what_cannot_be_is_refused(model):
    scope = LayerMicroscope(run_of(model, "abc"), lambda text: run_of(model, text), "abc")
    scope.token = 2
    scope.box.value = "ab"
    assert scope.meta.labels == ["a", "b"] and scope.token == 1
    before = scope.stage.data
    scope.box.value = "a"
    scope.box.value = "a" * 41
    assert scope.stage.data == before
    with pytest.raises(ValueError, match="has 1 tokens: expected 2 or more"):
        scope.show("a")
    with pytest.raises(ValueError, match="the text has 41 tokens: expected 2 to 40"):
        scope.show("a" * 41)
    with pytest.raises(ValueError, match="token=7: this text has tokens 0 to 1"):
        scope.token = 7
    with pytest.raises(ValueError, match="no model here"):
        LayerMicroscope(run_of(model, "abc")).show("ab")


def words_of(looped, text, loops=6):
    return loop_run(looped, letters, lambda ids: chr(ids[0]), text, loops)


def letters(text):
    return [ord(one) for one in text]


@pytest.fixture(scope="module")
def looped():
    torch.manual_seed(1)
    sizes = {"vocab": 128, "width": 16, "heads": 2, "prelude": 1, "core": 2, "coda": 1}
    config = LoopedConfig(**sizes, injection="concat", start="zeros")  # from there answers change
    return LoopedTransformer(config).eval().requires_grad_(False)


def test_a_text_loop_by_loop_is_what_a_trace_of_it_says(looped):
    run, tokens = words_of(looped, "loops turn"), torch.tensor([letters("loops turn")])
    whole = trace(looped, tokens, loops=6, keep=("states", "attention"))
    torch.testing.assert_close(run["states"], whole.loop_ends[:, 0])
    torch.testing.assert_close(run["attention"], whole.attention[:, :, 0].mean(2))
    torch.testing.assert_close(run["norm"], whole.loop_ends[:, 0].norm(dim=-1))
    torch.testing.assert_close(run["rest"], measure.residual_entropy(whole.loop_ends[:, 0, 1:]))
    for loop in range(6):
        share = looped(tokens, loop + 1).logits[0].softmax(-1)
        torch.testing.assert_close(run["likely"][loop], share.topk(3).values)
        assert [names[0] for names in run["said"][loop]] == [chr(i) for i in share.argmax(-1)]
    for token, settled in enumerate(run["settled"].tolist()):
        first = [run["said"][loop][token][0] for loop in range(6)]
        assert set(first[settled - 1 :]) == {first[-1]}
        assert settled == 1 or first[settled - 2] != first[-1]
    assert len(set(run["settled"].tolist())) > 1
    assert words_of(looped, "ab", None)["norm"].shape == (looped.config.loops, 2)
    assert not run["states"].requires_grad
    with pytest.raises(ValueError, match="the text 'x' has 1 tokens: expected 2 or more"):
        words_of(looped, "x")


def test_the_word_microscope_shows_what_was_measured_loop_by_loop(looped):
    run = words_of(looped, "loops turn")
    scope = WordMicroscope(run)
    assert (scope.loop, scope.meta.first, scope.meta.last) == (1, 1, 6)
    assert scope.meta.menus["head"] == ["layer", ["mean of layers", "layer 1", "layer 2"]]
    close = {"rtol": 0, "atol": 3e-3}
    state = scope.picture_state(3)
    pattern = torch.tensor(state["attention"])
    torch.testing.assert_close(pattern, run["attention"][2].mean(0), **close)
    torch.testing.assert_close(torch.tensor(state["norm"]), run["norm"][2], rtol=1e-3, atol=0)
    assert state["said"] == [names[0] for names in run["said"][2]]
    assert state["loop"] == 3 and state["final"] == (run["settled"] <= 3).tolist()
    scope.stage.head = 2
    pattern = torch.tensor(scope.picture_state(6)["attention"])
    torch.testing.assert_close(pattern, run["attention"][5, 1], **close)
    scope.token = 4
    told = f"{(run['settled'] <= 2).sum()} of 10; “s” has it from loop {run['settled'][4]} on."
    assert scope.describe(2).startswith("Loop 2 of 6: ")
    assert scope.describe(2).endswith(f"Tokens with their final answer: {told}")
    assert "Tokens with their final answer: 10 of 10" in scope.describe(6)
    scope.hold(1)
    assert scope.describe(3).endswith("Held beside it, loop 1.")
    assert json.loads(json.dumps(scope.stage.meta)) == scope.meta.as_dict()
    strip = scope.film_strip((0, 1, 4, 9))
    assert strip.data == {"loops": [1, 4]} and "Loop 4 of 6: " in strip.alt
    titles = [panel.get_title("left") for panel in strip.figure.axes if panel.get_visible()]
    assert titles[0] == f"loop 1: {(run['settled'] <= 1).sum()} of 10 final"
    with pytest.raises(ValueError, match="no loop to show: this run has 1 to 6"):
        scope.film_strip((0, 7))
    with pytest.raises(ValueError, match="loop=0: this run has loops 1 to 6"):
        scope.describe(0)
    with pytest.raises(ValueError, match="no model here to read a text: give WordMicroscope"):
        scope.show("ab")


def test_another_text_under_the_same_loops(looped):
    scope = WordMicroscope(words_of(looped, "abc"), lambda text: words_of(looped, text), "abc")
    scope.loop, scope.token = 5, 2
    scope.box.value = "ab"
    assert scope.meta.labels == ["a", "b"] and (scope.loop, scope.token) == (5, 1)
    before = scope.stage.data
    scope.box.value = "a"
    scope.box.value = "a" * 41
    assert scope.stage.data == before
    scope.read = lambda text: words_of(looped, text, loops=4)
    with pytest.raises(ValueError, match="read gives loops up to 4: expected 6"):
        scope.show("ab")


def test_a_long_text_in_many_loops_travels_light_and_one_loop_of_one_layer_is_shown(looped):
    assert WordMicroscope(words_of(looped, "loops " * 6 + "turn", loops=32)).payload < 2**18
    small = LoopedTransformer(LoopedConfig(vocab=128, width=16, heads=2, core=1)).eval()
    scope = WordMicroscope(words_of(small, "ab", loops=1))
    assert repr(scope) == "WordMicroscope(loops=1..1, layers=1, tokens=2)"
    assert "2 of 2" in scope.describe()
    assert len(scope.meta.lengths) >= 2  # a scale has two ends, whatever the lengths are


def test_lines_tell_means_and_many_are_shades():
    values = {f"loop {n}": torch.full((3, 2), float(n)) for n in range(9)}
    picture = plots.across_layers({"ColSum": values}, first=12)
    assert "Along layers 12 to 14. ColSum, loop 0: 0 at the first" in picture.alt
    colours = {line.get_color() for line in picture.figure.axes[0].get_lines()}
    assert len(colours) == 9


def refuses_one_token(page, notebook, shown):
    """The last thing to try: a text that is too short is told of, and nothing has failed."""
    shown("input[type=text]").fill("x")
    page.keyboard.press("Enter")
    shown(".looplab-words", has_text="Not read: the text 'x' has 1 tokens").wait_for()
    assert notebook.all_errors() == [] and notebook.errors == []
    page.close()


MICROSCOPE = {
    "make": """\
import torch
from looplab import LoopedConfig, LoopedTransformer
from looplab.experiments.layerwise import layer_run
from looplab.widgets import LayerMicroscope

torch.manual_seed(0)
model = LoopedTransformer(LoopedConfig(vocab=128, width=16, heads=2, core=5, loops=1)).eval()
def read(text):
    return layer_run(model, lambda t: [ord(x) for x in t], lambda ids: chr(ids[0]), text)
layers = LayerMicroscope(read("loops turn"), read, "loops turn")""",
    "show": "layers",
    "read": "print(layers.loop, layers.token, layers.stage.head, layers.held_loop)\n"
    "print(layers.describe())",
}


def test_in_jupyterlab_keys_clicks_and_a_new_text_move_the_microscope(chromium, each_lab):
    page, notebook, shown, agrees = browser.opened(chromium, each_lab, MICROSCOPE)
    canvas = ".looplab-canvas"
    shown(canvas).focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowUp"):
        page.keyboard.press(key)
    agrees("2 8 0 None")
    before = shown(canvas).screenshot()
    shown("select").last.select_option(label="head 1")
    agrees("2 8 2 None")
    assert shown(canvas).screenshot() != before
    box = shown(canvas).bounding_box()
    page.mouse.click(box["x"] + 40, box["y"] + 50)  # the first word of the first panel
    agrees("2 0 2 None")
    shown(canvas).focus()
    page.keyboard.press("h")
    page.keyboard.press("End")
    agrees("4 0 2 2")
    browser.reads_other(page, shown, agrees, "4 4 2 None")
    refuses_one_token(page, notebook, shown)


WORDS = {
    "make": """\
import torch
from looplab import LoopedConfig, LoopedTransformer
from looplab.experiments.layerwise import loop_run
from looplab.widgets import WordMicroscope

torch.manual_seed(0)
config = LoopedConfig(vocab=128, width=16, heads=2, prelude=1, core=2, coda=1, injection="concat")
model = LoopedTransformer(config).eval()
def read(text):
    return loop_run(model, lambda t: [ord(x) for x in t], lambda ids: chr(ids[0]), text, 6)
scope = WordMicroscope(read("loops turn"), read, "loops turn")""",
    "show": "scope",
    "read": "print(scope.loop, scope.token, scope.stage.head, scope.held_loop)\n"
    "print(scope.describe())",
}


def test_in_jupyterlab_keys_clicks_and_a_new_text_move_the_words_through_loops(chromium, each_lab):
    page, notebook, shown, agrees = browser.opened(chromium, each_lab, WORDS)
    agrees("1 9 0 None")
    menu = ("layer 2", "3 8 2 None")
    keys = "Left Right Right Up"
    box = browser.by_keys_and_menu(page, shown, agrees, keys, "3 8 0 None", menu, "6 8 2 3")
    left = max(0, (box["width"] - 2 * 490 - 28) / 2) + 46  # where the lines begin: loop 1
    page.mouse.click(box["x"] + left + 4, box["y"] + 4 + 280 + 18 + 90)
    agrees("1 8 2 3")
    browser.reads_other(page, shown, agrees, "1 4 2 None")
    refuses_one_token(page, notebook, shown)
