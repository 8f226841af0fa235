"""Checks of chapter 01, Loop a block."""

import copy

import torch
from torch import nn

from looplab.course.exercises.catalogue import Exercise
from looplab.course.exercises.kinds import as_tensor
from looplab.course.exercises.probing import (
    Mistake,
    agrees,
    ask,
    derived,
    expect_close,
    expect_number,
    expect_right,
    expect_tensor,
    watch,
)
from looplab.course.exercises.solutions import solution
from looplab.tasks import find_root


class _Parts(nn.Module):
    """A small block whose norms have scales of their own, so that mixing them up shows."""

    def __init__(self, width, heads):
        super().__init__()
        self.norm1, self.norm2 = nn.RMSNorm(width), nn.RMSNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, bias=False, batch_first=True)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )
        for norm in (self.norm1, self.norm2):
            nn.init.uniform_(norm.weight, 0.5, 2.0)


class _OutputAlone(nn.Module):
    """Attention that returns its output, and no pattern beside it."""

    def __init__(self, attention):
        super().__init__()
        self.attention = attention

    def forward(self, *given, **named):
        return self.attention(*given, **named)[0]


def _runs_without_pattern(answer, block, x):
    """True for an answer that takes what attention returns for the output alone."""
    alone = copy.deepcopy(block)
    alone.attention = _OutputAlone(alone.attention)
    try:
        ask(answer, alone, x)
    except Exception:
        return False
    return True


def through(answer, seed):
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        block, x = _Parts(8, 2), 2 * torch.randn(2, 5, 8)
        first = block.norm1(x)
        brought = block.attention(first, first, first)[0]
        after = x + brought
        try:
            result = ask(answer, block, x)
        except TypeError:
            if _runs_without_pattern(answer, block, x):
                raise Mistake(
                    "attention returns two things, the output and the pattern: take the first"
                ) from None
            raise
        result = expect_tensor(result, (2, 5, 8))
        plain = block.attention(x, x, x)[0]
        half = block.attention(first, x, x)[0]
        normed = block.norm1(x + plain)
        named = {
            "attention replaces the state here: a branch's output is added to it": (
                brought + block.mlp(block.norm2(brought))
            ),
            "the MLP replaces the state here: a branch's output is added to it": (
                block.mlp(block.norm2(after))
            ),
            "neither branch is added to the state: the stream goes straight through": (
                block.mlp(block.norm2(brought))
            ),
            "attention reads the state without a norm": x
            + plain
            + block.mlp(block.norm2(x + plain)),
            "only the queries are normed: keys and values read the same normed state": (
                x + half + block.mlp(block.norm2(x + half))
            ),
            "the MLP reads the state without a norm": after + block.mlp(after),
            "the MLP has a norm of its own, norm2": after + block.mlp(block.norm1(after)),
            "what attention brought is lost: the MLP's output is added to the first state": (
                x + block.mlp(block.norm2(after))
            ),
            "the MLP reads the state of before attention: the branches come one after the other": (
                after + block.mlp(block.norm2(x))
            ),
            "the norms stand behind the sums; in pre-norm each stands in front of its branch": (
                block.norm2(normed + block.mlp(normed))
            ),
        }
        right = after + block.mlp(block.norm2(after))
        wrong = "the shape is right, but not what comes out of a pre-norm layer"
        expect_right(result, right, named, wrong)
    return {"state": result}


