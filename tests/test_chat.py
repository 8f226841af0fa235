"""From chat messages to text in one call, and a dtype by its name."""

import json
import shutil

import golden_models
import pytest
import torch
from test_trace_command import add_tokenizer

from looplab import generate, zoo
from looplab.zoo.named import open_named

TEMPLATE = (
    "{% for m in messages %}{% if m.role not in ['user', 'assistant'] %}"
    "{{ raise_exception('no ' + m.role) }}{% endif %}{{ m.content }} {% endfor %}"
    "{% if add_generation_prompt %}</s>{% endif %}"
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
    path = folder / "tokenizer_config.json"
    said = json.loads(path.read_text()) | {"chat_template": TEMPLATE}
    path.write_text(json.dumps(said))
    talk = [
        {"role": "user", "content": "a b"},
        {"role": "assistant", "content": "c"},
        {"role": "user", "content": "b"},
    ]
    prompt = torch.tensor([[3, 4, 5, 4, 1]])
    free = generate(model, prompt, 6).tokens[0, 5:].tolist()
    tokens = ["<s>", "</s>", "?", "a", "b", "c"]

    def words(ids):
        return " ".join(tokens[n] for n in ids if n < len(tokens))

    assert zoo.chat(model, talk, folder, 6) == words(free)
    # An answer ends where generation_config.json says, at one of several tokens.
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [96, free[3]]}))
    assert zoo.chat(model, talk, str(folder), 6) == words(free[: free.index(free[3])])
    with pytest.raises(ValueError, match="does not take these messages.*no system"):
        zoo.chat(model, [{"role": "system", "content": "a"}], folder)


def test_a_dtype_by_its_name():
    path = golden_models.GOLDEN / "ouro-a"
    for name in ("bfloat16", "torch.bfloat16", torch.bfloat16):
        assert zoo.load(path, dtype=name).dtype == torch.bfloat16
    assert open_named("hero", "float64")[0].dtype == torch.float64
    for wrong in ("bf16", torch.int8, 16):
        with pytest.raises(ValueError, match=r"dtype=.*expected one of float32, bfloat16"):
            zoo.load(path, dtype=wrong)
