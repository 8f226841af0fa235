"""Folders that are damaged or hostile: one clear error that names file and tensor, nothing run."""

import json
import pickle
import shutil
import zipfile

import golden_models
import pytest
import torch
from safetensors.torch import load_file, save_file
from test_zoo_loading import sharded

from looplab import LoopedConfig, LoopedTransformer, zoo
from looplab.zoo import loading


@pytest.fixture
def folder(tmp_path):
    """A copy of Ouro's fixture to be damaged."""
    return shutil.copytree(golden_models.GOLDEN / "ouro-a", tmp_path / "ouro")


@pytest.fixture
def huginn(tmp_path):
    return shutil.copytree(golden_models.GOLDEN / "huginn-a", tmp_path / "huginn")


@pytest.fixture
def shards(folder):
    """The same in three shards; the index to be damaged."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    sharded(folder, weights)
    return folder / "model.safetensors.index.json"


@pytest.fixture(autouse=True)
def no_weight_is_read(monkeypatch):
    """Every one of these errors comes before a single weight is read."""
    monkeypatch.setattr(loading.Reader, "into", lambda *_: pytest.fail("a weight was read"))


def edit(folder, change):
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors")


def say(folder, **values):
    config = json.loads((folder / "config.json").read_text()) | values
    config = {key: value for key, value in config.items() if value is not ...}
    (folder / "config.json").write_text(json.dumps(config))


def edit_index(index, change):
    said = json.loads(index.read_text())
    change(said["weight_map"])
    index.write_text(json.dumps(said))


def refused(folder, *words):
    with pytest.raises(ValueError) as error:
        zoo.load(folder)
    for word in words:
        assert word in str(error.value)


# ------------------------------------------------------------------------------ every family


@pytest.fixture(params=[*golden_models.FILES, "looplab"])
def any_folder(request, tmp_path):
    """A copy of each family's fixture, and a folder in our own form."""
    if request.param == "looplab":
        model = LoopedTransformer(LoopedConfig(vocab=9, width=16, prelude=1, coda=1, loops=3))
        return zoo.export(model, tmp_path / "looplab", "looplab")
    return golden_models.copy(request.param, tmp_path / request.param)


def test_a_tensor_that_is_missing_or_has_another_shape(any_folder):
    weights = load_file(any_folder / "model.safetensors")
    name = next(
        name
        for name in sorted(weights)
        if name.endswith(("proj.weight", "qkv.weight", "wo.weight", "dense.weight"))
    )
    save_file({**weights, name: weights[name][1:].clone()}, any_folder / "model.safetensors")
    refused(any_folder, "model.safetensors", name, "has shape")
    weights.pop(name)
    save_file(weights, any_folder / "model.safetensors")
    refused(any_folder, str(any_folder), name, "get the folder again")


def test_weights_cut_short(any_folder):
    path = any_folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    refused(any_folder, str(path), "get this file again")


def test_a_config_without_a_setting(any_folder):
    said = json.loads((any_folder / "config.json").read_text())
    if "model" in said:
        width = "model_dim"
        del said["model"][width]
        (any_folder / "config.json").write_text(json.dumps(said))
    else:
        width = next(key for key in ("hidden_size", "n_embd", "width") if key in said)
        say(any_folder, **{width: ...})
    refused(any_folder, "config.json", repr(width))


# ------------------------------------------------------------------------------------- tensors


def test_a_missing_tensor(folder):
    name = "model.layers.2.self_attn.k_proj.weight"
    edit(folder, lambda weights: weights.pop(name))
    refused(folder, str(folder), name, "get the folder again")


def test_a_missing_layer_is_counted(folder):
    say(folder, num_hidden_layers=5)
    refused(folder, "model.layers.4.self_attn.q_proj.weight and 10 more")


@pytest.mark.parametrize("norm", ["norm_3", "norm_4"])
def test_huginn_without_one_norm_of_one_layer(huginn, norm):
    name = f"transformer.core_block.1.{norm}.weight"
    edit(huginn, lambda weights: weights.pop(name))
    refused(huginn, str(huginn), name)


