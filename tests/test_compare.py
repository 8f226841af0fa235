"""`looplab compare`: its numbers are those of looplab.measure, and nothing is overwritten."""

import csv
import json

import pytest
import torch
import torch.nn.functional as F

from looplab import LoopedConfig, LoopedTransformer, cli, measure, plots
from looplab.comparing import portray
from looplab.measure.stability import leading_multipliers, loop_map
from looplab.streaming.prompts import Prompt
from looplab.zoo import export

LOOPS = 12
SETTINGS = {"vocab": 9, "width": 16, "heads": 2, "core": 2, "prelude": 1, "loops": 4}


def build(seed, **settings):
    torch.manual_seed(seed)
    return LoopedTransformer(LoopedConfig(**{**SETTINGS, **settings})).eval().requires_grad_(False)


def some_prompts():
    draw = torch.Generator().manual_seed(0)
    return [
        Prompt(n, torch.randint(9, (size,), generator=draw)) for n, size in enumerate((6, 4, 6))
    ]


def test_the_numbers_are_those_of_measure():
    model, prompts = build(0, injection="concat"), some_prompts()
    told = portray("one", model, prompts, LOOPS, batch=2, spectra=1)
    steps, near, exits, stays, losses = [], [], [], [], []
    for prompt in prompts:  # one by one, and each from a whole run
        tokens = prompt.tokens[None]
        states = model(tokens, LOOPS, every_loop=True).loop_states
        logits = model.readout(states)
        steps.append(measure.relative_step(states)[:, 0])
        near.append(measure.settling_loop(states, 0.01)[0])
        exits.append(measure.first_exit(measure.answer_signal(logits) < 5e-4)[0])
        answers = logits.argmax(-1)
        stays.append(measure.lasting_from(answers == answers[-1])[0])
        said = logits[:, 0, :-1].transpose(1, 2)
        each = F.cross_entropy(said, tokens[:, 1:].expand(LOOPS, -1), reduction="none")
        losses.append(each)
    steps, near, exits, stays, losses = (
        torch.cat(one, -1) for one in (steps, near, exits, stays, losses)
    )
    rests = (near > 0) & (near <= 9)
    loss = losses.mean(1)
    assert told.tokens == 16 and told.at_rest == pytest.approx(rests.double().mean().item())
    assert told.last_step == pytest.approx(
        steps[-1].median().item(), rel=0.2
    )  # of 16: a middle one
    assert told.rate == pytest.approx(measure.contraction_rate(steps).nanmedian().item(), rel=1e-3)
    assert told.leaves == pytest.approx(exits.double().mean().item())
    assert told.saves == pytest.approx(1 - told.leaves / LOOPS)
    assert told.answer_from == pytest.approx(stays.double().mean().item())
    assert told.losses == pytest.approx(loss.tolist(), rel=1e-4)
    assert told.best_loop == int(loss.argmin()) + 1 and told.trained_loss == told.losses[3]
    state = model(prompts[0].tokens[None], LOOPS).state
    largest = leading_multipliers(loop_map(model, prompts[0].tokens[None]), state, 1).abs()
    assert told.multiplier == pytest.approx(largest.item(), rel=1e-3)
    assert torch.tensor(told.mixing).shape == (LOOPS, 2)


def test_what_cannot_be_said_of_a_model_is_left_open():
    reader = build(0, classes=3)
    told = portray("reader", reader, some_prompts(), 4, spectra=0)
    assert told.losses is told.best_loop is told.last_loss is told.multiplier is None
    plots.comparison({"reader": vars(told)}).png()
    with pytest.raises(ValueError, match="loops=3: expected at least 4"):
        portray("reader", reader, some_prompts(), 3)


@pytest.fixture
def given(tmp_path):
    """Two models in folders, a file of prompts, and the arguments that compare them."""
    for seed, name in enumerate(("one", "two")):
        export(build(seed, injection="concat"), tmp_path / name, "looplab")
    lines = [json.dumps({"tokens": prompt.tokens.tolist()}) for prompt in some_prompts()]
    (tmp_path / "prompts.jsonl").write_text("\n".join(lines))
    models = [str(tmp_path / "one"), str(tmp_path / "two")]
    options = ["--prompts", str(tmp_path / "prompts.jsonl"), "--out", str(tmp_path / "out")]
    return ["compare", *models, "--loops", "6", *options]


def test_one_table_and_one_figure_never_written_twice(given, tmp_path, capsys, monkeypatch):
    assert cli.main(given) == 0
    printed = capsys.readouterr().out
    folder = tmp_path / "out"
    names = {path.name for path in folder.iterdir()}
    assert names == {
        *("settings.json", "01-one.json", "02-two.json"),
        *("compare.txt", "compare.csv", "compare.png"),
    }
    assert (folder / "compare.txt").read_text() in printed
    one, two = csv.DictReader((folder / "compare.csv").read_text().splitlines())
    assert (one["name"], two["name"]) == ("one", "two") and one["weights"] != two["weights"]
    said = json.loads((folder / "01-one.json").read_text())
    assert float(one["leaves"]) == said["leaves"] and len(said["answered"]) == 6
    assert (folder / "compare.png").read_bytes().startswith(b"\x89PNG")

    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    (folder / "compare.csv").unlink()  # as after an interruption
    monkeypatch.setattr("looplab.comparing.command.portray", lambda *_: pytest.fail("run again"))
    assert cli.main(given) == 0
    after = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert after.keys() == before.keys()
    assert {path for path in after if after[path] != before[path]} == {folder / "compare.csv"}


def test_what_does_not_fit_is_named(given, tmp_path, capsys):
    assert cli.main(given) == 0
    assert cli.main([*given, "--loops", "7"]) == 2
    assert "belongs to another run" in capsys.readouterr().err
    for name in ("config.json", "model.safetensors"):  # other weights under the same name
        (tmp_path / "two" / name).write_bytes((tmp_path / "one" / name).read_bytes())
    assert cli.main(given) == 2
    assert "02-two.json is of other weights" in capsys.readouterr().err
    assert cli.main([*given[:2], given[1], *given[3:]]) == 2
    assert "given twice" in capsys.readouterr().err
    assert cli.main([*given, "--loops", "2"]) == 2
    assert "--loops 2: expected at least 4" in capsys.readouterr().err
    other = [*given[:-1], str(tmp_path / "other")]
    for option, value in (("--batch", "0"), ("--spectra", "-1")):
        assert cli.main([*other, option, value]) == 2
        assert f"{option[2:]}={value}: expected a whole number" in capsys.readouterr().err
    (tmp_path / "prompts.jsonl").write_text('{"tokens": [99]}')
    assert cli.main(other) == 2
    assert "prompts.jsonl, line 1: token id 99" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
