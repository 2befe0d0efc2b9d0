"""From a graph to a torch module.

`module` is what the caller holds; `recurrent` makes layers of recurrent nodes, by `cells` where ours can't say them;
`operators` has the rest in plain torch, and `execution` runs them all.
"""

from unrolled.export.onnx.reading.module import OnnxModule, from_onnx

__all__ = ["OnnxModule", "from_onnx"]
