"""Where a family puts its norms: one row each, and everything that depends on it reads the row."""

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Placement:
    """Which norms a model has besides the last one, in front of its head.

    A layer has up to four, n1 to n4: n1 and n3 stand in front of its branches (attention, MLP),
    n2 and n4 behind them, on the branch's output or on the sum of stream and branch.

    Source: norms n1..n4 of arXiv 2604.11791, section 2.
    """

    family: str  # whose placement it is
    before: bool = False  # n1, n3: on what a branch reads
    after: bool = False  # n2, n4: on what a branch writes ...
    on_sum: bool = False  # ... or, with this, on the stream that it was added to
    loop_end: bool = False  # one more on the stream, at the end of every loop ...
    bare_end: bool = False  # ... with this, without weights, so that the head keeps its own
    before_coda: bool = False  # the last norm acts twice: before the coda and before the head

    @property
    def norms(self) -> tuple[str, ...]:
        """The norms that a layer has, in the order in which it runs them.

        >>> PLACEMENTS["branch_post"].norms
        ('n2', 'n4')
        """
        present = {"n1": self.before, "n2": self.after, "n3": self.before, "n4": self.after}
        return tuple(name for name, there in present.items() if there)


PLACEMENTS = {
    "pre": Placement("Llama form", before=True),
    "residual_sandwich": Placement(
        "Huginn", before=True, after=True, on_sum=True, before_coda=True
    ),
    "branch_sandwich": Placement("Ouro", before=True, after=True, loop_end=True),
    "branch_post": Placement("OLMo-2 form", after=True),
    "post": Placement("ALBERT", after=True, on_sum=True),
    "pre_loop_end": Placement("Nanbeige", before=True, loop_end=True),
    "pre_bare_end": Placement("IFM Huginn-Linear", before=True, loop_end=True, bare_end=True),
}


# rms: x / sqrt(mean(x^2) + eps) times a weight; layer: the mean is taken away first, and a bias
# added; bare: rms without a weight
NORM_KINDS = ("rms", "layer", "bare")


def make_norm(kind: str, width: int, eps: float) -> nn.Module:
    """A norm of one of NORM_KINDS over the last axis, [..., width] -> [..., width].

    >>> [name for name, _ in make_norm("layer", 4, 1e-6).named_parameters()]
    ['weight', 'bias']
    """
    if kind == "layer":
        return nn.LayerNorm(width, eps=eps)
    return nn.RMSNorm(width, eps=eps, elementwise_affine=kind == "rms")
