"""When to leave the loop: rules that look at one token, loop by loop, while it runs."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from looplab.measure.exits import acceleration_signal, answer_signal, step_signal

RULES = ("answer", "step", "acceleration", "gate")

# How a rule's signal follows from the values of the last loops, and from how many of them
_SIGNALS = {
    "answer": (answer_signal, 2),
    "step": (step_signal, 2),
    "acceleration": (acceleration_signal, 3),
}


@dataclass(frozen=True)
class ExitRule:
    """Leave the loop at the end of the first loop at which `signal` crosses `threshold`.

    signal        leave when
    answer        KL of the last loop's answer from this one's < threshold, in nats  (Huginn)
    step          length of the last step / length of the state < threshold
    acceleration  length of the last two steps' difference / length of the state < threshold
    gate          chance that the exit gate has opened by now >= threshold           (Ouro)

    Raises ValueError for another signal, and for a threshold that can never or must always be
    crossed. `answer` reads out (coda and head) at every loop.

    Sources: Huginn, arXiv 2502.05171, section 6.1; Ouro, arXiv 2510.25741; acceleration, arXiv
    2509.23314, there without the division. `looplab.measure.exits` has the first three for whole
    runs.

    >>> ExitRule("answer", 5e-4)
    ExitRule(signal='answer', threshold=0.0005)
    """

    signal: str
    threshold: float

    def __post_init__(self):
        if self.signal not in RULES:
            raise ValueError(f"signal={self.signal!r}: expected one of {', '.join(RULES)}")
        if not self.threshold > 0:
            raise ValueError(f"threshold={self.threshold}: expected a number above zero")
        if self.signal == "gate" and not self.threshold < 1:
            raise ValueError(
                f"threshold={self.threshold}: a sum of chances reaches 1 only by rounding; "
                "generate without an exit rule to run every loop"
            )


class Watch:
    """The signal of tokens on their way through the loops; what it remembers is [row, ...]."""

    def __init__(self, rule: ExitRule):
        self.rule = rule
        self.before: list[Tensor] = []  # values of the last loops, oldest first

    def settled(
        self, state: Tensor, readout: Callable[[Tensor], Tensor], gate: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """Which tokens may leave at the end of this loop: state [row, width] -> bool [row].

        `readout` and `gate` make of such a state logits [row, vocab] and the gate's logit [row];
        only the one that the rule asks for is called.
        """
        if self.rule.signal == "gate":
            # In float32: lower precision rounds the sum up to the threshold too early.
            stays = 1 - gate(state).float().sigmoid()
            inside = stays * self.before[0] if self.before else stays
            self.before = [inside]
            return 1 - inside >= self.rule.threshold
        signal, loops = _SIGNALS[self.rule.signal]
        value = readout(state) if self.rule.signal == "answer" else state
        self.before = [*self.before, value][-loops:]
        if len(self.before) < loops:
            return torch.zeros(len(state), dtype=torch.bool, device=state.device)
        return signal(torch.stack(self.before))[-1] < self.rule.threshold

    def keep(self, rows: Tensor):
        """Forget the tokens that have left; `rows` [row] is True for those that go on."""
        self.before = [value[rows] for value in self.before]
