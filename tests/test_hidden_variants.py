"""Inputs come from the seed: a right answer passes with any, numbers known by heart only with one.

These judge answers directly, which is what `looplab grade --seed` does outside of the notebook.
"""

import copy

import pytest
import torch

from looplab.course import build
from looplab.course.exercises import exercises, judge

CHAPTERS = sorted({build.number(source)[:2] for source in build.sources()})
TASKS = [task for number in CHAPTERS for task in exercises(number)]
LEARNT, UNSEEN = 0, (1, 7, 12345, 2**31)


def by_heart(value):
    """A copy without any connection to how it was computed."""
    return value.detach().clone() if isinstance(value, torch.Tensor) else copy.deepcopy(value)


class Parrot:
    """Listens to an answer while it is asked, then says the same again, whatever it is asked."""

    def __init__(self, answer):
        self.answer, self.heard, self.at = answer, [], None

    def __call__(self, *arguments, **keywords):
        if self.at is not None:
            told = self.heard[self.at % len(self.heard)]
            self.at += 1
            return told
        told = self.answer(*arguments, **keywords)
        if isinstance(told, torch.nn.Module):  # an answer that is the class of a model
            told = ParrotModel(told)
            self.heard.append(told)
        elif callable(told):  # an answer that makes a function
            told = Parrot(told)
            told.patterns = getattr(told.answer, "patterns", False)
            self.heard.append(told)
        else:
            self.heard.append(by_heart(told))
        return told

    def learnt(self):
        self.at = 0
        for one in self.heard:
            if isinstance(one, Parrot | ParrotModel):
                one.learnt()
        return self


class ParrotModel(torch.nn.Module):
    """Has the layers of a model; what its methods return is listened to, then said again."""

    def __init__(self, model):
        super().__init__()
        for name, layer in model.named_children():
            self.add_module(name, layer)
        self.encode, self.step, self.readout = map(
            Parrot, (model.encode, model.step, model.readout)
        )

    def learnt(self):
        for method in (self.encode, self.step, self.readout):
            method.learnt()


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.id)
def test_the_inputs_change_with_the_seed(task):
    for seed in UNSEEN:
        assert judge(task, task.reference, seed).kind == "passed"
        parrot = Parrot(task.reference)
        task.probe(parrot, LEARNT)
        assert judge(task, parrot.learnt(), seed).kind != "passed", f"seed {seed}"
