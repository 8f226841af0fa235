# ---
# jupyter:
#   looplab:
#     chapter: "10"
#     title: Released models
#     minutes: 90
#     needs: chapters 03 and 04; chapters 07 and 08 help
#     learn: loop a pretrained model by hand, map what that costs, and read released looped models
#     language_model: true
# ---

# %% [markdown] id="title"
# # 10 · Released models
#
# *90 minutes · a laptop CPU, no network · you should have done chapters 03 and 04; 07 and 08 help*
#
# Does what was shown of small models hold for real ones? Here stands *one* real model,
# **SmolLM2**, which was never looped, and which you loop by hand, six of its layers, with no
# training at all. Of the released looped models, Huginn, Ouro and the retrofits, there are only
# **miniatures** that we trained: none of the released ones was run by us. A slider takes it from
# a fixed cycle to a walk without end. You draw the map of what looping costs, layer by layer, and
# ask whether it ever *helps*. Then one lens for three of the families that have been released as
# looped models: **Huginn**, which starts from noise and norms every sum; **Ouro**, a whole stack
# looped four times, with a gate; the **retrofits**, feedforward models that were cut open. At the
# end one call measures the paper's figures, and you know what to type for the real ones, and
# where a reader of their files goes wrong.
#
# **You will be able to**
#
# - loop any window of a pretrained model, and say when it rests, turns or wanders;
# - compute what a loop costs on many texts, with an error, and test a find on texts of its own;
# - recognise an orbit, and a loop that settles on the *wrong* state;
# - load a model in the format of a released family, and put it under one lens with all its
#   layers;
# - name five traps in the official files, and say what falling into each costs a miniature.
#
# Labels are **proved**, **measured here** and **reported**. *Measured here* speaks of the models of
# the committed edition, by name: SmolLM2-135M-Instruct, SmolLM2 looped and healed, and our own
# miniatures `huginn-mini`, `ouro-mini`, `retrofit-mini`, `feedforward-mini`. If you choose another
# model, your cells show its numbers, and the sentences still speak of ours. *Reported* is from
# Blayney et al. ([arXiv 2604.11791](https://arxiv.org/abs/2604.11791)) unless another source stands
# there; C1 to C17 number what that paper claims, as in the earlier chapters.

# %% id="set-up"
from math import log

import torch
import torch.nn.functional as F

from looplab import LoopedTransformer, measure, plots, reproduce, trace, zoo
from looplab.exercises import check, scoreboard, todo, whose
from looplab.experiments.layerwise import Answers, next_token_loss
from looplab.experiments.windows import texts, window_losses, window_map
from looplab.reproduction import QUICK
from looplab.widgets import ModelMenu, PlaneStepper
from looplab.zoo import menu, miniatures, verify

# %% [markdown] id="model-intro"
# ## A real model on the bench
#
# SmolLM2-135M-Instruct, the one real model of this chapter, has 30 layers, numbered from 0, and
# states of 576 numbers (chapter 07). We cut it in three: layers 0 to 11 are the prelude, 12 to 17
# the **window** that is looped, 18 to 29 the coda. Nothing is trained. Where the model is not
# installed, the chapter reads what it would have measured from `data/smollm2_loops.safetensors`,
# and says so here.

# %% id="model"
here = zoo.has_smollm2()
tokenizer = zoo.tokenizer("smollm2") if here else None  # before the weights: it takes room
model = zoo.smollm2() if here else None
smol = Answers("smollm2_loops.safetensors", live=here)
FIRST, LAST = 12, 18  # the window: layers 12 to 17
LOOPS = 48


def encode(text):
    """Ids of a text."""
    return tokenizer(text).input_ids


def logs(lengths):
    """log10 of what may be 0: that counts as a billionth, which is below rounding."""
    return lengths.clamp_min(1e-9).log10()


SENTENCE = "A good friend tells you the truth and stays for dinner."
if here:
    sentence = torch.tensor([encode(SENTENCE)])
    few = texts(encode, 12, 32)[[0, 1, 12, 13]]  # two problems, two pieces of speeches
    looped = zoo.loopify(model, FIRST, LAST, LOOPS, injection=0.1)
    print(f"SmolLM2 is {model.config.notation}; with its window looped it is", end=" ")
    print(looped.config.notation)
else:
    print("SmolLM2 is not installed here: recorded numbers are shown.")

# %% id="albert"
# With a network there is a released looped model that fits everywhere: ALBERT (2019) runs ONE layer
# twelve times and weighs 47 MB. It fills in words, instead of saying the next one. Nothing below
# needs it. Set this to True to fetch it.
ask_the_hub = False
if ask_the_hub:
    try:
        albert = zoo.load("albert/albert-base-v2")
        run = trace(albert, torch.tensor([albert.words(SENTENCE)]), loops=48)
        steps = measure.relative_step(run.states[:, -1]).flatten(1).median(1).values
        print(albert.config.notation, "step at loops 2, 12, 48:", steps[[0, 10, 46]].tolist())
    except (OSError, ValueError) as error:
        print(f"The hub cannot be reached, so this stays closed: {str(error)[:200]}")
else:
    print("The hub was not asked.")

# %% [markdown] id="predict"
# ## Predict
#
# In front of each pass the window reads a mixture: $\alpha$ of the state that it left, and
# $1 - \alpha$ of the input that the prelude gave. At $\alpha = 1$ nothing is injected. Guess, for
# six layers that were never made for it: up to which $\alpha$ does every token come to rest? What
# does it cost, in nats a token, to run them four times with *no* injection (the model's own loss
# is 3.92 on the first four texts below)? And is there any window, and any way to loop it, that
# makes the model *better*?

# %% id="predict-cell"
my_alpha = 0.9  # your guess: the largest α, of 0.1, 0.3, 0.5, 0.7 and 0.9, at which all rest
my_cost = 3.0  # your guess: nats a token that four naive loops of layers 12 to 17 cost
my_help = True  # your guess: does any of 27 windows, looped in some way, help?

# %% [markdown] id="ex1-card"
# ## Build 1: a loop around frozen layers
#
# Write the loop yourself. `window`, here $g$, is a function: what the frozen layers make of a
# state. The state begins as the input $x$, and each pass is
#
# $$z_t = g(\alpha z_{t-1} + (1 - \alpha) x), \quad z_0 = x ,$$
#
# Note what the first pass reads: $x$ itself, whatever $\alpha$ is. So one loop is exactly the
# model that you cut. Behind the hints your loop goes around the real layers. The figure shows how
# far each pass still moves a token of a sentence, relative to the length of its state (the median
# of the tokens).
#
# **Exercise 10.1 · a loop around frozen layers** · easy · core · 8 minutes · *idea: injection is
# one line, and it decides everything*


# %% id="injected-answer" role="answer" ex="10.1"
# exercise 10.1
def injected(window, x, share, loops):
    """State at the end of each loop: x [..., width] -> [loop, ..., width].

    window: a function from states to states; share: how much of the state each pass reads, the
    rest of it is the input x.
    """
    # --- solution
    state, states = x, []
    for _ in range(loops):
        state = window(share * state + (1 - share) * x)
        states.append(state)
    return torch.stack(states)
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="injected-check" role="check" ex="10.1"
injected = check("10.1", injected)

# %% [markdown] id="ex1-hints"
# <details><summary>Hint 1, a nudge</summary>
# Keep the input apart from the state: every pass reads it again.
# </details>
# <details><summary>Hint 2, a plan</summary>
# The state starts as x. In each loop: mix state and input, put the mixture through the window, keep
# what comes out in a list. Stack the list.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>state = window(share * state + (1 - share) * x)</code>, then
# <code>states.append(state)</code>; at the end <code>torch.stack(states)</code>.
# </details>
#
# [Solution](solved/10_released_models.ipynb)

# %% id="loops"
SHARES = (0.1, 0.3, 0.5, 0.7, 0.9, 1.0)


def rolling():
    """Size of each step, log10 of the median of tokens, with your loop: [loop - 1, share]."""
    naive = zoo.loopify(model, FIRST, LAST, LOOPS, damped=False)
    steps = []
    with torch.inference_mode():
        ready = naive.prepare(sentence)
        for share in SHARES:
            states = injected(lambda z: naive.step(z, ready), ready.start, share, LOOPS)
            steps.append(measure.relative_step(states)[:, 0].median(-1).values)
        again = injected(lambda z: naive.step(z, ready), ready.start, 0.1, 4)[-1]
        library = looped(sentence, 4).state
        apart = logs((again - library).norm() / library.norm())
    return {"step": logs(torch.stack(steps, 1)), "apart": apart}


