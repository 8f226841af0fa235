"""Checks of chapter 07, Stages of inference: small tensors, and a small model of random weights."""

from math import log

import torch
import torch.nn.functional as F

from looplab import LoopedConfig, LoopedTransformer
from looplab.course.exercises.catalogue import Exercise
from looplab.course.exercises.kinds import as_tensor
from looplab.course.exercises.probing import (
    Mistake,
    ask,
    expect_right,
    expect_tensor,
    expect_whole,
    normal,
    watch,
)
from looplab.course.exercises.solutions import solution

LOG7 = log(7)


def _causal(seed, *shape):
    """Patterns of causal attention, sharp enough that columns differ."""
    scores = normal(seed, *shape).mul(3)
    later = torch.ones(shape[-2:], dtype=torch.bool).triu(1)
    return scores.masked_fill(later, float("-inf")).softmax(-1)


def colsum_concentration(answer, seed):
    patterns = _causal(seed, 2, 3, 7, 7)
    patterns[0, 0] = torch.eye(7)[:1].expand(7, 7)  # all look at the first token
    result = as_tensor(ask(answer, patterns))
    if isinstance(result, torch.Tensor):
        if result.is_floating_point() and result.isnan().any():
            raise Mistake(
                "there are NaN: a column that nobody looks at has share 0, and 0 log 0 counts as 0"
            )
        if result.shape == ():
            raise Mistake("one number for all heads: keep one for each pattern")
        if result.shape == (2, 3, 7):
            raise Mistake("a number for each token: the entropy is a sum over the columns")
    result = expect_tensor(result, (2, 3))

    def concentration(share, largest=LOG7):
        return 1 - torch.special.entr(share).sum(-1) / largest

    share = patterns.mean(-2)
    sums = torch.special.entr(patterns.sum(-2)).sum(-1)
    named = {
        "rows sum to one, so their shares are all alike: sum over the tokens that look": (
            concentration(patterns.mean(-1))
        ),
        "this is the normalised entropy: concentration is one minus it": 1 - concentration(share),
        "the entropy is not normalised: divide it by log T": concentration(share, 1.0),
        "the entropy is not normalised by log T, and one minus it is missing": (
            torch.special.entr(share).sum(-1)
        ),
        "column sums add up to T: divide them by T, so that they are shares": 1 - sums / LOG7,
        "that is the mean entropy of the rows; take the entropy of the columns' shares": (
            1 - torch.special.entr(patterns).sum(-1).mean(-1) / LOG7
        ),
    }
    expect_right(result, concentration(share), named, "the numbers are not the concentrations")
    alone = expect_tensor(ask(answer, patterns[0, 1]), ())
    wrong = "one pattern without further axes comes out wrong"
    expect_right(alone, concentration(share[0, 1]), {}, wrong)
    return {"concentration": result}


def sink_rate(answer, seed):
    patterns = torch.softmax(normal(seed, 3, 8, 8, 8) * 2, dim=-1)
    strength = torch.stack((normal(seed + 1, 3, 8), normal(seed + 2, 3, 8)), dim=-1).exp() / 2
    patterns[..., [0, 2]] += strength[..., None, :]  # some heads sink, some do not
    patterns = patterns / patterns.sum(-1, keepdim=True)
    patterns[0, 0] = 0.25 * torch.eye(8)[:1] + 0.75 * torch.eye(8)[3:4]  # a quarter, exactly
    few, many = torch.zeros(8), torch.ones(8)
    few[:3], many[:3] = (
        1.0,
        0.0,
    )  # of few looks the mean is above the threshold and the median below
    for head, column in ((1, few), (2, many), (3, 0.9 * few)):
        patterns[1, head] = torch.stack((column, 1 - column), -1) @ torch.eye(8)[[0, 5]]
    result = as_tensor(ask(answer, patterns))
    if isinstance(result, torch.Tensor) and result.shape == ():
        raise Mistake("one number for all sequences: only the heads are counted")
    result = expect_tensor(result, (3,))
    score = patterns[..., 0].mean(-1)

    def named(position, threshold):
        score = patterns[..., position].mean(-1)
        looks = patterns[..., position, :].mean(-1)
        return {
            "that is a row: how the token at this position looks. A sink is looked at": (
                (looks >= threshold).float().mean(-1)
            ),
            "this is the mean score: ask of each head whether it reaches the threshold": (
                score.mean(-1)
            ),
            "you counted the heads: divide by how many there are": (
                (score >= threshold).float().sum(-1)
            ),
            "you asked each single look; a head's score is the mean over the tokens that look": (
                (patterns[..., position] >= threshold).float().mean((-2, -1))
            ),
            "the score is a mean over the tokens that look, not their largest weight": (
                (patterns[..., position].amax(-1) >= threshold).float().mean(-1)
            ),
            "you averaged the heads before you asked: a rate counts heads": (
                (score.mean(-1) >= threshold).float()
            ),
        }

    def right(position, threshold):
        return (patterns[..., position].mean(-1) >= threshold).float().mean(-1)

    wrong = "the numbers are not the shares of heads"
    expect_right(result, right(0, 0.3), named(0, 0.3), wrong)
    found = [result]
    for position, threshold in ((2, 0.3), (0, 0.25)):
        other = expect_tensor(ask(answer, patterns, position, threshold), (3,))
        more = named(position, threshold)
        more |= {
            "position is not used: a sink may be at any token": right(0, threshold),
            "threshold is not used": right(position, 0.3),
            "a head that just reaches the threshold counts too": (
                (score > threshold).float().mean(-1)
            ),
        }
        expect_right(other, right(position, threshold), more, wrong)
        found.append(other)
    alone = expect_tensor(ask(answer, patterns[1]), ())
    expect_right(alone, right(0, 0.3)[1], {}, "a layer without a batch comes out wrong")
    return {"rate": torch.stack(found)}


