# ---
# jupyter:
#   looplab:
#     chapter: "11b"
#     title: Your own question
#     kind: welcome
#     minutes: 90
#     needs: chapter 11
#     learn: ask a question so that the answer can surprise you, measure it, and hand it in
# ---

# %% [markdown] id="title"
# # 11b · Your own question
#
# *90 minutes, or an evening · a laptop CPU · you should know chapter 11*
#
# This notebook is a form. You fill it in, and hand it in. In the
# [solved edition](solved/11b_your_own_question.ipynb) it is filled in once, by us, with a question
# that we did not know the answer to. It came out otherwise than we thought.
#
# **You will be able to**
#
# - write a prediction down so that it can fail, and so that nobody can change it afterwards;
# - name the null and the control of your measurement;
# - decide by a rule that was there before the numbers were.
#
# Your teacher finds the rubric near the end. So do you.

# %% id="set-up"
import hashlib
import json

import torch

from looplab import checkpoints, measure, plots, tasks
from looplab.exercises import check, scoreboard, todo
from looplab.interventions import hold, keep, patch, run_patches, shorten, steer
from looplab.widgets import Category, FrameStepper

# %% [markdown] id="predict"
# ## Predict: the plan
#
# Fill in every line *before* you measure anything. One sentence each, and numbers where numbers
# are asked. `least` is the difference from the control, in the unit of your measure, from which on
# you call the prediction right. Small is fine. *How far does a patch of the prelude reach?* is a
# question. *What do looped models understand?* is none.

# %% id="plan" edition="unsolved"
plan = {
    "question": "",  # one sentence that ends in a question mark
    "prediction": "",  # what you expect, in words
    "measure": "",  # one number for each run: which?
    "null": "",  # what that number is if nothing is the case, and how you measure it
    "control": "",  # the same operation with something that ought not to work
    "seeds": [],  # the trainings: three names at least
    "least": None,  # the difference from the control that you predict
    "would convince me of the opposite": "",
}

# %% id="plan-filled-in" edition="solved"
plan = {
    "question": "Does water that a flood model was shown stay when the maze turns dry there?",
    "prediction": "Yes. These models were trained from zeros, as the one-layer models of "
    "chapter 11 were, and there the first question won.",
    "measure": "Asked maze A for 12 loops and maze B for 12: of the cells that are wet in A and "
    "dry in B, and no walls, the share that is called wet in the end.",
    "null": "0: asked B for all 24 loops.",
    "control": "Asked a third maze C for the first 12 loops; of these cells only those that are "
    "dry in C count, here and above.",
    "seeds": ["flood", "flood-turning", "flood-2"],
    "least": 0.5,
    "would convince me of the opposite": "If even the best training, less the lowest control, is "
    "below 0.5.",
}

# %% id="register"
empty = [line for line, said in plan.items() if said in ("", None, [])]
letters = hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()[:12]
print(f"still empty: {', '.join(empty)}" if empty else f"the plan's fingerprint: {letters}")

# %% [markdown] id="register-text"
# The **fingerprint** is made from every letter of the plan; change one, and it is another. Send it
# to your teacher, or write it on paper with the date, *before* you go on. Later anybody can run the
# cell above and see that the plan is the one you had. Did you think of something better after all?
# Then say so, give the new plan its own fingerprint, and keep the old.
#
# ## Explore: look before you count
#
# Here is what we looked at before ours, to see that the operation works at all: one flood model
# (chapter 06), asked one maze for 12 loops and another for the next 12. Replace it by whatever lets
# you see your own operation once. (On *one* example, and not the measure itself.)


# %% id="peek-strip"
torch.set_grad_enabled(False)  # nothing is trained here


def asked_in_turn(model, first, second, turn=12, loops=24):
    """Answers after each loop [loop, batch, token]: `first` is asked for `turn` loops."""
    ready = [model.prepare(tokens) for tokens in (first, second)]
    z, answers = ready[0].start, []
    for loop in range(loops):
        z = model.step(z, ready[loop >= turn], loop=loop)
        answers.append(model.answer(z, ready[1]).argmax(-1))
    return torch.stack(answers)


def mazes(seed, batch=256):
    return tasks.flood_fill(batch, torch.Generator().manual_seed(seed), side=6)


before, after = mazes(10, 1), mazes(11, 1)
said = asked_in_turn(checkpoints.load("flood"), before.tokens, after.tokens)[:, 0]
shown = torch.stack([before.tokens if loop < 12 else after.tokens for loop in range(24)])[:, 0]
picture = torch.where(shown == tasks.WALL, 2, said).unflatten(1, (6, 6))
peek = FrameStepper(
    picture,
    title="A maze, and from loop 13 on another",
    categories=[
        Category("dry", "#FFFFFF"),
        Category("wet", "#56B4E9", mark="w"),
        Category("wall", "#4d4d4d", hatch=True),
    ],
)
peek.film_strip((1, 12, 13, 24))

# %% id="peek"
peek

# %% [markdown] id="ex6-card"
# ## The rule
#
# You have one number for each training, and one for each control. When do they say yes? Decide by a
# rule that does not know what you hope for. Ours is strict: **yes** if even the worst training is
# at least `least` above the highest control. **No** if even the best training is less than `least`
# above the lowest control. All else is **open**, and that is an answer.
#
# **Exercise 11.6 · verdict** · easy · core · 6 minutes · *idea: the worst case for yes, the best
# case for no*