found = smol.ask("rolling", rolling)
print("median relative step             loop 2    loop 8   loop 24   loop 48")
for n, share in enumerate(SHARES):
    told = "".join(f"{10 ** found['step'][loop - 2, n]:10.0e}" for loop in (2, 8, 24, 48))
    print(f"α = {share:.1f}{', no injection' if share == 1 else '':24s} {told}")
agrees = "yes" if found["apart"] < -5 else "no"
print(f"your loop and looplab's loopify(..., injection=0.1) agree to float32's rounding: {agrees}")
picture = plots.lines_by_layer(
    10 ** found["step"].float(),
    "step, relative",
    names=[f"α = {share:.1f}" for share in SHARES],
    floor=1e-6,
    first_loop=2,
)
plots.mark(picture, whose("10.1") if here else "looplab's")

# %% [markdown] id="explore"
# ## Explore: a slider over α
#
# Each picture is a run of 48 loops with another $\alpha$, in tenths: the states of one token after
# each of the six layers in the last 16 loops, in the plane of their largest spread. Every picture
# fills its frame: how large it is stands below. First a film strip.


# %% id="strip"
TOKENS = {"the first token": 0, "friend": 2, "truth": 6, "dinner": 10}


def tour():
    """For each token and α the last 16 loops in their plane, and what is said of them."""
    points, numbers = [], []
    for tenths in range(1, 11):
        share = tenths / 10
        run = trace(zoo.loopify(model, FIRST, LAST, LOOPS, injection=share), sentence)
        step = measure.relative_step(run.states[:, -1])[-1, 0]
        cosine, length = measure.min_layer_cosine(run.states)[0], run.states[-1, -1, 0].norm(dim=-1)
        size = run.states[-16:].flatten(0, 1)[:, 0]  # [loop x layer, token, width]
        size = (size - size.mean(0)).norm(dim=-1).amax(0) / length
        for token in TOKENS.values():
            path = measure.cycle_pca(run.states[-16:, :, 0, token]).points.flatten(0, 1)
            points.append(path / path.abs().max())
            numbers.append([logs(step[token]), cosine[token], length[token].log10(), size[token]])
    points = torch.stack(points).unflatten(0, (10, -1)).transpose(0, 1)
    return {"points": points, "numbers": torch.tensor(numbers).unflatten(0, (10, -1))}


turns = smol.ask("tour", tour)


def told(tenths, token):
    """A caption."""
    step, cosine, length, size = turns["numbers"][tenths - 1, token].tolist()
    state = "rests" if step < -5 else "moves on"
    return (
        f"α = {tenths / 10:.1f}: the token {state}, its last step is {10**step:.0e} of its length "
        f"({10**length:.0f}). The picture reaches {size:.2f} of that length; smallest cosine "
        f"between layers {cosine:.2f}."
    )


slider = PlaneStepper(
    turns["points"],
    title="Six layers of SmolLM2 looped, from α = 0.1 to no injection",
    menus={"token": list(TOKENS)},
    names=[f"after layer {n}" for n in range(FIRST, LAST)],
    kinds=list(range(6)) * 16,
    captions=[[told(n, token) for n in range(1, 11)] for token in range(len(TOKENS))],
    path=True,
    slider="tenths",
)
slider.choose(token="dinner")
slider.film_strip((1, 5, 7, 10), headings=["α = 0.1", "α = 0.5", "α = 0.7", "no injection"])

# %% id="microscope"
slider

# %% [markdown] id="ways-intro"
# Drag the slider, or click the picture and use the arrow keys; choose another token. From which
# $\alpha$ on is the hexagon blurred? Does the first token behave like the others? And at the far
# end, $\alpha = 1.0$: six layers, and how many points?
#
# ## Rest, cycles and the degenerate case
#
# One sentence is an anecdote. The same on two problems and two pieces of speeches, 32 tokens
# each, and every token but the first. *Settled* is a last step below a hundred-thousandth of the
# state's length; the cosine is the smallest one between a token's six points (C2: at 1 all six
# point the same way; a cosine does not see lengths); *length* is that after loop 48 over that
# after the first, and *tokens alike* the mean cosine between the states of different tokens. The
# loss is that of the answer after 1 and after 48 loops.


# %% id="ways"
def way(share):
    """All numbers of a way to loop the window, on four texts, two at a time."""
    core = zoo.loopify(model, FIRST, LAST, LOOPS, damped=False, injection=share)
    parts = []
    for part in few.split(2):
        run = trace(core, part)
        states = run.states[..., 1:, :]  # all but the first token, which is a case of its own
        steps = measure.relative_step(states)  # [loop - 1, layer, text, token]
        ends = F.normalize(states[-1, -1], dim=-1)
        count = ends.shape[1]
        parts.append(
            {
                "last": logs(steps[-1, -1]),
                "cosine": measure.min_layer_cosine(states),
                "growth": states[-1, -1].norm(dim=-1) / states[0, -1].norm(dim=-1),
                "alike": ((ends @ ends.mT).sum((1, 2)) - count) / (count * (count - 1)),
                "loss": next_token_loss(run.logits, part),
                "steps": logs(steps.flatten(2).median(-1).values)[None],
            }
        )
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


ways = {f"α = {share}": smol.ask(f"way {share}", lambda a=share: way(a)) for share in SHARES[:5]}
ways["no injection"] = smol.ask("way none", lambda: way(None))
once = smol.ask("once", lambda: {"loss": next_token_loss(model(few).logits, few)})["loss"]
print(
    "48 loops      settled   median  largest  cosine of layers   length   tokens   loss after 1, 48"
)
print("                         step      step    (quartiles)                alike")
for name, numbers in ways.items():
    last, cosine = 10 ** numbers["last"].float(), numbers["cosine"].float()
    low, high = cosine.quantile(0.25), cosine.quantile(0.75)
    print(
        f"{name:13s} {100 * (last < 1e-5).float().mean():5.0f} % {last.median():9.0e}"
        f" {last.max():8.0e}   {low:.2f} to {high:.2f} {numbers['growth'].median():11.1f}"
        f" {numbers['alike'].mean():8.2f} {once.mean():10.2f}, {numbers['loss'].mean():.2f}"
    )
largest = max(share for share in SHARES[:5] if (ways[f"α = {share}"]["last"] < -5).all())
print(f"saying all {49152:,} tokens alike has loss {log(49152):.2f}")
print(f"all tokens rest up to α = {largest}; you guessed {my_alpha}")

# %% id="layers"
print(
    "step, median of tokens, mean of texts, after layer",
    "".join(f"{n:9d}" for n in range(FIRST, LAST)),
)
for name in ("α = 0.1", "no injection"):
    steps = 10 ** ways[name]["steps"].float().mean(0)  # [loop - 1, layer]
    for loop in (2, 4, 8, 48):
        print(f"{name:13s} loop {loop:2d}".ljust(49), "".join(f"{x:9.0e}" for x in steps[loop - 2]))

# %% id="rotated"
# C1: rotate the core, so that a pass begins at another layer, and ask whether that pass moves it.


def rotated(share):
    """Relative step of a pass that begins at each layer, log10, median of tokens: [layer]."""
    core = zoo.loopify(model, FIRST, LAST, LOOPS, injection=share)
    with torch.inference_mode():
        end = core(few, LOOPS).state
        moved = [measure.rotation_residual(core, few, end, n) for n in range(LAST - FIRST)]
    return {"moved": logs(torch.stack(moved)[..., 1:].flatten(1).median(1).values)}


print("a pass that begins at layer     ", "".join(f"{n:9d}" for n in range(FIRST, LAST)))
for share in (0.1, 0.9):
    moved = 10 ** smol.ask(f"rotated {share}", lambda a=share: rotated(a))["moved"].float()
    print(f"α = {share} moves its state by       ", "".join(f"{m:9.0e}" for m in moved))

# %% [markdown] id="ways-text"
# **Measured here**<!-- by ways, rotated, layers, loops, strip -->, SmolLM2, four texts. At $\alpha
# = 0.1$ every token rests (but for the first of a text, which is left out here and gets its turn
# below): the steps shrink to float32's last digit within a dozen loops, at all six layers alike
# (C4, C6). Each layer has a point of its own, the two least alike at a cosine of 0.91 to 0.94 (the
# middle half of the tokens), so the loop walks a cycle in latent space (C2, C7): the hexagon of the
# slider. Begin a pass at any other layer, and it rests as well (C1, which is **proved**; what the
# table adds is that it holds down to 1e-07 in a model that nobody trained to loop). At 0.3 nine
# tokens of ten are at rest after 48 loops and the others nearly. At 0.5 none is, and from there on
# they wander.
#
# At the far end nothing is injected, and the loop is the **degenerate** case of the paper (C8): six
# layers and one direction, cosines of 1.00. But a cosine does not see lengths, and the loop does
# not rest. The state grows to 31 times its length and slides on, in loop 48 still by 4 % of it. The
# tokens do *not* all become alike, their mean cosine is 0.51 then. And the loss? It goes from 3.92
# to 20.61, which is far worse than saying all 49,152 tokens alike (10.80). At $\alpha = 0.9$ the
# cosines are 1.00 as well, and the loss is 16.56. Even at 0.3, where most tokens rest, it is at
# 4.77. Of these ways only 0.1 costs nothing, to two decimals. (Then again, nine tenths of what each
# pass reads is then the input.)

