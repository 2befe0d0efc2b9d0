"""The input layer of words: embedding, spelling, shape and published vectors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from unrolled.layers.inputs.words import Spelling, Words
from unrolled.settings import Settings
from unrolled.tasks.core.recurrent import Rate, Units
from unrolled.tasks.core.values import check_sizes
from unrolled.tasks.inputs.words.options import Width


class WordsNetwork(Settings):
    """The input layer, completely. Sizes are in units, `input_dropout` is a probability."""

    vocabulary_size: int
    shapes: int
    alphabet: int
    embedding_size: Width = 50
    shape_size: Width = 25
    spelling: Literal["lstm", "cnn", "none"] = "lstm"
    character_size: Units = 30
    spelling_size: Units = 50
    input_dropout: Rate = 0.4


def words_layer(chosen: WordsNetwork, sizes: Mapping[str, int], vectors: NDArray[np.float32] | None) -> Words:
    """Return the untrained input layer.

    Args:
        chosen: its settings.
        sizes: of vocabulary, shapes and alphabet, as fitted.
        vectors: (N, W) published ones, or None.

    Raises:
        ArgumentError: the settings were made for other sizes.
    """
    check_sizes(chosen, sizes)
    spelling = None
    if chosen.spelling != "none":
        spelling = Spelling(chosen.alphabet, chosen.character_size, chosen.spelling_size, kind=chosen.spelling)
    return Words(
        chosen.vocabulary_size,
        chosen.embedding_size,
        chosen.shapes,
        chosen.shape_size,
        spelling=spelling,
        vectors=vectors,
        dropout=chosen.input_dropout,
    )