# %% id="verdict-answer" role="answer" ex="11.6"
# exercise 11.6
def verdict(ours, control, least):
    """ "yes", "no" or "open": ours and control are numbers of trainings, lists of floats."""
    # --- solution
    if min(ours) - max(control) >= least:
        return "yes"
    if max(ours) - min(control) < least:
        return "no"
    return "open"
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="verdict-check" role="check" ex="11.6"
verdict = check("11.6", verdict)

# %% [markdown] id="ex6-hints"
# <details><summary>Hint 1, a nudge</summary>
# <code>min</code> and <code>max</code> of a list are the worst and the best.
# </details>
# <details><summary>Hint 2, a plan</summary>
# Two differences: the one that is hardest on a yes, the one that is hardest on a no.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>min(ours) - max(control) &gt;= least</code> for yes,
# <code>max(ours) - min(control) &lt; least</code> for no.
# </details>
#
# [Solution](solved/11b_your_own_question.ipynb)

# %% [markdown] id="measure-text"
# ## Measure, once
#
# Fill the three lists, one number for each training in `plan["seeds"]`, in their order.

# %% id="measure" edition="unsolved"
found = {"ours": [], "null": [], "control": []}
for name in plan["seeds"]:
    model = checkpoints.load(name)
    # your measurement: found["ours"].append(...), and the same for the null and the control

# %% id="measure-filled-in" edition="solved"
a, b, c = (mazes(seed) for seed in (0, 1, 2))
asked_about = (a.targets == 1) & (b.targets == 0) & (c.targets == 0) & (b.tokens != tasks.WALL)
found = {"ours": [], "null": [], "control": []}
for name in plan["seeds"]:
    model = checkpoints.load(name)
    for key, first in (("ours", a), ("null", b), ("control", c)):
        end = asked_in_turn(model, first.tokens, b.tokens)[-1]
        found[key].append((end[asked_about] == 1).float().mean().item())
print(f"{asked_about.sum()} cells of 256 mazes")

# %% id="result"
print("training              ours    null   control")
for row in zip(plan["seeds"], *found.values(), strict=False):
    print(f"{row[0]:18s}", "".join(f"{number:8.2f}" for number in row[1:]))
if found["ours"] and plan["least"] is not None:
    print("verdict:", verdict(found["ours"], found["control"], plan["least"]))
else:
    print("nothing is measured yet")

# %% [markdown] id="report" edition="unsolved"
# ## Report
#
# *Double-click here and write: what came out, in numbers (three sentences). What it says about your
# prediction. What it does not say. What you would do next.*

# %% [markdown] id="report-filled-in" edition="solved"
# ## Report
#
# **Measured here**<!-- by result, measure-filled-in -->, three trainings. Of the cells that were
# wet in A, 0.96 to 1.00 are called wet after twelve loops of B, where all is dry. Asked B
# from the beginning, none is (0.00). Had we stopped here, we should have written: the first
# question wins.
#
# But the control is high, 0.47 to 0.57. A third maze, which was dry (or a wall) at these very
# cells, leaves half of them wet. By our rule the smallest difference of any two trainings, 0.96
# less 0.57, is below what we predicted and the largest, 1.00 less 0.47, is not. So the verdict is
# *open*. Why is the control high? Our guess, afterwards: nothing in this task ever dries. Whatever
# water C has left anywhere runs on in B's maze. A control that keeps no water would be a maze C
# without any, and that is the next question, with a new plan.
#
# It does not say that these models remember A. It may say only that they do not take back *wet*,
# which nobody has measured here.

# %% [markdown] id="rubric"
# ## The rubric
#
# Two points each, fourteen in all; exercise 11.6 is graded by `looplab grade`, beside it.
#
# | | 0 | 1 | 2 |
# |---|---|---|---|
# | question | none, or several | one, too wide for the measure | one that the measure answers |
# | prediction | after the fact | in words | with a number, and a fingerprint handed in before |
# | measure and null | no number | a number, null guessed | a number, the null measured |
# | control | none | something else was done | the same operation, where it ought not to work |
# | seeds | one | three, averaged away | three or more, each shown |
# | verdict | by feeling | by the rule, explained away | by the rule, *no* and *open* too |
# | report | claims more than was measured | says what came out | says also what it does not say |
#
# A result that contradicts the prediction costs nothing.

# %% [markdown] id="key-points"
# ## Key points
#
# 1. A prediction is a number and a date. What is written afterwards is a story.
# 2. A raw number near 1 is not yet a finding: the control may be near 1 as well.
# 3. *Open* is an answer. It tells you what to measure next.

# %% [markdown] id="scoreboard-text"
# ## Scoreboard

# %% id="scoreboard"
scoreboard("11b")

# %% [markdown] id="read-on"
# ## Read on
#
# - Back: [11 Surgery on passes](11_surgery_on_passes.ipynb), with three open questions.
# - [06 Orbits, sliders and overthinking](06_orbits_sliders_and_overthinking.ipynb), where the flood
#   models are from.
