"""A signal as it comes, stacked to steps of the network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from unrolled.errors import StateError
from unrolled.layers import StackedFrames
from unrolled.tasks.core.stream import Step, StepStream
from unrolled.tasks.inputs.series.steps import step_names
from unrolled.types import Json


class SignalStream(StepStream[ArrayLike]):
    """Turns arrays into steps of the network. Carries earlier steps, and those that do not make one yet.

    Args:
        read: makes the steps of a piece what the network reads, (n, F).
        layer: of the network, which stacks steps.
        delay: steps that are read after the last one, for the answers that are late.
        rate: steps a second, if that is known.
    """

    def __init__(
        self, read: Callable[[ArrayLike], NDArray[np.float32]], layer: StackedFrames, delay: int, rate: float | None
    ) -> None:
        self._array, self._layer, self._delay, self._rate = read, layer, delay, rate
        stack = layer.stack
        self._held = layer.linear.weight.new_zeros(stack.left, 1, stack.features).detach()
        self._position = self._steps = 0

    @property
    def position(self) -> int:
        """Steps of the signal that were pushed."""
        return self._position

    def push(self, piece: ArrayLike) -> list[Step]:
        """Read more: rows (n, F), a single one, or (n,) of one feature.

        Raises:
            ShapeError, ArgumentError: steps of another shape or dtype.
        """
        steps = self._array(piece)
        self._position += len(steps)
        return self._stacked(steps, last=False)

    def finish(self) -> list[Step]:
        """Return the steps that are left, and those that the delay still needs."""
        return self._stacked(np.zeros((self._delay, self._layer.stack.features), np.float32), last=True)

    def _stacked(self, steps: NDArray[np.float32], *, last: bool) -> list[Step]:
        given = torch.from_numpy(np.ascontiguousarray(steps)).unsqueeze(1).to(self._held.device)
        with torch.no_grad():
            windows, self._held = self._layer.windows(given, self._held, last=last)
        first, stride = self._steps, self._layer.stack.stride
        self._steps += len(windows)
        names = step_names(first, self._steps, self._rate and self._rate / stride)
        places = range(first * stride, self._steps * stride, stride)
        return [Step(x, name, at, at + stride) for x, name, at in zip(windows, names, places, strict=True)]

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """Steps that later ones see again, or that do not make a step of the network yet."""
        return (self._held,)

    @property
    def extra(self) -> Json:
        """How many steps of the network there were."""
        return {"steps": self._steps}

    def resume(self, position: int, tensors: tuple[Tensor, ...], extra: Json) -> None:
        """Take up what was carried."""
        try:
            [held] = tensors
            self._held, self._position, self._steps = held.to(self._held.device), position, int(extra["steps"])
        except (KeyError, TypeError, ValueError) as error:
            raise StateError(f"not the state of a stream of a signal ({error})") from error
