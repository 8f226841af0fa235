"""The training loop: the fifteen lines of chapter 02, hardened."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from looplab.model import LoopedTransformer
from looplab.tasks import Batch, Task, batches
from looplab.train import saving
from looplab.train.interrupt import stop_on_interrupt
from looplab.train.recipe import Recipe
from looplab.train.threads import faster_threads, use_threads

BLOCK = 64  # batches drawn at once
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


def fit(
    model: LoopedTransformer,
    task: Task,
    recipe: Recipe,
    checkpoint: str | Path | None = None,
    progress: bool = True,
    device: str | None = None,
    threads: int | None = None,
) -> History:
    """Train a model in place, on a GPU when there is one; it returns to the device it came from.

    task: callable (batch, generator) -> Batch, such as functools.partial(find_root, max_depth=5).
    checkpoint: a file to save to and to resume from. A resumed run ends in the same weights, bit
        for bit on one CPU, as one that was never interrupted.
    device: None for the GPU when there is one (bfloat16 where the GPU has it), else the CPU.
    threads: CPU threads; None to time a step with one and with all, and keep the faster.

    An interrupt (Ctrl-C, or the stop button) ends training after the step in hand; the model
    keeps what it has learned. Same recipe, same threads and same start weights: same result.

    Raises ValueError for a checkpoint of another run, for a file that is no checkpoint, and for
    batches the model cannot answer; FloatingPointError when the loss stops being a number (the
    model then holds the last good weights).
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
    seeds = _Seeds(recipe)
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    home, was_training = next(model.parameters()).device, model.training
    path = None if checkpoint is None else Path(checkpoint)
    run = saving.identity(model, task, recipe)
    _check_loops(model, recipe, seeds.loops)

    with ExitStack() as stack:
        stack.callback(model.train, was_training)
        stack.callback(model.to, home)
        model.to(where).train()
        optimizer = torch.optim.AdamW(
            model.parameters(),
            recipe.lr,
            betas=(0.9, 0.95),
            weight_decay=recipe.weight_decay,
            fused=True,
        )
        past = saving.Saved(0, [], [], 0.0, 0)
        if path is not None and path.exists():
            past = saving.restore(path, run, model, optimizer)
        if past.threads:  # the number of threads changes the last bits, so a resumed run keeps it
            threads = past.threads
        elif threads is None:
            threads = torch.get_num_threads()
            if where.type == "cpu":
                threads = _probe(model, task, recipe, seeds)
        stack.enter_context(use_threads(threads))

        step, loss = past.step, list(past.loss)
        started, interrupted = time.perf_counter(), False

        def save() -> None:
            if path is not None:
                seconds = past.seconds + time.perf_counter() - started
                now = saving.Saved(step, loss, seeds.loops[:step], seconds, threads)
                saving.save(path, run, model, optimizer, now)

        if not past.threads:
            save()  # before the first step: a folder that cannot be written shows up at once
        saved_at, updating = time.perf_counter(), False
        generator = torch.Generator(where)
        stop = stack.enter_context(stop_on_interrupt())
        bar = stack.enter_context(_progress_bar(recipe.steps, step, progress))
        try:
            for batch in _stream(task, recipe, seeds, first=step):
                if stop:
                    break
                if step == past.step:
                    _check_batch(model, batch)
                loops = seeds.loops[step]
                generator.manual_seed(seeds.noise[step])
                batch = Batch(*(tensor.to(where) for tensor in batch))
                value = _loss(model, batch, recipe, loops, generator)
                optimizer.zero_grad()
                value.backward()
                size = torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
                _check_finite(value, size, step, loops, recipe)
                for group in optimizer.param_groups:
                    group["lr"] = recipe.learning_rate(step)
                updating = True
                optimizer.step()
                loss.append(value.item())
                step += 1
                updating = False
                bar.update()
                if step % 10 == 0:
                    bar.set_postfix_str(f"loss {loss[-1]:.3f}", refresh=False)
                if time.perf_counter() - saved_at > SAVE_SECONDS:
                    save()
                    saved_at = time.perf_counter()
        except KeyboardInterrupt:
            # Raised by a second interrupt, or by the task; a half-taken update is not saved.
            interrupted = True
        interrupted = interrupted or bool(stop)
        if not updating and step > past.step:
            save()
        if interrupted and progress:
            bar.write(f"Stopped after {step} of {recipe.steps} steps; the model keeps them.")
        optimizer.zero_grad()
        seconds = past.seconds + time.perf_counter() - started
    return History(step, loss, seeds.loops[:step], seconds, interrupted, str(where), threads)


