"""A probe's pass through every recurrent layer, and the errors that an output sends back into them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unrolled.errors import ArgumentError
from unrolled.layers.unfolding import RecordedCall, StackFlow, Unfolding, recording
from unrolled.tasks.probing import Probe

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RecordedPass:
    """One pass of a network over one input.

    Attributes:
        probe: the input.
        calls: each pass through a recurrent layer; one that a network runs step by step is passed once a step.
        unfoldings: each of them laid open.
        logits: (S, K), in the graph.
    """

    probe: Probe
    calls: list[RecordedCall]
    unfoldings: list[Unfolding]
    logits: Tensor

    def errors(self, objective: Tensor, shares: bool = False) -> list[StackFlow]:
        """What an objective sends back through each recurrent layer.

        Args:
            objective: a scalar of this pass's graph; the graph is kept.
            shares: whether each step's share of the weights' gradients is wanted.

        Returns:
            A flow for each of `calls`: the gradients of the objective for all states, exact also where layers stand on
            each other, as what comes from the layers above arrives in a layer's output.
        """
        wanted = [tensor for call in self.calls for tensor in (call.output, *call.final)]
        grads = iter(torch.autograd.grad(objective, wanted, retain_graph=True, allow_unused=True))
        flows = []
        for call, unfolding in zip(self.calls, self.unfoldings, strict=True):
            grad = next(grads)
            arriving = torch.zeros_like(call.output) if grad is None else grad
            time_first = arriving.transpose(0, 1) if call.layer.batch_first else arriving
            flows.append(unfolding.backward(time_first, shares, tuple(next(grads) for _ in call.final)))
        return flows


def record(probe: Probe) -> RecordedPass:
    """Run a probe's network once, and lay its recurrent layers open.

    Raises:
        ArgumentError: there is no recurrent layer in the network, it was not passed, or its weights are not finite.
    """
    for name, parameter in probe.network.named_parameters():
        if not bool(parameter.isfinite().all()):
            raise ArgumentError(f"weights: {name} holds numbers that are not finite; nothing inside means anything")
    probe.network.eval()
    with torch.enable_grad(), recording(probe.network) as found:
        logits = probe.logits()
    # what the input layer is made of, such as a network that spells words, has steps of its own
    inside = set(probe.input_layer.modules())
    calls = [call for call in found if call.layer not in inside]
    if not calls:
        raise ArgumentError("network: this input passes no recurrent layer, so there is nothing to unfold")
    unfoldings = [Unfolding.of(call.layer, call.x, call.state, call.lengths) for call in calls]
    return RecordedPass(probe, calls, unfoldings, logits)


def part_name(call: RecordedCall, part: str) -> str:
    """The name of one layer and direction in the whole network, e.g. hidden.l0_reverse."""
    return f"{call.name}.{part}" if call.name else part


def steps_asked(probe: Probe, at: Sequence[int] | None, most: int) -> list[int]:
    """Which steps of the output are looked at: those named, or up to `most`, evenly from the last one back.

    Raises:
        ArgumentError: a step that the output does not have.
    """
    count = len(probe.targets)
    if at is None:
        return sorted({count - 1 - k * count // most for k in range(min(most, count))})
    for step in at:
        if not -count <= step < count:
            raise ArgumentError(f"at: the output has {count} steps, found {step}")
    return [step % count for step in at]


def array(tensor: Tensor) -> Floats:
    """A tensor as float64 numbers outside torch."""
    return tensor.detach().double().cpu().numpy()
