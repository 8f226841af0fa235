"""Input injection: how the input X is brought back into the state Z at the start of every loop.

A row in INJECTIONS is a module from (Z, X), both [..., width], to the new state. It is made from
the config's `width`, `injection_bias` and `injection_eps`, and `reset` lets it start as the even
mix of both, so that both get through from the first step of training on.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Carry(nn.Module):
    """Z: nothing is injected."""

    def __init__(self, width: int, bias: bool, eps: float):
        super().__init__()

    def reset(self):
        pass

    def forward(self, z: Tensor, x: Tensor) -> Tensor:
        return z


class Add(Carry):
    """Z + X."""

    def forward(self, z: Tensor, x: Tensor) -> Tensor:
        return z + x


class Concat(nn.Module):
    """[Z, X] W_I, in Huginn and the retrofits, with + b where asked for; starts as (Z + X) / 2."""

    def __init__(self, width: int, bias: bool, eps: float):
        super().__init__()
        self.mix = nn.Linear(2 * width, width, bias=bias)

    def reset(self):
        half = torch.eye(self.mix.out_features) / 2
        self.mix.weight.data.copy_(torch.cat((half, half), dim=1))
        if self.mix.bias is not None:
            nn.init.zeros_(self.mix.bias)

    def forward(self, z: Tensor, x: Tensor) -> Tensor:
        return self.mix(torch.cat((z, x), dim=-1))


class Diagonal(nn.Module):
    """exp(-dt A) Z + dt B X, with A and dt positive for each channel; starts as (Z + X) / 2.

    Source: Parcae, arXiv 2604.12946.
    """

    def __init__(self, width: int, bias: bool, eps: float):
        super().__init__()
        self.log_a = nn.Parameter(torch.zeros(width))
        self.dt_bias = nn.Parameter(torch.zeros(width))  # dt = softplus(0) = log 2: halves Z
        self.b = nn.Linear(width, width, bias=False)

    def reset(self):
        eye = torch.eye(self.b.out_features)
        self.b.weight.data.copy_(eye / 2 / F.softplus(self.dt_bias.data))

    def parts(self, z: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """What is kept of Z, and what is added: exp(-dt A) Z and dt B X."""
        dt = F.softplus(self.dt_bias)
        return z * torch.exp(-dt * self.log_a.exp()), dt * self.b(x)

    def forward(self, z: Tensor, x: Tensor) -> Tensor:
        kept, added = self.parts(z, x)
        return kept + added


class Orthogonal(Diagonal):
    """`Diagonal`, where what is kept of Z first loses its component along what is added.

    With k = exp(-dt A) Z and u = dt B X it is k - (k.u / (u.u + eps)) u + u, for each token; the
    component is computed in float32 at least.

    Source: OrthoInj of "Towards Looped Models Done Right, Part II", github.com/ifm-ai/xllm-loop.
    """

    def __init__(self, width: int, bias: bool, eps: float):
        super().__init__(width, bias, eps)
        self.eps = eps

    def forward(self, z: Tensor, x: Tensor) -> Tensor:
        kept, added = self.parts(z, x)
        kind = torch.promote_types(kept.dtype, torch.float32)
        k, u = kept.to(kind), added.to(kind)
        share = (k * u).sum(-1, keepdim=True) / (u.square().sum(-1, keepdim=True) + self.eps)
        return (k - share * u).to(kept.dtype) + added


INJECTIONS = {
    "none": Carry,
    "concat": Concat,
    "add": Add,
    "diagonal": Diagonal,
    "orthogonal": Orthogonal,
}
