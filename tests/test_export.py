"""A model written in a family's form and read again is the same model."""

import contextlib
import json

import golden_models
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from looplab import LoopedConfig, LoopedTransformer
from looplab.zoo import load
from looplab.zoo.exporting import export
from looplab.zoo.loading import open_folder

SMALL = {"vocab": 23, "width": 16, "heads": 2, "core": 2, "loops": 3}
GATED = {**SMALL, "mlp": "gated", "activation": "silu", "mlp_width": 24}
ENDS = {**GATED, "prelude": 1, "coda": 2, "injection": "concat", "start": "normal"}
HUGINN = {"norm": "residual_sandwich", "position": "rope_interleaved", "qk_bias": True}
OURO = {**GATED, "norm": "branch_sandwich", "exit_gate": True}
RETROFIT = {**ENDS, "start_std": 0.0087, "rope_theta": 5e5}
CASES = {
    "huginn": ("huginn", {**ENDS, **HUGINN, "tie_head": True, "embed_scale": 4.0}),
    "huginn, untied": ("huginn", {**ENDS, **HUGINN}),
    "ouro": ("ouro", OURO),
    "ouro, grouped": ("ouro", {**OURO, "heads": 4, "kv_heads": 2, "head_dim": 6}),
    "retrofit, llama": ("retrofit", {**RETROFIT, "kv_heads": 1, "rope_scaling": (8, 1, 4, 32)}),
    "retrofit, olmo": ("retrofit", {**RETROFIT, "norm": "branch_post", "qk_norm": "all"}),
    "llama": ("llama", {**GATED, "loops": 1, "tie_head": True}),
    "our own": ("looplab", {**SMALL, "injection": "concat", "prelude": 1, "coda": 1}),
    "our own, tied": ("looplab", {**GATED, "tie_head": True, "stride": 0.25}),
    "our own, of everything": (
        "looplab",
        {**ENDS, **HUGINN, "value_layers": (1, 3), "width": 32, "rope_scaling": (8, 1, 4, 32)}
        | {"input_norm": True, "state_out": True, "exit_gate": True, "classes": 5},
    ),
    "our own, an encoder": (
        "looplab",
        {**SMALL, "norm": "post", "norm_kind": "layer", "attention": "full", "position": "learned"}
        | {"places": 12, "bias": True, "embed_width": 6, "embed_norm": True, "types": 2}
        | {"masked_lm": True, "tie_head": True},
    ),
    "our own, two levels": (
        "looplab",
        {**GATED, "core": 6, "low_cycles": 2, "norm_kind": "bare", "attn_gate": True},
    ),
    "our own, an attractor": (
        "looplab",
        {
            **SMALL,
            "injection": "add",
            "minus_state": True,
            "branch_gain": 0.5,
            "solver": "anderson",
        },
    ),
    "our own, unrolled": ("looplab", {**SMALL, "loops": 5, "tied": False}),
}


def model(settings):
    torch.manual_seed(0)
    made = LoopedTransformer(LoopedConfig(**settings)).eval()
    for weight in made.parameters():  # no two tensors alike, biases and norms not at their start
        weight.data += 0.3 * torch.randn_like(weight)
    return made.requires_grad_(False)


@pytest.mark.parametrize("case", CASES)
def test_export_then_load_gives_equal_logits(case, tmp_path):
    form, settings = CASES[case]
    made = model(settings)
    again = load(export(made, tmp_path / "model", form))
    tokens = torch.randint(23, (2, 9), generator=torch.Generator().manual_seed(1))
    for loops in (1, 5) if made.config.tied else (5,):
        first, second = (
            m(tokens, loops, generator=torch.Generator().manual_seed(2)) for m in (made, again)
        )
        assert torch.equal(first.logits, second.logits)
        if first.gate is not None:
            assert torch.equal(first.gate, second.gate)
    assert again.config.notation == made.config.notation
    assert again.config.norm == made.config.norm
    if form == "looplab":
        assert again.config == made.config


@pytest.mark.parametrize("case", CASES)
def test_exporting_what_was_loaded_writes_the_same_files(case, tmp_path):
    form, settings = CASES[case]
    one = export(model(settings), tmp_path / "one", form)
    two = export(load(one), tmp_path / "two", form)
    assert (one / "config.json").read_text() == (two / "config.json").read_text()
    first, second = (load_file(folder / "model.safetensors") for folder in (one, two))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("name", golden_models.FILES)
def test_a_released_model_comes_back_from_its_familys_form(name, tmp_path):
    made, tokens, expected = golden_models.load(name)
    family = open_folder(golden_models.GOLDEN / name).family
    written = []
    for form in family.forms:
        with contextlib.suppress(ValueError):  # of several forms, one is this model's
            written.append(export(made, tmp_path / form, form))
    (folder,) = written
    start = {"state": expected.get("initial_state")}
    assert torch.equal(load(folder)(tokens, 3, **start).logits, made(tokens, 3, **start).logits)


def test_huginn_stores_what_the_release_stores(tmp_path):
    form, settings = CASES["huginn"]
    folder = export(model(settings), tmp_path / "model", form)
    with safe_open(folder / "model.safetensors", "pt") as file:
        names = set(file.keys())
        assert {"freqs_cis", "lm_head.weight", "transformer.wte.weight"} <= names
        assert file.get_slice("transformer.prelude.0.attn.qk_bias").get_shape() == [2, 1, 2, 8]
        table = file.get_tensor("freqs_cis")
    assert table.shape == (1, 64, 1, 4, 2)
    assert torch.equal(table[0, 0, 0], torch.tensor([[1.0, 0.0]] * 4))  # position 0: no turn
    assert json.loads((folder / "config.json").read_text())["model_type"] == "huginn_raven"


@pytest.mark.parametrize(
    ("form", "settings", "told"),
    [
        ("ouro", {**OURO, "injection": "concat"}, "injection='concat'"),
        ("ouro", {**GATED, "norm": "pre"}, "norm='pre'"),
        ("ouro", {**OURO, "activation": "gelu"}, "activation='gelu'"),
        ("retrofit", {**RETROFIT, "position": "rope_interleaved"}, "position="),
        ("retrofit", {**RETROFIT, "norm": "residual_sandwich"}, "norm='residual_sandwich'"),
        ("huginn", RETROFIT, "norm='pre'"),
        ("llama", {**GATED, "loops": 3}, "loops=3"),
        ("retrofit", {**RETROFIT, "start": "input"}, "start='input'"),
        ("gpt", GATED, "form='gpt'"),
    ],
)
def test_a_setting_without_a_place_is_refused(form, settings, told, tmp_path):
    with pytest.raises(ValueError, match=told):
        export(model(settings), tmp_path / "model", form)
    assert not (tmp_path / "model").exists()


def test_a_model_is_never_overwritten(tmp_path):
    form, settings = CASES["ouro"]
    export(model(settings), tmp_path, form)
    with pytest.raises(FileExistsError, match="new folder"):
        export(model(settings), tmp_path, form)
