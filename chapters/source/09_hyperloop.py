# ---
# jupyter:
#   looplab:
#     chapter: "09"
#     title: Hyperloop
#     minutes: 80
#     needs: chapters 02 and 08; chapter 05 helps
#     learn: give a loop four streams and gates between them, and find out what they are worth
# ---

# %% [markdown] id="title"
# # 09 · Hyperloop
#
# *80 minutes · a laptop CPU · you should know PyTorch, and how a loop is trained (chapters 02, 08)*
#
# A loop hands one state from pass to pass. Everything that the next pass should know has to lie in
# the same few numbers that this pass computes with. **Hyperloop** (Zeitoun et al., [arXiv
# 2604.21254](https://arxiv.org/abs/2604.21254)) gives it four states, *streams*, side by side. Each
# pass reads a mixture of them, and writes its output back to all, each with a gate of its own. That
# costs next to nothing, and in the paper it makes a looped model as good as an ordinary one of
# nearly twice its size. You build it in fifteen lines, train it beside its peers, look into the
# streams, and find two things in it that the paper does not mention.
#
# **You will be able to**
#
# - write hyper-connections around a loop: three gates, a read, a write;
# - compare models fairly: parameters counted, the same tokens, several trainings;
# - say what the streams hold, and whether four of them hold four things;
# - foretell from the gates alone how fast the state grows, and what that means far beyond the
#   trained loops;
# - round a model's weights to four bits, and measure what it loses.
#
# Labels are **proved**, **measured here** and **reported**, as before.

# %% id="set-up"
from dataclasses import replace
from functools import partial
from itertools import combinations
from math import log

import torch
import torch.nn.functional as F

from looplab import LoopedTransformer, measure, plots, tasks, trace, train
from looplab.exercises import check, scoreboard, todo, whose
from looplab.widgets import StreamMicroscope
from looplab.zoo import english, hyperloop

# %% [markdown] id="peers-intro"
# ## Four streams
#
# Write $y$ for the streams of one token, $n = 4$ rows of width $D$. They begin as four copies of
# what the prelude made. In pass $i$
#
# $$z = F(\sum_s P_s\, y_s) + e_i, \qquad y_s \leftarrow G_s\, y_s + Q_s\, z .$$
#
# $F$ is the core, the same layers in every pass. $P_s$ (between 0 and 1) says how much of stream
# $s$ is read, $Q_s$ (0 to 2) how much of the output it gets, $G_s$ (0 to 1) how much of itself it
# keeps. The paper calls them $H^{pre}$, $H^{post}$, $H^{res}$. All three are computed from the
# streams, so they differ from token to token; and each pass has gates of its own, and a vector
# $e_i$ that tells it which pass it is. At the end the coda reads the mean of the streams.
#
# Four models of chapter 08's English, all of one recipe and on the same million tokens. The first
# three have the same layers; what stands between the passes differs.

# %% id="peers"
torch.set_num_threads(1)  # models this small only wait for more threads
T = 128
loop, hyper = english.load("loop"), hyperloop.load("hyper")
words, held = english.words(), english.tokens("held")
pieces = train.even_pieces(held, 24, T)  # [text, token], one token more than T
measured, every = hyperloop.measured(), hyperloop.losses()

ABOUT = {
    "loop": "one stream",
    "hyper": "four streams around a pass",
    "mhc": "four streams around each branch of each layer",
    "plain20": "twenty layers of their own, no loop: equal compute",
}
for name, about in ABOUT.items():
    known = measured["models"][f"{name}-0"]
    print(f"{name:8s} {known['notation']:12s} {known['parameters']:9,} parameters   {about}")
own = sum(p.numel() for name, p in hyper.named_parameters() if ".hyper." in name)
each = 3 * 4 * (4 * 128) + 3 * 4 + 3 + 128  # three matrices, their biases and alphas, one vector
print(f"hyper's gates and vectors: 4 passes of {each:,} numbers, {own:,} in all")

# %% [markdown] id="predict"
# ## Predict
#
# Three guesses before you look. (For scale: all five kinds of models in chapter 08 lie within 0.1
# nats of each other.)

# %% id="predict-cell"
my_gain = 0.05  # by how many nats is hyper better than loop, after four passes?
my_cosine = 0.5  # after training: the mean cosine between two of its four streams
my_mazes = (
    "further"  # in one pass on a maze, does Hyperloop see "further" than a plain loop, or "as far"?
)

# %% [markdown] id="explore"
# ## Explore: four streams at work
#
# The **stream microscope** shows one token of a text in *hyper*. At each pass a strip of colours
# for each stream (its 128 numbers, each strip in its own scale), bars for how much of it is read,
# written and kept, and what the model would say next if all streams were this one. First the film
# strip.

# %% id="strip"
sentence = " hoarded in secret places or deposited under bolts and bars"
microscope = StreamMicroscope.of_text(hyper, sentence, loops=8)
microscope.film_strip((1, 2, 4))

# %% id="microscope"
microscope

# %% [markdown] id="explore-questions"
# Drag the slider, choose a token, write a sentence of your own. Which gates change from pass to
# pass, and which from stream to stream? What becomes of the length below? And do the four strips
# look different? (The menu shows what of each differs from their mean.)

# %% [markdown] id="ex1-card"
# ## Build 1: three gates
#
# All three gates see the same thing: the four streams laid side by side in one vector of $nD$
# numbers, divided by the root of its mean square (so that only its direction counts). A gate is
# $\alpha\, \phi(\cdot) + b$ with a matrix $\phi$ from $nD$ to $n$ numbers, a single number
# $\alpha$ and a bias for each stream; a sigmoid puts it between 0 and 1, and $Q$ between 0 and 2.
#
# **Exercise 09.1 · three gates** · easy · core · 8 minutes · *idea: all streams decide on each*


# %% id="gates-answer" role="answer" ex="09.1"
# exercise 09.1
def stream_gates(y, pre, post, res):
    """What is read, written and kept of each stream, for streams y [..., stream, width].

    pre, post and res are triples (phi [stream, stream * width], alpha, bias [stream]). Returns P in
    0 to 1, Q in 0 to 2 and G in 0 to 1, each [..., stream].
    """
    # --- solution
    flat = y.flatten(-2)
    g = flat / flat.square().mean(-1, keepdim=True).sqrt()
    p, q, kept = ((alpha * (g @ phi.T) + bias).sigmoid() for phi, alpha, bias in (pre, post, res))
    return p, 2 * q, kept
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="gates-check" role="check" ex="09.1"
stream_gates = check("09.1", stream_gates)

