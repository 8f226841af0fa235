# ---
# jupyter:
#   looplab:
#     chapter: "04"
#     title: Attention settles
#     minutes: 55
#     needs: chapter 03
#     learn: compare attention across loops, bound its moves, freeze it and see what breaks
# ---

# %% [markdown] id="title"
# # 04 · Attention settles
#
# *55 minutes · a laptop CPU · you should have done chapter 03*
#
# In chapter 03 the state of every layer came to rest. Attention is computed from the state, so it
# must come to rest too. That sounds like a footnote, and it is the part of the loop you can read:
# an attention pattern says who looks at whom. In this chapter you watch one model change its
# looks from loop to loop, another keep them from the start, and then you hold a pattern fixed by
# force to find out whether its changes were worth anything.
#
# **You will be able to**
#
# - lay out all attention patterns of a run on one sheet and measure how far apart they are;
# - compute thousands of pattern distances with one matrix product, and know when that goes wrong;
# - prove that attention settles where the state does, and measure how loose the proof is;
# - freeze attention at a loop of your choice and read off what later changes were for.
#
# The claims C3, C5 and C16 are those of Blayney et al., *A Mechanistic Analysis of Looped Reasoning
# Language Models* ([arXiv 2604.11791](https://arxiv.org/abs/2604.11791)); labels are **proved**,
# **measured here** and **reported**, as before.

# %% id="set-up"
import torch

from looplab import LoopedTransformer, checkpoints, grid, measure, plots, tasks, trace, train
from looplab.exercises import check, scoreboard, todo, whose
from looplab.measure import mean_patterns
from looplab.plots import floorplan
from looplab.widgets import FrameStepper

# %% [markdown] id="chain-intro"
# ## Explore: who looks at whom
#
# Two models that name the root of a tree. The **doubler** has one layer (`root-k1-penalty` of
# chapter 02, which stays right at any number of loops); the **hero** of chapter 03 has three. To
# read their attention we give both the simplest forest there is: a single chain of twelve nodes,
# written in order, the root first. Row $i$ of a pattern is the node at depth $i$, and a bright cell
# in column $j$ means that it looks at the node at depth $j$.

# %% id="chain"
order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
chain = torch.stack((order, torch.cat((order[:1], order[:-1]))), dim=-1)[None]  # node, parent
doubler, hero = checkpoints.load("root-k1-penalty"), checkpoints.load("hero")
on_chain = {
    name: trace(
        model,
        chain,
        loops=8,
        keep=("attention",),
        generator=torch.Generator().manual_seed(0),
    ).attention.mean(3)[:, :, 0]  # mean over heads: [loop, layer, query, key]
    for name, model in {"doubler": doubler, "hero": hero}.items()
}

# %% [markdown] id="predict"
# ## Predict
#
# The doubler solves depth 2 in one loop, depth 4 in two, depth 8 in three. So where does the node
# at depth 11 look in loop 1, in loop 2, in loop 3? Write down three depths.

# %% id="predict-cell"
my_depths = (10, 10, 10)  # your guess: where the node at depth 11 looks in loops 1, 2, 3


# %% id="doubler-strip"
def in_words(patterns):
    """One sentence for each loop's pattern [loop, query, key] of the chain."""
    told = []
    for pattern in patterns:
        looked_at = pattern.argmax(-1)  # [depth]
        jumps = torch.arange(1, 12) - looked_at[1:]
        common = int(jumps.mode().values)
        told.append(
            f"{int((jumps == common).sum())} of 11 nodes look {common} up, "
            f"{int((looked_at == 0).sum())} of 12 look at the root."
        )
    return told


first_layer = on_chain["doubler"][:, 0]
looks = FrameStepper(
    first_layer, title="The doubler's attention on a chain", captions=in_words(first_layer)
)
looks.film_strip(loops=(1, 2, 3, 4, 6))

# %% id="doubler-stepper"
looks

# %% id="doubler-jumps"
print("loop  distance from each node to the node it looks at most (depths 1 to 11)")
for loop, pattern in enumerate(on_chain["doubler"][:6, 0], start=1):
    jumps = torch.arange(12) - pattern.argmax(-1)
    print(f"{loop:4d}  ", " ".join(f"{jump:2d}" for jump in jumps[1:].tolist()))
first_three = [int(on_chain["doubler"][loop, 0, 11].argmax()) for loop in range(3)]
print("depth 11 looks at depth", *first_three, "in loops 1, 2, 3; you guessed", *my_depths)

