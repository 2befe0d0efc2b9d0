"""Conversion from and to other libraries: torch programs made ours in place, weights, graphs.

`accelerate` makes torch.nn's recurrent layers inside any module ours, in place, and `restore` undoes it; `from_onnx`
makes a module of an ONNX file, `to_onnx` a file of a layer or network; `from_keras`, `to_keras`, `from_flax` and
`to_flax` carry weights.
"""

from unrolled.export.accelerate import AccelerationReport, accelerate, restore
from unrolled.export.flax import from_flax, to_flax
from unrolled.export.keras import from_keras, to_keras
from unrolled.export.onnx import OnnxModule, from_onnx, to_onnx

__all__ = [
    "AccelerationReport",
    "OnnxModule",
    "accelerate",
    "from_flax",
    "from_keras",
    "from_onnx",
    "restore",
    "to_flax",
    "to_keras",
    "to_onnx",
]
