"""A text, read by its words and their parts; fitted on the training part."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from unrolled.data import Arrays, Example, ExampleStore
from unrolled.data.text.hashing import pair_number, part_numbers, parts_of
from unrolled.data.text.labelled import TEXT_NAMES
from unrolled.data.text.vectors import WordVectors, load_vectors, read_vectors, save_vectors
from unrolled.data.text.words import Word, split_words
from unrolled.errors import ArgumentError, ModelError
from unrolled.layers.inputs.texts import TextBatch, TextInputs, WordVotes
from unrolled.settings import Settings
from unrolled.tasks.core import results
from unrolled.tasks.core.contract import Input
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.core.folder.files import read_json, write_json
from unrolled.tasks.core.probe import last_steps
from unrolled.tasks.core.values import InputSteps, Progress
from unrolled.tasks.inputs.text.collate import UNKNOWN, collated, text_batch
from unrolled.tasks.inputs.text.layer import TextNetwork, text_layer, weigh_votes, word_votes
from unrolled.tasks.inputs.text.options import TextOptions
from unrolled.tasks.inputs.text.stream import WordStream
from unrolled.types import Json

ENCODERS, VECTORS = "encoders.json", "vectors.safetensors"
#: numbers of parts of words and of pairs of words, at least, and of each at most
FEWEST, MOST_BUCKETS, MOST_PAIRS = 1 << 10, 1 << 16, 1 << 18
#: a longer word is no word: its beginning is read
LONGEST_WORD = 48
#: the vocabulary of small data keeps words that occur this often, if nothing else is asked for
MIN_COUNT = 2
#: published vectors that are read: files are sorted by frequency
MOST_VECTORS = 400_000


class ShownText(results.Shown):
    """The text that a result is about."""

    text: str


class TextInput(Input[str]):
    """A text, read by its words and their parts.

    Args:
        words: that occur often enough, most frequent first.
        counts: how often each does.
        lowercase: whether texts are read in lower case.
        buckets: how many numbers parts of words have; 0 reads none.
        pairs: how many numbers pairs of words have; 0 reads none.
        longest: words of a text that are read; of a longer one the first and the last half of so many.
        vectors: published ones, or None.
    """

    name: ClassVar[str] = "text"
    reads: ClassVar[Literal["text", "path"]] = "text"
    role: ClassVar[str] = "text"
    column_names: ClassVar[tuple[str, ...]] = TEXT_NAMES
    length_of: ClassVar[str | None] = "words"
    options: ClassVar[type[Settings]] = TextOptions
    Network: ClassVar[type[Settings]] = TextNetwork
    Shown: ClassVar[type[results.Shown]] = ShownText

    def __init__(
        self,
        words: Sequence[str],
        counts: Sequence[int],
        *,
        lowercase: bool = True,
        buckets: int = 0,
        pairs: int = 0,
        longest: int = 1000,
        vectors: WordVectors | None = None,
    ) -> None:
        self.words, self.lowercase = list(words), lowercase
        self.counts = np.array([0, *counts], dtype=np.int64)
        self.buckets, self.pairs, self.longest, self.vectors = buckets, pairs, longest, vectors
        self._word = {word: n for n, word in enumerate(self.words, 1)}
        self._vector = {word: n for n, word in enumerate(vectors.words, 1)} if vectors is not None else {}
        # words recur: their parts are numbered once
        self._parts = lru_cache(maxsize=1 << 17)(self._numbered)

    @classmethod
    def fit(cls, examples: Sequence[Example], options: Settings, progress: Progress) -> TextInput:
        """Count words of the training part; read the published vectors, if there are any."""
        chosen = TextOptions.of(options)
        vectors = None
        if chosen.vectors is not None:
            vectors = read_vectors(
                chosen.vectors, limit=MOST_VECTORS, on_progress=lambda n: progress("reading the vectors", n, None)
            )
        progress("counting words", 0, None)
        probe = cls((), (), lowercase=chosen.lowercase)
        words: Counter[str] = Counter()
        neighbours: set[tuple[str, str]] = set()
        for example in examples:
            forms = [probe.form(word.text) for word in split_words(example.given)]
            words.update(forms)
            if chosen.votes and len(neighbours) < MOST_PAIRS:
                neighbours.update(itertools.pairwise(forms))
        least = chosen.min_count or (MIN_COUNT if chosen.parts else 1)
        ranked = sorted((w for w, n in words.items() if n >= least), key=lambda word: (-words[word], word))
        buckets = 0
        if chosen.parts:
            distinct = len({part for word in words for part in parts_of(word)})
            buckets = _power_of_two(distinct, MOST_BUCKETS)
        # a single label is for the output to refuse
        labels = max(2, len({label for example in examples for label in example.labels}))
        return cls(
            ranked,
            [words[word] for word in ranked],
            lowercase=chosen.lowercase,
            buckets=buckets,
            # a number takes a weight for each label
            pairs=_power_of_two(len(neighbours), MOST_PAIRS >> (labels - 1).bit_length() - 1) if chosen.votes else 0,
            longest=chosen.longest,
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

    def given(self, value: object) -> str:
        """Return the text."""
        return checked_text(value)

    def encode(self, given: str, options: Settings | None = None) -> Arrays:
        """Return the words of a text as numbers, as `encode_words`."""
        return self.encode_words([word.text for word in self.words_of(given)])

    def encode_words(self, words: Sequence[str], before: str = "") -> Arrays:
        """Return words as numbers.

        Args:
            words: of a text.
            before: the word before the first, for a text that comes in pieces.

        Returns:
            `words`, `pairs` and `vectors` (T,), `parts` (P,) of all of them in a row, `spans` (T,): how many each has.
        """
        forms = [self.form(word) for word in words]
        parts = [self._parts(form) for form in forms]
        neighbours = zip([self.form(before), *forms], forms, strict=False)
        return {
            "words": np.array([self._word.get(form, UNKNOWN) for form in forms], dtype=np.int32),
            "pairs": np.array([pair_number(*n, self.pairs) if self.pairs else 0 for n in neighbours], dtype=np.int32),
            "vectors": np.array([self._vector_of(word) for word in words], dtype=np.int32),
            "parts": np.array([n for word in parts for n in word], dtype=np.int32),
            "spans": np.array([len(word) for word in parts], dtype=np.int32),
        }

    def collate(
        self, model: AnyFitted, examples: Sequence[Arrays], draw: np.random.Generator | None = None
    ) -> dict[str, Tensor]:
        """Return texts side by side; while training rare words are read as unknown now and then."""
        return collated(examples, self.counts, float(model.config.batching.get("unknown", 0.0)), draw)

    def feed(self, data: Mapping[str, Tensor]) -> tuple[TextBatch, Tensor]:
        """Return words and lengths."""
        return text_batch(data), data["lengths"]

    def extended(self, other: TextInput) -> TextInput:
        """Add the other's words; buckets of parts and pairs know all words anyway."""
        counts = dict(zip(other.words, other.counts[1:].tolist(), strict=True))
        new = [word for word in dict.fromkeys(map(self.form, other.words)) if word not in self._word]
        return TextInput(
            [*self.words, *new],
            [*self.counts[1:].tolist(), *(counts.get(word, 1) for word in new)],
            lowercase=self.lowercase,
            buckets=self.buckets,
            pairs=self.pairs,
            longest=self.longest,
            vectors=self.vectors,
        )

    @property
    def sizes(self) -> dict[str, int]:
        """The sizes of the input layer that follow from what was fitted."""
        return {"vocabulary_size": len(self.words) + 1, "buckets": self.buckets, "pairs": self.pairs}

    def layer(self, network: Mapping[str, Any]) -> TextInputs:
        """Return vectors of words and their parts."""
        return text_layer(TextNetwork.picked(network), self.sizes, self.table())

    def beside(self, network: Mapping[str, Any], classes: int) -> WordVotes | None:
        """Return the linear model of words, their parts and pairs."""
        return word_votes(TextNetwork.picked(network), classes)

    def plan(self, options: Settings, store: ExampleStore) -> Json:
        """Return the sizes that were fitted, and how much is dropped where few texts would be known by heart."""
        usual = {"embedding_size": 64, "input_dropout": 0.2, "word_dropout": 0.1}
        return {**usual, **super().plan(options, store), **self.sizes}

    def standardise(self, network: nn.Module, store: ExampleStore) -> None:
        """Set how telling each word is by how many texts have it."""
        weigh_votes(network, store)

    def facts(self, train: Sequence[Example], dev: Sequence[Example]) -> Json:
        """Count words."""
        return {"words": len(self.words), "train_words": sum(len(self.words_of(text.given)) for text in train)}

    def to_json(self, given: str) -> str:
        """Return the text."""
        return given

    def shown(self, given: str, arrays: Arrays) -> results.Shown:
        """Return the text."""
        return ShownText(text=given)

    def empty(self) -> Arrays:
        """Return a text of no words."""
        return self.encode_words([])

    def steps(self, model: AnyFitted, given: str, limit: int) -> InputSteps:
        """Lay out a text by its words."""
        words = [word.text for word in self.words_of(given)]
        if not words:
            raise ArgumentError("input: a text of at least one word is needed to look into")
        first, note = last_steps(len(words), limit, "words")
        data = collated([self.encode_words(words[first:])], self.counts, 0.0, None)
        return InputSteps(data, tuple(words[first:]), note, " ")

    def stream(self, model: AnyFitted) -> WordStream:
        """Return what turns characters as they come into words."""
        return WordStream(self.encode_words, self.counts)

    def _numbered(self, form: str) -> tuple[int, ...]:
        return tuple(part_numbers(form, self.buckets)) if self.buckets else ()

    def _vector_of(self, word: str) -> int:
        return next((self._vector[form] for form in (word, word.lower()) if form in self._vector), 0)

    def table(self) -> NDArray[np.float32] | None:
        """The vectors with a row of zeros before them, (N, W), or None."""
        return None if self.vectors is None else self.vectors.table()

    def save(self, folder: Path) -> None:
        """Write encoders.json, and the vectors."""
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
        write_json(folder / ENCODERS, content)

    @classmethod
    def load(cls, folder: Path) -> TextInput:
        """Read what `save` wrote.

        Raises:
            ModelError, StorageError: naming the file.
        """
        path = folder / ENCODERS
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
            raise ModelError(f"{path}: corrupt, not the words of a text model; restore it from a copy of the model")
        vectors = None
        if "vector_words" in content:
            vectors = load_vectors(folder / VECTORS, content["vector_words"])
        return cls(
            content["words"],
            content["counts"],
            lowercase=content["lowercase"],
            buckets=content["buckets"],
            pairs=content["pairs"],
            longest=content["longest"],
            vectors=vectors,
        )


def checked_text(value: object) -> str:
    """Return the text that a caller hands over.

    Raises:
        ArgumentError: it is none.
    """
    if not isinstance(value, str):
        raise ArgumentError(f"input: expected text, found {type(value).__name__}")
    return value


def _power_of_two(distinct: int, most: int) -> int:
    """So many numbers that few of them are shared, within bounds."""
    return min(max(1 << max(distinct - 1, 1).bit_length(), FEWEST), most)


def _are(values: Any, kind: type) -> bool:
    return isinstance(values, list) and all(isinstance(v, kind) and not isinstance(v, bool) for v in values)
