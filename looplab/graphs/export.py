"""Write a model's parts as ONNX files, with a page of JSON that says how to loop them."""

import hashlib
import json
import logging
import warnings
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from looplab.basics.whole import whole_number
from looplab.basics.writing import in_one_stroke, write_text
from looplab.graphs.parts import PARTS, Part, drawn
from looplab.model import LoopedTransformer

FORMAT = "looplab.onnx.1"
ABOUT = "about.json"
LONGEST = 512  # tokens, unless the caller says
_EXAMPLE = 9  # tokens of the run that is drawn: a square number, for a grid
_MANY = 2**20


def export_onnx(
    model: nn.Module,
    folder: str | Path,
    *,
    name: str = "",
    longest: int = LONGEST,
    batch: int | None = None,
) -> Path:
    """Write prelude.onnx, core.onnx, answer.onnx and about.json into a new folder; returns it.

    The graphs, in float32, with their inputs and outputs:

        prelude  tokens (int64 [batch, token] or [batch, token, field]) -> x, start
        core     state, x -> next, layers, attention
        answer   state -> logits

    `x`, `start`, `state` and `next` are [batch, token, width], `layers` (the state behind each
    layer of the core) [layer, batch, token, width], `attention` (its patterns)
    [layer, batch, head, token, token], `logits` [batch, token, answer]. A run is `next` fed back
    as `state`. Where the model draws its start, `start` is no output: draw it as about.json says.
    Where attention is a grid's, a boolean `sees` [token, token] is one more input.

    The number of tokens is free, up to `longest` for rotary or learned positions and windows;
    `batch` is the one number of sequences that the graphs take, None for any. Both ends of the
    loop are the model's own `encode`, `step` and `readout`; nothing is masked but what the model
    masks by itself, so sequences have to be of one length.

    Raises TypeError for a model that is no LoopedTransformer, ValueError naming the setting of one
    that has no such graphs, ImportError with the remedy without the packages of
    `pip install looplab[onnx]`, and FileExistsError where a file stands in the way.

    Source: torch.onnx.export, with dynamo=True.

    Example (takes seconds):

        export_onnx(checkpoints.load("hero"), "hero-onnx", name="hero")
    """
    check_exportable(model)
    whole_number("longest", longest, _EXAMPLE)
    if batch is not None:
        whole_number("batch", batch, 1)
    if model.config.places is not None:
        longest = min(longest, model.config.places)
    folder = Path(folder).expanduser()
    for file in (ABOUT, *map(file_of, PARTS)):
        if (folder / file).exists():
            raise FileExistsError(f"{folder / file} exists: export into a new folder")
    _need_packages()
    twin = drawn(model, longest)
    graphs = {part: kind(twin) for part, kind in PARTS.items()}
    # All are drawn, which takes its time and may fail, before anything is written.
    programs = {part: _draw(graph, batch, longest) for part, graph in graphs.items()}
    folder.mkdir(parents=True, exist_ok=True)
    parts = {}
    for part, graph in graphs.items():
        with in_one_stroke(folder / file_of(part)) as partial:
            programs[part].save(partial)
            parts[part] = {
                "file": file_of(part),
                "inputs": list(graph.inputs),
                "outputs": list(graph.outputs),
                "sha256": hashlib.sha256(partial.read_bytes()).hexdigest(),
            }
    said = about(model, name, parts, longest, batch)
    write_text(folder / ABOUT, json.dumps(said, indent=2) + "\n")
    return folder


def file_of(part: str) -> str:
    """The file of a part.

    >>> file_of("core")
    'core.onnx'
    """
    return f"{part}.onnx"


