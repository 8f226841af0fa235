# ---
# jupyter:
#   looplab:
#     chapter: "03"
#     title: Watch fixed points form
#     minutes: 90
#     needs: chapter 02, or PyTorch and attention
#     learn: measure whether a loop comes to rest, see its cycle, and rotate it
# ---

# %% [markdown] id="title"
# # 03 · Watch fixed points form
#
# *90 minutes · a laptop CPU · you should know PyTorch and what attention is; chapter 02 helps*
#
# A looped transformer sends its state through the same layers again and again. What happens to
# the state after the tenth pass, the thirtieth, the hundredth? It could grow, wander, go round in
# circles. In this chapter you watch it do something else: every layer settles on a point of its
# own, and the pass becomes a closed tour from point to point that is walked for ever.
#
# **You will be able to**
#
# - measure whether a loop comes to rest, how fast, and when to distrust the number;
# - see the cycle of per-layer fixed points in a plane, and say what it means;
# - prove and check that every rotation of the block has a fixed point if the block has one;
# - tell a resting loop whose layers still act from one in which no layer does;
# - write a report on any loop, and find out that yours and ours differ where no one looks.
#
# Every claim carries a label: **proved** (a few lines of algebra), **measured here** (a cell
# recomputes it), or **reported** (in a paper, with its number). The paper behind the chapter is
# Blayney et al., *A Mechanistic Analysis of Looped Reasoning Language Models*
# ([arXiv 2604.11791](https://arxiv.org/abs/2604.11791)); C1, C2, C4, C6 and C7 are its claims in
# this course's numbering.

# %% id="set-up"
from dataclasses import replace

import torch
from torch import nn

from looplab import LoopedTransformer, checkpoints, measure, plots, tasks, trace
from looplab.exercises import check, my_loop, scoreboard, todo, whose
from looplab.widgets import LoopMicroscope

# %% [markdown] id="model-intro"
# ## Two models on the bench
#
# Our **hero model** finds roots. Its input is a small forest: each token carries a node's label
# and its parent's label, and for every node the model must name the root of its tree. It has no
# prelude and no coda (layers that run once, before or after the loop). Its core is three layers,
# looped. At the start of each pass the input $x$ is **injected**: the state $z$ becomes
# $W_z z + W_x x$, before training half of each. The paper writes all that as
# $(0, 3{\otimes}l, 0)_I$: no prelude, three layers looped $l$ times, no coda, injection. In each
# layer every token first **attends**: it gives each token a weight, the weights sum to one, and it
# takes in the weighted mean of what they carry. Then it works on what it has, alone. So news
# travels from node to node through attention and in no other way. Norms, placed as in the released
# model Huginn (the state is normed whenever a layer has added to it), keep the length of the state
# in bounds. The hero was trained with 3 to 6 loops, from a *random* state each time. That took
# about a minute; the script is `data/make_checkpoints.py`.
#
# The other one is **yours**: the loop that you wrote in exercise 01.6 and trained in chapter 02,
# its last third with a **penalty**: a term of the loss that grows with the last step of a run, so
# that training asks for rest too. Its core has one layer. If there is none on this machine,
# looplab's `root-k1-penalty` stands in, and the cell says so (the name: find the root, a core of
# $k = 1$ layer, with the penalty, here in all of its training). Two more trainings of it are at
# hand.
#
# Each forest on this bench is a chain of seven nodes beside a star of five. The chain asks the
# question: its last node stands six steps from its root, one more than any node in training, and no
# token tells more than one of them. The star is a decoy. Its root is named as a parent more often
# than any other node, so guessing does not pay.
#
# We run both for 96 loops, sixteen times more than they ever saw, and record the state after every
# layer of every loop. `trace` gives one tensor, and its first two axes are the loop and the layer.

# %% id="run-models"
hero, mine = checkpoints.load("hero"), my_loop("rest")
forests = tasks.chain_and_star(16, torch.Generator().manual_seed(7), chain=(7, 7))
run = trace(
    hero,
    forests.tokens,
    loops=96,
    keep=("states", "attention"),
    generator=torch.Generator().manual_seed(0),
)
my_run = trace(mine, forests.tokens, loops=96)
penalised = ("root-k1-penalty", "root-k1-penalty-1", "root-k1-penalty-2")
resting = {name: checkpoints.load(name) for name in penalised}
mine_is = "the stand-in for yours"
if whose("01.6") == "yours":
    mine_is = "your model"
    resting = {mine_is: mine, **resting}
print(hero.config.notation, "parameters:", sum(p.numel() for p in hero.parameters()))
print("states [loop, layer, batch, token, width]:", list(run.states.shape))

# %% [markdown] id="predict"
# ## Predict
#
# Before you look: by which factor does the distance between the state and its resting place
# shrink with **each loop**? Write a number between 0 and 1. A factor of 0.99 means a slow creep,
# 0.5 halves the distance every loop, 1 means it never comes to rest. There is no mark for this;
# a wrong guess is what makes the answer stick.

# %% id="predict-cell"
my_rate = 0.9  # your guess

# %% [markdown] id="explore"
# ## Explore
#
# The loop microscope shows one run from four sides, all moved by one slider: where the state of
# the chosen node is after each layer (in the plane of its own path); how far each layer is from
# its resting place, on a logarithmic scale; what every node would answer if the model stopped now;
# and where the chosen layer looks. The resting place is called a **fixed point**: a state that a
# whole pass brings back to itself. Nobody knows it exactly, so the last loop's state stands for it.
#
# First a film strip, which also reads without a running kernel. A node takes the colour of the
# root it names (grey if that label is no root): a round one is right, a square one with a dashed
# edge wrong. A ring is round the chosen node. Then the instrument itself. Press play, or click the
# picture and use the arrow keys. *Hold* pins a loop as a ghost to compare with.

