# ---
# jupyter:
#   looplab:
#     chapter: "00"
#     title: Welcome
#     kind: welcome
#     minutes: 15
#     needs: a browser, and a little Python
#     learn: step through a loop with a slider, and know how these notebooks work
# ---

# %% [markdown] id="title"
# # 00 · Welcome
#
# *15 minutes · a laptop CPU · you should have met Python; everything else comes later*
#
# This course is about transformers that run the same few layers again and again. You will build
# such loops, train them, and look inside while they run. Five minutes from now you will have
# watched one think.
#
# **You will be able to**
#
# - step through a run, loop by loop, and read the four pictures of the loop microscope;
# - answer an exercise, wrongly and rightly, and know what the notebook says to each;
# - choose the chapters that are worth your time.
#
# A notebook is a column of cells. Click into the grey cell below and press **Shift+Enter**: it
# runs, and the next cell is selected. Go on like this from top to bottom. The outputs that you see
# already are ours, from the last time we ran it. (On Colab, first choose *File, Save a copy in
# Drive*: without a copy your answers are lost when you leave.)
#
# The first cell of every chapter begins with the same few lines. They fetch the course where it is
# missing, and they speak up if something on this machine is in the way. You need not read them.

# %% id="set-up"
import torch

from looplab import checkpoints, passport, plots, sketch, tasks, trace
from looplab.exercises import check, scoreboard, todo, whose
from looplab.widgets import LoopMicroscope

# %% [markdown] id="loop-text"
# ## A loop in one picture

# %% id="loop-picture"
hero = checkpoints.load("hero")
sketch.loop(hero.config)

# %% [markdown] id="loop-sentences"
# An ordinary transformer sends its *state*, a list of numbers for each token, through a stack of
# layers once. A looped transformer has few layers and sends the state through them many times, with
# the same weights and the same input each time. The state starts as anything, here as random
# numbers. So how long it thinks is no longer fixed when it is built: you choose it when you run it.
#
# This one is our *hero model*: three layers, 32 numbers for each token, 40 thousand weights,
# trained in under a minute. Its task is to **find the root**. The input is a small forest, twelve
# nodes, written as twelve tokens. A token says who the node is and who its parent is, and nothing
# more. A root is its own parent. For every node, the model must name the root of its tree.

# %% id="forest"
forests = tasks.chain_and_star(1, torch.Generator().manual_seed(173), chain=(7, 7))
token = int(forests.difficulty[0].argmax())  # the deepest node
parent = dict(forests.tokens[0].tolist())
way = [int(forests.tokens[0, token, 0])]
while parent[way[-1]] != way[-1]:
    way.append(parent[way[-1]])
print("tokens (own, parent):", *(f"{own},{up}" for own, up in forests.tokens[0].tolist()))
print("a chain of seven:", " -> ".join(map(str, way)))
star = next(own for own, up in parent.items() if own == up and own not in way)
print(f"a star of five:   {star} <- {', '.join(str(n) for n in parent if n not in [*way, star])}")

# %% [markdown] id="predict"
# ## Predict
#
# The node at the end of the chain is six steps from its root, and no token tells more than one of
# them. The star is there to mislead: five of the twelve tokens name its root, two the chain's.
# After how many loops will the model name the right root for the end of the chain? Change the
# number below *before you scroll on*, press Shift+Enter, and do not worry: there is no mark for it.
# Having guessed is what makes the answer stick.

# %% id="predict-cell"
my_loops = 6  # your guess

# %% [markdown] id="explore"
# ## Explore: the loop microscope
#
# The next cell runs the model for 32 loops and records everything. The picture under it is a *film
# strip*: the forest at a few loops. In every node stands the root that the model would name for it
# if it stopped now, and the colour says it again. Beside the node, small, is its own label. Below
# stands the state of the ringed node after each layer, with the way it came in grey.

