"""What loading a released model costs beside reading its bytes, in time and in memory.

    python benchmarks/bench_load.py [huginn ouro llama]

The models have the families' own forms at a hundredth of their size, with random weights, sharded;
transformers loads the Llama too: it maps the files and reads them at first use, which makes it fast
here and leaves the model depending on its files; looplab copies. Files come from the page cache.
"""

import json
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file
from timing import interleave, ratios

from looplab.zoo import load
from looplab.zoo.families import FAMILIES
from looplab.zoo.files import ConfigFile

HUGINN = {
    "model_type": "huginn_raven",
    "n_embd": 768,
    "n_heads": 8,
    "num_key_value_heads": 8,
    "head_dim": 96,
    "intermediate_size": 2560,
    "padded_vocab_size": 65536,
    "n_layers_in_prelude": 2,
    "n_layers_in_recurrent_block": 4,
    "n_layers_in_coda": 2,
    "mean_recurrence": 32,
    "norm_eps": 1e-6,
    "rope_base": 50000,
    "qk_bias": True,
    "tie_embeddings": True,
    "init_values": {"std": 0.0228, "embed_scale": 27.7},
}
OURO = {
    "model_type": "ouro",
    "vocab_size": 49152,
    "hidden_size": 768,
    "intermediate_size": 2112,
    "num_hidden_layers": 24,
    "num_attention_heads": 6,
    "num_key_value_heads": 6,
    "head_dim": 128,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1e6,
    "total_ut_steps": 4,
}
LLAMA = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "vocab_size": 64128,
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 16,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
    "rms_norm_eps": 1e-5,
    "rope_theta": 5e5,
    "tie_word_embeddings": True,
}
MODELS = {
    "huginn": (HUGINN, torch.float32, {"transformer.core_block.0.norm_3.weight": None}),
    "ouro": (OURO, torch.bfloat16, {}),
    "llama": (LLAMA, torch.bfloat16, {"model.embed_tokens.weight": None}),
}
TIME_BOUND, MEMORY_BOUND = 1.3, 1.10


def write(model, folder):
    """A folder in the official form: two shards and their index. Returns the bytes of weights."""
    said, dtype, names = model
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(said))
    known = FAMILIES[said["model_type"]].translate(ConfigFile(folder / "config.json", said), names)
    parts = {part.name: part.shape for parts in known.tensors.values() for part in parts}
    torch.manual_seed(0)
    shards = {f"model-0000{i}-of-00002.safetensors": {} for i in (1, 2)}
    for number, (tensor, shape) in enumerate(parts.items()):
        shards[list(shards)[number % 2]][tensor] = torch.empty(shape, dtype=dtype).normal_()
    for file, tensors in shards.items():
        save_file(tensors, folder / file, metadata={"format": "pt"})
    weight_map = {tensor: file for file, tensors in shards.items() for tensor in tensors}
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return sum(x.nbytes for tensors in shards.values() for x in tensors.values())


PEAK = """
import ctypes, re, sys, torch
torch.set_num_threads(1)
from bench_load import CASES
from pathlib import Path

def peak():  # resident memory at its highest since the last reset, in bytes
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read()).group(1))

folder, case = Path(sys.argv[1]), CASES[sys.argv[2]]
case(Path(sys.argv[3]))  # a tiny one first, for what is imported on the way
ctypes.CDLL(None).malloc_trim(0)
open("/proc/self/clear_refs", "w").write("5")
before = peak()
model = case(folder)
print(peak() - before)
"""


def read_bytes(folder):
    return [path.read_bytes() for path in sorted(folder.glob("*.safetensors"))]


def load_llama(folder):
    from transformers import LlamaForCausalLM
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    return LlamaForCausalLM.from_pretrained(folder)


CASES = {"reading the bytes": read_bytes, "looplab": load, "transformers, mapped": load_llama}


def peak(folder, case, tiny):
    """Bytes by which resident memory grows at most while loading, in a process of its own."""
    command = [sys.executable, "-c", PEAK, str(folder), case, str(tiny)]
    return int(subprocess.check_output(command, cwd=Path(__file__).parent, text=True))


def measure(name, where):
    folder, tiny = where / "model", where / "tiny"
    model, small = MODELS[name], {"vocab_size": 8, "padded_vocab_size": 8, "num_hidden_layers": 1}
    size = write(model, folder)
    write(({key: small.get(key, value) for key, value in model[0].items()}, *model[1:]), tiny)
    cases = {case: partial(run, folder) for case, run in CASES.items()}
    if name != "llama":  # the only one that transformers loads without remote code
        del cases["transformers, mapped"]
    seconds = interleave(cases, rounds=7)
    print(f"\n{name}: {size / 2**20:.0f} MiB of {model[1]} in two shards")
    print(f"  {'':24s} time / reading   peak memory / weights")
    for case, ratio in ratios(seconds, "reading the bytes").items():
        high = peak(folder, case, tiny) / size
        over = case == "looplab" and (ratio > TIME_BOUND or high > MEMORY_BOUND)
        print(f"  {case:24s} {ratio:14.2f}   {high:21.3f}{'  OVER' if over else ''}")
    print(f"  {'bounds of looplab':24s} {TIME_BOUND:14.2f}   {MEMORY_BOUND:21.2f}")


def main(names):
    torch.set_num_threads(1)
    for name in names or MODELS:
        with tempfile.TemporaryDirectory() as where:
            measure(name, Path(where))


if __name__ == "__main__":
    main(sys.argv[1:])
