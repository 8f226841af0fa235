"""`looplab trace`: resumes after a kill, mixes nothing, and gives one answer however it is run."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from golden_models import GOLDEN
from rounding import LAYER, assert_rounds_to
from safetensors.torch import load_file

from looplab import LoopedConfig, LoopedTransformer, trace, zoo
from looplab.cli import main
from looplab.streaming import Stream
from looplab.streaming.command import start
from looplab.streaming.folder import fingerprint
from looplab.streaming.prompts import Prompt
from looplab.streaming.run import stream
from looplab.zoo import checkpoints

ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1"}


def write_prompts(path, count=9, lengths=(5, 6, 7)):
    """Prompts for hero: pairs (node, parent)."""
    random = torch.Generator().manual_seed(0)
    with path.open("w") as file:
        for n in range(count):
            shape = (lengths[n % len(lengths)], 2)
            ids = torch.randint(12, shape, generator=random).tolist()
            file.write(json.dumps({"tokens": ids}) + "\n")
    return path


@pytest.fixture
def prompts(tmp_path):
    return write_prompts(tmp_path / "prompts.jsonl")


def command(prompts, out, *more, model="hero", loops=8):
    return ["trace", model, "--prompts", prompts, "--loops", loops, "--out", out, *more]


def run(*arguments):
    return main([str(one) for one in command(*arguments)])


def streams(out):
    """Everything the folder holds, by name of file and statistic."""
    return {path.name: load_file(path) for path in sorted(out.glob("*.safetensors"))}


def assert_equal_folders(one, other):
    here, there = streams(one), streams(other)
    assert here.keys() == there.keys() != set()
    for name, tensors in here.items():
        assert tensors.keys() == there[name].keys()
        for statistic, value in tensors.items():
            assert torch.equal(value, there[name][statistic]), (name, statistic)
    assert (one / "summary.json").read_text() == (other / "summary.json").read_text()


def test_every_prompt_is_measured_as_alone(prompts, tmp_path, capsys):
    assert run(prompts, tmp_path / "out", "--batch", 2) == 0
    assert "9 prompts" in capsys.readouterr().out
    model = checkpoints.load("hero")
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    lines = prompts.read_text().splitlines()
    assert [one["line"] for one in summary["prompts"]] == list(range(1, 10))
    steps, mixing = [], []
    for one in summary["prompts"]:
        tokens = torch.tensor(json.loads(lines[one["line"] - 1])["tokens"])
        alone = stream(model, tokens[None], 8, state=start(model, [Prompt(1, tokens)]))
        kept = Stream.load(tmp_path / "out" / one["file"])
        assert torch.equal(kept.tokens[one["row"]], tokens)
        torch.testing.assert_close(kept.norm[:, :, one["row"]], alone.norm[:, :, 0])
        torch.testing.assert_close(kept.mixing[:, :, one["row"]], alone.mixing[:, :, 0])
        steps.append(alone.step[:, :, 0].double().mean(-1))
        mixing.append(alone.mixing[:, :, 0].double().mean(-1))
    means = summary["means"]
    for name, each in (("step", steps), ("mixing", mixing)):
        right = torch.stack(each).mean(0)
        assert_rounds_to(torch.tensor(means[name]), right.float(), sums=LAYER * 3 * 8)
    assert len(means["norm"]) == 8 and len(means["norm"][0]) == 3


# A run that dies when it is about to put the third file in its place, without any farewell.
DYING = """
import os, sys
placed = []
def watch(event, given):
    if event == "os.rename" and str(given[1]).endswith(".safetensors"):
        placed.append(given)
        if len(placed) == 3:
            os._exit(9)
