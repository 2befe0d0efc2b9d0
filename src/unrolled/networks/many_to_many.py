"""Many-to-many: reads a whole sequence and writes another, looking back into the first by attention.

    x_1 … x_S ─ source ─▶ encoder ─▶ m_1 … m_S ─┐ attention
                              │ bridge          ▼
    y_0 … y_{T-1} ─ target ─▶ decoder h_t ─▶ readout h̃_t ─ output ─▶ logits of y_1 … y_T

Letters: S steps of the source, T of the target, B batch, M width of the memory, E of the target's embedding, V tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.errors import ArgumentError
from unrolled.layers import CrossEntropy, InputLayer, OutputLayer, Recurrent
from unrolled.layers.recurrent.regularise import drop
from unrolled.networks.decoder import AttentionDecoder, DecoderState, Decoding, written_loss


class ManyToManyNetwork(nn.Module):
    """Encoder, attention and decoder.

    Args:
        source: the input layer of the source.
        encoder: recurrent stack, time first, one direction or two.
        decoder: its attention's `memory_size` is the encoder's width.
        output: from h̃ to logits.
        dropout: on the encoder's output; one mask per sequence.
        smoothing: label smoothing in `loss`.

    Source: Bahdanau, Cho & Bengio 2014, arXiv 1409.0473; Luong, Pham & Manning 2015, arXiv 1508.04025.

    Raises:
        ArgumentError: the layers do not match.
    """

    def __init__(
        self,
        source: InputLayer,
        encoder: Recurrent,
        decoder: AttentionDecoder,
        output: OutputLayer,
        *,
        dropout: float = 0.0,
        smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        if encoder.input_size != source.output_size or encoder.batch_first:
            raise ArgumentError(f"encoder: expected input_size={source.output_size} and batch_first=False")
        if decoder.attention.memory_size != encoder.output_size:
            raise ArgumentError(
                f"decoder: its attention reads vectors of {decoder.attention.memory_size}, the encoder yields "
                f"{encoder.output_size}"
            )
        if not 0 <= dropout < 1:
            raise ArgumentError(f"dropout: expected 0 to below 1, found {dropout}")
        self.source, self.encoder, self.decoder, self.output, self.dropout = source, encoder, decoder, output, dropout
        self.bridge = nn.Linear(encoder.output_size, decoder.state_width)
        self.cross_entropy = CrossEntropy(smoothing=smoothing)

    @property
    def inputs(self) -> InputLayer:
        """The input layer, `source`."""
        return self.source

    @property
    def vocabulary_size(self) -> int:
        """V, the number of logits."""
        return self.output.classes

    def encode(self, source: Tensor, lengths: Tensor | None = None) -> DecoderState:
        """Read the sources.

        Args:
            source: (S, B) tokens.
            lengths: (B,) valid steps.

        Returns:
            The decoder's state before the first token.
        """
        memory, final = self.encoder(self.source(source), None, lengths)
        h = final[0] if isinstance(final, tuple) else final
        # of the last layer: the state of each direction after its last step
        summary = h[-self.encoder.num_directions :].transpose(0, 1).flatten(1)
        if self.dropout and self.training:
            memory, summary = drop(memory, self.dropout, True), F.dropout(summary, self.dropout)
        return self.decoder.start(self.decoder.attention.remember(memory, lengths), torch.tanh(self.bridge(summary)))

    def features(
        self, source: Tensor, source_lengths: Tensor | None, target: Tensor, target_lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Run everything up to the output layer with teacher forcing.

        Args:
            source: (S, B), with `source_lengths` (B,).
            target: (T, B), the tokens that the decoder reads, with `target_lengths` (B,).

        Returns:
            h̃ (T, B, E) that the output layer reads, and the attention weights (T, B, S).
        """
        decoded: tuple[Tensor, Tensor] = self.decoder(target, self.encode(source, source_lengths), target_lengths)
        return decoded

    def forward(
        self, source: Tensor, source_lengths: Tensor | None, target: Tensor, target_lengths: Tensor | None = None
    ) -> Tensor:
        """Return the logits of the token after each token of the target, (T, B, V); arguments as for `features`."""
        result: Tensor = self.output(self.features(source, source_lengths, target, target_lengths)[0])
        return result

    def loss(
        self, source: Tensor, source_lengths: Tensor, target: Tensor, target_lengths: Tensor, expected: Tensor
    ) -> tuple[Tensor, Tensor, int]:
        """Return the loss, in nats, of `expected` after each token of the target.

        Args:
            source, source_lengths, target, target_lengths: as for `features`.
            expected: (T, B) int64; tokens beyond the target's lengths do not count.

        Returns:
            The mean to differentiate, the plain sum (detached), and the number of tokens counted.
        """
        return written_loss(self, self.encode(source, source_lengths), target, target_lengths, expected)

    def decoding(self, source: Tensor, lengths: Tensor | None = None) -> Decoding:
        """Return a stepper for the decoders of `unrolled.decoding`, with a row for each source."""
        with torch.no_grad():
            return Decoding(self, self.encode(source, lengths))
