"""Typical wrong answers to chapter 08, and the hint each of them should get."""

from math import log

import torch
import torch.nn.functional as F


def judged(logs, right):
    """What is said of the right tokens [loop, text, token]."""
    return logs.gather(-1, right.expand(len(logs), -1, -1)[..., None])[..., 0]


def each_token(logits, tokens):
    return -judged(logits[:, :, :-1].log_softmax(-1), tokens[:, 1:])


def training(wrong):
    """last_losses with one thing wrong."""

    def last_losses(model, tokens, loops, grad_loops):
        ready = model.prepare(tokens if wrong == "same token" else tokens[:, :-1])
        targets = tokens if wrong == "same token" else tokens[:, 1:]
        z, losses, free = ready.start, [], max(loops - grad_loops, 0)
        for loop in range(loops):
            with torch.set_grad_enabled(wrong in ("all the way", "each loop") or loop >= free):
                z = model.step(z.detach() if wrong == "each loop" else z, ready)
            logits = model.answer(z, ready)
            losses.append(F.cross_entropy(logits.flatten(0, 1), targets.flatten()))
        kept = losses if wrong == "every" else losses[free:]
        return [one.item() for one in kept] if wrong == "item" else torch.stack(kept)

    return last_losses


def always_the_last_loops(model, tokens, loops, grad_loops):
    ready = model.prepare(tokens[:, :-1])
    z, losses = ready.start, []
    with torch.no_grad():
        for _ in range(loops - grad_loops):
            z = model.step(z, ready)
    for _ in range(grad_loops):
        z = model.step(z, ready)
        logits = model.answer(z, ready)
        losses.append(F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten()))
    return torch.stack(losses)


def writing(wrong):
    """write with one thing wrong."""

    def write(model, tokens, new, loops, temperature, generator):
        prompt = tokens
        for _ in range(new):
            read = prompt if wrong == "prompt" else tokens
            logits = model(read, loops).logits[:, 0 if wrong == "first" else -1]
            divided_by = 1 / temperature if wrong == "multiplied" else temperature
            share = (logits / divided_by).softmax(-1)
            if wrong == "argmax":
                chosen = share.argmax(-1, keepdim=True)
            elif wrong == "one draw":
                luck = torch.rand((), generator=generator)
                chosen = (share.cumsum(-1) < luck).sum(-1, keepdim=True)
            else:
                given = None if wrong == "no generator" else generator
                chosen = torch.multinomial(share, 1, generator=given)
            tokens = torch.cat([tokens, chosen], dim=1)
        return tokens

    return write


def unpaired(a, b):
    return (a - b).mean(), (a.var() / len(a) + b.var() / len(b)) ** 0.5


def plain_log(exits, losses, beta):
    entropy = -(exits * exits.log()).sum(0)
    return ((exits * losses).sum(0) - beta * entropy).mean()


def gating(wrong):
    """gate_loss with one thing wrong."""

    def gate_loss(exits, losses, beta):
        expected = (exits * losses).sum(0)
        entropy = torch.special.entr(exits).sum(0)
        if wrong == "mean exit":
            entropy = torch.special.entr(exits.mean(1)).sum()
        if wrong == "of losses":
            entropy = torch.special.entr(losses).sum(0)
        if wrong == "mean over loops":
            expected, entropy = expected / len(exits), entropy / len(exits)
        loss = expected + beta * entropy if wrong == "added" else expected - beta * entropy
        return loss if wrong == "no mean" else loss.mean()

    return gate_loss


# exercise -> [(wrong answer, part of the sentence it should get)]
BANK = {
    "08.1": [
        (
            lambda logits, tokens: -judged(logits.log_softmax(-1), tokens).mean(-1),
            "judged by itself",
        ),
        (
            lambda logits, tokens: (
                -judged(logits[:, :, 1:].log_softmax(-1), tokens[:, :-1]).mean(-1)
            ),
            "the wrong way",
        ),
        (lambda logits, tokens: each_token(logits, tokens).mean((1, 2)), "keep the texts too"),
        (lambda logits, tokens: each_token(logits, tokens).sum(-1), "this is the sum"),
        (lambda logits, tokens: -each_token(logits, tokens).mean(-1), "the sign is missing"),
        (
            lambda logits, tokens: each_token(logits, tokens).neg().exp().mean(-1),
            "mean probabilities",
        ),
    ],
    "08.2": [
        (training("same token"), "judged by themselves"),
        (training("all the way"), "still reaches the first loops"),
        (training("each loop"), "in front of each loop"),
        (training("every"), "a loss for every loop"),
        (training("item"), "carry no gradient"),
        (always_the_last_loops, "with fewer loops"),
    ],
    "08.3": [
        (writing("multiplied"), "multiplied by the temperature"),
        (writing("argmax"), "always taken"),
        (writing("one draw"), "draw for each of them"),
        (writing("prompt"), "append it"),
        (writing("first"), "said at the first token"),
        (writing("no generator"), "the same generator state"),
    ],
    "08.4": [
        (unpaired, "knew nothing of each other"),
        (lambda a, b: ((a - b).mean(), (a - b).std()), "this is the spread"),
        (lambda a, b: ((b - a).mean(), (a - b).std() / len(a) ** 0.5), "the sign"),
        (lambda a, b: ((a - b).mean(), (a - b).var() / len(a)), "a root is missing"),
        (
            lambda a, b: ((a - b).mean(), (a - b).std(correction=0) / len(a) ** 0.5),
            "one is n - 1",
        ),
        (lambda a, b: ((a - b).abs().mean(), (a - b).std() / len(a) ** 0.5), "have a sign"),
    ],
    "08.6": [
        (gating("added"), "subtract it"),
        (gating("of losses"), "entropy of the losses"),
        (gating("mean exit"), "entropy of the mean exit"),
        (gating("no mean"), "one number"),
        (gating("mean over loops"), "summed over them"),
        (plain_log, "0 log 0"),
    ],
    "08.5": [
        (lambda depth, once, core, loops: log(depth / core) / log(loops), "subtract them first"),
        (lambda depth, once, core, loops: log((depth - once) / core) / loops, "no logarithm"),
        (
            lambda depth, once, core, loops: log(loops) / log((depth - once) / core),
            "one over phi",
        ),
        (lambda depth, once, core, loops: log(depth - once) / log(loops), "core is not in it"),
        (lambda depth, once, core, loops: (depth - once) / core / loops, "the share of the loops"),
    ],
}
