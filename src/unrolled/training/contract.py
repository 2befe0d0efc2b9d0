"""The interface between the training loop and a task: a `Learner` that scores batches, and its `Batches`.

The loop knows no task by name; a task makes both and passes them to `unrolled.training.fit`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from torch import Tensor, nn

from unrolled.training.saving.packing import Nest
from unrolled.types import Json


@dataclass(frozen=True)
class LossReport:
    """The loss of one batch.

    Attributes:
        mean: 0-d tensor that is differentiated: nats per counted item, plus regularisers.
        total: the plain loss summed over the counted items, in nats, without regularisers. Prefer a detached 0-d
            tensor: the loop reads it together with the gradient norm, in one synchronisation with the device.
        count: the number of counted items (tokens, sequences, frames …).
        carried: the state for the next call, already detached: tensors (·, B, …) in nested tuples, lists or dicts, a
            column for each sequence, or None.
    """

    mean: Tensor
    total: float | Tensor
    count: int
    carried: Nest


class TrainingBatch(Protocol):
    """The part of a batch that the loop reads; the rest is between the task's data and its learner."""

    @property
    def epoch(self) -> int:
        """The pass over the data that this batch belongs to, from 0."""
        ...

    @property
    def resets(self) -> bool:
        """True when the carried state starts anew with this batch."""
        ...


B = TypeVar("B", bound=TrainingBatch)
_B_in = TypeVar("_B_in", bound=TrainingBatch, contravariant=True)
_B_out = TypeVar("_B_out", bound=TrainingBatch, covariant=True)


class Learner(Protocol[_B_in]):
    """A network and the way to score it. Made by a task."""

    @property
    def network(self) -> nn.Module:
        """The network; its parameters that require a gradient are trained."""
        ...

    def loss(self, batch: _B_in, carried: Any) -> LossReport:
        """Run the forward pass and the loss; `carried` is that of the last report, or None where the state resets."""
        ...

    def evaluate(self) -> dict[str, float]:
        """Return metrics on the development data, with "loss" (nats per item) among them; {} without such data.

        Called in evaluation mode and without gradients; the random generators are restored afterwards.
        """
        ...

    def sample(self) -> str | None:
        """Return text that shows what the model produces now, or None. Called as `evaluate` is."""
        ...


class Batches(Protocol[_B_out]):
    """An endless supply of batches whose position can be saved and restored exactly."""

    @property
    def batches_per_epoch(self) -> int:
        """The number of batches in one pass over the data."""
        ...

    def next_batch(self) -> _B_out | None:
        """Return the next batch; None where a worker's share of it is empty."""
        ...

    def shared(self, worker: int, workers: int) -> Batches[_B_out]:
        """Return one of several workers' shares of these batches: with theirs, each batch is whole.

        The position that it saves is that of all of them. Sequences whose state is carried on lie in contiguous shares:
        of B, worker w has those from B·w/workers on.

        Raises:
            ArgumentError: there are fewer sequences in a batch than workers.
        """
        ...

    def state_dict(self) -> Json:
        """Return the position."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved position, with the batches that would have followed it."""
        ...