# %% [markdown] id="doubler-text"
# **Measured here.** In loop 1 every node looks one step up, in loop 2 two steps, in loop 3 mostly
# four. There is pointer doubling, drawn by the model itself: having learned who its grandparent is,
# a node looks at the *grandparent* next, and learns what that one knows. In loop 5 all nodes but
# the deepest look at the root, and go on looking there.
#
# Now the hero, its three layers side by side.

# %% id="hero-strip"
gap = torch.full((8, 12, 1), 0.3)  # a line between two layers
side_by_side = torch.cat([on_chain["hero"][:, 0], gap, on_chain["hero"][:, 1]], dim=-1)
side_by_side = torch.cat([side_by_side, gap, on_chain["hero"][:, 2]], dim=-1)
told = zip(*(in_words(on_chain["hero"][:, layer]) for layer in range(3)), strict=True)
three = FrameStepper(
    side_by_side,
    title="The hero's layers 1, 2, 3 on the same chain",
    captions=[f"layer 1: {one} Layer 2: {two} Layer 3: {three}" for one, two, three in told],
)
three.film_strip(loops=(1, 2, 4, 8))

# %% id="hero-stepper"
three

# %% [markdown] id="hero-question"
# Move the slider. Which layer never changes its mind? Hold loop 1 and go to loop 8: where do the
# halves of the cells differ?

# %% [markdown] id="floorplan-intro"
# ## The floorplan
#
# The same on an ordinary forest, all at once: one small pattern for every layer and loop. The paper
# draws its models like this (C16, **reported**), and the repeats jump to the eye.

# %% id="floorplan"
forests = tasks.find_root(16, torch.Generator().manual_seed(7), max_depth=8)
seeded = torch.Generator().manual_seed(0)
floorplan(mean_patterns(hero, forests.tokens[:1], loops=8, generator=seeded))

# %% [markdown] id="floorplan-text"
# Read along a row: one layer, loop after loop. Read down a column: one pass, layer after layer.
# Rows repeat, columns do not. Each layer has found *its* pattern. To say so with a number we need a
# distance.
#
# ## Build 1: how far apart are two patterns?
#
# A pattern is a matrix with rows that sum to one. Its **Frobenius norm** is the length it has when
# all its entries are written in one row.
#
# **Exercise 04.1 · distance of two patterns** · easy · core · 4 minutes · *idea: a matrix is a
# vector that was folded*


# %% id="distance-answer" role="answer" ex="04.1"
# exercise 04.1
def pattern_distance(a, b):
    """Frobenius distance of patterns, [..., token, token] each -> [...]."""
    # --- solution
    return (a - b).flatten(-2).norm(dim=-1)
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="distance-check" role="check" ex="04.1"
pattern_distance = check("04.1", pattern_distance)

# %% [markdown] id="ex1-hints"
# <details><summary>Hint 1, a nudge</summary>
# Only the last two axes belong to a pattern; all others stay.
# </details>
# <details><summary>Hint 2, a plan</summary>
# Subtract, make one axis of the last two, take the length along it.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>.flatten(-2)</code>, then <code>.norm(dim=-1)</code>.
# </details>
#
# [Solution](solved/04_attention_settles.ipynb)

# %% id="settling"
run = trace(
    hero,
    forests.tokens,
    loops=32,
    keep=("states", "attention"),
    generator=torch.Generator().manual_seed(0),
)
patterns = run.attention  # [loop, layer, batch, head, query, key]
moved = pattern_distance(patterns[1:], patterns[:-1]).mean((2, 3))  # [loop - 1, layer]
picture = plots.lines_by_layer(
    moved, "distance to the pattern one loop before", floor=1e-6, first_loop=2
)
plots.mark(picture, whose("04.1"))

# %% id="settling-rates"
size = patterns[-1].flatten(-2).norm(dim=-1).mean((1, 2))  # [layer]
state_steps = measure.relative_step(run.states).mean((2, 3))
print("change from loop 6 to 7, relative:  pattern   state")
for layer in range(3):
    change = (moved[5, layer] / size[layer]).item()
    print(
        f"  layer {layer + 1}                           {change:.0e}   {state_steps[5, layer]:.0e}"
    )

