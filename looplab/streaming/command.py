"""Statistics of a model's runs on many prompts, on one machine or many.

    looplab trace MODEL --prompts FILE --loops N --out DIR [--dtype] [--device] [--batch]
    torchrun --nproc-per-node 8 -m looplab trace MODEL ...

MODEL is a checkpoint or a miniature of the course, such as hero or ouro-mini, "smollm2", a folder
or GGUF file of a released model, or its hub id.
FILE has one prompt per line, {"tokens": [...]}, {"text": "..."} or, for a model that was trained to
talk, {"messages": [{"role": "user", "content": "..."}, ...]}. Killed or interrupted, the same
command goes on where it was. Under torchrun each process takes its share of the prompts; they need
nothing of each other but the folder DIR.
"""

import argparse
import hashlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from looplab.basics.running import exit_status
from looplab.model import LoopedTransformer
from looplab.streaming import folder as out
from looplab.streaming.prompts import Prompt, batches, read
from looplab.streaming.run import FORMAT, plan, stream
from looplab.zoo.dtypes import DTYPES
from looplab.zoo.named import open_named


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit status."""
    given = _parser().parse_args(arguments)
    return exit_status("looplab trace", lambda: _run(given))


def _run(given: argparse.Namespace) -> None:
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    device = device_named(given.device)
    model, encode = open_named(given.model, DTYPES[given.dtype], device)
    model.check_loops(given.loops)
    note = never_looped(model, given.loops)
    if note and rank == 0:
        print(f"looplab trace: {note}", file=sys.stderr)
    prompts = read(given.prompts, model, encode)
    work = batches(prompts, given.batch)
    settings = {
        "format": FORMAT,
        "model": given.model,
        "weights": out.fingerprint(model),
        "prompts": out.prompts_fingerprint(prompts),
        "loops": given.loops,
        "dtype": given.dtype,
        "device": device.type,
        "batch": given.batch,
    }
    out.claim(given.out, settings)

    # Neighbours in length go to different processes, so that all have about the same to do.
    mine = range(rank, len(work), world)
    left = [number for number in mine if not out.batch_path(given.out, number).exists()]
    if left and rank == 0:
        most = max(_bytes(model, work[number], given.loops) for number in left)
        print(f"{most / 2**20:.1f} MiB beside the model and its forward pass", file=sys.stderr)
    total = sum(len(work[number]) for number in mine)
    to_do = sum(len(work[number]) for number in left)
    with tqdm(total=total, initial=total - to_do, unit="prompt", disable=rank > 0) as bar:
        for number in left:
            out.save_batch(given.out, number, work[number], _stream(model, work[number], given))
            bar.update(len(work[number]))
    # Whichever process finishes last finds every batch and writes the summary.
    if out.summarise(given.out, work, note) is not None:
        print(f"{len(prompts)} prompts in {given.out}: see summary.json")


def _stream(model: LoopedTransformer, batch: Sequence[Prompt], given: argparse.Namespace):
    device = model.head.weight.device
    tokens = torch.stack([prompt.tokens for prompt in batch]).to(device)
    most = _free_bytes(device)
    return stream(model, tokens, given.loops, state=start(model, batch), max_bytes=most)


def never_looped(model: LoopedTransformer, loops: int) -> str | None:
    """What to say where more loops than one repeat a whole model that was never looped.

    >>> from looplab import LoopedConfig
    >>> plain = LoopedTransformer(LoopedConfig(vocab=9, width=16, core=3, loops=1))
    >>> never_looped(plain, 1), never_looped(plain, 4)[:41]
    (None, 'this model was never looped, and --loops ')
    """
    config = model.config
    whole = not config.prelude and not config.coda and config.injection == "none"
    if loops == 1 or config.loops > 1 or not whole:
        return None
    return (
        f"this model was never looped, and --loops {loops} runs all of its {config.core} layers "
        f"{loops} times over. To loop some of them, trace what zoo.export(zoo.loopify(model, first,"
        " last, loops), FOLDER, 'looplab') writes"
    )


def start(model: LoopedTransformer, batch: Sequence[Prompt]) -> Tensor | None:
    """State at loop 0 [batch, token, width], drawn for each prompt from a seed of its own tokens.

    A prompt so starts from the same noise in any batch, process, dtype and order. None for a model
    that does not start from noise.

    >>> from looplab import LoopedConfig
    >>> model = LoopedTransformer(LoopedConfig(vocab=9, width=16, start="normal"))
    >>> batch = [Prompt(1, torch.arange(3)), Prompt(2, torch.arange(3) + 1)]
    >>> torch.equal(start(model, batch)[1:], start(model, batch[1:]))
    True
    """
    if model.config.start != "normal":
        return None
    drawn = []
    for prompt in batch:
        seed = hashlib.sha256(str(prompt.tokens.tolist()).encode()).digest()[:8]
        generator = torch.Generator().manual_seed(int.from_bytes(seed, "big") >> 1)
        drawn.append(model.start(torch.empty(len(prompt.tokens), model.config.width), generator))
    return torch.stack(drawn).to(model.head.weight)


def device_named(name: str | None) -> torch.device:
    """The one asked for, or a GPU where there is one; its own for each process of torchrun.

    ValueError for one that is not here.

    >>> device_named("cpu").type
    'cpu'
    """
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
    except RuntimeError as error:
        raise ValueError(f"--device {name}: {error}") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"--device {name}: PyTorch finds no GPU here, leave --device out")
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    return device


def _bytes(model: LoopedTransformer, batch: Sequence[Prompt], loops: int) -> int:
    tokens = batch[0].tokens.expand(len(batch), *batch[0].tokens.shape)
    return sum(plan(model, tokens, loops).values())


def _free_bytes(device: torch.device) -> int:
    """What is left of a GPU's memory; a machine's own is left to its system."""
    if device.type != "cuda":
        return sys.maxsize
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + unused


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="looplab trace",
        description="Statistics of a model's runs on many prompts.",
        epilog="Run the same command again to go on after an interruption. Under torchrun each "
        "process takes its share of the prompts.",
    )
    parser.add_argument(
        "model", metavar="MODEL", help="hero, ouro-mini, smollm2, a model's folder, or a hub id"
    )
    parser.add_argument(
        "--prompts",
        metavar="FILE",
        type=Path,
        required=True,
        help='lines of {"tokens": [...]}, {"text": "..."} or {"messages": [...]}',
    )
    parser.add_argument("--loops", metavar="N", type=_positive, required=True)
    parser.add_argument("--out", metavar="DIR", type=Path, required=True)
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="default float32")
    parser.add_argument("--device", help="default: a GPU where there is one")
    parser.add_argument(
        "--batch",
        metavar="N",
        type=_positive,
        default=1,
        help="prompts of one length that run together (default 1)",
    )
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a whole number of at least 1")
    return int(text)
