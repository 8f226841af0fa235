"""`looplab verify`: right models pass, wrong ones do not."""

import hashlib
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from looplab import cli
from looplab.zoo import load, miniatures
from looplab.zoo.loading import open_folder
from looplab.zoo.verify import compare, no_constants, verify

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
    assert "not the next word: the loss of a text is not asked" in told
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
    assert cli.main(["verify", str(folder)]) == 3
    told = capsys.readouterr().out
    assert told.count("not checked  ") == 2 and "6 of 8 checks passed, 2 not checked" in told


def strip(folder):
    """Nothing left but the model: no words, no stored logits."""
    for file in ("tokenizer.json", "tokenizer_config.json", "expected.safetensors"):
        (folder / file).unlink()
    return folder


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda name: True, "and 20 more like it"),
        (lambda name: name.endswith("layers.1.self_attn.k_proj.weight"), "k_proj.weight is 0"),
        (
            lambda name: name.endswith("up_proj.weight"),
            "up_proj.weight is 0 everywhere, and 2 more",
        ),
        (lambda name: name == "model.norm.weight", "model.norm.weight is 0 everywhere\n"),
    ],
)
def test_weights_that_are_one_number_are_found(change, named, copy, capsys):
    folder = strip(copy("ouro-mini"))
    tensors = load_file(folder / "model.safetensors")
    zeros = {n: torch.zeros_like(v) if change(n) else v for n, v in tensors.items()}
    save_file(zeros, folder / "model.safetensors")
    assert cli.main(["verify", str(folder)]) == 1
    told = capsys.readouterr().out
    assert "FAILED       constant tensors" in told
    assert named.replace("20 more", f"{len(tensors) - 2} more") in told


@pytest.mark.parametrize("name", NAMES)
def test_every_familys_zeros_are_found_and_its_start_of_training_is_not(name):
    folder = open_folder(miniatures.folder(name))
    model = load(miniatures.folder(name))
    for key, weight in model.named_parameters():
        if weight.dim() < 2:
            weight.data.fill_(0.0 if "bias" in key else 1.0)
    assert no_constants(folder, model).passed
    for weight in model.parameters():
        weight.data.fill_(0.5)
    assert no_constants(folder, model).passed is False


def as_hub_cache(folder, name):
    """The same folder as the hub's cache has it: links to blobs that are called by their hash."""
    blobs, snapshot = folder / "blobs", folder / "snapshots" / "abc"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for file in miniatures.folder(name).iterdir():
        data = file.read_bytes()
        said = hashlib.sha256(data).hexdigest()
        if file.suffix == ".json":
            said = hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()
        (blobs / said).write_bytes(data)
        (snapshot / file.name).symlink_to(f"../../blobs/{said}")
    return snapshot


def as_local_folder(folder, name):
    """The same folder as `hf download --local-dir` leaves it."""
    shutil.copytree(miniatures.folder(name), folder)
    said = folder / ".cache" / "huggingface" / "download"
    said.mkdir(parents=True)
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    (said / "model.safetensors.metadata").write_text(f"abc\n{digest}\n1.0\n")
    return folder


@pytest.mark.parametrize("make", [as_hub_cache, as_local_folder])
def test_hashes_are_compared_where_the_hub_has_left_them(make, tmp_path, capsys):
    folder = make(tmp_path / "hub", "ouro-mini")
    (folder / "expected.safetensors").unlink()
    assert cli.main(["verify", str(folder)]) == 0
    assert "ok           files are the hub's" in capsys.readouterr().out
    tensors = load_file(folder / "model.safetensors")
    tensors["model.norm.weight"][3] *= 1.01
    save_file(tensors, (folder / "model.safetensors").resolve())
    assert cli.main(["verify", str(folder)]) == 1
    assert "model.safetensors differ" in capsys.readouterr().out


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
