"""The pages "One sentence" and "Design a loop", and the front page: against Python, then moved."""

import base64
import shutil
from itertools import product

import numpy as np
import pytest
import torch

from looplab import grid, measure
from looplab.course import build
from looplab.course.explore import design, pages, runtime, sentence
from looplab.course.site import front
from looplab.course.site.check import file_faults
from looplab.course.site.command import CACHE
from looplab.course.site.visit import served, visit
from looplab.zoo import english

MINE = tuple(page for page in pages.PAGES if page.name in ("sentence", "design"))
READY = "#status[data-state=ready]"
TEXTS = [
    "",
    " ",
    "The state of the Union",
    "don't we'll I'M it's 's 'S",
    "  two  spaces   and a tail  ",
    "\n\nlines\r\nand\ttabs\n ",
    "été naïve — “quotes” … don’t",
    "😀👩‍👩‍👧 e\u0301 日本語 テスト العربية",
    "12,345.67 % $5 ½ ² ⅷ",
    "x\u00a0y\u3000z\u0085w\ufeffv\u200bu",
    "_under_score__ <|begin| >",
    "<|begin|>The people<|begin|>",
]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A site of these two pages."""
    out = tmp_path_factory.mktemp("pages")
    try:
        pages.write(out / "explore", CACHE, [], MINE)
    except runtime.RuntimeMissingError as missing:
        pytest.skip(str(missing))
    shutil.copy(pages.ICON, out / "favicon.svg")
    (out / "index.html").write_text(
        '<!doctype html><html lang="en"><title>t</title><link rel="icon" href="favicon.svg">'
        "<h1>t</h1>"
    )
    return out


@pytest.fixture(scope="module")
def address(site):
    with served(site) as address:
        yield f"{address}/explore"


@pytest.fixture
def opened(page, address):
    """Opens a page and waits for its first answer; its console has to stay without errors."""
    wrong = []
    page.on("console", lambda one: wrong.append(one.text) if one.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))

    def go(name):
        page.goto("about:blank")
        page.goto(f"{address}/{name}")
        page.locator(READY).wait_for(state="attached")
        page.wait_for_function("() => document.getElementById('words').textContent !== ''")
        return page

    yield go
    assert wrong == []


def text_of(page, name):
    return page.locator(f"#{name}").inner_text()


def moved(page, name, act):
    """What an element says after something was done to the page, once it says something else."""
    before = text_of(page, name)
    act()
    page.wait_for_function(
        "([name, before]) => document.getElementById(name).innerText !== before", arg=[name, before]
    )
    return text_of(page, name)


def test_both_pages_on_a_phone_and_at_a_desk_in_light_and_dark(site, chromium):
    assert visit(site, chromium, (("phone", "light"), ("desk", "dark"))) == []
    assert file_faults(site) == []


# --- one sentence ---------------------------------------------------------------------------------


def test_the_browser_reads_text_as_python_does(opened):
    words, held = english.words(), (english.TEXT / "held.txt").read_text(encoding="utf-8")
    texts = TEXTS + [held[at : at + 150] for at in range(0, 60_000, 997)]
    found = opened("sentence.html").evaluate(
        """([pieces, texts]) => {
          const words = looplab.bytePairs(pieces), ids = texts.map(words.encode);
          return [ids, ids.map(words.decode)];
        }""",
        [sentence.byte_pairs(), texts],
    )
    ids = [words(text) for text in texts]
    assert found == [ids, [words.decode(some) for some in ids]]


THINK = """async ([name, ids, loops]) => {
  const model = await looplab.engine.load(name), ready = await model.prepare(ids), out = [];
  let state = ready.start;
  for (let loop = 0; loop < loops; loop += 1) {
    ({ state } = await model.step(state, ready));
    out.push(Array.from(state.data));
  }
  return [out, Array.from((await model.answer(state, ready)).data)];
}"""


def run_in_torch(name, ids, loops):
    """States [loop, token, width] and logits [loop, token, vocab] of a text."""
    model = english.load(name)
    with torch.inference_mode():
        ready = model.prepare(torch.tensor([ids]))
        ends = [(z, model.answer(z, ready)) for _, z in model.passes(ready, loops)]
    return (torch.stack(part)[:, 0] for part in zip(*ends, strict=True))


def test_a_sentence_is_thought_in_the_browser_as_in_torch(opened):
    page, ids = opened("sentence.html"), english.words()(f" {sentence.SENTENCE}")
    for name in ("drawn", "loop"):
        states, logits = run_in_torch(name, ids, 6)
        found = page.evaluate(THINK, [name, ids, 6])
        for told, here in zip((states, logits[-1]), found, strict=True):
            here = torch.tensor(here).view_as(told)
            far = (here - told).abs().max() / told.abs().max()
            assert far < 1e-4, (name, tuple(told.shape), far)


def test_the_page_tells_what_measure_says(opened):
    page, ids = opened("sentence.html"), english.words()(f" {sentence.SENTENCE}")
    states, logits = run_in_torch("drawn", ids, 32)
    decode = english.words().decode
    page.locator("#player input").fill("4")
    best = logits.topk(2, -1)
    for token, chip in enumerate(page.locator("#chips button").all()):
        if (best.values[3, token, 0] - best.values[3, token, 1]) > 1e-3:
            guess = decode([int(best.indices[3, token, 0])]).strip()
            assert chip.locator("span").inner_text().lstrip("‑") == guess
    answers = logits.argmax(-1)
    lasts = measure.lasting_from(answers == answers[-1])
    assert f"{int((lasts <= 4).sum())} of {len(ids)} guesses stay" in text_of(page, "words")
    page.locator("#threshold").fill("12")  # a tenth
    leaving = measure.first_exit(measure.step_signal(states) < 0.1)
    told = text_of(page, "exit")
    assert f"after {leaving.double().mean():.1f} loops on average" in told
    kept = measure.at_exit(answers, leaving) == answers[-1]
    assert f"{int(kept.sum())} of {len(ids)} guesses are then those of the last loop" in told


def test_every_control_of_the_sentence_does_something(opened):
    page = opened("sentence.html#text=We+the+people+of&model=drawn&loop=1")
    chips = page.locator("#chips button")
    assert chips.all_inner_texts()[0].startswith("We")
    chips.last.press("Home")
    assert "after “We”" in text_of(page, "lens-title")
    assert "after “the”" in moved(page, "lens-title", lambda: chips.first.press("ArrowRight"))
    assert "after “of”" in moved(page, "lens-title", lambda: chips.last.click())
    assert "after “people”" in moved(page, "lens-title", lambda: page.press("#map", "ArrowUp"))
    assert "Loop 32" in moved(page, "words", lambda: page.press("#map", "End"))
    assert "Loop 31" in moved(page, "words", lambda: page.get_by_label("One loop back").click())
    assert "Loop 5" in moved(page, "words", lambda: page.locator("#player input").fill("5"))
    box = page.locator("#map").bounding_box()
    moved(
        page,
        "words",
        lambda: page.locator("#map").click(position={"x": box["width"] - 14, "y": 40}),
    )
    assert "Loop 32" in text_of(page, "words") and "after “We”" in text_of(page, "lens-title")
    moved(page, "exit", lambda: page.locator("#threshold").fill("0"))
    moved(page, "guesses", lambda: page.get_by_label("loop, trained").check())
    page.locator("#text").fill("word " * 200)
    page.wait_for_function(
        "() => document.getElementById('words').textContent.includes('left out')"
    )
    assert chips.count() == sentence.WINDOW
    page.wait_for_function("() => document.getElementById('live').textContent.includes('left out')")
    page.locator("#text").fill("")
    page.wait_for_function("() => document.getElementById('words').textContent.startsWith('Type')")
    page.locator("#text").fill("The Congress")
    page.wait_for_function("() => document.querySelectorAll('#chips button').length === 2")
    link = page.evaluate("location.hash")
    told = text_of(page, "words")
    assert "model=loop" in link and text_of(opened(f"sentence.html{link}"), "words") == told
    opened("sentence.html#text=<b>&model=none&loop=x&word=-7&exit=999")  # nothing of it breaks


# --- design a loop --------------------------------------------------------------------------------

RUN = """([cases, rules]) => cases.map(({ weights, shape, design, kept }) => {
  const read = (text, kind) => Float64Array.from(
    new kind(Uint8Array.from(atob(text), c => c.charCodeAt(0)).buffer));
  const drawn = { x: read(weights.x, Float64Array), noise: read(weights.noise, Float64Array),
    mix: read(weights.mix, Float32Array) };
  drawn.layers = weights.layers.map(layer => Object.fromEntries(
    Object.entries(layer).map(([name, text]) => [name, read(text, Float32Array)])));
  const passes = looplab.stack.loops(design, drawn, shape);
  const states = Array.from({ length: 128 }, () => passes.next().value);
  const { limits, ...ended } = looplab.ends(states, shape, rules);
  return [kept.map(n => Array.from(states[n])), ended];
})"""
KEPT = (0, 3)  # loops whose states are compared: later a stack without rest magnifies rounding


def packed(tensor):
    return base64.b64encode(np.ascontiguousarray(tensor.numpy()).tobytes()).decode()


def weights_of(stack):
    """A stack's matrices for the browser."""
    layers = [
        {
            "qkv": packed(layer.attn.qkv.weight.float()),
            "out": packed(layer.attn.out.weight.float()),
            "up": packed(layer.mlp.up.weight.float()),
            "down": packed(layer.mlp.down.weight.float()),
        }
        for layer in stack.cores[0].layers
    ]
    mix = getattr(stack.cores[0].injection, "mix", None)
    return {"layers": layers, "mix": packed(torch.zeros(0) if mix is None else mix.weight.float())}


