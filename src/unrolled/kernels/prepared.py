"""The contract of short calls: a stack that an engine prepared once, and its streams.

A short sequence or a single step takes microseconds, and what `Call`, `choose` and `run` look up at each call takes
longer. A layer therefore asks its engine once to prepare the stack, and hands later calls to the `Prepared` that it
got, if `dispatch.may_use_prepared` allows it. A `Prepared` returns None for a call that it does not serve; the
dispatcher then serves it, with the same result bit for bit, or names what is wrong with it.

Who owns what: a `Prepared` owns the copies of the weights that it packs, and nothing else. The tensors of a call are
borrowed until it returns; results are new tensors, which the caller owns; what a forward pass keeps belongs to
autograd's graph; the states of a `PreparedStream` are its own.

What makes a prepared stack stale, who notices it, and what then happens:

| change | noticed by | effect |
|---|---|---|
| a parameter written to in any way, replaced, or given other memory | `Prepared`, at each call | weights packed anew |
| `requires_grad`, gradient mode | `Prepared`, at each call | a graph, or none |
| an attribute of the layer; another dtype or device | the layer | dropped (`close`), and asked for again |
| `use_engine`, autocast, torch.func, forward mode, torch.compile | `may_use_prepared` | the call is dispatched |
| torch.jit.trace, tensor subclasses, unusual memory or shapes | `Prepared`, at each call | the call is dispatched |

Writes through `.data` or `.numpy()` are not counted by torch. Whoever makes them must have read the module's table of
parameters, which notes that (`parameters`); every bit is then compared.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from unrolled.cells import Cell, Params

#: the states of a stack as its caller holds them: h, or (h, c); each (L·D, B, size)
StackState = Tensor | tuple[Tensor, ...]
#: output and final states
StackResult = tuple[Tensor, StackState]


@dataclass(frozen=True)
class Stack:
    """A stack of layers that an engine is to prepare: its kernels and nothing else, no regulariser, no truncation.

    Attributes:
        cell: the recurrence.
        parameters: the module's own table of parameters, which every call looks into again.
        names: for each layer and direction (l0, l0_reverse, l1, …) the names in `parameters` by the cell's names.
        num_directions: D.
        batch_first: whether x and output of a sequence are (B, T, ·).
        residual: whether a layer's input is added to its output where both are equally wide.
        zero_start: whether a call without states starts from zeros.
        weights_dtype: the dtype to which weight_ih and weight_hh are rounded without a graph; None leaves them.
    """

    cell: Cell
    parameters: Mapping[str, Tensor | None]
    names: Sequence[Mapping[str, str]]
    num_directions: int
    batch_first: bool = False
    residual: bool = False
    zero_start: bool = True
    weights_dtype: torch.dtype | None = None

    def blocks(self) -> list[Params] | None:
        """Return the parameters of each layer and direction by the cell's names, or None if one of them is missing."""
        blocks: list[Params] = []
        for names in self.names:
            params = {name: self.parameters.get(full) for name, full in names.items()}
            present = {name: tensor for name, tensor in params.items() if tensor is not None}
            if len(present) < len(params):
                return None
            blocks.append(present)
        return blocks


class PreparedStream(Protocol):
    """Streams that are always stepped together, with their states, which it owns. One thread at a time may use it."""

    def is_current(self) -> bool:
        """Return whether the next step would use the weights as they are now."""

    def step(self, x: Tensor, out: Tensor | None) -> Tensor | None:
        """Take one step, (B, I) → (B, P), into `out` if given; None, with the states unchanged, if it can't."""

    def get_state(self) -> StackState:
        """Return a copy of the states."""

    def set_state(self, state: StackState) -> bool:
        """Copy the states from (L, B, size) tensors; False if they are not plain and contiguous."""


class Prepared(ABC):
    """A stack that an engine prepared. A call that it does not serve returns None, having changed nothing."""

    #: the name of the engine
    engine: ClassVar[str]

    @abstractmethod
    def run(self, x: object, state: object, lengths: object) -> StackResult | None:
        """Run the stack over a batch of sequences, as part of a graph if gradients are enabled and wanted.

        Args:
            x: (T, B, I), or (B, T, I) with batch_first.
            state: the initial states, or None.
            lengths: (B,) int64 valid steps, or None.
        """

    @abstractmethod
    def step(self, x: object, state: object) -> StackResult | None:
        """Take one step, (B, I) → (B, P) and states, without a graph."""

    @abstractmethod
    def stream(self, batch_size: int) -> PreparedStream | None:
        """Return `batch_size` streams with states of zeros, or None if the engine can't keep streams of this stack."""

    @abstractmethod
    def step_together(self, streams: Sequence[PreparedStream], x: Tensor, out: Tensor | None) -> Tensor | None:
        """Take one step of several streams of this stack, each once, with their rows in `x` one after the other."""

    @abstractmethod
    def close(self) -> None:
        """End its use: the layer has changed. Its streams keep their states, and take no further step."""
