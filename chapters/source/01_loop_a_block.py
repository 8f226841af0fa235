# ---
# jupyter:
#   looplab:
#     chapter: "01"
#     title: Loop a block
#     minutes: 80
#     needs: PyTorch, and what attention is
#     learn: write a looped model yourself, and tell its weights, its depth and its gradient apart
# ---

# %% [markdown] id="title"
# # 01 · Loop a block
#
# *80 minutes · a laptop CPU · you should know PyTorch and what attention is*
#
# Nothing is trained in this chapter. You write a looped transformer in plain PyTorch, first piece
# by piece, at the end as a model of your own that chapter 02 trains. On the way you count what it
# has and what it does, follow its gradient back through the passes, and find out why the input must
# be handed in again and again. What a loop does *before* it has learned anything is the yardstick
# for all that comes later.
#
# **You will be able to**
#
# - write a block, a loop around it and a whole looped model, and read $(p, k{\otimes}l, c)_I$;
# - keep parameters and depth apart, and set up the two fair comparisons for a looped model;
# - say what the gradient of a shared weight is, and show it;
# - measure how much of the input is left in the state after many loops;
# - see a cycle in a stack of random weights, and not be impressed by it;
# - loop any module that you like, and say what becomes of its state.
#
# Claims are labelled **proved**, **measured here** (a cell recomputes it) or **reported** (in a
# paper).

# %% id="set-up"
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from looplab import (
    LoopedConfig,
    LoopedTransformer,
    adapt,
    checkpoints,
    grid,
    measure,
    plots,
    sketch,
    tasks,
    trace,
)
from looplab.exercises import check, scoreboard, todo, whose
from looplab.widgets import PlaneStepper

# %% [markdown] id="predict"
# ## Predict
#
# Three transformer layers with a norm before and behind each part, their weights drawn from a
# normal distribution of standard deviation $1/\sqrt{\text{inputs}}$. Twelve random tokens. The
# state starts as random numbers and runs through the three layers, then through the same three
# again, many times over; at the start of each pass it is mixed half and half with the input. Nobody
# has trained anything. What does the state of a token do in the end?
#
# - `"explodes"`: it grows and grows;
# - `"wanders"`: it never comes back to where it was;
# - `"stops"`: it comes to one point, where no layer moves it any more;
# - `"tours"`: each layer still moves it, but every pass is the same tour.

# %% id="predict-cell"
my_guess = "wanders"

# %% [markdown] id="explore"
# ## Explore
#
# Here are three such stacks, the draws with seeds 0, 1 and 2. Their layers have the norms of
# Huginn, a released looped model: a layer norms the state before it reads it, and once more after
# it has added to it, so no state can grow. The picture shows one token after every layer of the
# last four passes, in the plane in which its whole path spreads most. The large mark is where it is
# now.
#
# Move the slider below it, or press play, and change the seed. When does the tour close? Is it
# equally quick for all three seeds? Do the layers end on one point, or on three?


# %% id="untrained-strip"
runs = grid.random_runs(norm="Huginn", injection="half-half", seeds=range(3), loops=24)
untrained = PlaneStepper.passes(
    runs.states[:, 0, :, :, 5],  # of token 5: [seed, loop, layer, width]
    title="One token of an untrained stack of three layers, the last four passes",
    menus={"seed": ["0", "1", "2"]},
)
untrained.film_strip(frames=(1, 2, 4, 8, 16))

# %% id="untrained-slider"
untrained

# %% id="predict-answer"
draws = grid.grid(
    norms=["Huginn"], injections=["half-half"], depths=[3], gains=[1.0], seeds=range(12)
)
names = {"cycle": "tours", "degenerate": "stops", "explodes": "explodes"}
found = [names.get(one.kind, "wanders") for one in draws]
for seed, path in enumerate(runs.states[:, 0, :, :, 5]):
    closed = measure.settling_loop(path, tolerance=0.01).max()
    print(f"seed {seed}: each layer is within 1 % of its end from loop {closed} on")
print("twelve draws, 128 loops:", {name: found.count(name) for name in sorted(set(found))})
least, most = (f"{pick(one.cosine for one in draws):.2f}" for pick in (min, max))
print(f"mean least cosine between layers: {least} to {most}; above 0.999 is a stop")
print(f"you guessed {my_guess!r}")

# %% [markdown] id="explore-result"
# **Measured here**,<!-- by predict-answer --> for these norms, this injection and this size of
# weights: a closed tour, twelve times out of twelve, and nothing has been learned. (It would be a
# stop if all layers' last states pointed the same way, with a mean cosine above 0.999, and it is
# closed if nine tokens of ten stay within 1 % of their points.) The three tours above take from 8
# to 16 loops to close. Chapter 05 turns all three knobs and finds loops that do other things. Keep
# this picture in mind when you see a trained model walk a cycle.
#
# A word for later: we say that a loop is **at rest** when the state after each layer is the same as
# after that layer one loop earlier. The unit is the loop. So a tour is at rest, and a stop is a
# tour whose points coincide. Now we build one.
#
# ## Build 1: a block
#
# A transformer layer has two branches. Attention brings something in from other tokens, the MLP
# works on each token alone. Both **read** a normed copy of the state, and **add** what they found
# to the state itself. This order (norm, branch, add) is called *pre-norm*. The parts are PyTorch's
# own:


# %% id="block-class"
class Block(nn.Module):
    """The parts of one pre-norm layer; `through` puts them in order."""

    def __init__(self, width, heads):
        super().__init__()
        self.norm1, self.norm2 = nn.RMSNorm(width), nn.RMSNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, bias=False, batch_first=True)
        up, down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.mlp = nn.Sequential(up, nn.GELU(), down)

    def forward(self, x):
        return through(self, x)


# %% [markdown] id="ex1-card"
# **Exercise 01.1 · through a block** · easy · core · 6 minutes · *idea: branches read and add; the
# stream goes straight through*
#
# `block.attention(queries, keys, values)` returns two things, the output and the averaged pattern.
# Every token may look at every other one, so no mask is needed.


# %% id="through-answer" role="answer" ex="01.1"
# exercise 01.1
def through(block, x):
    """One pre-norm layer: x [batch, token, width] -> the same shape."""
    # --- solution
    seen = block.norm1(x)
    x = x + block.attention(seen, seen, seen)[0]
    return x + block.mlp(block.norm2(x))
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="through-check" role="check" ex="01.1"
through = check("01.1", through)

