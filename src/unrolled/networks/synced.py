"""Synced many-to-many: an output for every step.

    x_1 … x_T ─ input layer ─▶ hidden layers ─▶ output layer ─▶ logits_1 … logits_T

Letters: T time, B batch, K output classes, L layers, P width of h.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from unrolled.layers import Recurrent
from unrolled.layers.recurrent.regularise import drop
from unrolled.networks.parts import apply_rows, check_layers, initial_state, input_steps, merge_rows, select_rows


class SyncedNetwork(nn.Module):
    """Input layer, hidden layers and output layer, with a label (or the next token) at every step.

    With one direction it is causal: it can be streamed, and it is a `Stepper` for every decoder.

    Args:
        inputs: an input layer: anything from x to (T, B, I) that has `output_size`. One that makes fewer steps of T
            has `output_lengths` too, and is given the lengths; the logits then are of those steps.
        hidden: the recurrent stack, time first.
        output: an output layer: from (…, D·P) to (…, K) logits.
        dropout: on the hidden layers' output, variational if the stack is.

    Raises:
        ArgumentError: if the layers do not fit each other.
    """

    def __init__(self, inputs: nn.Module, hidden: Recurrent, output: nn.Module, *, dropout: float = 0.0) -> None:
        super().__init__()
        check_layers(inputs, hidden, dropout)
        self.inputs, self.hidden, self.output, self.dropout = inputs, hidden, output, dropout

    def forward(self, x: Tensor, state: Any = None, lengths: Tensor | None = None) -> tuple[Tensor, Any]:
        """Logits for every step.

        Args:
            x: what the input layer reads, (T, B) tokens or (T, B, features).
            state: the hidden layers' state, or None.
            lengths: (B,) valid steps.

        Returns:
            logits (T, B, K) and the final state.
        """
        h, state = self.features(x, state, lengths)
        return self.output(h), state

    def features(self, x: Tensor, state: Any = None, lengths: Tensor | None = None) -> tuple[Tensor, Any]:
        """The hidden layers' output that the output layer reads, (T, B, D·P), and the final state."""
        steps, lengths = input_steps(self.inputs, x, lengths)
        h, state = self.hidden(steps, state, lengths)
        if self.dropout and self.training:
            h = drop(h, self.dropout, self.hidden.variational)
        return h, state

    @property
    def vocabulary_size(self) -> int:
        """K, the number of logits."""
        return int(self.output.classes)  # type: ignore[arg-type]

    def start(self, batch_size: int) -> Any:
        """The state before the first step."""
        return initial_state(self.hidden, batch_size)

    def step(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """One step without a graph: (B,) tokens or (B, features) → logits (B, K) and the new state.

        A row's logits are the same, bit for bit, whatever other rows there are.
        """
        with torch.no_grad():
            h, state = self.hidden.step(self.inputs(x), state)
            return apply_rows(self.output, h), state

    def select(self, state: Any, rows: Tensor) -> Any:
        """The state whose stream n is stream `rows[n]` of `state`."""
        return select_rows(state, rows)

    def merge(self, states: Sequence[Any]) -> Any:
        """One state of all the streams of several."""
        return merge_rows(states)

    def put(self, state: Any, rows: Tensor, new: Any) -> None:
        """Make stream `rows[n]` of `state` stream n of `new`, in place."""
        for part, other in zip(_parts(state), _parts(new), strict=True):
            part.index_copy_(1, rows, other)

    def same(self, state: Any, row: int, other: Any) -> bool:
        """Whether a stream of `state` is the only one of `other`, bit for bit."""
        pairs = zip(_parts(state), _parts(other), strict=True)
        return all(torch.equal(part[:, row : row + 1], one) for part, one in pairs)


def _parts(state: Any) -> tuple[Tensor, ...]:
    return state if isinstance(state, tuple) else (state,)
