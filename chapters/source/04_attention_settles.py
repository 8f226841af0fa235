# ---
# jupyter:
#   looplab:
#     chapter: "04"
#     title: Attention settles
#     minutes: 75
#     needs: chapter 03
#     learn: compare attention across loops, bound its moves, freeze it and see what breaks
# ---

# %% [markdown] id="title"
# # 04 · Attention settles
#
# *75 minutes · a laptop CPU · you should have done chapter 03*
#
# In chapter 03 the state of every layer came to rest. Attention is computed from the state, so it
# must come to rest too. That sounds like a footnote, and it is the part of the loop you can read:
# an attention pattern says who looks at whom. In this chapter you watch one model change its looks
# from loop to loop, another keep those of one layer from the start, and then you hold patterns
# fixed by force to find out whether their changes were worth anything.
#
# **You will be able to**
#
# - lay out all attention patterns of a run on one sheet and measure how far apart they are;
# - compute thousands of pattern distances with one matrix product, and know when that goes wrong;
# - prove that attention settles where the state does, and measure how loose the proof is;
# - freeze attention at a loop of your choice and read off what later changes were for;
# - turn "it looks four steps up" into a number for any model, yours among them.
#
# The claims C3, C5 and C16 are those of Blayney et al., *A Mechanistic Analysis of Looped Reasoning
# Language Models* ([arXiv 2604.11791](https://arxiv.org/abs/2604.11791)); labels are **proved**,
# **measured here** and **reported**, as before.

# %% id="set-up"
import torch

from looplab import LoopedTransformer, checkpoints, grid, measure, plots, tasks, trace
from looplab.exercises import check, my_loop, scoreboard, todo, whose
from looplab.measure import mean_patterns
from looplab.plots import floorplan
from looplab.widgets import FrameStepper

# %% [markdown] id="chain-intro"
# ## Explore: who looks at whom
#
# In attention every token gives each token a weight; the weights of one token sum to one. Laid out
# as a table they are its **pattern**: row $i$ says where token $i$ looks.
#
# Three models that name the root of a tree. The **doubler** has one layer (`root-k1-penalty` of
# chapter 02, trained to rest); the **hero** of chapter 03 has three; the third is **yours**, as you
# first trained it in chapter 02, without a penalty. To read their attention we give them the
# simplest forest there is: a single chain of twelve nodes, written in order, the root first.
# (The order is for our eyes: these models have no positions and cannot see it.) Row $i$ of a
# pattern is the node at depth $i$, and a dark cell in column $j$ means that it looks at the node at
# depth $j$. We draw the mean over a layer's heads.

# %% id="chain"
order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
chain = torch.stack((order, torch.cat((order[:1], order[:-1]))), dim=-1)[None]  # node, parent
doubler, hero = checkpoints.load("root-k1-penalty"), checkpoints.load("hero")
mine = my_loop("plain")


def patterns_of(model, tokens, loops):
    """Attention [loop, layer, batch, head, query, key], random starts from one seed."""
    seeded = torch.Generator().manual_seed(0)
    return trace(model, tokens, loops, keep=("attention",), generator=seeded).attention


try:
    patterns_of(mine, chain, 1)
    mine_is = "yours" if whose("01.6") == "yours" else "the stand-in for yours"
except ValueError as error:  # an attention of your own making, which looplab cannot look into
    mine, mine_is = doubler, "the stand-in for yours"
    print("The doubler stands in:", error)
models = {"doubler": doubler, "hero": hero, mine_is: mine}
on_chain = {  # mean over heads: [loop, layer, query, key]
    name: patterns_of(model, chain, 8).mean(3)[:, :, 0] for name, model in models.items()
}

# %% [markdown] id="predict"
# ## Predict
#
# In chapter 02 the doubler solves depth 2 in one loop, depth 4 in two, depth 8 mostly in three. So
# where does the node at depth 11 look in loop 1, in loop 2, in loop 3? Write down three depths.

# %% id="predict-cell"
my_depths = (10, 10, 10)  # your guess: where the node at depth 11 looks in loops 1, 2, 3


# %% id="doubler-strip"
def in_words(patterns):
    """One sentence for each loop's pattern [loop, query, key] of the chain."""
    told = []
    for pattern in patterns:
        looked_at = pattern.argmax(-1)  # [depth]
        jumps = (torch.arange(12) - looked_at)[looked_at > 0]  # of those who look elsewhere
        line = f"{12 - len(jumps)} of 12 look at the root"
        if len(jumps):
            each, counts = jumps.unique(return_counts=True)
            most = int(counts.max())  # of the distance that is most common, or of several
            for jump in each[counts == most].tolist():
                line += f", {most} other{'s' * (most > 1)} {jump} up"
        told.append(f"{line}.")
    return told


first_layer = on_chain["doubler"][:, 0]
depths = [str(depth) for depth in range(12)]
drawn = {
    "axes": ("looks at depth", "node at depth"),
    "ticks": (depths, depths),
    "unit": "weight",
}
looks = FrameStepper(
    first_layer, title="The doubler's attention on a chain", captions=in_words(first_layer), **drawn
)
looks.film_strip(loops=(1, 2, 3, 4, 6))

