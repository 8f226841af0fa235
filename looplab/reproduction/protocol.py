"""What a report measures: the paper's protocol, a quick one, and what a model allows of either."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from looplab.basics.whole import whole_number
from looplab.measure.limits import LEAST_LOOPS
from looplab.model import LoopedConfig

# Figure -> claim of arXiv 2604.11791, as this course numbers them, and what the figure is of
FIGURES = {
    "steps": ("C4", "how far each loop moves each layer's state and attention"),
    "distances": ("C5", "attention patterns of all loops and layers against each other"),
    "limit": ("C6", "distance to the approximate fixed point, by layer"),
    "cycle": ("C7", "the last token's path in the plane of its largest movements"),
    "labels": ("C9", "shares of fixed points, orbits and sliders"),
    "stages": ("C10", "stages of inference, in three groupings"),
    "norms": ("C11", "length of the residual stream"),
    "ablation": ("C12", "the stages without the MLP that writes the massive activation"),
    "beyond": ("C14", "stages and loss far beyond the loops of training"),
    "neurons": ("C15", "prediction and suppression neurons, from the weights alone"),
    "floorplan": ("C16", "all attention patterns on one sheet"),
    "halves": ("C17", "stages along one pass, its halves compared"),
}
_LOOPING = ("steps", "distances", "limit", "cycle", "labels", "beyond")
_FAR = ("steps", "limit", "labels", "beyond", "cycle")
LEAST_HALVED = 8  # layers of a pass in which stages could be seen twice


@dataclass(frozen=True)
class Protocol:
    """What is measured; the defaults are the paper's where it says, and ours elsewhere.

    >>> Protocol(loops=0)
    Traceback (most recent call last):
    ValueError: loops=0: expected a whole number of at least 1
    """

    loops: int = 128  # of the long run, whose last state is the approximate fixed point
    items: int = 256  # prompts
    tokens: int | None = None  # of each prompt, from its beginning; None: all
    compared: int = 8  # loops whose patterns are compared with each other, for every prompt
    compared_once: int = 32  # the same, and of the path, for the illustration alone
    vocabulary: int = 4096  # tokens by whose logits neurons are judged
    seed: int = 0  # which prompts are taken, and which tokens of the vocabulary
    figures: tuple[str, ...] = tuple(FIGURES)
    quick: bool = False

    def __post_init__(self):
        for name in ("loops", "items", "compared", "compared_once", "vocabulary"):
            whole_number(name, getattr(self, name), 1)
        if self.tokens is not None:
            whole_number("tokens", self.tokens, 2)
        object.__setattr__(self, "figures", chosen_figures(self.figures))

    def asks(self, *figures: str) -> bool:
        """Whether any of these figures is wanted."""
        return any(figure in self.figures for figure in figures)


def chosen_figures(names: Sequence[str]) -> tuple[str, ...]:
    """Figures in the report's order, by their names or their claims; ValueError for others.

    >>> chosen_figures(["C9", "steps"])
    ('steps', 'labels')
    """
    claims = {claim: name for name, (claim, _) in FIGURES.items()}
    wanted = {claims.get(name.upper(), name) for name in names}
    for name in sorted(wanted - FIGURES.keys()):
        known = ", ".join(f"{name} ({claim})" for name, (claim, _) in FIGURES.items())
        raise ValueError(f"no figure {name!r}: expected some of {known}")
    if not wanted:
        raise ValueError(f"figures={tuple(names)!r}: expected one or more of {', '.join(FIGURES)}")
    return tuple(name for name in FIGURES if name in wanted)


def left_out(name: str, config: LoopedConfig, protocol: Protocol) -> str | None:
    """Why a figure cannot be had of a model, or None.

    >>> plain = LoopedConfig(vocab=9, core=4, loops=1)
    >>> left_out("limit", plain, Protocol(loops=1))
    'this model does not loop, so there is nothing to compare between its loops'
    """
    if name in _LOOPING and protocol.loops == 1:
        return "this model does not loop, so there is nothing to compare between its loops"
    if name == "labels" and protocol.loops < LEAST_LOOPS:
        return f"labels need {LEAST_LOOPS} loops or more, and this report has {protocol.loops}"
    if name == "beyond" and protocol.loops <= config.loops:
        return f"no more than the {config.loops} loops of the model's config are run"
    if name == "neurons" and (config.answers != config.vocab or config.masked_lm):
        return "this model's head does not turn its states into words of its vocabulary"
    if name == "halves" and (config.core < LEAST_HALVED or config.core % 2):
        return (
            f"a pass of {config.core} layers: this is about Ouro 2.6B, whose 48 were made from 24; "
            f"it takes an even number, {LEAST_HALVED} or more"
        )
    return None


def fitted(protocol: Protocol, config: LoopedConfig) -> tuple[Protocol, dict[str, str]]:
    """The protocol that a model allows, and what is left out of it: figure -> reason.

    A model that was never looped is run once, an unrolled twin for the loops it has. A quick
    protocol runs at least the loops of the model's config.
    """
    loops = protocol.loops
    if not config.tied or never_loops(config):
        loops = config.loops
    elif protocol.quick:
        loops = max(loops, config.loops)
    fits = replace(protocol, loops=loops)
    reasons = {name: left_out(name, config, fits) for name in fits.figures}
    missing = {name: reason for name, reason in reasons.items() if reason}
    kept = tuple(name for name in fits.figures if name not in missing)
    if not kept:
        told = "; ".join(f"{name}: {reason}" for name, reason in missing.items())
        raise ValueError(f"nothing is left of these figures for {config.notation}. {told}")
    fits = replace(fits, figures=kept)
    if not fits.asks(*_FAR):  # nothing looks beyond training
        fits = replace(fits, loops=min(loops, max(config.loops, fits.compared)))
    return fits, missing


def never_loops(config: LoopedConfig) -> bool:
    """Whether the whole model is its core, passed once.

    >>> never_loops(LoopedConfig(vocab=9, core=4, loops=1))
    True
    """
    whole = not config.prelude and not config.coda and config.injection == "none"
    return config.loops == 1 and whole


def trained_loops(config: LoopedConfig, protocol: Protocol) -> int:
    """Loops of the config, which are those of training in a released model, or fewer if asked."""
    return min(config.loops, protocol.loops)


def shown_loops(config: LoopedConfig, protocol: Protocol) -> list[int]:
    """Loops, from 1, at which what is dear is measured: all of training, then four a doubling.

    >>> shown_loops(LoopedConfig(vocab=9, loops=4), Protocol(loops=24))
    [1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 24]
    """
    early = range(1, max(8, trained_loops(config, protocol)) + 1)
    late = {n << power for n in (8, 12) for power in range(protocol.loops.bit_length())}
    return sorted(n for n in {*early, *late, protocol.loops} if n <= protocol.loops)


# A look: everything is drawn, of little
QUICK = Protocol(loops=16, items=4, compared=4, compared_once=8, vocabulary=512, quick=True)
