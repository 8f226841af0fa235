# ---
# jupyter:
#   looplab:
#     chapter: "06"
#     title: Orbits, sliders and overthinking
#     minutes: 60
#     needs: chapter 03
#     learn: tell four ways a loop can end, stop it in time, and name what is broken from its curves
# ---

# %% [markdown] id="title"
# # 06 · Orbits, sliders and overthinking
#
# *60 minutes · a laptop CPU · you should know chapter 03*
#
# In chapter 03 every token came to rest. That is not the only way a loop can end. A state can go
# round in circles for ever; it can creep along and never arrive; and it can come to rest, neatly
# and for good, on a wrong answer. In this chapter you meet all of them, learn to tell them apart,
# find out when a loop should have been stopped, and then diagnose broken models from three curves.
#
# **You will be able to**
#
# - test for an orbit, and say why two honest detectors disagree about the same token;
# - say how rare orbits and sliders are in our models, and what a count of zero is worth;
# - tell overthinking from restlessness: one is about the answer, the other about the state;
# - compare rules for stopping early with an oracle, and with the plainest rule of all;
# - name a fault from how a run moves.
#
# Claims are labelled **proved**, **measured here** (a cell recomputes it) or **reported** (in a
# paper). C9 and C14 are claims of Blayney et al.,
# [arXiv 2604.11791](https://arxiv.org/abs/2604.11791), in this course's numbering.

# %% id="set-up"
import json
import math

import torch

from looplab import checkpoints, grid, measure, plots, tasks, trace, train
from looplab.course.diagnosis import Diagnosis
from looplab.course.faults import FAULTS, faulty_run, vital_signs
from looplab.exercises import check, scoreboard, todo, whose
from looplab.measure import Limit
from looplab.widgets import Category, FrameStepper, PlaneStepper

DATA = checkpoints.FOLDER.parent
NAMES = {kind: kind.name.lower().replace("_", " ") for kind in Limit}

# %% [markdown] id="four-ends"
# ## Four ways to end
#
# Run a loop for 128 passes, look at one token's state at the end of each, and ask where it is
# going. The paper's appendix C sorts tokens into four classes:
#
# - **fixed point**: the state settles, as in chapter 03;
# - **orbit**: it keeps moving but comes back, again and again;
# - **slider**: it keeps moving and does not come back; it drifts, slowly, for as long as one looks;
# - **unknown**: none of these, as far as one can see.
#
# The last words of each line matter. A class describes *the loops that were looked at*.

# %% [markdown] id="predict"
# ## Predict
#
# In chapter 02 the model `root-k1` overthought: right after 4 loops, mostly wrong after 64. Where
# are most of its tokens by loop 128? And in how many of fifteen trained models (five recipes, three
# seeds) does at least one token in a hundred end on an orbit? Write down both.

# %% id="predict-cell"
my_overthinker = "slider"  # "fixed point", "orbit", "slider" or "unknown"
my_models_with_orbits = 5  # of 15

# %% [markdown] id="explore"
# ## Explore: loops that go round
#
# To see orbits we go where they are common: stacks of **random** weights, drawn rather large.
# Nobody trained these. A script, `data/find_orbits.py`, tried out some thousand of them with
# Huginn's and with Ouro's norms, and kept those whose tokens come back after a fixed number of
# loops, also in double precision and from a start that was nudged a little. First where four of
# them end; then the way there, as a slider. Each dot is the state at the end of one loop.

# %% id="orbit-strip"
found = json.loads((DATA / "orbits.json").read_text(encoding="utf-8"))


def run_orbit(orbit, keep=()):
    """The trace of one entry of the file."""
    setting = [orbit[key] for key in ("norm", "injection", "depth", "gain", "seed")]
    stack = grid.random_stack(*setting, width=orbit["width"])
    tokens = grid.random_tokens(orbit["seed"], orbit["tokens"])
    noise = torch.Generator().manual_seed(0)
    return trace(stack, tokens, orbit["loops"], keep=keep, generator=noise)


orbits = {}  # period -> (entry, states at the loops' ends [loop, token, width])
for orbit in found["orbits"]:
    if orbit["period"] not in orbits:  # the first is the one with most tokens on it
        orbits[orbit["period"]] = orbit, run_orbit(orbit).loop_ends[:, 0]
shown = {}  # one token's path for each of four periods
for period in (4, 5, 6, 12):
    orbit, states = orbits[period]
    shown[f"period {period}"] = states[:, orbit["period of each token"].index(period)]
plots.orbits(shown)

# %% id="orbit-slider"
TAIL = 24  # dots on show
frames, told = torch.full((len(shown), 128, TAIL, 2), torch.nan), []
for n, (name, path) in enumerate(shown.items()):
    end, period = path[64:], int(name.split()[1])
    axes = torch.linalg.svd(end - end.mean(0), full_matrices=False)[2][:2]
    points = (path - end.mean(0)) @ axes.T
    for loop in range(1, 129):
        seen = points[max(loop - TAIL, 0) : loop]
        frames[n, loop - 1, TAIL - len(seen) :] = seen
        far = (path[loop - 1] - path[loop - 1 - period]).norm() / path[loop - 1].norm()
        back = f"{far:.0e} of its length away from where it was {period} loops before"
        told.append(f"Loop {loop} of 128" + (f": {back}." if loop > period else "."))
