"""An image that comes row by row, column by column, or pixel by pixel."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from unrolled.errors import ArgumentError, ShapeError
from unrolled.layers.inputs.images import ImageSteps
from unrolled.tasks.core.stream import Step, StepStream


class RowStream(StepStream[ArrayLike]):
    """Turns rows, columns or pixels into steps.

    Args:
        network: of a model with `reading` "rows", "columns" or "pixels".

    Raises:
        ArgumentError: the network sees images as a whole.
    """

    def __init__(self, network: nn.Module) -> None:
        layer = network.get_submodule("inputs")
        if not isinstance(layer, ImageSteps):
            raise ArgumentError(
                "this model sees an image as a whole and can't be streamed; train one with --reading rows "
                "--no-bidirectional"
            )
        self._width, self._name = layer.output_size, layer.by[:-1]
        self._position = 0

    def push(self, piece: ArrayLike) -> list[Step]:
        """Read more rows, columns or pixels.

        Args:
            piece: (n, W), (n, W, C) or a single row, uint8, on the scale of the training images; with `reading`
                "columns" (n, H), (n, H, C) or a single column, from top to bottom; with "pixels" (n,) or (n, C).

        Raises:
            ShapeError: rows of another width.
            ArgumentError: of another dtype.
        """
        array = np.asarray(piece)
        if array.dtype != np.uint8:
            raise ArgumentError(f"rows: expected uint8, found {array.dtype}")
        # a row is the last axis, or the last two; a single one has no other
        is_whole = any(math.prod(array.shape[axis:]) == self._width for axis in range(array.ndim + 1))
        if array.size == 0 or not is_whole:
            raise ShapeError("rows", f"(n, I={self._width})", array.shape)
        rows = torch.from_numpy(array.reshape(-1, self._width).copy())
        first = self._position
        self._position += len(rows)
        return [Step(row[None], f"{self._name} {n + 1}", n, n + 1) for n, row in enumerate(rows, first)]

    @property
    def position(self) -> int:
        """Rows, columns or pixels that were read."""
        return self._position

    def resume(self, position: int, tensors: tuple[Tensor, ...], extra: dict[str, Any]) -> None:
        """Take up the position."""
        self._position = position
