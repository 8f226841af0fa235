"""What a training run does, as data: two runs of one recipe see the same batches and loops."""

from dataclasses import asdict, dataclass
from math import cos, isfinite, log, pi

import torch

from looplab.basics.whole import is_whole


@dataclass(frozen=True)
class UniformLoops:
    """Loops per step drawn evenly from low..high, both included."""

    low: int
    high: int

    def __post_init__(self):
        if not 1 <= self.low <= self.high:
            raise ValueError(f"UniformLoops({self.low}, {self.high}): need 1 <= low <= high")

    def draw(self, steps: int, generator: torch.Generator) -> list[int]:
        return torch.randint(self.low, self.high + 1, (steps,), generator=generator).tolist()


@dataclass(frozen=True)
class PoissonLogNormalLoops:
    """Loops per step with a long tail: tau ~ N(log mean - sigma^2 / 2, sigma), Poisson(e^tau) + 1.

    Source: Huginn, arXiv 2502.05171, section 3.3 (mean 32, sigma 0.5). The expected number of
    loops is mean + 1.
    """

    mean: float
    sigma: float = 0.5

    def __post_init__(self):
        if not (self.mean > 0 and self.sigma >= 0):
            raise ValueError(
                f"PoissonLogNormalLoops(mean={self.mean}, sigma={self.sigma}): "
                "need mean > 0 and sigma >= 0"
            )

    def draw(self, steps: int, generator: torch.Generator) -> list[int]:
        normal = torch.randn(steps, generator=generator)
        rate = (log(self.mean) - self.sigma**2 / 2 + self.sigma * normal).exp()
        return (torch.poisson(rate, generator=generator).long() + 1).tolist()


@dataclass(frozen=True)
class Recipe:
    """Everything `fit` needs beside the model and the task.

    loops: how many loops each step runs: a sampler, or a number for always the same.
    grad_loops: gradient flows through this many last loops (truncated backprop); None for all.
    warmup: steps of linear warm-up, followed by a cosine down to 10 % of `lr`.
    penalty: weight w of the terminal fixed-point penalty w * mean(|h_T - h_(T-1)| / |h_T|), which
        asks the state to be at rest when the loop ends (cf. arXiv 2608.18222).
    loss_on: "last" loop only, or "all" loops that carry gradient, averaged (per-loop losses).

    Raises ValueError naming the setting that makes no sense.

    Example:
        >>> Recipe(steps=800, batch=64, loops=UniformLoops(3, 6)).learning_rate(49)
        0.002
    """

    steps: int
    batch: int
    loops: UniformLoops | PoissonLogNormalLoops | int
    grad_loops: int | None = None
    lr: float = 2e-3
    warmup: int = 50
    weight_decay: float = 0.01
    clip: float = 1.0
    penalty: float = 0.0
    loss_on: str = "last"
    seed: int = 0

    def __post_init__(self):
        lowest = {"steps": 1, "batch": 1, "warmup": 0, "seed": 0}
        if self.grad_loops is not None:
            lowest["grad_loops"] = 1
        if not hasattr(self.loops, "draw"):
            lowest["loops"] = 1
        for name, low in lowest.items():
            value = getattr(self, name)
            if not is_whole(value, low):
                raise ValueError(f"{name} is {value!r}; expected a whole number of at least {low}")
            object.__setattr__(self, name, int(value))  # NumPy's are not JSON's
        for name in ("lr", "clip"):
            value = getattr(self, name)
            if not (value > 0 and isfinite(value)):
                raise ValueError(f"{name} is {value!r}; it must be above 0")
        for name in ("weight_decay", "penalty"):
            value = getattr(self, name)
            if not (value >= 0 and isfinite(value)):
                raise ValueError(f"{name} is {value!r}; it must be 0 or more")
        if self.loss_on not in ("last", "all"):
            raise ValueError(f"loss_on is {self.loss_on!r}; it must be 'last' or 'all'")

    def learning_rate(self, step: int) -> float:
        """Learning rate of a step (counted from 0)."""
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.lr * (0.1 + 0.45 * (1 + cos(pi * done)))

    def to_dict(self) -> dict:
        """Plain values for a card or a checkpoint; the loop sampler as its source text."""
        return {**asdict(self), "loops": repr(self.loops)}