# %% id="microscope-strip"
run = trace(
    hero,
    forests.tokens,
    loops=32,
    keep=("states", "attention"),
    generator=torch.Generator().manual_seed(0),
)
microscope = LoopMicroscope(
    run, hero, token=token, targets=forests.targets, parents=tasks.parents(forests.tokens)
)
microscope.film_strip(loops=(1, 2, 3, 4, 12), states=True)

# %% [markdown] id="microscope-text"
# Watch the root's colour run down the chain, and the state below go on, after the answer is right,
# into a tour that it repeats. That is the picture to show a friend: nobody wrote this algorithm,
# and every pass is the same three layers.
#
# Here is the instrument itself. It appears when you run the cell, and then works by itself; where
# a web page shows this notebook as it was, you only have the film strip.

# %% id="microscope"
microscope

# %% [markdown] id="microscope-how"
# Its four pictures, for the loop that the slider names:
#
# 1. **Where the state is.** The state of one node, after each of the three layers. It has 32
#    numbers; you see the plane in which it moves most.
# 2. **How far from its end.** A *fixed point* is a state that another loop does not change. The
#    last loop stands for it, and the curve is each layer's distance to it, in units of its length.
#    One division down is ten times nearer. (At the last loop itself it must be zero, so the last
#    few loops say nothing.)
# 3. **What it would answer**: the forest.
# 4. **Where it looks.** Tokens meet in *attention*: each one takes in a weighted sum of what all
#    tokens hold, its own too. A row has the weights of one token, darker for more. The menus choose
#    the layer, and one of its two heads or their mean.
#
# **Drag the slider**, or press play: all pictures are in your browser already. **Hold** keeps the
# present loop as a ghost, to compare others with it. **Click into the picture** and the keyboard
# works: left and right move the loop, up and down choose another node, H holds. The line of text
# below says what is shown, for screen readers and for all of us.
#
# Try to find out: do the three marks, one for each layer, still move at loop 12? Do they end on one
# point, or on three? Then compare with the numbers.

# %% id="rest"
states = run.states[:, :, 0, token]  # the end of the chain [loop, layer, number]
length = states[-1].norm(dim=-1).mean()
moved = (states[11] - states[10]).norm(dim=-1).max() / length
apart = (states[11] - states[11].roll(1, 0)).norm(dim=-1) / length
print("in units of the state's length:")
print(f"from loop 11 to loop 12 no layer's state moved by more than {100 * moved:.1g} %")
print(f"from layer to layer it moves by {100 * apart.min():.0f} to {100 * apart.max():.0f} %")

# %% [markdown] id="not-alone"
# **Measured here**,<!-- by rest --> for one node of one model: each layer of the loop comes to rest
# on a point of its own, and the state walks from point to point, the same tour again and again.
# This is the subject of the course. In models with
# billions of parameters this was **reported** by Blayney et al., *A Mechanistic Analysis of Looped
# Reasoning Language Models* ([arXiv 2604.11791](https://arxiv.org/abs/2604.11791)). Chapter 03
# measures it.
#
# Sentences like this one carry a label everywhere in the course: **proved** (a few lines of
# algebra), **measured here** (a cell recomputes it), or **reported** (in a paper, which is named).
#
# We *chose* this forest: not in every one does the colour run so slowly. Here are 512 others, drawn
# at random, and a control beside the hero: its *shallow twin* has three layers of the same kind,
# and was trained to do the task in a single pass. No chain in the training of either had more than
# six nodes. Who only guesses between the two roots is right in 50 %.

# %% id="control"
models = {f"hero, training {n + 1}": name for n, name in enumerate(("hero", "hero-1", "hero-2"))}
models["shallow twin"] = "hero-shallow"
loops = (1, 2, 3, 4, 8, 16)
print("512 forests: the root of the chain's end is named, in % of them")
print("after loop               ", *(f"{loop:4d}" for loop in loops))
for length in (7, 9):
    print(f"chain of {length}, star of {12 - length}")
    many = tasks.chain_and_star(512, torch.Generator().manual_seed(0), chain=(length, length))
    end = many.difficulty == length - 1  # [forest, node]
    for who, name in models.items():
        model, start = checkpoints.load(name).double(), torch.Generator().manual_seed(0)
        with torch.no_grad():
            states = model(many.tokens, 16, every_loop=True, generator=start).loop_states
            right = model.readout(states).argmax(-1) == many.targets  # [loop, forest, node]
        shares = 100 * right[:, end].double().mean(-1)
        print(f"    {who:20s} ", *(f"{shares[loop - 1]:4.0f}" for loop in loops))

