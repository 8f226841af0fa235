"""The widgets' state machines, moved without a browser."""

import json
from pathlib import Path

import pytest
import torch

from looplab import LoopedConfig, LoopedTransformer, grid, measure, plots, tasks, trace
from looplab.widgets import (
    FLOOD,
    FrameStepper,
    LoopMicroscope,
    PatchStepper,
    PhaseStepper,
    PlaneStepper,
    embed,
    flood_frames,
)
from looplab.widgets.payload import pack, unpack


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return LoopedTransformer(LoopedConfig(vocab=10, width=16, heads=2, core=3)).eval()


@pytest.fixture(scope="module")
def run(model):
    tokens = torch.arange(10).view(2, 5)
    return trace(model, tokens, loops=8, keep=("states", "attention"))


@pytest.fixture
def scope(run, model):
    return LoopMicroscope(run, model, targets=torch.zeros(2, 5, dtype=torch.long))


def test_the_loop_stays_inside_the_run(scope):
    scope.loop = 5
    assert scope.loop == 5
    scope.loop = 99
    assert scope.loop == 8
    scope.loop = -3
    assert scope.loop == 0
    with pytest.raises(TypeError, match=r"loop=2\.5"):
        scope.loop = 2.5


def test_numbers_are_those_of_the_trace(scope, run, model):
    scope.token = 2
    state = scope.picture_state(3)
    path = run.states[:, :, 0, 2].double()
    limit = path[-1]
    distance = (path[2] - limit).norm(dim=-1) / limit.norm(dim=-1)
    torch.testing.assert_close(
        torch.tensor(state["distance"]).double(), distance, rtol=1e-3, atol=0
    )
    relative = measure.relative_step(run.states)[1, :, 0, 2].double()
    torch.testing.assert_close(torch.tensor(state["step"]).double(), relative, rtol=1e-3, atol=0)
    logits = model.readout(run.loop_ends[2, :1])[0]
    assert state["answers"] == [str(a) for a in logits.argmax(-1).tolist()]
    assert state["right"] == int((logits.argmax(-1) == 0).sum())
    pattern = run.attention[2, scope.stage.layer, 0].mean(0)
    torch.testing.assert_close(torch.tensor(state["attention"]), pattern, rtol=0, atol=3e-3)


def test_all_that_is_drawn_is_what_measure_says(scope, run):
    states = run.states[:, :, 0].double()  # [loop, layer, token, width]
    for token in range(states.shape[2]):
        plane = measure.cycle_pca(states[:, :, token])
        drawn = torch.from_numpy(scope.numbers["main.points"][:, :, token])
        torch.testing.assert_close(drawn, plane.points, rtol=0, atol=1e-3)
        assert scope.meta.explained[token] == pytest.approx(plane.explained.tolist(), abs=1e-4)
    drawn = torch.from_numpy(scope.numbers["main.distance"])[1:-1]
    distance = measure.distance_to_limit(states, relative=True)[:-1]
    torch.testing.assert_close(10**drawn, distance, rtol=1e-3, atol=0)
    drawn = torch.from_numpy(scope.numbers["main.step"])[2:]
    torch.testing.assert_close(10**drawn, measure.relative_step(states), rtol=1e-3, atol=0)


def test_to_a_state_of_no_length_nothing_is_relative(model, run):
    still = trace(model, run.tokens, loops=3)
    still.states[:, :, :, 1] = 0
    scope = LoopMicroscope(still, token=1)
    assert torch.tensor(scope.picture_state(2)["distance"]).isnan().all()
    assert scope.meta.ranges["distance"][1] < 3


def test_the_browser_is_told_what_the_record_says(scope):
    told = json.loads(json.dumps(scope.stage.meta))
    assert told == scope.meta.as_dict()
    assert told["kind"] == "microscope" and told["last"] == told["loops"] == 8
    assert set(told["layout"]) == set(scope.numbers)


def test_every_script_is_read_in_its_place():
    scripts = Path(embed.__file__).parent / "js"
    there = {path.relative_to(scripts).as_posix() for path in scripts.rglob("*.js")}
    assert there == {*embed.DRAWING, "live_widget.js", "page_controls.js", "static_page.js"}
    for path in scripts.rglob("*.js"):
        assert path.read_text(encoding="utf-8").startswith("// "), f"{path.name} says nothing"


