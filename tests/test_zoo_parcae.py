"""Parcae from files in its form, against its formula written out.

The formula is for one sequence, state by state, from the official tensor names alone; official
numbers of one model are in test_golden.py.
"""

import json
import math
import pickle
from dataclasses import replace
from itertools import pairwise

import huggingface_hub
import pytest
import torch
import torch.nn.functional as F
from rounding import LAYER, assert_rounds_to
from safetensors.torch import save_file
from torch.testing import assert_close

from looplab import LoopedConfig, LoopedTransformer, cli, generate, measure, trace, zoo
from looplab.generation import ExitRule
from looplab.model import Cache
from looplab.streaming import stream

TOLERANCE = {"rtol": 0, "atol": 2e-4}  # a requirement: parity with the formula
WIDTH, HEADS, HIDDEN, VOCAB = 64, 4, 80, 29
CONFIG = {
    "_class_name": "ParcaeConfig",
    "block_size": 32,
    "n_embd": WIDTH,
    "intermediate_size": HIDDEN,
    "num_attention_heads": HEADS,
    "num_key_value_heads": HEADS,
    "vocab_size": VOCAB,
    "padded_vocab_size": VOCAB,
    "rope_settings": {"use_rope": True, "rope_condense_ratio": 1, "rope_base": 5000},
    "block_class_name": "TransformerPreNormBlock",
    "norm_eps": 2e-3,
    "mlp_class_name": "BaseMLP",
    "nonlin_name": "ReLU2",
    "bias": False,
    "qk_bias": False,
    "qk_norm": True,
    "clip_qkv": None,
    "init_strategy": "scaled-zero",
    "injection_type": "diagonal",
    "n_layers_in_prelude": 2,
    "n_layers_in_recurrent_block": 2,
    "n_layers_in_coda": 2,
    "recurrent_embedding_dimension": WIDTH,
    "recurrent_intermediation_embedding_dimension": HIDDEN,
    "state_init": "like-init",
    "prelude_norm": True,
    "mean_recurrence": 8,
    "mean_backprop_depth": 4,
    "tie_embeddings": True,
    "model_class_name": "Parcae",
}


def table(base):
    """The stored rotary table, [1, token, 1, pair, cosine or sine]."""
    size = WIDTH // HEADS
    angle = torch.arange(32)[:, None] * base ** (-torch.arange(0, size, 2) / size)
    return torch.stack((angle.cos(), angle.sin()), -1)[None, :, None]


def weights(config, seed=0):
    """Random tensors under the official names; no two norms alike."""
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape, std=0.15):
        return std * torch.randn(shape, generator=draw)

    def scale():
        return 0.4 + 1.2 * torch.rand(WIDTH, generator=draw)

    named = {"transformer.wte.weight": normal(VOCAB, WIDTH, std=0.3)}
    named["lm_head.weight"] = named["transformer.wte.weight"]
    named["freqs_cis"] = table(config["rope_settings"].get("rope_base", 50_000))
    stacks = ("prelude", "recurrent_block", "coda")
    sizes = [config[f"n_layers_in_{stack}"] for stack in stacks]
    gates = config["n_layers_in_recurrent_block"] * config["mean_backprop_depth"] - 1
    starts = (0, sizes[0], sizes[0] + sizes[1] * config["mean_recurrence"])
    for stack, size, start in zip(("prelude", "core_block", "coda"), sizes, starts, strict=True):
        for layer in range(size):
            name = f"transformer.{stack}.{layer}."
            named |= {f"{name}norm_{n}.weight": scale() for n in (1, 2)}
            for part in ("c_q", "c_k", "c_v", "c_proj"):
                named[f"{name}attn.{part}.weight"] = normal(WIDTH, WIDTH)
            named[f"{name}mlp.fc.weight"] = normal(HIDDEN, WIDTH)
            named[f"{name}mlp.proj.weight"] = normal(WIDTH, HIDDEN)
            if (start + layer) % 2 == gates % 2:
                named[f"{name}attn.ve_gate.weight"] = normal(HEADS, 32)
    for layer in range(sum(sizes)):
        if layer % 2 == (sum(sizes) - 1) % 2:
            named[f"value_embeds.{layer}.weight"] = normal(VOCAB, WIDTH, std=1.0)
    named |= {f"transformer.{name}.weight": scale() for name in ("ln_prelude", "ln_f")}
    named["transformer.C.weight"] = torch.eye(WIDTH) + normal(WIDTH, WIDTH)
    named["transformer.adapter.A_log"] = normal(WIDTH, std=0.5)
    named["transformer.adapter.dt_bias"] = normal(WIDTH, std=0.5)
    named["transformer.adapter.B"] = torch.eye(WIDTH) + normal(WIDTH, WIDTH)
    return named


