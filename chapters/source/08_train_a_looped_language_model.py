# ---
# jupyter:
#   looplab:
#     chapter: "08"
#     title: Train a looped language model
#     minutes: 90
#     needs: chapter 02; chapters 03 and 07 help
#     learn: train a looped model that writes English, and tell what its loops are worth
# ---

# %% [markdown] id="title"
# # 08 · Train a looped language model
#
# *90 minutes · a laptop CPU · you should know PyTorch, and how a loop is trained (chapter 02)*
#
# Trees and mazes have right answers, and a loop walks to them. English has none: there is only the
# next word, and a guess. Does a loop help there? You train a looped language model in front of your
# eyes, in about a minute, until it writes half-English. You read its loss loop by loop, beside
# models that were trained longer than you want to wait. You ask of every difference whether it is
# real or noise. And at the end a real language model has four of its layers looped, and speaks.
#
# **You will be able to**
#
# - train a looped language model: truncated gradients, the loss of one loop or of all;
# - let it write with 1, 2, 4, 8, 16 loops, and see which words wait for more of them;
# - compare two models on the same texts, with an error;
# - say what a loop is worth, in layers, and in computing;
# - teach a gate when to stop, and find out whether the gate knows more than a constant.
#
# Two claims of Blayney et al., *A Mechanistic Analysis of Looped Reasoning Language Models* ([arXiv
# 2604.11791](https://arxiv.org/abs/2604.11791)), are put to the test. **C13**: small looped models,
# trained from scratch with a constant number of loops, organise themselves into the stages of
# chapter 07. **C14**: a model with a fixed point keeps what it can do for any number of loops, one
# without loses it. Labels are **measured here** and **reported**, as before.

# %% id="set-up"
import time
from math import log

import torch
import torch.nn.functional as F

from looplab import LoopedConfig, LoopedTransformer, measure, plots, trace, train, zoo
from looplab.exercises import check, scoreboard, todo, whose
from looplab.experiments.layerwise import by_layer, loop_run
from looplab.widgets import WordMicroscope
from looplab.zoo import english

# %% [markdown] id="text-intro"
# ## The text, and three models
#
# The text: the State of the Union addresses of two centuries, which are in the public domain.
# Every twelfth year is held out. A token is one of 2048 frequent pieces of words, so that a small
# model need not spend itself on a large vocabulary.
#
# Three models were trained before, with 500 steps on 2048 tokens each: ten minutes on one core.
# **loop** is the paper's recipe for small models: $(2, 4 \otimes 4, 2)$, always four loops, no
# injection, the loss after the last. **drawn** is that with an injection, and with a number of
# loops that is drawn anew at each step (on average four, with a long tail). **plain12** has twelve
# layers and never loops: the paper's control. The width is 128.

# %% id="text"
torch.set_num_threads(1)  # models this small only wait for more threads
T = 128
models = {name: english.load(name) for name in ("loop", "drawn", "plain12")}
words = english.words()
book, held = english.tokens("train"), english.tokens("held")
pieces = train.even_pieces(held, 24, T)  # [text, token], one token more than T

said = english.text_card()
print(f"{said['years'][0]} to {said['years'][1]}: {said['speeches']['train']} speeches to learn")
print(f"from, {len(book):,} tokens; {said['speeches']['held']} held out, {len(held):,} tokens")
for name, model in models.items():
    size = sum(p.numel() for p in model.parameters())
    print(f"{name:8s} {model.config.notation:12s} {size / 1e6:.2f} million parameters")
print(f"saying all {model.config.vocab} tokens alike has loss {log(model.config.vocab):.2f} nats")
print("...", words.decode(pieces[7, :60].tolist()), "...")

# %% [markdown] id="predict"
# ## Predict
#
# Two guesses before you look. *drawn* may loop as often as we like. After which number of loops is
# its loss lowest? And how much lower is it there than after *one* loop, in nats a token? (For a
# sense of scale: five kinds of models that you will meet lie within 0.1 nats of each other.)

# %% id="predict-cell"
my_best = 8  # your guess: the number of loops with the lowest loss
my_gain = 0.3  # your guess: by how much it is lower than after one loop, in nats

# %% [markdown] id="explore"
# ## Explore: a sentence on its way
#
# The **word microscope** shows one text in *drawn*, loop by loop: attention, what it would say next
# at each word if it stopped here, the lengths of the states, and their entropy (chapter 07). A
# mark stands at a word whose answer is final from here on. First the film strip.

# %% id="strip"
sentence = " hoarded in secret places or deposited under bolts and bars, while the people"


def read(text):
    """What the microscope shows of a text."""
    return loop_run(models["drawn"], words, words.decode, text, loops=16)


microscope = WordMicroscope(read(sentence), read, sentence)
microscope.film_strip((1, 3, 6))

# %% id="microscope"
microscope

# %% [markdown] id="explore-questions"
# Drag the slider, or click the picture and use the arrow keys; type a sentence of your own. Does
# the first loop say something else than the last? Which words wait longest? After which loop does
# the picture stand still?
#
# Now a longer text from a year that the models never saw. Each token has the number of the loop
# from which its likeliest next token is the one of loop 16.


# %% id="settle-map"
def settling(model, tokens, loops=16):
    """Loop from which the likeliest answer is that of the last, and the entropy of that answer."""
    with torch.inference_mode():
        ready = model.prepare(tokens)
        answers = []
        for _, z in model.passes(ready, loops):
            logits = model.answer(z, ready)
            answers.append(logits.argmax(-1))
        answers = torch.stack(answers)
        spread = torch.special.entr(logits.softmax(-1)).sum(-1)  # of the last answer, in nats
    return measure.lasting_from(answers == answers[-1]), spread


torch.manual_seed(0)
untrained = LoopedTransformer(models["drawn"].config).eval()
inside = [not words.decode([token]).startswith(" ") for token in range(2048)]  # of a word
print("                    share of tokens whose answer is final    entropy of    next token is")
print("                    at loop                                  the answer    inside a word")
print("                    1     2     3     4     8                early  late   all    late")
for name, model in {**models, "drawn, untrained": untrained}.items():
    if model.config.loops == 1:
        continue
    settled, spread = settling(model, pieces[:8, :-1])
    shares = [(settled <= n).float().mean().item() for n in (1, 2, 3, 4, 8)]
    late, follows = settled > 1, torch.tensor(inside)[pieces[:8, 1:]].float()
    print(
        f"{name:18s}",
        "  ".join(f"{share:.2f}" for share in shares),
        f"            {spread[~late].mean():.2f}   {spread[late].mean():.2f}   "
        f"{follows.mean():.2f}   {follows[late].mean():.2f}",
    )
settled, _ = settling(models["drawn"], pieces[7:8, :-1])
plots.word_map([words.decode([token]) for token in pieces[7, :96].tolist()], settled[0, :96])