def test_a_held_loop_is_a_ghost_until_it_is_released(scope):
    assert scope.held_loop is None
    scope.loop = 2
    scope.hold()
    scope.loop = 6
    ghost = scope.picture_state()["ghost"]
    assert scope.held_loop == ghost["loop"] == 2
    assert ghost["points"] == scope.picture_state(2)["points"]
    assert "Held beside it, loop 2" in scope.describe()
    scope.release()
    assert scope.picture_state()["ghost"] is None
    with pytest.raises(ValueError, match="loop=9: this run has loops 0 to 8"):
        scope.hold(9)


def test_a_second_run_is_drawn_beside_the_first(run, model):
    other = trace(model, run.tokens.flip(0), loops=4, keep=("states", "attention"))
    scope = LoopMicroscope(run, model, compare=other)
    scope.loop = 6
    ghost = scope.picture_state()["ghost"]
    assert (ghost["run"], ghost["loop"]) == ("the other run", 4)


def test_loop_0_is_the_start_and_the_last_loop_the_fixed_point(scope):
    scope.loop = 0
    assert "before any pass" in scope.describe()
    assert scope.picture_state()["attention"] is None
    scope.loop = 8
    assert "stands for the fixed point" in scope.describe()


def test_any_trace_will_do(run):
    states_only = trace(
        LoopedTransformer(LoopedConfig(vocab=10, width=16, heads=2, core=1)),
        torch.arange(4)[None],
        loops=1,
    )
    scope = LoopMicroscope(states_only)
    assert scope.picture_state(1)["answers"] is None
    assert scope.picture_state(1)["attention"] is None
    big = LoopedTransformer(LoopedConfig(vocab=500, width=16, heads=2, core=2)).eval()
    wide = LoopMicroscope(trace(big, torch.arange(6)[None], loops=3), big)
    assert len(wide.picture_state(2)["answers"]) == 6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"item": 2}, "item=2: this trace holds sequences 0 to 1"),
        ({"token": 5}, "token=5: this run has tokens 0 to 4"),
        ({"labels": ["a"]}, "labels names 1 tokens: this run has 5"),
        ({"targets": [1, 2]}, "targets have shape"),
        ({"targets": [99] * 5}, "targets hold 99"),
        ({"answer_names": ["a"]}, "answer_names has 1 names"),
    ],
)
def test_what_does_not_fit_together_is_named(run, model, options, message):
    with pytest.raises(ValueError, match=message):
        LoopMicroscope(run, model, **options)


def test_a_trace_without_states_or_with_infinite_ones_is_refused(run, model):
    bare = trace(model, run.tokens, loops=2, keep=())
    with pytest.raises(ValueError, match="no states: record it with keep"):
        LoopMicroscope(bare)
    broken = trace(model, run.tokens, loops=4)
    broken.states[2] = torch.inf
    with pytest.raises(ValueError, match="not finite from loop 3 on"):
        LoopMicroscope(broken)


def test_the_html_edition_stands_alone_and_is_the_same_each_time(scope):
    page = scope.html()
    assert page == scope.html()
    assert "http" not in page.replace("http://www.w3.org", "")
    assert scope.payload < 200_000


def test_film_strips_have_alt_text_with_numbers(scope):
    strip = scope.film_strip((1, 4, 8))
    assert isinstance(strip, plots.Picture)
    assert "Loop 4 of 8" in strip.alt
    assert "answers are right" in strip.alt


def test_numbers_survive_the_wire_to_half_a_step():
    values = torch.linspace(-3, 7, 1001).double().numpy()
    for size, levels in ((1, 254), (2, 65534)):
        data, layout = pack({"v": (values, size)})
        json.dumps(layout)
        error = abs(unpack(data, layout)["v"] - values).max()
        assert len(data) == size * 1001
        assert error <= 10 / levels / 2 * 1.001


def test_flood_frames_say_what_is_right_and_what_is_not():
    maze = tasks.flood_fill(1, torch.Generator().manual_seed(0), side=4)
    answers = torch.stack([torch.zeros_like(maze.targets[0]), maze.targets[0]])
    frames = flood_frames(maze.tokens[0], answers, maze.targets[0])
    names = [kind.name for kind in FLOOD]
    late = frames[1][frames[1] > 1]
    assert {names[kind] for kind in late.tolist()} <= {
        "reached, and rightly so",
        "dry, and rightly so",
    }
    water = FrameStepper(frames, categories=FLOOD)
    water.loop = 2
    counts = water.picture_state()["counts"]
    assert sum(counts.values()) == 16
    assert counts["wrongly called reached"] == counts["reachable, not yet seen"] == 0
    assert "cells changed since loop 1" in water.describe()