# %% [markdown] id="ex1-hints"
# <details><summary>Hint 1, a nudge</summary>
# One vector from four: <code>y.flatten(-2)</code>. Its length should not matter.
# </details>
# <details><summary>Hint 2, a plan</summary>
# Divide by the root of the mean square over that vector. For each triple: the product with
# <code>phi</code>, times <code>alpha</code>, plus <code>bias</code>, and a sigmoid. Twice that for
# Q.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>g = flat / flat.square().mean(-1, keepdim=True).sqrt()</code>, then
# <code>(alpha * (g @ phi.T) + bias).sigmoid()</code>.
# </details>
#
# [Solution](solved/09_hyperloop.ipynb)

# %% [markdown] id="ex2-card"
# ## Build 2: the loop
#
# Now the loop around any block. `gates(y, i)` gives P, Q and G of pass $i$ (from 0), and
# `embeds[i]` is its vector, which is added to the block's *output*. There are as many passes as
# vectors.
#
# **Exercise 09.2 · Hyperloop** · medium · core · 12 minutes · *idea: read a mixture, write to all*


# %% id="loop-answer" role="answer" ex="09.2"
# exercise 09.2
def my_hyperloop(x, block, gates, embeds, streams):
    """Loop `block` over several streams: [..., width] -> [..., width], the mean of the last ones.

    x is what all streams begin as; block maps [..., width] to the same; gates(y, i) gives P, Q, G,
    each [..., stream], for y [..., stream, width]; embeds [pass, width].
    """
    # --- solution
    y = x[..., None, :].repeat_interleave(streams, dim=-2)
    for i, embed in enumerate(embeds):
        read, write, keep = gates(y, i)
        z = block((read[..., None] * y).sum(-2)) + embed
        y = keep[..., None] * y + write[..., None] * z[..., None, :]
    return y.mean(-2)
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="loop-check" role="check" ex="09.2"
my_hyperloop = check("09.2", my_hyperloop)

# %% [markdown] id="ex2-hints"
# <details><summary>Hint 1, a nudge</summary>
# Give the gates a last axis of one, so that they multiply whole streams.
# </details>
# <details><summary>Hint 2, a plan</summary>
# Copies of <code>x</code> on a new axis before the last. In each pass: gates, the sum of the
# streams with the weights P, the block, plus the embedding. Each stream keeps G of itself and gets
# Q of that. In the end the mean over the streams.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>(read[..., None] * y).sum(-2)</code> goes into the block; what comes out is
# <code>z[..., None, :]</code> for all streams.
# </details>
#
# [Solution](solved/09_hyperloop.ipynb)

# %% [markdown] id="own-intro"
# Do your two functions make up the model? Its weights in your loop, beside looplab's own:


# %% id="own"
def triple(gate):
    """A gate's matrix, its alpha and its bias."""
    return gate.phi.weight, gate.alpha, gate.bias


maps = hyper.cores[0].hyper.maps  # one set for each pass
bare = LoopedTransformer(replace(hyper.config, streams=0, loop_embed=False)).eval()
bare.load_state_dict(hyper.state_dict(), strict=False)  # its layers, without the gates
with torch.no_grad():
    tokens = pieces[:4, :-1]
    ready = bare.prepare(tokens)
    yours = my_hyperloop(
        ready.x,
        lambda z: bare.step(z, ready),
        lambda y, i: stream_gates(
            y, *(triple(getattr(maps[i], g)) for g in ("pre", "post", "res"))
        ),
        torch.stack([one.embed for one in maps]),
        streams=4,
    )
    difference = (bare.readout(yours) - hyper(tokens).logits).abs().max()
same = difference < 1e-4 * hyper(tokens).logits.abs().max()
print("your loop says what the library's says, up to rounding:", bool(same))

# %% [markdown] id="race-intro"
# ## Train it in front of your eyes
#
# First mazes. *Flood fill* (chapter 02): each cell sees its four neighbours and says whether water
# from the start would reach it. The core has two layers, so news travels two cells in a pass,
# whatever the streams hold. 150 steps for a plain loop (one stream, no injection) and for
# Hyperloop, which has the same layers and sees the same mazes.


# %% id="race"
def begin(config, seed=0):
    """An untrained model."""
    torch.manual_seed(seed)
    return LoopedTransformer(config)


maze = {name: hyperloop.load(f"flood_{name}") for name in ("loop", "hyper", "mhc", "shared")}
flood = partial(tasks.flood_fill, side=6)
recipe = train.Recipe(steps=150, batch=32, loops=train.UniformLoops(6, 12), grad_loops=12)
race = {}
for name in ("loop", "hyper"):
    pupil = begin(maze[name].config)
    race[name] = train.fit(pupil, flood, recipe, progress=False, threads=1).loss
for name, losses in race.items():
    print(
        f"{name:6s} mean loss of the last 20 of {len(losses)} steps: {sum(losses[-20:]) / 20:.2f}"
    )
plots.loss_curve(race)

# %% [markdown] id="mazes-intro"
# Hyperloop is behind after these few steps, 0.24 against 0.16; one training of each decides
# nothing. Now the ones that were trained for 700 steps (and mHC, and *shared*, of which later), and
# how many passes they need. *Exact* counts mazes with every cell right. A cell at distance $d$
# cannot be known before pass $d / 2$; the last row says what share of the mazes could be exact
# then, if every cell that news has not reached is taken for dry.


# %% id="mazes"
def exact(model, batch, loops):
    """Share of mazes with every cell right after each pass."""
    with torch.inference_mode():
        ready = model.prepare(batch.tokens)
        return [
            (model.answer(z, ready).argmax(-1) == batch.targets).all(1).float().mean().item()
            for _, z in model.passes(ready, loops)
        ]


