# ---
# jupyter:
#   looplab:
#     chapter: "05b"
#     title: Fast, slow or never
#     minutes: 80
#     needs: chapter 05
#     learn: say how fast a loop settles, and tell rest, orbit, torus and chaos apart
# ---

# %% [markdown] id="title"
# # 05b · Fast, slow or never
#
# *80 minutes · a laptop CPU · you should know chapter 05*
#
# The first half of this chapter counted which loops come to rest. This half asks *how*: how fast,
# and if not, what they do instead. The answers are a handful of numbers taken from the derivative
# of one loop. They say how quickly a trained loop settles, and what a term in the loss has changed.
#
# **You will be able to**
#
# - make the linear part of a loop safe, and say why that is not enough;
# - compute the largest multiplier of a loop from products alone, and its Lyapunov exponent from two
#   neighbours;
# - read spectral radius and spectral norm together, and say what each does not tell you;
# - tell what comes back, a torus and chaos apart by the exponent, rest from an orbit by whether one
#   loop brings the state back, and say what a window of loops cannot show;
# - find a fixed point that a loop runs away from, and hold the loop there.
#
# Claims are labelled **proved**, **measured here** (a cell recomputes it) or **reported** (in a
# paper). Exercises kept their numbers when the chapter was divided, so 05.5 comes first.

# %% id="set-up"
import json
from collections import Counter
from math import sqrt

import torch
import torch.nn.functional as F

from looplab import (
    LoopedConfig,
    LoopedTransformer,
    checkpoints,
    grid,
    measure,
    plots,
    tasks,
)
from looplab.exercises import check, my_loop, scoreboard, todo
from looplab.widgets import PlaneStepper

stability = measure.stability

# %% [markdown] id="predict"
# ## One loop, close up
#
# Take a state $z$ and push it a little, by $d$. After one loop the two states differ by about
# $Jd$, where $J$ is the Jacobian of the loop at $z$: the matrix of all derivatives of new numbers
# by old ones. At a fixed point the same $J$ acts again and again. Its eigenvalues are called
# *multipliers*: a push along an eigenvector is multiplied by the same $\mu$ in every loop.
#
# - $\mu = 0.5$: the push is halved in each loop. $\mu = -0.5$: halved, and flipped to the other
#   side.
# - A complex pair of modulus 0.5: halved, and turned by the pair's angle.
# - Modulus above 1: the push grows, and the loop leaves.
#
# **Proved:** if all multipliers are below 1 in modulus, every small push dies out in the end. The
# largest modulus is the *spectral radius* $\rho(J)$; it is the slowest factor.
#
# ## Predict
#
# `root-k1` is chapter 02's model that overthinks, and `root-k1-penalty` the one that was trained
# with a short last step as well. Write True or False.

# %% id="guess"
my_guess = {
    "root-k1 comes to rest if one waits long enough": True,
    "the penalty makes the radius smaller": True,
    "a random stack that wanders for 100 loops wanders for ever": True,
    "two stacks of the same dice, one with weights a third larger, end alike": True,
}

# %% [markdown] id="explore"
# ## Explore: watch them move
#
# The circle is the unit circle. The dots are the six largest eigenvalues of this one loop's $J$, at
# the state that each of four trained models has reached after loops 4 to 15. These states still
# move; only at rest would the dots be multipliers. A dot on the right shrinks a push along its
# eigenvector, one on the left flips it as well, a pair off the axis turns it; outside the circle it
# grows.

# %% id="disc-strip"
forests = tasks.find_root(3, torch.Generator().manual_seed(7), max_depth=8)
mazes = tasks.flood_fill(3, torch.Generator().manual_seed(4), side=6)
bench = {name: forests for name in ("hero", "root-k1", "root-k1-long", "root-k1-penalty")}
bench["flood"] = mazes
models = {name: checkpoints.load(name).double() for name in bench}


def loop_of(model, item):
    """The loop on one input as a map, and its state at loop 0 [1, token, width]."""
    x = model.encode(item)
    return stability.loop_map(model, item), model.start(x, torch.Generator().manual_seed(0))


def span(values, digits=2):
    low, high = (
        f"{round(float(end), digits) + 0.0:.{digits}f}" for end in (min(values), max(values))
    )
    return low if low == high else f"{low} to {high}"


FIRST, LAST = 4, 15
frames, told = [], []
for name in ("hero", "root-k1", "root-k1-penalty", "flood"):
    step, state = loop_of(models[name], bench[name].tokens[:1])
    frames.append([])
    for loop in range(1, LAST + 1):
        state = step(state).detach()
        if loop < FIRST:
            continue
        try:
            leading = stability.leading_multipliers(step, state, 6)
        except RuntimeError:  # the iteration that finds them has given up
            leading = torch.full((6,), torch.nan, dtype=torch.complex128)
        frames[-1].append(torch.view_as_real(leading.flip(0)))  # the largest on top
        first = leading[0]
        if first.isnan():
            told.append(f"Loop {loop} of {name}: they did not converge.")
            continue
        where = "outside" if first.abs() > 1 else "inside"
        if first.imag == 0:
            turn = ", and is negative" if first.real < 0 else ""
        else:
            turn = f", turning by {first.angle().abs() * 57.3:.0f} degrees"
        told.append(
            f"Loop {loop} of {name}: the largest eigenvalue has modulus {first.abs():.2f}, "
            f"{where} the circle{turn}."
        )
disc = PlaneStepper(
    torch.stack([torch.stack(row) for row in frames]),
    title="Largest eigenvalues of one loop's J, and the unit circle",
    menus={"model": ["hero", "root-k1", "root-k1-penalty", "flood"]},
    first=FIRST,
    names=("the next five", "the largest"),
    kinds=[0, 0, 0, 0, 0, 1],
    captions=told,
    circle=True,
    axes=("real part", "imaginary part"),
)
disc.choose(model="root-k1")
disc.film_strip(frames=(LAST,), each="model")

# %% id="disc"
disc