@pytest.mark.parametrize(
    ("frames", "options", "message"),
    [
        (torch.zeros(3, 3), {}, r"frames have shape \[3, 3\]"),
        (torch.full((1, 2, 2), torch.nan), {}, "not finite"),
        (torch.zeros(2, 3, 3), {"captions": ["one"]}, "1 captions for 2 frames"),
        (torch.full((1, 2, 2), 9), {"categories": FLOOD}, "frames hold 9"),
    ],
)
def test_frames_that_make_no_picture_are_refused(frames, options, message):
    with pytest.raises(ValueError, match=message):
        FrameStepper(frames, **options)


def test_a_plane_shows_the_points_of_its_menus():
    points = torch.rand(2, 3, 4, 5, 2)
    captions = [[[f"{a}{b} frame {n}" for n in range(4)] for b in range(3)] for a in range(2)]
    menus = {"norm": ["pre", "Ouro"], "injection": ["none", "add", "concat"]}
    plane = PlaneStepper(points, title="paths", menus=menus, captions=captions, first=0)
    plane.choose(norm="Ouro", injection="add")
    plane.loop = 2
    drawn = torch.tensor(plane.picture_state()["points"])
    torch.testing.assert_close(drawn, points[1, 1, 2], rtol=0, atol=2e-5)
    assert plane.describe() == "11 frame 2"
    plane.hold(0)
    assert plane.describe() == "11 frame 2 Held beside it, loop 0: 11 frame 0"
    with pytest.raises(ValueError, match="norm='Huginn': the menus are"):
        plane.choose(norm="Huginn")


def test_a_plane_shows_the_last_passes_of_a_run():
    end = torch.eye(3, 8)  # three layers, and a way to rest on three points
    loop = torch.arange(6.0)[:, None, None]
    runs = torch.stack(
        [end * (1 - share**loop) for share in (0.5, 0.1)]
    )  # [run, loop, layer, width]
    plane = PlaneStepper.passes(runs, title="passes", window=2, menus={"share": ["a half", "less"]})
    assert [point is None for point in plane.picture_state(1)["points"]] == [True] * 3 + [False] * 3
    points = torch.tensor(plane.picture_state(4)["points"])
    before = torch.tensor(plane.picture_state(3)["points"])
    torch.testing.assert_close(points[:3], before[3:])
    assert plane.meta.kinds == [0, 1, 2, 0, 1, 2] and plane.meta.names[2] == "after layer 3"
    assert plane.describe(1) == "Loop 1: the first pass."
    assert plane.describe(4).startswith("Loop 4: largest move since loop 3, ")
    plane.choose(share="less")
    assert "0.006 %" in plane.describe(6) or "0.005 %" in plane.describe(6)


def test_a_strip_of_a_plane_shows_frames_or_the_options_of_a_menu():
    points = torch.rand(3, 4, 5, 2)
    captions = [[f"Loop {n}: {fault}" for n in range(1, 5)] for fault in "abc"]
    options = {"menus": {"fault": list("abc")}, "captions": captions, "extent": (0, 2, 0, 0.1)}
    plane = PlaneStepper(points, title="one", path=True, **options)
    assert plane.stage.meta["extent"] == [0, 2, 0, 0.1]
    plane.choose(fault="b")
    frames, faults = plane.film_strip((1, 3)), plane.film_strip((4,), each="fault")
    assert frames.alt == "one. Loop 1: b Loop 3: b"
    assert faults.alt == "one. Loop 4: a Loop 4: b Loop 4: c"
    assert plane.describe() == "Loop 1: b"
    shown = [panel.get_title("left") for panel in faults.figure.axes]
    assert shown == ["a", "b", "c"]
    outside = int((points[1, 0, :, 1] > 0.1).sum())
    assert f"{outside} of 5 points lie outside" in frames.figure.axes[0].get_xlabel()
    with pytest.raises(ValueError, match=r"each='norm': the menus are \['fault'\]"):
        plane.film_strip(each="norm")
    with pytest.raises(ValueError, match="expected x0 < x1"):
        PlaneStepper(points[0], title="", extent=(1, 0, 0, 1))


