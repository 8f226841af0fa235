# ---
# jupyter:
#   looplab:
#     chapter: "11"
#     title: Surgery on passes
#     minutes: 90
#     needs: chapters 03 and 04; 05b and 06 help
#     learn: change a run inside a loop, and tell what a pass carries from what it only shows
#     language_model: true
# ---

# %% [markdown] id="title"
# # 11 · Surgery on passes
#
# *90 minutes · a laptop CPU · you should know chapters 03 and 04; 05b and 06 help*
#
# So far you watched. A state comes to rest, a head looks at a parent, a lens says a word. But what
# is seen in a loop need not be what the loop *uses*. To find out you have to operate: take a value
# out of one run, put it into another, and see what the patient says when it wakes up. A loop makes
# that stranger than it is elsewhere, since whatever you cut is operated on again by the next pass.
#
# **You will be able to**
#
# - patch one run into another, with the two comparisons without which a patch says nothing;
# - say which passes carry an answer, and whether what you write outlives the next injection;
# - measure how far a patch spreads in a loop, and how long it lasts;
# - tell a lens that reads what the model uses from one that reads what is merely there;
# - see through a repair that lasts for one loop;
# - put "each pass does the same again" to a test that it can fail;
# - ask a question of your own so that the answer can surprise you.
#
# Labels are **proved**, **measured here** (a cell recomputes it) and **reported** (in a paper), as
# before. Patching is the course's; that loops re-enact stages is a claim of Blayney et al.,
# [arXiv 2604.11791](https://arxiv.org/abs/2604.11791).

# %% id="set-up"
import torch

from looplab import checkpoints, measure, plots, tasks, trace, train, zoo
from looplab.exercises import check, scoreboard, todo, whose
from looplab.experiments.layerwise import Answers
from looplab.interventions import (
    Patch,
    answer_gap,
    hold,
    keep,
    patch,
    patch_map,
    run_patches,
)
from looplab.measure.stability import leading_multipliers, loop_map
from looplab.widgets import FrameStepper, PatchStepper
from looplab.zoo import english

# %% [markdown] id="model-intro"
# ## Patients, and a question with a switch
#
# Two kinds of model find roots (chapter 03), three trainings of each. The **hero** has three
# layers, norms as in Huginn, and was trained from random starts. The **one-layer** model is
# `root-k1-penalty`: a core of one layer, trained from zeros, with a penalty that asks for rest.
# Both come to rest, and both answer nearly all of the questions below.
#
# For surgery we need two questions that differ in little. Question **A** has two chains of six
# nodes. Question **B** is the same, but somebody has thrown a switch: the second node of each chain
# hangs on the *other* root. Two tokens have another parent; that is all. But ten of twelve nodes
# have another right answer. Beside them stands **C**, two chains that have to do with neither.
#
# (The models do not see in which order tokens come. So we sort them, which makes tables easier to
# read: tokens 0 to 5 are one chain from its root down, tokens 6 to 11 the other.)


# %% id="bench"
torch.set_grad_enabled(False)  # nothing is trained in this chapter
LOOPS, MANY = 12, 256


def questions(seed, batch=MANY):
    """Two chains each, sorted: tokens [batch, 12, 2] and right answers [batch, 12]."""
    drawn = tasks.two_chains(batch, torch.Generator().manual_seed(seed))
    order = (drawn.targets * 12 + drawn.difficulty).argsort(1)
    return drawn.tokens[torch.arange(batch)[:, None], order], drawn.targets.gather(1, order)


def switched(tokens, targets):
    """The same with the switch thrown: nodes 1 and 7 exchange their parents."""
    tokens, targets = tokens.clone(), targets.clone()
    tokens[:, [1, 7], 1] = tokens[:, [7, 1], 1]
    targets[:, 1:6], targets[:, 7:] = targets[:, 7:].clone(), targets[:, 1:6].clone()
    return tokens, targets


A, right_a = questions(0)
B, right_b = switched(A, right_a)
C, _ = questions(99)
kinds = {
    "hero": ["hero", "hero-1", "hero-2"],
    "one-layer": ["root-k1-penalty", "root-k1-penalty-1", "root-k1-penalty-2"],
}
models = {name: checkpoints.load(name) for names in kinds.values() for name in names}


def begin(model, tokens=A):
    """The state at loop 0: noise where the model begins with noise, always the same."""
    return model.prepare(tokens, generator=torch.Generator().manual_seed(0)).start


def said(logits):
    return logits.argmax(-1)


print("nodes answered right after 12 loops, in A and in B")
for name, model in models.items():
    shares = [
        (said(model(tokens, LOOPS, state=begin(model)).logits) == right).float().mean()
        for tokens, right in ((A, right_a), (B, right_b))
    ]
    print(f"{name:18s} {shares[0]:.2f}  {shares[1]:.2f}")

# %% [markdown] id="predict"
# ## Predict
#
# The model works on B. After loop 6 of 12 you take its whole state away, all twelve nodes, and put
# the state in its place that a run on A had after loop 6: a finished state, all its answers right,
# for A. Six more loops follow, with B's question injected in each. Which share of the nodes will
# give A's answer in the end? Once for the hero, once for the one-layer model.

# %% id="predict-cell"
my_hero = 0.5  # your guess: share of A's answers at the end, hero
my_one_layer = 0.5  # your guess: the same, one-layer model

# %% [markdown] id="explore"
# ## Explore: a map to click on
#
# That operation, at every pair of loops: the whole state that A had after one loop, in the place
# of B's after another, in a run of ten loops. The shade of a cell is the share of the difference
# that the patch makes, here: of the nodes that answer A and B differently, how many say A's root in
# the end. Beside the map stands B's forest with all answers. A square is wrong for B.
#
# First two film strips: A's last state, put into B's last loop but one and its last in the hero,
# and into its first and last in the one-layer model.


# %% id="hero-strip"
def stepper(name, item=1, loops=10):
    """The whole state of A, from every loop into every loop of B, for one pair of questions."""
    model, a, b = models[name], A[item : item + 1], B[item : item + 1]
    state = begin(model, a)
    source, plain = keep(model, a, loops, state=state), model(b, loops, state=state).logits
    pairs = [Patch(to, start) for start in range(1, loops + 1) for to in range(1, loops + 1)]
    answers = said(run_patches(model, source, b, pairs, loops, state=state, bar=False)[:, 0])
    answers = answers.unflatten(0, (loops, loops))  # [from_loop, to_loop, token]
    aim = said(source.logits[0])
    return PatchStepper(
        (answers == aim)[..., aim != said(plain[0])].float().mean(-1),
        answers=answers,
        parents=tasks.parents(b)[0],
        labels=b[0, :, 0],
        targets=right_b[item],
        title=f"{name}: A patched into B",
    )


hero_map = stepper("hero")
hero_map.film_strip([(10, 9), (10, 10)])

# %% id="hero-map"
hero_map

# %% id="one-layer-strip"
one_layer_map = stepper("root-k1-penalty")
one_layer_map.film_strip([(10, 1), (10, 10)])

# %% id="one-layer-map"
one_layer_map

