"""HRM-Text against official numbers and transformers' own class: both levels, and the prefix."""

import json

import golden_models
import pytest
import torch
from rounding import LAYER, assert_rounds_to
from torch.testing import assert_close

from looplab import LoopedConfig, generate, measure, trace, zoo
from looplab.model import Cache
from looplab.streaming import stream

TOLERANCE = {"rtol": 0, "atol": 2e-4}  # a requirement: parity with the official code
TOKENS = torch.randint(41, (3, 9), generator=torch.Generator().manual_seed(3))
TYPES = torch.tensor([[1, 1, 1, 1, 0, 0, 0, 0, 0], [0] * 9, [0, 0, 1, 1, 1, 1, 0, 0, 0]])


@pytest.fixture(scope="module")
def golden():
    return golden_models.load("hrm-text-a")


@pytest.mark.parametrize("loops", [2, 4, 7])
def test_both_levels_and_the_logits_are_the_official_ones(golden, loops):
    model, tokens, expected = golden
    wanted, config = golden_models.official(expected, loops), model.config
    embedded = []
    run = trace(
        model,
        tokens,
        loops,
        tap=lambda site, value: embedded.append(value) if site.name == "embed" else None,
    )
    assert_close(embedded[0], expected["embedding"], **TOLERANCE)
    assert_close(run.start[..., config.width :], expected["initial_state"], **TOLERANCE)
    runs = run.states.unflatten(1, (config.low_cycles + 1, config.stack))
    high, low = run.loop_ends.chunk(2, dim=-1)
    assert_close(high, wanted["z_H"], **TOLERANCE)
    if "z_L" in wanted:
        assert_close(low, wanted["z_L"][:, -1], **TOLERANCE)
        assert_close(runs[:, -1], wanted["H_hidden"], **TOLERANCE)
    if "L_hidden" in wanted:
        assert_close(runs[:, :-1], wanted["L_hidden"], **TOLERANCE)
    assert_close(run.logits, wanted["logits"], **TOLERANCE)
    for states in (run.loop_ends, high):  # each cycle's answer
        assert_close(model.readout(states)[-1], wanted["logits"], **TOLERANCE)


def test_the_prefix_is_the_official_one_however_it_is_given(golden):
    model, tokens, expected = golden
    types = expected["token_type_ids"]
    read = {"input_ids": tokens, "token_type_ids": types}
    run = trace(model, tokens, 2, types=types)
    assert_close(run.logits, expected["prefix.r2.logits"], **TOLERANCE)
    assert_close(run.loop_ends.chunk(2, -1)[0], expected["prefix.r2.z_H"], **TOLERANCE)
    assert_close(model(read, 2).logits, run.logits, **TOLERANCE)
    assert_close(stream(model, read, 2).norm, run.states.norm(dim=-1), **TOLERANCE)
    first = generate(model, read, new=3, loops=2).tokens
    assert torch.equal(first[:, 11], run.logits[:, -1].argmax(-1))


def official(**changed):
    """transformers' tiny model with weights of which no two are alike."""
    import transformers

    torch.manual_seed(1)
    sizes = {
        "vocab_size": 41,
        "hidden_size": 24,
        "intermediate_size": 40,
        "num_hidden_layers": 3,
        "num_attention_heads": 3,
        "head_dim": 10,
        "H_cycles": 3,
        "L_cycles": 1,
        "rms_norm_eps": 2e-3,
    }
    config = transformers.HrmTextConfig(**sizes | changed)
    model = transformers.HrmTextForCausalLM(config).eval().requires_grad_(False)
    for value in model.parameters():
        value.copy_(0.2 * torch.randn_like(value))
    return model


@pytest.mark.parametrize("changed", [{}, {"tie_word_embeddings": True, "hidden_act": "gelu"}])
def test_padding_and_prefixes_are_those_of_transformers(changed, tmp_path):
    theirs = official(**changed)
    theirs.save_pretrained(tmp_path)
    ours = zoo.load(tmp_path)
    assert ours.config.embed_scale == pytest.approx(50)  # 1 / initializer_range
    mask = torch.ones(3, 9, dtype=torch.bool)
    mask[1, 7:] = False
    read = {"input_ids": TOKENS, "attention_mask": mask.long(), "token_type_ids": TYPES}
    wanted = theirs(**read, use_cache=False).logits
    assert_rounds_to(ours(read).logits[mask], wanted[mask], sums=18 * LAYER)


