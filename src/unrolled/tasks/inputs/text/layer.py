"""The input layer of texts: vectors of words and of their parts; and the linear model of words beside a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from unrolled.data import ExampleStore
from unrolled.layers.inputs.texts import TextInputs, WordVotes
from unrolled.settings import Settings
from unrolled.tasks.core.recurrent import Rate, Units
from unrolled.tasks.core.values import check_sizes

#: texts in which words are counted
COUNTED = 100_000


class TextNetwork(Settings):
    """The input layer, completely. Sizes are in units, dropouts are probabilities."""

    vocabulary_size: int
    buckets: int
    pairs: int
    votes: bool
    embedding_size: Units
    input_dropout: Rate = 0.0
    word_dropout: Rate = 0.0


class TokenNetwork(Settings):
    """The input layer of texts that are read token by token, completely."""

    embedding_size: Units = 64
    input_dropout: Rate = 0.0
    word_dropout: Rate = 0.0


def text_layer(chosen: TextNetwork, sizes: Mapping[str, int], vectors: NDArray[np.float32] | None) -> TextInputs:
    """Return the untrained input layer.

    Args:
        chosen: its settings.
        sizes: of vocabulary, parts and pairs, as fitted.
        vectors: (N, W) published ones, or None.

    Raises:
        ArgumentError: the settings were made for other sizes.
    """
    check_sizes(chosen, sizes)
    return TextInputs(
        chosen.vocabulary_size,
        chosen.embedding_size,
        buckets=chosen.buckets,
        vectors=vectors,
        dropout=chosen.input_dropout,
        word_dropout=chosen.word_dropout,
    )


def word_votes(chosen: TextNetwork, classes: int) -> WordVotes | None:
    """Return the linear model of words beside the network; None where there is none."""
    if not chosen.votes:
        return None
    return WordVotes(
        chosen.vocabulary_size,
        classes,
        buckets=chosen.buckets,
        pairs=chosen.pairs,
        word_dropout=chosen.word_dropout,
    )


def weigh_votes(network: nn.Module, store: ExampleStore) -> None:
    """Set how telling each word is by how many texts have it."""
    votes: Any = getattr(network, "beside", None)
    if not isinstance(votes, WordVotes):
        return
    with torch.no_grad():
        for name in ("words", "pairs", "parts"):
            idf = getattr(votes, f"idf_{name}")
            idf.copy_(torch.from_numpy(inverse_frequencies(store, name, len(idf))))


def inverse_frequencies(store: ExampleStore, part: str, size: int) -> NDArray[np.float32]:
    """Return 1 + ln((1 + N) / (1 + texts with it)) for each number of a part, over N texts of a store, (size,)."""
    texts = min(len(store), COUNTED)
    counts = np.zeros(size, dtype=np.int64)
    for n in range(texts):
        counts[np.unique(store[n][part])] += 1
    return (1 + np.log((1 + texts) / (1 + counts))).astype(np.float32)
