"""A report's figures, each drawn from the numbers that stand in its JSON."""

import numpy as np
import torch
from matplotlib.ticker import MaxNLocator

from looplab.plots import MARKERS, PALETTE, STYLES, Picture, multipliers
from looplab.plots.picture import drawing
from looplab.reporting.sentences import RULES
from looplab.reporting.wording import number

NAMES = {name: text.removeprefix("Leave when ") for name, text in RULES.items()}


def draw(told: dict) -> dict[str, Picture]:
    """The pictures that there are numbers for: part of the report -> picture."""
    found = {
        "rest": _settling(told),
        "where": _paths(told),
        "spectra": _multipliers(told),
        "tokens": _tokens(told),
        "depth": _depth(told),
        "exits": _exits(told),
    }
    return {name: picture for name, picture in found.items() if picture is not None}


def _array(values) -> np.ndarray:
    return np.array(values, dtype=float)  # None becomes NaN


def _band(axes, loops, marks: np.ndarray, colour: str) -> None:
    """Median with a band from the 10th to the 90th per cent."""
    marks = np.where(marks > 0, marks, np.nan)
    axes.fill_between(loops, marks[:, 0], marks[:, 2], color=colour, alpha=0.25, linewidth=0)
    axes.plot(loops, marks[:, 1], color=colour)


def _settling(told: dict) -> Picture | None:
    steps, distance = (told["curves"][name] for name in ("steps", "distance"))
    marks, noise = _array(steps), told["rest"]["noise_median"]
    panels = 1 if distance is None else 2
    with drawing(4.6 * panels, 3.2, columns=panels, squeeze=False) as (figure, grid):
        first, *other = grid[0]
        _band(first, range(2, len(marks) + 2), marks, PALETTE[0])
        first.set(yscale="log", xlabel="loop", ylabel="step / state", title="Length of a step")
        for panel in other:
            far = _array(distance)
            _band(panel, range(1, len(far) + 1), far, PALETTE[1])
            panel.set(yscale="log", xlabel="loop", ylabel="distance / state")
            panel.set_title("Distance to the end")
        for panel in grid[0]:
            panel.axhline(noise, color="0.35", linestyle=STYLES[3], linewidth=1.2)
            look = {"textcoords": "offset points", "color": "0.35", "fontsize": 9}
            panel.annotate(
                "rounding", (1, noise), (-2, 3), ("axes fraction", "data"), ha="right", **look
            )
            panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    ends = [
        (number(row[1]) if row[1] is not None else "no number") for row in (steps[0], steps[-1])
    ]
    alt = (
        f"Median length of a step in units of the state: {ends[0]} at loop 2, {ends[1]} at loop "
        f"{len(steps) + 1}; rounding is {number(noise)}."
    )
    if distance is not None:
        alt += (
            f" Median distance to the end: {number(distance[0][1])} after loop 1, "
            f"{number(distance[len(distance) // 4][1])} after loop {len(distance) // 4 + 1}."
        )
    return Picture(figure, alt, {"steps": steps, "distance": distance})


