"""A stack unfolded over time, and the error walked back through it: what monitors and pictures read.

    x_t ─▶ layer 0 ─▶ … ─▶ layer L−1 ─▶ output_t            forwards, by `Recurrent.unfold`
     dx ◀─ layer 0 ◀─ … ◀─ layer L−1 ◀─ doutput_t            back, by `scan.bptt`, one layer after the other

Nothing here uses autograd. Letters: T time, B batch, I input, P width of h, D directions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from unrolled.cells import Cell, Params, StepGradients
from unrolled.errors import ArgumentError, ShapeError
from unrolled.layers.recurrent.arguments import AnyState, LayerState, map_state
from unrolled.layers.recurrent.stack import Recurrent
from unrolled.scan import ScanResult, Tape, bptt, valid_steps


@dataclass(frozen=True)
class LayerFlow:
    """The error that walks back through one layer in one direction.

    Attributes:
        name: l0, l0_reverse, l1, …
        errors: for each state by name (T, B, size): the gradient that arrives at it after step t, from the loss at t
            and from all that depends on it later.
        error: (T, B, sizes), the one to follow back: those at all states in a row.
        dx: (T, B, I), for the layer's input.
        dparams: the gradient of each parameter by the cell's own name.
        shares: for each parameter (T,), the norm of the contribution of step t to its gradient; the contributions of
            all steps, as vectors, sum to the gradient, since the weights are the same at every step.
    """

    name: str
    errors: dict[str, Tensor]
    error: Tensor
    dx: Tensor
    dparams: dict[str, Tensor]
    shares: dict[str, Tensor]


class StackFlow(NamedTuple):
    """The error that walks back through a whole stack.

    Attributes:
        layers: that of each layer and direction, in the order l0, l0_reverse, l1, …
        dx: (T, B, I), for the stack's input.
    """

    layers: list[LayerFlow]
    dx: Tensor


@dataclass(frozen=True)
class Unfolding:
    """A recurrent stack over one batch, with every step of every layer recorded.

    Attributes:
        layer: the stack.
        parts: result and tape of each layer and direction, in the order l0, l0_reverse, l1, …
        lengths: (B,) valid steps, or None.
    """

    layer: Recurrent
    parts: list[tuple[ScanResult, Tape]]
    lengths: Tensor | None = None

    @classmethod
    def of(
        cls,
        layer: Recurrent,
        x: Tensor,
        state: LayerState = None,
        lengths: Tensor | None = None,
        reset: Tensor | None = None,
    ) -> Unfolding:
        """Unfold a stack, as in evaluation.

        Args:
            layer, x, state, lengths, reset: as for `Recurrent.forward`, batched.

        Raises:
            ArgumentError: for a cell that defines `step` alone.
        """
        return cls(layer, layer.unfold(x, state, lengths, reset=reset), lengths)

    @property
    def names(self) -> list[str]:
        """l0, l0_reverse, l1, …"""
        directions = self.layer.num_directions
        return [f"l{k // directions}" + ("_reverse" if k % directions else "") for k in range(len(self.parts))]

    @property
    def output(self) -> Tensor:
        """(T, B, D·P), the last layer's output."""
        last = self.parts[-self.layer.num_directions :]
        output = torch.cat([result.output for result, _ in last], -1)
        below = last[0][1].x
        return output + below if self.layer.residual and output.shape == below.shape else output

    def traces(self) -> dict[str, dict[str, Tensor]]:
        """Return every gate and state of each layer and direction by name, (T, B, size); states after zoneout."""
        traces = {}
        for name, (_, tape) in zip(self.names, self.parts, strict=True):
            traces[name] = tape.stacked() | _settled(self.layer.cell.state_names, tape)
        return traces

    def backward(
        self, doutput: Tensor, shares: bool = False, dstate: tuple[Tensor | None, ...] | None = None
    ) -> StackFlow:
        """Walk an error back through all layers.

        Args:
            doutput: (T, B, D·P), the gradient of `output`.
            shares: whether to compute each step's share of every weight's gradient.
            dstate: the gradient of each of the final states, (L·D, B, size), or None for those without.

        Raises:
            ShapeError: doutput does not have the shape of the output.
        """
        if doutput.shape != self.output.shape:
            raise ShapeError("doutput", f"{tuple(self.output.shape)}, as the output", doutput.shape)
        layer, blocks, directions = self.layer, self.layer.parameter_blocks(), self.layer.num_directions
        flows: list[LayerFlow] = []
        with torch.no_grad():
            flowing = doutput
            if self.lengths is not None:
                over = ~valid_steps(self.lengths, *doutput.shape[:2]).to(doutput.device).unsqueeze(-1)
                flowing = doutput.masked_fill(over, 0)
            for index in reversed(range(layer.num_layers)):
                own = []
                for d, part in enumerate(flowing.chunk(directions, -1)):
                    at = index * directions + d
                    result, tape = self.parts[at]
                    arriving = dstate or (None,) * len(result.state)
                    # a narrow layer's states are filled up in the caller's hands
                    final = tuple(
                        torch.zeros_like(s) if d is None else d[at][:, : s.shape[1]]
                        for s, d in zip(result.state, arriving, strict=True)
                    )
                    norms = _Shares(layer.cell, tape, blocks[at]) if shares else None
                    back = bptt(layer.cell, tape, blocks[at], part, final, norms)
                    errors = dict(zip(layer.cell.state_names, back.errors, strict=True))
                    error = torch.cat(back.errors, -1)
                    by_step = norms.norms if norms else {}
                    own.append(LayerFlow(self.names[at], errors, error, back.dx, back.dparams, by_step))
                below = sum((flow.dx for flow in own), torch.zeros_like(own[0].dx))
                if layer.residual and below.shape == flowing.shape:
                    below = below + flowing
                flows = own + flows
                flowing = below
        return StackFlow(flows, flowing)