# %% [markdown] id="ex1-hints"
# <details><summary>Hint 1, a nudge</summary>
# Two lines, one per branch, and both begin with <code>x +</code>.
# </details>
# <details><summary>Hint 2, a plan</summary>
# Norm the state once; it serves as queries, keys and values. Add the output to the state. Then norm
# the new state with the other norm, send it through the MLP and add again.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>seen = block.norm1(x)</code>, then <code>block.attention(seen, seen, seen)[0]</code>; the
# MLP reads <code>block.norm2(...)</code> of the state that attention has already added to.
# </details>
#
# [Solution](solved/01_loop_a_block.ipynb)

# %% [markdown] id="ex2-card"
# ## Build 2: the loop
#
# Two tensors now, of one shape. $x$ is the **input**: the embedded tokens, and it never changes.
# $z$ is the **state**: it starts at zero and goes round. At the start of each pass the input is
# *injected*: $z \leftarrow W_I\,[z; x]$, where $[z; x]$ is the two side by side, twice as wide, and
# $W_I$ brings it back to the width. Then come all blocks in their order.
#
# **Exercise 01.2 · the loop** · medium · core · 8 minutes · *idea: what is inside the loop, and
# what stands in front of it*


# %% id="loop-answer" role="answer" ex="01.2"
# exercise 01.2
def run_loop(blocks, mix, x, loops):
    """The state at the end of every pass: x [batch, token, width] -> [loop, batch, token, width].

    blocks: a list of functions of the state; mix: takes [state; input], [batch, token, 2 width].
    """
    # --- solution
    z, ends = torch.zeros_like(x), []
    for _ in range(loops):
        z = mix(torch.cat((z, x), dim=-1))
        for block in blocks:
            z = block(z)
        ends.append(z)
    return torch.stack(ends)
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="loop-check" role="check" ex="01.2"
run_loop = check("01.2", run_loop)

# %% [markdown] id="ex2-hints"
# <details><summary>Hint 1, a nudge</summary>
# Two <code>for</code> loops, one inside the other. Which is the outer one?
# </details>
# <details><summary>Hint 2, a plan</summary>
# In front of everything: the zero state and an empty list. In each pass: mix, all blocks, append.
# Stack the list at the end.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>z = mix(torch.cat((z, x), dim=-1))</code> once per pass, then
# <code>for block in blocks: z = block(z)</code>.
# </details>
#
# [Solution](solved/01_loop_a_block.ipynb)

# %% id="own-stack"
torch.manual_seed(0)
width = 32
blocks = nn.ModuleList(Block(width, heads=2) for _ in range(3))
mix = nn.Linear(2 * width, width, bias=False)
x = torch.randn(1, 12, width)
with torch.no_grad():
    mix.weight.copy_(torch.eye(width).repeat(1, 2) / 2)  # half state, half input
    ends = run_loop(blocks, mix, x, 64)
picture = plots.lines_by_layer(
    measure.relative_step(ends).mean((1, 2))[:, None],
    "step / length of the state",
    floor=2e-7,
    names=["the stack you wrote"],
    first_loop=2,
)
plots.mark(picture, whose("01.2"))

# %% [markdown] id="own-stack-text"
# **Measured here**,<!-- by own-stack --> one draw: twenty lines, weights as PyTorch happens to draw
# them, and the steps shrink, after a quick beginning by a nearly constant factor, down to rounding.
# Is your loop the real thing? We put looplab's own layers into it, and compare with looplab's
# model. (Your block was tested by the check of 01.1.)

# %% id="same-as-library"
config = LoopedConfig(
    vocab=12,
    fields=2,
    width=32,
    heads=2,
    core=3,
    loops=6,
    injection="concat",
    start="zeros",
    attention="full",
    position="none",
)
torch.manual_seed(0)
model = LoopedTransformer(config)
forests = tasks.find_root(64, torch.Generator().manual_seed(7), max_depth=8)
with torch.no_grad():
    embedded = model.encode(forests.tokens)
    _, layers = model.core_parts(embedded)  # the layers as functions of the state
    mine = run_loop(layers, model.cores[0].injection.mix, embedded, 6)
    theirs = model(forests.tokens, 6, every_loop=True).loop_states
print(f"largest difference after six loops: {(mine - theirs).abs().max().item():.0e}")

# %% [markdown] id="notation"
# ## The notation
#
# Layers in front of the loop are the *prelude*, those behind it the *coda*, those inside the
# *core*. The paper writes $(p, k{\otimes}l, c)$ for $p$ prelude layers, $k$ core layers looped $l$
# times and $c$ coda layers, and $(p, k{\otimes}l, c)_I$ when the input is injected (Blayney et al.,
# [arXiv
# 2604.11791](https://arxiv.org/abs/2604.11791)). A stack has $p + k + c$ layers of **weights**; a
# state passes through $p + k\,l + c$ layers, the *realised depth*. In one row, boxes with one
# letter share their weights, and a dot says where the input comes in: what the prelude made of the
# embedded tokens, if there is one.

# %% id="notation-picture"
sketch.rack(
    {
        "yours": replace(config, loops=6),
        "with prelude and coda": replace(config, prelude=1, core=2, loops=6, coda=1),
        "feedforward": replace(config, core=8, loops=1, injection="none", start="input"),
    }
)

# %% [markdown] id="ex3-card"
# ## Build 3: what it has, and what it does
#
# As a Python list, in the order in which they run, a looped stack of two blocks is `[a, b, a, b, a,
# b]`, and an unrolled one `[a, b, c, d, e, f]`. Both run six blocks. We want the number of
# parameters, where one that is used three times is still **one** weight. Beware: two weights
# may have the same shape, even the same values, and be two; two modules may hold one and the same
# weight.
#
# **Exercise 01.3 · count the weights** · easy · core · 6 minutes · *idea: a weight is a tensor, not
# a use of it*


# %% id="count-answer" role="answer" ex="01.3"
# exercise 01.3
def count_weights(stack):
    """Numbers that the modules of a list have to store, each weight counted once: an int."""
    # --- solution
    weights = {id(weight): weight for module in stack for weight in module.parameters()}
    return sum(weight.numel() for weight in weights.values())
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="count-check" role="check" ex="01.3"
count_weights = check("01.3", count_weights)