# %% [markdown] id="explore-questions"
# Click on cells, or use the arrow keys; *Hold* keeps a cell to compare with. Go up and down a
# column of the hero: does it matter from *which* loop of A the state is? Go along a row: when does
# it begin to matter, and which nodes come first? And then the same for the one-layer model. What is
# the strangest cell of its map?
# <details><summary>Answer</summary>
# In the hero only the column counts: what is put in early is gone at the end, whatever it was, and
# what is put in late is still there, the deepest nodes longest. In the one-layer model hardly
# anything counts: nearly any state of A, put in nearly anywhere, stays. Strange are the cells at
# the left edge: a finished state put in after loop 1, with nine loops of B's question to come.
# </details>

# %% [markdown] id="ex1-card"
# ## Build 1: the scalpel
#
# A *tap* sees every value of a run by its site, and what it returns takes the value's place
# (chapter 07). `site.name` is `"core.loop_end"` for the state that a loop ends in, [batch, token,
# width], and `site.loop` is the number of the loop, from 0. In words and arguments loops count from
# 1.
#
# **Exercise 11.1 · put a state** · easy · core · 6 minutes · *idea: one site, one token, nothing
# else*


# %% id="put-answer" role="answer" ex="11.1"
# exercise 11.1
def put(source, loop, token):
    """A tap that puts `token` of source [batch, token, width] in its place after `loop` (from 1).

    All other tokens, loops and sites stay as they are.
    """

    # --- solution
    def tap(site, value):
        if site.name == "core.loop_end" and site.loop == loop - 1:
            value = value.clone()
            value[:, token] = source[:, token]
            return value

    return tap
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="put-check" role="check" ex="11.1"
put = check("11.1", put)

# %% [markdown] id="ex1-hints"
# <details><summary>Hint 1, a nudge</summary>
# Write a function <code>tap(site, value)</code> inside, and return it. What it returns is used;
# where it returns nothing, the value stays.
# </details>
# <details><summary>Hint 2, a plan</summary>
# Is this the site? Then clone the value, write the source's token into the copy, return the copy.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>if site.name == "core.loop_end" and site.loop == loop - 1:</code> and then
# <code>value[:, token] = source[:, token]</code> on a clone.
# </details>
#
# [Solution](solved/11_surgery_on_passes.ipynb)


# %% id="one-node"
def states(model, tokens, loops=LOOPS):
    """States at the loops' ends [loop, batch, token, width]."""
    return model(tokens, loops, state=begin(model), every_loop=True).loop_states


NODE = 3  # of the first chain: two nodes stand above it and below the root, two below it
WHEN = (1, 3, 6, 9, 10, 11, 12)
print(f"node {NODE} gets A's state after one loop of B; share of A's answers after loop {LOOPS}")
print("                        of that node, by loop                 of the two nodes below it")
print("                  " + "".join(f"{loop:6d}" for loop in WHEN) + "      8    10    11")
for name, model in models.items():
    own, below = {}, {}
    source = states(model, A)
    for loop in {*WHEN, 8}:
        tap = put(source[loop - 1], loop, NODE)
        same = said(model(B, LOOPS, state=begin(model), tap=tap).logits) == right_a
        own[loop], below[loop] = same[:, NODE].float().mean(), same[:, 4:6].float().mean()
    told = "".join(f"{own[loop]:6.2f}" for loop in WHEN)
    print(f"{name:18s}{told}   ", *(f"{below[loop]:5.2f}" for loop in (8, 10, 11)))
moved = []
for model in models.values():
    plain = model(B, LOOPS, state=begin(model)).logits
    tap = put(states(model, B)[5], 6, NODE)
    moved.append((model(B, LOOPS, state=begin(model), tap=tap).logits - plain).abs().max())
print(f"null: B's own state put into B moves no logit by more than {max(moved):.0e}")

# %% [markdown] id="one-node-text"
# **Measured here**<!-- by one-node -->, three trainings of each. In the **hero** a node whose state
# is A's after loop 12, the last, says what A's says: of course, nothing comes after. Put in one
# loop earlier, 0.07 of the nodes still do. One pass reads the question anew and throws your write
# away. What little is left has gone *down*: the nodes below were looking at the patched one, and
# 0.12 to 0.20 of them repeat the lie, more often than the liar itself.
#
# In the **one-layer** model the same write after loop 3 of 12 is still there at the end, in 0.77 of
# cases or more. It has nine loops of B's question against it, and it wins.
#
# The last line is the **null**: a run patched into itself, which must change nothing, to the last
# digit. Always run it. It catches a loop off by one, another start, a tap that returns the wrong
# thing.

# %% [markdown] id="ex2-card"
# ## Build 2: how much of the difference?
#
# Counting flipped answers is coarse. Finer is a *score*, say the logit of A's answer less that of
# B's at one node. Let $s_B$ be the score of the plain run on B, $s_A$ of the run on A, and $s$ that
# of B under a patch. The **share of the difference** that the patch makes is
# $(s - s_B) / (s_A - s_B)$: 0 for nothing, 1 for all. Where the two runs have nearly the same score
# there is nothing to share, and the quotient is noise. Leave such pairs out.
#
# **Exercise 11.2 · share of the difference** · medium · core · 7 minutes · *idea: a share needs a
# whole*


# %% id="share-answer" role="answer" ex="11.2"
# exercise 11.2
def share_made(patched, plain, aim, least=1.0):
    """Mean share of the difference that patches make: [..., batch] -> [...].

    patched [..., batch] are scores under patches, plain [batch] of the run that is patched, aim
    [batch] of the run that the values come from. Pairs whose aim and plain differ by less than
    `least` do not count.
    """
    # --- solution
    whole = aim - plain
    counts = whole.abs() >= least
    return ((patched - plain) / whole)[..., counts].mean(-1)
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="share-check" role="check" ex="11.2"
share_made = check("11.2", share_made)

# %% [markdown] id="ex2-hints"
# <details><summary>Hint 1, a nudge</summary>
# The batch is the last axis of all three. A table of bool says which pairs count.
# </details>
# <details><summary>Hint 2, a plan</summary>
# The whole difference; which pairs have enough of it (in either direction); the shares of these;
# their mean over the batch.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>counts = (aim - plain).abs() &gt;= least</code>, and <code>shares[..., counts]</code> keeps
# these along the last axis.
# </details>
#
# [Solution](solved/11_surgery_on_passes.ipynb)


# %% id="maps"
def maps(name, items=32, loops=8):
    """Loop by token, and the control: shares of the difference at the end of the first chain."""
    model, a, b, c = models[name], A[:items], B[:items], C[:items]
    state = begin(model, a)
    source, other = (keep(model, tokens, loops, state=state) for tokens in (a, c))
    score = answer_gap(5, right_a[:items, 5], right_b[:items, 5])
    found = patch_map(model, source, b, score, loops=loops, state=state, control=other, bar=False)
    return [share_made(each, found.base, found.aim) for each in (found.values, found.control)]


pictures = {}
for kind, (name, *_) in kinds.items():
    made, control = maps(name)
    pictures[kind] = {f"{kind}: A's state": made[:, :7], "control: C's": control[:, :7]}
plots.mark(plots.patch_maps(pictures["hero"]), whose("11.2"))

# %% id="maps-one-layer"
plots.mark(plots.patch_maps(pictures["one-layer"]), whose("11.2"))

