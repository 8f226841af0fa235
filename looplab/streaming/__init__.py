"""Measure a run while it happens, for models and numbers of loops whose states do not fit.

run = stream(model, tokens, loops=128)       # statistics of every (loop, layer), no states
looplab trace MODEL --prompts FILE --loops 128 --out DIR        # the same for many prompts
"""

from looplab.streaming.run import Stream, plan, stream

__all__ = ["Stream", "plan", "stream"]
