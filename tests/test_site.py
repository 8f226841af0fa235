"""The web edition: built, served below a path, and looked at in a browser as readers do."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from looplab import LoopedConfig, LoopedTransformer, tasks, trace
from looplab.course import build
from looplab.course.diagnosis import Diagnosis
from looplab.course.faults import FAULTS
from looplab.course.site import capture, command, pages
from looplab.course.site.capture import CaptureError
from looplab.course.site.check import file_faults
from looplab.course.site.mathml import mathml
from looplab.course.site.visit import served, visit
from looplab.widgets import (
    FrameStepper,
    LoopMicroscope,
    MazeEditor,
    PatchStepper,
    PlaneStepper,
    StreamMicroscope,
    embed,
)
from looplab.zoo import checkpoints

CHAPTER = "00_welcome"


def make(out: Path) -> str:
    """A site of one chapter, made as a user makes it; returns what the command said."""
    arguments = ["-m", "looplab", "site", CHAPTER[:2], "--out", str(out)]
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("web") / "site"
    make(out)
    return out


@pytest.fixture(scope="module")
def game():
    forests = tasks.find_root(4, torch.Generator().manual_seed(7), max_depth=8)
    return Diagnosis.of(checkpoints.load("hero"), forests.tokens, cases=3, seed=21, loops=12)


@pytest.fixture(scope="module")
def widgets(tmp_path_factory, game):
    """A site of one page with a widget of every kind, two of them with the same data."""
    hero = checkpoints.load("hero")
    forests = tasks.find_root(2, torch.Generator().manual_seed(0), max_depth=8)
    run = trace(hero, forests.tokens, loops=6, keep=("states", "attention"))
    turn = torch.linspace(0, 3, 5)[:, None] * torch.tensor([1.0, -1.0])
    points = torch.stack((turn.cos(), turn.sin()), dim=-1)
    hyper = LoopedTransformer(LoopedConfig(vocab=5, width=16, heads=2, streams=3))
    shown = [
        LoopMicroscope(run, hero, targets=forests.targets),
        LoopMicroscope(run, hero, targets=forests.targets, parents=tasks.parents(forests.tokens)),
        MazeEditor(
            checkpoints.load("flood"),
            tasks.flood_fill(1, torch.Generator().manual_seed(4)).tokens[0],
        ),
        FrameStepper(torch.arange(27).view(3, 3, 3), title='1 < 2, "</script>"'),
        FrameStepper(torch.arange(27).view(3, 3, 3), title="again"),
        PlaneStepper(torch.stack((points, points / 2)), title="turns", menus={"gain": ["1", "½"]}),
        StreamMicroscope.of_tokens(hyper, torch.arange(5)[None], loops=3),
        PatchStepper(
            torch.eye(3),
            answers=torch.tensor([[0, 0], [0, 1], [1, 1]]).repeat(3, 1, 1),
            parents=[0, 0],
            targets=[0, 0],
        ),
        PatchStepper(torch.eye(3), said=[[[("so", 0.5)]] * 3] * 3, text="And", title="words"),
        game,
    ]
    return page_of(tmp_path_factory.mktemp("widgets"), "".join(w.html() for w in shown))


def page_of(folder: Path, body: str) -> Path:
    """A folder with one page and the icon that a browser asks for."""
    shutil.copy(Path(pages.__file__).parent / "static/favicon.svg", folder)
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    head += '<link rel="icon" href="favicon.svg">'
    text = f'<!doctype html><html lang="en"><head>{head}</head><body><article><h1>Test</h1>{body}'
    (folder / "index.html").write_text(f"{text}</article></body></html>", encoding="utf-8")
    return folder


# Each screen and each colour scheme once; `looplab site --check` looks at all four pairs.
TWO = (("phone", "light"), ("desk", "dark"))


def test_every_page_on_a_phone_and_at_a_desk_in_light_and_dark(site, chromium):
    assert visit(site, chromium, TWO) == []


def test_no_file_of_the_site_is_amiss(site):
    assert file_faults(site) == []
    assert (site / ".nojekyll").exists()


def test_a_page_holds_what_its_notebook_holds(site):
    page = (site / f"chapters/{CHAPTER}.html").read_text(encoding="utf-8")
    assert page.count("data-looplab=") == 1
    assert f'href="solved/{CHAPTER}.html"' in page
    assert "colab.research.google.com/github" in page
    assert "return todo()" in page or "todo" in page
    assert f'href="../{CHAPTER}.html"' in (site / f"chapters/solved/{CHAPTER}.html").read_text()
    assert "badge" not in page


def test_a_second_build_runs_nothing_and_is_the_same(site, tmp_path):
    assert "running" not in make(tmp_path)
    once, twice = (
        {path.relative_to(place): path.read_bytes() for path in place.rglob("*.html")}
        for place in (site, tmp_path)
    )
    assert once == twice


def test_a_folder_with_other_things_is_left_alone(tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("all of it")
    assert command.main([CHAPTER[:2], "--out", str(tmp_path)]) == 1
    assert "holds something that is no site" in capsys.readouterr().out
    assert (tmp_path / "thesis.txt").read_text() == "all of it"


def test_an_unknown_chapter_is_named():
    with pytest.raises(SystemExit, match="no chapter '77': known are 00"):
        command.main(["77"])


@pytest.mark.parametrize(
    ("text", "widget"),
    [
        ("FrameStepper(loops=1..4, height=3, width=3)", True),
        ("IntSlider(value=3)", True),
        ("Diagnosis(cases=4, solved=0, at first sight=0)", True),
        ("Trace(loops=3)", False),
        ("tensor([1])", False),
    ],
)
def test_widgets_are_told_from_other_results(text, widget):
    output = {"output_type": "execute_result", "data": {"text/plain": text}}
    assert capture.shown_widget(output) == (text if widget else None)
    output["data"]["image/png"] = "x"
    assert capture.shown_widget(output) is None


def test_a_widget_without_a_web_edition_stops_the_build(tmp_path, monkeypatch):
    import nbformat

    cell = nbformat.v4.new_code_cell("import ipywidgets\nipywidgets.IntSlider(3)", id="slider")
    data = {"text/plain": "IntSlider(value=3)"}
    cell.outputs = [nbformat.v4.new_output("execute_result", data, execution_count=1)]
    (tmp_path / "chapters/solved").mkdir(parents=True)
    made = nbformat.v4.new_notebook(cells=[cell])
    nbformat.write(made, tmp_path / "chapters/solved/99_mine.ipynb")
    monkeypatch.setattr(build, "ROOT", tmp_path)
    with pytest.raises(CaptureError, match=r"99_mine, cell slider.*IntSlider.*block\(\)"):
        capture.blocks("99_mine", tmp_path / "cache")


BAD = {
    "<img src='favicon.svg'>": "favicon.svg has no alt text",
    "<a href='other.html'>x</a>": "other.html leads nowhere",
    "<a href='#there'>x</a>": "no such place",
    "<a href='/top.html'>x</a>": "works at the top of a server only",
    "<script src='https://example.org/a.js'></script>": "loads https://example.org/a.js from",
    "<h3>x</h3>": "a heading of level 3 follows one of level 1",
    "<h1>x</h1>": "2 headings of level 1",
}


@pytest.mark.parametrize("body", BAD)
def test_what_is_amiss_in_a_file_is_found(body, tmp_path):
    [fault] = file_faults(page_of(tmp_path, body))
    assert BAD[body] in fault


UGLY = {
    "<p style='width:500px'>x</p>": "is 5\\d\\d px wide on a screen of 360",
    "<p style='color:#aaa;background:#fff'>pale</p>": r"contrast 2\.3: pale",
    "<details><summary>x</summary><p style='color:#eee'>pale</p></details>": "contrast .*pale",
    "<script>console.error('oh')</script>": "oh",
    "<script>undefined.x</script>": "Cannot read properties",
    "<img alt='a' src='none.png'>": "404 .*none.png",
    "<img alt='a' src='https://example.org/a.png'>": "loads https://example.org/a.png",
}


@pytest.fixture(scope="module")
def seen(tmp_path_factory, chromium):
    """What a visit to a site with all of these pages finds, by page."""
    folder = tmp_path_factory.mktemp("ugly")
    for number, body in enumerate(UGLY):
        page_of(folder, body).joinpath("index.html").rename(folder / f"{number}.html")
    return visit(folder, chromium, TWO)


@pytest.mark.parametrize("body", UGLY)
def test_what_is_amiss_on_a_screen_is_found(body, seen):
    page = f"{list(UGLY).index(body)}.html"
    found = [fault for fault in seen if fault.startswith(page)]
    assert any(re.search(UGLY[body], fault) for fault in found), seen


def test_a_slider_that_moves_nothing_is_found(tmp_path, chromium):
    still = FrameStepper(torch.ones(3, 2, 2), title="still", captions=["same"] * 3)
    # The sentence carries the loop's number; without it nothing tells the frames apart.
    block = still.html().replace("`Loop ${loop} of ${first + count - 1}:`", '"Loop:"')
    found = visit(page_of(tmp_path, block), chromium, TWO)
    assert any("still: nothing changed at 2" in fault for fault in found)


def test_every_kind_of_widget_steps_on_one_page(widgets, chromium):
    assert visit(widgets, chromium, TWO) == []


def test_the_widgets_say_in_the_browser_what_they_say_in_python(widgets, game, page):
    with served(widgets) as address:
        page.goto(f"{address}/index.html")
        here = page.locator("[data-looplab=game]")
        words = here.locator(".looplab-words")
        game.again()
        for _ in game.solution:
            assert words.inner_text() == game.words
            assert here.locator("img").get_attribute("alt") == game.picture.alt
            for name in (*FAULTS, "gain"):
                if game.buttons[name].disabled:
                    assert here.get_by_role("button", name=name, exact=True).is_disabled()
                    continue
                here.get_by_role("button", name=name, exact=True).click()
                assert words.inner_text() == game.guess(name)
            if not game.finished:
                here.get_by_role("button", name="Next case").click()
                game.next_case()
        assert game.finished
        assert here.get_by_role("button", name="Next case").is_disabled()
        here.get_by_role("button", name="Start again").click()
        game.again()
        assert words.inner_text() == game.words


def test_what_needs_a_kernel_is_told():
    from looplab import widgets

    for name in capture.NEEDS_KERNEL:
        assert hasattr(widgets, name)
        # It has no frames to capture: a chapter that shows it is no reason to stop.
        assert capture.shown_widget({"data": {"text/plain": f"{name}(choice='a')"}}) is None


def test_a_label_cannot_end_the_block(widgets):
    block = embed.block("stepper", '"</script>', {"title": "</script><b>"})
    assert block.count("</script>") == 1
    assert 'aria-label="&quot;&lt;/script&gt;"' in block


@pytest.mark.parametrize(
    ("tex", "parts"),
    [
        (r"z_{t+1} = \frac{a}{b}", ["<msub>", "<mfrac>"]),
        (r"\tfrac12 \cdot x", ["<mfrac", "<mn>1</mn>", "<mn>2</mn>", "<mo>⋅</mo>"]),
        ("x^10", ["<mn>1</mn>", "<mn>0</mn>"]),
        (r"\lVert h_t \rVert", ['stretchy="false" class="mathopen">‖', 'stretchy="false">‖']),
        (r"\texttt{dt\_bias}", ["𝚍", "_"]),
    ],
)
def test_formulas_become_mathml(tex, parts):
    made = mathml(tex)
    assert all(part in made for part in parts), made


@pytest.mark.parametrize(
    ("tex", "told"), [(r"\nonsense", "nonsense"), (r"\hat h_t", r"hat\{h_t\}")]
)
def test_a_formula_that_cannot_be_drawn_is_named(tex, told):
    from sphinx.errors import SphinxError

    with pytest.raises(SphinxError, match=told):
        mathml(tex)


def test_every_formula_of_the_chapters_can_be_drawn():
    import nbformat
    from markdown_it import MarkdownIt
    from mdit_py_plugins.dollarmath import dollarmath_plugin

    reader, count = MarkdownIt().use(dollarmath_plugin), 0
    for path in sorted((build.ROOT / "chapters").glob("*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "markdown":
                for token in reader.parse(cell.source):
                    for part in (token, *(token.children or ())):
                        if part.type.startswith("math"):
                            mathml(part.content)
                            count += 1
    assert count > 100