# %% [markdown] id="disc-text"
# The strip shows the four models at loop 15. All dots of the hero and of `root-k1-penalty` are
# inside the circle: this loop shrinks a push along any of their eigenvectors. The largest one of
# `root-k1` is outside: there is an *eigenvector* that this loop makes longer. (Other pushes may
# grow even where all dots are inside; we come to that.) Whether an error outlives many loops is
# another question, because each loop on the way has a $J$ of its own; Build 3 asks it. The largest
# ones of `flood` are *negative*. The loop overshoots and comes back, which is how a period of two
# would begin if one of them reached $-1$. **Reported:** models of one task and one accuracy can
# differ in the kind of their leading multiplier, by seed ([arXiv
# 2608.26556](https://arxiv.org/abs/2608.26556)).
#
# ## The linear part
#
# The simplest piece of a loop first. With injection, a pre-norm loop of chapter 05 is
# $z \leftarrow W_z z + W_x x + (\text{what the branches add})$. The last two terms are bounded,
# because a branch reads a normed state. **Proved:** if all eigenvalues of $W_z$ are below 1 in
# modulus, the state stays bounded. Half-half has $\rho(W_z) = 1/2$. No injection has $W_z = I$ and
# $\rho = 1$: the edge, where pushes add up.
#
# And a random matrix? The *circular law* says: the eigenvalues of a large square matrix, whose
# entries are drawn independently with mean 0, fill a disc evenly. If the entries have variance
# $s^2/n$, the disc has radius $s$. $W_z$ is the left half of a matrix that is twice as wide as
# high, drawn with variance $g^2/2n$. So its disc has radius $g / \sqrt 2$, more or less at width
# 32.


# %% id="linear-part"
def tally(runs):
    """How many of these runs end in which way, in words."""
    kinds = Counter(grid.judge(one)["kind"] for one in runs)
    words = {"cycle": "at rest", "orbit": "on an orbit", "explodes": "exploded"}
    return ", ".join(f"{n} {words.get(kind, kind)}" for kind, n in kinds.most_common())


items = torch.stack([grid.random_tokens(seed, 12) for seed in range(8)])
print("pre-norm, random injection, four layers, eight seeds")
print("gain   g / sqrt 2   radius of the eight W_z   after 128 loops")
for gain in (0.5, 1.0, 1.5, 2.0):
    stacks = [grid.random_stack("pre", "random", 4, gain, seed).double() for seed in range(8)]
    halves = torch.stack([stack.cores[0].injection.mix.weight[:, :32] for stack in stacks])
    radii = torch.linalg.eigvals(halves).abs().amax(-1)
    told = tally(grid.run_together(stacks, items, 128))
    print(f"{gain:4g}   {gain / sqrt(2):10.2f}   {span(radii):23s}   {told}")

# %% [markdown] id="ex5-card"
# **Measured here:**<!-- by linear-part --> where the radius of the linear part is below 1 no stack
# explodes. At gain 1.5 it is just above 1 in all eight, and all but one explode in 128 loops. (The
# rule of chapter 05 calls that one degenerate; after 2000 loops, also there, it had exploded as
# well.) So it matters how one *starts* the injection matrix: compare half-half and random in
# chapter 05's table.
#
# ## Build 1 (exercise 05.5): an injection that cannot explode
#
# If the linear part is what explodes, make it safe by construction. Parcae ([arXiv
# 2604.12946](https://arxiv.org/abs/2604.12946)) replaces $W_z$ by a diagonal $A$: one decay per
# channel, read as a step of length $\Delta$ of the differential equation $\dot z = -a z$,
#
# $$A = \exp(-\Delta\, a), \qquad a = e^{\texttt{log\_a}}, \qquad
# \Delta = \text{softplus}(\texttt{dt\_bias}).$$
#
# Both $a$ and $\Delta$ are positive whatever numbers training writes into `log_a` and `dt_bias`.
# So every entry of $A$ lies between 0 and 1. **Proved:** $\rho(A) < 1$, always.
#
# **Exercise 05.5 · a decay below one** · easy · core · 4 minutes · *idea: let the formula keep the
# promise, not the optimiser*


# %% id="decay-answer" role="answer" ex="05.5"
# exercise 05.5
def decay(log_a, dt_bias):
    """What each channel of the state is multiplied by, between 0 and 1; all [width]."""
    # --- solution
    return torch.exp(-F.softplus(dt_bias) * log_a.exp())
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="decay-check" role="check" ex="05.5"
decay = check("05.5", decay)

# %% [markdown] id="ex5-hints"
# <details><summary>Hint 1, a nudge</summary>
# Read the formula from the inside out; every arrow has its function in torch.
# </details>
# <details><summary>Hint 2, a plan</summary>
# Rate: exp of its logarithm. Step: softplus of its parameter. Factor: exp of minus their product.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>log_a.exp()</code>, <code>F.softplus(dt_bias)</code>, and <code>torch.exp(-... *
# ...)</code>.
# </details>
#
# [Solution](solved/05b_fast_slow_or_never.ipynb)


# %% id="stable-linear-part"
def diagonal_stack(seed):
    """Four pre-norm layers behind a diagonal injection; matrices at gain 2, the decay drawn too."""
    random = torch.Generator().manual_seed(seed)
    config = LoopedConfig(
        vocab=32, width=32, core=4, norm="pre", injection="diagonal", start="normal"
    )
    model = LoopedTransformer(config).eval().requires_grad_(False)
    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            module.weight.normal_(std=2 / sqrt(module.in_features), generator=random)
    part = model.cores[0].injection
    for weight in (model.embed[0].weight, part.log_a, part.dt_bias):
        weight.normal_(generator=random)
    return model.double()


stacks = [diagonal_stack(seed) for seed in range(8)]
carry = [stack.cores[0].injection for stack in stacks]
radii = [decay(part.log_a, part.dt_bias).max().item() for part in carry]
print(f"pre-norm, diagonal injection, four layers, gain 2, eight seeds; radius of A {span(radii)}")
for settle in (0, 900):
    told = tally(grid.run_together(stacks, items, 128, settle=settle))
    print(f"after {settle + 128:4d} loops: {told}")