# %% id="microscope-strip"
shown = 13  # a forest on which the climb is easy to see; below are 512 others
end = int(forests.difficulty[shown].argmax())  # the last node of its chain
view = {
    "item": shown,
    "token": end,
    "targets": forests.targets,
    "parents": tasks.parents(forests.tokens),
}
microscope = LoopMicroscope(run, hero, **view)
microscope.film_strip(loops=(1, 2, 3, 6, 12), states=True)

# %% id="microscope"
microscope

# %% [markdown] id="explore-questions"
# Things to look for. At which loop does the last node's answer become right? Does its state stop
# moving at that loop, or go on? Do the three layers end on the same point?
#
# And now the same forest in your own model.

# %% id="my-strip"
my_microscope = LoopMicroscope(my_run, mine, **view)
my_microscope.film_strip(loops=(1, 2, 3, 6, 12), states=True)

# %% id="my-microscope"
my_microscope

# %% id="climb"
many = tasks.chain_and_star(512, torch.Generator().manual_seed(1), chain=(7, 7))


def last_right(model, loops):
    """Share of the chains whose last node is right, after each loop: [loop]."""
    with torch.no_grad():
        seeded = torch.Generator().manual_seed(0)
        states = model(many.tokens, loops, every_loop=True, generator=seeded).loop_states
        right = model.readout(states).argmax(-1) == many.targets
    return right[:, many.difficulty == 6].float().mean(-1)


heroes = {name: checkpoints.load(name) for name in ("hero", "hero-1", "hero-2")}
print("last node of the chain right      loop 1     2     3     6    12    24")
for name, model in (heroes | resting).items():
    share = last_right(model, 24)
    print(f"{name:32s}", *(f"{share[loop - 1]:5.2f}" for loop in (1, 2, 3, 6, 12, 24)))
shallow = last_right(checkpoints.load("hero-shallow"), 1)
print(f"{'shallow twin, trained for 1 pass':32s} {shallow[0]:5.2f}")

# %% [markdown] id="climb-text"
# **Measured here**<!-- by climb -->, three trainings of the hero. It climbs: the last node is
# seldom right after one loop and on about nine chains of ten in the end. Be sober about the
# *shallow twin*, three layers too, trained to answer after a single pass. It is right on most
# chains. Three layers can double a pointer three times, and eight steps are more than six. So the
# climb is how *this* model goes about it, over several loops, and no proof that a loop was needed.
# (For what loops buy, see chapter 02.)
#
# The one-layer models, three trainings too, are best at three to six loops, and then **lose** some
# of their last nodes again. That is overthinking, in the very models that were to be cured of it:
# rest was asked for at the end of three to six loops, and no later.

# %% [markdown] id="ex1-card"
# ## Build 1: is it still moving?
#
# The plainest question about a loop: how far does the state travel from one loop to the next,
# **at the same layer**? If $h_{t,\ell}$ is the state after layer $\ell$ of loop $t$, the step size
# is $\lVert h_{t,\ell} - h_{t-1,\ell} \rVert_2$.
#
# **Exercise 03.1 · step size** · easy · core · 4 minutes · *idea: compare loops, not layers*


# %% id="step-size-answer" role="answer" ex="03.1"
# exercise 03.1
def step_size(states):
    """Length of each step the state takes: [loop, ..., width] -> [loop - 1, ...]."""
    # --- solution
    return (states[1:] - states[:-1]).norm(dim=-1)
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="step-size-check" role="check" ex="03.1"
step_size = check("03.1", step_size)

# %% [markdown] id="ex1-hints"
# <details><summary>Hint 1, a nudge</summary>
# The loop is the first axis. Which two slices of it stand one loop apart?
# </details>
# <details><summary>Hint 2, a plan</summary>
# Subtract all loops but the last from all loops but the first, then measure along the last axis.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>later = states[1:]</code>, <code>earlier = states[:-1]</code>; the length of a vector along
# axis -1 is <code>.norm(dim=-1)</code>.
# </details>
#
# [Solution](solved/03_watch_fixed_points_form.ipynb)


# %% id="steps-figure"
def by_loop(steps, states):
    """Steps in units of the state they end in, mean over nodes: [loop - 1, layer]."""
    return (steps / states[1:].norm(dim=-1)).mean((2, 3))


steps = by_loop(step_size(run.states), run.states)
my_steps = by_loop(step_size(my_run.states), my_run.states)
names = [f"hero, layer {n}" for n in (1, 2, 3)] + [mine_is]
picture = plots.lines_by_layer(
    torch.cat((steps, my_steps[:, -1:]), dim=1),
    "step / length of the state",
    names=names,
    floor=2e-7,
    first_loop=2,
)
plots.mark(picture, whose("03.1"))

# %% [markdown] id="c4-text"
# **C4, measured here.**<!-- by steps-figure --> The hero's steps shrink at every layer, by nearly
# the same factor loop after loop, until they reach a floor, in grey. **Reported:** they shrink in
# all models of the paper (its figure 3). The fourth line is your model. If looplab's stands in, its
# line has humps: the mean step *grows* again, twice at least. A few nodes come to the place where
# they settle only then. The table at the end of Build 2 follows them.
#
# The floor is not the model's. A float32 number carries about seven digits, so a state computed
# through three layers flickers in its last digits for ever. Let us see what more digits do, and
# fewer: bfloat16, in which large models usually run, carries two to three.


# %% id="floor"
def relative_steps(model, tokens, loops, dtype):
    """Relative step of the end of each loop, mean over tokens: [loop - 1]."""
    copy = LoopedTransformer(model.config).to(dtype)
    copy.load_state_dict(model.state_dict())
    result = trace(copy, tokens, loops, keep=(), generator=torch.Generator().manual_seed(0))
    return measure.relative_step(result.loop_ends.double()).mean((1, 2))


for dtype in (torch.bfloat16, torch.float32, torch.float64):
    last = relative_steps(hero, forests.tokens, 96, dtype)[-1].item()
    print(f"{str(dtype):14s} relative step at loop 96: {last:.0e}")

