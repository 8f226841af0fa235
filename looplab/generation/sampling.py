"""From logits to the next token."""

import torch
from torch import Tensor


def choose(
    logits: Tensor,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    luck: Tensor | None = None,
) -> Tensor:
    """Next tokens [batch] from logits [batch, vocab].

    `temperature=0` takes the likeliest. Otherwise the logits are divided by it, all but the `top_k`
    likeliest are dropped, then all beyond the fewest that hold `top_p` of what is left, and `luck`
    [batch, vocab], drawn from Exponential(1) (None: drawn here), decides by the probabilities.
    Raises ValueError for settings out of range or without effect.

    Source: top-p is nucleus sampling, arXiv 1904.09751.

    >>> choose(torch.tensor([[0.0, 2.0, 1.0]]))
    tensor([1])
    """
    if not temperature >= 0:
        raise ValueError(f"temperature={temperature}: expected 0 (the likeliest token) or more")
    if temperature == 0:
        if top_k is not None or top_p is not None:
            raise ValueError(
                f"top_k={top_k}, top_p={top_p} do nothing at temperature=0: raise the temperature"
            )
        return logits.argmax(-1)
    # The highest logit becomes 0, so that a tiny temperature cannot overflow.
    logits = (logits - logits.amax(-1, keepdim=True)).float() / temperature
    if top_k is not None:
        if top_k < 1:
            raise ValueError(f"top_k={top_k}: expected at least 1")
        least = logits.topk(min(top_k, logits.shape[-1])).values[..., -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    chances = logits.softmax(-1)
    if top_p is not None:
        if not 0 < top_p <= 1:
            raise ValueError(f"top_p={top_p}: expected a share above 0 and up to 1")
        ranked, order = chances.sort(descending=True)
        beyond = ranked.cumsum(-1) - ranked >= top_p  # those before it hold top_p already
        chances = chances.masked_fill(beyond.scatter(-1, order, beyond), 0)
    if luck is None:
        luck = torch.empty_like(chances).exponential_()
    # The smallest of independent waiting times with these rates is a draw from the distribution.
    return (chances / luck).argmax(-1)
