"""Figures: alt text told from the data, readable without colour and on any page."""

import inspect
import io
import math
import sys
from collections import namedtuple

import matplotlib.style
import numpy as np
import pytest
import torch
from matplotlib.collections import PatchCollection
from matplotlib.image import imread

from looplab import measure, plots

ROOMS = tuple(
    f"looplab.plots.{name}"
    for name in (
        "figures",
        "forks",
        "layers",
        "patching",
        "phases",
        "recurrences",
        "side_by_side",
        "spectra",
        "streams",
        "words",
    )
)
RISING = torch.tensor([0.25, 0.5, 0.97, 0.75])
STAIRS = torch.tensor([[1.0, 0.5, 0.1], [1.0, 0.95, 0.3], [1.0, 1.0, 0.9]])
FALLING = torch.tensor([[8.0, 4.0], [2.0, 1.0], [0.5, 0.25]])


Draw = namedtuple("Draw", "norm injection depth gain seed kind")


def draws(*kinds, norm="pre", injection="none", depth=4, gain=1.0):
    """One setting's outcomes, a seed each."""
    return [Draw(norm, injection, depth, gain, seed, kind) for seed, kind in enumerate(kinds)]


def circle(loops=6):
    """A path that closes in on three corners, 3, 4 and 5 apart."""
    corners = torch.tensor([[0.0, 0.0], [3.0, 0.0], [3.0, 4.0]])
    return corners + 0.1 ** torch.arange(loops)[:, None, None]


