"""Unfolding: one cell over T steps, and backpropagation through time over the same steps.

`scan` is plain torch and differentiable by autograd, to any order, forwards and backwards. `unfold` is the same walk
with a tape of every gate, and `bptt` walks that tape back by the cells' hand-derived `step_backward`. All engines,
however fast, are held to `scan`; `scan` and `bptt` are held to each other.

Letters: T time, B batch, I input, H hidden, G gates. Time comes first everywhere in this file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.compiler import is_compiling

from unrolled.cells import Cell, Params, State, StepGradients, Trace
from unrolled.errors import ArgumentError, DTypeError, ShapeError


@dataclass(frozen=True)
class Masks:
    """The random regularisers of one direction of one layer, drawn by the layer.

    Attributes:
        recurrent: (B, P), variational dropout on the recurrent connection: one mask for all steps, already scaled
            by 1/(1 − p). Source: Gal & Ghahramani 2016, arXiv 1512.05287.
        zoneout: for each state, either a bool tensor (T, B, size), true where the old value is kept (training), or
            the probability itself (evaluation), or None. Source: Krueger et al. 2017, arXiv 1606.01305.
    """

    recurrent: Tensor | None = None
    zoneout: tuple[Tensor | float | None, ...] | None = None


class ScanResult(NamedTuple):
    """The result of a scan.

    Attributes:
        output: (T, B, P), the first state at every step; zero where a sequence is over.
        state: the final states, each (B, size): of a sequence with a length, those after its last valid step.
    """

    output: Tensor
    state: State


class Tape(NamedTuple):
    """The record of `unfold`, which `bptt` reads. Lists are in the order in which steps were taken."""

    x: Tensor
    order: list[int]
    traces: list[Trace]
    settled: list[State]
    valid: Tensor | None
    restart: Tensor | None
    masks: Masks
    truncate: int | None

    def stacked(self) -> Trace:
        """Return every recorded quantity as (T, B, size), in time order, zero where a sequence is over."""
        names = [k for k in self.traces[0] if "." not in k and k != "mask"]
        by_time = [self.traces[self.order.index(t)] for t in range(len(self.order))]
        stacks = {k: torch.stack([trace[k] for trace in by_time]) for k in names}
        if self.valid is None:
            return stacks
        return {k: v.masked_fill(~self.valid.unsqueeze(-1), 0) for k, v in stacks.items()}


class ScanGradients(NamedTuple):
    """The result of BPTT.

    Attributes:
        dx: (T, B, I); exactly zero where a sequence is over.
        dstate: the gradient of the initial states.
        dstart: the gradient of the states after a reset; empty without resets.
        dparams: the gradient of every parameter.
        errors: for each state (T, B, size), the gradient that arrives at it after step t, including the loss at t.
    """

    dx: Tensor
    dstate: State
    dstart: State
    dparams: dict[str, Tensor]
    errors: tuple[Tensor, ...]


def scan(
    cell: Cell,
    x: Tensor,
    state: State,
    params: Params,
    *,
    lengths: Tensor | None = None,
    reverse: bool = False,
    truncate: int | None = None,
    masks: Masks | None = None,
    reset: Tensor | None = None,
    start: State | None = None,
) -> ScanResult:
    """Run a cell over time.

    With `reset` a row of the batch holds several documents one after the other: where it is true at (t, b), a document
    of row b begins at t, and the one before ends at t − 1. The first step of a document finds the states `start`, in
    both directions, and no gradient passes from one document to another: outputs and gradients are those of each
    document alone. In reverse a document begins at its own last step, so that the state is `start` before the step
    t − 1. The initial states serve the first step of the row, but for a forward direction with a reset at t = 0, where
    nothing reads them. Final states are those after the last step.

    Args:
        cell: the recurrence.
        x: (T, B, I). Steps that a sequence does not have are never read, and may be NaN.
        state: the initial states, each (B, size); not modified.
        params: the cell's parameters by name.
        lengths: (B,), the number of valid steps of each sequence, 0 to T; None means T for all.
        reverse: run from the last valid step to the first; outputs stay at their own t.
        truncate: cut the gradient every so many steps (truncated BPTT); the values are the same.
        masks: the regularisers, drawn beforehand.
        reset: (T, B) bool, true where a document begins; beyond a sequence's length it has no effect.
        start: the states at the first step of a document, each (B, size); None is the cell's own.

    Raises:
        ShapeError, DTypeError, ArgumentError: naming the argument.
    """
    walk = _Walk(cell, x, state, params, lengths, reverse, truncate, masks, reset, start)
    outputs: list[Tensor] = [x] * len(walk.order)
    for t, x_gates, previous in walk.steps():
        proposed = walk.cell_step(x_gates, previous)
        outputs[t] = walk.settle(t, previous, proposed)
    output = torch.stack(outputs)
    if walk.valid is not None:
        output = output.masked_fill(~walk.valid.unsqueeze(-1), 0)
    return ScanResult(output, walk.state)


def unfold(
    cell: Cell,
    x: Tensor,
    state: State,
    params: Params,
    *,
    lengths: Tensor | None = None,
    reverse: bool = False,
    truncate: int | None = None,
    masks: Masks | None = None,
    reset: Tensor | None = None,
    start: State | None = None,
) -> tuple[ScanResult, Tape]:
    """Run a cell over time as `scan` does, and record every step on a tape.

    Raises:
        ArgumentError: the cell defines `step` only.
    """
    if not cell.is_traced:
        raise ArgumentError(f"cell: {cell.name!r} defines step alone; unfolding needs trace and step_backward")
    walk = _Walk(cell, x, state, params, lengths, reverse, truncate, masks, reset, start)
    outputs: list[Tensor] = [x] * len(walk.order)
    traces: list[Trace] = []
    settled: list[State] = []
    for t, x_gates, previous in walk.steps():
        proposed, trace = cell.trace(x_gates, previous, params, walk.masks.recurrent)
        traces.append(trace)
        outputs[t] = walk.settle(t, previous, proposed)
        settled.append(walk.state)
    output = torch.stack(outputs)
    if walk.valid is not None:
        output = output.masked_fill(~walk.valid.unsqueeze(-1), 0)
    tape = Tape(walk.x, walk.order, traces, settled, walk.valid, walk.restart, walk.masks, truncate)
    return ScanResult(output, walk.state), tape


def bptt(
    cell: Cell,
    tape: Tape,
    params: Params,
    doutput: Tensor,
    dstate: State,
    watch: Callable[[int, StepGradients], None] | None = None,
) -> ScanGradients:
    """Backpropagation through time, by hand.

    Walks the tape from the last step taken to the first; at each step the error from the loss at that step joins the
    error that came back from later steps, and the cell turns it into the error of the step before and its own
    contribution to the gradient of every parameter, which add up: the weights are shared over time.

    Args:
        cell, tape, params: as passed to and returned by `unfold`.
        doutput: (T, B, P), the gradient of the outputs.
        dstate: the gradient of the final states.
        watch: called with each t and the gradients of that step, the last step first.

    Source: Werbos 1990, doi:10.1109/5.58337.
    """
    if tape.valid is not None:
        doutput = doutput.masked_fill(~tape.valid.unsqueeze(-1), 0)
    dparams: dict[str, Tensor] = {}
    dx_gates: list[Tensor] = [doutput] * len(tape.order)
    errors: list[State] = [()] * len(tape.order)
    flowing = tuple(dstate)
    dstart = () if tape.restart is None else tuple(torch.zeros_like(d) for d in dstate)
    for index in reversed(range(len(tape.order))):
        t = tape.order[index]
        flowing = (flowing[0] + doutput[t], *flowing[1:])
        errors[t] = flowing
        dproposed, dkept = _settle_backward(t, flowing, tape.valid, tape.masks)
        step = cell.step_backward(tape.traces[index], dproposed, params)
        if watch is not None:
            watch(t, step)
        dx_gates[t] = step.dx_gates
        for name, share in step.dparams.items():
            dparams[name] = dparams[name] + share if name in dparams else share
        flowing = tuple(d if k is None else d + k for d, k in zip(step.dstate, dkept, strict=True))
        if tape.restart is not None:
            begins = tape.restart[t].unsqueeze(-1)
            dstart = tuple(total + d.masked_fill(~begins, 0) for total, d in zip(dstart, flowing, strict=True))
            flowing = tuple(d.masked_fill(begins, 0) for d in flowing)
        if _is_cut(index, tape.truncate):
            flowing = tuple(torch.zeros_like(d) for d in flowing)
    dx, from_input = cell.project_input_backward(tape.x, torch.stack(dx_gates), params)
    for name, share in from_input.items():
        dparams[name] = dparams[name] + share if name in dparams else share
    if tape.valid is not None:
        dx = dx.masked_fill(~tape.valid.unsqueeze(-1), 0)
    stacked = tuple(torch.stack([e[k] for e in errors]) for k in range(len(dstate)))
    return ScanGradients(dx, flowing, dstart, dparams, stacked)


class _Walk:
    """One pass over time: the order of the steps, and the state between them, with lengths, resets and zoneout."""

    def __init__(
        self,
        cell: Cell,
        x: Tensor,
        state: State,
        params: Params,
        lengths: Tensor | None,
        reverse: bool,
        truncate: int | None,
        masks: Masks | None,
        reset: Tensor | None,
        start: State | None,
    ) -> None:
        _check(cell, x, state, params, truncate)
        if start is not None:
            _check_state(cell, x, start, params, "start")
        self.cell, self.params, self.truncate = cell, params, truncate
        self.masks = masks or Masks()
        self.state = tuple(state)
        steps = range(x.shape[0])
        self.order = list(reversed(steps)) if reverse else list(steps)
        self.valid = None if lengths is None else valid_steps(lengths, x.shape[0], x.shape[1]).to(x.device)
        self.restart = None if reset is None else restarts(reset, x, self.valid, reverse)
        self.start = start or cell.initial_state(x.shape[1], cell.hidden_size(params), state[0])
        # filled before the projection, since 0 · NaN in its backward would reach the weights
        self.x = x if self.valid is None else x.masked_fill(~self.valid.unsqueeze(-1), 0)

    def steps(self) -> Iterator[tuple[int, Tensor, State]]:
        """Yield t, the gates' input at t, and the state before it, in the order in which steps are taken."""
        x_gates = self.cell.project_input(self.x, self.params).unbind(0)
        for index, t in enumerate(self.order):
            if _is_cut(index, self.truncate):
                self.state = tuple(s.detach() for s in self.state)
            if self.restart is not None:
                begins = self.restart[t].unsqueeze(-1)
                self.state = tuple(torch.where(begins, a, s) for a, s in zip(self.start, self.state, strict=True))
            yield t, x_gates[t], self.state

    def cell_step(self, x_gates: Tensor, state: State) -> State:
        """Take the cell's step; the mask is passed only if there is one, so that a cell need not accept it."""
        if self.masks.recurrent is None:
            return self.cell.step(x_gates, state, self.params)
        return self.cell.step(x_gates, state, self.params, self.masks.recurrent)

    def settle(self, t: int, previous: State, proposed: State) -> Tensor:
        """Set the new state: the cell's, but for units that zoneout keeps and sequences that are over."""
        settled = []
        for k, (old, new) in enumerate(zip(previous, proposed, strict=True)):
            keep = None if self.masks.zoneout is None else self.masks.zoneout[k]
            if isinstance(keep, Tensor):
                new = torch.where(keep[t], old, new)
            elif keep is not None:
                new = keep * old + (1 - keep) * new
            settled.append(new if self.valid is None else torch.where(self.valid[t].unsqueeze(-1), new, old))
        self.state = tuple(settled)
        return self.state[0]


