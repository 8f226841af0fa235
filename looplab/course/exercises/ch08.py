"""Checks of chapter 08, Train a looped language model: small tensors, and small random models."""

import random
from math import log

import torch
import torch.nn.functional as F
from torch import nn

from looplab import LoopedConfig, LoopedTransformer
from looplab.course.exercises.catalogue import Exercise
from looplab.course.exercises.kinds import as_tensor
from looplab.course.exercises.probing import (
    Mistake,
    agrees,
    ask,
    derived,
    expect_number,
    expect_right,
    expect_tensor,
    expect_whole,
    normal,
    watch,
)
from looplab.course.exercises.solutions import solution


def _tokens(seed, vocab, *shape):
    return torch.randint(vocab, shape, generator=torch.Generator().manual_seed(seed))


def loss_by_loop(answer, seed):
    loops, texts, length, vocab = 3, 4, 6, 7
    logits = normal(seed, loops, texts, length, vocab) * 2
    tokens = _tokens(seed + 1, vocab, texts, length)
    result = as_tensor(ask(answer, logits, tokens))
    if isinstance(result, torch.Tensor):
        told = {
            (): "one number for all: keep the loops and the texts, the mean is over tokens",
            (loops,): "one number for each loop: keep the texts too, the mean is over tokens alone",
            (texts,): "one number for each text: keep the loops too",
            (loops, texts, length - 1): "a loss for each token: take their mean in each text",
            (texts, loops): "the axes are the other way round: [loop, text]",
        }
        if tuple(result.shape) in told:
            raise Mistake(told[tuple(result.shape)])
    result = expect_tensor(result, (loops, texts))

    def judged(values, right):
        return values.gather(-1, right.expand(len(values), -1, -1)[..., None])[..., 0]

    said, following = logits[:, :, :-1], tokens[:, 1:]
    right = -judged(said.log_softmax(-1), following).mean(-1)
    same = -judged(logits.log_softmax(-1), tokens)
    axis = "the softmax runs over another axis than the vocabulary, the last one"
    named = {
        "a token is judged by itself: what is said at one token is about the next one": (
            same.mean(-1)
        ),
        "the tokens are judged by themselves: what is said at one is about the next one": (
            same[..., :-1].mean(-1)
        ),
        "tokens are judged by themselves: what is said at one token is about the next one": (
            same[..., 1:].mean(-1)
        ),
        "the shift goes the wrong way: what is said at one token is about the next one": (
            -judged(logits[:, :, 1:].log_softmax(-1), tokens[:, :-1]).mean(-1)
        ),
        "this is the sum over the tokens: take their mean": right * (length - 1),
        "divide by the tokens that are judged: nothing follows the last one": (
            right * (length - 1) / length
        ),
        "the sign is missing: a loss is minus the logarithm, and above zero": -right,
        "these are bits: the loss is in nats, with the natural logarithm": right / log(2),
        "these are perplexities: leave out the exponential": right.exp(),
        "these are mean probabilities: the loss is minus the mean of their logarithms": (
            judged(said.softmax(-1), following).mean(-1)
        ),
        "the logarithm comes first, then the mean over tokens": (
            -judged(said.softmax(-1), following).mean(-1).log()
        ),
        "the logarithm is missing: the loss is minus the logarithm of a probability": (
            -judged(said.softmax(-1), following).mean(-1)
        ),
        "these are logits: a softmax over the vocabulary makes probabilities of them": (
            -judged(said, following).mean(-1)
        ),
        axis: -judged(said.log_softmax(-2), following).mean(-1),
        f"{axis} (here: the tokens)": (
            -judged(logits.log_softmax(-2)[:, :, :-1], following).mean(-1)
        ),
        f"{axis} (here: the texts)": -judged(said.log_softmax(1), following).mean(-1),
        f"{axis} (here: the loops)": -judged(said.log_softmax(0), following).mean(-1),
        "all texts are judged by the first one's tokens": (
            -judged(said.log_softmax(-1), following[:1].expand(texts, -1)).mean(-1)
        ),
    }
    expect_right(result, right, named, "the numbers are not the mean losses of the next tokens")
    few, two = normal(seed + 2, 1, 2, 2, 5), _tokens(seed + 3, 5, 2, 2)
    other = expect_tensor(ask(answer, few, two), (1, 2))
    short = -judged(few[:, :, :-1].log_softmax(-1), two[:, 1:]).mean(-1)
    expect_right(other, short, {}, "one loop and two texts of two tokens come out wrong")
    return {"loss": result}


