"""Words to vectors: by what they are, by how they are spelled, by their shape, and by published vectors.

    word, lower case ─▶ embedding ──────────────┐
    characters ─▶ embedding ─▶ BiLSTM or CNN ───┤
    shape (Xxx, XX, dd-dd …) ─▶ embedding ──────┼─▶ (T, B, I) ─▶ dropout
    word ─▶ fixed vector ───────────────────────┘

Each distinct spelling of a batch is read once, however often it occurs. Letters: T time, B batch, I width of the
result, U distinct spellings of the batch, C characters of the longest.

Sources: Lample et al. 2016, arXiv 1603.01360 (BiLSTM over characters); Ma & Hovy 2016, arXiv 1603.01354 (CNN).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.errors import ArgumentError, ShapeError
from unrolled.layers.inputs.tokens import Embedding
from unrolled.layers.recurrent.layers import LSTM
from unrolled.layers.recurrent.regularise import variational_mask
from unrolled.scan import valid_steps

#: what pads words, spellings, shapes and characters
PADDING = 0


class WordBatch(NamedTuple):
    """Words side by side.

    Attributes:
        words: (T, B) int64, entries of the vocabulary.
        shapes: (T, B) int64.
        vectors: (T, B) int64, rows of the fixed vectors; 0 for a word without one.
        spellings: (T, B) int64, which of the U spellings each is.
        characters: (C, U) int64.
        character_lengths: (U,) int64.
    """

    words: Tensor
    shapes: Tensor
    vectors: Tensor
    spellings: Tensor
    characters: Tensor
    character_lengths: Tensor


class Spelling(nn.Module):
    """Characters to a vector of the word, (C, U) → (U, output_size).

    Args:
        alphabet: how many characters there are, padding included.
        size: width of a character's embedding.
        hidden_size: of the LSTM in each direction, or how many filters the CNN has of each width.
        kind: "lstm" takes the last states of both directions; "cnn" the largest response of each filter.
        widths: of the CNN's filters, in characters.
        dropout: on the characters' embeddings.
    """

    def __init__(
        self,
        alphabet: int,
        size: int,
        hidden_size: int,
        *,
        kind: Literal["lstm", "cnn"] = "lstm",
        widths: tuple[int, ...] = (2, 3, 4),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if not widths or min(widths) < 1:
            raise ArgumentError(f"widths: expected numbers of at least 1, found {widths}")
        self.kind, self.widths, self.dropout = kind, widths, dropout
        self.embedding = Embedding(alphabet, size, padding=PADDING)
        if kind == "lstm":
            self.lstm = LSTM(size, hidden_size, bidirectional=True, forget_bias=1.0)
            self.output_size = self.lstm.output_size
        else:
            self.filters = nn.ModuleList(nn.Linear(width * size, hidden_size) for width in widths)
            self.output_size = hidden_size * len(widths)

    def forward(self, characters: Tensor, lengths: Tensor) -> Tensor:
        """(C, U) int64 and lengths (U,), each at least 1 → (U, output_size)."""
        x = self.embedding(characters)
        if self.dropout and self.training:
            x = F.dropout(x, self.dropout)
        if self.kind == "lstm":
            _, (h, _) = self.lstm(x, None, lengths)
            return torch.cat((h[0], h[1]), dim=1)
        valid = valid_steps(lengths, *characters.shape).to(x.device)
        x = x.masked_fill(~valid.unsqueeze(2), 0)
        found = []
        for width, one in zip(self.widths, self.filters, strict=True):
            # a filter may stand over the word's borders: zeros tell it where they are
            padded = F.pad(x, (0, 0, 0, 0, width - 1, width - 1))
            windows = padded.unfold(0, width, 1).permute(0, 1, 3, 2).flatten(2)
            responses = one(windows)
            # windows that begin before the word's end; those beyond see nothing but padding
            reach = valid_steps(lengths + width - 1, len(responses), len(lengths)).to(x.device)
            found.append(responses.masked_fill(~reach.unsqueeze(2), -torch.inf).amax(0))
        return torch.tanh(torch.cat(found, dim=1))


class Words(nn.Module):
    """The input layer of a tagger: (T, B) words → (T, B, I).

    Args:
        vocabulary_size: V, padding, unknown and whatever else included.
        size: width of a word's own embedding; 0 for none.
        shapes: how many shapes there are, padding included.
        shape_size: width of their embedding; 0 for none.
        spelling: of characters, or None.
        vectors: (N, W) fixed vectors, row 0 of words without one; or None.
        dropout: on the result; one mask a sequence, the same at every step (Gal & Ghahramani 2016).

    Raises:
        ArgumentError: if nothing is left to make a vector of.
    """

    def __init__(
        self,
        vocabulary_size: int,
        size: int,
        shapes: int,
        shape_size: int,
        *,
        spelling: Spelling | None = None,
        vectors: NDArray[np.float32] | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if not 0 <= dropout < 1:
            raise ArgumentError(f"dropout: expected a probability from 0 to below 1, found {dropout}")
        self.words = Embedding(vocabulary_size, size, padding=PADDING) if size else None
        self.shapes = Embedding(shapes, shape_size, padding=PADDING) if shape_size else None
        self.spelling, self.dropout = spelling, dropout
        self.vectors: Tensor | None
        # published numbers, not learned: they are kept beside the weights, not among them
        self.register_buffer("vectors", None if vectors is None else torch.from_numpy(vectors), persistent=False)
        self.output_size = size + shape_size + (spelling.output_size if spelling is not None else 0)
        self.output_size += 0 if vectors is None else vectors.shape[1]
        if not self.output_size:
            raise ArgumentError("words: with neither embedding, spelling, shapes nor vectors nothing is left to read")

    def forward(self, batch: WordBatch) -> Tensor:
        """The vectors, (T, B, I).

        Raises:
            ShapeError: if the parts of the batch differ in shape.
        """
        for name in ("shapes", "vectors", "spellings"):
            part = getattr(batch, name)
            if part.shape != batch.words.shape:
                raise ShapeError(name, f"{tuple(batch.words.shape)}, as words", part.shape)
        parts = []
        if self.words is not None:
            parts.append(self.words(batch.words))
        if self.spelling is not None:
            spelled = self.spelling(batch.characters, batch.character_lengths)
            parts.append(F.embedding(batch.spellings, spelled))
        if self.shapes is not None:
            parts.append(self.shapes(batch.shapes))
        if self.vectors is not None:
            parts.append(F.embedding(batch.vectors, self.vectors))
        x = torch.cat(parts, dim=-1)
        if self.dropout and self.training:
            x = x * variational_mask(x, self.dropout, x.shape[1:])
        return x
