"""Synced many-to-many: an output for every step.

    x_1 … x_T ─ input layer ─▶ hidden layers ─▶ output layer ─▶ logits_1 … logits_T

Letters: T time, B batch, K output classes, L layers, P width of h.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from unrolled.kernels import StackState
from unrolled.layers import OutputLayer, Recurrent
from unrolled.layers.recurrent.arguments import LayerState
from unrolled.layers.recurrent.regularise import drop
from unrolled.networks.parts import (
    apply_rows,
    check_layers,
    initial_state,
    input_steps,
    merge_rows,
    select_rows,
    state_parts,
)


class SyncedNetwork(nn.Module):
    """Input layer, hidden layers and output layer, with a label (or the next token) at every step.

    With one direction it is causal: it can be streamed, and it is a `Stepper` for every decoder.

    Args:
        inputs: an input layer: any module from x to (T, B, I) that has `output_size`. A layer that reduces the number
            of steps also has `output_lengths` and is called with the lengths; the logits are then of its steps.
        hidden: the recurrent stack, time first.
        output: an output layer: from (…, D·P) to (…, K) logits.
        dropout: on the hidden layers' output, variational if the stack is.

    Raises:
        ArgumentError: the layers do not match.
    """

    def __init__(self, inputs: nn.Module, hidden: Recurrent, output: OutputLayer, *, dropout: float = 0.0) -> None:
        super().__init__()
        check_layers(inputs, hidden, dropout)
        self.inputs, self.hidden, self.output, self.dropout = inputs, hidden, output, dropout

    def forward(self, x: Tensor, state: LayerState = None, lengths: Tensor | None = None) -> tuple[Tensor, StackState]:
        """Return the logits of every step.

        Args:
            x: the input layer's input, (T, B) tokens or (T, B, features).
            state: the hidden layers' state, or None.
            lengths: (B,) valid steps.

        Returns:
            logits (T, B, K) and the final state.
        """
        h, final = self.features(x, state, lengths)
        return self.output(h), final

    def features(self, x: Tensor, state: LayerState = None, lengths: Tensor | None = None) -> tuple[Tensor, StackState]:
        """Return the output layer's input, (T, B, D·P), and the final state."""
        h, final = self.states(x, state, lengths)
        return self.dropped(h), final

    def states(self, x: Tensor, state: LayerState = None, lengths: Tensor | None = None) -> tuple[Tensor, StackState]:
        """Return the hidden layers' output, (T, B, D·P), and the final state."""
        steps, lengths = input_steps(self.inputs, x, lengths)
        return self.hidden(steps, state, lengths)

    def dropped(self, h: Tensor) -> Tensor:
        """Return the hidden layers' output as the output layer reads it: with dropout while training."""
        return drop(h, self.dropout, self.hidden.variational) if self.dropout and self.training else h

    @property
    def vocabulary_size(self) -> int:
        """K, the number of logits."""
        return self.output.classes

    def start(self, batch_size: int) -> StackState:
        """Return the state before the first step."""
        return initial_state(self.hidden, batch_size)

    def step(self, x: Tensor, state: LayerState) -> tuple[Tensor, StackState]:
        """Run one step without a graph: (B,) tokens or (B, features) → logits (B, K) and the new state.

        A row's logits are the same, bit for bit, whatever other rows there are.
        """
        with torch.no_grad():
            h, state = self.hidden.step(self.inputs(x), state)
            return apply_rows(self.output, h), state

    def select(self, state: StackState, rows: Tensor) -> StackState:
        """Return the state whose stream n is stream `rows[n]` of `state`."""
        return select_rows(state, rows)

    def merge(self, states: Sequence[StackState]) -> StackState:
        """Return one state with the streams of several."""
        return merge_rows(states)

    def put(self, state: StackState, rows: Tensor, new: StackState) -> None:
        """Copy stream n of `new` to stream `rows[n]` of `state`, in place."""
        for part, other in zip(state_parts(state), state_parts(new), strict=True):
            part.index_copy_(1, rows, other)

    def same(self, state: StackState, row: int, other: StackState) -> bool:
        """Return whether a stream of `state` equals the only stream of `other`, bit for bit."""
        pairs = zip(state_parts(state), state_parts(other), strict=True)
        return all(torch.equal(part[:, row : row + 1], single) for part, single in pairs)
