"""Training: what it computes, what an interrupt leaves behind, and what it refuses."""

import json
import signal
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.testing import assert_close

from looplab import LoopedConfig, LoopedTransformer, tasks
from looplab.train import (
    PoissonLogNormalLoops,
    Recipe,
    UniformLoops,
    accuracy_table,
    fit,
    telling,
    text_pieces,
)

SMALL = LoopedConfig(
    vocab=4, fields=2, width=16, heads=2, attention="full", position="none", injection="concat"
)
ROOTS = partial(tasks.find_root, nodes=4, max_depth=2)
SHORT = Recipe(steps=80, batch=4, loops=UniformLoops(1, 3), warmup=5)
NONE = torch.full((8, 4), -100)
ONE = Recipe(steps=1, batch=8, loops=4, clip=1e9)


def build(seed=0, **settings):
    torch.manual_seed(seed)
    return LoopedTransformer(replace(SMALL, **settings))


def train(model, recipe, task=ROOTS, **options):
    return fit(model, task, recipe, **{"progress": False, "device": "cpu", "threads": 1} | options)


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


class StoppingRoots:
    """Find the root, with a KeyboardInterrupt in the place of one of the draws."""

    def __init__(self, stop_at=None):
        self.draws, self.stop_at = 0, stop_at

    def __call__(self, batch, generator):
        self.draws += 1
        if self.draws == self.stop_at:
            raise KeyboardInterrupt
        return ROOTS(batch, generator)


@contextmanager
def interrupt_in_forward(model, number):
    """Press Ctrl-C in the middle of a step."""
    calls = []

    def press(*_):
        calls.append(1)
        if len(calls) == number:
            signal.raise_signal(signal.SIGINT)

    handle = model.register_forward_hook(press)
    yield
    handle.remove()


def counted(model):
    """A list that grows with every step."""
    steps = []
    model.register_forward_pre_hook(lambda *_: steps.append(1))
    return steps


def one_batch(seed=3):
    """A batch, and a task that gives nothing but this batch."""
    batch = ROOTS(8, torch.Generator().manual_seed(seed))
    return batch, lambda size, generator: batch


def fitted(recipe):
    """Loss and gradients of the one step that `fit` takes."""
    model, (_, task) = build(), one_batch()
    gradients = {}
    for name, value in model.named_parameters():
        value.register_post_accumulate_grad_hook(
            lambda value, name=name: gradients.update({name: value.grad.clone()})
        )
    loss = train(model, recipe, task).loss[0]
    return loss, gradients


def by_hand(grad_loops, loss):
    """The same of four loops written out; `loss(states, logits, targets)` judges them."""
    model, (batch, _) = build(), one_batch()
    x = model.encode(batch.tokens)
    z, states = model.start(x), []
    for loop in range(4):
        if loop and loop == 4 - grad_loops:
            z = z.detach()
        z = model.step(z, x)
        states.append(z)
    value = loss(states, [model.readout(z) for z in states], batch.targets.flatten())
    value.backward()
    return value.item(), {name: value.grad for name, value in model.named_parameters()}


def cross_entropy(logits, targets):
    return F.cross_entropy(logits.flatten(0, -2), targets)


def test_the_loss_falls():
    model = build()
    history = train(model, replace(SHORT, steps=150, batch=32, lr=5e-3))
    assert sum(history.loss[-20:]) < 0.7 * sum(history.loss[:20])
    assert (history.steps, history.interrupted, history.device) == (150, False, "cpu")
    assert len(history.loss) == len(history.loops) == 150
    assert set(history.loops) == {1, 2, 3}
    assert model.training
    assert all(value.grad is None for value in model.parameters())


def test_a_recipe_fixes_everything_that_is_random():
    first, second, other = build(start="normal"), build(start="normal"), build(start="normal")
    histories = [train(first, SHORT)]
    torch.rand(7)  # the global random state has no say
    histories.append(train(second, SHORT))
    train(other, replace(SHORT, seed=1))
    assert histories[0].loss == histories[1].loss
    assert same(weights(first), weights(second))
    assert not same(weights(first), weights(other))