# %% [markdown] id="maps-text"
# **Measured here**<!-- by maps, maps-one-layer -->, one training each, 32 pairs, the answer of node
# 5, the last of the first chain, in a run of 8 loops. A row is the loop after which one node's
# state was replaced, a column the node. So: which pass carries the answer to node 5, and where?
#
# The hero: hardly any does, before the last three. Everything that the answer needs is brought in
# again by the injection. The one-layer model: the answer travels. After loop 3 it can be stolen at
# node 5 itself; before, on its way, and the way has gaps. Compare loop 1 with loop 2 in its map: at
# which nodes can you still change what node 5 will say? (Build 3 will say why there are gaps.)
#
# Now the **control**, a state of C, a question that has to do with neither. It cannot tell A's
# answer. And yet in the one-layer model it makes up to 87 % of the difference, at node 6, where A's
# own state makes none! Node 6 is the root that B's answer names. Wreck it, and B's answer is gone:
# the score falls for want of B, and not for A. That is what a control is for. A share says *how
# far* the score moved, never *why*.
#
# ## Who asked last?
#
# Now the whole state, as in your prediction. There is another way to say it: the state of A after
# loop $k$, put into B, is a run that is asked A for $k$ loops, and B from then on. So the question
# of this section is also: which passes *read the question*?


# %% id="asked"
def asked_in_turn(model, first, second, turn, loops):
    """Answers [batch, token] when `first` is asked for `turn` loops, and then `second`."""
    z = begin(model)
    ready = [model.prepare(tokens, state=z) for tokens in (first, second)]
    for loop in range(loops):
        z = model.step(z, ready[loop >= turn], loop=loop)
    return said(model.answer(z, ready[1]))


differ = right_a != right_b
turns, curves = range(LOOPS + 1), {}
print("share of A's answers where A and B differ, by the number of loops that were asked A")
print("loops in all                12                                        24")
print("asked A                " + "".join(f"{k:6d}" for k in (1, 2, 6, 10, 11)), end="   ")
print("".join(f"{k:6d}" for k in (1, 2, 6, 12, 22, 23)) + "      C, 6 of 12")
for kind, names in kinds.items():
    curves[kind] = {}
    for name in names:
        model = models[name]
        share = {
            (k, n): (asked_in_turn(model, A, B, k, n) == right_a)[differ].float().mean()
            for n, some in ((12, turns), (24, (1, 2, 6, 12, 22, 23)))
            for k in some
        }
        other = (asked_in_turn(model, C, B, 6, 12) == right_a)[differ].float().mean()
        told = ["".join(f"{share[k, 12]:6.2f}" for k in (1, 2, 6, 10, 11))]
        told.append("".join(f"{share[k, 24]:6.2f}" for k in (1, 2, 6, 12, 22, 23)))
        print(f"{name:23s}{told[0]}   {told[1]}   {other:9.2f}")
        curves[kind][f"training {names.index(name)}"] = torch.stack([share[k, 12] for k in turns])[
            :, None
        ]
print(f"you: hero {my_hero}, one-layer {my_one_layer}")
shown = {f"{kind}: share of A's answers": lines for kind, lines in curves.items()}
plots.across_layers(shown, axis="loops asked A", one_scale=True)

# %% [markdown] id="asked-text"
# **Measured here**<!-- by asked -->, three trainings of each. Two models that solve the same task
# and both come to rest could hardly differ more. In the hero the **last** one to ask is answered:
# after six loops of A and six of B only 0.01 to 0.04 of the answers are A's. In the one-layer model
# the **first** one is: after two loops of A, 0.75 to 0.87 of the answers are A's, although ten
# loops of B follow. Give each twice as many loops: the hero's turning point moves along with the
# end, the one-layer model's stays at the beginning.
#
# So "a loop forgets what you write" is no law, and neither is "a loop accumulates". Nor does rest
# decide it, both rest. The control: after six loops of **C** and six of B the one-layer model names
# A's root in 0.32 to 0.39 of cases, by having lost its way between two roots. That much is not
# memory of A. After six loops of A it is 0.82 to 0.91.
#
# Chapter 03 has measured the other side of this coin: the one-layer models have several ends, and
# the start decides which. A write is a new start.
#
# ### Wrong is worse than ignorant
#
# The hero forgets. How long does it take? Give it B's question, and three states to begin with: A's
# finished state, C's finished state, and noise as in training.


# %% id="unlearn"
AFTER = (1, 2, 3, 4, 6, 8, 12)
print("hero, asked B: right at the ends of the chains (five steps from the root), after loops")
print("                                    " + "".join(f"{n:6d}" for n in AFTER))
for name in kinds["hero"]:
    model = models[name]
    noise = begin(model)
    for told, z in {
        "noise": noise,
        "C's finished state": states(model, C, 24)[-1],
        "A's finished state": states(model, A, 24)[-1],
    }.items():
        path = model(B, max(AFTER), state=z, every_loop=True).loop_states
        right = (said(model.readout(path)) == right_b)[:, :, [5, 11]].float().mean((1, 2))
        print(f"{name:10s} from {told:20s}", "".join(f"{right[n - 1]:6.2f}" for n in AFTER))

# %% [markdown] id="unlearn-text"
# **Measured here**<!-- by unlearn -->, three trainings. From noise the deepest nodes are right
# after two loops in 0.89 of cases or more. From A's finished state, which fits B but for two
# pointers, it is 0.13 to 0.18 after two loops, and it takes six to eight to come as far as noise
# comes in two. C's state, which fits nothing, lies between (0.46 to 0.49). Ignorance is cured
# faster than a well-ordered error.
#
# (Our reading, not tested: noise looks for a root and finds it by leaps, while in A's state
# everybody already stands on a root, and a correction has to be handed down from node to node.)

# %% [markdown] id="ex3-card"
# ## Build 3: the light cone
#
# News travels by attention alone. Change one node's state: which others have changed one loop
# later? In physics that set is called a light cone. Here it need not be a neighbourhood: attention
# may look anywhere, so the cone has the shape of what the model *does*. Let `change[i, :, j]` be
# how much the state of node $j$ of a chain moved, relative to its length, when node $i$ was patched
# one loop before. The distance of $j$ below $i$ is $j - i$.
#
# **Exercise 11.3 · light cone** · medium · core · 8 minutes · *idea: equal distances stand on
# diagonals*


# %% id="cone-answer" role="answer" ex="11.3"
# exercise 11.3
def cone(change):
    """Mean change at each distance below the patched node: [node, batch, node] -> [distance].

    change[i, :, j] is that of node j when node i was patched; nodes come from the root down.
    Distances are 0 (the patched node itself) to the length of the chain less one.
    """
    # --- solution
    nodes = len(change)
    return torch.stack([change.diagonal(d, 0, 2).mean() for d in range(nodes)])
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="cone-check" role="check" ex="11.3"
cone = check("11.3", cone)

# %% [markdown] id="ex3-hints"
# <details><summary>Hint 1, a nudge</summary>
# For a distance $d$, which pairs $(i, j)$ belong to it? Nodes above the patched one are not asked.
# </details>
# <details><summary>Hint 2, a plan</summary>
# For each distance from 0 on: collect <code>change[i, :, i + d]</code> for all $i$ for which there
# is such a node, and take the mean of all of it.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>change.diagonal(d, 0, 2)</code> are all of them at once.
# </details>
#
# [Solution](solved/11_surgery_on_passes.ipynb)


