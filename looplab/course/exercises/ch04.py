"""Checks of chapter 04, Attention settles."""

import torch

from looplab import LoopedConfig, LoopedTransformer, tasks
from looplab.course.exercises.catalogue import Exercise
from looplab.course.exercises.kinds import as_tensor
from looplab.course.exercises.probing import (
    Mistake,
    agrees,
    ask,
    expect_close,
    expect_number,
    expect_right,
    expect_tensor,
    normal,
    watch,
)
from looplab.course.exercises.solutions import solution


def _patterns(seed, *shape):
    return normal(seed, *shape).mul(2).softmax(-1)


def pattern_distance(answer, seed):
    a, b = _patterns(seed, 2, 3, 5, 5), _patterns(seed + 100, 2, 3, 5, 5)
    result = as_tensor(ask(answer, a, b))
    right = (a - b).flatten(-2).norm(dim=-1)
    if isinstance(result, torch.Tensor):
        if result.shape == ():
            raise Mistake("one number for all heads: keep a distance for each pattern")
        if result.shape == (2, 3, 5):
            raise Mistake("a distance for each row of the pattern: a pattern is one matrix")
    result = expect_tensor(result, (2, 3))
    named = {
        "these are squared distances: the square root is missing": right.square(),
        "that sums absolute differences; the Frobenius norm squares them first": (
            (a - b).abs().sum((-2, -1))
        ),
        "that is the spectral norm, the largest stretch; the Frobenius norm is asked": (
            torch.linalg.matrix_norm(a - b, ord=2)
        ),
        "you subtracted norms; two patterns of equal norm can still be far apart": (
            a.flatten(-2).norm(dim=-1) - b.flatten(-2).norm(dim=-1)
        ),
    }
    expect_right(result, right, named, "the shape is right, but the distances are not")
    alone = expect_tensor(ask(answer, a[0, 0], b[0, 0]), ())
    expect_close(alone, right[0, 0], "two patterns without further axes come out wrong")
    return {"distance": result}


def all_distances(answer, seed):
    draw = torch.Generator().manual_seed(seed)
    patterns = torch.randn(40, 30, generator=draw)
    result = as_tensor(ask(answer, patterns))
    if isinstance(result, torch.Tensor) and result.isnan().any():
        raise Mistake(
            "there are NaN: rounding makes a square slightly negative, and its root is not a number"
        )
    result = expect_tensor(result, (40, 40))
    right = torch.cdist(patterns, patterns, compute_mode="donot_use_mm_for_euclid_dist")
    itself = torch.eye(40, dtype=torch.bool)  # zero up to rounding, which a root makes large
    square = patterns.square().sum(-1)
    half = (square[:, None] + square - patterns @ patterns.T).clamp_min(0).sqrt()
    named = {
        "these are the inner products; the distances are made from three of them": (
            patterns @ patterns.T
        ),
        "these are squared distances: the square root is missing": right.square(),
        "the inner product counts twice: |a - b|² = |a|² + |b|² - 2 ab": half,
    }
    named = {mistake: wrong[~itself] for mistake, wrong in named.items()}
    wrong = "the shape is right, but the distances are not"
    expect_right(result[~itself], right[~itself], named, wrong, rtol=1e-3, atol=1e-3)
    expect_close(result[itself], right[itself], "a pattern is at distance 0 from itself", atol=0.05)
    # A run that settles: patterns ever closer to the last one, as in the chapter.
    steps = torch.randn(12, 30, generator=draw) * 0.3 ** torch.arange(12.0)[:, None]
    settling = torch.rand(30, generator=draw) + steps
    near = as_tensor(ask(answer, settling))
    # A long one of three layers, each of which repeats its own pattern: [loop, layer, entry].
    points = torch.rand(3, 30, generator=draw)
    long = (points + 1e-4 * torch.randn(60, 3, 30, generator=draw)).flatten(0, 1)
    far = as_tensor(ask(answer, long))
    for one in (near, far):
        if isinstance(one, torch.Tensor) and one.isnan().any():
            raise Mistake(
                "on a run that settles there are NaN: rounding makes a square negative, and its "
                "root is not a number"
            )
    near, far = expect_tensor(near, (12, 12)), expect_tensor(far, (180, 180))
    wanted = (settling[:, None] - settling[None]).double().norm(dim=-1)
    others = ~torch.eye(12, dtype=torch.bool)
    if not agrees(near[others], wanted[others], rtol=1e-2, atol=0):
        raise Mistake(
            "patterns that nearly agree come out at the wrong distance: in float32 two large "
            "numbers are subtracted here. Count all patterns from the last one before you multiply"
        )
    wanted = torch.cdist(long.double(), long.double())
    expect_close(far, wanted, "on a long run the distances are not right", rtol=1e-2, atol=0.02)
    return {"distances": result[~itself], "settling": near[others]}