# %% [markdown] id="ex3-hints"
# <details><summary>Hint 1, a nudge</summary>
# <code>module.parameters()</code> gives the tensors, <code>.numel()</code> the numbers in one.
# Python's <code>id(...)</code> tells one object from another.
# </details>
# <details><summary>Hint 2, a plan</summary>
# Walk over all parameters of all modules, keep those whose <code>id</code> you have not seen, and
# add up their sizes.
# </details>
# <details><summary>Hint 3, almost code</summary>
# A dictionary <code>{id(weight): weight for module in stack for weight in ...}</code> keeps each of
# them once.
# </details>
#
# [Solution](solved/01_loop_a_block.ipynb)

# %% [markdown] id="rack-text"
# ## The twin rack
#
# Does a loop help? Compared with what? There are two fair opponents, and you will meet both in
# every chapter in which something is trained:
#
# - the **unrolled twin** runs as many layers, but each has weights of its own: equal *compute*;
# - the **shallow twin** has as many weights, its own, and runs them once: equal *parameters*.
#
# Both are trained for themselves, so their letters mean other values than the looped stack's.

# %% id="rack-picture"
rack = {
    "looped": config,
    "unrolled twin": config.unrolled(),
    "shallow twin": config.shallow(),
}
sketch.rack(rack)

# %% id="rack-count"
print("                layers run   weights in them   operations with weight matrices, millions")
for name, each in rack.items():
    twin = LoopedTransformer(each)
    passes = [twin.cores[0 if each.tied else loop] for loop in range(each.loops)]
    stack = [layer for one in passes for layer in one.layers]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        twin(forests.tokens[:1])
    flops = counter.get_total_flops() / 1e6
    print(f"{name:15s} {len(stack):10d}   {count_weights(stack):15d}   {flops:10.1f}")

# %% [markdown] id="rack-result"
# **Measured here.**<!-- by rack-count --> The looped stack and its unrolled twin do the same amount
# of arithmetic; the twin has six times the weights. The shallow twin has as many weights as the
# looped stack and does about a sixth of the arithmetic. (Only products with weight matrices are
# counted. Those between tokens, inside attention, are left out: each layer that runs does as many.)
# So "the looped model is better" can mean
# two things, and "the looped model is as good" too. Say which twin you mean.
#
# ## The gradient of a shared weight
#
# Training asks how the loss changes with a weight $w$. But this $w$ acts in pass 1, in pass 2, and
# so on. Give each pass a copy of its own, $w_1, \ldots, w_l$. The loss is then a function of all of
# them, $L(w_1, \ldots, w_l)$, and the looped model is the case $w_1 = \ldots = w_l = w$. **Proved**
# (the chain rule):
#
# $$\frac{dL}{dw} = \sum_{t=1}^{l} \frac{\partial L}{\partial w_t} \cdot \frac{dw_t}{dw}
# = \sum_{t=1}^{l} \frac{\partial L}{\partial w_t}.$$
#
# So the gradient is the **sum over passes** of the gradients that the unrolled twin would get, if
# its weights were copies. PyTorch adds this up without telling you. Take it apart again.
#
# **Exercise 01.4 · the gradient, pass by pass** · medium · stretch · 10 minutes · *idea: to ask
# what one use of a weight does, give that use a weight of its own*


# %% id="gradient-answer" role="answer" ex="01.4"
# exercise 01.4
def gradient_by_pass(step, weight, z, loops, loss):
    """Gradient of loss(state after the last pass) for the weight as it is used in each pass.

    step(z, weight) is one pass; loss(z) is one number -> [loop, *shape of the weight]
    """
    # --- solution
    copies = [weight.detach().clone().requires_grad_() for _ in range(loops)]
    for copy in copies:
        z = step(z, copy)
    return torch.stack(torch.autograd.grad(loss(z), copies))
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="gradient-check" role="check" ex="01.4"
gradient_by_pass = check("01.4", gradient_by_pass)

# %% [markdown] id="ex4-hints"
# <details><summary>Hint 1, a nudge</summary>
# <code>weight.detach().clone().requires_grad_()</code> is a copy with a gradient of its own.
# </details>
# <details><summary>Hint 2, a plan</summary>
# Make as many copies as there are loops. Run the loop, each pass with its own copy. Take the loss
# of the last state, and ask for its gradients for all copies.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>torch.autograd.grad(loss(z), copies)</code> gives a tuple with one gradient per copy;
# <code>torch.stack</code> makes one tensor of it.
# </details>
#
# [Solution](solved/01_loop_a_block.ipynb)


# %% id="gradient-measure"
name = "cores.0.layers.0.mlp.up.weight"  # any weight of the core will do
weight = model.get_parameter(name)


def one_pass(z, weight):
    """One pass from the state z, with another tensor in the place of one weight."""
    return functional_call(model, {name: weight}, (forests.tokens, 1), {"state": z}).state


def loss_of(z):
    return F.cross_entropy(model.readout(z).flatten(0, 1), forests.targets.flatten())


by_pass = gradient_by_pass(one_pass, weight, torch.zeros_like(embedded), 6, loss_of)
tied = torch.autograd.grad(loss_of(model(forests.tokens).state), weight)[0]
apart = (by_pass.sum(0) - tied).norm() / tied.norm()
print(f"sum over passes against PyTorch's gradient, {name}: {apart.item():.0e}")

# The same for every weight of the core, with looplab's unrolled twin: copies in every pass.
twin = model.unrolled()
for each in (model, twin):
    each.zero_grad()
    F.cross_entropy(each(forests.tokens).logits.flatten(0, 1), forests.targets.flatten()).backward()
copies = dict(twin.named_parameters())
worst = max(
    (
        (sum(copies[f"cores.{loop}.{key}"].grad for loop in range(6)) - shared.grad).norm()
        / shared.grad.norm()
    ).item()
    for key, shared in model.cores[0].named_parameters()
)
print(f"the same with the unrolled twin, worst of all weights of the core: {worst:.0e}")
picture = plots.bars(
    {f"pass {n + 1}": one.norm().item() / tied.norm().item() for n, one in enumerate(by_pass)},
    "length, in units of the sum's length",
)
plots.mark(picture, whose("01.4"))


