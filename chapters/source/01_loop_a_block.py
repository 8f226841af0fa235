# ---
# jupyter:
#   looplab:
#     chapter: "01"
#     title: Loop a block
#     minutes: 55
#     needs: PyTorch, and what attention is
#     learn: write a looped stack yourself, and tell its weights, its depth and its gradient apart
# ---

# %% [markdown] id="title"
# # 01 · Loop a block
#
# *55 minutes · a laptop CPU · you should know PyTorch and what attention is*
#
# Nothing is trained in this chapter. You write a looped transformer in about twenty lines of plain
# PyTorch, count what it has and what it does, follow its gradient back through the passes, and find
# out why the input must be handed in again and again. What a loop does *before* it has
# learned anything is the yardstick for all that comes later.
#
# **You will be able to**
#
# - write a block and a loop around it, and read the notation $(p, k{\otimes}l, c)_I$;
# - keep parameters and depth apart, and set up the two fair comparisons for a looped model;
# - say what the gradient of a shared weight is, and show it;
# - measure how much of the input is left in the state after many loops;
# - see a cycle in a stack of random weights, and not be impressed by it.
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
# Three transformer layers, their weights drawn from a normal distribution. Twelve random tokens.
# The state runs through the three layers, then through the same three again, 24 times in all; at
# the start of each pass it is mixed half and half with the input. Nobody has trained anything. What
# does the state of a token do in the end?
#
# - `"explodes"`: it grows and grows;
# - `"wanders"`: it never comes back to where it was;
# - `"rests"`: it comes to a point where no layer moves it any more;
# - `"tours"`: each layer still moves it, but every pass is the same tour.

# %% id="predict-cell"
my_guess = "wanders"

# %% [markdown] id="explore"
# ## Explore
#
# Here are three such stacks, the draws with seeds 0, 1 and 2. The picture shows one token after
# every layer of the last four passes, in the plane in which its whole path spreads most. The large
# mark is where it is now.


# %% id="untrained-strip"
def last_passes(path, window=4):
    """Frames of a path [loop, layer, 2]: at each loop the last `window` passes, oldest first."""
    waiting = path.new_full((window - 1, *path.shape[1:]), torch.nan)
    padded = torch.cat((waiting, path))
    return torch.stack([padded[n : n + window].flatten(0, 1) for n in range(len(path))])


def moves(path):
    """How far the layers' states [loop, layer, width] moved since the loop before, in words."""
    side = (path[-1] - path[-1].roll(1, 0)).norm(dim=-1).max()  # longest side of the last tour
    moved = (path[1:] - path[:-1]).norm(dim=-1).amax(1) / side
    told = [
        f"Loop {n}: since loop {n - 1} no layer's point moved by more than "
        f"{100 * float(far):.{0 if far > 0.1 else 1 if far > 0.001 else 3}f} % of the tour's "
        "longest side."
        for n, far in enumerate(moved, 2)
    ]
    return ["Loop 1: the first pass.", *told]


token, paths = 5, []
for seed in range(3):
    stack = grid.random_stack("Huginn", "half-half", 3, gain=1.0, seed=seed)
    run = trace(
        stack, grid.random_tokens(seed, 12), 24, generator=torch.Generator().manual_seed(seed)
    )
    paths.append(run.states[:, :, 0, token])  # [loop, layer, width]
untrained = PlaneStepper(
    torch.stack([last_passes(measure.cycle_pca(path).points) for path in paths]),
    title="One token of an untrained stack of three layers, the last four passes",
    menus={"seed": ["0", "1", "2"]},
    names=("after layer 1", "after layer 2", "after layer 3"),
    kinds=[0, 1, 2] * 4,
    captions=[moves(path) for path in paths],
    path=True,
)
untrained.film_strip(frames=(1, 2, 4, 8, 16))

# %% id="untrained-slider"
untrained

# %% [markdown] id="explore-questions"
# Move the slider, or press play, and change the seed. When does the tour close? Is it equally
# quick for all three seeds? Do the layers end on one point, or on three?

