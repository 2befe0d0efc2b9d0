"""Many-to-one: one output for a whole sequence.

    x_1 … x_T ─ input layer ─▶ hidden layers ─ pooling ─▶ one vector ─ output layer ─▶ logits
          └───── beside: an optional linear model of the same x ───────────────────────▶ +

Letters: T time, B batch, K output classes, D directions, P width of h.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn

from unrolled.errors import ArgumentError
from unrolled.layers import OutputLayer, Pooling, Recurrent
from unrolled.layers.recurrent.regularise import drop
from unrolled.networks.parts import check_layers, initial_state, input_steps, shortened


class StreamedModule(Protocol):
    """A module from x and lengths to logits (B, K) that can also be run step by step."""

    def __call__(self, x: Any, lengths: Tensor | None) -> Tensor:
        """Return the logits."""
        ...

    def start(self, batch_size: int) -> Any:
        """Return the state before the first step."""
        ...

    def step(self, x: Any, carried: Any) -> tuple[Tensor, Any]:
        """Return the logits for the steps so far, and the new state."""
        ...


class ManyToOneNetwork(nn.Module):
    """Input layer, hidden layers, pooling and output layer: a label for a text, an image read row by row, a clip.

    With one direction it is causal: it can be streamed, and after each step it yields the output for the steps so far.

    Args:
        inputs: an input layer: any module from x to (T, B, I) that has `output_size`. A layer that reduces the number
            of steps also has `output_lengths` and is called with the lengths.
        hidden: the recurrent stack, time first.
        pooling: one vector from all steps.
        output: an output layer: from (…, pooling.output_size) to (…, K) logits.
        dropout: on the hidden layers' output (variational if the stack is) and on the pooled vector.
        beside: a module whose logits are added, from the same x: a wide model beside the deep one (Cheng et al. 2016,
            arXiv 1606.07792).

    Raises:
        ArgumentError: the layers do not match.
    """

    def __init__(
        self,
        inputs: nn.Module,
        hidden: Recurrent,
        pooling: Pooling,
        output: OutputLayer,
        *,
        dropout: float = 0.0,
        beside: StreamedModule | None = None,
    ) -> None:
        super().__init__()
        check_layers(inputs, hidden, dropout)
        if pooling.size != hidden.output_size:
            raise ArgumentError(f"pooling: reads vectors of {pooling.size}, hidden yields {hidden.output_size}")
        self.inputs, self.hidden, self.pooling, self.output, self.dropout = inputs, hidden, pooling, output, dropout
        self.beside = beside

    def forward(self, x: Any, lengths: Tensor | None = None) -> Tensor:
        """Return the logits (B, K).

        Args:
            x: the input layer's input, such as (T, B) tokens or (T, B, features).
            lengths: (B,) valid steps; a row without steps gets the output layer's bias.
        """
        steps = shortened(self.inputs, lengths)
        logits: Tensor = self.output(self.pooled(self.features(x, lengths), steps))
        return logits if self.beside is None else logits + self.beside(x, lengths)

    def features(self, x: Any, lengths: Tensor | None = None) -> Tensor:
        """Return the hidden layers' output, (T, B, D·P)."""
        steps, lengths = input_steps(self.inputs, x, lengths)
        h, _ = self.hidden(steps, None, lengths)
        if self.dropout and self.training:
            h = drop(h, self.dropout, self.hidden.variational)
        return h

    def pooled(self, h: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return the vector that the output layer reads, (B, pooling.output_size)."""
        vector: Tensor = self.pooling(h, lengths)
        return nn.functional.dropout(vector, self.dropout) if self.dropout and self.training else vector

    @property
    def classes(self) -> int:
        """K, the number of logits."""
        return self.output.classes

    @property
    def is_causal(self) -> bool:
        """Whether it can be streamed: it never reads the future."""
        return not self.hidden.bidirectional

    def start(self, batch_size: int) -> Any:
        """Return the state before the first step.

        Raises:
            ArgumentError: the network is bidirectional.
        """
        if not self.is_causal:
            raise ArgumentError("start: a bidirectional network reads the future and can't be streamed; use forward")
        like = next(self.hidden.parameters()).detach()
        pooled = self.pooling.start(like.new_zeros(batch_size, self.pooling.size))
        votes = None if self.beside is None else self.beside.start(batch_size)
        return initial_state(self.hidden, batch_size), pooled, votes

    def step(self, x: Any, state: Any) -> tuple[Tensor, Any]:
        """Run one step without a graph: return the logits (B, K) for the steps so far, and the new state.

        Args:
            x: (B,) tokens or (B, features).
            state: as returned by `start` or the last `step`.
        """
        with torch.no_grad():
            h, hidden = self.hidden.step(self.inputs(x), state[0])
            vector, pooled = self.pooling.step(h, state[1])
            logits: Tensor = self.output(vector)
            if self.beside is None:
                return logits, (hidden, pooled, None)
            more, votes = self.beside.step(x, state[2])
            return logits + more, (hidden, pooled, votes)
