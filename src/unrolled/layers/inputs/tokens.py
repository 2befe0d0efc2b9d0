"""Input layers for tokens and feature frames, and the base of all input layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unrolled.errors import ArgumentError, DTypeError, ShapeError


class InputLayer(nn.Module):
    """Base of the input layers, which turn data into the x_t of a recurrent layer.

    Attributes:
        output_size: I, the width of x_t.
    """

    output_size: int


class Embedding(InputLayer):
    """Tokens to vectors, (…) int64 → (…, I), with two kinds of dropout.

    Args:
        vocabulary_size: V.
        size: I.
        dropout: variational dropout on the vectors: one mask per sequence, the same at every step.
        word_dropout: probability of zeroing a token's whole row, for all its occurrences in the batch
            (Gal & Ghahramani 2016, arXiv 1512.05287, section 3; `dropoute` in Merity et al. 2018).
        padding: a token whose vector is zero and stays zero.
    """

    def __init__(
        self,
        vocabulary_size: int,
        size: int,
        *,
        dropout: float = 0.0,
        word_dropout: float = 0.0,
        padding: int | None = None,
    ) -> None:
        super().__init__()
        if vocabulary_size < 1 or size < 1:
            raise ArgumentError(f"vocabulary_size, size: expected at least 1, found {vocabulary_size}, {size}")
        for name, rate in (("dropout", dropout), ("word_dropout", word_dropout)):
            if not 0 <= rate < 1:
                raise ArgumentError(f"{name}: expected a probability from 0 to below 1, found {rate}")
        if padding is not None and not 0 <= padding < vocabulary_size:
            raise ArgumentError(f"padding: expected a token from 0 to below V={vocabulary_size}, found {padding}")
        self.vocabulary_size, self.output_size = vocabulary_size, size
        self.dropout, self.word_dropout, self.padding = dropout, word_dropout, padding
        # entries have variance 1/I, which suits a tied output layer
        self.weight = nn.Parameter(torch.randn(vocabulary_size, size) / size**0.5)
        if padding is not None:
            with torch.no_grad():
                self.weight[padding].zero_()

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (T, B) or (B,) int64 → (…, I).

        Raises:
            DTypeError: the tokens are not integers.
            ArgumentError: a token is outside the vocabulary (on a GPU CUDA's own error, since a check would block).
        """
        if tokens.dtype not in (torch.int64, torch.int32):
            raise DTypeError(f"tokens: expected int64, found {tokens.dtype}")
        weight: Tensor = self.weight
        if self.training and self.word_dropout:
            rows = torch.empty(self.vocabulary_size, 1, dtype=weight.dtype, device=weight.device)
            weight = weight * rows.bernoulli_(1 - self.word_dropout).div_(1 - self.word_dropout)
        try:
            vectors = nn.functional.embedding(tokens, weight, self.padding)
        except IndexError:
            wrong = int(tokens[(tokens < 0) | (tokens >= self.vocabulary_size)][0])
            raise ArgumentError(f"tokens: expected 0 to below V={self.vocabulary_size}, found {wrong}") from None
        if self.training and self.dropout:
            mask = torch.empty(vectors.shape[1:], dtype=vectors.dtype, device=vectors.device)
            vectors = vectors * mask.bernoulli_(1 - self.dropout).div_(1 - self.dropout)
        return vectors


class Frames(InputLayer):
    """Feature frames to x_t: standardised by statistics of the training data, then mapped linearly.

    Args:
        features: width of a frame.
        size: I; None passes the standardised frames through.
        mean, std: (features,), of the training data; None does not standardise.
    """

    def __init__(
        self, features: int, size: int | None = None, *, mean: Tensor | None = None, std: Tensor | None = None
    ) -> None:
        super().__init__()
        for name, statistic in (("mean", mean), ("std", std)):
            if statistic is not None and tuple(statistic.shape) != (features,):
                raise ShapeError(name, f"(features={features},)", statistic.shape)
        self.features, self.output_size = features, size or features
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.zeros(features) if mean is None else mean.clone())
        # a feature that never varies has std 0, and dividing by it would give NaN
        spread = torch.ones(features) if std is None else torch.where(std > 0, std, torch.ones_like(std))
        self.register_buffer("std", spread)
        self.linear = nn.Identity() if size is None else nn.Linear(features, size)

    def forward(self, frames: Tensor) -> Tensor:
        """Map (…, features) → (…, I).

        Raises:
            ShapeError: the frames have another width.
        """
        if frames.shape[-1] != self.features:
            raise ShapeError("frames", f"(…, features={self.features})", frames.shape)
        result: Tensor = self.linear((frames - self.mean) / self.std)
        return result