# %% [markdown] id="control-text"
# **Measured here**,<!-- by control --> three trainings of the hero and one of the twin. After one
# loop the hero is mostly wrong: on chains of seven it names the right root in 14 to 21 %. More
# loops help, up to about eight: 84 to 94 %. On chains of nine it ends even better, and this table
# does not say why. The twin is no fool: it was trained to do all in one pass, and names 80 % at
# seven. But at nine it names 61 %, and looping it all the same, which nobody trained it for, does
# not help.

# %% [markdown] id="ex1-card"
# ## Your first exercise, wrongly first
#
# An exercise is a function that you complete, a check, and three hints. We go through all that
# a check can say:
#
# 1. Run the two cells below as they are. The check says **not attempted**.
# 2. Now answer wrongly, on purpose: replace `todo()  # replace this line` by `layers + loops`. Run
#    both cells again. It says **not yet**, and names the mistake.
# 3. Answer rightly. It says **passed**.
#
# **Exercise 00.1 · layers in all** · easy · core · 2 minutes · *idea: depth is something a loop
# does, not something it has*


# %% id="layers-answer" role="answer" ex="00.1"
# exercise 00.1
def layers_run(layers, loops):
    """How many layers a state passes through when `layers` layers are looped `loops` times."""
    # --- solution
    return layers * loops
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="layers-check" role="check" ex="00.1"
layers_run = check("00.1", layers_run)

# %% [markdown] id="ex1-hints"
# <details><summary>Hint 1, a nudge</summary>
# Three layers, two loops. Count with your fingers.
# </details>
# <details><summary>Hint 2, a plan</summary>
# In each loop the state passes through all the layers once.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>return</code>, then the two numbers with <code>*</code> between them.
# </details>
#
# [Solution](solved/00_welcome.ipynb)

# %% [markdown] id="how-checks"
# A wrong answer never stops the notebook. Until yours passes, looplab's own is used in its place,
# so everything below works, and you can come back later. Figures say in their corner whose code
# drew them. Hints open with a click. The link beside them leads to the solved edition of the
# chapter; looking at it is no crime, but the hints come first for a reason.
#
# ### One more, with a loop in it
#
# Which loop is enough? The first right answer is not a good sign by itself: a model may say the
# right thing once and take it back. We want the loop from which on the answer **stays** right.
# Loops count from 1, here and everywhere in the course.
#
# **Exercise 00.2 · right from here on** · easy · 5 minutes · *idea: an answer that comes and goes
# is no answer*


# %% id="right-answer" role="answer" ex="00.2"
# exercise 00.2
def right_from(answers, target):
    """The first loop from which on every answer is the target; None if the last one is not.

    answers: a list, one whole number per loop; answers[0] is the answer after loop 1.
    """
    # --- solution
    first = None
    for loop in range(len(answers), 0, -1):
        if answers[loop - 1] != target:
            break
        first = loop
    return first
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="right-check" role="check" ex="00.2"
right_from = check("00.2", right_from)

# %% [markdown] id="ex2-hints"
# <details><summary>Hint 1, a nudge</summary>
# Start at the end and walk back.
# </details>
# <details><summary>Hint 2, a plan</summary>
# Walk back while the answers are right, and remember where you are. Stop at the first wrong one.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>for loop in range(len(answers), 0, -1):</code> counts loops backwards down to 1; the answer
# after it is <code>answers[loop - 1]</code>, and <code>break</code> leaves the <code>for</code>.
# </details>
#
# [Solution](solved/00_welcome.ipynb)