# %% id="doubler-stepper"
looks

# %% id="doubler-jumps"
print("loop  distance from each node to the node it looks at most (depths 1 to 11)")
for loop, pattern in enumerate(on_chain["doubler"][:6, 0], start=1):
    jumps = torch.arange(12) - pattern.argmax(-1)
    print(f"{loop:4d}  ", " ".join(f"{jump:2d}" for jump in jumps[1:].tolist()))
print("loop 4, the node 8 up, not the root: who looks there most; weight (by chance 0.08)")
doublers = {name: checkpoints.load(name) for name in ("root-k1-penalty-1", "root-k1-penalty-2")}
doublers = {"root-k1-penalty": doubler} | doublers
for name, model in doublers.items():
    pattern = patterns_of(model, chain, 4)[3, 0, 0].mean(0)
    eight = pattern.diagonal(-8)[1:]  # of depths 9, 10, 11
    most = int((eight == pattern[9:].max(-1).values).sum())
    print(f"{name:18s} {most} of 3;", " ".join(f"{weight:.2f}" for weight in eight))
first_three = [int(on_chain["doubler"][loop, 0, 11].argmax()) for loop in range(3)]
print("depth 11 looks at depth", *first_three, "in loops 1, 2, 3; you guessed", *my_depths)
for head, pattern in enumerate(patterns_of(doubler, chain, 3)[2, 0, 0], start=1):
    one, four = (pattern.diagonal(-jump)[1:].mean().item() for jump in (1, 4))  # not at the root
    print(f"loop 3, head {head}: weight {four:.1f} on the node four up, {one:.1f} on the one above")
right = []
for loops in range(1, 9):
    start = torch.Generator().manual_seed(0)
    right.append(doubler(chain, loops, generator=start).logits[0].argmax(-1) == order[0])
first = 9 - torch.stack(right).int().flip(0).cumprod(0).sum(0)  # right then, and ever after
print("depths 0 to 11 name the root from loop", *first.tolist(), "on")

# %% [markdown] id="doubler-text"
# **Measured here.**<!-- by doubler-jumps --> In loop 1 every node looks one step up, in loop 2 two
# steps, in loop 3 mostly four. There is pointer doubling, drawn by the model itself. (Our reading:
# having learned who its grandparent is, a node looks at the *grandparent* next, and learns what
# that one knows.) Both heads do it. By the book, loop 4 would bring jumps of eight. They come as a
# trace. Three nodes have an ancestor eight up that is not the root. In this doubler none of them
# looks *most* at it, though it gets up to 0.22 of their weight, more than chance; in two other
# trainings all three do, and two of them. The roots are named after loop 4 all the same. (A guess,
# not tested: most of a node's ancestors know the root by then, and any of them can tell. Nor did
# training ask for such jumps, as no node in it is deeper than 5.) Depth 8 takes four loops on this
# chain, though mostly three in chapter 02. From loop 5 on all nodes but the deepest look at the
# root. One chain is one case. Build 6 counts hundreds, in three trainings.
#
# Now your own (its last layer). Does it jump as the doubler does? Below it the hero in its first
# loop and in a late one, its three layers side by side; columns are the depths looked at, as
# before.

# %% id="my-strip"
my_layer = on_chain[mine_is][:, -1]
my_looks = FrameStepper(
    my_layer, title=f"Attention on a chain: {mine_is}", captions=in_words(my_layer), **drawn
)
my_looks.film_strip(loops=(1, 2, 3, 4))

# %% id="hero-strip"
gap = torch.zeros(8, 12, 2)  # white, between two layers
beside = on_chain["hero"]
side_by_side = torch.cat([beside[:, 0], gap, beside[:, 1], gap, beside[:, 2]], dim=-1)
told = zip(*(in_words(beside[:, layer]) for layer in range(3)), strict=True)
three = FrameStepper(
    side_by_side,
    title="The hero's layers 1, 2, 3 on the same chain",
    captions=[
        " ".join(f"Layer {n}: {line}".replace(" ", "\u00a0") for n, line in enumerate(lines, 1))
        for lines in told
    ],  # spaces at which no line breaks: a line for each layer
    axes=(("\u2003" * 9).join(f"layer {n}" for n in (1, 2, 3)), "node at depth"),
    ticks=([*depths, "", "", *depths, "", "", *depths], depths),
    unit="weight",
)
three.film_strip(loops=(1, 8))

# %% id="hero-stepper"
three

