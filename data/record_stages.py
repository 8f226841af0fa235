"""Write smollm2_stages.safetensors: what chapter 07 asks of SmolLM2, for where it is not installed.

    python data/record_stages.py [QUESTION ...]

Runs the code of the solved chapter with every question asked (or those named, the others are read
from the file as it is), also those that the chapter itself reads because they take minutes. So the
chapter is the one place that says what is measured. About ten minutes on two quiet cores.
"""

import sys
from functools import partial

from looplab.course import build
from looplab.experiments import layerwise


def main():
    wanted = sys.argv[1:]

    def record(name: str) -> bool:
        return not wanted or name in wanted

    layerwise.Answers = partial(layerwise.Answers, record=record)
    space = {"__name__": "chapter 07", "display": lambda shown: None}
    for cell in build.make(build.find("07"), "solved").cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, f"<chapter 07, {cell.id}>", "exec"), space)
    print(f"{space['smol'].save()} written")


if __name__ == "__main__":
    main()