sys.addaudithook(watch)
from looplab.cli import main
main(sys.argv[1:])
"""


def test_a_killed_run_goes_on_without_losing_or_repeating(tmp_path):
    prompts = write_prompts(tmp_path / "prompts.jsonl", count=10)
    out = tmp_path / "out"
    arguments = [str(one) for one in command(prompts, out, loops=60)]
    died = subprocess.run(
        [sys.executable, "-c", DYING, *arguments], env=ONE_THREAD, capture_output=True
    )
    assert died.returncode == 9, died.stderr.decode()
    assert list(out.glob(".*.partial"))
    (out / ".batch-00009.safetensors.1.partial").write_bytes(b"torn")
    done = streams_done(out)
    assert len(done) == 2
    assert not (out / "summary.json").exists()

    assert main(arguments) == 0
    after = streams_done(out)
    assert len(after) == 10
    assert {path: after[path] for path in done} == done  # untouched
    assert not list(out.glob(".*"))
    whole = [str(one) for one in command(prompts, tmp_path / "whole", loops=60)]
    assert main(whole) == 0
    assert_equal_folders(out, tmp_path / "whole")

    before = streams_done(out)
    assert main(arguments) == 0  # nothing left to do
    assert streams_done(out) == before


def streams_done(out):
    """Finished files with the time of their last change."""
    return {path.name: path.stat().st_mtime_ns for path in out.glob("batch-*.safetensors")}


def test_two_processes_give_what_one_gives(prompts, tmp_path):
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    launcher += ["--master-port", "0", "-m", "looplab"]
    arguments = [str(one) for one in command(prompts, tmp_path / "two", "--batch", 2)]
    done = subprocess.run(
        [*launcher, *arguments], env=ONE_THREAD, capture_output=True, text=True, timeout=1200
    )
    assert done.returncode == 0, done.stderr
    assert run(prompts, tmp_path / "one", "--batch", 2) == 0
    assert_equal_folders(tmp_path / "two", tmp_path / "one")


def test_each_process_takes_its_share(prompts, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert run(prompts, tmp_path / "out") == 0
    assert sorted(streams_done(tmp_path / "out")) == [
        f"batch-0000{n}.safetensors" for n in (1, 3, 5, 7)
    ]
    assert not (tmp_path / "out" / "summary.json").exists()


def test_settings_are_not_mixed(prompts, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(prompts, out) == 0
    files = streams_done(out)
    other = write_prompts(tmp_path / "other.jsonl", count=2)
    same = tmp_path / "same.jsonl"
    same.write_text(prompts.read_text().replace(", ", ","))
    assert main([str(one) for one in command(same, out)]) == 0  # the ids count, not the spaces
    for arguments, difference in (
        (command(prompts, out, loops=9), "loops is 8 there and 9 here"),
        (command(prompts, out, "--batch", 2), "batch is 1 there and 2 here"),
        (command(prompts, out, "--dtype", "bfloat16"), "dtype is 'float32' there"),
        (command(prompts, out, model="root-ouro"), "model is 'hero' there and 'root-ouro' here"),
        (command(other, out), "prompts is"),
    ):
        assert main([str(one) for one in arguments]) == 2
        said = capsys.readouterr().err
        assert difference in said and "another folder" in said
    assert streams_done(out) == files
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    assert run(prompts, tmp_path / "full") == 2
    assert "such as thesis.txt: give --out a folder of its own" in capsys.readouterr().err


def test_a_setting_at_its_default_is_no_part_of_a_models_name(monkeypatch):
    model, whole = checkpoints.load("hero"), LoopedConfig.to_dict
    name = fingerprint(model)

    def before_there_was_a_stride(config):
        return {key: value for key, value in whole(config).items() if key != "stride"}

    monkeypatch.setattr(LoopedConfig, "to_dict", before_there_was_a_stride)
    assert fingerprint(model) == name
    model.config = replace(model.config, norm_eps=1e-5)
    assert fingerprint(model) != name


@pytest.mark.parametrize(
    "line, said",
    [
        ('{"tokens": [[1, 99]]}', "line 2: token id 99 is out of range"),
        ('{"tokens": [1, 2]}', r"line 2: tokens have shape (1, 2): expected [batch, token, 2]"),
        ('{"tokens": [[0.5, 1]]}', "line 2: tokens have dtype torch.float32"),
        ('{"tokens": [[1, 2], [3]]}', "line 2: expected sequence of length 2"),
        ('{"tokens": []}', "line 2: tokens have shape"),
        ('{"text": "good morning"}', "line 2: the checkpoint hero has no tokenizer: give ids"),
        ('{"prompt": "good"}', 'line 2: expected {"tokens": [...]}, {"text": "..."} or {"mess'),
        ("good morning", "line 2: Expecting value"),
    ],
)
def test_lines_that_are_no_prompt_are_named(line, said, tmp_path, capsys):
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"tokens": [[1, 2]]}\n' + line + "\n")
    assert run(path, tmp_path / "out") == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_other_mistakes_are_explained(prompts, tmp_path, capsys):
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n")
    for arguments, said in (
        (command(empty, tmp_path / "out"), "empty.jsonl has no prompts"),
        (command(tmp_path / "none.jsonl", tmp_path / "out"), "none.jsonl"),
        (command(prompts, tmp_path / "out", model="heroine"), "no checkpoint and no folder"),
        (command(prompts, tmp_path / "out", model="hero-unrolled"), "exactly 6 loops"),
        (command(prompts, tmp_path / "out", "--device", "abacus"), "abacus"),
    ):
        assert main([str(one) for one in arguments]) == 2
        assert said in capsys.readouterr().err


def test_a_released_model_reads_text(tmp_path, capsys):
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_bytes((GOLDEN / "retrofit-llama-a" / name).read_bytes())
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('{"text": "b a c"}\n{"tokens": [4, 3, 5]}\n')
    arguments = [str(one) for one in command(prompts, tmp_path / "out", model=str(folder), loops=3)]
    assert main(arguments) == 2
    assert "line 1" in (said := capsys.readouterr().err) and "has no tokenizer" in said

    add_tokenizer(folder)
    assert main(arguments) == 0
    first, second = (Stream.load(path) for path in sorted((tmp_path / "out").glob("*.saf*")))
    assert first.tokens.tolist() == [[4, 3, 5]]
    assert torch.equal(first.step, second.step)  # the same ids start from the same noise
    model = zoo.load(str(folder), dtype=torch.float32)
    state = start(model, [Prompt(1, first.tokens[0])])
    right = trace(model, first.tokens, 3, state=state).states
    torch.testing.assert_close(first.norm, right.norm(dim=-1))


def test_a_miniature_is_known_by_name(tmp_path):
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('{"text": "farm one-back hall"}\n')
    assert run(prompts, tmp_path / "out", "--dtype", "float32") == 2  # hero reads no text
    arguments = command(prompts, tmp_path / "out", model="ouro-mini", loops=3)
    assert main([str(one) for one in arguments]) == 0
    (kept,) = (tmp_path / "out").glob("*.safetensors")
    assert Stream.load(kept).tokens.tolist() == [[8, 1, 10]]


def test_a_model_that_was_never_looped_is_called_so(tmp_path, capsys):
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('{"tokens": [4, 3, 5]}\n')
    model = LoopedTransformer(LoopedConfig(vocab=9, width=16, heads=2, core=4, loops=1))
    folder = zoo.export(model, tmp_path / "plain", "looplab")
    looped = zoo.export(zoo.loopify(model, 1, 3, loops=2), tmp_path / "looped", "looplab")
    cases = [(folder, 1), (folder, 4), (looped, 4)]
    for number, (where, loops) in enumerate(cases):
        out = tmp_path / f"out{number}"
        arguments = command(prompts, out, model=where, loops=loops)
        assert main([str(one) for one in arguments]) == 0
        said = (where, loops) == (folder, 4)
        told = "never looped, and --loops 4 runs all of its 4 layers 4 times over"
        assert (told in capsys.readouterr().err) == said
        assert (told in json.loads((out / "summary.json").read_text()).get("note", "")) == said


def add_tokenizer(folder: Path):
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {word: n for n, word in enumerate(["<s>", "</s>", "?", "a", "b", "c"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    said = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "?"}
    (folder / "tokenizer_config.json").write_text(json.dumps(said))
