"""Typical wrong answers to chapter 11, and the hint each of them should get."""

import torch


def tapped(wrong):
    """A scalpel with one thing wrong."""

    def put(source, loop, token):
        def tap(site, value):
            at = loop if wrong == "late" else loop - 1
            if wrong != "site" and site.name != "core.loop_end":
                return None
            if site.loop != at:
                return None
            if wrong != "in place":
                value = value.clone()
            if wrong == "batch":
                value[token] = source[token]
            else:
                value[:, token] = source[:, token]
            return None if wrong == "silent" else value

        return tap

    return put


def no_tap(source, loop, token):
    return source[:, token]


def sharing(wrong):
    """A share of the difference with one thing wrong."""

    def share_made(patched, plain, aim, least=1.0):
        whole = aim - plain
        counts = whole.abs() >= (1.0 if wrong == "fixed" else least)
        if wrong == "all":
            counts = whole == whole
        if wrong == "signed":
            counts = whole >= least
        if wrong == "aim":
            whole = aim
        if wrong == "means":
            return (patched - plain)[..., counts].mean(-1) / whole[counts].mean()
        shares = (patched - plain) / whole
        shares = shares[..., counts].mean(-1)
        return 1 - shares if wrong == "turned" else shares

    return share_made


def along(change, sign=1, start=0, total=False):
    lines = [change[start:, :, start:].diagonal(sign * d, 0, 2) for d in range(len(change))]
    return torch.stack([each.sum() if total else each.mean() for each in lines])


def both_ways(change):
    nodes = len(change)
    found = []
    for d in range(nodes):
        pairs = [change[i, :, j] for i in range(nodes) for j in range(nodes) if abs(i - j) == d]
        found.append(torch.stack(pairs).mean())
    return torch.stack(found)


def fitting(wrong):
    """A factor per loop with one thing wrong."""

    def factor(effect, left, floor):
        seen = effect > (0 if wrong == "drowned" else floor)
        x, y = left[seen].double(), effect[seen].double()
        y = y.log10() if wrong == "log10" else y.log()
        if wrong == "pushes":
            x = torch.arange(len(x)).double()
        if wrong == "ends":
            return ((y[-1] - y[0]) / (x[-1] - x[0])).exp().item()
        if wrong != "origin":
            x, y = x - x.mean(), y - y.mean()
        slope = (x * y).sum() / (x * x).sum()
        return slope.item() if wrong == "slope" else slope.exp().item()

    return factor


def shortening(wrong):
    """A share of repaired steps with one thing wrong."""

    def repaired(states, share, right):
        was = right(states)
        failed = was[:-1] & ~was[1:]
        step = states[1:] - states[:-1]
        short = states[1:] - share * step if wrong == "end" else states[:-1] + share * step
        if wrong == "all":
            return right(short).float().mean().item()
        if wrong == "before":
            failed = ~was[1:]
        if wrong == "after":
            failed = was[:-1]
        if wrong == "gained":
            failed = ~was[:-1] & was[1:]
        found = right(short)[failed].float()
        return found.sum().item() if wrong == "count" else found.mean().item()

    return repaired


def judging(wrong):
    """A verdict with one thing wrong."""

    def verdict(ours, control, least):
        low, high = min(ours) - max(control), max(ours) - min(control)
        if wrong == "means":
            low = high = sum(ours) / len(ours) - sum(control) / len(control)
        if wrong == "best":
            low = high
        if wrong == "worst":
            high = low
        if low > least or (low == least and wrong != "strict"):
            return "yes"
        if high < least or (high == least and wrong == "edge"):
            return "no"
        return "open" if wrong != "words" else "undecided"

    return verdict


# exercise -> [(wrong answer, part of the sentence it should get)]
BANK = {
    "11.1": [
        (no_tap, "a tap is expected"),
        (tapped("silent"), "does the tap return it"),
        (tapped("late"), "one loop too late"),
        (tapped("batch"), "the batch is the first axis"),
        (tapped("site"), "look at site.name"),
        (tapped("in place"), "clone it first"),
    ],
    "11.2": [
        (sharing("all"), "leave out those below"),
        (sharing("signed"), "negative are left out"),
        (sharing("aim"), "the whole is aim - plain"),
        (sharing("turned"), "changed places"),
        (sharing("means"), "the mean by the mean"),
        (sharing("fixed"), "is an argument"),
    ],
    "11.3": [
        (lambda change: along(change, sign=-1), "above the patched node"),
        (both_ways, "are mixed"),
        (lambda change: along(change, total=True), "these are sums"),
        (lambda change: change.mean((0, 1)), "means for each node"),
        (lambda change: change[0].mean(0), "only the patched node 0"),
        (lambda change: along(change)[1:], "the shape is (4,)"),
    ],
    "11.4": [
        (fitting("slope"), "undo the logarithm"),
        (fitting("drowned"), "only those above the floor"),
        (fitting("log10"), "log10"),
        (fitting("pushes"), "factor per push"),
        (fitting("origin"), "through the origin"),
        (fitting("ends"), "the first and the last alone"),
    ],
    "11.5": [
        (shortening("all"), "the share of all steps"),
        (shortening("before"), "right before"),
        (shortening("after"), "wrong after"),
        (shortening("end"), "from its end"),
        (shortening("count"), "divide by"),
        (shortening("gained"), "steps to the right answer"),
    ],
    "11.6": [
        (judging("best"), "the worst must reach it"),
        (judging("worst"), "the best must fall short"),
        (judging("strict"), "is enough for a yes"),
        (judging("edge"), "that is no `no`"),
        (judging("words"), "the words are"),
        (lambda ours, control, least: min(ours) > max(control), "one of the words"),
    ],
}