PlaneStepper(
    frames,
    title="The last 24 loops of a token",
    menus={"stack": list(shown)},
    names=("the loops before", "this loop"),
    kinds=[0] * (TAIL - 1) + [1],
    captions=told,
    path=True,
    axes=("first direction", "second direction"),
)

# %% [markdown] id="explore-questions"
# Choose a stack, go to the beginning and press play. How many loops does the state need to find
# its orbit? (The line below the picture says how far it is from where it was one period ago.) Count
# the corners: is it the period? Does a period of 12 need 12 different corners, or could some lie so
# close together that you see fewer?

# %% [markdown] id="ex1-card"
# ## Build 1: is it back?
#
# A state that repeats every $p$ loops is back where it was $p$ loops ago. One meeting is no proof:
# paths cross. So the test asks **every** loop of the last quarter of the run, and measures in units
# of the mean length of the states in that quarter.
#
# **Exercise 06.1 · back after a lag** · easy · core · 6 minutes · *idea: the largest of many
# distances*


# %% id="returns-answer" role="answer" ex="06.1"
# exercise 06.1
def returns_after(states, lag, tolerance=0.01):
    """Was every state of the last quarter of the run where it had been `lag` loops before?

    [loop, ..., width] -> [...] of bool. Back means within `tolerance` times the mean length of the
    states of the last quarter. len(states) // 4 is a quarter.
    """
    # --- solution
    quarter = len(states) // 4
    now = states[-quarter:]
    before = states[-quarter - lag : -lag]
    return (now - before).norm(dim=-1).amax(0) <= tolerance * now.norm(dim=-1).mean(0)
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="returns-check" role="check" ex="06.1"
returns_after = check("06.1", returns_after)

# %% [markdown] id="ex1-hints"
# <details><summary>Hint 1, a nudge</summary>
# Two slices of the same length, one <code>lag</code> loops behind the other.
# </details>
# <details><summary>Hint 2, a plan</summary>
# Subtract them, take lengths along the last axis, the largest over the loops, and compare with
# <code>tolerance</code> times a mean length.
# </details>
# <details><summary>Hint 3, almost code</summary>
# With <code>q = len(states) // 4</code>: <code>now = states[-q:]</code>,
# <code>before = states[-q - lag:-lag]</code>; then <code>.norm(dim=-1).amax(0)</code>.
# </details>
#
# [Solution](solved/06_orbits_sliders_and_overthinking.ipynb)

# %% id="lags"
print("period   lags (1 to 24) at which one token is back       all tokens' first (1 rest, 0 none)")
for period, (orbit, states) in sorted(orbits.items()):
    path = states[:, orbit["period of each token"].index(period)]
    back = [lag for lag in range(1, 25) if returns_after(path, lag)]
    lags = [
        next((lag for lag in range(1, 25) if returns_after(p, lag)), 0) for p in states.unbind(1)
    ]
    print(f"{period:6d}   {' '.join(map(str, back)):45s} {' '.join(map(str, lags))}")
rest = torch.ones(128, 1)
print("a state at rest is back at every lag:", all(returns_after(rest, n) for n in range(1, 25)))
print("period at the loop's end   period of the same token after each layer")
for period in (4, 5, 6, 12):
    orbit, states = orbits[period]
    inside = run_orbit(orbit, keep=("states",)).states[:, :, 0]  # [loop, layer, token, width]
    each = measure.limit_by_period(inside[:, :, orbit["period of each token"].index(period)])
    print(f"{period:24d}   {' '.join(map(str, each.period.tolist()))}")

# %% [markdown] id="lags-text"
# **Measured here.** An orbit is back at its period and at every multiple of it, so the period is
# the *smallest* such lag. A state at rest is back at every lag, so rest has to be asked first.
# That is nearly all of `measure.limit_by_period`; it also asks that the steps last (a spiral that
# closes in is no orbit) and calls a path whose lasting steps add up in one direction a slider.
#
# Look at the last column, too. Tokens of one sequence can end in different ways: a token may rest
# while those behind it, which attend to it, turn. What have the periods along one sequence to do
# with each other, and why?
#
# And **between** the ends of loops, in the layers inside? The paper finds its orbits there as well
# (C9). **Proved**, by the argument of chapter 03: what a layer puts out depends on the state at the
# loop's beginning and on the input alone, so it comes back whenever that does. The last lines of
# the output show it.
#
# How common are orbits among the random stacks?

# %% id="scan"
print(f"{found['stacks scanned']} random stacks of width 32, 8 tokens each; share of tokens in %")
print("norms    injection   fixed point   orbit   slider   unknown   of orbits, period 2")
for norm in ("Huginn", "Ouro"):
    for injection in ("none", "half-half"):
        rows = [r for r in found["scan"] if (r["norm"], r["injection"]) == (norm, injection)]
        mean = {kind: sum(r["shares"][kind] for r in rows) / len(rows) for kind in NAMES.values()}
        counts = [r["tokens by period"] for r in rows]
        twos = sum(c.get("2", 0) for c in counts) / max(1, sum(sum(c.values()) for c in counts))
        print(
            f"{norm:8s} {injection:11s} {100 * mean['fixed point']:9.0f} {100 * mean['orbit']:9.0f}"
            f" {100 * mean['slider']:8.1f} {100 * mean['unknown']:9.0f} {100 * twos:17.0f}"
        )