# %% id="cone-figure"
def spread_in_a_loop(model, loop):
    """A state of C put into each node of chain 1 of A after `loop`: change one loop later.

    Returns [patched node, batch, token], relative to the states' lengths.
    """
    plain, other = states(model, A, loop + 1), states(model, C, loop + 1)
    found = []
    for node in range(6):
        tap = put(other[loop - 1], loop, node)
        z = model(A, loop + 1, state=begin(model), tap=tap).state
        found.append((z - plain[loop]).norm(dim=-1) / plain[loop].norm(dim=-1))
    return torch.stack(found)


nodes = [str(node) for node in range(6)]
spread = [
    spread_in_a_loop(models["root-k1-penalty"], loop)[..., :6].mean(1) for loop in range(1, 7)
]
far = [max(e - n for n in range(1, 6) for e in range(n, 6) if s[n, e] > 0.15) for s in spread]
cones = FrameStepper(
    torch.stack(spread),
    title="Light cone: one loop after a patch",
    axes=("node, one loop later", "patched node"),
    ticks=(nodes, nodes),
    unit="change / length",
    captions=[
        f"patched after it, nodes 1 to 5 reach {d} steps down; itself {s.diagonal()[1:].mean():.2f}"
        for d, s in zip(far, spread, strict=True)
    ],
)
cones.film_strip((1, 2, 3))

# %% id="cones"
cones

# %% id="cone-table"
print("change one loop after a patch, in % of the state's length, by distance below the node")
print(
    "the patched nodes are 1 to 5        itself     1     2     3     4      nodes      the other"
)
print("                     after loop                                         above      chain")
for names in kinds.values():
    for name in names:
        for loop in (1, 2, 3, 8):
            change = spread_in_a_loop(models[name], loop)[1:]
            told = "".join(f"{100 * each:6.0f}" for each in cone(change[..., 1:6]))
            above = torch.cat([change[i, :, : i + 1].flatten() for i in range(5)]).mean()
            print(
                f"{name if loop == 1 else '':22s} {loop:6d}      {told}"
                f"   {100 * above:9.1f} {100 * change[..., 6:].mean():10.1f}"
            )

# %% [markdown] id="cone-text"
# **Measured here**<!-- by cone-table, cone-figure -->, three trainings of each. The one-layer
# model's cone has gaps. Patched after loop 1, a node moves itself and the node **two** steps below,
# by 35 to 46 % of its length, and the one between by 1 % at most. After loop 2 it moves the one
# **four** steps below, by 22 % or more, and no longer the one two below. From loop 3 on it moves
# nobody below by more than 3 %: everybody looks at the root. (In the pictures that is the row of
# node 0.) You are looking at pointer doubling. After loop $t$ a node stands on an ancestor $2^t$
# steps up, looks *there*, and takes over where that one stands. Attention patterns showed it in
# chapter 04; the cone shows that it is what the news travels on.
#
# The hero's cone has no gaps: three layers, three looks in a loop, and softer ones. The patched
# node itself is nearly healed after one loop, 15 to 20 % of its length is left, and the node below
# has moved about as much.
#
# Beside it stand two columns of what should not happen. Nodes above and the other chain hear
# little, 2.0 % at most. It is not zero: attention is soft, and every node gets a crumb of all.

# %% [markdown] id="ex4-card"
# ## Build 4: the law of persistence
#
# How long does a *small* push last? At a fixed point the loop is nearly linear: a push $d$ becomes
# $J^n d$ after $n$ loops, and when $n$ is large, what is left of it shrinks with each loop by the
# largest multiplier $|\lambda_1|$ of chapter 05b. So push a run at loop $t$, wait until the end,
# and the effect should fall as $|\lambda_1|^{\text{loops left}}$: a straight line on a logarithmic
# scale. Fit it, and leave out what has drowned in rounding.
#
# **Exercise 11.4 · factor per loop** · medium · core · 9 minutes · *idea: a slope of logarithms is
# a factor*


# %% id="factor-answer" role="answer" ex="11.4"
# exercise 11.4
def factor(effect, left, floor):
    """Factor by which an effect shrinks per loop: effect [push], left [push] loops -> a float.

    The least-squares line through the logarithms of all effects above `floor`, against the loops
    that were left; its slope, as a factor (0.5: each loop halves it).
    """
    # --- solution
    seen = effect > floor
    y = effect[seen].log()
    x = left[seen].double()
    x = x - x.mean()
    return ((x * y).sum() / (x * x).sum()).exp().item()
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="factor-check" role="check" ex="11.4"
factor = check("11.4", factor)

# %% [markdown] id="ex4-hints"
# <details><summary>Hint 1, a nudge</summary>
# Keep the pairs above the floor. The slope of a line through points is their covariance divided by
# the variance of $x$.
# </details>
# <details><summary>Hint 2, a plan</summary>
# Logarithms of the effects; subtract the mean from the loops (that is enough); slope = sum of
# products / sum of squares. Then undo the logarithm.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>((x * y).sum() / (x * x).sum()).exp().item()</code> with centred <code>x</code>.
# </details>
#
# [Solution](solved/11_surgery_on_passes.ipynb)


# %% id="law"
LEFT = torch.arange(8, 57, 4)  # loops left
SIZE, FLOOR = 1e-4, 1e-10  # of a push; below the floor its effect is rounding, in float64


def pushed(model, tokens, total=128):
    """Effect at the end / size of the push [push, batch], and the states' ends [loop, ...]."""
    ready = model.prepare(tokens, generator=torch.Generator().manual_seed(0))
    path = [ready.start]
    for loop in range(total):
        path.append(model.step(path[-1], ready, loop=loop))
    way = torch.randn(path[0].shape, generator=torch.Generator().manual_seed(1), dtype=model.dtype)
    size = lambda z: z.flatten(1).norm(dim=1)  # noqa: E731
    way, effects = way / size(way)[:, None, None], []
    for left in LEFT.tolist():
        begun = path[total - left]
        z = begun + SIZE * size(begun)[:, None, None] * way
        for loop in range(total - left, total):
            z = model.step(z, ready, loop=loop)
        effects.append(size(z - path[-1]) / size(path[-1]) / SIZE)
    return torch.stack(effects), torch.stack(path[1:])


few = A[:8]
speech = train.even_pieces(english.tokens("held"), 16, 64)[:, :-1].long()
plain = ["root-k1", "root-k1-1", "root-k1-2"]
bench = {name: (checkpoints.load(name), few) for name in (*models, *plain)}
bench |= {f"English, {name}": (english.load(name), speech[:4, :16]) for name in ("drawn", "loop")}
lines, gaps = {}, []


def span(values):
    return f"{min(values):.2f} to {max(values):.2f}" if values else "-"


