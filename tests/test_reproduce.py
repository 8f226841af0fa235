"""`looplab reproduce`: the paper's figures for one model, resumable, shared out, and honest."""

import base64
import csv
import json
import re
from dataclasses import replace

import pytest
import torch
from rounding import LAYER, assert_rounds_to
from torch.testing import assert_close

import looplab
from looplab import LoopedConfig, LoopedTransformer, measure, trace, zoo
from looplab.basics.threads import use_threads
from looplab.cli import main
from looplab.experiments.layerwise import next_token_loss
from looplab.reproduction import FIGURES, QUICK, Protocol, Report, ask, reproduce
from looplab.reproduction import run as run_module
from looplab.reproduction.planning import plan
from looplab.reproduction.protocol import fitted, shown_loops
from looplab.streaming.command import start
from looplab.streaming.prompts import Prompt

CONFIG = LoopedConfig(
    vocab=30, width=32, heads=2, prelude=2, core=8, coda=1, loops=3, injection="concat"
)
SMALL = Protocol(loops=16, items=3, compared=3, compared_once=4, vocabulary=30)
NUMBERS = replace(SMALL, figures=("labels", "ablation"))  # quickly drawn


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model with a massive activation: the second prelude layer's MLP writes one."""
    torch.manual_seed(0)
    model = LoopedTransformer(CONFIG).eval().requires_grad_(False)
    model.prelude[1].mlp.down.weight.mul_(300)
    return zoo.export(model, tmp_path_factory.mktemp("model") / "loop", "looplab")


@pytest.fixture(scope="module")
def prompts(folder):
    draw = torch.Generator().manual_seed(1)
    path = folder.parent / "prompts.jsonl"
    lines = [torch.randint(30, (6 + n,), generator=draw).tolist() for n in range(3)]
    path.write_text("".join(json.dumps({"tokens": line}) + "\n" for line in lines))
    return path


@pytest.fixture(scope="module")
def done(folder, prompts):
    """One report with every figure, and the folder that it is in."""
    out = folder.parent / "out"
    return reproduce(str(folder), prompts, SMALL, folder=out), out


def command(folder, prompts, out, *more):
    given = ["reproduce", folder, "--prompts", prompts, "--loops", 16, "--out", out]
    return [str(one) for one in (*given, "--figures", *NUMBERS.figures, *more)]