# %% [markdown] id="ex2-card"
# ## Build 2: the map
#
# Rest is cheap to get. What does it *cost*? And is layer 12 a good place to begin? A map: windows
# of four and of six layers, from every second layer on, looped 1, 2, 4, 8 times, in each of three
# ways:
#
# - **naive**, $z \leftarrow g(z)$, where $g$ is the window;
# - **damped**, $n$ loops that go as far as one, in finer steps: $z \leftarrow z + (g(z) - z)/n$
#   (**reported** to work, [arXiv 2605.23872](https://arxiv.org/abs/2605.23872));
# - **injected**, your loop, with $\alpha$ from 0.1 to 0.9.
#
# Each has a loss on each of 24 texts, and one loop is always the model itself. Texts differ by a
# nat, what a loop does to a text may be a hundredth of that. So subtract text by text, and only
# then take the mean and its standard error (the standard deviation, with $n - 1$, over $\sqrt n$).
#
# **Exercise 10.2 · what a loop costs** · medium · core · 7 minutes · *idea: a paired difference,
# for all loops at once*


# %% id="cost-answer" role="answer" ex="10.2"
# exercise 10.2
def cost(losses):
    """Mean change of the loss from the first row on, and its standard error: two [loops].

    losses [loops, text]; row 0 is the model itself, so that row costs 0 with an error of 0.
    """
    # --- solution
    change = losses - losses[:1]
    return change.mean(1), change.std(1) / change.shape[1] ** 0.5
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="cost-check" role="check" ex="10.2"
cost = check("10.2", cost)

# %% [markdown] id="ex2-hints"
# <details><summary>Hint 1, a nudge</summary>
# <code>losses[:1]</code> keeps its axis, so it can be taken from every row.
# </details>
# <details><summary>Hint 2, a plan</summary>
# Differences first. Their mean over the texts, for each row; their standard deviation over the
# texts, divided by the root of how many texts there are.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>change.std(1) / change.shape[1] ** 0.5</code>: torch's <code>std</code> divides by
# $n - 1$.
# </details>
#
# [Solution](solved/10_released_models.ipynb)

# %% id="two-windows"
# Two windows in class, on four of the 24 texts; the others come from the map that is in data/.
atlas = window_map()
WAYS = ("naive", "damped", "0.1", "0.3", "0.5", "0.7", "0.9")
for first, last in ((2, 8), (12, 18)):
    measured = smol.ask(f"window {first}", lambda w=(first, last): window_losses(model, few, *w))
    print(f"layers {first} to {last - 1}, four texts; nats a token above the model itself")
    for name in WAYS:
        change, error = cost(measured[name])
        row = "   ".join(f"{c:+6.2f} ±{e:.2f}" for c, e in zip(change[1:], error[1:], strict=True))
        stored = atlas[first, last][name][:, [0, 1, 12, 13]]
        off = (stored - measured[name]).abs().max()
        print(f"   {name:7s} 2, 4, 8 loops {row}   largest difference to the map {off:.2f}")

# %% id="map"
KINDS = {"problems": slice(0, 12), "speeches": slice(12, 24)}


def along(name, kind, size, loops):
    """What some loops cost along the first layers: [window, text]."""
    row = (1, 2, 4, 8).index(loops)
    found = [losses[name] for (first, last), losses in atlas.items() if last - first == size]
    return torch.stack([(losses[row] - losses[0])[KINDS[kind]] for losses in found])


panels = {
    f"{name}, six layers": {
        f"{kind}, {loops} loops": along(name, kind, 6, loops) for kind in KINDS for loops in (2, 8)
    }
    for name in ("naive", "damped")
}
plots.across_layers(panels, every=2, one_scale=True, axis="first layer of the window")

# %% id="map-table"
print("four loops: nats a token above the model itself, mean of 24 texts ± standard error")
print(
    "layers      ", "".join(f"{name if name in WAYS[:2] else 'α = ' + name:>15s}" for name in WAYS)
)
for (first, last), losses in atlas.items():
    cells = []
    for name in WAYS:
        change, error = cost(losses[name])
        cells.append(f"{change[2]:+.2f} ±{error[2]:.2f}")
    print(f"{first:2d} to {last - 1:2d}    ", "".join(f"{cell:>15s}" for cell in cells))
middle = cost(atlas[12, 18]["naive"])[0][2]
print(f"four naive loops of layers 12 to 17 cost {middle:.2f}; you guessed {my_cost}")

# %% [markdown] id="map-text"
# **Measured here**<!-- by map, map-table, two-windows -->, SmolLM2, 24 texts of 32 tokens; shades
# in the figure are one standard deviation over texts. Four **naive** loops cost about a nat in the
# best windows and up to nearly three elsewhere; at either end, with layer 0 or layer 29 inside,
# they cost seven to ten, which is ruin. Now leave out those windows, and the ones with layer 11
# inside. In the others **damped** loops cost from 0.02 to 0.33, and an injection with $\alpha =
# 0.1$ costs less in each of them, 0.08 at most. There each step up in $\alpha$ costs more, and 0.9
# costs from half of what naive loops cost to nearly all of it. In the figure problems and pieces of
# speeches agree at two loops, but for the windows at layer 0; at eight naive loops they lie up to
# about two nats apart. (The map was computed in bfloat16. In the two windows above one of four
# texts differs from float32 by up to 0.04 in damped loops, by up to 0.03 at $\alpha = 0.1$, and by
# up to 0.26 where loops do harm. So do not read much into a cost of a few hundredths.) **Reported**
# by the paper of the damped loop: naive ones destroy, damped ones do not, and a window of four
# layers in the middle is best.
#
# One stretch stands out. Where layer 11 lies inside, in windows from 6 to 11 up to 10 to 15, even
# $\alpha = 0.1$ costs 0.18 to 0.41, where its neighbours pay 0.01 or 0.02, and damping costs 0.19
# to 0.34. In 10 to 13 and 10 to 15 the injection costs *more* than damping: 0.37 and 0.41,
# against 0.19 and 0.21. And a larger $\alpha$ is not always dearer: from 0.3 to 0.5 the cost
# stays or falls. You will see what is special about layer 11.

# %% [markdown] id="help-intro"
# ## Does any loop help?
#
# Somewhere in such a table a number is below zero. Is that a find? There are 27 windows, seven ways
# and three numbers of loops: 567 chances to be lucky. With so many, the best of them is lucky *for
# sure*. The remedy is old: **choose on one half of the texts, judge on the other**. And deal the
# halves anew many times, so that the deal itself is not the luck.


# %% id="help"
names, rows = [], []
for (first, last), losses in atlas.items():
    for name in WAYS:
        for row, loops in enumerate((2, 4, 8), start=1):
            names.append(f"{first} to {last - 1}, {name}, {loops} loops")
            rows.append(losses[name][row] - losses[name][0])
every = torch.stack(rows)  # [setting, text]
change, error = every.mean(1), every.std(1) / every.shape[1] ** 0.5
print(f"{len(every)} settings; better than the model: {(change < 0).sum()}", end="; ")
print(f"by more than two errors: {(change < -2 * error).sum()}")
for n in change.argsort()[:5].tolist():
    parts = "  ".join(f"{kind} {every[n, part].mean():+.3f}" for kind, part in KINDS.items())
    print(f"   {names[n]:28s} {change[n]:+.3f} ±{error[n]:.3f}   {parts}")
deal = torch.Generator().manual_seed(0)
chosen, judged, winners = [], [], []
for _ in range(400):
    order = torch.rand(every.shape[1], generator=deal).argsort()
    one, other = every[:, order[:12]].mean(1), every[:, order[12:]].mean(1)
    best = one.argmin()
    chosen.append(one[best]), judged.append(other[best]), winners.append(names[best])
