"""Tasks against slow solvers that anybody can read."""

from collections import deque
from functools import partial

import pytest
import torch

from looplab import tasks

TASKS = {
    "root": tasks.find_root,
    "flood": tasks.flood_fill,
    "parity": tasks.windowed_parity,
    "chains": tasks.two_chains,
    "decoys": tasks.chain_and_star,
    "shallow": partial(tasks.find_root, nodes=9, max_depth=3),
    "small": partial(tasks.flood_fill, side=4),
    "short": partial(tasks.windowed_parity, length=5),
}
every_task = pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def same(first, second):
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@every_task
def test_a_seed_repeats_and_another_differs(task):
    assert same(task(16, seeded(3)), task(16, seeded(3)))
    assert not torch.equal(task(16, seeded(3)).tokens, task(16, seeded(4)).tokens)
    generator = seeded(3)
    assert not torch.equal(task(16, generator).tokens, task(16, generator).tokens)


@every_task
def test_drawing_leaves_the_global_random_state_alone(task):
    before = torch.get_rng_state()
    task(4, seeded())
    assert torch.equal(torch.get_rng_state(), before)


@every_task
def test_every_token_has_a_target_and_a_difficulty(task):
    tokens, targets, difficulty = task(5, seeded())
    assert tokens.shape[:2] == targets.shape == difficulty.shape
    assert tokens.shape[0] == 5
    assert {part.dtype for part in (tokens, targets, difficulty)} == {torch.long}
    assert difficulty.min() >= -1
    assert targets.min() >= 0


@pytest.mark.parametrize(("nodes", "max_depth"), [(12, 5), (9, 3), (6, 1), (4, 0), (8, 7), (1, 0)])
def test_find_root_is_where_the_pointers_lead(nodes, max_depth):
    batch = tasks.find_root(64, seeded(), nodes=nodes, max_depth=max_depth)
    for tokens, targets, difficulty in zip(*(part.tolist() for part in batch), strict=True):
        parent = dict(tokens)
        assert sorted(own for own, _ in tokens) == list(range(nodes))
        for (own, _), target, depth in zip(tokens, targets, difficulty, strict=True):
            at, steps = own, 0
            while parent[at] != at:
                at, steps = parent[at], steps + 1
                assert steps <= max_depth
            assert (target, depth) == (at, steps)


def test_find_root_uses_the_depth_it_is_given_and_gives_nothing_away():
    tokens, targets, difficulty = tasks.find_root(2000, seeded())
    shares = difficulty.flatten().bincount() / difficulty.numel()
    assert len(shares) == 6
    assert shares.min() > 0.03
    # Neither place nor label tells the answer: both are as often right as any guess.
    for values in (tokens[..., 0], targets):
        counts = torch.stack([row.bincount(minlength=12) for row in values.T]).float()
        assert (counts / 2000 - 1 / 12).abs().max() < 0.04


def test_two_chains_are_alike_and_no_guess_does_better_than_half():
    batch = tasks.two_chains(64, seeded(), nodes=10)
    for tokens, targets, difficulty in zip(*(part.tolist() for part in batch), strict=True):
        parent = dict(tokens)
        assert sorted(difficulty) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
        assert sorted(targets.count(label) for label in set(targets)) == [5, 5]
        for (own, _), target, depth in zip(tokens, targets, difficulty, strict=True):
            for _ in range(depth):
                assert own != target
                own = parent[own]
            assert own == target == parent[own]


def test_a_chain_of_every_length_stands_beside_a_star_of_the_other_nodes():
    batch, lengths = tasks.chain_and_star(256, seeded(), nodes=12, chain=(6, 10)), set()
    for tokens, targets, difficulty in zip(*(part.tolist() for part in batch), strict=True):
        parent = dict(tokens)
        long = max(difficulty) + 1
        lengths.add(long)
        assert sorted(difficulty) == [-1] * (12 - long) + list(range(long))
        for (own, up), target, depth in zip(tokens, targets, difficulty, strict=True):
            if depth < 0:
                assert up == target == parent[up]  # a leaf under its root, or the root
            for _ in range(max(depth, 0)):
                assert own != target
                own = parent[own]
            assert depth < 0 or own == target == parent[own]
    assert lengths == {6, 7, 8, 9, 10}


@pytest.mark.parametrize(("side", "wall"), [(6, 0.35), (5, 0.6), (4, 0.0), (3, 1.0), (1, 0.5)])
def test_flood_fill_is_a_breadth_first_search(side, wall):
    batch = tasks.flood_fill(64, seeded(1), side=side, wall=wall)
    for tokens, targets, difficulty in zip(*(part.tolist() for part in batch), strict=True):
        assert set(tokens) <= {tasks.OPEN, tasks.WALL, tasks.START}
        assert tokens.count(tasks.START) == 1
        start = tokens.index(tasks.START)
        distance, queue = {start: 0}, deque([start])
        while queue:
            at = queue.popleft()
            row, column = divmod(at, side)
            for r, c in (
                (row - 1, column),
                (row + 1, column),
                (row, column - 1),
                (row, column + 1),
            ):
                to = r * side + c
                inside = 0 <= r < side and 0 <= c < side
                if inside and tokens[to] != tasks.WALL and to not in distance:
                    distance[to] = distance[at] + 1
                    queue.append(to)
        assert difficulty == [distance.get(cell, -1) for cell in range(side * side)]
        assert targets == [int(cell in distance) for cell in range(side * side)]


