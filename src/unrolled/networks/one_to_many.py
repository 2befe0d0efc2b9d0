"""One-to-many: writes a sequence about one input.

    image ─ input layer ─▶ grid of vectors ─┐ attention
                    │ mean, attributes      ▼
    y_0 … y_{T-1} ─ bridge ─▶ decoder h_t ─▶ readout ─ output ─▶ logits of y_1 … y_T

Letters: B inputs, N sequences written about them, P positions of the grid, G width of its vectors, A attributes, T
steps, V tokens.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.errors import ArgumentError
from unrolled.layers import CrossEntropy, OutputLayer
from unrolled.networks.decoder import AttentionDecoder, DecoderState, Decoding


@runtime_checkable
class GridLayer(Protocol):
    """An input layer that can yield a vector for each position of a grid."""

    def grid(self, x: Any) -> Tensor:
        """Return the vectors (B, P, G)."""
        ...


class OneToManyNetwork(nn.Module):
    """A grid of vectors in, a sequence out: the decoder attends to positions of the grid as it writes.

    It can also predict attributes, the words that occur anywhere in the sequences about an input: they train the input
    layer from few images, long before the decoder's own error does, and the decoder starts from them (Wu et al. 2016,
    arXiv 1506.01144).

    Args:
        inputs: an input layer whose `grid` method, or if it has none its call, goes from x to (B, P, G).
        decoder: its attention's `memory_size` is G.
        output: from the decoder's readout to logits.
        attributes: A; 0 for none.
        dropout: on the grid's vectors.
        smoothing: label smoothing in `cross_entropy`, the loss layer.

    Raises:
        ArgumentError: the layers do not match.

    Source: Xu et al. 2015, arXiv 1502.03044; attention queried by h_t rather than h_{t-1}, as in Lu et al. 2017, arXiv
    1612.01887, section 2.1.
    """

    def __init__(
        self,
        inputs: nn.Module,
        decoder: AttentionDecoder,
        output: OutputLayer,
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
        return self.output.classes

    def encode(self, x: Any) -> tuple[DecoderState, Tensor | None]:
        """Encode the inputs.

        Returns:
            The decoder's state before the first token, with a row for each input; and the attributes' logits (B, A),
            or None.
        """
        grid: Tensor = self.inputs.grid(x) if isinstance(self.inputs, GridLayer) else self.inputs(x)
        whole = grid.mean(1)
        logits = None
        if self.attributes is not None:
            logits = self.attributes(self._dropped(whole))
            whole = torch.cat((whole, logits.sigmoid()), -1)
        memory = self.decoder.attention.remember(self._dropped(grid).transpose(0, 1))
        return self.decoder.start(memory, torch.tanh(self.bridge(self._dropped(whole)))), logits

    def forward(
        self, x: Any, tokens: Tensor, lengths: Tensor | None = None, rows: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Run all steps with teacher forcing.

        Args:
            x: the input layer's input, B inputs.
            tokens: (T, N), the tokens that the decoder reads.
            lengths: (N,) valid steps.
            rows: (N,) int64, the index of the input of each sequence; None if there is one sequence per input.

        Returns:
            The logits of the token after each token (T, N, V), and the attributes' logits (B, A), or None.
        """
        state, attributes = self.encode(x)
        features, _ = self.decoder(tokens, state if rows is None else state.select(rows), lengths)
        return self.output(features), attributes

    def attention(self, x: Any, tokens: Tensor) -> Tensor:
        """Return the attention weights for tokens (T, B): (T, B, P), which sum to 1 over the grid."""
        weights: Tensor = self.decoder(tokens, self.encode(x)[0])[1]
        return weights

    def decoding(self, x: Any) -> Decoding:
        """Return a stepper for the decoders of `unrolled.decoding`, with a row for each input."""
        with torch.no_grad():
            return Decoding(self, self.encode(x)[0])

    def _dropped(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training)