# %% id="gradient-seeds"
def shares(share, seed, fan_in=False):
    """Lengths of six passes' gradients, and the cosine of the last two's sum with the whole."""
    torch.manual_seed(seed)
    other = LoopedTransformer(config)
    with torch.no_grad():
        for linear in (part for part in other.cores.modules() if isinstance(part, nn.Linear)):
            if fan_in:  # PyTorch's modules have 1/sqrt(3) of it; looplab's branches start small
                nn.init.normal_(linear.weight, std=linear.in_features**-0.5)
        eye = torch.eye(config.width)
        mix_of_both = torch.cat((share * eye, (1 - share) * eye), dim=1)
        other.cores[0].injection.mix.weight.copy_(mix_of_both)

    def one(z, weight):
        return functional_call(other, {name: weight}, (forests.tokens, 1), {"state": z}).state

    def loss(z):
        return F.cross_entropy(other.readout(z).flatten(0, 1), forests.targets.flatten())

    start = torch.zeros_like(embedded)
    passes = gradient_by_pass(one, other.get_parameter(name), start, 6, loss).flatten(1)
    total = passes.sum(0)
    return passes.norm(dim=1) / total.norm(), F.cosine_similarity(passes[-2:].sum(0), total, dim=0)


print("length of a pass's gradient / length of the sum      cosine of the sum")
print("passes 1 to 6                                        with the last two's")
for told, share, fan_in in (
    ("half state, half input", 0.5, False),
    ("nine tenths state", 0.9, False),
    ("half and half, larger weights", 0.5, True),
):
    print(told)
    for seed in range(3):
        sizes, aligned = shares(share, seed, fan_in)
        row = "  ".join(f"{size:.2f}" for size in sizes)
        print(f"    seed {seed}:  {row}       {aligned:.2f}")

# %% [markdown] id="gradient-text"
# **Measured here:**<!-- by gradient-measure, gradient-seeds --> the sum agrees to rounding. How
# much each pass counts is not a law of loops. For this matrix, in three untrained models with the
# half-half mix, the last pass weighs most, and each pass before it about half as much. Keeping only
# the last few passes' gradients then hardly turns the sum, and saves the memory of all the others:
# you do that in chapter 02. As a control, the same models with a mix that keeps nine tenths of the
# state: now all passes count, and the sum of the last two has a cosine of 0.85 with the whole. And
# with the half-half mix, but weights as large as $1/\sqrt{\text{fan-in}}$ (the fan-in is the number
# of inputs that a matrix adds up), it has 0.65 to 0.74. How many passes you need is to be measured,
# not assumed.
#
# ## Why hand the input in again?
#
# You could give the loop its input once, as its first state, and let it run:
# $z_0 = x$, $z_t = S(z_{t-1})$. It saves a matrix. What is left of the input after many passes?
#
# A first answer needs no measurement. **Proved:** suppose such a loop, without injection, comes to
# one and the same resting point from every start. The input was only a start. Then the end is the
# same for every input: the loop has forgotten the question. With injection there is a resting point
# for each input, and the start is what is forgotten. A loop without injection can rest or remember;
# to do both it needs several resting points, and luck with the one it is in.
#
# We measure it for three ways of placing the norms, which come up again and again in this course.
# With $f$ for a branch (attention or the MLP) and $N$ for a norm, a branch changes the state $z$ to
#
# - $z + f(N(z))$ in **pre-norm**, your block's way: the state is a sum that nothing norms, so it
#   may grow;
# - $N(z + f(N(z)))$ in **Huginn**: the sum is normed too, so the state keeps its length;
# - $z + N(f(N(z)))$ in **Ouro**, another released model: what the branch writes is normed, and the
#   state itself once more at the end of each pass.
#
# Two different inputs are run, and their states compared. The unit matters: a state may grow, so
# the distance is given in units of the mean length of the two states: 0 for the same state, 1.41
# for two that have nothing to do with each other, 2 for opposite ones.
#
# **Exercise 01.5 · how much of the input is left** · easy · core · 5 minutes · *idea: a distance
# needs a unit that treats both alike*


# %% id="influence-answer" role="answer" ex="01.5"
# exercise 01.5
def influence(a, b):
    """Distance between two runs' states, in units of the mean of the two states' lengths.

    a, b: [..., width] -> [...]
    """
    # --- solution
    return (a - b).norm(dim=-1) / ((a.norm(dim=-1) + b.norm(dim=-1)) / 2)
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="influence-check" role="check" ex="01.5"
influence = check("01.5", influence)

# %% [markdown] id="ex5-hints"
# <details><summary>Hint 1, a nudge</summary>
# Three lengths are needed, all along the last axis.
# </details>
# <details><summary>Hint 2, a plan</summary>
# The length of the difference, divided by half the sum of the lengths of the two.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>.norm(dim=-1)</code> three times, one division.
# </details>
#
# [Solution](solved/01_loop_a_block.ipynb)


# %% id="influence-measure"
def halved(norm, seeds):
    """Stacks whose mix keeps half of the state and hands in nothing; the first state is x."""
    stacks = [grid.random_stack(norm, "half-half", 3, 1.0, seed).double() for seed in seeds]
    for stack in stacks:
        stack.config = replace(stack.config, start="input")
        stack.cores[0].injection.mix.weight[:, stack.config.width :] = 0
    return stacks


left, rest = {}, {}  # left: influence [input or start, seed, loop]; rest: of both runs [seed]
for norm in ("pre", "Huginn", "Ouro"):
    for injection in ("none", "half-half"):
        # Three runs of each stack: two on one input, the third on another, each with its own start.
        runs = grid.random_runs(norm, injection, seeds=range(12), inputs=(0, 0, 1), loops=256)
        a, again, b = runs.states[:, :, :, -1].unbind(1)  # [seed, loop, token, width]
        left[norm, injection] = torch.stack((influence(a, b), influence(a, again))).mean(-1)
        last = measure.relative_step(torch.stack((a, b), dim=1)[:, :, -2:].movedim(2, 0))[0]
        rest[norm, injection] = last.amax((1, 2)) < 1e-3  # every token of both runs
        if (norm, injection) == ("pre", "none"):  # a closer look below
            x_a, _, x_b = runs.input.unbind(1)
            z_a, z_b = a[:, -1].clone(), b[:, -1].clone()
    tokens = [[grid.random_tokens(seed + 100 * n, 12) for n in (0, 1)] for seed in range(12)]
    tokens = torch.stack([torch.cat(pair) for pair in tokens])
    states = grid.run_together(halved(norm, range(12)), tokens, 256)[:, :, -1]
    left[norm, "halved"] = influence(*states.unbind(2)).mean(-1)[None]
    last = measure.relative_step(states[:, -2:].movedim(1, 0))[0]
    rest[norm, "halved"] = last.amax((1, 2)) < 1e-3

