"""What the training loop asks of a task, and no more: something that scores batches, and something that hands them out.

The loop knows no task by name; a task makes a `Learner` and a `Batches` and passes them to `unrolled.training.fit`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from torch import Tensor, nn


class LossReport(NamedTuple):
    """What one batch cost.

    Attributes:
        mean: 0-d tensor that is differentiated: nats per counted item, plus regularisers.
        total: the plain loss summed over the counted items, in nats, without regularisers. A detached 0-d tensor is
            welcome: the loop reads it together with the gradient norm, in one synchronisation with the device.
        count: how many items were counted (tokens, sequences, frames …).
        carried: the state for the next call, already detached: tensors in nested tuples, lists or dicts, or None.
    """

    mean: Tensor
    total: float | Tensor
    # typing has no way to say that a field may be called as tuple.count is
    count: int  # type: ignore[assignment]
    carried: Any


class Learner(Protocol):
    """A network and the way to score it. Made by a task."""

    @property
    def network(self) -> nn.Module:
        """The network; its parameters that require a gradient are trained."""
        ...

    def loss(self, batch: Any, carried: Any) -> LossReport:
        """Forward pass and loss. `carried` is what the last call returned, or None when the state starts anew."""
        ...

    def evaluate(self) -> dict[str, float]:
        """Metrics on the development data, with "loss" (nats per item) among them; {} if there is no such data.

        Called in evaluation mode, without gradients, and with the random generators put back afterwards.
        """
        ...

    def sample(self) -> str | None:
        """Text that shows what the model produces now, or None. Called as `evaluate` is."""
        ...


class Batch(Protocol):
    """What the loop itself looks at in a batch; the rest is between the task's data and its learner."""

    @property
    def epoch(self) -> int:
        """The pass over the data that this batch belongs to, from 0."""
        ...

    @property
    def resets(self) -> bool:
        """True when the carried state starts anew with this batch."""
        ...


class Batches(Protocol):
    """An endless supply of batches whose position can be saved and restored exactly."""

    @property
    def batches_per_epoch(self) -> int:
        """How many batches make one pass over the data."""
        ...

    def next_batch(self) -> Any:
        """The next batch: an object with the attributes of `Batch`."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """The position, as JSON can hold it."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved position: the following batches are those that would have followed it."""
        ...