def test_the_last_point_of_a_path_is_marked_unless_it_is_the_first_again():
    points = torch.rand(2, 3, 2)
    for path, marked in ((points, True), (torch.cat((points, points[:, :1]), dim=1), False)):
        plane = PlaneStepper(path, title="one", path=True)
        assert plane.meta.closed is not marked
        strip = plane.film_strip((1, 2), headings=["std 0.1", "std 0.2"])
        assert strip.figure.axes[1].get_title("left") == "std 0.2"
        told = [text.get_text() for legend in strip.figure.legends for text in legend.get_texts()]
        assert ("the last point" in told) is marked


def test_frames_have_names_for_rows_and_columns_and_a_scale():
    ticks = (["a", "", "b"], ["x", "y"])
    frames = FrameStepper(
        torch.rand(3, 2, 3), ticks=ticks, axes=("looks at", "node"), unit="attention"
    )
    first, *_, bar = frames.film_strip((1, 3)).figure.axes
    assert [label.get_text() for label in first.get_xticklabels()] == ["a", "b"]
    assert (first.get_xlabel(), first.get_ylabel()) == ("looks at", "node")
    assert bar.get_ylabel() == "attention"
    with pytest.raises(ValueError, match="ticks name 2 columns and 3 rows: these frames have 3"):
        FrameStepper(torch.rand(3, 2, 3), ticks=ticks[::-1])


def test_a_plane_offers_buttons_in_place_of_a_menu():
    points = torch.rand(2, 4, 5, 2)
    for buttons, control in ((False, "Dropdown"), (True, "ToggleButtons")):
        plane = PlaneStepper(points, title="", menus={"fault": ["none", "gain"]}, buttons=buttons)
        (menu,) = plane.children[1].children
        assert type(menu).__name__ == control
        assert menu.options == (("none", 0), ("gain", 1))


def test_points_that_are_missing_are_not_drawn():
    points = torch.tensor([[[0.5, 0.0], [torch.nan, 0.0]]])
    plane = PlaneStepper(points, title="one", names=("a", "b"), kinds=(0, 1), circle=True)
    assert plane.picture_state()["points"][1] is None
    assert plane.stage.meta["extent"][0] < -1
    assert "Loop 1 of 1" in plane.film_strip().alt


@pytest.mark.parametrize(
    ("points", "options", "message"),
    [
        (torch.zeros(3, 2), {}, r"points have shape \[3, 2\]"),
        (torch.zeros(2, 3, 4, 2), {"menus": {"a": ["x"]}}, r"the menus offer \[1\]"),
        (torch.zeros(3, 4, 2), {"kinds": [0]}, "expected 4 numbers from 0 to 0"),
        (torch.zeros(3, 4, 2), {"captions": ["a"]}, "captions hold 1 texts"),
    ],
)
def test_a_plane_that_does_not_fit_together_is_refused(points, options, message):
    with pytest.raises(ValueError, match=message):
        PlaneStepper(points, title="", **options)


@pytest.fixture(scope="module")
def ends():
    return grid.grid(["Ouro", "pre"], ["none"], [2], [0.5, 1.0], [0, 1], width=16, tokens=4)


def test_a_phase_diagram_shows_the_run_of_the_cell(ends):
    path = torch.tensor([[3.0, 1.0], [5.0, 2.0]])[None].repeat(8, 1, 1)
    phases = PhaseStepper(ends, {("pre", "none", 1.0): path}, seed=1)
    assert phases.picture_state()["path"] is None
    phases.choose("pre", "none", 1.0)
    state = phases.picture_state()
    assert (phases.loop, state["cell"]) == (2, ("pre", "none", 1.0))
    assert state["counts"] == {"degenerate": 2} and state["kind"] == "degenerate"
    drawn = torch.tensor(state["path"])[-1]
    # Moved to the middle and scaled, one scale for both axes.
    torch.testing.assert_close(drawn, torch.tensor([[-1, -0.5], [1, 0.5]]), rtol=0, atol=1e-2)
    assert phases.describe() == ("pre, none, gain 1: 2 degenerate. The run of draw 1: degenerate.")
    phases.hold(1)
    assert "Held beside it: pre, none, gain 0.5: " in phases.describe()
    told = json.loads(json.dumps(phases.stage.meta))
    assert told == phases.meta.as_dict()
    assert {told["kinds"][n] for cell in told["ends"][1] for n in cell} == {"degenerate"}
    strip = phases.film_strip()
    assert strip.data["cells"] == [("pre", "none", 1.0)]
    assert "gain 1: 2 degenerate" in strip.alt