print("                   effect of a push / its size,      at     factor per loop, all questions")
print(
    "                   8, 24, 56 loops left            rest     pushes        multiplier    steps"
)
for name, (model, tokens) in bench.items():
    model = model.double()
    effects, path = pushed(model, tokens)
    steps = measure.relative_step(path).mean(-1)  # [loop - 1, question]
    lines[name] = effects.median(1).values
    told = "  ".join(f"{lines[name][LEFT.tolist().index(n)]:.0e}" for n in (8, 24, 56))
    rest = (steps[-1] < 1e-5).nonzero()[:, 0].tolist()
    pushes = [factor(effects[:, n], LEFT, FLOOR) for n in rest]
    largest = []
    for n in rest:
        step = loop_map(model, tokens[n : n + 1])
        largest.append(leading_multipliers(step, path[-1, n : n + 1], 2).abs().max().item())
    slow = [measure.contraction_rate(steps[:, n]).item() for n in rest]
    gaps += [abs(a - b) for a, b in zip(pushes, largest, strict=True)]
    row = f"{name:18s} {told:>22s} {len(rest):9d} of {len(tokens)}     {span(pushes):13s}"
    print(row, f"{span(largest):13s} {span(slow)}")
print(f"pushes and multipliers of {len(gaps)} questions differ by {max(gaps):.2f} at most")
short = {"hero": "hero", "root-k1-penalty-1": "one-layer", "root-k1-2": "root-k1-2"}
panels = {
    "find the root": {called: lines[name][:, None] for name, called in short.items()},
    "English": {name: lines[f"English, {name}"][:, None] for name in ("drawn", "loop")},
}
picture = plots.across_layers(
    panels, first=8, every=4, log=tuple(panels), one_scale=True, axis="loops left"
)
plots.mark(picture, whose("11.4"))

# %% id="sizes"
sizes = (0.01, 0.1, 0.3, 1, 3, 10)
print("a push after loop 12 of 24, in units of the state's length: share of answers that change")
print("                   " + "".join(f"{size:8g}" for size in sizes))
for name, model in models.items():
    path, ready = states(model, A, 24), model.prepare(A)
    way = torch.randn(path[0].shape, generator=torch.Generator().manual_seed(1))
    way, told = way / way.norm(dim=-1, keepdim=True), []
    for size in sizes:
        z = path[11] + size * path[11].norm(dim=-1, keepdim=True) * way
        z = model(A, 12, state=z).state
        flipped = said(model.answer(z, ready)) != said(model.answer(path[-1], ready))
        told.append(flipped.float().mean())
    print(f"{name:18s}", "".join(f"{each:8.3f}" for each in told))

# %% [markdown] id="law-text"
# **Measured here**<!-- by law, sizes -->: three trainings of each kind, and the two small language
# models of chapter 08. Where a run rests, the law holds, question by question: what the pushes say
# and what Arnoldi's products say differ by 0.07 at most, over a range from 0.30 to 0.96. The steps
# of chapter 03 tell much the same, if less sharply: look at the last column. So you
# can read from a multiplier how long a small write lasts. In the hero it is a handful of loops.
#
# Where nothing rests there is no such number. In *loop*, the English model without injection, 0.7
# of a push is still there after 56 loops; in `root-k1-2`, which has no question at rest, the line
# in the figure lies down. (Of the other two `root-k1`, one or two questions have come to rest after
# 128 loops, and for those the law holds.) In the figure, what lies below 1e-10 is rounding.
#
# And now compare with the first map. The one-layer models obey the law, their multipliers are below
# 1, a small push is gone. Yet A's state stays for ever? The second table resolves it. A push of a
# hundredth of the state's length changes no answer worth mentioning. One as large as the state
# changes 0.26 to 0.35 of them: it has not *lasted* as a small one would, it has gone elsewhere.
# (To another rest? Chapter 05b's basins suggest it; this table counts answers only.) In the hero
# even a push ten times as long as the state changes 0.005 at most.

# %% [markdown] id="lens-intro"
# ## Two lenses, one of which nobody reads
#
# A **lens** reads something off a state. Train one to name each node's *parent*, by ridge
# regression, on nodes at least three steps deep; it has never seen the test questions. Train
# another to name what the node *says* (the label that the model would answer now). Both read very
# well. Which of the two does the loop use?
#
# So **steer**. Push a state along the difference of two class means, from "parent is 3" to "parent
# is 8", or from "says 3" to "says 8", with one length for both, and then see two things: what the
# lenses read at once, and what the node answers in the end. The target is the other chain: its
# parent, or what is said there. The control is a random direction of the same length.


# %% id="lenses"
def ridge(x, classes):
    """Weights [width + 1, class] of a linear lens, fitted to one-hot classes."""
    x = torch.cat((x, torch.ones(len(x), 1)), dim=1).double()
    y = torch.nn.functional.one_hot(classes, 12).double()
    return torch.linalg.solve(x.T @ x + 1e-3 * len(x) * torch.eye(x.shape[1]).double(), x.T @ y)


def read(x, weights):
    return (torch.cat((x, torch.ones(*x.shape[:-1], 1)), dim=-1).double() @ weights).argmax(-1)


DEEP = [3, 4, 5, 9, 10, 11]  # nodes at least three steps from their root


def steered(model, when, learn_from, here=4, there=10):
    """Accuracy of both lenses, and what each push turns: {lens: (at once, at the end)}."""
    z, learn = (model(tokens, when, state=begin(model, tokens)).state for tokens in (A, learn_from))
    now, then = said(model.readout(z)), said(model.readout(learn))
    learn = learn[:, DEEP].flatten(0, 1)
    classes = {"parent": learn_from[:, DEEP, 1].flatten(), "says": then[:, DEEP].flatten()}
    truth = {"parent": A[..., 1], "says": now}
    lens = {name: ridge(learn, each) for name, each in classes.items()}
    right = {
        name: (read(z[:, DEEP], lens[name]) == truth[name][:, DEEP]).float().mean() for name in lens
    }
    push = {}
    for name, each in classes.items():
        means = torch.stack([learn[each == label].mean(0) for label in range(12)])
        push[name] = means[truth[name][:, there]] - means[truth[name][:, here]]
    length = push["says"].norm(dim=-1, keepdim=True)
    push["random"] = torch.randn(z[:, 0].shape, generator=torch.Generator().manual_seed(1))
    told = {}
    for name, way in push.items():
        moved = z.clone()
        moved[:, here] += way / way.norm(dim=-1, keepdim=True) * length
        at_once = [
            (read(moved[:, here], lens[name]) == truth[name][:, there]).float().mean()
            for name in lens
        ]
        end = said(model(A, LOOPS - when, state=moved).logits)[:, here]
        told[name] = *at_once, (end == right_a[:, there]).float().mean()
    return right, told


fresh, _ = questions(5, batch=2048)
print("the fourth node below a root, pushed after a loop of 12; shares of 256 questions")
print("                         lens right    pushed along 'parent'  along 'says'       random")
print("                   loop parent  says   parent  says   end parent  says   end     end")
for name, model in models.items():
    for when in (1, 2, 4):
        right, told = steered(model, when, fresh)
        print(
            f"{name if when == 1 else '':18s} {when:4d}",
            f"{right['parent']:6.2f} {right['says']:5.2f} "
            + "".join(f"{each:6.2f}" for way in ("parent", "says") for each in told[way])
            + f" {told['random'][-1]:7.2f}",
        )