VOCAB = 11


def _model(vocab, seed, gain=3.0):
    """A small looped model of random weights, large enough that each loop changes what it says."""
    config = LoopedConfig(
        vocab=vocab, width=16, heads=2, prelude=1, core=1, coda=1, loops=2, injection="concat"
    )
    model = LoopedTransformer(config)
    with torch.no_grad():
        for n, (name, weight) in enumerate(model.named_parameters()):
            if weight.dim() > 1:
                std = 1.0 if name.startswith("embed") else gain / weight.shape[1] ** 0.5
                weight.copy_(std * normal(seed + n, *weight.shape))
    return model


def _slope(losses, model):
    """The gradient of the sum of the losses to all weights, as one row."""
    weights = list(model.parameters())
    found = torch.autograd.grad(losses.sum(), weights, allow_unused=True, materialize_grads=True)
    return torch.cat([part.flatten() for part in found])


def _trained(answer, model, tokens, loops, grad_loops):
    """What it returns, its gradient or None, and whether it took a backward pass itself."""
    losses = as_tensor(answer(model, tokens.clone(), loops, grad_loops))
    if any(weight.grad is not None for weight in model.parameters()):
        return losses, None, True
    if not isinstance(losses, torch.Tensor) or not losses.requires_grad:
        return losses, None, False
    return losses, _slope(losses, model), False


def _loss(logits, targets):
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def _run(model, tokens, loops, free=0, cuts=(), frozen=False, bare=False):
    """The loss of the state at loop 0 and after each loop: [1 + loop].

    The first `free` loops carry no gradient, and it is cut in front of those in `cuts`, counted
    from 0; behind the prelude where that is `frozen`, and in front of a `bare` coda.
    """
    ready = model.prepare(tokens[:, :-1])
    if frozen:
        ready = ready._replace(x=ready.x.detach(), start=ready.start.detach())
    z = ready.start
    found = [_loss(model.answer(z, ready), tokens[:, 1:])]
    for loop in range(loops):
        with torch.set_grad_enabled(torch.is_grad_enabled() and loop >= free):
            z = model.step(z.detach() if loop in cuts else z, ready)
        found.append(_loss(model.answer(z.detach() if bare else z, ready), tokens[:, 1:]))
    return torch.stack(found)


@torch.no_grad()
def _expect_losses(value, model, tokens, loops, grad_loops):
    """The losses that were returned, compared with what is right and with what is often wrong."""
    count = min(loops, grad_loops)
    case = f"of {loops} loops with grad_loops={grad_loops}"
    shape = tuple(value.shape) if isinstance(value, torch.Tensor) else None
    if shape == () and loops > 1:
        raise Mistake("this is one number: keep a loss for each of the last loops")
    if shape == (loops,) and loops > grad_loops:
        raise Mistake(f"a loss for every loop: {case} only the last {grad_loops} are asked for")
    if shape == (grad_loops,) and loops < grad_loops:
        raise Mistake(f"{case} only {loops} are run: with fewer loops, all of them count")
    if shape == (1,) and count > 1:
        raise Mistake(f"this is one loss alone: {case} the last {count} have one each")
    result = expect_tensor(value, (count,))
    table = _run(model, tokens, loops + 1)
    right, judged = table[-1 - count : -1], tokens[:, 1:].numel()
    if agrees(result, right):
        return result
    read = tokens[:, :-1]

    def unshifted(read, targets):
        ready = model.prepare(read)
        ends = [z for _, z in model.passes(ready, loops)][-count:]
        return torch.stack([_loss(model.answer(z, ready), targets) for z in ends])

    ends = [z for _, z in model.passes(model.prepare(read), loops)][-count:]
    uncoded = torch.stack([_loss(model.head(model.norm(z)), tokens[:, 1:]) for z in ends])
    named = {
        f"these are the losses of the first loops: {case} the last {count} are asked for": (
            table[1 : 1 + count]
        ),
        "the losses come a loop early: judge the state behind the step, not in front of it": (
            table[-2 - count : -2]
        ),
        "one loop too many is run": table[-count:],
        "the order is turned round: the last loop comes last": right.flip(0),
        "every loss is that of the last loop: judge each of the last loops by its own state": (
            right[-1].expand(count)
        ),
        "the loss is a sum over tokens: take the mean": right * judged,
        "the loss is a sum over texts: take the mean": right * len(tokens),
        "the loss is a sum over the tokens of each text: take the mean": (
            right * judged / len(tokens)
        ),
        "a token is judged by itself: the model reads tokens[:, :-1], and the next ones, "
        "tokens[:, 1:], are what it should say": unshifted(read, read),
        "tokens are judged by themselves: the model reads tokens[:, :-1], and the next ones, "
        "tokens[:, 1:], are what it should say": unshifted(tokens, tokens),
        "the shift goes the wrong way: the model reads tokens[:, :-1], and the next ones, "
        "tokens[:, 1:], are what it should say": unshifted(tokens[:, 1:], read),
        "the coda is left out: model.answer(z, ready) has it, the norm and the head": uncoded,
    }
    wrong = f"{case}, these are not the losses after each of the last {count}"
    expect_right(result, right, named, wrong)
    return result


