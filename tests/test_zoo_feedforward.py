"""Models that were never looped: transformers' own Llama and OLMo-2, saved by it, loaded by us."""

import pytest
import torch
from rounding import LAYER, assert_rounds_to

from looplab import trace, zoo
from looplab.model.layers import Visit

SIZES = {
    "vocab_size": 37,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": None,
    "rms_norm_eps": 2e-3,
}
DEPTH = LAYER * SIZES["num_hidden_layers"]  # sums in a row
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10_000.0,
    "factor": 32.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
MODELS = {
    "TinyLlama": ("Llama", SIZES),
    "Llama-3.2": (
        "Llama",
        {**SIZES, "head_dim": 12, "tie_word_embeddings": True, "rope_parameters": LLAMA3},
    ),
    "OLMo-2": ("Olmo2", SIZES),
}


def random_model(name):
    """An official tiny model in which no two norms are alike."""
    import transformers  # slow to import: for the core that runs this file alone

    torch.manual_seed(0)
    family, settings = MODELS[name]
    config = getattr(transformers, f"{family}Config")(**settings)
    config._attn_implementation = "eager"
    model = getattr(transformers, f"{family}ForCausalLM")(config).eval().requires_grad_(False)
    for key, value in model.named_parameters():
        if "norm" in key:
            value.uniform_(0.4, 1.6)
        else:
            value.normal_(std=0.15)
    return model


@pytest.fixture(scope="module", params=MODELS)
def pair(request, tmp_path_factory):
    official = random_model(request.param)
    folder = tmp_path_factory.mktemp(request.param)
    official.save_pretrained(folder)
    return official, zoo.load(folder), torch.randint(37, (2, 11))


def test_hidden_states_and_logits_are_those_of_transformers(pair):
    official, model, tokens = pair
    wanted = official(tokens, output_hidden_states=True)
    run = trace(model, tokens)
    assert model.config.loops == 1
    assert torch.equal(run.start, wanted.hidden_states[0])
    # transformers' last entry has been through the final norm already
    assert_rounds_to(run.states[0, :-1], torch.stack(wanted.hidden_states[1:-1]), sums=DEPTH)
    assert_rounds_to(model.norm(run.states[0, -1]), wanted.hidden_states[-1], sums=DEPTH)
    assert_rounds_to(run.logits, wanted.logits, sums=DEPTH)


def test_a_tied_head_is_one_matrix(pair):
    official, model, _ = pair
    tied = official.config.tie_word_embeddings
    assert (model.head.weight is model.embed[0].weight) == tied
    assert sum(p.numel() for p in model.parameters()) == official.num_parameters()


@pytest.mark.parametrize("old_key", ["rope_type", "type"])
def test_config_keys_of_older_transformers(tmp_path, old_key):
    official = random_model("Llama-3.2")
    official.save_pretrained(tmp_path)
    said = zoo.files.read_json(tmp_path / "config.json")
    scaling = said.pop("rope_parameters")
    said["rope_theta"] = scaling.pop("rope_theta")
    scaling[old_key] = scaling.pop("rope_type")
    said["rope_scaling"] = scaling
    (tmp_path / "config.json").write_text(zoo.files.json.dumps(said))
    tokens = torch.randint(37, (2, 11))
    assert_rounds_to(zoo.load(tmp_path)(tokens).logits, official(tokens).logits, sums=DEPTH)


def test_naive_looping_runs_the_window_again_and_again(pair):
    _, model, tokens = pair
    looped = zoo.loopify(model, 2, 4, loops=3, damped=False)
    state = model.embed[0](tokens)
    context = model.context(tokens.shape[1])
    layers = model.cores[0].layers
    for layer in [0, 1, 2, 3, 2, 3, 2, 3, 4, 5]:
        state = layers[layer](state, Visit(context, "core", 0, layer, None))
    assert_rounds_to(looped(tokens).logits, model.head(model.norm(state)), sums=LAYER * 10)
    assert looped.config.notation == "(2, 2⊗3, 2)"


def test_damped_looping_takes_shares_of_the_windows_step(pair):
    _, model, tokens = pair
    run = trace(zoo.loopify(model, 2, 4, loops=3), tokens)
    before = run.prelude[-1]
    for loop in range(3):
        after = run.states[loop, -1]
        assert_rounds_to(run.loop_ends[loop], before + (after - before) / 3, sums=LAYER)
        before = run.loop_ends[loop]