def residual_entropy(answer, seed):
    states = normal(seed, 2, 6, 9) * torch.tensor([1.0, 3, 0.5, 1, 2, 1])[:, None]
    states = states + normal(seed + 50, 2, 1, 9)  # something in common
    result = as_tensor(ask(answer, states))
    if isinstance(result, torch.Tensor) and result.shape == ():
        raise Mistake("one number for all sequences: keep one for each")
    result = expect_tensor(result, (2,))

    def entropy(x, power=2):
        values = torch.linalg.svdvals(x.double()) ** power
        return torch.special.entr(values / values.sum(-1, keepdim=True)).sum(-1)

    gram = states.double() @ states.double().mT
    values = torch.linalg.eigvalsh(gram).clamp_min(0)
    unit = states / states.norm(dim=-1, keepdim=True)
    named = {
        "those are singular values of X: the eigenvalues of X Xᵀ are their squares": (
            entropy(states, 1)
        ),
        "the eigenvalues of X Xᵀ are squared once more": entropy(states, 4),
        "you subtracted the mean state: what all tokens have in common counts here": (
            entropy(states - states.mean(-2, keepdim=True))
        ),
        "you made all states equally long: long ones count more here": entropy(unit),
        "the eigenvalues do not sum to one yet: divide them by their sum": (
            torch.special.entr(values).sum(-1)
        ),
        "you divided by the largest eigenvalue: divide by their sum": (
            torch.special.entr(values / values.amax(-1, keepdim=True)).sum(-1)
        ),
        "the sign is missing: entropy is minus the sum of p log p": -entropy(states),
        "this is divided by log T; here the entropy is in nats": entropy(states) / log(6),
    }
    expect_right(result, entropy(states), named, "the numbers are not the entropies", rtol=1e-3)
    few = normal(seed + 9, 12, 4)  # 12 states in 4 directions: 8 eigenvalues are 0 but for rounding
    flat = as_tensor(ask(answer, few))
    if isinstance(flat, torch.Tensor) and flat.isnan().any():
        raise Mistake(
            "with more tokens than directions there are NaN: rounding makes eigenvalues slightly "
            "negative. Cut them off at zero"
        )
    expect_right(
        expect_tensor(flat, ()), entropy(few), {}, "12 states of width 4 come out wrong", rtol=1e-3
    )
    long = states.clone()
    long[:, 0] *= 3000  # one state of enormous length, as in the chapter
    loud = expect_tensor(ask(answer, long), (2,))
    expect_right(
        loud,
        entropy(long),
        {},
        "with one very long state the entropy is wrong: compute in float64",
        rtol=1e-2,
        atol=1e-5,
    )
    return {"entropy": result}


