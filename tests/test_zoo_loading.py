"""Loading: single file or shards, dtypes, tied heads, the hub; padding and bfloat16."""

import json

import golden_models
import huggingface_hub
import pytest
import torch
from huggingface_hub import errors
from rounding import LAYER, assert_rounds_to
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from looplab import trace, zoo

EXACT = {"rtol": 0, "atol": 0}


def sharded(folder, weights, files=3):
    """Write the weights as the hub does: shards, and an index that says what is where."""
    shards = {f"model-{i + 1:05}-of-{files:05}.safetensors": {} for i in range(files)}
    for number, (name, value) in enumerate(sorted(weights.items())):
        shards[list(shards)[number % files]][name] = value
    for file, part in shards.items():
        save_file(part, folder / file, metadata={"format": "pt"})
    weight_map = {name: file for file, part in shards.items() for name in part}
    index = {"metadata": {"total_size": 0}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


@pytest.fixture
def copy(tmp_path):
    """A function that copies a fixture's config and weights into a folder of their own."""

    def make(name, **changed):
        golden_models.copy(name, tmp_path / name)
        config = json.loads((tmp_path / name / "config.json").read_text())
        (tmp_path / name / "config.json").write_text(json.dumps({**config, **changed}))
        return tmp_path / name

    return make


@pytest.mark.parametrize("name", golden_models.FILES)
def test_shards_give_the_same_model_as_one_file(copy, name):
    folder = copy(name)
    whole = zoo.load(folder)
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    sharded(folder, weights)
    pieces = zoo.load(folder)
    assert pieces.config == whole.config
    assert_close(pieces.state_dict(), whole.state_dict(), **EXACT)


def test_a_loaded_model_is_in_eval_mode_without_gradients_and_free_of_its_file(copy):
    folder = copy("ouro-a")
    model = zoo.load(folder)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    (folder / "model.safetensors").write_bytes(bytes((folder / "model.safetensors").stat().st_size))
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())
    assert_close(model.state_dict(), before, **EXACT)


def test_large_tensors_are_read_in_blocks(copy, monkeypatch):
    folder = copy("huginn-a")
    whole = zoo.load(folder)
    monkeypatch.setattr(zoo.files, "_BLOCK", 700)  # two rows of the embedding and a bit
    assert_close(zoo.load(folder).state_dict(), whole.state_dict(), **EXACT)


def test_dtype_is_the_files_own_unless_asked(copy):
    folder = copy("ouro-a")
    weights = load_file(folder / "model.safetensors")
    save_file({n: v.bfloat16() for n, v in weights.items()}, folder / "model.safetensors")
    assert {p.dtype for p in zoo.load(folder).parameters()} == {torch.bfloat16}
    wide = zoo.load(folder, dtype=torch.float32)
    assert {p.dtype for p in wide.parameters()} == {torch.float32}
    assert_close(wide.embed[0].weight, weights["model.embed_tokens.weight"].bfloat16().float())


@pytest.mark.parametrize("dropped", ["lm_head.weight", "transformer.wte.weight", None])
def test_huginns_tied_matrix_may_be_stored_once_or_twice(copy, dropped):
    folder = copy("huginn-a")
    expected = zoo.load(folder).state_dict()
    weights = load_file(folder / "model.safetensors")
    weights.pop(dropped, None)
    weights.pop("freqs_cis")  # rebuilt in any case
    save_file(weights, folder / "model.safetensors")
    model = zoo.load(folder)
    assert model.head.weight is model.embed[0].weight
    assert_close(model.state_dict(), expected, **EXACT)


def test_a_retrofit_written_again_with_both_names_of_tying(copy):
    folder = copy("retrofit-llama-a", tie_word_embeddings=True)
    model = zoo.load(folder)  # tie_embeddings, false, is the official name
    assert model.head.weight is not model.embed[0].weight


def test_the_start_is_the_families_own():
    huginn, retrofit = (golden_models.load(n)[0] for n in ("huginn-a", "retrofit-llama-a"))
    assert huginn.config.start_std == pytest.approx((2 / 5) ** 0.5)
    assert retrofit.config.start_std == 0.008703882797784892
    x = torch.zeros(32, 64, 64)
    state = huginn.start(x, torch.Generator().manual_seed(0))
    assert state.std().item() == pytest.approx(0.6240, abs=5e-3)  # cut at three std; 131072 draws
    assert state.abs().max() <= 3 * huginn.config.start_std + 1e-6


