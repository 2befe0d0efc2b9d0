"""Averages of the weights over the course of training, which often predict better than the last weights do.

Evaluations and samples use the average where there is one; training continues from the weights themselves.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from unrolled.training.settings import TrainingSettings


class NoAveraging:
    """The weights themselves; also the base of the averages below.

    Args:
        parameters: the trainable parameters, each once.
    """

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self.parameters = list(parameters)
        self.averages: list[Tensor] | None = None
        self.updates = 0

    def update(self) -> None:
        """Update the average after a step."""

    def observe(self, loss: float) -> None:
        """Record an evaluation's loss."""

    @torch.no_grad()
    def install(self) -> None:
        """Copy the average, if there is one, into the network."""
        if self.averages is not None:
            for parameter, average in zip(self.parameters, self.averages, strict=True):
                parameter.copy_(average)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the average into the network within a `with` block; its own weights return bit for bit afterwards.

        Values are copied rather than storages swapped: cuDNN keeps the weights of a layer in one block of memory.
        """
        if self.averages is None:
            yield
            return
        own = [parameter.detach().clone() for parameter in self.parameters]
        self.install()
        try:
            yield
        finally:
            with torch.no_grad():
                for parameter, value in zip(self.parameters, own, strict=True):
                    parameter.copy_(value)

    def state_dict(self) -> dict[str, Any]:
        """Return the averages and the number of updates in them."""
        return {"averages": self.averages, "updates": self.updates}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.updates = state["updates"]
        saved = state["averages"]
        self.averages = (
            None
            if saved is None
            else [value.to(parameter) for value, parameter in zip(saved, self.parameters, strict=True)]
        )

    @torch.no_grad()
    def _move(self, weight: float) -> None:
        """Move the averages towards the weights: average += weight · (parameter - average)."""
        self.updates += 1
        values = [parameter.detach() for parameter in self.parameters]
        if self.averages is None:
            self.averages = [value.clone() for value in values]
        else:
            torch._foreach_lerp_(self.averages, values, weight)


class ExponentialAverage(NoAveraging):
    """average ← d_n · average + (1 - d_n) · weights after the n-th update, d_n = min(decay, n / (n + 9)).

    The lower decay at first lets the average forget the initial weights; d_n is tf.train.ExponentialMovingAverage's
    (1 + n) / (10 + n), counted from the second update on, since the first starts the average.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], decay: float) -> None:
        super().__init__(parameters)
        self.decay = decay

    def update(self) -> None:
        """Update the average after a step."""
        n = self.updates + 1
        self._move(1 - min(self.decay, n / (n + 9)))


class TailAverage(NoAveraging):
    """The mean of the weights since the loss on the development data stopped falling.

    Averaging begins when an evaluation is worse than the best one that lies more than `patience` evaluations back.

    Source: NT-ASGD, Merity, Keskar & Socher 2018, arXiv 1708.02182, algorithm 1.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], patience: int) -> None:
        super().__init__(parameters)
        self.patience = patience
        self.losses: list[float] = []
        self.begun = False

    def observe(self, loss: float) -> None:
        """Begin averaging if the loss no longer falls."""
        earlier = [value for value in self.losses[: -self.patience] if math.isfinite(value)]
        self.begun = self.begun or (bool(earlier) and not loss <= min(earlier))
        self.losses.append(loss)

    def update(self) -> None:
        """Update the average after a step, once averaging has begun."""
        if self.begun:
            self._move(1 / (self.updates + 1))

    def state_dict(self) -> dict[str, Any]:
        """Return the averages, and the losses that decide when averaging begins."""
        return {**super().state_dict(), "losses": list(self.losses), "begun": self.begun}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        super().load_state_dict(state)
        self.losses, self.begun = list(state["losses"]), state["begun"]


def make_averaging(parameters: Sequence[nn.Parameter], settings: TrainingSettings) -> NoAveraging:
    """Return the average that the settings name."""
    if settings.averaging == "ema":
        return ExponentialAverage(parameters, settings.ema_decay)
    if settings.averaging == "tail":
        return TailAverage(parameters, settings.tail_patience)
    return NoAveraging(parameters)