def cases(norm, injections, gains, seeds, width=16, depth=2, tokens=8):
    """Stacks for the browser, and what torch says of each: its states, how it ended."""
    settings = list(product(injections, gains, seeds))
    stacks = [
        grid.random_stack(norm, *setting[:1], depth, *setting[1:], width=width).double()
        for setting in settings
    ]
    ids = torch.stack([grid.random_tokens(seed, tokens) for *_, seed in settings])
    ran = grid.run_together(stacks, ids, 128)
    for n, (setting, stack, states) in enumerate(zip(settings, stacks, ran, strict=True)):
        ready = stack.prepare(ids[n], generator=torch.Generator().manual_seed(n))
        given = {
            "weights": weights_of(stack) | {"x": packed(ready.x), "noise": packed(ready.start)},
            "shape": design.shape(width, tokens),
            # Torch's matrices have their gain in them.
            "design": {
                "placement": design.placements()[norm],
                "injection": setting[0],
                "gain": 1,
                "depth": depth,
            },
            "kept": KEPT,
        }
        yield (norm, *setting), given, states


def test_a_random_stack_runs_in_the_browser_as_in_torch(opened):
    made = [
        one
        for norm, ways in product(grid.NORMS, (["none"], ["random", "half-half"]))
        for one in cases(norm, ways, (0.5, 1.0, 2.0), (0, 1))
    ]
    found = opened("design.html").evaluate(RUN, [[given for _, given, _ in made], design.rules()])
    kinds = set()
    for (setting, _, states), (kept, ended) in zip(made, found, strict=True):
        for n, numbers in zip(KEPT, kept, strict=True):
            here = torch.tensor(numbers).view_as(states[n]).double()
            # The angles of rotary positions are float32 in both.
            far = (here - states[n]).abs().max() / states[n].abs().max().clamp_min(1)
            assert far < 100 * torch.finfo(torch.float32).eps, (setting, n, far)
        told = grid.judge(states)
        assert (ended["kind"], ended["period"]) == (told["kind"], told["period"]), setting
        kinds.add(ended["kind"])
    assert len(kinds) > 3, kinds