def contrast(answer, seed):
    draw = torch.Generator().manual_seed(seed)
    layers, loops = 2 + seed % 3, 5
    size = layers * loops
    table = torch.rand(size, size, generator=draw) + 1
    layer = torch.arange(size) % layers
    same = layer[:, None] == layer
    table[same] *= 0.3
    table = (table + table.T) / 2
    table.fill_diagonal_(0)
    result = expect_number(ask(answer, table, layers))
    itself = torch.eye(size, dtype=torch.bool)

    def ratio(same, keep=~itself):
        return table[same & keep].mean() / table[~same].mean()

    right = ratio(same)
    block, numbered = torch.arange(size) // layers, torch.arange(size) // loops
    named = {
        "a pattern's distance to itself is 0 and says nothing: leave the diagonal out": (
            ratio(same, keep=same)
        ),
        "upside down: the same layer belongs above the line, the others below": 1 / right,
        "you compared patterns of one loop; the question is about one layer": (
            ratio(block[:, None] == block)
        ),
        "the order is layer by layer inside each loop: the layer is index % layers": (
            ratio(numbered[:, None] == numbered)
        ),
        "below the line stand the distances between different layers alone, not all distances": (
            table[same & ~itself].mean() / table.mean()
        ),
    }
    expect_right(result, right, named, "the number is not the ratio of the two means")
    return {"contrast": result}


def most_change(answer, seed):
    draw = torch.Generator().manual_seed(seed)
    before = torch.randn(6, 8, generator=draw)  # [token, width]
    after = before * 0.5 + 0.1 * torch.randn(6, 8, generator=draw)
    kappa, head_width = 1.7 + seed % 5 / 10, 3 + 2 * (seed % 2)
    result = expect_number(ask(answer, before, after, kappa, head_width))
    root = head_width**0.5
    step, big, small = (after - before).norm(), before.norm(), after.norm()
    right = big * kappa / root * step
    tighter = (big + small) / 2 * kappa / root * step  # each term of the proof with its own norm
    swapped = expect_number(ask(answer, after, before, kappa, head_width))
    if not agrees(result, right) and not (agrees(result, tighter) and agrees(swapped, tighter)):
        spectral = torch.linalg.matrix_norm(before, ord=2)
        named = {
            "twice too much: the softmax's own constant, 1/2, is missing": 2 * right,
            "half of it: the score is quadratic in X, which is where 2 B comes from": right / 2,
            "B has to cover both states: take the larger of the two norms": right * small / big,
            "scores are divided by the root of the head's width, not the state's": (
                right * root / 8**0.5
            ),
            "you divided by the head's width: scores are divided by its root": right / root,
            "scores are divided by the root of the head's width, and yours are not divided": (
                right * root
            ),
            "scores are divided by the root of the head's width, and yours are multiplied": (
                right * head_width
            ),
            "B is a Frobenius norm here, over all tokens and channels": right * spectral / big,
            "the last factor is missing: how far the state moved": right / step,
        }
        wrong = "the number is not 1/2 · 2 B κ / sqrt(d) · ‖X_t - X_{t-1}‖"
        expect_right(result, right, named, wrong)
    still = expect_number(ask(answer, before, before, kappa, head_width))
    if still:
        raise Mistake("a state that does not move should leave attention no room to move")
    # The larger norm may also be the later one.
    if not agrees(swapped, right) and not agrees(swapped, tighter):
        raise Mistake("B has to cover both states: take the larger of the two norms")
    return {"most": right}


