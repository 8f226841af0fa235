"""Typical wrong answers to chapter 07, and the hint each of them should get."""

from math import log

import torch
import torch.nn.functional as F


def concentration(share, largest):
    return 1 - torch.special.entr(share).sum(-1) / largest


def plain_log(patterns):
    share = patterns.mean(-2)
    return 1 + (share * share.log()).sum(-1) / log(patterns.shape[-1])


def entropy(values):
    share = values / values.sum(-1, keepdim=True)
    return torch.special.entr(share).sum(-1)


def eigenvalues(states):
    x = states.double()
    return torch.linalg.eigvalsh(x @ x.mT).clamp_min(0)


def not_cut_off(states):
    values = torch.linalg.eigvalsh(states @ states.mT).double()
    share = values / values.sum(-1, keepdim=True)
    return -(share * share.log()).sum(-1)


def lens(wrong):
    def lens(states, norm, head):
        logits = head(states if wrong == "bare" else norm(states))
        if wrong == "logits":
            return logits.argmax(-1), logits.amax(-1)
        if wrong == "logs":
            return logits.argmax(-1), logits.log_softmax(-1).amax(-1)
        if wrong == "ids":
            return logits.argmax(-1)
        return logits.argmax(-1), logits.softmax(-1).amax(-1)

    return lens


def writer(name="core.mlp.out", measure=None):
    def written(model, tokens, position=0):
        found = []

        def look(site, value):
            if site.name == name:
                found.append(measure(value, position))

        model(tokens, tap=look)
        return torch.stack(found)

    return written


def mean_length(value, position):
    return value[:, position].norm(dim=-1).mean()


def muting(name="core.mlp.out", shift=0, everywhere=False, returns=True, last=False):
    def silence(layer, position=None):
        def tap(site, value):
            if layer is None or site.name != name or site.layer != layer - shift:
                return None
            value = value.clone()
            if everywhere:
                value[:] = 0
            elif position is None and last:
                value[:, 0] = 0
            else:
                value[:, slice(None) if position is None else position] = 0
            return value if returns else None

        return tap

    return silence


def sweeping(wrong):
    """sweep with one thing wrong."""

    def sweep(model, tokens):
        rates, losses, mutes = [], [], []
        for layer in (None, *range(model.config.core)):
            if layer is None and wrong == "no first":
                continue
            seen = []
            silence = muting()(layer, None if wrong == "everywhere" else 0)
            mutes = [*mutes, silence] if wrong == "all so far" else [silence]

            def tap(site, value, seen=seen, mutes=mutes):
                if site.name == "core.attn.pattern":
                    seen.append((value[..., 0].mean(-1) >= 0.3).float().mean())
                found = [mute(site, value) for mute in mutes]
                found = [one for one in found if one is not None]
                return found[0] if found and wrong != "returns nothing" else None

            tap.patterns = True
            logits = model(tokens, tap=tap).logits
            shift = 0 if wrong == "same token" else 1
            said = logits[:, : tokens.shape[1] - shift].flatten(0, 1)
            losses.append(F.cross_entropy(said, tokens[:, shift:].flatten()))
            rates.append(torch.stack(seen).mean())
        return torch.stack(rates), torch.stack(losses)

    return sweep


# exercise -> [(wrong answer, part of the sentence it should get)]
BANK = {
    "07.1": [
        (lambda p: concentration(p.mean(-1), log(p.shape[-1])), "over the tokens that look"),
        (lambda p: 1 - concentration(p.mean(-2), log(p.shape[-1])), "one minus it"),
        (lambda p: concentration(p.mean(-2), 1), "divide it by log T"),
        (lambda p: concentration(p.sum(-2), log(p.shape[-1])), "divide them by T"),
        (plain_log, "0 log 0"),
        (lambda p: concentration(p, log(p.shape[-1])).mean(-1), "entropy of the rows"),
    ],
    "07.2": [
        (
            lambda p, position=0, threshold=0.3: (
                (p[..., position, :].mean(-1) >= threshold).float().mean(-1)
            ),
            "that is a row",
        ),
        (lambda p, position=0, threshold=0.3: p[..., position].mean((-2, -1)), "mean score"),
        (
            lambda p, position=0, threshold=0.3: (
                (p[..., position].mean(-1) >= threshold).float().sum(-1)
            ),
            "divide by how many",
        ),
        (
            lambda p, position=0, threshold=0.3: (p[..., 0].mean(-1) >= threshold).float().mean(-1),
            "position is not used",
        ),
        (
            lambda p, position=0, threshold=0.3: (
                (p[..., position].mean(-1) > threshold).float().mean(-1)
            ),
            "just reaches",
        ),
        (
            lambda p, position=0, threshold=0.3: (
                (p[..., position] >= threshold).float().mean((-2, -1))
            ),
            "each single look",
        ),
    ],
    "07.3": [
        (lambda x: entropy(torch.linalg.svdvals(x.double())), "their squares"),
        (lambda x: entropy(eigenvalues(x - x.mean(-2, keepdim=True))), "subtracted the mean"),
        (lambda x: torch.special.entr(eigenvalues(x)).sum(-1), "divide them by their sum"),
        (lambda x: entropy(eigenvalues(F.normalize(x, dim=-1))), "equally long"),
        (not_cut_off, "slightly negative"),
    ],
    "07.4": [
        (lens("bare"), "norm in front of the head"),
        (lens("logits"), "these are logits"),
        (lens("logs"), "log-probabilities"),
        (lens("ids"), "two things"),
    ],
    "07.5": [
        (writer("core.resid", mean_length), "length of the state"),
        (writer("core.attn.out", mean_length), "what attention adds"),
        (writer(measure=lambda value, position: value.norm(dim=-1).mean()), "only one position"),
        (writer(measure=lambda value, position: mean_length(value, 0)), "position is not used"),
        (
            writer(measure=lambda value, position: value[:, position].mean(0).norm()),
            "averaged the vectors",
        ),
        (
            writer(measure=lambda value, position: value[:, position].norm(dim=-1)),
            "one number for each layer",
        ),
    ],
    "07.6": [
        (muting(returns=False), "nothing is silenced"),
        (muting(everywhere=True), "all positions"),
        (muting(name="core.attn.out"), "attention is silenced"),
        (muting(name="core.resid"), "whole state"),
        (muting(shift=1), "off by one"),
        (muting(last=True), "position=None"),
    ],
    "07.7": [
        (sweeping("same token"), "the next one"),
        (sweeping("everywhere"), "at all positions"),
        (sweeping("all so far"), "stay silent"),
        (sweeping("returns nothing"), "nothing is silenced in the runs"),
        (sweeping("no first"), "so six"),
    ],
}
