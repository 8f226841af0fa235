"""Make a fetched copy of the course work in this kernel. The chapters import this where looplab is
not installed, on Colab for example.

Nothing that is there is changed, torch and numpy least of all: of the packages that looplab needs
only small ones are installed, where they are missing, and without what they depend on.
"""

import importlib
import importlib.util
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.realpath(__file__))
LARGE = ("torch", "numpy", "scipy", "matplotlib", "ipywidgets")  # every such place has its own
SMALL = ("safetensors", "tqdm", "anywidget", "psygnal")  # psygnal: anywidget is built on it


def absent(names):
    return [name for name in names if importlib.util.find_spec(name) is None]


def main():
    # The learner's own machine, with a kernel that is not the course's: nothing is installed there.
    at_home = os.path.realpath(os.getcwd()).startswith(ROOT + os.sep)
    missing = absent(LARGE + SMALL if at_home else LARGE)
    if missing:
        raise RuntimeError(
            f"This notebook runs on {sys.executable}, which has no {', '.join(missing)}. Choose "
            "the Python in the course's .venv as its kernel, or run 'python3 course.py lab' in "
            f"{ROOT} and open the notebook there."
        )
    if wanted := absent(SMALL):
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", *wanted]
        subprocess.run(pip, check=True)
        importlib.invalidate_caches()
    # So that `!python -m looplab doctor` finds it as well.
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = f"{ROOT}{os.pathsep}{before}" if before else ROOT
    if not at_home:
        os.chdir(os.path.join(ROOT, "chapters"))


main()