# %% id="right-measure"
answers = hero.readout(run.loop_ends).argmax(-1)  # [loop, forest, node]
own = right_from(answers[:, 0, token].tolist(), int(forests.targets[0, token]))
print(f"the end of this chain is right from loop {own} on; you guessed {my_loops}")

chains = tasks.chain_and_star(64, torch.Generator().manual_seed(1), chain=(7, 7))
others = trace(hero, chains.tokens, 32, generator=torch.Generator().manual_seed(0))
answers = hero.readout(others.loop_ends).argmax(-1)
needed, spread, never = {}, {}, 0
for depth in range(1, 7):
    found = [
        right_from(answers[:, f, n].tolist(), int(chains.targets[f, n]))
        for f, n in (chains.difficulty == depth).nonzero().tolist()
    ]
    never += found.count(None)
    settled = torch.tensor([loop for loop in found if loop is not None], dtype=torch.float)
    name = f"{depth} from the root"
    needed[name], spread[name] = settled.mean().item(), settled.std().item()
print(f"64 other chains of seven: {never} of {64 * 6} nodes are wrong after 32 loops")
picture = plots.bars(needed, "loops needed, mean ± std", spread)
plots.mark(picture, whose("00.2"))

# %% [markdown] id="right-text"
# **Measured here**,<!-- by right-measure --> in 64 forests: nodes far from their root take more
# loops in the mean, but nowhere near one loop for each step, and they differ more among themselves
# (the thin lines: one standard deviation). How a loop can take several steps at once you find out
# in chapter 02, on a model with a single layer. (The few nodes that never become right are left
# out.)

# %% [markdown] id="chapters"
# ## The chapters
#
# <!-- chapters -->
#
# **Little time?**
#
# - *An hour and a half:* chapter 03. It can be read first, and says where it uses 01 or 02.
# - *An afternoon:* 01, 02, 03, in this order: you write a looped model, train it, and look inside.
# - *You know transformers well:* skim the text of 01; in 02 find the law of the staircase (02.4),
#   in 03 rotate the loop (03.4); then 05.
# - *You have a model of your own to look into:* 03 for the measurements, 06 for what can go wrong
#   with them, then 10.

# %% [markdown] id="key-points"
# ## Key points
#
# 1. A looped transformer sends its state through the same layers many times; you choose how often.
# 2. Shift+Enter runs a cell. A widget, once shown, goes on working without Python.
# 3. *Not attempted*, *not yet*, *passed*: whatever the check says, the notebook goes on.
# 4. A claim is proved, measured here, or reported, and says which.
#
# ## Scoreboard

# %% id="scoreboard"
scoreboard("00")

# %% [markdown] id="read-on"
# ## Read on
#
# - Next: [01 Loop a block](01_loop_a_block.ipynb), in which you write a loop yourself.
# - Blayney et al., [arXiv 2604.11791](https://arxiv.org/abs/2604.11791), the paper behind the
#   course.

# %% [markdown] id="saving"
# ## Where your work is
#
# Your answers are in the notebook file itself, and JupyterLab saves it every two minutes, or when
# you press Ctrl+S (Cmd+S on a Mac). Running, checking, grading and updating the course leave them
# alone.
#
# **Colab and Binder forget.** For both there is a *progress passport*: one small file with all
# answers that you checked, and with the model that you will train. Take the `# ` away in front of
# the next line, run it, and follow the link to download the file. Every scoreboard reminds you.

# %% id="passport"
# passport.save()

# %% [markdown] id="restoring"
# In a new session, drag the file into the file browser beside the notebooks, and run
# `passport.restore()`. It writes a fresh copy of each chapter with your answers in their cells, and
# overwrites nothing.
#
# If a page behaves strangely, *Kernel, Restart Kernel and Run All Cells* brings it back to order,
# and `doctor.report()` names a remedy for whatever is wrong with the machine. If you are graded,
# your teacher collects the notebook file: leave the lines `# exercise 00.1` in place.