def _model(seed, loud=None):
    """A small feedforward model of 5 layers; the MLP of layer `loud` writes much at position 0."""
    config = LoopedConfig(
        vocab=23, width=16, heads=2, core=5, loops=1, mlp="gated", activation="silu"
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LoopedTransformer(config).eval().requires_grad_(False)
    for linear in (m for m in model.modules() if isinstance(m, torch.nn.Linear)):
        linear.weight *= 3  # layers that do something
    for norm in (m for m in model.modules() if isinstance(m, torch.nn.RMSNorm)):
        norm.weight.copy_(1 + 0.3 * normal(seed + 7, 16))
    if loud is not None:
        model.cores[0].layers[loud].mlp.down.weight *= 20
    return model


def _tokens(seed, batch=3, length=6):
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(0, 23, (batch, length), generator=draw)


def lens(answer, seed):
    model = _model(seed)
    states = normal(seed, 4, 6, 16) + 0.5
    ids, likely = _pair(watch(answer, _lens_of, states, model), "token ids and how likely they are")
    ids, likely = expect_whole(ids, (4, 6)), expect_tensor(likely, (4, 6))
    logits = model.head(model.norm(states))
    right, share = logits.argmax(-1), logits.softmax(-1).amax(-1)
    bare = model.head(states)
    named = {
        "the norm in front of the head is missing: no state reaches the head without it": (
            bare.argmax(-1)
        ),
        "the least likely token is chosen": logits.argmin(-1),
    }
    expect_right(ids, right, named, "the tokens are not the likeliest ones")
    named = {
        "these are logits: a softmax over the vocabulary makes them probabilities": logits.amax(-1),
        "these are log-probabilities": logits.log_softmax(-1).amax(-1),
        "the softmax runs over another axis than the vocabulary": (
            logits.softmax(-2).gather(-1, right[..., None])[..., 0]
        ),
        "the norm in front of the head is missing": bare.softmax(-1).amax(-1),
    }
    expect_right(likely, share, named, "the probabilities are not those of the likeliest tokens")
    return {"ids": ids, "likely": likely}


def _lens_of(answer, states, model):
    return tuple(answer(states, model.norm, model.head))


def _pair(value, what):
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise Mistake(f"two things are expected, {what}")
    return value


def _call(answer, model, *arguments):
    return answer(model, *arguments)


def _places(model, tokens, name):
    """What stands at a site of each layer: [layer, batch, token, width]."""
    found = []

    def tap(site, value):
        if site.name == name:
            found.append(value)

    model(tokens, tap=tap)
    return torch.stack(found)


def written(answer, seed):
    model, tokens = _model(seed, loud=1 + seed % 3), _tokens(seed)
    out, results = _places(model, tokens, "core.mlp.out"), []
    for position in (0, 2):
        arguments = (model, tokens) if position == 0 else (model, tokens, position)
        result = as_tensor(watch(answer, _call, *arguments))
        if isinstance(result, torch.Tensor) and result.shape in ((5, 3), (5, 3, 6)):
            raise Mistake("one number for each layer: take the mean over the sequences")
        result = expect_tensor(result, (5,))
        length = out.norm(dim=-1)
        named = {
            "this is the length of the state after the layer; asked is what the MLP adds": (
                _places(model, tokens, "core.resid").norm(dim=-1)[:, :, position].mean(1)
            ),
            "this is what attention adds; asked is what the MLP adds, core.mlp.out": (
                _places(model, tokens, "core.attn.out").norm(dim=-1)[:, :, position].mean(1)
            ),
            "the mean over all tokens is here: only one position is asked": length.mean((1, 2)),
            "position is not used: look at the token that is asked": length[:, :, 0].mean(1),
            "you averaged the vectors first: take lengths, then their mean": (
                out[:, :, position].mean(1).norm(dim=-1)
            ),
            "you took the length over all sequences at once: one for each, then their mean": (
                out[:, :, position].flatten(1).norm(dim=-1)
            ),
            "only the first sequence is measured": length[:, 0, position],
            "the largest of the sequences is here: take their mean": length[:, :, position].amax(1),
            "the sum over the sequences is here: take their mean": length[:, :, position].sum(1),
        }
        wrong = "the numbers are not the mean lengths of what each MLP adds"
        expect_right(result, length[:, :, position].mean(1), named, wrong)
        results.append(result)
    return {"written": torch.stack(results)}


def _tapped(answer, model, tokens, *arguments):
    tap = ask(answer, *arguments)
    if not callable(tap):
        raise Mistake(f"a tap is expected, a function of (site, value), not {tap!r}")
    written = False

    def guarded(site, value):
        nonlocal written
        before = value.clone()
        changed = tap(site, value)
        written = written or not torch.equal(before, value)
        return changed

    return model(tokens, tap=guarded).logits, written


def _muted(layer, position, name="core.mlp.out", keep=False):
    def tap(site, value):
        if site.name == name and site.layer == layer:
            gone = torch.zeros(value.shape[1], dtype=torch.bool)
            gone[slice(None) if position is None else position] = True
            return torch.where((gone != keep)[:, None], 0.0, value)

    return tap


def silence(answer, seed):
    model, tokens, results = _model(seed), _tokens(seed), []
    free = model(tokens).logits

    def run(*arguments, **options):
        return model(tokens, tap=_muted(*arguments, **options)).logits

    for layer, position in ((2, 0), (1, 3), (3, None)):
        logits, wrote = watch(answer, _tapped, model, tokens, layer, position)
        result = expect_tensor(logits, free.shape)
        named = {
            "nothing is silenced: does the tap return the changed value?": free,
            "all positions are silenced: only one is asked": run(layer, None),
            "only position 0 is silenced: position=None means all of them": run(layer, 0),
            "the layer is off by one: they count from 0 here, as site.layer does": (
                run(layer - 1, position)
            ),
            "attention is silenced: the MLP's branch is core.mlp.out": (
                run(layer, position, name="core.attn.out")
            ),
            "the whole state is set to zero: silence what the MLP adds, core.mlp.out": (
                run(layer, position, name="core.resid")
            ),
            "the state between the branches is set to zero: the MLP's branch is core.mlp.out": (
                run(layer, position, name="core.resid_mid")
            ),
            "every layer is silenced: look at site.layer": model(
                tokens, tap=_everywhere(position)
            ).logits,
            "all positions but this one are silenced": run(layer, position, keep=True),
            "a sequence of the batch is silenced, not a token: the batch is the first axis": model(
                tokens, tap=_first_axis(layer, position)
            ).logits,
        }
        right = run(layer, position)
        expect_right(result, right, named, "the logits are not those of a run with one MLP silent")
        if wrote:
            raise Mistake("the tap writes into the value it is shown: clone it first")
        results.append(result.mean(-1))  # a number for each token is enough to keep
    return {"logits": torch.stack(results)}


def _first_axis(layer, position):
    def tap(site, value):
        if site.name == "core.mlp.out" and site.layer == layer:
            value = value.clone()
            value[slice(None) if position is None else min(position, 2)] = 0
            return value

    return tap


def _everywhere(position):
    def tap(site, value):
        if site.name == "core.mlp.out":
            value = value.clone()
            value[:, slice(None) if position is None else position] = 0
            return value

    return tap


class _Sinks:
    """The sink rate of every layer, while another tap works."""

    patterns = True

    def __init__(self, inner):
        self.inner, self.rates = inner, []

    def __call__(self, site, value):
        if site.name == "core.attn.pattern":
            self.rates.append((value[..., 0].mean(-1) >= 0.3).float().mean())
        return self.inner(site, value) if self.inner else None


def sweep(answer, seed):
    model, tokens = _model(seed, loud=2), _tokens(seed, length=5)
    for layer in model.cores[0].layers:
        layer.attn.qkv.weight[:32] *= 2  # sharper looks, so that rates differ
    rates, losses = _pair(watch(answer, _call, model, tokens), "sink rates and losses")
    for one in (rates, losses):
        one = as_tensor(one)
        if isinstance(one, torch.Tensor) and one.shape == (5,):
            raise Mistake("five numbers for five layers: the untouched model comes first, so six")
    rates, losses = expect_tensor(rates, (6,)), expect_tensor(losses, (6,))

    def table(position, shift=1, run=_muted):
        found = []
        for layer in (None, *range(5)):
            watcher = _Sinks(None if layer is None else run(layer, position))
            logits = model(tokens, tap=watcher).logits
            said = logits[:, : tokens.shape[1] - shift]
            loss = F.cross_entropy(said.flatten(0, 1), tokens[:, shift:].flatten())
            found.append((torch.stack(watcher.rates).mean(), loss))
        return torch.tensor(found).T

    def up_to(layer, position):
        def tap(site, value):
            if site.name == "core.mlp.out" and site.layer <= layer:
                return _muted(site.layer, position)(site, value)

        return tap

    (right, loss), everywhere = table(0), table(None)
    wrong = {
        "the target of a token is the next one: logits[:, :-1] against tokens[:, 1:]": (
            table(0, shift=0)[1]
        ),
        "MLPs are silenced at all positions: here only at position 0": everywhere[1],
        "MLPs stay silent once they were: in each run only one of them is": (
            table(0, run=up_to)[1]
        ),
        "nothing is silenced in the runs: is the tap's value returned?": loss[0].expand(6),
        "the untouched model comes first": loss.roll(-1),
        "the layers are in the wrong order": loss.flip(0),
    }
    expect_right(losses, loss, wrong, "the losses are not those of the runs")
    wrong = {
        "MLPs are silenced at all positions: here only at position 0": everywhere[0],
        "the rates are those of the untouched model: measure while an MLP is silent": (
            right[0].expand(6)
        ),
    }
    expect_right(rates, right, wrong, "the losses are right, and the sink rates are not")
    return {"rates": rates, "losses": losses}


EXERCISES = [
    Exercise("07.1", "how few are looked at", solution("07.1"), colsum_concentration),
    Exercise("07.2", "sink rate", solution("07.2"), sink_rate),
    Exercise("07.3", "entropy of the states", solution("07.3"), residual_entropy),
    Exercise("07.4", "the logit lens", solution("07.4"), lens),
    Exercise("07.5", "who writes there", solution("07.5"), written),
    Exercise("07.6", "silence one MLP", solution("07.6"), silence),
    Exercise("07.7", "each in turn", solution("07.7"), sweep),
]