batch = flood(256, generator=torch.Generator().manual_seed(5))
SEEN = (1, 2, 3, 4, 6, 8, 12)
print("exact after            ", *(f"{n:6d}" for n in SEEN), " passes")
for name, model in maze.items():
    shares = exact(model, batch, 12)
    print(f"  {name:21s}", *(f"{shares[n - 1]:6.2f}" for n in SEEN))
far = batch.difficulty.amax(1)  # of the farthest wet cell
print("  news could have come ", *(f"{(far <= 2 * n).float().mean():6.2f}" for n in SEEN))
open_cells = batch.tokens != tasks.WALL
for name in ("loop", "hyper"):
    with torch.inference_mode():
        called = maze[name](batch.tokens, 1).logits.argmax(-1)[open_cells].float().mean()
    print(f"after one pass {name:5s} calls {called:.2f} of the open cells wet", end="; ")
print(f"{batch.targets[open_cells].float().mean():.2f} are; you said it sees {my_mazes!r}")

# %% [markdown] id="mazes-text"
# **Measured here**<!-- by race, mazes -->, in one training. From the second pass on the share of
# mazes that are wholly right is, to the last digit, the share whose farthest wet cell the news
# could have reached by then: 0.19, 0.38, 0.70, 0.97. Four streams do not see further than one. They
# could not: no gate carries news to a neighbour, only attention does, two cells a pass
# (**proved**). Where a model seems to beat that, as Hyperloop does in its first pass (0.44 against
# 0.11), it guesses: the last line shows that it calls nearly all open cells wet, and in many mazes
# all of them are. The next pass takes it back. The bound is what gives the guess away.

# %% [markdown] id="english-intro"
# ## English: does it help?
#
# Here is what Hyperloop was made for. The same layers, the same tokens in the same order, three
# trainings (of mHC one, since it takes twice as long), judged on 64 held-out texts. Beside it stand
# the plain loop of chapter 08; **mHC** ([arXiv 2512.24880](https://arxiv.org/abs/2512.24880)),
# which Hyperloop simplifies: there the streams are read and written around every attention and
# every MLP, and $H^{res}$ is a matrix that mixes them; and plain20, which computes as much with
# weights of its own.

# %% id="english"
LOOPS = measured["loops"]
at = {n: i for i, n in enumerate(LOOPS)}
SHOWN = (1, 2, 3, 4, 8, 16, 32)


def trained(name):
    """Held-out losses of all trainings of one kind: [seed, loop, text]."""
    found = [every[f"{name}-{seed}"] for seed in range(3) if f"{name}-{seed}" in every]
    return torch.stack(found)


print("held-out loss, nats a token       after", *(f"{n:5d}" for n in SHOWN), " passes")
for name in ("loop", "hyper", "mhc"):
    losses = trained(name).mean(2)  # [seed, loop]
    means, spread = losses.mean(0), losses.amax(0) - losses.amin(0)
    row = [f"{means[at[n]]:5.3f}" for n in SHOWN]
    print(f"  {name:6s} trainings {len(losses)}: their mean    ", *row)
    if len(losses) > 1:
        row = [f"{spread[at[n]]:5.3f}" for n in SHOWN]
        print(f"  {'':18s} largest - least ", *row)
twenty = trained("plain20").mean(2)[:, 0]
told = f"{twenty.mean():5.3f}, largest - least {twenty.max() - twenty.min():.3f}"
print(f"  plain20 trainings {len(twenty)}: their mean    {told}")
base = trained("loop")[:, at[4]]
print("\ngain on loop after 4 passes, same seed, same texts, with the error over the texts")
for name in ("hyper", "mhc"):
    for seed, losses in enumerate(trained(name)[:, at[4]]):
        gain = base[seed] - losses
        error = gain.std() / len(gain) ** 0.5
        print(f"  {name:6s} seed {seed}: {gain.mean():6.3f} ± {error:.3f} nats")
print(f"you guessed {my_gain}")
curves = {name: (LOOPS[:10], trained(name).mean((0, 2))[:10]) for name in ("loop", "hyper", "mhc")}
curves["plain20"] = ((1,), twenty.mean()[None])
plots.trade_off({"": curves}, "passes", "loss on held-out text, nats a token")

# %% [markdown] id="english-text"
# **Measured here**<!-- by english, peers -->. It helps. After the four passes of training Hyperloop
# is better than the plain loop in each of three trainings, by 0.054, 0.051 and 0.077 nats, with
# errors of 0.009 at most. It is as good as twenty layers of their own, 4.128 against 4.133, with
# less than half of their parameters, and that is the paper's claim. mHC, with sixteen times as many
# numbers in its gates, gains half as much in its one training.
#
# **Reported**: in the paper's table Hyperloop gains 0.031 nats on the plain loop at 136 million
# parameters ($\log 14.85/14.40$), 0.038 at 579 million and 0.022 at 991 million.
#
# Look at the other columns too. After one pass Hyperloop is far behind, and beyond four passes,
# where the plain loop is ruined, it stays level. We come back to both.

# %% [markdown] id="streams-intro"
# ## What do the streams hold?
#
# So it works. Why? The idea of streams is that they can carry different things. Look: for each pass
# the gates of each stream, the cosine between two streams, and what the model would say if it had
# only one of them, or their mean.


# %% id="streams"
def alike(streams):
    """Mean cosine between two streams: [..., stream, width] -> number."""
    pairs = combinations(range(streams.shape[-2]), 2)
    return torch.stack(
        [F.cosine_similarity(streams[..., i, :], streams[..., j, :], dim=-1) for i, j in pairs]
    ).mean()


def said(states):
    """Loss of the next tokens, read out of states of hyper."""
    logits = hyper.readout(states)
    return F.cross_entropy(logits.flatten(0, 1), pieces[:4, 1:].flatten())


few = pieces[:4, :-1]
run = measure.stream_passes(hyper, few)
print("pass   read, written, kept: P, Q, G of the four streams, means over the tokens")
for i in range(4):
    means = [gate[i].flatten(0, 1).mean(0) for gate in (run.pre, run.post, run.res)]
    print(f"  {i + 1}    ", "    ".join(" ".join(f"{x:.2f}" for x in mean) for mean in means))
