"""Tensors as the compiled module reads them: addresses, strides in elements, and where the sequences of a batch are."""

from __future__ import annotations

import torch
from torch import Tensor

from unrolled.cells import State
from unrolled.kernels.contract import Call, Direction
from unrolled.kernels.documents import Documents
from unrolled.kernels.native.binding import NativeLayout, Strided, compiled


def address(tensor: Tensor | None) -> int:
    """Return the address of a tensor's data, 0 for none."""
    return 0 if tensor is None else tensor.data_ptr()


def strided(tensor: Tensor) -> Strided:
    """Return address and strides of a (T, B, ·) tensor."""
    return tensor.data_ptr(), tensor.stride(0), tensor.stride(1)


def readable(tensor: Tensor) -> Tensor:
    """Return the tensor, or a copy if its last dimension is not contiguous or its sign not resolved."""
    tensor = tensor.resolve_neg()
    return tensor if tensor.stride(-1) == 1 or tensor.shape[-1] <= 1 else tensor.contiguous()


class Layout:
    """Where the sequences of a call are: one in each row, or documents packed into rows."""

    def __init__(self, call: Call) -> None:
        (time, batch), lengths = call.x.shape[:2], call.lengths
        self.documents = None if call.reset is None else Documents.of(call)
        self._lengths = None if lengths is None else lengths.to("cpu", torch.int64).contiguous()
        #: M, the valid steps of all sequences
        self.steps = time * batch if self._lengths is None else int(self._lengths.sum())
        table = None if self.documents is None else self.documents.table
        self.native: NativeLayout = compiled().Layout(
            time,
            batch,
            0 if self._lengths is None else self._lengths.data_ptr(),
            0 if table is None else table.data_ptr(),
            0 if table is None else len(table),
        )

    def initial_states(self, direction: Direction) -> list[Tensor]:
        """Return the states that each sequence starts from."""
        states = direction.state if self.documents is None else self.documents.initial_states(direction)
        return [s.contiguous() for s in states]

    def final_states(self, direction: Direction, states: State) -> State:
        """Return the final states of each row from those of each sequence."""
        return states if self.documents is None else self.documents.final_states(direction, states)

    def dfinal(self, direction: Direction, dstates: State) -> State:
        """Return the gradient of each sequence's final states from that of each row's."""
        return dstates if self.documents is None else self.documents.dfinal(direction, dstates)

    def dinitial(self, direction: Direction, gradients: State) -> State:
        """Return the gradients of the direction's states, and of those that a reset sets, from `initial_states`'."""
        return gradients if self.documents is None else self.documents.dinitial(direction, gradients)
