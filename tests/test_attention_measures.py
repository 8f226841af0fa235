"""Attention measures against loops over pairs, and Prop. 4.2 on models small enough to check."""

import pytest
import torch
from rounding import LAYER, assert_rounds_to
from test_model import build, some_tokens
from torch.testing import assert_close

from looplab import measure, trace
from looplab.measure import MeanPatterns, mean_patterns
from looplab.measure.lipschitz import _attention_inputs
from looplab.plots import floorplan


def some_patterns(loops=3, layers=2, batch=4, heads=3, token=7, seed=0):
    """Causal patterns [loop, layer, batch, head, token, token]."""
    random = torch.Generator().manual_seed(seed)
    scores = 2 * torch.randn(loops, layers, batch, heads, token, token, generator=random)
    future = torch.ones(token, token, dtype=torch.bool).triu(1)
    return scores.masked_fill(future, float("-inf")).softmax(-1)


def pairs(attention, compare):
    """The mean over sequences and heads of `compare(a, b)`, one pair at a time."""
    each = attention.flatten(0, -5).double()  # [pattern, batch, head, token, token]
    count, batch, heads = each.shape[:3]
    result = torch.zeros(count, count, dtype=torch.float64)
    for a in range(count):
        for b in range(count):
            for s in range(batch):
                for h in range(heads):
                    result[a, b] += compare(each[a, s, h], each[b, s, h]) / (batch * heads)
    return result


def frobenius(a, b):
    return (a - b).square().sum().sqrt()


def cosine(a, b):
    return (a * b).sum() / (a.square().sum() * b.square().sum()).sqrt()


@pytest.fixture(scope="module")
def hero():
    """A small run that settles, with its states and patterns."""
    model = build(norm="residual_sandwich", injection="concat", core=3)
    return model, trace(model, some_tokens(), 40, keep=("states", "attention"))


def test_all_distances_are_those_of_a_loop_over_pairs():
    attention = some_patterns()
    assert_close(measure.attention_distance(attention), pairs(attention, frobenius))
    assert_close(measure.attention_cosine(attention), pairs(attention, cosine))


def test_small_numbers_known_by_hand():
    keep, swap, even = torch.eye(2), torch.eye(2).flip(0), torch.full((2, 2), 0.5)
    attention = torch.stack((keep, swap, even))[:, None, None]  # [pattern, batch, head, 2, 2]
    far = torch.tensor([[0.0, 2, 1], [2, 0, 1], [1, 1, 0]], dtype=torch.float64)
    assert_close(measure.attention_distance(attention), far)
    root = 0.5**0.5
    near = torch.tensor([[1, 0, root], [0, 1, root], [root, root, 1]], dtype=torch.float64)
    assert_close(measure.attention_cosine(attention), near)
    assert_close(measure.attention_step(attention[:, 0, 0]), torch.tensor([2.0, 1.0]))
    relative = measure.attention_step(attention[:, 0, 0], relative=True)
    assert_close(relative, torch.tensor([2**0.5, 1.0]))
    assert_close(measure.attention_to_limit(attention[:, 0, 0]), torch.tensor([1.0, 1.0, 0.0]))


def test_distances_are_a_metric_and_see_the_order_of_heads():
    attention = some_patterns(token=20)
    distance = measure.attention_distance(attention)
    assert torch.equal(distance.diagonal(), torch.zeros(6, dtype=torch.float64))
    assert torch.equal(distance, distance.T)
    assert (distance[:, :, None] <= distance[:, None] + distance.T[None] + 1e-9).all()
    assert distance.max() <= (2 * 20) ** 0.5
    cosines = measure.attention_cosine(attention)
    assert torch.equal(cosines, cosines.T)
    assert_close(cosines.diagonal(), torch.ones(6, dtype=torch.float64))
    traded = torch.stack((attention[0, 0], attention[0, 0].roll(1, dims=1)))
    assert measure.attention_distance(traded)[0, 1] > 0.1


def test_a_stream_of_batches_gives_the_distances_of_the_whole(monkeypatch):
    attention = some_patterns(batch=5)
    seen = measure.AttentionDistances()
    for batch in attention.split((1, 3, 1), dim=2):
        assert seen.update(batch) is seen
    assert_close(seen.distance(), measure.attention_distance(attention), rtol=1e-13, atol=1e-13)
    assert_close(seen.cosine(), measure.attention_cosine(attention), rtol=1e-13, atol=1e-13)
    # Blocks of one query give what one block gives.
    monkeypatch.setattr("looplab.measure.attention._BLOCK", 1)
    assert_close(seen.distance(), measure.attention_distance(attention), rtol=1e-12, atol=1e-12)


