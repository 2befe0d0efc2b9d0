"""From a layer or network to a graph.

`file` is what the caller calls; `builder` grows a graph; `stacks` adds recurrent layers, by `steps` where ONNX's own
nodes can't say them; `networks` and `poolings` add what stands around them.
"""

from unrolled.export.onnx.writing.file import to_onnx

__all__ = ["to_onnx"]
