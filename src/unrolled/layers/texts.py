"""Words to vectors, as classes of texts are read off: what a word is, what parts it has, and published vectors.

    word ─▶ embedding ────────────────────┐
    parts of the word ─▶ mean embedding ──┼─ sum ─▶ (T, B, I) ─▶ dropout
    word ─▶ fixed vector ─▶ linear map ───┘

Letters: T time, B batch, I width of the result, P parts of all words of the batch.

Source of the parts: Bojanowski et al. 2017, arXiv 1607.04606.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.errors import ArgumentError, ShapeError
from unrolled.layers.inputs import Embedding


class TextBatch(NamedTuple):
    """Words side by side.

    Attributes:
        words: (T, B), or (B,) for one step; int64, entries of the vocabulary.
        parts: (P,) int64, the parts of all words, of one word after the other.
        begins: (T·B,) int64, where in `parts` those of each word begin; padding has none.
        vectors: as `words`, rows of the fixed vectors; 0 for a word without one.
    """

    words: Tensor
    parts: Tensor
    begins: Tensor
    vectors: Tensor


class TextInputs(nn.Module):
    """The input layer of a network that reads texts: (T, B) words → (T, B, I).

    Args:
        vocabulary_size: V, the unknown word included.
        size: I.
        buckets: how many numbers parts of words have; 0 reads none.
        vectors: (N, W) fixed vectors, row 0 of words without one; or None.
        dropout: on the entries of the vectors.
        word_dropout: probability of zeroing a word's whole vector, each occurrence on its own (Iyyer et al. 2015).
    """

    def __init__(
        self,
        vocabulary_size: int,
        size: int,
        *,
        buckets: int = 0,
        vectors: NDArray[np.float32] | None = None,
        dropout: float = 0.0,
        word_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        for name, rate in (("dropout", dropout), ("word_dropout", word_dropout)):
            if not 0 <= rate < 1:
                raise ArgumentError(f"{name}: expected a probability from 0 to below 1, found {rate}")
        self.output_size, self.dropout, self.word_dropout = size, dropout, word_dropout
        self.words = Embedding(vocabulary_size, size)
        self.parts = Embedding(buckets, size) if buckets else None
        self.vectors: Tensor | None
        # published numbers, not learned: they are kept beside the weights, not among them
        self.register_buffer("vectors", None if vectors is None else torch.from_numpy(vectors), persistent=False)
        self.linear = None if vectors is None else nn.Linear(vectors.shape[1], size, bias=False)

    def forward(self, batch: TextBatch) -> Tensor:
        """The vectors, (T, B, I), or (B, I) for one step.

        Raises:
            ShapeError: if the parts of the batch do not fit each other.
        """
        if batch.begins.shape != (batch.words.numel(),):
            raise ShapeError("begins", f"({batch.words.numel()},), one a word", batch.begins.shape)
        x: Tensor = self.words(batch.words)
        if self.parts is not None:
            mean = F.embedding_bag(batch.parts, self.parts.weight, batch.begins, mode="mean")
            x = x + mean.view(x.shape)
        if self.vectors is not None and self.linear is not None:
            x = x + self.linear(F.embedding(batch.vectors, self.vectors))
        if self.training:
            if self.word_dropout:
                kept = torch.empty(x.shape[:-1], dtype=x.dtype, device=x.device).bernoulli_(1 - self.word_dropout)
                x = x * kept.unsqueeze(-1)
            x = F.dropout(x, self.dropout)
        return x