def _settled(state_names: tuple[str, ...], tape: Tape) -> dict[str, Tensor]:
    """Return the states after zoneout, if there is any; the traces have those that the cell computed."""
    if tape.masks.zoneout is None:
        return {}
    by_time = [tape.settled[tape.order.index(t)] for t in range(len(tape.order))]
    states = {name: torch.stack(parts) for name, parts in zip(state_names, zip(*by_time, strict=True), strict=True)}
    if tape.valid is None:
        return states
    return {name: s.masked_fill(~tape.valid.unsqueeze(-1), 0) for name, s in states.items()}


class _Shares:
    """Collects the norm of each step's contribution to the gradient of every parameter."""

    def __init__(self, cell: Cell, tape: Tape, params: Params) -> None:
        steps = len(tape.order)
        self._cell, self._x, self._params = cell, tape.x, params
        self.norms = {name: tape.x.new_zeros(steps) for name in params}

    def __call__(self, t: int, step: StepGradients) -> None:
        _, of_input = self._cell.project_input_backward(self._x[t : t + 1], step.dx_gates.unsqueeze(0), self._params)
        for name, share in {**of_input, **step.dparams}.items():
            self.norms[name][t] = share.norm()


@dataclass
class RecordedCall:
    """One pass through a recurrent layer of a network.

    Attributes:
        name: the layer's name in the network.
        layer: the layer.
        x, state, lengths, reset: its arguments, outside the graph.
        output: its output, in the graph; for a `SteppedPass`, zeros that were added to it, which get its gradient.
        final: its final states, (L·D, B, size) each, in the graph.
    """

    name: str
    layer: Recurrent
    x: Tensor
    state: LayerState
    lengths: Tensor | None
    output: Tensor = field(repr=False)
    final: tuple[Tensor, ...] = field(repr=False, default=())
    reset: Tensor | None = None


#: the recordings in progress: the names of the layers that each one records, and its list of their passes
_RECORDERS: ContextVar[tuple[tuple[dict[int, str], list[RecordedCall]], ...]] = ContextVar("recorders", default=())