def run_loop(answer, seed):
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(2, 4, 6, generator=draw)
    weights = torch.randn(2, 6, 6, generator=draw) / 2
    into = torch.randn(6, 12, generator=draw) / 3
    blocks = [lambda z, w=w: z + torch.tanh(z @ w) for w in weights]

    def mix(both):
        if both.shape[-1] != 12:
            raise Mistake(
                "the mix takes state and input side by side, along the width: torch.cat(..., -1)"
            )
        return both @ into.T

    loops = 4
    result = ask(answer, blocks, mix, x, loops)
    result = expect_tensor(result)

    def pair(z, swap=False):
        return mix(torch.cat((x, z) if swap else (z, x), dim=-1))

    def run(start, once=False, each=False, swap=False, restart=False, injected=True):
        z, ends = start, []
        if once:
            z = pair(z)
        for _ in range(loops):
            z = start if restart else z
            if not once and not each and injected:
                z = pair(z, swap)
            for block in blocks:
                z = block(pair(z) if each else z)
            ends.append(z)
        return torch.stack(ends)

    zero = torch.zeros_like(x)
    right = run(zero)
    if result.shape == x.shape:
        if agrees(result, right[-1]):
            raise Mistake("only the last state is returned: keep the end of every pass, and stack")
        raise Mistake(f"the shape is that of one state; the ends of all {loops} passes are asked")
    if result.shape == (loops + 1, *x.shape):
        raise Mistake("one state too many: the zero state is no end of a pass")
    if result.shape == (loops * len(blocks), *x.shape):
        raise Mistake("a state is kept after every block: keep the end of every pass only")
    result = expect_tensor(result, (loops, *x.shape))
    z, alone = pair(zero), []
    for block in blocks:
        for _ in range(loops):
            z = block(z)
            alone.append(z)
    named = {
        "the input comes in once, in front of the loop: inject it at the start of every pass": (
            run(zero, once=True)
        ),
        "the input comes in in front of every block: once per pass, in front of the first": (
            run(zero, each=True)
        ),
        "the mix takes the state first, then the input": run(zero, swap=True),
        "every pass begins at zero again: hand the state on from pass to pass": (
            run(zero, restart=True)
        ),
        "the state starts at zero here, not at the input": run(x),
        "the input is never injected": run(x, injected=False),
    }
    if agrees(result[-1], alone[-1]):
        raise Mistake("each block is looped by itself: a pass runs all blocks, and passes repeat")
    wrong = "the shape is right, but these are not the ends of the passes"
    expect_right(result, right, named, wrong)
    return {"ends": result}


def count_weights(answer, seed):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        width = 3 + seed % 17
        a, b, c = (nn.Linear(width, width) for _ in range(3))  # one shape, three modules
        wide = nn.Linear(width, 2 * width, bias=False)
    twin = copy.deepcopy(a)  # equal values, and weights of its own
    tied = nn.Linear(width, width)
    tied.weight = c.weight  # another module, the same weight
    frozen = copy.deepcopy(b).requires_grad_(False)
    stacks = [[a, b, wide] * 3, [a, twin], [c, tied], [a, b, c], [b, frozen]]
    found = [expect_number(ask(answer, list(stack))) for stack in stacks]
    one = width * width + width
    right = [2 * one + 2 * width**2, 2 * one, one + width, 3 * one, 2 * one]

    def by(key, size=lambda weight: weight.numel(), wanted=lambda weight: True):
        counted = []
        for stack in stacks:
            weights = [w for module in stack for w in module.parameters() if wanted(w)]
            counted.append(sum(size(w) for w in {key(w): w for w in weights}.values()))
        return counted

    modules = [
        sum(w.numel() for module in {id(m): m for m in stack}.values() for w in module.parameters())
        for stack in stacks
    ]
    named = {
        "a shared weight is counted again in every pass: it is stored once": [
            sum(w.numel() for module in stack for w in module.parameters()) for stack in stacks
        ],
        "that counts tensors; a weight of 3 by 3 holds nine numbers": by(id, size=lambda w: 1),
        "weights of one shape are taken for one weight": by(lambda w: tuple(w.shape)),
        "weights of equal values are taken for one weight: they are stored twice": by(
            lambda w: tuple(w.flatten().tolist())
        ),
        "frozen weights are left out: they are stored as well": by(
            id, wanted=lambda w: w.requires_grad
        ),
        "two modules may hold one and the same weight: compare weights, not modules": modules,
        "that is the first module alone": [
            sum(w.numel() for w in stack[0].parameters()) for stack in stacks
        ],
    }
    for mistake, wrong in named.items():
        if found == wrong:
            raise Mistake(mistake)
    expect_close(found, right, "the number is not that of the weights to be stored")
    return {"weights": found}