chosen, judged = torch.stack(chosen), torch.stack(judged)
print("the best setting of one half of the texts, 400 deals")
print(f"   on the half that chose it {chosen.mean():+.3f}, on the other half {judged.mean():+.3f}")
print(f"   better than the model on the other half in {100 * (judged < 0).float().mean():.0f} %")
most = max(set(winners), key=winners.count)
print(f"   chosen most often: {most} ({100 * winners.count(most) / 400:.0f} %)")
helps = bool((change < -2 * error).any())
print(f"any setting that helps by more than two errors: {helps}; you said {my_help}")

# %% [markdown] id="help-text"
# **Measured here**<!-- by help, map-table -->, SmolLM2. No. Of 567 settings one is better than
# the model, by 0.001 ± 0.004: it is an $\alpha = 0.1$ with two loops, which change least, and
# its error is four times its gain. And see what choosing does. The setting that is best on one
# half of the texts is better than the model *on that half*, by 0.005 on average. On the other
# half it is *worse*, by 0.019, and better in only 6 % of the deals. On one half alone that may
# look like a gain.
#
# What would help *mean*? Not that some number is below zero, and not that a loop does no harm,
# which $\alpha = 0.1$ manages by hardly looping. It would mean a loss, or answers, that are
# better on texts that did not choose the setting, by more than the error, and better than what as
# much computing buys elsewhere. For a model that was trained to say the next word in one pass,
# there is no reason to expect it. (24 short texts, and a map in bfloat16: a gain of less than a
# hundredth of a nat we would not see.)

# %% [markdown] id="ex3-card"
# ## Build 3: the orbit
#
# Our window began at layer 12, and at $\alpha = 0.1$ all was calm. In chapter 07 you found what
# stands in layer 11: the MLP that writes an enormous vector at the first token. What if it lies
# *inside* the loop? To see it you need a test for turning. The **period** of a run is the smallest
# number of loops after which the state is back, each time: 1 at rest, 0 if it is never back.
#
# Behind the hints the window's beginning moves, layer by layer, towards the front and across layer
# 11; its end stays at layer 17, $\alpha$ at 0.1. The pictures show the states at the ends of a
# token's last 32 loops, in their plane, and the period is by your function.
#
# **Exercise 10.3 · how long is the way round** · medium · core · 10 minutes · *idea: compare the
# late part of a run with itself, shifted*


# %% id="period-answer" role="answer" ex="10.3"
# exercise 10.3
def period(states, tolerance=0.01):
    """The smallest k for which each state of the run's second half is back where it was k loops
    before: [loop, width] -> a whole number, 0 if there is none up to half the number of loops.

    Back means: no further away than `tolerance` times the state's own length. With an odd number
    of loops the second half is the longer one.
    """
    # --- solution
    half = len(states) // 2
    late = states[half:]
    for lag in range(1, half + 1):
        before = states[half - lag : len(states) - lag]
        if ((late - before).norm(dim=-1) <= tolerance * late.norm(dim=-1)).all():
            return lag
    return 0
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="period-check" role="check" ex="10.3"
period = check("10.3", period)

# %% [markdown] id="ex3-hints"
# <details><summary>Hint 1, a nudge</summary>
# Keep the second half as it is, and cut a piece of equal length that begins some loops earlier.
# </details>
# <details><summary>Hint 2, a plan</summary>
# For k = 1, 2, ... up to half the loops: the lengths of the differences between the late states and
# those k loops before; if all are small enough, k is the answer. If no k is, 0.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>before = states[half - k : len(states) - k]</code>, and
# <code>(late - before).norm(dim=-1) &lt;= tolerance * late.norm(dim=-1)</code> must hold for
# <code>.all()</code>.
# </details>
#
# [Solution](solved/10_released_models.ipynb)

# %% id="orbit"
BEGINS = range(8, 14)
TURNS = 64


def crossing():
    """For each first layer the ends of all loops: states of two tokens, and who rests."""
    points, words_ = [], []
    for first in BEGINS:
        core = zoo.loopify(model, first, LAST, TURNS, injection=0.1)
        with torch.inference_mode():
            ends = core(sentence, TURNS, every_loop=True).loop_states[:, 0]  # [loop, token, width]
        for token in (0, 10):
            path = measure.cycle_pca(ends[-32:, None, token]).points[:, 0]
            length = ends[-32:, token].norm(dim=-1)
            points.append(path / path.abs().max().clamp_min(1e-3 * length[-1]))  # rest: a point
            step = measure.relative_step(ends[:, token])[-1]
            words_.append([period(ends[:, token]), length.min(), length.max(), step])
    numbers = torch.tensor(words_).unflatten(0, (len(BEGINS), 2))
    return {
        "points": torch.stack(points).unflatten(0, (len(BEGINS), 2)).transpose(0, 1),
        "numbers": torch.cat((numbers[..., :3], logs(numbers[..., 3:])), dim=-1),
    }


cross = smol.ask("crossing", crossing)


def told_turn(n, token):
    """A caption."""
    turn, low, high, step = cross["numbers"][n, token].tolist()
    kind = {0: "never comes back", 1: "rests"}.get(round(turn), f"is back every {turn:.0f} loops")
    return (
        f"Layers {BEGINS[n]} to {LAST - 1}: the token {kind}. Its length in the last 32 loops is "
        f"{low:.0f} to {high:.0f}, its last step {10**step:.0e} of it."
    )


print("first layer of the window      ", "".join(f"{n:6d}" for n in BEGINS))
for token, name in enumerate(("the first token", "dinner")):
    periods = cross["numbers"][:, token, 0].round().int().tolist()
    print(f"period of {name:21s}", "".join(f"{k:6d}" for k in periods))
orbits = PlaneStepper(
    cross["points"],
    title="The window's first layer moves across layer 11 (α = 0.1)",
    menus={"token": ["the first token", "dinner"]},
    first=BEGINS[0],
    captions=[[told_turn(n, token) for n in range(len(BEGINS))] for token in range(2)],
    path=True,
    slider="first layer",
)
orbits.choose(token="dinner")
starts = [f"layers {n} to {LAST - 1}" for n in (9, 11, 12)]
plots.mark(orbits.film_strip((9, 11, 12), headings=starts), whose("10.3") if here else "looplab's")

# %% id="orbit-microscope"
orbits

# %% [markdown] id="why-intro"
# Both tokens turn at once. Do all tokens, each by itself, or does one of them turn the others?
# The suspect is the first token: it looks at nobody but itself (a causal mask **proves** that),
# and most heads look at it. Three runs with layers 11 to 17 in the loop: as it is; with the
# **first token alone**, no text behind it; and with the first token **held**, put back after each
# loop to where it was after the first.


# %% id="why"
def suspects():
    """Periods of the tokens, and of the first token alone, with and without holding it."""
    core = zoo.loopify(model, 11, LAST, TURNS, damped=False)
    two, told = few[::2], {}  # a problem and a piece of a speech
    with torch.inference_mode():
        for name, tokens in (("as it is", two), ("alone", two[:, :1]), ("held", two)):
            ready = core.prepare(tokens)
            z, ends = ready.start, []
            for _ in range(TURNS):
                z = core.step(0.1 * z + 0.9 * ready.x, ready)
                if name == "held" and ends:
                    z[:, 0] = ends[0][:, 0]
                ends.append(z.clone())
            ends = torch.stack(ends)  # [loop, text, token, width]
            periods = [[period(ends[:, n, t]) for t in range(z.shape[1])] for n in range(len(z))]
            told[f"{name} periods"] = torch.tensor(periods)
            told[f"{name} length"] = ends[-32:, :, 0].norm(dim=-1)
            told[f"{name} cosine"] = measure.limit_by_cosine(ends).limit
    return told


found = smol.ask("suspects", suspects)
for name in ("as it is", "alone", "held"):
    periods, length = found[f"{name} periods"], found[f"{name} length"]
    counts = {k: int((periods == k).sum()) for k in sorted(set(periods.flatten().tolist()))}
    print(f"{name:9s} tokens by period {counts}; first token's length", end=" ")
    print(
        "; ".join(
            f"{a:.0f} to {b:.0f}" for a, b in zip(length.amin(0), length.amax(0), strict=True)
        )
    )
same = (found["as it is length"] / found["alone length"] - 1).abs().max()
print(f"the first token's lengths with and without a text differ by {100 * same:.1f} % at most")
fixed = (found["as it is cosine"] == measure.Limit.FIXED_POINT).float().mean()
print(f"limit_by_cosine, the paper's rule, calls {100 * fixed:.0f} % of the turning tokens rest")