def test_an_extra_tensor(folder):
    name = "model.layers.1.self_attn.q_proj.bias"
    edit(folder, lambda weights: weights.update({name: torch.zeros(64)}))
    refused(folder, "model.safetensors", name, "does not use")


def test_an_extra_layer(folder):
    say(folder, num_hidden_layers=3)
    refused(folder, "model.safetensors", "model.layers.3.", "does not use")


def test_a_wrongly_shaped_tensor(folder):
    name = "model.layers.0.mlp.up_proj.weight"
    edit(folder, lambda weights: weights.update({name: weights[name].T.contiguous()}))
    refused(folder, "model.safetensors", name, "(64, 80)", "(80, 64)")


def test_parts_of_a_fused_matrix_are_checked_one_by_one(folder):
    names = [f"model.layers.0.self_attn.{x}_proj.weight" for x in "qk"]
    edit(
        folder,
        lambda weights: weights.update(
            {names[0]: torch.zeros(80, 64), names[1]: torch.zeros(48, 64)}
        ),
    )
    refused(folder, "_proj.weight", "config.json asks for (64, 64)")


def test_a_quantised_tensor(folder):
    name = "model.layers.0.mlp.up_proj.weight"
    edit(folder, lambda weights: weights.update({name: weights[name].to(torch.int8)}))
    refused(folder, "model.safetensors", name, "I8", "quantised")
    say(folder, quantization_config={"bits": 4})
    refused(folder, "config.json", "quantised")


# --------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.9999])
def test_a_file_cut_short(folder, share):
    path = folder / "model.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    refused(folder, str(path), "damaged, cut short")


def test_a_file_with_a_longer_tail(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes() + b"more")
    refused(folder, str(path), "damaged")


def test_a_git_lfs_pointer_instead_of_weights(folder):
    path = folder / "model.safetensors"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")
    refused(folder, str(path), "no safetensors file")


def test_an_empty_folder(tmp_path):
    refused(tmp_path, str(tmp_path), "config.json")


def test_a_folder_without_weights(folder):
    (folder / "model.safetensors").unlink()
    refused(folder, str(folder), "neither model.safetensors nor")


# --------------------------------------------------------------------------------------- index


def test_an_index_that_names_a_missing_shard(shards):
    (shards.parent / "model-00002-of-00003.safetensors").unlink()
    refused(shards.parent, shards.name, "model-00002-of-00003.safetensors", "missing")


def test_an_index_that_puts_a_tensor_into_the_wrong_shard(shards):
    name = "model.norm.weight"
    right = json.loads(shards.read_text())["weight_map"][name]
    wrong = "model-00001-of-00003.safetensors"
    if wrong == right:
        wrong = "model-00002-of-00003.safetensors"
    edit_index(shards, lambda at: at.update({name: wrong}))
    refused(shards.parent, name, wrong, right, shards.name)


def test_an_index_that_names_a_tensor_no_shard_has(shards):
    file = "model-00001-of-00003.safetensors"
    edit_index(shards, lambda at: at.update({"model.ghost": file}))
    refused(shards.parent, file, "model.ghost")


def test_a_shard_with_a_tensor_the_index_does_not_name(shards):
    edit_index(shards, lambda at: at.pop("model.norm.weight"))
    refused(shards.parent, "model.norm.weight", "no file")


@pytest.mark.parametrize("file", ["../elsewhere.safetensors", "/etc/passwd", "weights.bin", "a/b"])
def test_an_index_that_points_outside_the_folder(shards, file):
    edit_index(shards, lambda at: at.update({"model.norm.weight": file}))
    refused(shards.parent, shards.name, file)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"weight_map": {"a": 1}}', "\xff"])
def test_an_index_that_is_no_index(shards, text):
    shards.write_text(text, encoding="latin-1")
    refused(shards.parent, str(shards))


# -------------------------------------------------------------------------------------- config


