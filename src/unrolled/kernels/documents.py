"""The documents of a call with resets: to an engine, each is a sequence of its own, somewhere in a row of the batch.

An engine that knows no resets runs a batch of documents instead of one of rows, without a copy where it can read a row
from any step on. Letters: T time, B batch, N documents, M the valid steps of all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from unrolled.cells import State
from unrolled.kernels.contract import Call, Direction
from unrolled.scan import valid_steps


class Packing(NamedTuple):
    """Documents packed as torch's PackedSequence is: step by step, at each step the longest documents first.

    Attributes:
        steps: (M,), where each packed step is in (T, B), flattened.
        batch_sizes: (longest length,), how many documents run at each step.
        order: (N,), the documents, longest first.
    """

    steps: Tensor
    batch_sizes: Tensor
    order: Tensor


@dataclass(frozen=True)
class Documents:
    """The documents of every row, in the order of rows and of time; a row of length 0 has one, of length 0.

    Attributes:
        table: (N, 3) int64 on the CPU: of each document the row, its first step there, and its length.
        first, last: (B,), the first and the last document of each row.
        is_begun: (B,), whether the row's first document begins with a reset, so that nothing reads its initial states.
    """

    table: Tensor
    first: Tensor
    last: Tensor
    is_begun: Tensor

    @classmethod
    def of(cls, call: Call) -> Documents:
        """Return the documents of a call that has resets."""
        time, batch = call.x.shape[:2]
        lengths = torch.full((batch,), time) if call.lengths is None else call.lengths.cpu().long()
        reset = torch.zeros(time, batch, dtype=torch.bool) if call.reset is None else call.reset.cpu()
        begins = reset & valid_steps(lengths, time, batch)
        is_begun = begins[0].clone()
        begins[0] = True
        row, begin = begins.T.nonzero(as_tuple=True)
        last = begins.sum(0).cumsum(0) - 1
        first = torch.cat([last.new_zeros(1), last + 1])[:batch]
        end = torch.cat([begin[1:], begin.new_zeros(1)])[: len(begin)].index_copy(0, last, lengths)
        return cls(torch.stack([row, begin, end - begin], -1), first, last, is_begun)

    def __len__(self) -> int:
        return len(self.table)

    def initial_states(self, direction: Direction) -> State:
        """Return the states that each document starts from, (N, size)."""
        row, given = self._on(direction, self.table[:, 0]), self._on(direction, self._given(direction))
        states = []
        for state, start in zip(direction.state, direction.start or (), strict=True):
            if not direction.reverse:
                state = torch.where(self._on(direction, self.is_begun).unsqueeze(-1), start, state)
            states.append(start.index_select(0, row).index_copy(0, given, state))
        return tuple(states)

    def final_states(self, direction: Direction, states: State) -> State:
        """Return the final states of each row, (B, size), from those of each document."""
        over = self._on(direction, self._over(direction))
        return tuple(s.index_select(0, over) for s in states)

    def dfinal(self, direction: Direction, dstates: State) -> State:
        """Return the gradient of each document's final states from that of each row's."""
        return tuple(d.new_zeros(len(self), d.shape[1]).index_copy_(0, self._over(direction), d) for d in dstates)

    def dinitial(self, direction: Direction, gradients: State) -> State:
        """Return the gradients of `direction.state` and of `direction.start` from those of `initial_states`."""
        given, row = self._given(direction), self.table[:, 0]
        is_start = torch.ones(len(self), dtype=torch.bool)
        is_start[given] = torch.zeros_like(self.is_begun) if direction.reverse else self.is_begun
        split = [(d.masked_fill(is_start.unsqueeze(-1), 0), d[is_start]) for d in gradients]
        dstate = tuple(own.index_select(0, given) for own, _ in split)
        dstart = tuple(d.new_zeros(len(given), d.shape[1]).index_add_(0, row[is_start], d) for _, d in split)
        return dstate + dstart

    def packing(self, batch: int) -> Packing:
        """Return where the steps of each document are in a batch of (T, batch)."""
        row, begin, length = self.table.unbind(-1)
        order = length.argsort(descending=True, stable=True)
        count = torch.bincount(length, minlength=1)
        batch_sizes = (len(self) - count.cumsum(0))[:-1]
        document = torch.arange(len(self)).repeat_interleave(length)
        step = torch.arange(len(document)) - (length.cumsum(0) - length).repeat_interleave(length)
        rank = torch.empty_like(order).index_copy_(0, order, torch.arange(len(self)))
        place = (batch_sizes.cumsum(0) - batch_sizes)[step] + rank[document]
        steps = torch.empty_like(place).index_copy_(0, place, (begin[document] + step) * batch + row[document])
        return Packing(steps, batch_sizes, order)

    def _given(self, direction: Direction) -> Tensor:
        """The documents that start from the initial states of their row."""
        return self.last if direction.reverse else self.first

    def _over(self, direction: Direction) -> Tensor:
        """The documents that end with their row."""
        return self.first if direction.reverse else self.last

    @staticmethod
    def _on(direction: Direction, tensor: Tensor) -> Tensor:
        """The tensor on the device of the states."""
        return tensor.to(direction.state[0].device)