# %% [markdown] id="fork-intro"
# So all of it is the first token's doing, and *that* is a small thing to study: one token, "A",
# the first of our sentence, and one start, its input. Give it 24 values of $\alpha$, two windows,
# and draw the length of its state at the end of each of the last 32 of 128 loops. One point:
# rest. Two: an orbit of period 2. And a cloud? To tell a long orbit from **chaos**, run a twin
# that starts next door, a ten-thousandth of its length away, put it back to that distance after
# every loop, and see by which factor the distance grows a loop.


# %% id="fork"
ALPHAS = [n / 100 for n in range(2, 50, 2)]


def fork(first, last, loops=128):
    """The first token alone at every α: lengths of its last states, and how twins part."""
    core = zoo.loopify(model, first, last, loops, damped=False)
    share = torch.tensor(ALPHAS)[:, None, None]
    with torch.inference_mode():
        ready = core.prepare(sentence[:, :1].expand(2 * len(ALPHAS), 1))
        x = ready.x[: len(ALPHAS)]
        z, twin, lengths, growth = x, x * (1 + 1e-4), [], []
        for _ in range(loops):
            both = torch.cat((share * z + (1 - share) * x, share * twin + (1 - share) * x))
            after, beside = core.step(both, ready).chunk(2)
            apart, before = (beside - after).norm(dim=-1), (twin - z).norm(dim=-1)
            growth.append((apart / before).clamp_min(1e-30).log()[:, 0])
            near = 1e-4 * after.norm(dim=-1) / apart.clamp_min(1e-30)
            z, twin = after, after + near[..., None] * (beside - after)
            lengths.append(z[:, 0].norm(dim=-1))
    return {
        "length": torch.stack(lengths, 1)[:, -32:],
        "growth": torch.stack(growth, 1)[:, -64:].mean(1),
    }


forks = {
    f"layers {first} to {last - 1}": smol.ask(f"fork {first}", lambda w=(first, last): fork(*w))
    for first, last in ((11, 18), (8, 20))
}
for name, found in forks.items():
    distinct = [len(set((row / 50).round().tolist())) for row in found["length"].float()]
    print(f"{name}: α, lengths that are told apart, factor by which twins part each loop")
    for at in range(0, len(ALPHAS), 12):
        part = slice(at, at + 12)
        cells = zip(ALPHAS[part], distinct[part], found["growth"][part].exp(), strict=True)
        print("   ", "  ".join(f"{a:.2f}: {n:2d}, {g:4.2f}" for a, n, g in cells))
plots.bifurcation(
    {name: found["length"].float() for name, found in forks.items()},
    ALPHAS,
    "α",
    "length of the first token's state",
)

# %% [markdown] id="orbit-text"
# **Measured here**<!-- by orbit, why, fork -->, SmolLM2 at $\alpha = 0.1$ where nothing else is
# said. With the window's first layer at 12 or 13 both tokens shown rest. Take in layer 11, and both
# turn: with period 2 from layer 11 on, with 4 from 9 or 8 on; from 10 on the first token has 4 and
# "dinner" has 2. In layers 11 to 17 all 64 tokens of two other texts turn as well, with period 2.
# `limit_by_cosine`, the paper's rule with its tolerance, calls every one of these 64 a fixed point,
# even the first token of a text, whose length goes to and fro between 1548 and 13017 in one of
# them: a cosine does not see length. (The length of "dinner" goes from 221 to 223 only; it steps
# sideways, by an angle that is too small for the rule.)
#
# Who turns them? The first token **alone**, with no text behind it, turns just as it does in
# front of one, down to the last printed digit (it must, that much is **proved**). **Hold** it,
# and all the others come to rest. So it is one token that turns, between a short and a long
# state, and the others go with it. (Why that is so, with the MLP of layer 11 that writes its
# enormous vector: once the state is long, the norm in front of the branches makes what they write
# small beside it, and it shrinks as $\alpha$ says; once it is short the MLP writes its vector
# anew. That is our reading, not tested.)
#
# And the diagram of the one token, for layers 8 to 19? From $\alpha = 0.48$ down: rest, then two
# points, four and more, and from 0.26 to 0.12 a cloud in which twins part by a factor of up to 1.50
# a loop. That is **chaos** by this test, with order on either side, in one token of a pretrained
# model, from one start: in a map of 576 numbers it looks like the road of a map of one number. With
# layers 11 to 17 there are one or two lengths, but for three at 0.36, where twins come together by
# a factor of only 0.98 a loop, and that may be a run that has not come to its end. There twins meet
# again at every $\alpha$ shown. (128 loops and 24 values of $\alpha$: where exactly the period
# doubles, we did not look for.)

# %% [markdown] id="wrong-intro"
# ## Settled, and wrong
#
# A loop that rests can be trusted? Take the window 12 to 17 at $\alpha = 0.3$ for 48 loops, all
# 24 texts of the map, and look at each text's loss beside its largest step: the *last* step, of
# any token but the first. The bar is a thousandth here, a hundred times higher than that of
# *settled* above.


# %% id="wrong"
def settled():
    """Loss of each text after 1 and 48 loops, and its median step, at α = 0.1, 0.3."""
    told = {}
    tokens = texts(encode, 12, 32)
    for share in (0.1, 0.3):
        core = zoo.loopify(model, FIRST, LAST, LOOPS, injection=share)
        with torch.inference_mode():
            losses, steps = [], []
            for part in tokens.split(8):
                ready = core.prepare(part)
                before = z = ready.start
                for loop, after in core.passes(ready):
                    if loop == 0:
                        first = next_token_loss(core.answer(after, ready), part)
                    before, z = z, after
                losses.append(torch.stack((first, next_token_loss(core.answer(z, ready), part))))
                moved = (z - before)[:, 1:].norm(dim=-1) / z[:, 1:].norm(dim=-1)
                steps.append(moved.amax(1))
        told[f"{share}"] = torch.cat(losses, dim=1)
        told[f"step {share}"] = logs(torch.cat(steps))
    return told


found = smol.ask("settled", settled, live=False)
for share in (0.1, 0.3):
    losses, step = found[f"{share}"], 10 ** found[f"step {share}"].float()
    change = losses[1] - losses[0]
    calm = step < 1e-3
    print(f"α = {share}: {calm.sum()} of {len(change)} texts with every step below 1e-3", end="; ")
    print(f"loss by 48 loops {change[calm].mean():+.3f} on average; the largest rises")
    for n in change.argsort(descending=True)[:3].tolist():
        kind = "problem" if n < 12 else "speech"
        print(f"   {kind:8s} {losses[0, n]:.2f} → {losses[1, n]:.2f}, largest step {step[n]:.0e}")

# %% [markdown] id="wrong-text"
# **Measured here**<!-- by wrong, map-table -->, stored, SmolLM2. At $\alpha = 0.3$ the tokens of
# one speech rest by either bar, their largest last step is 3e-07, and its loss has gone from 3.75
# to 4.05: settled, and worse. All 24 texts are below the bar of 1e-3, and their loss has risen by
# 0.243 on average. The two that rose most, from 4.45 to 7.63 and to 5.08, are only *nearly* at
# rest: some token of theirs still moves by 4e-04 and 7e-04 a loop. At 0.1 all 24 are below the
# bar too, and the loss rises by 0.012. A small step says that the state does not move. It does
# not say *where* it stands. (In the map four loops of this window cost 0.09: the harm comes with
# the loops.)

# %% [markdown] id="healed-intro"
# ## One lens for looped models
#
# What was looped by hand knows nothing of loops. Now models that *learned* with them. First
# SmolLM2 **healed** (chapter 08): layers 12 to 15 looped in the place of 12 to 19, trained for an
# hour to leave the state that the whole model has behind layer 19. Beside it stands the same cut,
# looped by hand and not trained.


# %% id="healed"
def healed_numbers():
    """Steps, cosine of layers and loss of the healed loop, and of the cut that was not trained."""
    told = {}
    cut = zoo.loopify(model, 12, 16, LOOPS, injection=0.5, drop=4)
    for name, core in (("healed", zoo.looped_smollm2(model)), ("cut", cut)):
        states = trace(core, few[::2], loops=LOOPS).states[..., 1:, :]
        told[f"{name} step"] = logs(measure.relative_step(states).flatten(2).median(-1).values)
        told[f"{name} cosine"] = measure.min_layer_cosine(states).flatten()
        with torch.inference_mode():
            losses = [next_token_loss(core(few, n).logits, few) for n in (1, 2, 4, 16, 48)]
        told[f"{name} loss"] = torch.stack(losses).mean(1)
    return told


