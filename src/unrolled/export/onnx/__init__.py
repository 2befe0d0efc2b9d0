"""ONNX files, in and out.

`files` alone knows the library; `graph` is what it reads into and writes from. `reading` makes a torch module of a
graph, `writing` a graph of a layer or network.
"""

from unrolled.export.onnx.reading import OnnxModule, from_onnx
from unrolled.export.onnx.writing import to_onnx

__all__ = ["OnnxModule", "from_onnx", "to_onnx"]