# %% [markdown] id="detectors"
# **Measured here**, at gains of 1.5 to 3: orbits are an everyday thing among large random weights,
# a matter of draw and setting, and sliders are not.
#
# ## Two detectors
#
# The paper's heuristic is another one. It looks at the **cosine** of every state to the *last*
# one, and calls two states near when it is above 0.95. Over the second half of the run: never left
# and near for 90 % of the loops is a fixed point, leaving twice or more an orbit, a steady rise a
# slider. Its pseudo-code is not public; `measure.limit_by_cosine` is a **reconstruction** from what
# the text says, so treat its rates as ours. Here are both detectors on paths whose end we know.

# %% id="known-paths"
loop = torch.arange(1.0, 129)[:, None]
point, way, side = torch.linalg.qr(torch.randn(16, 3, generator=torch.Generator().manual_seed(0)))[
    0
].T
angle = 2 * math.pi * loop / 5
circle = angle.cos() * way + angle.sin() * side
paths = {
    "halving its distance": point + 2 * 0.5**loop * way,
    "orbit of 5, wide": point + circle,
    "orbit of 5, small": point + 0.1 * circle,
    "slow straight walk": point + 0.004 * loop * way,
    "growing, same direction": loop * point,
    "settling by 3 % a loop": point + 2 * 0.97**loop * way,
}
print(f"{'what it does':24s} {'by cosine':13s} by period")
for name, path in paths.items():
    cosine, period = measure.limit_by_cosine(path), measure.limit_by_period(path)
    told = f" ({period.period.item()})" if period.limit == Limit.ORBIT else ""
    print(f"{name:24s} {NAMES[cosine.item()]:13s} {NAMES[period.limit.item()]}{told}")
print(f"a cosine of 0.95 is a distance of {math.sqrt(2 * 0.05):.2f} on the unit sphere")

# %% [markdown] id="detectors-text"
# **Measured here**, and easy to see why. The cosine test calls four moving paths fixed. It has a
# coarse eye: within 0.32 of the last state everything is near, where the period test asks for
# 0.01. It has a reference that moves: the last state is its own neighbour, so a slow path seems to
# arrive wherever one happens to stop. And it sees only directions, which is right for a model whose
# head reads a normed state, and wrong for one that asks whether the state rests.
#
# The period test has faults of its own. It cannot see a period longer than a quarter of the run.
# A path that settles by less than 1 % a loop looks like a slider to it. And both take a threshold
# and give back a *label*, as if there were no middle.
#
# ## How rare are they in trained models?
#
# **Reported** (C9): in Huginn about 0.02 % of the tokens of GSM8K do not end on a fixed point, and
# 0.14 % when a long persona prompt stands in front. For our models, `data/count_limits.py` trained
# each recipe with three seeds, ran each on thousands of tokens for 128 loops and counted.

# %% id="counts"
limits = json.loads((DATA / "limits.json").read_text(encoding="utf-8"))
order = ("fixed point", "orbit", "slider", "unknown")
print("% of tokens after 128 loops, mean over three seeds (lowest to highest)")
print("model            test   ", "".join(f"{kind:>18s}" for kind in order))
for name, seeds in limits.items():
    for by in ("by cosine", "by period"):
        row = f"{name:16s} {by[3:]:8s}"
        for kind in order:
            share = [100 * seed[by][kind] / seed["tokens"] for seed in seeds]
            told = f"{sum(share) / len(share):.1f} ({min(share):.1f}-{max(share):.1f})"
            row += f"{told:>18s}"
        print(row)
models = [seed for seeds in limits.values() for seed in seeds]
turning = sum(seed["by period"]["orbit"] > 0.01 * seed["tokens"] for seed in models)
none = sum(seed["by period"]["orbit"] == 0 for seed in models)
print(f"models with more than 1 % on orbits: {turning} of {len(models)}; you said", end=" ")
print(f"{my_models_with_orbits}. Models with none at all: {none}")
most = max(order, key=lambda kind: sum(seed["by period"][kind] for seed in limits["root-k1"]))
print(f"commonest end in root-k1, by period: {most}; you said {my_overthinker}")
items = limits["hero"][0]["items"]
print(f"hero: none in {items} forests a seed; below {100 * 3 / items:.1f} % of forests, 95 % sure")

# %% [markdown] id="counts-text"
# **C9, measured here.** Fourteen of the fifteen models have not one orbit. Those that
# rest (hero, penalty) have next to no sliders either; the two that overthink have many tokens that
# have not come to rest by loop 128. And **one** model, flood fill with another seed, has most of
# its tokens on orbits. Same recipe, same task, same loss. So for our models a mean rate would be
# a bad summary: it is all or nothing, and the seed decides. (**Reported** for other small loops,
# too: the kind of attractor can change with the seed at the same accuracy,
# [arXiv 2608.26556](https://arxiv.org/abs/2608.26556).)
#
# Be sober about the zeros. Tokens of one forest attend to each other and settle together, so the
# forest is the unit, and with none among $n$ of them one can say "probably fewer than $3/n$" (the
# rule of three). That is *more* than the paper's 0.02 %. We have not shown that our models are
# better behaved than Huginn; our sample could not have seen what the paper saw.
#
# Here is the odd one out, at work.