found = smol.ask("healed", healed_numbers)
print("four texts          loss after 1, 2, 4, 16, 48 loops          step at 8 and 48    cosine")
for name, label in (("healed", "looped and healed"), ("cut", "cut, not trained")):
    losses = "  ".join(f"{loss:5.2f}" for loss in found[f"{name} loss"])
    eight, last = 10 ** found[f"{name} step"][[6, -1], -1].float()
    cosine = found[f"{name} cosine"].float().median()
    print(f"{label:18s}  {losses}    {eight:12.0e}  {last:6.0e} {cosine:9.2f}")
print(f"{'SmolLM2 itself':18s}  {once.mean():5.2f}")

# %% [markdown] id="choose-text"
# **Measured here**<!-- by healed -->, losses on four texts, steps and cosines on two of them.
# Trained, the loop rests: after 48 loops a step is at float32's last digit. The loss after 1, 2, 4,
# 16 and 48 loops is 4.05, 4.04, 4.08, 4.13 and 4.13: a second loop gains a hundredth, and more do a
# little harm. The same cut without training is still moving, and its loss goes from 4.21 to 6.51.
# Training did not win back what the cut had cost: SmolLM2 itself has 3.92. (Its control with one
# pass stands in chapter 08.)
#
# ### Which models?
#
# Three of the families that were released as looped models stand here. The real ones take 3 to 16
# GB, so these are **miniatures**: 70,000 to 140,000 parameters each, in the official file formats,
# the looped ones with cores of three layers, that *we* trained for a minute or two. **A miniature
# is not the released model.** It has the same forward pass, and may behave quite differently.
#
# They learned to read **diaries**. Each day names a place, or says that it was spent where one, two
# or three days before were; for each day the model says the place. *farm, one-back, inn,
# three-back* was farm, farm, inn, farm. To answer one has to follow the days back, up to nine steps
# and more: that is what a loop may be good for.
#
# If you choose a released model in the menu it says what that takes, and nothing is downloaded
# before you tick the box and run the cells below it again (*Run* → *Run Selected Cell and All
# Below*). Do not run the menu's own cell again: that sets it back. The tables of what the
# miniatures learned, and of the traps, stay with the miniatures.

# %% id="menu"
pick = ModelMenu()
pick

# %% id="choose"
WHICH = pick.choice  # "miniatures", or a released model that you said yes to
minis = {
    name: zoo.load(miniatures.folder(f"{name}-mini"))
    for name in ("huginn", "ouro", "retrofit", "feedforward")
}
diaries = miniatures.where_is(64, torch.Generator().manual_seed(2))
if WHICH == "miniatures":
    models = {name: minis[name] for name in menu.MENU}
    read, FAR = diaries.tokens[:8], 128
else:
    model = None  # makes room for the large one
    models = {WHICH: zoo.load(menu.MENU[WHICH].hub, dtype=torch.float32)}
    read, FAR = torch.tensor([models[WHICH].words(verify.TEXT)]), 32


def noise():
    """The same noise at loop 0 for everybody."""
    return torch.Generator().manual_seed(0)


for name, each in {**models, "feedforward": minis["feedforward"]}.items():
    size = sum(weight.numel() for weight in each.parameters())
    print(f"{name:12s} {each.config.notation:14s} {size:>12,} parameters")
for name, each in models.items():
    checks = [*verify.verify(each, read[:1], text=WHICH != "miniatures")]
    print(f"{name:12s} {sum(one.passed for one in checks)} of {len(checks)} checks passed")
print("a diary: ", miniatures.text(diaries.tokens[0]))
print("says:    ", miniatures.text(diaries.targets[0, 1:]))

# %% id="learned"
card = miniatures.card("ouro-mini")
print(f"ouro-mini was made by {card['made by']}; it is not {card['is not']}.")
print("share of days that are right, by steps back     0    1    2    3    4    5    6    7    8")
RIGHT = "answers right by loops, for 0 to 8 steps"
rule = card["right by the rule most_named, for 0 to 8 steps"]
print("the place named most often so far".ljust(44), "".join(f"{x:5.2f}" for x in rule))
for name in ("feedforward", "huginn", "ouro", "retrofit"):
    card = miniatures.card(f"{name}-mini")
    loops = str(card["config"]["loops"])
    for seed, results in {"0": card, **card["other seeds"]}.items():
        shares = results[RIGHT][loops]
        line = f"{name}, {loops} loops, seed {seed}"
        beats = all(share > guess for share, guess in zip(shares, rule, strict=True))
        told = "   better at every number" if beats else "   NOT better everywhere"
        print(line.ljust(44), "".join(f"{x:5.2f}" for x in shares), told)

# %% [markdown] id="learned-text"
# **Measured here**<!-- by learned -->, three trainings each, from the cards. All four have
# learned the language: at each number of steps each seed is right more often than the rule that
# names the place named most often so far. The weakest, `huginn-mini` with seed 2, is right on
# 0.75 of the days that lie eight steps back, where the rule is right on 0.42. So what follows is
# a study of models that can do something.
#
# ### The lens
#
# All runs have 128 loops, far beyond training (4 for Ouro's, 4 on average for the others). How far
# does each loop move the state of *each* layer (the paper's Figure 3), how far is it from where the
# last loop leaves it (Figure 4)? Beside each model stands its **untrained** self: the same config,
# fresh weights.

# %% id="lens"
runs = {name: trace(each, read, loops=FAR, generator=noise()) for name, each in models.items()}
fresh = {}
if WHICH == "miniatures":
    for name, each in models.items():
        torch.manual_seed(0)
        fresh[name] = trace(
            LoopedTransformer(each.config).eval(), read, loops=FAR, generator=noise()
        )
values, names = [], []
for name, run in runs.items():
    step = measure.relative_step(run.states).mean((2, 3))  # [loop - 1, layer]
    values += step.unbind(1)
    names += [f"{name}, layer {n + 1}" for n in range(step.shape[1])]
plots.lines_by_layer(
    torch.stack(values, 1), "step, relative", names=names, floor=1e-6, first_loop=2
)

# %% id="rest-table"
print(
    "last layer, means of tokens         step at loop                distance to the last loop at"
)
print("                          2       8      32    last             2       8      32")
for kind, shown in (("", runs), (", untrained", fresh)):
    for name, run in shown.items():
        states = run.states[:, -1]
        step = measure.relative_step(states).mean((1, 2))
        far = measure.distance_to_limit(states, relative=True).mean((1, 2))
        at = [min(n, FAR) for n in (2, 8, 32)]
        moved = "".join(f"{step[n - 2].item():8.0e}" for n in (*at, FAR))
        left = "".join(f"{far[n - 1].item():8.0e}" for n in at)
        print(f"{name + kind:20s}{moved}       {left}")
for name, run in runs.items():
    cosine = measure.min_layer_cosine(run.states).mean()
    print(f"{name}: smallest cosine between the layers' states after the last loop {cosine:.2f}")


# %% id="stages"
def stages(run):
    """Numbers for every [loop, layer], means over heads, tokens and texts."""
    return {
        "ColSum concentration": measure.colsum_concentration(run.attention).mean((2, 3)),
        "sink rate": measure.sink_rate(run.attention).mean(2),
        "mixing, in nats": measure.mixing_score(run.attention).mean((2, 3)),
        "length of a state": run.states.norm(dim=-1).mean((2, 3)),
    }


kept = ("states", "attention")
staged = {
    name: stages(trace(each, read, loops=6, keep=kept, generator=noise()))
    for name, each in models.items()
}
if WHICH == "miniatures":
    staged["feedforward"] = stages(trace(minis["feedforward"], read, keep=kept))
print("largest change of a layer between loops 5 and 6 / spread over the layers in loop 6")
for name, numbers in staged.items():
    told_ = []
    for kind, table in numbers.items():
        if len(table) > 5:
            moved, spread = (table[5] - table[4]).abs().max(), table[5].max() - table[5].min()
            told_.append(f"{kind.split(',')[0]} {moved:.2f} / {spread:.2f}")
    if told_:
        print(f"{name:9s}", "   ".join(told_))
few_panels = ("sink rate", "length of a state")
plots.stages({k: {name: numbers[k][:3] for name, numbers in staged.items()} for k in few_panels})

# %% id="beyond"
BEYOND = ("1", "2", "3", "4", "8", "16", "32", "64")
print("right after so many loops, means of three seeds of each miniature, from the cards")
print("                         ", "".join(f"{n:>6s}" for n in BEYOND))
curves = {}
for name in ("huginn", "ouro", "retrofit"):
    card = miniatures.card(f"{name}-mini")
    seeds = [card, *card["other seeds"].values()]
    for label, part in (("0 to 3 steps back", slice(0, 4)), ("4 to 8 steps back", slice(4, 9))):
        table = torch.tensor([[one[RIGHT][n][part] for n in BEYOND] for one in seeds]).mean(-1)
        told_ = "".join(f"{x:6.2f}" for x in table.mean(0))
        print(
            f"{name:9s}{label}", told_, f"   seeds at 4 loops {table[:, 3].min():.2f} to", end=" "
        )
        print(
            f"{table[:, 3].max():.2f}, at 64 {table[:, -1].min():.2f} to {table[:, -1].max():.2f}"
        )
        curves.setdefault(label, {})[name] = ([int(n) for n in BEYOND], table.mean(0))
