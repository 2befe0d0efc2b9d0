"""An input in progress, and what class it seems to be of after each step."""

from __future__ import annotations

from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from torch import Tensor

from unrolled.errors import ArgumentError, StateError
from unrolled.layers import Session, StreamState
from unrolled.networks import ManyToOneNetwork
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.core.stream import Step, StepStream
from unrolled.tasks.outputs.label.decode import as_log_probabilities, logits_of, ranked, temperature_of
from unrolled.tasks.outputs.label.results import AfterStep, Classification, judged
from unrolled.types import Json

S = TypeVar("S", bound="LabelSession[Any]")
P = TypeVar("P")


class LabelSession(Session, Generic[P]):
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

    def __init__(self, model: AnyFitted, steps: StepStream[P]) -> None:
        network = model.network
        if not isinstance(network, ManyToOneNetwork) or not network.is_causal:
            raise ArgumentError(self.both_ends)
        self._model, self._network, self._steps = model, network, steps
        self._begin = steps.fork()
        self.reset()

    def reset(self: S) -> S:
        """Begin a new input."""
        self._state: Any = self._network.start(1)
        self._steps = self._begin.fork()
        self._taken = 0
        self._last: list[float] | None = None
        return self

    def fork(self: S) -> S:
        """Return a second session that goes on from here; what is pushed to one does not reach the other."""
        twin = super().fork()
        twin._steps = self._steps.fork()
        return twin

    @property
    def steps(self) -> StepStream[P]:
        """What turns pieces into steps."""
        return self._steps

    @property
    def position(self) -> int:
        """Steps that were read."""
        return self._taken

    @property
    def settled(self) -> int:
        """How much is certain: characters, rows or samples whose steps nothing to come can change."""
        return self._steps.position

    def push(self, piece: P) -> Any:
        """Read more; returns what the model thinks after each step that is certain now."""
        return [self._read(step) for step in self._steps.push(piece)]

    def finish(self) -> Any:
        """Read what is pending, as its end has come."""
        return [self._read(step) for step in self._steps.finish()]

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

    def _read(self, step: Step) -> Any:
        logits, self._state = self._network.step(step.x, self._state)
        self._last = self._probabilities(logits)
        self._taken += 1
        by_label = dict(zip(self._model.output.labels, self._last, strict=True))
        return AfterStep(step=step.name, start=step.start, end=step.end, probabilities=by_label)

    def _probabilities(self, logits: Tensor) -> list[float]:
        result: list[float] = np.exp(as_log_probabilities(logits, temperature_of(self._model)))[0].tolist()
        return result

    @property
    def state(self) -> StreamState:
        """The stream so far, to be saved; bound to this model."""
        extra: Json = {"last": self._last, "read": self._steps.position, **self._steps.extra}
        carried = self._steps.tensors
        tensors = (self._state, carried) if carried else self._state
        return StreamState(tensors, self._taken, self._model.fingerprint, extra)

    @property
    def fingerprint(self) -> str:
        """Of the model."""
        return self._model.fingerprint

    def resume(self: S, saved: StreamState) -> S:
        """Take up a state of this model.

        Raises:
            StateError: it is not of such a stream.
        """
        last = saved.extra.get("last")
        if not (last is None or (isinstance(last, list) and len(last) == len(self._model.output.labels))):
            raise StateError(f"the saved state is damaged: {last!r}")
        has_own = bool(self._begin.tensors)
        self._state, tensors = saved.tensors if has_own else (saved.tensors, ())
        self._taken, self._last = saved.position, last
        self._steps = self._begin.fork()
        self._steps.resume(int(saved.extra.get("read", saved.position)), tensors, saved.extra)
        return self
