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
# such loops, train them, and look inside while they run. Ten minutes from now you will have
# watched one think.
#
# **You will be able to**
#
# - step through a run, loop by loop, and read the four pictures of the loop microscope;
# - answer an exercise, wrongly and rightly, and know what the notebook says to each;
# - choose the chapters that are worth your time.
#
# A notebook is a column of cells. Click into the grey cell below and press **Shift+Enter**: it
# runs, and the next cell is selected. Do this cell after cell, from top to bottom. The outputs that
# you see already are ours, from the last time we ran it.
#
# The first cell of every chapter begins with the same few lines. They fetch the course where it is
# missing, as on Colab, and they speak up if something on this machine is in the way. You need not
# read them.

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
# An ordinary transformer sends its state through a stack of layers once. A looped transformer has
# few layers and sends the state through them many times, with the same weights and the same input
# each time. So how long it thinks is no longer fixed when it is built: you choose it when you run
# it.
#
# This one is our *hero model*: three layers of width 32, 40 thousand parameters, trained in under
# a minute. Its task is to **find the root**. The input is a small forest, twelve nodes, written as
# twelve tokens. A token says who the node is and who its parent is, and nothing more. A root is its
# own parent. For every node, the model must name the root of its tree.

# %% id="forest"
forests = tasks.find_root(16, torch.Generator().manual_seed(7), max_depth=8)
deep = int(forests.difficulty.max(1).values.argmax())  # the forest with the deepest node
token = int(forests.difficulty[deep].argmax())
parent = dict(forests.tokens[deep].tolist())
way = [int(forests.tokens[deep, token, 0])]
while parent[way[-1]] != way[-1]:
    way.append(parent[way[-1]])
print("tokens (own, parent):", *(f"{own},{up}" for own, up in forests.tokens[deep].tolist()))
print("the deepest node's way to its root:", " -> ".join(map(str, way)))

# %% [markdown] id="predict"
# ## Predict
#
# The deepest node has eight steps to go, and no token tells more than one of them. After how many
# loops will the model name its root? Change the number below, press Shift+Enter, and do not worry:
# there is no mark for it. Having guessed is what makes the answer stick.

# %% id="predict-cell"
my_loops = 8  # your guess

# %% [markdown] id="explore"
# ## Explore: the loop microscope
#
# The next cell runs the model for 32 loops and records everything. The picture under it is a *film
# strip*, a few loops side by side. Above: where the state of our node is after each layer (a
# state has 32 numbers; you see the plane in which it moves most). Below: what the model would
# answer for each node if it stopped now.

# %% id="microscope-strip"
run = trace(
    hero,
    forests.tokens,
    loops=32,
    keep=("states", "attention"),
    generator=torch.Generator().manual_seed(0),
)
microscope = LoopMicroscope(run, hero, item=deep, token=token, targets=forests.targets)
microscope.film_strip(loops=(1, 2, 3, 6, 12))

# %% [markdown] id="microscope-text"
# And here is the instrument itself. It needs a running notebook: if you read this on a web page you
# only have the film strip.

# %% id="microscope"
microscope

# %% [markdown] id="microscope-how"
# - **Drag the slider**, or press play. All pictures are in your browser already, so nothing waits.
# - **Hold** keeps the present loop as a ghost, to compare others with it. Press again to drop it.
# - **Click into the picture** and the keyboard works: left and right move the loop, up and down
#   choose another node, Home and End jump to the ends, H holds.
# - The line of text under the picture says what it shows, for screen readers and for all of us.
#
# Try to find out: at which loop does the deepest node's answer become right? Do the three marks
# (one per layer) still move at loop 12? Do they end on one point, or on three?