def _expect_slope(slope, model, tokens, loops, grad_loops):
    """Raise the Mistake of a gradient that does not go where it should."""
    count, free = min(loops, grad_loops), max(loops - grad_loops, 0)
    case = f"of {loops} loops with grad_loops={grad_loops}"

    def is_that_of(losses):
        wanted = _slope(losses, model)
        return (slope - wanted).norm() <= 1e-3 * wanted.norm()

    def through(carrying=count, **options):
        return _run(model, tokens, loops, loops - carrying, **options)[-count:]

    if is_that_of(through()):
        return
    if free and is_that_of(through(loops)):
        raise Mistake(f"the gradient still reaches the first loops: {case} cut it behind {free}")
    for other in range(1, loops + 1):
        if other != count and is_that_of(through(other)):
            told = "1 loop" if other == 1 else f"{other} loops"
            raise Mistake(f"the gradient goes through {told}: {case} it belongs through {count}")
    # In front of loop 0 there is no loop to cut off.
    if not free and is_that_of(through(cuts=(0,))):
        raise Mistake(
            f"{case} all carry gradient, and in yours it stops at the state in front of the first: "
            "the prelude made that one too"
        )
    if is_that_of(through(cuts=range(free, loops))):
        raise Mistake(
            "the gradient is cut in front of each loop: only once, in front of the last "
            "grad_loops of them"
        )
    if is_that_of(through(bare=True)):
        raise Mistake(
            "no loop is trained: torch.no_grad ends behind the last one, and belongs around the "
            "first ones alone"
        )
    if is_that_of(through(frozen=True)):
        raise Mistake(
            "the prelude gets no gradient: model.prepare(...) belongs in front of torch.no_grad"
        )
    if is_that_of(through()[-1]):
        raise Mistake("only the last loss carries gradient: each of the last loops is trained")
    raise Mistake(f"the losses are right, but {case} their gradient is another one")


def last_losses(answer, seed):
    seed, found = derived(seed), {}
    # The last run trains loops that are all there are, and the third has fewer than asked for.
    for n, (loops, grad_loops) in enumerate(((5, 2), (6, 3), (2, 4), (3, 3))):
        tokens = _tokens(seed + n, VOCAB, 3, 7)
        told = watch(answer, _trained, _model(VOCAB, seed + n), tokens, loops, grad_loops)
        model = _model(VOCAB, seed + n)
        losses, slope, passed_back = told
        result = _expect_losses(losses, model, tokens, loops, grad_loops)
        if passed_back:
            raise Mistake("the backward pass is not for this function: return the losses alone")
        if slope is None:
            raise Mistake(
                "the losses carry no gradient, so nothing can be learnt from them: keep them "
                "tensors, and let torch.no_grad end in front of the last loops"
            )
        slope = expect_tensor(slope)
        _expect_slope(slope, model, tokens, loops, grad_loops)
        found[f"{loops}, {grad_loops}"] = [result, slope.norm()]
    return found