# %% [markdown] id="floor-text"
# **Measured here.**<!-- by floor --> The state goes on settling in float64 where float32 had
# stopped, and bfloat16 stops long before either. So "it converged to 1e-7" is a statement about the
# arithmetic. Whenever you read that a loop converged, ask in which precision.

# %% [markdown] id="ex2-card"
# ## Build 2: how far from where it ends?
#
# Small steps alone prove little: the harmonic series takes ever smaller steps and walks to
# infinity. So we also measure the distance to a resting place. We do not know the true fixed
# point; the paper takes the state after recurrence 128 instead and calls it the *approximate fixed
# point*. Which recurrence plays that part is a choice, so it is an argument.
#
# **Exercise 03.2 · distance to the limit** · easy · core · 5 minutes · *idea: a reference far
# beyond the loops you look at*


# %% id="distance-answer" role="answer" ex="03.2"
# exercise 03.2
def distance_to_limit(states, limit):
    """Distance of every state to the state after recurrence `limit`, which counts from 1.

    [loop, ..., width] -> [loop, ...]
    """
    # --- solution
    return (states - states[limit - 1]).norm(dim=-1)
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="distance-check" role="check" ex="03.2"
distance_to_limit = check("03.2", distance_to_limit)

# %% [markdown] id="ex2-hints"
# <details><summary>Hint 1, a nudge</summary>
# Recurrence 1 is the first state. Where is it in a Python sequence?
# </details>
# <details><summary>Hint 2, a plan</summary>
# Pick one state along the first axis, subtract it from all of them, measure along the last axis.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>point = states[limit - 1]</code> has one axis fewer than <code>states</code>; subtraction
# broadcasts over the loops.
# </details>
#
# [Solution](solved/03_watch_fixed_points_form.ipynb)


# %% id="distance-figure"
limit = 96  # try 12: from which loop on is the picture about your choice, not about the model?


def relative_distance(states):
    """Distance of the median node, in units of the fixed point's length: [loop, layer]."""
    distances = distance_to_limit(states, limit) / states[limit - 1].norm(dim=-1)
    return distances.flatten(2).median(-1).values


distance, my_distance = relative_distance(run.states), relative_distance(my_run.states)
picture = plots.lines_by_layer(
    torch.cat((distance, my_distance[:, -1:]), dim=1)[:40],
    "distance / length, median node",
    names=names,
    floor=2e-7,
)
plots.mark(picture, whose("03.2"))

# %% id="rate"
print(f"your guess for the factor per loop: {my_rate:.2f}")
print("                    factor per loop    within 1 % of the end from    later than loop 24")
print("                                                                         right at loop")
print("                    median  slowest    loop (median)  (slowest)    nodes    6   96")
unfitted = 0
for name, model in (heroes | resting).items():
    seeded = torch.Generator().manual_seed(0)
    states = trace(model, forests.tokens, 96, generator=seeded).loop_ends  # [loop, batch, node, .]
    rate = measure.contraction_rate(measure.relative_step(states))  # [batch, node]
    unfitted += int(rate.isnan().sum())
    settled = measure.settling_loop(states, tolerance=0.01)
    late = settled > 24
    right = (model.readout(states).argmax(-1) == forests.targets) & late
    print(
        f"{name:18s}{rate.nanmedian():8.2f}{rate.nan_to_num().max():9.2f}"
        f"{settled.median():17d}{settled.max():11d}"
        f"{late.sum():9d}{right[5].sum():5d}{right[95].sum():5d}"
    )
print("nodes whose factor could not be fitted:", unfitted)

# %% [markdown] id="c6-text"
# **C6, measured here.**<!-- by rate, distance-figure --> The hero's lines are nearly straight on a
# log axis: each loop leaves about the same share of the distance, a third to two fifths for the
# median node, in each of three trainings. (We fit the steps, down to just above the floor: with a
# constant factor steps and distances shrink alike.) So near its end the hero *contracts*: each pass
# brings the state nearer by a factor below 1. Whether it does so from everywhere, Build 5 asks. By
# loop 5, half of the nodes are within 1 % of their end. But the slowest node is another matter: in
# `hero-1` it takes until loop 29, and the slowest factor is twice that of the median.
#
# The last columns are about the humps. They are in a few nodes, so the median node's line has none.
# For a node whose steps grow on the way, one factor is an average over ups and downs: read the
# loops instead. In each of the three trainings with the penalty a few nodes
# come near their end only after loop 24. All of them were right at loop 6, and more than half of
# them are wrong at loop 96: **they settled on a wrong answer.** A falling step says nothing about
# that.
#
# **Reported:** Huginn-0125 and the retrofitted models reach a fixed point per layer within one or
# two recurrences; Ouro 1.4B does not (figure 4). Ours takes a few loops more than those.
#
# ## Build 3: see the cycle
#
# Three layers, three resting points: within one pass the state must travel from the first to the
# second, to the third, and (through the injection) back. In 32 dimensions nobody can see that,
# so we look at it in the plane in which the path of one token spreads most: its first two
# principal components, fitted on the states of **all layers and loops together**. (A component has
# no sign: a mirrored picture is as right.)
#
# **Exercise 03.3 · the plane of the cycle** · medium · core · 8 minutes · *idea: one plane for all
# layers, or the picture lies*


# %% id="cycle-answer" role="answer" ex="03.3"
# exercise 03.3
def cycle_points(path):
    """Coordinates of one token's path in its plane of largest variance.

    [loop, layer, width] -> [loop, layer, 2]
    """
    # --- solution
    flat = path.flatten(0, 1)  # [loop * layer, width]
    mean = flat.mean(0)
    axes = torch.linalg.svd(flat - mean, full_matrices=False)[2][:2]  # [2, width]
    return (path - mean) @ axes.T
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="cycle-check" role="check" ex="03.3"
cycle_points = check("03.3", cycle_points)