# %% id="turning"
odd = checkpoints.load("flood-turning")
mazes = tasks.flood_fill(32, torch.Generator().manual_seed(2), side=6)
ends = trace(odd, mazes.tokens, 128, keep=()).loop_ends  # [loop, maze, cell, width]
turn = measure.limit_by_period(ends)
on_orbit = turn.limit == Limit.ORBIT
periods, counts = turn.period[on_orbit].unique(return_counts=True)
shares = 100 * counts / counts.sum()
told = [f"{p} ({s:.0f} %)" for p, s in zip(periods.tolist(), shares.tolist(), strict=True) if s > 1]
step = measure.relative_step(ends)[-1]
right = odd.readout(ends).argmax(-1) == mazes.targets
# A cell or two differ from one processor to the next: shares are told to the nearest 5 %.
print(f"cells on orbits: about {5 * round(20 * on_orbit.double().mean().item())} %")
print(f"periods of more than one cell in a hundred of these: {', '.join(told)}")
print(f"their steps at loop 128, relative: {step[on_orbit].median():.2f} (median)")
print(f"right answers in loops 97 to 128: {100 * right[96:].double().mean():.2f} %")
by_cosine = measure.limit_by_cosine(ends)[on_orbit]
for kind, share in measure.limit_shares(by_cosine).items():
    print(f"  of the cells on orbits, the cosine test calls {5 * round(20 * share)} % {kind}")

# %% [markdown] id="turning-text"
# **Measured here.** It turns for as long as we looked and answers right at every turn: what turns
# does not reach the answer. And the cosine test calls most of these orbits fixed points: they are
# small, as in the third row of the table above.
#
# ### Sliders, watched for longer
#
# And the sliders? Here is `root-k1` on sixteen forests, a row each. The slider moves the **last**
# loop that the period test is given; it looks at the 128 loops up to that one, or at as many as
# there are. Watch the arrows.

# %% id="limit-strip"
LIMITS = (
    Category("unknown", "#4d4d4d", "?"),
    Category("fixed point", "#FFFFFF", "·"),
    Category("orbit", "#0072B2", "o"),
    Category("slider", "#E69F00", "→"),
)
forests = tasks.find_root(128, torch.Generator().manual_seed(0), max_depth=5)
root = checkpoints.load("root-k1")
ends = trace(root, forests.tokens, 512, keep=()).loop_ends  # [loop, forest, token, width]


def label(states, last, window=128):
    """Limits by the period test of the `window` loops that end with loop `last`: [...]."""
    return measure.limit_by_period(states[max(last - window, 0) : last]).limit


first = 32
frames = torch.stack([label(ends[:, :16], last) for last in range(first, 385)])
labels = FrameStepper(
    frames, title="root-k1: limits of 16 forests' tokens", categories=LIMITS, first=first
)
labels.film_strip(loops=(32, 64, 128, 256, 384))

# %% id="limit-slider"
labels

# %% id="longer"
early, late = label(ends, 128), label(ends, 512)
print(f"root-k1, {ends.shape[1]} forests: % of tokens by the last loop looked at")
print("last loop   fixed point   orbit   slider   unknown")
for last in (128, 192, 256, 384, 512):
    share = measure.limit_shares(label(ends, last))
    row = [100 * share[kind] for kind in ("fixed point", "orbit", "slider", "unknown")]
    print(f"{last:9d} {row[0]:13.1f} {row[1]:7.1f} {row[2]:8.1f} {row[3]:9.1f}")
became = (late[early == Limit.SLIDER] == Limit.FIXED_POINT).double().mean()
print(f"of the sliders at loop 128, at rest by loop 512: {100 * became:.0f} %")
restless = (late != Limit.FIXED_POINT).any(-1)
far = trace(root, forests.tokens[restless], 2048, keep=()).loop_ends
limit, period = measure.limit_by_period(far[1024:])
print(f"{int(restless.sum())} forests do not rest by loop 512. Over loops 1025 to 2048 they are:")
for before, one, its in zip(late[restless], limit, period, strict=True):
    was, kinds = (", ".join(NAMES[k] for k in sorted(set(x.tolist()))) for x in (before, one))
    turns = sorted(set(its[one == Limit.ORBIT].tolist()))
    print(f"  {was} -> {kinds}" + (f", periods {turns}" if turns else ""))

# %% [markdown] id="longer-text"
# **Measured here.** Most sliders were *late* fixed points: given four times as long, they rest.
# "Slider" was a statement about 128 loops. What is left is a handful of whole forests. Watched for
# long enough, some of them turn out to be on long orbits, of more than a hundred loops: too long
# for a test that looks at 128, to which an arc of them looks like a slide or like nothing it
# knows. Of the others we cannot say, even so. This model has orbits after all, in one or two
# forests of a hundred, far beyond any loop at which it is used, and the usual length of a run hides
# them.
#
# ## Overthinking: the state, or the answer?
#
# Rest is about the state. What of the answer? Let four models run to 128 loops: the **hero**,
# **root-k1** and its cure, **root-k1-penalty**, from chapter 02, and **root-ouro**: two layers,
# Ouro's norms, no injection, trained as Ouro was on the answers of *all* of always four loops.

# %% id="far-beyond"
test = tasks.find_root(128, torch.Generator().manual_seed(3), max_depth=5)
bench = {
    name: checkpoints.load(name) for name in ("hero", "root-k1-penalty", "root-k1", "root-ouro")
}
exact = {name: train.accuracy_table(model, test, 128).exact for name, model in bench.items()}
plots.accuracy_by_loop(exact, trained=(3, 6), ylabel="exact match")

