"""Every setting of a config.json is read, known to do nothing, or refused by name."""

import json
import shutil

import golden_models
import pytest
import torch
from safetensors.torch import load_file, save_file
from test_zoo_feedforward import random_model
from test_zoo_parcae import CONFIG as PARCAE
from test_zoo_parcae import weights as parcae_weights

from looplab import zoo
from looplab.zoo.keys import EVERYWHERE
from looplab.zoo.loading import open_folder

FAMILIES = (*golden_models.FILES, "TinyLlama", "Llama-3.2", "OLMo-2", "Parcae", "looplab")
# Read where another key is not there, or by one of the forms of a family
SILENT = {("retrofit-llama-a", "rope_base"), ("retrofit-olmo-a", "rope_base")}
SILENT |= {("attractor-a", "vocab_size"), ("attractor-a", "layer_scale_init")}
SILENT |= {("hrm-text-a", "num_hidden_layers")}
SILENT |= {("Parcae", "vocab_size"), ("Parcae", "mean_backprop_depth"), ("huginn-a", "rope_theta")}
INSIDE = {"embedding", "out_proj"}  # how training began


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request, tmp_path_factory):
    """A folder of each family."""
    to = tmp_path_factory.mktemp("family") / request.param
    if request.param in golden_models.FILES:
        return golden_models.copy(request.param, to)
    if request.param == "looplab":
        return looped_llama(to)
    to.mkdir()
    if request.param == "Parcae":
        tensors = parcae_weights(PARCAE)
        tensors["lm_head.weight"] = tensors["lm_head.weight"].clone()
        save_file(tensors, to / "model.safetensors")
        (to / "config.json").write_text(json.dumps(PARCAE))
    else:
        random_model(request.param).save_pretrained(to)
    return to


def looped_llama(to):
    """A folder in our own form: a Llama that was looped by hand."""
    random_model("Llama-3.2").save_pretrained(to / "base")
    looped = zoo.loopify(zoo.load(to / "base"), 2, 4, loops=3, injection=0.3, drop=1)
    return zoo.export(looped, to / "looplab", "looplab")


def other(value):
    """Values of the same kind that are not this one."""
    if value is None:
        return [4]
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int | float):
        return [value + 1]
    if isinstance(value, str):
        return [f"{value}x"]
    if isinstance(value, list):
        return [["sliding_attention", *value[1:]]]
    return [{**value, key: new} for key in value for new in other(value[key]) if key not in INSIDE]


def read(found, values):
    """What a folder with this config says, in our words; ValueError where it is refused."""
    path = found.config.path
    before = path.read_text()
    whole = json.loads(before)
    try:
        # IFM's settings stand beside the tokenizer's
        path.write_text(json.dumps(whole | {"model": values} if "model" in whole else values))
        return open_folder(path.parent).known
    finally:
        path.write_text(before)


def test_every_setting_does_something_or_is_known_to_do_nothing(folder):
    found = open_folder(folder)
    known = read(found, found.config.values)
    harmless = {**found.family.keys.harmless, **EVERYWHERE}
    tried = refused = 0
    for key, value in found.config.values.items():
        for new in other(value):
            tried += 1
            try:
                again = read(found, {**found.config.values, key: new})
            except (ValueError, UserWarning) as error:  # Parcae's reader only warns, as upstream
                refused += 1
                assert str(found.config.path.parent) in str(error)
                continue
            assert again != known or key in harmless or (folder.name, key) in SILENT, (key, new)
    assert tried > 15 and refused


STRANGE = {
    "num_loops": 4,
    "partial_rotary_factor": 0.5,
    "sliding_window_pattern": 2,
    "final_logit_softcapping": 30.0,
    "residual_multiplier": 0.22,
    "is_encoder_decoder": True,
}


@pytest.mark.parametrize("key", STRANGE)
def test_a_setting_that_nobody_knows_is_refused_by_name(folder, key):
    found = open_folder(folder)
    if key in found.family.keys.used:
        pytest.skip(f"{key} is a setting of this family")
    with pytest.raises(ValueError, match=f"config.json.*{key}={STRANGE[key]!r}"):
        read(found, found.config.values | {key: STRANGE[key]})


def test_what_transformers_writes_everywhere_is_passed_over(folder):
    found = open_folder(folder)
    known = read(found, found.config.values)
    written = {
        "id2label": {"0": "a"},
        "temperature": 0.7,
        "_name_or_path": "x",
        "never_heard": None,
    }
    assert read(found, found.config.values | written) == known


def say(folder, **values):
    config = json.loads((folder / "config.json").read_text()) | values
    (folder / "config.json").write_text(json.dumps(config))