FIGURES = {
    "loss_curve": (
        lambda: plots.loss_curve({"looped": [8.0] * 30 + [0.5] * 30, "twin": [4.0] * 40}),
        ["looped falls from 8 to 0.5 in 60 steps", "twin falls from 4 to 4 in 40 steps"],
    ),
    "accuracy_by_loop": (
        lambda: plots.accuracy_by_loop({"looped": RISING, "twin": RISING[:2]}, trained=(2, 3)),
        [
            "looped starts at 0.25, is highest with 0.97 at loop 3 and ends at 0.75 after 4",
            "twin starts at 0.25, is highest with 0.50 at loop 2 and ends at 0.50 after 2",
        ],
    ),
    "staircase": (
        lambda: plots.staircase(STAIRS, loops=(1, 2, 3), what="distance"),
        [
            "loop and distance",
            "loop 1 solves up to 0, loop 2 solves up to 1, loop 3 solves up to 2",
        ],
    ),
    "staircases": (
        lambda: plots.staircases({"forests": {"0 steps": STAIRS - 0.2, "9 steps": STAIRS}}),
        [
            "loop and depth",
            "forests, 0 steps: none, none, none; forests, 9 steps: 0, 1, 2",
        ],
    ),
    "lines_by_layer": (
        lambda: plots.lines_by_layer(FALLING, "step size", floor=0.3, spread=FALLING / 10),
        [
            "step size over loops 1 to 3",
            "layer 1 goes from 8 to 0.5",
            "layer 2 goes from 4 to 0.25",
        ],
    ),
    "multipliers": (
        lambda: plots.multipliers(
            {
                "turning": torch.tensor([0.3 + 0.4j, 0.3 - 0.4j]),
                "flipping": torch.tensor([-0.9, 0.2, 0.1]),
            }
        ),
        [
            "turning: 2, the largest has modulus 0.50 and turns by 53 degrees",
            "flipping: 3, the largest has modulus 0.90 and turns by 180 degrees",
        ],
    ),
    "orbits": (
        lambda: plots.orbits(
            {"five": torch.tensor([[0.0, 2], [2, 1], [1, -2], [-1, -2], [-2, 1]]).repeat(12, 1)}
        ),
        ["The last 48 loops of 1 paths", "five visits about 5 places"],
    ),
    "trade_off": (
        lambda: plots.trade_off(
            {"model": {"rule": ([2.0, 4.0], [0.5, 1.0]), "oracle": ([1.5], [1.0])}},
            "loops",
            "share right",
        ),
        ["share right against loops", "model, rule: from 0.50 at 2.0 to 1.00 at 4.0"],
    ),
    "stages": (
        lambda: plots.stages(
            {
                "mixing": {"looped": [[1.0, 2.0], [1.0, 4.0]], "control": [[1.0, 0.5]]},
                "length": {"looped": [[1.0, 2.0], [1.0, 2.0]], "control": [[3.0, 3.0]]},
                "sinks": {"looped": [[0.0, 0.0], [0.0, 0.0]], "control": [[0.0, 1.0]]},
            }
        ),
        ["mixing of looped lies between 1 and 4, in loop 2 between 1 and 4", "length of control"],
    ),
    "cycle": (
        lambda: plots.cycle(measure.cycle_pca(circle()), "A triangle"),
        ["A triangle", "the 3 layers end on points 3 to 5 apart", "by more than 0.0001"],
    ),
    "over_loops": (
        lambda: plots.over_loops({"step": FALLING}, {"step": 0.3}, last=4),
        ["A line for each of 2 layers. step, mean of layers: 6 at loop 2, 0.375 at loop 4"],
    ),
    "groupings": (
        lambda: plots.groupings(
            {"sinks": FALLING, "mixing": [[float("nan")] * 2, [1.0, 3.0], [2.0, 2.0]]},
            {"sinks": (torch.ones(2), torch.ones(1))},
            loops=(1, 4, 32),
            log=("sinks",),
        ),
        ["sinks, mean of layers: 6 at loop 1", "mixing, mean of layers: 2 at loop 4, 2 at loop 32"],
    ),
    "latent_path": (
        lambda: plots.latent_path(circle(), torch.tensor([0.75, 0.25]), "A triangle"),
        ["6 loops of 3 layers", "75 % and 25 % of the variance", "no layer moves by more than"],
    ),
    "across_layers": (
        lambda: plots.across_layers(
            {
                "sinks": {"a model": torch.tensor([[0.0, 0.5], [1.0, 1.0]]), "b": torch.ones(2, 1)},
                "length": {"a model": torch.tensor([[1.0, 1.0], [90.0, 110.0]])},
            },
            first=3,
            log=("length",),
        ),
        [
            "layers 3 to 4",
            "sinks, a model: 0.25 at the first",
            "length, a model",
            "100 at the last",
        ],
    ),
    "bifurcation": (
        lambda: plots.bifurcation(
            {"calm": torch.ones(2, 3), "turning": torch.tensor([[1.0, 1, 1], [0, 2, 0]])},
            (0.1, 0.25),
            "share",
            "length",
        ),
        ["last 3 loops over share", "calm: 0.1: 1, 0.25: 1", "turning: 0.1: 1, 0.25: 2"],
    ),
    "pattern_sheet": (
        lambda: plots.pattern_sheet(
            torch.stack((torch.eye(3), torch.eye(3)[:1].expand(3, 3))), columns=2
        ),
        ["layers 0 to 1 on 3 tokens", "Half of all attention or more goes to the first token in"],
    ),
    "pattern_distances": (
        lambda: plots.pattern_distances({"hero": [[0.0, 3.0], [3.0, 0.0]]}, layers=2),
        ["hero: 1 loops of 2 layers", "distances up to 3"],
    ),
    "bars": (
        lambda: plots.bars({"looped": 0.875, "twin": 0.5}, "accuracy", {"looped": 0.1, "twin": 0}),
        ["accuracy: looped 0.88 ± 0.10; twin 0.50 ± 0.00"],
    ),
    "word_map": (
        lambda: plots.word_map(
            ["The", " loop", "s", " turn", "."], torch.tensor([1, 2, 6, 6, 3]), "loop", "A text", 3
        ),
        [
            "A text: 5 tokens, loop: mean 3.6, least 1, most 6.",
            "Largest: “s” of “loops” 6, “turn” of “turn.” 6, “.” of “turn.” 3.",
        ],
    ),
    "comparison": (
        lambda: plots.comparison(
            {
                name: {
                    "steps": [0.5, last],
                    "answered": [0.25, 0.5, 1.0],
                    "leaves": 2.5,
                    "rate": 0.5,
                    "multiplier": 0.75,
                    "concentration": [[0.125, 0.25], [0.25, 0.25], [0.5, 0.5]],
                }
                for name, last in (("hero", 0.1), ("twin", 0.0))
            }
        ),
        [
            "2 models over 3 loops",
            "hero: last step 0.1 of the state, 25% of the answers are the last ones after loop 1",
            "twin: last step 0 of the state",
            "steps shrink by 0.50, largest multiplier 0.75, ColSum 0.19 to 0.50",
        ],
    ),
    "stream_strips": (
        lambda: plots.stream_strips(
            torch.tensor([[[3.0, -4.0], [0.0, 2.0]], [[30.0, 40.0], [0.0, 0.0]]]),
            {"H_pre": [[0.5, 0.25], [1.0, 0.0]], "H_post": torch.tensor([[1.5, 1.0], [2.0, 0.0]])},
            said=[["a", "b"], ["a", "c"]],
            title="At a token.",
        ),
        [
            "At a token, 2 of width 2. Loop 1: lengths 5, 2; H_pre 0.50, 0.25; H_post 1.50, 1.00;",
            "Loop 2: lengths 50, 0;",
            "alone they would say a, c.",
        ],
    ),
    "phase_diagram": (
        lambda: plots.phase_diagram(
            draws("no rest", "cycle", "cycle") + draws("explodes", "orbit", "explodes", gain=2.0)
        ),
        [
            "How 6 stacks of random weights end, gains 1 to 2, 3 draws of each",
            "pre, none: 2 cycle, 1 orbit, 1 no rest, 2 explodes",
        ],
    ),
    "patch_maps": (
        lambda: plots.patch_maps(
            {
                "patched": torch.tensor([[0.0, 0.5, 1.0], [-0.2, 0.1, torch.nan]]),
                "control": torch.zeros(2, 3),
            },
            labels=["the", "red", "fox"],
        ),
        [
            "Share of the difference by loop and token",
            "patched: largest 100 % at loop 1, token fox; smallest -20 % at loop 2, token the; "
            "mean 28 %",
            "control: largest 0 %",
        ],
    ),
}
each = pytest.mark.parametrize(("draw", "told"), FIGURES.values(), ids=FIGURES)