# %% [markdown] id="hero-question"
# Move the slider. Which layer never changes its mind? Go to loop 1, press *Hold*, and go to loop 8:
# each cell now shows loop 8 above and the held loop 1 in its lower half. Where do the halves
# differ?
#
# ## The floorplan
#
# The same on another forest, all at once: one small pattern for every layer and loop. The forest is
# a chain of seven nodes beside a star of five, as in chapter 03, and we sort it: the chain by depth
# in the first seven rows and columns, then the star's root and its leaves; grey lines part the two
# trees. The scale is bent here: the shade goes with the root of the weight, so that a weight of 0.1
# is already a third as dark as 1. (The strips above have a straight one.) The paper draws its
# models like this; laid out so, the repeats show at a glance (C16, **reported**).

# %% id="floorplan"
forests = tasks.chain_and_star(16, torch.Generator().manual_seed(7), chain=(7, 7))
first, depth = forests.tokens[0], forests.difficulty[0]
leaf = (first[:, 0] != first[:, 1]).int()
place = torch.where(depth < 0, 7 + leaf, depth).argsort(stable=True)  # chain, star's root, leaves
seeded = torch.Generator().manual_seed(0)
sheet = floorplan(mean_patterns(hero, first[None, place], loops=8, generator=seeded))
axes = sheet.figure.axes[0]
for image in axes.images:  # two lines between the chain of seven and the star of five
    left, right, bottom, top = image.get_extent()
    across, down = left + (right - left) * 7 / 12, top + (bottom - top) * 7 / 12
    axes.plot([left, right], [down, down], color="0.5", linewidth=0.5)
    axes.plot([across, across], [top, bottom], color="0.5", linewidth=0.5)
sheet

# %% [markdown] id="floorplan-text"
# Read along a row: one layer, loop after loop. Read down a column: one pass, layer after layer.
# Rows repeat, columns do not. Layer 1 draws the parent of every node; layer 2 looks at near
# ancestors; layer 3 ends by keeping the two trees apart, the chain looking at the top of the chain
# and the star at its root. Each layer has found *its* pattern. To say so with a number we need a
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
my_patterns = patterns_of(mine, forests.tokens, 32)
moved = [pattern_distance(each[1:], each[:-1]).mean((2, 3)) for each in (patterns, my_patterns)]
picture = plots.lines_by_layer(
    torch.cat((moved[0], moved[1][:, -1:]), dim=1),  # [loop - 1, layer of the hero, and mine]
    "distance to the pattern one loop before",
    names=[*(f"hero, layer {n}" for n in (1, 2, 3)), mine_is],
    floor=1e-6,
    first_loop=2,
)
plots.mark(picture, whose("04.1"))

# %% id="settling-rates"
heroes = {name: checkpoints.load(name) for name in ("hero", "hero-1", "hero-2")}
runs = {}
print("median factor per loop of        patterns            states        how far patterns go")
print("in layers                      1     2     3     1     2     3     1     2     3")
for name, model in heroes.items():
    runs[name] = trace(
        model,
        forests.tokens,
        loops=32,
        keep=("states", "attention"),
        generator=torch.Generator().manual_seed(0),
    )
    looks = measure.attention_step(runs[name].attention, relative=True).mean(3)  # [loop - 1, ...]
    steps = measure.relative_step(runs[name].states)  # [loop - 1, layer, batch, token]
    factors = [measure.contraction_rate(each).flatten(1) for each in (looks, steps)]
    factors = [each.nanmedian(-1).values for each in factors]  # [layer]
    way = pattern_distance(runs[name].attention[0], runs[name].attention[-1]).mean((1, 2))
    told = [*(f"{one:.1f}" for one in (*factors[0], *factors[1])), *(f"{one:.2f}" for one in way)]
    print(f"{name:26s}", *(f"{one:>5s}" for one in told))

# %% [markdown] id="settling-text"
# **Measured here.**<!-- by settling-rates, settling --> All three layers' patterns settle, by about
# the same factor per loop as the states, in three trainings; the hero's reach float32 noise at
# about loop 16. Layer 1 goes the shortest way from its first pattern to its last, a third to two
# thirds as far as the others: on this task its question, *who is my parent?*, has nearly the same
# answer in every loop. Your first model was not trained to rest. If looplab's stands in, its
# patterns are still on the move when the hero's have long arrived.
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
# a tiny one, and float32 keeps seven digits. A run that settles is full of such pairs. A way out:
# distances do not change when everything is shifted, so count all patterns *from the last one*
# first. For pairs near the last pattern the large numbers are gone. How far that helps you see
# below.
#
# **Exercise 04.2 · all pairs at once** · medium · core · 9 minutes · *idea: a distance does not
# care where zero is*


# %% id="pairs-answer" role="answer" ex="04.2"
# exercise 04.2
def all_distances(patterns):
    """Distances of all pairs, by one matrix product: [pattern, entry] -> [pattern, pattern].

    Counts all patterns from the last one first; no loop, no torch.cdist, in the dtype it is given.
    """
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