# %% [markdown] id="stable-linear-part-text"
# **Measured here.**<!-- by linear-part, stable-linear-part --> The linear part is stable in every
# stack, though `log_a` and `dt_bias` are random, and none explodes in 128 loops, where all eight
# with a random matrix did. But none of them rests by then, and two do not after 1028 loops.
# Nothing is wrong with the proof: it is about $A$, and the loop's Jacobian is $A$ followed by all
# layers. *Bounded is not at rest.* A stable $A$ is a promise that the state
# cannot run away; whether it settles, the layers decide. **Reported** likewise: a radius of $A$
# below 1 does not suffice, a few random draws turn for ever ([arXiv
# 2607.10681](https://arxiv.org/abs/2607.10681)).

# %% [markdown] id="ex3-card"
# ## Build 2 (exercise 05.3): the multipliers of the whole loop
#
# The $J$ of `root-k1` has 384 by 384 entries (twelve tokens of width 32, as one vector). A real
# model's would have billions. But one backward pass gives the product $J^\top v$ without ever
# forming $J$, and $J^\top$ has the same eigenvalues. Multiply a vector often enough and the largest
# multiplier takes over.
#
# **Exercise 05.3 · the radius from products** · medium · core · 9 minutes · *idea: factors
# multiply, so average their logarithms*
#
# Two traps. A vector multiplied a hundred times is gone from the floats, so bring it to length 1
# each time. And where the leading multipliers are a complex pair the length pulses for ever, so
# one factor means nothing: take the geometric mean of the factors over the second half.