# %% [markdown] id="settle-text"
# **Measured here.**<!-- by settle-map --> (A number judges what is said *next*, behind its word.)
# In *drawn* nearly nine of ten answers are final after one loop, and after eight all but a few.
# Where does it hesitate? Where the next token continues a word: of all tokens 0.36 do, of those
# that settle late 0.59. And where it is uncertain: the entropy of late answers is 4.79 nats, of
# early ones 4.41. In *loop* only a third have their "final" answer early, but there the last answer
# is no goal: as we shall see, it is ruin. The untrained control shows how it looks when nothing is
# settled but the clock runs out: 0.06 after one loop, and late is no different from early.

# %% [markdown] id="ex1-card"
# ## Build 1: loss by loop
#
# A language model is judged by its **loss**: minus the logarithm of the probability that it gave to
# what really came next, in nats, a mean over the tokens. What is said at token $t$ is judged by
# token $t + 1$, and nothing comes after the last token. A loop has one such number after *each*
# pass.
#
# **Exercise 08.1 · loss by loop** · easy · core · 6 minutes · *idea: the next token judges, and
# each loop has an answer*


# %% id="loss-answer" role="answer" ex="08.1"
# exercise 08.1
def loss_by_loop(logits, tokens):
    """Mean loss of saying the next token, in nats: [loop, text, token, vocab] -> [loop, text].

    tokens [text, token]: what is said at one token is judged by the next one.
    """
    # --- solution
    logs = logits[:, :, :-1].log_softmax(-1)
    right = tokens[:, 1:].expand(len(logits), -1, -1)
    return -logs.gather(-1, right[..., None])[..., 0].mean(-1)
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="loss-check" role="check" ex="08.1"
loss_by_loop = check("08.1", loss_by_loop)

# %% [markdown] id="ex1-hints"
# <details><summary>Hint 1, a nudge</summary>
# Throw away the last answer and the first token; now they stand side by side.
# </details>
# <details><summary>Hint 2, a plan</summary>
# Logarithms of probabilities along the last axis; of these, pick the one of the right token; minus
# the mean over the tokens. All loops are judged by the same tokens.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>logs = logits[:, :, :-1].log_softmax(-1)</code>, and
# <code>logs.gather(-1, right[..., None])</code>, where <code>right</code> is
# <code>tokens[:, 1:]</code>, expanded to all loops.
# </details>
#
# [Solution](solved/08_train_a_looped_language_model.ipynb)

# %% id="loss-by-loop"
LOOPS = (1, 2, 3, 4, 6, 8, 16, 32)


def judged(model, tokens, loops=LOOPS):
    """Your loss by loop, a few texts at a time: [loop, text]."""
    found = []
    with torch.inference_mode():
        for part in tokens.split(4):
            ready = model.prepare(part)
            passes = model.passes(ready, max(loops))
            logits = [model.answer(z, ready) for n, z in passes if n + 1 in loops]
            found.append(loss_by_loop(torch.stack(logits), part))
    return torch.cat(found, dim=1)


by_loop = {name: judged(models[name], pieces) for name in ("loop", "drawn")}
flat = judged(models["plain12"], pieces, (1,))
print("loops   ", "".join(f"{n:7d}" for n in LOOPS))
for name, losses in by_loop.items():
    print(f"{name:8s}", "".join(f"{loss:7.3f}" for loss in losses.mean(1)))
print(f"{'plain12':8s} {flat.mean():6.3f}")
best = LOOPS[by_loop["drawn"].mean(1).argmin()]
gain = (by_loop["drawn"][0] - by_loop["drawn"].mean(1).min()).mean()
print(f"drawn is best at {best} loops, {gain:.3f} below one loop; you: {my_best}, {my_gain}")
curves = {name: (LOOPS, losses.mean(1)) for name, losses in by_loop.items()}
curves["plain12"] = ((1,), flat.mean(1))
picture = plots.trade_off({"": curves}, "loops", "loss on held-out text, nats a token")
plots.mark(picture, whose("08.1"))

# %% [markdown] id="loss-text"
# **Measured here**<!-- by loss-by-loop -->, one training each (three follow). *loop* needs its four
# loops: its loss falls from 4.38 to 4.11. And then it **overthinks**: after eight loops it is at
# 4.21, after 32 at 5.16. *drawn* is nearly level: from one loop to three it gains 0.018 nats, and
# then hardly anything changes any more.
#
# So the loop of *loop* gains 0.27 nats and that of *drawn* 0.02? Look at the heights. After **one**
# loop *drawn* is where *loop* is after four. A model that may stop at any time puts its answer into
# the first loop; one that knows it has four takes four. The fall of the blue curve is not what
# thinking longer is worth. It is what *stopping too early* costs a model that was not made for it.

# %% [markdown] id="ex2-card"
# ## Build 2: train your own
#
# In chapter 02 you cut the gradient and wrote a training step. For language there is one more
# choice: *which* losses count. The one after the last loop alone, as in the paper? Or that of each
# loop that carries gradient, as with Ouro, so that each loop's answer must be good? Write the
# losses of the last loops; the training below decides what it does with them.
#
# A looped language model of looplab has three parts you need: `ready = model.prepare(tokens)` runs
# the prelude, and `ready.start` is the state at loop 0; `z = model.step(z, ready)` is one loop;
# `model.answer(z, ready)` are the logits of a state, [text, token, vocab].
#
# **Exercise 08.2 · losses of the last loops** · medium · core · 12 minutes · *idea: run freely
# first, then keep the history*


# %% id="train-answer" role="answer" ex="08.2"
# exercise 08.2
def last_losses(model, tokens, loops, grad_loops):
    """Mean loss after each of the last `grad_loops` loops, gradient through these: [grad_loops].

    tokens [text, token]; the model reads all but the last and is judged on all but the first. With
    fewer than `grad_loops` loops all of them count. The gradient reaches the prelude too, and the
    start state if all loops count.
    """
    # --- solution
    ready = model.prepare(tokens[:, :-1])
    z, losses = ready.start, []
    free = max(loops - grad_loops, 0)
    with torch.no_grad():
        for _ in range(free):
            z = model.step(z, ready)
    for _ in range(loops - free):
        z = model.step(z, ready)
        logits = model.answer(z, ready)
        losses.append(F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten()))
    return torch.stack(losses)
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="train-check" role="check" ex="08.2"
last_losses = check("08.2", last_losses)

# %% [markdown] id="ex2-hints"
# <details><summary>Hint 1, a nudge</summary>
# <code>loops - grad_loops</code> loops run without gradient, if that is more than none.
# </details>
# <details><summary>Hint 2, a plan</summary>
# Prepare all tokens but the last. Run the free loops inside <code>torch.no_grad()</code>; then the
# others, and after each of these the cross-entropy of its answer with all tokens but the first.
# Stack the losses.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())</code>, appended to a list.
# The prelude stays outside of <code>no_grad</code>: it learns through the injection.
# </details>
#
# [Solution](solved/08_train_a_looped_language_model.ipynb)