# %% [markdown] id="ex3-hints"
# <details><summary>Hint 1, a nudge</summary>
# Principal components describe the spread around a mean. Which mean, and of how many points?
# </details>
# <details><summary>Hint 2, a plan</summary>
# Put loops and layers on one axis, subtract the mean, take the two leading right singular vectors,
# and project the centred path on them.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>flat = path.flatten(0, 1)</code>; the rows of
# <code>torch.linalg.svd(flat - flat.mean(0), full_matrices=False)[2]</code> are the components,
# largest first. scikit-learn's <code>PCA(2)</code> does it too.
# </details>
#
# [Solution](solved/03_watch_fixed_points_form.ipynb)

# %% id="cycle-figure"
path = run.states[:32, :, shown, end]  # [loop, layer, width]
points = cycle_points(path)
picture = plots.cycle(
    measure.cycle_pca(path)._replace(points=points), "The hero walks its cycle, loops 1 to 32"
)
plots.mark(picture, whose("03.3"))

# %% id="my-cycle"
path = my_run.states[:32, :, shown, end]
points = cycle_points(path)
picture = plots.cycle(
    measure.cycle_pca(path)._replace(points=points), f"The same node in {mine_is}, loops 1 to 32"
)
plots.mark(picture, whose("03.3"))


# %% id="cycle-numbers"
def small(value, floor=1e-6):
    """A number in one or two digits; below the floor its digits are rounding."""
    if value < floor:
        return f"under {floor:.0e}"
    return f"{value:.1f}" if value > 0.1 else f"{value:.0e}"


print("how far loops 16 to 32 stray, in units of the cycle's longest side")
print("          median node     worst node   nodes below 1 %")
for name, model in heroes.items():
    seeded = torch.Generator().manual_seed(0)
    late = trace(model, forests.tokens, 32, generator=seeded).states[15:]  # [loop, layer, ...]
    strays = (late - late.mean(0)).norm(dim=-1).amax((0, 1))  # [batch, token]
    side = (late[-1] - late[-1].roll(1, dims=0)).norm(dim=-1).amax(0)  # the longest one
    share = (strays / side).flatten()
    median, worst = small(share.median(), 1e-5), small(share.max(), 1e-5)
    print(f"{name:8s} {median:>13s}   {worst:>12s}   {(share < 0.01).sum():10d} of {share.numel()}")

# %% [markdown] id="c7-text"
# **C7, measured here.**<!-- by cycle-numbers, cycle-figure --> From loop 16 on, the tours lie on
# top of each other: for all nodes in two of three trainings, for nearly all in `hero-1`, where four
# slow ones are still on their way. The black triangle is the cycle: the state does not rest in the
# sense of standing still. It rests in the sense of coming back, layer by layer. **Reported:** the
# same for retrofitted Llama (figure 5); there recurrences 16 to 32 overlap.
#
# Your model's core has one layer. Its cycle has one corner: a point, and the picture shows the way
# to it. Had you given it two blocks, you would see the state go to and fro.
#
# ## Build 4: why every layer has a point of its own
#
# Write the core as $S = B_3 \circ B_2 \circ B_1$ (with the injection inside $B_1$), and suppose it
# has a fixed point, $S(x) = x$. **Proved** (C1, Prop. 4.1 of the paper): apply $B_1$ to both sides,
#
# $$B_1(B_3(B_2(B_1(x)))) = B_1(x).$$
#
# With $y = B_1(x)$ this reads $(B_1 \circ B_3 \circ B_2)(y) = y$: the *rotated* core
# $B_1 \circ B_3 \circ B_2$ has the fixed point $y$. Apply $B_2$ next, and so on round the circle.
# So if the core has a fixed point, every rotation of it has one: the state after each layer has a
# place of its own. And it goes there: each $B_\ell$ is continuous, so $x_t \to x$ carries
# $B_1(x_t) \to B_1(x)$ with it, and so on round.
#
# There is one way for all these points to be the same (C2): every $B_\ell$ leaves $x$ as it is. The
# paper calls that fixed point **degenerate**: no layer moves the state any more. If the points are
# distinct, the layers still act on the state at rest; whether what they do is of any use, the
# points do not say (chapter 01: a cycle is not intelligence). A core of one layer, as in your
# model, has one point only, so there the test says nothing.
#
# **Exercise 03.4 · rotate the core** · medium · stretch · 10 minutes · *idea: where a tour begins
# is a matter of taste, the order is not*
#
# You get the layers as a list of functions, and the injection as a function of the state. Python
# counts from 0, so `layers[0]` is layer 1, $B_1$. A pass that starts at `layers[first]` runs to the
# last layer, goes round, and ends in front of `layers[first]`. The injection always stands directly
# in front of `layers[0]`.


# %% id="rotate-answer" role="answer" ex="03.4"
# exercise 03.4
def rotated_pass(layers, inject, z, first):
    """One whole pass from the state `z` in front of layers[first], and round to it again."""
    # --- solution
    for n in range(len(layers)):
        layer = (first + n) % len(layers)
        if layer == 0:
            z = inject(z)
        z = layers[layer](z)
    return z
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="rotate-check" role="check" ex="03.4"
rotated_pass = check("03.4", rotated_pass)

# %% [markdown] id="ex4-hints"
# <details><summary>Hint 1, a nudge</summary>
# With three layers and <code>first = 1</code> the order is <code>layers[1]</code>,
# <code>layers[2]</code>, injection, <code>layers[0]</code>.
# </details>
# <details><summary>Hint 2, a plan</summary>
# Count through all layers with a remainder; whenever it is the turn of <code>layers[0]</code>,
# inject first.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>for n in range(len(layers)): layer = (first + n) % len(layers)</code>, and inside the loop
# <code>if layer == 0: z = inject(z)</code>.
# </details>
#
# [Solution](solved/03_watch_fixed_points_form.ipynb)