REFUSED = [
    ("ouro-a", {"attention_bias": True}, "attention_bias=True"),
    ("ouro-a", {"early_exit_threshold": 0.5}, "early_exit_threshold=0.5"),
    ("ouro-a", {"early_exit_step": 2}, "early_exit_step=2"),
    ("ouro-a", {"layer_types": ["sliding_attention"] * 4}, "layer_types with 'sliding_attention'"),
    ("ouro-a", {"architectures": ["LoopedOuro"]}, "another class"),
    ("nanbeige-a", {"enable_double_loop_split": True}, "enable_double_loop_split=True"),
    ("nanbeige-a", {"emb_neighbor_num": 4}, "emb_neighbor_num=4"),
    ("nanbeige-a", {"model_type": ["nanbeige"]}, "model_type=['nanbeige']: expected one of"),
    ("nanbeige-a", {"tie_word_embeddings": "false"}, "tie_word_embeddings='false': expected true"),
    ("nanbeige-a", {"loop_loss_weights": ["a"]}, "loop_loss_weights=['a']"),
    ("TinyLlama", {"sliding_window": 8}, "sliding_window=8"),
    ("TinyLlama", {"num_loops": 4, "auto_map": {"AutoModelForCausalLM": "m.M"}}, "num_loops=4"),
    ("TinyLlama", {"auto_map": {"AutoModelForCausalLM": "m.M"}}, "code of its own"),
    (
        "TinyLlama",
        {"rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5}},
        "partial_rotary_factor=0.5",
    ),
    ("TinyLlama", {"rope_parameters": {"rope_theta": 1e4, "factor": 8}}, "factor=8"),
    ("TinyLlama", {"rope_theta": 5e5}, "rope_theta=10000.0 and rope_theta=500000.0"),
    ("retrofit-llama-a", {"rope_parameters": {"rope_theta": 1e4}}, "another rope_scaling"),
    ("huginn-a", {"block_class_name": "TransformerPreNormBlock"}, "block_class_name"),
]


@pytest.mark.parametrize(("name", "values", "told"), REFUSED)
def test_settings_that_would_be_another_model(name, values, told, tmp_path):
    if name in golden_models.FAMILIES:
        shutil.copytree(golden_models.GOLDEN / name, tmp_path / name)
    else:
        random_model(name).save_pretrained(tmp_path / name)
    say(tmp_path / name, **values)
    with pytest.raises(ValueError) as error:
        zoo.load(tmp_path / name)
    assert told in str(error.value) and "config.json" in str(error.value)


def test_nanbeiges_loss_weights_say_how_often_it_loops(tmp_path):
    folder = shutil.copytree(golden_models.GOLDEN / "nanbeige-a", tmp_path / "more")
    say(folder, loop_loss_weights=[0.1, 0.2, 0.3])  # as its code has it, whatever num_loops says
    assert zoo.load(folder).config.loops == 4


@pytest.mark.parametrize(
    "spelled",
    [
        {"rope_theta": 1e6, "rope_scaling": {"rope_type": "default"}},
        {"rope_theta": 1e6, "rope_scaling": {"type": "default", "rope_theta": 1e6}},
        {"rope_theta": 1e6, "rope_parameters": {"rope_type": "default"}},
        {"rope_theta": None, "rope_parameters": {"rope_type": "default", "rope_theta": 1e6}},
        {"rope_theta": 1e6, "partial_rotary_factor": 1.0},
    ],
)
def test_rotary_positions_as_any_version_spells_them(spelled, tmp_path):
    found = open_folder(shutil.copytree(golden_models.GOLDEN / "ouro-a", tmp_path / "ouro"))
    assert read(found, found.config.values | spelled) == found.known


# ------------------------------------------------------------------------------- a tied head


# Their config.json has no word for a tied head.
NEVER_TIED = ("hyperloop-a", "ifm-linear-a")
MAY_BE_TIED = [name for name in golden_models.FAMILIES if name not in NEVER_TIED]


def tied_folder(name, tmp_path):
    """A folder whose config ties the head, with a head of its own."""
    to = tmp_path / "tied"
    if name in golden_models.FAMILIES:
        golden_models.copy(name, to)
    else:
        random_model(name).save_pretrained(to)
    key = "tie_embeddings" if "n_embd" in json.loads((to / "config.json").read_text()) else ...
    say(to, **{"tie_word_embeddings" if key is ... else key: True})
    return to


@pytest.mark.parametrize("name", [*MAY_BE_TIED, "Llama-3.2", "OLMo-2"])
@pytest.mark.parametrize("where", ["first row", "last entry", "all"])
def test_a_tied_pair_of_two_matrices_is_refused(name, where, tmp_path):
    folder = tied_folder(name, tmp_path)
    weights = load_file(folder / "model.safetensors")
    embedding = next(n for n in weights if n.endswith(("embed_tokens.weight", "wte.weight")))
    head = weights[embedding].clone()
    index = {"first row": (0,), "last entry": (-1, -1), "all": (...,)}[where]
    head[index] += 0.25
    save_file({**weights, "lm_head.weight": head}, folder / "model.safetensors")
    with pytest.raises(ValueError, match=r"ties the head.*lm_head.weight that differs.*not tied"):
        zoo.load(folder)


@pytest.mark.parametrize("name", ["ouro-a", "Llama-3.2"])
def test_a_tied_pair_of_two_copies_is_one_matrix(name, tmp_path):
    folder = tied_folder(name, tmp_path)
    weights = load_file(folder / "model.safetensors")
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()
    save_file(weights, folder / "model.safetensors")
    model = zoo.load(folder)
    assert model.head.weight is model.embed[0].weight


# ----------------------------------------------------------------------------- tensors' names


def renamed(name, tmp_path, change):
    """A fixture whose tensors have other names; `change` maps a name to the new one."""
    folder = golden_models.copy(name, tmp_path / "renamed")
    weights = load_file(folder / "model.safetensors")
    save_file({change(n): value for n, value in weights.items()}, folder / "model.safetensors")
    return folder


WRAPPED = {
    "compiled": lambda n: f"_orig_mod.{n}",
    "parallel": lambda n: f"module.{n}",
    "both": lambda n: f"module._orig_mod.{n}",
    "each layer compiled": lambda n: n.replace(".0.", ".0._orig_mod."),
    "in another model": lambda n: f"net.{n}",
}


@pytest.mark.parametrize("how", WRAPPED)
@pytest.mark.parametrize("name", golden_models.FILES)
def test_names_that_a_wrapper_has_changed(how, name, tmp_path):
    found = zoo.load(renamed(name, tmp_path, WRAPPED[how])).state_dict()
    wanted = zoo.load(golden_models.GOLDEN / name).state_dict()
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[key], wanted[key]) for key in wanted)


