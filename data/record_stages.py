"""Write what a chapter asks of SmolLM2, for where it is not installed.

    python data/record_stages.py CHAPTER [QUESTION ...]

Runs the code of the solved chapter (07, 10 or 11) with every question asked (or those named, the
others are read from the file as it is), also those that the chapter itself reads because they take
minutes. So the chapter is the one place that says what is measured. About ten minutes on two quiet
cores.
"""

import sys

from looplab.course import build
from looplab.experiments import layerwise

ANSWERS = layerwise.Answers
FILES = tuple(f"smollm2_{name}.safetensors" for name in ("stages", "loops", "patches"))


def main(chapter: str, wanted: list[str]):
    def record(name: str) -> bool:
        return not wanted or name in wanted

    def recording(file: str, live: bool) -> layerwise.Answers:
        return ANSWERS(file, live, record=record if file in FILES else None)

    layerwise.Answers = recording
    space = {"__name__": f"chapter {chapter}", "display": lambda shown: None}
    for cell in build.make(build.find(chapter), "solved").cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, f"<chapter {chapter}, {cell.id}>", "exec"), space)
    print(f"{space['smol'].save()} written")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