# %% [markdown] id="settling-text"
# **Measured here.** All three layers' patterns settle, by the same factor per loop as the state,
# and reach float32 noise at about loop 16. Layer 1 moves least: on this task its question, *who is
# my parent?*, has the same answer in every loop.
#
# ## Build 2: all pairs
#
# The paper's Figure 2 compares every pattern of a run with every other one, across loops *and*
# layers. For 128 loops of three layers these are more than 70 thousand pairs, for each head and
# sequence. One matrix product finds them all, because
#
# $$\lVert a - b \rVert^2 = \lVert a \rVert^2 + \lVert b \rVert^2 - 2\, a \cdot b .$$
#
# There is a trap. When two patterns nearly agree, the right side subtracts two large numbers to get
# a tiny one, and float32 keeps seven digits. A run that settles is full of such pairs. The way out:
# distances do not change when everything is shifted, so count all patterns *from the last one*
# first, and the large numbers are gone.
#
# **Exercise 04.2 · all pairs at once** · medium · core · 9 minutes · *idea: a distance does not
# care where zero is*


# %% id="pairs-answer" role="answer" ex="04.2"
# exercise 04.2
def all_distances(patterns):
    """Distances of all pairs, without a loop: [pattern, entry] -> [pattern, pattern]."""
    # --- solution
    moved = patterns - patterns[-1]
    square = moved.square().sum(-1)
    return (square[:, None] + square - 2 * moved @ moved.T).clamp_min(0).sqrt()
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="pairs-check" role="check" ex="04.2"
all_distances = check("04.2", all_distances)

# %% [markdown] id="ex2-hints"
# <details><summary>Hint 1, a nudge</summary>
# All inner products at once are <code>p @ p.T</code>; the squared lengths are its diagonal.
# </details>
# <details><summary>Hint 2, a plan</summary>
# Subtract the last pattern from all. Squared lengths as a column plus squared lengths as a row,
# minus twice the product. Rounding can leave something slightly below zero: cut it off before you
# take the root.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>(s[:, None] + s - 2 * m @ m.T).clamp_min(0).sqrt()</code>
# </details>
#
# [Solution](solved/04_attention_settles.ipynb)

# %% [markdown] id="twin-intro"
# Your function works on one head of one sequence. `measure.attention_distance` is the same idea for
# all of them, in float64, averaged; we use yours for the first forest's first head. As a
# control stands the hero's **unrolled twin**: six passes of three layers too, but each with weights
# of its own.

# %% id="distance-matrices"
twin = checkpoints.load("hero-unrolled")
twin_run = trace(
    twin,
    forests.tokens,
    loops=6,
    keep=("attention",),
    generator=torch.Generator().manual_seed(0),
)


def one_head(attention):
    """The first forest's first head, [loop, layer, ...] -> [pattern, entry]."""
    return attention[:6, :, 0, 0].flatten(0, 1).flatten(-2)


picture = plots.pattern_distances(
    {
        "hero, looped": all_distances(one_head(run.attention)),
        "unrolled twin": all_distances(one_head(twin_run.attention)),
    },
    layers=3,
)
plots.mark(picture, whose("04.2"))

# %% [markdown] id="ex3-card"
# Dark diagonal stripes on the left: a layer is close to *itself* at other loops and far from its
# neighbours in the same loop (C5). The twin has no stripes. Let us not leave that to the eye.
#
# **Exercise 04.3 · a number for the stripes** · medium · core · 7 minutes · *idea: like with like,
# over like with unlike*
#
# From a distance matrix, compute the mean distance between patterns of the same layer at different
# loops, divided by the mean distance between patterns of different layers. 0 means perfect stripes,
# 1 means that a layer is no closer to itself than to the others.


# %% id="contrast-answer" role="answer" ex="04.3"
# exercise 04.3
def contrast(distances, layers):
    """Same layer over other layers, a number; distances [pattern, pattern] in realised order."""
    # --- solution
    layer = torch.arange(len(distances)) % layers
    same = layer[:, None] == layer
    not_itself = ~torch.eye(len(distances), dtype=torch.bool)
    return (distances[same & not_itself].mean() / distances[~same].mean()).item()
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="contrast-check" role="check" ex="04.3"
contrast = check("04.3", contrast)

