"""What the page "Design a loop" is told about stacks of random weights."""

from inspect import signature

from looplab.experiments import random_stacks
from looplab.measure import limits
from looplab.model.config import LoopedConfig
from looplab.model.norms import PLACEMENTS
from looplab.plots import PHASES
from looplab.widgets.meta import PhasesMeta

GAINS = tuple(n / 4 for n in range(1, 9))
SEEDS = 3  # draws of each cell


def given() -> dict:
    """What the page is given: the designs, the rules by which a run is named, an empty diagram."""
    return {
        "placements": placements(),
        "injections": list(random_stacks.INJECTIONS),
        "shape": shape(),
        "rules": rules(),
        "seeds": SEEDS,
        "diagram": diagram().as_dict(),
    }


def placements() -> dict[str, dict]:
    """Where the norms of each design stand.

    >>> placements()["pre"]
    {'before': True, 'after': False, 'onSum': False, 'loopEnd': False}
    """
    rows = {norm: PLACEMENTS[name] for norm, name in random_stacks.NORMS.items()}
    return {
        norm: {
            "before": row.before,
            "after": row.after,
            "onSum": row.on_sum,
            "loopEnd": row.loop_end,
        }
        for norm, row in rows.items()
    }


def shape(width: int = 32, tokens: int = 12) -> dict[str, float]:
    """Sizes of a stack, those of `random_stacks.grid` unless others are given."""
    config = LoopedConfig(vocab=random_stacks.VOCAB, width=width)
    return {
        "width": width,
        "tokens": tokens,
        "heads": config.heads,
        "vocab": config.vocab,
        "startStd": config.start_std,
        "eps": config.norm_eps,
    }


def rules() -> dict[str, float]:
    """The thresholds by which a run is named, those of `random_stacks.judge`."""
    return {
        "share": random_stacks.SHARE,
        "degenerate": random_stacks.DEGENERATE,
        "explodes": random_stacks.EXPLODES,
        "tolerance": signature(limits.limit_by_period).parameters["tolerance"].default,
        "lasting": limits.LASTING,
    }


def diagram() -> PhasesMeta:
    """The phase diagram before anything has run: no cell has an end."""
    rows = [[norm, way] for norm in random_stacks.NORMS for way in random_stacks.INJECTIONS]
    looks = [PHASES[kind] for kind in random_stacks.KINDS]
    return PhasesMeta(
        title=f"Every design with {SEEDS} throws",
        layout={},
        first=1,
        last=len(GAINS),
        slider="gain step",
        menus={"token": ["norm and injection", [", ".join(row) for row in rows]]},
        rows=rows,
        gains=[f"{gain:g}" for gain in GAINS],
        kinds=list(random_stacks.KINDS),
        looks=[
            {"colour": one.colour, "mark": one.mark, "ink": one.ink, "words": one.words}
            for one in looks
        ],
        ends=[[[] for _ in GAINS] for _ in rows],
        captions=[["" for _ in GAINS] for _ in rows],
    )
