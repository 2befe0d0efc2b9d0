"""Encoded texts side by side, for `tag`: what the network reads, and where in it each sentence is.

T steps, B rows; S sentences, N tokens of the longest; U distinct spellings, C characters of the longest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unrolled.data import Arrays, lengths_of, padded
from unrolled.layers.inputs.words import WordBatch
from unrolled.tasks.inputs.words.encode import RESERVED, UNKNOWN


class Noise(NamedTuple):
    """What is random about training batches; probabilities.

    Attributes:
        words: that a word is read as unknown.
        rare: the same for rare words.
        characters: that a character of a spelling is read as unknown.
        alone: that a text of several sentences is read sentence by sentence, without context.
    """

    words: float = 0.0
    rare: float = 0.0
    characters: float = 0.0
    alone: float = 0.0


class Row(NamedTuple):
    """Steps of one text that are read in one go, and the sentences in them."""

    text: Arrays
    begin: int
    end: int
    sentences: list[tuple[int, int]]


def sequences_of(texts: Sequence[Arrays], draw: np.random.Generator | None, alone: float) -> list[Row]:
    """Each text whole; or, by chance, each sentence of it alone."""
    found = []
    for text in texts:
        sentences = list(zip(text["begins"].tolist(), text["ends"].tolist(), strict=True))
        if draw is not None and alone and len(sentences) > 1 and draw.random() < alone:
            found += [Row(text, begin, end, [(begin, end)]) for begin, end in sentences]
        else:
            found.append(Row(text, 0, len(text["words"]), sentences))
    return found


def collated(
    texts: Sequence[Arrays], noise: Noise, first_rare: int, draw: np.random.Generator | None
) -> dict[str, Tensor]:
    """A batch.

    Args:
        texts: as the encoders made them.
        noise: applied if there is a generator.
        first_rare: words from this number on are rare.
        draw: None for texts that are only read.

    Returns:
        The fields of `WordBatch`; `lengths` (B,); `places` (N, S), step · B + row of each token; `targets` (N, S);
        `sentence_lengths` (S,), in the order of the texts and of the sentences in them.
    """
    rows = sequences_of(texts, draw, noise.alone)
    batch = {
        name: padded([row.text[name][row.begin : row.end].astype(np.int64) for row in rows])
        for name in ("shapes", "vectors")
    }
    words = [row.text["words"][row.begin : row.end].astype(np.int64) for row in rows]
    if draw is not None and (noise.words or noise.rare):
        words = [_forgotten(one, noise, first_rare, draw) for one in words]
    batch["words"] = padded(words)
    batch["lengths"] = lengths_of(words)
    spellings, characters = _spellings(rows)
    batch["spellings"] = padded(spellings)
    batch["character_lengths"] = lengths_of(characters)
    table = padded(characters)
    if draw is not None and noise.characters:
        lost = torch.from_numpy(draw.random(tuple(table.shape)) < noise.characters) & (table >= RESERVED)
        table = table.masked_fill(lost, UNKNOWN)
    batch["characters"] = table
    places, targets = [], []
    for number, row in enumerate(rows):
        for begin, end in row.sentences:
            places.append(np.arange(begin - row.begin, end - row.begin, dtype=np.int64) * len(rows) + number)
            targets.append(row.text["targets"][begin:end].astype(np.int64))
    batch["places"], batch["targets"] = padded(places), padded(targets)
    batch["sentence_lengths"] = lengths_of(targets)
    return batch


def word_batch(data: dict[str, Tensor]) -> WordBatch:
    """What the input layer reads."""
    return WordBatch(*(data[name] for name in WordBatch._fields))


def _forgotten(words: NDArray[np.int64], noise: Noise, first_rare: int, draw: np.random.Generator) -> NDArray[np.int64]:
    """Words of which some are made unknown."""
    rate = np.where(words >= first_rare, max(noise.rare, noise.words), noise.words)
    return np.where((draw.random(len(words)) < rate) & (words >= RESERVED), UNKNOWN, words)


def _spellings(rows: Sequence[Row]) -> tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]]:
    """For each row the number of each word's spelling; and the characters of each distinct one."""
    known: dict[bytes, int] = {}
    distinct: list[NDArray[np.int64]] = []
    numbers = []
    for row in rows:
        ends = row.text["spelled"]
        begins = np.concatenate([[0], ends[:-1]]) if len(ends) else ends
        found = []
        for word in _slices(row.text["characters"], begins[row.begin : row.end], ends[row.begin : row.end]):
            key = word.tobytes()
            if key not in known:
                known[key] = len(distinct)
                distinct.append(word.astype(np.int64))
            found.append(known[key])
        numbers.append(np.array(found, dtype=np.int64))
    return numbers, distinct


def _slices(
    content: NDArray[np.int32], begins: NDArray[np.int32], ends: NDArray[np.int32]
) -> Iterator[NDArray[np.int32]]:
    for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
        yield content[begin:end]
