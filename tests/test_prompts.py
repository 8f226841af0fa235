"""The file of prompts: what ends a line, and in which encodings it may come."""

import json

import pytest

from looplab import LoopedConfig, LoopedTransformer
from looplab.streaming.prompts import read

MODEL = LoopedTransformer(LoopedConfig(vocab=40, width=16, heads=2))
ODD = "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg"  # what str.splitlines takes for ends of lines
TEXTS = [ODD, "zwei", "drei ⊗"]


def encode(text):
    return [1 + ord(letter) % 39 for letter in text]


def lines(texts):
    return [json.dumps({"text": text}, ensure_ascii=False) for text in texts]


def found(path):
    return [(prompt.line, prompt.tokens.tolist()) for prompt in read(path, MODEL, encode)]


WANTED = [(number, encode(text)) for number, text in enumerate(TEXTS, 1)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_line_ends_at_a_line_feed_in_any_unicode_encoding(tmp_path, encoding, end):
    path = tmp_path / "prompts.jsonl"
    path.write_bytes((end.join(lines(TEXTS)) + end).encode(encoding))
    assert found(path) == WANTED
    path.write_bytes((end + end.join(lines(TEXTS))).encode(encoding))  # an empty line, no last end
    assert found(path) == [(line + 1, ids) for line, ids in WANTED]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ('{"text": "ok"}\n{"text": "größer"}\n'.encode("latin-1"), "line 2: not UTF-8"),
        ('{"text": "ok"}'.encode("utf-16-le"), "zero bytes, as UTF-16 without"),
        ('{"text": "ok"}'.encode("utf-16")[:-1], "line 1: not UTF-16"),
        (b'{"text": "ok"}\n{"text": "ok"', "line 2: "),
    ],
)
def test_what_cannot_be_read_names_file_line_and_remedy(tmp_path, data, told):
    path = tmp_path / "prompts.jsonl"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=told) as error:
        found(path)
    assert str(path) in str(error.value)
