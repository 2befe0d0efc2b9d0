"""One input laid out for inspection, asked about its label."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.core.probe import Probe, asked_itself
from unrolled.tasks.core.values import InputSteps


def probe_label(model: AnyFitted, steps: InputSteps) -> Probe:
    """Ask about the label that the network itself predicts.

    Where a linear model stands beside the network, a step that is taken out has no vote in it, and the votes of the
    others weigh what they weighed.
    """
    x, lengths = model.input.feed(steps.data)
    network: Any = model.network
    beside = getattr(network, "beside", None)
    inputs = network.inputs if beside is None else _StepsAndVotes(network.inputs)

    def run() -> Tensor:
        if beside is None:
            logits: Tensor = network(x) if lengths is None else network(x, lengths)
            return logits
        read = inputs(x)
        h, _ = network.hidden(read[..., :-1], None, lengths)
        deep: Tensor = network.output(network.pooled(h, lengths))
        return deep + beside(x, lengths, read[..., -1])

    return asked_itself(network, run, inputs, steps, ("the label",), model.output.labels)


class _StepsAndVotes(nn.Module):
    """An input layer, and after each step's vector a 1: how far it votes. (T, B, I + 1)."""

    def __init__(self, steps: nn.Module) -> None:
        super().__init__()
        self.steps = steps

    def forward(self, batch: object) -> Tensor:
        """Return the vectors, as they are, and the ones."""
        x: Tensor = self.steps(batch)
        return torch.cat([x, x.new_ones(*x.shape[:-1], 1)], -1)
