"""ONNX files, in and out.

`files` alone knows the library; `graph` is what it reads into and writes from. Inwards, `module` makes a torch module
of a graph: `recurrent` its recurrent nodes, by `cells` where ours can't say them, `operators` the rest; `execution`
runs it.
"""

from unrolled.export.onnx.module import OnnxModule, from_onnx

__all__ = ["OnnxModule", "from_onnx"]
