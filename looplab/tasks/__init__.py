"""Toy tasks whose difficulty is known exactly, so that loops can be compared with work to do."""

from looplab.tasks.batch import Batch, Task, batches
from looplab.tasks.flood import OPEN, START, WALL, flood_fill
from looplab.tasks.parity import BOS, windowed_parity
from looplab.tasks.root import find_root, two_chains

__all__ = [
    "BOS",
    "Batch",
    "OPEN",
    "START",
    "Task",
    "WALL",
    "batches",
    "find_root",
    "flood_fill",
    "two_chains",
    "windowed_parity",
]
