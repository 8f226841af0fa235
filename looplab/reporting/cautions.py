"""Warnings in plain words, each with the chapter that explains it: one row of a table for each."""

from collections.abc import Callable
from dataclasses import dataclass

from looplab.basics.address import ADDRESS
from looplab.reporting.wording import number, plural, share, with_error

SETTLED_WRONG = 0.05  # share of settled tokens whose answer is wrong, from which that is said
CHANGED = 0.99  # share of the same answers, below which sharing or rounding is said to change them
WORSE = 0.01  # nats, below which a higher loss is not worth a warning
DISAGREE = 2  # times faster or slower than the largest multiplier says, from which that is said

CHAPTERS = {
    "02": ("02_train_a_tiny_loop", "Train a tiny loop"),
    "03": ("03_watch_fixed_points_form", "Watch fixed points form"),
    "05": ("05_what_makes_a_fixed_point", "What makes a fixed point"),
    "05b": ("05b_fast_slow_or_never", "Fast, slow or never"),
    "06": ("06_orbits_sliders_and_overthinking", "Orbits, sliders and overthinking"),
    "08": ("08_train_a_looped_language_model", "Train a looped language model"),
    "10": ("10_released_models", "Released models"),
}


@dataclass(frozen=True)
class Caution:
    """One warning, and where it is explained."""

    code: str
    says: str
    chapter: str  # its number
    section: str  # a heading in it

    @property
    def link(self) -> str:
        return f"{ADDRESS}/blob/main/chapters/{CHAPTERS[self.chapter][0]}.ipynb"

    @property
    def place(self) -> str:
        return f"chapter {self.chapter}, {CHAPTERS[self.chapter][1]}: {self.section}"


def cautions(told: dict) -> list[Caution]:
    """The warnings that a report's numbers call for, in the table's order."""
    found = []
    for code, chapter, section, says in TABLE:
        if text := says(told):
            found.append(Caution(code, text, chapter, section))
    return found


def _share(told: dict, name: str) -> float:
    return told["rest"]["shares"][name]


def _noted(told: dict) -> str | None:
    return told["note"] and f"{told['note'][0].upper()}{told['note'][1:]}."


def _runs_away(told: dict) -> str | None:
    some = _share(told, "running_away")
    return some and (
        f"{share(some)} of the tokens run away: their states grow faster and faster, or stop being "
        "numbers. Nothing else in this report means much for them."
    )


def _drifts(told: dict) -> str | None:
    some = _share(told, "drifting")
    return some and (
        f"{share(some)} of the tokens drift: after {told['rest']['loops_most']} loops they still "
        "move in one direction, with steps in the last quarter of the run up to "
        f"{number(told['rest']['shrink_drifting'])} times as long as in the quarter before. A "
        "small step is not rest, because small steps add up. Run it longer (--loops) before you "
        "call it converged."
    )


def _orbits(told: dict) -> str | None:
    some = _share(told, "orbit")
    periods = ", ".join(sorted(told["rest"]["periods"], key=int))
    return some and (
        f"{share(some)} of the tokens go round an orbit (period {periods}): where they end depends "
        "on the number of loops for ever, and a rule that waits for small steps may never fire."
    )


def _turns(told: dict) -> str | None:
    some = _share(told, "turning")
    if not some:
        return None
    reach = told["rest"]["spread_turning"]
    said = (
        f"{share(some)} of the tokens keep moving, by {number(reach)} of their length at most: "
        f"they neither rest nor come back within {told['rest']['window']} loops, nor go anywhere."
    )
    grown = [
        (one["exponent"], one["error"])
        for one in told["spectra"]
        if one["exponent"] is not None and not one["rests"]
    ]
    if not grown:
        return f"{said} Without an exponent nothing tells a torus from chaos."
    most, error = max(grown)
    if most > 3 * error and most > 1e-3:
        kind = "above zero: neighbouring states part, as in chaos"
    elif most < -3 * error:
        kind = (
            "below zero: neighbouring states meet, as on an orbit that is longer than the window "
            "or not yet reached"
        )
    else:
        kind = (
            "zero within its error: as on a torus, a turn that never closes, or on an approach too "
            "slow to be told from one"
        )
    return f"{said} The leading exponent, {with_error(most, error)} a loop, is {kind}."


def _too_short(told: dict) -> str | None:
    some = _share(told, "closing_in") + _share(told, "undecided")
    return some and (
        f"{share(some)} of the tokens are still on their way after {told['rest']['loops_most']} "
        "loops: their steps shrink, but not yet to rounding, or are so near to it that a slow "
        "approach looks like rest. The window is too short to say where they end (--loops)."
    )


def _many_ends(told: dict) -> str | None:
    found = told["starts"]
    if found["most_ends"] < 2:
        return None
    why = ""
    if told["notation"] and not told["notation"].endswith("_I"):
        why = " It has no injection: nothing but its state remembers the input."
    return (
        f"Where it rests depends on where it starts: up to {found['most_ends']} different ends for "
        f"one input, from {found['starts']} starts.{why}"
    )


def _one_point(told: dict) -> str | None:
    if not (told["where"] and told["where"]["one_point"] and _share(told, "rest") == 1):
        return None
    if told["input_count"] < 2:
        return None
    return (
        "All tokens of all inputs end at the same point: the loop has forgotten what it was given, "
        "and rest is worth nothing here."
    )