def gradient_by_pass(answer, seed):
    draw = torch.Generator().manual_seed(seed)
    weight = torch.randn(4, 4, generator=draw) / 2
    x, z = torch.randn(2, 3, 4, generator=draw).unbind()
    target, loops = torch.randn(3, 4, generator=draw), 3

    def step(state, w):
        return torch.tanh(state @ w + x)

    def loss(state):
        return (state - target).square().sum()

    # As in the chapter, where it is a model's: a copy of it is tied to it, unless detached.
    weight.requires_grad_()
    result = expect_tensor(ask(answer, step, weight, z, loops, loss))
    right = solution("01.4")(step, weight, z, loops, loss)
    whole = right.sum(0)
    if result.shape == whole.shape:
        raise Mistake("one gradient for all passes: keep a row for each pass")
    result = expect_tensor(result, right.shape)
    last = torch.zeros_like(right)
    last[-1] = right[-1]
    named = {
        "every row is the whole sum: each pass needs a copy of its own": whole.expand_as(right),
        "the sum is split into equal parts; the passes do not count equally": (
            whole.expand_as(right) / loops
        ),
        "the right rows in the wrong order: row 0 belongs to the first pass": right.flip(0),
        "only the last pass has a gradient: the state must carry its history along": last,
        "the loss is taken after every pass: only the last state counts": (
            _after_each_pass(step, weight, z, loops, loss)
        ),
        "the rows add up as they go: row t is pass t alone": right.cumsum(0),
    }
    wrong = "the shape is right, but not the gradients of the passes"
    expect_right(result, right, named, wrong)
    return {"gradients": result}


def _after_each_pass(step, weight, z, loops, loss):
    rows = []
    for _ in range(loops):
        copy = weight.detach().clone().requires_grad_()
        z = step(z.detach(), copy)
        rows.append(torch.autograd.grad(loss(z), copy)[0])
    return torch.stack(rows)


def influence(answer, seed):
    draw = torch.Generator().manual_seed(seed)
    a, b = torch.randn(2, 3, 4, 5, generator=draw).unbind()
    a, b = a * torch.tensor([0.5, 1, 2, 4])[:, None], 2 * b
    result = as_tensor(ask(answer, a, b))
    far, long, short = (a - b).norm(dim=-1), a.norm(dim=-1), b.norm(dim=-1)
    if isinstance(result, torch.Tensor) and result.shape == ():
        raise Mistake("one number for everything: a state is the last axis, keep the others")
    result = expect_tensor(result, far.shape)
    right = far / ((long + short) / 2)
    named = {
        "the distance has no unit yet: divide by the mean length of the two": far,
        "half of it: the unit is the mean of the two lengths, not their sum": right / 2,
        "the unit is the first state's length; the two should be treated alike": far / long,
        "the unit is the second state's length; the two should be treated alike": far / short,
        "these are squared distances: the square root is missing": far.square()
        / ((long + short) / 2),
        "that is their cosine: it is 1 where the states agree, and a distance is 0": (
            (a * b).sum(-1) / (long * short)
        ),
    }
    expect_right(result, right, named, "the shape is right, but the numbers are not")
    return {"influence": result}


def own_model(answer, seed):
    if not callable(answer):
        raise Mistake(f"a class is expected here, and this is a {type(answer).__name__}")
    draw = torch.Generator().manual_seed(seed)
    tokens = find_root(2, draw, nodes=6 + seed % 6, max_depth=4).tokens
    return watch(answer, examine_model, tokens, derived(seed))


# What is sent to a learner's process: each looks at one side of a model, and raises Mistake.
def examine_model(answer, tokens, seed):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if isinstance(answer, nn.Module):
            raise Mistake("this is a model, and the check takes the class: MyLoop, without ()")
        try:
            model = answer()
        except TypeError as error:
            if "required positional argument" in str(error):
                raise Mistake("MyLoop() must do: give what __init__ takes a default") from None
            raise
        expect_parts(model)
        model.eval()
        with torch.no_grad():
            # Whatever it starts as, branches at zero say, everything takes part now.
            for weight in model.parameters():
                weight.add_(0.1 * torch.randn_like(weight))
            x = examine_input(model, tokens)
            examine_pass(model, x)
            examine_tokens(model, tokens, x)
            examine_stream(model, x)
            examine_activation(model, x)
        logits = examine_readout(model, x)
        examine_gradients(model, tokens)
    return {"input": list(x.shape[:2]), "logits": list(logits.shape)}