@pytest.mark.parametrize("how", ["task", "signal"])
def test_a_resumed_run_ends_where_an_uninterrupted_one_does(tmp_path, how):
    whole, torn = build(start="normal"), build(start="normal")
    straight = train(whole, SHORT, StoppingRoots())
    file = tmp_path / "run.safetensors"
    if how == "task":  # the second draw comes after 64 steps
        stopped = train(torn, SHORT, StoppingRoots(stop_at=2), checkpoint=file)
        assert stopped.steps == 64
    else:
        before = signal.getsignal(signal.SIGINT)
        with interrupt_in_forward(torn, 7):
            stopped = train(torn, SHORT, StoppingRoots(), checkpoint=file)
        assert signal.getsignal(signal.SIGINT) is before
        assert stopped.steps == 7  # the step in hand was finished
    assert stopped.interrupted
    assert stopped.loss == straight.loss[: stopped.steps]
    assert not same(weights(torn), weights(build(start="normal")))

    back = build(start="normal")
    steps = counted(back)
    resumed = train(back, SHORT, StoppingRoots(), checkpoint=file)
    assert not resumed.interrupted
    assert (resumed.steps, resumed.loss, resumed.loops) == (80, straight.loss, straight.loops)
    assert len(steps) == 80 - stopped.steps
    assert resumed.seconds > stopped.seconds
    assert same(weights(back), weights(whole))
    assert [path.name for path in tmp_path.iterdir()] == ["run.safetensors"]


def test_an_interrupt_keeps_what_was_learned():
    stopped, whole, before = build(), build(), []
    with interrupt_in_forward(stopped, 7):
        history = train(stopped, SHORT)
    assert (history.steps, history.interrupted) == (7, True)
    whole.register_forward_pre_hook(lambda *_: before.append(weights(whole)))
    train(whole, SHORT)
    assert same(weights(stopped), before[7])


def test_a_finished_run_is_not_run_again(tmp_path):
    model, file = build(), tmp_path / "deep" / "run.safetensors"
    history = train(model, SHORT, checkpoint=file)
    back = build()
    steps = counted(back)
    again = train(back, SHORT, checkpoint=file)
    assert steps == []
    assert (again.steps, again.loss) == (80, history.loss)
    assert same(weights(back), weights(model))


def test_a_run_with_settings_that_json_reads_back_as_lists_is_resumed(tmp_path):
    scaled, short = {"rope_scaling": (8.0, 1.0, 4.0, 16.0)}, replace(SHORT, steps=2)
    train(build(**scaled), short, checkpoint=tmp_path / "run.safetensors")
    assert train(build(**scaled), short, checkpoint=tmp_path / "run.safetensors").steps == 2


def test_a_checkpoint_from_before_a_setting_was_there_is_resumed(tmp_path):
    file, short = tmp_path / "run.safetensors", replace(SHORT, steps=2)
    model = build()
    train(model, short, checkpoint=file)

    def forget(part, setting):
        with safe_open(file, "pt") as old:
            header = old.metadata()
        there = json.loads(header[part])
        del there[setting]
        save_file(load_file(file), file, header | {part: json.dumps(there)})

    forget("config", "stride")
    forget("recipe", "penalty")
    back = build()
    assert train(back, short, checkpoint=file).steps == 2
    assert same(weights(back), weights(model))
    with pytest.raises(ValueError, match="stride is 1.0 there and 0.5 here"):
        train(build(stride=0.5), short, checkpoint=file)
    forget("config", "vocab")  # which has no default
    with pytest.raises(ValueError, match="vocab is None there and 4 here"):
        train(build(), short, checkpoint=file)


def test_files_that_are_no_checkpoint_of_this_run_are_refused_and_kept(tmp_path):
    whole = tmp_path / "whole.safetensors"
    short = replace(SHORT, steps=2)
    train(build(), short, checkpoint=whole)

    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(whole.read_bytes()[:-10])
    with pytest.raises(ValueError, match="torn.safetensors cannot be read.*choose another"):
        train(build(), short, checkpoint=torn)
    assert torn.stat().st_size == whole.stat().st_size - 10

    with pytest.raises(ValueError, match="is a folder: name the file"):
        train(build(), short, checkpoint=tmp_path)

    other = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(1)}, other)
    with pytest.raises(ValueError, match="other.safetensors is not a training checkpoint"):
        train(build(), short, checkpoint=other)

    bytes_before = whole.read_bytes()
    model = build()
    with pytest.raises(ValueError, match="another run: lr is 0.002 there and 0.1 here"):
        train(model, replace(short, lr=0.1), checkpoint=whole)
    with pytest.raises(ValueError, match=r"loops is 'UniformLoops\(low=1, high=3\)' there"):
        train(model, replace(short, loops=2), checkpoint=whole)
    with pytest.raises(ValueError, match="max_depth=2.*there and.*max_depth=1"):
        train(model, short, partial(ROOTS, max_depth=1), checkpoint=whole)
    assert same(weights(model), weights(build()))
    with pytest.raises(ValueError, match="width is 16 there and 8 here"):
        train(build(width=8), short, checkpoint=whole)
    assert whole.read_bytes() == bytes_before


