"""What the numbers say, in plain sentences: one function for each part of a report."""

from collections.abc import Callable

from looplab.reporting.wording import number, plural, share, with_error

WEAK = 0.3  # a rank correlation that says little

ENDINGS = {
    "rest": "rest",
    "closing_in": "are still closing in",
    "orbit": "go round an orbit",
    "turning": "keep moving without going anywhere or coming back",
    "drifting": "drift: they move on in one direction",
    "running_away": "run away",
    "undecided": "cannot be told yet",
}


def rest(told: dict) -> list[str]:
    """Does it rest?"""
    found, loops = told["rest"], told["rest"]["loops_most"]
    some = {name: value for name, value in found["shares"].items() if value > 0}
    parts = ", ".join(
        f"{share(value)} {ENDINGS[name]}"
        for name, value in sorted(some.items(), key=lambda one: -one[1])
    )
    said = [f"Of {plural(told['token_count'], 'token')}, after {loops} loops at most: {parts}."]
    if found["shares"]["rest"]:
        said.append(
            f"At rest means: over the last {found['window']} loops no resting token went further "
            f"than {number(found['spread_most'])} of its length from its mean (median "
            f"{number(found['spread_median'])}). Rounding of one pass is "
            f"{number(found['noise_median'])} here (at most {number(found['noise_most'])}): below "
            "that nobody can tell."
        )
    if found["periods"]:
        parts = ", ".join(
            f"{plural(count, 'token')} after {period} loops"
            for period, count in sorted(found["periods"].items(), key=lambda one: int(one[0]))
        )
        said.append(f"On an orbit a token is back, within rounding: {parts}.")
    return said


def where(told: dict) -> list[str]:
    """Where?"""
    found = told["where"]
    if found is None:
        return ["Nowhere that has a place: some states are no numbers any more."]
    said = []
    if found["growth_median"] is not None:
        said.append(
            f"The last state is {found['growth_median']:.2f} times as long as that of loop 1 "
            "(median)."
        )
    if found["one_point"]:
        said.append(
            f"All {found['compared']} ends that were compared are one point, within "
            f"{number(found['apart_most'])} of its length."
        )
    elif found["apart_median"] is not None:
        said.append(
            f"Different tokens end at different points: {number(found['apart_median'])} of a "
            f"state's length apart (median over {found['compared']} tokens)."
        )
    return said


def speed(told: dict) -> list[str]:
    """How fast?"""
    found = told["speed"]
    if found is None:
        return [_missing(told, "speed")]
    said = [
        f"From loop {found['first']} to {found['last']} each step is {number(found['rate'])} of "
        f"the one before (median; {number(found['rate_low'])} to {number(found['rate_high'])} for "
        f"the middle 80 % of {plural(found['tokens'], 'token')})."
    ]
    if found["r_squared"] is not None:
        said.append(
            f"A straight line through the logarithms fits with R² = {found['r_squared']:.3f}; "
            f"steps below {number(found['floor'])} are left out as rounding."
        )
    return said


def starts(told: dict) -> list[str]:
    """From how many starts?"""
    found = told["starts"]
    runs = (
        f"{plural(found['inputs'], 'input')} were run from {found['starts']} starts each: the "
        "loop's own, and random ones as long as its last state."
    )
    if not found["rested"]:
        said = ["No run came to rest at every token, so starts cannot be compared by their ends."]
    else:
        said = [f"{share(found['rested'])} of the runs came to rest at every token."]
        if found["one_end"] == found["inputs"]:
            said.append(
                "For each input all starts end at the same point (largest distance "
                f"{number(found['apart'])} of its length)."
            )
        elif found["most_ends"] == 1:
            said.append("Those that did end, for each input, at one point.")
        else:
            said.append(
                f"{found['one_end'] or 'None'} of these inputs have one end that every start "
                f"reaches; up to {found['most_ends']} different ends were found for one input, and "
                f"the commonest takes {share(found['largest'])} of its resting runs (mean)."
            )
    if found["agree"] is not None:
        said.append(f"{share(found['agree'])} of the tokens answer the same from every start.")
    return [runs, *said]


