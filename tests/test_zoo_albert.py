"""ALBERT: transformers' own class, in its files of today and of old; what its answers are not."""

import json

import golden_models
import pytest
import torch
from rounding import LAYER, assert_rounds_to
from safetensors.torch import load_file
from torch.testing import assert_close

from looplab import LoopedConfig, LoopedTransformer, cli, generate, trace, zoo
from looplab.experiments.layerwise import by_layer, loop_run
from looplab.model import Cache
from looplab.streaming import stream

TOLERANCE = {"rtol": 0, "atol": 2e-4}  # a requirement: parity with the official code
SIZES = {
    "vocab_size": 41,
    "embedding_size": 12,
    "hidden_size": 32,
    "num_hidden_layers": 5,
    "inner_group_num": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 20,
    "type_vocab_size": 3,
    "layer_norm_eps": 2e-3,
}
TOKENS = torch.randint(41, (3, 9), generator=torch.Generator().manual_seed(3))


def official(pretraining=False, **changed):
    """transformers' tiny model with weights of which no two are alike."""
    import transformers

    torch.manual_seed(1)
    config = transformers.AlbertConfig(**SIZES | changed)
    config._attn_implementation = "eager"
    kind = "AlbertForPreTraining" if pretraining else "AlbertForMaskedLM"
    model = getattr(transformers, kind)(config).eval().requires_grad_(False)
    for name, value in model.named_parameters():
        value.copy_(0.3 * torch.randn_like(value) + ("LayerNorm.weight" in name))
    return model


@pytest.mark.parametrize("loops", [4, 7])
def test_every_state_and_the_logits_are_the_official_ones(loops):
    model, tokens, expected = golden_models.load("albert-a")
    wanted = golden_models.official(expected, loops)
    seen = {"embed": [], "core.resid_mid": []}
    run = trace(
        model,
        tokens,
        loops,
        tap=lambda site, value: seen[site.name].append(value) if site.name in seen else None,
    )
    assert_close(seen["embed"][0], expected["embedding"], **TOLERANCE)
    assert_close(run.start, expected["initial_state"], **TOLERANCE)
    assert_close(
        torch.stack(seen["core.resid_mid"])[:, None], wanted["attention_normed"], **TOLERANCE
    )
    assert_close(run.states, wanted["core_hidden"], **TOLERANCE)
    assert_close(model.norm(run.states[-1, -1]), wanted["final_norm"], **TOLERANCE)
    assert_close(run.logits, wanted["logits"], **TOLERANCE)


@pytest.mark.parametrize("changed", [{}, {"hidden_act": "gelu", "inner_group_num": 1}])
def test_states_patterns_and_logits_are_those_of_transformers(changed, tmp_path):
    theirs = official(**changed)
    theirs.save_pretrained(tmp_path)
    ours = zoo.load(tmp_path)
    mask = torch.ones(3, 9, dtype=torch.long)
    mask[1, 6:], mask[2, :2] = 0, 0
    read = {
        "input_ids": TOKENS,
        "attention_mask": mask,
        "token_type_ids": torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 0]).expand(3, 9),
    }
    wanted = theirs(**read, output_hidden_states=True, output_attentions=True)
    run = trace(ours, read, keep=("states", "attention"))
    real = mask.bool()
    layers = LAYER * 10
    states = torch.cat((run.start[None], run.states.flatten(0, 1)))
    assert_rounds_to(states[:, real], torch.stack(wanted.hidden_states)[:, real], sums=layers)
    assert_rounds_to(run.logits[real], wanted.logits[real], sums=layers)
    patterns = run.attention.flatten(0, 1).transpose(2, 3)  # [visit, batch, token, head, token]
    theirs = torch.stack(wanted.attentions).transpose(2, 3)
    assert_rounds_to(patterns[:, real], theirs[:, real], sums=layers)
    few = stream(ours, {name: value[:1] for name, value in read.items()})
    assert_rounds_to(few.norm, run.states[:, :, :1].norm(dim=-1), sums=layers)


