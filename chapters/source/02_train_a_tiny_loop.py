# ---
# jupyter:
#   looplab:
#     chapter: "02"
#     title: Train a tiny loop
#     minutes: 50
#     needs: PyTorch, and what attention is
#     learn: train a looped model in seconds, read its staircase, meet and cure overthinking
# ---

# %% [markdown] id="title"
# # 02 · Train a tiny loop
#
# *50 minutes · a laptop CPU · you should know PyTorch and what attention is*
#
# One layer. We will run it once, twice, four times, on the same state, and each time it will know
# more. You train it yourself, in seconds, and then find out *what* it has learned: not a table
# of answers but a procedure, one step of which is one pass.
#
# **You will be able to**
#
# - train a looped transformer: draw the number of loops, cut the gradient, read the loss;
# - judge it by loop *and* by difficulty, and discover the law that connects the two;
# - meet *overthinking* (more loops, worse answers) and cure it with one term in the loss;
# - say what looping bought, beside a twin of equal compute and a twin of equal parameters.
#
# Claims are labelled **proved**, **measured here** (a cell recomputes it) or **reported** (in a
# paper).

# %% id="set-up"
import json
import time
from functools import partial

import torch
import torch.nn.functional as F

from looplab import LoopedConfig, LoopedTransformer, checkpoints, plots, tasks, trace, train
from looplab.exercises import check, scoreboard, todo, whose
from looplab.widgets import FrameStepper

# %% [markdown] id="flood-intro"
# ## Explore: a wave in a maze
#
# Before we build anything, watch a loop that somebody trained for you. The input is a maze; the
# model must say for every cell whether water poured in at **S** gets there. A cell may attend to
# itself and its four neighbours only, so knowledge travels one cell per layer. The core has two
# layers, and it was trained on mazes of 6 by 6 cells. This one has 10 by 10.

# %% id="flood-run"
flood = checkpoints.load("flood")
mazes = tasks.flood_fill(256, torch.Generator().manual_seed(4), side=10)
maze = int(mazes.difficulty.max(1).values.argmax())  # the one with the longest way
run = trace(flood, mazes.tokens[maze : maze + 1], loops=20, keep=())
answers = flood.readout(run.loop_ends)[:, 0].argmax(-1)  # [loop, cell]
water = FrameStepper.flood(mazes.tokens[maze], answers, mazes.targets[maze])
print("farthest cell:", int(mazes.difficulty[maze].max()), "steps from S")
water.film_strip(loops=(1, 2, 4, 8, 16))

# %% id="flood-slider"
water

# %% [markdown] id="flood-question"
# Move the slider, or press play. How many cells does the front advance per loop? Where does the
# model stop changing its mind?

# %% id="flood-staircase"
table = train.accuracy_table(flood, mazes, loops=12)
plots.staircase(table.accuracy[:, :17], loops=(1, 2, 3, 4, 6, 8), what="distance from S")


# %% id="flood-seeds"
def reach(row):
    """Largest difficulty such that up to it at least 9 of 10 answers are right."""
    for difficulty, share in enumerate(row):
        if share is None or not share >= 0.9:
            return difficulty - 1
    return len(row) - 1


print("distance right after 1, 2, 3, 4, 6, 8 loops; share of mazes all right after 64 loops")
for seed in checkpoints.card("flood")["results by seed"]:
    result = seed["beyond"]  # mazes of 10 by 10 cells
    reached = [reach(result["accuracy"][str(loops)]) for loops in (1, 2, 3, 4, 6, 8)]
    print(f"seed {seed['seed']}: {reached}, {result['exact']['64']:.2f}")

# %% [markdown] id="flood-law"
# **Measured here**, in three trainings: after $t$ loops the cells up to distance $2t$ are right and
# none beyond; those still count as dry. (One of the three falls a little behind in later loops.)
# **Proved**, it could not be faster: the mask lets knowledge travel one cell per layer, and a loop
# has two. Now comes a task in which nothing limits what a
# layer can see.

# %% [markdown] id="root-intro"
# ## The task: find the root
#
# A forest of twelve nodes, written as twelve tokens in random order. Each token carries two
# labels: the node's own and its parent's. A root is its own parent. For every node, name the root
# of its tree.

# %% id="root-example"
example = tasks.find_root(1, torch.Generator().manual_seed(11), max_depth=5)
parent = dict(example.tokens[0].tolist())
node = int(example.tokens[0, example.difficulty[0].argmax(), 0])
way = [node]
while parent[way[-1]] != way[-1]:
    way.append(parent[way[-1]])
