"""`looplab report`: known loops are named rightly, numbers are those of measure, bad files told."""

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from looplab import LoopedConfig, LoopedTransformer, cli, measure
from looplab.basics.threads import use_threads
from looplab.course.build import sources
from looplab.measure import Ending, how_it_ends, useful_depth
from looplab.reporting import Protocol, report
from looplab.reporting.cautions import CHAPTERS, TABLE
from looplab.reporting.leaving import compare_exits
from looplab.reporting.models import open_model
from looplab.reporting.running import follow
from looplab.reporting.spectrum import gradient_trouble
from looplab.zoo import export

EXAMPLES = Path(__file__).parents[1] / "examples" / "loops"
SMALL = Protocol(
    items=16,
    loops=32,
    patience=4,
    starts=3,
    started=2,
    spectra=1,
    growth=64,
    rounded=4,
    cached=2,
)


@pytest.fixture(autouse=True)
def _one_thread():
    with use_threads(1):
        yield


def write(folder, loop, before="", more="", name="mine.py"):
    """A file whose loop() starts from z0 and takes the step `loop`, a lambda."""
    path = folder / name
    path.write_text(
        "import math\nimport torch\nimport torch.nn.functional as F\n"
        f"{before}\ndef loop():\n    return z0, {loop}, None\n{more}\n"
    )
    return path


ONES = "z0 = torch.ones(2, 3, 2)"
TURN = f"""{ONES}
t = {{angle}}
A = torch.tensor([[math.cos(t), -math.sin(t)], [math.sin(t), math.cos(t)]])
"""

# name -> file, the label that every token gets, the warnings that it earns
KNOWN = {
    "contraction": ("lambda z: z * 0.8 + 1", ONES, "rest", set()),
    "vanishes": ("lambda z: z / 2", ONES, "rest", set()),
    "rotation": (
        "lambda z: z @ A.to(z).T",
        TURN.format(angle="2 * math.pi / 5"),
        "orbit",
        {"orbits"},
    ),
    "torus": (
        "lambda z: F.normalize(z @ A.to(z).T, dim=-1)",
        TURN.format(angle="2.0"),
        "turning",
        {"turns"},
    ),
    "chaos": (
        "lambda z: 3.9 * z * (1 - z)",
        "z0 = 0.3 + torch.arange(6.0).view(2, 3, 1) / 20",
        "turning",
        {"turns"},
    ),
    "explodes": ("lambda z: 3 * z", ONES, "running_away", {"runs_away"}),
    "grows": ("lambda z: 1.1 * z", ONES, "running_away", {"runs_away"}),
    "two ends": (
        "lambda z: torch.tanh(2 * z)",
        "z0 = torch.full((2, 1, 1), 0.3)",
        "rest",
        {"depends_on_start"},
    ),
    "drifts": ("lambda z: z + 1e-6", ONES, "drifting", {"drifts"}),
    "slows like 1/t": ("lambda z: z + torch.exp(-z) / 10", ONES, "drifting", {"drifts"}),
    "slow spiral": (
        "lambda z: 0.97 * (z @ A.to(z).T) + 1",
        TURN.format(angle="1.0"),
        "closing_in",
        {"window_too_short"},
    ),
}


@pytest.mark.parametrize("name", KNOWN)
def test_a_known_loop_is_named(name, tmp_path):
    loop, before, label, earned = KNOWN[name]
    found = report(write(tmp_path, loop, before), protocol=SMALL)
    assert found.told["rest"]["shares"][label] == 1
    assert {one["code"] for one in found.told["warnings"]} == earned
    said = f"{found!r} {[picture.alt for picture in found.pictures.values()]}"
    assert not re.search(r"\b(nan|inf|None\b(?! of))", said)
    (spectrum,) = found.told["spectra"]
    if name == "contraction":
        assert found.told["speed"]["rate"] == pytest.approx(0.8, rel=1e-3)
        assert spectrum["multipliers"][0] == [pytest.approx(0.8, rel=1e-5), 0]
        assert spectrum["exponent"] == pytest.approx(torch.tensor(0.8).log().item(), rel=1e-4)
        assert found.told["starts"]["one_end"] == found.told["starts"]["inputs"] == 2
    if name == "rotation":
        assert found.told["rest"]["periods"] == {"5": 6}
        assert spectrum["multipliers"][0] == pytest.approx([1, 0.2], rel=1e-5)
    if name == "chaos":  # the exponent of the logistic map at 3.9 is 0.50
        assert spectrum["exponent"] == pytest.approx(0.5, abs=4 * spectrum["error"])
    if name == "torus":
        assert "as on a torus" in found.told["warnings"][0]["says"]
    if name == "two ends":
        assert found.told["starts"]["most_ends"] == 2