DRAWN = """([seed, layers]) => {
  const { shape } = JSON.parse(document.getElementById("given").textContent);
  const plain = all => Array.from(all);
  const { layers: all, mix, x, noise } = looplab.stack.draw({ seed, depth: layers }, shape);
  return { mix: plain(mix), x: plain(x), noise: plain(noise), layers: all.map(layer =>
    Object.fromEntries(Object.entries(layer).map(([name, matrix]) => [name, plain(matrix)]))) };
}"""
SUGGESTED = {  # the links under "Try" and in "Something to discover": what they promise
    "One that rests": ("Huginn", "half-half", 1.0, 1, "cycle", 1),
    "One that tours": ("Ouro", "random", 1.75, 4, "orbit", 4),
    "One that wanders": ("Huginn", "none", 0.5, 0, "no rest", 0),
    "this design": ("Ouro", "random", 1.6, 4, "cycle", 1),
    "two places": ("Ouro", "random", 1.62, 4, "orbit", 2),
}
VERDICTS = {
    "cycle": "It rests",
    "orbit": "It tours, and is back after {} loops",
    "no rest": "It wanders",
}


def test_what_is_suggested_is_so_in_the_browser_and_in_torch(opened):
    page, throws = opened("design.html"), {}
    for name, (norm, injection, gain, seed, kind, period) in SUGGESTED.items():
        link = f"#norm={norm}&injection={injection}&gain={gain:g}&layers=4&throw={seed}&loop="
        if name != "two places":
            address = page.get_by_role("link", name=name, include_hidden=True).get_attribute("href")
            assert address.startswith(link), (address, link)
        page = opened(f"design.html{link}128")
        assert text_of(page, "verdict") == VERDICTS[kind].format(period), name
        if seed not in throws:
            throws[seed] = page.evaluate(DRAWN, [seed, 4])
        drawn = throws[seed]
        stack = grid.random_stack(norm, injection, 4, gain, 0).double()
        for layer, own in zip(stack.cores[0].layers, drawn["layers"], strict=True):
            parts = (layer.attn.qkv, layer.attn.out, layer.mlp.up, layer.mlp.down)
            for part, matrix in zip(parts, ("qkv", "out", "up", "down"), strict=True):
                values = torch.tensor(own[matrix], dtype=torch.float64).view_as(part.weight)
                spread = values.std() * part.in_features**0.5  # a standard normal over fan-in
                assert abs(spread - 1) < 0.1 and abs(values.mean()) < 0.1 * values.std()
                part.weight.data = gain * values
        if injection == "random":
            mix = stack.cores[0].injection.mix.weight
            mix.data = gain * torch.tensor(drawn["mix"], dtype=torch.float64).view_as(mix)
        x, z = (
            torch.tensor(drawn[one], dtype=torch.float64).view(1, 12, 32) for one in ("x", "noise")
        )
        told = grid.judge(run_from(stack, x if injection == "none" else z, x, 128))
        assert (told["kind"], told["period"]) == (kind, period * (kind == "orbit")), name