print("tokens (own, parent):", *(f"{own},{up}" for own, up in example.tokens[0].tolist()))
print("the deepest node's way to its root:", " -> ".join(map(str, way)))

# %% [markdown] id="predict"
# ## Predict
#
# Every token may attend to every other token. A node at depth 1 can read its root off its own
# token; a node at depth 11 has eleven pointers to follow. How many passes through **one** layer
# does it take to name the root of a node at depth 11? Write your guess down; a wrong one makes
# the answer stick.

# %% id="predict-cell"
my_loops_for_depth_11 = 11  # your guess

# %% [markdown] id="ex1-card"
# ## Build 1: how often to loop in training
#
# If every training step ran the same number of loops, the model could use the passes as a plan:
# do this in pass 1, that in pass 2. We want one layer that does a useful step from *any* state,
# so the number of loops is drawn anew at every step.
#
# **Exercise 02.1 · draw the number of loops** · easy · core · 4 minutes · *idea: randomness from a
# generator, so that a run can be repeated*


# %% id="draw-answer" role="answer" ex="02.1"
# exercise 02.1
def draw_loops(low, high, generator):
    """A whole number from low to high, both included, drawn from the generator: an int."""
    # --- solution
    return int(torch.randint(low, high + 1, (1,), generator=generator))
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="draw-check" role="check" ex="02.1"
draw_loops = check("02.1", draw_loops)

# %% [markdown] id="ex1-hints"
# <details><summary>Hint 1, a nudge</summary>
# <code>torch.randint</code> leaves out its upper end, and it takes a generator.
# </details>
# <details><summary>Hint 2, a plan</summary>
# Draw a tensor with one whole number, then make a plain int of it.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>torch.randint(low, high + 1, (1,), generator=...)</code> inside <code>int(...)</code>.
# </details>
#
# [Solution](solved/02_train_a_tiny_loop.ipynb)

# %% [markdown] id="ex2-card"
# ## Build 2: where the gradient stops
#
# The same weights act in every pass, so the gradient is a sum over passes, and memory grows with
# their number. *Truncated backpropagation* lets gradient flow through the last few loops only: the
# state that enters them is taken as given. Huginn was trained with 32 loops on average and gradient
# through the last 8 (**reported**, [arXiv 2502.05171](https://arxiv.org/abs/2502.05171)).
#
# **Exercise 02.2 · cut the gradient** · medium · core · 6 minutes · *idea: a state can be handed on
# without its history*


# %% id="cut-answer" role="answer" ex="02.2"
# exercise 02.2
def run_loops(step, z, loops, grad_loops):
    """Apply `step` to the state `z` `loops` times; gradient through the last `grad_loops` only."""
    # --- solution
    for loop in range(loops):
        if loop <= loops - grad_loops:
            z = z.detach()
        z = step(z)
    return z
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="cut-check" role="check" ex="02.2"
run_loops = check("02.2", run_loops)

# %% [markdown] id="ex2-hints"
# <details><summary>Hint 1, a nudge</summary>
# <code>z.detach()</code> is the same state without its history.
# </details>
# <details><summary>Hint 2, a plan</summary>
# Count the loops from 0. Detach the state in front of the first loop that should carry gradient. If
# you detach in front of all earlier ones too, their history is freed at once.
# </details>
# <details><summary>Hint 3, almost code</summary>
# The first of the last <code>grad_loops</code> loops has the number
# <code>loops - grad_loops</code>.
# </details>
#
# [Solution](solved/02_train_a_tiny_loop.ipynb)

# %% [markdown] id="train-text"
# ## Train it
#
# One layer of width 32 with two heads, 15 thousand parameters. At the start of each loop the input
# is injected again, $z \leftarrow W[z; x]$. The loop below is all of it: draw a batch, draw the
# number of loops, run, compare, step. `train.fit` in the library is the same loop with checkpoints,
# interrupts and a progress bar. It stops after 1000 steps or 30 seconds, whichever comes first.
# Six loops of so small a model fit into any memory, so `grad_loops=6` cuts nothing yet.