LETTERS = 6
PROMPT = [3, 0, 4, 1]
PROMPTS = [[0, 1, 2], [5, 3, 0], [2, 2, 4], [1, 5, 3], [4, 0, 5]]
TEXTS = 1500
# The counts of TEXTS pairs are further than that from their shares less than once in 10^6 runs.
# They are 0.08 apart in the mean at most, half of sqrt(36 / TEXTS); a mean plus t is passed with
# exp(-2 TEXTS t^2) at most (McDiarmid). Every wrong way that has a name is 0.3 away or more.
NOISE = 0.15
COLD = 0.1  # a temperature at which less than e^-20 falls to a token 20 * COLD below the likeliest


def _writer(seed):
    """A small looped model that answers each text otherwise, after each number of loops too.

    All logits are above zero. Its weights are always the same: the seed gives the tokens other
    names, so that what tells right from wrong is there with each. Returns the model and the names.
    """
    names = torch.randperm(LETTERS, generator=torch.Generator().manual_seed(seed))
    model = _model(LETTERS, 5600).eval().requires_grad_(False)
    model.head = nn.Linear(16, LETTERS).requires_grad_(False)
    model.head.weight[names] = 0.4 * normal(5699, LETTERS, 16)
    model.head.bias.fill_(4.0)
    model.embed[0].weight[names] = model.embed[0].weight.clone()
    return model, names


def _written(answer, model, tokens, new, loops, temperature, seed, times=1):
    """The texts of so many calls in a row, with one generator."""
    generator = torch.Generator().manual_seed(seed)
    return [answer(model, tokens.clone(), new, loops, temperature, generator) for _ in range(times)]


def _expect_text(value, tokens, new):
    """The text that was written, behind its prompt."""
    value = as_tensor(value)
    texts, length = tokens.shape
    if isinstance(value, torch.Tensor):
        if value.shape == (texts, new) != (texts, length + new):
            raise Mistake("these are the new tokens alone: the prompt stays in front of them")
        if value.dim() == 2 and len(value) == texts and value.shape[1] != length + new:
            raise Mistake(
                f"{value.shape[1] - length} new tokens are written, and {new} were asked for"
            )
    text = expect_whole(value, (texts, length + new))
    if not torch.equal(text[:, :length], tokens):
        raise Mistake("the prompt is not the same any more: new tokens go behind it")
    if text.min() < 0 or text.max() >= LETTERS:
        raise Mistake(f"tokens are 0 to {LETTERS - 1} here, and there are others in the text")
    return text


def _saying(model, loops, at=-1):
    return lambda tokens: model(tokens, loops).logits[:, at]


def _pairs(shares, prompt, appended=True):
    """How likely each pair of new tokens is [first, second], by the shares of the next token."""
    first = shares(prompt[None])[0]
    behind = torch.cat((prompt.expand(LETTERS, -1), torch.arange(LETTERS)[:, None]), dim=1)
    return first[:, None] * (shares(behind) if appended else first.expand(LETTERS, -1))