class SteppedPass:
    """A pass through a layer whose cell a network steps itself, for the recordings in progress.

    A decoder must step itself where its input depends on its output of the step before. The error that arrives at an
    output, by whatever way, is the gradient of zeros that are added to it; the error that goes from state to state does
    not pass them, and is walked back by hand as in any other layer.

    Args:
        layer: the layer.
        steps: T.
    """

    def __init__(self, layer: Recurrent, steps: int) -> None:
        self._layer, self._steps = layer, steps
        self._recorders = [(names[id(layer)], calls) for names, calls in _RECORDERS.get() if id(layer) in names]
        self._zeros: Tensor | None = None

    @property
    def is_recorded(self) -> bool:
        """Whether the layer is recorded."""
        return bool(self._recorders)

    def leaving(self, t: int, h: Tensor) -> Tensor:
        """Return the output at step t, (B, P): h or, if the layer is recorded, h plus zeros that get its gradient."""
        if not self._recorders:
            return h
        if self._zeros is None:
            self._zeros = h.new_zeros(self._steps, *h.shape).requires_grad_()
        return h + self._zeros[t]

    def note(self, x: Sequence[Tensor], state: LayerState, lengths: Tensor | None) -> None:
        """Record the arguments after the last step: x_t (B, I) for each step; the others as for `forward`."""
        if self._zeros is None:
            return
        read = torch.stack(list(x)).detach()
        for name, calls in self._recorders:
            calls.append(RecordedCall(name, self._layer, read, _detached(state), lengths, self._zeros))


@contextmanager
def recording(network: nn.Module, retain: bool = False) -> Iterator[list[RecordedCall]]:
    """Record every pass through a recurrent layer of a network, whatever engine serves it, or the network itself.

    Args:
        network: the module that contains the layers.
        retain: keep the gradient that `backward` brings to each output, in `output.grad`.

    Yields:
        A list that fills as the network runs, in the order of the passes.

    Raises:
        ArgumentError: there is no recurrent layer in the network.
    """
    calls: list[RecordedCall] = []
    layers = {name: module for name, module in network.named_modules() if isinstance(module, Recurrent)}
    if not layers:
        raise ArgumentError("network: there is no recurrent layer in it to look into")
    handles = []
    token = _RECORDERS.set((*_RECORDERS.get(), ({id(layer): name for name, layer in layers.items()}, calls)))
    for name, layer in layers.items():

        def note(
            module: nn.Module, given: tuple[Any, ...], named: dict[str, Any], result: Any, name: str = name
        ) -> None:
            x, state, lengths = (*given, *(None,) * 3)[:3]
            x, state, lengths = named.get("x", x), named.get("state", state), named.get("lengths", lengths)
            if not isinstance(x, Tensor) or x.dim() != 3 or not isinstance(module, Recurrent):
                return
            output, final = result[0], result[1] if isinstance(result[1], tuple) else (result[1],)
            for tensor in (output, *final) if retain else ():
                if tensor.requires_grad:
                    tensor.retain_grad()
            reset = named.get("reset")
            calls.append(RecordedCall(name, module, x.detach(), _detached(state), lengths, output, final, reset))

        handles.append(layer.register_forward_hook(note, with_kwargs=True))
    try:
        yield calls
    finally:
        _RECORDERS.reset(token)
        for handle in handles:
            handle.remove()


def _detached(state: LayerState) -> LayerState:
    return map_state(state, Tensor.detach)


def as_dtype(state: AnyState, dtype: torch.dtype) -> AnyState:
    """Return a state, or None, in another dtype."""
    return map_state(state, lambda s: s.to(dtype))


def columns(state: AnyState, chosen: Tensor) -> AnyState:
    """Return the states of some sequences of a batch, (L·D, B, size) → (L·D, len(chosen), size)."""
    return map_state(state, lambda s: s.index_select(1, chosen))