# %% [markdown] id="ex3-hints"
# <details><summary>Hint 1, a nudge</summary>
# Number the patterns 0, 1, 2, …; which layer does pattern $n$ belong to?
# </details>
# <details><summary>Hint 2, a plan</summary>
# Make a table that is true where row and column are of one layer. Average the distances where it
# holds, without the diagonal, and where it does not.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>layer = torch.arange(n) % layers</code>, <code>same = layer[:, None] == layer</code>,
# <code>torch.eye(n, dtype=torch.bool)</code>.
# </details>
#
# [Solution](solved/04_attention_settles.ipynb)

# %% id="contrasts"
rows = {"hero, trained": run.attention[:6], "unrolled twin, trained": twin_run.attention}
for seed in (0, 1, 2):
    torch.manual_seed(seed)
    untrained = LoopedTransformer(hero.config).eval()
    rows[f"hero's shape, untrained, seed {seed}"] = trace(
        untrained,
        forests.tokens,
        loops=6,
        keep=("attention",),
        generator=torch.Generator().manual_seed(0),
    ).attention
for name, attention in rows.items():
    number = contrast(measure.attention_distance(attention).float(), 3)
    print(f"{name:34s} {number:.2f}")

# %% [markdown] id="contrast-text"
# **Measured here.** In the hero a layer's patterns are several times closer to each other than to
# other layers'; in the twin they are not closer at all. But look at the last rows: the *untrained*
# loops have stripes nearly as clear. Stripes are no sign of having learned something. They are what
# you get when the same weights read a state that comes to rest. The control has taken a claim away
# from us, and that is what it is for.
#
# ## Why attention must settle
#
# **Proved** (Prop. 4.2 of the paper, C3). Let $X$ be what a layer's attention reads, $\kappa$ the
# spectral norm of $W_Q W_K^{\top}$, $d$ the width of a head, and $B$ a bound on $\lVert X_t \rVert$
# and $\lVert X_{t-1} \rVert$. Scores are $A(X) = X W_Q W_K^{\top} X^{\top} / \sqrt d$, quadratic in
# $X$. Swap one of the two factors at a time:
#
# $$A(X_t) - A(X_{t-1}) = \tfrac{1}{\sqrt d}\left[(X_t - X_{t-1}) W X_t^{\top}
# + X_{t-1} W (X_t - X_{t-1})^{\top}\right], \quad W = W_Q W_K^{\top},$$
#
# and each term is at most $B \kappa \lVert X_t - X_{t-1} \rVert / \sqrt d$. A row's softmax moves
# at most half as far as its scores ([Nair 2025](https://arxiv.org/abs/2510.23012)). Together:
#
# $$\lVert \mathrm{softmax}(A(X_t)) - \mathrm{softmax}(A(X_{t-1})) \rVert \;\le\;
# \tfrac12 \cdot \frac{2 B \kappa}{\sqrt d} \cdot \lVert X_t - X_{t-1} \rVert .$$
#
# All norms of patterns and states are Frobenius norms here; the paper's claim needs one that fits,
# and this one does.
#
# **Exercise 04.4 · how far attention may move** · medium · core · 6 minutes · *idea: a proof is a
# number you can compute*


# %% id="bound-answer" role="answer" ex="04.4"
# exercise 04.4
def most_change(before, after, kappa, head_width):
    """The right side of the bound: two inputs [token, width], two numbers -> a float."""
    # --- solution
    largest = max(before.norm(), after.norm())
    return (0.5 * 2 * largest * kappa / head_width**0.5 * (after - before).norm()).item()
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="bound-check" role="check" ex="04.4"
most_change = check("04.4", most_change)

# %% [markdown] id="ex4-hints"
# <details><summary>Hint 1, a nudge</summary>
# Everything in the formula is given or is a norm of a tensor you have.
# </details>
# <details><summary>Hint 2, a plan</summary>
# $B$ must cover both states, so it is the larger of two norms. The last factor is the norm of the
# difference.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>tensor.norm()</code> without a <code>dim</code> is the Frobenius norm; half of two is one.
# </details>
#
# [Solution](solved/04_attention_settles.ipynb)

# %% id="bound-picture"
bound = measure.attention_bound(hero, run)  # the same, for every loop, layer, forest and head
kappa = measure.query_key_norm(hero, tokens=12)  # [layer, head]
sides = torch.stack((bound.moved.mean((1, 2, 3)), bound.bound.mean((1, 2, 3))), dim=1)
plots.lines_by_layer(
    sides[:20], "Frobenius norm", names=("attention moved", "it may have moved"), first_loop=2
)

