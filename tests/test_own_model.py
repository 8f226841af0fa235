"""The check of exercise 01.6: any looped model that a colleague would accept, and no other."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from looplab.course.exercises import exercise, judge

TASK = exercise("01.6")
Model = TASK.reference


class WithTorchsLayer(Model):
    """PyTorch's own layer, with dropout while it is trained."""

    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(32, 4, 64, norm_first=True, batch_first=True)
        self.blocks = nn.ModuleList([layer])


class OtherNames(nn.Module):
    """Sizes, names, norms and the way of injecting are free; a bias, and two blocks, are fine."""

    def __init__(self, size=48):
        super().__init__()
        self.table = nn.Embedding(24, size)  # one table, and two halves of it
        self.w_z, self.w_x = nn.Linear(size, size), nn.Linear(size, size, bias=False)
        self.blocks = [
            nn.TransformerEncoderLayer(size, 1, size, 0.0, "gelu", batch_first=True)
            for _ in range(2)
        ]
        self.kept = nn.ModuleList(self.blocks)
        self.last = nn.Sequential(nn.LayerNorm(size), nn.Linear(size, 12))

    def encode(self, tokens):
        return self.table(tokens + torch.tensor([0, 12])).sum(-2)

    def step(self, state, given):
        state = self.w_z(state) + self.w_x(given)
        for block in self.blocks:
            state = block(state)
        return state

    def readout(self, state):
        return self.last(state)


class FromZero(Model):
    """Branches that write nothing at the start."""

    def __init__(self):
        super().__init__()
        for out in (self.blocks[0].attention.out_proj, self.blocks[0].down):
            nn.init.zeros_(out.weight)


class AddsTheInput(Model):
    def __init__(self):
        super().__init__()
        del self.mix

    def step(self, z, x):
        return self.blocks[0](z + x)


class Mixes(nn.Module):
    """A block that is given state and input, and mixes them itself; its MLP is gated."""

    def __init__(self, width):
        super().__init__()
        self.mix = nn.Linear(2 * width, width, bias=False)
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
        self.up, self.gate, self.down = (nn.Linear(width, width) for _ in range(3))

    def forward(self, z, x):
        z = self.mix(torch.cat((z, x), dim=-1))
        seen = F.rms_norm(z, z.shape[-1:])
        z = z + self.attention(seen, seen, seen)[0]
        seen = F.rms_norm(z, z.shape[-1:])
        return z + self.down(self.gate(seen) * self.up(seen))


class WithMixesInBlocks(Model):
    def __init__(self):
        super().__init__()
        del self.mix
        self.blocks = nn.ModuleList(Mixes(32) for _ in range(2))

    def step(self, z, x):
        for block in self.blocks:
            z = block(z, x)
        return z


class PreNormBlock(nn.Module):
    """Both branches read one norm, side by side; what they bring has a learned scale."""

    def __init__(self, width):
        super().__init__()
        self.norm, self.scale = nn.LayerNorm(width), nn.Parameter(torch.ones(width))
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, 99), nn.ReLU(), nn.Linear(99, width))

    def forward(self, z):
        seen = self.norm(z)
        return z + self.scale * (self.attention(seen, seen, seen)[0] + self.mlp(seen))


class InParallel(Model):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([PreNormBlock(32)])


class Gated(Model):
    """A GRU cell decides how much of what a branch brings becomes the state."""

    def __init__(self):
        super().__init__()
        block, (one, two) = self.blocks[0], (nn.GRUCell(32, 32) for _ in range(2))
        block.one, block.two = one, two

        def forward(z):
            seen = block.norm1(z)
            brought = block.attention(seen, seen, seen)[0]
            z = one(brought.flatten(0, 1), z.flatten(0, 1)).view_as(z)
            brought = block.down(F.silu(block.up(block.norm2(z))))
            return two(brought.flatten(0, 1), z.flatten(0, 1)).view_as(z)

        block.forward = forward


