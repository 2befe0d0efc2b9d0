"""One input in progress, read step by step: what the sessions of all outputs have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from unrolled.errors import StateError
from unrolled.layers import Session, StreamState
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.core.stream import Step, StepStream
from unrolled.types import Json

P = TypeVar("P")
S = TypeVar("S", bound="StepSession[Any]")


class StepSession(Session, Generic[P]):
    """A stream of one input through a network of one direction. In pieces, or whole, it comes to the same result.

    An output says in `_read` what it answers to more steps, and in `_carried` what that depends on. `P` is a piece.

    Args:
        model: whose network has `start` and `step`.
        steps: what turns pieces into steps.
    """

    def __init__(self, model: AnyFitted, steps: StepStream[P]) -> None:
        self._model, self._begin = model, steps.fork()
        self._network: Any = model.network
        self._device = next(model.network.parameters()).device
        self.reset()

    def reset(self: S) -> S:
        """Begin a new input."""
        self._state: Any = self._network.start(1)
        self._steps = self._begin.fork()
        self._position = 0
        self._carry({})
        return self

    def fork(self: S) -> S:
        """Return a second session that goes on from here; what is pushed to one does not reach the other."""
        twin = super().fork()
        twin._steps = self._steps.fork()
        return twin

    @property
    def steps(self) -> StepStream[P]:
        """The stream that turns pieces into steps."""
        return self._steps

    @property
    def position(self) -> int:
        """Steps that were read."""
        return self._position

    @property
    def settled(self) -> int:
        """How much is certain: characters, rows or samples whose steps nothing to come can change."""
        return self._steps.position

    def push(self, piece: P) -> Any:
        """Read more; returns what the output answers to the steps that are certain now."""
        return self._read(self._steps.push(piece))

    def finish(self) -> Any:
        """Read what is pending, as its end has come."""
        return self._read(self._steps.finish())

    @abstractmethod
    def _read(self, steps: Sequence[Step]) -> Any:
        """Read steps; returns the answer to them."""

    @property
    @abstractmethod
    def _carried(self) -> Json:
        """Return what the answers to come depend on, beside the network's state."""

    @abstractmethod
    def _carry(self, carried: Json) -> None:
        """Take up what `_carried` was; of a new input nothing.

        Raises:
            StateError: it is damaged.
        """

    def _step(self, step: Step) -> Tensor:
        """Take one step of the network; returns its logits, (1, K)."""
        x: Any = step.x
        x = x.to(self._device) if isinstance(x, Tensor) else type(x)(*(part.to(self._device) for part in x))
        with torch.no_grad():
            logits, self._state = self._network.step(x, self._state)
        self._position += 1
        result: Tensor = logits
        return result

    @property
    def state(self) -> StreamState:
        """The stream so far, to be saved; bound to this model."""
        extra = {**self._carried, "read": self._steps.position, **self._steps.extra}
        tensors = self._steps.tensors
        carried = (self._state, tensors) if tensors else self._state
        return StreamState(carried, self._position, self._model.fingerprint, extra)

    @property
    def fingerprint(self) -> str:
        """Of the model."""
        return self._model.fingerprint

    def resume(self: S, saved: StreamState) -> S:
        """Take up a state of this model.

        Raises:
            StateError: it is not of such a stream.
        """
        self._carry(saved.extra)
        try:
            self._state, tensors = saved.tensors if self._begin.tensors else (saved.tensors, ())
        except (TypeError, ValueError) as error:
            raise StateError("not the state of a stream of such an input") from error
        self._position = saved.position
        self._steps = self._begin.fork()
        self._steps.resume(int(saved.extra.get("read", saved.position)), tuple(tensors), saved.extra)
        return self
