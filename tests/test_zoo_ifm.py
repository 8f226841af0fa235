"""IFM's LoopedLM: what its own folders have besides, its start, its cache, and what is refused.

Parity with the official numbers, state by state, is in test_golden.py.
"""

import hashlib
import json
import shutil

import golden_models
import pytest
import torch
from rounding import assert_rounds_to
from safetensors.torch import load_file
from torch.testing import assert_close

from looplab import cli, generate, zoo
from looplab.model import Cache
from looplab.model.hashed import example_terms, hashed_normal, row_terms
from looplab.zoo.loading import open_folder
from looplab.zoo.verify import compare, describe, same_hashes

NAMES = ("ifm-diagonal-a", "ifm-linear-a", "ifm-orthoinj-a", "ifm-parcae-a")
TOLERANCE = {"rtol": 0, "atol": 2e-4}  # a requirement: parity with the official code


@pytest.fixture(scope="module", params=NAMES)
def golden(request):
    return golden_models.load(request.param)


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(golden_models.GOLDEN / "ifm-orthoinj-a", tmp_path / "ifm")


def test_the_hashed_start_is_the_official_one(golden):
    model, _, expected = golden
    places, width = torch.arange(11)[None], model.config.width
    terms = example_terms(expected["example_ids"], int(expected["state_seed"]))
    for name, mine in (("initial_state", terms), ("initial_state_rowhash", row_terms(2))):
        state = hashed_normal(places, mine, width, model.config.start_std)
        assert_rounds_to(state, expected[name], sums=2)


def test_a_plain_run_begins_as_evaluation_example_0_in_every_row(golden):
    model, tokens, expected = golden
    assert expected["example_ids"][0] == 0
    official = expected["r4.logits"][0]
    with torch.no_grad():
        alone, below = model(tokens[:1], 4), model(tokens.flip(0), 4)
    assert_close(alone.logits[0], official, **TOLERANCE)
    assert_close(below.logits[1], official, **TOLERANCE)


def test_one_slot_is_the_papers_terminal_cache(golden):
    model, tokens, expected = golden
    cache, parts = Cache(model, 2, 4, slots=1), []
    pieces = [slice(0, 6), *(slice(at, at + 1) for at in range(6, 11))]
    with torch.no_grad():
        for piece in pieces:
            start = expected["initial_state"][:, piece]
            parts.append(model(tokens[:, piece], 4, state=start, cache=cache).logits)
    assert_close(torch.cat(parts, 1), expected["r4.terminal6_logits"], **TOLERANCE)


def test_a_written_text_begins_where_each_token_stands(golden):
    model, tokens, _ = golden
    written = generate(model, tokens[:, :5], 4).tokens
    for at in range(5, 9):
        assert torch.equal(written[:, at], model(written[:, :at]).logits[:, -1].argmax(-1))


def test_a_norms_weight_is_one_more_than_what_is_stored(folder):
    stored = load_file(folder / "model-00001-of-00001.safetensors")["output.final_norm.weight"]
    for dtype in (torch.float32, torch.bfloat16):  # the official sum is in the model's dtype too
        assert torch.equal(zoo.load(folder, dtype=dtype).norm.weight, stored.to(dtype) + 1)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_written_in_its_own_form_and_verified(name, tmp_path, capsys):
    model, tokens, _ = golden_models.load(name)
    made = zoo.export(model, tmp_path / "made", "ifm")
    stored = golden_models.GOLDEN / name / "model-00001-of-00001.safetensors"
    ours, theirs = load_file(made / stored.name), load_file(stored)
    assert ours.keys() == theirs.keys()
    for key, value in theirs.items():  # 1 is added to a norm's weight, and taken away
        assert_rounds_to(ours[key], value, sums=1, scale=1.0)
    official = json.loads((golden_models.GOLDEN / name / "config.json").read_text())["model"]
    said = json.loads((made / "config.json").read_text())["model"]
    kept = open_folder(made).family.keys.used
    assert {key: said[key] for key in kept if key in said} == {
        key: official[key] for key in kept if key in said
    }
    assert torch.equal(zoo.load(made)(tokens, 3).logits, model(tokens, 3).logits)
    assert cli.main(["verify", str(made)]) == 3  # no tokenizer
    told = capsys.readouterr().out
    assert "IFM LoopedLM" in told and "files are the manifest's: 3 compared" in told