# %% id="late-pairs"
ways = {
    "a² + b² - 2ab": lambda p: torch.cdist(p, p, compute_mode="use_mm_for_euclid_dist"),
    "your function": all_distances,
    "your function, float64": lambda p: all_distances(p.double()),
}
late = run.attention[:16, :, :, 0].flatten(-2).transpose(1, 2).transpose(0, 1)
late = late.flatten(1, 2)  # [forest, loop and layer, entry]
a = torch.arange(8 * 3, 15 * 3)  # loops 9 to 15, and the same layer one loop later
true = (late[:, a] - late[:, a + 3]).double().norm(dim=-1)
print("share of late pairs whose distance is right to a tenth:   layer 1     2     3")
for name, distances in ways.items():
    found = torch.stack([distances(p)[a, a + 3] for p in late])
    right = ((found - true).abs() < 0.1 * true).double().mean(0).view(-1, 3).mean(0)
    print(f"{name:60s}", "  ".join(f"{share:4.1f}" for share in right))

# %% [markdown] id="twin-intro"
# **Measured here.**<!-- by late-pairs --> Without the shift all late distances are wrong. The shift
# rescues layer 3, because the last pattern of the run is layer 3's; the other layers stay far from
# it, and their late pairs still cancel. For those take more digits, or subtract each pair directly.
#
# Your function works on one head of one sequence. `measure.attention_distance` is the same idea for
# all of them, in float64, averaged; we use yours for the first forest's first head. Beside the hero
# stands your own model, which has one layer. As a control stands the hero's **unrolled twin**: six
# passes of three layers too, but each with weights of its own.

# %% id="distance-matrices"
twin = checkpoints.load("hero-unrolled")
twin_patterns = patterns_of(twin, forests.tokens, 6)


def one_head(attention):
    """The first forest's first head in six loops, [loop, layer, ...] -> [pattern, entry]."""
    return attention[:6, :, 0, 0].flatten(0, 1).flatten(-2)


picture = plots.pattern_distances(
    {
        "hero, looped": all_distances(one_head(run.attention)),
        "unrolled twin": all_distances(one_head(twin_patterns)),
    },
    layers=3,
)
plots.mark(picture, whose("04.2"))

# %% id="my-distances"
picture = plots.pattern_distances(
    {f"{mine_is}, 1 layer": all_distances(one_head(my_patterns[:, -1:]))}, layers=1
)
plots.mark(picture, whose("04.2"))

# %% [markdown] id="ex3-card"
# Dark diagonal stripes on the left: a layer is close to *itself* at other loops and far from its
# neighbours in the same loop (C5). The twin has no stripes. A model of one layer has no neighbours
# to be far from, so its table has no stripes either: it shows a dark corner, where the late loops
# agree. Let us not leave that to the eye.
#
# ## Build 3: a number for the stripes
#
# **Exercise 04.3 · a number for the stripes** · medium · core · 7 minutes · *idea: like with like,
# over like with unlike*
#
# From a distance matrix, compute the mean distance between patterns of the same layer at different
# loops, divided by the mean distance between patterns of different layers. 0 means perfect stripes,
# 1 means that a layer is no closer to itself than to the others. The patterns come loop by loop,
# and inside a loop layer by layer.


# %% id="contrast-answer" role="answer" ex="04.3"
# exercise 04.3
def contrast(distances, layers):
    """Same layer over other layers, a number; distances [pattern, pattern], loop by loop."""
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
forest_runs = {"hero": [each.attention for each in runs.values()], "untrained": [], "twin": []}
shapes = []  # of the hero's shape, untrained
for seed in range(3):
    torch.manual_seed(seed)
    untrained = LoopedTransformer(hero.config).eval()
    shapes.append(untrained)
    forest_runs["untrained"].append(patterns_of(untrained, forests.tokens, 32))
    untrained = LoopedTransformer(twin.config).eval()
    forest_runs["twin"].append(patterns_of(untrained, forests.tokens, 6))


def random_run(norm, gain, depth, seed, loops=256):
    """A stack of random weights without injection, in float64, on random tokens."""
    stack = grid.random_stack(norm, "none", depth, gain, seed, width=64).double()
    return trace(stack, grid.random_tokens(seed, 16), loops, keep=("states", "attention"))


growing = [random_run("pre", 1.0, 3, seed) for seed in range(3)]
wandering = [random_run("Huginn", 1.5, 4, seed) for seed in range(3)]


def ends(found):
    """The last of 256 steps over the state, and how the state grew since loop 128, told."""
    found = list(found)
    steps = [measure.relative_step(states[-2:]).mean().item() for states in found]
    grew = [(states[-1].norm() / states[127].norm()).item() for states in found]
    step = " to ".join(dict.fromkeys(f"{edge:.1%}" for edge in (min(steps), max(steps))))
    times = " to ".join(dict.fromkeys(f"{edge:.1f}" for edge in (min(grew), max(grew))))
    return f"{step if max(steps) > 1e-6 else 'under 1e-06':17s} {times}"


def long_states(model):
    """States of 256 loops on the forests."""
    seeded = torch.Generator().manual_seed(0)
    return trace(model, forests.tokens, 256, keep=("states",), generator=seeded).states


