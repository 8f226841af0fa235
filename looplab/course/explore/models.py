"""The models of the pages, as ONNX graphs, exported once."""

import hashlib
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch

from looplab.graphs import export_onnx
from looplab.zoo import checkpoints, english

# name -> (where it is loaded from, longest text in tokens)
MODELS = {
    "hero": (checkpoints, 256),
    "root-k1": (checkpoints, 256),
    "flood": (checkpoints, 256),
    "drawn": (english, 256),
    "loop": (english, 256),
}
_MANY = 1000  # numbers in a matrix that is worth it
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
            shutil.rmtree(old, ignore_errors=True)
        with suppress(OSError):  # another process was faster, and its graphs are the same
            made.rename(folder)
    return folder


def light(path: Path) -> bytes:
    """A graph with its matrices in half precision, where not one number changes by that.

    The models of English are stored so, and half as much is to be loaded; the runtime turns the
    numbers back into float32 once, when it reads the graph.
    """
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(path)
    for stored in model.graph.initializer:
        exact = numpy_helper.to_array(stored)
        if exact.dtype != np.float32 or exact.size < _MANY:
            continue
        with np.errstate(over="ignore"):
            half = exact.astype(np.float16)
        if np.array_equal(half.astype(np.float32), exact):
            name = stored.name
            stored.CopyFrom(numpy_helper.from_array(half, f"{name}.half"))
            cast = helper.make_node("Cast", [f"{name}.half"], [name], to=onnx.TensorProto.FLOAT)
            model.graph.node.insert(0, cast)
    return model.SerializeToString(deterministic=True)


def _key(card: dict) -> str:
    digest = hashlib.sha256(f"{card['sha256']} {torch.__version__}".encode())
    for room in ("graphs", "model"):
        for path in sorted((_LIBRARY / room).glob("*.py")):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
