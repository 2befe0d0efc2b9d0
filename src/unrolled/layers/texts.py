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
from unrolled.scan import valid_steps


class TextBatch(NamedTuple):
    """Words side by side.

    Attributes:
        words: (T, B), or (B,) for one step; int64, entries of the vocabulary.
        parts: (P,) int64, the parts of all words, of one word after the other.
        begins: (T·B,) int64, where in `parts` those of each word begin; padding has none.
        vectors: as `words`, rows of the fixed vectors; 0 for a word without one.
        pairs: as `words`, numbers of each word with the one before it.
    """

    words: Tensor
    parts: Tensor
    begins: Tensor
    vectors: Tensor
    pairs: Tensor


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


class WordVotes(nn.Module):
    """A linear model of a bag of words: each word, its parts and its pair with the word before it vote for classes.

        logits = s / √T Σ_t (a[word_t] + b[pair_t] + mean c[parts of word_t])

    Beside a recurrent network it takes over what needs no order (Wang & Manning 2012; fastText: Joulin et al. 2017,
    arXiv 1607.01759). All weights begin at zero, so that at first the network speaks alone.

    Args:
        vocabulary_size: V.
        classes: K.
        buckets: how many numbers parts of words have; 0 reads none.
        pairs: how many numbers pairs of words have; 0 reads none.
        word_dropout: probability that a word does not vote, each occurrence on its own.
    """

    def __init__(
        self, vocabulary_size: int, classes: int, *, buckets: int = 0, pairs: int = 0, word_dropout: float = 0.0
    ) -> None:
        super().__init__()
        if not 0 <= word_dropout < 1:
            raise ArgumentError(f"word_dropout: expected a probability from 0 to below 1, found {word_dropout}")
        self.classes, self.word_dropout = classes, word_dropout
        self.words = nn.Parameter(torch.zeros(vocabulary_size, classes))
        self.parts = nn.Parameter(torch.zeros(buckets, classes)) if buckets else None
        self.pairs = nn.Parameter(torch.zeros(pairs, classes)) if pairs else None
        # Adam moves every weight by about the learning rate a step: the scale lets votes count within a few epochs
        self.scale = nn.Parameter(torch.tensor(5.0))

    def votes(self, batch: TextBatch) -> Tensor:
        """What each word votes, before the scale: (T, B, K), or (B, K) for one step."""
        votes = F.embedding(batch.words, self.words)
        if self.parts is not None:
            votes = votes + F.embedding_bag(batch.parts, self.parts, batch.begins, mode="mean").view(votes.shape)
        if self.pairs is not None:
            votes = votes + F.embedding(batch.pairs, self.pairs)
        return votes

    def forward(self, batch: TextBatch, lengths: Tensor | None = None) -> Tensor:
        """Logits (B, K); zeros for a text of no words."""
        votes = self.votes(batch)
        if lengths is None:
            lengths = torch.full((votes.shape[1],), votes.shape[0], dtype=torch.int64)
        lengths = lengths.to(votes.device)
        counted = valid_steps(lengths, votes.shape[0], votes.shape[1]).to(votes.dtype)
        if self.training and self.word_dropout:
            kept = torch.empty_like(counted).bernoulli_(1 - self.word_dropout).div_(1 - self.word_dropout)
            counted = counted * kept
        total = (votes * counted.unsqueeze(-1)).sum(0)
        result: Tensor = self.scale * total / lengths.clamp(min=1).to(votes.dtype).sqrt().unsqueeze(-1)
        return result

    def running(self, batch: TextBatch) -> Tensor:
        """The logits of every beginning of a text, as if it ended there, (T, B, K)."""
        counts = torch.arange(1, len(batch.words) + 1, dtype=self.words.dtype, device=self.words.device)
        return self.scale * self.votes(batch).cumsum(0) / counts.sqrt().view(-1, 1, 1)

    def start(self, batch_size: int) -> tuple[Tensor, Tensor]:
        """The sum of the votes so far, and how many voted."""
        return self.words.new_zeros(batch_size, self.classes).detach(), self.words.new_zeros(batch_size, 1).detach()

    def step(self, batch: TextBatch, carried: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """One more word: the logits that `forward` yields for the words so far."""
        total, count = carried[0] + self.votes(batch), carried[1] + 1
        return self.scale * total / count.sqrt(), (total, count)
