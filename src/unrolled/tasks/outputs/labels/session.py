"""An input in progress whose steps are labelled as they come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

from unrolled.errors import ArgumentError
from unrolled.networks import SyncedNetwork
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.core.session import StepSession
from unrolled.tasks.core.stream import Step, StepStream
from unrolled.tasks.outputs.labels.decode import best_of
from unrolled.tasks.outputs.labels.results import labelled_steps
from unrolled.types import Json

P = TypeVar("P")


class LabelsSession(StepSession[P]):
    """A stream of one input through a causal network. Pushed in pieces, or whole, its steps get the same labels.

    A session is of fixed size however long the input: the state, and what the stream of steps holds.

    Args:
        model: of one direction.
        steps: what turns pieces into steps.

    Raises:
        ArgumentError: the model looks ahead.
    """

    def __init__(self, model: AnyFitted, steps: StepStream[P]) -> None:
        if ahead := self.looks_ahead(cast(SyncedNetwork, model.network)):
            raise ArgumentError(ahead)
        super().__init__(model, steps)

    def looks_ahead(self, network: SyncedNetwork) -> str:
        """Return why a label depends on what comes after its step, and what to train instead; empty if it doesn't."""
        both = "this model reads in both directions and can't be streamed; train one with --no-bidirectional"
        return both if network.hidden.bidirectional else ""

    def _read(self, steps: Sequence[Step]) -> Any:
        """Read steps; returns them with their labels."""
        return labelled_steps([(step.name, step.start, step.end) for step in steps], *self._labelled(steps))

    def _labelled(self, steps: Sequence[Step]) -> tuple[list[str], list[float]]:
        """Read steps; returns the label of each and its probability."""
        labels, scores = self._chosen(self._logits(steps)) if steps else ([], [])
        return list(map(self._model.output.label, labels)), scores

    def _chosen(self, logits: Tensor) -> tuple[list[int], list[float]]:
        """Return the label of each step and its probability, from logits (n, K)."""
        return best_of(logits.log_softmax(-1).float().cpu().numpy())

    @torch.no_grad()
    def _logits(self, steps: Sequence[Step]) -> Tensor:
        """Run the network on from its state, (n, K)."""
        rows = [step.x for step in steps if isinstance(step.x, Tensor)]
        if not rows:
            return torch.cat([self._step(step) for step in steps])
        # steps that are arrays are read in one go
        vectors = self._network.inputs(torch.cat(rows).to(self._device)).unsqueeze(1)
        h, self._state = self._network.hidden(vectors, self._state)
        self._position += len(steps)
        logits: Tensor = self._network.output(h)[:, 0]
        return logits

    @property
    def _carried(self) -> Json:
        """Nothing."""
        return {}

    def _carry(self, carried: Json) -> None:
        """Take up nothing."""
        return