# %% id="bound-slack"
real = bound.slack[:8]  # before rounding decides
print("κ by layer and head:", [[round(k, 1) for k in row] for row in kappa.tolist()])
print("the bound holds everywhere:", bool((bound.moved <= bound.bound).all()))
print(f"slack: median {real.median():.0f}, smallest {real.min():.0f}")

layer, t = 1, 4  # by hand, for one case: layer 2 from loop 4 to loop 5, first forest
reads = hero.cores[0].layers[layer].n1(run.states[t - 1 : t + 1, layer - 1, 0])
most = [most_change(reads[0], reads[1], k, hero.config.head_width) for k in kappa[layer].tolist()]
print("your right side:", [f"{m:.3f}" for m in most])
print("the library's: ", [f"{m:.3f}" for m in bound.bound[t - 1, layer, 0].tolist()])

# %% [markdown] id="bound-text"
# **Measured here.** The bound holds at every loop, layer and head, and it is far from tight: real
# attention moves a few hundred times less than it might. That is the usual fate of worst cases.
# What survives is the *direction* of the argument: both lines fall with the same slope, and if the
# state stops, attention stops.
#
# The converse is false. Here is a stack that does not rest at all, with attention that does.

# %% id="converse"
restless = grid.random_stack("pre", "none", depth=4, gain=1.0, seed=0, width=64)
ids = grid.random_tokens(0, 16)
growing = trace(restless, ids, loops=64, keep=("states", "attention"))
step = measure.step_size(growing.states).mean((1, 2, 3))
look = measure.attention_step(growing.attention, relative=True).mean((1, 2, 3))
print("random weights, norms in front of the branches, no injection")
for loop in (2, 8, 32, 64):
    print(
        f"  loop {loop:2d}: the state moves {step[loop - 2]:.1f}, "
        f"its patterns change by {100 * look[loop - 2]:.1f} %"
    )

# %% [markdown] id="converse-text"
# **Measured here.** The state takes steps of the same length for ever and grows without end. Its
# attention freezes all the same, because the norm in front of attention reads the *direction*, and
# the direction of something that grows by equal steps turns less and less. A frozen floorplan alone
# does not show a fixed point.
#
# ## What were the changes for?
#
# So far we have looked on. Now we interfere. A **tap** sees every named value of a forward pass and
# may replace it. We keep each layer's pattern from some loop, and put it in the place of all later
# ones. If the answers survive, the changes we prevented were decoration.
#
# **Exercise 04.5 · freeze attention** · hard · stretch · 12 minutes · *idea: to know what something
# does, take it away*
#
# A tap is called as `tap(site, value)`, where `site.name` is `"core.attn.pattern"` for patterns,
# `site.loop` counts from 0 and `site.layer` too; what it returns (unless that is `None`) takes the
# value's place. It is shown patterns only if it has an attribute `patterns` that is `True`.


# %% id="freeze-answer" role="answer" ex="04.5"
# exercise 04.5
def freeze_from(loop):
    """A tap that keeps each layer's pattern of this loop (counted from 1) in all later loops."""
    # --- solution
    kept = {}

    def tap(site, value):
        if site.name != "core.attn.pattern" or site.loop < loop - 1:
            return None
        return kept.setdefault(site.layer, value)

    tap.patterns = True
    return tap
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="freeze-check" role="check" ex="04.5"
freeze_from = check("04.5", freeze_from)

# %% [markdown] id="ex5-hints"
# <details><summary>Hint 1, a nudge</summary>
# A function inside the function can remember things in a dictionary that lives outside it.
# </details>
# <details><summary>Hint 2, a plan</summary>
# Return <code>None</code> for other sites and for earlier loops. At the loop itself store the
# pattern under its layer; later return what is stored. Functions can have attributes.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>kept.setdefault(site.layer, value)</code> stores the first value it sees and returns it ever
# after; <code>tap.patterns = True</code> stands below the inner function.
# </details>
#
# [Solution](solved/04_attention_settles.ipynb)

# %% id="freeze-measure"
test = tasks.find_root(512, torch.Generator().manual_seed(3), max_depth=11)


def exact_when_frozen(model, loop):
    """Share of forests with every root right after 12 loops, attention frozen from `loop` on."""
    with torch.no_grad():
        out = model(
            test.tokens, 12, tap=freeze_from(loop), generator=torch.Generator().manual_seed(0)
        )
    return (out.logits.argmax(-1) == test.targets).all(1).float().mean()