def test_rest_is_a_matter_of_rounding():
    loop = torch.arange(64.0)[:, None, None]
    luck = torch.randn(64, 1, 4, generator=torch.Generator().manual_seed(0))
    for noise, step, label in ((3e-8, 0, Ending.REST), (3e-8, 1e-7, Ending.DRIFTING)):
        states = torch.ones(64, 1, 4) + noise * luck + step * loop
        assert how_it_ends(states.double(), 2 * noise).ending.item() == label
    with pytest.raises(ValueError, match="16 loops or more"):
        how_it_ends(torch.ones(8, 4), 1e-7)


def test_useful_depth_tells_a_real_best_from_a_lucky_one():
    draw = torch.Generator().manual_seed(0)
    loop = torch.arange(1.0, 17.0)[:, None]
    hard = torch.rand(64, generator=draw)  # the same for all loops: pairing takes it away
    noise = torch.randn(16, 64, generator=draw) / 100
    flat = useful_depth(1 / loop.clamp(max=6) + hard + noise)
    assert flat.first == 6 and flat.last == 16 and not flat.real and not flat.overthinking
    sharp = useful_depth((loop - 7).abs() / 10 + hard + noise)
    assert sharp.real and sharp.best == 7 and sharp.overthinking and sharp.share == 1
    for wrong in (noise[:, :4], noise[:1], noise / 0):
        with pytest.raises(ValueError, match="expected|not finite"):
            useful_depth(wrong)


def test_exits_are_judged_on_inputs_that_they_were_not_chosen_on():
    """Half the tokens are right after 2 loops, half after 6; the step says which."""
    early = torch.arange(20).view(1, 20, 1).expand(1, 20, 4) % 4 < 2
    loop = torch.arange(1.0, 9.0).view(8, 1, 1)
    ready = torch.where(early, 2, 6)
    costs, steps = (loop < ready).double(), torch.where(loop < ready, 1.0, 0.1)
    rules, curves = compare_exits(costs, {"step": steps, "luck": torch.rand(8, 20, 4)}, 8)
    fixed, step, luck, oracle = rules
    assert (fixed.loops, step.loops, oracle.loops) == (6, 4, 4) and step.saves == oracle.saves
    assert step.loss == fixed.loss == 0 and luck.saves < 0.1
    assert [one["rule"] for one in curves] == ["fixed", "step", "luck"]


