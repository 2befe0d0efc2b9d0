"""Translating word by word: each word by the one that most probably translates it, in the order of the source.

The probabilities are IBM Model 1's, fitted by EM on the training pairs. A word that is not known stays as it is, which
is what names and numbers want.

Source: Brown et al. 1993, "The mathematics of statistical machine translation", section 4.1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

_WORD = re.compile(r"\w+|[^\w\s]")
_BEFORE = re.compile(r"\s+([.,;:!?)\]}»%])")
_AFTER = re.compile(r"([(\[{«])\s+")

#: words of a sentence that are looked at, and pairs of words in all, which take 80 bytes each while it is fitted
WORDS, CELLS = 60, 8_000_000


def words(text: str) -> list[str]:
    """Words and symbols in order."""
    return _WORD.findall(text)


def fit_dictionary(sources: Sequence[str], targets: Sequence[str], rounds: int = 5) -> dict[str, str]:
    """The most probable translation of every word of the sources.

    Args:
        sources, targets: the pairs, of which the first are looked at, up to `CELLS` pairs of words.
        rounds: of EM.

    Returns:
        word → word.
    """
    own, other = _Words(), _Words()
    rows: list[NDArray[np.int64]] = []
    columns: list[NDArray[np.int64]] = []
    slots: list[NDArray[np.int64]] = []
    slot = cells_so_far = 0
    for source, target in zip(sources, targets, strict=True):
        left, right = own.numbers(source), other.numbers(target)
        cells_so_far += len(left) * len(right)
        if cells_so_far > CELLS and slot:
            break
        rows.append(np.tile(left, len(right)))
        columns.append(np.repeat(right, len(left)))
        # each occurrence of a target word shares out one count among the words of its source
        slots.append(np.repeat(np.arange(slot, slot + len(right)), len(left)))
        slot += len(right)
    if not slot:
        return {}
    row, place = np.concatenate(rows), np.concatenate(slots)
    cells, cell = np.unique(row * len(other) + np.concatenate(columns), return_inverse=True)
    cell_row = cells // len(other)
    probability = np.ones(len(cells))
    for _ in range(rounds):
        weight = probability[cell]
        weight /= np.bincount(place, weight, slot)[place]
        counts = np.bincount(cell, weight, len(cells))
        probability = counts / np.bincount(cell_row, counts, len(own))[cell_row]
    # by row, then falling probability, then the word that came first
    order = np.lexsort((cells, -probability, cell_row))
    first = order[np.unique(cell_row[order], return_index=True)[1]]
    return {own.list[int(cells[k] // len(other))]: other.list[int(cells[k] % len(other))] for k in first}


def translate_words(text: str, dictionary: Mapping[str, str]) -> str:
    """A text word by word, with symbols where they are usually written."""
    found = " ".join(dictionary.get(word, word) for word in words(text))
    return _AFTER.sub(r"\1", _BEFORE.sub(r"\1", found))


class _Words:
    """Words numbered as they come."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self.list: list[str] = []

    def __len__(self) -> int:
        return len(self.list)

    def numbers(self, text: str) -> NDArray[np.int64]:
        found = []
        for word in words(text)[:WORDS]:
            if word not in self._numbers:
                self._numbers[word] = len(self.list)
                self.list.append(word)
            found.append(self._numbers[word])
        return np.array(found, dtype=np.int64)