def _two_rates(told: dict) -> str | None:
    fit = told["speed"]
    if fit is None:
        return None
    sizes = [
        one["multipliers"][0][0] for one in told["spectra"] if one["rests"] and one["multipliers"]
    ]
    low, high = fit["rate_low"] ** DISAGREE, fit["rate_high"] ** (1 / DISAGREE)
    wrong = [size for size in sizes if not low <= size <= high]
    return (
        f"Steps shrink by {number(fit['rate'])} a loop, but the largest multiplier at a resting "
        f"point is {number(wrong[0])}: the window of the rate is not yet where the multiplier "
        "rules, or the path does not meet that direction."
        if wrong
        else None
    )


def _gradient(told: dict) -> str | None:
    if _share(told, "running_away"):  # there is nothing to differentiate at
        return None
    notes = [one["note"] for one in told["spectra"] if one["note"] and not one["multipliers"]]
    return f"There are no multipliers: {notes[0]}." if notes else None


def _wrong(told: dict) -> str | None:
    some = (told["tokens"] or {}).get("settled_wrong")
    return (some or 0) >= SETTLED_WRONG and (
        f"{share(some)} of the tokens that settle, settle on a wrong answer: rest is no sign of "
        "being right."
    )


def _not_real(told: dict) -> str | None:
    found = told["depth"]
    return (
        None
        if found is None or found["real"] or found["last"] == len(found["losses"])
        else (
            f"The best number of loops, {found['best']}, is not real: loops {found['first']} to "
            f"{found['last']} are as good within the noise. Report the plateau."
        )
    )


def _no_help(told: dict) -> str | None:
    found = told["depth"]
    return (
        "Looping does not help here: one loop is as good as the best number of loops."
        if found is not None and found["first"] == 1
        else None
    )


def _overthinks(told: dict) -> str | None:
    found = told["depth"]
    if found is None or not found["overthinking"]:
        return None
    return (
        f"It overthinks: after {len(found['losses'])} loops the {found['cost']} is "
        f"{with_error(found['above_end'], found['error_end'])} above that of the best loop, chosen "
        f"on other inputs. Stop it by loop {found['last']}."
    )


def _no_saving(told: dict) -> str | None:
    found = told["exits"]
    if found is None:
        return None
    rules = {one["rule"]: one for one in found["rules"]}
    oracle = rules.pop("oracle")
    rules.pop("fixed")
    best = max(one["saves"] for one in rules.values())
    if best > 0.02 or oracle["saves"] < 0.05:
        return None
    return (
        "No exit rule beats running every token for the same number of loops, at an equal "
        f"{found['cost']}; the oracle would save {share(oracle['saves'])}."
    )


def _slots_matter(told: dict) -> str | None:
    for one in told["slots"] or []:
        if one["slots"] == one["loops"]:
            continue
        worse = one["loss"] is not None and one["error"] is not None
        worse = worse and one["loss"] > max(2 * one["error"], WORSE)
        if one["same"] < CHANGED or worse:
            cost = f"{share(1 - one['same'])} of the answers change"
            if worse:
                cost += f", and the loss is {with_error(one['loss'], one['error'])} higher"
            return (
                f"Cache slots cannot be shared for nothing: with {plural(one['slots'], 'slot')} "
                f"for {one['loops']} loops {cost}."
            )
    return None


def _coarse(told: dict) -> str | None:
    if _share(told, "rest") < 1:
        return None
    for one in told["precision"]:
        if one["rests"] is None or one["precision"] in ("float64", "float32"):
            continue
        changed = one["same"] is not None and one["same"] < CHANGED
        if one["rests"] < 1 or changed:
            what = f"{share(1 - one['rests'])} of the tokens no longer rest"
            if one["rests"] == 1:
                what = f"{share(1 - one['same'])} of the answers change"
            return f"In {one['precision']} {what}."
    return None


def _too_few(told: dict) -> str | None:
    why = told["missing"].get("depth", "")
    return f"Useful depth was not measured: {why}." if "or more are needed" in why else None


Row = tuple[str, str, str, Callable[[dict], str | None]]
TABLE: tuple[Row, ...] = (
    ("never_looped", "10", "Build 1: a loop around frozen layers", _noted),
    ("runs_away", "05b", "Build 1 (exercise 05.5): an injection that cannot explode", _runs_away),
    ("drifts", "06", "Sliders, watched for longer", _drifts),
    ("orbits", "06", "Four ways to end", _orbits),
    ("turns", "05b", "Build 3 (exercise 05.4): two neighbours", _turns),
    ("window_too_short", "05", "Was the window long enough?", _too_short),
    ("depends_on_start", "03", "Build 5: does it matter where the loop begins?", _many_ends),
    ("forgets_its_input", "05", "The degenerate fixed point", _one_point),
    (
        "two_rates",
        "05b",
        "Build 2 (exercise 05.3): the multipliers of the whole loop",
        _two_rates,
    ),
    ("no_gradient", "02", "Build 2: where the gradient stops", _gradient),
    ("settled_and_wrong", "10", "Settled, and wrong", _wrong),
    ("best_is_noise", "08", "Build 4: real or noise?", _not_real),
    ("loops_do_not_help", "10", "Does any loop help?", _no_help),
    ("overthinks", "06", "Overthinking: the state, or the answer?", _overthinks),
    ("no_rule_saves", "06", "What a rule costs", _no_saving),
    ("slots_matter", "10", "Traps in the files", _slots_matter),
    ("too_coarse", "03", "Build 1: is it still moving?", _coarse),
    ("too_few_inputs", "08", "Build 4: real or noise?", _too_few),
)