def test_a_base_model_saved_alone(tmp_path):
    official = random_model("Llama-3.2")
    official.model.save_pretrained(tmp_path / "tied")
    tokens = torch.tensor([[3, 1, 4, 1, 5]])
    model = zoo.load(tmp_path / "tied")
    torch.testing.assert_close(model(tokens).logits, official(tokens).logits, rtol=0, atol=1e-4)
    random_model("TinyLlama").model.save_pretrained(tmp_path / "untied")
    with pytest.raises(ValueError, match=r"lm_head.weight: it holds a model without its head"):
        zoo.load(tmp_path / "untied")


def test_a_name_that_is_there_twice_is_refused(tmp_path):
    folder = shutil.copytree(golden_models.GOLDEN / "ouro-a", tmp_path / "twice")
    weights = load_file(folder / "model.safetensors")
    weights["_orig_mod.model.norm.weight"] = weights["model.norm.weight"] * 2
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(ValueError, match=r"model\.norm\.weight twice.*_orig_mod"):
        zoo.load(folder)


@pytest.mark.parametrize("name", golden_models.FAMILIES)
@pytest.mark.parametrize("buffer", ["model.layers.0.self_attn.rotary_emb.inv_freq", "inv_freq"])
def test_a_rotary_buffer_is_passed_over(name, buffer, tmp_path):
    folder = golden_models.copy(name, tmp_path / "buffer")
    weights = load_file(folder / "model.safetensors")
    save_file({**weights, buffer: torch.ones(8)}, folder / "model.safetensors")
    assert zoo.load(folder).config == zoo.load(golden_models.GOLDEN / name).config


@pytest.mark.parametrize(
    ("tensor", "told"),
    [
        ("model.layers.0.mlp.up_proj.qweight", "quantised"),
        ("model.layers.0.mlp.up_proj.weight_scale_inv", "quantised"),
        ("model.layers.0.mlp.up_proj.weight.absmax", "quantised"),
        ("model.layers.0.mlp.up_proj.lora_A.weight", "adapter"),
    ],
)
def test_quantised_and_adapted_weights_are_called_so(tensor, told, tmp_path):
    folder = shutil.copytree(golden_models.GOLDEN / "ouro-a", tmp_path / "small")
    weights = load_file(folder / "model.safetensors")
    save_file({**weights, tensor: torch.ones(8)}, folder / "model.safetensors")
    with pytest.raises(ValueError, match=told):
        zoo.load(folder)


def test_a_quantised_folder_of_any_family_is_called_so(tmp_path):
    folder = shutil.copytree(golden_models.GOLDEN / "ouro-a", tmp_path / "small")
    say(folder, model_type="qwen3", quantization_config={"quant_method": "gptq"})
    with pytest.raises(ValueError, match=r"quantised weights \(quantization_config\)"):
        zoo.load(folder)
