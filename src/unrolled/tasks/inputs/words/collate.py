"""Encoded texts side by side: what the network reads, and where in it each sentence is.

T steps, B texts; S sentences, N tokens of the longest; U distinct spellings, C characters of the longest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unrolled.data import Arrays, lengths_of, padded
from unrolled.layers.inputs.words import WordBatch

#: the first entries of every list: what pads, what training did not see, and what stands between two sentences
RESERVED = 3
UNKNOWN, BORDER = 1, 2


class Noise(NamedTuple):
    """The noise on training batches; probabilities.

    Attributes:
        words: that a word is read as unknown.
        rare: the same for rare words.
        characters: that a character of a spelling is read as unknown.
    """

    words: float = 0.0
    rare: float = 0.0
    characters: float = 0.0


def collated(
    texts: Sequence[Arrays], noise: Noise, first_rare: int, draw: np.random.Generator | None
) -> dict[str, Tensor]:
    """Return a batch.

    Args:
        texts: as `WordsInput.encode` made them.
        noise: applied if there is a generator.
        first_rare: words from this number on are rare.
        draw: None for texts that are only read.

    Returns:
        The fields of `WordBatch`; `lengths` (B,); `places` (N, S), step · B + text of each token, and
        `sentence_lengths` (S,), in the order of the texts and of the sentences in them.
    """
    batch = {name: padded([text[name].astype(np.int64) for text in texts]) for name in ("shapes", "vectors")}
    words = [text["words"].astype(np.int64) for text in texts]
    if draw is not None and (noise.words or noise.rare):
        words = [_forgotten(own, noise, first_rare, draw) for own in words]
    batch["words"] = padded(words)
    batch["lengths"] = lengths_of(words)
    spellings, characters = _spellings(texts)
    batch["spellings"] = padded(spellings)
    batch["character_lengths"] = lengths_of(characters)
    table = padded(characters)
    if draw is not None and noise.characters:
        lost = torch.from_numpy(draw.random(tuple(table.shape)) < noise.characters) & (table >= RESERVED)
        table = table.masked_fill(lost, UNKNOWN)
    batch["characters"] = table
    places = [
        np.arange(begin, end, dtype=np.int64) * len(texts) + number
        for number, text in enumerate(texts)
        for begin, end in sentences_of(text)
    ]
    batch["places"], batch["sentence_lengths"] = padded(places), lengths_of(places)
    return batch


def word_batch(data: Mapping[str, Tensor]) -> WordBatch:
    """Return what the input layer reads."""
    return WordBatch(*(data[name] for name in WordBatch._fields))


def sentences_of(text: Arrays) -> Iterator[tuple[int, int]]:
    """Yield the first step and the one after the last of each sentence of an encoded text."""
    yield from zip(text["begins"].tolist(), text["ends"].tolist(), strict=True)


def sentences_alone(texts: Iterable[Arrays], draw: np.random.Generator, rate: float) -> list[Arrays]:
    """Return texts whole, or with this probability each of their sentences alone."""
    read: list[Arrays] = []
    for text in texts:
        is_split = rate and len(text["begins"]) > 1 and draw.random() < rate
        read += stretches(text, 0) if is_split else [text]
    return read


def stretches(text: Arrays, tokens: int) -> list[Arrays]:
    """Return an encoded text in stretches of whole sentences, up to `tokens` in each; a longer one stays alone.

    Args:
        text: as `WordsInput.encode` made it, labels of its steps among it or not.
        tokens: 0 for each sentence alone.
    """
    lengths = (text["ends"] - text["begins"]).tolist()
    borders, count = [0], 0
    for n, length in enumerate(lengths):
        if count and count + length > tokens:
            borders.append(n)
            count = 0
        count += length
    return [_cut(text, *pair) for pair in zip(borders, [*borders[1:], len(lengths)], strict=True) if pair[1]]


def _cut(text: Arrays, first: int, last: int) -> Arrays:
    """Return sentences `first` to before `last` of an encoded text."""
    begin, end = int(text["begins"][first]), int(text["ends"][last - 1])
    spelled = text["spelled"]
    before = int(spelled[begin - 1]) if begin else 0
    own = {
        "characters": text["characters"][before : spelled[end - 1]],
        "spelled": spelled[begin:end] - before,
        "begins": text["begins"][first:last] - begin,
        "ends": text["ends"][first:last] - begin,
    }
    return {name: own[name] if name in own else array[begin:end] for name, array in text.items()}


def _forgotten(words: NDArray[np.int64], noise: Noise, first_rare: int, draw: np.random.Generator) -> NDArray[np.int64]:
    """Return words of which some are made unknown."""
    rate = np.where(words >= first_rare, max(noise.rare, noise.words), noise.words)
    return np.where((draw.random(len(words)) < rate) & (words >= RESERVED), UNKNOWN, words)


def _spellings(texts: Sequence[Arrays]) -> tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]]:
    """Return for each text the number of each word's spelling; and the characters of each distinct one."""
    known: dict[bytes, int] = {}
    distinct: list[NDArray[np.int64]] = []
    numbers = []
    for text in texts:
        own = []
        for word in np.split(text["characters"], text["spelled"][:-1]) if len(text["spelled"]) else ():
            key = word.tobytes()
            if key not in known:
                known[key] = len(distinct)
                distinct.append(word.astype(np.int64))
            own.append(known[key])
        numbers.append(np.array(own, dtype=np.int64))
    return numbers, distinct