print("\npass   cosine between two streams   loss of their mean   loss of each stream alone")
for i, y in enumerate(run.streams[1:]):  # [text, token, stream, width]
    alone = [said(y[..., s, :].repeat(1, 1, 4)).item() for s in range(4)]
    told = f"{alike(y):.4f}                       {said(y.flatten(-2)):.2f}                "
    print(f"  {i + 1}    {told}", *(f"{x:.2f}" for x in alone))
ends = [measured["models"][f"hyper-{seed}"]["cosine between streams"][-1] for seed in range(3)]
print("cosine after the last pass, three trainings:", *(f"{x:.4f}" for x in ends), end="; ")
print(f"you guessed {my_cosine}")

# %% [markdown] id="streams-text"
# **Measured here**<!-- by streams -->: **the four streams are one.** The cosine between two of them
# is 1.0000 after every pass, and after the last in all three trainings. Their mean gates are the
# same to two hundredths, each alone says what their mean says, and has its loss. At one token they
# may differ a little more, in gates and in length, as in the film strip above; in direction they do
# not.
#
# One reason can be read off the equation: all streams begin as the same $x$ and are given the same
# $z$ in each pass, so each is a mixture of the same five vectors, and gates of nearly the same size
# make nearly the same mixture. Why the gates stay so alike is a guess: they differ only by what
# $\phi$ drew at random, times an $\alpha$ of 0.01, and 500 steps may be too few to part them. The
# paper trains for fifty times as many steps and prints no measure of it. With two streams it finds
# a perplexity of 14.43, with ten 14.35 where four have 14.40 (**reported**), so not much hangs on
# their number there either.
#
# What then makes Hyperloop better? What is left: gates, a vector for each pass, and growth.

# %% [markdown] id="controls-intro"
# A shortcut should be punished by a control. So here are models of the same recipe that lack one
# thing each: *one* has a single stream with its gates and vectors; *no_embed* has four streams
# without the vectors $e_i$; *identity* and *sinkhorn* have another $H^{res}$, as in the paper's
# ablation: all is kept, or a matrix mixes the streams, made such that its rows and columns sum to
# one (Sinkhorn's method). The paper's numbers are perplexities; the column *paper's* has them as
# gains in nats on its own plain loop, at 136 million parameters (**reported**). The last column
# says how long the state has grown.

# %% id="controls"
REPORTED = {"hyper": 14.40, "identity": 14.61, "sinkhorn": 14.59, "loop": 14.85, "mhc": 14.55}
ABOUT |= {
    "one": "ONE stream, with its gates and vectors",
    "no_embed": "four streams without the vectors",
    "identity": "H_res is the identity: all is kept",
    "sinkhorn": "H_res mixes the streams (Sinkhorn)",
}
print(f"{'loss after 4 passes, each training; mean gain on loop':78s} paper's   length")
for name in ("loop", "hyper", "one", "no_embed", "identity", "sinkhorn", "mhc"):
    losses = trained(name)[:, at[4]].mean(1)
    gain = (base[: len(losses)].mean(1) - losses).mean()
    theirs = f"{log(REPORTED['loop'] / REPORTED[name]):.3f}" if name in REPORTED else "-"
    length = measured["models"][f"{name}-0"]["length"]["4"]
    row = " ".join(f"{x:.3f}" for x in losses)
    print(f"{name:9s} {ABOUT[name]:46s} {row:18s} {gain:6.3f}   {theirs:7s} {length:7.0f}")
print("(paper's: its gain; length: of the state after four passes, first training)")

# %% [markdown] id="controls-text"
# **Measured here**<!-- by controls -->, as many trainings as there are numbers in a row. Everything
# that has gates around a pass gains, and the kinds differ by no more than two trainings of one kind
# do. With *one* stream the gain is 0.066 in the mean, with four 0.060. The vectors can be left out.
# Growth can be left out as well: the state of *one* is 41 long after four passes, that of *hyper*
# 862, that of the plain loop 26. Whether $H^{res}$ is diagonal, the identity or mixes does not show
# either; the paper's ranking of the three (0.031, 0.016, 0.018) would take more than our trainings
# to see. What the five rows from *hyper* to *sinkhorn* have and the plain loop has not are **gates
# of each pass's own**. Whether it matters that they look at the token, or only that each pass has
# others, no row tells: a model with $\alpha = 0$ would.

# %% [markdown] id="ex3-card"
# ## Build 3: how fast does it grow?
#
# The layers of the core add to what they read. They see it through a norm, so what they add has
# about the same length however long the state is. Once the state is long, a pass hands on nearly
# what it read, and then it is a *linear* map of the streams: stream $s$ becomes $G_s\, y_s + Q_s
# \sum_t P_t\, y_t$. Write that as a matrix. Its largest eigenvalue is the factor by which the
# streams grow in a pass.
#
# **Exercise 09.3 · one pass as a matrix** · medium · core · 8 minutes · *idea: gates alone are a
# linear map of the streams*


# %% id="matrix-answer" role="answer" ex="09.3"
# exercise 09.3
def pass_matrix(read, write, keep):
    """What a pass does to the streams where its block hands on what it reads: [..., to, from].

    read, write and keep [..., stream] are P, Q and G; without an embedding, the new stream s is the
    sum over t of matrix[..., s, t] times stream t.
    """
    # --- solution
    return torch.diag_embed(keep) + write[..., :, None] * read[..., None, :]
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="matrix-check" role="check" ex="09.3"
pass_matrix = check("09.3", pass_matrix)

# %% [markdown] id="ex3-hints"
# <details><summary>Hint 1, a nudge</summary>
# If the block hands on what it reads, what does stream 2 get of stream 0?
# </details>
# <details><summary>Hint 2, a plan</summary>
# Each stream keeps G of itself: the diagonal. And it gets Q times everything that was read, which
# holds P of each stream: an outer product.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>torch.diag_embed(keep)</code> plus <code>write[..., :, None] * read[..., None, :]</code>.
# </details>
#
# [Solution](solved/09_hyperloop.ipynb)


