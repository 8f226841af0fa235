"""The README's two pictures, made by the widgets' drawing code: `python docs/make_pictures.py`.

loop.gif: the forest of chapter 00 loop by loop, beside the model that may not loop.
microscope.png: the loop microscope on the same forest; this one needs a Chromium.
"""

import io
from pathlib import Path

import torch
from PIL import Image

from looplab import plots, tasks, trace
from looplab.course.site.visit import chromium
from looplab.widgets import LoopMicroscope
from looplab.widgets.forest import draw_forest, forest_key, panel_size
from looplab.zoo import checkpoints

HERE = Path(__file__).parent
LOOPS = 6
MILLISECONDS = {0: 1400, LOOPS: 3500}  # of a frame; others 1100
PLAYS = 3


def main():
    hero, twin = scope("hero", 16), scope("hero-shallow", 1)
    frames = [Image.open(io.BytesIO(frame(hero, twin, loop))) for loop in range(LOOPS + 1)]
    frames = [one.convert("RGB").quantize(64, dither=0) for one in frames]
    frames[0].save(
        HERE / "loop.gif",
        save_all=True,
        append_images=frames[1:],
        duration=[MILLISECONDS.get(loop, 1100) for loop in range(LOOPS + 1)],
        loop=PLAYS - 1,
        optimize=True,
    )
    photograph(hero)
    for loop in range(LOOPS + 1):
        print(hero.describe(loop))
    print("the twin:", twin.describe(1))


def scope(name: str, loops: int) -> LoopMicroscope:
    """One of the trained models on the forest of chapter 00."""
    forests = tasks.chain_and_star(1, torch.Generator().manual_seed(173), chain=(7, 7))
    model = checkpoints.load(name)
    run = trace(
        model,
        forests.tokens,
        loops=loops,
        keep=("states", "attention"),
        generator=torch.Generator().manual_seed(0),
    )
    return LoopMicroscope(
        run,
        model,
        token=int(forests.difficulty[0].argmax()),
        targets=forests.targets,
        parents=tasks.parents(forests.tokens),
    )


def frame(hero: LoopMicroscope, twin: LoopMicroscope, loop: int) -> bytes:
    """The looped model after `loop` passes, and the control beside it after its only one."""
    forest = hero.meta.forest
    size = panel_size(forest, 4.4, 3.6)
    with plots.drawing(2 * size[0] + 1.2, size[1] + 1.2, columns=2) as (figure, panels):
        shown = {"three layers, looped": (hero, loop), "control: three layers, one pass": (twin, 1)}
        for panel, (title, (model, at)) in zip(panels, shown.items(), strict=True):
            nodes = model.picture_state(min(at, loop))["forest"]
            draw_forest(panel, forest, nodes, size)
            right = sum(node["right"] for node in nodes)
            panel.set_title(f"{title}\nloop {min(at, loop)}: {right} of {len(nodes)} right")
        key = forest_key(forest, judged=True)
        figure.legend(handles=key, loc="outside lower center", ncols=len(key), fontsize=9)
    buffer = io.BytesIO()
    with plots.house_style():
        figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def photograph(microscope: LoopMicroscope):
    """The web edition of the microscope, as a browser draws it."""
    microscope.loop = LOOPS
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1060, "height": 900})
        page.set_content(f"<!doctype html><meta charset='utf-8'>{microscope.html()}")
        page.locator("canvas").wait_for()
        page.locator("[data-looplab]").screenshot(path=HERE / "microscope.png")


if __name__ == "__main__":
    main()
