"""An input in progress, and what class it seems to be of after each step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, TypeVar

import numpy as np
from torch import Tensor

from unrolled.errors import ArgumentError, StateError
from unrolled.networks import ManyToOneNetwork
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.core.session import StepSession
from unrolled.tasks.core.stream import Step, StepStream
from unrolled.tasks.outputs.label.decode import as_log_probabilities, logits_of, ranked, temperature_of
from unrolled.tasks.outputs.label.results import AfterStep, Classification, judged
from unrolled.types import Json

P = TypeVar("P")


class LabelSession(StepSession[P]):
    """A stream of one input through a causal classifier. Pushed in pieces, or whole, it comes to the same result.

    A session is of fixed size however long the input.

    Args:
        model: of one direction.
        steps: what turns pieces into steps.

    Raises:
        ArgumentError: the model reads from both ends, or sees its input as a whole.
    """

    both_ends: ClassVar[str] = (
        "this model reads in both directions and can't be streamed; train one with --no-bidirectional"
    )

    #: the probabilities after the last step
    _last: list[float] | None

    def __init__(self, model: AnyFitted, steps: StepStream[P]) -> None:
        if not isinstance(model.network, ManyToOneNetwork) or not model.network.is_causal:
            raise ArgumentError(self.both_ends)
        super().__init__(model, steps)

    def probabilities(self) -> dict[str, float]:
        """Return the probability of each class after what was read, the most probable first."""
        if self._last is None:
            empty = self._model.input.empty()
            self._last = self._probabilities(logits_of(self._model, [empty]))
        return ranked(self._model.output.labels, self._last)

    def prediction(self) -> Classification:
        """Return what the model would say if the input ended here; what is pending counts, and stays pending."""
        twin = self.fork()
        twin.finish()
        return Classification(**judged(twin.probabilities()))

    def _read(self, steps: Sequence[Step]) -> Any:
        """Return what the model thinks after each step."""
        return [self._after(step) for step in steps]

    def _after(self, step: Step) -> Any:
        self._last = self._probabilities(self._step(step))
        by_label = dict(zip(self._model.output.labels, self._last, strict=True))
        return AfterStep(step=step.name, start=step.start, end=step.end, probabilities=by_label)

    def _probabilities(self, logits: Tensor) -> list[float]:
        result: list[float] = np.exp(as_log_probabilities(logits, temperature_of(self._model)))[0].tolist()
        return result

    @property
    def _carried(self) -> Json:
        return {"last": self._last}

    def _carry(self, carried: Json) -> None:
        last = carried.get("last")
        if not (last is None or (isinstance(last, list) and len(last) == len(self._model.output.labels))):
            raise StateError(f"the saved state is damaged: {last!r}")
        self._last = last
