"""Batches of sequences of different lengths."""

from torch import Tensor


def pad_right(tokens: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
    """Move every sequence of a padded batch to the left, and its padding behind it.

    A causal model then gives each real token exactly what it gives the sequence alone, with the
    same positions and no mask at all; what it computes at the padding is to be dropped. Both
    arguments are a tokenizer's, [batch, token], mask 1 at real tokens; returned are tokens and a
    mask of bool in the new order. Where it matters, keep padding out of averages over tokens. A
    model whose tokens look both ways (ALBERT) sees the padding there too: give it mask= instead.

    Raises ValueError naming the sequence for shapes that differ, a mask with a hole, or one
    without any token.

    >>> import torch
    >>> tokens, real = pad_right(torch.tensor([[0, 0, 7, 8]]), torch.tensor([[0, 0, 1, 1]]))
    >>> tokens.tolist(), real.tolist()
    ([[7, 8, 0, 0]], [[True, True, False, False]])
    """
    if tokens.dim() != 2 or tokens.shape != attention_mask.shape:
        raise ValueError(
            f"tokens {tuple(tokens.shape)} and attention_mask {tuple(attention_mask.shape)}: "
            "expected two of the same shape, [batch, token]"
        )
    real = attention_mask.bool()
    starts = real.int().diff(dim=1).eq(1).sum(1) + real[:, 0]  # runs of real tokens
    for row, runs in enumerate(starts.tolist()):
        if runs != 1:
            raise ValueError(
                f"attention_mask of sequence {row} has {runs} runs of real tokens: "
                "expected one, with padding before or behind it"
            )
    order = (~real).int().argsort(dim=1, stable=True)
    return tokens.gather(1, order), real.gather(1, order)