# %% id="radius-answer" role="answer" ex="05.3"
# exercise 05.3
def radius(push, v, products):
    """Spectral radius of the linear map `push`: how much a product lengthens a vector, late.

    Starts from the vector v, calls `push` `products` times, and averages over the second half.
    """
    # --- solution
    growth = []
    for _ in range(products):
        v = push(v / v.norm())
        growth.append(v.norm())
    return torch.stack(growth[products // 2 :]).log().mean().exp()
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="radius-check" role="check" ex="05.3"
radius = check("05.3", radius)

# %% [markdown] id="ex3-hints"
# <details><summary>Hint 1, a nudge</summary>
# If the vector has length 1 in front of a product, its length after it is the factor.
# </details>
# <details><summary>Hint 2, a plan</summary>
# Keep all factors in a list. At the end drop the first half, take logarithms, their mean, and exp.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>v = push(v / v.norm())</code> in a loop, with <code>growth.append(v.norm())</code>; then
# <code>torch.stack(growth[products // 2:]).log().mean().exp()</code>.
# </details>
#
# [Solution](solved/05b_fast_slow_or_never.ipynb)

# %% [markdown] id="radii-idea"
# Multipliers belong to a point at rest. So each loop runs until it *is* at rest: until a step is
# shorter than $10^{-10}$ of the state, in double precision, for up to 1500 loops.


# %% id="radii"
def products(step, state):
    """The map v -> J^T v at `state`: one backward pass for each product."""
    point = state.clone().requires_grad_()
    end = step(point)
    return lambda v: torch.autograd.grad(end, point, v, retain_graph=True)[0]


def radius_at(step, state, count=400):
    """The spectral radius at `state`, by `radius` from a random vector."""
    v = torch.randn(state.shape, generator=torch.Generator().manual_seed(1)).double()
    return float(radius(products(step, state), v, count))


@torch.no_grad()
def rest_of(model, item, most=1500):
    """The loop as a map, the state it comes to, and after how many loops."""
    step, state = loop_of(model, item)
    before, loops = torch.zeros_like(state), 0
    while loops < most and (state - before).norm() >= 1e-10 * state.norm():
        before, state, loops = state, step(state), loops + 1
    return step, state, loops


def three_inputs(model, batch):
    """Loops to rest, radius, norm and share of right answers, each [input]; and where it rests."""
    rows, rests = [], []
    for n in range(3):
        step, state, loops = rest_of(model, batch.tokens[n : n + 1])
        right = (model.readout(state).argmax(-1)[0] == batch.targets[n]).double().mean().item()
        found = radius_at(step, state)
        rows.append((loops, found, stability.spectral_norm(step, state).item(), right))
        rests.append((step, state))
    return torch.tensor(rows, dtype=torch.float64).T, rests


HEAD = "                  loops to rest   spectral radius   spectral norm   right answers"
print(f"three inputs each\n{HEAD}")
measured, rests = {}, {}
for name, batch in bench.items():
    measured[name], rests[name] = three_inputs(models[name], batch)
    loops, found, norm, right = measured[name]
    print(
        f"{name:16s}  {span(loops, 0):13s}   {span(found):15s}   {span(norm):13s}   {span(right)}"
    )
few, many = (radius_at(*rests["root-k1-penalty"][0], count) for count in (100, 400))
print(f"root-k1-penalty, first input: {few:.2f} by 100 products, {many:.2f} by 400")

# %% [markdown] id="radii-text"
# **Measured here**,<!-- by radii --> one published seed of each model, three inputs. In the long
# run the hero's pushes shrink by a factor of 0.31 to 0.40 a loop, which is the straight line that
# chapter 03 found in its distances; a single loop may shrink nothing, or even stretch (third
# column). `root-k1`, the one that overthinks, is **not** restless: it comes to rest on every input,
# only very late, because its radius is so near 1, and on **wrong answers**. A window of a hundred
# loops would call it a wanderer.
#
# Chapter 02's one-term penalty (`root-k1-penalty`) gives a loop that settles several times as fast,
# and on right answers. Is that the penalty's doing? That model was also trained longer.
# `root-k1-long` is the control: as long a training, without the penalty. Its radius is as near to 1
# as before. So it is the term in the loss that moved it, for this seed. *The penalty never mentions
# an eigenvalue; asking for a short last step was enough.*
#
# The spectral *norm* in the third column is the most by which one loop can lengthen a push. It is
# above 1 for loops whose radius is well below. We come back to that.

# %% id="spectra"
plots.multipliers(
    {
        name: stability.leading_multipliers(*rests[name][0], 20)
        for name in ("hero", "root-k1", "root-k1-long", "root-k1-penalty", "flood")
    }
)

# %% [markdown] id="spectra-text"
# **Measured here**,<!-- by radii, spectra --> one input: the twenty leading multipliers of each
# loop's 384 or more, where it rests. The largest of `root-k1-penalty` is 0.82, and it has a close
# rival. That is why a hundred products read 0.80, in the last line of the table, and four hundred
# read 0.82: each product sets the two apart by a few per cent only. The lower row enlarges the
# dotted square: in the end, the gap between the largest multiplier and the circle sets the pace. (A
# factor of 0.96 needs 56 loops for one digit, a factor of 0.4 two and a half.) For other seeds than
# the published one, the cards keep the step at loop 96:

# %% id="penalty-seeds"
print("relative step at loop 96, seeds 0, 1, 2")
for name in ("root-k1", "root-k1-long", "root-k1-penalty"):
    seeds = [seed["at rest"] for seed in checkpoints.card(name)["results by seed"]]
    print(f"{name:16s}", "  ".join(f"{rest['relative step at loop 96']:.0e}" for rest in seeds))

# %% [markdown] id="penalty-text"
# **Measured here**<!-- by penalty-seeds --> when the models were trained, as a mean over 64
# forests, and stored. Without the penalty all six models are still moving at loop 96, trained
# longer or not; with it all three have come down to float32's rounding.
#
# ## Is there a short cut to the point?
#
# Looping is one way to a state with $\text{loop}(z) = z$. A **solver** looks for it by other ways.
# Anderson's method combines the last few steps so that they cancel best; Broyden's builds up an
# estimate of the Jacobian. We count how often each must run the loop until one more run would
# change the state by less than a millionth. (Where a solver wanders for more than a hundred runs,
# its count hangs on the last digits of the arithmetic, so we do not print it.)

# %% id="solvers"
print("runs of the loop until the step is below 1e-6, on three inputs; of the solvers the most")
print("                                                         Broyden's point:")
print("                     plain         Anderson   Broyden    reached   right answers")
for name, batch in bench.items():
    model, runs = models[name], {"plain": [], "anderson": [], "broyden": []}
    right, reached = [], 0
    for n in range(3):
        step, state = loop_of(model, batch.tokens[n : n + 1])
        found = stability.compare_solvers(step, state, tuple(runs), 1e-6, max_evaluations=600)
        for method, solution in found.items():
            runs[method].append(solution.evaluations)
        reached += found["broyden"].reached
        said = model.readout(found["broyden"].point).argmax(-1)[0]
        right.append((said == batch.targets[n]).double().mean().item())
    plain, *solvers = runs.values()
    most = [str(max(count)) if max(count) <= 100 else "> 100" for count in solvers]
    print(
        f"{name:16s}     {span(plain, 0):14s}{most[0]:>8s}{most[1]:>10s}    {reached} of 3   "
        f"{sum(right) / 3:13.1f}"
    )

# %% [markdown] id="solvers-text"
# **Measured here**,<!-- by solvers --> three inputs. The hero contracts well, and a solver saves
# little. For `root-k1-penalty` it saves about half of the runs, for the flood well over half. For
# `root-k1` and `root-k1-long`, which contract slowest, each solver needs more than a hundred runs
# on some input, or does not arrive, and this table cannot say what it saves. Broyden's method has
# arrived each time. At the points of `root-k1` the answers are wrong all the same: the model passes
# the right answer on its way to a place in which it was never trained to be. A solver finds the
# point; whether the answer is there is another question.
#
# ## The radius is not the whole story
#
# How can one loop lengthen a push that many loops shrink? If the eigenvectors of $J$ stood at right
# angles, it could not: the norm would be the radius. Such a matrix is called *normal*. The Jacobian
# of a transformer is not. Its eigenvectors lean on each other, so that a short push may be the sum
# of long ones that nearly cancel. One loop multiplies each by a factor of its own, they cancel no
# more, and the sum has grown. Here $J$ is small enough to write down once and take its powers.

# %% id="non-normal"
step, rest = rests["root-k1-penalty"][0]
jacobian = torch.autograd.functional.jacobian(step, rest, vectorize=True)
jacobian = jacobian.reshape(rest.numel(), rest.numel())
values, vectors = torch.linalg.eig(jacobian)
rho = values.abs().max()
print(f"root of the sum of squares: entries of J {jacobian.norm():.1f}, ", end="")
print(f"its eigenvalues {values.norm():.1f}")
worst = torch.linalg.svd(jacobian)[2][0]  # the push that one loop stretches most
parts = torch.linalg.solve(vectors, worst.to(vectors.dtype)).abs()  # along each eigenvector
print("the push that one loop stretches most, of length 1, is a sum of eigenvectors", end=" ")
print(f"up to {parts.max():.0f} long; of the slowest it has {parts[values.abs().argmax()]:.2f}")
power, kicked, most, real = jacobian, rest + 1e-3 * worst.view_as(rest), [], []
with torch.no_grad():
    for _ in range(40):
        kicked, rest = step(kicked), step(rest)
        real.append((kicked - rest).norm() / 1e-3)
        most.append(torch.linalg.matrix_norm(power, ord=2))
        power = power @ jacobian
peak = max(range(40), key=most.__getitem__)
print(f"radius {rho:.2f}; the most that one loop can stretch {most[0]:.2f}, ", end="")
print(f"that {peak + 1} loops can {most[peak]:.2f}; a real kick grew to {max(real):.2f}")
pace = [most[loop - 1] / most[loop - 2] for loop in (24, 40)]
print("the longest possible push in loop 24: times {:.2f}, in loop 40: times {:.2f}".format(*pace))
plots.lines_by_layer(
    torch.stack((torch.stack(most), torch.stack(real), rho ** torch.arange(1.0, 41)), dim=1),
    "length of a push",
    names=["the longest possible", "a kick of the real loop", "radius to the power of loop"],
)

# %% [markdown] id="non-normal-text"
# **Measured here**,<!-- by non-normal --> one input. A normal matrix is as large as its
# eigenvalues, by the root of the sum of squares (**proved**); this one measures 9.7 against their
# 7.1. The push that one loop stretches most is a sum of eigenvectors up to 17 times its length. A
# kick along it grows to 2.30, and the longest possible push to 2.52 in three loops, before they
# fall. **Proved:** the longest possible never lies below the line of the radius, and its mean
# factor in the end *is* the radius (Gelfand's formula). As it comes from above, it may fall faster
# for a while: by the factor 0.78 in loop 24, and by 0.82, the radius, in loop 40. The kick may
# cross the line, since it holds little of the slowest eigenvector. **Reported:** norm above 1 and
# radius below in other trained loops ([arXiv 2607.10681](https://arxiv.org/abs/2607.10681)). The
# norm tells what the next loop may do, the radius what many loops will.

# %% [markdown] id="ex4-card"
# ## Build 3 (exercise 05.4): two neighbours
#
# What about a loop that never rests? It has no point to take multipliers at. Follow two states that
# start close together. By which factor does their distance change per loop, on average along the
# way? The mean of its natural logarithm is the leading *Lyapunov exponent* $\lambda$. At a fixed
# point $\lambda = \log \rho$. On any path of a loop:
#
# - $\lambda < 0$: neighbours meet. The loop is on its way to rest, **or to an orbit**: a state that
#   comes back after $p$ loops is a fixed point of $p$ loops, and pulls its neighbours in like one.
# - $\lambda = 0$: *marginal*, neighbours keep their distance on average. That alone does not say
#   where the loop goes. Where the state keeps moving and never returns, for instance on a circle by
#   an angle that is no fraction of a full turn, it fills a *torus*: a closed curve, or several such
#   turns at once.
# - $\lambda > 0$: neighbours part, until they are as far apart as the loop goes. That is *chaos*:
#   the way cannot be repeated, because every rounding error grows.
#
# The distance only means something while it is small. So after every loop the neighbour is brought
# back to its first distance from the state, **in the direction it has now**.
#
# **Exercise 05.4 · two neighbours** · hard · stretch · 10 minutes · *idea: a derivative without
# calculus, by Benettin and others, 1980*


# %% id="exponent-answer" role="answer" ex="05.4"
# exercise 05.4
def leading_exponent(step, state, nudge, loops, settle):
    """Mean log growth per loop of the distance between `state` and its neighbour state + nudge.

    After every loop the nudge is brought back to its first length. The first `settle` of the
    `loops` loops are run and not counted.
    """
    # --- solution
    apart, growth = nudge.norm(), []
    for _ in range(loops):
        end = step(state)
        moved = step(state + nudge) - end
        growth.append((moved.norm() / apart).log())
        state, nudge = end, moved * (apart / moved.norm())
    return torch.stack(growth[settle:]).mean()
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="exponent-check" role="check" ex="05.4"
leading_exponent = check("05.4", leading_exponent)

# %% [markdown] id="ex4-hints"
# <details><summary>Hint 1, a nudge</summary>
# In each loop you need <code>step</code> twice: of the state and of its neighbour.
# </details>
# <details><summary>Hint 2, a plan</summary>
# The difference of the two ends is the new nudge. Note the logarithm of its length over the first
# length, scale it back to the first length, go on from the state's end.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>moved = step(state + nudge) - end</code>, then
# <code>nudge = moved * (apart / moved.norm())</code>; return the mean of
# <code>growth[settle:]</code>.
# </details>
#
# [Solution](solved/05b_fast_slow_or_never.ipynb)


# %% id="exponents"
def exponent(step, state, loops=64, settle=16):
    """The leading exponent over the loops after `settle`, for a state [1, token, width]."""
    nudge = torch.randn(state.shape, generator=torch.Generator().manual_seed(1)).double()
    with torch.no_grad():
        return float(leading_exponent(step, state, 1e-7 * nudge / nudge.norm(), loops, settle))


print("                  leading exponent, three inputs       log of the radius")
print("                  loops 17 to 64     at rest           at rest")
for name, batch in bench.items():
    early = [exponent(*loop_of(models[name], batch.tokens[n : n + 1])) for n in range(3)]
    late = [exponent(*rest, 400, 200) for rest in rests[name]]
    logs = measured[name][1].log()
    print(f"{name:16s}  {span(early):16s}   {span(late):15s}   {span(logs)}")

# %% [markdown] id="exponents-text"
# **Measured here.**<!-- by exponents --> At rest the exponent *is* the logarithm of the radius: one
# number, found in two ways, and they agree to a hundredth. Along the way there it need not be.
# `root-k1` in loops 17 to 64 has an exponent of about zero, as if nothing pulled its neighbours
# together. Wait until it rests, and on each of the three inputs it is below zero. **An exponent
# belongs to a window**: it describes the loops that were counted.
#
# **Reported** ([arXiv 2608.18222](https://arxiv.org/abs/2608.18222)): trained loops are *settling*
# (exponent below −0.05), *marginal* or *drifting* (above 0.05), and one loss term moves a model
# from one to another. In those words and in the early window `root-k1` is marginal and
# `root-k1-penalty` settling. But 0.05 is a convention: by it `root-k1` and `root-k1-long` stay
# marginal on some inputs even where they rest.
#
# ## A hundred loops of chaos, and then
#
# An untrained stack of chapter 05: Huginn's norms, injection drawn at random, gain 2. In its map it
# had no rest. Six starts, 1100 loops, in double precision. The figure shows how far the state is
# from where it was **two loops before**.


# %% id="transient"
def random_loop(injection, gain, starts=6):
    """A stack with Huginn's norms as a map of states [start, token, width]; states at loop 0."""
    stack = grid.random_stack("Huginn", injection, 4, gain, 1).double()
    x = stack.encode(grid.random_tokens(1, 12))
    begin = [stack.start(x, torch.Generator().manual_seed(n)) for n in range(starts)]
    return (lambda z: stack.step(z, x.expand_as(z))), torch.cat(begin).double()


@torch.no_grad()
def run(step, state, loops):
    """The directions of the states after each loop [loop, ..., width], and the last state."""
    way = []
    for _ in range(loops):
        state = step(state)
        way.append(F.normalize(state, dim=-1))
    return torch.stack(way), state


def slope(line):
    """Slope per loop of a line's logarithm, where it falls from 1e-2 to 1e-12: least squares."""
    height = line[(line < 1e-2) & (line > 1e-12)].log()
    loop = torch.arange(len(height)).double() - (len(height) - 1) / 2
    return (loop @ height / (loop @ loop)).item()


def gap(way):
    """How far all tokens are from where they were two loops before [loop, start]."""
    return (way[2:] - way[:-2]).flatten(2).norm(dim=-1) / sqrt(way.shape[2])


ways, last = {}, {}
for gain in (1.5, 2.0):
    step, starts = random_loop("random", gain)
    ways[gain], last[gain] = run(step, starts, 1100)
# How long it takes is chance, and so the rounding of a processor: wait until all are there.
while (gap(ways[2.0])[-1] > 1e-9).any() and len(ways[2.0]) < 4400:
    more, last[2.0] = run(step, last[2.0], 1100)
    ways[2.0] = torch.cat((ways[2.0], more))
gaps = {gain: gap(way) for gain, way in ways.items()}
for gain, found in gaps.items():
    there = int((found[-1] < 1e-9).sum())
    print(f"gain {gain}: {there} of 6 starts end where they were two loops before")
one = ways[2.0][-2:, 0]  # both ends of the first start's orbit
apart = (ways[2.0][-1] - one[:, None]).flatten(2).norm(dim=-1).amin(0)
print(f"gain 2.0: {int((apart < 1e-6).sum())} of 6 are on the orbit of the first start")
slopes = [slope(line) for line in gaps[2.0].T]
print("gain 2.0: slopes of the logarithms as they fall", *(f"{one:.2f}" for one in slopes))
plots.lines_by_layer(
    gaps[2.0],
    "distance from the state two loops before",
    names=[f"start {n + 1}" for n in range(6)],
    first_loop=3,
)

# %% [markdown] id="transient-text"
# **Measured here**,<!-- by transient --> six of six starts. For tens of loops, or for hundreds, the
# distance stays large. Then, at another moment for each start, it falls along a straight line: each
# loop divides it by about the same number, until rounding is all that is left. All six flip between
# the same two points. The chaos was a **transient**. See it happen to one token:

# %% id="collapse-strip"
landed = torch.tensor([int((found > 1e-6).nonzero().max()) + 3 for found in gaps[2.0].T])
start = int(landed.argsort()[2])  # the third to arrive
WINDOW, until = 40, int(landed[start]) + 60
flat = measure.cycle_pca(ways[2.0][:until, start, 5:6]).points[:, 0, :2]  # one token [loop, 2]
begins = range(max(0, until - 400), until - WINDOW, 10)
collapse = PlaneStepper(
    torch.stack([flat[begin : begin + WINDOW] for begin in begins]),
    title="Forty loops of one token, gain 2",
    path=True,
    slider="window",
    captions=[f"Loops {begin + 1} to {begin + WINDOW}." for begin in begins],
)
falls = int((gaps[2.0][:, start] > 0.1).nonzero().max()) + 3  # from here on it only comes nearer
shown = {
    min(max((falls + by - begins[0]) // 10, 0), len(begins) - 1) + 1
    for by in (-120, -60, -20, 0, 40)
}
collapse.film_strip(frames=sorted(shown))

# %% id="collapse"
collapse

# %% id="lasting"
ways[1.0], last[1.0] = run(*random_loop("none", 1.0, starts=1), 1100)
print("                   exponent, loops 17 to 64, all starts   late, the first start")
for injection, gain in (("random", 2.0), ("random", 1.5), ("none", 1.0)):
    step, starts = random_loop(injection, gain, len(last[gain]))
    early = [exponent(step, start[None]) for start in starts]
    late = exponent(step, last[gain][:1], 316, 16)
    # One digit where it is chaotic: the next one is the processor's.
    told = span([late], 1 if late > 0.05 else 2)
    print(f"{injection:>6s}, gain {gain:<4g}   {span(early, 1):>33s}   {told:>21s}")

# %% [markdown] id="lasting-text"
# **Measured here.**<!-- by transient, lasting --> At gain 2 the exponent over the early loops is
# above zero from all six starts, and on the orbit it is −0.13: *a stable orbit has a negative
# exponent*, as rest has, and the exponent alone does not tell which of the two it is. It is the
# slope of five of the straight lines. (The other one falls faster: it holds hardly anything of the
# slowest push.)
#
# The same stack, with the same dice, at gain 1.5 goes on. None of its six starts is back after two
# loops, which excludes rest and an orbit of two. Its late exponent is well above zero, which
# excludes longer orbits that pull. Is *that* for ever? No run can say; a transient may always be
# longer than the patience of whoever looks. (Below, this very stack is watched for longer.) The
# third stack has no injection, so it has one start, its input. Its exponent is zero, early and
# late.

# %% id="guesses"
truth = [
    max(measured["root-k1"][0]) < 1500,
    max(measured["root-k1-penalty"][1]) < min(measured["root-k1-long"][1]),
    (gaps[2.0][-1] > 1e-6).any(),
    bool((gaps[2.0][-1] < 1e-6).all()) == bool((gaps[1.5][-1] < 1e-6).all()),
]
for (claim, guess), true in zip(my_guess.items(), truth, strict=True):
    print(f"{'right' if guess == bool(true) else 'wrong'}: you said {guess} of: {claim}")

# %% id="three-ends"
plots.orbits(
    {
        "orbit: random, gain 2": ways[2.0][:, 0, 5],
        "torus: none, gain 1": ways[1.0][:, 0, 5],
        "chaos: random, gain 1.5": ways[1.5][:, 0, 5],
    },
    last=400,
)

# %% [markdown] id="three-ends-text"
# **Measured here.**<!-- by three-ends, lasting --> The figure has one token of the three stacks,
# each in its own plane: two points, a closed curve, a cloud. The curve with its exponent of zero is
# a **torus** of the simplest kind.

# %% id="long-runs"
found = json.loads((checkpoints.FOLDER.parent / "long_runs.json").read_text(encoding="utf-8"))
rates = {
    kind: [row["exponent"] for row in found["stacks"] if row["after 2000"] == kind]
    for kind in ("turning", "chaotic", "settling")
}
print(f"{len(found['stacks'])} stacks of four layers, after 2000 loops")
for kind, words in {
    "degenerate": "degenerate",
    "cycle": "at rest",
    "orbit": "on an orbit",
    "turning": "turning, exponent about zero",
    "chaotic": "chaotic",
    "settling": "still settling",
    "explodes": "exploded",
}.items():
    count = sum(row["after 2000"] == kind for row in found["stacks"])
    told = f"   exponents {span(rates[kind])}" if rates.get(kind) else ""
    print(f"{count:4d} {words}{told}")
wild = Counter(
    f"{row['norm']} {row['injection']} at gain {row['gain']:g}"
    for row in found["stacks"]
    if row["after 2000"] == "chaotic"
)
print("chaotic:", ", ".join(f"{count} {where}" for where, count in wild.most_common()))
print(f"exponent above 0.05: {sum(rate > 0.05 for rate in rates['chaotic'])} of them")
watched = found["watched"]
print(
    f"the chaotic stack of the figure, six starts, after {watched['loops']} loops: "
    f"exponents {span(watched['exponents'], 1)}, "
    f"nearest return {min(watched['nearest return']):.2f}"
)

# %% [markdown] id="long-runs-text"
# **Measured here**<!-- by long-runs --> once, by `data/count_long_runs.py`, and stored. The stacks
# are those of chapter 05's phase diagram. Chaos is the rarest end: nine stacks, eight of them
# behind Ouro's norms and a random injection, all at the two large gains. We call an exponent zero
# that is within a hundredth of it. Weak chaos and a torus cannot be told apart in so few loops, so
# trust the six that are above 0.05 more than the other three. The stack of the figure was followed
# for 8000 loops from six starts. All six exponents are about 0.3, and late in the run none came
# nearer than 0.14 to where it ended.

# %% [markdown] id="own-text"
# ## Your own loop
#
# Now the model that you wrote in chapter 01 and trained in 02, plain and with your penalty. (Where
# there is none, looplab's stands in, and the first lines say so.) Which of the lines above should
# each resemble? Say it before you run the cell.

# %% id="own"
mine = {trained: three_inputs(my_loop(trained).double(), forests) for trained in ("plain", "rest")}
print(HEAD)
for trained, ((loops, found, norm, right), ends) in mine.items():
    print(
        f"mine, {trained:10s}  {span(loops, 0):13s}   {span(found):15s}   {span(norm):13s}   "
        f"{span(right)}"
    )
    late = [exponent(*end, 400, 200) for end in ends]
    print(f"    exponent where it is then {span(late)}, log of the radius {span(found.log())}")
smaller = (mine["rest"][0][1] < mine["plain"][0][1]).sum()
print(f"your penalty has made the radius smaller on {smaller} of 3 inputs")

# %% [markdown] id="own-result"
# If yours reads 1500 in the first column, it was still moving when we stopped, and its radius is a
# stretch on the way and no multiplier. If the two numbers of a second line differ by more than a
# few hundredths, the leading multipliers are close rivals, and 400 products are too few to choose
# between them. And if your penalty did not make the radius smaller, you have found a
# counterexample to a sentence of this chapter: it was measured on other weights.

# %% [markdown] id="ex7-card"
# ## Build 4 (exercise 05.7): hold a loop still
#
# A loop that does not rest may still have a fixed point: it only runs away from it. A solver finds
# the point, the multipliers there say why the loop leaves, and they say more: how to make it stay.
# Do not take the whole step, but a share $b$ of it:
#
# $$z \leftarrow z + b\,(\text{loop}(z) - z).$$
#
# A fixed point of the loop is one of this *damped* loop too, whatever $b$ is. But a multiplier
# $\mu$ becomes $1 - b + b\mu$. **Proved:** that is below 1 in modulus exactly if
#
# $$0 < b < \frac{2\,\text{Re}(1 - \mu)}{|1 - \mu|^2}.$$
#
# Every multiplier sets a limit, and the smallest one counts. $\mu = -1.5$, which flips a push and
# makes it grow, allows $b$ up to 0.8. But a multiplier whose real part is 1 or more allows none: no
# share of a step holds the loop there.
#
# **Exercise 05.7 · hold a loop still** · hard · stretch · 15 minutes · *idea: knowing why it leaves
# is knowing how to make it stay*
#
# The solver: `measure.stability.solve(step, start, "broyden", 1e-9, 600).point`. The Jacobian of a
# state with few numbers can be written down: `torch.autograd.functional.jacobian(step, point)` has
# the state's shape twice, new numbers first. Its eigenvalues: `torch.linalg.eigvals` of a square
# matrix.


# %% id="hold-answer" role="answer" ex="05.7"
# exercise 05.7
def hold(step, start):
    """A fixed point of `step`, and the limit below which a share of a step holds the loop there.

    Looks for the point from `start` [...] by Broyden's method, to 1e-9. Returns (point, limit): the
    limit is at most 1.0, and 0.0 where no share holds the loop.
    """
    # --- solution
    point = measure.stability.solve(step, start, "broyden", 1e-9, 600).point
    size = point.numel()
    jacobian = torch.autograd.functional.jacobian(step, point, vectorize=True)
    away = 1 - torch.linalg.eigvals(jacobian.reshape(size, size))  # 1 minus each multiplier
    if (away.real <= 0).any():
        return point, 0.0
    limits = 2 * away.real / away.abs().square()
    return point, min(1.0, limits.min().item())
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="hold-check" role="check" ex="05.7"
hold = check("05.7", hold)

# %% [markdown] id="ex7-hints"
# <details><summary>Hint 1, a nudge</summary>
# Work with <code>away = 1 - multipliers</code>, complex numbers: <code>away.real</code> and
# <code>away.abs()</code> are all that the formula needs.
# </details>
# <details><summary>Hint 2, a plan</summary>
# Find the point. Take the Jacobian there and make it square. If the real part of some
# <code>away</code> is zero or less, the share is 0. Else the smallest limit, and at most 1.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>jacobian.reshape(point.numel(), point.numel())</code>;
# <code>(2 * away.real / away.abs().square()).min().item()</code>;
# <code>min(1.0, ...)</code>.
# </details>
#
# [Solution](solved/05b_fast_slow_or_never.ipynb)


# %% id="held"
def about(value):
    return "> 10" if value > 10 else f"{value:.1f}"


print("                             one loop moves   a kick, 2000 loops       loop 0, 2000 loops")
print(
    "                     limit   the point by     below it, above it       below it: how far off"
)
for title, injection, gain in (
    ("orbit: random, 2", "random", 2.0),
    ("chaos: random, 1.5", "random", 1.5),
    ("torus: none, 1", "none", 1.0),
):
    step, start = random_loop(injection, gain, starts=1)
    point, limit = hold(step, start)
    moved = (step(point) - point).norm() / point.norm()
    nudge = torch.randn(point.shape, generator=torch.Generator().manual_seed(2)).double()
    kicked = point + 1e-4 * nudge / nudge.norm()
    # Three runs at once: the kicked point below and above the limit, and loop 0 below it.
    state = torch.cat((kicked, kicked, start))
    share = limit * torch.tensor([0.9, 1.1, 0.9]).double()[:, None, None]
    with torch.no_grad():
        for _ in range(2000):
            state = state + share * (step(state) - state)
    below, above, far = (state - point).flatten(1).norm(dim=1)
    words = f"times {about(below / 1e-4)}", f"times {about(above / 1e-4)}"
    far = far / point.norm()
    told = "< 1e-6" if far < 1e-6 else "> 0.1" if far > 0.1 else f"{far:.0e}"
    print(
        f"{title:18s}   {limit:5.2f}   {'< 1e-8' if moved < 1e-8 else f'{moved:.0e}':14s}   "
        f"{words[0]}, {words[1]:13s}{told}"
    )

# %% [markdown] id="held-text"
# **Measured here.**<!-- by held --> Huginn's norms, and the three stacks of the figure above. At
# each of the three points a small kick shrinks below the limit and grows above it, as the formula
# says. So each of the three loops, on an orbit, a torus or in chaos, also has a fixed point, which
# the whole step cannot hold. But the promise is a local one. From loop 0, far away, the damped
# torus comes to the very point that was found. The other two are still far from it after 2000
# loops. The one on an orbit has found something else to do, as its kicks die out quickly near the
# point; for the chaotic one, whose kicks take 2000 loops to fade, the run is too short to tell.
# Holding a loop is not the same as finding it.
#
# ### An open question (no check)
#
# Damping holds a loop at a point where it would not stay by itself. Is the *answer* there any good?
# Take a trained loop that drifts on wrong answers, hold it early, when it was right, and read it
# out as it rests. What would you have to measure to call that a cure and not an accident?

# %% [markdown] id="interpret"
# ## Interpret
#
# - "It does not rest" is a sentence about a window. `root-k1` rests after hundreds of loops, and a
#   chaotic hundred loops may end on an orbit of two.
# - A radius is a slope, a norm is a worst case, an exponent is a mean along the way, over the loops
#   that were counted. One number is never all three.
# - The term that cures overthinking moves the multipliers, though it never names them; longer
#   training alone does not.
# - At rest is not right. Where the loop comes to rest, and whether the answer is there, are two
#   questions.
#
# ## Key points
#
# 1. The radius comes from products alone, with normalising and a geometric mean.
# 2. Norm above 1 with radius below: pushes grow before they die out.
# 3. A stable linear part bounds the state and does not bring it to rest.
# 4. The exponent's sign: below zero rest *or orbit*; zero marginal, and where the state keeps
#    moving without returning, a torus; above zero chaos. Each only for the window that was
#    measured.
# 5. Damping keeps the fixed points and moves the multipliers; a real part of 1 or more it cannot
#    cure.

# %% [markdown] id="questions"
# ## Five questions
#
# 1. The leading multiplier is −0.9. What does a push do, loop by loop?
# <details><summary>Answer</summary>
# It flips its sign each time and shrinks by a tenth: the loop overshoots to and fro and settles.
# </details>
#
# 2. Radius 0.8, norm 2.2. After one loop an error has doubled. Is the loop unstable?
# <details><summary>Answer</summary>
# No. A small error may grow for some loops and then dies out at 0.8 per loop. But if it grows too
# large on the way, the linear picture no longer holds.
# </details>
#
# 3. Somebody shows that the injection's matrix has radius 0.5 and concludes that the loop
#    converges. What is missing?
# <details><summary>Answer</summary>
# The layers. The radius to look at is that of the whole loop's Jacobian.
# </details>
#
# 4. A loop of period 4 pulls all its neighbours in. What is the sign of its leading exponent?
# <details><summary>Answer</summary>
# Negative. Neighbours meet on the orbit.
# </details>
#
# 5. At a fixed point the multipliers are 0.4 and −3. Which share of a step holds the loop there?
#    And with 1.2 in the place of −3?
# <details><summary>Answer</summary>
# Below 2 · 4 / 16 = 0.5. With 1.2 none does: 1 − b + 1.2 b is above 1 for every share b.
# </details>

# %% [markdown] id="scoreboard-text"
# ## Scoreboard

# %% id="scoreboard"
scoreboard("05b")

# %% [markdown] id="read-on"
# ## Read on
#
# - Back: [05 What makes a fixed point](05_what_makes_a_fixed_point.ipynb), the first half.
# - Next: [06 Orbits, sliders and overthinking](06_orbits_sliders_and_overthinking.ipynb) sorts what
#   does not rest.
# - Viakhirev et al., [arXiv 2608.18222](https://arxiv.org/abs/2608.18222): settling, marginal,
#   drifting. Buehlmaier, [arXiv 2607.10681](https://arxiv.org/abs/2607.10681): radius and norm of
#   trained loops.
# - Benettin et al. 1980, *Meccanica* 15: how exponents are measured to this day.
