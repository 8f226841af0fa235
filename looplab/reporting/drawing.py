"""A report's figures, each drawn from the numbers that stand in its JSON."""

import numpy as np
import torch
from matplotlib.ticker import MaxNLocator

from looplab.plots import MARKERS, PALETTE, STYLES, Picture, multipliers
from looplab.plots.picture import drawing
from looplab.reporting.sentences import RULES
from looplab.reporting.wording import number

WIDTH = 4.6  # inches
NAMES = {name: text.removeprefix("Leave when ") for name, text in RULES.items()}


def draw(told: dict) -> dict[str, Picture]:
    """The pictures that there are numbers for: part of the report, or part/which -> picture.

    Each is narrow enough for a phone.
    """
    found = {
        "rest/steps": _steps(told),
        "rest/distance": _distance(told),
        "where": _paths(told),
        "spectra": _multipliers(told),
        "tokens/all": _tokens(told),
        "tokens/difficulty": _by_difficulty(told),
        "depth/mean": _mean(told),
        "depth/above": _above(told),
        "exits": _exits(told),
    }
    return {name: picture for name, picture in found.items() if picture is not None}


def _array(values) -> np.ndarray:
    return np.array(values, dtype=float)  # None becomes NaN


def _steps(told: dict) -> Picture:
    steps = told["curves"]["steps"]
    return _falling(told, steps, 2, "step / state", "Length of a step", PALETTE[0])


def _distance(told: dict) -> Picture | None:
    distance = told["curves"]["distance"]
    if distance is None:
        return None
    name = "Distance to the end"
    return _falling(told, distance, 1, "distance / state", name, PALETTE[1])