# %% id="rotate-measure"
def apart(a, b):
    """Distance of each node's states, in units of the second: [batch, token]."""
    return (a - b).norm(dim=-1) / b.norm(dim=-1)


print("pass that begins     from its point: one pass     from noise: 96 passes end within")
print("with                 moves a node by at most      1 % of the same point for")
for name, model in heroes.items():
    inject, layers = model.core_parts(model.encode(forests.tokens))
    seen = trace(model, forests.tokens, 96, generator=torch.Generator().manual_seed(0))
    for first in range(3):
        point = seen.states[-1, first - 1]  # where the hero's own run stands in front of it
        noise = torch.Generator().manual_seed(first)
        z = hero.config.start_std * torch.randn(point.shape, generator=noise)
        with torch.no_grad():
            moved = apart(rotated_pass(layers, inject, point, first), point).max()
            for _ in range(96):
                z = rotated_pass(layers, inject, z, first)
        there = apart(z, point) < 0.01
        told = f"{there.sum()} of {there.numel()} nodes"
        print(f"{name:7s} layer {first + 1}      {small(moved):24s}     {told}")

# %% [markdown] id="c1-text"
# **C1, measured here.**<!-- by rotate-measure --> The first column is the claim: one pass from the
# point in front of *any* of the three layers brings the state back to within float32 rounding. C1
# says that such a point is there, and not that a rotation finds it. So the last column is no test
# of C1; it is a first look at the question of Build 5. Started from noise, in front of its own
# first layer, each rotation ends at the point that the hero passes there: for all nodes in eight of
# nine loops, for nearly all in the ninth.
#
# ### Controls
#
# Is this what *training* does, or what the *architecture* does? Beside the hero, trained three
# times, we put
#
# - the same architecture **untrained**, with three draws of random weights, and of it some
#   variants: with the norms of an ordinary transformer (*pre-norm*); without *injection* (the input
#   is the state at loop 0 and never comes back); with both of these; and with all matrices *drawn
#   as in chapter 01*, of which those at the end of a branch come out larger, mostly five to nine
#   times;
# - a model with **one layer**, looplab's `root-k1`: pre-norm, started from zeros, untrained and
#   trained once, without the penalty;
# - the **unrolled twin**: as many layers as six loops of the hero, each with weights of its own,
#   trained on the same task (once), and untrained. It has no seventh loop to run, so all we can ask
#   is how large its sixth step is. The hero's stands beside it, trained and untrained.
#
# Two numbers for each. One is the step at the end. The other asks whether the layers rest on one
# point or on several: the cosine of the angle between layer 1's last state and another layer's, the
# smaller of the two. This **least cosine** is 1 if all layers rest on one point, and 0 if one
# stands at a right angle to the first.


# %% id="controls"
def at_rest(model, loops):
    """Mean relative step at the last loop, and least cosine between the layers' points."""
    result = trace(model, forests.tokens, loops, generator=torch.Generator().manual_seed(0))
    step = measure.relative_step(result.loop_ends)[-1].mean().item()
    return step, measure.min_layer_cosine(result.states).mean().item()


def as_drawn(config, seed):
    torch.manual_seed(seed)
    return LoopedTransformer(config).eval().requires_grad_(False)


def untrained(seed, **settings):
    return as_drawn(replace(hero.config, **settings), seed)


def drawn_as_in_01(seed, outputs=1.0, **settings):
    """Matrices from N(0, 1 / fan-in); then those at the end of a branch times `outputs`."""
    model = untrained(seed, **settings)
    for linear in (part for part in model.modules() if isinstance(part, nn.Linear)):
        nn.init.normal_(linear.weight, std=linear.in_features**-0.5)
    if model.config.injection != "none":
        model.cores[0].injection.reset()  # half state, half input
    for layer in model.cores[0].layers:
        layer.attn.out.weight.mul_(outputs)
        layer.mlp.down.weight.mul_(outputs)
    return model


no_injection = {"injection": "none", "start": "input"}
variants = {
    "untrained": {},
    "untrained, pre-norm": {"norm": "pre"},
    "untrained, no injection": no_injection,
    "untrained, pre-norm, no injection": {"norm": "pre", **no_injection},
}
measured = {"hero, three trainings": [at_rest(model, 96) for model in heroes.values()]}
for name, settings in variants.items():
    measured[name] = [at_rest(untrained(seed, **settings), 96) for seed in range(3)]
for name, outputs in {"drawn as in 01": 1.0, "the same, outputs a tenth": 0.1}.items():
    measured[name] = [at_rest(drawn_as_in_01(seed, outputs), 96) for seed in range(3)]
one_layer, twin = checkpoints.load("root-k1"), checkpoints.load("hero-unrolled")
measured["one layer, untrained"] = [at_rest(as_drawn(one_layer.config, n), 96) for n in range(3)]
measured["one layer, trained once"] = [at_rest(one_layer, 96)]
measured["hero, 6 loops"] = [at_rest(model, 6) for model in heroes.values()]
measured["untrained, 6 loops"] = [at_rest(untrained(seed), 6) for seed in range(3)]
measured["unrolled twin, trained once"] = [at_rest(twin, 6)]
measured["unrolled twin, untrained"] = [at_rest(as_drawn(twin.config, n), 6) for n in range(3)]

print(f"{'':33s}  loops   relative step at the end   least cosine of layers")
for name, rows in measured.items():
    step, cosine = torch.tensor(rows).T
    loops = 6 if "twin" in name or "6 loops" in name else 96
    steps = " to ".join(dict.fromkeys(small(each) for each in (step.min(), step.max())))
    print(f"{name:33s} {loops:6d}   {steps:24s}   {cosine.min():.2f} to {cosine.max():.2f}")
