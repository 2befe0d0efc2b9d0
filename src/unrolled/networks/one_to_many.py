"""One-to-many: one input, and a sequence written about it.

    image ─ input layer ─▶ grid of vectors ─┐ attention
                    │ mean, attributes      ▼
    y_0 … y_{T-1} ─ bridge ─▶ decoder h_t ─▶ readout ─ output ─▶ logits of y_1 … y_T

Letters: B inputs, N sequences written about them, P positions of the grid, G width of its vectors, A attributes, T
steps, V tokens.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.errors import ArgumentError
from unrolled.layers import CrossEntropy
from unrolled.networks.many_to_many import AttentionDecoder, DecoderState, Decoding


class OneToManyNetwork(nn.Module):
    """A grid of vectors in, a sequence out: the decoder looks at positions of the grid as it writes.

    Besides the sequence it can be asked for attributes, what occurs anywhere in the sequences about an input: learned
    from few images, they teach the input layer what to see long before the decoder's own error does, and the decoder
    begins with them (Wu et al. 2016, arXiv 1506.01144).

    Args:
        inputs: an input layer; its `grid`, or if it has none itself, goes from x to (B, P, G).
        decoder: writes; its attention's `memory_size` is G.
        output: from the decoder's readout to logits.
        attributes: A; 0 for none.
        dropout: on the grid's vectors.
        smoothing: of the labels in `cross_entropy`, the loss layer.

    Raises:
        ArgumentError: if the layers do not fit each other.

    Source: Xu et al. 2015, arXiv 1502.03044; attention asked by h_t rather than h_{t-1}, as in Lu et al. 2017, arXiv
    1612.01887, section 2.1.
    """

    def __init__(
        self,
        inputs: nn.Module,
        decoder: AttentionDecoder,
        output: nn.Module,
        *,
        attributes: int = 0,
        dropout: float = 0.0,
        smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        width = int(getattr(inputs, "grid_size", getattr(inputs, "output_size", 0)))
        if decoder.attention.memory_size != width:
            raise ArgumentError(
                f"decoder: its attention reads vectors of {decoder.attention.memory_size}, inputs yields {width}"
            )
        if attributes < 0 or not 0 <= dropout < 1:
            raise ArgumentError(f"attributes, dropout: expected ≥ 0 and 0 to below 1, found {attributes}, {dropout}")
        self.inputs, self.decoder, self.output, self.dropout = inputs, decoder, output, dropout
        self.attributes = nn.Linear(width, attributes) if attributes else None
        self.bridge = nn.Linear(width + attributes, decoder.state_width)
        self.cross_entropy = CrossEntropy(smoothing=smoothing)

    @property
    def vocabulary_size(self) -> int:
        """V, the number of logits."""
        return int(self.output.classes)  # type: ignore[arg-type]

    def encode(self, x: Any) -> tuple[DecoderState, Tensor | None]:
        """Look at the inputs.

        Returns:
            The decoder's state before the first token, a row for each input; and the attributes' logits (B, A), or
            None.
        """
        grid: Tensor = self.inputs.grid(x) if hasattr(self.inputs, "grid") else self.inputs(x)  # type: ignore[operator]
        whole = grid.mean(1)
        found = None
        if self.attributes is not None:
            found = self.attributes(self._dropped(whole))
            whole = torch.cat((whole, found.sigmoid()), -1)
        memory = self.decoder.attention.remember(self._dropped(grid).transpose(0, 1))
        return self.decoder.start(memory, torch.tanh(self.bridge(self._dropped(whole)))), found

    def forward(
        self, x: Any, tokens: Tensor, lengths: Tensor | None = None, rows: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Teacher forcing.

        Args:
            x: what the input layer reads, B inputs.
            tokens: (T, N), what the decoder reads at each step.
            lengths: (N,) valid steps.
            rows: (N,) int64, which input each sequence is about; None for N = B, one each in order.

        Returns:
            Logits of what comes after each token (T, N, V), and the attributes' logits (B, A), or None.
        """
        state, found = self.encode(x)
        features, _ = self.decoder(tokens, state if rows is None else state.select(rows), lengths)
        return self.output(features), found

    def attention(self, x: Any, tokens: Tensor) -> Tensor:
        """Where the decoder looks while it reads tokens (T, B): weights (T, B, P), which sum to 1 over the grid."""
        weights: Tensor = self.decoder(tokens, self.encode(x)[0])[1]
        return weights

    def decoding(self, x: Any) -> Decoding:
        """What a decoder of `unrolled.decoding` steps through: one row an input."""
        with torch.no_grad():
            # which asks for a decoder and an output layer, and these are here
            return Decoding(self, self.encode(x)[0])  # type: ignore[arg-type]

    def _dropped(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training)