rows = {
    "hero, three trainings": (forest_runs["hero"], ends(map(long_states, heroes.values()))),
    "its shape, untrained": (forest_runs["untrained"], ends(map(long_states, shapes))),
    "unrolled twin, trained once": ([twin_patterns], "-"),
    "unrolled twin, untrained": (forest_runs["twin"], "-"),
    "a random stack that grows": (
        [each.attention for each in growing],
        ends(each.states for each in growing),
    ),
    "a random stack that wanders": (
        [each.attention for each in wandering],
        ends(each.states for each in wandering),
    ),
}
print("                            of 256 loops                   contrast in           layers")
print("                            the last step     length       loops                 apart,")
print(
    "                            / length          / at 128     1 to 6     27 to 32   loops 1 to 6"
)
for name, (each, rests) in rows.items():
    told = []
    for loops in (slice(0, 6), slice(26, 32)):
        windows = [attention[loops] for attention in each if len(attention[loops]) > 1]
        found = [contrast(measure.attention_distance(w).float(), w.shape[1]) for w in windows]
        both = dict.fromkeys(f"{edge:.1f}" for edge in (min(found), max(found))) if found else "-"
        told.append(" to ".join(both))
    apart = [measure.attention_distance(attention[:6]) for attention in each]
    layer = torch.arange(len(apart[0])) % (len(apart[0]) // 6)
    apart = torch.stack(apart)[:, layer[:, None] != layer].mean()
    print(f"{name:27s} {rests:30s} {told[0]:10s} {told[1]:10s} {apart:.1f}")

# %% [markdown] id="contrast-text"
# **Measured here.**<!-- by contrasts --> In the hero a layer's patterns are several times closer to
# each other than to other layers'; in the twin they are not closer at all, trained or not. But look
# at the other rows. The *untrained* loops have the same contrast. Their layers are a quarter as far
# apart (last column), and the ratio does not see it: stripes are no sign of having learned
# something. And a stack whose state grows and never rests has, late in its run, stripes as sharp as
# any. Only where the state wanders is there little to see: its last of 256 steps is about as long
# as the state. (The two random stacks differ in their norms, their depth and their *gain*, the
# scale of their weights: why one grows and the other wanders is a matter for chapter 05.) So
# stripes say that **attention** comes back at every loop, and that is all they say. The controls
# have taken two claims away from us, and that is what they are for.
#
# ## Build 4: why attention must settle
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
# The proof needs $\lVert AB \rVert \le \lVert A \rVert_2 \lVert B \rVert$, spectral norm times
# norm; the Frobenius norm has it, and so all norms of patterns and states are Frobenius norms here.
# Whether the bound says anything is another matter. A row of a pattern sums to one, so two rows are
# at most $\sqrt 2$ apart, and two patterns of twelve tokens at most $\sqrt{24} \approx 4.9$
# (**proved**). A bound above that line forbids nothing.
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
kappa = measure.query_key_norm(hero, tokens=12)  # [layer, head]; rotary positions need `tokens`
any_two = 24**0.5
sides = [bound.moved.mean((1, 2, 3)), bound.bound.mean((1, 2, 3))]
sides.append(torch.full_like(sides[0], any_two))
plots.lines_by_layer(
    torch.stack(sides, dim=1)[:20],
    "Frobenius norm",
    names=("attention moved", "the bound", "any two patterns"),
    floor=1e-6,
    first_loop=2,
)

# %% id="bound-slack"
print("          the bound   median slack,    mean bound at       below 4.9")
print("          holds       loops 2 to 9     loops 2, 3, 4       from loop")
for name, model in heroes.items():
    each = measure.attention_bound(model, runs[name])
    mean = each.bound.mean((1, 2, 3))  # [loop - 1]
    says = int((mean >= any_two).nonzero().max()) + 3
    first = " ".join(f"{value:4.0f}" for value in mean[:3])
    holds = bool((each.moved <= each.bound).all())
    slack = float(f"{each.slack[:8].median():.1g}")  # before rounding decides
    print(f"{name:9s} {holds!s:10s}  {slack:6.0f}         {first:>16s} {says:12d}")

layer, t = 1, 4  # by hand, for one case: layer 2 from loop 4 to loop 5, first forest
reads = hero.cores[0].layers[layer].n1(run.states[t - 1 : t + 1, layer - 1, 0])
most = [most_change(reads[0], reads[1], k, hero.config.head_width) for k in kappa[layer].tolist()]
print("your right side:", [f"{m:.3f}" for m in most])
print("the library's: ", [f"{m:.3f}" for m in bound.bound[t - 1, layer, 0].tolist()])

# %% [markdown] id="bound-text"
# **Measured here.**<!-- by bound-slack, bound-picture --> The bound holds at every loop, layer and
# head of three trainings, and it is far from tight: in the median real attention moves 200 to 300
# times less than the bound allows. Up to loop 6 the mean of the bound is above the line of 4.9,
# where it says nothing at all. That is the usual fate of worst cases. What survives is the
# *direction* of the argument: both lines fall with the same slope, and if the state stops,
# attention stops.
#
# The converse is false. **Proved**, in a line: behind a norm a layer reads directions only, so a
# state that doubles in every loop keeps all its patterns and never rests. How near does a real
# stack come to that? You have met the candidate, the stack that grows.

# %% id="converse"
print("random weights, norms in front of the branches, no injection, three draws; a token's state")
for loop in (2, 8, 32, 64, 128):
    steps = [measure.step_size(one.states)[loop - 2].mean().item() for one in growing]
    length = [one.states[loop - 1].norm(dim=-1).mean().item() for one in growing]
    looks = [measure.attention_step(one.attention, relative=True)[loop - 2] for one in growing]
    looks = [100 * look.mean().item() for look in looks]
    far = [one.attention[[loop - 1, -1]] for one in growing]
    far = [100 * measure.attention_step(two, relative=True).mean().item() for two in far]
    print(
        f"  loop {loop:3d}: {min(length):4.0f} to {max(length):4.0f} long, moves by "
        f"{min(steps):.0f} to {max(steps):.0f}; its patterns move by {min(looks):4.1f} to "
        f"{max(looks):4.1f} %, are {min(far):2.0f} to {max(far):2.0f} % from those of loop 256"
    )

# %% [markdown] id="converse-text"
# **Measured here.**<!-- by converse --> In each of three draws the state takes steps of about the
# same length, loop after loop, and grows without a sign of an end. (Lengths are those of one
# token's 64 numbers; percentages are shares of a pattern's own length.) Its patterns change ever
# less, because the *direction* of something that grows by equal steps turns less and less. But they
# have not arrived: changes that fall, late in the run, about as slowly as one over the loop prove
# no rest, as in chapter 03, and the last column shows how much is still to come. So small changes
# of attention show neither a state at rest nor attention at rest.
#
# ## Build 5: what were the changes for?
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
# value's place. It is shown patterns only if it has an attribute `patterns` that is `True`. A tap
# serves one run: it remembers that run's patterns, so the next run needs a new one. (This works on
# looplab's own layers. Into the attention of your model it can look, but not reach.)


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
test = tasks.chain_and_star(512, torch.Generator().manual_seed(3))  # chains of 6 to 10
easy = tasks.find_root(512, torch.Generator().manual_seed(3), max_depth=11)


def exact(model, tap=None, batch=test, loops=12):
    """Share of forests with every root right after so many loops."""
    with torch.no_grad():
        out = model(batch.tokens, loops, tap=tap, generator=torch.Generator().manual_seed(0))
    return (out.logits.argmax(-1) == batch.targets).all(1).float().mean().item()


frozen = {
    name: torch.tensor([exact(model, freeze_from(loop)) for loop in range(1, 7)])
    for name, model in (doublers | heroes).items()
}
free = {name: exact(model) for name, model in (doublers | heroes).items()}
three_each = [torch.stack([frozen[name] for name in each]) for each in (doublers, heroes)]
three_each.append(torch.tensor(list(free.values())).mean().expand(1, 6))
low, high = (torch.stack([each.aminmax(dim=0)[n] for each in three_each], 1) for n in (0, 1))
picture = plots.lines_by_layer(
    (low + high) / 2,
    "share of forests all right",
    log=False,
    names=("doubler, 1 layer", "hero, 3 layers", "never frozen, mean of all six"),
    spread=(high - low) / 2,
)
picture.figure.axes[0].set_xlabel("frozen from this loop on (bands: 3 trainings)")
plots.mark(picture, whose("04.5"))


# %% id="freeze-numbers"
def freeze_layer(layer):
    """A tap that keeps one layer's pattern of loop 1 in all later loops, and leaves the others."""
    tap = freeze_from(1)

    def one(site, value):
        return tap(site, value) if site.layer == layer else None

    one.patterns = True
    return one


def of_another(loop):
    """A tap that keeps this loop's patterns too, but gives each forest those of its neighbour."""
    tap = freeze_from(loop)

    def swapped(site, value):
        kept = tap(site, value)
        return kept if kept is None else kept.roll(1, 0)

    swapped.patterns = True
    return swapped


print("share of forests all right after 12 loops; chains of 6 to 10 beside a star")
print("                 another forest's    frozen                            never,")
print("                 from loop 3         from loop 1     2     3     4   never   4 loops only")
for name, model in (doublers | heroes).items():
    told = " ".join(f"{share:5.2f}" for share in frozen[name][:4])
    swap = f"{exact(model, of_another(3)):.2f}"
    print(f"{name:20s} {swap:22s} {told}   {free[name]:5.2f}   {exact(model, loops=4):5.2f}")
print("one layer frozen at loop 1, the others free;            on random forests: all frozen, free")
for name, model in heroes.items():
    told = "   ".join(f"layer {n + 1} {exact(model, freeze_layer(n)):.2f}" for n in range(3))
    random = f"{exact(model, freeze_from(1), easy):.2f}   {exact(model, batch=easy):.2f}"
    print(f"{name:20s} {told}   {random:>24s}")

# %% [markdown] id="freeze-text"
# **Measured here**<!-- by freeze-numbers, freeze-measure -->, three trainings of each. (In the
# figure a band goes from the lowest of three to the highest, and its line runs in the middle of
# them. The line *never frozen* is the mean of six models after 12 loops, which reach 0.87 to 0.97.)
# First a control: with the patterns of *another* forest from loop 3 on, hardly a forest is right.
# So what is kept matters, and that something is kept is not enough.
#
# The doubler *needs* its attention to move: freeze it after one loop and most of the forests fail,
# though eleven loops remain. Its looks then go one step up and no further, and that is not the
# method it has learned. Frozen from loop 3 on it loses nothing beside the free model after 12
# loops, and at most two forests in a hundred beside the free model after 4 (last two columns).
# Freezing then even keeps answers that the free one has after four loops and loses again by loop
# 12.
#
# The hero loses less: with the patterns of its very *first* loop it still gets most forests right.
# Which of its layers wants to move? Freeze one at a time. Layer 1 costs nothing in two trainings
# and five forests in a hundred in the third; layer 2 costs two to five; layer 3 costs ten to
# sixteen. (With 512 forests a share near 0.9 has a standard error of about one in a hundred, so a
# difference of one or two may be chance.) The layers divide the work: layer 1 asks *who is my
# parent?* and hardly has to ask again (in two of three trainings), and layer 3 changes what it
# asks. Build 6 shows how.
#
# Beware of the random forests. On them the frozen hero loses only a few forests in a
# hundred, and one would write: *the hero does not care*. There, few nodes are deep and a guess is
# often right. We wrote that sentence once, and the star took it back.
#
# ## Build 6: how far up does it look?
#
# "In loop 3 it looks four steps up" was read off one chain. To say it of any forest, we need the
# weight that a node gives to its parent, its grandparent, and so on, whatever token they are.
#
# **Exercise 04.6 · how far up does it look** · hard · core · 12 minutes · *idea: a picture shows
# one case; a pointer followed by program counts them all*
#
# Give back the mean weight that a node gives to its ancestor 0, 1, ..., `most` steps up (0 steps up
# is the node itself): the mean over the heads, and over those nodes of the batch that *have* such
# an ancestor (`nan`, the mean of nothing, where no node has). A root is its own parent, and it has
# no ancestor one step up.


# %% id="looks-answer" role="answer" ex="04.6"
# exercise 04.6
def looks_up(patterns, parents, most):
    """Mean weight given to the ancestor 0, 1, ..., most steps up: [loop, layer, most + 1].

    patterns [loop, layer, batch, head, query, key]; parents [batch, token], the index of each
    node's parent, a root its own.
    """
    # --- solution
    weights = patterns.mean(3)  # [loop, layer, batch, query, key]
    node = torch.arange(parents.shape[1]).expand_as(parents)  # the ancestor, at first itself
    has = torch.ones_like(parents, dtype=torch.bool)
    looks = []
    for _ in range(most + 1):
        index = node[..., None].expand(*weights.shape[:-1], 1)
        weight = weights.gather(-1, index)[..., 0]  # [loop, layer, batch, query]
        looks.append(weight[..., has].mean(-1))
        above = parents.gather(1, node)
        has = above != node  # who stands at its root has nobody further up
        node = above
    return torch.stack(looks, dim=-1)
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="looks-check" role="check" ex="04.6"
looks_up = check("04.6", looks_up)

# %% [markdown] id="ex6-hints"
# <details><summary>Hint 1, a nudge</summary>
# Keep two tables [batch, token]: where each node's pointer stands now, and whether it has really
# moved up that often. Move the pointers one step up at a time.
# </details>
# <details><summary>Hint 2, a plan</summary>
# The pointers' next place is <code>parents.gather(1, node)</code>. A pointer that does not move
# has reached its root: this node has no ancestor further up. At each step pick the weight of the
# pointer's token from every row, and average over the nodes that still count.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>weights.gather(-1, index)</code> with <code>index = node[..., None]</code> expanded to
# <code>(*weights.shape[:-1], 1)</code>; then <code>weight[..., has].mean(-1)</code>.
# </details>
#
# [Solution](solved/04_attention_settles.ipynb)
#
# The root is the one ancestor that everybody wants in the end. We count it apart: first the
# ancestors that are no roots, then the root. (For the first we tell the function that the root's
# children are roots, so that no way leads to the root.)

# %% id="looks-figure"
chains = tasks.chain_and_star(256, torch.Generator().manual_seed(3), chain=(10, 10))
above = tasks.parents(chains.tokens)
no_root = torch.where(above.gather(1, above) == above, torch.arange(12), above)
root = (chains.targets[..., None] == chains.tokens[:, None, :, 0]).double()  # 1 at a node's root
deep = chains.difficulty >= 2  # nodes with an ancestor besides the root
jumps = [1, 2, 4, 8]
looks, differ = {}, {}
for name, model in (doublers | heroes | {mine_is: mine}).items():
    found = patterns_of(model, chains.tokens, 6)
    at_root = (found.mean(3) * root).sum(-1)[..., deep].mean(-1)  # [loop, layer]
    looks[name] = torch.cat((looks_up(found, no_root, 8)[..., jumps], at_root[..., None]), -1)
    each = [looks_up(found[:, :, :, [head]], no_root, 8)[:4, :, jumps] for head in (0, -1)]
    differ[name] = (each[0] - each[1]).abs().max().item()
low, high = torch.stack([looks[name][:, 0] for name in doublers]).aminmax(dim=0)
picture = plots.lines_by_layer(
    (low + high) / 2,
    "the doubler's weight on an ancestor",
    log=False,
    names=[*(f"{jump} up, not the root" for jump in jumps), "the root"],
    spread=(high - low) / 2,  # from the lowest of three trainings to the highest
)
plots.mark(picture, whose("04.6"))

# %% id="looks-numbers"
print("weight 1, 2, 4, 8 up on ancestors other than the root, and on the root; by chance 0.08")
print(" " * 33, "".join(f"loop {n:<17d}" for n in (1, 2, 3, 4)))
for name, table in looks.items():
    for layer in range(table.shape[1]):
        told = [" ".join(f"{w:.1f}" for w in table[loop, layer]) for loop in range(4)]
        print(f"{name:23s} layer {layer + 1}  ", "   ".join(told))
most = max(differ[name] for name in doublers | heroes)
print(f"the two heads of a layer differ by at most {most:.2f}, in doublers and heroes")

# %% [markdown] id="looks-text"
# **Measured here**<!-- by looks-numbers, looks-figure -->, over 256 chains of ten beside a star of
# two; bands reach from the lowest of three trainings to the highest, and a line runs in the middle.
# In all three the doubler gives nearly all its weight to the parent in loop 1 and to the
# grandparent in loop 2, and more than half to the ancestor four up in loop 3. Then the book is
# left. In loop 4 the ancestor eight up gets 0.2 to 0.3, more than chance: a trace of a fourth
# doubling. (Only the deepest node has such an ancestor that is not the root.) The root has the
# largest share by then, and two loops later the ancestor eight up gets next to nothing. So the law
# of doubling holds for three loops, and in the fourth a part of it.
#
# The hero spreads the distances over its layers. In three trainings layer 1 looks one up, layer 2
# one and two up, in every loop. The two heads of a layer give nearly the same weights (last line of
# all), so layer 2 looks at two distances with each of its heads. Layer 3 begins with near ancestors
# and turns towards the root; four up it gives 0.1 in every loop, about chance. We see no jump of
# four in it.
#
# And yours? It has the last row of the table. If it was trained as in chapter 02, expect a doubler,
# though no rule says so.
#
# ### An open question (no check)
#
# Find a model of your own in which attention must *never* freeze. A first step: think of a task
# whose answer needs another token in every loop, such as adding up a list one item at a time; then
# freeze the trained model at loop $k$ and see whether every $k$ costs something.

# %% [markdown] id="interpret"
# ## Interpret
#
# - Attention settles because the state does, at the same rate, layer by layer. Proof and
#   measurement agree on the direction, and differ by two orders of magnitude in size.
# - Stripes in the distance matrix come from weight sharing and from attention that settles. They
#   are there without training, and there in a stack that never rests; they are gone in the unrolled
#   twin. So they are evidence neither for reasoning nor for a fixed point.
# - What a pattern *does* is a question for an intervention. Freezing separates looks that have to
#   move from looks that were settled at the start, and it needs a test on which guessing fails.
#
# ## Key points
#
# 1. Frobenius distance between patterns; all pairs by one matrix product. Near pairs
#    cancel: shift to a pattern that is near them, use more digits, or subtract directly.
# 2. The contrast of same layer to other layers puts a number on the paper's Figure 2.
# 3. State at rest implies attention at rest. The converse is false.
# 4. A tap that replaces a value turns a picture into an experiment.

# %% [markdown] id="questions"
# ## Five questions
#
# 1. Why does $\lVert a\rVert^2 + \lVert b\rVert^2 - 2ab$ fail for a run that settles?
# <details><summary>Answer</summary>
# The distance is far smaller than the lengths, so the digits that matter are lost in the difference
# of large numbers. A shift to the last pattern helps only the pairs that are near it.
# </details>
#
# 2. A model's distance matrix has clear stripes. Has it learned something?
# <details><summary>Answer</summary>
# Nobody knows. Untrained loops have them as well, and so has a stack that never comes to rest.
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
# Not necessarily: behind a norm, a state that grows in a fixed direction keeps its patterns too.
# </details>
#
# 5. Why does the doubler lose more by freezing at loop 1 than the hero?
# <details><summary>Answer</summary>
# Its one layer has to look twice as far in each of its first loops. The hero's first layer asks
# nearly the same in every loop, its second keeps near ancestors and drifts a little to the root;
# its third turns from near ancestors to the root.
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
