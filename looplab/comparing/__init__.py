"""Many models on the same prompts, side by side: do they settle, how, and what would exits save?

looplab compare MODEL MODEL ... --prompts FILE --loops 32 --out DIR
"""

from looplab.comparing.measuring import Portrait, portray
from looplab.comparing.table import text_table

__all__ = ["Portrait", "portray", "text_table"]