def test_every_figure_is_there_and_tells_its_numbers(done):
    report, out = done
    kinds = {name.partition("-")[0] for name in report.figures}
    assert kinds == set(FIGURES) and not report.left_out
    for name, picture in report.figures.items():
        assert picture.alt.endswith(".") and "nan" not in picture.alt
        assert (out / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert [one.claim for one in report.claims] == [claim for claim, _ in FIGURES.values()]
    assert all(one.says and one.paper and one.ours for one in report.claims)


def test_the_numbers_are_those_of_a_whole_trace(done, folder, prompts):
    report, _ = done
    model, whole = zoo.load(folder), []
    for line in prompts.read_text().splitlines():
        tokens = torch.tensor(json.loads(line)["tokens"])
        state = start(model, [Prompt(0, tokens)])
        run = trace(model, tokens[None], 16, state=state, keep=("states", "attention"))
        states = run.states[:, :, 0]  # [loop, layer, token, width]
        whole.append(
            {
                "step": measure.step_size(states).mean(-1),
                "step_turn": 1 - measure.successive_cosine(states).mean(-1),
                "relative_distance": measure.distance_to_limit(states, relative=True).mean(-1),
                "limit_turn": 1 - measure.cosine_to_limit(states).mean(-1),
                "attention_step": measure.attention_step(run.attention).mean((2, 3)),
                "attention_distance": measure.attention_to_limit(run.attention).mean((2, 3)),
                "core.mixing": measure.mixing_score(run.attention).mean((2, 3)),
                "core.sink_rate": measure.sink_rate(run.attention)[:, :, 0],
                "prelude.norm": run.prelude.norm(dim=-1).mean((1, 2)),
                "distances": measure.attention_distance(run.attention[:3]),
                "label.fixed_point": (measure.limit_by_cosine(states).limit == 1).float().sum(-1),
            }
        )
        short = trace(model, tokens[None], 3, state=state, keep=("states", "attention"))
        whole[-1]["coda.mixing"] = measure.mixing_score(short.coda_attention).mean((1, 2))
        whole[-1]["loss at 3"] = next_token_loss(short.logits, tokens[None])[0]
        entropy = measure.residual_entropy(states[3])
        whole[-1]["entropy at 4"] = entropy
    right = {name: torch.stack([one[name] for one in whole]).double().mean(0) for name in whole[0]}
    ours = dict(report.numbers)
    ours["loss at 3"] = ours["loss"][2]
    ours["entropy at 4"] = ours["core.entropy"][3]
    ours["label.fixed_point"] = ours["label.fixed_point"] * (6 + 7 + 8) / 3
    sums = LAYER * 16 * CONFIG.core
    for name, value in right.items():
        scale = max(1.0, value.abs().max().item())
        assert_rounds_to(ours[name].float(), value.float(), sums, scale, what=name)


def test_the_mlp_that_writes_the_massive_activation_is_found_and_silenced(done, folder, prompts):
    report, _ = done
    assert report.about["silenced"] == "the MLP of prelude layer 2"
    said = next(one.ours for one in report.claims if one.figure == "ablation")
    assert said.startswith("prelude layer 2, whose longest vector is") and "stands out" in said
    model = zoo.load(folder)
    model.prelude[1].mlp.down.weight.zero_()
    mixing = []
    for line in prompts.read_text().splitlines():
        tokens = torch.tensor(json.loads(line)["tokens"])
        run = trace(model, tokens[None], 3, keep=("attention",))
        mixing.append(measure.mixing_score(run.attention).mean((2, 3)).flatten())
    assert_close(
        report.numbers["silenced.core.mixing"].float(),
        torch.stack(mixing).mean(0),
        rtol=1e-4,
        atol=0,
    )


def test_the_page_stands_alone_and_the_tables_agree(done):
    report, out = done
    page = (out / "report.html").read_text(encoding="utf-8")
    shown = re.findall(r'<img alt="([^"]+)" width="\d+" src="data:image/png;base64,([^"]+)"', page)
    assert len(shown) == len(report.figures)
    assert all(base64.b64decode(image).startswith(b"\x89PNG") for _, image in shown)
    assert not re.search(r'(src|href)="(?!data:)', page)
    said = json.loads((out / "numbers.json").read_text(encoding="utf-8"))
    assert [one["ours"] for one in said["claims"]] == [one.ours for one in report.claims]
    assert {"torch", "python", "looplab", "transformers"} <= said["about"]["made with"].keys()
    for one in said["claims"]:
        assert one["claim"] in page
    with (out / "numbers.csv").open(encoding="utf-8") as file:
        rows = {(r["quantity"], r["first axis"], r["second axis"]): r for r in csv.DictReader(file)}
    step = report.numbers["step"]
    assert (
        float(rows["step", "15", "8"]["mean"])
        == step[14, 7].item()
        == said["numbers"]["step"][14][7]
    )
    assert set(said["figures"]) == {f"figures/{name}.png" for name in report.figures}


@pytest.fixture(scope="module")
def straight(folder, prompts):
    out = folder.parent / "straight"
    with use_threads(1):
        assert main(command(folder, prompts, out)) == 0
    return out


def numbers(out):
    said = json.loads((out / "numbers.json").read_text(encoding="utf-8"))
    return said["numbers"], said["spread"], said["claims"]


def test_an_interrupted_run_goes_on_and_ends_in_the_same_numbers(
    folder, prompts, straight, tmp_path, monkeypatch, capsys
):
    out, measured = tmp_path / "out", run_module.measure_prompt

    def interrupted(*given):
        if list((out / "parts").glob("prompt-*")):
            raise KeyboardInterrupt
        return measured(*given)

    monkeypatch.setattr(run_module, "measure_prompt", interrupted)
    with use_threads(1):
        assert main(command(folder, prompts, out)) == 130
    assert "the same command goes on from here" in capsys.readouterr().err
    (finished,) = (out / "parts").glob("prompt-*")
    when = finished.stat().st_mtime_ns
    torn = out / "parts" / ".prompt-00001.safetensors.1.partial"
    torn.write_bytes(b"torn")  # as a process leaves it that is killed while it writes
    assert not (out / "report.html").exists()
    monkeypatch.undo()
    with use_threads(1):
        assert main(command(folder, prompts, out)) == 0
    assert finished.stat().st_mtime_ns == when and not torn.exists()
    assert numbers(out) == numbers(straight)


def test_two_processes_end_in_the_numbers_of_one(
    folder, prompts, straight, tmp_path, monkeypatch, capsys
):
    out = tmp_path / "two"
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank, written in (("1", 1), ("0", 3)):  # whichever is last writes the report
        monkeypatch.setenv("RANK", rank)
        with use_threads(1):
            assert main(command(folder, prompts, out)) == 0
        assert len(list((out / "parts").glob("prompt-*"))) == written
        assert (out / "report.html").exists() == (rank == "0")
    assert numbers(out) == numbers(straight)
    about = json.loads((out / "numbers.json").read_text(encoding="utf-8"))["about"]
    assert about["command"].startswith("torchrun --nproc-per-node 2 -m looplab reproduce ")


def test_a_folder_of_another_report_is_left_alone(folder, prompts, straight, capsys):
    before = {path: path.read_bytes() for path in straight.rglob("*") if path.is_file()}
    for more, said in (
        (("--tokens", 5), "tokens is None there and 5 here"),
        (("--dtype", "bfloat16"), "dtype is 'float32' there and 'bfloat16' here"),
    ):
        assert main(command(folder, prompts, straight, *more)) == 2
        told = capsys.readouterr().err
        assert said in told and "give --out another folder" in told
    assert {path: path.read_bytes() for path in before} == before
    with pytest.raises(FileExistsError, match="has a report already"):
        Report({}, (), {}, {}, {}, {}).save(straight)


def test_mistakes_are_explained_before_anything_is_read(folder, prompts, tmp_path, capsys):
    empty, talk = tmp_path / "empty.jsonl", tmp_path / "talk.jsonl"
    empty.write_text("\n")
    talk.write_text('{"messages": [{"role": "user", "content": "hello"}]}\n')
    out = tmp_path / "out"
    one = tmp_path / "one.jsonl"
    one.write_text('{"tokens": [4]}\n')
    for arguments, said in (
        (command(folder, prompts, out, "C99"), "no figure 'C99': expected some of steps (C4)"),
        (command(folder, empty, out), "empty.jsonl has no prompts"),
        (command(folder, talk, out), "talk.jsonl, line 1"),
        (command(folder, one, out), "prompt 1 has 1 token: expected 2 or more"),
        (command(folder, prompts, out, "--loops", "0"), "loops=0: expected a whole number"),
        (command(folder, prompts, out, "--memory", "0.0001"), "this report would take"),
        (command(folder, prompts, out, "--memory", "nan"), "--memory nan: expected GiB above 0"),
        (command(folder, prompts, out, "--sentence", "a text"), "has no tokenizer"),
        (command("nobody", prompts, out), "no checkpoint and no folder 'nobody'"),
    ):
        assert main(arguments) == 2
        assert said in capsys.readouterr().err
        assert not out.exists()
    with pytest.raises(MemoryError, match="cut the prompts with --tokens"):
        ask(str(folder), prompts, SMALL, max_bytes=2**20)
    with pytest.raises(ValueError, match="this model has no tokenizer: give ids"):
        ask(LoopedTransformer(CONFIG), ["a text"], SMALL)


def test_only_the_plan(folder, prompts, tmp_path, capsys):
    assert main(command(folder, prompts, tmp_path / "out", "--plan")) == 0
    said = capsys.readouterr().err
    assert "memory: " in said and "trillion operations" in said and "weights" in said
    assert not (tmp_path / "out").exists()


def test_gsm8ks_own_lines_are_read_and_drawn(tmp_path):
    path = tmp_path / "test.jsonl"
    lines = [{"question": f"What is {n}?", "answer": f"#### {n}"} for n in range(9)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    told = []

    class Words:
        folder = None

        def __call__(self, text):
            told.append(text)
            return [1, 2, 3]

    model = LoopedTransformer(replace(CONFIG, core=1))
    model.words = Words()
    job = ask(model, path, replace(SMALL, figures=("stages",)))
    assert told[3] == "Question: What is 3?\nAnswer: #### 3"
    assert len(job.items.prompts) == 3
    assert job.items.what == "9 prompts of test.jsonl, 3 of 9 drawn with seed 0"


def test_what_a_model_does_not_have_is_left_out_and_said():
    plain = LoopedTransformer(LoopedConfig(vocab=30, width=32, heads=2, core=8, loops=1)).eval()
    few = replace(QUICK, figures=("steps", "limit", "stages", "halves", "neurons"))
    report = looplab.reproduce(plain, [torch.arange(9)], few)
    assert "does not loop" in report.left_out["limit"]
    assert list(report.left_out) == ["steps", "limit"]
    assert list(report.figures) == ["stages", "neurons", "halves"]
    missing = {"steps", "distances", "limit", "cycle", "labels", "beyond"}
    assert set(fitted(QUICK, plain.config)[1]) == missing
    assert "left out: limit, this model does not loop" in repr(report)
    assert report.about["quick"] and "A quick look" in report._repr_html_()
    classes = replace(CONFIG, classes=4, fields=2, core=2)
    fits, missing = fitted(QUICK, classes)
    assert set(missing) == {"neurons", "halves"}
    with pytest.raises(ValueError, match="nothing is left of these figures"):
        fitted(replace(QUICK, figures=("neurons",)), classes)
    twin = replace(CONFIG, tied=False)
    assert fitted(QUICK, twin)[0].loops == 3  # it has weights for no other number
    assert shown_loops(twin, fitted(QUICK, twin)[0]) == [1, 2, 3]


def test_the_plan_grows_with_what_is_asked():
    model = LoopedTransformer(CONFIG)
    few, many = (plan(model, 20, replace(SMALL, loops=n)) for n in (16, 64))
    grown = {name for name in few if many[name] > few[name]} - {"program"}
    assert grown == {"statistics", "last token's states"}
    without = plan(model, 20, replace(SMALL, figures=("stages",)))
    assert "patterns compared" not in without and "last token's states" not in without
    weights = sum(weight.numel() for weight in model.parameters())
    assert few["weights"] == 4 * weights