def first_targets(shift):
    """A task of one name that is another one at every `shift`."""

    def task(batch, generator):
        drawn = ROOTS(batch, generator)
        return drawn._replace(targets=(drawn.targets + shift) % 4)

    return task


@dataclass
class Fixed:
    """A task that holds its data, and is written with its address."""

    batch: tuple

    def __call__(self, size, generator):
        return self.batch

    __repr__ = object.__repr__


SAME_NAME = {
    "closures": lambda: [first_targets(shift) for shift in (0, 1)],
    "lambdas": lambda: [
        lambda size, draw, shift=shift: first_targets(shift)(size, draw) for shift in (0, 1)
    ],
    "objects": lambda: [Fixed(one_batch(seed)[0]) for seed in (3, 4)],
    "partials of objects": lambda: [partial(Fixed(one_batch(seed)[0])) for seed in (3, 4)],
}


@pytest.mark.parametrize("kind", SAME_NAME)
def test_another_task_of_the_same_name_is_another_run(tmp_path, kind):
    file, short = tmp_path / "run.safetensors", replace(SHORT, steps=1, batch=8)
    one, other = SAME_NAME[kind]()
    model = build()
    train(model, short, one, checkpoint=file)
    with pytest.raises(ValueError, match="another first batch"):
        train(build(), short, other, checkpoint=file)
    again = SAME_NAME[kind]()[0]  # the same data in another object
    back = build()
    steps = counted(back)
    train(back, short, again, checkpoint=file)
    assert steps == [] and same(weights(back), weights(model))


def test_other_start_weights_are_another_run(tmp_path):
    file, short = tmp_path / "run.safetensors", replace(SHORT, steps=2)
    train(build(), short, checkpoint=file)
    for seed in (1, 2):
        model = build(seed)
        with pytest.raises(ValueError, match="started from other weights.*manual_seed"):
            train(model, short, checkpoint=file)
        assert same(weights(model), weights(build(seed)))
    nudged = build()
    nudged.head.weight.data[-1, -1] += 1e-3
    with pytest.raises(ValueError, match="other weights"):
        train(nudged, short, checkpoint=file)


def test_a_model_that_has_come_as_far_as_its_checkpoint_goes_on(tmp_path):
    whole, torn = build(), build()
    straight = train(whole, SHORT)
    with interrupt_in_forward(torn, 7):
        train(torn, SHORT, checkpoint=tmp_path / "run.safetensors")
    resumed = train(torn, SHORT, checkpoint=tmp_path / "run.safetensors")  # the cell run again
    assert resumed.loss == straight.loss and same(weights(torn), weights(whole))


def test_a_finished_run_is_given_more_steps(tmp_path):
    file, longer = tmp_path / "run.safetensors", replace(SHORT, steps=100)
    first = train(build(), SHORT, checkpoint=file)
    model = build()
    steps = counted(model)
    with interrupt_in_forward(model, 9):
        part = train(model, longer, checkpoint=file)
    assert (part.steps, len(steps)) == (89, 9)
    back = build()
    both = train(back, longer, checkpoint=file)
    assert (both.steps, len(both.loss), len(both.loops)) == (100, 100, 100)
    assert both.loss[:80] == first.loss and both.loops[:80] == first.loops
    assert both.loss[:89] == part.loss
    at_once = tmp_path / "again.safetensors"
    train(build(), SHORT, checkpoint=at_once)
    whole = build()
    assert train(whole, longer, checkpoint=at_once).loss == both.loss
    assert same(weights(whole), weights(back))
    with pytest.raises(ValueError, match="steps is 100 there and 80 here"):
        train(build(), SHORT, checkpoint=file)


def test_an_unfinished_run_is_finished_before_it_is_given_more_steps(tmp_path):
    file, model = tmp_path / "run.safetensors", build()
    with interrupt_in_forward(model, 7):
        train(model, SHORT, checkpoint=file)
    with pytest.raises(ValueError, match=r"has taken 7 of 80 steps: finish these with steps=80"):
        train(build(), replace(SHORT, steps=100), checkpoint=file)


