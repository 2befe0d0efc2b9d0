"""What turns texts into numbers and class numbers into labels, for `classify`; fitted on the training part."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unrolled.data import Arrays, lengths_of, padded
from unrolled.data.text.hashing import pair_number, part_numbers, parts_of
from unrolled.data.text.labelled import LabelledText
from unrolled.data.text.vectors import WordVectors, load_vectors, save_vectors
from unrolled.data.text.words import Word, split_words
from unrolled.errors import ModelError
from unrolled.layers import CrossEntropy
from unrolled.layers.inputs.texts import TextBatch
from unrolled.tasks.core.examples import read_json, write_json

ENCODERS, LABELS, VECTORS = "encoders.json", "labels.json", "vectors.safetensors"
#: the first entry of the vocabulary: a word that is not in it
UNKNOWN = 0
#: numbers of parts of words and of pairs of words, at least, and of each at most
FEWEST, MOST_BUCKETS, MOST_PAIRS = 1 << 10, 1 << 16, 1 << 18
#: a longer word is no word: its beginning is read
LONGEST_WORD = 48


class ClassifyEncoders:
    """Labels, words, and how texts are cut into these.

    Args:
        labels: in the order of the logits.
        words: that occur often enough, most frequent first.
        counts: how often each does.
        lowercase: whether texts are read in lower case.
        buckets: how many numbers parts of words have; 0 reads none.
        pairs: how many numbers pairs of words have; 0 reads none.
        longest: words of a text that are read; of a longer one the first and the last half of so many.
        vectors: published ones, or None.
    """

    def __init__(
        self,
        labels: Sequence[str],
        words: Sequence[str],
        counts: Sequence[int],
        *,
        lowercase: bool = True,
        buckets: int = 0,
        pairs: int = 0,
        longest: int = 1000,
        vectors: WordVectors | None = None,
    ) -> None:
        self.labels, self.words, self.lowercase = tuple(labels), list(words), lowercase
        self.counts = np.array([0, *counts], dtype=np.int64)
        self.buckets, self.pairs, self.longest, self.vectors = buckets, pairs, longest, vectors
        self._label = {label: n for n, label in enumerate(self.labels)}
        self._word = {word: n for n, word in enumerate(self.words, 1)}
        self._vector = {word: n for n, word in enumerate(vectors.words, 1)} if vectors is not None else {}
        # words recur: their parts are numbered once
        self._parts = lru_cache(maxsize=1 << 17)(self._numbered)

    @classmethod
    def fit(
        cls,
        texts: Iterable[LabelledText],
        *,
        min_count: int,
        lowercase: bool = True,
        parts: bool = True,
        pairs: bool = True,
        longest: int = 1000,
        vectors: WordVectors | None = None,
    ) -> ClassifyEncoders:
        """Count words and labels of the training part.

        Args:
            min_count: a word that occurs less often is unknown, and read by its parts alone.
            parts, pairs: whether parts of words, and pairs of words, are read.
            lowercase, longest, vectors: as for the class.
        """
        words: Counter[str] = Counter()
        labels: set[str] = set()
        neighbours: set[tuple[str, str]] = set()
        probe = cls((), (), (), lowercase=lowercase)
        for text in texts:
            labels.add(text.label)
            forms = [probe.form(word.text) for word in split_words(text.text)]
            words.update(forms)
            if pairs and len(neighbours) < MOST_PAIRS:
                neighbours.update(itertools.pairwise(forms))
        ranked = sorted((w for w, n in words.items() if n >= min_count), key=lambda word: (-words[word], word))
        buckets = 0
        if parts:
            distinct = len({part for word in words for part in parts_of(word)})
            buckets = _power_of_two(distinct, MOST_BUCKETS)
        return cls(
            sorted(labels, key=in_order),
            ranked,
            [words[word] for word in ranked],
            lowercase=lowercase,
            buckets=buckets,
            # a number takes a weight for each label
            pairs=_power_of_two(len(neighbours), MOST_PAIRS >> (len(labels) - 1).bit_length() - 1) if pairs else 0,
            longest=longest,
            vectors=vectors,
        )

    def form(self, word: str) -> str:
        """A word as it is looked up."""
        short = word[:LONGEST_WORD]
        return short.lower() if self.lowercase else short

    def words_of(self, text: str) -> list[Word]:
        """The words of a text that are read, with their places."""
        found = split_words(text)
        if len(found) <= self.longest:
            return found
        half = self.longest // 2
        return [*found[: self.longest - half], *found[len(found) - half :]]

    def number_of(self, label: str) -> int | None:
        """The class number of a label; None for one that training never saw."""
        return self._label.get(label)

    def encode(self, words: Sequence[str], label: str | None = None, before: str = "") -> Arrays:
        """Words as numbers.

        Args:
            words: of a text.
            label: its label.
            before: the word before the first, for a text that comes in pieces.

        Returns:
            `words`, `pairs` and `vectors` (T,), `parts` (P,) of all of them in a row, `spans` (T,): how many each has;
            `label` (1,), the ignored target for one that is not known.
        """
        forms = [self.form(word) for word in words]
        parts = [self._parts(form) for form in forms]
        number = None if label is None else self.number_of(label)
        neighbours = zip([self.form(before), *forms], forms, strict=False)
        return {
            "words": np.array([self._word.get(form, UNKNOWN) for form in forms], dtype=np.int32),
            "pairs": np.array([pair_number(*n, self.pairs) if self.pairs else 0 for n in neighbours], dtype=np.int32),
            "vectors": np.array([self._vector_of(word) for word in words], dtype=np.int32),
            "parts": np.array([n for one in parts for n in one], dtype=np.int32),
            "spans": np.array([len(one) for one in parts], dtype=np.int32),
            "label": np.array([CrossEntropy().ignored if number is None else number], dtype=np.int64),
        }

    def _numbered(self, form: str) -> tuple[int, ...]:
        return tuple(part_numbers(form, self.buckets)) if self.buckets else ()

    def _vector_of(self, word: str) -> int:
        return next((self._vector[form] for form in (word, word.lower()) if form in self._vector), 0)

    def table(self) -> NDArray[np.float32] | None:
        """The vectors with a row of zeros before them, (N, W), or None."""
        return None if self.vectors is None else self.vectors.table()

    def save(self, folder: Path) -> None:
        """Write labels.json, encoders.json, and the vectors."""
        content: dict[str, Any] = {
            "lowercase": self.lowercase,
            "buckets": self.buckets,
            "pairs": self.pairs,
            "longest": self.longest,
            "words": self.words,
            "counts": self.counts[1:].tolist(),
        }
        if self.vectors is not None:
            content["vector_words"] = self.vectors.words
            save_vectors(folder / VECTORS, self.vectors)
        write_json(folder / LABELS, list(self.labels))
        write_json(folder / ENCODERS, content)

    @classmethod
    def load(cls, folder: Path) -> ClassifyEncoders:
        """Read what `save` wrote.

        Raises:
            ModelError, StorageError: naming the file.
        """
        labels, path = read_json(folder / LABELS), folder / ENCODERS
        if not (_are(labels, str) and len(labels) > 1 and len(set(labels)) == len(labels)):
            raise ModelError(f"{folder / LABELS}: corrupt, expected a list of at least two labels")
        content = read_json(path)
        is_whole = (
            isinstance(content, dict)
            and _are(content.get("words"), str)
            and _are(content.get("counts"), int)
            and len(content["counts"]) == len(content["words"])
            and isinstance(content.get("lowercase"), bool)
            and _are([content.get("buckets"), content.get("pairs"), content.get("longest")], int)
            and 0 <= content["buckets"] <= MOST_BUCKETS
            and 0 <= content["pairs"] <= MOST_PAIRS
            and content["longest"] > 0
        )
        if not is_whole:
            raise ModelError(f"{path}: corrupt, not the encoders of a classifier; restore it from a copy of the model")
        vectors = None
        if "vector_words" in content:
            vectors = load_vectors(folder / VECTORS, content["vector_words"])
        return cls(
            labels,
            content["words"],
            content["counts"],
            lowercase=content["lowercase"],
            buckets=content["buckets"],
            pairs=content["pairs"],
            longest=content["longest"],
            vectors=vectors,
        )


def collated(
    texts: Sequence[Arrays], counts: NDArray[np.int64], unknown: float, draw: np.random.Generator | None
) -> dict[str, Tensor]:
    """Encoded texts side by side.

    Args:
        texts: as `ClassifyEncoders.encode` made them.
        counts: how often each entry of the vocabulary occurs.
        unknown: while training a word that occurs n times is read as unknown with probability u / (u + n)
            (Kiperwasser & Goldberg 2016, arXiv 1603.04351, section 4); its parts are read all the same.
        draw: None for texts that are only read.

    Returns:
        The fields of `TextBatch`, `lengths` and `labels` (B,).
    """
    lengths = lengths_of([text["words"] for text in texts])
    if not bool(lengths.any()):
        # a step that is nowhere valid: recurrent layers read at least one
        nothing = {name: np.zeros(1, dtype=np.int32) for name in ("words", "pairs", "vectors", "spans")}
        texts = [{**text, **nothing} for text in texts]
    words = [text["words"].astype(np.int64) for text in texts]
    if draw is not None and unknown:
        words = [np.where(draw.random(len(w)) < unknown / (unknown + counts[w]), UNKNOWN, w) for w in words]
    table = padded(words)
    spans = padded([text["spans"].astype(np.int64) for text in texts])
    ends = spans.reshape(-1).cumsum(0)
    return {
        "words": table,
        "vectors": padded([text["vectors"].astype(np.int64) for text in texts]),
        "pairs": padded([text["pairs"].astype(np.int64) for text in texts]),
        "parts": _in_steps(texts),
        "begins": torch.cat([ends.new_zeros(1), ends[:-1]]) if len(ends) else ends,
        "lengths": lengths,
        "labels": torch.from_numpy(np.concatenate([text["label"] for text in texts])),
    }


def _in_steps(texts: Sequence[Arrays]) -> Tensor:
    """The parts of all words, by step and then by text, as the rows of (T, B) follow each other."""
    steps = max(len(text["spans"]) for text in texts)
    by_step: list[list[NDArray[np.int32]]] = [[] for _ in range(steps)]
    for text in texts:
        ends = np.cumsum(text["spans"])[:-1]
        if len(text["spans"]):
            for step, parts in enumerate(np.split(text["parts"], ends)):
                by_step[step].append(parts)
    flat = [parts for step in by_step for parts in step]
    return torch.from_numpy(np.concatenate(flat).astype(np.int64) if flat else np.empty(0, dtype=np.int64))


def _power_of_two(distinct: int, most: int) -> int:
    """So many numbers that few of them are shared, within bounds."""
    return min(max(1 << max(distinct - 1, 1).bit_length(), FEWEST), most)


def text_batch(data: dict[str, Tensor]) -> TextBatch:
    """What the input layer reads."""
    return TextBatch(*(data[name] for name in TextBatch._fields))


def in_order(label: str) -> tuple[int, float, str]:
    """Labels that are numbers by their value, before all others."""
    try:
        value = float(label)
    except ValueError:
        value = math.nan
    return (0, value, label) if math.isfinite(value) else (1, 0.0, label)


def _are(values: Any, kind: type) -> bool:
    return isinstance(values, list) and all(isinstance(v, kind) and not isinstance(v, bool) for v in values)