# %% id="growth"
def growth(model, tokens, loops):
    """Largest factor of the matrix of each pass, and how the state grew: both [loop], medians."""
    run = measure.stream_passes(model, tokens, loops)
    foretold = torch.linalg.eigvals(pass_matrix(run.pre, run.post, run.res)).abs().amax(-1)
    ends = run.streams.flatten(-2).norm(dim=-1)
    grew = ends[1:] / ends[:-1]
    return foretold.flatten(1).median(1).values, grew.flatten(1).median(1).values


untrained = begin(hyper.config, seed=1).eval()
told = {}
print("factor by which the streams' length grows in each pass")
for name, (model, tokens, loops) in {
    "English, untrained": (untrained, few, 8),
    "English, trained": (hyper, few, 8),
    "mazes, trained": (maze["hyper"], batch.tokens[:16], 16),
}.items():
    foretold, grew = growth(model, tokens, loops)
    told[f"{name}: gates"], told[f"{name}: measured"] = foretold[:8], grew[:8]
    print(f"  {name:20s} by the gates", *(f"{x:5.2f}" for x in foretold))
    print(f"  {'':20s} measured    ", *(f"{x:5.2f}" for x in grew))
picture = plots.trade_off(
    {"": {name: (range(1, 9), values) for name, values in told.items()}},
    "pass",
    "factor of the length in a pass",
)
plots.mark(picture, whose("09.3"))

# %% [markdown] id="growth-text"
# **Proved**: with equal gates the matrix is $G$ times the identity plus $QP$ in every place. Equal
# streams become $G + nPQ$ times as long, every difference between streams only $G$ times. At the
# start the authors' code has $G = \sigma(1) = 0.73$, $P = \sigma(1/4) = 0.56$ and $Q = 1$: the
# factor is $0.73 + 4 \cdot 0.56 = 2.98$, and a difference shrinks beside it fourfold in each pass.
# (Another reason why streams stay alike.) **Measured here**<!-- by growth -->: so it is in the
# untrained model, 2.98. After training it is 2.61 on English from the fourth pass on (there and
# later the gates of the last pass are used again), and your matrix foretells it within 2 %. On
# mazes it lies between 1.94 and 2.91 from the fourth pass on; there the matrix is off by a tenth at
# times, and right to the last digit from the ninth on. In the first passes what the layers add
# still matters.
#
# And what if it grows? The state goes through a norm before anybody reads it, so its length alone
# does no harm. But each pass the layers speak as loud as before, into a state that is 2.6 times as
# long.

# %% [markdown] id="beyond-intro"
# ## Far beyond the trained passes
#
# Chapter 08's *loop* was ruined by more passes than it was trained for. And Hyperloop, whose last
# set of gates is used again and again? Your matrix says how each kind grows. Guess before you look:
# which of the seven overthink?
#
# If growth is what makes the difference, a plain loop with growth should not overthink either. The
# last two rows take *loop* as it was trained, and make its state 2.6 times longer at the end of
# every pass from the fourth on. In the end the state gets its length back before it is read.
# Nothing is trained.


# %% id="beyond"
def grown(model, tokens, loops, factor, first=4):
    """States of a loop whose state is made longer at the end of each pass from the `first` on."""

    def longer(site, value):
        if site.name == "core.loop_end" and site.loop + 1 >= first:
            return value * factor

    states = model(tokens, loops, every_loop=True, tap=longer).loop_states
    power = torch.tensor([max(0, n - first + 1) for n in range(1, loops + 1)])
    return states / factor ** power[:, None, None, None]  # back to its length before it is read


def loss_at(model, states):
    """Loss of the next tokens after 4, 8, 16 and 32 passes."""
    judged = pieces[:4, 1:].flatten()
    return [
        F.cross_entropy(model.readout(states[n - 1]).flatten(0, 1), judged).item()
        for n in (4, 8, 16, 32)
    ]


FAR = (4, 8, 16, 32)
GROW = ("loop", "mhc", "one", "no_embed", "identity", "hyper", "sinkhorn")
print(
    "means of all trainings                   growth per pass    loss after", *FAR, "and 64 passes"
)
for name in GROW:
    lengths = measured["models"][f"{name}-0"]["length"]
    factor = (lengths["16"] / lengths["8"]) ** (1 / 8)
    losses = trained(name).mean((0, 2))
    row = [f"{losses[at[n]]:6.3f}" for n in (*FAR, 64)]
    print(f"  {name:9s} passes 8 to 16 of the first one   {factor:6.2f}        ", *row)
print("\nlength of the state, and 1 - cosine with the pass before, first training")
for name in ("loop", "hyper"):
    known = measured["models"][f"{name}-0"]
    row = [f"{known['length'][str(n)]:8.2g} ({known['turn'][str(n)]:.0e})" for n in FAR]
    print(f"  {name:6s}", *row)
with torch.inference_mode():
    plain = loss_at(loop, loop(few, 32, every_loop=True).loop_states)
    longer = loss_at(loop, grown(loop, few, 32, 2.6))
print("\none training, 4 texts, loss after ", *(f"{n:6d}" for n in FAR), " passes")
print("  loop as it is                   ", *(f"{x:6.3f}" for x in plain))
print("  loop, 2.6 times longer each pass", *(f"{x:6.3f}" for x in longer))

# %% [markdown] id="beyond-text"
# **Measured here**<!-- by beyond -->, the last two rows in one training. Two camps. What hardly
# grows overthinks: *loop*, *mhc* and *one*, with factors up to 1.07, are at 5.332, 4.458 and 5.126
# after 32 passes. What doubles or triples in each pass stays level from eight passes on: 4.141 to
# 4.179 after 32. Is that rest? Hyperloop's state is half a thousand million million long by then.
# But its direction stands still, because each pass whispers into a longer state. That is a *slider*
# (chapter 06) of the fastest kind: what it points at stays, and not because a pass agrees with it.
# And the control confirms it: the plain loop, made longer by hand, stops overthinking, 3.929 after
# 32 passes where it had 5.043. What protects Hyperloop from too many passes is that its passes are
# no longer heard.
#
# It ends with a bang: after 64 passes the *square* of the length is more than float32 can hold, the
# norm divides by infinity, and the loss of *hyper* and *sinkhorn* is that of saying all 2048 tokens
# nearly alike, $\log 2048 = 7.62$. Those that grow more slowly are on their way there.
#
# Can what is no longer heard think further, where that is worth something? On mazes larger than any
# in training more passes than the trained 12 may be needed. The authors suggest *one* set of gates
# for all passes where one wants to go beyond the trained number; and biases of zero grow less at
# first.