# %% [markdown] id="ex2-card"
# Two fall, two stay (the shade is the range of training of the first three). To say *when* an
# answer is lost, and later to judge rules that stop a loop, we need the first loop from which an
# answer is right **for good**. The first time it is right will not do: a coin is right half the
# time.
#
# **Exercise 06.2 · right for good** · easy · core · 6 minutes · *idea: look for the last wrong
# loop*


# %% id="lasting-answer" role="answer" ex="06.2"
# exercise 06.2
def lasting_from(right):
    """First loop, counted from 1, from which `right` holds to the last; 0 where it never does.

    [loop, ...] of bool -> [...], whole numbers
    """
    # --- solution
    loops = torch.arange(1, len(right) + 1).view(-1, *[1] * (right.dim() - 1))
    last_wrong = torch.where(right, 0, loops).amax(0)
    return torch.where(last_wrong == len(right), 0, last_wrong + 1)
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="lasting-check" role="check" ex="06.2"
lasting_from = check("06.2", lasting_from)

# %% [markdown] id="ex2-hints"
# <details><summary>Hint 1, a nudge</summary>
# The stretch begins one loop after the last wrong one.
# </details>
# <details><summary>Hint 2, a plan</summary>
# Write each loop's number where it is wrong and 0 where it is right; the largest over the loops is
# the last wrong one. Add 1, unless it was the last loop of all.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>torch.where(right, 0, loops).amax(0)</code>, with <code>loops</code> 1, 2, ... shaped so
# that it broadcasts along the first axis.
# </details>
#
# [Solution](solved/06_orbits_sliders_and_overthinking.ipynb)

# %% id="rest-and-right"
print("after 128 loops, % of tokens")
print("model             at rest   right   wrong and at rest   right once, then lost")
for name, model in (*bench.items(), ("flood-turning", odd)):
    batch = mazes if name == "flood-turning" else test
    noise = torch.Generator().manual_seed(0)
    run = trace(model, batch.tokens, 128, keep=(), generator=noise)
    right = model.readout(run.loop_ends).argmax(-1) == batch.targets  # [loop, item, token]
    at_rest = measure.limit_by_period(run.loop_ends).limit == Limit.FIXED_POINT
    lost = right.any(0) & (lasting_from(right) == 0)
    told = [at_rest, right[-1], at_rest & ~right[-1], lost]
    told = [100 * share.double().mean().item() for share in told]
    print(f"{name:16s} {told[0]:8.1f} {told[1]:7.1f} {told[2]:19.1f} {told[3]:23.1f}")
print("\nthree seeds, 128 loops: of the tokens at rest, % that rest on a wrong answer")
for name, seeds in limits.items():
    wrong = [100 * s["at rest and wrong"] / s["by period"]["fixed point"] for s in seeds]
    print(f"{name:16s}", "  ".join(f"{share:5.1f}" for share in wrong))
print("three seeds: exact match at 4, 8 and 64 loops")
for name in bench:
    seeds = [seed["in distribution"]["exact"] for seed in checkpoints.card(name)["results by seed"]]
    rows = (" ".join(f"{seed[loops]:.2f}" for loops in ("4", "8", "64")) for seed in seeds)
    print(f"{name:16s}", "   ".join(rows))

# %% [markdown] id="c14-text"
# **C14, measured here.** The hero keeps its answers, and the penalised model nearly all of them, at
# loop counts more than twenty times beyond training. `root-ouro` loses them within a few loops of
# the four it was trained on, in all three seeds. **Reported:** Huginn's accuracy stays flat with
# more recurrences and Ouro's falls beyond its four (C14;
# [arXiv 2502.05171](https://arxiv.org/abs/2502.05171),
# [arXiv 2510.25741](https://arxiv.org/abs/2510.25741)). Norms, injection and loss all differ
# between our models, so this says *that* they differ, not which part is to blame. And one part of
# C14 does **not replicate**: the layers of Ouro 1.4B are reported to keep changing, while most
# tokens of our `root-ouro` come to rest.
#
# The other half of the claim needs care. It is tempting to say: what rests keeps its answer, what
# does not rest loses it. The table says no, twice. Most tokens of `root-ouro` and about half of
# those of `root-k1` **do** come to rest, many of them on a **wrong** answer; they passed through
# the right one on their way to somewhere else. And the turning flood, most of whose cells never
# rest, loses nothing. The hero differs not in *that* it rests but in *where*. Rest is no
# certificate: a residual near zero says nothing about being right.
#
# (What the claim says about *stages* of inference is for chapter 07.)
#
# ## When to stop
#
# If an answer is right early, stop early. Who knows when, without knowing the answer? Four rules,
# each watching one signal and stopping a token when it falls below a threshold:
#
# - **step size**: the state hardly moved;
# - **KL**: the *answer's* probabilities hardly moved (Huginn's rule,
#   [arXiv 2502.05171](https://arxiv.org/abs/2502.05171));
# - **stable answer**: the likeliest answer has been the same for some loops;
# - **acceleration**: the *step* hardly changed, twice in a row
#   ([arXiv 2509.23314](https://arxiv.org/abs/2509.23314)). A state that drifts evenly never stops
#   moving, but its acceleration vanishes.
#
# **Exercise 06.3 · exit on acceleration** · medium · core · 10 minutes · *idea: the difference of
# two steps is a vector*
#
# With steps $D_t = h_t - h_{t-1}$, the acceleration at loop $t$ is
# $\lVert D_t - D_{t-1} \rVert / \lVert h_t \rVert$. It exists from loop 3 on.


