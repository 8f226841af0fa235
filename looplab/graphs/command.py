"""A model written for others: `looplab export NAME FOLDER --onnx`, or `--form FORM`.

    looplab export hero hero-onnx --onnx
    looplab export ouro-mini my-ouro --form ouro

NAME is a model of the course (a checkpoint, one of the small models of English, a miniature), a
folder of a released model, or a hub id. With --onnx the new FOLDER gets prelude.onnx, core.onnx,
answer.onnx and about.json, for any runtime to loop: docs/onnx.md says how. With --form it gets
config.json and model.safetensors as that family writes them. Nothing is overwritten.
"""

import argparse
from pathlib import Path

from looplab.basics.running import exit_status
from looplab.graphs.export import LONGEST, export_onnx
from looplab.model import LoopedTransformer
from looplab.zoo import english
from looplab.zoo.exporting import export
from looplab.zoo.families import FORMS
from looplab.zoo.named import open_named


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit status."""
    given = _parser().parse_args(arguments)
    return exit_status("looplab export", lambda: _run(given), resumes=False)


def _run(given: argparse.Namespace) -> None:
    model = _model(given.model)
    if given.form:
        folder = export(model, given.folder, given.form)
        print(f"{given.model} in the form of {given.form}: {folder}")
        return
    folder = export_onnx(
        model, given.folder, name=given.model, longest=given.longest, batch=given.batch
    )
    print(f"{given.model}, {model.config.notation}, as ONNX graphs: {folder}")


def _model(name: str) -> LoopedTransformer:
    if name in english.names():
        return english.load(name)
    return open_named(name, "float32")[0]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="looplab export",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", metavar="NAME")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a new folder")
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--onnx", action="store_true", help="one pass as graphs, for any ONNX runtime")
    how.add_argument("--form", choices=FORMS, help="the files of a released family")
    parser.add_argument(
        "--longest", type=int, default=LONGEST, metavar="N",
        help=f"tokens that graphs with positions can take (default {LONGEST})",
    )  # fmt: skip
    parser.add_argument(
        "--batch", type=int, metavar="N", help="sequences that graphs take at a time (default: any)"
    )
    return parser