# %% id="variants"
VARIANTS = {
    "loop": "one stream",
    "mhc": "streams around each branch",
    "hyper": "gates of each pass's own",
    "zero": "the same, biases begin at zero",
    "shared": "one set of gates for all passes",
}
print("10 x 10 mazes, share exact, each training       after 12 passes, 16, 24, 32")
for name, about in VARIANTS.items():
    rows = [measured["models"].get(f"flood_{name}-{seed}") for seed in range(3)]
    for row in filter(None, rows):
        shares = [row["exact beyond"][n] for n in ("12", "16", "24", "32")]
        print(f"  {name:7s} {about:36s}", *(f"{share:8.2f}" for share in shares))
large = tasks.flood_fill(256, torch.Generator().manual_seed(5), side=10)
away = large.difficulty  # cells from the start to each wet one
share = [f"{(away.amax(1) <= 2 * n).float().mean():.2f}" for n in (12, 16, 24)]
print("  news could have come after 12 passes, 16, 24:", *share)
print("\nlength of the state after 12 passes, median over the cells")
KINDS = {
    "wet, and the news has come": (away >= 0) & (away <= 12),
    "wet, and the news is on its way": away > 24,
    "dry": (away < 0) & (large.tokens != tasks.WALL),
}
for name in ("hyper", "shared"):
    with torch.inference_mode():
        lengths = maze[name](large.tokens, 12).state.norm(dim=-1)
    told = [f"{kind}: {lengths[cells].median():.2g}" for kind, cells in KINDS.items()]
    print(f"  {name:7s}", ";  ".join(told))

# %% [markdown] id="variants-text"
# **Measured here**<!-- by variants -->, in as many trainings as there are rows, the lengths in one.
# News could have come everywhere in 0.97 of these mazes after the 12 trained passes, and in all
# after 16. Hyperloop is at 0.86 then and stays there. Biases of zero are no better. With one set of
# gates for all passes it is at 0.96 to 0.98, and goes on to 0.97 to 1.00. Does the shared model not
# grow, then? It does, and faster: where the news has come, a state is thirty million long after 12
# passes. But its gates look at the token: a cell that **waits** is 14 long, a dry one 15. Who is
# short still hears. With gates of each pass's own the waiting cell is nearly a thousand long by
# then. After 32 passes the bang comes for the shared model: the square of its longest states leaves
# float32, and no maze is right. The plain loop and mHC go on too, up to 0.99 and 0.98, and one
# training of the plain loop loses its way after 24 passes.

# %% [markdown] id="ex4-card"
# ## Build 4: does each pass do something else?
#
# Passes are worth their time if each does something that the others do not. The paper measures how
# alike they are: the cosine between the outputs of *one* layer in two different passes, a mean over
# all pairs of passes and all tokens. It finds 0.743 for its plain loop and 0.738 for Hyperloop at
# 136 million parameters, 0.915 and 0.872 at 579 (**reported**): with streams the passes differ
# more.
#
# **Exercise 09.4 · one layer, several passes** · easy · core · 6 minutes · *idea: pairs of passes,
# cosines first, then the mean*


# %% id="cosine-answer" role="answer" ex="09.4"
# exercise 09.4
def cosine_between_loops(states):
    """Mean cosine between a layer's outputs in two different loops, over all pairs of loops.

    states [loop, layer, ..., width] -> [layer]: the mean is also over the axes between.
    """
    # --- solution
    unit = F.normalize(states, dim=-1)
    pairs = combinations(range(len(states)), 2)
    alike = torch.stack([(unit[i] * unit[j]).sum(-1) for i, j in pairs])  # [pair, layer, ...]
    return alike.mean(0).reshape(states.shape[1], -1).mean(1)
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="cosine-check" role="check" ex="09.4"
cosine_between_loops = check("09.4", cosine_between_loops)

# %% [markdown] id="ex4-hints"
# <details><summary>Hint 1, a nudge</summary>
# Make all vectors of length one first; then a cosine is a sum of products.
# </details>
# <details><summary>Hint 2, a plan</summary>
# For each pair of different loops: products of unit vectors, summed over the width. The mean over
# the pairs, and over everything but the layer.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>unit = F.normalize(states, dim=-1)</code>, pairs from
# <code>combinations(range(len(states)), 2)</code>, each <code>(unit[i] * unit[j]).sum(-1)</code>.
# </details>
#
# [Solution](solved/09_hyperloop.ipynb)

# %% id="cosines"
print("mean cosine between a layer's outputs in two of four passes")
for name, model in {"loop": loop, "hyper": hyper}.items():
    yours = cosine_between_loops(trace(model, pieces[::4, :-1]).states)
    print(
        f"  {name:8s} by layer (yours)   ",
        *(f"{x:.2f}" for x in yours),
        f"  mean {yours.mean():.3f}",
    )
for name in ("loop", "hyper", "mhc"):
    means = [
        torch.tensor(measured["models"][f"{name}-{seed}"]["cosine between loops"]).mean()
        for seed in range(3)
        if f"{name}-{seed}" in every
    ]
    print(f"  {name:8s} trainings, all layers", *(f"{x:.3f}" for x in means))


def lens(model, tokens):
    """What each layer of each pass would say: loss, entropy, share right, [pass, place, 3, text].

    Places are the layers and, last, the end of the pass, where the streams have been written.
    """
    run, found, after = trace(model, tokens[:, :-1]), [], tokens[:, 1:]
    for layers, end in zip(run.states, run.loop_ends, strict=True):
        inside = [z.repeat(1, 1, max(1, model.config.streams)) for z in layers]
        for z in (*inside, end):
            logs = model.readout(z).log_softmax(-1)
            loss = -logs.gather(-1, after[..., None])[..., 0].mean(1)
            entropy = torch.special.entr(logs.exp()).sum(-1).mean(1)
            found.append(torch.stack([loss, entropy, (logs.argmax(-1) == after).float().mean(1)]))
    return torch.stack(found).unflatten(0, (run.loops, -1))