def spectrum(told: dict) -> list[str]:
    """Multipliers and exponents."""
    said = []
    for one in told["spectra"]:
        at = f"Input {one['input']}"
        if one["multipliers"]:
            size, turn = one["multipliers"][0]
            what = "At its resting point" if one["rests"] else "At its last state, which is no rest"
            turned = "" if abs(turn) < 1e-6 else f", turning by {abs(turn) * 360:.0f}° a loop"
            at += f". {what}: the largest multiplier is {number(size, 3)}{turned}"
            if one["norm"] is not None:
                at += f"; one loop can stretch a departure by {number(one['norm'], 3)} at most"
            if one["rests"] and size < 1:
                hidden = number(one["noise"] / (1 - size))
                at += f"; the true point may be {hidden} of its length further on, in rounding"
        if one["exponent"] is not None:
            at += (
                f". Leading exponent {with_error(one['exponent'], one['error'])} a loop, over "
                f"loops {one['first']} to {one['last']}"
            )
        said.append(f"{at}{'. Not measured: ' + one['note'] if one['note'] else ''}.")
    return said


def tokens(told: dict) -> list[str]:
    """Single tokens."""
    found = told["tokens"]
    if found is None:
        return [_missing(told, "tokens")]
    few = f"Of the {share(1 - found['never'])} of the tokens that settle, t"
    few = few if found["never"] else "T"
    said = [
        f"{few}he median token is within 1 % of its end from loop {found['settled_median']:.0f} "
        f"on; the middle 80 % from loops {found['settled_low']:.0f} to "
        f"{found['settled_high']:.0f}."
    ]
    if found["never"]:
        said.append(
            f"{share(found['never'])} of the tokens do not come so near for good in the first "
            f"{told['protocol']['loops']} loops."
        )
    if found["answered_median"] is not None:
        said.append(
            f"The median token gives its last answer from loop {found['answered_median']:.0f} on."
        )
    if found["right"] is not None:
        said.append(
            f"{share(found['right'])} of the answers are right after "
            f"{told['protocol']['loops']} loops."
        )
    if found["correlation"] is not None:
        way = "Harder tokens settle " + ("later" if found["correlation"] > 0 else "earlier")
        if abs(found["correlation"]) < WEAK:
            way = "How hard a token is says little about when it settles"
        said.append(f"{way} (rank correlation {found['correlation']:.2f}).")
    elif "difficulty" in told["missing"]:
        said.append(f"By difficulty: {_missing(told, 'difficulty')}")
    return said


def depth(told: dict) -> list[str]:
    """Useful depth and overthinking."""
    found = told["depth"]
    if found is None:
        return [_missing(told, "depth")]
    last = len(found["losses"])
    span = (
        f"loop {found['first']}"
        if found["real"]
        else f"loops {found['first']} to {found['last']}"
        + (" (the end of this run)" if found["last"] == last else "")
    )
    said = [
        f"The lowest mean {found['cost']} is {number(found['loss'], 3)}, at loop {found['best']} "
        f"of {last}.",
    ]
    if found["real"]:
        said.append(
            f"That best number is real: loop {found['best']} is told apart from all others."
        )
    else:
        said.append(
            f"That best number is not real: {span} cannot be told apart from it (paired, "
            f"99 % of resampled inputs, or less than {number(found['margin'])}). Among "
            f"resampled sets of inputs loop {found['best']} is the best in {share(found['share'])}."
        )
    said.append(
        f"Useful depth, as far as these inputs can tell: {plural(found['first'], 'loop')}. One "
        f"loop alone is worse by {with_error(found['above_one'], found['error_one'])}."
        if found["first"] > 1
        else "Useful depth: 1 loop. More loops do not help, as far as these inputs can tell."
    )
    above = with_error(found["above_end"], found["error_end"])
    said.append(
        f"Overthinking: after {last} loops the {found['cost']} is higher than at the best loop, by "
        f"{above}."
        if found["overthinking"]
        else f"No overthinking: after {last} loops the {found['cost']} is {above} above the best."
    )
    if told["trained"]:
        said.append(f"It is usually run for {plural(told['trained'], 'loop')}.")
    return said