# %% [markdown] id="lens-text"
# **Measured here**<!-- by lenses -->, three trainings of each. Both lenses read well, also right
# after the push: the one reads the other parent, the other the other word, in 0.86 of cases or
# more. So far there is nothing to choose between them. But look at the end. In the one-layer model
# the push along *says* turns the answer in 0.77 to 0.98 of cases. The push along *parent*, of the
# same length, turns it in 0.12 to 0.19, and a random one in 0.12 to 0.22. The parent's name stands
# in the state, plain to read, and the loop does not go by it. (Our reading: it is brought in again
# with each injection, and the state only lugs it along.) What the loop goes by is what a node
# *says*: that is its pointer.
#
# In the hero neither push is to be found at the end: no share is above 0.03. But in the hero
# hardly *anything* that is written so early is, you have seen that above. So this table cannot
# tell which of its lenses is read by anybody. A lens, however good, tells what can be read. What it
# hides is whether anybody does.

# %% [markdown] id="ex5-card"
# ## Build 5: a repair
#
# Models that overthink lose right answers again (chapters 02 and 06). A tempting idea: the harmful
# steps are only too *long*. **Reported**, in a paper of which we know the summary alone ([arXiv
# 2609.16665](https://arxiv.org/abs/2609.16665)): a quarter of the step repairs 72 to 83 % of the
# failures that were selected. Let us do the same here: select the steps at which a node that was
# right becomes wrong, take a quarter of each, and ask how many nodes are right then.
#
# Before you do, guess: which share would *you* expect, if a quarter step had no virtue at all?
#
# **Exercise 11.5 · repaired** · medium · stretch · 9 minutes · *idea: select, shorten, judge*


# %% id="repaired-answer" role="answer" ex="11.5"
# exercise 11.5
def repaired(states, share, right):
    """Share of the failed steps after which `share` of the step would still have been right.

    states [loop, ..., width]; right(states) says which are right, [loop, ...] of bool. A step
    failed where the state before it was right and the one after it is not.
    """
    # --- solution
    was = right(states)
    failed = was[:-1] & ~was[1:]
    short = states[:-1] + share * (states[1:] - states[:-1])
    return right(short)[failed].float().mean().item()
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="repaired-check" role="check" ex="11.5"
repaired = check("11.5", repaired)

# %% [markdown] id="ex5-hints"
# <details><summary>Hint 1, a nudge</summary>
# <code>states[:-1]</code> are the states before each step, <code>states[1:]</code> those after it.
# </details>
# <details><summary>Hint 2, a plan</summary>
# A table of bool: right before and not right after. The shortened steps of all loops at once; which
# of them are right; the mean over the table's true places.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>states[:-1] + share * (states[1:] - states[:-1])</code>, and
# <code>right(short)[failed].float().mean()</code>.
# </details>
#
# [Solution](solved/11_surgery_on_passes.ipynb)

# %% id="repair"
thinkers = {name: checkpoints.load(name) for name in (*plain, "root-ouro")}
woods = tasks.find_root(MANY, torch.Generator().manual_seed(3), max_depth=5)
SHARES = (0.1, 0.25, 0.5, 0.75)
print("share of the failed steps of loops 5 to 20 that are right after a part of the step;")
print("and still right one whole loop later")
print(
    "part of the step " + "".join(f"{share:7g}" for share in SHARES) + "      one loop after 0.25"
)
for name, model in thinkers.items():
    path = model(woods.tokens, 20, every_loop=True).loop_states[3:]  # loops 4 to 20

    def right(z, model=model):
        return said(model.readout(z)) == woods.targets

    was = right(path)
    failed = was[:-1] & ~was[1:]
    short = path[:-1] + 0.25 * (path[1:] - path[:-1])
    more = torch.stack([model(woods.tokens, 1, state=z).state for z in short])
    told = "".join(f"{repaired(path, share, right):7.2f}" for share in SHARES)
    print(f"{name:16s} {told} {right(more)[failed].float().mean():18.3f}  of {failed.sum()} steps")

# %% id="slower"
print("share right with steps of a given part, when all steps together make up the time T")
print("                           T = 8              T = 16             T = 32")
print("part of a step         1   0.5  0.25      1   0.5  0.25      1   0.5  0.25")
for name, model in thinkers.items():
    told = {}
    for part in (1, 0.5, 0.25):
        ready = model.prepare(woods.tokens)
        z = ready.start
        for n in range(1, int(32 / part) + 1):
            z = z + part * (model.step(z, ready) - z)
            if n * part in (8, 16, 32):
                told[n * part, part] = (
                    (said(model.answer(z, ready)) == woods.targets).float().mean()
                )
    rows = ("".join(f"{told[time, part]:6.2f}" for part in (1, 0.5, 0.25)) for time in (8, 16, 32))
    print(f"{name:18s}", " ".join(rows))
print("\nflood fill, 200 steps: share of cells at rest (a step below a ten-thousandth)")
maze = tasks.flood_fill(32, torch.Generator().manual_seed(3), side=6).tokens
for name in ("flood", "flood-turning"):
    model, told = checkpoints.load(name), []
    for part in (1, 0.5):
        ready = model.prepare(maze)
        z = ready.start
        for _ in range(200):
            z = z + part * (model.step(z, ready) - z)
        step = (model.step(z, ready) - z).norm(dim=-1) / z.norm(dim=-1)
        told.append((step < 1e-4).float().mean())
    print(f"{name:18s} whole steps {told[0]:.2f}, half steps {told[1]:.2f}")

# %% [markdown] id="repair-text"
# **Measured here**<!-- by repair, slower -->, four models that overthink, of two kinds. A quarter
# of the step "repairs" 0.75 to 0.78 of the failures: as reported. And one loop later none of them
# is right, 0.000 in all four.
#
# Look along the row: a tenth of the step repairs 0.90, a half 0.50, three quarters 0.25. The share
# is one minus the part! A failed step is a way across a border. If it crosses anywhere along the
# way alike, then a quarter of it stays on the right side three times out of four. That is all. No
# step at all would repair every failure, and nobody would call *that* a repair. (We do not know
# what the paper did beside it. This is what selection alone does here.)
#
# And all steps shortened? The second table is the same film in slow motion: with half steps, twice
# as many of them, the model is where it was or a little lower: 0.43, 0.41 and 0.40 in the first at
# T = 32, and 0.99, 0.98 and 0.95 at T = 8. It overthinks as much, only later.
#
# Is a short step good for nothing, then? **Proved**, in a line: a fixed point stays one, and each
# multiplier $\lambda$ becomes $1 - s + s\lambda$ for steps of part $s$. What is real and above 1
# stays above 1. What *overshoots*, being negative or turning, is drawn towards 1 and may come
# inside the circle. So shorten a loop that turns. `flood-turning` of chapter 06 does: with whole
# steps 0.15 of its cells rest, with half steps all of them (**measured here**, the last lines).

# %% [markdown] id="swap-intro"
# ## Does each pass do the same again?
#
# Chapter 07 saw the passes of a loop lie on top of each other: *each pass re-enacts the stages*.
# That was seen. Now the operation: give pass $j$ the attention patterns of pass $i$ of the same
# run, in all layers, and see how far the state at the end of pass $j$ moves. If the passes do the
# same, nothing should happen.
#
# But beware. Nothing also happens where attention does not *matter*. So the control is the
# attention of another question in the same pass: that should do harm. What counts is the quotient
# of the two. And the null, a pass with its own patterns, should give exactly nothing. (C's tokens
# are mixed here. Sorted like A's they have the very same chains, and a stranger's attention would
# be nearly right: a control has to be strange in what is swapped.)