def _expect_pairs(text, model, prompt, loops, temperature):
    """The pairs of new tokens of many texts, compared with how often they should come."""
    counts = torch.zeros(LETTERS, LETTERS)
    counts.index_put_((text[:, -2], text[:, -1]), torch.ones(len(text)), accumulate=True)
    counts /= len(text)
    say = _saying(model, loops)

    def at(temperature, say=say):
        return lambda tokens: (say(tokens) / temperature).softmax(-1)

    def raw(tokens):
        logits = say(tokens).clamp_min(0)
        return logits / logits.sum(-1, keepdim=True)

    def away(pairs):
        return (counts - pairs).abs().sum().item() / 2

    right = _pairs(at(temperature), prompt)
    if away(right) < NOISE:
        return
    named = {
        "the likeliest token is always taken: draw, each token as often as its share says": (
            _pairs(at(1e-4), prompt)
        ),
        "temperature is not used: the logits are divided by it, before the softmax": (
            _pairs(at(1.0), prompt)
        ),
        "the logits are multiplied by the temperature: divide them, a high one evens shares out": (
            _pairs(at(1 / temperature), prompt)
        ),
        "each token is drawn as if there were no new one before it: append it, then read again": (
            _pairs(at(temperature), prompt, appended=False)
        ),
        "the new token is drawn from what is said at the first token: the last one's is next": (
            _pairs(at(temperature, _saying(model, loops, 0)), prompt)
        ),
        "the new token is drawn from what is said one token before the last": (
            _pairs(at(temperature, _saying(model, loops, -2)), prompt)
        ),
        "loops is not used: this is what the model says after as many as its config has": (
            _pairs(at(temperature, _saying(model, model.config.loops)), prompt)
        ),
        "this is what the model says after one loop: loops is how many to run": (
            _pairs(at(temperature, _saying(model, 1)), prompt)
        ),
        "the text is forgotten: the model reads all of it, not the last token alone": (
            _pairs(at(temperature, lambda tokens: say(tokens[:, -1:])), prompt)
        ),
        "logits are taken for shares: a softmax makes shares of them": _pairs(raw, prompt),
        "all tokens come alike: draw them by their shares": (
            torch.full_like(counts, 1 / LETTERS**2)
        ),
    }
    if temperature == 1:  # at temperature 1 these are right
        named = {mistake: pairs for mistake, pairs in named.items() if "temperature" not in mistake}
    nearest = min(named, key=lambda mistake: away(named[mistake]))
    if away(named[nearest]) < NOISE:
        raise Mistake(nearest)
    if (counts.sum(1) - right.sum(1)).abs().sum() / 2 < NOISE:
        raise Mistake(
            "the first new token comes as often as it should, and the second does not: draw anew "
            "for each, from what is said behind the one before"
        )
    raise Mistake(
        f"in {len(text)} texts at temperature {temperature:g} some tokens come more often than "
        "their shares say, and others less"
    )


def _expect_likely(text, model, length, loops):
    """Raise a Mistake unless each new token is likely where the temperature is low."""

    def below(say):
        """How far the logits of new tokens are below the largest, at most."""
        far = []
        for end in range(length, text.shape[1]):
            logits = say(text[:, :end])
            chosen = logits.gather(-1, text[:, end : end + 1])[:, 0]
            far.append((logits.amax(-1) - chosen).max())
        return max(far).item()

    say = _saying(model, loops)
    if below(say) <= 20 * COLD:
        return
    named = {
        "each token is drawn as if there were no new one before it: append it, then read again": (
            lambda tokens: say(tokens[:, :length])
        ),
        "the text is forgotten: the model reads all of it, not the last token alone": (
            lambda tokens: say(tokens[:, -1:])
        ),
        "the prompt is forgotten: the model reads all of the text, not the new tokens alone": (
            lambda tokens: say(tokens[:, length:] if tokens.shape[1] > length else tokens)
        ),
        "all texts go on from what is said of the first one": (
            lambda tokens: say(tokens)[:1].expand(len(tokens), -1)
        ),
        "the new tokens are in front of those before them: append each behind the last": (
            lambda tokens: say(torch.cat((tokens[:, :length], tokens[:, length:].flip(1)), dim=1))
        ),
    }
    for mistake, wrong in named.items():
        if below(wrong) <= 20 * COLD:
            raise Mistake(mistake)
    raise Mistake(
        f"at temperature {COLD:g} a token is drawn that is hardly likely behind the text so far"
    )


def write(answer, seed):
    seed = derived(seed)
    model, names = _writer(seed)
    prompt, loops = names[torch.tensor(PROMPT)], 4
    prompts = prompt.expand(TEXTS, -1).contiguous()
    several = names[torch.tensor(PROMPTS)]
    (text,) = watch(answer, _written, model, prompts, 2, loops, 1.0, seed)
    text = _expect_text(text, prompts, 2)
    if len(text.unique(dim=0)) == 1:
        more = watch(answer, _written, model, prompts[:2], 2, loops, 2.0, seed, 9)
        if len(torch.stack([_expect_text(one, prompts[:2], 2) for one in more]).unique(dim=0)) > 1:
            raise Mistake("all texts get the same new tokens: draw for each of them")
    _expect_pairs(text, model, prompt, loops, 1.0)
    _expect_its_generator(answer, model, several, loops, seed)
    (text,) = watch(answer, _written, model, prompts, 2, loops, 2.0, seed)
    _expect_pairs(_expect_text(text, prompts, 2), model, prompt, loops, 2.0)
    for loops, new in ((4, 6), (1, 3)):
        (text,) = watch(answer, _written, model, several, new, loops, COLD, seed)
        text = _expect_text(text, several, new)
        _expect_likely(text, model, several.shape[1], loops)
    return {"prompts": text[:, : several.shape[1]], "length": text.shape[1]}


