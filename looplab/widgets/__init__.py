"""Widgets: the loop microscope and a slider over pictures, computed once, stepped in the browser.

The state machines live in Python and can be moved by a test; the drawing code (js/) is the same in
JupyterLab and in the self-contained HTML that `.html()` returns.
"""

from looplab.basics.rooms import open_room

__all__ = open_room(__name__)