# %% id="train"
config = LoopedConfig(
    vocab=12,
    fields=2,
    width=32,
    heads=2,
    core=1,
    loops=6,
    injection="concat",
    start="zeros",
    attention="full",
    position="none",
)
torch.manual_seed(0)
model = LoopedTransformer(config)
optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3, betas=(0.9, 0.95), weight_decay=0.01)
random = torch.Generator().manual_seed(0)
forests = tasks.batches(partial(tasks.find_root, max_depth=5), batch=64, generator=random)
threads = torch.get_num_threads()
torch.set_num_threads(1)  # a model this small only waits for more threads
steps, losses, begin = 1000, [], time.perf_counter()
for number in range(steps):
    if time.perf_counter() - begin > 30:
        break
    for group in optimiser.param_groups:  # warm up, then down to a tenth
        group["lr"] = 2e-3 * min(1, (number + 1) / 50) * (1 - 0.9 * number / steps)
    batch, loops = next(forests), draw_loops(3, 6, random)
    x = model.encode(batch.tokens)
    z = run_loops(lambda z, x=x: model.step(z, x), model.start(x), loops, grad_loops=6)
    loss = F.cross_entropy(model.readout(z).flatten(0, 1), batch.targets.flatten())
    optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    losses.append(loss.item())
    if (number + 1) % 100 == 0:
        print(f"step {number + 1:4d}: loss {sum(losses[-20:]) / 20:.3f}")
model.eval()
torch.set_num_threads(threads)
picture = plots.loss_curve(losses)
plots.mark(picture, whose("02.2"))


# %% id="cut-measure"
def waiting(z):
    """How many operations wait for the backward pass of `z`."""
    seen, found = set(), [z.grad_fn]
    while found:
        operation = found.pop()
        if operation is not None and operation not in seen:
            seen.add(operation)
            found += [before for before, _ in operation.next_functions]
    return len(seen)


x = model.encode(batch.tokens)
for loops, grad_loops in ((8, 8), (32, 32), (32, 8), (32, 2)):
    z = run_loops(lambda z: model.step(z, x), model.start(x), loops, grad_loops)
    print(f"{loops:2d} loops, gradient through {grad_loops:2d}: {waiting(z):4d} operations wait")

# %% [markdown] id="checkpoint-text"
# **Measured here:** what has to be remembered for the backward pass grows with the loops that carry
# gradient, not with those that are run. Does the cut cost anything? Set `grad_loops=2` in the
# training cell and compare your staircase below with and without.
#
# Your model and ours were trained almost alike. To keep the text true on every machine we go on
# with the committed one, `root-k1`. Put your own in its place by changing one word.

# %% id="choose"
use_my_own = False
root = model if use_my_own else checkpoints.load("root-k1")
test = tasks.find_root(1024, torch.Generator().manual_seed(1), max_depth=11)

# %% [markdown] id="ex3-card"
# ## Build 3: judge by loop and by depth
#
# One accuracy would hide everything. We want a table: for each number of loops, how often nodes of
# each depth are right. In training no node was deeper than 5; the test forests go down to 11.
#
# **Exercise 02.3 · accuracy by depth** · easy · core · 5 minutes · *idea: a mean within a group*


# %% id="accuracy-answer" role="answer" ex="02.3"
# exercise 02.3
def accuracy_by_depth(right, depth):
    """Share of right answers among the tokens of each depth 0, 1, ..., deepest.

    right [batch, token] of bool, depth [batch, token] with -1 where a token has no depth
    -> [deepest + 1]
    """
    # --- solution
    return torch.stack([right[depth == d].float().mean() for d in range(int(depth.max()) + 1)])
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="accuracy-check" role="check" ex="02.3"
accuracy_by_depth = check("02.3", accuracy_by_depth)

# %% [markdown] id="ex3-hints"
# <details><summary>Hint 1, a nudge</summary>
# A tensor of bool picks elements: <code>right[depth == 3]</code>.
# </details>
# <details><summary>Hint 2, a plan</summary>
# For each depth from 0 to the deepest, take the tokens of that depth and average their rightness.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>torch.stack([... for d in range(int(depth.max()) + 1)])</code>, and a mean needs floats.
# </details>
#
# [Solution](solved/02_train_a_tiny_loop.ipynb)


# %% id="staircase"
def by_loop(model, batch, loops):
    """Accuracy [loop, depth]: the state is read out after every loop of one run."""
    with torch.no_grad():
        out = model(batch.tokens, loops, every_loop=True)
        right = model.readout(out.loop_states).argmax(-1) == batch.targets
    return torch.stack([accuracy_by_depth(r, batch.difficulty) for r in right])