class _Seeds:
    """Loops [step], noise seeds [step] and data seeds [block] of a recipe."""

    def __init__(self, recipe: Recipe):
        generator = torch.Generator().manual_seed(recipe.seed)
        fixed = isinstance(recipe.loops, int)
        steps, blocks = recipe.steps, -(-recipe.steps // BLOCK)
        self.loops = [recipe.loops] * steps if fixed else recipe.loops.draw(steps, generator)
        self.noise = torch.randint(2**62, (steps,), generator=generator).tolist()
        self.data = torch.randint(2**62, (blocks,), generator=generator).tolist()


def _stream(task: Task, recipe: Recipe, seeds: _Seeds, first: int) -> Iterator[Batch]:
    """The batches of steps first, first + 1, ...: the same ones whatever `first` is."""
    for block in range(first // BLOCK, len(seeds.data)):
        begin = block * BLOCK
        size = min(BLOCK, recipe.steps - begin)
        generator = torch.Generator().manual_seed(seeds.data[block])
        drawn = batches(task, recipe.batch, generator, size)
        yield from islice(drawn, max(first - begin, 0), size)


def _loss(
    model: LoopedTransformer, batch: Batch, recipe: Recipe, loops: int, generator: torch.Generator
) -> Tensor:
    """Cross-entropy over every token, of the last loop or of all, plus the penalty."""
    on_all = recipe.loss_on == "all"
    device = batch.tokens.device.type
    # T4-class GPUs only emulate bfloat16, slowly; they train in float32.
    half = device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    with torch.autocast(device, torch.bfloat16, enabled=half):
        out = model(
            batch.tokens,
            loops,
            grad_loops=recipe.grad_loops,
            generator=generator,
            every_loop=on_all or recipe.penalty > 0,
        )
        logits = out.logits[None]  # [loop, batch, token, class]
        if on_all:
            ends = out.loop_states[-(recipe.grad_loops or loops) :]
            logits = model.readout(ends, batch.tokens)
    targets = batch.targets.expand(logits.shape[:-1])
    loss = F.cross_entropy(logits.float().flatten(0, -2), targets.flatten())
    if recipe.penalty > 0 and loops > 1:
        before, last = out.loop_states[-2:].float()
        relative = (last - before).norm(dim=-1) / last.norm(dim=-1).clamp_min(1e-12)
        loss = loss + recipe.penalty * relative.mean()
    return loss


def _probe(model: LoopedTransformer, task: Task, recipe: Recipe, seeds: _Seeds) -> int:
    """Threads that run the first step faster; changes neither weights nor random state."""
    batch = task(recipe.batch, torch.Generator().manual_seed(seeds.data[0]))
    _check_batch(model, batch)

    def work() -> None:
        noise = torch.Generator().manual_seed(0)
        _loss(model, batch, recipe, seeds.loops[0], noise).backward()

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


def _check_batch(model: LoopedTransformer, batch: Batch) -> None:
    tokens, targets, _ = batch
    if targets.shape != tokens.shape[:2]:
        raise ValueError(
            f"targets have shape {tuple(targets.shape)}; expected one per token, "
            f"{tuple(tokens.shape[:2])}"
        )
    low, high = int(targets.min()), int(targets.max())
    classes = model.config.answers
    if low < 0 or high >= classes:
        raise ValueError(
            f"targets run from {low} to {high}, but the model has classes 0 to {classes - 1}: "
            f"build it with LoopedConfig(classes={high + 1}, ...)"
        )


def _check_finite(loss: Tensor, size: Tensor, step: int, loops: int, recipe: Recipe) -> None:
    if not (loss.isfinite() and size.isfinite()):
        raise FloatingPointError(
            f"step {step} ({loops} loops) gave loss {loss.item():.3g} and gradient size "
            f"{size.item():.3g}; the model holds the weights from before it. "
            f"Try a lower lr (now {recipe.lr}), a longer warmup (now {recipe.warmup}), fewer "
            "loops, or a norm that bounds the state"
        )


def _progress_bar(steps: int, first: int, shown: bool):
    from tqdm.auto import tqdm  # not at import time: it looks for a notebook

    return tqdm(total=steps, initial=first, disable=not shown, unit="step", mininterval=0.2)
