"""The contract of an engine: its calls, its results, and what it keeps for the backward pass.

The unit of work is one layer over one batch, all its directions at once. Letters: T time, B batch, I input, H hidden,
P width of h (the projection, else H), D directions, G gates.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch._C import _get_tracing_state
from torch.compiler import is_compiling

from unrolled.cells import Cell, Params, State
from unrolled.kernels.prepared import Prepared, Stack
from unrolled.scan import Masks


@dataclass(frozen=True)
class Direction:
    """One direction of a layer.

    Attributes:
        params: the cell's parameters by name, in the order of `Cell.parameter_shapes`.
        state: the initial states, each (B, size).
        reverse: whether it runs from the last valid step to the first.
        masks: its regularisers, drawn beforehand; None for none.
        start: the states that a reset sets, each (B, size); None in a call without resets.
    """

    params: Params
    state: State
    reverse: bool = False
    masks: Masks | None = None
    start: State | None = None

    @property
    def tensors(self) -> list[Tensor]:
        """The states, those that a reset sets, and the parameters."""
        return [*self.state, *(self.start or ()), *self.params.values()]


@dataclass(frozen=True)
class Call:
    """One layer over one batch. An engine borrows its tensors while the call lasts, and writes to none of them.

    Attributes:
        cell: the recurrence, the same in every direction.
        x: (T, B, I), any strides. Steps that a sequence does not have may hold anything, including NaN.
        directions: one, or two with the second reversed.
        lengths: (B,) int64 on any device, each 0 to T, already checked; None means T for all.
        truncate: truncated BPTT, see `scan`; None is exact.
        batch_first: a hint that the caller will want the output's memory laid out as (B, T, D·P).
        reset: (T, B) bool on any device, true where a document begins, see `scan`; already checked; None is never.
        memory: what the backward pass may keep, "sqrt" or bytes, see `recompute`; None is everything. Engines are given
            calls without, but may refuse one that has it.
        products: a dtype to which the factors of products are rounded; the tensors are float32 or of that dtype, and
            the results float32. An engine rounds as much more as torch does where all tensors have that dtype, or less.
    """

    cell: Cell
    x: Tensor
    directions: tuple[Direction, ...]
    lengths: Tensor | None = None
    truncate: int | None = None
    batch_first: bool = False
    reset: Tensor | None = None
    memory: str | int | None = None
    products: torch.dtype | None = None

    @property
    def tensors(self) -> list[Tensor]:
        """Every tensor a gradient may be asked for: x, then those of each direction."""
        return [self.x, *(tensor for direction in self.directions for tensor in direction.tensors)]

    def with_tensors(self, tensors: Sequence[Tensor]) -> Call:
        """Return the same call over other tensors, in the order of `tensors`."""
        rest = iter(tensors)
        x = next(rest)
        # written out, since `replace` takes as long as a short kernel
        directions = tuple(
            Direction(
                state=tuple(next(rest) for _ in d.state),
                start=None if d.start is None else tuple(next(rest) for _ in d.start),
                params={name: next(rest) for name in d.params},
                reverse=d.reverse,
                masks=d.masks,
            )
            for d in self.directions
        )
        options = (self.lengths, self.truncate, self.batch_first, self.reset, self.memory, self.products)
        return Call(self.cell, x, directions, *options)

    def to(self, dtype: torch.dtype | None) -> Call:
        """Return the same call with every tensor, its products and so its results in a dtype; None leaves them."""
        if dtype is None:
            return self
        call = self.with_tensors([t.to(dtype) for t in self.tensors])
        directions = tuple(replace(d, masks=_masks_to(d.masks, dtype)) for d in call.directions)
        return replace(call, directions=directions, products=None)

    @property
    def result_dtype(self) -> torch.dtype:
        """The dtype of the results."""
        return self.x.dtype if self.products is None else torch.float32

    @property
    def needs_grad(self) -> bool:
        """Whether autograd will want a backward pass of this call."""
        return torch.is_grad_enabled() and any(t.requires_grad for t in self.tensors)

    @property
    def is_masked(self) -> bool:
        """Whether any direction has recurrent dropout or zoneout."""
        return any(d.masks is not None for d in self.directions)

    @property
    def hidden_size(self) -> int:
        """H, read off the parameters."""
        return self.cell.hidden_size(self.directions[0].params)

    @property
    def output_size(self) -> int:
        """P, the width of h in one direction."""
        return self.cell.state_sizes(self.hidden_size)[0]


class Result(NamedTuple):
    """The result of a call; new tensors, which the caller owns.

    Attributes:
        output: (T, B, D·P), zero where a sequence is over; any strides.
        states: for each direction its final states, each (B, size): of a ragged sequence, those after its last step.
    """

    output: Tensor
    states: tuple[State, ...]

    @property
    def flat(self) -> tuple[Tensor, ...]:
        """The output, then the states of each direction."""
        return (self.output, *(s for state in self.states for s in state))

    def to(self, dtype: torch.dtype) -> Result:
        """Return the same result in another dtype."""
        return Result(self.output.to(dtype), tuple(tuple(s.to(dtype) for s in state) for state in self.states))


class Saved(NamedTuple):
    """The data that an engine keeps between its forward and its backward pass.

    Budget, in units of T·B·H·4 bytes for each direction, without the inputs: LSTM 6, GRU 6, RNN 2; of elementwise
    cells the output, the products of a step and the states that are no output.

    Attributes:
        tensors: kept by autograd, so that freeing the graph frees them.
        extra: anything else that the engine wants to get back, of a type that it alone knows.
    """

    tensors: tuple[Tensor, ...]
    extra: object = None


class Gradients(NamedTuple):
    """The result of a backward pass: a tensor or None for each of `Call.tensors`, in that order."""

    of: tuple[Tensor | None, ...]


def _masks_to(masks: Masks | None, dtype: torch.dtype) -> Masks | None:
    if masks is None or masks.recurrent is None:
        return masks
    return replace(masks, recurrent=masks.recurrent.to(dtype))


def is_traced() -> bool:
    """Return whether torch.compile, torch.export or torch.jit.trace is recording this call."""
    return is_compiling() or _get_tracing_state() is not None


class Engine(ABC):
    """Something that keeps the contract of `scan` for the calls that it does not refuse."""

    name: ClassVar[str]

    @abstractmethod
    def unavailable(self) -> str | None:
        """Return why this engine can't be used in this process at all, or None."""

    @abstractmethod
    def refuses(self, call: Call) -> str | None:
        """Return what this call asks for that the engine lacks, or None if it will serve it."""

    @abstractmethod
    def infer(self, call: Call) -> Result:
        """Serve a call that needs no gradient."""

    @abstractmethod
    def forward(self, call: Call) -> tuple[Result, Saved]:
        """Serve a call and keep what its backward pass needs. The tensors of `call` are not part of a graph."""

    @abstractmethod
    def backward(
        self, call: Call, saved: Saved, doutput: Tensor, dstates: tuple[State, ...], needed: Sequence[bool]
    ) -> Gradients:
        """BPTT.

        Args:
            call: as in `forward`.
            saved: what `forward` kept; it may be used again.
            doutput: (T, B, D·P); may hold anything where a sequence is over.
            dstates: the gradients of the final states.
            needed: for each of `Call.tensors`, whether its gradient is wanted.
        """

    def trace(self, call: Call) -> Result | None:
        """Serve a call by operators of torch's own, which tracing and autograd follow; None if it uses others."""
        return None

    def step(
        self, cell: Cell, x: Tensor, state: State, params: Params, products: torch.dtype | None = None
    ) -> State | None:
        """One step without a gradient, (B, I) → states, or None if the engine has no faster way than a call of T=1."""
        return None

    def prepare(self, stack: Stack) -> Prepared | None:
        """Prepare for short calls a stack that this engine would serve; None if it has no such path."""
        return None

    def forget(self, params: Params) -> None:
        """Drop everything kept from these parameters, after a write that can't be noticed."""
        return