print("mean length of the state after 48 and 96 loops, three draws:")
for name in (name for name in variants if "no injection" in name):
    runs = [trace(untrained(n, **variants[name]), forests.tokens, 96).loop_ends for n in range(3)]
    lengths = torch.stack(runs, dim=1)[[47, 95]].norm(dim=-1).mean((2, 3)).T
    print(f"{name:33s}  ", "; ".join(f"{early:.1f} and {late:.1f}" for early, late in lengths))

# %% [markdown] id="controls-result"
# **Measured here.**<!-- by controls --> Read the table row by row.
#
# *Untrained, with injection*, comes to rest as well, with either kind of norm, and so does the
# untrained model with *one layer*. So rest is not an achievement of training: as looplab draws
# them, all of these rest. Nor is it safe from training. The hero kept it; the one-layer model,
# trained once without the penalty, still takes a mean step of 0.002 after 96 loops. (One layer has
# one point, and its cosine is 1 by definition.) What training changed in the hero is the last
# column: looplab's draw begins with the three layers on nearly the same point, and training takes
# them far apart.
#
# But a wide tour is no mark of training either. Chapter 01 met untrained stacks with one as wide as
# the hero's; they are here again, *drawn as in 01*. There is no contradiction. looplab draws the
# matrices at the end of a branch small before it trains a model, and chapter 01 did not. Make them
# a tenth as large, and the layers rest on nearly one point again: the less a branch puts out, the
# less a layer moves the state. (Chapter 01 has a slider over that scale.)
#
# *Without injection* the steps are far from the floor after the same 96 loops. Their cosine is 1,
# and yet this is no degenerate fixed point, for they are not at rest. With pre-norm the state is
# twice as long after 96 loops as after 48: it grows by the same amount in each pass, so its step is
# about 1/96 of it. A cosine sees direction only, so read it where the step is small. (Build 5 has
# stacks without injection that do come to rest.)
#
# The *unrolled twin* takes larger steps in its sixth and last block than the looped model in its
# sixth loop. The two untrained ones differ in nothing but the shared weights: 0.2 against less than
# 0.01. The trained ones, 0.9 against about 0.01, differ in one thing more: the twin was trained
# with six blocks always, the hero with 3 to 6 loops. Equal compute, no shared weights: nothing asks
# the twin to settle.
#
# ## Build 5: does it matter where the loop begins?
#
# The hero starts from noise. If one input has one fixed point, and every run comes to rest, all
# runs must end in it. This is called *path independence* (Anil et al. 2022,
# [arXiv 2211.09961](https://arxiv.org/abs/2211.09961)): the answer depends on the question, not on
# the way. In the unit of the exercise 2 means two opposite ends, and 1.4 a right angle.
#
# **Exercise 03.5 · many starts** · medium · core · 6 minutes · *idea: compare every pair, with a
# unit*


# %% id="spread-answer" role="answer" ex="03.5"
# exercise 03.5
def spread(ends):
    """Largest distance between two runs' ends, in units of the mean length of the ends.

    [start, ..., width] -> [...]
    """
    # --- solution
    distance = (ends[:, None] - ends[None]).norm(dim=-1)  # [start, start, ...]
    return distance.amax((0, 1)) / ends.norm(dim=-1).mean(0)
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="spread-check" role="check" ex="03.5"
spread = check("03.5", spread)

# %% [markdown] id="ex5-hints"
# <details><summary>Hint 1, a nudge</summary>
# Ten ends have forty-five pairs. Broadcasting can subtract all of them at once.
# </details>
# <details><summary>Hint 2, a plan</summary>
# Give the ends a second start axis, subtract, measure along the last axis, take the largest over
# both start axes, and divide by the mean length.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>ends[:, None] - ends[None]</code> has shape [start, start, ..., width].
# </details>
#
# [Solution](solved/03_watch_fixed_points_form.ipynb)


# %% id="spread-measure"
def from_starts(model, std, loops=64, starts=10, tokens=forests.tokens):
    """Ends [start, batch, token, width] of runs from normal starts; the size of one step more."""
    tokens = tokens.repeat(starts, 1, 1)
    seeded = torch.Generator().manual_seed(5)
    start = std * torch.randn(model.encode(tokens).shape, generator=seeded)
    with torch.no_grad():
        ends = model(tokens, loops, state=start).state
        more = apart(model.step(ends, model.encode(tokens)), ends)
    return ends.unflatten(0, (starts, -1)), more.unflatten(0, (starts, -1))


std = hero.config.start_std  # of the starts in the hero's training
runs = {name: (model, std, 64) for name, model in heroes.items()}
runs |= {f"{name}, 16 times as large": (model, 16 * std, 64) for name, model in heroes.items()}
runs |= {f"untrained, seed {seed}": (untrained(seed), std, 64) for seed in range(3)}
for seed in range(3):
    stack = drawn_as_in_01(seed, **no_injection)
    runs[f"no injection, as in 01, seed {seed}"] = (stack, std, 256)
print("ten starts for each forest            all at    ends more than 1 % apart     largest")
print("                               loops   rest    nodes (of 192)   forests      spread")
parted = {}
for name, (model, each, loops) in runs.items():
    ends, more = from_starts(model, each, loops)
    wide = spread(ends)  # [forest, node]
    far = wide > 0.01
    rests = "yes" if more.max() < 1e-4 else "no"
    print(
        f"{name:31s}{loops:5d}   {rests:4s} {far.sum():13d} {far.any(1).sum():9d}"
        f"        {small(wide.max(), 1e-5)}"
    )
    if each > std and far.any():
        parted[name.split(",")[0]] = wide.amax(1).argmax()
unseen = 100 * (1 - 0.05 ** (1 / 10))  # as rare as this, ten starts miss it once in twenty
print(f"ten starts that agree do not exclude an end that {unseen:.0f} % of starts come to")
for name, forest in parted.items():
    ends, _ = from_starts(heroes[name], std, 64, 400, forests.tokens[forest : forest + 1])
    other = (apart(ends, ends.median(0).values) > 0.01).flatten(1).any(1).sum()
    print(f"{name}, that forest, 400 starts as in training: {other} end in another place")

