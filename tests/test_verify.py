"""`looplab verify`: right models pass, wrong ones do not."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from looplab import cli
from looplab.zoo import load, miniatures
from looplab.zoo.verify import compare, verify

NAMES = miniatures.names()
STORY = miniatures.where_is(1, torch.Generator().manual_seed(5)).tokens


@pytest.fixture
def copy(tmp_path):
    return lambda name: shutil.copytree(miniatures.folder(name), tmp_path / name)


@pytest.mark.parametrize("name", NAMES)
def test_a_miniature_passes_every_check(name, capsys):
    assert cli.main(["verify", name]) == 0
    told = capsys.readouterr().out
    assert "not a released model" in told
    assert "FAILED" not in told and "not checked" not in told
    assert "float32" in told and "GiB" in told


def test_a_folder_is_as_good_as_a_name(capsys):
    assert cli.main(["verify", str(miniatures.folder("ouro-mini")), "--loops", "6"]) == 0
    assert "exit probabilities sum to one" in capsys.readouterr().out


def test_half_precision_has_its_own_tolerance():
    assert cli.main(["verify", "retrofit-mini", "--dtype", "bfloat16"]) == 0


@pytest.mark.parametrize("name", NAMES)
def test_swapped_gate_and_value_are_found(name, copy, capsys):
    folder = copy(name)
    tensors = load_file(folder / "model.safetensors")
    for key, weight in tensors.items():
        if key.endswith("mlp.fc.weight"):
            tensors[key] = torch.cat(weight.chunk(2)[::-1])
        if key.endswith("mlp.gate_proj.weight"):
            up = key.replace("gate_proj", "up_proj")
            tensors[key], tensors[up] = tensors[up], weight
    save_file(tensors, folder / "model.safetensors")
    assert cli.main(["verify", str(folder)]) == 1
    assert "FAILED       stored logits" in capsys.readouterr().out


def test_another_norm_constant_is_found(copy):
    folder = copy("huginn-mini")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "norm_eps": 1.0}))
    assert cli.main(["verify", str(folder)]) == 1


def test_weights_that_are_no_numbers_are_found(copy, capsys):
    folder = copy("ouro-mini")
    tensors = load_file(folder / "model.safetensors")
    tensors["model.norm.weight"][3] = float("nan")
    save_file(tensors, folder / "model.safetensors")
    assert cli.main(["verify", str(folder)]) == 1
    assert "FAILED       finite logits" in capsys.readouterr().out


def test_a_folder_without_tokenizer_and_reference_says_so(copy, capsys):
    folder = copy("ouro-mini")
    for file in ("tokenizer.json", "tokenizer_config.json", "expected.safetensors"):
        (folder / file).unlink()
    assert cli.main(["verify", str(folder)]) == 0
    assert capsys.readouterr().out.count("not checked") == 2


def test_what_cannot_be_read_is_one_line_and_status_1(tmp_path, capsys, copy):
    assert cli.main(["verify", str(tmp_path)]) == 1
    assert "has no config.json" in capsys.readouterr().err
    (tmp_path / "config.json").write_text('{"model_type": "ouro"}')
    assert cli.main(["verify", str(tmp_path)]) == 1
    assert "neither model.safetensors" in capsys.readouterr().err
    folder = copy("ouro-mini")
    (folder / "expected.safetensors").write_bytes(b"nothing")
    assert cli.main(["verify", str(folder)]) == 1
    assert "reference is damaged" in capsys.readouterr().err


def test_a_model_that_looks_ahead_is_found():
    model = load(miniatures.folder("ouro-mini"))
    for layer in model.cores[0].layers:  # a layer that mixes later tokens into earlier ones
        layer.mlp.register_forward_hook(lambda module, given, out: out + out.mean(1, keepdim=True))
    found = {check.name: check.passed for check in verify(model, STORY)}
    assert found["no token sees a later one"] is False
    assert found["cached is uncached"] is False


def test_an_untrained_model_is_surprised_by_text():
    torch.manual_seed(0)
    model = load(miniatures.folder("ouro-mini"))
    model.head.weight.data = torch.randn_like(model.head.weight)
    found = {check.name: check.passed for check in verify(model, STORY)}
    assert found["text is no surprise"] is False
    assert found["one pass twice is two passes"]


def test_a_text_of_three_tokens_is_too_short():
    model = load(miniatures.folder("ouro-mini"))
    with pytest.raises(ValueError, match="3 tokens"):
        list(verify(model, STORY[:, :3]))


def test_compare_yields_nothing_without_a_reference(tmp_path):
    assert list(compare(load(miniatures.folder("ouro-mini")), tmp_path)) == []
