"""What a report will take, said before anything is run: bytes, runs, and operations."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from looplab.basics.memory import check_bytes
from looplab.model import LoopedConfig, LoopedTransformer
from looplab.reproduction.protocol import Protocol, never_loops, trained_loops
from looplab.streaming.statistics import block_rows, precise
from looplab.zoo.menu import memory_here

DRAWING = 192 * 2**20  # bytes of open figures and of the libraries that draw them
NEURONS = 2**23  # products of a neuron's vector with a token's, looked at in one go


def plan(model: LoopedTransformer, longest: int, protocol: Protocol) -> dict[str, int]:
    """Bytes that a report takes at its peak, for prompts of up to `longest` tokens.

    The model may be on "meta". "weights" are the model's own; on a CPU, "program" is what this
    process holds besides, and "drawing" what the figures add to it.

    >>> model = LoopedTransformer(LoopedConfig(vocab=10, width=16, heads=2, core=2, loops=3))
    >>> sizes = plan(model, 8, Protocol(figures=("steps", "distances")))
    >>> sizes["weights"], sizes["statistics"], "last token's states" in sizes
    (26176, 32768, False)
    """
    config = model.config
    short, kind = model.dtype.itemsize, precise(model.dtype)
    item, token = kind.itemsize, longest
    state = token * config.layer_width
    pattern = config.heads * token * token
    sizes = {
        "weights": sum(weight.numel() * weight.dtype.itemsize for weight in model.parameters()),
        # A layer's values, and the state in and out of it; the head's logits, once more in float32
        # for eight tokens.
        "forward pass": short * token * (10 * config.layer_width + 4 * config.hidden)
        + token * config.answers * short
        + 3 * 8 * config.answers * item
        + 4 * block_rows(token, torch.device("cpu")) * token * token * item,
        # Norm, step, distance and inner product of every token, at every layer of every loop
        "statistics": 4 * protocol.loops * config.core * token * item,
        "states": 2 * config.core * state * item + 4 * state * 8 + 4 * token * token * 8,
        "patterns": 2 * config.core * pattern * item,
    }
    if protocol.asks("labels"):
        sizes["last token's states"] = 3 * protocol.loops * config.core * config.layer_width * item
    if protocol.asks("distances"):
        # The illustration's, of more loops, are those of a few tokens.
        each, once = (min(protocol.loops, n) for n in (protocol.compared, protocol.compared_once))
        pairs = max((loops * config.core) ** 2 for loops in (each, once))
        sizes["patterns compared"] = each * config.core * pattern * item + 8 * 8 * pairs
    if protocol.asks("neurons"):
        tokens = min(protocol.vocabulary, config.answers)
        products = min(NEURONS, tokens * config.hidden)
        neurons = 4 * tokens * config.width * 4 + 4 * products * 4
        sizes["forward pass"] = max(sizes["forward pass"], neurons)
    if model.device.type in ("cpu", "meta"):
        loaded = sizes["weights"] if model.device.type == "cpu" else 0
        sizes["program"] = max(0, _program() - loaded)
        sizes["drawing"] = DRAWING
    return sizes


def operations(model: LoopedTransformer, lengths: Sequence[int], protocol: Protocol) -> int:
    """Multiplications and additions of all runs on prompts of these lengths, without attention.

    >>> model = LoopedTransformer(LoopedConfig(vocab=10, width=16, heads=2, core=2, loops=3))
    >>> operations(model, [8, 8], Protocol()) == 2 * operations(model, [8], Protocol())
    True
    """
    config = model.config
    layers = sum(weight.numel() for weight in model.cores[0].parameters())
    outside = sum(
        weight.numel() for weight in (*model.prelude.parameters(), *model.coda.parameters())
    )
    runs = protocol.loops * (2 if protocol.asks("limit", "labels") else 1)
    runs += trained_loops(config, protocol) * protocol.asks("ablation")
    return 2 * sum(lengths) * (runs * layers + 3 * outside + 16 * model.head.weight.numel())


def free_bytes(device: torch.device) -> int:
    """Bytes that a report may take: what is free on the GPU, or of the machine's memory.

    >>> free_bytes(torch.device("cpu")) > 0
    True
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        told = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        said = dict(line.split(":", 1) for line in told)
        return int(said["MemAvailable"].split()[0]) * 1024 + _program()
    except (OSError, KeyError, ValueError):
        return memory_here() or sys.maxsize  # a system that does not say


def check_memory(
    sizes: dict[str, int], config: LoopedConfig, protocol: Protocol, max_bytes: int
) -> None:
    """MemoryError with the sizes and what to do, where a plan exceeds `max_bytes`."""
    if never_loops(config):
        fewer = "cut the prompts with --tokens"
    else:
        fewer = "cut the prompts with --tokens, run fewer --loops"
    most = max((name for name in sizes if name not in ("program", "drawing")), key=sizes.get)
    remedy = {
        "weights": "run it in --dtype bfloat16 or on a larger machine",
        "patterns compared": f"leave distances out of --figures, or {fewer}",
        "last token's states": f"leave labels out of --figures, or {fewer}",
    }.get(most, fewer)
    check_bytes("this report", sizes, max_bytes, remedy)


def _program() -> int:
    """Bytes of memory that this process has now."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 2**29  # a system that does not say: what Python and torch take elsewhere