def test_flood_fill_has_the_share_of_walls_asked_for():
    tokens = tasks.flood_fill(500, seeded(), side=8, wall=0.3).tokens
    assert abs((tokens == tasks.WALL).float().mean() - 0.3 * 63 / 64) < 0.01
    assert not (tasks.flood_fill(9, seeded(), wall=0.0).tokens == tasks.WALL).any()


@pytest.mark.parametrize("length", [1, 5, 12])
def test_parity_is_counted_bit_by_bit(length):
    batch = tasks.windowed_parity(64, seeded(), length=length)
    for tokens, targets, difficulty in zip(*(part.tolist() for part in batch), strict=True):
        assert tokens[0] == tasks.BOS
        assert set(tokens[1:]) <= {0, 1}
        ones, expected = 0, [0]
        for bit in tokens[1:]:
            ones += bit
            expected.append(ones % 2)
        assert targets == expected
        assert difficulty == list(range(length + 1))


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: tasks.find_root(0, seeded()), ValueError, "batch is 0.*at least 1"),
        (lambda: tasks.find_root(2.0, seeded()), TypeError, "batch is 2.0.*whole number"),
        (lambda: tasks.find_root(True, seeded()), TypeError, "batch is True"),
        (lambda: tasks.find_root(2, seeded(), nodes=0), ValueError, "nodes is 0"),
        (
            lambda: tasks.find_root(2, seeded(), nodes=4, max_depth=4),
            ValueError,
            "max_depth is 4.*from 0 to 3",
        ),
        (lambda: tasks.find_root(2, seeded(), max_depth=-1), ValueError, "max_depth is -1"),
        (lambda: tasks.two_chains(2, seeded(), nodes=7), ValueError, "nodes is 7.*even"),
        (lambda: tasks.chain_and_star(2, seeded(), nodes=2), ValueError, "nodes is 2"),
        (
            lambda: tasks.chain_and_star(2, seeded(), chain=(6, 12)),
            ValueError,
            r"chain\[1\] is 12; it must be from 2 to 11",
        ),
        (
            lambda: tasks.chain_and_star(2, seeded(), chain=(9, 6)),
            ValueError,
            r"chain\[0\] is 9; it must be from 2 to 6",
        ),
        (lambda: tasks.find_root(2, 7), TypeError, r"generator is 7; pass torch\.Generator"),
        (lambda: tasks.flood_fill(2, seeded(), side=0), ValueError, "side is 0"),
        (lambda: tasks.flood_fill(2, seeded(), wall=1.5), ValueError, "wall is 1.5.*from 0 to 1"),
        (lambda: tasks.flood_fill(2, seeded(), wall=float("nan")), ValueError, "wall is nan"),
        (lambda: tasks.flood_fill(2, None), TypeError, "generator is None"),
        (lambda: tasks.windowed_parity(2, seeded(), length=0), ValueError, "length is 0"),
        (lambda: tasks.windowed_parity(2, seeded(), length="9"), TypeError, "length is '9'"),
        (lambda: tasks.windowed_parity(2, None), TypeError, "generator is None"),
        (lambda: tasks.steps_from_start(torch.zeros(1, 5)), ValueError, r"shape \[1, 5\]"),
        (lambda: tasks.parents(torch.zeros(3, 3)), ValueError, r"shape \[3, 3\]"),
        (lambda: tasks.parents(torch.tensor([[1, 2], [3, 1]])), ValueError, "2 is named"),
        (lambda: tasks.parents(torch.tensor([[1, 1], [1, 1]])), ValueError, "1 is named"),
        (lambda: next(tasks.batches(tasks.find_root, 0, seeded())), ValueError, "batch is 0"),
        (
            lambda: next(tasks.batches(tasks.find_root, 4, seeded(), block=0)),
            ValueError,
            "block is 0",
        ),
    ],
)
def test_bad_input_names_the_value_and_the_remedy(call, error, says):
    with pytest.raises(error, match=says):
        call()


def test_parents_are_where_the_pointers_point():
    tokens = tasks.find_root(16, seeded()).tokens
    assert torch.equal(tokens[..., 0].gather(1, tasks.parents(tokens)), tokens[..., 1])


@every_task
def test_batches_are_one_draw_in_slices(task):
    def first(count, seed):
        stream = tasks.batches(task, 4, seeded(seed), block=3)
        return [next(stream) for _ in range(count)]

    assert all(same(a, b) for a, b in zip(first(8, 5), first(8, 5), strict=True))
    assert not same(first(1, 5)[0], first(1, 6)[0])
    whole = task(12, seeded(5))
    for n, batch in enumerate(first(3, 5)):
        assert same(batch, [part[4 * n : 4 * n + 4] for part in whole])
    assert not same(*first(4, 5)[::3])
