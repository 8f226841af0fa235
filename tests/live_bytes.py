"""Bytes of all tensors alive at one time, counted operation by operation."""

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """`peak` is the most that storages made under this mode held together."""

    def __init__(self):
        super().__init__()
        self.peak = 0
        self._live = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        given = {s.data_ptr() for s in map(_storage, tree_leaves((args, kwargs))) if s is not None}
        self._live = {key: one for key, one in self._live.items() if not one[0].expired()}
        for storage in map(_storage, tree_leaves(result)):
            if storage is not None and storage.data_ptr() not in given:
                self._live[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
        self.peak = max(self.peak, sum(size for _, size in self._live.values()))
        return result


def _storage(value):
    return value.untyped_storage() if isinstance(value, torch.Tensor) else None


def peak(run) -> int:
    """Most bytes of tensors that `run()` held at one time, what it returns included."""
    with LiveBytes() as live:
        run()
    return live.peak