def _settle_backward(
    t: int, dstate: State, valid: Tensor | None, masks: Masks
) -> tuple[State, tuple[Tensor | None, ...]]:
    """Return the gradients of `_Walk.settle`: of the cell's new state, and of the previous one where it was kept."""
    dproposed, dkept = [], []
    for k, d in enumerate(dstate):
        kept: Tensor | None = None
        if valid is not None:
            over = ~valid[t].unsqueeze(-1)
            kept, d = d * over, d.masked_fill(over, 0)
        keep = None if masks.zoneout is None else masks.zoneout[k]
        if keep is not None:
            share = keep[t].to(d.dtype) if isinstance(keep, Tensor) else keep
            kept = d * share if kept is None else kept + d * share
            d = d * (1 - share)
        dproposed.append(d)
        dkept.append(kept)
    return tuple(dproposed), tuple(dkept)


def _is_cut(index: int, truncate: int | None) -> bool:
    """Return whether the gradient stops before the step taken as number `index`."""
    return truncate is not None and index > 0 and index % truncate == 0


def check_reset(reset: object, **sizes: int) -> Tensor:
    """Return resets, if they are bool and have these dimensions, such as T=4, B=3.

    Raises:
        DTypeError, ShapeError: saying what was expected and found.
    """
    if not isinstance(reset, Tensor):
        raise DTypeError(f"reset: expected a bool tensor, found {type(reset).__name__}; use torch.tensor(…)")
    if reset.dtype != torch.bool:
        raise DTypeError(f"reset: expected torch.bool, found {reset.dtype}; a comparison makes one, such as done > 0")
    if tuple(reset.shape) != tuple(sizes.values()):
        expected = ", ".join(f"{letter}={size}" for letter, size in sizes.items())
        raise ShapeError("reset", f"({expected}{',' if len(sizes) == 1 else ''})", reset.shape)
    return reset