def run_from(stack, z, x, loops):
    """States behind each layer, [loop, layer, batch, token, width]."""
    seen = []

    def tap(site, value):
        if site.name == "core.resid":
            seen.append(value)

    with torch.inference_mode():
        for _ in range(loops):
            z = stack.step(z, x, tap=tap)
    return torch.stack(seen).unflatten(0, (loops, -1))


def test_every_control_of_a_design_does_something(opened):
    page = opened("design.html#layers=2")
    select = page.locator
    assert "pre, half-half" in moved(page, "words", lambda: select("#norm").select_option("pre"))
    assert "pre, none" in moved(page, "words", lambda: select("#injection").select_option("none"))
    assert "gain 2.00" in moved(page, "words", lambda: select("#gain").fill("200"))
    assert "gain 2.01" in moved(page, "words", lambda: select("#gain").press("ArrowRight"))
    assert "3 layers" in moved(page, "words", lambda: select("#layers").fill("3"))
    assert "throw 2" in moved(page, "words", lambda: select("#throw").click())
    assert "token 2" in moved(page, "words", lambda: select("#token").select_option(label="2"))
    pixels = "() => document.getElementById('path').toDataURL()"
    whole = page.evaluate(pixels)
    select("#close").check()
    assert page.evaluate(pixels) != whole
    assert (
        "loop 127"
        in moved(page, "words", lambda: page.get_by_label("One loop back").click()).lower()
    )
    forks = select("#forks")
    forks.scroll_into_view_if_needed()
    page.wait_for_function(
        "() => document.getElementById('forks').ariaLabel.includes('one place at gain')"
    )
    assert "gain 0.25" in moved(page, "words", lambda: forks.click(position={"x": 20, "y": 90}))
    assert "gain 2.00" in moved(page, "words", lambda: select("#gain").fill("200"))
    canvas = select("#diagram canvas")
    assert "pre, random" in moved(page, "words", lambda: canvas.press("ArrowDown"))
    assert "gain 1.75" in moved(page, "words", lambda: canvas.press("ArrowLeft"))
    canvas.scroll_into_view_if_needed()
    page.wait_for_function("() => parseInt(document.getElementById('filled').textContent) > 2")
    assert "not yet thrown" not in page.locator("#diagram .looplab-words").inner_text()
    page.wait_for_function(
        "() => document.getElementById('live').textContent.includes('gain 1.75')"
    )
    link, told = page.evaluate("location.hash"), text_of(page, "words")
    assert text_of(opened(f"design.html{link}"), "words") == told
    opened("design.html#norm=none&gain=x&layers=99&throw=-1&token=0&loop=1e9")  # nothing breaks


# --- the front page -------------------------------------------------------------------------------


def test_the_front_page_has_the_readmes_words_with_and_without_models():
    about = {
        "00_welcome": {"chapter": "00", "title": "A <b>", "learn": "go", "minutes": 5, "needs": "x"}
    }
    readme = (build.ROOT / "README.md").read_text(encoding="utf-8")
    for live in (True, False):
        text = front.front_page(about, ["onnx"], live)
        assert ("<iframe" in text) == live == ("explore/design.html" in text)
        assert text.count("docs/loop.gif") == 1
        for words in (
            "A notebook course on looped transformers",
            "watch fixed points",
            "docs/microscope.png",
        ):
            assert words in text and words in readme
        assert (
            "A &lt;b&gt;" in text
            and "## Start" in text
            and 'href="chapters/00_welcome.html"' in text
        )