print("twelve stacks of three layers, 256 loops; smallest, median, largest of the twelve")
print("norm    injection   influence of the input  forgot    at rest   of the start")
for (norm, injection), (by_input, *by_start) in left.items():
    ends = by_input[:, -1]
    span = "  ".join(f"{end:.2f}" for end in (ends.min(), ends.median(), ends.max()))
    forgot = f"{(ends < 1e-3).sum()} of 12"
    still = f"{rest[norm, injection].sum()} of 12"
    start = "(it is the input)"
    if injection == "half-half":
        start = f"below 0.001 in {(by_start[0][:, -1] < 1e-3).sum()}"
    print(f"{norm:7s} {injection:10s}  {span:22s}  {forgot:8s}  {still:8s}  {start}")

print("Huginn's and Ouro's norms without injection, 24 stacks:")
forgot = torch.cat([left[norm, "none"][0][:, -1] < 1e-3 for norm in ("Huginn", "Ouro")])
still = torch.cat([rest[norm, "none"] for norm in ("Huginn", "Ouro")])
for told, these in {"at rest": still, "not at rest": ~still}.items():
    print(f"  {told:11s} forgot {(these & forgot).sum()}, kept {(these & ~forgot).sum()}")

share = 100 * (x_a.norm(dim=-1) / z_a.norm(dim=-1)).mean()
print("pre-norm without injection:")
print(f"  length of the first state: {share:.1f} % of the last one's")
print(f"  influence of the input: {influence(z_a, z_b).mean(-1).median():.2f}", end=", ")
print(f"with the first state taken away: {influence(z_a - x_a, z_b - x_b).mean(-1).median():.2f}")

medians = [left["Huginn", kind][0].median(0).values for kind in ("none", "half-half")]
picture = plots.lines_by_layer(
    torch.stack(medians, dim=1), "influence of the input", names=["no injection", "injection"]
)
plots.mark(picture, whose("01.5"))

# %% [markdown] id="influence-text"
# **Measured here**,<!-- by influence-measure --> twelve draws of each kind. *At rest* means that no
# token of either run takes a step above a thousandth. With injection (`half-half`) no stack forgot
# its input, and of the start, random and different in each run, less than a thousandth is left.
# Without injection most stacks with Huginn's or Ouro's norms forgot the input: two different
# questions, one end. The figure shows the median of Huginn's, which falls until nothing but
# rounding is left.
#
# Two honest remarks. Not every such stack forgot. Most of those that kept a difference were not at
# rest after 256 loops; one had come to rest, on different points for the two inputs (see the lines
# *at rest* and *not at rest*). It is the lucky one of the argument above. One stack forgot and is
# not at rest: its two runs still move, but together. And pre-norm stacks without injection did not
# forget. One reason comes to mind at once: every branch only adds, so the first state stays a term
# of the sum for ever. So it does, but it is not what keeps the input.
#
# **Measured here:**<!-- by influence-measure --> after 256 loops it has 0.2 % of the state's
# length, and with it taken away the influence is the same, 0.66. What tells the two runs apart is
# what the branches *wrote* in between. Chapter 05 shows where such a growing sum ends.
#
# So injection is not an ornament. **It makes the end depend on the question and not on the start.**
# Our half-half mix does two things at once: it hands the input in, and it keeps only half of the
# state. The rows *halved* are the control: half of the state is kept, and nothing is handed in.
# **Measured here:**<!-- by influence-measure --> then most pre-norm stacks, too, come to rest and
# forget, and of all 36 stacks more than half forget the question. So it is the input that keeps it.
# What injection buys in training is another matter, and measured where something is trained.
#
# ## A cycle is not intelligence
#
# Back to the picture from the beginning. The hero model of chapter 00 walks a cycle of three
# points, and finds roots. Is the cycle the *sign* that it found something? For a control we take
# its very architecture, throw all weights away, and draw them anew in two ways: as looplab draws a
# model before training, and with the standard deviation $1/\sqrt{\text{fan-in}}$ for every matrix
# (the fan-in is the number of inputs that it adds up). Nothing is trained. We ask, after 64 loops:
#
# - Is it at rest? The *relative step* says how far a state moved since the loop before, in units of
#   its length; below a thousandth, after every layer, we call a token at rest.
# - How far apart do the layers stand? Take the state after layer 1 and the state after another
#   layer, as arrows from the origin. The cosine of the angle between them is 1 where they point
#   the same way. The *least cosine* is the smallest of them: 1 would mean that no layer turns the
#   state.
# - How many answers are right?

# %% id="control"
hero = checkpoints.load("hero")


def redrawn(seed, fan_in=False, output=None):
    """The hero's architecture, untrained; output: standard deviation of the output projections."""
    torch.manual_seed(seed)
    model = LoopedTransformer(hero.config).eval().requires_grad_(False)
    if fan_in:
        for linear in (part for part in model.modules() if isinstance(part, nn.Linear)):
            nn.init.normal_(linear.weight, std=linear.in_features**-0.5)
        model.cores[0].injection.reset()  # half state, half input
    for layer in model.cores[0].layers if output else ():
        for linear in (layer.attn.out, layer.mlp.down):
            linear.weight.mul_(output / linear.weight.std())
    return model


def settled(model, tokens):
    """Its trace over 64 loops, the share of tokens at rest, and the least cosine of the layers."""
    run = trace(model, tokens, 64, generator=torch.Generator().manual_seed(0))
    still = measure.relative_step(run.states)[-1].amax(0) < 1e-3  # [batch, token]
    return run, still.float().mean().item(), measure.min_layer_cosine(run.states).mean().item()


models = {"hero, trained": hero}
models |= {f"looplab's draw, seed {seed}": redrawn(seed) for seed in range(3)}
models |= {f"1/sqrt(fan-in), seed {seed}": redrawn(seed, fan_in=True) for seed in range(3)}
print("                          tokens at rest   least cosine   right   std of out and down")
for name, each in models.items():
    run, still, cosine = settled(each, forests.tokens)
    right = (run.logits.argmax(-1) == forests.targets).float().mean()
    layer = each.cores[0].layers[0]
    told = f"{layer.attn.out.weight.std():.2f}, {layer.mlp.down.weight.std():.2f}"
    rests = "all" if still == 1 else f"{100 * still:.0f} %"
    print(f"{name:24s} {rests:>15s} {cosine:14.2f} {100 * right:7.0f} %   {told}")
