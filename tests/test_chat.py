"""From chat messages to text in one call, and a dtype by its name."""

import json
import shutil

import golden_models
import pytest
import torch
from test_trace_command import add_tokenizer

from looplab import LoopedConfig, LoopedTransformer, adapt, generate, plan, trace, zoo
from looplab.cli import main
from looplab.streaming import Stream, stream
from looplab.zoo.named import open_named

TEMPLATE = (
    "{% for m in messages %}{% if m.role not in ['user', 'assistant'] %}"
    "{{ raise_exception('no ' + m.role) }}{% endif %}{{ m.content }} {% endfor %}"
    "{% if add_generation_prompt %}c{% endif %}"
)


@pytest.fixture
def folder(tmp_path):
    to = shutil.copytree(golden_models.GOLDEN / "ouro-a", tmp_path / "talks")
    add_tokenizer(to)
    return to


def test_messages_become_text(folder):
    model = zoo.load(folder)
    with pytest.raises(ValueError, match="has no chat template.*template="):
        zoo.chat(model, "a b", folder)
    talks(folder)
    talk = [
        {"role": "user", "content": "a b"},
        {"role": "assistant", "content": "c"},
        {"role": "user", "content": "b"},
    ]
    prompt = torch.tensor([[3, 4, 5, 4, 5]])
    free = generate(model, prompt, 6).tokens[0, 5:].tolist()
    tokens = ["<s>", "</s>", "?", "a", "b", "c"]

    def words(ids):
        return " ".join(tokens[n] for n in ids if n < len(tokens))

    assert zoo.chat(model, talk, folder, 6) == words(free)
    model = zoo.load(folder)  # whose tokenizer had no template when it was first read
    assert zoo.chat(model, talk, new=6) == words(free)
    # An answer ends where generation_config.json says, at one of several tokens.
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [96, free[3]]}))
    assert zoo.chat(model, talk, str(folder), 6) == words(free[: free.index(free[3])])
    with pytest.raises(ValueError, match="does not take these messages.*no system"):
        zoo.chat(model, [{"role": "system", "content": "a"}], folder)


def talks(folder):
    path = folder / "tokenizer_config.json"
    said = json.loads(path.read_text()) | {"chat_template": TEMPLATE}
    path.write_text(json.dumps(said))


def test_a_loaded_model_takes_text(folder):
    model = zoo.load(folder)
    assert model.words.folder == folder and "tokenizer" not in vars(model.words)  # not loaded yet
    ids = torch.tensor([[3, 4, 5]])
    assert torch.equal(model("a b c").logits, model(ids).logits)
    run = trace(model, "a b c", 3)
    assert torch.equal(run.tokens, ids) and torch.equal(run.states, trace(model, ids, 3).states)
    assert plan(model, "a b c", 3) == plan(model, ids, 3)
    assert torch.equal(stream(model, "a b c", 3).norm, stream(model, ids, 3).norm)
    written = generate(model, "a b c", 4, stop=1)
    assert torch.equal(written.tokens, generate(model, ids, 4, stop=1).tokens)
    assert written.text == [zoo.tokenizer(folder).decode(written.tokens[0])]
    for other in (model.unrolled(4), zoo.load(zoo.export(model, folder / "new", "ouro"))):
        other.words = model.words if other.words.folder != folder else other.words
        assert torch.equal(other("a b c").logits, model("a b c").logits)
    with pytest.raises(ValueError, match="text '' has no token"):
        model("")
    with pytest.raises(ValueError, match="has no chat template"):
        model([{"role": "user", "content": "a"}])


def test_a_loaded_model_takes_messages(folder):
    talks(folder)
    model = zoo.load(folder)
    talk = [{"role": "user", "content": "a b"}]
    assert trace(model, talk).tokens.tolist() == [[3, 4, 5]]
    talk.append({"role": "assistant", "content": "b"})
    assert trace(model, talk).tokens.tolist() == [[3, 4, 4]]  # a whole talk: no answer begins
    assert generate(model, talk[:1], 2).tokens[0, :3].tolist() == [3, 4, 5]


def test_prompts_of_messages(folder, capsys):
    talks(folder)
    prompts, out = folder / "prompts.jsonl", folder / "out"
    lines = [{"messages": [{"role": "user", "content": "a b"}]}, {"tokens": [3, 4, 5]}]
    prompts.write_text("\n".join(map(json.dumps, lines)))
    arguments = ["trace", str(folder), "--prompts", str(prompts), "--loops", "3", "--out", str(out)]
    assert main(arguments) == 0
    first, second = (Stream.load(path) for path in sorted(out.glob("*.safetensors")))
    assert torch.equal(first.tokens, second.tokens) and torch.equal(first.norm, second.norm)
    for wrong in (
        {"messages": "a"},
        {"messages": []},
        {"messages": [1]},
        {"text": "a", **lines[0]},
    ):
        prompts.write_text(json.dumps(wrong))
        assert main(arguments) == 2
        assert "line 1: " in (said := capsys.readouterr().err) and "expected" in said


def test_a_model_without_a_tokenizer_shows_the_line_to_write():
    model = LoopedTransformer(LoopedConfig(vocab=10, width=16))
    for text in ("Hello", [{"role": "user", "content": "Hello"}]):
        for run in (model, lambda t: trace(model, t), lambda t: generate(model, t)):
            with pytest.raises(TypeError, match=r"words = zoo.tokenizer\(FOLDER\)"):
                run(text)
    with pytest.raises(TypeError, match="are 2 texts, the first 'Hello': give one"):
        model(["Hello", "you"])
    with pytest.raises(TypeError, match=r"zoo.tokenizer\(FOLDER\)"):
        _ = generate(model, [[1]], 2).text
    with pytest.raises(ValueError, match="give source="):
        zoo.chat(model, "Hello")
    assert adapt(torch.nn.Identity()).words is None


def test_a_dtype_by_its_name():
    path = golden_models.GOLDEN / "ouro-a"
    for name in ("bfloat16", "torch.bfloat16", torch.bfloat16):
        assert zoo.load(path, dtype=name).dtype == torch.bfloat16
    assert open_named("hero", "float64")[0].dtype == torch.float64
    for wrong in ("bf16", torch.int8, 16):
        with pytest.raises(ValueError, match=r"dtype=.*expected one of float32, bfloat16"):
            zoo.load(path, dtype=wrong)