def test_a_hidden_part_of_the_step_is_found():
    assert gradient_trouble(lambda z: torch.tanh(z), torch.ones(1, 2, 3)) == ""
    assert "autograd says" in gradient_trouble(lambda z: z / 2 + z.detach(), torch.ones(1, 2, 3))
    assert "detach or no_grad" in gradient_trouble(lambda z: z.detach() / 2, torch.ones(1, 2, 3))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A causal model in a folder, and prompts."""
    torch.manual_seed(0)
    config = LoopedConfig(vocab=9, width=16, heads=2, core=2, loops=4, injection="concat")
    made = tmp_path_factory.mktemp("model")
    export(LoopedTransformer(config).eval(), made / "loop", "looplab")
    draw = torch.Generator().manual_seed(0)
    lines = [{"tokens": torch.randint(9, (6 + n % 2,), generator=draw).tolist()} for n in range(10)]
    (made / "prompts.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return made


@pytest.fixture(scope="module")
def whole(folder):
    return report(str(folder / "loop"), folder / "prompts.jsonl", SMALL)


def test_the_numbers_are_those_of_measure(folder, whole):
    told = whole.told
    subject = open_model(str(folder / "loop"), folder / "prompts.jsonl", SMALL, torch.device("cpu"))
    states, losses = [], []
    for case in subject.cases():
        run = follow(case, 32, 4)
        states.append(run)
        logits = torch.stack([case.readout(state) for state in run.states])
        said = logits[:, :, :-1].flatten(1, 2).transpose(1, 2)
        goal = case.tokens[:, 1:].flatten().expand(32, -1)
        each = nn.functional.cross_entropy(said, goal, reduction="none")
        losses.append(each.view(32, len(case.tokens), -1).mean(-1))
    whole_run = subject.model(case.tokens, run.loops).state
    torch.testing.assert_close(run.end, whole_run)
    settled = [measure.settling_loop(torch.cat((run.states, run.end[None]))) for run in states]
    median = torch.cat([one.flatten() for one in settled]).double().median()
    assert told["tokens"]["settled_median"] == pytest.approx(median.item(), abs=1)
    mean = torch.cat(losses, 1).mean(1)
    assert told["depth"]["losses"] == pytest.approx(mean.tolist(), rel=1e-5)
    assert told["rest"]["shares"]["rest"] == 1 and told["input_count"] == 10
    alike, all_slots = told["precision"][0], told["slots"][-1]
    assert alike["precision"] == "float64" and alike["away"] == 0
    assert all_slots["slots"] == 4 and all_slots["same"] == 1 and abs(all_slots["moved"]) < 1e-6


def test_the_page_stands_alone_and_can_be_read_without_colour(whole, tmp_path):
    page = whole.page
    assert not re.search(r"<(script|link|iframe)|@import|url\(", page)
    assert all(one.startswith("data:image/png") for one in re.findall(r'src="([^"]*)', page))
    alts = re.findall(r'<img alt="([^"]*)"', page)
    assert len(alts) == len(whole.pictures) > 3 and all(len(alt) > 40 for alt in alts)
    assert page.count("<strong>Warning:</strong>") == len(whole.told["warnings"])
    assert "prefers-color-scheme: dark" in page and 'name="viewport"' in page
    for one in whole.told["sentences"].values():
        assert one and all(said.endswith(".") and "None" not in said[:-5] for said in one)
    json.dumps(whole.told, allow_nan=False)
    assert whole._repr_html_().startswith('<iframe title="report on loop"')
    out = whole.save(tmp_path / "out")
    with pytest.raises(FileExistsError):
        whole.save(out)


def test_every_warning_leads_to_a_section_that_is_there():
    written = {path.stem.partition("_")[0]: path.read_text("utf-8") for path in sources()}
    for code, chapter, section, _ in TABLE:
        assert re.search(rf"^# ##+ {re.escape(section)}$", written[chapter], re.M), code
    for chapter, (stem, title) in CHAPTERS.items():
        assert f"# # {chapter} · {title}\n" in written[chapter]
        assert (Path(__file__).parents[1] / "chapters" / f"{stem}.ipynb").exists()


def test_the_command_writes_once_and_reports_are_compared(folder, whole, tmp_path, capsys):
    path = write(tmp_path, "lambda z: z / 2 + 1", ONES)
    out = tmp_path / "one"
    given = ["report", str(path), "--quick", "--loops", "16", "--out", str(out)]
    assert cli.main(given) == 0
    assert {one.name for one in out.iterdir()} == {"report.html", "report.json"}
    assert cli.main(given) == 2
    assert "nothing is overwritten: remove it, or give --out" in capsys.readouterr().err
    whole.save(tmp_path / "two")
    table = tmp_path / "table"
    assert cli.main(["compare", str(out), str(tmp_path / "two" / "report.json")]) == 0
    shown = capsys.readouterr().out
    assert "mine" in shown and "rests down to" in shown and "not made alike" in shown
    assert cli.main(["compare", str(out), str(tmp_path / "two"), "--out", str(table)]) == 0
    mine, model = csv.DictReader((table / "compare.csv").read_text().splitlines())
    assert float(mine["multiplier"]) == pytest.approx(0.5) and model["name"] == "loop"
    for wrong, said in (
        (["compare", str(out), "hero"], "is a report and hero is none"),
        (["compare", "hero"], "--prompts, --loops, --out: models are run"),
        (["compare", str(out), "--out", str(table)], "nothing is overwritten"),
    ):
        assert cli.main(wrong) == 2
        assert said in capsys.readouterr().err
    (out / "report.json").write_text('{"format": "else"}')
    assert cli.main(["compare", str(out)]) == 2
    assert "is not a looplab report" in capsys.readouterr().err


WRONG = {
    "no loop": ("x = 1", "has no function loop"),
    "no function": ("loop = 3", "loop is a int"),
    "not Python": ("def loop(:", r"line 1: cannot be run: SyntaxError"),
    "fails at once": ("\n1 / 0", r"line 2: cannot be run: ZeroDivisionError"),
    "leaves": ("\nimport sys\nsys.exit(1)", "line 3: cannot be run: SystemExit"),
    "no inputs": ("def loop(x): pass", r"has loop\(x\) and nothing to give it"),
    "inputs are none": ("def loop(x): pass\ndef inputs(): return 3", r"inputs\(\) returns a int"),
    "too few": (f"{ONES}\ndef loop(): return z0, z0", r"returns a tuple of 2"),
    "no step": (f"{ONES}\ndef loop(): return z0, z0, None", r"step is a tensor \(2, 3, 2\)"),
    "one axis": ("def loop(): return torch.ones(3), lambda z: z, None", r"a tensor \(3,\)"),
    "whole numbers": (
        "def loop(): return torch.ones(2, 3, 2).long(), lambda z: z, None",
        r"start is a tensor \(2, 3, 2\) of torch.int64",
    ),
    "NaN": (f"{ONES}\ndef loop(): return z0 * math.nan, lambda z: z, None", "start holds NaN"),
    "first step": (f"{ONES}\ndef loop(): return z0, lambda z: z / 0, None", "an infinite number"),
    "shape": (
        f"{ONES}\ndef loop(): return z0, lambda z: z[:, :2], None",
        r"a step makes a tensor \(2, 2, 2\) .* of a state \(2, 3, 2\)",
    ),
    "step fails": (f"{ONES}\ndef loop(): return z0, lambda z: z @ z, None", "step fails: Runtime"),
    "chance": (
        f"{ONES}\ndef loop(): return z0, lambda z: z + torch.rand(1), None",
        "steps to two different ones",
    ),
    "readout": (
        f"{ONES}\ndef loop(): return z0, lambda z: z, lambda z: z.sum()",
        r"the readout makes a tensor \(\)",
    ),
    "targets": (
        "def inputs(): return torch.ones(2, 3, 2)\ndef targets(): return torch.full((2, 3), 7)\n"
        "def loop(x): return x, lambda z: z, lambda z: z",
        "target 7: the readout has classes 0 to 1",
    ),
    "rows": (
        "def inputs(): return torch.ones(2, 3, 2)\ndef targets(): return torch.ones(3, 3)\n"
        "def loop(x): return x, lambda z: z, lambda z: z",
        "expected a tensor of 2 rows",
    ),
    "together": (
        "def inputs(): return torch.arange(12.0).view(2, 3, 2)\n"
        "def loop(x): return x, lambda z: z - z.mean(0), None",
        "steps elsewhere when it is run alone",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_file_that_will_not_do_is_told_what_is_wrong(name, tmp_path):
    text, said = WRONG[name]
    path = tmp_path / "mine.py"
    head = (
        "" if name in ("not Python", "fails at once", "leaves") else "import math\nimport torch\n"
    )
    path.write_text(head + text + "\n")
    with pytest.raises(ValueError, match=said) as error:
        report(path, protocol=SMALL)
    assert str(path) in str(error.value)


def test_other_bad_input_is_told(tmp_path, folder, capsys):
    with pytest.raises(FileNotFoundError):
        report(tmp_path / "none.py")
    with pytest.raises(ValueError, match="unrolled twin has other weights in every loop"):
        report("hero-unrolled")
    assert cli.main(["report", "hero", "--loops", "8", "--out", str(tmp_path / "a")]) == 2
    assert "loops=8: expected a whole number of at least 16" in capsys.readouterr().err
    path = write(tmp_path, "lambda z: z / 2", ONES)
    prompts = tmp_path / "prompts.jsonl"
    for text, said in (
        ('{"text": "Hello"}', "line 1: expected"),
        ('{"tokens": [1, 2]}\n{"tokens": [1]}', "line 2: 1 tokens and 2 in the first line"),
        ("", "has no prompts"),
    ):
        prompts.write_text(text)
        assert cli.main(["report", str(path), "--prompts", str(prompts)]) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_the_examples_make_reports(path):
    found = report(path, protocol=replace(SMALL, items=64))
    codes = {one["code"] for one in found.told["warnings"]}
    if path.stem == "two_levels":
        assert "targets()" in found.told["sentences"]["depth"][0] and found.told["depth"] is None
    if path.stem == "looped_gpt":
        assert "loops_do_not_help" in codes  # nothing was learned
    if path.stem == "deep_equilibrium":
        assert found.told["rest"]["shares"]["rest"] == 1 and found.told["tokens"]["right"] > 0.9
        assert found.told["depth"]["first"] > 1 and not found.told["depth"]["overthinking"]
    assert found.told["precision"][-1]["how"] == "everything"