def write(folder, config=CONFIG, named=None):
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    torch.save(weights(config) if named is None else named, folder / "pytorch_model.bin")
    return folder


def by_formula(config, named, ids, state, loops):
    """Core states [loop, layer, token, width] and logits [token, vocab] of ids [token]."""
    count, size = len(ids), WIDTH // HEADS

    def rms(x, name):
        return x / (x.square().mean(-1, keepdim=True) + config["norm_eps"]).sqrt() * named[name]

    def turned(x):  # [token, head, channel]: each pair of neighbours is a complex number
        speed = config["rope_settings"]["rope_base"] ** (-torch.arange(0, size, 2) / size)
        angle = torch.arange(count)[:, None] * speed
        pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous())
        pairs = pairs * torch.polar(torch.ones_like(angle), angle)[:, None]
        real = torch.view_as_real(pairs).flatten(-2)
        return real / (real.square().mean(-1, keepdim=True) + torch.finfo(real.dtype).eps).sqrt()

    def layer(x, stack, n, number):
        name = f"transformer.{stack}.{n}."
        read = rms(x, f"{name}norm_1.weight")
        q, k, v = (
            (read @ named[f"{name}attn.c_{part}.weight"].T).view(count, HEADS, size)
            for part in "qkv"
        )
        table, gate = f"value_embeds.{number}.weight", f"{name}attn.ve_gate.weight"
        if table in named and gate in named:
            opened = 2 * (read[:, :32] @ named[gate].T).sigmoid()
            v = v + opened[..., None] * named[table][ids].view(count, HEADS, size)
        scores = torch.einsum("qhc,khc->hqk", turned(q), turned(k)) / math.sqrt(size)
        scores = scores.masked_fill(torch.ones(count, count).triu(1).bool(), -math.inf)
        mixed = torch.einsum("hqk,khc->qhc", scores.softmax(-1), v).flatten(1)
        x = x + mixed @ named[f"{name}attn.c_proj.weight"].T
        inside = rms(x, f"{name}norm_2.weight") @ named[f"{name}mlp.fc.weight"].T
        return x + 0.5 * inside.relu() ** 2 @ named[f"{name}mlp.proj.weight"].T

    prelude, core, coda = (
        config[f"n_layers_in_{part}"] for part in ("prelude", "recurrent_block", "coda")
    )
    x = named["transformer.wte.weight"][ids]
    for n in range(prelude):
        x = layer(x, "prelude", n, n)
    x = rms(x, "transformer.ln_prelude.weight")
    dt = F.softplus(named["transformer.adapter.dt_bias"])
    kept = torch.exp(-dt * named["transformer.adapter.A_log"].exp())
    states = []
    for _ in range(loops):
        state = kept * state + dt * (x @ named["transformer.adapter.B"].T)
        for n in range(core):
            state = layer(state, "core_block", n, prelude + n)
            states.append(state)
    out = state @ named["transformer.C.weight"].T
    for n in range(coda):
        out = layer(out, "coda", n, prelude + core + n)
    logits = rms(out, "transformer.ln_f.weight") @ named["transformer.wte.weight"].T
    return torch.stack(states).view(loops, core, count, WIDTH), logits


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("parcae"))


@pytest.fixture(scope="module")
def model(folder):
    return zoo.load(folder)


@pytest.fixture
def tokens():
    return torch.randint(VOCAB, (2, 11), generator=torch.Generator().manual_seed(3))


def start(model, tokens):
    blank = torch.empty(*tokens.shape, WIDTH)
    return 3 * model.start(blank, torch.Generator().manual_seed(1))


ODD = {"n_layers_in_prelude": 1, "n_layers_in_recurrent_block": 3, "n_layers_in_coda": 2}


# In the second, the rules for tables and gates agree on some layers only.
@pytest.mark.filterwarnings("ignore:.*not used")
@pytest.mark.parametrize("changed", [{}, ODD, {**ODD, "mean_recurrence": 5}], ids=str)
@pytest.mark.parametrize("loops", [4, 7])
def test_states_and_logits_follow_the_formula(changed, loops, tmp_path, tokens):
    config = {**CONFIG, **changed}
    model = zoo.load(write(tmp_path / "model", config))
    state, named = start(model, tokens), weights(config)
    run = trace(model, tokens, loops, state=state)
    for row, ids in enumerate(tokens):
        states, logits = by_formula(config, named, ids, state[row], loops)
        assert_close(run.states[:, :, row], states, **TOLERANCE)
        assert_close(run.logits[row], logits, **TOLERANCE)


