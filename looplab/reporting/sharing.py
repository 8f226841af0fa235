"""Can the loops share cache slots? Texts read token by token, through caches of fewer slots."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from looplab.model.cache import Cache
from looplab.reporting.protocol import Protocol
from looplab.reporting.subject import Subject


@dataclass(frozen=True)
class Shared:
    """Reading through a cache of so many slots, beside reading without one."""

    slots: int
    loops: int
    tokens: int  # that were read
    same: float  # share of tokens whose answer is the same
    moved: float  # mean KL from the answers without a cache, nats
    loss: float | None  # mean loss above that without a cache
    error: float | None  # its standard error, paired over texts; None for one text


@torch.no_grad()
def share_slots(subject: Subject, protocol: Protocol) -> list[Shared] | str:
    """A line for 1, 2, half of and all slots; or in words why there is none.

    All slots are the control: they must agree with reading without a cache.
    """
    model = subject.model
    if model is None:
        return (
            "a file's loop has no cache that looplab could share: this is measured on models of "
            "looplab's own, and on released ones that it loads"
        )
    loops = model.config.loops
    if loops < 2:
        return "a model that runs one loop has one slot"
    case = subject.some(protocol.cached, protocol.tokens)
    tokens = case.tokens
    try:
        Cache(model, len(tokens), loops)
    except ValueError as error:
        return str(error)
    whole = model(tokens, loops, state=case.start).logits.double()
    base = case.loss(whole)
    found = []
    for slots in sorted({1, 2, loops // 2, loops}):
        read = _through(model, tokens, case.start, loops, slots).double()
        logs, known = read.log_softmax(-1), whole.log_softmax(-1)
        moved = F.kl_div(logs, known, reduction="none", log_target=True).sum(-1)
        loss = error = None
        if base is not None:
            above = (case.loss(read) - base).nanmean(-1)
            loss = above.mean().item()
            error = (above.std() / len(above) ** 0.5).item() if len(above) > 1 else None
        same = (read.argmax(-1) == whole.argmax(-1)).double().mean().item()
        found.append(Shared(slots, loops, moved.numel(), same, moved.mean().item(), loss, error))
    return found


def _through(model, tokens: Tensor, start: Tensor, loops: int, slots: int) -> Tensor:
    """Logits [item, token, class] of tokens that are read one after the other."""
    cache = Cache(model, len(tokens), loops, slots=slots, tokens=tokens.shape[1])
    parts = []
    for at in range(tokens.shape[1]):
        some, state = tokens[:, at : at + 1], start[:, at : at + 1]
        parts.append(model(some, loops, state=state, cache=cache).logits)
    return torch.cat(parts, dim=1)