accuracy = by_loop(root, test, 6)
picture = plots.staircase(accuracy, loops=(1, 2, 3, 4, 5, 6))
plots.mark(picture, whose("02.3"))

# %% id="reach"
print("depth up to which at least 9 of 10 nodes are right after 1, 2, 3, 4 loops")
for seed in checkpoints.card("root-k1")["results by seed"]:
    table = seed["beyond"]["accuracy"]
    print(f"seed {seed['seed']}: {[reach(table[str(loops)]) for loops in (1, 2, 3, 4)]}")
enough = next(loops for loops, row in enumerate(accuracy, 1) if reach(row.tolist()) == 11)
print(f"depth 11 takes {enough} loops; you guessed {my_loops_for_depth_11}")

# %% [markdown] id="ex4-card"
# ## Build 4: the law of the staircase
#
# The steps of the stair get longer. Look at the first two rows, where they are sharpest, and
# find the law: how many loops does depth $d$ take? Then ask how the later rows, which touch depths
# never seen in training, keep to it.
#
# **Exercise 02.4 · the law of the staircase** · medium · stretch · 8 minutes · *idea: what can a
# node know after two passes, if after one it knows its grandparent?*


# %% id="law-answer" role="answer" ex="02.4"
# exercise 02.4
def loops_needed(depth):
    """Loops after which a node at this depth (1 or more) knows its root: an int."""
    # --- solution
    loops = 1
    while 2**loops < depth:
        loops += 1
    return loops
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="law-check" role="check" ex="02.4"
loops_needed = check("02.4", loops_needed)

# %% [markdown] id="ex4-hints"
# <details><summary>Hint 1, a nudge</summary>
# After one loop depth 2 is right, after two loops depth 4. What comes next, 6 or 8?
# </details>
# <details><summary>Hint 2, a plan</summary>
# If I know who my ancestor $2^t$ steps up is, and so does that ancestor, one look at it tells me
# who is $2^{t+1}$ steps up. Count how often that must be done.
# </details>
# <details><summary>Hint 3, almost code</summary>
# The smallest $t \geq 1$ with <code>2**t &gt;= depth</code>; a small <code>while</code> will do.
# </details>
#
# [Solution](solved/02_train_a_tiny_loop.ipynb)

# %% id="law-measure"
inside, outside = [], []
for depth in range(1, 12):
    needed = loops_needed(depth)
    inside.append(accuracy[needed - 1, depth].item())
    if needed > 1:
        outside.append(accuracy[needed - 2, depth].item())
print(f"accuracy with as many loops as the law asks for: {min(inside):.2f} to {max(inside):.2f}")
print(f"accuracy with one loop fewer: {min(outside):.2f} to {max(outside):.2f}")

# %% [markdown] id="law-text"
# **Measured here**, in three trainings. Loop $t$ solves depth up to $2^t$. Serial reading would
# take eleven passes for depth 11; this loop takes four, at depths it never saw. That is the
# staircase of *pointer doubling*, which parallel computers have used since the 1970s (Wyllie 1979):
# look up where your pointer's pointer points. Nobody taught it to the model. (A staircase shows
# what the model can do after each loop, not how. Chapter 04 looks at where its attention goes.)
#
# The step is crisp in the first two rows. In the third it is blurred: depths 6 to 8 are mostly
# right, and so is a share of those beyond 8. Nothing forces a trained model to be a textbook.
#
# ### Controls
#
# Would any transformer have done it? Beside the loop we put its **unrolled twin** (six layers with
# weights of their own: the compute of six loops, nearly six times the parameters) and its **shallow
# twin** (the same parameters, one pass), both trained on the same forests, and the loop
# **untrained**.

# %% id="twins"
torch.manual_seed(0)
rack = {
    "looped, 6 loops": (root, 6),
    "unrolled twin, 6 layers": (checkpoints.load("root-k1-unrolled"), 6),
    "shallow twin, 1 pass": (checkpoints.load("root-k1-shallow"), 1),
    "untrained, 6 loops": (LoopedTransformer(config).eval(), 6),
}


def share_right(tokens, targets, among):
    """Share of right answers of every model in the rack, among some tokens."""
    with torch.no_grad():
        answers = {name: each(tokens, loops).logits for name, (each, loops) in rack.items()}
    return {
        name: (logits.argmax(-1) == targets)[among].float().mean().item()
        for name, logits in answers.items()
    }


