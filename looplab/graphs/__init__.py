"""One pass of a looped model as ONNX graphs, so that any ONNX runtime can loop it.

The loop itself stays outside: whoever runs `core.onnx` again and again is the loop.
"""

from looplab.graphs.export import export_onnx

__all__ = ["export_onnx"]