# %% id="acceleration-answer" role="answer" ex="06.3"
# exercise 06.3
def acceleration_exit(states, tolerance):
    """First loop, from 1, at which the acceleration was below `tolerance` twice in a row.

    [loop, ..., width] -> [...], whole numbers; the last loop where that never happens
    """
    # --- solution
    steps = states[1:] - states[:-1]  # row 0 leads into loop 2
    change = (steps[1:] - steps[:-1]).norm(dim=-1) / states[2:].norm(dim=-1)  # row 0: loop 3
    quiet = change < tolerance
    twice = quiet[1:] & quiet[:-1]  # row 0: loops 3 and 4, so the exit is loop 4
    first = twice.long().argmax(0) + 4
    return torch.where(twice.any(0), first, len(states))
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="acceleration-check" role="check" ex="06.3"
acceleration_exit = check("06.3", acceleration_exit)

# %% [markdown] id="ex3-hints"
# <details><summary>Hint 1, a nudge</summary>
# Subtract states to get steps, subtract steps to get accelerations, and only then take lengths.
# </details>
# <details><summary>Hint 2, a plan</summary>
# Make a table of bool, quiet or not, whose first row is loop 3. Two neighbouring rows that are
# both quiet: the exit is the later one. <code>argmax</code> of 0s and 1s finds the first 1.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>twice = quiet[1:] &amp; quiet[:-1]</code> has loop 4 in row 0; take
# <code>twice.long().argmax(0) + 4</code> where <code>twice.any(0)</code>, else
# <code>len(states)</code>.
# </details>
#
# [Solution](solved/06_orbits_sliders_and_overthinking.ipynb)

# %% [markdown] id="ex4-card"
# ## What a rule costs
#
# The **oracle** knows the answers: it lets a token go at the loop from which its answer is right
# for good (your 06.2). No rule can know as much, so we ask what each pays beside it: loops that it
# could have spared, and answers that the oracle has right and the rule gets wrong.
#
# **Exercise 06.4 · what a rule loses** · medium · core · 8 minutes · *idea: two different means*


# %% id="loss-answer" role="answer" ex="06.4"
# exercise 06.4
def loss_to_oracle(exits, right):
    """(loops to spare, share lost) of a rule with exits [token] against right [loop, token].

    Loops to spare: mean of exit minus the oracle's loop, over the tokens that have one (below zero
    where the rule left earlier). Share lost: of ALL tokens, those for which the oracle has a loop
    and the rule's answer, read at its exit, is wrong. measure.lasting_from(right) is the oracle.
    """
    # --- solution
    best = measure.lasting_from(right)
    known = best > 0
    kept = right[exits - 1, torch.arange(len(exits))]
    spare = (exits - best)[known].float().mean().item()
    return spare, (known & ~kept).float().mean().item()
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="loss-check" role="check" ex="06.4"
loss_to_oracle = check("06.4", loss_to_oracle)

# %% [markdown] id="ex4-hints"
# <details><summary>Hint 1, a nudge</summary>
# A token without an oracle loop can be neither late nor lost.
# </details>
# <details><summary>Hint 2, a plan</summary>
# Mark the tokens whose oracle loop is above 0. Average exit minus oracle loop over those only. Read
# each token's rightness at its own exit; the mean of "marked and wrong" runs over all tokens.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>right[exits - 1, torch.arange(len(exits))]</code> picks one row for each token.
# </details>
#
# [Solution](solved/06_orbits_sliders_and_overthinking.ipynb)

# %% id="exit-sweep"
LOOPS = 32
deep = tasks.find_root(256, torch.Generator().manual_seed(4), max_depth=11)
thresholds = [2.0 ** (-n / 2) for n in range(-2, 17)]
panels, table = {}, {}
for name in ("root-k1-penalty", "root-k1"):
    model = bench[name]
    states = trace(model, deep.tokens, LOOPS, keep=()).loop_ends.flatten(
        1, 2
    )  # [loop, token, width]
    logits = model.readout(states[:, None])[:, 0]  # [loop, token, class]
    right = logits.argmax(-1) == deep.targets.flatten()
    step, kl = measure.step_signal(states), measure.answer_signal(logits)
    age = measure.answer_age(logits.argmax(-1))
    rules = {
        "step size": {t: measure.first_exit(step < t) for t in thresholds},
        "KL": {t: measure.first_exit(kl < t) for t in thresholds},
        "acceleration": {t: acceleration_exit(states, t) for t in thresholds},
        "stable answer": {n: measure.first_exit(age > n) for n in range(1, 9)},
        "always the same": {
            n: torch.full_like(right[0], n, dtype=torch.long)
            for n in (2, 3, 4, 6, 8, 12, 16, 24, 32)
        },
    }
    table[name] = right, rules
    curves = {}
    for rule, exits in rules.items():
        loops = [e.float().mean().item() for e in exits.values()]
        curves[rule] = (
            loops,
            [measure.at_exit(right, e).float().mean().item() for e in exits.values()],
        )
    best = lasting_from(right)
    curves["oracle"] = [best[best > 0].float().mean().item()], [(best > 0).float().mean().item()]
    panels[name] = curves
picture = plots.trade_off(panels, "mean loops per token", "share right at the exit")

