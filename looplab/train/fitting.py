"""The training loop: the fifteen lines of chapter 02, hardened."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path

import torch

from looplab.basics.threads import faster_threads, use_threads
from looplab.basics.whole import whole_number
from looplab.model import LoopedTransformer
from looplab.tasks import Batch, Task
from looplab.tasks.batch import check_drawn
from looplab.train import saving
from looplab.train.draws import Seeds, drawn_batches
from looplab.train.evaluating import Evaluate, Evaluations
from looplab.train.interrupt import stop_on_interrupt
from looplab.train.processes import Processes, join
from looplab.train.recipe import Recipe
from looplab.train.step import (
    NO_TARGET,
    Progress,
    batch_loss,
    drawn_start,
    parts_of,
    train_step,
)
from looplab.train.telling import Teller, telling

SAVE_SECONDS = 30.0  # a checkpoint is written this often, at the end, and on an interrupt


@dataclass(frozen=True)
class History:
    """What happened during `fit`."""

    steps: int  # steps taken, those before a resume included
    loss: list[float]  # [step]
    loops: list[int]  # [step]
    seconds: float  # of wall-clock time, those before a resume included
    interrupted: bool
    device: str
    threads: int
    evaluations: list[dict] = field(default_factory=list)  # {"step": ..., and what was found}


def fit(
    model: LoopedTransformer,
    task: Task,
    recipe: Recipe,
    checkpoint: str | Path | None = None,
    progress: bool = True,
    device: str | None = None,
    threads: int | None = None,
    *,
    accumulate: int = 1,
    evaluate: Evaluate | None = None,
    every: int = 100,
    seconds: float | None = None,
) -> History:
    """Train a model in place, on a GPU when there is one; it returns to the device it came from.

    task: callable (batch, generator) -> Batch, such as functools.partial(find_root, max_depth=5).
    checkpoint: a file to save to and to resume from. A resumed run ends in the same weights, bit
        for bit on one CPU, as one that was never interrupted. A finished run goes on where the
        recipe now has more steps, at the learning rates of that longer recipe. A run is known by
        its start weights, its recipe and its first batch: build the model as it was built then.
    device: None for the GPU when there is one (bfloat16 where the GPU has it), else the CPU.
    progress: a bar with loss, tokens a second and time left; without one a long run writes a line
        to stderr every half minute.
    threads: CPU threads; None to time a step with one and with all, and keep the faster.
    accumulate: run each batch in so many parts, to save memory; loss and gradient are the whole's.
    evaluate: function (model, step) -> None or a dict of numbers, called with the model in eval
        mode and without gradients every `every` steps and after the last; what it returns is
        written out, and kept in the history and the checkpoint.
    seconds: end this call after the step in which so much time has passed; called again with the
        same checkpoint, it goes on.

    A script that torchrun starts in several processes trains one model in all of them, with the
    result of one process up to rounding: a batch is the recipe's, of which each runs its rows, on
    CPUs or on one GPU each (this was never run on GPUs). The first process lends the others its
    start weights; it alone writes the checkpoint, calls `evaluate` and shows progress. All end
    after the same step, and any number of processes goes on from a checkpoint.

    An interrupt (Ctrl-C, or the stop button) ends training after the step in hand; the model
    keeps what it has learned. Same recipe, same threads and same start weights: same result.
    Frozen weights stay as they are; a token whose target is -100 has no say in the loss.

    Raises ValueError for a checkpoint of another run, for a file that is no checkpoint, for a model
    that is frozen altogether, for batches the model cannot answer, and for a batch smaller than
    the number of processes; FloatingPointError when the loss stops being a number (the model then
    holds the last good weights).
    Source: Huginn's training (arXiv 2502.05171, section 3.3), at toy scale.

    Example:
        >>> from functools import partial
        >>> from looplab import LoopedConfig, LoopedTransformer, tasks, train
        >>> _ = torch.manual_seed(0)
        >>> model = LoopedTransformer(LoopedConfig(
        ...     vocab=4, fields=2, width=16, heads=2, attention="full", position="none"))
        >>> recipe = train.Recipe(steps=3, batch=8, loops=train.UniformLoops(1, 3))
        >>> task = partial(tasks.find_root, nodes=4, max_depth=2)
        >>> train.fit(model, task, recipe, progress=False).steps
        3
    """
    if seconds is not None and not seconds > 0:
        raise ValueError(f"seconds={seconds!r}: expected a number above zero, or None")
    if whole_number("accumulate", accumulate, 1) > recipe.batch:
        raise ValueError(f"accumulate={accumulate}: a batch of {recipe.batch} has no more parts")
    ours = join(torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu")))
    parts = parts_of(ours.rows(recipe.batch), accumulate)
    looks, seeds = Evaluations(evaluate, every, recipe.steps, ours), Seeds(recipe)
    path = None if checkpoint is None else Path(checkpoint).expanduser()
    _check_model(model)
    _check_loops(model, recipe, seeds.loops)
    with _training(model, ours.device):
        ours.copy_first(model.state_dict().values())
        optimizer = torch.optim.AdamW(
            model.parameters(),
            recipe.lr,
            betas=(0.9, 0.95),
            weight_decay=recipe.weight_decay,
            fused=True,
        )
        past, run = saving.Saved(0, [], [], 0.0, 0, []), {}
        drawn: Iterator[Batch] | None = None
        if path is not None and path.exists():
            past, run = saving.restore(
                path, model, optimizer, task, recipe, lambda begun: _first_batch(task, begun)[0]
            )
        elif path is not None:
            first, drawn = _first_batch(task, recipe)
            run = saving.identity(model, task, recipe, first)
        ours.check_same("a checkpoint of this many steps:", past.step)  # before one is written
        if past.threads:  # the number of threads changes the last bits, so a resumed run keeps it
            threads = past.threads
        elif threads is None:
            threads = ours.told(_best_threads(model, task, recipe, seeds, parts[0]))
        looks.found += past.evaluations
        done, begun = Progress(list(past.loss)), time.perf_counter()

        def reached() -> saving.Saved:
            spent = past.seconds + time.perf_counter() - begun
            loops = past.loops + seeds.loops[past.step : done.step]
            return saving.Saved(done.step, done.loss, loops, spent, threads, looks.found)

        def save() -> None:
            if path is not None and ours.first:
                saving.save(path, run, model, optimizer, reached())

        if not past.threads:
            save()  # before the first step: a folder that cannot be written shows up at once
        with use_threads(threads):
            if drawn is None:
                drawn = drawn_batches(task, recipe, seeds, done.step)
            with telling(recipe.steps, done.step, progress, not ours.first) as teller:

                def after() -> bool:
                    if found := looks.after(model, done.step):
                        teller.say(found)
                    return seconds is None or not ours.any(time.perf_counter() - begun >= seconds)

                take = partial(train_step, model, optimizer, accumulate=accumulate, ours=ours)
                interrupted = _take_steps(
                    model, take, drawn, recipe, seeds, done, save, after, teller, ours
                )
        optimizer.zero_grad()
        now = reached()
    return History(
        now.step,
        now.loss,
        now.loops,
        now.seconds,
        interrupted,
        str(ours.device),
        threads,
        looks.found,
    )


def _take_steps(
    model: LoopedTransformer,
    take: Callable[..., None],
    drawn: Iterator[Batch],
    recipe: Recipe,
    seeds: Seeds,
    done: Progress,
    save: Callable[[], None],
    after: Callable[[], bool],
    teller: Teller,
    ours: Processes,
) -> bool:
    """Train from where `done` is to the end or to an interrupt; returns whether there was one.

    `take` takes a step; `after` it says whether to go on. Saves now and then, and at the end.
    """
    first, saved_at, interrupted, going = done.step, time.perf_counter(), False, True
    generator = torch.Generator(ours.device)
    with stop_on_interrupt() as stop:
        try:
            for batch in drawn:
                interrupted = ours.any(bool(stop))
                if interrupted or not going:
                    break
                if done.step == first:
                    ours.check_same("a batch with the fingerprint", saving.fingerprint(batch))
                    _check_batch(model, batch)
                batch = Batch(*(_usable(tensor, ours.device) for tensor in batch))
                generator.manual_seed(seeds.noise[done.step])
                loops = seeds.loops[done.step]
                take(batch, recipe, loops, generator, done)
                teller.step(done, batch.tokens.shape[0] * batch.tokens.shape[1])
                going = after()
                if time.perf_counter() - saved_at > SAVE_SECONDS:
                    save()
                    saved_at = time.perf_counter()
        except KeyboardInterrupt:
            # Raised by a second interrupt, or by the task; a half-taken update is not saved.
            interrupted = True
        interrupted = interrupted or bool(stop)
        if not done.torn and done.step > first:
            save()
        early = done.step < recipe.steps
        teller.end(done, "Stopped" if interrupted else "Its time is up" if early else None)
    return interrupted


@contextmanager
def _training(model: LoopedTransformer, where: torch.device) -> Iterator[None]:
    """The model in training mode on a device; it goes back to the mode and device it came from."""
    home, was_training = model.head.weight.device, model.training
    try:
        model.to(where).train()
        with torch.inference_mode(False), torch.enable_grad():  # also inside a no_grad
            yield
    finally:
        model.to(home).train(was_training)


def _first_batch(task: Task, recipe: Recipe) -> tuple[Batch, Iterator[Batch]]:
    """The first batch of a run, and all of its batches with that one in front."""
    drawn = drawn_batches(task, recipe, Seeds(recipe))
    first = next(drawn)
    return first, chain([first], drawn)


def _usable(tensor: torch.Tensor, where: torch.device) -> torch.Tensor:
    """On the device, and not one of torch.inference_mode, which no graph can hold."""
    return tensor.to(where).clone() if tensor.is_inference() else tensor.to(where)


def _best_threads(
    model: LoopedTransformer, task: Task, recipe: Recipe, seeds: Seeds, rows: slice
) -> int:
    """Threads that run `rows` of the first step faster; changes no weights and no random state."""
    if model.head.weight.device.type != "cpu":
        return torch.get_num_threads()
    drawn = task(recipe.batch, torch.Generator().manual_seed(seeds.data[0]))
    batch = check_drawn(drawn, recipe.batch)
    _check_batch(model, batch)
    batch = Batch(*(_usable(tensor, model.device) for tensor in batch))
    start = drawn_start(model, batch, torch.Generator().manual_seed(0))

    def work() -> None:
        batch_loss(model, batch, recipe, seeds.loops[0], start, rows).backward()

    threads = faster_threads(work)
    model.zero_grad()
    return threads


def _check_loops(model: LoopedTransformer, recipe: Recipe, loops: list[int]) -> None:
    config = model.config
    if not config.tied and set(loops) != {config.loops}:
        raise ValueError(
            f"loops is {recipe.loops!r}, but this unrolled model has weights for exactly "
            f"{config.loops} loops: set loops={config.loops} in the recipe"
        )


def _check_model(model: LoopedTransformer) -> None:
    weights = list(model.parameters())
    if not any(weight.requires_grad for weight in weights):
        raise ValueError(
            "every weight of this model is frozen, as zoo.load leaves them: call "
            "model.requires_grad_() first"
        )
    if any(weight.is_inference() for weight in weights):
        raise ValueError(
            "this model was made under torch.inference_mode, which nothing can train: make it "
            "outside of that block"
        )


def _check_batch(model: LoopedTransformer, batch: Batch) -> None:
    tokens, targets, _ = batch
    if targets.shape != tokens.shape[:2]:
        raise ValueError(
            f"targets have shape {tuple(targets.shape)}; expected one per token, "
            f"{tuple(tokens.shape[:2])}"
        )
    if targets.is_floating_point() or targets.dtype == torch.bool:
        raise ValueError(f"targets have dtype {targets.dtype}: expected whole numbers, .long()")
    told = targets[targets.long() != NO_TARGET]
    if not len(told):
        raise ValueError(f"every target is {NO_TARGET}, so there is nothing to learn from")
    low, high = int(told.min()), int(told.max())
    classes = model.config.answers
    if low < 0:
        raise ValueError(
            f"targets run from {low} to {high}: classes count from 0, and a token without a target "
            f"has {NO_TARGET}"
        )
    if high >= classes:
        raise ValueError(
            f"targets run from {low} to {high}, but the model has classes 0 to {classes - 1}: "
            f"build it with LoopedConfig(classes={high + 1}, ...)"
        )
