"""Words to vectors for tagging: the word itself, its spelling, its shape, and published vectors.

    word, lower case ─▶ embedding ──────────────┐
    characters ─▶ embedding ─▶ BiLSTM or CNN ───┤
    shape (Xxx, XX, dd-dd …) ─▶ embedding ──────┼─▶ (T, B, I) ─▶ dropout
    word ─▶ fixed vector ───────────────────────┘

Each distinct spelling in a batch is read once, however often it occurs. Letters: T time, B batch, I width of the
result, U distinct spellings in the batch, C characters of the longest.

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
from unrolled.layers.inputs.tokens import Embedding, InputLayer
from unrolled.layers.recurrent.layers import LSTM
from unrolled.layers.recurrent.regularise import variational_mask
from unrolled.scan import valid_steps

#: the padding index of words, spellings, shapes and characters
PADDING = 0


class WordBatch(NamedTuple):
    """A batch of words.

    Attributes:
        words: (T, B) int64, indices into the vocabulary.
        shapes: (T, B) int64.
        vectors: (T, B) int64, rows of the fixed vectors; 0 for a word without a vector.
        spellings: (T, B) int64, indices into the U spellings.
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
        alphabet: the number of characters, padding included.
        size: width of a character's embedding.
        hidden_size: units of the LSTM in each direction, or the number of the CNN's filters of each width.
        kind: "lstm" takes the last states of both directions; "cnn" the largest response of each filter.
        widths: widths of the CNN's filters, in characters.
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
        """Map (C, U) int64 and lengths (U,), each at least 1 → (U, output_size)."""
        x = self.embedding(characters)
        if self.dropout and self.training:
            x = F.dropout(x, self.dropout)
        if self.kind == "lstm":
            _, (h, _) = self.lstm(x, None, lengths)
            return torch.cat((h[0], h[1]), dim=1)
        valid = valid_steps(lengths, *characters.shape).to(x.device)
        x = x.masked_fill(~valid.unsqueeze(2), 0)
        features = []
        for width, convolution in zip(self.widths, self.filters, strict=True):
            # a filter may extend beyond the word, where it sees zeros
            padded = F.pad(x, (0, 0, 0, 0, width - 1, width - 1))
            windows = padded.unfold(0, width, 1).permute(0, 1, 3, 2).flatten(2)
            responses = convolution(windows)
            # only windows that begin before the word's end; later ones see only padding
            reach = valid_steps(lengths + width - 1, len(responses), len(lengths)).to(x.device)
            features.append(responses.masked_fill(~reach.unsqueeze(2), -torch.inf).amax(0))
        return torch.tanh(torch.cat(features, dim=1))


class Words(InputLayer):
    """The input layer of a tagger: (T, B) words → (T, B, I).

    Args:
        vocabulary_size: V, padding and the unknown word included.
        size: width of a word's own embedding; 0 for none.
        shapes: the number of shapes, padding included.
        shape_size: width of their embedding; 0 for none.
        spelling: the layer that reads characters, or None.
        vectors: (N, W) fixed vectors, row 0 for words without a vector; or None.
        dropout: on the result; one mask per sequence, the same at every step (Gal & Ghahramani 2016).

    Raises:
        ArgumentError: there is nothing to make a vector from.
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
        # published vectors are not trained, so they are not saved with the weights
        self.register_buffer("vectors", None if vectors is None else torch.from_numpy(vectors), persistent=False)
        self.output_size = size + shape_size + (spelling.output_size if spelling is not None else 0)
        self.output_size += 0 if vectors is None else vectors.shape[1]
        if not self.output_size:
            raise ArgumentError("words: expected an embedding, spelling, shapes or vectors, found none of them")

    def forward(self, batch: WordBatch) -> Tensor:
        """Return the vectors, (T, B, I).

        Raises:
            ShapeError: the tensors of the batch differ in shape.
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
