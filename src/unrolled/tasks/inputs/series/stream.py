"""Steps as they come: rows of features, or frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from unrolled.layers.inputs.clips import StepEncoder
from unrolled.tasks.core.stream import Step, StepStream
from unrolled.tasks.inputs.series.steps import step_names
from unrolled.types import Json


class ArrayStream(StepStream[ArrayLike]):
    """Turns arrays into steps. Carries the step before, where the layer looks back at it.

    Args:
        read: makes the steps of a piece what the network reads, (n, …).
        layer: of the network.
        rate: steps a second, if that is known.
    """

    def __init__(
        self, read: Callable[[ArrayLike], NDArray[Any]], layer: StepEncoder, rate: float | None = None
    ) -> None:
        self._array, self._layer, self._rate = read, layer, rate
        # nothing was read before the first step
        self._before, self._position = torch.zeros(0), 0

    def push(self, piece: ArrayLike) -> list[Step]:
        """Read more steps.

        Args:
            piece: rows of features (n, F) or a single row; frames (n, H, W) or (n, H, W, C) of any size, or a grey one.

        Raises:
            ShapeError, ArgumentError: steps of another shape or dtype.
        """
        steps = torch.from_numpy(np.ascontiguousarray(self._array(piece)))
        if not len(steps):
            return []
        x, before = self._layer.beside(steps, self._before if len(self._before) else None)
        first, end = self._position, self._position + len(x)
        self._position, self._before = end, self._before if before is None else before.clone()
        names = enumerate(step_names(first, end, self._rate), first)
        return [Step(row[None], name, n, n + 1) for row, (n, name) in zip(x, names, strict=True)]

    @property
    def position(self) -> int:
        """Steps that were read."""
        return self._position

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The step before, where the layer looks back at it."""
        return (self._before,) if self._layer.differences else ()

    def resume(self, position: int, tensors: tuple[Tensor, ...], extra: Json) -> None:
        """Take up the position, and the step before."""
        self._position = position
        if tensors:
            [self._before] = tensors
