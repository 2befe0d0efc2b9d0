"""The recorded pass of a probe through every recurrent layer, and the errors that an output sends back into them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unrolled.errors import ArgumentError
from unrolled.layers.recurrent.unfolding import RecordedCall, StackFlow, Unfolding, recording
from unrolled.tasks.core.probe import Probe

Floats = NDArray[np.float64]

#: whose steps a layer runs over: the input's, the output's, or its own, which have only numbers
Over = Literal["input", "output", "own"]


@dataclass(frozen=True)
class RecordedPass:
    """One pass of a network over one input.

    Attributes:
        probe: the input.
        calls: each call of a recurrent layer, with distinct names: those of a layer that is called several times have a
            number, as in hidden[2].
        unfoldings: the unfolding of each call.
        logits: (S, K), in the graph.
    """

    probe: Probe
    calls: list[RecordedCall]
    unfoldings: list[Unfolding]
    logits: Tensor

    def errors(self, objective: Tensor, shares: bool = False) -> list[StackFlow]:
        """Propagate the error of an objective back through each recurrent layer.

        Args:
            objective: a scalar of this pass's graph; the graph is kept.
            shares: whether to return each step's share of the weights' gradients.

        Returns:
            A flow for each of `calls`: the gradients of the objective for all states. They are exact for stacked layers
            too, since the error of the layers above arrives in a layer's output.
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

    def over(self, call: RecordedCall) -> Over:
        """Return whose steps a call runs over."""
        probe, steps = self.probe, steps_of(call)
        if probe.decoder and f"{call.name}.".startswith(f"{probe.decoder}."):
            return "output" if steps == len(probe.outputs) else "own"
        # a second call of a layer continues where the first ended
        first = next(other for other in self.calls if other.layer is call.layer)
        return "input" if first is call and steps == len(probe.steps) else "own"


def record(probe: Probe) -> RecordedPass:
    """Run a probe's network once, and unfold its recurrent layers.

    Raises:
        ArgumentError: no recurrent layer was called, or the weights or activations are not finite.
    """
    for name, parameter in probe.network.named_parameters():
        if not bool(parameter.isfinite().all()):
            raise ArgumentError(f"weights: {name} holds numbers that are not finite; nothing can be inspected")
    probe.network.eval()
    with torch.enable_grad(), recording(probe.network) as recorded_calls:
        logits = probe.logits()
    # layers inside the input layer, such as a network that spells words, have steps of their own
    inside = set(probe.input_layer.modules())
    calls = _named([call for call in recorded_calls if call.layer not in inside])
    if not calls:
        raise ArgumentError("network: this input passes no recurrent layer, so there is nothing to unfold")
    unfoldings = [Unfolding.of(call.layer, call.x, call.state, call.lengths, call.reset) for call in calls]
    recorded = RecordedPass(probe, calls, unfoldings, logits)
    _check_finite(recorded)
    return recorded


def part_name(call: RecordedCall, part: str) -> str:
    """Return the name of one layer and direction in the whole network, e.g. hidden.l0_reverse."""
    return f"{call.name}.{part}" if call.name else part


def steps_of(call: RecordedCall) -> int:
    """Return T of a call."""
    return call.x.shape[1 if call.layer.batch_first else 0]


def step_names(probe: Probe, over: Over, count: int) -> tuple[str, ...]:
    """Return the names of a layer's steps: those of the input, those that a decoder reads, or numbers."""
    if over == "own":
        return tuple(str(n + 1) for n in range(count))
    return probe.steps if over == "input" else ("(begin)", *probe.outputs[:-1])


def steps_asked(probe: Probe, at: Sequence[int] | None, most: int) -> list[int]:
    """Return the steps of the output to inspect: those named, or up to `most`, evenly spread from the last one back.

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
    """Return a tensor as a float64 numpy array."""
    return tensor.detach().double().cpu().numpy()


def _named(calls: list[RecordedCall]) -> list[RecordedCall]:
    """Return the calls with distinct names."""
    times, seen, named = Counter(call.name for call in calls), Counter[str](), []
    for call in calls:
        seen[call.name] += 1
        named.append(call if times[call.name] == 1 else replace(call, name=f"{call.name}[{seen[call.name]}]"))
    return named


def _check_finite(recorded: RecordedPass) -> None:
    """Check that everything that was computed is finite.

    Raises:
        ArgumentError: naming the first layer that is not, and its first such step.
    """
    for call, unfolding in zip(recorded.calls, recorded.unfoldings, strict=True):
        names = step_names(recorded.probe, recorded.over(call), steps_of(call))
        time_first = call.x.transpose(0, 1) if call.layer.batch_first else call.x
        _check_steps(f"the input of {call.name or 'the layer'}", {"x": time_first}, names, False)
        for part, traces in unfolding.traces().items():
            _check_steps(part_name(call, part), traces, names, part.endswith("_reverse"))
    _check_steps("the output", {"logits": recorded.logits}, recorded.probe.outputs, False)


def _check_steps(place: str, traces: dict[str, Tensor], names: Sequence[str], reverse: bool) -> None:
    bad = torch.stack([~trace.detach().isfinite().flatten(1).all(1) for trace in traces.values()]).any(0)
    if bool(bad.any()):
        steps = bad.nonzero().flatten().tolist()
        first = steps[-1] if reverse else steps[0]
        raise ArgumentError(
            f"activations: {place} is not finite from step {first + 1} on ({names[first]!r}); the steps after it can't "
            "be inspected"
        )