def test_which_layers_embed_values(model, tmp_path):
    assert model.config.notation == "(2, 2⊗8, 2)_I"
    assert model.config.value_layers == (1, 3, 5)
    odd = {**CONFIG, **ODD, "mean_recurrence": 5}  # the coda's gates are at 16 and 17
    assert zoo.load(write(tmp_path / "odd", odd)).config.value_layers == (1, 3, 5)
    even = {**CONFIG, **ODD}  # at 25 and 26: only the first has one, and no table
    with pytest.warns(UserWarning, match=r"not used: .*coda\.0\.attn\.ve_gate.*value_embeds\.5"):
        model = zoo.load(write(tmp_path / "even", even))
    assert model.config.value_layers == (1, 3)


def test_cached_equals_uncached(model, tokens):
    state = start(model, tokens)
    whole = model(tokens, 6, state=state).logits
    for sizes in ([1] * 11, [4, 1, 5, 1]):
        cache, ends = Cache(model, 2, 6), [0, *torch.tensor(sizes).cumsum(0).tolist()]
        with torch.no_grad():
            parts = [
                model(tokens[:, a:b], 6, state=state[:, a:b], cache=cache).logits
                for a, b in pairwise(ends)
            ]
        assert_rounds_to(torch.cat(parts, 1), whole, sums=LAYER * (2 + 2 * 6 + 2))


def test_generation_knows_its_tokens_whoever_leaves_the_loop(model, tokens):
    still = LoopedTransformer(replace(model.config, start="zeros")).eval()
    still.load_state_dict(model.state_dict())
    written = generate(still, tokens[:, :4], 6).tokens
    for at in range(4, 10):
        assert torch.equal(written[:, at], still(written[:, :at]).logits[:, -1].argmax(-1))
    rule = ExitRule("step", 0.06)
    both = generate(still, tokens[:, :4], 6, exit=rule)
    assert both.loops[:, 1:].unique().numel() > 1
    for row in (0, 1):  # rows leave at different loops, and each is what it is alone
        alone = generate(still, tokens[row : row + 1, :4], 6, exit=rule)
        assert torch.equal(alone.tokens[0], both.tokens[row])
        assert torch.equal(alone.loops[0], both.loops[row])


def test_the_lens_and_streaming_agree_with_the_run(model, tokens):
    state = start(model, tokens)
    run = trace(model, tokens, 5, state=state)
    assert_close(model.readout(run.loop_ends, tokens)[-1], run.logits)
    with pytest.raises(ValueError, match="give tokens= too"):
        model.readout(run.loop_ends)
    with pytest.raises(ValueError, match="give tokens= too"):
        model.step(state, run.input)
    streamed = stream(model, tokens, 5, state=state)
    longest = run.states.norm(dim=-1).max().item()  # a step is what is left of two states
    assert_rounds_to(streamed.step, measure.step_size(run.states), LAYER * (2 + 2 * 5), longest)


def test_half_precision_stays_near(folder, model, tokens):
    state = start(model, tokens)
    logits = zoo.load(folder, dtype=torch.bfloat16)(tokens, 4, state=state).logits
    exact = model(tokens, 4, state=state).logits
    assert logits.dtype == torch.bfloat16
    assert (logits.float() - exact).norm() / exact.norm() < 0.05


def test_safetensors_and_bin_give_the_same_model(model, tmp_path):
    named = {name: value.clone() for name, value in weights(CONFIG).items()}
    write(tmp_path)
    (tmp_path / "pytorch_model.bin").unlink()
    save_file(named, tmp_path / "model.safetensors")
    assert_close(zoo.load(tmp_path).state_dict(), model.state_dict(), rtol=0, atol=0)


def test_the_model_does_not_depend_on_its_file(tmp_path):
    model = zoo.load(write(tmp_path))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(bytes(path.stat().st_size))
    assert_close(model.state_dict(), before, rtol=0, atol=0)