def expect_parts(model):
    if model is None:
        raise Mistake("MyLoop is a class, and this is a function that returns nothing")
    if not isinstance(model, nn.Module):
        raise Mistake(
            f"MyLoop() gives a {type(model).__name__} that is no nn.Module: write "
            "class MyLoop(nn.Module), and super().__init__() at the start of its __init__"
        )
    for name in ("encode", "step", "readout"):
        if not callable(getattr(model, name, None)):
            raise Mistake(f"the model has no method {name}")
    blocks = list(getattr(model, "blocks", None) or ())
    if not blocks or not all(isinstance(block, nn.Module) for block in blocks):
        raise Mistake("the model has no blocks: self.blocks = nn.ModuleList([...]), of the layers")
    known = {id(weight) for weight in model.parameters()}
    if not known:
        raise Mistake("the model has no weights")
    if any(id(weight) not in known for block in blocks for weight in block.parameters()):
        raise Mistake(
            "the weights of the blocks are not among those of the model, and would never be "
            "trained: a plain list hides them, an nn.ModuleList does not"
        )


def examine_input(model, tokens):
    x = expect_tensor(model.encode(tokens.clone()))
    if x.dim() == 4:
        raise Mistake(
            f"encode gives {tuple(x.shape)}: the vectors of the two fields have to be added up"
        )
    if x.dim() != 3 or x.shape[:2] != tokens.shape[:2] or not x.is_floating_point():
        raise Mistake(
            f"encode gives {tuple(x.shape)} for tokens {tuple(tokens.shape)}: expected a vector "
            "for each token, [batch, token, width]"
        )
    own, parent = tokens.unbind(-1)
    other = {
        "the parent's label is not in the input: embed both fields": (own, (parent + 1) % 12),
        "the token's own label is not in the input: embed both fields": ((own + 1) % 12, parent),
        "own and parent's label are looked up in the same table, so a token (3, 7) is the same "
        "as (7, 3): each field needs a table of its own": (parent, own),
    }
    for mistake, fields in other.items():
        if agrees(model.encode(torch.stack(fields, dim=-1)), x):
            raise Mistake(mistake)
    return x


def examine_pass(model, x):
    z, other, zero = torch.randn_like(x), torch.randn_like(x), torch.zeros_like(x)
    before, given = z.clone(), x.clone()
    ran = []
    hooks = [block.register_forward_hook(lambda *_: ran.append(1)) for block in model.blocks]
    end = expect_tensor(model.step(z, x))
    for hook in hooks:
        hook.remove()
    if end.shape != z.shape:
        raise Mistake(
            f"step makes {tuple(end.shape)} of a state {tuple(z.shape)}: the next state has the "
            "same shape, and the answer is the read-out's business"
        )
    if not torch.equal(z, before) or not torch.equal(x, given):
        raise Mistake(
            "step changes the tensors that it is given: work on new ones, without operations "
            "that end in _ or assign into them"
        )
    again = model.step(z, x)
    if not agrees(again, end):
        if agrees(model.step(z, other), model.step(z, x)):
            raise Mistake("the input comes in once, in the first pass: inject it in every pass")
        raise Mistake(
            "a second pass from the same state and input ends elsewhere: every pass has the same "
            "weights, and depends on nothing but state and input (is there a counter?)"
        )
    if agrees(model.step(z, other), end):
        if agrees(model.step(zero, other), model.step(zero, x)):
            raise Mistake("the input makes no difference to a pass: inject it in step")
        raise Mistake(
            "the input comes in only while the state is zero, once: inject it in every pass"
        )
    if agrees(model.step(other, x), end):
        raise Mistake("the state makes no difference to a pass: it must be carried on")
    if len(ran) != len(model.blocks):
        raise Mistake(
            f"a pass runs the {len(model.blocks)} of self.blocks {len(ran)} times in all: each "
            "once, and with the same weights in every pass"
        )


def examine_tokens(model, tokens, x):
    z = torch.randn_like(x)
    end = model.step(z, x)

    def moved(batch, token):
        """The end when this token's state and input are others."""
        z_other, x_other = z.clone(), x.clone()
        z_other[batch, token], x_other[batch, token] = torch.randn(2, x.shape[-1])
        return model.step(z_other, x_other)

    if not agrees(moved(1, -1)[0], end[0]):
        raise Mistake(
            "the sequences of a batch see each other: attention takes the first axis for the "
            "tokens unless it is made with batch_first=True"
        )
    if agrees(moved(0, -1)[0, :-1], end[0, :-1]) and agrees(moved(0, 0)[0, 1:], end[0, 1:]):
        raise Mistake("the tokens do not see each other: is there attention in the block?")
    order = torch.arange(x.shape[1]).roll(1)
    shuffled = model.encode(tokens[:, order])
    if not agrees(shuffled, x[:, order]) or not agrees(
        model.step(z[:, order], shuffled), end[:, order]
    ):
        raise Mistake(
            "the order of the tokens makes a difference, by positions or a causal mask: a forest "
            "has no order, every token may look at every other one"
        )