panels = {}
with torch.inference_mode():
    for name, model in {"loop": loop, "hyper": hyper}.items():
        seen = lens(model, pieces[:8])
        for i, row in enumerate(seen.mean(-1)):
            layers = " ".join(f"{x:.2f}" for x in row[:4, 0])
            told = f"at its end {row[4, 0]:.2f}, entropy {row[4, 1]:.2f}, right {row[4, 2]:.2f}"
            print(f"{name:6s} pass {i + 1}: loss by layer {layers}, {told}")
        panels[f"loss, {name}"] = {f"pass {i + 1}": row[:, 0] for i, row in enumerate(seen)}
plots.mark(
    plots.across_layers(panels, first=1, one_scale=True, axis="layer; 5: end of the pass"),
    whose("09.4"),
)

# %% [markdown] id="lens-text"
# **Measured here**<!-- by cosines -->, three trainings each, of mHC one; the losses by layer in
# one. In ours it is the other way round: the cosine is 0.91 in the plain loop and 0.97 in
# Hyperloop. That does **not** replicate. Growth may be a reason: each pass reads a longer state,
# and its layers turn it less. But mHC hardly grows and has 0.950, and the paper's models begin with
# the same growth. They are 70 to 300 times as large and trained for far longer, with three passes
# instead of four.
#
# What each layer would say (a *lens*: read the answer out of its state) tells where the work is
# done. In *loop* most of it is done in the first pass. Hyperloop's first pass ends with half of the
# right words of the last one (0.15 of 0.29) and a loss of 5.20 (only the last pass is judged in
# training), the second brings most of the rest (0.26). Within the fourth no layer changes anything
# that the lens can see: 3.87, 3.87, 3.87, 3.87. At the ends of passes the loss is lower than at the
# layers before, as the paper reports, up to the third.

# %% [markdown] id="ex5-card"
# ## Build 5: four bits
#
# A small model is worth more if it can be made smaller still. Weights are usually kept in 16 bits
# (BF16); rounding them to four (INT4) is customary. The paper does it with GPTQ, a method that
# corrects its own errors; we simply round. The weights of a row are taken in groups; a group has
# one scale, so that its largest weight is the outermost level, and with $b$ bits there are $2^{b-1}
# - 1$ levels on each side of zero. A group of zeros stays zeros.
#
# **Exercise 09.5 · four bits** · medium · core · 8 minutes · *idea: a scale for each group, and the
# nearest level*


# %% id="bits-answer" role="answer" ex="09.5"
# exercise 09.5
def rounded(weight, bits, group):
    """Weights [row, column] rounded to the nearest of 2^bits - 1 levels, evenly around zero.

    Each `group` of neighbouring columns of a row has a scale of its own, so that its largest weight
    is a level. Same shape.
    """
    # --- solution
    groups = weight.unflatten(-1, (-1, group))
    top = 2 ** (bits - 1) - 1
    scale = groups.abs().amax(-1, keepdim=True).clamp(min=1e-12) / top
    return ((groups / scale).round() * scale).flatten(-2)
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="bits-check" role="check" ex="09.5"
rounded = check("09.5", rounded)

# %% [markdown] id="ex5-hints"
# <details><summary>Hint 1, a nudge</summary>
# Give the groups an axis of their own: <code>weight.unflatten(-1, (-1, group))</code>.
# </details>
# <details><summary>Hint 2, a plan</summary>
# With b bits there are $2^{b-1} - 1$ levels on each side of zero. A group's scale is its largest
# size divided by that. Divide, round, multiply again.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>scale = groups.abs().amax(-1, keepdim=True).clamp(min=1e-12) / (2 ** (bits - 1) - 1)</code>;
# in the end <code>.flatten(-2)</code>.
# </details>
#
# [Solution](solved/09_hyperloop.ipynb)


# %% id="bits"
def in_few_bits(name, bits):
    """A fresh model whose core, prelude and coda have your rounded matrices."""
    model = hyperloop.load("hyper") if name == "hyper" else english.load(name)
    with torch.no_grad():
        for key, weight in model.named_parameters():
            if key.endswith(("qkv.weight", "out.weight", "up.weight", "down.weight")):
                weight.copy_(rounded(weight, bits, group=32))
    return model


def held_out(model):
    """Loss on 12 held-out texts, as the model is used: [text]."""
    with torch.inference_mode():
        tokens = pieces[:12]
        logs = model(tokens[:, :-1]).logits.log_softmax(-1)
        return -logs.gather(-1, tokens[:, 1:, None])[..., 0].mean(1)


print("yours, one training, 12 texts: loss at full precision, and what rounding costs (± error)")
for name, model in {"loop": loop, "hyper": hyper}.items():
    full = held_out(model)
    costs = {bits: held_out(in_few_bits(name, bits)) - full for bits in (8, 4, 3)}
    told = [f"{bits} bits {x.mean():7.4f} ± {x.std() / 12**0.5:.4f}" for bits, x in costs.items()]
    print(f"  {name:6s} {full.mean():.3f}   ", "   ".join(told))
print("\nall trainings, 64 texts: cost of 4 bits, and of 3")
for name in ("loop", "hyper", "mhc", "plain20"):
    rows = []
    for seed in range(3):
        if f"{name}-{seed}" in every:
            full = every[f"{name}-{seed}"].mean(1)[0 if name == "plain20" else at[4]].item()
            low = measured["models"][f"{name}-{seed}"]["rounded"]
            rows.append((low["4"] - full, low["3"] - full))
    print(
        f"  {name:8s}",
        *(f"{four:.4f}" for four, _ in rows),
        "  ",
        *(f"{three:.4f}" for _, three in rows),
    )

# %% [markdown] id="bits-text"
# **Measured here**<!-- by bits -->, trainings as in the last table. Eight bits cost next to
# nothing. Four cost the plain loop 0.0064 to 0.0116 nats and Hyperloop 0.0070 to 0.0092: no
# difference that three trainings could show. At three bits there is one: Hyperloop loses 0.0407 to
# 0.0429 nats, the plain loop 0.0528 to 0.0585, and twenty layers without a loop lose least, 0.0261
# to 0.0405. A loop repeats its errors in each pass.
#
# **Reported**, and in the same order: from BF16 to INT4 the paper's perplexity goes from 14.85 to
# 15.18 in the plain loop (0.022 nats), from 14.40 to 14.68 in Hyperloop (0.019), from 14.65 to
# 14.85 in the transformer of nearly twice the size (0.014).