def test_sequences_of_two_lengths_can_be_averaged():
    short, long = some_patterns(token=4), some_patterns(token=9, seed=1)
    seen = measure.AttentionDistances().update(short).update(long)
    both = (measure.attention_distance(short) + measure.attention_distance(long)) / 2
    assert_close(seen.distance(), both)


@pytest.mark.parametrize("phases", [1, 3])
def test_small_distances_survive_on_settling_and_on_orbiting_runs(phases):
    base = some_patterns(loops=phases, token=32, batch=1).log().clamp_min(-1e4)
    kick = some_patterns(loops=1, token=32, batch=1, seed=2)
    loops = [base[t % phases] + 0.7**t * kick[0] for t in range(24)]
    attention = torch.stack(loops).softmax(-1)
    right = pairs(attention, frobenius)
    found = measure.attention_distance(attention)
    apart = right >= 1e-4
    assert right[apart].min() < 1e-3  # the run does come close
    assert ((found - right).abs()[apart] / right[apart]).max() < 1e-5


def test_a_diverged_run_has_no_distances():
    attention = some_patterns()
    attention[1, 0] = torch.nan
    distance = measure.attention_distance(attention)
    assert distance[2].isnan().all()
    assert not distance[:2, :2].isnan().any()


def test_a_run_repeats_its_layers(hero):
    _, run = hero
    distance = measure.attention_distance(run.attention)
    contrast = measure.diagonal_contrast(distance, layers=3)
    same = torch.arange(120)[:, None] % 3 == torch.arange(120) % 3
    loop = torch.arange(120) // 3
    for layer in range(3):
        rows = torch.arange(120) % 3 == layer
        own = distance[rows][(same & (loop[:, None] != loop))[rows]].mean()
        assert_close(contrast[layer], own / distance[rows][~same[rows]].mean())
    assert contrast.max() < 0.2
    steps = measure.attention_step(run.attention, relative=True)
    assert steps.shape == (39, 3, 2, 4)
    assert steps[-1].max() < 1e-4 < steps[0].min()


def test_unrelated_patterns_have_no_diagonals():
    patterns = some_patterns(loops=8, batch=16)
    contrast = measure.diagonal_contrast(measure.attention_distance(patterns), 2)
    assert_close(contrast, torch.ones(2, dtype=torch.float64), atol=0.05, rtol=0)


@pytest.mark.parametrize(
    "settings",
    [
        {"position": "none", "attention": "full"},
        {"position": "rope_half"},
        {"position": "rope_interleaved", "kv_heads": 2, "norm": "residual_sandwich"},
        {"attention": "window", "window": 3, "norm": "branch_sandwich", "injection": "concat"},
        {"attention": "grid", "norm": "branch_post", "injection": "add"},
        {"rope_scaling": (8.0, 1.0, 4.0, 16.0), "injection": "diagonal", "start": "normal"},
    ],
)
def test_attention_moves_no_further_than_prop_4_2_allows(settings):
    model = build(**settings)
    for weight in model.parameters():
        weight.data *= 1.5  # livelier than a fresh model
    run = trace(model, some_tokens(), 6, keep=("states", "attention"))
    moved, bound, slack = measure.attention_bound(model, run)
    assert moved.shape == (5, 2, 2, 4)
    assert moved.max() > 1e-2
    assert (moved <= bound).all()
    assert_close(slack, bound / moved)
    steps = measure.attention_step(run.attention)
    assert_rounds_to(moved, steps, sums=LAYER)


def test_the_inputs_of_the_bound_are_those_that_attention_read():
    """Softmax of the scores of these inputs must be the traced patterns."""
    model = build(position="none", attention="full", injection="concat", core=2)
    run = trace(model, some_tokens(), 4, keep=("states", "attention"))
    for layer, x in enumerate(_attention_inputs(model, run).unbind(1)):
        q, k, _ = model.cores[0].layers[layer].attn.qkv(x).unflatten(-1, (3, 4, 4)).unbind(-3)
        scores = torch.einsum("lbihd,lbjhd->lbhij", q, k) / 2
        assert_close(scores.softmax(-1), run.attention[:, layer])