def check_exportable(model: nn.Module) -> None:
    """Raise TypeError or ValueError, naming the setting, for a model that has no such graphs.

    >>> from looplab import LoopedConfig
    >>> twin = LoopedTransformer(LoopedConfig(vocab=5, width=16, tied=False))
    >>> check_exportable(twin)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    ValueError: tied=False: an unrolled twin has another core at every loop, ...
    """
    if not isinstance(model, LoopedTransformer):
        raise TypeError(
            f"a {type(model).__name__} is no LoopedTransformer: only those have the parts that "
            "become graphs (export your own module with torch.onnx.export)"
        )
    config = model.config
    refused = {
        "tied": (not config.tied, "an unrolled twin has another core at every loop, and one graph "
                 "is one core: export the looped model"),
        "solver": (config.solver != "plain", "where a pass begins depends on passes before it: "
                   "export model.with_solver('plain')"),
        "stream_maps": (config.streams > 0 and config.stream_sets > 1, "its gates differ from loop "
                        "to loop, and one graph is one loop: only stream_maps='shared' can be"),
        "value_layers": (bool(config.value_layers), "layers that read the tokens beside the state "
                         "have no place in a graph of the state"),
        "types": (config.types > 0, "the graphs have no input for types of token"),
        "prefix_lm": (config.prefix_lm, "the graphs have no input for a prefix"),
        "start": (config.start == "hashed", "hashed noise is whole-number arithmetic that ONNX "
                  "lacks: export with start='normal' and give the state"),
    }  # fmt: skip
    for name, (wrong, why) in refused.items():
        if wrong:
            raise ValueError(f"{name}={getattr(config, name)!r}: {why}")
    if model.dtype != torch.float32:
        raise ValueError(f"the model is in {model.dtype}: graphs are in float32, model.float()")


def about(
    model: LoopedTransformer, name: str, parts: dict, longest: int, batch: int | None
) -> dict:
    """What about.json says: the model, its graphs, and all that a loop outside needs to know."""
    config = model.config
    bounded = config.rotary or config.places is not None or config.window is not None
    start = {"kind": config.start}
    if config.start == "normal":
        start |= {"std": config.start_std, "cut": 3}
    return {
        "format": FORMAT,
        "name": name,
        "notation": config.notation,
        "loops": config.loops,
        "tokens": {
            "vocab": config.vocab,
            "fields": config.fields,
            "longest": longest if bounded else None,
        },
        "batch": batch,
        "width": config.state_width,
        "layers": config.core,
        "heads": config.heads,
        "answers": config.answers,
        # A standard normal times std, drawn again beyond cut times std.
        "start": start,
        "sees": "grid" if config.attention == "grid" else None,
        "parts": parts,
        "config": config.to_dict(),
        "torch": torch.__version__.partition("+")[0],
    }


def _need_packages() -> None:
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"writing ONNX needs {error.name}: install what looplab leaves out, "
            "pip install onnx onnxscript"
        ) from error


def _draw(part: Part, batch: int | None, longest: int):
    """The graph as torch writes it, without its notes on Python's lines, twice the weights."""
    config, size = part.model.config, 2 if batch is None else batch
    ids = (size, _EXAMPLE) if config.fields == 1 else (size, _EXAMPLE, config.fields)
    many = torch.export.Dim("batch", min=1, max=_MANY) if batch is None else None
    tokens = torch.export.Dim("token", min=1, max=longest)
    examples = {
        "tokens": (torch.zeros(ids, dtype=torch.long), {0: many, 1: tokens}),
        "state": (torch.randn(size, _EXAMPLE, config.state_width), {0: many, 1: tokens}),
        "x": (torch.randn(size, _EXAMPLE, config.width), {0: many, 1: tokens}),
        "sees": (torch.ones(_EXAMPLE, _EXAMPLE, dtype=torch.bool), {0: tokens, 1: tokens}),
    }
    values, shapes = zip(*(examples[name] for name in part.inputs), strict=True)
    shapes = [{axis: size for axis, size in shape.items() if size} for shape in shapes]
    with _quiet(), torch.no_grad():
        program = torch.export.export(part.eval(), values, dynamic_shapes=tuple(shapes))
        program = torch.onnx.export(
            program,
            dynamo=True,
            input_names=part.inputs,
            output_names=part.outputs,
            verbose=False,
        )
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()
    return program


@contextmanager
def _quiet():
    """torch's exporter warns of its own insides and of packages that nobody asked for."""
    logs = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [log.level for log in logs]
    try:
        for log in logs:
            log.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)