# %% [markdown] id="reported"
# ## The paper's table
#
# **Reported** (Zeitoun et al., [arXiv 2604.21254](https://arxiv.org/abs/2604.21254)), FineWeb-Edu,
# perplexity on 50 million held-out tokens; speed in training on eight H100.
#
# | model | parameters | perplexity, BF16 | INT4 | tokens a second |
# |---|---|---|---|---|
# | Transformer, 16 layers | 238 M | 14.65 | 14.85 | 786 K |
# | mHC, 16 layers | 241 M | 14.55 | 14.73 | 514 K |
# | Looped, (2, 4⊗3, 2) | 135.5 M | 14.85 | 15.18 | 786 K |
# | **Hyperloop** | 135.7 M | **14.40** | **14.68** | 750 K |
# | Looped, (3, 4⊗3, 3) | 579.4 M | 10.02 | 10.24 | 367 K |
# | **Hyperloop** | 579.7 M | **9.65** | **9.81** | 354 K |
# | Transformer, 38 layers | 2018 M | 8.60 | 8.71 | 181 K |
# | mHC, 38 layers | 2033 M | 8.57 | 8.62 | 109 K |
# | Looped, (4, 10⊗3, 4) | 990.5 M | 8.68 | 8.97 | 183 K |
# | **Hyperloop** | 990.8 M | **8.49** | **8.59** | 180 K |
#
# Others have measured what a loop's passes are worth in layers (the iso-depth law of chapter 08,
# [arXiv 2604.21106](https://arxiv.org/abs/2604.21106)): its exponent rises from 0.46 to 0.65 with
# hyper-connections (**reported**). What a step costs on a CPU is measured by
# `benchmarks/bench_train.py streams`: at our size, on one machine, Hyperloop's step of training
# takes 1.07 times as long as the plain loop's, mHC's 2.3 times.

# %% [markdown] id="interpret"
# ## Interpret
#
# - **The gain replicates, the story does not.** Hyperloop beats the plain loop in each training,
#   and by twice as much as in the paper's small one. But its four streams are one stream, and with
#   *one* stream the gates and vectors do at least as well. At our size it is not the streams that
#   help. Whether they do at the paper's, its ablation does not say: it has no row with one.
# - **Level is not rest.** A loss that stays the same for 32 passes may mean a fixed point (chapter
#   08's *drawn*), or a state so long that nothing reaches it. Look at lengths and directions, not
#   at the loss alone.
# - **A length is a clock.** Where states grow from pass to pass, the same layers do less and less,
#   without anybody having told them to. That is a schedule that nobody wrote down.
# - **A bound is a control.** No gate carries news to a neighbour, so on mazes no model can know
#   before its time, and one that is right by then has guessed.
#
# ### Two open questions (no check)
#
# 1. Let the streams begin apart: another start for each, or an $\alpha$ of 1. Do they stay apart,
#    and is that worth anything? `data/make_hyperloop.py` trains a model in ten minutes on a quiet
#    core.
# 2. Which growth is best? Set the biases so that a pass grows the state by a factor of 1, 1.5, 2 or
#    3.
#
# ## Key points
#
# 1. Hyper-connections are three gates and a loop: read a mixture, write to all, keep a share.
# 2. Count parameters and computing exactly, train three times, and compare on the same texts.
# 3. Streams that begin as copies and are treated alike stay copies. Measure their cosine before you
#    speak of what each one holds.
# 4. Gates alone foretell the growth: the largest eigenvalue of $\mathrm{diag}(G) + Q P^T$.
# 5. Growth silences later passes: no overthinking, and overflow in the end. Where gates keep a
#    state short, it still hears.

# %% [markdown] id="questions"
# ## Five questions
#
# 1. A Hyperloop with four streams is better than a plain loop. Does that show that four streams
#    carry more than one?
# <details><summary>Answer</summary>
# No. It shows that the whole package is better. Look into the streams, and train the package with
# one stream: here that is as good.
# </details>
#
# 2. All three gates start at $P = Q = G = 0.5$. By what factor does the state grow in a pass at the
#    start?
# <details><summary>Answer</summary>
# $G + nPQ = 0.5 + 4 \cdot 0.5 \cdot 0.5 = 1.5$, as soon as the state is long.
# </details>
#
# 3. The loss of a looped model is the same after 8 and after 32 passes. Has it found a fixed point?
# <details><summary>Answer</summary>
# Perhaps. It may also have grown so long that later passes change nothing. Look at the length of
# the state, and at what a pass adds, not at the loss.
# </details>
#
# 4. On mazes the exact share is .38 after three passes for every model. What would a larger share
#    have shown?
# <details><summary>Answer</summary>
# A guess: that a cell is wet because most are. News from the start cannot have come further than
# six cells.
# </details>
#
# 5. You may have eight streams instead of four. What does that cost, and what would you measure
#    first?
# <details><summary>Answer</summary>
# The gates' matrices grow with the square of the number (each of three gates has $n$ rows of $nD$),
# and with the authors' initial values each pass makes the state about five times as long. First the
# cosine between streams: if it is 1, eight are as good as one.
# </details>

# %% [markdown] id="scoreboard-text"
# ## Scoreboard
#
# Whose code drew the figures above?

# %% id="scoreboard"
scoreboard("09")

# %% [markdown] id="read-on"
# ## Read on
#
# - Back: [08 Train a looped language model](08_train_a_looped_language_model.ipynb).
# - Next: [10 Released models](10_released_models.ipynb).
# - Zeitoun, Torroba-Hennigen and Kim, [arXiv 2604.21254](https://arxiv.org/abs/2604.21254),
#   Hyperloop; its authors' code is `azeitoun/hyperloop-transformer` on GitHub, and `zoo.load` reads
#   what it trains.
# - Xie et al., [arXiv 2512.24880](https://arxiv.org/abs/2512.24880), mHC; Zhu et al., [arXiv
#   2409.19606](https://arxiv.org/abs/2409.19606), hyper-connections.