@pytest.mark.parametrize("text", ["", "{'model_type': 'ouro'}", "[1]", "\xff"])
def test_a_config_that_is_no_config(folder, text):
    (folder / "config.json").write_text(text, encoding="latin-1")
    refused(folder, str(folder / "config.json"))


@pytest.mark.parametrize("key", ["total_ut_steps", "rms_norm_eps", "head_dim", "model_type"])
def test_a_config_that_lacks_a_value(folder, key):
    say(folder, **{key: ...})
    refused(folder, "config.json", key)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hidden_size", "64"),
        ("num_attention_heads", 0),
        ("rms_norm_eps", [1]),
        ("rope_theta", None),
        ("total_ut_steps", 4.5),
        ("rope_scaling", "llama3"),
    ],
)
def test_a_config_with_a_value_that_makes_no_model(folder, key, value):
    say(folder, **{key: value})
    refused(folder, "config.json")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hidden_act", "gelu"),
        ("use_sliding_window", True),
        ("rope_scaling", {"rope_type": "yarn", "factor": 4.0}),
    ],
)
def test_a_variant_of_ouro_that_we_do_not_have(folder, key, value):
    say(folder, **{key: value})
    refused(folder, "config.json", "looplab has this family only with")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("injection_type", "add"),
        ("test_time_noise", 0.1),
        ("bias", True),
        ("num_key_value_heads", 2),
    ],
)
def test_a_variant_of_huginn_that_we_do_not_have(huginn, key, value):
    say(huginn, **{key: value})
    refused(huginn, "config.json", key, repr(value))


def test_an_unknown_family(folder):
    say(folder, model_type="gpt_neox", auto_map=...)
    refused(folder, "config.json", "'gpt_neox'", *zoo.FAMILIES)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("norm_eps", ...),
        ("exit_gate", ...),
        ("tied", "yes"),
        ("tied", 1),
        ("stride", 2.0),
        ("norm", "middle"),
        ("width", 24.5),
        ("width", 24),
        ("prelude", 2),
        ("architectures", ["Llama"]),
        ("first_layer", 1),
    ],
)
def test_our_own_form_with_a_setting_that_is_none_of_this_model(key, value, tmp_path):
    model = LoopedTransformer(LoopedConfig(vocab=9, width=16, prelude=1, coda=1, loops=3))
    folder = zoo.export(model, tmp_path / "looplab", "looplab")
    say(folder, **{key: value})
    refused(folder, str(folder), "" if key in ("width", "prelude") else key)


# ---------------------------------------------------------------------------------- code, pickles


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_remote_code_of_an_unknown_family_is_not_run(folder, tmp_path):
    touched = tmp_path / "touched"
    for name in ("configuration_new.py", "modeling_new.py"):
        (folder / name).write_text(f"open({str(touched)!r}, 'w')")
    map_ = {"AutoConfig": "configuration_new.C", "AutoModelForCausalLM": "modeling_new.M"}
    say(folder, model_type="new", auto_map=map_)
    refused(folder, "config.json", "'new'", "never runs the Python code")
    assert not touched.exists()


def test_remote_code_beside_a_known_family_is_not_run(folder, tmp_path, monkeypatch):
    monkeypatch.undo()  # this one loads
    touched = tmp_path / "touched"
    for name in ("configuration_ouro.py", "modeling_ouro.py"):  # where its auto_map points
        (folder / name).write_text(f"open({str(touched)!r}, 'w')")
    assert zoo.load(folder).config.exit_gate
    assert not touched.exists()


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.safetensors"])
def test_a_pickle_is_refused_unopened(folder, tmp_path, name):
    touched = tmp_path / "touched"
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(pickle.dumps(Bomb(touched)))
    refused(folder, str(folder / name), "safetensors")
    with zipfile.ZipFile(folder / name, "w") as archive:  # as torch.save writes it now
        archive.writestr("archive/data.pkl", pickle.dumps(Bomb(touched)))
    refused(folder, str(folder / name), "safetensors")
    assert not touched.exists()