def test_a_checkpoint_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    train(build(), replace(SHORT, steps=1), checkpoint="~/run.safetensors")
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["run.safetensors"]
    assert not (tmp_path / "~").exists()


def test_a_frozen_model_is_told_apart_from_one_with_frozen_parts():
    frozen = build().requires_grad_(False)
    with pytest.raises(ValueError, match=r"frozen.*model.requires_grad_\(\) first"):
        train(frozen, SHORT)
    frozen.head.requires_grad_(True)
    before = weights(frozen)
    train(frozen, replace(SHORT, steps=3))
    changed = {name for name in before if not torch.equal(before[name], weights(frozen)[name])}
    assert changed == {"head.weight"}


@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode])
def test_training_inside_a_block_without_gradients(around):
    model, whole = build(), build()
    with around():
        history = train(model, replace(SHORT, steps=3))
    assert history.loss == train(whole, replace(SHORT, steps=3)).loss
    with around():
        held = one_batch()[0]
    train(build(), ONE, lambda *_: held, threads=None)
    with torch.inference_mode():
        model = build()
    with pytest.raises(ValueError, match="under torch.inference_mode"):
        train(model, SHORT)


def test_training_where_float64_is_the_default():
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)
        model = build(start="normal")
        recipe = replace(SHORT, steps=3, loops=PoissonLogNormalLoops(2), penalty=1.0)
        history = train(model, recipe, threads=None)
    finally:
        torch.set_default_dtype(before)
    assert history.steps == 3 and {w.dtype for w in model.parameters()} == {torch.float64}