print(f"one answer of twelve at random would be right in {100 / 12:.0f} %")

# %% [markdown] id="control-result"
# **Measured here.**<!-- by control --> As looplab draws them, the untrained models rest as well,
# their layers on nearly one point. Drawn with $1/\sqrt{\text{fan-in}}$, their layers stand about as
# far apart as the hero's. All tokens of one of the three rest, and 92 and 85 % of the others'. None
# of them was taught anything.
#
# Why do the two draws differ so much? The last column has a suspect, the **output projections**:
# the two matrices of a layer that write into the state, `out` of the attention and `down` of the
# MLP. Like many recipes for deep models, looplab's lets them start small: who writes often should
# write little at a time. We keep looplab's draw and change nothing but their scale.

# %% id="scale-measure"
scales = [n / 100 for n in range(1, 19)]
ends = torch.empty(3, 18, 3, hero.config.width)  # of one token [seed, scale, layer, width]
opened, rests = torch.empty(2, 3, 18)  # least cosine and share of tokens at rest [seed, scale]
for seed in range(3):
    for n, scale in enumerate(scales):
        model_there = redrawn(seed, output=scale)
        run, rests[seed, n], opened[seed, n] = settled(model_there, forests.tokens[:8])
        ends[seed, n] = run.states[-1, :, 0, 4]
print("std of out and down   least cosine, seeds 0 to 2")
for n in (0, 1, 3, 5, 8, 11, 14, 17):
    print(f"{scales[n]:19.2f}   " + "  ".join(f"{cosine:.2f}" for cosine in opened[:, n]))

print(f"every token at rest after 64 loops: in {(rests == 1).sum()} of {rests.numel()} models")
around = ends - ends.mean(2, keepdim=True)  # each triangle around its own middle
corners = torch.stack([measure.cycle_pca(each).points for each in around])  # a plane for each seed
opening = PlaneStepper(
    torch.cat((corners, corners[:, :, :1]), dim=2),  # and back to layer 1
    title="Where the three layers of an untrained model rest, by the scale of what they write",
    menus={"seed": ["0", "1", "2"]},
    names=("after layer 1", "after layer 2", "after layer 3"),
    kinds=[0, 1, 2, 0],
    captions=[
        [
            f"Output projections of standard deviation {scale:.2f}: least cosine {cosine:.2f}."
            for scale, cosine in zip(scales, row, strict=True)
        ]
        for row in opened.tolist()
    ],
    path=True,
    slider="std in hundredths",
)
shown = (1, 2, 6, 12, 18)
opening.film_strip(frames=shown, headings=[f"std {n / 100:.2f}" for n in shown])

# %% id="scale-slider"
opening


# %% id="whose-outputs"
def outputs(model):
    """The matrices that write into the state."""
    layers = model.cores[0].layers
    return [matrix for layer in layers for matrix in (layer.attn.out.weight, layer.mlp.down.weight)]


def with_outputs(model, matrices):
    for there, matrix in zip(outputs(model), matrices, strict=True):
        there.copy_(matrix)
    return model


def shuffled(matrix, seed):
    """The same numbers in other places: the same standard deviation, and no structure."""
    order = torch.randperm(matrix.numel(), generator=torch.Generator().manual_seed(seed))
    return matrix.flatten()[order].view_as(matrix)


rows = {"the hero": [hero]}
rows["the hero, its outputs shuffled"] = [
    with_outputs(checkpoints.load("hero"), [shuffled(one, seed) for one in outputs(hero)])
    for seed in range(3)
]
rows["untrained, with the hero's outputs"] = [
    with_outputs(redrawn(seed), outputs(hero)) for seed in range(3)
]
for name, row in rows.items():
    cosines = (settled(each, forests.tokens[:8])[2] for each in row)
    print(f"{name:36s} least cosine", *(f"{cosine:.2f}" for cosine in cosines))

# %% [markdown] id="scale-text"
# Move the slider: the scale of these matrices alone opens the triangle.
# **Measured here:**<!-- by scale-measure --> with outputs of standard deviation 0.02 the least
# cosine is 0.99 in all three draws; with 0.18, between 0.60 and 0.74. Nothing was learned on
# the way. When somebody shows you layers that stand apart, ask how their weights were drawn.
#
# Then what of the hero? **Measured here:**<!-- by control, whose-outputs --> the outputs of its
# first layer have 0.07 and 0.04, between the third and the fifth line of the table, and yet it
# stands at 0.64 on these forests. Two controls look for the reason (printed above). Shuffle the
# numbers inside its output projections, so that the scale stays and no structure does: it falls
# back to 0.90. Give its output projections to untrained models: they stand at 0.86 to 0.95. So its
# tour *is* wider than scale explains, and neither part alone explains it. (Our reading: training
# fitted the matrices that write to those that read.) You only know this because you had the
# controls. Nor is the scale all of the gap between the two draws: those of $1/\sqrt{\text{fan-in}}$
# write 0.17 and 0.09 and stand at 0.60 to 0.65, where scale alone needs 0.18 for both.

#
# A closed tour tells you that a loop has come to rest and that its layers still act. It does not
# tell you that they do something useful. This is why the twins have a third companion throughout
# the course: the **untrained** model. What it does as well is no achievement of training.

# %% [markdown] id="ex6-card"
# ## Build 4: a looped model of your own
#
# Time to put the parts together, and to keep the result. `MyLoop` is a whole model for
# find-the-root: chapter 02 trains it, and the later chapters point their instruments at it. It has
# three methods:
#
# - `encode`: a token has two labels, its own and its parent's, each a number from 0 to 11. Each of
#   the two is looked up in **a table of its own** (`nn.Embedding`), and the two vectors are added;
# - `step`: inject the input into the state (Build 2), then run the block (Build 1);
# - `readout`: norm the state, and map it to one *logit* for each of the 12 labels.
#
# One block is enough, and 32 numbers in a state. All has to stand in this one cell, because it
# travels with you: use nothing but `torch`, `nn` and `F`. Besides the three methods it needs an
# attribute `blocks`, an `nn.ModuleList` of the layers that a pass runs: the instruments look there.
#
# One piece of advice, which is not checked: let the two matrices that write into the state (the
# attention's `out_proj`, and the second one of the MLP) start with a standard deviation of 0.02. In
# a loop the same branch writes again and again, and you have just seen how much its scale decides.
# With small outputs a pass is at first hardly more than the mix, and training starts from there.
# Let the mix start as in Build 2, half state and half input. PyTorch's own layers will do too, if
# you like: `blocks` may hold an `nn.TransformerEncoderLayer`. Any norm will do, and any bias.
#
# **Exercise 01.6 · a looped model of your own** · hard · core · 15 minutes · *idea: block, loop,
# input, answer: forty lines, and they are all there is*


