"""The models of the pages, as ONNX graphs, exported once."""

import hashlib
import shutil
import tempfile
from pathlib import Path

import torch

from looplab.graphs import export_onnx
from looplab.zoo import checkpoints, english

# name -> (where it is loaded from, longest text in tokens)
MODELS = {
    "hero": (checkpoints, 256),
    "root-k1": (checkpoints, 256),
    "flood": (checkpoints, 256),
    "drawn": (english, 256),
}
_LIBRARY = Path(__file__).resolve().parents[2]


def graphs(name: str, cache: Path) -> Path:
    """The folder in `cache` with the graphs of a model of MODELS, exported where it is not there.

    One sequence at a time (batch 1). It is exported anew when the model, the library's code for it
    or torch has changed.
    """
    home, longest = MODELS[name]
    folder = cache / f"onnx-{name}-{_key(home.card(name))}"
    if folder.exists():
        return folder
    print(f"exporting {name} to ONNX ...", flush=True)
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as place:
        made = export_onnx(home.load(name), Path(place) / name, name=name, longest=longest, batch=1)
        for old in cache.glob(f"onnx-{name}-{'?' * 16}"):
            shutil.rmtree(old)
        made.rename(folder)
    return folder


def _key(card: dict) -> str:
    digest = hashlib.sha256(f"{card['sha256']} {torch.__version__}".encode())
    for room in ("graphs", "model"):
        for path in sorted((_LIBRARY / room).glob("*.py")):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