@pytest.mark.parametrize("name", ["model-00001-of-00001.safetensors", "artifact_manifest.json"])
def test_no_file_of_another_is_written_over(name, golden, tmp_path):
    (tmp_path / name).write_text("mine")
    with pytest.raises(FileExistsError, match=f"{name} exists: export into a new folder"):
        zoo.export(golden[0], tmp_path, "ifm")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_files_that_are_not_the_manifests_are_named(folder, capsys):
    (check,) = same_hashes(folder)
    assert check.passed
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config))
    (check,) = same_hashes(folder)
    assert not check.passed and "config.json differ" in check.told
    assert cli.main(["verify", str(folder)]) == 1
    for said in ({"path": 1}, {"path": "config.json", "sha256": 5}):
        (folder / "artifact_manifest.json").write_text(json.dumps({"files": [said]}))
        assert cli.main(["verify", str(folder)]) == 1
        assert "artifact_manifest.json is damaged" in capsys.readouterr().err


def test_the_folders_own_tokenizer_is_found(folder):
    mini = zoo.tokenizer("ouro-mini")
    mini.save_pretrained(folder / "tokenizer")
    assert zoo.load(folder).words("barn one-back") == mini("barn one-back").input_ids
    assert describe(zoo.load(folder)).startswith("IFM LoopedLM, (1, 2⊗5, 1)_I, ")


GRID = sorted(
    path.parent for path in (golden_models.GOLDEN.parents[1] / "data").glob("ifm_grid/*/card.json")
)


@pytest.mark.parametrize("folder", GRID, ids=[folder.name for folder in GRID])
def test_our_own_models_of_this_form_are_those_of_their_cards(folder):
    card = json.loads((folder / "card.json").read_text())
    data = (folder / "model-00001-of-00001.safetensors").read_bytes()
    assert hashlib.sha256(data).hexdigest() == card["sha256"]
    assert card["is not"].startswith("a released model") and len(GRID) == 8
    model = zoo.load(folder, dtype=torch.float32)
    checks = list(compare(model, folder))
    assert len(checks) == 2 and all(check.passed for check in checks)


REFUSED = [
    ({"arch": "transformer"}, "arch='transformer'"),
    ({"huginn_depth_control": False}, "huginn_depth_control=False"),
    ({"apply_rmsnorm": None}, "apply_rmsnorm=None"),
    ({"huginn_hierarchical_state": "split_hl"}, "huginn_hierarchical_state='split_hl'"),
    ({"huginn_input_injection": "none"}, "huginn_input_injection='none'"),
    ({"huginn_input_injection": "linear"}, "huginn_input_injection='linear'"),  # and orthogonal
    ({"huginn_prelude_norm": "layer"}, "huginn_prelude_norm='layer'"),
    ({"huginn_recurrent_exit_norm": "rms"}, "huginn_recurrent_exit_norm='rms'"),
    ({"huginn_state_init": "noise"}, "huginn_state_init='noise'"),
    ({"norm_affine": False}, "norm_affine=False"),
    ({"model_dim": 0}, "a number that cannot be"),
    ({"num_experts": 8}, "num_experts=8"),
    ({"num_layers": 5}, "num_layers=5"),
    ({"qknorm": True}, "qknorm=True"),
    ({"rope_head_dim": 4}, "rope_head_dim=4"),
    ({"scale_emb": True}, "scale_emb=True"),
    ({"swiglu": False}, "swiglu=False"),
    ({"huginn_prelude_norm": "rms"}, "huginn_prelude_norm_module.weight"),  # a tensor is missing
    ({"huginn_recurrent_layers": 1, "num_layers": 3}, "layers.3."),  # one is left over
]


@pytest.mark.parametrize(("values", "told"), REFUSED, ids=[str(one) for one, _ in REFUSED])
def test_what_would_be_another_model_is_refused(values, told, folder):
    said = json.loads((folder / "config.json").read_text())
    said["model"] |= values
    (folder / "config.json").write_text(json.dumps(said))
    with pytest.raises(ValueError) as error:
        zoo.load(folder)
    assert told in str(error.value) and str(folder) in str(error.value)


def test_a_student_is_refused_by_what_its_config_has_besides(folder):
    said = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**said, "teacher": {"artifact": "x"}}))
    with pytest.raises(ValueError, match="'teacher' beside model and tokenizer"):
        zoo.load(folder)