for name, (each, _) in rack.items():
    print(f"{name:24s} {sum(p.numel() for p in each.parameters()):6d} parameters")
plots.bars(
    share_right(test.tokens, test.targets, test.difficulty >= 6),
    "share right at depths 6 to 11, never trained",
)

# %% [markdown] id="shortcut-text"
# Stop. The shallow twin has seen one pass and gets most nodes at depth 6 and more right? By its
# own staircase it should know nothing beyond depth 2. Either the law is wrong or the twin is
# guessing well.
#
# It is guessing. A deep node sits in a big tree, and most of our forests have few trees: who names
# the root of the biggest tree is right most of the time without following a single pointer. So we
# need a test on which guessing does not pay: **two chains of six nodes**, alike in everything. Who
# does not follow the pointers tosses a coin.

# %% id="two-chains"
chains = tasks.two_chains(1024, torch.Generator().manual_seed(0))
plots.bars(
    share_right(chains.tokens, chains.targets, chains.difficulty >= 3),
    "share right at depths 3 to 5 of two equal chains",
)

# %% id="twin-seeds"
chain_results = json.loads((checkpoints.FOLDER.parent / "chains.json").read_text("utf-8"))
print("share right at depths 3 to 5 of two equal chains, seeds 0, 1, 2")
for name, seeds in chain_results.items():
    loops = max(seeds[0]["accuracy"], key=int)
    shares = [sum(seed["accuracy"][loops][3:]) / 3 for seed in seeds]
    print(f"{name:18s} {loops} loops  " + "  ".join(f"{share:.2f}" for share in shares))

# %% id="chains-staircase"
picture = plots.staircase(by_loop(root, chains, 4), loops=(1, 2, 3, 4))
plots.mark(picture, whose("02.3"))

# %% [markdown] id="twins-text"
# **Measured here**, in three trainings of each. On the fair test the shallow twin is at the toss of
# a coin, and the loop and its unrolled twin still follow their pointers. The loop's staircase is
# there too, so the law did not rest on guesses. Keep the lesson: *a control earns its place when it
# surprises you*, and a test earns its place when a shortcut fails it.
#
# Be sober about the other twin. Six layers with weights of their own do it too; they have the
# depth that doubling needs and pay for it in parameters. What they cannot do is run a seventh. The
# loop bought **depth without parameters**, no more and no less.

# %% [markdown] id="overthinking-text"
# ## Overthinking
#
# If four loops are good, are sixty-four better? In training there were never more than six.

# %% id="overthinking"
plain = train.accuracy_table(root, test, 64).exact
plots.accuracy_by_loop({"plain loss": plain}, trained=(3, 6), ylabel="exact match")

# %% [markdown] id="overthinking-result"
# **Measured here.** The answer is found within a few loops, and then it is lost again. This is
# called *overthinking*. The loss only ever looked at the answer after 3 to 6 loops; what the state
# does later was nobody's business.

# %% [markdown] id="ex5-card"
# ## Build 5: ask for rest
#
# **Exercise 02.5 · a penalty for restlessness** · medium · core · 7 minutes · *idea: ask for what
# you want*
#
# Add one term to the loss: the mean, over tokens, of the last step's length relative to the length
# of the state, $\frac{1}{N}\sum \lVert h_T - h_{T-1} \rVert / \lVert h_T \rVert$. It asks the
# state to be at rest when the loop ends. (A relative of the terminal penalty in [arXiv
# 2608.18222](https://arxiv.org/abs/2608.18222).) Two more models wait below, both trained for 1500
# steps instead of 800: one with this term in its loss and one, to be fair, without.


# %% id="penalty-answer" role="answer" ex="02.5"
# exercise 02.5
def rest_penalty(before, last):
    """Mean relative length of the last step: two states [batch, token, width] -> one number."""
    # --- solution
    return ((last - before).norm(dim=-1) / last.norm(dim=-1)).mean()
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="penalty-check" role="check" ex="02.5"
rest_penalty = check("02.5", rest_penalty)

# %% [markdown] id="ex5-hints"
# <details><summary>Hint 1, a nudge</summary>
# Every token has a length of its own, so divide before you average.
# </details>
# <details><summary>Hint 2, a plan</summary>
# Length of the difference along the width, divided by the length of the last state, then a mean.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>.norm(dim=-1)</code> twice, one division, <code>.mean()</code>.
# </details>
#
# [Solution](solved/02_train_a_tiny_loop.ipynb)