def test_the_norm_of_query_and_key_weights():
    model = build(position="none", attention="full")
    kappa = measure.query_key_norm(model, 9)
    query, key, _ = model.cores[0].layers[1].attn.qkv.weight.detach().double().chunk(3)
    for head in range(4):
        rows = slice(4 * head, 4 * head + 4)
        right = torch.linalg.matrix_norm(query[rows].T @ key[rows], ord=2)
        assert_close(kappa[1, head], right)
    turned = build(position="rope_half")  # the same weights; rotating can only find more
    assert_close(measure.query_key_norm(turned, 1), kappa)
    assert (measure.query_key_norm(turned, 9) >= kappa - 1e-12).all()
    product = torch.linalg.matrix_norm(query[:4], ord=2) * torch.linalg.matrix_norm(key[:4], ord=2)
    assert measure.query_key_norm(turned, 9)[1, 0] <= product


@pytest.mark.parametrize("attention", ["causal", "full"])
def test_rotary_positions_put_a_rotation_between_query_and_key(attention):
    model = build(position="rope_half", attention=attention, heads=2, kv_heads=1)
    found = measure.query_key_norm(model, 6)
    query, key, _ = model.cores[0].layers[0].attn.qkv.weight.detach().double().split((16, 8, 8))
    speed = 10_000 ** (-torch.arange(4, dtype=torch.float64) / 4)
    norms = []
    for distance in range(0 if attention == "causal" else -5, 6):
        cos, sin = (distance * speed).cos().diag(), (distance * speed).sin().diag()
        turn = torch.cat((torch.cat((cos, -sin), 1), torch.cat((sin, cos), 1)))
        norms.append([torch.linalg.matrix_norm((turn @ q).T @ key, 2) for q in query.split(8)])
    assert_close(found[0], torch.tensor(norms, dtype=torch.float64).amax(0), rtol=1e-6, atol=0)


def test_the_floorplan_holds_every_layer_that_ran():
    model = build(prelude=1, coda=2)
    patterns = mean_patterns(model, some_tokens(), loops=5)
    kept = trace(model, some_tokens(), 5, keep=("attention",)).attention
    assert_close(patterns.core, kept.mean(3))
    for part, layers in ((patterns.prelude, 1), (patterns.coda, 2)):
        assert part.shape == (layers, 2, 9, 9)
        assert_close(part.sum(-1), torch.ones(layers, 2, 9))
    picture = floorplan(patterns, sequence=1)
    assert torch.equal(picture.data["core"], patterns.core[:, :, 1])
    assert "1 prelude layer, 2 core layers at each of 5 loops, 2 coda layers" in picture.alt
    drawn, frames = picture.figure.axes[0].images, picture.figure.axes[0].patches
    assert (len(drawn), len(frames)) == (1 + 2 * 5 + 2, 2)
    assert picture.png()


def test_the_floorplan_says_when_a_layer_settles():
    still, turning = torch.eye(3), torch.eye(3).roll(1, 0)
    core = torch.stack([torch.stack((still, still if t % 2 else turning)) for t in range(6)])
    empty = torch.empty(0, 1, 3, 3)
    picture = floorplan(MeanPatterns(empty, core[:, :, None], empty))
    assert picture.alt.endswith("layer 1 from loop 1, layer 2 not before the last.")
    assert "prelude" not in picture.alt


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: measure.attention_step(torch.zeros(3, 3)), r"expected \[loop, \.\.\., token"),
        (lambda: measure.attention_distance(torch.zeros(3, 3, 3)), "keep="),
        (lambda: measure.attention_distance(torch.zeros(3, 1, 1, 4, 5)), r"\(3, 1, 1, 4, 5\)"),
        (lambda: measure.AttentionDistances().distance(), "call update"),
        (
            lambda: measure.AttentionDistances().update(some_patterns()).update(some_patterns(4)),
            "8 patterns each, the ones before had 6",
        ),
        (lambda: measure.diagonal_contrast(torch.zeros(7, 7), 2), "layers=2"),
        (lambda: measure.diagonal_contrast(torch.zeros(3, 3), 3), "two loops or more"),
        (lambda: measure.query_key_norm(build(qk_norm="head"), 4), "qk_norm='head'"),
        (lambda: measure.query_key_norm(build(qk_bias=True), 4), "qk_bias=True"),
        (lambda: measure.query_key_norm(build().unrolled(), 4), "unrolled"),
        (
            lambda: measure.attention_bound(build(), trace(build(), some_tokens())),
            "lacks states or patterns",
        ),
        (lambda: floorplan(mean_patterns(build(), some_tokens()), sequence=2), "sequences 0 to 1"),
    ],
)
def test_bad_input_names_the_value(call, says):
    with pytest.raises(ValueError, match=says):
        call()
