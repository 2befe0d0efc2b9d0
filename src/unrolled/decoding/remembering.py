"""A stepper with a cache of states, for searches that read much the same text again and again.

Completion searches anew after each typed character; but where the model predicted that character, the last search has
read most of what the new one reads. States are kept in a ring, so that memory is bounded and the oldest are evicted;
evicted states are computed again, and nothing else changes: a row of a step is the same, bit for bit, whatever other
rows there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from unrolled.decoding.contract import MergingStepper, S


class KeepingStepper(MergingStepper[S], Protocol[S]):
    """A stepper whose rows can be written into an existing state."""

    def put(self, state: S, rows: Tensor, new: S) -> None:
        """Copy row n of ``new`` to row ``rows[n]`` of ``state``, in place; rows (N,) int64, without repeats."""
        ...

    def same(self, state: S, row: int, other: S) -> bool:
        """Return whether a row of ``state`` equals the only row of ``other``, bit for bit."""
        ...


class Node:
    """A position in a text that was read.

    Attributes:
        serial: a running number; its row in the ring is ``serial % size``.
        children: the positions after it, by token.
    """

    __slots__ = ("children", "serial")

    def __init__(self, serial: int) -> None:
        self.serial, self.children = serial, dict[int, Node]()


class Places(NamedTuple):
    """The state of a `RememberingStepper`: a node for each row."""

    nodes: Sequence[Node]


class RememberingStepper:
    """A stepper that computes no step twice while it is cached. For one thread at a time.

    Args:
        stepper: the stepper to cache, on the CPU.
        size: the number of cached rows, at least 2. A search may make half as many.
    """

    def __init__(self, stepper: KeepingStepper[Any], size: int) -> None:
        self._stepper, self.size = stepper, size
        self._states: Any = stepper.start(size)
        self._logits = torch.zeros(size, stepper.vocabulary_size)
        self._serial = 0

    @property
    def vocabulary_size(self) -> int:
        """V, the number of logits."""
        return self._stepper.vocabulary_size

    @property
    def has_read(self) -> int:
        """The number of rows that were computed."""
        return self._serial

    def start(self, batch_size: int) -> Places:
        """Return the state before the first token."""
        state = self._stepper.start(1)
        return Places([self.place(state, None, ()) for _ in range(batch_size)])

    def place(self, state: Any, logits: Tensor | None, known: Iterable[Node | None]) -> Node:
        """Return the node of a state of one row.

        Args:
            state: a state of the inner stepper.
            logits: (1, V) there.
            known: nodes that may hold this state.
        """
        for node in known:
            if (
                node is not None
                and self._lasts(node)
                and self._stepper.same(self._states, node.serial % self.size, state)
            ):
                return node
        [serial] = self._taken(1)
        row = _tensor([serial % self.size])
        self._stepper.put(self._states, row, state)
        if logits is not None:
            self._logits.index_copy_(0, row, logits)
        return Node(serial)

    def select(self, state: Places, rows: Tensor) -> Places:
        """Return the state whose row n is row ``rows[n]`` of ``state``."""
        nodes = state.nodes
        return Places([nodes[row] for row in rows.tolist()])

    def step(self, tokens: Tensor, state: Places) -> tuple[Tensor, Places]:
        """Read one token per row."""
        nodes: list[Node] = []
        parents: list[int] = []
        missing: list[int] = []
        made: list[Node] = []
        for node, token in zip(state.nodes, tokens.tolist(), strict=True):
            child = node.children.get(token)
            if child is None or not (child.serial < 0 or self._lasts(child)):
                # further rows with the same parent and token share this node
                child = node.children[token] = Node(-1)
                parents.append(node.serial % self.size)
                missing.append(token)
                made.append(child)
            nodes.append(child)
        if made:
            ahead = self._stepper.select(self._states, _tensor(parents))
            logits, new = self._stepper.step(_tensor(missing), ahead)
            serials = self._taken(len(made))
            for child, serial in zip(made, serials, strict=True):
                child.serial = serial
            rows = _tensor([serial % self.size for serial in serials])
            self._stepper.put(self._states, rows, new)
            self._logits.index_copy_(0, rows, logits)
            if len(made) == len(nodes):
                return logits, Places(nodes)
        places = _tensor([node.serial % self.size for node in nodes])
        return self._logits.index_select(0, places), Places(nodes)

    def _taken(self, count: int) -> range:
        self._serial += count
        return range(self._serial - count, self._serial)

    def _lasts(self, node: Node) -> bool:
        """Return whether a node will stay cached until a search that begins now is done."""
        return node.serial >= self._serial - self.size // 2


def _tensor(numbers: list[int]) -> Tensor:
    # several times faster than torch.tensor of a list
    return torch.from_numpy(np.array(numbers, dtype=np.int64))