# %% id="own-model-answer" role="answer" ex="01.6"
# exercise 01.6
class MyBlock(nn.Module):
    """One pre-norm layer: state [batch, token, width] -> the same shape."""

    def __init__(self, width, heads):
        super().__init__()
        # --- solution
        self.norm1, self.norm2 = nn.RMSNorm(width), nn.RMSNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, bias=False, batch_first=True)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        for out in (self.attention.out_proj, self.down):
            nn.init.normal_(out.weight, std=0.02)
        # --- stub
        # todo()  # replace this line: two norms, attention, an MLP
        # --- end

    def forward(self, z):
        # --- solution
        seen = self.norm1(z)
        z = z + self.attention(seen, seen, seen, need_weights=False)[0]
        return z + self.down(F.gelu(self.up(self.norm2(z))))
        # --- stub
        # return todo()  # replace this line
        # --- end


class MyLoop(nn.Module):
    """A looped model of one block for find-the-root: the state starts at zero."""

    def __init__(self, labels=12, width=32, heads=2):
        super().__init__()
        # --- solution
        self.own, self.parent = nn.Embedding(labels, width), nn.Embedding(labels, width)
        self.mix = nn.Linear(2 * width, width, bias=False)
        self.blocks = nn.ModuleList([MyBlock(width, heads)])
        self.norm, self.head = nn.RMSNorm(width), nn.Linear(width, labels, bias=False)
        half = torch.eye(width) / 2
        self.mix.weight.data = torch.cat((half, half), dim=1)  # half state, half input
        # --- stub
        # todo()  # replace this line: two tables, the mix, self.blocks, what the read-out needs
        # --- end

    def encode(self, tokens):
        """The input: tokens [batch, token, 2] = (own label, parent's) -> [batch, token, width]."""
        # --- solution
        return self.own(tokens[..., 0]) + self.parent(tokens[..., 1])
        # --- stub
        # return todo()  # replace this line
        # --- end

    def step(self, z, x):
        """One pass: state z and input x, both [batch, token, width] -> the next state."""
        # --- solution
        z = self.mix(torch.cat((z, x), dim=-1))
        for block in self.blocks:
            z = block(z)
        return z
        # --- stub
        # return todo()  # replace this line
        # --- end

    def readout(self, z):
        """The answers: state [batch, token, width] -> logits [batch, token, labels]."""
        # --- solution
        return self.head(self.norm(z))
        # --- stub
        # return todo()  # replace this line
        # --- end


# %% id="own-model-check" role="check" ex="01.6"
MyLoop = check("01.6", MyLoop)

# %% [markdown] id="ex6-hints"
# <details><summary>Hint 1, a nudge</summary>
# You have written nearly all of it: the parts of <code>Block</code>, the two lines of 01.1, the
# inner lines of 01.2. New are two <code>nn.Embedding(labels, width)</code> and a read-out.
# </details>
# <details><summary>Hint 2, a plan</summary>
# <code>MyBlock</code> is the class of Build 1 with 01.1 as its <code>forward</code>. In
# <code>MyLoop</code>, <code>__init__</code> makes two tables, a linear layer from twice the width
# to the width, <code>self.blocks</code>, a norm and a linear layer to the labels. No loop stands
# in it: <code>step</code> is one pass, and whoever runs the model calls it again and again.
# </details>
# <details><summary>Hint 3, almost code</summary>
# The fields of a token are <code>tokens[..., 0]</code> and <code>tokens[..., 1]</code>. A pass is
# <code>z = self.mix(torch.cat((z, x), dim=-1))</code>, then <code>z = block(z)</code> for each
# block of <code>self.blocks</code>. The read-out is a linear layer of a norm of <code>z</code>.
# </details>
#
# [Solution](solved/01_loop_a_block.ipynb)

# %% id="own-model-run"
runs, rights = [], []
for seed in range(3):
    torch.manual_seed(seed)
    mine = adapt(MyLoop())  # encode, step and readout, in the form of a model of looplab's
    run = trace(mine, forests.tokens, 24)
    runs.append(measure.relative_step(run.states).mean((1, 2, 3)))
    rights.append((run.logits.argmax(-1) == forests.targets).float().mean().item())
rates = measure.contraction_rate(torch.stack(runs, dim=1))
print(f"weights to be trained: {count_weights([mine])}")
print("right answers, three draws:", ", ".join(f"{100 * right:.0f} %" for right in rights))
print("step / the step before:", ", ".join(f"{rate:.2f}" for rate in rates))
picture = plots.lines_by_layer(
    torch.stack(runs, dim=1),
    "step / length of the state",
    floor=2e-7,
    names=[f"draw {seed}" for seed in range(3)],
    first_loop=2,
)
plots.mark(picture, whose("01.6"))

# %% [markdown] id="own-model-text"
# That is a looped model of 16 thousand weights, and it knows nothing yet. **Measured
# here**,<!-- by own-model-run --> three draws of the solution's model: each pass makes the step
# half as long as
# the one before. This is what the mix does by itself, half state and half input; a block that
# starts small hardly disturbs it. If yours starts in another way, the figure tells you what it does
# instead. With a single block there is a single point in a tour, the one behind that block.
#
# Keep what you wrote: `from looplab import passport; passport.save()` puts it into one small file.
# Chapter 02, with this file beside it, trains your model.
#
# ## Loop anything
#
# Nothing in a loop has to be a transformer. Whatever maps a state and an input to a state can go
# round: `adapt` takes any module or function of the two, and `trace` runs it. Here are five, each
# drawn three times, on twelve tokens of random numbers; the sixth line is **yours**. Change it, to
# a module of another kind, or to another way of bringing in the input, guess, and run the cell:
# does the state rest, wander, or explode?


