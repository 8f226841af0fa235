"""Training in several processes, such as torchrun starts: who takes which rows, and what is told.

Every process draws the same batches, loops and noise, runs its rows of each batch, and the parts of
the gradient are added up, so that all take the same step.

This is done by hand and not by DistributedDataParallel. What is added up are shares of the whole
batch's mean, which a mean over processes, as that takes, would have to be corrected for; it knows
one `forward` of a wrapped model, where a loss on all loops reads states out beside it; it has to be
told of weights without a gradient, and not to send anything for each part of a batch. For that it
sends while gradients are still computed, which a loop has little use for: its weights are done
only when the backward pass has reached the first loop.
"""

import atexit
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

PATIENCE = timedelta(days=1)  # the others wait while the first evaluates, as long as that takes


@dataclass(frozen=True)
class Processes:
    """This process among those that train together; alone, nothing is sent.

    What sends has to be called by all of them, in the same order.
    """

    device: torch.device  # where this one computes
    rank: int = 0  # which one this is; the first one, 0, writes and tells
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and tells."""
        return self.rank == 0

    def rows(self, batch: int) -> range:
        """The rows of a batch that are this process's: as many as another's, or one more or less.

        Raises ValueError where there are not enough for all.

        >>> [list(Processes(torch.device("cpu"), rank, 2).rows(5)) for rank in range(2)]
        [[0, 1], [2, 3, 4]]
        """
        if batch < self.count:
            raise ValueError(
                f"batch={batch} is fewer rows than the {self.count} processes that train on them: "
                "start fewer processes, or set a larger batch in the recipe"
            )
        return range(self.rank * batch // self.count, (self.rank + 1) * batch // self.count)

    def add_up(self, tensors: Iterable[Tensor]) -> None:
        """Put in place of each tensor its sum over the processes."""
        if self.count > 1:
            sent = [dist.all_reduce(tensor, async_op=True) for tensor in tensors]
            for one in sent:
                one.wait()

    def copy_first(self, tensors: Iterable[Tensor]) -> None:
        """Put in place of each tensor that of the first process."""
        if self.count > 1:
            for tensor in tensors:
                dist.broadcast(tensor, 0)

    def any(self, flag: bool) -> bool:
        """Whether the flag is up in any of the processes."""
        if self.count == 1:
            return flag
        up = torch.tensor(float(flag), device=self.device)
        self.add_up([up])
        return bool(up)

    def told(self, value: Any) -> Any:
        """What the first process has as `value`."""
        return self._all(value)[0]

    def check_same(self, what: str, value: Any) -> None:
        """ValueError where another process has another `value` than the first one."""
        for rank, other in enumerate(values := self._all(value)):
            if other != values[0]:
                raise ValueError(
                    f"process {rank} of {self.count} has {what} {other} and process 0 {values[0]}: "
                    "all have to run the same script on the same files and data; each then takes "
                    "its own rows of a batch"
                )

    def _all(self, value: Any) -> list:
        if self.count == 1:
            return [value]
        values = [None] * self.count
        dist.all_gather_object(values, value)
        return values


def join(device: torch.device) -> Processes:
    """The processes that torchrun started, or that have a process group already; else this one.

    Of several GPUs each process takes its own, by torchrun's LOCAL_RANK. A group that is opened
    here stays open until the process ends: gloo between CPUs, NCCL between GPUs.

    >>> join(torch.device("cpu")).count
    1
    """
    if not dist.is_available():
        return Processes(device)
    if not dist.is_initialized():
        if not dist.is_torchelastic_launched() or os.environ.get("WORLD_SIZE", "1") == "1":
            return Processes(device)
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, timeout=PATIENCE)
        atexit.register(_leave)
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        torch.cuda.set_device(device)  # which NCCL takes for its own
    return Processes(device, dist.get_rank(), dist.get_world_size())


def _leave() -> None:
    if dist.is_initialized():  # the script may have left by itself
        dist.destroy_process_group()