# %% id="predict-answer"
draws = grid.grid(["Huginn"], ["half-half"], [3], [1.0], seeds=range(12))
names = {"cycle": "tours", "degenerate": "rests", "explodes": "explodes"}
found = [names.get(one.kind, "wanders") for one in draws]
print("twelve draws, 128 loops:", {name: found.count(name) for name in sorted(set(found))})
print(f"you guessed {my_guess!r}")

# %% [markdown] id="explore-result"
# **Measured here**, for this norm, this injection and this size of weights: a closed tour, and
# nothing has been learned. Chapter 05 turns all three knobs and finds loops that do other things.
# Keep this picture in mind when you see a trained model walk a cycle. Now we build one.
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
    floor=1e-6,
    names=["the stack you wrote"],
    first_loop=2,
)
plots.mark(picture, whose("01.2"))

# %% [markdown] id="own-stack-text"
# **Measured here**, one draw: twenty lines, weights as PyTorch happens to draw them, and the steps
# shrink by a nearly constant factor down to rounding. Is it the real thing? We put looplab's own
# layers into your loop, and compare with looplab's model.

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
# state passes through $p + k\,l + c$ layers, the *realised depth*. Boxes with one letter share
# their weights, and a dot says where the input comes in.

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
# parameters, where a weight that is used three times is still **one** weight. Beware: two weights
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
# - the **shallow twin** has the same weights, and runs them once: equal *parameters*.

# %% id="rack-picture"
rack = {
    "looped": config,
    "unrolled twin": config.unrolled(),
    "shallow twin": config.shallow(),
}
sketch.rack(rack)

# %% id="rack-count"
print("                layers run   weights in them   multiplications and additions, millions")
for name, each in rack.items():
    twin = LoopedTransformer(each)
    passes = [twin.cores[0 if each.tied else loop] for loop in range(each.loops)]
    stack = [layer for one in passes for layer in one.layers]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        twin(forests.tokens[:1])
    flops = counter.get_total_flops() / 1e6
    print(f"{name:15s} {len(stack):10d}   {count_weights(stack):15d}   {flops:10.1f}")

# %% [markdown] id="rack-result"
# **Measured here.** The looped stack and its unrolled twin do exactly the same arithmetic; the twin
# has six times the weights. The shallow twin has exactly the looped stack's weights and does about
# a sixth of the arithmetic. So "the looped model is better" can mean two things, and "the looped
# model is as good" too. Say which twin you mean.
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
# **Exercise 01.4 · the gradient, pass by pass** · hard · stretch · 10 minutes · *idea: to ask what
# one use of a weight does, give that use a weight of its own*


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
print("length of a pass's gradient / length of the sum, passes 1 to 6")
for share in (0.5, 0.9):
    for seed in range(3):
        torch.manual_seed(seed)
        model = LoopedTransformer(config)
        with torch.no_grad():
            eye = torch.eye(config.width)
            mix_of_both = torch.cat((share * eye, (1 - share) * eye), dim=1)
            model.cores[0].injection.mix.weight.copy_(mix_of_both)
        weight = model.get_parameter(name)
        by_pass = gradient_by_pass(one_pass, weight, torch.zeros_like(embedded), 6, loss_of)
        sizes = by_pass.flatten(1).norm(dim=1) / by_pass.sum(0).norm()
        told = "  ".join(f"{size:.2f}" for size in sizes)
        print(f"mix of {share:.0%} state, {1 - share:.0%} input, seed {seed}:  {told}")

# %% [markdown] id="gradient-text"
# **Measured here:** the sum agrees to rounding. How much each pass counts is not a law of loops. In
# three untrained models with the half-half mix the last pass weighs most, and each pass before it
# about half as much. Keeping only the last few passes' gradients then loses little, and saves the
# memory of all the others: you do that in chapter 02. As a control, the same models with a mix that
# keeps nine tenths of the state: now all passes count, and the first, which starts at zero, counts
# most. Who keeps only the last two there has less than half of the gradient.
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
# To measure it, we run two different inputs and compare their states. The unit matters: a state may
# grow, so the distance is given in units of the mean length of the two states.
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
seeds, left, moved = range(12), {}, {}  # left: influence [input or start, seed, loop]
one, other = (
    torch.stack([grid.random_tokens(seed + shift, 12) for seed in seeds]) for shift in (0, 100)
)
for norm in grid.NORMS:
    for injection in ("none", "half-half"):
        stacks = [grid.random_stack(norm, injection, 3, 1.0, seed) for seed in seeds]
        # Three runs of each stack: two on one input, the third on another, each with its own start.
        states = grid.run_together(stacks, torch.cat((one, one, other), dim=1), 128)
        a, again, b = states[:, :, -1].unbind(2)  # ends of the loops [seed, loop, token, width]
        moved[norm, injection] = measure.relative_step(a.transpose(0, 1))[-1].mean(-1)
        left[norm, injection] = torch.stack((influence(a, b), influence(a, again))).mean(-1)


