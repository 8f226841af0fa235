"""The grid of random stacks: many at once equal one at a time, and known outcomes come out."""

import json

import pytest
import torch
from rounding import LAYER, assert_rounds_to

from looplab import trace
from looplab.experiments import random_stacks as grid


@pytest.mark.parametrize("norm", grid.NORMS)
@pytest.mark.parametrize("injection", grid.INJECTIONS)
def test_stacks_run_together_as_they_run_alone(norm, injection):
    stacks = [grid.random_stack(norm, injection, 3, 0.7, seed, width=16) for seed in (0, 1)]
    ids = torch.stack([grid.random_tokens(seed, 6) for seed in (0, 1)])
    states = grid.run_together(stacks, ids, 4)
    for n, stack in enumerate(stacks):
        alone = trace(stack, ids[n], loops=4, generator=torch.Generator().manual_seed(n))
        assert_rounds_to(states[n], alone.states, sums=LAYER * 3 * 4)


def test_weights_have_the_gain_they_were_asked_for():
    stack = grid.random_stack("pre", "random", 4, 1.5, 0, width=64)
    for name, weight in stack.cores[0].named_parameters():
        if weight.dim() == 2:
            assert weight.std() * weight.shape[1] ** 0.5 == pytest.approx(1.5, rel=0.06), name
    again = grid.random_stack("pre", "random", 4, 1.5, 0, width=64)
    other = grid.random_stack("pre", "random", 4, 1.5, 1, width=64)
    weight = "cores.0.layers.0.mlp.up.weight"
    assert torch.equal(stack.state_dict()[weight], again.state_dict()[weight])
    assert not torch.equal(stack.state_dict()[weight], other.state_dict()[weight])


def test_drawing_weights_leaves_the_global_random_state_alone():
    before = torch.random.get_rng_state()
    grid.random_stack("Ouro", "half-half", 2, 1.0, 7)
    assert torch.equal(before, torch.random.get_rng_state())


def test_outcomes_that_are_known():
    settings = {"seeds": (0, 1, 2), "width": 32, "tokens": 8}
    rows = grid.grid(["pre"], ["none"], [4], [0.5, 2.0], **settings)
    assert {row.kind for row in rows} == {"degenerate"}
    assert all(1.5 < row.growth < 3 for row in rows)  # the stream grows by the loop
    rows = grid.grid(["Huginn"], ["half-half"], [4], [0.5], **settings)
    assert {row.kind for row in rows} == {"cycle"}
    assert all(row.step < 1e-5 and row.resting == 1 for row in rows)
    rows = grid.grid(["pre"], ["random"], [4], [2.0], **settings)
    assert {row.kind for row in rows} == {"explodes"}


def test_the_table_counts_every_seed_once():
    rows = grid.grid(["Ouro"], ["none", "random"], [2], [0.5, 1.0], [0, 1], width=16, tokens=4)
    lines = grid.table(rows).splitlines()
    assert len(lines) == 4
    for line in lines[2:]:
        counts = [part.split(",") for part in line.split("|")[4:6]]
        assert all(sum(int(one.split()[0]) for one in cell) == 2 for cell in counts)


def test_the_command_prints_the_table_and_writes_every_outcome(tmp_path, capsys):
    out = tmp_path / "grid.json"
    options = ["--width", "16", "--seeds", "1", "--depths", "2", "--gains", "0.5"]
    assert grid.main([*options, "--out", str(out)]) == 0
    assert "| pre | none | 2 | 1 degenerate |" in capsys.readouterr().out
    assert len(json.loads(out.read_text())) == 9


@pytest.mark.parametrize(
    ("norm", "injection", "says"),
    [("post", "none", "norm='post': expected one of pre, Huginn, Ouro"), ("pre", "x", "injection")],
)
def test_unknown_names_are_refused(norm, injection, says):
    with pytest.raises(ValueError, match=says):
        grid.random_stack(norm, injection, 2, 1.0, 0)


def test_a_state_whose_length_overflows_explodes():
    one = grid.random_stack("pre", "random", 4, 2.5, 1)
    states = grid.run_together([one], grid.random_tokens(1, 12)[None], 128)[0]
    assert states.isfinite().all() and states[-1].norm().isinf()  # its square is out of range
    assert grid.grid(["pre"], ["random"], [4], [2.5], [1])[0].kind == "explodes"


def test_several_processes_find_what_one_finds():
    settings = dict(depths=[2, 3], gains=[1.0], seeds=[0], width=16, tokens=4)
    once = grid.grid(["pre", "Ouro"], ["none", "half-half"], **settings)
    assert grid.grid(["pre", "Ouro"], ["none", "half-half"], jobs=2, **settings) == once


def test_runs_of_one_input_differ_by_their_start_alone():
    runs = grid.random_runs("Huginn", "half-half", range(2), inputs=(0, 0, 1), tokens=4, loops=3)
    x, states = runs
    assert states.shape == (2, 3, 3, 3, 4, 32) and states.dtype == torch.float64
    assert torch.equal(x[:, 0], x[:, 1]) and not torch.equal(x[:, 0], x[:, 2])
    assert not torch.equal(states[:, 0], states[:, 1])
    stack = grid.random_stack("Huginn", "half-half", 3, 1.0, 1).double()
    tokens = torch.cat([grid.random_tokens(1 + 100 * n, 4) for n in (0, 0, 1)])
    alone = trace(stack, tokens, 3, generator=torch.Generator().manual_seed(1)).states
    torch.testing.assert_close(states[1], alone.movedim(2, 0))
