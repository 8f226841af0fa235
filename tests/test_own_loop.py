"""The learner's own model travels with the passport; looplab's stands in where it cannot."""

import ast
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch

from looplab import LoopedTransformer, passport, tasks, trace
from looplab.course import passport as kept
from looplab.course.exercises.solutions import code_of
from looplab.exercises import keep_loop, my_loop, whose

TASK = tasks.find_root(4, torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(kept, "_kept", {})
    monkeypatch.setattr(kept, "_models", {})


def write(source, passed=True, models=None):
    when = datetime.now(UTC).isoformat()
    answer = {"source": source, "passed": passed, "when": when}
    about = {"format": "looplab-passport", "version": 1, "answers": {"01.6": [answer]}}
    text = json.dumps(about | {"models": models or {}})
    Path("looplab-passport.json").write_text(text, encoding="utf-8")


def saved():
    return json.loads(Path("looplab-passport.json").read_text(encoding="utf-8"))


def own():
    return "# exercise 01.6\n" + ast.unparse(code_of("01.6")[0])


def test_without_a_passport_looplabs_stands_in(capsys):
    assert isinstance(my_loop(), LoopedTransformer)
    assert my_loop("rest").config.width == 32
    assert whose("01.6") == "looplab's"
    keep_loop("plain", my_loop())
    told = capsys.readouterr().out
    assert "looplab's model stands in: there is no passed answer to 01.6" in told
    assert "'plain' is not kept" in told
    assert "Nothing to keep" in repr(passport.save())


def test_a_trained_model_goes_from_chapter_to_chapter(capsys, monkeypatch):
    write(own())
    torch.manual_seed(0)
    model = my_loop()
    assert whose("01.6") == "yours" and not isinstance(model, LoopedTransformer)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.01)
    keep_loop("plain", model)
    assert "your trained plain" in repr(passport.save())
    monkeypatch.setattr(kept, "_models", {})  # another kernel, another day
    again = my_loop("plain")
    assert not any(weight.requires_grad for weight in again.parameters())
    torch.testing.assert_close(
        trace(again, TASK.tokens, 4).logits, trace(model.eval(), TASK.tokens, 4).logits
    )
    assert "trained in chapter 02 ('plain')" in capsys.readouterr().out
    assert isinstance(my_loop("rest"), LoopedTransformer)
    assert "no 'rest' model: train it in chapter 02" in capsys.readouterr().out


def test_the_model_trained_last_is_kept_and_others_stay(monkeypatch):
    write(own())
    model = my_loop()
    keep_loop("plain", model)
    passport.save()
    first = saved()["models"]["plain"]
    with torch.no_grad():
        next(model.parameters()).add_(1.0)
    keep_loop("plain", model)
    keep_loop("rest", model)
    passport.save()
    found = saved()
    assert set(found["models"]) == {"plain", "rest"} and found["models"]["plain"] != first
    assert list(found["answers"]) == ["01.6"]


def test_it_may_use_the_chapters_block_and_earlier_answers():
    body = own().replace("# exercise 01.6\n", "")
    write(f"# exercise 01.6\nBlock\n{body}")
    assert not isinstance(my_loop(), LoopedTransformer)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("def MyLoop(:", "SyntaxError"),
        ("x = helper", "name 'helper' is not defined"),
        ("MyLoop = 3", "your answer to 01.6: "),
        ("while True: pass", "OutOfTime"),
    ],
)
def test_what_cannot_be_run_any_more_is_said(source, told, capsys, monkeypatch):
    monkeypatch.setattr("looplab.course.exercises.own_loop.SECONDS", 0.5)
    write(source)
    assert isinstance(my_loop(), LoopedTransformer)
    assert told in capsys.readouterr().out


def test_weights_of_another_model_are_said(capsys):
    write(own())
    keep_loop("plain", my_loop())
    passport.save()
    write(own().replace("width=32", "width=16"), models=saved()["models"])
    assert isinstance(my_loop("plain"), LoopedTransformer)
    assert "stands in" in capsys.readouterr().out


def test_a_damaged_model_is_named(capsys):
    write(own(), models={"plain": {"weights": "%%%", "when": "2026-01-01"}})
    my_loop("plain")
    assert "your passport has no 'plain' model" in capsys.readouterr().out
    with pytest.raises(passport.PassportError, match="its models are not as"):
        passport.save()


def test_another_name_is_refused():
    with pytest.raises(ValueError, match="expected one of plain, rest, or none"):
        my_loop("best")
    with pytest.raises(ValueError, match="expected one of plain, rest"):
        keep_loop("best", None)