# %% id="swap"
def attention_moves(model, tokens, others, pairs):
    """State at the end of pass j with the attention of pass i (own run, and another's): changes."""
    name, last = "core.attn.pattern", max(j for _, j in pairs)

    def noise():  # of a start that is drawn: the same for all runs
        return torch.Generator().manual_seed(0)

    kept = (name, "core.loop_end")
    own, other = (keep(model, each, last, kept, generator=noise()) for each in (tokens, others))
    found = {}
    for i, j in pairs:
        there = own.at("core.loop_end", j)
        for who, run, start in (("own", own, i), ("other", other, j), ("null", own, j)):
            tap = patch(run, name, to_loop=j, from_loop=start)
            z = model(tokens, j, generator=noise(), tap=tap).state
            found[i, j, who] = ((z - there).norm(dim=-1) / there.norm(dim=-1)).mean().item()
    return found


mixed = C[:64, torch.randperm(12, generator=torch.Generator().manual_seed(0))]  # sorted no more
patients = {name: (model, A[:64], mixed) for name, model in (models | thinkers).items()}
for name in ("drawn", "loop"):
    patients[f"English, {name}"] = (english.load(name), speech, speech.roll(1, 0))
print("relative change of the state at the end of pass j, with the attention of pass i")
print("                        2 <- 1             4 <- 2             16 <- 8         own / other")
print("                     own   other        own   other        own   other          at 16")
nulls = []
for name, (model, tokens, others) in patients.items():
    found = attention_moves(model, tokens, others, ((1, 2), (2, 4), (8, 16)))
    nulls += [value for key, value in found.items() if key[2] == "null"]
    rows = (
        f"{found[i, j, 'own']:9.0e} {found[i, j, 'other']:7.0e}"
        for i, j in ((1, 2), (2, 4), (8, 16))
    )
    print(f"{name:18s}", "  ".join(rows), f"{found[8, 16, 'own'] / found[8, 16, 'other']:16.2g}")
print(f"null, a pass with its own attention: {max(nulls):.0e}")
print("\nall attention frozen as it was in pass i: share right after 12 loops")
print("                  free   i = 1     2     3")
for name, model in models.items():
    told = [(said(model(A, LOOPS, state=begin(model)).logits) == right_a).float().mean()]
    for loop in (1, 2, 3):
        tap = hold("core.attn.pattern", loop)
        end = model(A, LOOPS, state=begin(model), tap=tap).logits
        told.append((said(end) == right_a).float().mean())
    print(f"{name:18s}", "".join(f"{share:6.2f}" for share in told))

# %% [markdown] id="swap-text"
# **Measured here**<!-- by swap -->. First the quiet column, 16 from 8. In the hero the state moves
# by less than a thousandth, and the attention of another question moves it by 0.7 of its length or
# more: a quotient near 0.001. There the passes *do* the same again, and it matters that they do. In
# the one-layer model, which rests later, it is 0.01 to 0.04. **Before rest** divide for yourself:
# the second pass with the first one's attention moves by 0.1 in the hero, a stranger's moves it by
# 0.8 or 0.9. Alike, then, and not the same. In the one-layer model, 0.2 to 0.3 against 0.4 to 0.6,
# it is hardly even alike. So "each pass re-enacts the stages" grows true on the way to rest.
#
# And without a fixed point? The absolute numbers of `root-k1`, 0.03 to 0.04, might pass for
# "little". The control says what they are: another question's attention does only about twice as
# much, the quotient is 0.38 to 0.59. `root-ouro`, one training, has the smallest change of its
# column among those that overthink and a quotient of 2: the stranger's attention is no worse than
# its own. There nothing is re-enacted, its attention has stopped to matter. (A quotient of two
# numbers near a thousandth: do not read more into it.) In English it is as in the trees: *drawn*
# has a fixed point and a quotient of 0.004, *loop* has none and 0.38.
#
# The last table is a surprise. Freeze all attention as it was in the first pass, and the hero still
# answers 0.97 or more, the one-layer model 0.93 or more, although we have just watched it double
# its pointers. Frozen in the third, it answers as many as it does free, or a few more. (Our
# reading, not tested: in the first pass nodes look at their parents, and twelve loops of single
# steps get there, too.)

# %% [markdown] id="smol-intro"
# ## A language model under the knife
#
# And a real one: SmolLM2 with layers 12 to 15 looped and healed (chapter 08). A is *Paris is the
# capital of France, and **Rome** is the capital of*, B the same with **Berlin**, C with **Tokyo**.
# The score is the logit of *Italy* less that of *Germany* at the end. One token differs. Which loop
# of its state, put into B, makes B say Italy? Eight loops. (Where the model is not installed you
# see recorded numbers.)


# %% id="smol"
here = zoo.has_smollm2()
smol = Answers("smollm2_patches.safetensors", live=here)
CITY, WORDS = 8, ("Rome", "Berlin", "Tokyo")


def operate():
    """Shares of the difference by loop and token, from and to loop at the city; what is said."""
    model, words = zoo.looped_smollm2(), zoo.tokenizer("smollm2")
    text = "Paris is the capital of France, and {} is the capital of"
    a, b, c = (torch.tensor([words(text.format(word)).input_ids]) for word in WORDS)
    italy, germany = (words(word).input_ids[0] for word in (" Italy", " Germany"))
    source, itself, other = (keep(model, tokens, 8) for tokens in (a, b, c))
    score = answer_gap(-1, italy, germany)
    few = {"bar": False, "max_bytes": 2**26}  # 49152 words at each token of each patched run
    by_token = patch_map(model, source, b, score, loops=8, control=other, **few)
    same = [Patch(loop, token=CITY) for loop in range(1, 9)]
    null = run_patches(model, itself, b, same, 8, score=score, **few) - by_token.base
    pairs = [Patch(to, start, token=CITY) for start in range(1, 9) for to in range(1, 9)]
    tail = run_patches(model, source, b, pairs, 8, score=lambda x: x[:, :, -1:], **few)
    whole = (score(tail) - by_token.base) / (by_token.aim - by_token.base)
    likely, best = tail[:, 0, 0].softmax(-1).topk(3)
    x = model.prepare(a).x[:, CITY]

    def inject(site, value):
        if site.name == "input":
            value = value.clone()
            value[:, CITY] = x
            return value

    injected = (score(model(b, 8, tap=inject).logits[None])[0] - by_token.base) / (
        by_token.aim - by_token.base
    )
    return {
        "share": by_token.share[..., 0],
        "control": by_token.control_share[..., 0],
        "from to": whole.view(8, 8),
        "null": null.abs().max()[None],
        "injected": injected,
        "likely": likely.view(8, 8, 3),
        "said": [words.decode([word]) for word in best.flatten().tolist()],
        "labels": [words.decode([token]).strip() for token in b[0].tolist()],
    }


told = smol.ask("capitals", operate)
print("state put into B after loop     ", "".join(f"{loop:6d}" for loop in range(1, 9)))
for name, row in {
    "A's, at the city": told["share"][:, CITY],
    "A's, at the last word": told["share"][:, -1],
    "C's, at the city (control)": told["control"][:, CITY],
}.items():
    print(f"share made: {name:26s}", "".join(f"{each:6.2f}" for each in row.clamp_min(0)))