def exits(told: dict) -> list[str]:
    """Exit rules."""
    found = told["exits"]
    if found is None:
        return [_missing(told, "exits")]
    rules = {one["rule"]: one for one in found["rules"]}
    if rules["fixed"]["loops"] == 1:
        return ["One loop is as good as any number of them, so no rule has anything to save."]
    cost = COSTS[found["cost"]]
    said = [
        f"A token may take {found['most']} loops here. Running all for the same number, "
        f"{number(rules['fixed']['loops'])} loops keep 99 % of what looping gains (a "
        f"{cost} within {number(found['allowed'])} of the best); the oracle, who "
        f"knows each token's {cost}, needs {number(rules['oracle']['loops'])} (saves "
        f"{share(max(rules['oracle']['saves'], 0))}). Numbers of loops and thresholds are chosen "
        "on one half of the inputs and judged on the other."
    ]
    for name in ("answer", "step", "acceleration", "gate"):
        if name not in rules:
            continue
        one = rules[name]
        saves = f"which saves {share(abs(one['saves']))}"
        if one["saves"] < 0:
            saves = f"which takes {-100 * one['saves']:.0f} % more"
        if abs(one["saves"]) < 0.005:
            saves = "no fewer"
        said.append(
            f"{RULES[name]}: {number(one['loops'])} loops a token, {saves}; its {cost} is "
            f"above that of the best fixed number by {with_error(one['loss'], one['error'])}."
        )
    return said


COSTS = {
    "loss": "loss",
    "squared error": "squared error",
    "changed answers": "chance of an answer that is not the last loop's",
}
RULES = {
    "answer": "Leave when the answer changes by less than a threshold (KL)",
    "step": "Leave when the step is small",
    "acceleration": "Leave when the step changes little",
    "gate": "Leave when the model's own gate opens",
}


def slots(told: dict) -> list[str]:
    """Cache slots."""
    found = told["slots"]
    if found is None:
        return [_missing(told, "slots")]
    said = [
        "Texts are read token by token, so that a new token sees what the others left in the "
        "cache: with fewer slots than loops, keys and values of their last loops."
    ]
    for one in found:
        loss = ""
        if one["loss"] is not None and one["error"] is not None:
            loss = f", loss higher by {with_error(one['loss'], one['error'])}"
        what = "All" if one["slots"] == one["loops"] else f"{one['slots']} of"
        said.append(
            f"{what} {one['loops']} slots: {share(one['same'])} of "
            f"{plural(one['tokens'], 'token')} answer as without a cache{loss}, "
            f"KL {number(max(one['moved'], 0))} nats."
        )
    return said


def precision(told: dict) -> list[str]:
    """Precisions."""
    said = []
    rested = [one for one in told["precision"] if one["rests"] is not None]
    for one in told["precision"]:
        if one["rests"] is None:
            said.append(f"Not measured in {one['precision']}: it {one['how']}.")
            continue
        how = "" if one["how"] == "everything" else f" ({one['how']} rounded to it)"
        line = (
            f"{one['precision']}{how}: {share(one['rests'])} of the tokens rest within its "
            f"rounding of {number(one['rounding'])}"
        )
        if one["moves"] is not None:
            line += f", still moving by {number(one['worst'])} of their length at most"
        if one["moves"] is not None and one is not rested[0]:
            line += f", {number(one['away'])} (at most {number(one['farthest'])}) from where "
            line += f"{rested[0]['precision']} ends"
        if one["same"] is not None and one is not rested[0]:
            line += f"; {share(one['same'])} of the answers are the same"
        said.append(f"{line}.")
    lowest = lowest_precision(told)
    if lowest:
        said.append(f"The lowest precision in which every token rests is {lowest}.")
    elif any(one["rests"] == 1 for one in rested):
        said.append(
            f"In {rested[0]['precision']} not every token rests within this run, so that all do in "
            "a coarser precision only says that its rounding hides how they move."
        )
    return said


def lowest_precision(told: dict) -> str | None:
    """The coarsest precision in which every token rests, as in all finer ones; None for none."""
    lowest = None
    for one in told["precision"]:
        if one["rests"] is None:
            continue
        if one["rests"] < 1:
            break
        lowest = one["precision"]
    return lowest


def _missing(told: dict, what: str) -> str:
    return f"Not measured: {told['missing'][what]}."


PARTS: dict[str, tuple[str, Callable[[dict], list[str]]]] = {
    "rest": ("Does it rest?", rest),
    "where": ("Where?", where),
    "speed": ("How fast?", speed),
    "starts": ("From how many starts?", starts),
    "spectra": ("Multipliers and exponents", spectrum),
    "tokens": ("When do single tokens settle?", tokens),
    "depth": ("How many loops are useful?", depth),
    "exits": ("What would an exit rule save?", exits),
    "slots": ("Can loops share cache slots?", slots),
    "precision": ("How low a precision?", precision),
}
