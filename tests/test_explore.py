"""The pages on which models run, in a browser: from a server, from a disk, and offline."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from looplab import tasks
from looplab.course.explore import models, pages, runtime
from looplab.course.explore.runtime import RuntimeMissingError
from looplab.course.site.check import file_faults
from looplab.course.site.command import CACHE
from looplab.course.site.visit import served, visit
from looplab.widgets.forest import lay_out
from looplab.zoo import checkpoints

READY = "#status[data-state=ready]"
TWO = (("phone", "light"), ("desk", "dark"))  # the other pairs: looplab site --check
MINE = tuple(page for page in pages.PAGES if page.name in ("root", "flood"))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("web")
    try:
        pages.write(out / "explore", CACHE, [], MINE)
    except RuntimeMissingError as missing:
        pytest.skip(str(missing))
    # Where the pages lead back to.
    head = '<title>t</title><link rel="icon" href="explore/favicon.svg">'
    (out / "index.html").write_text(f'<!doctype html><html lang="en">{head}<h1>Course</h1></html>')
    return out


@pytest.fixture(scope="module")
def address(site):
    with served(site) as address:
        yield f"{address}/explore"


@pytest.fixture
def errors(page):
    """What the page's console says of errors, which has to be nothing."""
    said = []
    page.on("console", lambda one: said.append(one.text) if one.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    yield said
    assert said == []


def opened(page, address):
    """Go to an address of a page and wait until its model has answered all loops."""
    page.goto("about:blank")
    page.goto(address)
    page.locator(READY).wait_for()
    settled(page)


def settled(page):
    """Until the answers at the loop shown are there."""
    told = "() => !document.getElementById('words').textContent.includes('not answered')"
    page.wait_for_function(told)
    page.wait_for_function("() => document.getElementById('words').textContent !== ''")


RUN = """async ([name, tokens, loops]) => {
  const model = await looplab.engine.load(name), out = [];
  const ready = await model.prepare(tokens, { seed: 3 });
  const plain = tensor => [Array.from(tensor.data), tensor.dims];
  let state = ready.start;
  for (let loop = 0; loop < loops; loop++) {
    let layers, attention;
    ({ state, layers, attention } = await model.step(state, ready));
    out.push([state, layers, attention, await model.answer(state, ready)].map(plain));
  }
  return { start: plain(ready.start), x: plain(ready.x), out, about: model.about };
}"""


@pytest.mark.parametrize("where", ["served", "disk"])
def test_models_run_in_the_browser_as_in_torch(where, site, address, page, errors):
    disk = (site / "explore/flood.html").as_uri()
    page.goto(f"{address}/flood.html" if where == "served" else disk)
    generator = torch.Generator().manual_seed(0)
    given = {
        "hero": tasks.find_root(1, generator, max_depth=11).tokens,
        "root-k1": tasks.find_root(1, generator, max_depth=11).tokens,
        "flood": tasks.flood_fill(1, generator, side=5).tokens,
    }
    tensor = lambda told: torch.tensor(told[0]).view(told[1])  # noqa: E731
    for name, tokens in given.items() if where == "served" else [("flood", given["flood"])]:
        model = checkpoints.load(name)
        found = page.evaluate(RUN, [name, tokens[0].tolist(), 12])
        start = tensor(found["start"])
        ready = model.prepare(tokens, state=start)
        if model.config.start == "normal":
            assert start.abs().max() <= 3 * model.config.start_std
            assert abs(start.std() / model.config.start_std - 1) < 0.15
        else:
            assert torch.equal(start, model.prepare(tokens).start)
        compared = [(tensor(found["x"]), ready.x)]
        seen = []

        def tap(site, value, seen=seen):
            if site.name in ("core.resid", "core.attn.pattern"):
                seen.append(value)

        tap.patterns = True
        for (_, z), out in zip(model.passes(ready, 12, tap=tap), found["out"], strict=True):
            here = [tensor(one) for one in out]
            wanted = [z, torch.stack(seen[1::2]), torch.stack(seen[::2]), model.answer(z, ready)]
            compared += zip(here, wanted, strict=True)
            seen.clear()
        for here, there in compared:
            assert here.shape == there.shape
            assert (here - there).abs().max() <= 1e-4


def test_what_the_engine_cannot_run_is_named(address, page, errors):
    opened(page, f"{address}/flood.html")
    for tokens, told in {
        "[]": "no tokens",
        "[2, 0, 0]": "3 cells: a grid has a square number",
        "[2, 0, 3, 0]": "token id 3: this model knows whole numbers from 0 to 2",
        "[2, 0, 0.5, 0]": "token id 0.5",
    }.items():
        said = page.evaluate(
            f"looplab.engine.load('flood').then(m => m.prepare({tokens})).catch(e => e.message)"
        )
        assert told in said
    said = page.evaluate("looplab.engine.load('root-k1').then(m => m.prepare([[1]]))"
                         ".catch(e => e.message)")  # fmt: skip
    assert "token [1]: expected 2 symbols" in said


def test_every_page_on_a_phone_and_at_a_desk_in_light_and_dark(site, chromium):
    assert visit(site, chromium, TWO) == []
    assert file_faults(site) == []


def test_a_forest_is_laid_out_as_in_python(address, page, errors):
    page.goto(f"{address}/root.html")
    forests = tasks.find_root(6, torch.Generator().manual_seed(1), max_depth=11)
    for parents in tasks.parents(forests.tokens).tolist():
        labels = [str(n) for n in range(12)]
        wanted = lay_out(parents, labels)
        found = page.evaluate("([p, l]) => looplab.layOut(p, l)", [parents, labels])
        assert np.allclose(found["spots"], wanted.spots, atol=1e-3)
        assert found["colours"] == wanted.colours and found["other"] == wanted.other
    assert "circle" in page.evaluate(
        "() => { try { looplab.layOut([1, 0], ['a', 'b']); } catch (e) { return e.message; } }"
    )


def words(page):
    settled(page)
    return page.locator("#words").inner_text()


def test_a_forest_is_built_by_pointer_and_by_keys(address, page, errors):
    opened(page, f"{address}/root.html#f=00123456789a&m=root-k1&l=1&n=11")
    assert "Loop 1 of 24: 3 of 12 answers are right. It sees 2 steps deep, of 11." in words(page)
    canvas = page.locator("#forest")
    slider = page.get_by_role("slider", name="loop")
    slider.fill("5")
    assert "12 of 12 answers are right" in words(page)
    page.get_by_role("button", name="One loop back").click()
    page.get_by_role("button", name="One loop on").press("Enter")
    assert slider.input_value() == "5" and "&l=5" in page.url
    # By the controls: 11 becomes a root; under its own child it cannot go.
    under = page.get_by_label("hangs under")
    under.select_option("nothing: it is a root")
    assert "Node 11 says 11, and so it is." in words(page)
    page.locator("#node").select_option("3")
    assert under.locator("option[value='7']").is_disabled()
    assert "f=00123456789b" in page.url
    # By the pointer: 11 under 0, as it is drawn; then 0 under its own child, which is refused.
    spots = page.evaluate(
        """() => looplab.layOut([0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11], Array(12).fill("")).spots"""
    )
    columns = 1.5 + max(across for across, _ in spots)
    levels = 1.1 + max(depth for _, depth in spots)
    box = canvas.bounding_box()
    width = box["width"] - 10 - 20  # of the canvas without its padding, of the panel
    step = min(width / columns, (440 - 12 - 66) / levels, 48)

    def place(node):
        across, depth = spots[node]
        left = 10 + (width - columns * step) / 2 + 0.9 * step
        return box["x"] + 5 + left + across * step, box["y"] + 5 + 50 + (0.55 + depth) * step

    def drag(a, b):
        canvas.scroll_into_view_if_needed()
        page.mouse.move(*place(a))
        page.mouse.down()
        for share in (0.3, 0.6, 1):
            page.mouse.move(*(p + share * (q - p) for p, q in zip(place(a), place(b), strict=True)))
        page.mouse.up()

    drag(0, 2)
    assert "0 stands above 2" in page.locator("#words").inner_text()
    drag(11, 0)
    assert "f=001234567890" in page.url
    assert "Node 11 says 0, and so it is." in words(page)
    # Buttons, a suggestion, and a link that brings all of it back.
    for name in ("Another forest", "Other names"):
        before = page.url
        page.get_by_role("button", name=name).click()
        assert page.url != before
        words(page)
    assert page.get_by_role("button", name="Other noise").is_disabled()
    page.get_by_role("link", name="Two trees").click()
    assert page.locator("#model").input_value() == "hero"
    first = words(page)
    page.get_by_role("button", name="Other noise").click()
    slider.fill("22")
    page.get_by_role("button", name="Play").click()
    page.get_by_role("button", name="Pause").wait_for()
    page.get_by_role("button", name="Play").wait_for()  # again, at the end
    assert "Loop 24 of 24: 12 of 12 answers are right" in words(page) != first
    link, said = page.locator("#address").input_value(), words(page)
    opened(page, link)
    assert words(page) == said and "&s=2" in link


def test_a_link_that_is_no_forest_changes_nothing(address, page, errors):
    told = "document.getElementById('forest').ariaLabel.split('. ')[1]"
    opened(page, f"{address}/root.html")
    before = page.evaluate(told)
    for wrong in ("f=10&m=other&l=x", "f=123456789ab0", "f=zzzzzzzzzzzz&n=99", "s=-1&%", "l=999"):
        with page.expect_event("framenavigated"):
            page.evaluate("wrong => { location.hash = wrong; }", wrong)
        assert "of 12 answers are right" in words(page) and page.evaluate(told) == before
    assert "Loop 24 of 24" in words(page)


def test_a_maze_is_built_by_pointer_and_by_keys(address, page, errors):
    opened(page, f"{address}/flood.html#w=6&z=S{'.' * 35}&l=3")
    assert "has come 6 steps from the start, of 10; 10 of 36 cells are not seen" in words(page)
    canvas = page.locator("#maze")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    page_wide = box["width"] - 10
    size = min((page_wide - 250 - 8) / 6, 440 / 6, 64)
    left = box["x"] + 5 + max(2, (page_wide - 6 * size - 250) / 2)

    def cell(row, column):
        return left + (column + 0.5) * size, box["y"] + 5 + 32 + (row + 0.5) * size

    def maze():
        return dict(part.split("=") for part in page.url.split("#")[1].split("&"))

    page.mouse.move(*cell(1, 0))
    page.mouse.down()
    page.mouse.move(*cell(1, 1))
    page.mouse.up()
    assert maze()["z"] == "S.....xx" + "." * 28
    page.get_by_label("click moves the start").check()
    page.mouse.click(*cell(5, 5))
    assert maze()["z"] == "......xx" + "." * 27 + "S"
    page.get_by_label("click builds walls").check()
    canvas.focus()
    for key in ("e", "ArrowUp", "ArrowLeft", "Enter", "ArrowUp", "s"):
        canvas.press(key)
    assert maze()["z"] == "......xxS....." + "x" + "." * 21
    assert "At row 2, column 3: start" in words(page)
    canvas.press("Escape")
    assert "At row" not in words(page)
    page.get_by_label("Size").select_option("16 × 16")
    assert len(maze()["z"]) == 256 and "Loop 1 of 72" in words(page)
    for name in ("Another maze", "No walls"):
        page.get_by_role("button", name=name).click()
        words(page)
    assert set(maze()["z"]) == {".", "S"}


def test_a_finger_builds_on_the_maze_and_scrolls_beside_it(address, chromium):
    context = chromium.new_context(
        viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True
    )
    page = context.new_page()
    opened(page, f"{address}/flood.html#w=6&p=empty")
    touch = context.new_cdp_session(page)

    def drag(*places):
        for number, (x, y) in enumerate(places):
            kind = "touchMove" if number else "touchStart"
            points = [{"x": x, "y": y}]
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    page.locator("#maze").evaluate("maze => maze.scrollIntoView({ block: 'center' })")
    box, before = page.locator("#maze").bounding_box(), page.evaluate("scrollY")
    size = (box["width"] - 8) / 6  # about: a finger in the middle of a cell is far from its edge
    column = [(box["x"] + 4 + size / 2, box["y"] + 32 + (row + 0.5) * size) for row in range(6)]
    drag(*column[1:])
    assert "z=S.....x.....x.....x.....x.....x.....&" in page.url
    assert page.evaluate("scrollY") == before
    legend = box["x"] + 150, column[-1][1] + size
    drag(legend, *((legend[0], legend[1] - 30 * n) for n in range(1, 7)))
    page.wait_for_function("before => scrollY > before + 30", arg=before)
    context.close()


def test_walls_under_running_water(address, page, errors):
    """What the page lets its reader discover: the loop keeps water that has no way in."""
    opened(page, f"{address}/flood.html#w=6&p=empty&l=24")
    assert "every cell is right" in words(page)
    page.get_by_label("change the maze under running water").check()
    walled = f"Sx....x{'.' * 29}"
    link = page.locator("#address").input_value().replace("z=S......", "z=Sx....x")
    opened(page, link)
    page.get_by_role("slider", name="loop").fill("48")
    assert "33 of 36 cells are called reached, and no way leads there" in words(page)
    page.get_by_label("change the maze under running water").uncheck()
    page.get_by_role("slider", name="loop").fill("24")
    assert "every cell is right" in words(page) and f"z={walled}" in page.url


def test_a_second_visit_needs_no_network(site, page, errors):
    with served(site) as address:
        opened(page, f"{address}/explore/flood.html")
        page.locator("#status[data-kept=yes]").wait_for()
    opened(page, f"{address}/explore/flood.html#w=6&p=empty&l=24")  # nobody answers there now
    assert "every cell is right" in words(page)


def test_the_worker_keeps_nothing_but_this_state_of_the_site(site, tmp_path):
    worker = (site / "explore/worker.js").read_text(encoding="utf-8")
    said = json.loads(worker.partition("SITE = ")[2].partition(";\n")[0])
    assert "root.html" in said["files"] and "runtime.js" not in said["files"]
    assert all((site / "explore" / name).exists() for name in said["files"])
    shutil.copytree(site / "explore", tmp_path / "new")
    (tmp_path / "new/worker.js").unlink()
    assert pages.worker(tmp_path / "new") == worker
    (tmp_path / "new/root.js").write_text("other")
    assert said["version"] not in pages.worker(tmp_path / "new")


def test_without_npm_the_site_does_without_these_pages(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(runtime.shutil, "which", lambda name: None)
    assert pages.ready(tmp_path) is False
    told = capsys.readouterr().out
    assert "npm is not installed, and onnxruntime-web 1.30.0" in told
    monkeypatch.setattr(runtime.shutil, "which", lambda name: "npm")
    monkeypatch.setattr(runtime.subprocess, "run", packs(b"an archive of somebody else's"))
    with pytest.raises(RuntimeMissingError, match="another onnxruntime-web.*not used"):
        runtime.fetch(tmp_path)
    monkeypatch.setattr(runtime.subprocess, "run", packs(None))
    with pytest.raises(RuntimeMissingError, match="npm could not fetch.*ENOTFOUND"):
        runtime.fetch(tmp_path)
    assert list(tmp_path.iterdir()) == []


def packs(archive):
    """npm, which writes this archive or fails."""

    class Done:
        returncode, stdout, stderr = (0, "", "") if archive else (1, "", "npm error ENOTFOUND")

    def run(command, cwd, **options):
        if archive:
            (Path(cwd) / "onnxruntime-web.tgz").write_bytes(archive)
        return Done()

    return run


def test_matrices_are_halved_only_where_nothing_is_lost():
    import onnxruntime

    for name, ratio in (("root-k1", 1), ("drawn", 2)):
        folder = models.graphs(name, CACHE)
        whole, light = folder / "core.onnx", models.light(folder / "core.onnx")
        assert abs(whole.stat().st_size / len(light) / ratio - 1) < 0.1
        width = json.loads((folder / "about.json").read_text())["width"]
        given = {key: np.ones((1, 4, width), np.float32) for key in ("state", "x")}
        a, b = (onnxruntime.InferenceSession(one).run(None, given) for one in (whole, light))
        assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