def pixels(picture):
    return imread(io.BytesIO(picture.png()))


def lines(picture):
    return [line for line in picture.figure.axes[0].get_lines() if line.get_label()[0] != "_"]


def texts(picture):
    return [text.get_text() for axes in picture.figure.axes for text in axes.texts]


def test_no_figure_is_left_out():
    own = {
        name
        for name, value in inspect.getmembers(plots, inspect.isfunction)
        if value.__module__ in ROOMS
    }
    assert own - {"phase_counts", "phase_legend"} == set(FIGURES)


@each
def test_the_alt_text_tells_the_numbers(draw, told):
    picture = draw()
    for part in told:
        assert part in picture.alt
    assert picture.alt.endswith(".")
    assert repr(picture) == picture.alt
    assert picture.data


@each
def test_a_picture_is_drawn_on_an_opaque_white_ground(draw, told):
    image = pixels(draw())
    assert image.shape[2] == 3 or (image[..., 3] == 1).all()
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])[:, :3]
    assert (border == 1).all(1).mean() > 0.95
    assert image[..., :3].min() < 0.5


@each
def test_the_same_figure_is_the_same_bytes(draw, told, tmp_path):
    picture = draw()
    picture.save(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes() == draw().png()


def test_a_notebook_gets_png_alt_and_text():
    picture = plots.bars({"looped": 0.875}, "accuracy")
    data, metadata = picture._repr_mimebundle_()
    assert data["image/png"].startswith(b"\x89PNG")
    assert data["text/plain"] == metadata["image/png"]["alt"] == picture.alt
    # Sharper than the page: a pixel there has four of the file.
    wide = imread(io.BytesIO(data["image/png"])).shape[1]
    assert metadata["image/png"]["width"] == wide // plots.SHARP


def test_large_areas_keep_their_colour():
    drawn = plots.lines_by_layer(FALLING, "size", floor=0.3, names=["a", "b"])
    colours = (255 * pixels(drawn)[..., :3]).round().astype(int).reshape(-1, 3)
    seen = {tuple(colour) for colour in colours.tolist()}
    for wanted in (plots.PALETTE[0], plots.PALETTE[1], "#ebebeb"):
        assert tuple(int(wanted[n : n + 2], 16) for n in (1, 3, 5)) in seen


def test_no_line_of_a_log_axis_ends_at_its_edge():
    low, high = plots.lines_by_layer(FALLING, "size", floor=0.3).figure.axes[0].get_ylim()
    assert low < 0.3 / 3 and high > 1.05 * float(FALLING.max())


def test_pyplot_keeps_no_figure():
    plots.bars({"looped": 0.875}, "accuracy").png()
    if "matplotlib.pyplot" in sys.modules:
        assert sys.modules["matplotlib.pyplot"].get_fignums() == []


@pytest.mark.parametrize(
    "draw",
    [
        lambda names: plots.loss_curve({name: [2.0, 1.0] for name in names}),
        lambda names: plots.accuracy_by_loop({name: RISING for name in names}),
        lambda names: plots.lines_by_layer(torch.ones(3, len(names)), "size", names=names),
    ],
)
def test_series_differ_in_line_style_and_are_named(draw):
    names = ["one", "two", "three", "four"]
    picture = draw(names)
    drawn = lines(picture)
    assert [line.get_label() for line in drawn] == names
    assert len({line.get_linestyle() for line in drawn}) == 4
    assert len({line.get_color() for line in drawn}) == 4
    assert [text.get_text() for text in picture.figure.axes[0].get_legend().get_texts()] == names


def test_there_are_as_many_styles_and_markers_as_colours():
    for looks in (plots.PALETTE, plots.STYLES, plots.MARKERS):
        assert len(set(looks)) == 7


def test_the_layers_of_a_cycle_differ_in_marker():
    axes = plots.cycle(measure.cycle_pca(circle())).figure.axes[0]
    named = [points for points in axes.collections if points.get_label()[0] != "_"]
    shapes = {points.get_paths()[0].vertices.tobytes() for points in named}
    assert len(named) == len(shapes) == 3
    assert [points.get_label()[-1] for points in named] == ["1", "2", "3"]


def test_the_loss_is_a_running_mean_at_its_last_step():
    loss = [float(n) for n in range(1, 11)]
    (line,) = plots.loss_curve(loss, smooth=4).figure.axes[0].get_lines()
    assert line.get_xdata().tolist() == list(range(4, 11))
    assert line.get_ydata() == pytest.approx([np.mean(loss[n - 4 : n]) for n in range(4, 11)])


def test_lines_stand_where_the_data_is():
    drawn = lines(plots.accuracy_by_loop({"looped": RISING}))[0]
    assert drawn.get_xdata().tolist() == [1, 2, 3, 4]
    assert drawn.get_ydata() == pytest.approx(RISING.numpy())
    for layer, line in enumerate(lines(plots.lines_by_layer(FALLING, "size", first_loop=2))):
        assert line.get_xdata().tolist() == [2, 3, 4]
        assert line.get_ydata() == pytest.approx(FALLING[:, layer].numpy())


def test_zeros_are_gaps_on_a_log_axis_and_points_on_a_plain_one():
    values = torch.tensor([[1.0], [0.5], [0.0]])
    log, plain = (plots.lines_by_layer(values, "size", log=log) for log in (True, False))
    assert math.isnan(lines(log)[0].get_ydata()[-1])
    assert "layer 1 goes from 1 to 0.5" in log.alt
    assert plain.alt.endswith("layer 1 goes from 1 to 0.")


def test_the_noise_floor_is_named():
    assert "float32 noise" in texts(plots.lines_by_layer(FALLING, "size", floor=0.3))
    assert texts(plots.lines_by_layer(FALLING, "size")) == []


def test_a_staircase_writes_every_number_it_has():
    table = STAIRS.clone()
    table[0, 2] = float("nan")
    picture = plots.staircase(table, loops=(1, 3))
    assert texts(picture) == ["1.00", "0.50", "1.00", "1.00", "0.90"]
    assert picture.data["accuracy"].shape == (2, 3)
    assert "loop 1 none" in plots.staircase(STAIRS - 0.5, loops=(1,)).alt


def test_bars_carry_their_numbers():
    picture = FIGURES["bars"][0]()
    assert [text.strip() for text in texts(picture)] == ["0.88", "0.50"]
    assert [bar.get_width() for bar in picture.figure.axes[0].patches] == [0.875, 0.5]


@pytest.mark.parametrize(
    ("whose", "says"),
    [("yours", "drawn with your own code"), ("looplab's", "drawn with looplab's code")],
)
def test_mark_says_whose_code_drew_it(whose, says):
    picture = plots.bars({"looped": 0.875}, "accuracy")
    before = pixels(picture)
    assert plots.mark(picture, whose) is picture
    assert [text.get_text() for text in picture.figure.texts] == [says]
    after = pixels(picture)
    assert before.shape != after.shape or (before != after).any()
    assert picture.alt == "accuracy: looped 0.88."


def test_the_users_matplotlib_settings_change_nothing():
    plain = plots.bars({"a": 1.0}, "share").png()
    with matplotlib.rc_context({"savefig.transparent": True, "savefig.facecolor": "black"}):
        matplotlib.style.use("dark_background")
        assert plots.bars({"a": 1.0}, "share").png() == plain


def test_a_staircase_says_which_loops_it_has():
    with pytest.raises(ValueError, match="loops names 4: this table has loops 1 to 3"):
        plots.staircase(torch.rand(3, 5), loops=(1, 4))
    with pytest.raises(ValueError, match="loops names 0"):
        plots.staircase(torch.rand(3, 5), loops=(0,))


def test_lines_without_a_positive_value_can_be_drawn():
    values = torch.tensor([[1.0, 0.0], [0.1, 0.0]])
    assert "layer 2 has no value" in plots.lines_by_layer(values, "step", floor=1e-6).alt
    assert "layer 1 has no value" in plots.lines_by_layer(0 * values, "step", floor=1e-6).alt


def test_more_models_than_markers_can_be_drawn():
    runs = {f"model {n}": torch.rand(4) for n in range(9)}
    assert "model 8" in plots.accuracy_by_loop(runs).alt


def test_a_cell_of_a_phase_diagram_has_a_tile_for_each_draw():
    picture = plots.phase_diagram(draws("no rest", "cycle", "no rest"))
    assert picture.data == {("pre", "none", 4, 1.0): {"cycle": 1, "no rest": 2}}
    (axes,) = picture.figure.axes
    (tiles,) = [part for part in axes.collections if isinstance(part, PatchCollection)]
    marks = [part for part in axes.collections if part is not tiles]
    colours = [tuple(colour) for colour in tiles.get_facecolor()]
    assert len(colours) == len(marks) == 3 and len(set(colours)) == 2
    assert colours[1] == colours[2]  # in the order of PHASES, whatever the seeds' order is


def test_cores_of_several_sizes_have_a_panel_for_each_norm_and_injection():
    picture = plots.phase_diagram(
        draws("cycle") + draws("cycle", depth=12) + draws("orbit", injection="random", depth=12)
    )
    assert [axes.get_title("left") for axes in picture.figure.axes] == ["pre, none", "pre, random"]
    words = [text.get_text() for text in picture.figure.legends[0].get_texts()]
    assert [line.split(":")[0] for line in words] == ["cycle", "orbit"]


def test_ends_of_no_known_kind_are_refused():
    with pytest.raises(ValueError, match="kind='asleep': expected one of cycle, "):
        plots.phase_diagram(draws("asleep"))
    with pytest.raises(ValueError, match="no outcomes"):
        plots.phase_diagram([])


def test_kinds_differ_in_colour_and_mark_and_all_that_grid_finds_have_one():
    from looplab.experiments.random_stacks import KINDS

    looks = [(plots.PHASES[kind].colour, plots.PHASES[kind].mark) for kind in KINDS]
    assert len({colour for colour, _ in looks}) == len({mark for _, mark in looks}) == len(KINDS)


def words_drawn(picture):
    """Words and numbers of a word map, with where they stand: (text, x, y), numbers above."""
    return [(text.get_text(), *text.get_position()) for text in picture.figure.axes[0].texts]


def test_a_word_map_writes_every_word_and_its_number_on_a_shade_of_its_own():
    values = torch.tensor([1.0, 2.0, 6.0, float("nan"), 3.0])
    picture = plots.word_map(["The", " loop", "s", " $turn$", "."], values)
    drawn = [text for text, _, _ in words_drawn(picture)]
    assert drawn == ["1", "The", "2", "loop", "6", "s", "", "$turn$", "3", "."]
    cells = picture.figure.axes[0].patches
    assert len({cell.get_facecolor() for cell in cells}) == 5
    assert cells[3].get_facecolor() == (1, 1, 1, 1)
    ends = [cell.get_x() + cell.get_width() for cell in cells]
    assert cells[2].get_x() == pytest.approx(ends[1])  # a piece is glued to its word
    assert cells[1].get_x() > ends[0] + 0.05 and cells[3].get_x() > ends[2] + 0.05
    key = picture.figure.axes[1]
    assert [tick.get_text() for tick in key.get_xticklabels()] == ["1", "2", "3", "4", "5", "6"]
    assert "Largest: “s” of “loops” 6, “.” of “$turn$.” 3, “loop” of “loops” 2." in picture.alt


def test_a_long_word_map_stays_in_its_width_and_breaks_lines_between_words():
    words = [" settle", "ment", "s", " are", " reached", "."] * 20
    picture = plots.word_map(words, torch.arange(120) % 9, width=7.0)
    cells = picture.figure.axes[0].patches
    assert max(cell.get_x() + cell.get_width() for cell in cells) <= 7.0
    for before, cell, word in zip(cells, cells[1:], words[1:], strict=False):
        assert word.startswith(" ") or cell.get_y() == before.get_y()
    assert 4 <= len({cell.get_y() for cell in cells}) <= 9
    tall, wide, _ = pixels(picture).shape
    assert wide <= 7.3 * plots.DPI * plots.SHARP and tall < 0.7 * wide


def test_a_word_map_breaks_lines_where_the_text_does_and_inside_what_is_too_long():
    picture = plots.word_map(["a", "\n", "b", *["mmmmmmmm"] * 12], torch.arange(15) / 10, "nats")
    cells = picture.figure.axes[0].patches
    assert cells[1].get_y() == cells[0].get_y() < cells[2].get_y() == cells[3].get_y()
    assert cells[-1].get_y() > cells[2].get_y()
    drawn = [text for text, _, _ in words_drawn(picture)]
    assert drawn[:6] == ["0", "a", "0.10", "⏎", "0.20", "b"]


def test_a_word_map_says_what_it_cannot_show():
    with pytest.raises(ValueError, match=r"numbers of shape \(3,\) for 2 words: expected one"):
        plots.word_map(["a", " b"], torch.ones(3))
    with pytest.raises(ValueError, match="none of the words has a finite number"):
        plots.word_map(["a", " b"], torch.full((2,), float("nan")))
