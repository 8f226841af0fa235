"""How much a report measures."""

from dataclasses import dataclass

from looplab.basics.whole import whole_number
from looplab.measure.limits import LEAST_LOOPS


@dataclass(frozen=True)
class Protocol:
    """What a report runs; QUICK is a look, under a minute on a small model.

    Raises ValueError for numbers that cannot be.

    >>> Protocol().loops, QUICK.loops
    (128, 64)
    """

    items: int = 128  # inputs, of a task or of prompts
    loops: int = 128  # of the curves; also the window in which rest is looked for
    patience: int = 8  # times so many loops a loop is followed that has not come to rest
    starts: int = 8  # random ones, beside the loop's own
    started: int = 8  # inputs that are run from them
    spectra: int = 4  # inputs whose multipliers and exponents are computed
    tokens: int = 32  # of a text that multipliers, exponents and cache slots are computed on
    growth: int = 256  # loops over which an exponent is a mean
    rounded: int = 32  # inputs that are run in other precisions
    cached: int = 8  # texts that are read through a cache
    seed: int = 0  # of what is drawn

    def __post_init__(self):
        for name in ("items", "patience", "starts", "started", "spectra", "tokens"):
            whole_number(name, getattr(self, name), 1)
        for name in ("rounded", "cached"):
            whole_number(name, getattr(self, name), 1)
        whole_number("loops", self.loops, LEAST_LOOPS)
        whole_number("growth", self.growth, 32)
        whole_number("seed", self.seed, 0)


QUICK = Protocol(
    items=64, loops=64, patience=4, starts=4, started=4, spectra=2, growth=64, rounded=16, cached=4
)