def span(values):
    return f"{values.min():.0e} {values.median():.0e} {values.max():.0e}"


print("twelve stacks of three layers, 128 loops; smallest, median, largest of the twelve")
print("norm    injection   influence of the input   below 1e-5   at rest   of the start")
for (norm, injection), (by_input, by_start) in left.items():
    lost = f"{(by_input[:, -1] < 1e-5).sum().item()} of 12"
    rest = f"{(moved[norm, injection] < 1e-3).sum().item()} of 12"
    start = span(by_start[:, -1]) if injection != "none" else "(the start is the input)"
    print(f"{norm:7s} {injection:10s}  {span(by_input[:, -1]):23s}  {lost:11s}  {rest:8s}  {start}")

print("Huginn's and Ouro's norms without injection, 24 stacks:")
lost = torch.cat([left[norm, "none"][0][:, -1] < 1e-5 for norm in ("Huginn", "Ouro")])
rests = torch.cat([moved[norm, "none"] < 1e-3 for norm in ("Huginn", "Ouro")])
for told, these in {"at rest": rests, "not at rest": ~rests}.items():
    print(f"  {told:11s}  forgot {(these & lost).sum()}, kept a difference {(these & ~lost).sum()}")

# %% id="influence-figure"
medians = [left["Huginn", kind][0].median(0).values for kind in ("none", "half-half")]
picture = plots.lines_by_layer(
    torch.stack(medians, dim=1),
    "influence of the input",
    names=["no injection", "injection"],
    floor=1e-6,
)
plots.mark(picture, whose("01.5"))

# %% [markdown] id="influence-text"
# **Measured here**, twelve draws of each kind. With injection no stack forgot its input, and of the
# start, random and different in each run, at most a ten-thousandth is left. Without injection most
# stacks with Huginn's or Ouro's norms forgot the input down to rounding: two different questions,
# one end. The figure shows the median of Huginn's: it is gone by loop 50.
#
# Two honest remarks. Not every such stack forgot. Most of those that kept a difference were not at
# rest after 128 loops; a few had come to rest, on different points for the two inputs (see the last
# lines of the table). They are the lucky ones of the argument above. And pre-norm stacks without
# injection did not forget. There the state is a sum, and no norm acts on the sum itself: the first
# state stays in it for ever (**proved**: every branch only adds), ever smaller beside the rest.
# Chapter 05 shows where that ends.
#
# So injection is not an ornament. **It makes the end depend on the question and not on the start.**
# What it buys in training is another matter, and measured where something is trained.

# %% [markdown] id="control-text"
# ## A cycle is not intelligence
#
# Back to the picture from the beginning. The hero model of chapter 00 walks a cycle of three
# points, and finds roots. Is the cycle the *sign* that it found something? For a control we take
# its very architecture, throw all weights away, and draw them anew with the standard deviation
# $1/\sqrt{\text{fan-in}}$. Nothing is trained. Three things are measured after 64 loops: whether
# each layer's state stands still from loop to loop, how far apart the layers stand (the least
# cosine between their points: 1 would mean one point), and how many answers are right.

# %% id="control"
hero = checkpoints.load("hero")


def redrawn(seed):
    """The hero's architecture with all weight matrices drawn at random."""
    torch.manual_seed(seed)
    model = LoopedTransformer(hero.config).eval().requires_grad_(False)
    for linear in (part for part in model.modules() if isinstance(part, nn.Linear)):
        nn.init.normal_(linear.weight, std=linear.in_features**-0.5)
    model.cores[0].injection.reset()  # half state, half input
    return model


