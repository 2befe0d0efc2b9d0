"""Words to vectors for classifying texts: the word itself, its parts, and published vectors.

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
from unrolled.layers.inputs.tokens import Embedding, InputLayer
from unrolled.scan import valid_steps


class TextBatch(NamedTuple):
    """A batch of words.

    Attributes:
        words: (T, B), or (B,) for one step; int64, indices into the vocabulary.
        parts: (P,) int64, the parts of all words, word by word.
        begins: (T·B,) int64, where the parts of each word begin in `parts`; padding has none.
        vectors: as `words`, rows of the fixed vectors; 0 for a word without a vector.
        pairs: as `words`, the index of each word with the word before it.
    """

    words: Tensor
    parts: Tensor
    begins: Tensor
    vectors: Tensor
    pairs: Tensor


class TextInputs(InputLayer):
    """The input layer of a network that reads texts: (T, B) words → (T, B, I).

    Args:
        vocabulary_size: V, the unknown word included.
        size: I.
        buckets: the number of indices for parts of words; 0 ignores parts.
        vectors: (N, W) fixed vectors, row 0 for words without a vector; or None.
        dropout: on the entries of the vectors.
        word_dropout: probability of zeroing a word's whole vector, each occurrence independently (Iyyer et al. 2015).
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
        # published vectors are not trained, so they are not saved with the weights
        self.register_buffer("vectors", None if vectors is None else torch.from_numpy(vectors), persistent=False)
        self.linear = None if vectors is None else nn.Linear(vectors.shape[1], size, bias=False)

    def forward(self, batch: TextBatch) -> Tensor:
        """Return the vectors, (T, B, I), or (B, I) for one step.

        Raises:
            ShapeError: the tensors of the batch do not match.
        """
        if batch.begins.shape != (batch.words.numel(),):
            raise ShapeError("begins", f"({batch.words.numel()},), one per word", batch.begins.shape)
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


class WordVotes(nn.Module):
    """A linear model of a bag of words: each word, its parts and its pair with the word before it vote for classes.

        logits = s Σ_f idf_f w_f / √(Σ_f idf_f²),    f over all words, pairs and parts of words of the text

    Beside a recurrent network it learns what needs no word order (Wang & Manning 2012; fastText: Joulin et al. 2017,
    arXiv 1607.01759). All weights w start at zero, so that at first only the network counts; idf is 1 until it is set.

    Args:
        vocabulary_size: V.
        classes: K.
        buckets: the number of indices for parts of words; 0 ignores parts.
        pairs: the number of indices for pairs of words; 0 ignores pairs.
        word_dropout: probability that a word does not vote, each occurrence independently.
    """

    def __init__(
        self, vocabulary_size: int, classes: int, *, buckets: int = 0, pairs: int = 0, word_dropout: float = 0.0
    ) -> None:
        super().__init__()
        if not 0 <= word_dropout < 1:
            raise ArgumentError(f"word_dropout: expected a probability from 0 to below 1, found {word_dropout}")
        self.classes, self.word_dropout = classes, word_dropout
        self.words = nn.Parameter(torch.zeros(vocabulary_size, classes))
        self.pairs = nn.Parameter(torch.zeros(pairs, classes)) if pairs else None
        self.parts = nn.Parameter(torch.zeros(buckets, classes)) if buckets else None
        # Adam moves every weight by about the learning rate per step; the scale makes votes count within a few epochs
        self.scale = nn.Parameter(torch.tensor(3.0))
        self.idf_words: Tensor
        self.idf_pairs: Tensor
        self.idf_parts: Tensor
        for name, size in (("idf_words", vocabulary_size), ("idf_pairs", pairs), ("idf_parts", buckets)):
            self.register_buffer(name, torch.ones(size))

    def votes(self, batch: TextBatch) -> tuple[Tensor, Tensor]:
        """Return each word's votes Σ idf w, (T, B, K), and their weight Σ idf², (T, B); without T for one step."""
        idf = self.idf_words[batch.words]
        votes, weight = F.embedding(batch.words, self.words) * idf.unsqueeze(-1), idf.square()
        if self.pairs is not None:
            idf = self.idf_pairs[batch.pairs]
            votes = votes + F.embedding(batch.pairs, self.pairs) * idf.unsqueeze(-1)
            weight = weight + idf.square()
        if self.parts is not None:
            idf = self.idf_parts[batch.parts]
            of_parts = F.embedding_bag(batch.parts, self.parts, batch.begins, mode="sum", per_sample_weights=idf)
            squares = self.idf_parts.square().unsqueeze(-1)
            votes = votes + of_parts.view(votes.shape)
            weight = weight + F.embedding_bag(batch.parts, squares, batch.begins, mode="sum").view(weight.shape)
        return votes, weight

    def forward(self, batch: TextBatch, lengths: Tensor | None = None, share: Tensor | None = None) -> Tensor:
        """Return the logits (B, K); zeros for a text without words.

        Args:
            batch: the words.
            lengths: (B,) valid words; None for all.
            share: (T, B), a factor on each word's votes, but not on their weight; None for 1.
        """
        votes, weight = self.votes(batch)
        if lengths is None:
            lengths = torch.full((votes.shape[1],), votes.shape[0], dtype=torch.int64)
        counted = valid_steps(lengths.to(votes.device), votes.shape[0], votes.shape[1]).to(votes.dtype)
        weight = (weight * counted).sum(0)
        if share is not None:
            counted = counted * share
        if self.training and self.word_dropout:
            kept = torch.empty_like(counted).bernoulli_(1 - self.word_dropout).div_(1 - self.word_dropout)
            counted = counted * kept
        return self._logits((votes * counted.unsqueeze(-1)).sum(0), weight)

    def running(self, batch: TextBatch) -> Tensor:
        """Return the logits after every word, as if the text ended there, (T, B, K)."""
        votes, weight = self.votes(batch)
        return self._logits(votes.cumsum(0), weight.cumsum(0))

    def start(self, batch_size: int) -> tuple[Tensor, Tensor]:
        """Return the sum of the votes so far, and of their weights."""
        return self.idf_words.new_zeros(batch_size, self.classes), self.idf_words.new_zeros(batch_size)

    def step(self, batch: TextBatch, carried: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Add a word: return the logits for the words so far, and the new sums."""
        votes, weight = self.votes(batch)
        total, weights = carried[0] + votes, carried[1] + weight
        return self._logits(total, weights), (total, weights)

    def _logits(self, total: Tensor, weight: Tensor) -> Tensor:
        # idf is at least 1, so only a text without words has no weight
        result: Tensor = self.scale * total / weight.clamp(min=1.0).sqrt().unsqueeze(-1)
        return result