# %% [markdown] id="not-alone"
# What you have just seen is the subject of the course. Each layer of the loop comes to rest on a
# point of its own, and the state walks from point to point, the same tour for ever. In models with
# billions of parameters this was **reported** by Blayney et al., *A Mechanistic Analysis of Looped
# Reasoning Language Models* ([arXiv 2604.11791](https://arxiv.org/abs/2604.11791)). Chapter 03
# measures it.
#
# Sentences like this one carry a label everywhere in the course: **proved** (a few lines of
# algebra), **measured here** (a cell recomputes it), or **reported** (in a paper, which is named).

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

# %% id="layers-measure"
visits = []
hero(forests.tokens, 32, tap=lambda site, value: visits.append(site.name == "core.resid"))
print(f"counted in the model: {sum(visits)} layers in 32 loops of three")
print(f"by {whose('00.1').replace('yours', 'your own')} formula: {layers_run(3, 32)}")

# %% [markdown] id="how-checks"
# A wrong answer never stops the notebook. Until yours passes, looplab's own answer is used in its
# place, so everything below works, and you can come back later. That is why the line above names
# whose code it was, and figures do so in their corner.
#
# Hints open with a click. The link beside them leads to the solved edition of the chapter; looking
# at it is no crime, but the hints come first for a reason.
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
needed = {}
for depth in range(1, 9):
    found = [
        right_from(answers[:, f, n].tolist(), int(forests.targets[f, n]))
        for f, n in (forests.difficulty == depth).nonzero().tolist()
    ]
    needed[f"depth {depth} ({len(found)} nodes)"] = sum(found) / len(found)
own = right_from(answers[:, deep, token].tolist(), int(forests.targets[deep, token]))
print(f"the deepest node is right from loop {own} on; you guessed {my_loops}")
picture = plots.bars(needed, "mean loops until right")
plots.mark(picture, whose("00.2"))

# %% [markdown] id="right-text"
# **Measured here**, on sixteen forests and one model: deeper nodes tend to take more loops (the
# last two rows are means over five nodes each), but nowhere near one loop per step. Each loop has
# three layers, and that is not the whole explanation either. What the model does instead of
# following the pointers one by one you find out in chapter 02.

# %% [markdown] id="saving"
# ## Where your work is
#
# Your answers are in the notebook file itself, and JupyterLab saves it every two minutes, or when
# you press Ctrl+S (Cmd+S on a Mac). Running, checking and grading leave your notebooks alone, and
# the command that rebuilds the chapters refuses to overwrite one that holds answers. When you
# update the course with git, git refuses too, and says so.
#
# **Colab and Binder forget.** On Colab, choose *File, Save a copy in Drive* before you start.
# Binder drops everything some minutes after you leave. For both there is a *progress passport*: one
# small file with all answers that you checked. Take the `# ` away in front of the next line, run
# it, and follow the link to download the file. Every chapter's scoreboard reminds you of it.

# %% id="passport"
# passport.save()

# %% [markdown] id="restoring"
# In a new session, drag the file into the file browser beside the notebooks, and run
# `passport.restore()`. It says what you passed, and writes a fresh copy of each chapter with your
# answers in their cells, called `00_welcome-restored.ipynb` and so on. It overwrites nothing, and
# runs none of your code until you do. Passports from several sessions are joined.
#
# If a page behaves strangely, *Kernel, Restart Kernel and Run All Cells* brings it back to order.
# `doctor.report()` looks at the machine, and names a remedy for whatever it finds.
#
# If you are graded, your teacher collects the notebook file; only the answer cells count. They are
# found by their line `# exercise 00.1`, so leave that line in place.
#
# ## The chapters
#
# <!-- chapters -->
#
# **Little time?**
#
# - *One hour:* chapter 03. It stands on its own.
# - *An afternoon:* 01, 02, 03, in this order.
# - *You know transformers well:* skim the text of 01, do 02.4 and 03.4, then 05.
# - *You have a model of your own to look into:* 03 for the measurements, 06 for what can go wrong
#   with them, then 10.

# %% [markdown] id="key-points"
# ## Key points
#
# 1. A looped transformer sends its state through the same layers many times; you choose how often.
# 2. Shift+Enter runs a cell. Widgets need no kernel once they are shown.
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