class AddedInTheStep(Model):
    """The block gives what is to be added, and the pass adds it."""

    def __init__(self):
        super().__init__()
        whole = self.blocks[0].forward
        self.blocks[0].forward = lambda z: whole(z) - z

    def step(self, z, x):
        z = self.mix(torch.cat((z, x), dim=-1))
        return F.layer_norm(z + self.blocks[0](z), z.shape[-1:])


GOOD = [
    WithTorchsLayer,
    OtherNames,
    FromZero,
    AddsTheInput,
    WithMixesInBlocks,
    InParallel,
    Gated,
    AddedInTheStep,
]


@pytest.mark.parametrize("answer", GOOD)
@pytest.mark.parametrize("seed", range(5))
def test_what_a_colleague_would_accept_passes(answer, seed):
    verdict = judge(TASK, answer, seed)
    assert verdict.kind == "passed", verdict.mistake


def changed(**methods):
    return type("Changed", (Model,), methods)


def counting(self, z, x):
    self.seen = getattr(self, "seen", 0) + 1
    if self.seen == 1:
        z = self.mix(torch.cat((z, x), dim=-1))
    return self.blocks[0](z)


class Batched(Model):
    def __init__(self):
        super().__init__()
        self.blocks[0].attention = nn.MultiheadAttention(32, 2, bias=False)


class Alone(Model):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(32, 32), nn.GELU())])


class Causal(Model):
    def __init__(self):
        super().__init__()
        attend, mask = self.blocks[0].attention.forward, torch.ones(12, 12, dtype=torch.bool)
        self.blocks[0].attention.forward = lambda q, k, v, **_: attend(
            q, k, v, attn_mask=mask.triu(1)[: q.shape[1], : q.shape[1]]
        )


class Hidden(Model):
    def __init__(self):
        super().__init__()
        hidden = list(self.blocks)
        del self.blocks
        self.blocks = hidden


class Unused(Model):
    def __init__(self):
        super().__init__()
        self.spare = nn.Linear(32, 32)


class Frozen(Model):
    def __init__(self):
        super().__init__()
        self.own.requires_grad_(False)


class Wide(Model):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(32, 32)


WRONG = [
    (changed(step=counting), "in the first pass"),
    (
        changed(step=lambda self, z, x: self.blocks[0](self.mix(torch.cat((z, x), -1)).detach())),
        "must not detach",
    ),
    (changed(step=lambda self, z, x: self.blocks[0](z.add_(x))), "changes the tensors"),
    (changed(step=lambda self, z, x: self.head(z + x)), "the same shape"),
    (changed(step=lambda self, z, x: self.blocks[0](self.blocks[0](z + x))), "2 times in all"),
    (changed(encode=lambda self, t: self.own(t)), "have to be added up"),
    (changed(encode=lambda self, t: self.own(t[..., 0])), "parent's label is not in the input"),
    (changed(encode=lambda self, t: self.own(t[..., 1])), "own label is not in the input"),
    (changed(readout=lambda self, z: self.head(z).softmax(-1)), "without a softmax"),
    (changed(readout=lambda self, z: self.head(z).mean(1)), "a logit for each"),
    (changed(encode=None), "no method encode"),
    (Wide, "a logit for each of the 12 labels"),
    (Batched, "batch_first=True"),
    (Alone, "do not see each other"),
    (Causal, "order of the tokens"),
    (Hidden, "an nn.ModuleList does not"),
    (Unused, "spare.weight takes no part"),
    (Frozen, "own.weight is frozen"),
    (Model(), "without ()"),
    (lambda: None, "returns nothing"),
    (lambda: 3, "no nn.Module"),
    (lambda width: Model(), "a default"),
    (7, "a class is expected"),
]


@pytest.mark.parametrize(("answer", "hint"), WRONG)
def test_what_is_no_such_model_is_named(answer, hint):
    verdict = judge(TASK, answer)
    assert verdict.kind == "not yet", verdict
    assert hint in verdict.mistake