print("the cheapest setting of each rule that gets at least 99.5 % right")
print(f"{'model':16s} {'rule':16s} {'setting':>8s} {'loops':>6s} {'spare':>6s} {'lost %':>7s}")
for name, (right, rules) in table.items():
    for rule, exits in rules.items():
        good = {
            setting: e
            for setting, e in exits.items()
            if measure.at_exit(right, e).double().mean() >= 0.995
        }
        if not good:
            print(f"{name:16s} {rule:16s} none")
            continue
        setting, e = min(good.items(), key=lambda pair: pair[1].float().mean())
        spare, lost = loss_to_oracle(e, right)
        told = f"{setting:8.3g} {e.float().mean():6.2f} {spare:6.2f} {100 * lost:7.2f}"
        print(f"{name:16s} {rule:16s} {told}")
for loops in (8, 16, 32):
    known = (lasting_from(table["root-k1"][0][:loops]) > 0).double().mean().item()
    print(f"root-k1, runs of {loops:2d} loops: an oracle exit for {100 * known:.0f} % of tokens")
plots.mark(picture, whose("06.3"))

# %% [markdown] id="exit-text"
# **Measured here**, for two models, one seed each.
#
# - The rule that watches the **answer's probabilities** (KL) leaves earliest on both models.
#   Acceleration watches the **state** and waits for something that the answer does not need. Step
#   size and stable answer lie between, and change places from one model to the other.
# - On the model that rests every rule works, and waiting too long costs only loops. On the one
#   that overthinks, waiting costs *answers*: below some threshold the step-size rule falls off a
#   cliff, since the state moves long after the answer was right. There acceleration holds
#   on longer than step size, as its inventors argue. That it beats KL as well (**reported**, for
#   language models) does **not replicate** at our size: it may not speak before loop 4, and by
#   loop 4 nearly all is done.
# - Look at *always the same*. Four loops for everybody is a rule too; the best of the others saves
#   little more than one loop of four. And further right on the overthinker, a fixed number
#   of loops is **better** than step size or acceleration at the same mean cost. Print that
#   control whenever you read about adaptive exits.
# - The oracle depends on where the run **ends**: an answer that is lost at loop 30 is right for
#   good in a run of 8. For a model that overthinks, "the oracle" is not one number.
#
# The thresholds were swept on the tokens they are judged on; that flatters every rule but the last.
# A token that leaves is only *read* early here; its state goes on, since other tokens attend to it.
# In a served model the saving is smaller: the last token to leave sets the time.

# %% [markdown] id="game-text"
# ## The diagnosis game
#
# Somebody has broken our hero, without touching its weights. Each case is one of these:
#
# | name | what was done |
# |---|---|
# | healthy | nothing |
# | no input | the input is injected at the first loop and never again |
# | no norms | the norms inside the layers are gone |
# | gain | the MLPs write with the wrong sign, six times too loudly |
# | reset | every eighth loop the start state is put back |
# | not looped | every loop begins at the start state again |
#
# (Why is *the gradient is cut* not in the list? Because a forward run cannot show it.)
#
# Inject each of them yourself, with the buttons, and watch one token's state over 48 loops, in the
# plane in which this path spreads most. (The still picture is the healthy hero's.) What does each
# fault do to the length of a step?

# %% id="inject-strip"
ward = tasks.find_root(4, torch.Generator().manual_seed(7), max_depth=8)
views, told = [], []
for fault, what in FAULTS.items():
    path = faulty_run(bench["hero"], ward.tokens[:1], fault, 48)[:, 0, 4]  # [loop, width]
    axes = torch.linalg.svd(path - path.mean(0), full_matrices=False)[2][:2]
    points = (path - path.mean(0)) @ axes.T
    points /= points.norm(dim=-1).max().clamp_min(1e-6)
    views.append(
        [points.where(torch.arange(48)[:, None] < loop, torch.nan) for loop in range(1, 49)]
    )
    step, length = measure.relative_step(path), path.norm(dim=-1)
    told.append([f"Loop 1, {fault}: {what}."])
    for loop in range(2, 49):
        moved = f"length of the state {length[loop - 1]:.1f}, of the step {step[loop - 2]:.1g}"
        told[-1].append(f"Loop {loop}, {fault}: {moved} times as much.")
injected = PlaneStepper(
    torch.stack([torch.stack(view) for view in views]),
    title="One token of the hero, with a fault injected",
    menus={"fault": list(FAULTS)},
    captions=told,
    path=True,
    buttons=True,
    axes=("first direction", "second direction"),
)
injected.film_strip(frames=(2, 4, 8, 16, 48))

# %% id="inject"
injected

# %% [markdown] id="game-rules"
# In the game you see neither the path nor the answers. You see three curves over 48 loops, means
# over all tokens: the relative **step**, the **length** of the state, and the **distance between
# tokens**. First all four cases as a still picture. Decide, then play.

# %% id="game-strip"
game = Diagnosis.of(bench["hero"], ward.tokens, cases=4, seed=21)
game.film_strip()

# %% id="game"
game

# %% [markdown] id="ex5-card"
# Another round: `Diagnosis.of(bench["hero"], ward.tokens, cases=6, seed=1)`. When you win, teach
# the machine what you look at.
#
# **Exercise 06.5 · name the fault** · hard · stretch · 12 minutes · *idea: ask the sharpest
# question first*
#
# You get the three curves of one run as tensors and return the name from the table. A model of
# another width has longer states: compare a length with another length of the same run, not with a
# number.


