"""C out: a trained network as one C99 source and its header.

`sources` holds the C as it is read and compiled, but for `MODEL_`, which becomes the name of the file, and for the
constants and tables that `plan` and `text` make of a model.
"""

from unrolled.export.c.file import to_c
from unrolled.export.c.text import Typing

__all__ = ["Typing", "to_c"]
