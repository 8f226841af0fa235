"""What an encoder such as ALBERT has at its two ends, around the embedding and the head.

Source: ALBERT, arXiv 1909.11942; the head of a masked language model is BERT's, arXiv 1810.04805.
"""

import torch
from torch import Tensor, nn

from looplab.model.config import LoopedConfig
from looplab.model.layers import ACTIVATIONS
from looplab.model.norms import make_norm


class Entrance(nn.Module):
    """What is done to a token's embedding: its place and its type added, and a norm.

    Each is there as the config says, at the width of the embedding.
    """

    def __init__(self, config: LoopedConfig):
        super().__init__()
        inside = config.table_width
        self.place = self.kind = self.norm = None
        if config.places is not None:
            self.place = nn.Embedding(config.places, inside)
        if config.types:
            self.kind = nn.Embedding(config.types, inside)
        if config.embed_norm:
            self.norm = make_norm(config.norm_kind, inside, config.norm_eps)

    def forward(self, x: Tensor, types: Tensor | None, first: int) -> Tensor:
        """Embeddings [batch, token, embed_width] of tokens whose places begin at `first`, to the
        same; `types` [batch, token], None meaning 0 everywhere.

        ValueError for more tokens than there are places for.
        """
        last = first + x.shape[-2]
        if self.kind is not None:
            x = x + (self.kind.weight[0] if types is None else self.kind(types))
        if self.place is not None:
            if last > self.place.num_embeddings:
                raise ValueError(
                    f"{last} tokens: this model has learned {self.place.num_embeddings} positions "
                    "and knows no more, so give shorter sequences"
                )
            x = x + self.place(torch.arange(first, last, device=x.device))
        return x if self.norm is None else self.norm(x)


class MaskedHead(nn.Module):
    """What a masked language model has in front of its head: a matrix, an activation, a norm.

    From a state [..., width] to [..., embed_width].
    """

    def __init__(self, config: LoopedConfig):
        super().__init__()
        self.map = nn.Linear(config.width, config.table_width)
        self.act = ACTIVATIONS[config.activation]
        self.norm = make_norm(config.norm_kind, config.table_width, config.norm_eps)

    def forward(self, z: Tensor) -> Tensor:
        return self.norm(self.act(self.map(z)))
