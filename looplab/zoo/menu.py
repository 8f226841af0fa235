"""Which released models there are to choose from, and what one costs before it is fetched.

Sizes follow from the configs below, which are those of the released files as others report them;
no released file has been read by us. What a download takes is what the hub displays.
"""

import os
import time
from dataclasses import dataclass, replace

import torch

from looplab.model import LoopedConfig, LoopedTransformer
from looplab.tracing import plan

_GATED = {"mlp": "gated", "activation": "silu"}
_RETROFIT = LoopedConfig(
    vocab=128256,
    width=2048,
    prelude=4,
    core=6,
    coda=4,
    loops=16,
    heads=32,
    kv_heads=8,
    mlp_width=8192,
    norm_eps=1e-5,
    injection="concat",
    start="normal",
    start_std=0.008703882797784892,
    rope_theta=500_000.0,
    rope_scaling=(32.0, 1.0, 4.0, 8192.0),
    **_GATED,
)


@dataclass(frozen=True)
class Released:
    """One released model."""

    hub: str  # its id on the Hugging Face hub
    download: float  # GB
    licence: str
    config: LoopedConfig  # loops: those of its training


RELEASED = {
    "huginn": Released(
        "tomg-group-umd/huginn-0125",
        15.7,
        "Apache-2.0",
        LoopedConfig(
            vocab=65536,
            width=5280,
            prelude=2,
            core=4,
            coda=2,
            loops=32,
            heads=55,
            mlp_width=17920,
            norm="residual_sandwich",
            injection="concat",
            start="normal",
            position="rope_interleaved",
            rope_theta=50_000.0,
            qk_bias=True,
            embed_scale=72.6636084983398,
            tie_head=True,
            **_GATED,
        ),
    ),
    "ouro": Released(
        "ByteDance/Ouro-1.4B",
        2.9,
        "Apache-2.0",
        LoopedConfig(
            vocab=49152,
            width=2048,
            core=24,
            loops=4,
            heads=16,
            mlp_width=5632,
            norm="branch_sandwich",
            rope_theta=1e6,
            exit_gate=True,
            **_GATED,
        ),
    ),
    "retrofit": Released(
        "smcleish/Recurrent-Llama-3.2-train-recurrence-16",
        5.5,
        "Llama 3.2 community licence",
        _RETROFIT,
    ),
    "ifm": Released(
        "IFM/LoopedLM-P2-huginn-s-fixed-r5",
        0.6,
        "Apache-2.0",
        LoopedConfig(
            vocab=64256,
            width=1536,
            prelude=1,
            core=2,
            coda=1,
            loops=5,
            heads=24,
            kv_heads=6,
            head_dim=64,
            mlp_width=4352,
            injection="diagonal",
            start="hashed",
            start_std=1536**-0.5,
            position="rope_interleaved",
            rope_theta=1e6,
            **_GATED,
        ),
    ),
    "albert": Released(
        "albert/albert-base-v2",
        0.05,
        "Apache-2.0",
        LoopedConfig(
            vocab=30000,
            width=768,
            loops=12,
            heads=12,
            mlp_width=3072,
            activation="gelu_tanh",
            norm="post",
            norm_kind="layer",
            norm_eps=1e-12,
            attention="full",
            position="learned",
            places=512,
            bias=True,
            embed_width=128,
            embed_norm=True,
            types=2,
            masked_lm=True,
            tie_head=True,
        ),
    ),
    "hrm-text": Released(
        "sapientinc/HRM-Text-1B",
        2.4,
        "Apache-2.0",
        LoopedConfig(
            vocab=65536,
            width=1536,
            core=64,
            loops=2,
            heads=12,
            head_dim=128,
            mlp_width=4096,
            norm_kind="bare",
            embed_scale=50.0,
            low_cycles=3,
            attn_gate=True,
            prefix_lm=True,
            **_GATED,
        ),
    ),
}
# What the course's menu offers: each of these has a miniature
MENU = {name: RELEASED[name] for name in ("huginn", "ouro", "retrofit")}


@dataclass(frozen=True)
class Cost:
    """What a traced run takes, in bytes and operations, before anything is fetched."""

    parameters: int
    memory: int  # bytes of weights
    trace: int  # bytes of the trace
    operations: int  # multiplications and additions of one run

    def seconds(self, dtype: torch.dtype = torch.float32) -> float:
        """A guess for this machine's CPU, from timing one product of matrices."""
        return self.operations / _operations_a_second(dtype)


def cost(name: str, tokens: int = 40, loops: int = 32, dtype: torch.dtype = torch.float32) -> Cost:
    """What `trace` of a released model would take on one sequence; ValueError for another name.

    >>> cost("huginn").parameters, round(cost("ouro", loops=4).memory / 1e9, 1)
    (3564976800, 5.7)
    """
    if name not in RELEASED:
        raise ValueError(f"no model {name!r} on the menu: it has {', '.join(RELEASED)}")
    config = RELEASED[name].config
    with torch.device("meta"):  # shapes without memory
        model = LoopedTransformer(replace(config, loops=1)).to(dtype)
        kept = sum(plan(model, torch.zeros(1, tokens, dtype=torch.long), loops).values())
    core = sum(weight.numel() for weight in model.cores.parameters())
    whole = sum(weight.numel() for weight in model.parameters())
    # Looking up an embedding is no product; a tied one is, once, as the head.
    products = whole - (0 if config.tie_head else model.embed[0].weight.numel()) - core
    return Cost(whole, whole * dtype.itemsize, kept, 2 * tokens * (products + loops * core))


def _operations_a_second(dtype: torch.dtype) -> float:
    x, weight = torch.ones(40, 2048, dtype=dtype), torch.ones(2048, 8192, dtype=dtype)
    x @ weight  # the first one also starts threads
    rounds, begin = 0, time.perf_counter()
    while time.perf_counter() - begin < 0.2:
        x @ weight
        rounds += 1
    return rounds * 2 * x.shape[0] * weight.numel() / (time.perf_counter() - begin)


def memory_here() -> int | None:
    """Bytes of memory that this machine has, where the system says so."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def statement(name: str, tokens: int = 40, loops: int = 32) -> str:
    """What choosing a model means: size, memory and time, in three sentences."""
    takes, chosen, here = cost(name, tokens, loops), RELEASED[name], memory_here()
    needs = takes.memory + takes.trace
    machine = "" if here is None else f"; this machine has {here / 1e9:.0f} GB"
    enough = "" if here is None or here > 1.2 * needs else ", which is not enough"
    minutes = takes.seconds() / 60
    return (
        f"{chosen.hub} ({takes.parameters / 1e9:.1f} billion parameters, {chosen.licence}) is a "
        f"download of {chosen.download:g} GB. In float32 it takes {takes.memory / 1e9:.1f} GB of "
        f"memory, and a trace {takes.trace / 1e9:.2f} GB more{machine}{enough}. By a product of "
        f"matrices timed just now, one run of {loops} loops on {tokens} tokens takes about "
        f"{max(minutes, 0.1):.1f} minutes here; this chapter makes about ten."
    )
