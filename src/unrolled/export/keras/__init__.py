"""Weights from and to Keras 3.

`files` reads what Keras writes, without Keras and without running anything of it, and writes through Keras; `weights`
knows which weight is which.
"""

from unrolled.export.keras.weights import from_keras, to_keras

__all__ = ["from_keras", "to_keras"]
