"""ONNX files, in and out.

`files` alone knows the library; `graph` is what it reads into and writes from. Inwards, `module` makes a torch module
of a graph: `recurrent` its recurrent nodes, by `cells` where ours can't say them, `operators` the rest; `execution`
runs it. Outwards, `writing` makes a file of a module: `stacks` its recurrent layers, by `steps` where the files' own
nodes can't say them, `networks` and `poolings` what stands around them.
"""

from unrolled.export.onnx.module import OnnxModule, from_onnx
from unrolled.export.onnx.writing import to_onnx

__all__ = ["OnnxModule", "from_onnx", "to_onnx"]