def test_what_is_not_known_is_passed_over_and_named(tmp_path, model):
    named = weights(CONFIG) | {"optimizer.step": torch.zeros(1)}
    with pytest.warns(UserWarning, match=r"tensors that are not used: optimizer\.step"):
        again = zoo.load(write(tmp_path, named=named))
    assert_close(again.state_dict(), model.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize(
    "name", ["transformer.C.weight", "value_embeds.3.weight", "transformer.coda.1.attn.c_k.weight"]
)
def test_what_is_missing_is_an_error(tmp_path, name):
    named = weights(CONFIG)
    del named[name]
    with pytest.raises(ValueError, match=f"no tensor {name}"):
        zoo.load(write(tmp_path, named=named))


@pytest.mark.parametrize(
    ("stored", "told"),
    [
        (table(50_000), "looks like base 50000, and config.json says 5000"),
        (table(5000)[..., :4, :], r"freqs_cis has shape \(1, 32, 1, 4, 2\)"),
        (torch.zeros(1, 32, 1, 8, 2), "no table of one base"),
        (torch.tensor(1.0), r"freqs_cis has shape \(\)"),
        (table(5000).int(), "freqs_cis is stored as"),
    ],
)
def test_a_stored_table_that_is_not_the_configs_is_refused(stored, told, tmp_path):
    named = weights(CONFIG) | {"freqs_cis": stored}
    with pytest.raises(ValueError, match=told):
        zoo.load(write(tmp_path, named=named))


def test_a_table_may_be_rounded_or_missing(tmp_path, model):
    for number, stored in enumerate(({"freqs_cis": table(5000).bfloat16()}, {})):
        named = {name: value for name, value in weights(CONFIG).items() if name != "freqs_cis"}
        again = zoo.load(write(tmp_path / str(number), named=named | stored))
        assert_close(again.state_dict(), model.state_dict(), rtol=0, atol=0)


def test_a_wrong_shape_is_an_error(tmp_path):
    named = weights(CONFIG) | {"transformer.adapter.A_log": torch.zeros(3)}
    with pytest.raises(ValueError, match=r"pytorch_model\.bin: transformer\.adapter\.A_log has"):
        zoo.load(write(tmp_path, named=named))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("logit_softcap", 30.0),
        ("injection_type", "linear"),
        ("num_key_value_heads", 2),
        ("nonlin_name", "GELU"),
        ("rope_settings", {"use_rope": True, "rope_condense_ratio": 2}),
        ("recurrent_embedding_dimension", 128),
    ],
)
def test_a_variant_that_we_do_not_have(tmp_path, key, value):
    with pytest.raises(ValueError, match="looplab has this family only with"):
        zoo.load(write(tmp_path, {**CONFIG, key: value}))


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("how", ["pickled", "saved by torch", "among tensors"])
def test_a_pickle_that_would_run_something_runs_nothing(tmp_path, how):
    touched, path = tmp_path / "touched", tmp_path / "pytorch_model.bin"
    write(tmp_path)
    if how == "pickled":
        path.write_bytes(pickle.dumps(Bomb(touched)))
    elif how == "saved by torch":
        torch.save(Bomb(touched), path)
    else:
        torch.save(weights(CONFIG) | {"more": Bomb(touched)}, path)
    with pytest.raises(ValueError, match=r"pytorch_model\.bin is damaged, or asks for more"):
        zoo.load(tmp_path)
    assert not touched.exists()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_bin_cut_short(tmp_path, share):
    path = write(tmp_path) / "pytorch_model.bin"
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ValueError, match=r"pytorch_model\.bin is damaged"):
        zoo.load(tmp_path)


@pytest.mark.parametrize("what", [[1], {"a": 1}, {"a": torch.eye(2).to_sparse()}, torch.ones(2)])
def test_a_bin_of_something_else(tmp_path, what):
    torch.save(what, write(tmp_path) / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"pytorch_model\.bin.* expected (a )?tensor"):
        zoo.load(tmp_path)


def test_the_hub_is_asked_for_the_bin_of_parcae_alone(monkeypatch, folder):
    asked = {}

    def snapshot_download(name, *, revision, allow_patterns):
        asked[name] = revision, allow_patterns
        return folder

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    zoo.load("SandyResearch/parcae-370m")
    revision, patterns = asked["SandyResearch/parcae-370m"]
    assert revision == zoo.PINNED["SandyResearch/parcae-370m"]
    assert patterns == ["*.json", "*.safetensors", "pytorch_model.bin"]


def test_verify_reads_it_too(folder, capsys):
    assert cli.main(["verify", str(folder)]) == 3  # no text and no stored logits
    told = capsys.readouterr().out
    assert "Parcae, (2, 2⊗8, 2)_I" in told and "pytorch_model.bin" not in told


def test_its_parts_may_stand_alone():
    config = LoopedConfig(
        vocab=9, width=32, core=2, value_layers=[1], qk_norm="rotated", state_out=True
    )
    assert LoopedConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    torch.manual_seed(0)
    model, tokens = LoopedTransformer(config), torch.tensor([[1, 2, 3]])
    assert_close(model.unrolled()(tokens).logits, model(tokens).logits)
    for values, said in (({"value_layers": (2,)}, "layers 0 to 1"), ({"width": 16}, "32 channels")):
        with pytest.raises(ValueError, match=said):
            LoopedConfig(**{**config.to_dict(), **values})
