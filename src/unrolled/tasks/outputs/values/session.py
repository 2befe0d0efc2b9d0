"""A signal in progress, answered step by step, late by a fixed number of steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from unrolled.errors import ArgumentError
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.core.session import StepSession
from unrolled.tasks.core.stream import Step, StepStream
from unrolled.types import Json

P = TypeVar("P")


class ValuesSession(StepSession[P]):
    """A stream of one signal. Pushed in pieces, or whole, with `finish` at its end, its steps get the same numbers.

    `push` returns what is known by now, (n, K) in the units of the target, or (n, K, Q) of quantiles: step t is
    answered once step t + delay was read, and with it the others that the network reads at a time.

    Raises:
        ArgumentError: the model reads in both directions.
    """

    def __init__(self, model: AnyFitted, steps: StepStream[P]) -> None:
        network: Any = model.network
        if network.hidden.bidirectional:
            raise ArgumentError(
                "this model reads in both directions and can't be streamed; train one with --no-bidirectional"
            )
        super().__init__(model, steps)

    @property
    def delay(self) -> int:
        """Steps of the signal that are read beyond the one that is answered, at most."""
        return int(self._model.output.delay) + int(self._network.inputs.stack.stride) - 1

    @torch.no_grad()
    def _read(self, steps: Sequence[Step]) -> NDArray[np.float32]:
        output = self._model.output
        if steps:
            # the steps of a signal are tensors
            x: Any = torch.cat([step.x for step in steps if isinstance(step.x, torch.Tensor)])
            h, self._state = self._network.hidden(self._network.inputs(x.to(self._device)).unsqueeze(1), self._state)
            self._position += len(steps)
            logits = self._network.output(h)
        else:
            logits = torch.zeros(0, 1, self._network.output.classes)
        values = self._network.loss.unstacked(logits)[:, 0].float().cpu().numpy()
        first = max(0, min(len(values), output.delay - self._answered))
        end = max(first, min(len(values), self._steps.position + output.delay - self._answered))
        self._answered += len(values)
        answered: NDArray[np.float32] = output.unscaled(values[first:end])
        return answered if output.levels else answered[..., 0]

    @property
    def _carried(self) -> Json:
        return {"answered": self._answered}

    def _carry(self, carried: Json) -> None:
        #: numbers that the network gave, those before the signal's first step among them
        self._answered = int(carried.get("answered", 0))
