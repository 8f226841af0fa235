"""looped-fineweb-10m as it is described: its formula written out; no file of it was ever seen."""

import json
import pickle

import pytest
import torch
from rounding import LAYER, assert_rounds_to
from test_zoo_damaged import Bomb

from looplab import zoo

CONFIG = {
    "architectures": ["LoopedForCausalLM"],
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 6,
    "vocab_size": 29,
    "rms_norm_eps": 2e-3,
    "rope_theta": 500.0,
    "num_loops": 3,
    "tie_word_embeddings": True,
}
TOKENS = torch.randint(29, (2, 7), generator=torch.Generator().manual_seed(3))


def qwen3():
    """transformers' own two layers, with weights of which no two are alike."""
    import transformers

    torch.manual_seed(0)
    sizes = {
        key: value for key, value in CONFIG.items() if key not in ("architectures", "num_loops")
    }
    model = transformers.Qwen3ForCausalLM(transformers.Qwen3Config(**sizes))
    model = model.eval().requires_grad_(False)
    for name, value in model.named_parameters():
        value.copy_(0.2 * torch.randn_like(value) + ("norm" in name))
    return model


def written(folder, model, **said):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG | said))
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    return folder


def test_it_computes_what_the_description_says(tmp_path):
    theirs = qwen3()
    with pytest.warns(UserWarning, match="read from a description"):
        ours = zoo.load(written(tmp_path / "model", theirs))
    e = theirs.model.embed_tokens(TOKENS)
    state, rotary = torch.zeros_like(e), theirs.model.rotary_emb(e, torch.arange(7)[None])
    mask = torch.full((7, 7), float("-inf")).triu(1)[None, None]
    for _ in range(3):
        state = state + e
        for layer in theirs.model.layers:
            state = layer(state, attention_mask=mask, position_embeddings=rotary)
    wanted = theirs.lm_head(theirs.model.norm(state))
    assert ours.config.notation == "(0, 2⊗3, 0)_I"
    assert_rounds_to(ours(TOKENS).logits, wanted, sums=6 * LAYER)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"loop_gate": True}, "loop_gate=True, a setting that looplab does not know"),
        ({"n_loops": 3}, "has num_loops, n_loops: expected one of"),
        ({"model_type": "mistral"}, "model_type='mistral'"),
    ],
)
def test_another_form_is_refused_by_name(said, told, tmp_path):
    with pytest.raises(ValueError, match=told):
        zoo.load(written(tmp_path / "model", qwen3(), **said))


def test_a_pickle_of_more_than_tensors_is_refused(tmp_path):
    folder = written(tmp_path / "model", qwen3())
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(tmp_path / "touched")))
    with pytest.raises(ValueError, match=r"pytorch_model\.bin.*asks for more than tensors"):
        zoo.load(folder)
    assert not (tmp_path / "touched").exists()
