"""ONNX's operators in plain torch, those that commonly stand around recurrent ones; a file for each kind.

`table.OPERATORS` has them all by name. An operator is a function of a node and its inputs, None for those left out.
"""

from unrolled.export.onnx.reading.operators import elementwise, neural, reductions, shapes
from unrolled.export.onnx.reading.operators.table import OPERATORS, Result, run

__all__ = ["OPERATORS", "Result", "elementwise", "neural", "reductions", "run", "shapes"]