far_back = {"4 to 8 steps back": curves["4 to 8 steps back"]}
plots.trade_off(far_back, "loops", "share of days that are right")

# %% [markdown] id="lens-told"
# **Measured here**<!-- by lens, rest-table, stages, beyond -->, steps and stages on one seed of
# each miniature, accuracies as means of three. *Rest*: `huginn-mini` is at rest within twenty
# loops, each of its layers at a point of its own (cosine 0.84). `ouro-mini` takes three times as
# long, and rests; `retrofit-mini` does not rest: in the figure its steps shrink to a few
# hundred-thousandths near loop 60, grow tenfold until near loop 117, and after 128 loops are at
# 1e-04. Untrained, it is the other way round for Ouro's norms: that draw never rests (C8
# **reports** the same of random weights). So in these draws training took rest away, or brought it.
#
# *Stages*: here they show. In each loop, behind its first layer, heads sink into `<bos>`: in
# `huginn-mini` and `retrofit-mini` from the first loop on, in `ouro-mini` from the second, there
# up to nearly all heads of a layer. And the picture of the sinks repeats from loop to loop (C10):
# between loops 5 and 6 a layer's sink rate changes by 0.04 at most where layers differ by 0.46 to
# 1.00. Not every measure repeats so well: the mixing of `ouro-mini` changes by 0.04 where its
# layers lie 0.06 apart. The control, which runs once, sinks too, in all its layers but the first.
# The lengths tell the norms apart: pinned in `huginn-mini` (C11), reset in each loop in
# `ouro-mini`, growing in `retrofit-mini`.
#
# *Loops that are used.* With one loop `ouro-mini` is right on 0.75 of the days that lie four to
# eight steps back, with two on 0.94, with four on 0.99. Days nearer by need fewer. It was trained
# to answer after each of its loops, so its first answer was trained too. That the loops are
# *needed* this does not show: the control has twice its weights, runs once, and solves the task
# as well, and a twin of `ouro-mini` with three layers that runs once we did not train. From one
# loop to four `huginn-mini` goes only from 0.90 to 0.92 and `retrofit-mini` from 0.98 to 1.00.
# (Their first loop has five layers, with prelude and coda.)
#
# *And beyond?* (C14) `huginn-mini` stays where it is, from four loops to 64, its best seed and
# its worst. `ouro-mini` falls, in its worst seed to 0.45 on the days nearer by. `retrofit-mini`
# falls a little. **Reported** (Figures 11, 12): Huginn's accuracy stays flat beyond training,
# Ouro's falls beyond its four loops. Ours go the same way, but injection, norms and loops in
# training differ all at once, so this does not say which is to blame.
#
# ## The paper's figures, with one call
#
# What you did here by hand is a command: `looplab reproduce MODEL` measures what Blayney et al.
# show of a model, as far as it applies, and prints their numbers beside yours. Here it runs on a
# miniature, with few prompts and few loops.

# %% id="reproduce"
subject = next(iter(models)) if WHICH != "miniatures" else "ouro"
report = reproduce(models[subject], protocol=QUICK)
print(", ".join(report.figures))
report

# %% [markdown] id="type-text"
# **Measured here**<!-- by reproduce, lens -->, `ouro-mini`, and how to read such a report. These
# are 16 loops, and by the curves above rest takes this model more than sixty: so C6, where no layer
# has come near its last state in time, and C9, where two prompts have a token that is not fixed,
# speak of a run that was too short. The 0 % in C15 say that not one neuron of its layers lifts, or
# lowers, a few tokens far above, or below, the rest. The paper's side is a number in C6 (of other
# families), C9 and C14 (there of another quantity), a span of loops in C7 and a layer in C12; in
# all other lines there is none to compare with.
#
# For a released model (we have not run one ourselves), on a machine with room for it, type in a
# terminal:
#
# | model | command |
# |---|---|
# | Ouro | `looplab reproduce ByteDance/Ouro-1.4B --out ouro` |
# | a retrofit | `looplab reproduce smcleish/Recurrent-Llama-3.2-train-recurrence-16 --out retro` |
# | Huginn | `looplab reproduce tomg-group-umd/huginn-0125 --out huginn` |
#
# They are downloads of 2.9, 5.5 and 15.7 GB. The command says first what it will take, goes on
# where it was stopped, and writes a report. `--quick` is a look of minutes. `looplab verify
# MODEL` before that checks what must hold for any right reading of the files.

# %% [markdown] id="traps-intro"
# ## Traps in the files
#
# Each of these computes something plausible, and none raises an error. The cell below steps into
# all five, on our miniatures.
#
# 1. **Who comes first in the adapter?** Huginn and the retrofits mix with one matrix on state and
#    input end to end, $W\,[\,s\,;\,e\,]$. The paper's formula has them the other way round.
# 2. **A norm that acts twice.** Huginn's `ln_f` acts in front of the coda and again in front of the
#    head. The retrofits share its file format to the last config field, and norm once.
# 3. **Which channels turn together?** Rotary positions turn pairs of channels: Huginn pairs
#    neighbours, all others channel $i$ with $i + d/2$.
# 4. **A threshold of 1.** Ouro leaves when the sum of its exit probabilities reaches a threshold.
#    At 1 that should mean "never early", but sums are rounded.
# 5. **The right slot.** While text is written, keys and values are kept, for every layer *that
#    ran*: one slot for each layer would mix the loops up.
#
# Two of them you build. Ouro's gate gives a chance $\lambda_t$ to leave after loop $t$, for a token
# that is still there; the last loop takes everybody who is left.
#
# **Exercise 10.4 · when a token leaves** · medium · core · 8 minutes · *idea: chances are not
# probabilities until they sum to one*
#
# Slots are counted in the order in which layers run: the prelude's first, then the core's layers
# loop after loop.
#
# **Exercise 10.5 · the right slot** · easy · stretch · 4 minutes · *idea: count what has run*


# %% id="exit-answer" role="answer" ex="10.4"
# exercise 10.4
def exit_probabilities(gate):
    """Probability of leaving at each loop, from the gate before its sigmoid: [loop, ...], same."""
    # --- solution
    leave = gate.sigmoid()
    stay = (1 - leave).cumprod(0)
    before = torch.cat((torch.ones_like(stay[:1]), stay[:-1]))
    return torch.cat(((leave * before)[:-1], before[-1:]))
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="exit-check" role="check" ex="10.4"
exit_probabilities = check("10.4", exit_probabilities)

# %% [markdown] id="ex4-hints"
# <details><summary>Hint 1, a nudge</summary>
# To leave at loop 3 you must have stayed at loops 1 and 2.
# </details>
# <details><summary>Hint 2, a plan</summary>
# Multiply the chances to stay along the loops and shift by one: that is who is still there before
# each loop. Times the chance to leave; at the last loop without it.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>(1 - leave).cumprod(0)</code>; put ones in front and drop the end with
# <code>torch.cat</code>.
# </details>
#
# [Solution](solved/10_released_models.ipynb)


# %% id="slot-answer" role="answer" ex="10.5"
# exercise 10.5
def core_slot(loop, layer, prelude, core):
    """Slot of a core layer, all counted from 0; prelude and core are numbers of layers."""
    # --- solution
    return prelude + loop * core + layer
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="slot-check" role="check" ex="10.5"
core_slot = check("10.5", core_slot)

# %% [markdown] id="ex5-hints"
# <details><summary>Hint 1, a nudge</summary>
# How many layers have run before this one?
# </details>
# <details><summary>Hint 2, a plan</summary>
# The whole prelude, one core for each loop that is over, and the layers of this loop so far.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>prelude + … * core + layer</code>
# </details>
#
# [Solution](solved/10_released_models.ipynb)

# %% id="traps"
# Five wrong readings of our miniatures. Whoever attempted no exercise sees looplab's functions.
from looplab.model.cache import Cache

mine = {number: "your" if whose(number) == "yours" else "looplab's" for number in ("10.4", "10.5")}


def loss_of(each, loops=None):
    """Loss per day on 64 diaries."""
    with torch.no_grad():
        logits = each(diaries.tokens, loops, generator=noise()).logits
    return F.cross_entropy(logits.flatten(0, 1), diaries.targets.flatten()).item()