def examine_stream(model, x):
    """Whether something goes straight through each block, past its branches."""
    z, other = torch.randn(2, *x.shape)
    for block in model.blocks:
        matrices = [weight for weight in block.parameters() if weight.dim() > 1]
        before = [weight.clone() for weight in matrices]

        def passes(kept=None, matrices=matrices, before=before):
            for weight, values in zip(matrices, before, strict=True):
                weight.copy_(values if weight is kept else torch.zeros_like(values))
            return not agrees(model.step(z, x), model.step(other, x))

        # A branch needs two matrices at least; what a single one carries is no branch.
        straight = passes() or any(passes(kept) for kept in matrices)
        for weight, values in zip(matrices, before, strict=True):
            weight.copy_(values)
        if not straight:
            raise Mistake(
                "with the matrices of a block at zero, nothing of the state comes out of it: what "
                "each of its branches brings is to be added to the state, as in z = z + ..."
            )


def examine_activation(model, x):
    """Whether a pass bends anything besides its norms: alone, a token attends to itself alone."""
    norms = [
        part
        for part in model.modules()
        if "norm" in type(part).__name__.lower() and not list(part.children())
        if all(weight.dim() < 2 for weight in part.parameters())
    ]
    hooks = [norm.register_forward_hook(lambda _, given, out: given[0]) for norm in norms]
    given, (a, b) = x[:1, :1], torch.randn(2, 1, 1, x.shape[-1])
    try:
        ends = [model.step(z, given).double() for z in (0 * a, a, b, a + b)]
    finally:
        for hook in hooks:
            hook.remove()
    bent = (ends[3] - ends[2] - ends[1] + ends[0]).abs().max()
    if bent <= 1e-5 * max(end.abs().max() for end in ends):
        raise Mistake(
            "but for its norms, a pass is a linear map of each token: is an activation function, "
            "as F.gelu, missing between the two matrices of the MLP?"
        )


def examine_readout(model, x):
    z = torch.randn_like(x)
    with torch.no_grad():
        logits = expect_tensor(model.readout(z))
    wanted = (*x.shape[:2], 12)
    if logits.shape != wanted:
        raise Mistake(
            f"readout gives {tuple(logits.shape)} for a state {tuple(z.shape)}: expected "
            f"{wanted}, a logit for each of the 12 labels"
        )
    if logits.ge(0).all() and agrees(logits.sum(-1), torch.ones(wanted[:2])):
        raise Mistake("readout gives probabilities: cross_entropy wants logits, without a softmax")
    return logits


def examine_gradients(model, tokens):
    x = model.encode(tokens)
    z = torch.randn_like(x).requires_grad_()
    start = z
    for _ in range(3):
        z = model.step(z, x)
    answers = model.readout(z)
    weights = dict(model.named_parameters())
    frozen = [name for name, weight in weights.items() if not weight.requires_grad]
    if frozen:
        raise Mistake(f"{frozen[0]} is frozen: every weight is to be trained")
    if not answers.requires_grad:
        raise Mistake("no gradient comes back from the answers: is there a no_grad or a detach?")
    loss = nn.functional.cross_entropy(answers.flatten(0, 1), tokens[..., 0].flatten())
    found = torch.autograd.grad(loss, [start, *weights.values()], allow_unused=True)
    if found[0] is None:
        raise Mistake("the gradient ends at the state: a pass must not detach it")
    for name, gradient in zip(weights, found[1:], strict=True):
        if gradient is None:
            raise Mistake(f"{name} takes no part: no gradient reaches it in three passes")


EXERCISES = [
    Exercise("01.1", "through a block", solution("01.1"), through),
    Exercise("01.2", "the loop", solution("01.2"), run_loop),
    Exercise("01.3", "count the weights", solution("01.3"), count_weights),
    Exercise("01.4", "the gradient, pass by pass", solution("01.4"), gradient_by_pass),
    Exercise("01.5", "how much of the input is left", solution("01.5"), influence),
    Exercise("01.6", "a looped model of your own", solution("01.6"), own_model),
]