@pytest.mark.parametrize("damped", [False, True])
@pytest.mark.parametrize("window", [(0, 6), (0, 2), (3, 6), (2, 3)])
def test_one_loop_is_the_model_itself_without_new_weights(pair, damped, window):
    _, model, tokens = pair
    looped = zoo.loopify(model, *window, loops=1, damped=damped)
    assert_rounds_to(looped(tokens).logits, model(tokens).logits, sums=DEPTH)
    ours = {p.data_ptr() for p in looped.parameters()}
    assert ours == {p.data_ptr() for p in model.parameters()}


def test_damped_looping_cannot_be_rotated_and_has_an_unrolled_twin(pair):
    _, model, tokens = pair
    looped = zoo.loopify(model, 2, 4, loops=3)
    x = looped.encode(tokens)
    with pytest.raises(ValueError, match="rotated"):
        looped.step(x, x, first_layer=1)
    with pytest.raises(ValueError, match="stride"):
        looped.core_parts(x)
    assert torch.equal(looped.unrolled()(tokens).logits, looped(tokens).logits)


def window(model, state, layers):
    """These layers of a one-loop model, one after the other."""
    context = model.context(state.shape[1])
    for layer in layers:
        state = model.cores[0].layers[layer](state, Visit(context, "core", 0, layer, None))
    return state


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_an_injected_loop_reads_its_share_of_state_and_input(pair, share):
    _, model, tokens = pair
    looped = zoo.loopify(model, 2, 4, loops=3, injection=share)
    assert looped.config.notation == "(2, 2⊗3, 2)_I"
    x = z = window(model, model.embed[0](tokens), [0, 1])
    for _ in range(3):
        z = window(model, share * z + (1 - share) * x, [2, 3])
    wanted = model.head(model.norm(window(model, z, [4, 5])))
    assert_rounds_to(looped(tokens).logits, wanted, sums=LAYER * 10)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_one_injected_loop_is_the_model_itself(pair, share):
    _, model, tokens = pair
    looped = zoo.loopify(model, 1, 5, loops=1, injection=share)
    assert_rounds_to(looped(tokens).logits, model(tokens).logits, sums=DEPTH)


@pytest.mark.parametrize("injection", [None, 0.3])
def test_dropped_layers_are_left_out(pair, injection):
    _, model, tokens = pair
    looped = zoo.loopify(model, 1, 3, loops=1, injection=injection, drop=2)
    wanted = window(model, model.embed[0](tokens), [0, 1, 2, 5])
    assert_rounds_to(looped(tokens).logits, model.head(model.norm(wanted)), sums=DEPTH)
    assert looped.config.notation.startswith("(1, 2⊗1, 1)")
    assert zoo.loopify(model, 1, 3, loops=1, drop=3).config.coda == 0


@pytest.mark.parametrize("how", [{"injection": 0.3}, {"injection": 0.3, "drop": 1}, {}])
def test_a_loopified_model_is_written_and_read_again(pair, how, tmp_path):
    _, model, tokens = pair
    looped = zoo.loopify(model, 2, 4, loops=3, **how)
    again = zoo.load(zoo.export(looped, tmp_path / "looped", "looplab"))
    assert again.config == looped.config
    for loops in (1, 3, 5):
        assert torch.equal(again(tokens, loops).logits, looped(tokens, loops).logits)


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"injection": 1.5}, r"injection=1\.5: expected the state's share, from 0 to 1"),
        ({"injection": float("nan")}, "injection=nan"),
        ({"injection": 0.3, "damped": True}, "not damped besides"),
        ({"drop": 3}, "drop=3: expected 0 to 2 layers behind 3"),
        ({"drop": -1}, "drop=-1"),
    ],
)
def test_loopify_names_a_wrong_share_or_too_many_dropped(pair, how, told):
    with pytest.raises(ValueError, match=told):
        zoo.loopify(pair[1], 2, 4, loops=2, **how)


def test_loopify_names_what_does_not_fit(pair):
    _, model, _ = pair
    with pytest.raises(ValueError, match="window 4 to 9"):
        zoo.loopify(model, 4, 9, loops=2)
    with pytest.raises(ValueError, match="expected a feedforward"):
        zoo.loopify(zoo.loopify(model, 2, 4, loops=2), 0, 1, loops=2)
