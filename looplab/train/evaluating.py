"""Looking at a model while it is trained."""

from collections.abc import Callable, Mapping

import torch

from looplab.basics.whole import whole_number
from looplab.model import LoopedTransformer
from looplab.train.processes import Processes

# (model in eval mode, steps taken) -> numbers to keep, or None
Evaluate = Callable[[LoopedTransformer, int], Mapping[str, float] | None]


class Evaluations:
    """What `evaluate` said, every `every` steps and after the last of `steps`.

    The first of `ours` asks it and tells the others, because it may write files of its own.
    """

    def __init__(self, evaluate: Evaluate | None, every: int, steps: int, ours: Processes):
        self.ours = ours
        self.evaluate, self.every, self.steps = evaluate, whole_number("every", every, 1), steps
        self.found: list[dict] = []  # {"step": ..., and its numbers}

    def after(self, model: LoopedTransformer, step: int) -> str | None:
        """Evaluate if it is time to; returns a line about it.

        Raises TypeError for something else than a dict of numbers.
        """
        if self.evaluate is None or (step % self.every and step != self.steps):
            return None
        numbers = self.ours.told(self._asked(model, step) if self.ours.first else None)
        if numbers is None:
            return None
        self.found.append({"step": step, **numbers})
        told = ", ".join(f"{name} {value:.4g}" for name, value in numbers.items())
        return f"step {step}: {told}"

    def _asked(self, model: LoopedTransformer, step: int) -> dict[str, float] | None:
        model.eval()
        try:
            with torch.no_grad():
                said = self.evaluate(model, step)
        finally:
            model.train()
        if said is None:
            return None
        try:
            return {str(name): float(value) for name, value in said.items()}
        except (AttributeError, TypeError, ValueError) as error:
            raise TypeError(
                f"evaluate returned {said!r}: expected None, or a dict of numbers like "
                '{"held-out loss": 2.5}'
            ) from error