def _falling(told: dict, curve: list, first: int, label: str, title: str, colour: str) -> Picture:
    """Median by loop with a band from the 10th to the 90th per cent, and where rounding begins."""
    marks, noise = _array(curve), told["rest"]["noise_median"]
    marks = np.where(marks > 0, marks, np.nan)
    loops = range(first, len(marks) + first)
    with drawing(WIDTH, 3.2) as (figure, axes):
        axes.fill_between(loops, marks[:, 0], marks[:, 2], color=colour, alpha=0.25, linewidth=0)
        axes.plot(loops, marks[:, 1], color=colour)
        axes.set(yscale="log", xlabel="loop", ylabel=label, title=title)
        axes.axhline(noise, color="0.35", linestyle=STYLES[3], linewidth=1.2)
        look = {"textcoords": "offset points", "color": "0.35", "fontsize": 9, "ha": "right"}
        axes.annotate("rounding", (1, noise), (-2, 3), ("axes fraction", "data"), **look)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    at = sorted({0, len(curve) // 8, len(curve) // 4, len(curve) // 2, len(curve) - 1})
    values = ", ".join(f"{_known(curve[n][1])} at loop {n + first}" for n in at)
    alt = f"{title} in units of the state, median over tokens: {values}; rounding is "
    return Picture(figure, f"{alt}{number(noise)}.", {"marks": curve})


def _known(value: float | None) -> str:
    return "no number" if value is None else number(value)


def _paths(told: dict) -> Picture | None:
    """Where tokens went in the last loops; of tokens at rest there is nothing to see."""
    paths = told["curves"]["paths"]
    if paths is None or told["rest"]["shares"]["rest"] == 1:
        return None
    alts, rows = [], -(-len(paths) // 2)
    with drawing(WIDTH, 2.5 * rows, columns=2, rows=rows, squeeze=False) as (figure, grid):
        for panel in grid.flat[len(paths) :]:
            panel.set_visible(False)
        for n, (panel, path) in enumerate(zip(grid.flat, paths, strict=False)):
            points = _array(path)
            panel.plot(*points.T, color="0.75", linewidth=0.7)
            look = {"marker": MARKERS[n % 7], "color": PALETTE[n % 7], "ms": 4, "linestyle": ""}
            panel.plot(*points.T, **look)
            panel.plot(*points[-1], "o", ms=11, mfc="none", mec="black")
            reach = float(np.abs(points).max())
            panel.set(xticks=[], yticks=[], title=f"reach {number(reach)}")
            panel.margins(0.15)
            panel.set_aspect("equal", adjustable="datalim")
            places = len(np.unique((points / max(reach, 1e-300) / 0.02).round(), axis=0))
            alts.append(
                f"token {n + 1}: about {places} places, up to {number(reach)} from the middle"
            )
    alt = (
        f"The last {len(paths[0])} loops of {len(paths)} tokens of the input that moves most, each "
        "in its own plane of largest movements, in units of the state; a ring marks the last. "
    )
    return Picture(figure, alt + "; ".join(alts) + ".", {"paths": paths})


def _multipliers(told: dict) -> Picture | None:
    found = {}
    for one in told["spectra"]:
        if one["multipliers"]:
            size, turn = _array(one["multipliers"]).T
            angle = torch.from_numpy(2 * np.pi * turn)
            found[f"input {one['input']}"] = torch.polar(torch.from_numpy(size), angle)
    return multipliers(found) if found else None


def _tokens(told: dict) -> Picture | None:
    settled = told["curves"]["settled"]
    if told["tokens"] is None or not settled:
        return None
    loops = _array([one for one in settled if one])
    last = int(loops.max())
    width = max(1, -(-last // 40))
    with drawing(WIDTH, 3.2) as (figure, axes):
        axes.hist(loops, bins=np.arange(0.5, last + width + 0.5, width), color=PALETTE[0])
        axes.set(xlabel="loop", ylabel="tokens", title="Within 1 % of its end for good from")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    alt = (
        f"Loops from which {len(loops)} tokens are within 1 % of their end: median "
        f"{np.median(loops):.0f}, from {loops.min():.0f} to {last}."
    )
    return Picture(figure, alt, {"settled": settled})


def _by_difficulty(told: dict) -> Picture | None:
    rows = (told["tokens"] or {}).get("by_difficulty")
    if not rows:
        return None
    hard, alts = [row["difficulty"] for row in rows], []
    with drawing(WIDTH, 3.2) as (figure, axes):
        names = (("settled", "state settles"), ("answered", "answer settles"))
        for n, (name, label) in enumerate(names):
            values = _array([row[name] for row in rows])
            if np.isnan(values).all():
                continue
            look = {"color": PALETTE[n], "linestyle": STYLES[n], "marker": MARKERS[n]}
            axes.plot(hard, values, label=label, **look)
            alts.append(f"{label}: " + ", ".join(f"{_known(row[name])}" for row in rows))
        axes.set(xlabel="difficulty", ylabel="median loop", title="By difficulty", ylim=(0, None))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend()
    at = f"Median loop by difficulty {hard[0]} to {hard[-1]}. "
    return Picture(figure, at + "; ".join(alts) + ".", {"by_difficulty": rows})


def _mean(told: dict) -> Picture | None:
    found = told["depth"]
    if found is None:
        return None
    with drawing(WIDTH, 3.2) as (figure, axes):
        axes.plot(range(1, len(found["losses"]) + 1), _array(found["losses"]), color=PALETTE[0])
        axes.plot(found["best"], found["loss"], MARKERS[1], color=PALETTE[1], ms=8)
        axes.set(xlabel="loops", ylabel=f"mean {found['cost']}", title="Mean (square: lowest)")
        _plateau(axes, found)
    alt = (
        f"Mean {found['cost']} by loops: {number(found['loss_one'], 3)} after 1, lowest with "
        f"{number(found['loss'], 3)} at {found['best']}, {number(found['loss_end'], 3)} after "
        f"{len(found['losses'])}."
    )
    return Picture(figure, alt, {"losses": found["losses"]})


def _above(told: dict) -> Picture | None:
    found = told["depth"]
    if found is None:
        return None
    above, high = _array(found["above"]), _array(found["high"])
    loops = range(1, len(above) + 1)
    with drawing(WIDTH, 3.2) as (figure, axes):
        axes.axhline(0, color="0.35", linewidth=0.8)
        axes.fill_between(loops, _array(found["low"]), high, color=PALETTE[0], alpha=0.3)
        axes.plot(loops, above, color=PALETTE[0])
        near = max(6 * np.median(high - above), 1.5 * high[-1], 6 * found["margin"])
        axes.set(xlabel="loops", ylabel="above the best", ylim=(-near / 3, near))
        axes.set_title("Plateau (hatched), 99 % band")
        _plateau(axes, found)
    alt = (
        f"{found['cost'].capitalize()} above the best loop's, close up: the plateau goes from loop "
        f"{found['first']} to {found['last']}; after {len(above)} loops it is {number(above[-1])}, "
        f"with a band from {number(found['low'][-1])} to {number(high[-1])}."
    )
    return Picture(figure, alt, {name: found[name] for name in ("above", "low", "high")})


def _plateau(axes, found: dict) -> None:
    """Hatch the plateau, on an axis of loops that doubles."""
    look = {"facecolor": "0.93", "edgecolor": "0.6", "hatch": "//", "zorder": 0}
    axes.axvspan(found["first"] - 0.3, found["last"] + 0.3, **look)
    axes.set_xscale("log", base=2)
    ticks = [2**n for n in range(len(found["losses"]).bit_length())]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()


def _exits(told: dict) -> Picture | None:
    found = told["exits"]
    if found is None:
        return None
    rules = {one["rule"]: one for one in found["rules"]}
    best = min(found["curves"][0]["loss"])
    alts = []
    with drawing(WIDTH, 4.2) as (figure, axes):
        for n, curve in enumerate(found["curves"]):
            name = curve["rule"]
            label = "the same number for all" if name == "fixed" else NAMES[name]
            look = {"color": PALETTE[n % 7], "linestyle": STYLES[n % 7], "marker": MARKERS[n % 7]}
            axes.plot(curve["loops"], _array(curve["loss"]), label=label, ms=4, mfc="none", **look)
            one = rules[name]
            alts.append(
                f"{label}: {number(one['loops'])} loops, {number(one['loss'])} above the best"
            )
        oracle = rules["oracle"]
        axes.plot(
            oracle["loops"], best + oracle["loss"], "*", color="black", ms=13, label="the oracle"
        )
        alts.append(f"the oracle: {number(oracle['loops'])} loops")
        axes.set(xlabel="mean loops a token takes", ylabel=f"mean {found['cost']}")
        figure.legend(loc="outside upper center", ncols=1)
    return Picture(
        figure,
        f"Mean {found['cost']} against mean loops, up to {found['most']}. At an equal "
        f"{found['cost']}: " + "; ".join(alts) + ".",
        {"curves": found["curves"]},
    )