def _expect_its_generator(answer, model, prompts, loops, seed):
    """Texts of 30 tokens and more in all, that come twice by chance less than once in 10^10."""
    arguments = (model, prompts, 8, loops, 2.0)
    texts = (*watch(answer, _written, *arguments, seed, 2),)
    texts += (
        *watch(answer, _written, *arguments, seed),
        *watch(answer, _written, *arguments, ~seed),
    )
    first, then, again, other = (_expect_text(text, prompts, 8) for text in texts)
    if not torch.equal(first, again):
        raise Mistake(
            "the same generator state gives another text: draw from the generator you are given"
        )
    if torch.equal(first, then):
        raise Mistake(
            "every call writes the same text: take the generator as it is, and do not seed it"
        )
    if torch.equal(first, other):
        raise Mistake("another generator writes the same text: draw from the one you are given")


def paired(answer, seed):
    found = []
    for n, texts in enumerate((6, 9)):
        common = normal(seed + n, texts) * 2 + 3
        a = common + 0.5 * normal(seed + n + 50, texts) + 0.3
        b = common * 0.9
        told = as_tensor(ask(answer, a, b))
        if isinstance(told, torch.Tensor):
            told = list(told) if told.dim() else told
        if not isinstance(told, tuple | list) or len(told) != 2:
            raise Mistake("two numbers are expected, the mean and its standard error")
        for one in told:
            if isinstance(one := as_tensor(one), torch.Tensor) and one.numel() == texts:
                raise Mistake("a number for each text: the mean over the texts is asked for")
        mean, error = (expect_number(one) for one in told)
        apart, root = a - b, texts**0.5
        right, width = apart.mean(), apart.std() / root
        named = {
            "the sign is the other way: a - b": -right,
            "differences have a sign: you took how large they are": apart.abs().mean(),
            "this is the sum of the differences: take their mean": apart.sum(),
            "this is the median of the differences: take their mean": apart.median(),
            "the standard error comes second, the mean first": width,
            "this is the mean square of the differences: take their mean": apart.square().mean(),
        }
        expect_right(mean, right, named, "the first number is not the mean of a - b")
        alone = (a.var() / texts + b.var() / texts).sqrt()
        named = {
            "these are two errors put together as if a and b knew nothing of each other: the "
            "texts are the same, so take that of their differences": alone,
            "these are two errors added up: take that of the differences": (
                a.std() / root + b.std() / root
            ),
            "these are two errors subtracted: take that of the differences": (
                (a.std() - b.std()).abs() / root
            ),
            "this is the spread of the differences: the error of their mean is smaller, by the "
            "root of the number of texts": apart.std(),
            "the spread is divided by the number of texts: divide by its root": (
                apart.std() / texts
            ),
            "this is the error squared: a root is missing": apart.var() / texts,
            "this is the variance of the differences: take the root, and divide": apart.var(),
            "the spread was divided by n inside its root: one is n - 1, as torch's std has it": (
                apart.std(correction=0) / root
            ),
            "you divided by the root of n - 1, and the spread has n - 1 in it already": (
                apart.std() / (texts - 1) ** 0.5
            ),
            "the differences have lost their sign before the spread was taken": (
                apart.abs().std() / root
            ),
            "this is the error of a alone: take that of the differences": a.std() / root,
            "this is the error of b alone: take that of the differences": b.std() / root,
            "an error of about 95 percent is twice as wide: asked is the standard error": (
                1.96 * width
            ),
        }
        expect_right(error, width, named, "the mean is right, and its standard error is not")
        found += [mean, error]
    return {"paired": found}


def _with_slopes(answer, exits, losses, beta):
    """What it returns, and its gradients to the exits and to the losses, or None."""
    exits, losses = exits.clone().requires_grad_(), losses.clone().requires_grad_()
    loss = as_tensor(answer(exits, losses, beta))
    if not isinstance(loss, torch.Tensor) or not loss.requires_grad or loss.numel() != 1:
        return loss, None, None
    found = torch.autograd.grad(loss.sum(), (exits, losses), allow_unused=True)
    return loss, *found