# %% id="penalty-measure"
compared = {
    "800 steps": root,
    "1500 steps": checkpoints.load("root-k1-long"),
    "1500 steps, penalty": checkpoints.load("root-k1-penalty"),
}
exact = {}
for name, each in compared.items():
    exact[name] = train.accuracy_table(each, test, 64).exact
    with torch.no_grad():
        states = each(test.tokens[:256], 64, every_loop=True).loop_states
    restless = [rest_penalty(states[loop - 2], states[loop - 1]).item() for loop in (6, 64)]
    print(f"{name:19s} relative step at loop 6: {restless[0]:.0e}, at loop 64: {restless[1]:.0e}")
picture = plots.accuracy_by_loop(exact, trained=(3, 6), ylabel="exact match")
plots.mark(picture, whose("02.5"))

# %% id="penalty-seeds"
print("exact match at 64 loops, beyond the trained depths, seeds 0, 1, 2")
for name in ("root-k1", "root-k1-long", "root-k1-penalty"):
    seeds = checkpoints.card(name)["results by seed"]
    print(f"{name:16s}", "  ".join(f"{seed['beyond']['exact']['64']:.2f}" for seed in seeds))

# %% [markdown] id="penalty-text"
# **Measured here**, over three seeds: longer training alone helps a little; with the penalty the
# model keeps its answers at loop counts ten times beyond training.
#
# ### An open question (no check)
#
# The flood-fill model at the top has no penalty, yet after 64 loops its mazes were all right. Why
# does it not overthink? Write down your best idea. Then test it: what could you change in
# `root-k1`'s task or mask to make it behave like the flood?

# %% [markdown] id="interpret"
# ## Interpret
#
# - Loops are **steps of a procedure**. Which procedure, the task and the mask decide: a front that
#   moves two cells per loop, or pointers that double.
# - Judge by a table of loops and difficulty. One number would have hidden the staircase, the
#   blurred third row and the overthinking.
# - A loop is trained over some range of loops, and beyond it nothing is promised. Ask for rest if
#   you want rest. What rest looks like from inside is the next chapter.
#
# ## Key points
#
# 1. Draw the number of loops anew at each step; cut the gradient when memory asks for it.
# 2. Loop $t$ solves depth $2^t$: the staircase of pointer doubling, found by the model itself.
# 3. Equal compute (unrolled) and equal parameters (shallow) are different controls; show both, on a
#    test that no shortcut passes.
# 4. More loops than in training can hurt; a term for rest in the loss cures it here.

# %% [markdown] id="questions"
# ## Five questions
#
# 1. Why is the number of loops drawn at random in training?
# <details><summary>Answer</summary>
# So that each pass must be useful from whatever state it finds, instead of playing a fixed part in
# a plan for exactly so many passes.
# </details>
#
# 2. Gradient flows through the last 2 of 8 loops. Do the first 6 matter for the loss?
# <details><summary>Answer</summary>
# Yes: they make the state that the last two start from. They just send no gradient back.
# </details>
#
# 3. By the law of the staircase, how many loops does depth 100 take?
# <details><summary>Answer</summary>
# Seven, since 64 &lt; 100 &le; 128.
# </details>
#
# 4. A looped model beats a shallow model with the same parameters. Did looping make it clever?
# <details><summary>Answer</summary>
# It had more compute. Compare with the unrolled twin before you praise the sharing of weights.
# </details>
#
# 5. Accuracy falls after loop 8 although the model was right at loop 4. Name two cures.
# <details><summary>Answer</summary>
# Ask for rest in the loss, as here; or train with many and varied numbers of loops, which is
# Huginn's way (reported). Stopping early only hides the problem.
# </details>

# %% [markdown] id="scoreboard-text"
# ## Scoreboard

# %% id="scoreboard"
scoreboard("02")

# %% [markdown] id="read-on"
# ## Read on
#
# - Next: [03 Watch fixed points form](03_watch_fixed_points_form.ipynb).
# - Geiping et al., *Huginn*, [arXiv 2502.05171](https://arxiv.org/abs/2502.05171): the same
#   training ideas at 3.5 billion parameters.
# - Bansal et al., [arXiv 2202.05826](https://arxiv.org/abs/2202.05826): overthinking and recall in
#   networks that solve mazes.
