"""Checks of chapter 09, Hyperloop: small random streams, gates, states and weights."""

from functools import partial
from itertools import combinations, pairwise

import torch
import torch.nn.functional as F

from looplab.course.exercises.catalogue import Exercise
from looplab.course.exercises.kinds import as_tensor
from looplab.course.exercises.probing import (
    Mistake,
    ask,
    derived,
    expect_right,
    expect_tensor,
    normal,
)
from looplab.course.exercises.solutions import solution


def _gate(seed, streams, flat):
    """phi, alpha and bias of one gate."""
    return normal(seed, streams, flat), 0.3 + 0.2 * (seed % 3), normal(seed + 1, streams)


def _three(result, shape):
    result = as_tensor(result)  # three of one shape become one tensor
    if not isinstance(result, torch.Tensor | list | tuple) or len(result) != 3:
        raise Mistake("three tensors are expected: what is read, written and kept of each stream")
    return [expect_tensor(one, shape) for one in result]


def stream_gates(answer, seed):
    found = {}
    for case, (batch, streams, width) in enumerate([((2, 2), 3, 5), ((), 2, 4)]):
        y = 3 * normal(seed + case, *batch, streams, width)
        triples = [_gate(seed + 10 * n + case, streams, streams * width) for n in (1, 2, 3)]
        result = _three(ask(answer, y, *triples), (*batch, streams))
        flat = y.flatten(-2)

        def told(g, last=torch.sigmoid, factors=(1, 2, 1), triples=triples):
            return torch.stack(
                [
                    f * last(alpha * (g @ phi.T) + bias)
                    for f, (phi, alpha, bias) in zip(factors, triples, strict=True)
                ]
            )

        def root(x):
            return x.square().mean(-1, keepdim=True).sqrt()

        g = flat / root(flat)
        right = told(g)
        other_order = y.transpose(-1, -2).flatten(-2)
        scaled_bias = torch.stack(
            [
                f * (alpha * (g @ phi.T + bias)).sigmoid()
                for f, (phi, alpha, bias) in zip((1, 2, 1), triples, strict=True)
            ]
        )
        named = {
            "the streams go in with their length: divide by the root of their mean square": (
                told(flat)
            ),
            "they are divided by their length: by the root of the mean square, not of the sum": (
                told(F.normalize(flat, dim=-1))
            ),
            "the root is missing: divide by the root of the mean square": (
                told(flat / flat.square().mean(-1, keepdim=True))
            ),
            "each stream is divided by its own mean square: there is one for all of them": (
                told((y / root(y)).flatten(-2))
            ),
            "the mean is subtracted too: only divide": (
                told((flat - flat.mean(-1, keepdim=True)) / root(flat))
            ),
            "the streams are laid side by side the other way round: stream after stream": (
                told(other_order / root(other_order))
            ),
            "what is written lies between 0 and 2: twice a sigmoid": told(g, factors=(1, 1, 1)),
            "what is read lies between 0 and 1; the factor of 2 belongs to what is written": (
                told(g, factors=(2, 1, 1))
            ),
            "what is kept lies between 0 and 1; the factor of 2 belongs to what is written": (
                told(g, factors=(1, 1, 2))
            ),
            "only what is written lies between 0 and 2": told(g, factors=(2, 2, 2)),
            "the sigmoid is missing": told(g, last=lambda x: x),
            "a softmax makes the streams compete: each gate has a sigmoid of its own": (
                told(g, last=lambda x: x.softmax(-1))
            ),
            "alpha multiplies the bias too: it belongs to the product alone": scaled_bias,
            "the order is read, written, kept": right[[0, 2, 1]],
        }
        expect_right(torch.stack(result), right, named, "these are not the gates")
        found[f"case {case}"] = torch.stack(result)
    return found


def _block(weight, z):
    return (z @ weight).tanh() + z / 2


def _gates(weights, y, i):
    """P, Q and G of pass i, which depend on the streams and on the pass."""
    seen = (y.flatten(-2) @ weights[i]).unflatten(-1, (3, -1))
    p, q, g = seen.sigmoid().unbind(-2)
    return p, 2 * q, g