# %% id="fault-answer" role="answer" ex="06.5"
# exercise 06.5
def name_the_fault(step, length, apart):
    """One of the six names, from step [loop - 1], length [loop] and distance of tokens [loop]."""
    # --- solution
    if (step == 0).all():
        return "not looped"
    if apart[-1] < 0.01 * apart[0]:
        return "no input"
    if length[-1] > 1.5 * length[0]:
        return "no norms"
    late = step[-16:]  # two rounds of the reset
    if late.max() < 0.02:
        return "healthy"
    return "reset" if late.min() < 0.05 * late.max() else "gain"
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="fault-check" role="check" ex="06.5"
name_the_fault = check("06.5", name_the_fault)

# %% [markdown] id="ex5-hints"
# <details><summary>Hint 1, a nudge</summary>
# For each name ask: which one number of the three curves would give it away?
# </details>
# <details><summary>Hint 2, a plan</summary>
# Steps of exactly zero; tokens without distance; a length that grew; a quiet end. Two are left, and
# both keep taking large steps: one of them is quiet in between.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>late = step[-16:]</code> covers two resets; compare <code>late.min()</code> with
# <code>late.max()</code>.
# </details>
#
# [Solution](solved/06_orbits_sliders_and_overthinking.ipynb)

# %% id="fault-measure"
print("fresh forests and starts, named right (of 5) and otherwise as")
for fault in FAULTS:
    said = []
    for seed in range(50, 55):
        fresh = tasks.find_root(4, torch.Generator().manual_seed(seed), max_depth=8)
        signs = vital_signs(faulty_run(bench["hero"], fresh.tokens, fault, 40, seed))
        said.append(name_the_fault(*signs))
    others = sorted(set(said) - {fault})
    print(f"{fault:11s} {said.count(fault)}   {', '.join(others)}")

# %% [markdown] id="open-question"
# ### An open question (no check)
#
# Your rules were made on one model. Are they about *faults* or about the *hero*? Break another one:
# `faulty_run(bench["root-k1-penalty"], ...)`, or the flood. Which rule fails first, and is there a
# sign that would hold for every model? (One of the faults cannot even be made there. Which, why?)

# %% [markdown] id="interpret"
# ## Interpret
#
# - A class of limits is a **statement about a window**. Most sliders at 128 loops were fixed points
#   at 512, and some of what did not rest even then was on orbits too long for the usual test.
# - Orbits belong to looped networks as such: large random weights have them by the dozen. Of our
#   fifteen trained models one has them everywhere and fourteen (by loop 128) nowhere.
# - Three questions that sound alike are three: does the state **rest**? does the answer **stay**?
#   is it **right**? The hero rests and is right, `root-ouro` mostly rests and is mostly wrong,
#   `flood-turning` turns and is right.
# - Stopping early is worth what the plainest rule leaves to be saved: here, little more than one
#   loop.
#
# ## Key points
#
# 1. The period is the smallest lag that brings every late state back; ask for rest first.
# 2. The last state is a treacherous reference: everything seems to arrive at it.
# 3. No case among $n$ means "below $3/n$", and $n$ counts what is independent.
# 4. Overthinking is about the answer. A model can rest on a wrong one.
# 5. Compare exit rules with the oracle above and with a fixed number of loops below.

# %% [markdown] id="questions"
# ## Five questions
#
# 1. A token is back after 12 loops, every time. Is its period 12?
# <details><summary>Answer</summary>
# Or 6, 4, 3, 2, or 1: take the smallest lag that brings it back, and rule out rest first.
# </details>
#
# 2. All cosines to the last state are above 0.95 from loop 20 on. Is the state at rest?
# <details><summary>Answer</summary>
# Not necessarily. It may walk slowly, turn on a small orbit, or grow in length: the last state is a
# reference that is chosen by when you stop, and the cosine sees neither small steps nor lengths.
# </details>
#
# 3. You ran 300 prompts and saw no orbit. A colleague claims a rate of 0.1 %. Who is right?
# <details><summary>Answer</summary>
# Both may be: none in 300 is compatible with any rate up to about 1 %.
# </details>
#
# 4. A model's residual is 1e-7 at loop 64. Its accuracy?
# <details><summary>Answer</summary>
# Unknown. Resting and being right are two measurements.
# </details>
#
# 5. A rule stops after 3.1 loops on average and loses nothing. What do you ask next?
# <details><summary>Answer</summary>
# What always stopping after 3 or 4 loops would lose, what the oracle needs, and whether the
# threshold was chosen on the same tokens.
# </details>

# %% [markdown] id="scoreboard-text"
# ## Scoreboard

# %% id="scoreboard"
scoreboard("06")

# %% [markdown] id="read-on"
# ## Read on
#
# - Back: [03 Watch fixed points form](03_watch_fixed_points_form.ipynb) and
#   [02 Train a tiny loop](02_train_a_tiny_loop.ipynb), where overthinking was first met and cured.
# - Blayney et al., [arXiv 2604.11791](https://arxiv.org/abs/2604.11791), appendix C: orbits and
#   sliders in Huginn.
# - Pappone et al., [arXiv 2509.23314](https://arxiv.org/abs/2509.23314): exits on acceleration.
# - Viakhirev et al., [arXiv 2608.18222](https://arxiv.org/abs/2608.18222): settling, marginal and
#   drifting loops, and when more loops are safe.