late = told["share"][3:7, CITY]
left = " ".join(f"{share:.2f}" for share in late[:-1] / late[1:])
print(f"A's, at the city, after loop 4, 5, 6, as a part of one loop later: {left}")
print(f"A's input at the city, in every loop: {told['injected'].item():.2f}")
print(f"null, B's own state put into B: {told['null'].item():.0e}")
plots.patch_maps(
    {"A's state": told["share"][:, 7:], "control: C's state": told["control"][:, 7:]},
    labels=told["labels"][7:],
)

# %% id="smol-strip"
rows = torch.arange(64 * 3).view(8, 8, 3)
smol_map = PatchStepper(
    told["from to"],
    said=[
        [
            [(told["said"][n], told["likely"][i, j, k]) for k, n in enumerate(rows[i, j].tolist())]
            for j in range(8)
        ]
        for i in range(8)
    ],
    text="Paris is the capital of France, and Berlin is the capital of",
    what="the state at the city",
    title="SmolLM2, looped: Rome patched into Berlin",
)
smol_map.film_strip([(8, 7), (8, 8)])

# %% id="smol-map"
smol_map

# %% [markdown] id="smol-text"
# **Measured here**<!-- by smol -->, one model, one pair of sentences. The state at the city, put in
# after the last loop, makes 0.99 of the difference: B says *Italy*. One loop earlier it makes 0.48,
# then 0.19, and 0.08: each loop that is left takes half of it or more. Before the last one 0.39 to
# 0.43 of it remain. With A's *input* at the city the difference is whole again (0.99). So this is
# like the hero, and not like the one-layer model. What you write is forgotten, what is injected is
# said.
#
# At the last word nothing can be changed at all, after any loop: 0.00. In these sentences the
# country is not fetched in the loop. It waits at the city until the layers behind the loop come and
# get it. And the stranger's state, *Tokyo*, makes 0.30 of the difference between Italy and Germany,
# though it names neither: the control again.

# %% [markdown] id="own-question"
# ## Your own question
#
# Everything above was a question that somebody asked in a way that could go wrong. This is the
# form, and the notebook [11b Your own question](11b_your_own_question.ipynb) has it with blanks and
# with one worked example.
#
# 1. **Question.** One sentence that ends in a question mark, about one thing.
# 2. **Prediction**, with a number, written down *before* you measure. "It matters" is no
#    prediction; "at least half" is.
# 3. **Measure.** One number per run, and what it would be if nothing were the case: the **null**.
# 4. **Control.** The same operation with something that ought not to work: another input, a random
#    direction, the other model.
# 5. **Seeds.** Three trainings at least. A difference counts when the worst of one side beats the
#    best of the other, or when you say how it does not.
# 6. **What would change your mind?** Name the result that you would accept as *no*.
# 7. Then measure, once, and report what came out, above all if it is nothing.
#
# ### Three open questions (no check)
#
# 1. **Why does the hero forget?** It has other norms, three layers, and was trained from random
#    starts. Change one of the three (`data/make_checkpoints.py` has the recipe) and look.
# 2. **Yours?** Load the model that you trained in chapter 02, `my_loop("rest")` from
#    `looplab.exercises`, into `kinds`, and ask it everything above. Does the first or the last win?
# 3. **A write that lasts.** `hold` keeps a value for all later loops. What is the least that must
#    be held so that the hero answers A, with B's question injected: one node's state? One layer's
#    write?

# %% [markdown] id="interpret"
# ## Interpret
#
# - A loop at rest may remember nothing of what was written into it, or nearly everything. In
#   chapter 03 the one that remembers had several ends; whether that is *why* is an open question.
#   Multipliers know how long a small push lasts, and nothing of what a large one does.
# - What is *there* (a lens reads it), what is *carried* (a patch moves the answer) and what is
#   *brought in again* (by the injection, whatever you do) are three things. In the hero nearly all
#   is of the last kind.
# - **Reported:** in Ouro a write has to be held in every remaining loop to last, and Huginn
#   regenerates its content from the injected input within about two loops
#   ([arXiv 2609.01924](https://arxiv.org/abs/2609.01924)). Our hero, which has Huginn's norms, does
#   as Huginn is said to do. Our one-layer model shows that injection alone does not make it so.
# - A repair that is measured right after the operation measures the operation. Let the patient
#   walk.
#
# ## Key points
#
# 1. Every patch has a null (itself: exactly nothing) and a control (a stranger: harm, but not
#    *this* answer). Without them a map shows how fragile a model is, and no more.
# 2. Patching the whole state is asking another question for the first loops. So ask who wins, the
#    first or the last.
# 3. Small pushes die by the largest multiplier. The law needs a rest, and a small push.
# 4. A lens that reads well may read what nothing uses. Steer, with a random direction of equal
#    length beside it.
# 5. Select failures by a threshold, and any shorter step "repairs" them.

# %% [markdown] id="questions"
# ## Five questions
#
# 1. You patch A into B at loop 3 of 12, and the answer stays B's. Does loop 3 carry nothing?
# <details><summary>Answer</summary>
# It may carry all there is *at that time*. If the loop reads its question anew in each pass,
# whatever you do early is gone by the end. Patch late as well, or stop the run earlier.
# </details>
#
# 2. A patch of A's state destroys B's answer in 90 % of cases. Have you found where the answer is?
# <details><summary>Answer</summary>
# Not before you have seen what a stranger's state does at the same place. And to *destroy* B's
# answer is not to *give* A's: score the one against the other.
# </details>
#
# 3. All multipliers of a loop at its fixed point are below 0.6. A patch of one node is still there
#    after twenty loops. Who is wrong?
# <details><summary>Answer</summary>
# Nobody. Multipliers are about small pushes at that fixed point. A patch may be large enough to
# land in the basin of another.
# </details>
#
# 4. A lens reads the subject of the sentence from layer 3 with 99 %. May you write that layer 3
#    "represents the subject for later use"?
# <details><summary>Answer</summary>
# The first half perhaps, the second not. Steer along the lens's direction, with a random one beside
# it, and see whether anything later changes.
# </details>
#
# 5. Give pass 16 the attention of pass 8, and nothing changes. Does pass 16 re-enact pass 8?
# <details><summary>Answer</summary>
# Perhaps its attention hardly matters. Give it the attention of another question: only if that does
# harm has the first result a meaning.
# </details>

# %% [markdown] id="scoreboard-text"
# ## Scoreboard
#
# Whose code drew the figures above?

# %% id="scoreboard"
scoreboard("11")

# %% [markdown] id="read-on"
# ## Read on
#
# - Next: [11b Your own question](11b_your_own_question.ipynb), a notebook to hand in.
# - Back: [03 Watch fixed points form](03_watch_fixed_points_form.ipynb), where several ends were
#   first met, and [05b Fast, slow or never](05b_fast_slow_or_never.ipynb), where multipliers come
#   from.
# - How activation patching is done, and how it misleads: Heimersheim and Nanda,
#   [arXiv 2404.15255](https://arxiv.org/abs/2404.15255).
# - Loops of released models under a lens, with writes: [arXiv
#   2609.01924](https://arxiv.org/abs/2609.01924). Two more papers patch such loops ([arXiv
#   2609.39892](https://arxiv.org/abs/2609.39892), [arXiv
#   2610.34639](https://arxiv.org/abs/2610.34639)); we know their summaries alone.
