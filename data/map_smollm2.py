"""Write smollm2_map_*.safetensors: loss of SmolLM2 with any window of its layers looped.

    python data/map_smollm2.py [SIZE ...]

Windows of four and of six layers, from every second layer on; the loss of each text after 1, 2, 4
and 8 loops (looplab.experiments.windows). Computed in bfloat16, which moves one text's loss by
about 0.01 and halves the time: ten minutes on one quiet core. Goes on where it stopped.
"""

import sys

import torch

from looplab import zoo
from looplab.experiments.layerwise import Answers
from looplab.experiments.windows import MAP, SIZES, texts, window_losses

TEXTS, LENGTH = 12, 32  # of either kind; tokens of each


def draw(size: int):
    """All windows of a size, each written as soon as it is there."""
    words, model = zoo.tokenizer("smollm2"), zoo.smollm2(dtype=torch.bfloat16)
    tokens = texts(lambda text: words(text).input_ids, TEXTS, LENGTH)
    told = Answers(MAP.format(size), live=False)
    there = told.names() if told.path.exists() else []
    firsts = range(0, model.config.core + 1 - size, 2)
    for first in firsts:
        if f"{first}" in there:
            continue
        told = Answers(MAP.format(size), live=True, record=lambda name: name not in there)
        for name in (*there, f"{first}"):
            start = int(name)
            told.ask(
                name,
                lambda a=start: window_losses(model, tokens, a, a + size, batch=TEXTS),
            )
        told.save()
        there.append(f"{first}")
        print(size, first, flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for size in [int(one) for one in sys.argv[1:]] or SIZES:
        draw(size)