def old_folder(folder, change=lambda weights: None):
    """What an older transformers wrote: a pickle, with every head and both names of tied ones."""
    theirs = official(pretraining=True)
    theirs.save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    weights["predictions.decoder.weight"] = weights["albert.embeddings.word_embeddings.weight"]
    weights["predictions.decoder.bias"] = weights["predictions.bias"]
    weights["albert.embeddings.position_ids"] = torch.arange(20)[None]
    change(weights)
    torch.save(weights, folder / "pytorch_model.bin")
    said = json.loads((folder / "config.json").read_text())
    for key in ("tie_word_embeddings", "dtype"):
        said.pop(key)
    said |= {"down_scale_factor": 1, "gap_size": 0, "net_structure_type": 0, "num_memory_blocks": 0}
    (folder / "config.json").write_text(json.dumps(said))
    return theirs


def test_older_files_with_more_heads_are_read_and_other_copies_refused(tmp_path):
    theirs = old_folder(tmp_path / "old")
    logits = zoo.load(tmp_path / "old")(TOKENS).logits
    assert_rounds_to(logits, theirs(TOKENS).prediction_logits, sums=10 * LAYER)
    other = torch.zeros(41)
    old_folder(
        tmp_path / "other", lambda weights: weights.update({"predictions.decoder.bias": other})
    )
    with pytest.raises(ValueError, match=r"decoder\.bias that differs from predictions\.bias"):
        zoo.load(tmp_path / "other")


def words(folder):
    """A tokenizer in the form that the hub has ALBERT's in: [CLS] text [SEP]."""
    import transformers

    pieces = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]", "\u2581the", "\u2581cat", "\u2581sat"]
    made = transformers.AlbertTokenizer(vocab=[(piece, -1.0) for piece in pieces])
    made.save_pretrained(folder)


def test_a_text_is_read_with_the_models_own_tokenizer(tmp_path, capsys):
    official().save_pretrained(tmp_path)
    words(tmp_path)
    model = zoo.load(tmp_path)
    assert model.read("the cat sat")[0].tolist() == [[2, 5, 6, 7, 3]]
    two = zoo.tokenizer(tmp_path)("the cat", "sat", return_token_type_ids=True, return_tensors="pt")
    assert two["token_type_ids"].tolist() == [[0, 0, 0, 0, 1, 1]]
    assert not torch.equal(model(two).logits, model(two["input_ids"]).logits)
    cli.main(["verify", str(tmp_path), "--text", "the cat sat the cat"])
    told = capsys.readouterr().out
    assert "every token sees later ones" in told and "cached" not in told
    assert "text is no surprise" in told and "FAILED       finite" not in told


def test_what_needs_a_next_token_says_that_there_is_none():
    model, tokens, _ = golden_models.load("albert-a")
    for needs in (
        lambda: generate(model, tokens),
        lambda: by_layer(model, tokens, {}),
        lambda: loop_run(model, None, None, "a text"),
    ):
        with pytest.raises(ValueError, match="fills in hidden tokens"):
            needs()
    with pytest.raises(ValueError, match="look ahead"):
        Cache(model)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"tokens": torch.zeros(1, 17, dtype=torch.long)}, "17 tokens.*16 positions"),
        ({"types": [[0, 2, 0]]}, "token type 2: this model knows 0 to 1"),
        ({"types": [[0, 1]]}, "types have shape"),
        ({"types": [[0, 0.5, 0]]}, "token type 0.5: expected whole numbers"),
    ],
)
def test_what_it_cannot_read_is_named(given, told):
    model, _, _ = golden_models.load("albert-a")
    with pytest.raises(ValueError, match=told):
        model(**{"tokens": torch.tensor([[1, 2, 3]])} | given)


def test_a_model_without_types_says_so():
    model = LoopedTransformer(LoopedConfig(vocab=9, width=16))
    read = {"input_ids": [[1, 2]], "token_type_ids": [[0, 0]]}
    assert model(read).logits.shape == (1, 2, 9)
    with pytest.raises(ValueError, match="token type 1: this model knows none"):
        model(read | {"token_type_ids": [[0, 1]]})


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"num_hidden_groups": 2}, "num_hidden_groups=2: looplab has this family only with 1"),
        ({"hidden_act": "gelu_10"}, "hidden_act='gelu_10'"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings=False"),
        ({"architectures": ["AlbertModel"]}, "another class"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type"),
    ],
)
def test_another_albert_is_refused_by_name(said, told, tmp_path):
    folder = golden_models.copy("albert-a", tmp_path / "albert")
    config = json.loads((folder / "config.json").read_text()) | said
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=told):
        zoo.load(folder)
