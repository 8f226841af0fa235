"""The `looplab` command; also `python -m looplab`."""

import argparse
import sys
from importlib import import_module

from looplab.basics.output import steady_output
from looplab_nbval.quick import start_quickly

# name -> (module with main(arguments) -> exit status, what it does)
COMMANDS = {
    "build": ("looplab.course.build", "make the chapters' notebooks from their sources"),
    "compare": (
        "looplab.comparing.command",
        "settling, multipliers, stages and exits of several models, side by side",
    ),
    "site": (
        "looplab.course.site.command",
        "make the course a web site whose sliders need no kernel",
    ),
    "doctor": ("looplab.course.doctor", "say what may get in the course's way on this machine"),
    "export": (
        "looplab.graphs.command",
        "write a model as ONNX graphs, or in a released family's form",
    ),
    "grid": (
        "looplab.experiments.random_stacks",
        "what looped stacks of random weights do: the outcome table",
    ),
    "grade": ("looplab.course.grading.command", "grade notebooks with nbval"),
    "report": (
        "looplab.reporting.command",
        "what a loop does, a model's or your own, in one page with warnings in plain words",
    ),
    "reproduce": (
        "looplab.reproduction.command",
        "the paper's figures and tables for one model, in one folder",
    ),
    "trace": ("looplab.streaming.command", "statistics of a model's runs on many prompts"),
    "verify": ("looplab.zoo.verify", "check that a released model was read rightly"),
}


def main(arguments: list[str] | None = None) -> int:
    """Hand the arguments after the command's name to its module; returns the exit status."""
    listing = "\n".join(f"  {name:9s} {what}" for name, (_, what) in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="looplab",
        description="The looplab course's tools.",
        epilog=f"commands:\n{listing}\n\n`looplab COMMAND --help` says more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=COMMANDS, metavar="command")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    with steady_output():
        given = parser.parse_args(sys.argv[1:] if arguments is None else arguments)
        start_quickly()
        return import_module(COMMANDS[given.command][0]).main(given.arguments)
