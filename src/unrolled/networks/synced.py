"""Synced many-to-many: an output for every step.

    x_1 … x_T ─ input layer ─▶ hidden layers ─▶ output layer ─▶ logits_1 … logits_T

Letters: T time, B batch, K output classes, L layers, P width of h.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from unrolled.errors import ArgumentError
from unrolled.layers import Recurrent
from unrolled.layers.regularise import drop


class SyncedNetwork(nn.Module):
    """Input layer, hidden layers and output layer, with a label (or the next token) at every step.

    With one direction it is causal: it can be streamed, and it is a `Stepper` for every decoder.

    Args:
        inputs: an input layer: anything from x to (T, B, I) that has `output_size`.
        hidden: the recurrent stack, time first.
        output: an output layer: from (…, D·P) to (…, K) logits.
        dropout: on the hidden layers' output, variational if the stack is.

    Raises:
        ArgumentError: if the layers do not fit each other.
    """

    def __init__(self, inputs: nn.Module, hidden: Recurrent, output: nn.Module, *, dropout: float = 0.0) -> None:
        super().__init__()
        width = getattr(inputs, "output_size", hidden.input_size)
        if width != hidden.input_size:
            raise ArgumentError(f"inputs: yields vectors of {width}, hidden reads input_size={hidden.input_size}")
        if hidden.batch_first:
            raise ArgumentError("hidden: expected batch_first=False; networks keep time first")
        if not 0 <= dropout < 1:
            raise ArgumentError(f"dropout: expected 0 to below 1, found {dropout}")
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
        h, state = self.hidden(self.inputs(x), state, lengths)
        if self.dropout and self.training:
            h = drop(h, self.dropout, self.hidden.variational)
        return h, state

    @property
    def vocabulary_size(self) -> int:
        """K, the number of logits."""
        return int(self.output.classes)  # type: ignore[arg-type]

    def start(self, batch_size: int) -> Any:
        """The state before the first step."""
        hidden = self.hidden
        sizes = hidden.cell.state_sizes(hidden.hidden_size)
        if hidden.learn_initial_state:
            names = [f"initial_{n}" for n in hidden.cell.state_names]
            parts = [hidden.get_parameter(n).detach().expand(-1, batch_size, -1).contiguous() for n in names]
        else:
            like = next(hidden.parameters())
            parts = [like.new_zeros(hidden.num_layers * hidden.num_directions, batch_size, n) for n in sizes]
        return tuple(parts) if len(parts) > 1 else parts[0].detach()

    def step(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """One step without a graph: (B,) tokens or (B, features) → logits (B, K) and the new state."""
        with torch.no_grad():
            h, state = self.hidden.step(self.inputs(x), state)
            return self.output(h), state

    def select(self, state: Any, rows: Tensor) -> Any:
        """The state whose stream n is stream `rows[n]` of `state`."""
        if isinstance(state, Tensor):
            return state.index_select(1, rows)
        return tuple(s.index_select(1, rows) for s in state)
