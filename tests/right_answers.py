"""Right answers that come in unusual ways, and that a colleague would accept all the same."""

import numpy
import scipy.stats
import torch
import torch.nn.functional as F
from scipy.spatial.distance import cdist
from sklearn.decomposition import PCA

from looplab import generate


def changed(value, change):
    """A result with its tensors and numbers changed, inside containers too."""
    if isinstance(value, list | tuple):
        return type(value)(changed(item, change) for item in value)
    if isinstance(value, torch.Tensor | int | float):
        return change(value)
    return value


def as_floats(dtype):
    def change(value):
        if isinstance(value, float):
            return torch.tensor(value, dtype=dtype)
        is_float = isinstance(value, torch.Tensor) and value.is_floating_point()
        return value.to(dtype) if is_float else value

    return change


def as_numpy(value):
    if isinstance(value, torch.Tensor):
        return value.detach().numpy()[()]
    return value if isinstance(value, bool) else numpy.asarray(value)[()]


def as_list(value):
    return list(value) if isinstance(value, torch.Tensor) and value.dim() else value


def as_scalar_tensor(value):
    return torch.tensor(value) if isinstance(value, int | float) else value


# kind -> what it makes of a result
KINDS = {
    "float64": as_floats(torch.float64),
    "bfloat16": as_floats(torch.bfloat16),
    "NumPy": as_numpy,
    "lists": as_list,
    "tensors of one number": as_scalar_tensor,
}
# Where the answer has to stay a tensor: its gradient is asked for.
TENSORS = {"02.2", "02.5", "08.2", "08.6"}


def in_kind(answer, kind):
    def another(*arguments, **keywords):
        return changed(answer(*arguments, **keywords), KINDS[kind])

    return another


def scaled_pca(path):
    return PCA(2).fit_transform(path.flatten(0, 1)).reshape(*path.shape[:2], 2)


def by_the_covariance(path):
    flat = path.flatten(0, 1) - path.mean((0, 1))
    axes = torch.linalg.eigh(flat.T @ flat)[1].flip(-1)[:, :2]
    return (flat @ axes).unflatten(0, path.shape[:2])


def uneven_ends(low, high, generator):
    return low + int(torch.rand((), generator=generator) * (high - low + 1))


def cut_once(step, z, loops, grad_loops):
    for loop in range(loops):
        z = step(z.detach() if loop == loops - grad_loops else z)
    return z


def copies_by_clone(step, weight, z, loops, loss):
    copies = [weight.clone() for _ in range(loops)]
    for copy in copies:
        z = step(z, copy)
    return torch.stack(torch.autograd.grad(loss(z), copies))


def by_backward(step, weight, z, loops, loss):
    copies = [torch.nn.Parameter(weight.detach().clone()) for _ in range(loops)]
    for copy in copies:
        z = step(z, copy)
    loss(z).backward()
    return [copy.grad for copy in copies]


def pairwise(patterns):
    return cdist(patterns.numpy(), patterns.numpy())


def contrast_by_numpy(distances, layers):
    table = distances.numpy()
    n = len(table)
    same, other = [], []
    for i in range(n):
        for j in range(n):
            if i != j:
                (same if i % layers == j % layers else other).append(table[i, j])
    return numpy.mean(same) / numpy.mean(other)


def tighter(before, after, kappa, head_width):
    both = before.norm() + after.norm()
    return (0.5 * both * kappa / head_width**0.5 * (after - before).norm()).item()