def restarts(reset: Tensor, x: Tensor, valid: Tensor | None, reverse: bool) -> Tensor:
    """Return (T, B) bool, true where the state is set anew before the step at t, in the order of steps."""
    begins = check_reset(reset, T=x.shape[0], B=x.shape[1]).to(x.device)
    if valid is not None:
        begins = begins & valid
    return torch.cat([begins[1:], torch.zeros_like(begins[:1])]) if reverse else begins


def valid_steps(lengths: Tensor, time: int, batch: int) -> Tensor:
    """Return (T, B) bool, true where a sequence still runs.

    Raises:
        DTypeError, ShapeError, ArgumentError: lengths are not a tensor of (B,) integers from 0 to T.
    """
    if not isinstance(lengths, Tensor):
        raise DTypeError(f"lengths: expected a tensor of integers, found {type(lengths).__name__}; use torch.tensor(…)")
    if tuple(lengths.shape) != (batch,):
        raise ShapeError("lengths", f"(B={batch},)", lengths.shape)
    if lengths.dtype.is_floating_point or lengths.dtype.is_complex or lengths.dtype == torch.bool:
        raise ArgumentError(f"lengths: expected integers, found {lengths.dtype}")
    # a traced tensor has no values; who runs the trace checks them
    if batch and not is_compiling() and (int(lengths.min()) < 0 or int(lengths.max()) > time):
        wrong = next(i for i, n in enumerate(lengths.tolist()) if not 0 <= n <= time)
        raise ArgumentError(f"lengths[{wrong}]: expected 0 to T={time}, found {int(lengths[wrong])}")
    return torch.arange(time, device=lengths.device).unsqueeze(1) < lengths.unsqueeze(0)