def my_hyperloop(answer, seed):
    hidden, found = derived(seed), []
    for case, (batch, streams, passes) in enumerate([((2, 3), 3, 3), ((4,), 2, 1)]):
        width = 5
        x = normal(hidden + case, *batch, width)
        embeds = normal(hidden + case + 1, passes, width)
        block = partial(_block, normal(hidden + case + 2, width, width))
        weights = normal(hidden + case + 3, passes, streams * width, 3 * streams)
        gates = partial(_gates, weights)
        result = as_tensor(ask(answer, x, block, gates, embeds, streams))
        if isinstance(result, torch.Tensor) and result.shape == (*batch, streams, width):
            raise Mistake("these are all the streams: return their mean")
        result = expect_tensor(result, x.shape)

        def loop(
            wrong="", x=x, block=block, gates=gates, embeds=embeds, streams=streams, passes=passes
        ):
            y = x[..., None, :].repeat_interleave(streams, -2)
            if wrong == "first alone":
                y = torch.cat([y[..., :1, :], torch.zeros_like(y[..., 1:, :])], -2)
            for i in range(passes - (wrong == "one less")):
                p, q, g = gates(y, 0 if wrong == "gates of 0" else i)
                if wrong == "wrong gates":
                    p, q, g = g, q, p
                read = (p[..., None] * y).sum(-2)
                if wrong == "mean read":
                    read = (p[..., None] * y).mean(-2)
                if wrong == "plain read":
                    read = y.mean(-2)
                if wrong == "first embed":
                    z = block(read + embeds[i])
                elif wrong == "no embed":
                    z = block(read)
                elif wrong == "embed of 0":
                    z = block(read) + embeds[0]
                else:
                    z = block(read) + embeds[i]
                if wrong == "half embed":
                    z = block(read)
                kept = y if wrong == "all kept" else g[..., None] * y
                if wrong == "late gates":
                    q = gates(kept, i)[1]
                written = z[..., None, :] * (1 if wrong == "no write" else q[..., None])
                y = kept + written
                if wrong == "nothing kept":
                    y = written
                if wrong == "half embed":
                    y = y + embeds[i]
            if wrong == "sum":
                return y.sum(-2)
            return y[..., 0, :] if wrong == "first stream" else y.mean(-2)

        named = {
            "the embedding of the pass goes into the block: add it to what comes out": (
                loop("first embed")
            ),
            "the embedding of the pass is missing": loop("no embed"),
            "the embedding of the first pass is added in all of them": loop("embed of 0"),
            "the embedding goes to the streams past the gate: add it to the block's output": (
                loop("half embed")
            ),
            "the gates are those of pass 0 in all of them": loop("gates of 0"),
            "there is a pass too few: as many as embeddings": loop("one less"),
            "the streams are summed in the end: take their mean": loop("sum"),
            "one stream alone is returned: take the mean of all": loop("first stream"),
            "the block reads the mean of what the gates let through: their sum": loop("mean read"),
            "the block reads the plain mean of the streams: weigh them with P": loop("plain read"),
            "the streams keep all of themselves: multiply them by G": loop("all kept"),
            "the streams keep nothing of themselves: add to them": loop("nothing kept"),
            "the output is written to all streams alike: multiply it by Q": loop("no write"),
            "all gates read the streams as they are before the pass": loop("late gates"),
            "P and G are exchanged: P is for reading": loop("wrong gates"),
            "only one stream begins as x: all of them do": loop("first alone"),
        }
        expect_right(result, loop(), named, "the streams do not end where they should")
        found.append(result)
    return {"mean": found}


def pass_matrix(answer, seed):
    found = []
    for shape in ((2, 3), (4,)):
        read, write, keep = (normal(seed + n, *shape).sigmoid() for n in range(3))
        result = expect_tensor(ask(answer, read, write, keep), (*shape, shape[-1]))
        own, both = torch.diag_embed(keep), write[..., :, None] * read[..., None, :]
        named = {
            "to and from are exchanged: row s is what stream s becomes": own + both.mT,
            "what the streams keep is missing: it stands on the diagonal": both,
            "what is read and written is missing": own,
            "each stream reads only itself: the block reads all of them": (
                own + torch.diag_embed(write * read)
            ),
            "each stream keeps of all the others too: G belongs on the diagonal": (
                keep[..., :, None] + both
            ),
            "Q is not in it: a stream gets Q of what was read": own + read[..., None, :] + 0 * both,
            "P is not in it: of stream t, P is read": own + write[..., :, None] + 0 * both,
        }
        expect_right(result, own + both, named, "this is not what a pass does to the streams")
        found.append(result)
    return {"matrix": found}