loops = (1, 2, 3, 4, 5, 6)
exact = torch.tensor([[exact_when_frozen(m, loop) for m in (doubler, hero)] for loop in loops])
picture = plots.lines_by_layer(
    exact,
    "exact match, frozen from this loop",
    log=False,
    names=("doubler, 1 layer", "hero, 3 layers"),
)
plots.mark(picture, whose("04.5"))

# %% id="freeze-numbers"
for n, loop in enumerate(loops[:4]):
    print(f"frozen from loop {loop}: doubler {exact[n, 0]:.3f}, hero {exact[n, 1]:.3f}")
stairs = train.accuracy_table(hero, test, loops=4).accuracy[:, 11].tolist()
print("hero, not frozen, right at depth 11 after 1 to 4 loops:", *(f"{s:.2f}" for s in stairs))

# %% [markdown] id="freeze-text"
# **Measured here.** The doubler *needs* its attention to move: freeze it after one loop and more
# than half of the forests fail, though eleven loops remain. Its looks then go one step up and no
# further, and that is not the method it has learned. From loop 4 on nothing is lost. The hero
# hardly cares: with the patterns of its very *first* loop it still gets nearly all forests right.
# It does need several loops to be right at depth 11, as the last line shows; but what these loops
# change is what is *carried along* the looks, not the looks.
#
# Two models, one task, both at rest in the end, and a picture of attention alone would not have
# told them apart in what matters. Each of these is one trained model; whether another seed of the
# hero's recipe learns the same division of labour we did not test.
#
# ### An open question (no check)
#
# Freeze one layer of the hero instead of all three. Which one is it that may move? Then find a
# model of your own in which attention must *never* freeze.

# %% [markdown] id="interpret"
# ## Interpret
#
# - Attention settles because the state does, at the same rate, layer by layer. Proof and
#   measurement agree on the direction, and differ by two orders of magnitude in size.
# - Stripes in the distance matrix come from weight sharing and rest. They are there without
#   training and gone in the unrolled twin, so they are evidence for a fixed point and not for
#   reasoning.
# - What a pattern *does* is a question for an intervention. Freezing separates looks that have to
#   move from looks that were settled at the start.
#
# ## Key points
#
# 1. Frobenius distance between patterns; all pairs by one matrix product, counted from the last.
# 2. The contrast of same layer to other layers puts a number on the paper's Figure 2.
# 3. State at rest implies attention at rest. The converse is false.
# 4. A tap that replaces a value turns a picture into an experiment.

# %% [markdown] id="questions"
# ## Five questions
#
# 1. Why does $\lVert a\rVert^2 + \lVert b\rVert^2 - 2ab$ fail for a run that settles?
# <details><summary>Answer</summary>
# The distance is far smaller than the lengths, so the digits that matter are lost in the difference
# of large numbers.
# </details>
#
# 2. A model's distance matrix has clear stripes. Has it learned something?
# <details><summary>Answer</summary>
# Nobody knows. Untrained loops have them as well.
# </details>
#
# 3. Where does the factor 2 B in the bound come from?
# <details><summary>Answer</summary>
# Scores contain the state twice, as query and as key; each is swapped in turn and the other one is
# at most B long.
# </details>
#
# 4. Attention has frozen. Is the state at a fixed point?
# <details><summary>Answer</summary>
# Not necessarily: behind a norm, a state that grows in a fixed direction freezes attention too.
# </details>
#
# 5. Why does the doubler lose more by freezing at loop 1 than the hero?
# <details><summary>Answer</summary>
# Its method is to look twice as far in each loop. The hero's looks are good from the first loop on,
# and its later loops move information along them.
# </details>

# %% [markdown] id="scoreboard-text"
# ## Scoreboard

# %% id="scoreboard"
scoreboard("04")

# %% [markdown] id="read-on"
# ## Read on
#
# - Back: [03 Watch fixed points form](03_watch_fixed_points_form.ipynb). Next:
#   [05 What makes a fixed point](05_what_makes_a_fixed_point.ipynb).
# - Blayney et al., [arXiv 2604.11791](https://arxiv.org/abs/2604.11791), figures 2, 21 and 63: the
#   same pictures of Huginn, Ouro and retrofitted Llama.
# - Nair, [arXiv 2510.23012](https://arxiv.org/abs/2510.23012): softmax moves at most half as far as
#   its scores.
