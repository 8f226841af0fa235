"""Widgets: the loop microscope and a slider over pictures, computed once, stepped in the browser.

The state machines live in Python and can be moved by a test; the drawing code (js/) is the same in
JupyterLab and in the self-contained HTML that `.html()` returns.
"""

from looplab.widgets.frames import FLOOD, FrameStepper, flood_frames
from looplab.widgets.meta import Category
from looplab.widgets.microscope import LoopMicroscope
from looplab.widgets.model_menu import ModelMenu
from looplab.widgets.plane import PlaneStepper

__all__ = [
    "FLOOD",
    "Category",
    "FrameStepper",
    "LoopMicroscope",
    "ModelMenu",
    "PlaneStepper",
    "flood_frames",
]