# %% [markdown] id="spread-text"
# **Measured here.**<!-- by spread-measure --> All runs of the hero come to rest. From ten starts as
# in training they end in the same place for every node, in three trainings. From much wilder starts
# one of the three still does. In the other two there is a forest with a second resting place. Is it
# out of reach of the starts of training? No: take 400 of those, and in both trainings some end
# elsewhere, 32 and 4 of them. So ten starts that agree say little about one forest: an end that 26
# % of the starts come to is missed by all ten once in twenty times. (For $n$ starts that bound is
# about $3/n$, the *rule of three*.)
#
# From ten starts as in training the untrained loops with injection have one end as well, so that
# much needs no training. And without injection? Drawn as in chapter 01, two of three stacks come to
# rest, in one place from all ten starts. The third is still moving after 256 loops. So injection is
# not what brings rest, nor the one end. What it buys is an end that depends on the question:
# without it the start is all that a stack gets to see of the question, and a loop that forgets its
# start forgets that (chapter 01 measures it).
#
# ## Build 6: a report on any loop
#
# You now have all the questions that one asks of a loop. Put them into one function, which knows
# nothing of transformers: it gets a map, some starts, and a number of loops. We shall give it your
# model, ours, and the cosine key of a pocket calculator set to radians.
#
# **Exercise 03.6 · a report on any loop** · hard · core · 15 minutes · *idea: rest, since when, how
# fast, and where to: four questions, and no answer implies the next*
#
# A *relative step* is the length of a step divided by the length of the state in which it ends.
#
# - `rests`: is the **last** relative step of **every** state below a ten-thousandth?
# - `loop`: the first loop, counted from 1, from which on **every** state stays within 1 % of its
#   own end (the distance to it divided by its length). 0 if `rests` is false.
# - `factor`: the factor per loop by which steps shrink. Average the relative steps of all states,
#   one mean for each loop but the first, and give these to `measure.contraction_rate`.
# - `spread`: your `spread` of the ends, the largest that it finds anywhere.


# %% id="report-answer" role="answer" ex="03.6"
# exercise 03.6
def report(step, starts, loops):
    """What becomes of z = step(z): a dict of rests (bool), loop (int), factor and spread (floats).

    step maps [start, ..., width] to the same shape; starts is the state at loop 0, of that shape.
    """
    # --- solution
    states = [starts]
    for _ in range(loops):
        states.append(step(states[-1]))
    states = torch.stack(states[1:])  # [loop, start, ..., width]
    size, ends = states.norm(dim=-1), states[-1]
    steps = (states[1:] - states[:-1]).norm(dim=-1) / size[1:]  # [loop - 1, start, ...]
    rests = bool(steps[-1].max() < 1e-4)
    away = (states - ends).norm(dim=-1) > 0.01 * size[-1]
    away = away.flatten(1).any(1).nonzero()  # loops after which some state is away, from 0
    loop = int(away.max()) + 2 if len(away) else 1
    apart = (ends[:, None] - ends[None]).norm(dim=-1).amax((0, 1)) / size[-1].mean(0)
    return {
        "rests": rests,
        "loop": loop if rests else 0,
        "factor": measure.contraction_rate(steps.flatten(1).mean(1)).item(),
        "spread": apart.max().item(),
    }
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="report-check" role="check" ex="03.6"
report = check("03.6", report)

# %% [markdown] id="ex6-hints"
# <details><summary>Hint 1, a nudge</summary>
# Run the loop first and keep all states in one tensor, [loop, start, ..., width]. All four answers
# are read from it. Is the start itself a loop?
# </details>
# <details><summary>Hint 2, a plan</summary>
# Steps divided by the state's length: the largest of the last ones decides <code>rests</code>, the
# means give <code>factor</code>. For <code>loop</code> find the <em>last</em> loop at which any
# state is farther than 1 % from its end: the next one is it. <code>spread</code> is 03.5 on the
# last states.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>away = (distance &gt; 0.01 * length).flatten(1).any(1)</code> is one truth per loop;
# <code>away.nonzero()</code> lists the loops, from 0, at which it holds. It may be empty.
# </details>
#
# [Solution](solved/03_watch_fixed_points_form.ipynb)


# %% id="report-measure"
def tell(name, step, starts):
    """Print the report of 128 loops in one line."""
    with torch.no_grad():
        line = report(step, starts, 128)
    since = f"from loop {line['loop']}" if line["rests"] else "no"
    print(f"{name:25s} {since:>15s} {line['factor']:16.2f}       {small(line['spread'])}")


plain = f"{mine_is}, plain" if mine_is == "your model" else "root-k1, no penalty"
models = heroes | resting | {plain: my_loop("plain")}
print("                            at rest and within")
print("                            1 % of the end         factor       spread of the ends")
typed = torch.linspace(-3, 3, 10)[:, None]  # ten numbers, each a state of width 1
tell("cosine key, ten numbers", torch.cos, typed)
for name, model in models.items():
    x = model.encode(forests.tokens[shown].expand(10, -1, -1))  # [start, token, width]
    starts = std * torch.randn(x.shape, generator=torch.Generator().manual_seed(5))
    tell(name, lambda z, model=model, x=x: model.step(z, x), starts)
for _ in range(128):
    typed = torch.cos(typed)
print(f"all ten numbers end at {typed.min():.3f} to {typed.max():.3f}")