def _check(cell: Cell, x: Tensor, state: Sequence[Tensor], params: Params, truncate: int | None) -> None:
    if x.dim() != 3:
        raise ShapeError("x", "(T, B, I)", x.shape)
    if x.shape[0] == 0:
        raise ShapeError("x", "(T, B, I) with T of at least 1", x.shape)
    width = params["weight_ih"].shape[1]
    if x.shape[2] != width:
        raise ShapeError("x", f"(T, B, I={width})", x.shape)
    _check_state(cell, x, state, params, "state")
    if truncate is not None and truncate < 1:
        raise ArgumentError(f"truncate: expected at least 1 step, found {truncate}")


def _check_state(cell: Cell, x: Tensor, state: Sequence[Tensor], params: Params, argument: str) -> None:
    if len(state) != len(cell.state_names):
        expected = f"{len(cell.state_names)} tensors {cell.state_names}"
        raise ArgumentError(f"{argument}: expected {expected}, found {len(state)}")
    sizes = cell.state_sizes(cell.hidden_size(params))
    for name, tensor, size in zip(cell.state_names, state, sizes, strict=True):
        if tuple(tensor.shape) != (x.shape[1], size):
            raise ShapeError(f"{argument} {name}", f"(B={x.shape[1]}, {size})", tensor.shape)