right = {name: loss_of(each) for name, each in minis.items()}
print("1  halves of the adapter swapped: loss", end="")
for name in ("huginn", "retrofit"):
    weight = minis[name].cores[0].injection.mix.weight
    weight.copy_(torch.cat(weight.chunk(2, dim=1)[::-1], dim=1))
    print(f"   {name} {right[name]:.3f} → {loss_of(minis[name]):.3f}", end="")
    weight.copy_(torch.cat(weight.chunk(2, dim=1)[::-1], dim=1))

huginn = minis["huginn"]
with torch.no_grad():
    out = huginn(diaries.tokens, generator=noise())
    state = huginn.through_coda(out.state, huginn.context(diaries.tokens.shape[1]))
    logits = huginn.head(huginn.norm(state))
loss = F.cross_entropy(logits.flatten(0, 1), diaries.targets.flatten()).item()
off = (logits - out.logits).abs().max().item()
print(f"\n2  normed once: loss   huginn {right['huginn']:.3f} → {loss:.3f}", end="")
print(f", a logit is off by {off:.1f}")

print("3  the other pairs turn: loss", end="")
for name in ("huginn", "ouro", "retrofit"):
    layers = [layer for layer in minis[name].modules() if hasattr(layer, "interleaved")]
    for layer in layers:
        layer.interleaved = not layer.interleaved
    print(f"   {name} {right[name]:.3f} → {loss_of(minis[name]):.3f}", end="")
    for layer in layers:
        layer.interleaved = not layer.interleaved

with torch.no_grad():
    gate = minis["ouro"](diaries.tokens, 4).gate  # [loop, batch, token]
leaving = exit_probabilities(gate)
print(
    f"\n4  {mine['10.4']} exits, mean at loops 1 to 4:", *(f"{p:.2f}" for p in leaving.mean((1, 2)))
)
for bias in (0, 8):
    early = []
    for dtype in (torch.float32, torch.bfloat16):
        total = exit_probabilities((gate + bias).to(dtype)).cumsum(0)  # as official code has it
        early.append(100 * (total[:-1] >= 1).any(0).float().mean().item())
    print(
        f"   threshold 1, gate bias +{bias}: {early[0]:.0f} % leave before the last loop in",
        end=" ",
    )
    print(f"float32, {early[1]:.0f} % in bfloat16")

slots = core_slot(3, 23, prelude=0, core=24) + 1
print(
    f"5  Ouro 1.4B at 4 loops has {slots} slots ({mine['10.5']} count); a logit is off by", end=""
)
for name in menu.MENU:
    each = minis[name]
    text = diaries.tokens[:8]
    state = each.start(each.encode(text), noise()) if each.config.start == "normal" else None
    for kept in (None, 1):
        cache, parts = Cache(each, len(text), slots=kept), []
        with torch.no_grad():
            for at in range(text.shape[1]):
                begin = None if state is None else state[:, at : at + 1]
                parts.append(each(text[:, at : at + 1], state=begin, cache=cache).logits)
            off = (torch.cat(parts, 1) - each(text, state=state).logits).abs().max().item()
        label = "all slots" if kept is None else "one for all loops"
        print(f"\n   {name:9s} {label:18s} {off:.0e}", end="")
print()

# %% [markdown] id="traps-text"
# **Measured here**<!-- by traps -->, on our miniatures. Swapped halves ruin `huginn-mini` (0.058
# → 2.976), and cost `retrofit-mini` less, whose adapter began as an even mix: a loss alone can
# miss a mistake. Norming once moves the loss of `huginn-mini` from 0.058 to 0.060 only, and
# single logits by 0.7. The wrong pairs ruin all three. With a confident gate (made so by hand;
# which one a released model has we did not look at) *every* token of `ouro-mini` leaves early at
# threshold 1, where the sum rounds up to it. (The two gates shown give 0 % and 100 % in float32
# and in bfloat16 alike: they do not tell these two apart.) The library's `zoo.exit_loop` takes 1
# to mean the last loop. And with one slot for all loops writing token by token no longer gives
# the logits of one pass. Compare with logits stored by official code where you have them:
# `looplab verify` on a folder does so.

# %% [markdown] id="interpret"
# ## Interpret
#
# - **Rest is cheap.** Six layers that were trained for something else come to rest where little
#   enough of the state is carried on, and cycle through six points, in a real model as in a toy.
#   Not everywhere: with layer 11 inside, the first token turns even at $\alpha = 0.02$. It takes no
#   training, and it says nothing about whether the loop is of use.
# - **Rest is not right.** A loop can settle on a state that answers worse, and one token can make
#   all others turn. Judge a loop by a loss, on texts that did not choose it, beside the model
#   that runs its layers once.
# - **One miniature uses its loops.** `ouro-mini` gets many of the days that lie far back right
#   only after its first loop. The other two gain little, and a feedforward control with six
#   layers solves the task in one pass, so that the loops are *needed* was not shown. SmolLM2 was
#   trained to say the next word in one pass, and no way to loop it that we tried makes it better
#   at that. Helping would mean: better on tasks with *more steps* than the layers can take, and
#   no worse elsewhere. We did not test SmolLM2 on such a task.
# - The same lens fits three of the families. What a released model does, only the released model
#   shows.
#
# ### Two open questions (no check)
#
# 1. Hold the first token, and the orbit is gone. Which of its two points is *better* for the loss
#    of the text behind it? And does a window that reaches over layer 11 cost less when the first
#    token is held?
# 2. One token, one number $\alpha$, and periods of 2, 4, more, and a window of chaos: is it the
#    cascade that the logistic map has? Refine $\alpha$ between two doublings, and compare the
#    lengths of the steps.
#
# ## Key points
#
# 1. An injection decides: with little of the state carried on, layers 12 to 17 rest; without one
#    they slide.
# 2. Subtract text by text, give the error, and judge a find on texts that did not choose it.
# 3. When everything turns, ask who turns it: take the suspect alone, and hold it.
# 4. Config and tensor names say which forward pass a file means; shapes alone do not. `looplab
#    verify` checks what must hold for any right reading.
# 5. `looplab reproduce` measures the paper's figures, as far as they apply, on a looped model
#    that looplab reads. Look first whether it ran for enough loops, and which lines have a number
#    of the paper beside them.

# %% [markdown] id="questions"
# ## Five questions
#
# 1. One loop with an injection of $\alpha = 0.9$ costs nothing. Why?
# <details><summary>Answer</summary>
# The state begins as the input, and 0.9 of it with 0.1 of the input is the input. The first pass
# is the model itself.
# </details>
#
# 2. You try 567 settings on 24 texts, and one is better by two standard errors. What do you do?
# <details><summary>Answer</summary>
# Expect a dozen or so by luck alone. Choose on some texts and judge on others.
# </details>
#
# 3. All tokens of a text have period 2. How do you find out whether they all turn by themselves?
# <details><summary>Answer</summary>
# Hold one of them still and look at the others; and run it alone. A causal mask says who can turn
# whom.
# </details>
#
# 4. config.json says `huginn_raven`. Which forward pass is it?
# <details><summary>Answer</summary>
# One of three. The names of the tensors decide: norm_3 is Huginn, q_norm an OLMo-2 retrofit,
# neither a Llama retrofit.
# </details>
#
# 5. A miniature comes to rest, or needs its loops. What follows for the released model of that
#    form?
# <details><summary>Answer</summary>
# Nothing. It has the same form, but other weights, sizes, data and training.
# </details>

# %% [markdown] id="scoreboard-text"
# ## Scoreboard

# %% id="scoreboard"
scoreboard("10")

# %% [markdown] id="read-on"
# ## Read on
#
# - Next: [11 Surgery on passes](11_surgery_on_passes.ipynb).
# - Back: [07 Stages of inference](07_stages_of_inference.ipynb),
#   [08 Train a looped language model](08_train_a_looped_language_model.ipynb).
# - Blayney et al., [arXiv 2604.11791](https://arxiv.org/abs/2604.11791): all families through one
#   lens. [arXiv 2605.23872](https://arxiv.org/abs/2605.23872): looping without training, damped.
# - Geiping et al., [arXiv 2502.05171](https://arxiv.org/abs/2502.05171): Huginn. Zhu et al.,
#   [arXiv 2510.25741](https://arxiv.org/abs/2510.25741): Ouro. McLeish et al.,
#   [arXiv 2511.07384](https://arxiv.org/abs/2511.07384): retrofits. Lan et al.,
#   [arXiv 1909.11942](https://arxiv.org/abs/1909.11942): ALBERT.
