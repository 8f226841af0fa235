"""How many CPU threads a piece of work should use."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch


@contextmanager
def use_threads(threads: int) -> Iterator[None]:
    """Run a block with this many torch threads and put the old number back.

    >>> with use_threads(1):
    ...     torch.get_num_threads()
    1
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def faster_threads(work: Callable[[], object]) -> int:
    """1 or all threads, whichever runs `work` faster.

    On tiny tensors many threads wait for each other longer than they compute, most of all on a
    busy machine. Under CI, and where torch already has a single thread, nothing is timed.

    >>> faster_threads(lambda: torch.ones(2, 2) @ torch.ones(2, 2)) <= torch.get_num_threads()
    True
    """
    everything = torch.get_num_threads()
    if everything == 1 or os.environ.get("CI"):
        return 1
    seconds = {}
    for threads in (1, everything):
        with use_threads(threads):
            work()  # the first run at a new number of threads pays for starting them
            seconds[threads] = min(_time(work) for _ in range(2))
    # One thread has to be clearly slower: it is the steadier choice.
    return everything if seconds[everything] < 0.9 * seconds[1] else 1


def _time(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
