"""Typical wrong answers to chapter 01, and the hint each of them should get."""

import torch
from torch import nn

from looplab.course.exercises.solutions import solution


def through(residual=True, lost=False, norm=True, other=False, both=False, post=False):
    def answer(block, x):
        if post:
            x = block.norm1(x + block.attention(x, x, x)[0])
            return block.norm2(x + block.mlp(x))
        seen = block.norm1(x) if norm else x
        brought = block.attention(seen, seen, seen)
        after = x + (brought if both else brought[0]) if residual else brought[0]
        added = block.mlp((block.norm1 if other else block.norm2)(after))
        return (x if lost else after) + added

    return answer


def loop(once=False, each=False, swap=False, restart=False, last=False, alone=False):
    def answer(blocks, mix, x, loops):
        def inject(z):
            return mix(torch.cat((x, z) if swap else (z, x), dim=-1))

        z, ends = torch.zeros_like(x), []
        if once or alone:
            z = inject(z)
        if alone:
            for block in blocks:
                for _ in range(loops):
                    z = block(z)
            return z.expand(loops, *z.shape)
        for _ in range(loops):
            z = torch.zeros_like(x) if restart else z
            z = z if once or each else inject(z)
            for block in blocks:
                z = block(inject(z) if each else z)
            ends.append(z)
        return ends[-1] if last else torch.stack(ends)

    return answer


def every(stack):
    return [weight for module in stack for weight in module.parameters()]


def distinct(stack, key):
    return sum(
        weight.numel() for weight in {key(weight): weight for weight in every(stack)}.values()
    )


def gradient(shared=False, detach=False, local=False, total=False, backwards=False):
    def answer(step, weight, z, loops, loss):
        copies = [weight.detach().clone().requires_grad_() for _ in range(loops)]
        if shared:
            copies = copies[:1] * loops
        losses = []
        for copy in copies:
            z = step(z.detach() if detach or local else z, copy)
            losses.append(loss(z))
        end = sum(losses) if local else losses[-1]
        found = torch.autograd.grad(end, copies, allow_unused=True, materialize_grads=True)
        found = torch.stack(found[::-1] if backwards else found)
        return found.sum(0) if total else found

    return answer


def unit(a, b):
    return a.norm(dim=-1) + b.norm(dim=-1)


Model = solution("01.6")


class NotInjected(Model):
    def step(self, z, x):
        for block in self.blocks:
            z = block(z)
        return z


class InjectedOnce(Model):
    def step(self, z, x):
        z = z if z.any() else self.mix(torch.cat((z, x), dim=-1))
        for block in self.blocks:
            z = block(z)
        return z


class Restarted(Model):
    def step(self, z, x):
        return super().step(torch.zeros_like(z), x)


class OwnWeightsInEachLoop(Model):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(Model().blocks[0] for _ in range(6))
        self.loop = 0

    def step(self, z, x):
        self.loop += 1
        return self.blocks[self.loop % 6](self.mix(torch.cat((z, x), dim=-1)))


class OneTable(Model):
    def __init__(self):
        super().__init__()
        self.parent = self.own


class Ordered(Model):
    def __init__(self):
        super().__init__()
        self.place = nn.Embedding(12, 32)

    def encode(self, tokens):
        return super().encode(tokens) + self.place(torch.arange(tokens.shape[1]))


# exercise -> [(wrong answer, part of the sentence it should get)]
BANK = {
    "01.1": [
        (through(residual=False), "attention replaces"),
        (through(lost=True), "what attention brought is lost"),
        (through(norm=False), "attention reads the state without a norm"),
        (through(other=True), "norm2"),
        (through(both=True), "two things"),
        (through(post=True), "behind the sums"),
    ],
    "01.2": [
        (loop(once=True), "once, in front of the loop"),
        (loop(each=True), "in front of every block"),
        (loop(swap=True), "state first"),
        (loop(restart=True), "at zero again"),
        (loop(last=True), "only the last state"),
        (loop(alone=True), "looped by itself"),
    ],
    "01.3": [
        (lambda stack: sum(weight.numel() for weight in every(stack)), "again in every pass"),
        (lambda stack: len({id(weight) for weight in every(stack)}), "counts tensors"),
        (lambda stack: distinct(stack, lambda weight: weight.shape), "one shape"),
        (lambda stack: distinct(stack, lambda w: tuple(w.flatten().tolist())), "equal values"),
        (lambda stack: sum(w.numel() for w in every(set(stack))), "two modules"),
        (
            lambda stack: sum({id(w): w.numel() for w in every(stack) if w.requires_grad}.values()),
            "frozen",
        ),
    ],
    "01.4": [
        (gradient(shared=True), "whole sum"),
        (gradient(detach=True), "only the last pass"),
        (gradient(local=True), "after every pass"),
        (gradient(total=True), "a row for each pass"),
        (gradient(backwards=True), "wrong order"),
    ],
    "01.5": [
        (lambda a, b: (a - b).norm(dim=-1), "no unit"),
        (lambda a, b: (a - b).norm(dim=-1) / unit(a, b), "half of it"),
        (lambda a, b: (a - b).norm(dim=-1) / a.norm(dim=-1), "first state's length"),
        (lambda a, b: torch.cosine_similarity(a, b, dim=-1), "cosine"),
        (lambda a, b: (a - b).norm() / (unit(a, b).norm() / 2), "one number"),
        (lambda a, b: 2 * (a - b).square().sum(-1) / unit(a, b), "squared"),
    ],
    "01.6": [
        (NotInjected, "no difference to a pass: inject"),
        (InjectedOnce, "while the state is zero, once"),
        (Restarted, "carried on"),
        (OwnWeightsInEachLoop, "the same weights"),
        (OneTable, "same table"),
        (Ordered, "order of the tokens"),
    ],
}
