"""Let a looped model write: cached, greedy or sampled, with early exit from the loop per token."""

from looplab.generate.exits import RULES, ExitRule
from looplab.generate.generate import Generation, generate
from looplab.generate.sampling import choose

__all__ = ["RULES", "ExitRule", "Generation", "choose", "generate"]
