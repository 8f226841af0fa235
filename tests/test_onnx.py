"""A model's graphs under an ONNX runtime are the model in torch; what has none is refused."""

import json
import sys

import numpy as np
import onnxruntime
import pytest
import torch
from rounding import assert_rounds_to

from looplab import LoopedConfig, LoopedTransformer, adapt, trace
from looplab.cli import main
from looplab.course.explore import models
from looplab.course.site.command import CACHE
from looplab.graphs import export_onnx
from looplab.graphs.export import ABOUT
from looplab.model.layers import grid_mask
from looplab.zoo import checkpoints, english, load

SUMS = 80  # sums of float32 in a row, each with its rounding: 1e-5 of the largest number
LOOPS = 12
SMALL = {"vocab": 11, "width": 16, "heads": 2}


class Run:
    """The graphs of a folder, looped as docs/onnx.md says."""

    def __init__(self, folder):
        self.about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        self.sessions = {
            name: onnxruntime.InferenceSession(folder / part["file"])
            for name, part in self.about["parts"].items()
        }

    def part(self, name, **given):
        said = self.about["parts"][name]
        feeds = {key: np.asarray(given[key]) for key in said["inputs"]}
        made = self.sessions[name].run(said["outputs"], feeds)
        return dict(zip(said["outputs"], map(torch.from_numpy, made), strict=True))

    def loop(self, tokens, loops, start=None):
        """Per loop: state, layers, attention, logits."""
        given = {"tokens": tokens}
        if self.about["sees"] == "grid":
            given["sees"] = grid_mask(tokens.shape[1], "cpu")
        given |= self.part("prelude", **given)
        state, out = given.get("start", start), []
        for _ in range(loops):
            made = self.part("core", state=state, **given)
            state = made["next"]
            logits = self.part("answer", state=state, **given)["logits"]
            out.append((state, made["layers"], made["attention"], logits))
        return given["x"], [torch.stack(each) for each in zip(*out, strict=True)]


def tokens_for(model, shape, seed=0):
    fields = () if model.config.fields == 1 else (model.config.fields,)
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(model.config.vocab, (*shape, *fields), generator=generator)


def agrees(run, model, tokens, loops=LOOPS):
    """Assert that a run of the graphs is the run in torch, from the same start."""
    start = model.prepare(tokens, generator=torch.Generator().manual_seed(1)).start
    x, (states, layers, patterns, logits) = run.loop(tokens, loops, start)
    seen = trace(model, tokens, loops, state=start, keep=("states", "attention"))
    assert_rounds_to(x, model.encode(tokens), SUMS)
    assert_rounds_to(states, seen.loop_ends, SUMS)
    assert_rounds_to(layers, seen.states, SUMS)
    assert_rounds_to(patterns, seen.attention, SUMS)
    assert_rounds_to(logits, model.readout(seen.loop_ends), SUMS)


@pytest.mark.parametrize("name", ["hero", "root-k1", "flood", "drawn"])
def test_the_courses_models_run_as_in_torch(name):
    model = (english if name == "drawn" else checkpoints).load(name)
    run = Run(models.graphs(name, CACHE))
    for length in (1, 9, 36):  # squares, which the flood asks for
        agrees(run, model, tokens_for(model, (1, length)))


def test_any_batch_and_every_kind_of_part(tmp_path):
    """Tables that are cut, a norm behind the loop, layers before and behind it, a damped pass."""
    torch.manual_seed(0)
    model = LoopedTransformer(
        LoopedConfig(
            **SMALL, prelude=1, core=1, coda=1, norm="branch_sandwich", injection="orthogonal",
            attention="window", window=3, position="rope_interleaved", kv_heads=1,
            qk_norm="rotated", mlp="gated", activation="silu", stride=0.5, state_out=True,
        )
    ).eval()  # fmt: skip
    run = Run(export_onnx(model, tmp_path / "new", longest=12))
    for shape in ((1, 1), (3, 5), (2, 12)):
        agrees(run, model, tokens_for(model, shape), loops=4)
    with pytest.raises(Exception, match="(?i)invalid|shape|dimension|broadcast"):
        run.loop(tokens_for(model, (1, 20)), 1)


REFUSED = {
    "tied=False": {"tied": False},
    "solver='anderson'": {"solver": "anderson", "injection": "add"},
    "stream_maps='loop'": {"streams": 2},
    "value_layers": {"value_layers": (0,), "width": 32},
    "prefix_lm=True": {"prefix_lm": True},
    "start='hashed'": {"start": "hashed"},
}


@pytest.mark.parametrize("told", REFUSED)
def test_a_model_without_such_graphs_is_refused(told, tmp_path):
    model = LoopedTransformer(LoopedConfig(**{**SMALL, **REFUSED[told]}))
    with pytest.raises(ValueError, match=told):
        export_onnx(model, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_bad_input_is_named(tmp_path, monkeypatch):
    model = LoopedTransformer(LoopedConfig(**SMALL))
    with pytest.raises(ValueError, match="longest=0: expected"):
        export_onnx(model, tmp_path / "new", longest=0)
    with pytest.raises(ValueError, match="batch=0: expected"):
        export_onnx(model, tmp_path / "new", batch=0)
    with pytest.raises(ValueError, match="bfloat16.*model.float()"):
        export_onnx(model.bfloat16(), tmp_path / "new")
    with pytest.raises(TypeError, match="no LoopedTransformer"):
        export_onnx(adapt(torch.nn.Identity()), tmp_path / "new")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ImportError, match="pip install onnx onnxscript"):
        export_onnx(model.float(), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_the_command_says_what_it_did_and_overwrites_nothing(tmp_path, capsys):
    assert main(["export", "hero-unrolled", str(tmp_path / "twin"), "--onnx"]) == 2
    assert "tied=False: an unrolled twin" in capsys.readouterr().err
    (tmp_path / "there").mkdir()
    (tmp_path / "there/core.onnx").write_text("mine")
    assert main(["export", "root-k1", str(tmp_path / "there"), "--onnx"]) == 2
    assert "core.onnx exists: export into a new folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.rglob("*.*")] == ["core.onnx"]
    assert (tmp_path / "there/core.onnx").read_text() == "mine"
    assert main(["export", "loop", str(tmp_path / "form"), "--form", "looplab"]) == 0
    assert "loop in the form of looplab" in capsys.readouterr().out
    assert load(tmp_path / "form").config == english.load("loop").config
    with pytest.raises(SystemExit):
        main(["export", "hero", str(tmp_path / "new")])
    assert "one of the arguments --onnx --form is required" in capsys.readouterr().err
