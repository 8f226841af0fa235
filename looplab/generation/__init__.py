"""Let a looped model write: cached, greedy or sampled, with early exit from the loop per token."""

from looplab.generation.decoding import Generation, generate
from looplab.generation.exits import RULES, ExitRule
from looplab.generation.sampling import choose

__all__ = ["RULES", "ExitRule", "Generation", "choose", "generate"]