def cosine_between_loops(answer, seed):
    found = []
    for shape in ((4, 2, 3, 5, 6), (2, 3, 4)):
        states = normal(seed, *shape) + 0.5
        result = as_tensor(ask(answer, states))
        if isinstance(result, torch.Tensor) and result.dim() == 0:
            raise Mistake("this is one number: there is one for each layer")
        result = expect_tensor(result, shape[1:2])
        unit = F.normalize(states, dim=-1)
        loops = range(shape[0])

        def mean(pairs, unit=unit):
            alike = torch.stack([(unit[i] * unit[j]).sum(-1) for i, j in pairs])
            return alike.mean(0).flatten(1).mean(1) if alike.dim() > 2 else alike.mean(0)

        pairs = list(combinations(loops, 2))
        right = mean(pairs)
        middle = states.flatten(2, -2).mean(2) if states.dim() > 3 else states
        whole = F.normalize(states.flatten(2), dim=-1)
        products = torch.stack([(states[i] * states[j]).sum(-1) for i, j in pairs])
        named = {
            "each loop is compared with itself too: take pairs of two different ones": (
                mean([(i, j) for i in loops for j in loops])
            ),
            "only neighbouring loops are compared: take all pairs": mean([*pairwise(loops)]),
            "all loops are compared with the last one alone: take all pairs": (
                mean([(i, loops[-1]) for i in loops[:-1]])
            ),
            "all loops are compared with the first one alone: take all pairs": (
                mean([(0, i) for i in loops[1:]])
            ),
            "the states are averaged first: the cosine comes first, then the mean": (
                mean(pairs, F.normalize(middle, dim=-1))
            ),
            "a cosine of all tokens together: one for each token, then the mean": (
                mean(pairs, whole[:, :, None])
            ),
            "these are products: a cosine is of vectors of length one": (
                products.mean(0).flatten(1).mean(1) if products.dim() > 2 else products.mean(0)
            ),
            "the sum over the pairs: take the mean": right * len(pairs),
            "the sign of a cosine counts: no absolute values": torch.stack(
                [(unit[i] * unit[j]).sum(-1).abs() for i, j in pairs]
            )
            .transpose(0, 1)
            .flatten(1)
            .mean(1),
        }
        expect_right(result, right, named, "these are not the mean cosines")
        found.append(result)
    return {"cosine": found}


def rounded(answer, seed):
    found = []
    for (rows, columns), bits, group in (((3, 8), 4, 4), ((2, 6), 3, 6), ((2, 6), 8, 2)):
        weight = normal(seed + bits, rows, columns)
        result = expect_tensor(ask(answer, weight, bits, group), (rows, columns))

        def to_levels(
            how=torch.round,
            top=2 ** (bits - 1) - 1,
            over="group",
            back=True,
            largest=torch.Tensor.abs,
            weight=weight,
            group=group,
        ):
            groups = {
                "group": lambda w: w.unflatten(-1, (-1, group)),
                "row": lambda w: w[:, None],
                "all": lambda w: w.flatten()[None, None],
                "column": lambda w: w.T[:, None],
            }[over](weight)
            scale = largest(groups).amax(-1, keepdim=True) / top
            levels = how(groups / scale)
            made = levels * scale if back else levels
            if over == "column":
                return made[:, 0].T
            return made.reshape(weight.shape)

        named = {
            "one scale for all weights: each group has its own": to_levels(over="all"),
            "one scale for each row: each group of a row has its own": to_levels(over="row"),
            "the scales belong to columns: a group lies in a row": to_levels(over="column"),
            "these are the levels: multiply them by their scale again": to_levels(back=False),
            "the weights are cut off: round to the nearest level": to_levels(how=torch.floor),
            "the weights are cut off towards zero: round to the nearest level": (
                to_levels(how=torch.trunc)
            ),
            "there is a level too many on each side: 2^(bits - 1) - 1 above zero": (
                to_levels(top=2 ** (bits - 1))
            ),
            "there are twice as many levels as the bits give: half of them lie below zero": (
                to_levels(top=2**bits - 1)
            ),
            "the scale is that of the largest weight with its sign: of the largest in size": (
                to_levels(largest=lambda w: w)
            ),
        }
        expect_right(result, to_levels(), named, "the weights are not rounded to these levels")
        found.append(result)
    zeros = torch.cat([torch.zeros(2, 4), normal(seed, 2, 4)], dim=1)
    result = as_tensor(ask(answer, zeros, 4, 4))
    if isinstance(result, torch.Tensor) and not result[..., :4].eq(0).all():
        raise Mistake("a group of zeros must stay zeros: their scale must not be divided by")
    return {"weights": found}


EXERCISES = [
    Exercise("09.1", "three gates", solution("09.1"), stream_gates),
    Exercise("09.2", "Hyperloop", solution("09.2"), my_hyperloop),
    Exercise("09.3", "one pass as a matrix", solution("09.3"), pass_matrix),
    Exercise("09.4", "one layer, several passes", solution("09.4"), cosine_between_loops),
    Exercise("09.5", "four bits", solution("09.5"), rounded),
]