# %% id="any-loop"
def drawn(seed):
    """Maps of state and input, both [1, token, width], to the next state."""
    torch.manual_seed(seed)
    gru, rnn, mine = nn.GRUCell(width, width), nn.RNNCell(width, width), nn.Linear(width, width)
    conv = nn.Conv1d(width, width, 3, padding=1)
    layer = nn.TransformerEncoderLayer(width, 2, dropout=0, batch_first=True, norm_first=True)
    for module in (gru, rnn, conv, layer, mine):
        module.double()  # a state that wanders magnifies rounding
    rnn.weight_hh.data *= 6
    return {
        "GRU cell": lambda z, x: gru(x[0], z[0])[None],
        "RNN cell, 6 times its weights": lambda z, x: rnn(x[0], z[0])[None],
        "z + convolution of z + x": lambda z, x: z + conv((z + x).mT).mT,
        "pre-norm layer of z + x": lambda z, x: layer(z + x),
        "pre-norm layer of (z + x) / 2": lambda z, x: layer((z + x) / 2),
        "yours": lambda z, x: torch.tanh(mine(z) + x),  # change this line
    }


ends = {name: [] for name in drawn(0)}
for seed in range(3):
    for name, step in drawn(seed).items():
        x = torch.randn(1, 12, width, generator=torch.Generator().manual_seed(seed)).double()
        ends[name].append(trace(adapt(step), x, 256).loop_ends[:, 0])
ends = {name: torch.cat(runs, dim=1) for name, runs in ends.items()}  # [loop, 36 tokens, width]
print("36 tokens each             rest, to 1 %   mean length at loop 1, 128, 256")
for name, states in ends.items():
    rest = measure.limit_by_period(states).limit == measure.Limit.FIXED_POINT
    told = "all" if rest.all() else "some" if rest.any() else "none"
    lengths = states[[0, 127, 255]].norm(dim=-1).mean(1).tolist()
    print(f"{name:30s} {told:>8s}  ", *(f"{n:9.0f}" if n < 1e4 else f"{n:9.0e}" for n in lengths))
moving = torch.stack([measure.relative_step(each).mean(1) for each in ends.values()], dim=1)
plots.lines_by_layer(moving[:96], "step / length of the state", names=list(ends), first_loop=2)

# %% [markdown] id="any-loop-result"
# **Measured here**,<!-- by any-loop --> 36 tokens each. We call a token at rest if in the last
# quarter of the run it stays within 1 % of its mean there. The GRU cell rests. The plain RNN cell
# with large weights does not grow, its tanh holds it, but only some of its tokens rest; the others
# *wander*, or turn on orbits too long to see here. The convolution *explodes*, and its line in the
# figure is flat: each pass makes the state and the step longer by the same factor. The two pre-norm
# layers differ by a division by two. Without it every pass adds some more: after twice the loops
# the state is twice as long, and its line falls. So a flat line can be an explosion and a falling
# one a growing state: look at the length too before you call a loop at rest. With the division it
# does rest.
#
# What decides this is the subject of chapter 05. Send your line to a friend, and let them guess.
#
# ### An open question (no check)
#
# Your `MyBlock` is pre-norm. Move its norms behind the sums, as in `z = norm1(z + ...)`, and draw
# the figure of your model again. Does the loop rest sooner, later, or not at all? Change the mix
# from half and half to nine tenths state and one tenth input. Which of the two changes mattered
# more, and for more than one seed? Write down your guess first.

# %% [markdown] id="interpret"
# ## Interpret
#
# - A loop is a block, applied to its own output and to the same input again. Everything else in
#   this course is about what the block does with that chance.
# - Sharing weights is a statement about *storage* and *gradient*, not about compute: the unrolled
#   twin does as much arithmetic, and if its weights are copies, its gradients, added up, are the
#   loop's.
# - Rest, and even a cycle, come with architecture and size of weights. Look for what training adds.
# - Whatever maps a state and an input to a state can be looped, and few lines decide whether it
#   rests.
# - All random stacks here are small (32 wide, three layers, twelve tokens). Chapter 05 varies more.
#
# ## Key points
#
# 1. $(p, k{\otimes}l, c)$ stores $p + k + c$ layers and runs $p + k\,l + c$.
# 2. Two fair comparisons: unrolled (equal compute), shallow (equal parameters). A third: untrained.
# 3. The gradient of a shared weight is the sum over its uses; the mix and the scale of the weights
#    decide which of them weigh.
# 4. Injection keeps the question in the state, and lets the start be forgotten.
# 5. An untrained stack can walk a cycle. A cycle is not intelligence; how wide it is depends, among
#    other things, on the scale at which layers write.
# 6. A looped model is an input, a step and a read-out: forty lines, and you have written them.

# %% [markdown] id="questions"
# ## Five questions
#
# 1. How many layers does $(2, 4{\otimes}8, 2)$ store, and how many does a state pass through?
# <details><summary>Answer</summary>
# It stores 2 + 4 + 2 = 8, and a state passes through 2 + 4 &middot; 8 + 2 = 36.
# </details>
#
# 2. `[Block(32, 2)] * 6` and `[Block(32, 2) for _ in range(6)]`: which one is looped?
# <details><summary>Answer</summary>
# The first: a list with six times the same block. The second makes six blocks. Both run six.
# </details>
#
# 3. You double the number of loops in training. What happens to the weights' gradient?
# <details><summary>Answer</summary>
# It becomes a sum of twice as many terms. Whether it grows depends on them: where early passes
# hardly count, as with the half-half mix and looplab's small weights, the new terms add little.
# </details>
#
# 4. A loop without injection comes to the same point from every start. What does it know about its
# input?
# <details><summary>Answer</summary>
# Nothing: the input was only its start.
# </details>
#
# 5. A colleague shows you a beautiful closed cycle in a trained model, as a proof that it reasons.
# What do you ask for?
# <details><summary>Answer</summary>
# The same picture of the same architecture untrained, how the weights of both were drawn, and a
# measure of what the answers are worth.
# </details>
#
# ## Scoreboard

# %% id="scoreboard"
scoreboard("01")

# %% [markdown] id="read-on"
# ## Read on
#
# - Back: [00 Welcome](00_welcome.ipynb). Next: [02 Train a tiny loop](02_train_a_tiny_loop.ipynb).
# - Dehghani et al., *Universal Transformers*, [arXiv 1807.03819](https://arxiv.org/abs/1807.03819):
#   one block, shared over depth.
# - Bai et al., *Deep Equilibrium Models*, [arXiv 1909.01377](https://arxiv.org/abs/1909.01377): a
#   layer with injection, run until it rests.
# - Blayney et al., [arXiv 2604.11791](https://arxiv.org/abs/2604.11791), section 2: the notation.