def one_product_more(push, v, products):
    v = push(v / v.norm())
    growth = [v.norm()]
    for _ in range(products):
        v = push(v / v.norm())
        growth.append(v.norm())
    return torch.stack(growth[-(products // 2) :]).log().mean().exp()


def twice_pushed(push, v, products):
    growth = []
    for _ in range(products):
        v = v / v.norm()
        growth.append(push(v).norm().item())
        v = push(v)
    late = growth[products // 2 :]
    return numpy.exp(numpy.log(late).mean())


def by_jvp(step, state, nudge, loops, settle):
    aside, growth = nudge / nudge.norm(), []
    for _ in range(loops):
        state, moved = torch.func.jvp(step, (state,), (aside,))
        growth.append(moved.norm().log())
        aside = moved / moved.norm()
    return torch.stack(growth[settle:]).mean()


def returns_by_numpy(states, lag, tolerance=0.01):
    states = states.numpy()
    quarter = len(states) // 4
    away = [
        numpy.linalg.norm(states[-n] - states[-n - lag], axis=-1) for n in range(1, quarter + 1)
    ]
    return numpy.max(away, 0) <= tolerance * numpy.linalg.norm(states[-quarter:], axis=-1).mean(0)


def exit_by_a_loop(states, tolerance):
    steps = numpy.diff(states.double().numpy(), axis=0)
    change = numpy.linalg.norm(numpy.diff(steps, axis=0), axis=-1)
    quiet = change / numpy.linalg.norm(states.numpy()[2:], axis=-1) < tolerance
    left = numpy.full(quiet.shape[1:], len(states))
    for at in reversed(range(1, len(quiet))):
        left[quiet[at] & quiet[at - 1]] = at + 3
    return left


def oracle_stacked(exits, right):
    last_wrong = [max([0, *(1 + n for n, ok in enumerate(row) if not ok)]) for row in right.T]
    best = torch.tensor([0 if last == len(right) else last + 1 for last in last_wrong])
    kept = right.T[torch.arange(len(exits)), exits - 1]
    spare = (exits - best)[best > 0].double().mean()
    return torch.stack((spare, ((best > 0) & ~kept).double().mean()))


def each_text_by_itself(logits, tokens):
    return [
        [F.cross_entropy(said[:-1], text[1:]) for said, text in zip(loop, tokens, strict=True)]
        for loop in logits
    ]


def each_loss(logits, tokens):
    count, vocab = logits.shape[0], logits.shape[-1]
    targets = tokens[:, 1:].flatten()
    each = F.cross_entropy(logits.reshape(-1, vocab), targets.repeat(count), reduction="none")
    return each.view(count, -1).mean(1)


def by_every_loop(model, tokens, loops, grad_loops):
    run = model(tokens[:, :-1], loops, grad_loops=grad_loops, every_loop=True)
    return each_loss(model.readout(run.loop_states[-grad_loops:]), tokens)


def by_passes(model, tokens, loops, grad_loops):
    ready = model.prepare(tokens)  # the last token too: no other looks at it
    passes = model.passes(ready, loops, grad_loops=grad_loops)
    states = [z for loop, z in passes if loop >= loops - grad_loops]
    logits = torch.stack(
        [model.head(model.norm(model.through_coda(z, ready.context))) for z in states]
    )
    return list(each_loss(logits[:, :, :-1], tokens))


def by_detach(model, tokens, loops, grad_loops):
    ready, losses = model.prepare(tokens[:, :-1]), []
    z = ready.start
    for loop in range(loops):
        z = model.step(z.detach() if 0 < loop == loops - grad_loops else z, ready)
        logits = model.answer(z, ready)
        losses.append(F.cross_entropy(logits.mT, tokens[:, 1:]))
    return torch.stack(losses[-grad_loops:])


def by_gumbel(model, tokens, new, loops, temperature, generator):
    for _ in range(new):
        logits = model(tokens, loops).logits[:, -1] / temperature
        luck = torch.rand(logits.shape, generator=generator).clamp_min(1e-20)
        tokens = torch.cat((tokens, (logits - (-luck.log()).log()).argmax(-1)[:, None]), dim=1)
    return tokens


def by_cumulated_shares(model, tokens, new, loops, temperature, generator):
    length = tokens.shape[1]
    text = F.pad(tokens, (0, new))
    for at in range(length, length + new):
        ready = model.prepare(text[:, :at])
        z = ready.start
        for _ in range(loops):
            z = model.step(z, ready)
        below = (model.answer(z, ready)[:, -1] / temperature).softmax(-1).cumsum(-1)
        luck = torch.rand(len(text), 1, generator=generator)
        text[:, at] = (below < luck).sum(-1).clamp(max=below.shape[-1] - 1)
    return text.numpy()


def by_generate(model, tokens, new, loops, temperature, generator):
    return generate(model, tokens, new, loops, temperature=temperature, generator=generator).tokens


def by_sem(a, b):
    apart = (a - b).numpy()
    return [numpy.mean(apart), scipy.stats.sem(apart)]


def by_where(exits, losses, beta):
    logs = torch.where(exits > 0, exits, 1.0).log()
    return (exits * (losses + beta * logs)).sum() / exits.shape[1]


# exercise -> other ways to do it
RIGHT = {
    "01.4": [copies_by_clone, by_backward],
    "02.1": [uneven_ends, lambda low, high, g: torch.randint(low, high + 1, (), generator=g)],
    "02.2": [cut_once],
    "03.1": [lambda states: numpy.linalg.norm(numpy.diff(states.numpy(), axis=0), axis=-1)],
    "03.2": [lambda states, limit: F.pairwise_distance(states, states[limit - 1], eps=0)],
    "03.3": [scaled_pca, by_the_covariance],
    "03.5": [
        lambda ends: (
            torch.stack([torch.cdist(e, e).amax() for e in ends.unbind(1)])
            / ends.norm(dim=-1).mean(0)
        )
    ],
    "04.1": [lambda a, b: numpy.linalg.norm((a - b).numpy(), axis=(-2, -1))],
    "04.2": [pairwise, lambda patterns: torch.cdist(patterns.double(), patterns.double())],
    "04.3": [contrast_by_numpy],
    "04.4": [tighter],
    "05.3": [one_product_more, twice_pushed],
    "05.4": [by_jvp],
    "05.5": [
        lambda log_a, dt_bias: (-log_a.double().exp() * (1 + dt_bias.double().exp()).log()).exp()
    ],
    "06.1": [returns_by_numpy],
    "06.3": [exit_by_a_loop],
    "06.4": [oracle_stacked],
    "08.1": [each_text_by_itself],
    "08.2": [by_every_loop, by_passes, by_detach],
    "08.3": [by_gumbel, by_cumulated_shares, by_generate],
    "08.4": [by_sem],
    "08.6": [
        by_where,
        lambda exits, losses, beta: (
            (exits * losses + beta * torch.xlogy(exits, exits)).sum(0).mean()
        ),
        lambda exits, losses, beta: (
            (exits * losses + beta * exits * (exits + 1e-9).log()).sum(0).mean()
        ),
    ],
    "08.5": [lambda depth, once, core, loops: numpy.emath.logn(loops, (depth - once) / core)],
}