@pytest.mark.parametrize("name", golden_models.FAMILIES)
def test_a_padded_batch_gives_each_sequence_what_it_gives_it_alone(name):
    model, tokens, expected = golden_models.load(name)
    start = expected.get("initial_state")
    lengths = (7, 11)
    mask = torch.zeros_like(tokens)
    padded = torch.zeros_like(tokens)
    for row, n in enumerate(lengths):  # on the left, as most tokenizers pad for generation
        padded[row, -n:], mask[row, -n:] = tokens[row, :n], 1
    batch, real = zoo.pad_right(padded, mask)
    together = trace(model, batch, 4, state=start)
    layers = model.config.prelude + model.config.core * 4 + model.config.coda
    for row, n in enumerate(lengths):
        assert real[row].tolist() == [True] * n + [False] * (11 - n)
        own_start = None if start is None else start[row : row + 1, :n]
        alone = trace(model, tokens[row : row + 1, :n], 4, state=own_start)
        assert_rounds_to(together.states[:, :, row, :n], alone.states[:, :, 0], sums=LAYER * layers)
        assert_rounds_to(together.logits[row, :n], alone.logits[0], sums=LAYER * layers)


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        ([[1, 0, 1]], "sequence 0 has 2 runs"),
        ([[0, 0, 0]], "sequence 0 has 0 runs"),
        ([[1, 1]], "same shape"),
    ],
)
def test_masks_that_are_no_padding_are_named(mask, said):
    with pytest.raises(ValueError, match=said):
        zoo.pad_right(torch.tensor([[1, 2, 3]]), torch.tensor(mask))


def test_threshold_one_means_the_last_loop_even_in_bfloat16():
    gate = torch.full((4, 2, 3), 4.0, dtype=torch.bfloat16)  # leaves early with near certainty
    official = gate.sigmoid()
    stay = (1 - official).cumprod(0)
    pdf = torch.cat((official[:1], (official[1:] * stay[:-1])[:-1], stay[2:3]))
    assert (pdf.cumsum(0)[:-1] >= 1.0).any()  # the trap: what remains is lost in rounding
    leave = zoo.exit_distribution(gate)
    assert leave.dtype == torch.float32
    assert_close(leave.sum(0), torch.ones(2, 3))
    assert (zoo.exit_loop(leave, 1.0) == 4).all()
    assert (zoo.exit_loop(leave, 0.5) == 1).all()


def test_exits_name_a_threshold_that_is_no_probability():
    with pytest.raises(ValueError, match=r"threshold=1\.5"):
        zoo.exit_loop(torch.ones(1, 1), 1.5)
    assert zoo.exit_loop(torch.ones(1, 2), 0.3).tolist() == [1, 1]  # a run of one loop


# HRM-Text's random weights make rounding a hundred times larger in four cycles.
@pytest.mark.parametrize("name", [*golden_models.FAMILIES, "albert-a", "attractor-a"])
def test_bfloat16_stays_near_float32(name):
    _, tokens, expected = golden_models.load(name)
    model = zoo.load(golden_models.GOLDEN / name, dtype=torch.bfloat16)
    logits = model(tokens, 4, state=expected.get("initial_state")).logits
    official = expected["r4.logits"]
    assert logits.dtype == torch.bfloat16
    assert (logits.float() - official).norm() / official.norm() < 0.05


def test_huginn_turns_queries_in_float32_even_in_bfloat16():
    from looplab.model.layers import make_context, rotate

    config = golden_models.load("huginn-a")[0].config
    q = torch.randn(1, 4, 11, 16, generator=torch.Generator().manual_seed(0)).bfloat16()
    turned = rotate(q, make_context(config, 11, "cpu", torch.bfloat16).rotary, True)
    exact = rotate(q.float(), make_context(config, 11, "cpu", torch.float32).rotary, True)
    assert_close(turned, exact.bfloat16(), **EXACT)


def test_the_hub_is_asked_for_numbers_only_at_the_pinned_commit(monkeypatch):
    asked = {}

    def snapshot_download(name, *, revision, allow_patterns):
        asked[name] = revision, allow_patterns
        return golden_models.GOLDEN / "ouro-a"

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    zoo.load("ByteDance/Ouro-1.4B")
    zoo.load("ByteDance/Ouro-2.6B", revision="abc")
    assert asked["ByteDance/Ouro-1.4B"][0] == zoo.PINNED["ByteDance/Ouro-1.4B"]
    assert asked["ByteDance/Ouro-2.6B"] == ("abc", ["*.json", "*.safetensors"])


def test_without_a_network_the_message_says_what_to_do(monkeypatch):
    def offline(name, **_):
        raise errors.LocalEntryNotFoundError("no network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(ConnectionError, match=r"hf download tomg-group-umd/huginn-0125 --revision"):
        zoo.load("tomg-group-umd/huginn-0125")


def test_sources_that_are_neither_folder_nor_hub_id(tmp_path):
    with pytest.raises(ValueError, match="no folder"):
        zoo.load(tmp_path / "absent")
    with pytest.raises(ValueError, match="no folder"):
        zoo.load("ouro")
    with pytest.raises(ValueError, match="is a file"):
        zoo.load(golden_models.GOLDEN / "ouro-a" / "config.json")
    with pytest.raises(ValueError, match="only hub models have revisions"):
        zoo.load(golden_models.GOLDEN / "ouro-a", revision="main")