def gate_loss(answer, seed):
    loops, count = 4, 6
    exits = (1.5 * normal(seed, loops, count)).softmax(0)
    losses = normal(seed + 1, loops, count).square() + 0.5
    never = exits.clone()  # one token never leaves at the first loop, and one at the last for sure
    never[0, 1] = 0
    never[:, 1] /= never[:, 1].sum()
    never[:, 3] = torch.eye(loops)[-1]
    found = []
    for p, beta in ((exits, 0.3), (exits, 1.5), (never, 0.3)):
        loss, to_exits, to_losses = watch(answer, _with_slopes, p, losses, beta)
        if isinstance(loss, torch.Tensor):
            if loss.numel() > 1:
                raise Mistake("a loss is one number: take the mean over the tokens")
            if p is never and loss.isnan().any():
                raise Mistake(
                    "there is NaN: some exits have probability 0, and 0 log 0 counts as 0"
                )
        value = expect_number(loss)
        expected, entropy = (p * losses).sum(0), torch.special.entr(p).sum(0)
        right = (expected - beta * entropy).mean()
        of_mean = torch.special.entr(p.mean(1)).sum()
        named = {
            "the entropy is added: an even gate should cost less, so subtract it": (
                (expected + beta * entropy).mean()
            ),
            "beta is not used: the entropy counts beta times": (expected - entropy).mean(),
            "the entropy is not in it": expected.mean(),
            "this is the entropy of the losses: that of the exits is asked": (
                (expected - beta * torch.special.entr(losses).sum(0)).mean()
            ),
            "this is the sum over the tokens: take their mean": (expected - beta * entropy).sum(),
            "loops are averaged: probabilities are summed over them": right / loops,
            "the losses are averaged over the loops: their sum, each times its exit, is expected": (
                ((p * losses).mean(0) - beta * entropy).mean()
            ),
            "the losses count alike at each loop: weigh them by the exits": (
                (losses.mean(0) - beta * entropy).mean()
            ),
            "the losses of all loops are summed: weigh them by the exits": (
                (losses.sum(0) - beta * entropy).mean()
            ),
            "the entropy is averaged over the loops: it is their sum": (
                (expected - beta * entropy / loops).mean()
            ),
            "the entropy is summed over the tokens: take their mean": (
                expected.mean() - beta * entropy.sum()
            ),
            "this is the entropy of the mean exit: each token has its own, then comes the mean": (
                expected.mean() - beta * of_mean
            ),
            "the losses are averaged over the tokens before they are weighed": (
                (p.mean(1) * losses.mean(1)).sum() - beta * entropy.mean()
            ),
            "the entropy is in bits: take the natural logarithm": (
                (expected - beta * entropy / log(2)).mean()
            ),
            "the entropy is divided by its largest value: it counts in nats here": (
                (expected - beta * entropy / log(loops)).mean()
            ),
            "this is the distance from an even gate: the entropy alone is subtracted": (
                (expected + beta * (log(loops) - entropy)).mean()
            ),
            "beta weighs the loss as well: it weighs the entropy alone": (
                beta * (expected - entropy)
            ).mean(),
            "the entropy is subtracted from 1 times beta: it is beta times the entropy": (
                (expected - (1 - beta) * entropy).mean()
            ),
        }
        if beta == 1.5:  # where some of the loss is not above zero
            named["a loss may fall below zero here: nothing is cut off"] = (
                (expected - beta * entropy).clamp_min(0).mean()
            )
        expect_right(value, right, named, "the number is not the loss at the exit less the entropy")
        if to_exits is None:
            raise Mistake(
                "the number carries no gradient to the exits, so the gate learns nothing: keep "
                "what is computed from them a tensor"
            )
        if to_losses is None:
            raise Mistake(
                "the number carries no gradient to the losses: the model is trained by it too"
            )
        there = p > 0  # at 0 the entropy has no slope
        logs = p[there].log()
        plain, slope = losses[there], beta * (logs + 1)
        named = {
            "the entropy carries no gradient to the exits: do not detach it": plain / count,
            "the expected loss carries no gradient to the exits: do not detach them": slope / count,
        }
        wrong = "the number is right, and its gradient to the exits is not"
        to_exits = expect_tensor(as_tensor(to_exits)[there], tuple(plain.shape))
        expect_right(to_exits, (plain + slope) / count, named, wrong, rtol=1e-3, atol=1e-4)
        wrong = "the number is right, and its gradient to the losses is not"
        expect_right(
            expect_tensor(to_losses, tuple(p.shape)), p / count, {}, wrong, rtol=1e-3, atol=1e-4
        )
        found.append(value)
    return {"loss": found}


