"""Typical wrong answers to chapter 10, and the hint each of them should get."""

import torch


def chances(gate):
    leave = gate.sigmoid()
    stay = (1 - leave).cumprod(0)
    before = torch.cat((torch.ones_like(stay[:1]), stay[:-1]))
    return leave, stay, before


def no_rest(gate):
    leave, _, before = chances(gate)
    return leave * before


def spread_rest(gate):
    found = no_rest(gate)
    return found / found.sum(0)


def late(gate):
    leave, stay, _ = chances(gate)
    return torch.cat(((leave * stay)[:-1], stay[-1:]))


def looped(mix, first=None, after=None):
    """A loop around a window, with another mixture, beginning, or something behind the window."""

    def answer(window, x, share, loops):
        z, states = (x if first is None else first(x)), []
        for _ in range(loops):
            z = window(mix(z, x, share))
            z = z if after is None else after(z, x, share)
            states.append(z)
        return torch.stack(states)

    return answer


def fair(z, x, share):
    return share * z + (1 - share) * x


def means(change):
    """What a mean change is told as, with the right error behind it."""

    def answer(losses):
        apart = losses - losses[:1]
        return change(losses), apart.std(1) / apart.shape[1] ** 0.5

    return answer


def errors(width):
    return lambda losses: ((losses - losses[:1]).mean(1), width(losses, losses - losses[:1]))


def turning(back, late=lambda n: n // 2, most=lambda n: n // 2):
    """The period of a run by another rule of what is back."""

    def answer(states, tolerance=0.01):
        half = late(len(states))
        for lag in range(1, most(len(states)) + 1):
            before = states[half - lag : len(states) - lag]
            if back(states[half:], before, tolerance):
                return lag
        return 0

    return answer


def near(late, before, tolerance):
    return bool(((late - before).norm(dim=-1) <= tolerance * late.norm(dim=-1)).all())


# exercise -> [(wrong answer, part of the sentence it should get)]
BANK = {
    "10.1": [
        (looped(lambda z, x, a: a * x + (1 - a) * z), "other way round"),
        (looped(lambda z, x, a: z), "nothing is injected"),
        (looped(lambda z, x, a: z, after=fair), "behind the window"),
        (looped(fair, first=torch.zeros_like), "begins as zeros"),
        (looped(lambda z, x, a: a * z + x), "added whole"),
        (lambda w, x, a, n: looped(fair)(w, x, a, n)[-1], "one state"),
    ],
    "10.2": [
        (means(lambda losses: losses.mean(1)), "these are the losses"),
        (means(lambda losses: (losses[:1] - losses).mean(1)), "sign is the other way"),
        (
            means(lambda losses: torch.cat((losses[:1] * 0, losses.diff(dim=0))).mean(1)),
            "row before it",
        ),
        (errors(lambda losses, change: losses.std(1) / losses.shape[1] ** 0.5), "row's own loss"),
        (errors(lambda losses, change: change.std(1)), "root of the number of texts"),
        (
            errors(lambda losses, change: change.std(1, correction=0) / change.shape[1] ** 0.5),
            "one is n - 1",
        ),
    ],
    "10.3": [
        (turning(lambda a, b, t: bool(((a - b).norm(dim=-1) <= t).all())), "tolerance is relative"),
        (
            turning(lambda a, b, t: bool(((a - b).norm(dim=-1) <= t * a.norm(dim=-1)).any())),
            "each state of the second half",
        ),
        (turning(near, most=lambda n: n // 2 - 1), "up to half the number"),
        (turning(lambda a, b, t: near(a, b, 0.01)), "tolerance that is given"),
        (
            lambda states, tolerance=0.01: turning(near)(states, tolerance) - 1,
            "state is back after each loop",
        ),
    ],
    "10.4": [
        (lambda gate: gate.sigmoid(), "do not sum to one"),
        (no_rest, "everybody leaves"),
        (lambda gate: gate.softmax(0), "without knowing later loops"),
        (spread_rest, "belongs to the last one"),
        (late, "off by one"),
    ],
    "10.5": [
        (lambda loop, layer, prelude, core: loop * core + layer, "prelude's layers have slots"),
        (lambda loop, layer, prelude, core: prelude + layer, "overwrite"),
        (
            lambda loop, layer, prelude, core: prelude + (loop - 1) * core + layer,
            "loops count from 0",
        ),
        (
            lambda loop, layer, prelude, core: prelude + loop * (prelude + core) + layer,
            "runs once",
        ),
        (lambda loop, layer, prelude, core: prelude + loop + layer, "a whole core further"),
    ],
}
