"""Prediction and suppression neurons of every layer of a model, counted from its weights."""

import torch
from torch import Tensor

from looplab.measure import neuron_shares, vocabulary_moments
from looplab.model import LoopedTransformer
from looplab.reproduction.planning import NEURONS
from looplab.reproduction.protocol import Protocol


@torch.inference_mode()
def count_neurons(model: LoopedTransformer, protocol: Protocol) -> Tensor:
    """Shares of prediction and suppression neurons, and mean kurtosis: [layer, 3].

    Layers stand as prelude, core (once, as its weights are the same in all loops) and coda. Judged
    on `protocol.vocabulary` tokens drawn with its seed. The last norm's weight is part of the head;
    where a norm stands on an MLP's output, its weight is part of the MLP's.

    >>> from looplab import LoopedConfig
    >>> count_neurons(LoopedTransformer(LoopedConfig(vocab=9, core=2)), Protocol()).shape
    torch.Size([2, 3])
    """
    config, head = model.config, model.head.weight
    draw = torch.Generator().manual_seed(protocol.seed)
    some = torch.randperm(config.answers, generator=draw)[: protocol.vocabulary]
    read = head[some.to(head.device)].float()
    last = model.norm if hasattr(model.norm, "weight") else model.cores[-1].loop_norm
    if getattr(last, "weight", None) is not None:
        read = read * last.weight.float()
    core = (layer for one in model.cores for layer in one.layers)
    found = []
    for layer in (*model.prelude, *core, *model.coda):
        down, norm = layer.mlp.down.weight, getattr(layer.n4, "weight", None)
        gain = None if norm is None or config.placement.on_sum else norm.float()[:, None]
        moments = []
        for part in down.split(max(1, NEURONS // len(read)), dim=1):
            write = part.float() if gain is None else part.float() * gain
            moments.append(torch.stack(vocabulary_moments(write, read)))
        found.append(torch.stack(neuron_shares(*torch.cat(moments, dim=1))))
    return torch.stack(found).cpu()