# %% id="report-answers"
sizes = (0.0, 0.1, 1.0, 100.0)  # of the starts, in units of the hero's in training
print("ten starts for each forest,          right, from starts of size    one end: nodes of 192")
print("128 loops                            0    0.1      1    100        0.1    1  100")
for name, model in (heroes | resting).items():
    right, one = [], []
    for size in sizes:
        ends, more = from_starts(model, size * std, loops=128)
        right.append((model.readout(ends).argmax(-1) == forests.targets).float().mean())
        one.append((spread(ends) < 0.01).sum())
        if size == 1:
            moving = (more >= 1e-4).sum()
    shares = " ".join(f"{share:6.2f}" for share in right)
    nodes = " ".join(f"{count:4d}" for count in one[1:])
    still = f"  {moving} of {more.numel()} runs of size 1 still move" if moving else ""
    print(f"{name:30s} {shares}       {nodes}{still}")

# %% [markdown] id="report-text"
# **Measured here.**<!-- by report-measure, report-answers --> Begin with the calculator, in
# radians. Type any number and press the cosine key again and again: from the twelfth press on you
# are within 1 % of 0.739, whatever you typed, and the distance shrinks by the factor 0.67 with each
# press. That is Builds 1, 2 and 5 in one key. (The factor is the size of the cosine's slope at that
# point. Chapter 05 finds the slopes of a transformer.)
#
# Now the models, first on one forest. The hero rests, and in one place. The plain one-layer model,
# trained without the penalty (one training), is still moving after 128 loops. Then look at those
# that were trained to rest. Yours should be of their kind. They rest, and their factor is below 1.
# But their spread is not small. **Where they arrive depends on where they began.** All models have
# got the starts of the hero's training here, and the one-layer models were trained from zeros.
#
# So the second table asks it of all forests, and of starts of four sizes. But for a handful, all
# runs from starts of the hero's size have come to rest. From zeros, as in training, nearly all
# answers of the one-layer models are right; from starts a tenth as large as the hero's too, and all
# nodes but two at most have one end. From the hero's starts about a quarter is wrong, in three
# trainings, and from starts a hundred times as large four in ten. The hero's answers are nearly all
# right from all of them. The penalty asked for rest, and they learned rest. Nobody asked for one
# end.
#
# ### Two open questions (no check)
#
# 1. Why has the hero nearly always one end where the one-layer models have several? It was trained
#    from random starts, they always from zeros. But it has other norms and more layers too. In
#    chapter 02 you
#    can train your own model from random starts: change one thing, and run this report again.
# 2. After a dozen loops hardly an answer of the hero changes any more, but its state goes on
#    settling. Are those loops wasted? For instance, stop at the loop where the answer is right,
#    nudge the state a little, and see which loop count recovers better.
#
# There is no reference answer; if yours surprises you, repeat it with another seed.

# %% [markdown] id="interpret"
# ## Interpret
#
# - "Fixed point" in a looped transformer means a **cycle of points**, one per layer. A pass
#   re-enacts the same tour, so it can re-enact the same *function* on every visit.
# - Rest needed no training here: the untrained models with injection have it, as looplab draws
#   them. Training may keep it, as in the hero, or lose it, as in `root-k1`. What it added to the
#   hero, compared with looplab's
#   small draw, is the **tour**: layers that do different things stand on different
#   points. (Training is not the only way to get one: chapters 01 and 05 draw tours at random.)
# - A run at rest is not a run that is right, and not one whose end depends on the question alone.
#   All three must be measured. Chapter 06 shows a model that settles on wrong answers.
# - All of this is one small model on one task. The paper reports it for models up to billions of
#   parameters; chapter 10 points the same functions at their checkpoints.
#
# ## Key points
#
# 1. Compare the same layer across loops; the axis order `[loop, layer, ...]` keeps you honest.
# 2. A step size needs a noise floor, a distance needs a reference far beyond the loops you plot.
# 3. If the block has a fixed point, every rotation of it has one (proved).
# 4. Distinct points: the layers still act on the state at rest, to good use or none. Coinciding
#    points: no layer moves it any more. One layer has one point, and the test says nothing.
# 5. One end from all starts: the answer depends on the question alone. Rest does not imply it.

# %% [markdown] id="questions"
# ## Five questions
#
# 1. The steps of a run fall like $1/t$. Has it converged?
# <details><summary>Answer</summary>
# You cannot tell from the steps: their sum has no bound, so the state may walk anywhere. Take a
# reference far beyond, and see whether it stays where it is when you take one farther still.
# </details>
#
# 2. You plot the distance to the state of loop 8 and it is exactly 0 at loop 8. What follows?
# <details><summary>Answer</summary>
# Nothing: the reference is at distance 0 from itself. Take a reference far beyond the loops shown.
# </details>
#
# 3. A core of four layers has a fixed point. How many fixed points do its rotations have?
# <details><summary>Answer</summary>
# At least one each: this fixed point gives each rotation one (there may be others, see Build 5).
# Two neighbours coincide only if the layer between them leaves the state alone.
# </details>
#
# 4. All layers of a run rest on the same point. Good news?
# <details><summary>Answer</summary>
# If the core has several layers, it is degenerate: no layer changes the state any more, and further
# loops do nothing. It may have done its work on the way there.
# </details>
#
# 5. In bfloat16 a run's relative steps stay at 0.004. Orbit or fixed point?
# <details><summary>Answer</summary>
# You cannot tell: 0.004 is about the rounding of bfloat16. Repeat it in float32.
# </details>

# %% [markdown] id="scoreboard-text"
# ## Scoreboard
#
# Whose code drew the figures above?

# %% id="scoreboard"
scoreboard("03")

# %% [markdown] id="read-on"
# ## Read on
#
# - Back: [02 Train a tiny loop](02_train_a_tiny_loop.ipynb), where the staircase comes from.
# - Blayney et al., [arXiv 2604.11791](https://arxiv.org/abs/2604.11791), sections 3 and 4: the same
#   figures for Huginn-0125, Ouro and retrofitted Llama.
# - Anil et al., [arXiv 2211.09961](https://arxiv.org/abs/2211.09961): path independence and upward
#   generalisation.