def _paths(told: dict) -> Picture | None:
    """Where tokens went in the last loops; of tokens at rest there is nothing to see."""
    paths = told["curves"]["paths"]
    if paths is None or told["rest"]["shares"]["rest"] == 1:
        return None
    alts = []
    with drawing(2.4 * len(paths), 2.7, columns=len(paths), squeeze=False) as (figure, grid):
        for n, (panel, path) in enumerate(zip(grid[0], paths, strict=True)):
            points = _array(path)
            panel.plot(*points.T, color="0.75", linewidth=0.7)
            look = {"marker": MARKERS[n % 7], "color": PALETTE[n % 7], "ms": 4, "linestyle": ""}
            panel.plot(*points.T, **look)
            panel.plot(*points[-1], "o", ms=11, mfc="none", mec="black")
            reach = float(np.abs(points).max())
            panel.set(xticks=[], yticks=[])
            panel.set_title(f"reach {number(reach)}")
            panel.margins(0.15)
            panel.set_aspect("equal", adjustable="datalim")
            places = len(np.unique((points / max(reach, 1e-300) / 0.02).round(), axis=0))
            alts.append(
                f"token {n + 1} visits about {places} places, {number(reach)} from the middle"
            )
    alt = (
        f"The last {len(paths[0])} loops of {len(paths)} tokens of the first input, each in its "
        "own plane of largest movements, in units of the state; a ring marks the last: "
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
    rows = told["tokens"]["by_difficulty"]
    panels = 2 if rows else 1
    with drawing(4.6 * panels, 3.2, columns=panels, squeeze=False) as (figure, grid):
        first, *other = grid[0]
        last = int(loops.max())
        width = max(1, -(-last // 40))
        first.hist(loops, bins=np.arange(0.5, last + width + 0.5, width), color=PALETTE[0])
        first.set(xlabel="loop", ylabel="tokens", title="Within 1 % of its end for good from")
        first.xaxis.set_major_locator(MaxNLocator(integer=True))
        for panel in other:
            hard = [row["difficulty"] for row in rows]
            for n, (name, label) in enumerate(
                (("settled", "state settles"), ("answered", "answer settles"))
            ):
                values = _array([row[name] for row in rows])
                if not np.isnan(values).all():
                    look = {"color": PALETTE[n], "linestyle": STYLES[n], "marker": MARKERS[n]}
                    panel.plot(hard, values, label=label, **look)
            panel.set(xlabel="difficulty", ylabel="median loop", title="By difficulty")
            panel.set_ylim(bottom=0)
            panel.xaxis.set_major_locator(MaxNLocator(integer=True))
            panel.legend()
    alt = f"Loops from which {len(loops)} tokens are within 1 % of their end: median "
    alt += f"{np.median(loops):.0f}, from {loops.min():.0f} to {loops.max():.0f}."
    if rows:
        parts = [f"{row['difficulty']}: {number(row['settled'])}" for row in rows]
        alt += f" Median by difficulty, {', '.join(parts)}."
    return Picture(figure, alt, {"settled": settled, "by_difficulty": rows})


def _depth(told: dict) -> Picture | None:
    found = told["depth"]
    if found is None:
        return None
    above, high = _array(found["above"]), _array(found["high"])
    loops = np.arange(1, len(above) + 1)
    with drawing(9.2, 3.2, columns=2) as (figure, (first, second)):
        first.plot(loops, _array(found["losses"]), color=PALETTE[0])
        first.plot(found["best"], found["loss"], MARKERS[1], color=PALETTE[1], ms=8)
        first.set(xlabel="loops", ylabel=f"mean {found['cost']}", title="Mean (square: lowest)")
        second.axhline(0, color="0.35", linewidth=0.8)
        second.fill_between(loops, _array(found["low"]), high, color=PALETTE[0], alpha=0.3)
        second.plot(loops, above, color=PALETTE[0])
        near = max(6 * np.median(high - above), 1.5 * high[-1], 6 * found["margin"])
        second.set_ylim(-near / 3, near)
        second.set(xlabel="loops", ylabel="above the best", title="Plateau (hatched), 99 % band")
        for panel in (first, second):
            look = {"facecolor": "0.93", "edgecolor": "0.6", "hatch": "//", "zorder": 0}
            panel.axvspan(found["first"] - 0.5, found["last"] + 0.5, **look)
            panel.set_xscale("log", base=2)
            ticks = [2**n for n in range(len(above).bit_length())]
            panel.set_xticks(ticks, [str(tick) for tick in ticks])
            panel.minorticks_off()
    alt = (
        f"Mean {found['cost']} by loops: {number(found['loss_one'], 3)} after 1, lowest with "
        f"{number(found['loss'], 3)} at {found['best']}, {number(found['loss_end'], 3)} after "
        f"{len(above)}. The plateau goes from {found['first']} to {found['last']}."
    )
    return Picture(figure, alt, {name: found[name] for name in ("above", "low", "high")})


def _exits(told: dict) -> Picture | None:
    found = told["exits"]
    if found is None:
        return None
    rules = {one["rule"]: one for one in found["rules"]}
    best = min(found["curves"][0]["loss"])
    alts = []
    with drawing(6.4, 3.8) as (figure, axes):
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
        figure.legend(loc="outside upper center", ncols=2)
    return Picture(
        figure,
        f"Mean {found['cost']} against mean loops, up to {found['most']}. At an equal "
        f"{found['cost']}: " + "; ".join(alts) + ".",
        {"curves": found["curves"]},
    )