models = {"hero, trained": hero} | {f"untrained, seed {seed}": redrawn(seed) for seed in range(5)}
print("                      relative step   cosine of layers   right answers")
for name, each in models.items():
    run = trace(each, forests.tokens, 64, generator=torch.Generator().manual_seed(0))
    step = measure.relative_step(run.states)[-1].median()
    cosine = measure.min_layer_cosine(run.states).mean()
    right = (run.logits.argmax(-1) == forests.targets).float().mean()
    print(f"{name:20s} {step:14.0e} {cosine:18.2f} {100 * right:13.0f} %")
print(f"one answer of twelve at random would be right in {100 / 12:.0f} %")

# %% id="control-figure"
run = trace(models["untrained, seed 0"], forests.tokens[:1], 32)
plots.cycle(
    measure.cycle_pca(run.states[:, :, 0, 4]), "The hero's architecture, untrained, loops 1 to 32"
)

# %% [markdown] id="control-result"
# **Measured here.** The untrained stacks rest as well, on three points about as far apart as the
# hero's. They know nothing. A closed tour tells you that a loop has come to rest and that its
# layers still act. It does not tell you that they do something useful.
#
# This is why the twins have a third companion throughout the course: the **untrained** model. What
# it does as well is no achievement of training.
#
# ### An open question (no check)
#
# Your own `Block` is pre-norm. Move its norms behind the sums, as in `x = norm1(x + ...)`, and
# repeat the figure of Build 2. Does the loop rest sooner, later, or not at all? Change the mix from
# half and half to nine tenths state and one tenth input. Which of the two changes mattered more,
# and for more than one seed? Write down your guess first.

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
# travels with you: use nothing but `torch`, `nn` and `F`. What is still missing is an attribute
# `blocks`, an `nn.ModuleList` of the layers that a pass runs, so that the instruments find them.
#
# One piece of advice, which is not checked: let the two matrices that write into the state (the
# attention's `out_proj`, and the second of the MLP) start small, with a standard deviation of 0.02.
# In a loop the same branch writes again and again. Large outputs throw the state about before
# training has begun; with small ones a pass is at first hardly more than the mix, and the gradient
# gets through many of them. PyTorch's own layers will do too, if you like: `blocks` may hold an
# `nn.TransformerEncoderLayer`.
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
    mine = adapt(MyLoop())  # encode, step and readout in the dress of a looplab model
    run = trace(mine, forests.tokens, 48)
    runs.append(measure.relative_step(run.states).mean((1, 2, 3)))
    rights.append((run.logits.argmax(-1) == forests.targets).float().mean().item())
print(f"weights: {count_weights([mine])}")
print("right answers, untrained:", ", ".join(f"{100 * right:.0f} %" for right in rights))
picture = plots.lines_by_layer(
    torch.stack(runs, dim=1),
    "step / length of the state",
    floor=1e-6,
    names=[f"draw {seed}" for seed in range(3)],
    first_loop=2,
)
plots.mark(picture, whose("01.6"))

# %% [markdown] id="interpret"
# ## Interpret
#
# - A loop is a block, applied to its own output and to the same input again. Everything else in
#   this course is about what the block does with that chance.
# - Sharing weights is a statement about *storage* and *gradient*, not about compute: the unrolled
#   twin does the same arithmetic, and its gradients, added up, are the loop's.
# - Rest, and even a cycle, come with architecture and size of weights. Look for what training adds.
# - All random stacks here are small (32 wide, three layers, twelve tokens). Chapter 05 varies more.
#
# ## Key points
#
# 1. $(p, k{\otimes}l, c)$ stores $p + k + c$ layers and runs $p + k\,l + c$.
# 2. Two fair comparisons: unrolled (equal compute), shallow (equal parameters). A third: untrained.
# 3. The gradient of a shared weight is the sum over its uses; the mix decides which of them weigh.
# 4. Injection keeps the question in the state, and lets the start be forgotten.
# 5. An untrained stack can walk a cycle. A cycle is not intelligence.

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
# hardly count, as with the half-half mix here, the new terms add little.
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
# The same picture of the same architecture untrained, and a measure of what the answers are worth.
# </details>

# %% [markdown] id="scoreboard-text"
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
