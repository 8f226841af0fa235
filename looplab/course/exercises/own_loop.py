"""The learner's own looped model: written in chapter 01, trained in 02, looked into from 03 on."""

import base64

import torch
from safetensors.torch import load as read_safetensors
from safetensors.torch import save as safetensors_bytes
from torch import nn

from looplab.course import passport
from looplab.course.exercises.catalogue import exercise
from looplab.course.exercises.judge_socket import grader_address
from looplab.course.exercises.judging import judge
from looplab.course.exercises.owners import remember, whose
from looplab.course.exercises.sandbox import OutOfTime, guarded
from looplab.model import Loop, LoopedConfig, LoopedTransformer, adapt
from looplab.zoo import checkpoints

EXERCISE = "01.6"
# Who was trained how in chapter 02, and which of looplab's models stands in.
STAND_INS = {"plain": "root-k1", "rest": "root-k1-penalty"}
SECONDS = 5.0


def my_loop(trained: str = "") -> Loop:
    """The learner's own looped model for find-the-root, adapted; prints whose it is.

    Without a name a fresh one, with weights as its class draws them; "plain" and "rest" are the two
    trainings of chapter 02, in eval mode and without gradients. It comes from exercise 01.6 and
    the weights that `keep_loop` kept, in this kernel or in a passport beside the notebook; where
    there is none, or it does not pass, looplab's stands in. Raises ValueError for another name.

    >>> my_loop("plain").config.width
    01.6: looplab's model stands in: there is no passed answer to 01.6 in a passport here
    32
    """
    if trained and trained not in STAND_INS:
        raise ValueError(f"my_loop({trained!r}): expected one of {', '.join(STAND_INS)}, or none")
    model, told = (None, "a graded notebook has no passport") if grader_address() else _own(trained)
    remember(EXERCISE, "yours" if model else "looplab's")
    if model is not None:
        print(f"{EXERCISE}: your own model{told}")
        return model
    print(f"{EXERCISE}: looplab's model stands in: {told}")
    return checkpoints.load(STAND_INS[trained]) if trained else LoopedTransformer(_stand_in())


def keep_loop(name: str, model: Loop) -> None:
    """Keep the weights of the learner's trained model for the passport; prints what it did.

    `name` is "plain" or "rest" and `model` what `my_loop()` gave; looplab's own, which stands in
    for it, is not kept. Raises ValueError for another name.
    """
    if name not in STAND_INS:
        raise ValueError(f"keep_loop({name!r}): expected one of {', '.join(STAND_INS)}")
    if whose(EXERCISE) != "yours":
        print(f"{name!r} is not kept: this is looplab's model, and every chapter has one like it")
        return
    weights = {key: value.detach().contiguous() for key, value in model.module.state_dict().items()}
    passport.keep_model(name, safetensors_bytes(weights))
    print(f"{name!r} is kept: passport.save() writes it into your passport, for later chapters")


def _stand_in() -> LoopedConfig:
    """An untrained model like the committed ones."""
    return LoopedConfig.from_dict(checkpoints.card(STAND_INS["plain"])["config"])


def _own(trained: str) -> tuple[Loop | None, str]:
    """The learner's model and where it is from; or None and why there is none."""
    # Not above: while a notebook is graded there are no solutions to import.
    from looplab.course.exercises.solutions import given

    answers, models = passport.here()
    passed = [answer.source for answer in answers.get(EXERCISE, ()) if answer.passed]
    if not passed:
        return None, f"there is no passed answer to {EXERCISE} in a passport here"
    if trained and trained not in models:
        return None, f"your passport has no {trained!r} model: train it in chapter 02 and save"
    before = [
        each[0].source for id, each in answers.items() if id[:2] == EXERCISE[:2] and each[0].passed
    ]
    space = {"__name__": f"your answer to {EXERCISE}", "torch": torch, "nn": nn}
    space["F"] = nn.functional
    try:
        with guarded(SECONDS):
            # Its cell stands on its own, but may use the chapter's block and earlier answers.
            for source in (given(EXERCISE[:2], "block-class"), *before, passed[0]):
                exec(compile(source, f"<your answer to {EXERCISE}>", "exec"), space)
        verdict = judge(exercise(EXERCISE), space["MyLoop"])
        if verdict.kind != "passed":
            return None, f"your answer to {EXERCISE}: {verdict.mistake or verdict.kind}"
        module = space["MyLoop"]()  # draws its weights from the notebook's random state
        if not trained:
            return adapt(module), ""
        weights = read_safetensors(base64.b64decode(models[trained].weights))
        module.load_state_dict(weights)
    except (Exception, OutOfTime) as error:
        return None, f"your own cannot be made here ({type(error).__name__}: {error})"
    return adapt(module.eval().requires_grad_(False)), f", trained in chapter 02 ({trained!r})"