@pytest.mark.parametrize(
    ("runs", "seed", "message"),
    [
        ({("pre", "none", 3.0): torch.zeros(4, 2, 2)}, 0, "there is no outcome of this setting"),
        ({("pre", "none", 1.0): torch.zeros(4, 2)}, 0, r"paths of shapes \[\[4, 2\]\]"),
        ({("pre", "none", 1.0): torch.zeros(4, 2, 2)}, 7, r"seed=7: .* seeds are \[0, 1\]"),
        ({}, 0, r"paths of shapes \[\]"),
    ],
)
def test_runs_that_do_not_fit_the_outcomes_are_refused(ends, runs, seed, message):
    with pytest.raises(ValueError, match=message):
        PhaseStepper(ends, runs, seed=seed)


def test_a_phase_diagram_says_which_cells_it_has(ends):
    path = torch.full((4, 2, 2), torch.nan)
    phases = PhaseStepper(ends, {("pre", "none", 1.0): path})
    phases.choose("pre", "none", 1.0)
    assert phases.picture_state()["path"] is None
    with pytest.raises(ValueError, match="this diagram has Ouro, none; pre, none, each with gains"):
        phases.choose("Huginn", "none", 1.0)
    more = grid.grid(["pre"], ["none"], [3], [0.5], [0], width=16, tokens=4)
    with pytest.raises(ValueError, match=r"cores with \[2, 3\] layers"):
        PhaseStepper(ends + more, {("pre", "none", 1.0): path})


FLIPS = torch.tensor([[[3, 3], [3, 5]], [[3, 3], [3, 7]]])  # [from_loop, to_loop, token]


def test_a_patching_map_shows_what_the_cell_answers():
    share = torch.tensor([[0.0, 1.0], [0.25, torch.nan]])
    forest = {"parents": [0, 0], "labels": [3, 5], "targets": [3, 3]}
    patches = PatchStepper(share, answers=FLIPS, what="one node", **forest)
    patches.choose(1, 2)
    state = patches.picture_state()
    assert (state["from_loop"], state["to_loop"]) == (1, 2)
    assert (state["answers"], state["right"]) == ([3, 5], [True, False])
    assert patches.describe() == (
        "One node of A after loop 1 in the place of B's after loop 2: 100 % of the difference. "
        "1 of 2 nodes give B's answer."
    )
    assert "B's after loop 2: ? of the difference" in patches.meta.captions[1][1]
    patches.hold(1)
    assert "Held beside it: One node of A after loop 1" in patches.describe()
    assert json.loads(json.dumps(patches.stage.meta)) == patches.meta.as_dict()
    assert "25 % of the difference" in patches.film_strip([(2, 1), (1, 2)]).alt
    with pytest.raises(ValueError, match="loops 1 to 2 of A and 1 to 2 of B"):
        patches.choose(3, 1)


def test_a_patching_map_shows_words_behind_a_text():
    said = [[[(" Rome", 0.75), (" the", 0.1)]] * 3] * 2
    patches = PatchStepper(torch.zeros(2, 3), said=said, text="Italy's capital is")
    assert patches.picture_state(2)["said"] == [["Rome", 0.75], ["the", 0.1]]
    assert patches.describe().endswith("0 % of the difference. Next word: Rome 75 %, the 10 %.")
    assert "Next word: Rome 75 %" in patches.film_strip([(1, 1)]).alt


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "give either answers"),
        ({"answers": FLIPS}, "parents, targets"),
        ({"answers": FLIPS[:1], "parents": [0, 0], "targets": [3, 3]}, r"expected \[2, 2, 2\]"),
        ({"answers": FLIPS, "parents": [0, 0], "targets": [3]}, "1 targets for 2 tokens"),
        ({"said": [[[("a", 1.0)]]]}, "expected 2 x 2"),
    ],
)
def test_a_patching_map_that_does_not_fit_together_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        PatchStepper(torch.zeros(2, 2), **given)