@pytest.mark.parametrize("settings", [{}, {"penalty": 0.3}, {"loss_on": "all"}], ids=str)
@pytest.mark.parametrize("accumulate", [2, 3, 8])
def test_a_batch_in_parts_has_the_loss_and_gradient_of_the_whole(accumulate, settings):
    batch = ROOTS(8, torch.Generator().manual_seed(3))
    targets = batch.targets.clone()
    targets[0, 1:], targets[5] = -100, -100  # the parts have not equally many
    found, recipe = {}, replace(ONE, **settings)

    def task(*_):
        return batch._replace(targets=targets)

    for parts in (1, accumulate):
        model, sizes, gradients = build().double(), [], {}
        model.register_forward_pre_hook(lambda m, given, sizes=sizes: sizes.append(len(given[0])))
        for name, value in model.named_parameters():  # the last call has the sum of all parts
            value.register_post_accumulate_grad_hook(
                lambda value, name=name, kept=gradients: kept.update({name: value.grad.clone()})
            )
        loss = train(model, recipe, task, accumulate=parts).loss[0]
        found[parts] = loss, gradients
        assert max(sizes) == -(-8 // parts) and sum(sizes) == 8
    (loss, wanted), (loss_in_parts, gradients) = found.values()
    assert loss_in_parts == pytest.approx(loss, rel=1e-8)  # the penalty is a float32
    for name, value in wanted.items():
        assert_close(gradients[name], value, rtol=1e-6, atol=1e-8)


def test_a_batch_in_parts_without_any_target_is_named():
    def task(*_):
        return one_batch()[0]._replace(targets=NONE)

    with pytest.raises(ValueError, match="every target is -100"):
        train(build(), ONE, task, accumulate=2)


def held_out(model, step):
    assert not model.training and not torch.is_grad_enabled()
    return {"weight": model.head.weight.abs().mean()}


def test_evaluations_come_every_so_often_and_change_nothing(tmp_path):
    plain, watched, file = build(), build(), tmp_path / "run.safetensors"
    calls = []

    def look(model, step):
        calls.append(step)
        return held_out(model, step) if step != 60 else None

    straight = train(plain, SHORT)
    history = train(watched, SHORT, checkpoint=file, evaluate=look, every=30)
    assert calls == [30, 60, 80]
    assert [one["step"] for one in history.evaluations] == [30, 80]
    assert history.evaluations[1]["weight"] == pytest.approx(plain.head.weight.abs().mean().item())
    assert history.loss == straight.loss and same(weights(watched), weights(plain))
    assert watched.training
    again = train(build(), SHORT, checkpoint=file, evaluate=look, every=30)
    assert calls == [30, 60, 80] and again.evaluations == history.evaluations


@pytest.mark.parametrize("said", [3.5, {"loss": "low"}, {"loss": torch.ones(2)}], ids=str)
def test_an_evaluation_that_is_no_dict_of_numbers_is_named(said):
    with pytest.raises(TypeError, match="evaluate returned.*a dict of numbers"):
        train(build(), SHORT, evaluate=lambda model, step: said, every=2)


def test_a_run_ends_when_its_time_is_up_and_goes_on_with_the_same_command(tmp_path):
    whole, parts, file = build(start="normal"), build(start="normal"), tmp_path / "run.safetensors"
    options = {"evaluate": held_out, "every": 7}
    straight = train(whole, SHORT, **options)
    first = train(parts, SHORT, checkpoint=file, seconds=1e-9, **options)
    assert (first.steps, first.interrupted) == (1, False)
    last = train(build(start="normal"), SHORT, checkpoint=file, seconds=1e-9, **options)
    assert last.steps == 2
    back = build(start="normal")
    last = train(back, SHORT, checkpoint=file, seconds=1e9, **options)
    assert (last.steps, last.loss) == (80, straight.loss)
    assert last.evaluations == straight.evaluations
    assert same(weights(back), weights(whole))


def test_a_checkpoint_from_before_there_were_evaluations_is_resumed(tmp_path):
    file, short = tmp_path / "run.safetensors", replace(SHORT, steps=2)
    train(build(), short, checkpoint=file)
    with safe_open(file, "pt") as old:
        header = old.metadata()
    header.pop("evaluations")
    save_file(load_file(file), file, header)
    assert train(build(), short, checkpoint=file).evaluations == []


def test_without_a_bar_a_long_run_tells_lines(capsys, monkeypatch):
    train(build(), SHORT)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(telling, "SAY_SECONDS", 0.0)
    train(build(), SHORT, evaluate=held_out, every=40, seconds=1e9)
    out, lines = capsys.readouterr()
    assert out == "" and "step 40: weight 0." in lines
    assert "step 80 of 80, loss " in lines and " tokens/s, 0.0 minutes left" in lines
    train(build(), SHORT, seconds=1e-9)
    assert "Its time is up after 1 of 80 steps" in capsys.readouterr().err


def test_the_bar_tells_tokens_a_second(capsys):
    train(build(), SHORT, progress=True)
    assert "tokens/s" in capsys.readouterr().err


TEXT = torch.arange(500) * 7 % 256


def text_as(kind, tmp_path):
    """The same text as people have it."""
    if kind == "array":
        return TEXT.numpy().astype("uint16")
    if kind == "npy":
        np.save(tmp_path / "text.npy", TEXT.numpy().astype("uint16"))
        return tmp_path / "text.npy"
    if kind == "safetensors":
        save_file({"train": TEXT.short(), "held": TEXT[:50]}, tmp_path / "text.safetensors")
        return str(tmp_path / "text.safetensors")
    return TEXT


@pytest.mark.parametrize("kind", ["tensor", "array", "npy", "safetensors"])
def test_pieces_of_a_text_come_from_anywhere_in_it(kind, tmp_path):
    task = text_pieces(text_as(kind, tmp_path), 6, "train" if kind == "safetensors" else None)
    drawn = task(4000, torch.Generator().manual_seed(0))
    assert {tensor.dtype for tensor in drawn} == {torch.long}
    assert torch.equal((drawn.tokens + 7) % 256, drawn.targets)
    assert drawn.tokens.shape == (4000, 6) and (drawn.difficulty == -1).all()
    firsts = {piece[0] for piece in drawn.tokens.tolist()}
    assert len(firsts) > 250
    assert torch.equal(
        drawn.tokens, text_pieces(TEXT, 6)(4000, torch.Generator().manual_seed(0))[0]
    )
    ends = text_pieces(TEXT[:8], 7)(9, torch.Generator().manual_seed(0))
    assert (ends.tokens == TEXT[:7]).all() and (ends.targets == TEXT[1:8]).all()


def test_a_language_model_is_trained_on_pieces_of_a_file(tmp_path):
    task = text_pieces(text_as("npy", tmp_path), 6)
    torch.manual_seed(0)
    model = LoopedTransformer(LoopedConfig(vocab=256, width=16, heads=2, loops=2))
    history = train(model, Recipe(steps=60, batch=8, loops=2, lr=1e-2), task, accumulate=2)
    assert sum(history.loss[-5:]) < 0.8 * sum(history.loss[:5])


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ((TEXT[:6], 6), "a text of 6 tokens has no piece of length=6"),
        ((TEXT[None], 6), r"shape \(1, 500\) and dtype int64: expected one text"),
        ((TEXT / 2, 6), "dtype float32"),
        ((TEXT, 0), "length"),
        (("text.txt", 6), r"the file text.txt: expected .npy or .safetensors"),
        (("text.safetensors", 6), "has held, train: say which one with name="),
        (("torn.npy", 6), "torn.npy is no readable .npy file"),
    ],
)
def test_what_is_no_text_is_named(given, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text_as("safetensors", tmp_path)
    (tmp_path / "torn.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(ValueError, match=says):
        text_pieces(*given)


def test_a_token_without_a_target_has_no_say():
    batch, _ = one_batch()
    half = batch.targets.clone()
    half[:, ::2] = -100
    model = build()
    with torch.no_grad():
        logits = model(batch.tokens, 4).logits
    wanted = F.cross_entropy(logits[:, 1::2].flatten(0, 1), batch.targets[:, 1::2].flatten())
    found = train(build(), ONE, lambda *_: batch._replace(targets=half)).loss[0]
    assert_close(found, wanted.item())
    table = accuracy_table(model, batch._replace(targets=half), 4)
    right = (logits.argmax(-1) == half)[:, 1::2]
    assert_close(table.exact[3].item(), right.all(-1).double().mean().item())
    rated = batch.difficulty[:, 1::2]
    for kind in rated.unique():
        share = right[rated == kind].double().mean().item()
        assert_close(table.accuracy[3, kind].item(), share, rtol=1e-6, atol=0)


def test_targets_as_people_have_them():
    batch, _ = one_batch()
    for kind in (torch.int32, torch.uint8):
        train(build(), ONE, lambda *_, kind=kind: batch._replace(targets=batch.targets.to(kind)))


def test_a_later_batch_without_a_target_is_named():
    batches = iter([one_batch()[0], one_batch()[0]._replace(targets=NONE)] * 2)

    def task(size, generator):
        pair = [next(batches) for _ in range(2)]
        return type(pair[0])(*(torch.cat(parts) for parts in zip(*pair, strict=True)))

    with pytest.raises(ValueError, match="step 1: every target of its batch is -100"):
        train(build(), replace(SHORT, steps=2, batch=8), task)


def test_uniform_loops_reach_both_bounds_evenly():
    draws = torch.tensor(UniformLoops(3, 6).draw(8000, torch.Generator().manual_seed(0)))
    assert torch.equal(draws.unique(), torch.arange(3, 7))
    assert ((draws.bincount()[3:] / 8000 - 0.25).abs() < 0.02).all()


@pytest.mark.parametrize(("mean", "sigma"), [(32, 0.5), (6, 0.5), (4, 0.0), (0.5, 1.0)])
def test_poisson_log_normal_loops_have_their_mean_and_a_long_tail(mean, sigma):
    sampler = PoissonLogNormalLoops(mean, sigma)
    draws = torch.tensor(sampler.draw(200_000, torch.Generator().manual_seed(0))).double()
    assert draws.min() >= 1
    assert_close(draws.mean().item(), mean + 1.0, rtol=0.02, atol=0)
    # Law of total variance: Poisson's own, and that of its log-normal rate.
    variance = mean + mean**2 * (torch.tensor(sigma**2).exp().item() - 1)
    assert_close(draws.var().item(), variance, rtol=0.1, atol=0)


def test_samplers_repeat_with_their_seed():
    for sampler in (UniformLoops(1, 9), PoissonLogNormalLoops(8)):
        first, second, other = (
            sampler.draw(50, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)
        )
        assert first == second != other


@pytest.mark.parametrize("grad_loops", [1, 2, 4])
def test_truncated_backprop_passes_no_gradient_to_earlier_loops(grad_loops):
    loss, gradients = fitted(replace(ONE, grad_loops=grad_loops))
    manual = by_hand(grad_loops, lambda states, logits, targets: cross_entropy(logits[-1], targets))
    assert_close(loss, manual[0])
    assert_close(gradients, manual[1])
    if grad_loops < 4:
        full = fitted(ONE)
        assert_close(loss, full[0])
        core = "cores.0.layers.0.mlp.up.weight"
        assert (gradients[core] - full[1][core]).norm() > 0.01 * full[1][core].norm()


@pytest.mark.parametrize("grad_loops", [2, 4])
def test_the_loss_on_all_loops_is_their_mean(grad_loops):
    def mean(states, logits, targets):
        each = [cross_entropy(one, targets) for one in logits[-grad_loops:]]
        return torch.stack(each).mean()

    loss, gradients = fitted(replace(ONE, loss_on="all", grad_loops=grad_loops))
    manual = by_hand(grad_loops, mean)
    assert_close(loss, manual[0])
    assert_close(gradients, manual[1])


def test_the_penalty_is_its_formula():
    def penalised(states, logits, targets):
        before, last = states[-2:]
        relative = (last - before).norm(dim=-1) / last.norm(dim=-1)
        return cross_entropy(logits[-1], targets) + 3 * relative.mean()

    loss, gradients = fitted(replace(ONE, penalty=3.0))
    manual = by_hand(4, penalised)
    assert_close(loss, manual[0])
    assert_close(gradients, manual[1])
    single = replace(ONE, loops=1)  # one loop has no step to be penalised
    assert fitted(replace(single, penalty=3.0))[0] == fitted(single)[0]


def test_the_penalty_makes_the_last_step_smaller():
    def last_step(penalty):
        model = build()
        train(model, replace(SHORT, batch=16, loops=UniformLoops(3, 5), penalty=penalty))
        with torch.no_grad():
            before, last = model(one_batch()[0].tokens, 4, every_loop=True).loop_states[-2:]
        return ((last - before).norm(dim=-1) / last.norm(dim=-1)).mean()

    assert last_step(1.0) < 0.7 * last_step(0.0)


def test_no_update_uses_a_gradient_longer_than_the_clip():
    model, sizes = build(), []

    def measure(optimizer, *_):
        gradients = [value.grad.flatten() for value in model.parameters()]
        sizes.append(torch.cat(gradients).norm().item())

    handle = register_optimizer_step_pre_hook(measure)
    try:
        train(model, replace(SHORT, steps=5, clip=0.05))
        train(model, replace(SHORT, steps=5, clip=1e9))
    finally:
        handle.remove()
    assert_close(sizes[:5], [0.05] * 5, rtol=1e-4, atol=0)
    assert min(sizes[5:]) > 0.05


def test_the_learning_rate_warms_up_and_falls_to_a_tenth():
    recipe = Recipe(steps=200, batch=1, loops=1, lr=1.0, warmup=20)
    rates = [recipe.learning_rate(step) for step in range(200)]
    assert rates[0] == 0.05
    assert max(rates) == rates[19] == rates[20] == 1.0
    assert rates[20:] == sorted(rates[20:], reverse=True)
    assert 0.1 < rates[-1] < 0.101


def test_thread_count_and_mode_are_put_back():
    before, inside = torch.get_num_threads(), []

    def task(batch, generator):
        inside.append(torch.get_num_threads())
        if len(inside) == 2:
            raise RuntimeError("no more data")
        return ROOTS(batch, generator)

    model = build().eval()
    try:
        torch.set_num_threads(3)
        assert train(model, replace(SHORT, steps=2), task).threads == 1
        assert torch.get_num_threads() == 3
        with pytest.raises(RuntimeError, match="no more data"):
            train(model, SHORT, task, threads=2)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert inside == [1, 2]
    assert not model.training


def test_choosing_the_threads_changes_no_weights():
    chosen, given = build(), build()
    history = train(chosen, replace(SHORT, steps=5), threads=None)
    train(given, replace(SHORT, steps=5), threads=history.threads)
    assert same(weights(chosen), weights(given))


def test_a_loss_that_is_no_number_leaves_the_last_good_weights():
    model = build()
    # After one step with this rate the weights overflow as soon as they are multiplied.
    with pytest.raises(FloatingPointError, match=r"step 1 \(.*before it.*lower lr \(now 1e\+30"):
        train(model, replace(SHORT, lr=1e30, warmup=0, weight_decay=0.0))
    assert all(value.isfinite().all() for value in model.parameters())


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: UniformLoops(0, 3), "need 1 <= low <= high"),
        (lambda: UniformLoops(4, 3), r"UniformLoops\(4, 3\)"),
        (lambda: PoissonLogNormalLoops(0), "mean=0"),
        (lambda: PoissonLogNormalLoops(4, -1), "sigma=-1"),
        (lambda: replace(SHORT, steps=0), "steps is 0; expected a whole number of at least 1"),
        (lambda: replace(SHORT, batch=2.5), "batch is 2.5"),
        (lambda: replace(SHORT, loops=0), "loops is 0"),
        (lambda: replace(SHORT, grad_loops=0), "grad_loops is 0"),
        (lambda: replace(SHORT, lr=0), "lr is 0; it must be above 0"),
        (lambda: replace(SHORT, clip=float("inf")), "clip is inf"),
        (lambda: replace(SHORT, penalty=-1), "penalty is -1; it must be 0 or more"),
        (lambda: replace(SHORT, loss_on="first"), "'first'; it must be 'last' or 'all'"),
        (
            lambda: train(build(tied=False, loops=3), SHORT),
            "exactly 3 loops: set loops=3 in the recipe",
        ),
        (
            lambda: train(build(classes=3), SHORT),
            r"targets run from 0 to 3.*0 to 2: build it with LoopedConfig\(classes=4",
        ),
        (
            lambda: train(build(), ONE, lambda *_: one_batch()[0]._replace(targets=torch.zeros(8))),
            r"targets have shape \(8,\); expected one per token, \(8, 4\)",
        ),
        (
            lambda: train(build(), ONE, lambda *_: one_batch()[0]._replace(targets=NONE)),
            "every target is -100",
        ),
        (
            lambda: train(build(), ONE, lambda *_: one_batch()[0]._replace(targets=NONE + 99)),
            "from -1 to -1: classes count from 0, and a token without a target has -100",
        ),
        (
            lambda: train(build(), replace(ONE, steps=2), one_batch()[1]),
            r"asked for 16 items and gave tokens of shape \(8, 4, 2\)",
        ),
        (
            lambda: train(build(), ONE, lambda *_: one_batch()[0][:2]),
            r"task gives Tensor, Tensor: expected looplab.tasks.Batch",
        ),
        (
            lambda: train(build(), ONE, lambda *_: one_batch()[0]._replace(targets=NONE / 2)),
            r"targets have dtype torch.float32",
        ),
        (lambda: train(build(), ONE, accumulate=9), "accumulate=9: a batch of 8"),
        (lambda: train(build(), ONE, accumulate=0), "accumulate"),
        (lambda: train(build(), ONE, every=0), "every"),
        (lambda: train(build(), ONE, seconds=0), "seconds=0: expected a number above zero"),
        (lambda: accuracy_table(build(), one_batch()[0], 0), "loops is 0; it must be at least 1"),
        (
            lambda: accuracy_table(build(tied=False, loops=3), one_batch()[0], 4),
            "from 1 to 3.*unrolled",
        ),
    ],
)
def test_bad_input_names_the_value(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_the_accuracy_table_is_a_count():
    batch, _ = one_batch()
    deepest = int(batch.difficulty.max())
    odd = torch.arange(8) % 2 == 1  # tokens without a difficulty, and a gap in the middle
    unrated = (batch.difficulty == 1) | (odd[:, None] & (batch.difficulty == deepest))
    batch = batch._replace(difficulty=batch.difficulty.masked_fill(unrated, -1))
    model = build().eval()
    table = accuracy_table(model, batch, 6)
    assert table.accuracy.shape == (6, deepest + 1)
    for loops in range(1, 7):
        with torch.no_grad():
            right = model(batch.tokens, loops).logits.argmax(-1) == batch.targets
        for difficulty in range(deepest + 1):
            here = [
                bool(right[item, token])
                for item in range(8)
                for token in range(4)
                if batch.difficulty[item, token] == difficulty
            ]
            share = sum(here) / len(here) if here else float("nan")
            found = table.accuracy[loops - 1, difficulty].item()
            assert_close(found, share, equal_nan=True, rtol=1e-6, atol=0)
        exact = sum(all(row) for row in right.tolist()) / 8
        assert_close(table.exact[loops - 1].item(), exact)
    assert table.accuracy[:, 1].isnan().all()


def test_the_accuracy_table_has_the_first_loops_of_an_unrolled_model():
    batch, model = one_batch()[0], build(tied=False, loops=3).eval()
    first, whole = (accuracy_table(model, batch, loops) for loops in (2, 3))
    assert torch.equal(first.exact, whole.exact[:2])
    assert torch.equal(first.accuracy, whole.accuracy[:2])


def test_the_accuracy_table_draws_random_starts_from_its_generator():
    batch, model = one_batch()[0], build(start="normal").eval()

    def table(seed):
        return accuracy_table(model, batch, 3, torch.Generator().manual_seed(seed)).accuracy

    assert torch.equal(table(0), table(0))
    assert torch.equal(table(0), accuracy_table(model, batch, 3).accuracy)
    assert any(not torch.equal(table(0), table(seed)) for seed in range(1, 5))