# %% [markdown] id="train-intro"
# Now train: a model of half the size, $(1, 2 \otimes r, 1)_I$, on 250 batches of 12 pieces of 64
# tokens. The number of loops is drawn at each step, four on average, gradients flow through the
# last four. Every quarter of the way it writes the next twenty tokens after *The people of*. On a
# slow machine a clock of 90 seconds ends the training sooner and says so.


# %% id="train"
def grow(model, counts, steps=250, seconds=90, lr=3e-3, seed=0):
    """Train a language model; `counts` makes one loss of those of the last four loops."""
    optimiser = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.95), weight_decay=0.1)
    random = torch.Generator().manual_seed(seed)
    loops = train.PoissonLogNormalLoops(3).draw(steps, random)  # one and three more, on average
    begin, told = time.perf_counter(), []
    model.train()
    while len(told) < steps and time.perf_counter() - begin < seconds:
        step = len(told)
        for group in optimiser.param_groups:  # a short climb, then down to a tenth
            group["lr"] = lr * min(1, (step + 1) / 30) * (1 - 0.9 * step / steps)
        first = torch.randint(len(book) - 65, (12, 1), generator=random)
        tokens = book[first + torch.arange(65)].long()
        loss = counts(last_losses(model, tokens, loops[step], grad_loops=4))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        told.append(loss.item())
        if (step + 1) % (steps // 4) == 0:
            print(f"step {step + 1}: loss {sum(told[-20:]) / 20:.2f}  ", sample(model, 20))
    if len(told) < steps:
        print(f"The clock ended this training after {len(told)} of {steps} steps.")
    model.eval()
    return told


def sample(model, new, text=" The people of", loops=4):
    """What a model writes after a text, drawn at temperature 0.8."""
    luck = torch.Generator().manual_seed(1)
    tokens = torch.tensor([words(text)])
    with torch.no_grad():
        for _ in range(new):
            share = (model(tokens, loops).logits[:, -1] / 0.8).softmax(-1)
            tokens = torch.cat([tokens, torch.multinomial(share, 1, generator=luck)], dim=1)
    return words.decode(tokens[0].tolist()).replace("\n", " ")


torch.manual_seed(0)
config = LoopedConfig(
    vocab=2048,
    width=128,
    heads=4,
    prelude=1,
    core=2,
    coda=1,
    loops=4,
    injection="concat",
    mlp="gated",
    activation="silu",
    tie_head=True,
)
mine = LoopedTransformer(config)
history = grow(mine, counts=lambda losses: losses.mean())

# %% id="mine"
by_loop["yours"] = judged(mine, pieces)
print("loops   ", "".join(f"{n:7d}" for n in LOOPS))
for name, losses in by_loop.items():
    print(f"{name:8s}", "".join(f"{loss:7.3f}" for loss in losses.mean(1)))
picture = plots.loss_curve(history)
picture.figure.axes[0].set_yscale("linear")
plots.mark(picture, whose("08.2"))

# %% [markdown] id="mine-text"
# Yours is small and young, so its loss is higher, and its English is half English. It was asked for
# a good answer after *each* of the last four loops, and so it has one after the first. Do its later
# loops help? In our run they did harm, a little: read the last row above. What you can play with:
# let only the last loop count, `counts=lambda losses: losses[-1]`, and train again with the same
# seed. Does the row bend the other way?

# %% [markdown] id="ex3-card"
# ## Build 3: let it write
#
# To write, a model says which tokens are likely next, you draw one of them, and it reads its own
# text again with that token at the end. Divide the logits by a **temperature** first: below 1 it
# plays safe, above 1 it dares. A looped model runs *all* its loops for each new token.
#
# **Exercise 08.3 · let it write** · medium · core · 8 minutes · *idea: draw one, append, again*


# %% id="write-answer" role="answer" ex="08.3"
# exercise 08.3
def write(model, tokens, new, loops, temperature, generator):
    """Continue tokens by `new` sampled ones, after `loops` loops each: [text, token + new].

    tokens [text, token]; logits are divided by `temperature`; `generator` makes all draws.
    """
    # --- solution
    for _ in range(new):
        logits = model(tokens, loops).logits[:, -1]
        share = (logits / temperature).softmax(-1)
        chosen = torch.multinomial(share, 1, generator=generator)
        tokens = torch.cat([tokens, chosen], dim=1)
    return tokens
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="write-check" role="check" ex="08.3"
write = check("08.3", write)

# %% [markdown] id="ex3-hints"
# <details><summary>Hint 1, a nudge</summary>
# Only the answer at the last token is needed: <code>model(tokens, loops).logits[:, -1]</code>.
# </details>
# <details><summary>Hint 2, a plan</summary>
# A loop over the new tokens. In each: logits at the last token over the temperature; softmax;
# draw one token for each text; put it behind the others.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>torch.multinomial(share, 1, generator=generator)</code> is [text, 1], ready for
# <code>torch.cat(..., dim=1)</code>.
# </details>
#
# [Solution](solved/08_train_a_looped_language_model.ipynb)

# %% id="samples"
start = torch.tensor([words(" The people of this country have")])
print("the same luck, another number of loops\n")
for name, model in {"drawn": models["drawn"], "loop": models["loop"], "yours": mine}.items():
    for loops in (1, 2, 4, 8, 16):
        luck = torch.Generator().manual_seed(3)
        with torch.inference_mode():
            tokens = write(model, start, 28, loops, 0.7, luck)
        new = words.decode(tokens[0, start.shape[1] :].tolist())
        print(f"{name:5s} {loops:2d}: ...{new}")
    print()

# %% [markdown] id="samples-text"
# All rows had the same luck, so they begin alike: what differs is the model and its loops. *drawn*
# settles: from some number of loops on it writes the same words. *loop* goes on changing. Is the
# text *better* with more loops? Judge for yourself, but do not trust a single sample: with other
# luck the order of good and bad is another one. That is what losses are for.

# %% [markdown] id="ex4-card"
# ## Build 4: real or noise?
#
# Which number of loops is best, and is that number *real*? The loss differs by 0.3 nats from text
# to text (one standard deviation), far more than from loop to loop. But both were measured on the
# **same** texts: take the difference text by text, and only then the mean. Its **standard error**
# is the standard deviation of the differences (with $n - 1$) over $\sqrt n$. A difference of less
# than two of them may well be nothing.
#
# **Exercise 08.4 · real or noise** · easy · core · 5 minutes · *idea: subtract first, average
# later*


# %% id="paired-answer" role="answer" ex="08.4"
# exercise 08.4
def paired(a, b):
    """Mean of a - b over the texts, and the standard error of that mean (n - 1): two numbers.

    a, b [text]
    """
    # --- solution
    apart = a - b
    return apart.mean(), apart.std() / len(apart) ** 0.5
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="paired-check" role="check" ex="08.4"
paired = check("08.4", paired)

# %% [markdown] id="ex4-hints"
# <details><summary>Hint 1, a nudge</summary>
# <code>a - b</code> is one number for each text.
# </details>
# <details><summary>Hint 2, a plan</summary>
# The mean of the differences; their standard deviation over the root of how many there are.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>apart.std() / len(apart) ** 0.5</code>: torch's <code>std</code> divides by $n - 1$.
# </details>
#
# [Solution](solved/08_train_a_looped_language_model.ipynb)

# %% id="best-loops"
every, measured = english.losses(), english.measured()
at = {n: row for row, n in enumerate(measured["loops"])}
print("loss less that at four loops, nats a token, on 64 held-out texts")
print("loops        ", "".join(f"{n:>16d}" for n in (1, 2, 3, 6, 8, 16, 64)))
for name in ("loop", "drawn"):
    for seed in range(3):
        losses, told = every[f"{name}-{seed}"], []
        for n in (1, 2, 3, 6, 8, 16, 64):
            apart, error = paired(losses[at[n]], losses[at[4]])
            told.append(f"{apart:+.4f} ±{error:.4f}")
        print(f"{name:6s} seed {seed}", "".join(f"{one:>16s}" for one in told))
apart, error = paired(every["drawn-0"][at[8]], every["drawn-0"][at[4]])
spread = every["drawn-0"][at[4]].std() / 64**0.5
print(f"standard error of one loss, unpaired: {spread:.3f}; of a paired difference: {error:.4f}")

# %% [markdown] id="best-text"
# **Measured here**<!-- by best-loops -->, three trainings each. The loss of one model is known to
# 0.037 nats, as texts differ so much. The *difference* is known sixty times better. So: is the best
# number of loops real? That *drawn* is better with four loops than with one is real, by 0.02 nats,
# in each of three seeds. That it is best at three, as Build 1 found, is not: three and four differ
# by less than two errors. That it is a little worse after 64 loops than after four, by 0.0032, is
# real again. Real, and of no importance. For *loop* the number matters: with one loop it is a
# quarter of a nat worse than with four, with eight a tenth, with 64 nearly two nats.

# %% [markdown] id="twins-intro"
# ## Twins: what is a loop worth?
#
# From here on all is measured on 64 texts of the held-out years, with the three seeds of each
# model; Build 1 had 24 of them, which are easier by a tenth of a nat. The loop has the weights of 8
# layers and the computing of 20. So it has two twins that never loop: **plain8**, as large, and
# **plain20**, as slow. All saw the same tokens in the same order, with three seeds each.

# %% id="twins"
KINDS = {"loop": 4, "drawn": 4, "plain8": 1, "plain12": 1, "plain20": 1}
layers = {"loop": 20, "drawn": 20, "plain8": 8, "plain12": 12, "plain20": 20}


def of(kind, seed):
    """Loss of a model on each held-out text, with the loops of its training: [text]."""
    losses = every[f"{kind}-{seed}"]
    return losses[at[KINDS[kind]]] if len(losses) > 1 else losses[0]


print("                  layers run   million      loss, three seeds       less that of plain8,")
print("                  for a token  parameters                           paired, three seeds")
for kind in KINDS:
    seeds = [seed for seed in range(3) if f"{kind}-{seed}" in every]
    losses = [f"{of(kind, seed).mean():.3f}" for seed in seeds]
    apart = [paired(of(kind, seed), of("plain8", seed)) for seed in seeds]
    told = [f"{mean:+.3f} ±{error:.3f}" for mean, error in apart]
    size = measured["models"][f"{kind}-{seeds[0]}"]["parameters"] / 1e6
    row = f"{kind:10s} {layers[kind]:14d} {size:12.2f}      {'  '.join(losses):22s}"
    print(row, " ".join(told))
told = [paired(of("drawn", seed), of("loop", seed)) for seed in range(3)]
print("drawn less loop, paired:", "  ".join(f"{mean:+.3f} ±{error:.3f}" for mean, error in told))

# %% [markdown] id="twins-text"
# **Measured here**<!-- by twins -->, three trainings each (plain12: one). The twin of **equal
# size**, plain8, runs its layers once, which is two fifths of the loop's computing, and it is
# *better*: by 0.022 to 0.045 nats than *loop* and by 0.032 to 0.072 than *drawn*, beyond the error
# in each seed. The twin of **equal computing**, plain20, is a little better than plain8 (by 0.008
# to 0.041; clear in one seed of three). So with a million tokens of speeches, weights that run once
# beat the same number of weights that run four times. All of it is small: the whole field lies
# within a tenth of a nat.
#
# Without its twins the loop would have looked fine. Four loops, better than one by a quarter of a
# nat: that was the curve of Build 1. And *drawn*, which may run on for ever, pays for that: at four
# loops it is behind *loop* in each seed, by 0.010 to 0.027.

# %% [markdown] id="ex5-card"
# ## Build 5: a loop in layers
#
# The **iso-depth law** (**reported**, [arXiv 2604.21106](https://arxiv.org/abs/2604.21106), from
# models of some hundred million parameters) puts it into one number. A model whose once-run layers
# are $N_{\text{once}}$ and whose core, of size $N_{\text{core}}$, runs $r$ times, is as good as one
# of
#
# $$N = N_{\text{once}} + r^{\varphi} N_{\text{core}}$$
#
# that never loops. With $\varphi = 1$ a loop would be worth as much as new layers, with $\varphi =
# 0$ nothing; they report $\varphi = 0.46$. Turn it round: a looped model is as good as a plain one
# of some depth. What is $\varphi$?
#
# **Exercise 08.5 · what a loop is worth** · easy · stretch · 5 minutes · *idea: solve for the
# exponent*


# %% id="worth-answer" role="answer" ex="08.5"
# exercise 08.5
def worth(depth, once, core, loops):
    """The exponent phi for which once + loops ** phi * core is this depth, in layers."""
    # --- solution
    return log((depth - once) / core) / log(loops)
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="worth-check" role="check" ex="08.5"
worth = check("08.5", worth)

# %% [markdown] id="ex5-hints"
# <details><summary>Hint 1, a nudge</summary>
# Bring <code>once</code> to the other side first.
# </details>
# <details><summary>Hint 2, a plan</summary>
# <code>(depth - once) / core</code> is <code>loops</code> to the power of phi. Take logarithms.
# </details>
# <details><summary>Hint 3, almost code</summary>
# The logarithm of that, divided by <code>log(loops)</code>.
# </details>
#
# [Solution](solved/08_train_a_looped_language_model.ipynb)

# %% id="law"
print("the law's depth of (2, 4⊗r, 2), in layers:   r =   1     2     4     8    16")
for phi in (0, 0.46, 1):
    print(f"   phi = {phi:4.2f}", " " * 33, *(f"{4 + r**phi * 4:5.1f}" for r in (1, 2, 4, 8, 16)))
print("phi of a (2, 4⊗4, 2) that is as good as so many plain layers")
print("   ", "   ".join(f"{depth}: {worth(depth, 4, 4, 4):.2f}" for depth in (8, 10, 11.6, 14, 20)))
four = " ".join(f"{of(kind, 0).mean():.3f}" for kind in ("loop", "plain8", "plain12", "plain20"))
print(f"\nours, seed 0: loop, and plain models of 8, 12, 20 layers: {four}")

# %% [markdown] id="law-text"
# **Measured here.**<!-- by law, twins --> With $\varphi = 0.46$ four loops of four layers, which
# compute 20, are as good as 11.6: the 12 layers that they run more than plain8 are worth less than
# four, less than a third. With more loops the share falls.
#
# In our small world the law has nothing to hold on to, and we can read no $\varphi$ off. Depth is
# not what is short here: plain20 is hardly better than plain8, and plain12, in its one seed, is
# better than plain20. Where new layers bring next to nothing, looped ones cannot bring a share of
# it; ours are a little worse than plain8, and a model of fewer layers we did not train. (One
# learning rate was used for all. Looped models are said to want a smaller one, **reported**, so a
# part of this may be ours to mend.) To see a law of depth, you need so much text that depth pays.

# %% [markdown] id="stages-intro"
# ## Stages in a loop that was trained (C13)
#
# The paper trained such small models on 3.7 billion tokens, ours saw one million. Do they organise
# themselves into stages? The measures are those of chapter 07: ColSum concentration, sink rate,
# mixing. One line for each pass, shades are one standard deviation over 16 texts.

# %% id="stages"
SITES = {
    "attn.pattern": {
        "ColSum": measure.colsum_concentration,
        "sinks": measure.sink_rate,
        "mixing": measure.mixing_score,
    }
}
few = pieces[:16, :64]
staged = {name: by_layer(model, few, SITES) for name, model in models.items()}


def by_pass(values, prelude=2, core=4, loops=4):
    """The core's numbers, one line for each pass: name -> [layer, text]."""
    inside = values[prelude : prelude + core * loops].unflatten(0, (loops, core))
    return {f"loop {n}": each for n, each in enumerate(inside, start=1)}


print("                  largest change of a layer between passes 2 and 4 / spread over the layers")
for name in ("loop", "drawn"):
    told = []
    for key in ("ColSum", "mixing"):
        lines = torch.stack(list(by_pass(staged[name][key]).values())).mean(-1)  # [loop, layer]
        moved, spread = (lines[3] - lines[1]).abs().max(), lines[3].max() - lines[3].min()
        told.append(f"{key} {moved:.3f} / {spread:.3f}")
    print(f"{name:10s}        {',   '.join(told)}")
print("\nmixing by layer, plain12:", *(f"{x:.2f}" for x in staged["plain12"]["mixing"].mean(1)))
print("highest sink rate of any layer, three seeds")
for kind in KINDS:
    rates = [measured["models"][f"{kind}-{n}"]["sinks"] for n in range(3) if f"{kind}-{n}" in every]
    print(f"   {kind:8s}", "  ".join(f"{max(rate):.2f}" for rate in rates))
panels = {f"mixing, {name}": by_pass(staged[name]["mixing"]) for name in ("loop", "drawn")}
plots.across_layers(panels, first=2, one_scale=True)

# %% [markdown] id="stages-text"
# **Measured here**<!-- by stages -->, sinks in all trainings, the rest in one. What emerges at this
# size: the layers of the core differ, and each pass repeats their pattern; in *drawn*, which rests,
# the lines lie on each other (mixing moves by 0.048 where layers differ by 0.643), in *loop*, which
# does not, they lie farther apart (0.148 of 0.937), and the first pass stands alone. In the
# control, plain12, looks grow narrower from layer to layer, from 3.15 to 1.76, once. What does not
# emerge: **sinks**. No layer of any model has a head that gives the first token three tenths of its
# attention on average. So there are no stages as in chapter 07, and our models do **not** replicate
# C13. They saw a million tokens, the paper's nearly four billion. Sinks come later in training
# (**reported**), and we did not train as long.

# %% [markdown] id="rest-intro"
# ## Far beyond the trained loops (C14)
#
# Both looped models ran four loops in training, *loop* always, *drawn* on average. What do they do
# at 64? The size of a step says whether the state rests, the loss whether that is of use.

# %% id="rest"
print("median relative step          loop   2       4       8       16      64")
for kind in ("loop", "drawn"):
    for seed in range(3):
        steps = measured["models"][f"{kind}-{seed}"]["step"]
        losses = every[f"{kind}-{seed}"].mean(1)
        told = "".join(f"{steps[str(n)]:8.1g}" for n in (2, 4, 8, 16, 64))
        print(
            f"   {kind:6s} seed {seed}               {told}   loss at 4, 16, 64:"
            f" {losses[at[4]]:.2f}, {losses[at[16]]:.2f}, {losses[at[64]]:.2f}"
        )
with torch.inference_mode():
    runs = {"drawn": models["drawn"], "loop": models["loop"], "drawn, untrained": untrained}
    runs = {name: each(few[:4], 128, every_loop=True).loop_states for name, each in runs.items()}
FAR = (2, 3, 4, 6, 8, 16, 32, 64, 128)
curves = {}
for name, states in runs.items():
    steps = measure.relative_step(states).flatten(1).median(1).values
    curves[name] = (FAR, [steps[n - 2].log10() for n in FAR])
print("median relative step, 4 texts,    loop", "".join(f"{n:9d}" for n in FAR))
for name, (_, steps) in curves.items():
    print(f"   {name:32s}", "".join(f"{10 ** step.item():9.1g}" for step in steps))
inside = trace(models["drawn"], few[:4], loops=64).states[-2:]  # [loop, layer, text, token, width]
still = measure.relative_step(inside)[0].flatten(1).median(1).values
apart = (inside[-1, 1:] - inside[-1, :-1]).norm(dim=-1) / inside[-1, 1:].norm(dim=-1)
print("drawn at loop 64, its four layers: steps", *(f"{step:.1g}" for step in still), end=";  ")
print("from layer to layer", *(f"{x:.2f}" for x in apart.flatten(1).median(1).values))
plots.trade_off({"": curves}, "loops", "log10 of the median relative step")

# %% [markdown] id="rest-text"
# **Measured here**<!-- by rest -->, three trainings each, the curves in one. *drawn* comes to rest,
# and fast: after 32 loops a step is at float32's last digit, and its loss at 4, 16 and 64 loops is
# the same within 0.01. Each layer of its core has a fixed point of its own, a tenth of the state's
# length from the next one's (chapter 03). *loop* does not rest: its steps shrink only about as
# $1/n$ (0.06 at 16, 0.03 at 32, 0.02 at 64), and such steps still add up without end. Its loss has
# risen by nearly two nats. So with a fixed point a model keeps what it can do, for any number of
# loops, and without one it loses it (C14).
#
# The untrained *drawn* rests as well, after 128 loops (one draw of weights). So rest may come with
# the architecture, and training made it fast. The two recipes differ in two things at once, the
# injection and the drawn loops: which of them did it, this table cannot say. (Chapter 05 takes them
# apart on other tasks.)

# %% [markdown] id="ex6-card"
# ## Build 6: a gate that says when to stop
#
# Ouro puts a small **gate** behind each loop, a number for each token: leave now? (Chapter 10 takes
# its gate apart.) If it says $\lambda_t$ at loop $t$, a token leaves there with probability $p_t =
# \lambda_t \prod_{s<t} (1 - \lambda_s)$, and the last loop takes who is left
# (`zoo.exit_distribution`). The gate is trained on the *expected* loss, $\sum_t p_t \ell_t$. Left
# alone it would soon always leave at one loop and learn nothing more; so it is paid for staying
# undecided, with $\beta$ times the entropy of $p$. Write that loss. The model stays as it is: only
# the gate learns, as in Ouro's second stage (**reported**, [arXiv
# 2510.25741](https://arxiv.org/abs/2510.25741)).
#
# **Exercise 08.6 · when to leave** · medium · core · 7 minutes · *idea: an expected loss, and a
# reward for doubt*


# %% id="gate-answer" role="answer" ex="08.6"
# exercise 08.6
def gate_loss(exits, losses, beta):
    """Expected loss at the exit less `beta` times the entropy of when it comes, mean over tokens.

    exits [loop, token] are the probabilities of leaving at each loop, losses [loop, token]. The
    entropy is in nats, with 0 log 0 = 0; exits and losses both carry gradient.
    """
    # --- solution
    expected = (exits * losses).sum(0)
    entropy = torch.special.entr(exits).sum(0)
    return (expected - beta * entropy).mean()
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="gate-check" role="check" ex="08.6"
gate_loss = check("08.6", gate_loss)

# %% [markdown] id="ex6-hints"
# <details><summary>Hint 1, a nudge</summary>
# Both sums run over the loops, for each token of its own; the mean over the tokens comes last.
# </details>
# <details><summary>Hint 2, a plan</summary>
# Exits times losses, summed over the loops. The entropy of the exits, summed over the loops. The
# first minus beta times the second, mean.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>torch.special.entr(exits)</code> is $-p \log p$, and 0 where $p$ is 0.
# </details>
#
# [Solution](solved/08_train_a_looped_language_model.ipynb)

# %% id="gate"
MOST = 8  # loops


def states_and_losses(model, tokens):
    """After each of MOST loops, of each token: state, loss, how far the answer moved, and it."""
    found = []
    with torch.inference_mode():
        for part in tokens.split(4):
            ready = model.prepare(part[:, :-1])
            before = None
            for _, z in model.passes(ready, MOST):
                logs = model.answer(z, ready).log_softmax(-1)
                loss = -logs.gather(-1, part[:, 1:, None])[..., 0]
                moved = torch.full_like(loss, torch.inf)
                if before is not None:
                    moved = (before.exp() * (before - logs)).sum(-1)
                found.append((z, loss, moved, logs.argmax(-1)))
                before = logs
    parts = len(found) // MOST
    for each in zip(*found, strict=True):  # [part x loop] of [text, token, ...]
        loops = torch.stack(each).unflatten(0, (parts, MOST)).transpose(0, 1)
        yield loops.flatten(1, 3).clone()  # [loop, token, ...]


model = models["drawn"]
lessons = train.even_pieces(book, 32, T)
states, losses, *_ = states_and_losses(model, lessons)
unit = states.std((0, 1))
torch.manual_seed(0)
gate = torch.nn.Sequential(torch.nn.Linear(128, 32), torch.nn.GELU(), torch.nn.Linear(32, 1))
optimiser = torch.optim.Adam(gate.parameters(), 3e-3)
for _ in range(300):
    some = torch.randint(states.shape[1], (1024,))
    exits = zoo.exit_distribution(gate(states[:, some] / unit)[..., 0])
    loss = gate_loss(exits, losses[:, some], beta=0.02)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
print(f"loss of the gate {loss.item():.3f}")
print("mean probability of leaving at loops 1 to 8:", *(f"{p:.2f}" for p in exits.mean(1)))

# %% id="exits"
states, losses, moved, answers = states_and_losses(model, pieces)
with torch.no_grad():
    leaving = zoo.exit_distribution(gate(states / unit)[..., 0]).cumsum(0)
step, bent = measure.step_signal(states), measure.acceleration_signal(states)
age = measure.answer_age(answers)
rules = {"always the same": {n: torch.full_like(losses[0], n).long() for n in range(1, MOST + 1)}}
rules["gate"] = {q: (leaving < q).sum(0).add(1).clamp(max=MOST) for q in (0.1, 0.3, 0.5, 0.7, 0.9)}
rules["step"] = {q: measure.first_exit(step < q) for q in (0.5, 0.3, 0.2, 0.1, 0.05, 0.02)}
rules["acceleration"] = {q: measure.first_exit(bent < q) for q in (0.5, 0.3, 0.2, 0.1, 0.05, 0.02)}
rules["answer moved"] = {q: measure.first_exit(moved < q) for q in (0.3, 0.1, 0.03, 0.01, 1e-3)}
rules["answer held"] = {n: measure.first_exit(age >= n) for n in (2, 3, 4)}
curves = {}
for name, exits in rules.items():
    spent = [e.double().mean().item() for e in exits.values()]
    curves[name] = (spent, [measure.at_exit(losses, e).mean().item() for e in exits.values()])
    print(f"{name:16s}", "  ".join(f"{x:.2f}: {y:.4f}" for x, y in zip(*curves[name], strict=True)))
texts = losses.unflatten(1, (len(pieces), T)).mean(-1)  # [loop, text]
print("best setting of each rule (chosen on these texts), less always three loops:")
for name, exits in list(rules.items())[1:]:
    each = [measure.at_exit(losses, e).unflatten(0, (-1, T)).mean(1) for e in exits.values()]
    apart, error = paired(min(each, key=lambda one: one.mean()), texts[2])
    print(f"   {name:13s}{apart:+.4f} ±{error:.4f}")
best = losses.amin(0)
print(
    f"the oracle, which knows the next word: {best.mean():.4f}; the gate's exits dealt to others:"
)
other = torch.randperm(losses.shape[1], generator=torch.Generator().manual_seed(0))
dealt = (measure.at_exit(losses[:, other], e).mean() for e in rules["gate"].values())
print("  ".join(f"{loss:.4f}" for loss in dealt))
plots.trade_off({"": curves}, "mean loops per token", "loss at the exit, nats a token")

# %% [markdown] id="exits-text"
# **Measured here**<!-- by gate, exits -->, on one model. Look at the scale first: all curves lie
# within two hundredths of a nat. The gate learned to spread its exits, as it is paid for, and it is
# **not better than stopping always at the third loop**: at its best it is worse by 0.0044 ± 0.0021.
# Deal its exits to other tokens at random, and the loss hardly changes: so it hardly knows *which*
# token needs more. The rules without any training do not beat the constant beyond the error either,
# although their settings were chosen on these very texts. The oracle would gain nearly a tenth of a
# nat, but it picks the best of eight losses *knowing the next word*, and some of what it picks is
# luck.
#
# It is not the gate's fault. Where loops are worth next to nothing, there is nothing for a gate to
# know. In chapter 06, where mazes needed them, rules told easy cells from hard ones. Ask for the
# size of the prize before you train a gate. (The gate's own loss, 4.049, is on the text it learns
# from, less the reward for doubt: do not compare it with the others.)

# %% [markdown] id="healed-intro"
# ## A real one: SmolLM2, looped and healed
#
# Now back to the model of chapter 07. Keep its layers 0 to 11, loop 12 to 15, leave 16 to 19 out,
# keep 20 to 29: $(12, 4 \otimes r, 10)_I$. Cut like this it is badly hurt. So it was **healed**:
# the four looped layers and the injection learned for 400 steps, on drawn numbers of loops, to
# leave the state that the whole model has behind layer 19, and later its predictions too. What they
# learn from are the model's own words and our speeches. All else stays as it was.
#
# The control that matters: the same healing with **one** pass, always. If it does as well, the
# healing did the work, and not the loop. (Stored, since it took hours: `zoo.looped_smollm2()` gives
# you the model, with the package of chapter 07, and `data/heal_smollm2.py` made it.)

# %% id="healed"
card = zoo.looped_smollm2_card()
SHOWN = (1, 2, 4, 8, 16, 64)
for kind in ("problems", "English"):
    print(f"loss on {kind}, nats a token, loops ", *(f"{n:6d}" for n in SHOWN), "  error")
    for name, told in card["losses"].items():
        row = told[kind]
        cells = (f"{row[str(n)]['loss']:6.2f}" if str(n) in row else " " * 6 for n in SHOWN)
        print(f"   {name:32s}", *cells, f"{row['1']['error']:7.2f}")
    looped, once = (card["losses"][name][kind] for name in ("looped-0", "once-0"))
    print("   looped-0 less once-0 at one loop", end="")
    for n in (1, 2, 4, 64):
        apart = paired(torch.tensor(looped[str(n)]["each"]), torch.tensor(once["1"]["each"]))
        print(f"   loop {n}: {apart[0]:+.3f} ±{apart[1]:.3f}", end="")
    steps = "  ".join(f"loop {n}: {looped[str(n)]['step']:.1g}" for n in SHOWN[1:])
    print(f"\n   median relative step of looped-0   {steps}\n")
for name, run in card["trained"].items():
    errors, minutes = run["relative error"], run["seconds"] / 60
    print(f"{name}: {minutes:.0f} minutes, squared error {errors[0]:.3f} to {errors[-1]:.3f}")
for n, prompt in enumerate(card["prompts"]):
    print(f"\n{prompt} ...")
    for loops, said in card["said"].items():
        name = f"loops: {loops}" if loops.isdigit() else loops
        print(f"   {name:9s}", said[n].strip().replace("\n", " ")[:88])
curves = {
    kind: {
        name: ([int(n) for n in row[kind]], [told["loss"] for told in row[kind].values()])
        for name, row in card["losses"].items()
        if name in ("looped, not trained", "once-0", "looped-0")
    }
    for kind in ("problems", "English")
}
plots.trade_off(curves, "loops", "loss, nats a token")

# %% [markdown] id="healed-text"
# **Measured here**<!-- by healed -->, by `data/heal_smollm2.py`, stored; one seed. First the good
# news. The healed loop **rests** (a step of a ten-millionth at 64 loops), and it writes English,
# with four loops as with 64. (Greedy, so it repeats itself, as small models do.) Its loss on
# English is 3.93 after one loop, 3.89 after two, and 3.90 from eight to 64; on problems it is best
# at two, 2.57, and stays at 2.63 from eight on. Cut and not trained, the same loop drifts from 4.16
# to 5.93. Healing brought back two thirds of what the cut cost on English, and between a fifth and
# a quarter on problems, which SmolLM2 does at 1.96.
#
# And now the control. Healed with **one** pass, always, the model has 3.88 on English after that
# pass, and 2.56 on problems: as good as the looped one at its best on English, and better on
# problems, beyond the error. So the loop bought no loss. What it bought is the right to run on:
# with 64 loops the one-pass model ends at 7.14, the looped one stays at 3.90. And between one pass
# and two the looped model does get better: it learned to use its second pass, to get where the
# other one is after its first.
#
# Four hundred steps are few. Whether a retrofit can get *more* out of its loops with thousands, on
# problems that need steps, is what the retrofits of the paper were trained for (**reported**,
# McLeish et al., [arXiv 2511.07384](https://arxiv.org/abs/2511.07384)).

# %% [markdown] id="asked"
# ## Asked again and again
#
# Three questions that people ask about looped language models, with a cell each. (The fourth, *is
# the best number of loops real?*, you have answered in Build 4.)
#
# **Is it just an RNN, over depth in place of time?** An RNN reads a new word at each step and has
# to remember the old ones. A loop reads the *same* words at each pass. If it had to remember, then
# forgetting would hurt: run *drawn* for 8 loops, throw its state away (put that of another text in
# its place), and run on.

# %% id="rnn"
with torch.inference_mode():
    ready = model.prepare(few[:, :-1])
    z = model(few[:, :-1], 8).state
    z = z.roll(1, 0)  # each text gets the state of another one
    told = [F.cross_entropy(model.answer(z, ready).flatten(0, 1), few[:, 1:].flatten())]
    for _ in range(8):
        z = model.step(z, ready)
        told.append(F.cross_entropy(model.answer(z, ready).flatten(0, 1), few[:, 1:].flatten()))
    whole = F.cross_entropy(model(few[:, :-1], 8).logits.flatten(0, 1), few[:, 1:].flatten())
print(f"loss after 8 loops {whole:.3f}; with the state of another text, and loops after that:")
print("  ".join(f"{n}: {loss:.3f}" for n, loss in enumerate(told)))

# %% [markdown] id="collapse-intro"
# **The cosine between successive states goes to 1. Does everything collapse?** A collapse would be
# that different *tokens* get the same state. Measure both: the cosine of a state with the one
# before it, and the entropy of the tokens' states (chapter 07).

# %% id="collapse"
with torch.inference_mode():
    states = model(few[:8, :-1], 64, every_loop=True).loop_states
turn = F.cosine_similarity(states[1:], states[:-1], dim=-1).flatten(1).median(1).values
entropy = measure.residual_entropy(states).mean(1)
mean = states.flatten(1, 2).mean(1, keepdim=True)
between = F.cosine_similarity(states, states.roll(1, 2), dim=-1).flatten(1).median(1).values
print("loop                                        2      4      8     16     64")
for name, values in (
    ("cosine with the state before", F.pad(turn, (1, 0))),
    ("cosine of two neighbouring tokens", between),
    ("entropy of the tokens' states", entropy),
):
    print(f"{name:38s}", *(f"{values[n - 1]:6.3f}" for n in (2, 4, 8, 16, 64)))

# %% [markdown] id="cut-intro"
# **How many loops need a gradient?** Compare the gradient of the loss after 8 loops, cut to the
# last one, two, four or eight, with the whole one: the cosine between them, over all weights of the
# core. At the start of training and at its end.


# %% id="cut"
def gradient(model, grad_loops):
    """Gradient of the loss after 8 loops for the core's weights, as one vector."""
    weights = [w.requires_grad_() for w in model.cores[0].parameters()]
    loss = last_losses(model, few[:4], 8, grad_loops)[-1]
    found = torch.autograd.grad(loss, weights)
    for weight in weights:
        weight.requires_grad_(False)
    return torch.cat([g.flatten() for g in found])


print("gradient through the last      1      2      4      8 loops: cosine with the whole (length)")
for name, each in {"drawn, untrained": untrained, **models, "yours": mine}.items():
    if each.config.loops == 1:
        continue
    whole, told = gradient(each, 8), []
    for n in (1, 2, 4, 8):
        part = gradient(each, n)
        cosine = F.cosine_similarity(part, whole, dim=0)
        told.append(f"{cosine:.3f} ({part.norm() / whole.norm():.2f})")
    print(f"   {name:20s}  {'  '.join(told)}")

# %% [markdown] id="asked-text"
# **Measured here.**<!-- by rnn, collapse, cut --> *No memory.* With another text's state in its
# place the loss is 8.43, worse than saying all tokens alike. A single loop repairs most of it, and
# eight all: 3.98, as before. What the loop knows of the text it reads anew from the input in each
# pass. So it is a recurrent network, but one with nothing to remember. (This is one model, with an
# injection and at rest. Without injection nothing could be repaired: the input is then only the
# state at loop 0.)
#
# *No collapse.* The cosine of successive states is 1.000 from loop 8 on because the loop rests. Two
# neighbouring tokens stay as far apart as they were, with cosine 0.17, and the entropy of the
# states hardly moves. Successive *loops* become alike, *tokens* do not.
#
# *Few loops will do, once the loop forgets.* In *drawn*, whose steps shrink fast, the gradient
# through the last loop alone has a cosine of 0.93 with the whole, and through four 0.995. In
# *loop*, whose steps do not, four loops give 0.783, and in the untrained model 0.798. What is cut
# off is mostly length: in *drawn* the last loop has 0.47 of it. So truncated backpropagation
# suffices where the loop comes to rest within the loops that are kept, and elsewhere it is a
# rougher guess.

# %% [markdown] id="interpret"
# ## Interpret
#
# - **A language model is not a maze.** Trees and mazes need steps that build on each other, and a
#   loop takes them. At our size the next word of a speech hardly needs any: a model of twelve or
#   twenty layers is hardly better than one of eight, so there is little that more depth, new or
#   looped, could be worth. That says something about a million tokens, not about loops.
# - **The illusion of test-time scaling.** A curve that falls from one loop to four looks like
#   thinking. But the model was *trained* to have its answer after four. The fair opponent is
#   another model, trained to answer with less.
# - **Rest is safe, and not free.** With an injection and drawn numbers of loops the state rests,
#   and 64 loops do next to no harm. Without them the same number of loops ruins the model. That is
#   C14 at our size: a fixed point keeps what a model can do, at any number of loops. It does not
#   make it better, and at the trained number the model without it was ahead.
# - **Reported**: large looped models do gain. Huginn and Ouro were trained on about a million times
#   as much text and more, and their loops show on tasks with steps (mathematics, several hops). The
#   iso-depth law gives a loop less than a third of the worth of new layers: less than it costs in
#   computing, more than it costs in memory.
#
# ### Two open questions (no check)
#
# 1. From how many tokens on is plain20 clearly better than plain8? And does the loop follow it, or
#    plain8? `data/make_language.py` trains them; ten times the steps take an evening.
# 2. A text in which words *do* need steps: write sums, or stories of who stands where, into the
#    speeches. Do those tokens settle later than the others, and does the gate let them stay?
#
# ## Key points
#
# 1. Loss by loop is a curve; what a loop is worth is a comparison of models.
# 2. Compare on the same texts and give the error of the difference. Then look at other seeds, which
#    differ by more.
# 3. Constant loops and no injection: best at the trained number, ruin beyond. Drawn loops and an
#    injection: rest, and a level line.
# 4. The cosine of successive states goes to 1 because the loop rests. A collapse would be of
#    tokens, and is measured between them.
# 5. A retrofit needs a one-pass control: healing repairs much, whether it loops or not.

# %% [markdown] id="questions"
# ## Five questions
#
# 1. A looped model has loss 4.4 after one loop and 4.1 after four. Is the loop worth 0.3 nats?
# <details><summary>Answer</summary>
# One cannot know. It was trained to answer after four loops; nobody asked for an answer after one.
# Train a model of as many weights that runs them once, and compare with that.
# </details>
#
# 2. Model A has loss 4.18 ± 0.04, model B 4.10 ± 0.04. Can B be better beyond doubt?
# <details><summary>Answer</summary>
# Yes: these are errors of each mean, and mostly due to texts that are hard for both. Text by text
# the difference may be steady. It takes the paired error, and other seeds.
# </details>
#
# 3. You want to train with 32 loops and have memory for four. What do you lose?
# <details><summary>Answer</summary>
# The part of the gradient that runs through the first 28. If the loop forgets (its steps shrink),
# that part is small, and what is left points nearly the same way. If it does not, it may point
# elsewhere.
# </details>
#
# 4. A gate without the entropy term learns to leave at the same loop always. Why?
# <details><summary>Answer</summary>
# Whatever loop is slightly better on average draws all probability to itself, and then the losses
# of the others, which are weighted by nearly 0, teach the gate nothing any more.
# </details>
#
# 5. Healed with drawn loops, a retrofit has the same loss from 4 to 64 loops. Has it learned to use
#    them?
# <details><summary>Answer</summary>
# It has learned to rest where it should. Whether more than one pass is of use is another question,
# and the control that was healed with one pass answers it.
# </details>

# %% [markdown] id="scoreboard-text"
# ## Scoreboard
#
# Whose code drew the figures above?

# %% id="scoreboard"
scoreboard("08")

# %% [markdown] id="read-on"
# ## Read on
#
# - Back: [07 Stages of inference](07_stages_of_inference.ipynb).
# - Next: [09 Hyperloop](09_hyperloop.ipynb), which gives this loop four streams.
# - Schwethelm et al., [arXiv 2604.21106](https://arxiv.org/abs/2604.21106), the iso-depth law.
# - Geiping et al., [arXiv 2502.05171](https://arxiv.org/abs/2502.05171), Huginn; Zhu et al.,
#   [arXiv 2510.25741](https://arxiv.org/abs/2510.25741), Ouro and its gate.