def test_a_prefix_goes_into_a_cache_at_once_and_first(golden):
    model, tokens, expected = golden
    types, cache, parts = expected["token_type_ids"], Cache(model, 2, 2), []
    cut = 8  # both prefixes end before
    assert not types[:, cut:].any()
    with torch.no_grad():
        parts.append(model(tokens[:, :cut], 2, types=types[:, :cut], cache=cache).logits)
        for at in range(cut, 11):
            parts.append(model(tokens[:, at : at + 1], 2, cache=cache).logits)
        with pytest.raises(ValueError, match="prefix behind 11 tokens"):
            model(tokens[:, :2], 2, types=[[1, 1]] * 2, cache=cache)
    assert_close(torch.cat(parts, 1), expected["prefix.r2.logits"], **TOLERANCE)


@torch.no_grad()
def test_padding_is_no_part_of_a_prefix_in_a_cache_either(golden):
    model, tokens, _ = golden
    mask = torch.ones(2, 6, dtype=torch.bool)
    mask[0, :2] = False
    types = torch.tensor([[1, 1, 1, 1, 1, 0]]).expand(2, 6)  # the padding's too
    told = model(tokens[:, :6], 2, types=types, cache=Cache(model, 2, 2, mask=mask)).logits
    alone = model(tokens[:1, 2:6], 2, types=types[:1, 2:]).logits
    assert_close(told[:1, 2:], alone, **TOLERANCE)


def test_loops_go_on_from_both_levels(golden):
    model, tokens, _ = golden
    once = model(tokens, 2).state
    assert_close(model(tokens, 2, state=once).logits, model(tokens, 4).logits, rtol=0, atol=0)
    with pytest.raises(ValueError, match=r"state has shape \(2, 11, 31\)"):
        model(tokens, 2, state=once[..., :31])
    for needs in (lambda: model.core_parts(model.encode(tokens)), lambda: _rotated(model, tokens)):
        with pytest.raises(ValueError, match="runs a loop inside"):
            needs()


def _rotated(model, tokens):
    ready = model.prepare(tokens)
    return model.step(ready.start, ready, first_layer=1)


def test_the_instruments_of_stability_take_both_levels(golden):
    model, tokens, _ = golden
    ready = model.prepare(tokens[:1])
    step = measure.stability.loop_map(model, tokens[:1])
    assert_close(step(ready.start), model(tokens[:1], 1).state, **TOLERANCE)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"hidden_act": "tanh"}, "hidden_act='tanh'"),
        ({"attention_bias": True}, "attention_bias=True"),
        ({"L_cycles": 0}, "L_cycles=0"),
        ({"num_layers_per_stack": 3}, "layers.2.attn.gqkv_proj.weight"),
        ({"architectures": ["HrmForPuzzles"]}, "another class"),
    ],
)
def test_another_hrm_is_refused_by_name(said, told, tmp_path):
    folder = golden_models.copy("hrm-text-a", tmp_path / "hrm")
    config = json.loads((folder / "config.json").read_text()) | said
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=told):
        zoo.load(folder)


def test_older_configs_count_the_layers_of_a_stack(tmp_path, golden):
    folder = golden_models.copy("hrm-text-a", tmp_path / "hrm")
    config = json.loads((folder / "config.json").read_text())
    config |= {"num_layers_per_stack": None, "num_hidden_layers": 2}
    (folder / "config.json").write_text(json.dumps(config))
    assert zoo.load(folder).config == golden[0].config


def test_settings_that_contradict_each_other():
    for settings in (
        {"low_cycles": 3, "core": 6},
        {"low_cycles": 1, "core": 2, "injection": "add"},
        {"prefix_lm": True, "attention": "full"},
    ):
        with pytest.raises(ValueError, match=next(iter(settings))):
            LoopedConfig(vocab=9, **settings)