def worth(answer, seed):
    draw = random.Random(seed)
    models = []
    for _ in range(6):
        once, core, loops = draw.randint(1, 6), draw.randint(2, 8), draw.choice([3, 4, 6, 8, 12])
        models.append((once + loops ** draw.uniform(0.15, 0.85) * core, once, core, loops))
    found = [expect_number(ask(answer, *model)) for model in models]

    def each(formula):
        return [formula(*model) for model in models]

    right = each(lambda depth, once, core, loops: log((depth - once) / core) / log(loops))
    named = {
        "the layers that run once are still in the depth: subtract them first": (
            each(lambda depth, once, core, loops: log(depth / core) / log(loops))
        ),
        "the loops have no logarithm: phi is the exponent of loops": (
            each(lambda depth, once, core, loops: log((depth - once) / core) / loops)
        ),
        "the loops are not in it: divide by their logarithm": (
            each(lambda depth, once, core, loops: log((depth - once) / core))
        ),
        "this is one over phi: loops to the power of phi is what the core is multiplied by": (
            each(lambda depth, once, core, loops: log(loops) / log((depth - once) / core))
        ),
        "the core is not in it: how many times its layers does the loop count?": (
            each(lambda depth, once, core, loops: log(depth - once) / log(loops))
        ),
        "neither once nor core is in it": (
            each(lambda depth, once, core, loops: log(depth) / log(loops))
        ),
        "the core is subtracted as if it ran once too: divide by it instead": (
            each(lambda depth, once, core, loops: log(depth / (once + core)) / log(loops))
        ),
        "this is what loops to the power of phi is: phi is its logarithm by that of loops": (
            each(lambda depth, once, core, loops: (depth - once) / core)
        ),
        "this is the share of the loops that counts: phi is their exponent": (
            each(lambda depth, once, core, loops: (depth - once) / core / loops)
        ),
        "this is a straight line from one loop to all: phi is the exponent of loops": (
            each(lambda depth, once, core, loops: ((depth - once) / core - 1) / (loops - 1))
        ),
        "the logarithms are subtracted: divide that of the depth by that of the loops": (
            each(lambda depth, once, core, loops: log((depth - once) / core) - log(loops))
        ),
        "the logarithms have two bases: take the same for both": (
            each(lambda depth, once, core, loops: log((depth - once) / core) / log(loops) * log(2))
        ),
        "the logarithms have two bases, so phi is too large: take the same for both": (
            each(lambda depth, once, core, loops: log((depth - once) / core) / log(loops) / log(2))
        ),
    }
    expect_right(found, right, named, "these are not the exponents")
    # A loop that harms, one that is worth nothing, and one that is worth a layer of its own.
    for depth, wanted, told in (
        (4.0, -0.5, "a core that counts for less than one pass has a phi below 0: it is not cut"),
        (6.0, 0.0, "where the loops add nothing phi is 0"),
        (18.0, 1.0, "where each loop counts in full phi is 1"),
        (66.0, 2.0, "phi may be above 1: it is not cut"),
    ):
        phi = expect_number(ask(answer, depth, 2, 4, 4))
        expect_right(phi, wanted, {}, told)
        found.append(phi)
    return {"phi": found}


EXERCISES = [
    Exercise("08.1", "loss by loop", solution("08.1"), loss_by_loop),
    Exercise("08.2", "losses of the last loops", solution("08.2"), last_losses),
    Exercise("08.3", "let it write", solution("08.3"), write),
    Exercise("08.4", "real or noise", solution("08.4"), paired),
    Exercise("08.5", "what a loop is worth", solution("08.5"), worth),
    Exercise("08.6", "when to leave", solution("08.6"), gate_loss),
]