def freeze_from(answer, seed):
    config = LoopedConfig(vocab=9, width=16, heads=2, core=2, injection="concat", start="zeros")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LoopedTransformer(config).eval().requires_grad_(False)
    for linear in (m for m in model.modules() if isinstance(m, torch.nn.Linear)):
        linear.weight *= 3  # attention that moves, so that freezing it shows
    tokens = torch.arange(7)[None]

    def run(tap, loops=6):
        return model(tokens, loops, tap=tap).logits

    def tapped(answer, model, tokens, loop, loops=6):
        tap = ask(answer, loop)
        if not callable(tap):
            raise Mistake(f"a tap is expected, a function of (site, value), not {tap!r}")
        return model(tokens, loops, tap=tap).logits, bool(getattr(tap, "patterns", False))

    freeze = solution("04.5")
    free, results = run(_Look()), []
    for loop in (1, 3):
        logits, patterns = watch(answer, tapped, model, tokens, loop)
        result = expect_tensor(logits, free.shape)
        right = run(freeze(loop))
        results.append(result)
        if agrees(result, right):
            continue
        if agrees(result, free) and not patterns:
            raise Mistake(
                "the tap is never shown a pattern: attention runs fused unless tap.patterns is True"
            )
        if agrees(result, free):
            raise Mistake("nothing is frozen: does the tap return the kept pattern?")
        if agrees(result, run(freeze(loop + 1))):
            raise Mistake("off by one: site.loop counts from 0, the chapter's loops from 1")
        if loop > 1 and agrees(result, run(freeze(1))):
            raise Mistake("the patterns of loop 1 are kept; keep those of the loop you are given")
        if agrees(result, run(_OneForAll(loop))):
            raise Mistake("one pattern serves all layers: keep a pattern for each layer")
        raise Mistake("the logits are not those of a run with frozen attention")
    return {"logits": torch.stack(results)}


class _Look:
    patterns = True

    def __call__(self, site, value):
        return None


class _OneForAll:
    patterns = True

    def __init__(self, loop):
        self.loop, self.kept = loop, None

    def __call__(self, site, value):
        if site.name == "core.attn.pattern" and site.loop >= self.loop - 1:
            if self.kept is None:
                self.kept = value
            return self.kept


def looks_up(answer, seed):
    draw = torch.Generator().manual_seed(seed)
    # Chains of different lengths, so that means over nodes and over forests differ.
    forests = tasks.chain_and_star(3, draw, nodes=9, chain=(5, 5))
    other = tasks.chain_and_star(3, draw, nodes=9, chain=(7, 8))
    parents = tasks.parents(torch.cat((forests.tokens, other.tokens)))
    patterns = torch.randn(3, 2, 6, 4, 9, 9, generator=draw).mul(2).softmax(-1)
    result = as_tensor(ask(answer, patterns, parents, 4))
    if isinstance(result, torch.Tensor):
        if result.shape == (3, 2, 4):
            raise Mistake(
                "there are as many looks as steps: the look at the node itself is missing"
            )
        if result.dim() > 3:
            raise Mistake(
                f"the shape is {tuple(result.shape)}: heads, forests and nodes are averaged"
            )
    result = expect_tensor(result, (3, 2, 5))
    right = solution("04.6")
    everyone = _looks_of_everyone(patterns, parents)
    by_forest = [
        right(patterns[:, :, n : n + 1], parents[n : n + 1], 4) for n in range(len(parents))
    ]
    named = {
        "a node that stands at its root is counted again: it has no ancestor further up": everyone,
        "rows look and columns are looked at: you read the pattern the other way round": right(
            patterns.mT, parents, 4
        ),
        "this is a mean of each forest's mean: every node of the batch counts alike": torch.stack(
            by_forest
        ).mean(0),
        "these begin at the parent: 0 steps up is the node itself": right(patterns, parents, 5)[
            ..., 1:
        ],
        "only the first head is here: take the mean over the heads": right(
            patterns[:, :, :, :1], parents, 4
        ),
    }
    expect_right(result, right(patterns, parents, 4), named, "the weights are not right")
    return {"looks": result}


def _looks_of_everyone(patterns, parents):
    """The mean over all nodes, in which a root is its own ancestor for ever."""
    weights, node, looks = patterns.mean(3), torch.arange(9).expand_as(parents), []
    for _ in range(5):
        index = node[..., None].expand(*weights.shape[:-1], 1)
        looks.append(weights.gather(-1, index)[..., 0].mean((-2, -1)))
        node = parents.gather(1, node)
    return torch.stack(looks, dim=-1)


EXERCISES = [
    Exercise("04.1", "distance of two patterns", solution("04.1"), pattern_distance),
    Exercise("04.2", "all pairs at once", solution("04.2"), all_distances),
    Exercise("04.3", "a number for the stripes", solution("04.3"), contrast),
    Exercise("04.4", "how far attention may move", solution("04.4"), most_change),
    Exercise("04.5", "freeze attention", solution("04.5"), freeze_from),
    Exercise("04.6", "how far up does it look", solution("04.6"), looks_up),
]
